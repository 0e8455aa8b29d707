//! Reads.

use async_graphql::{Context, ID, MergedObject, Object, Result};
use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use sqlx::PgPool;

use super::connection::Arguments;
use super::context::{built, caller, settle, sight};
use super::course::{
    Course, CourseConnection, CourseFilter, CourseOrder, course_list, page_of_courses, past_course,
    search_list, visible_course,
};
use super::enrollment::{
    Enrollment, EnrollmentConnection, EnrollmentFilter, page_of_enrollments, past_enrollment,
    visible_enrollment,
};
use super::entity::Entities;
use super::error::{ErrorCode, failure, read_failed};
use super::incoming::IncomingReads;
use super::module::{Module, visible_module};
use super::module_item::{ModuleItem, visible_item};
use super::node::{Node, node};
use super::user::{User, courses_taught_by, visible_student};
use crate::domain::{CourseId, EnrollmentId, UserId, values};
use crate::event_store::Position;
use crate::projections::courses;

/// The most ids of `nodes`.
const MAX_IDS: usize = 100;

/// Reads.
#[derive(MergedObject, Default)]
pub(super) struct Query(Reads, IncomingReads, Entities);

impl Query {
    /// The reads of a payload.
    pub(super) fn since(position: Option<Position>) -> Self {
        Self(Reads { since: position }, IncomingReads, Entities)
    }
}

/// Reads.
#[derive(Default)]
pub(super) struct Reads {
    /// Of a payload: what its mutation wrote is seen.
    since: Option<Position>,
}

impl Reads {
    /// Refuses a caller whose token leads to nobody, and everybody while a read model is first built; then waits until
    /// the read models are far enough.
    async fn ready(&self, ctx: &Context<'_>, min_position: Option<&str>) -> Result<()> {
        caller(ctx)?;
        let wanted = min_position.map(str::parse::<Position>).transpose().map_err(|_| {
            failure(
                ErrorCode::ValidationFailed,
                "minPosition is not a position that this service gave out",
            )
        })?;
        built(ctx).await?;
        for position in self.since.into_iter().chain(wanted) {
            settle(ctx, position).await?;
        }
        Ok(())
    }
}

#[Object]
impl Reads {
    /// One course, by id or by code: exactly one of them. Null where there is none that the caller may see.
    async fn course(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id")] id: Option<ID>,
        #[graphql(desc = "Its code, without regard to case")] code: Option<String>,
        #[graphql(
            desc = "Reads it as it stood at this instant, which must be over; with id. For its instructors and admins of now, \
                    FORBIDDEN for others. Connections but modules, and what is about the caller, have no past."
        )]
        as_of: Option<DateTime<Utc>>,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position.")]
        min_position: Option<String>,
    ) -> Result<Option<Course>> {
        self.ready(ctx, min_position.as_deref()).await?;
        match (id, code) {
            (Some(id), None) => match as_of {
                Some(as_of) => past_course(ctx, &id, as_of).await,
                None => visible_course(ctx, &id).await,
            },
            (None, Some(_)) if as_of.is_some() => {
                let message = "asOf needs the id: a code may have been that of another course";
                Err(failure(ErrorCode::ValidationFailed, message))
            }
            (None, Some(code)) => {
                if values::code(&code).is_err() {
                    return Ok(None);
                }
                let row = courses::find_by_code(ctx.data::<PgPool>()?, &code).await;
                let row = row.map_err(|error| read_failed(&error))?;
                let sight = sight(ctx)?;
                Ok(row.filter(|row| sight.sees(row)).map(Course::from_row))
            }
            _ => Err(failure(ErrorCode::ValidationFailed, "pass exactly one of id and code")),
        }
    }

    /// The courses that the caller may see, by default oldest first and without the deleted ones.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn courses(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the beginning: 0 to 100, by default 20.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which of them.")] filter: Option<CourseFilter>,
        #[graphql(desc = "How they are sorted, by at most 3 orders; equal ones by id.")]
        order_by: Option<Vec<CourseOrder>>,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position.")]
        min_position: Option<String>,
    ) -> Result<CourseConnection> {
        self.ready(ctx, min_position.as_deref()).await?;
        let courses = course_list(ctx, filter, order_by)?;
        page_of_courses(ctx, courses, "courses", Arguments { first, after, last, before }).await
    }

    /// The courses that the caller may see and whose code, title, tags or description fit a text, the best first.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn search_courses(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Words that must all be there, \"phrases\", or, and -words that must not; at most 500 characters."
        )]
        query: String,
        #[graphql(desc = "At most this many from the beginning: 0 to 100, by default 20.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which of them.")] filter: Option<CourseFilter>,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position.")]
        min_position: Option<String>,
    ) -> Result<CourseConnection> {
        self.ready(ctx, min_position.as_deref()).await?;
        let courses = search_list(ctx, &query, filter)?;
        page_of_courses(ctx, courses, "search", Arguments { first, after, last, before }).await
    }

    /// The courses that a user teaches and the caller may see, oldest first, without the deleted ones.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn instructor_courses(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The user.")] instructor_id: ID,
        #[graphql(desc = "At most this many from the beginning: 0 to 100, by default 20.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position.")]
        min_position: Option<String>,
    ) -> Result<CourseConnection> {
        self.ready(ctx, min_position.as_deref()).await?;
        courses_taught_by(ctx, &instructor_id, Arguments { first, after, last, before }).await
    }

    /// The object with this global id. Null where there is none that the caller may see.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Of a course, module, module item, enrollment, dead letter or parked message."
        )]
        id: ID,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position.")]
        min_position: Option<String>,
    ) -> Result<Option<Node>> {
        self.ready(ctx, min_position.as_deref()).await?;
        node(ctx, &id).await
    }

    /// The objects with these global ids, in their order. Null for each that the caller may not see.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "At most 100, of courses, modules, module items, enrollments, dead letters or parked messages."
        )]
        ids: Vec<ID>,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position.")]
        min_position: Option<String>,
    ) -> Result<Vec<Option<Node>>> {
        if ids.len() > MAX_IDS {
            let message = format!("ids must be at most {MAX_IDS}");
            return Err(failure(ErrorCode::ValidationFailed, message));
        }
        self.ready(ctx, min_position.as_deref()).await?;
        try_join_all(ids.iter().map(|id| node(ctx, id))).await
    }

    /// One module. Null where there is none that the caller may see.
    async fn module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position.")]
        min_position: Option<String>,
    ) -> Result<Option<Module>> {
        self.ready(ctx, min_position.as_deref()).await?;
        visible_module(ctx, &id).await
    }

    /// One module item. Null where there is none that the caller may see.
    async fn module_item(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id.")] id: ID,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position.")]
        min_position: Option<String>,
    ) -> Result<Option<ModuleItem>> {
        self.ready(ctx, min_position.as_deref()).await?;
        visible_item(ctx, &id).await
    }

    /// The enrollments that the caller may see, the oldest request first: for students their own, for instructors also
    /// those in courses that they teach, for admins all.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn enrollments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the beginning: 0 to 100, by default 20.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which of them.")] filter: Option<EnrollmentFilter>,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position.")]
        min_position: Option<String>,
    ) -> Result<EnrollmentConnection> {
        self.ready(ctx, min_position.as_deref()).await?;
        page_of_enrollments(ctx, filter, Arguments { first, after, last, before }).await
    }

    /// One enrollment, by id or by course and student. Null where there is none that the caller may see.
    async fn enrollment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id")] id: Option<ID>,
        #[graphql(desc = "The course; with studentId")] course_id: Option<ID>,
        #[graphql(desc = "The student; with courseId")] student_id: Option<ID>,
        #[graphql(
            desc = "Reads it as it stood at this instant, which must be over. For instructors of the course and admins of \
                    now, FORBIDDEN for others. Its history and other connections have no past."
        )]
        as_of: Option<DateTime<Utc>>,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position.")]
        min_position: Option<String>,
    ) -> Result<Option<Enrollment>> {
        self.ready(ctx, min_position.as_deref()).await?;
        let id = match (id, course_id, student_id) {
            (Some(id), None, None) => EnrollmentId::parse(&id, "id"),
            (None, Some(course), Some(student)) => {
                CourseId::parse(&course, "courseId").and_then(|course| {
                    let student = UserId::parse(&student, "studentId")?;
                    Ok(EnrollmentId::of(&course, &student))
                })
            }
            _ => {
                return Err(failure(
                    ErrorCode::ValidationFailed,
                    "pass either id, or courseId and studentId",
                ));
            }
        };
        match id {
            Ok(id) => match as_of {
                Some(as_of) => past_enrollment(ctx, &id, as_of).await,
                None => visible_enrollment(ctx, &id).await,
            },
            Err(_) => Ok(None),
        }
    }

    /// The caller; null without a token.
    async fn viewer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position.")]
        min_position: Option<String>,
    ) -> Result<Option<User>> {
        self.ready(ctx, min_position.as_deref()).await?;
        Ok(caller(ctx)?.map(User::viewer))
    }

    /// One user. Null for all but admins, the user themself, and instructors of a course in which the user has an
    /// enrollment.
    async fn student(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Their id.")] id: ID,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position.")]
        min_position: Option<String>,
    ) -> Result<Option<User>> {
        self.ready(ctx, min_position.as_deref()).await?;
        visible_student(ctx, &id).await
    }
}

//! Reads.

use async_graphql::connection::{Connection, Edge, EmptyFields};
use async_graphql::{Context, ID, MergedObject, Object, Result};
use sqlx::PgPool;

use super::context::{caller, settle, sight};
use super::course::{Course, visible_course};
use super::cursor::{TimeCursor, after, page_size};
use super::enrollment::{Enrollment, visible_enrollment};
use super::entity::Entities;
use super::error::{ErrorCode, failure, read_failed};
use super::module::{Module, visible_module};
use super::user::User;
use crate::domain::{CourseId, EnrollmentId, Role, UserId, values};
use crate::event_store::Position;
use crate::projections::courses;

/// Reads.
#[derive(MergedObject, Default)]
pub struct Query(Reads, Entities);

impl Query {
    /// The reads of a payload.
    pub(super) fn since(position: Option<Position>) -> Self {
        Self(Reads { since: position }, Entities)
    }
}

/// Reads.
#[derive(Default)]
pub(super) struct Reads {
    /// Of a payload: what its mutation wrote is seen.
    since: Option<Position>,
}

impl Reads {
    /// Refuses a caller whose token leads to nobody, then waits until the read models are far enough.
    async fn ready(&self, ctx: &Context<'_>, min_position: Option<&str>) -> Result<()> {
        caller(ctx)?;
        let wanted = min_position.map(str::parse::<Position>).transpose().map_err(|_| {
            failure(
                ErrorCode::ValidationFailed,
                "minPosition is not a position that this service gave out",
            )
        })?;
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
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position")]
        min_position: Option<String>,
    ) -> Result<Option<Course>> {
        self.ready(ctx, min_position.as_deref()).await?;
        match (id, code) {
            (Some(id), None) => visible_course(ctx, &id).await,
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

    /// The courses that the caller may see, oldest first, without the deleted ones.
    async fn courses(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many: 0 to 100, by default 20")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor")] after: Option<String>,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position")]
        min_position: Option<String>,
    ) -> Result<Connection<TimeCursor, Course, EmptyFields>> {
        let size = page_size(first)?;
        let from = self::after::<TimeCursor>(after.as_deref())?;
        self.ready(ctx, min_position.as_deref()).await?;
        let key = from.as_ref().map(|cursor| (cursor.at, cursor.id.as_str()));
        let one_more = i64::try_from(size + 1).unwrap_or(i64::MAX);
        let rows = courses::page(ctx.data::<PgPool>()?, sight(ctx)?, key, one_more).await;
        let mut rows = rows.map_err(|error| read_failed(&error))?;
        let more = rows.len() > size;
        rows.truncate(size);
        let mut connection = Connection::new(from.is_some(), more);
        connection.edges = rows
            .into_iter()
            .map(|row| {
                let cursor = TimeCursor { at: row.created_at, id: row.course_id.clone() };
                Edge::new(cursor, Course::from_row(row))
            })
            .collect();
        Ok(connection)
    }

    /// One module. Null where there is none that the caller may see.
    async fn module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id")] id: ID,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position")]
        min_position: Option<String>,
    ) -> Result<Option<Module>> {
        self.ready(ctx, min_position.as_deref()).await?;
        visible_module(ctx, &id).await
    }

    /// One enrollment, by id or by course and student. Null where there is none that the caller may see.
    async fn enrollment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its id")] id: Option<ID>,
        #[graphql(desc = "The course; with studentId")] course_id: Option<ID>,
        #[graphql(desc = "The student; with courseId")] student_id: Option<ID>,
        #[graphql(desc = "Waits, at most 1 s, until the read model has seen this position")]
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
            Ok(id) => visible_enrollment(ctx, &id).await,
            Err(_) => Ok(None),
        }
    }

    /// The caller; null without a token.
    #[expect(clippy::unused_async, reason = "async-graphql takes asynchronous resolvers only")]
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Option<User>> {
        Ok(caller(ctx)?.map(|actor| User {
            id: actor.id.as_str().into(),
            role: match actor.role {
                Role::Student => Some("student".to_owned()),
                Role::Instructor => Some("instructor".to_owned()),
                Role::Admin => Some("admin".to_owned()),
                Role::Other => None,
            },
        }))
    }
}

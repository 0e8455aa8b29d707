//! Lists of enrollments: what can be asked of them, whose the caller sees, and their pages.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Result, SimpleObject};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::{Enrollment, EnrollmentStatus};
use crate::domain::enrollment::EnrollmentStatus as Status;
use crate::domain::{CourseId, Role, UserId, values};
use crate::graphql::connection::{Arguments, Asked, Neighbours, connection};
use crate::graphql::context::caller;
use crate::graphql::cursor::{Kind, decode, encode};
use crate::graphql::error::{ErrorCode, failure, read_failed};
use crate::graphql::loader::{EnrollmentCountKey, EnrollmentsKey, TaughtIdsKey, load};
use crate::projections::enrollments::{self, EnrollmentList, EnrollmentRow, Owner, Whose};
use crate::projections::page::{Page, Place};

/// Which enrollments: every field that is set must hold, and of a list one entry.
#[derive(Debug, Clone, Default, InputObject)]
pub(in crate::graphql) struct EnrollmentFilter {
    /// They stand there.
    status: Option<Vec<EnrollmentStatus>>,
    /// They are this student's.
    student_id: Option<ID>,
    /// They are in this course.
    course_id: Option<ID>,
    /// The student got the seat at this instant or later.
    enrolled_since: Option<DateTime<Utc>>,
}

impl EnrollmentFilter {
    fn read(self) -> Result<enrollments::EnrollmentFilter> {
        values::instant(self.enrolled_since.as_ref(), "enrolledSince")
            .map_err(|refusal| failure(ErrorCode::ValidationFailed, refusal.to_string()))?;
        let name = |status: EnrollmentStatus| Status::from(status).as_str();
        let mut filter = enrollments::EnrollmentFilter {
            statuses: self.status.map(|statuses| statuses.into_iter().map(name).collect()),
            student: None,
            course: None,
            enrolled_since: self.enrolled_since,
        };
        // Nobody and nothing has an id that breaks the rules.
        if let Some(id) = self.student_id {
            match UserId::parse(&id, "studentId") {
                Ok(id) => filter.student = Some(id.to_string()),
                Err(_) => filter.statuses = Some(Vec::new()),
            }
        }
        if let Some(id) = self.course_id {
            match CourseId::parse(&id, "courseId") {
                Ok(id) => filter.course = Some(id.to_string()),
                Err(_) => filter.statuses = Some(Vec::new()),
            }
        }
        Ok(filter)
    }
}

/// An enrollment in a page.
#[derive(SimpleObject)]
pub(in crate::graphql) struct EnrollmentEdge {
    /// The enrollment.
    node: Enrollment,
    /// Its place in the list, for `after` and `before`.
    cursor: String,
}

connection! {
    /// A page of enrollments.
    EnrollmentConnection of EnrollmentEdge with Enrollment, counted by EnrollmentTotal
}

/// What of a list is counted.
pub(in crate::graphql) enum EnrollmentTotal {
    /// Nothing: the caller sees none.
    Nothing,
    /// The whole list.
    List(EnrollmentList),
    /// What of it a course or a student has.
    Of(EnrollmentCountKey),
}

impl EnrollmentTotal {
    async fn count(&self, ctx: &Context<'_>) -> Result<i64> {
        match self {
            Self::Nothing => Ok(0),
            Self::List(list) => {
                list.count(ctx.data::<PgPool>()?).await.map_err(|error| read_failed(&error))
            }
            Self::Of(key) => Ok(load(ctx, key.clone()).await?.unwrap_or(0)),
        }
    }
}

/// Whose enrollments the caller sees; `None`: nobody's.
async fn whose(ctx: &Context<'_>) -> Result<Option<Whose>> {
    let Some(actor) = caller(ctx)? else { return Ok(None) };
    Ok(match actor.role {
        Role::Admin => Some(Whose::All),
        Role::Instructor => {
            let courses = load(ctx, TaughtIdsKey(actor.id.clone())).await?.unwrap_or_default();
            Some(Whose::Taught { teacher: actor.id.clone(), courses })
        }
        Role::Student => Some(Whose::Own(actor.id.clone())),
        Role::Other => None,
    })
}

/// The enrollments that the caller sees.
pub(in crate::graphql) async fn page_of_enrollments(
    ctx: &Context<'_>,
    filter: Option<EnrollmentFilter>,
    arguments: Arguments,
) -> Result<EnrollmentConnection> {
    let name = "enrollments";
    let filter = filter.unwrap_or_default().read()?;
    let asked = read_arguments(arguments, name)?;
    let Some(whose) = whose(ctx).await? else { return Ok(nothing()) };
    let list = EnrollmentList { whose, filter };
    let rows = list.page(ctx.data::<PgPool>()?, &page(&asked)).await;
    let (rows, neighbours) = asked.cut(ctx, rows.map_err(|error| read_failed(&error))?)?;
    Ok(connect(rows, neighbours, name, EnrollmentTotal::List(list)))
}

/// Those of a course: `all`, or the caller's own.
pub(in crate::graphql) async fn enrollments_of_course(
    ctx: &Context<'_>,
    course: &str,
    all: bool,
    filter: Option<EnrollmentFilter>,
    arguments: Arguments,
) -> Result<EnrollmentConnection> {
    let own = || {
        let actor = caller(ctx)?.filter(|actor| actor.role != Role::Other);
        Ok::<_, async_graphql::Error>(actor.map(|actor| Whose::Own(actor.id.clone())))
    };
    let whose = if all { Some(Whose::All) } else { own()? };
    owned(ctx, whose, Owner::Course, course, filter, arguments).await
}

/// Those of a student that the caller sees.
pub(in crate::graphql) async fn enrollments_of_student(
    ctx: &Context<'_>,
    student: &str,
    filter: Option<EnrollmentFilter>,
    arguments: Arguments,
) -> Result<EnrollmentConnection> {
    let whose = whose(ctx).await?;
    owned(ctx, whose, Owner::Student, student, filter, arguments).await
}

async fn owned(
    ctx: &Context<'_>,
    whose: Option<Whose>,
    owner: Owner,
    id: &str,
    filter: Option<EnrollmentFilter>,
    arguments: Arguments,
) -> Result<EnrollmentConnection> {
    let name = match owner {
        Owner::Course => format!("enrollments of course {id}"),
        Owner::Student => format!("enrollments of student {id}"),
    };
    let filter = filter.unwrap_or_default().read()?;
    let asked = read_arguments(arguments, &name)?;
    let Some(whose) = whose else { return Ok(nothing()) };
    let list = Arc::new(EnrollmentList { whose, filter });
    let of = EnrollmentCountKey { owner, id: id.to_owned(), list };
    let key = EnrollmentsKey { of: of.clone(), page: page(&asked) };
    let (rows, neighbours) = asked.cut(ctx, load(ctx, key).await?.unwrap_or_default())?;
    Ok(connect(rows, neighbours, &name, EnrollmentTotal::Of(of)))
}

fn read_arguments(arguments: Arguments, name: &str) -> Result<Asked<Place>> {
    arguments.read(|cursor| decode(name, &[Kind::Time], cursor))
}

fn page(asked: &Asked<Place>) -> Page {
    Page { limit: asked.limit(), backwards: asked.backwards, from: asked.from.clone() }
}

fn nothing() -> EnrollmentConnection {
    let (edges, neighbours) = (Vec::new(), Neighbours::default());
    EnrollmentConnection { edges, neighbours, total: EnrollmentTotal::Nothing }
}

fn connect(
    rows: Vec<EnrollmentRow>,
    neighbours: Neighbours,
    name: &str,
    total: EnrollmentTotal,
) -> EnrollmentConnection {
    let edge = |row: EnrollmentRow| EnrollmentEdge {
        cursor: encode(name, &EnrollmentList::place(&row)),
        node: Enrollment::from_row(row),
    };
    EnrollmentConnection { edges: rows.into_iter().map(edge).collect(), neighbours, total }
}

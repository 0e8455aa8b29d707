//! Lists of courses: what can be asked of them, and their pages.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Result, SimpleObject};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Course, CourseStatus};
use crate::domain::course::CourseStatus as Status;
use crate::domain::{Refusal, UserId, values};
use crate::graphql::connection::{Arguments, Asked, Neighbours, connection};
use crate::graphql::context::sight;
use crate::graphql::cursor::{Kind, decode, encode};
use crate::graphql::error::{ErrorCode, failure, read_failed};
use crate::graphql::loader::{TaughtCountKey, TaughtKey, load};
use crate::projections::courses::{self, CourseList, CourseSort, Found};
use crate::projections::page::{Page, Place};

/// The most terms of an order.
const MAX_ORDERS: usize = 3;

/// The longest text that is searched for, in characters.
const MAX_QUERY: usize = 500;

/// Which way something is sorted.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
pub(in crate::graphql) enum SortDirection {
    /// The least first.
    Asc,
    /// The greatest first.
    Desc,
}

/// What courses are sorted by.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
pub(in crate::graphql) enum CourseOrderField {
    /// When they were created.
    CreatedAt,
    /// When they last changed.
    UpdatedAt,
    /// Their title, as dictionaries sort.
    Title,
    /// Their code, without regard to case.
    Code,
    /// When they start; those that have no start come last, and first in DESC.
    StartsAt,
    /// How many seats are taken.
    EnrolledCount,
}

/// An order of courses.
#[derive(Debug, Clone, InputObject)]
pub(in crate::graphql) struct CourseOrder {
    /// What is compared.
    field: CourseOrderField,
    /// Which way.
    #[graphql(default_with = "SortDirection::Asc")]
    direction: SortDirection,
}

/// Which courses: every field that is set must hold, and of a list one entry.
#[derive(Debug, Clone, Default, InputObject)]
pub(in crate::graphql) struct CourseFilter {
    /// They stand there. By default all but DELETED, which only their instructors and admins find.
    status: Option<Vec<CourseStatus>>,
    /// They have one of these tags.
    tags: Option<Vec<String>>,
    /// This user teaches them.
    instructor_id: Option<ID>,
    /// Their code begins so, without regard to case.
    code_prefix: Option<String>,
    /// They start at this instant or later.
    starts_after: Option<DateTime<Utc>>,
    /// They start before this instant.
    starts_before: Option<DateTime<Utc>>,
    /// Whether a seat is free.
    has_seats: Option<bool>,
    /// Whether students may enroll now: published, within the window, and with seats, be they taken.
    enrollable_now: Option<bool>,
    /// They changed at this instant or later.
    updated_since: Option<DateTime<Utc>>,
}

impl CourseFilter {
    fn read(self) -> Result<courses::CourseFilter> {
        for (at, field) in [
            (&self.starts_after, "startsAfter"),
            (&self.starts_before, "startsBefore"),
            (&self.updated_since, "updatedSince"),
        ] {
            values::instant(at.as_ref(), field).map_err(|refusal| invalid(&refusal))?;
        }
        // Postgres takes no U+0000, and no course has it: what holds it fits nothing.
        let lawful = |text: &String| !text.contains('\0');
        let statuses = self.status.map(|statuses| {
            let name = |status: CourseStatus| Status::from(status).as_str();
            statuses.into_iter().map(name).collect()
        });
        let mut filter = courses::CourseFilter {
            statuses,
            tags: self.tags.map(|tags| tags.into_iter().filter(lawful).collect()),
            instructor: None,
            code_prefix: None,
            starts_after: self.starts_after,
            starts_before: self.starts_before,
            has_seats: self.has_seats,
            enrollable: self.enrollable_now.map(|wanted| (wanted, Utc::now())),
            updated_since: self.updated_since,
        };
        if let Some(id) = self.instructor_id {
            match UserId::parse(&id, "instructorId") {
                Ok(id) => filter.instructor = Some(id.to_string()),
                Err(_) => filter.statuses = Some(Vec::new()),
            }
        }
        match self.code_prefix {
            Some(prefix) if prefix.is_empty() => {}
            Some(prefix) if values::code(&prefix).is_ok() => filter.code_prefix = Some(prefix),
            Some(_) => filter.statuses = Some(Vec::new()),
            None => {}
        }
        Ok(filter)
    }
}

fn invalid(refusal: &Refusal) -> async_graphql::Error {
    failure(ErrorCode::ValidationFailed, refusal.to_string())
}

/// A course in a page.
#[derive(SimpleObject)]
pub(in crate::graphql) struct CourseEdge {
    /// The course.
    pub(super) node: Course,
    /// Its place in the list, for `after` and `before`.
    pub(super) cursor: String,
    /// How well it fits what was searched for; null in other lists.
    score: Option<f64>,
}

connection! {
    /// A page of courses.
    CourseConnection of CourseEdge with Course, counted by CourseTotal
}

/// What of a list is counted.
pub(in crate::graphql) enum CourseTotal {
    /// The whole list.
    List(Arc<CourseList>),
    /// What of it a user teaches.
    Taught(TaughtCountKey),
}

impl CourseTotal {
    async fn count(&self, ctx: &Context<'_>) -> Result<i64> {
        match self {
            Self::List(list) => {
                list.count(ctx.data::<PgPool>()?).await.map_err(|error| read_failed(&error))
            }
            Self::Taught(key) => Ok(load(ctx, key.clone()).await?.unwrap_or(0)),
        }
    }
}

/// The courses that the caller sees, filtered and sorted.
pub(in crate::graphql) fn course_list(
    ctx: &Context<'_>,
    filter: Option<CourseFilter>,
    order: Option<Vec<CourseOrder>>,
) -> Result<CourseList> {
    let order = order.unwrap_or_default();
    if order.len() > MAX_ORDERS {
        let message = format!("orderBy must hold at most {MAX_ORDERS} orders");
        return Err(failure(ErrorCode::ValidationFailed, message));
    }
    let mut order: Vec<_> = order
        .into_iter()
        .map(|order| (order.field.into(), order.direction == SortDirection::Desc))
        .collect();
    if order.is_empty() {
        order.push((CourseSort::CreatedAt, false));
    }
    let filter = filter.unwrap_or_default().read()?;
    Ok(CourseList { sight: sight(ctx)?, filter, text: None, order })
}

/// The courses that the caller sees and that fit a text, the best first.
pub(in crate::graphql) fn search_list(
    ctx: &Context<'_>,
    query: &str,
    filter: Option<CourseFilter>,
) -> Result<CourseList> {
    let text = query.replace('\0', " ");
    if text.trim().is_empty() || text.chars().count() > MAX_QUERY {
        let message = format!("query must be 1 to {MAX_QUERY} characters, not only white space");
        return Err(failure(ErrorCode::ValidationFailed, message));
    }
    let filter = filter.unwrap_or_default().read()?;
    let order = vec![(CourseSort::Relevance, true)];
    Ok(CourseList { sight: sight(ctx)?, filter, text: Some(text), order })
}

/// A page of a list; `what` it is tells its cursors from those of other lists.
pub(in crate::graphql) async fn page_of_courses(
    ctx: &Context<'_>,
    list: CourseList,
    what: &str,
    arguments: Arguments,
) -> Result<CourseConnection> {
    let name = list_name(&list, what);
    let asked = read_arguments(&list, arguments, &name)?;
    let found = list.page(ctx.data::<PgPool>()?, &page(&asked)).await;
    let (found, neighbours) = asked.cut(ctx, found.map_err(|error| read_failed(&error))?)?;
    let total = CourseTotal::List(Arc::new(list.clone()));
    Ok(connect(&list, found, neighbours, &name, total))
}

/// The courses that a user teaches and the caller sees: a page, read together with those of other users.
pub(in crate::graphql) async fn taught_page(
    ctx: &Context<'_>,
    instructor: &str,
    arguments: Arguments,
) -> Result<CourseConnection> {
    let list = Arc::new(course_list(ctx, None, None)?);
    let name = list_name(&list, &format!("taught by {instructor}"));
    let asked = read_arguments(&list, arguments, &name)?;
    let of = TaughtCountKey { instructor: instructor.to_owned(), list: list.clone() };
    let key = TaughtKey { of: of.clone(), page: page(&asked) };
    let (found, neighbours) = asked.cut(ctx, load(ctx, key).await?.unwrap_or_default())?;
    Ok(connect(&list, found, neighbours, &name, CourseTotal::Taught(of)))
}

fn page(asked: &Asked<Place>) -> Page {
    Page { limit: asked.limit(), backwards: asked.backwards, from: asked.from.clone() }
}

fn connect(
    list: &CourseList,
    found: Vec<Found>,
    neighbours: Neighbours,
    name: &str,
    total: CourseTotal,
) -> CourseConnection {
    let edge = |found: Found| CourseEdge {
        cursor: encode(name, &list.place(&found)),
        score: found.score.map(f64::from),
        node: Course::from_row(found.row),
    };
    CourseConnection { edges: found.into_iter().map(edge).collect(), neighbours, total }
}

/// Reads the arguments of a connection on this list.
fn read_arguments(list: &CourseList, arguments: Arguments, name: &str) -> Result<Asked<Place>> {
    let kinds: Vec<Kind> = list.order.iter().map(|(sort, _)| kind(*sort)).collect();
    arguments.read(|cursor| decode(name, &kinds, cursor))
}

/// The name that the cursors of this list bear: what it is, and its order.
fn list_name(list: &CourseList, what: &str) -> String {
    let mut name = what.to_owned();
    for (sort, descending) in &list.order {
        let direction = if *descending { " -" } else { " +" };
        name.push_str(direction);
        name.push_str(sort.as_str());
    }
    if let Some(text) = &list.text {
        // A score means something for this text only.
        let digest = Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes());
        name.push(' ');
        name.push_str(&digest.to_string());
    }
    name
}

fn kind(sort: CourseSort) -> Kind {
    match sort {
        CourseSort::CreatedAt | CourseSort::UpdatedAt => Kind::Time,
        CourseSort::StartsAt => Kind::OptionalTime,
        CourseSort::Title | CourseSort::Code => Kind::Text,
        CourseSort::EnrolledCount => Kind::Number,
        CourseSort::Relevance => Kind::Score,
    }
}

impl From<CourseOrderField> for CourseSort {
    fn from(field: CourseOrderField) -> Self {
        match field {
            CourseOrderField::CreatedAt => Self::CreatedAt,
            CourseOrderField::UpdatedAt => Self::UpdatedAt,
            CourseOrderField::Title => Self::Title,
            CourseOrderField::Code => Self::Code,
            CourseOrderField::StartsAt => Self::StartsAt,
            CourseOrderField::EnrolledCount => Self::EnrolledCount,
        }
    }
}

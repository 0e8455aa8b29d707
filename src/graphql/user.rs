//! Users, as far as this service knows them.

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject};

use super::connection::Arguments;
use super::course::{CourseConnection, taught_page};
use super::enrollment::{EnrollmentConnection, EnrollmentFilter, enrollments_of_student};
use crate::domain::UserId;

/// A user of the user management service.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct User {
    /// The id that the user management service gave them.
    pub(super) id: ID,
    /// Their role, where the caller may know it.
    #[graphql(shareable)]
    pub(super) role: Option<String>,
}

impl User {
    /// A user of whom only the id is known.
    pub(super) fn by_id(id: &str) -> Self {
        Self { id: id.into(), role: None }
    }
}

/// The courses that a user teaches and the caller sees.
pub(super) async fn courses_taught_by(
    ctx: &Context<'_>,
    id: &str,
    arguments: Arguments,
) -> Result<CourseConnection> {
    // Nobody has an id that breaks the rules.
    let id = UserId::parse(id, "instructorId").unwrap_or_default();
    taught_page(ctx, id.as_str(), arguments).await
}

#[ComplexObject]
impl User {
    /// Their enrollments that the caller sees, the oldest request first.
    async fn enrollments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the beginning: 0 to 100, by default 20.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Which of them.")] filter: Option<EnrollmentFilter>,
    ) -> Result<EnrollmentConnection> {
        let arguments = Arguments { first, after, last, before };
        enrollments_of_student(ctx, &self.id, filter, arguments).await
    }

    /// The courses that they teach and the caller sees, oldest first, without the deleted ones.
    async fn taught_courses(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the beginning: 0 to 100, by default 20.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<CourseConnection> {
        courses_taught_by(ctx, &self.id, Arguments { first, after, last, before }).await
    }
}

//! Users: our copies of what the user management service reports, and who sees what of them.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject};

use super::connection::Arguments;
use super::context::{caller, settle};
use super::course::{CourseConnection, taught_page};
use super::enrollment::{EnrollmentConnection, EnrollmentFilter, enrollments_of_student};
use super::loader::{StudentOfKey, UserKey, load};
use super::past::only_now;
use crate::domain::{Actor, Role, UserId};
use crate::event_store::Position;
use crate::projections::users::Profile;

/// A user of the user management service.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(super) struct User {
    /// The id that the user management service gave them.
    pub(super) id: ID,
    /// The role that their token gave them, where they are the caller.
    #[graphql(skip)]
    token_role: Option<&'static str>,
    #[graphql(skip)]
    way: Way,
    /// Whether it is of something as it stood at an instant: the user themself is as now.
    #[graphql(skip)]
    then: bool,
}

/// How the caller came to a user, which decides what they see of them.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// As one who teaches a course that the caller sees.
    Teacher,
    /// As the student of an enrollment that the caller sees.
    Student,
    /// By the id. What the caller sees is asked once the read models have seen the position.
    Id(Option<Position>),
}

impl User {
    fn reached(id: &str, way: Way) -> Self {
        Self { id: id.into(), token_role: None, way, then: false }
    }

    /// The same of something as it stood at an instant.
    pub(super) fn then(self) -> Self {
        Self { then: true, ..self }
    }

    /// Refuses a field that has no past where the user is of the past.
    fn check_now(&self, field: &str) -> Result<()> {
        if self.then { Err(only_now(field)) } else { Ok(()) }
    }

    /// One of whom only the id is known.
    pub(super) fn by_id(id: &str) -> Self {
        Self::reached(id, Way::Id(None))
    }

    /// As by their id, once the read models have seen this position.
    pub(super) fn since(id: &str, position: Position) -> Self {
        Self::reached(id, Way::Id(Some(position)))
    }

    /// One who teaches a course that the caller sees.
    pub(super) fn teacher(id: &str) -> Self {
        Self::reached(id, Way::Teacher)
    }

    /// The student of an enrollment that the caller sees.
    pub(super) fn student(id: &str) -> Self {
        Self::reached(id, Way::Student)
    }

    /// The caller.
    pub(super) fn viewer(actor: &Actor) -> Self {
        let token_role = (actor.role != Role::Other).then(|| actor.role.as_str());
        Self { token_role, ..Self::by_id(actor.id.as_str()) }
    }

    /// Whether the caller may know what is personal: the user themself, admins, and instructors of a course in which the
    /// user has an enrollment.
    async fn shows_profile(&self, ctx: &Context<'_>) -> Result<bool> {
        let Some(actor) = caller(ctx)? else { return Ok(false) };
        if actor.admin() || actor.id.as_str() == self.id.as_str() {
            return Ok(true);
        }
        if actor.role != Role::Instructor {
            return Ok(false);
        }
        match self.way {
            Way::Teacher => Ok(false),
            // Of others they see only the enrollments in courses that they teach.
            Way::Student => Ok(true),
            Way::Id(since) => {
                if let Some(position) = since {
                    settle(ctx, position).await?;
                }
                let Ok(student) = UserId::parse(&self.id, "id") else { return Ok(false) };
                let (teacher, student) = (actor.id.clone(), student.to_string());
                Ok(load(ctx, StudentOfKey { teacher, student }).await?.is_some())
            }
        }
    }

    /// What is known of the user, where the caller may know it and something is.
    async fn profile(&self, ctx: &Context<'_>) -> Result<Option<Arc<Profile>>> {
        if !self.shows_profile(ctx).await? {
            return Ok(None);
        }
        self.known(ctx).await
    }

    async fn known(&self, ctx: &Context<'_>) -> Result<Option<Arc<Profile>>> {
        // A gateway may refer to anything. Nobody has an id that breaks the rules.
        if UserId::parse(&self.id, "id").is_err() {
            return Ok(None);
        }
        load(ctx, UserKey(self.id.to_string())).await
    }
}

/// The user with this id, where the caller may know who that is.
pub(super) async fn visible_student(ctx: &Context<'_>, id: &str) -> Result<Option<User>> {
    let Ok(id) = UserId::parse(id, "id") else { return Ok(None) };
    let user = User::by_id(id.as_str());
    let shown = user.shows_profile(ctx).await?;
    // It is not asked again.
    Ok(shown.then_some(User { way: Way::Student, ..user }))
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
    /// What they are called. Everybody sees it of who teaches a course that they see; of others only admins, the user
    /// themself, and instructors of a course in which the user has an enrollment. Null where nothing was reported.
    #[graphql(shareable)]
    async fn display_name(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        let profile = match self.way {
            Way::Teacher => self.known(ctx).await?,
            Way::Student | Way::Id(_) => self.profile(ctx).await?,
        };
        Ok(profile.and_then(|user| user.display_name.as_ref().map(|name| name.0.clone())))
    }

    /// Their e-mail address, for admins, the user themself, and instructors of a course in which the user has an
    /// enrollment. Null where nothing was reported.
    #[graphql(shareable)]
    async fn email(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        let profile = self.profile(ctx).await?;
        Ok(profile.and_then(|user| user.email.as_ref().map(|address| address.0.clone())))
    }

    /// Their role, for those who see their e-mail address: of the caller that of the token, of others as it was reported.
    #[graphql(shareable)]
    async fn role(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        if let Some(role) = self.token_role {
            return Ok(Some(role.to_owned()));
        }
        Ok(self.profile(ctx).await?.and_then(|user| user.role.clone()))
    }

    /// Whether they may act, for those who see their e-mail address; true for others, and where nothing was reported.
    #[graphql(shareable)]
    async fn active(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(self.profile(ctx).await?.is_none_or(|user| user.active))
    }

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
        self.check_now("enrollments")?;
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
        self.check_now("taughtCourses")?;
        courses_taught_by(ctx, &self.id, Arguments { first, after, last, before }).await
    }
}

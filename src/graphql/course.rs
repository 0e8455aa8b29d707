//! Courses.

mod list;
mod permissions;

use std::borrow::Cow;
use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use chrono::{DateTime, Utc};

pub(super) use self::list::{
    CourseConnection, CourseFilter, CourseOrder, course_list, page_of_courses, search_list,
    taught_page,
};
use self::permissions::CoursePermissions;
use super::assessment::{Assessment, assessments_of};
use super::connection::Arguments;
use super::context::{caller, count_entries, recorded_at, settle, sight};
use super::enrollment::{
    Enrollment, EnrollmentConnection, EnrollmentFilter, enrollments_of_course, visible_enrollment,
};
use super::error::{ErrorCode, failure, internal};
use super::history::{DomainEventConnection, history_page};
use super::loader::{CourseKey, load};
use super::module::{ModuleConnection, page_of_modules, page_of_past_modules};
use super::past::{self, Past};
use super::user::User;
use crate::domain::course::CourseStatus as Status;
use crate::domain::{
    Course as State, CourseId, EnrollmentId, Role, Seats as SeatsState, StreamType,
};
use crate::event_store::{Position, StreamId};
use crate::projections::courses::CourseRow;

/// Where a course stands in its lifecycle.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum CourseStatus {
    /// Only its instructors see it.
    Draft,
    /// Everybody sees it, students enroll.
    Published,
    /// Concluded: its instructors see it, nobody enrolls.
    Archived,
    /// Gone for ever.
    Deleted,
}

impl From<CourseStatus> for Status {
    fn from(status: CourseStatus) -> Self {
        match status {
            CourseStatus::Draft => Self::Draft,
            CourseStatus::Published => Self::Published,
            CourseStatus::Archived => Self::Archived,
            CourseStatus::Deleted => Self::Deleted,
        }
    }
}

/// A range of time: from the first instant up to, and without, the second.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct DateRange {
    /// The first instant.
    starts_at: Option<DateTime<Utc>>,
    /// The instant after the last.
    ends_at: Option<DateTime<Utc>>,
}

impl DateRange {
    fn of(starts_at: Option<DateTime<Utc>>, ends_at: Option<DateTime<Utc>>) -> Option<Self> {
        (starts_at.is_some() || ends_at.is_some()).then_some(Self { starts_at, ends_at })
    }
}

/// The seats of a course.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct Seats {
    /// How many there are; null is unlimited, 0 is closed.
    capacity: Option<i32>,
    /// How many are taken.
    taken: i32,
    /// How many are free; null is unlimited.
    available: Option<i32>,
    /// How many students wait for one.
    waitlisted: i32,
}

impl Seats {
    fn of(capacity: Option<i32>, taken: i32, waitlisted: i32) -> Self {
        let available = capacity.map(|capacity| (capacity - taken).max(0));
        Self { capacity, taken, available, waitlisted }
    }

    fn then(capacity: Option<i32>, seats: &SeatsState) -> Self {
        let waitlisted = i32::try_from(seats.waitlist.len()).unwrap_or(i32::MAX);
        Self::of(capacity, i32::try_from(seats.taken).unwrap_or(i32::MAX), waitlisted)
    }
}

/// A course.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(super) struct Course {
    /// The same id in GraphQL, on Kafka and in the log.
    pub(super) id: ID,
    /// Unique among courses that are not deleted, without regard to case.
    code: String,
    /// 1 to 255 characters.
    title: String,
    /// At most 16 KiB.
    description: Option<String>,
    /// Where it stands.
    status: CourseStatus,
    /// The number of changes so far, for `expectedVersion`.
    version: i64,
    /// When it takes place.
    dates: Option<DateRange>,
    /// When students may enroll.
    enrollment_window: Option<DateRange>,
    /// At most 50.
    tags: Vec<String>,
    /// Percent, 0 to 100.
    passing_score: Option<f64>,
    #[graphql(skip)]
    instructor_ids: Vec<String>,
    #[graphql(skip)]
    source: Source,
}

/// Where a course comes from, and what is known with it.
#[derive(Debug, Clone)]
enum Source {
    /// The read model.
    Row { seats: Seats, created_at: DateTime<Utc>, updated_at: DateTime<Utc> },
    /// The log, as it was at an instant.
    Past { past: Arc<Past>, created_at: DateTime<Utc>, updated_at: DateTime<Utc> },
    /// Just committed: the log knows, and what else is read waits for this position.
    Committed { position: Position, version: u64 },
}

impl Course {
    /// A course from the read model.
    pub(super) fn from_row(row: CourseRow) -> Self {
        let status = match row.status.as_str() {
            "PUBLISHED" => CourseStatus::Published,
            "ARCHIVED" => CourseStatus::Archived,
            "DELETED" => CourseStatus::Deleted,
            _ => CourseStatus::Draft,
        };
        Self {
            id: row.course_id.into(),
            code: row.code,
            title: row.title,
            description: row.description,
            status,
            version: row.version,
            dates: DateRange::of(row.starts_at, row.ends_at),
            enrollment_window: DateRange::of(row.enrollment_opens_at, row.enrollment_closes_at),
            tags: row.tags,
            passing_score: row.passing_score,
            instructor_ids: row.instructor_ids,
            source: Source::Row {
                seats: Seats::of(row.capacity, row.taken, row.waitlisted),
                created_at: row.created_at,
                updated_at: row.updated_at,
            },
        }
    }

    /// A course as it stood in the past, which whoever reads it manages now.
    pub(super) async fn from_past(ctx: &Context<'_>, past: &Arc<Past>) -> Result<Option<Self>> {
        let Some(content) = past.find(ctx).await? else { return Ok(None) };
        let CourseRow { created_at, updated_at, .. } = content.course;
        let source = Source::Past { past: past.clone(), created_at, updated_at };
        Ok(Some(Self { source, ..Self::from_row(content.course.clone()) }))
    }

    /// The course of something that was there at that instant.
    pub(super) async fn of_past(ctx: &Context<'_>, past: &Arc<Past>) -> Result<Self> {
        let gone = || failure(ErrorCode::NotFound, "no such course at that time");
        Self::from_past(ctx, past).await?.ok_or_else(gone)
    }

    /// Refuses a field that has no past where the course is of the past.
    fn check_now(&self, field: &str) -> Result<()> {
        match self.source {
            Source::Past { .. } => Err(past::only_now(field)),
            Source::Row { .. } | Source::Committed { .. } => Ok(()),
        }
    }

    /// A course as a command has just left it.
    pub(super) fn committed(state: &State, position: Position) -> Self {
        let status = match state.status {
            Status::Published => CourseStatus::Published,
            Status::Archived => CourseStatus::Archived,
            Status::Deleted => CourseStatus::Deleted,
            Status::Draft | Status::Missing => CourseStatus::Draft,
        };
        Self {
            id: state.id.as_str().into(),
            code: state.code.clone(),
            title: state.title.clone(),
            description: state.description.clone(),
            status,
            version: i64::try_from(state.version).unwrap_or(i64::MAX),
            dates: DateRange::of(state.starts_at, state.ends_at),
            enrollment_window: DateRange::of(state.enrollment_opens_at, state.enrollment_closes_at),
            tags: state.tags.clone(),
            passing_score: state.passing_score,
            instructor_ids: state.instructor_ids.iter().map(ToString::to_string).collect(),
            source: Source::Committed { position, version: state.version },
        }
    }

    /// The course as the read model has it. Of one that a command has just left: once the read models show it, and only to
    /// who may still see it, because one who repeats a command may have lost that since.
    async fn current(&self, ctx: &Context<'_>) -> Result<Cow<'_, Self>> {
        let Source::Committed { position, .. } = self.source else {
            return Ok(Cow::Borrowed(self));
        };
        settle(ctx, position).await?;
        Ok(Cow::Owned(shown_course(ctx, &self.id).await?))
    }

    async fn recorded_at(&self, ctx: &Context<'_>, sequence: u64) -> Result<DateTime<Utc>> {
        let stream = StreamId::new(StreamType::Course, &self.id);
        recorded_at(ctx, &stream, sequence).await
    }

    /// Whether the caller teaches this course or may do everything.
    pub(super) fn managed_by_caller(&self, ctx: &Context<'_>) -> Result<bool> {
        if let Source::Past { .. } = self.source {
            return Ok(true); // by who teaches it now
        }
        Ok(caller(ctx)?.is_some_and(|actor| {
            let teaches = self.instructor_ids.iter().any(|id| id == actor.id.as_str());
            actor.admin() || (actor.role == Role::Instructor && teaches)
        }))
    }
}

/// The course with this id, where the caller may see it.
pub(super) async fn visible_course(ctx: &Context<'_>, id: &str) -> Result<Option<Course>> {
    if CourseId::parse(id, "id").is_err() {
        return Ok(None);
    }
    let row = load(ctx, CourseKey(id.to_owned())).await?;
    let sight = sight(ctx)?;
    Ok(row.filter(|row| sight.sees(row)).map(Course::from_row))
}

/// The course with this id as it stood at an instant. Null where the caller does not see it now, and before it was
/// created.
pub(super) async fn past_course(
    ctx: &Context<'_>,
    id: &str,
    as_of: DateTime<Utc>,
) -> Result<Option<Course>> {
    let Some(now) = visible_course(ctx, id).await? else { return Ok(None) };
    if !now.managed_by_caller(ctx)? {
        return Err(past::forbidden());
    }
    let at = past::instant(ctx, as_of).await?;
    let id = CourseId::parse(id, "id").map_err(|error| internal(&error))?;
    Course::from_past(ctx, &Past::of(id, at)).await
}

/// The course with this id; an error where the caller may not see it.
pub(super) async fn shown_course(ctx: &Context<'_>, id: &str) -> Result<Course> {
    let course = visible_course(ctx, id).await?;
    course.ok_or_else(|| failure(ErrorCode::NotFound, "no such course"))
}

/// The course of something that the caller sees, whether they would find the course by itself or not.
pub(super) async fn existing_course(ctx: &Context<'_>, id: &str) -> Result<Course> {
    let row = load(ctx, CourseKey(id.to_owned())).await?;
    row.map(Course::from_row).ok_or_else(not_there)
}

fn not_there() -> async_graphql::Error {
    failure(ErrorCode::ProjectionLagging, "the course is not there yet")
}

#[ComplexObject]
impl Course {
    /// How many seats there are and who wants them.
    async fn seats(&self, ctx: &Context<'_>) -> Result<Seats> {
        match &self.current(ctx).await?.source {
            Source::Row { seats, .. } => Ok(seats.clone()),
            Source::Past { past, .. } => {
                let content = past.content(ctx).await?;
                Ok(Seats::then(content.course.capacity, past.seats(ctx).await?))
            }
            Source::Committed { .. } => Err(not_there()),
        }
    }

    /// Who teaches it; never empty.
    #[expect(clippy::unused_async, reason = "async-graphql takes asynchronous resolvers only")]
    async fn instructors(&self, ctx: &Context<'_>) -> Result<Vec<User>> {
        count_entries(ctx, self.instructor_ids.len())?;
        let now = self.check_now("").is_ok();
        let user = |id: &String| {
            let user = User::teacher(id);
            if now { user } else { user.then() }
        };
        Ok(self.instructor_ids.iter().map(user).collect())
    }

    /// Its modules in order.
    async fn modules(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the beginning: 0 to 100, by default 20.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(
            default = false,
            desc = "Also those that are not published, and items that are not; only for its instructors and admins."
        )]
        include_unpublished: bool,
    ) -> Result<ModuleConnection> {
        let arguments = Arguments { first, after, last, before };
        let course = self.current(ctx).await?;
        let all = include_unpublished && course.managed_by_caller(ctx)?;
        if let Source::Past { past, .. } = &course.source {
            return page_of_past_modules(ctx, &self.id, past, all, arguments).await;
        }
        page_of_modules(ctx, &self.id, all, arguments).await
    }

    /// Its assessments, as far as the assessment service has reported them: what is due first comes first.
    async fn assessments(&self, ctx: &Context<'_>) -> Result<Vec<Assessment>> {
        let assessments = match &self.current(ctx).await?.source {
            Source::Past { past, .. } => past.assessments(ctx).await?,
            Source::Row { .. } | Source::Committed { .. } => assessments_of(ctx, &self.id).await?,
        };
        count_entries(ctx, assessments.len())?;
        Ok(assessments.iter().map(Assessment::from_row).collect())
    }

    /// Its enrollments, the oldest request first: all for its instructors and admins, for others their own.
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
        let all = self.current(ctx).await?.managed_by_caller(ctx)?;
        enrollments_of_course(ctx, &self.id, all, filter, arguments).await
    }

    /// The caller's own enrollment, where there is one.
    async fn viewer_enrollment(&self, ctx: &Context<'_>) -> Result<Option<Enrollment>> {
        self.check_now("viewerEnrollment")?;
        let Some(actor) = caller(ctx)? else { return Ok(None) };
        self.current(ctx).await?;
        match CourseId::parse(&self.id, "id") {
            Ok(course) => visible_enrollment(ctx, &EnrollmentId::of(&course, &actor.id)).await,
            Err(_) => Ok(None),
        }
    }

    /// What the caller may do with it now, by the rules that the mutations follow.
    async fn viewer_can(&self, ctx: &Context<'_>) -> Result<CoursePermissions> {
        self.check_now("viewerCan")?;
        let course = self.current(ctx).await?;
        let Source::Row { seats, .. } = &course.source else { return Err(not_there()) };
        permissions::of_caller(ctx, &course, seats).await
    }

    /// What happened to it, the oldest first: as many events as `version` says. FORBIDDEN for all but its instructors and
    /// admins.
    async fn history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the beginning: 0 to 100, by default 20.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Option<DomainEventConnection>> {
        self.check_now("history")?;
        let arguments = Arguments { first, after, last, before };
        if !self.current(ctx).await?.managed_by_caller(ctx)? {
            return Err(past::forbidden());
        }
        let stream = StreamId::new(StreamType::Course, &self.id);
        history_page(ctx, stream, self.version, arguments).await.map(Some)
    }

    /// When it was created.
    async fn created_at(&self, ctx: &Context<'_>) -> Result<DateTime<Utc>> {
        match self.source {
            Source::Row { created_at, .. } | Source::Past { created_at, .. } => Ok(created_at),
            Source::Committed { .. } => self.recorded_at(ctx, 1).await,
        }
    }

    /// When it last changed.
    async fn updated_at(&self, ctx: &Context<'_>) -> Result<DateTime<Utc>> {
        match self.source {
            Source::Row { updated_at, .. } | Source::Past { updated_at, .. } => Ok(updated_at),
            Source::Committed { version, .. } => self.recorded_at(ctx, version).await,
        }
    }
}

//! Courses.

use async_graphql::connection::{Connection, Edge, EmptyFields};
use async_graphql::dataloader::DataLoader;
use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use chrono::{DateTime, Utc};

use super::context::{caller, recorded_at, settle, sight};
use super::cursor::{IndexCursor, after, page_size};
use super::enrollment::{Enrollment, visible_enrollment};
use super::error::{ErrorCode, failure, read_failed};
use super::loader::{CourseKey, ModulesKey, ReadModels, SeatsKey};
use super::module::{Module, visible};
use super::user::User;
use crate::domain::course::CourseStatus as Status;
use crate::domain::{Course as State, CourseId, EnrollmentId, Role, StreamType};
use crate::event_store::{Position, StreamId};
use crate::projections::courses::CourseRow;
use crate::projections::seats::SeatsRow;

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

impl From<SeatsRow> for Seats {
    fn from(row: SeatsRow) -> Self {
        Self {
            capacity: row.capacity,
            taken: row.taken,
            available: row.capacity.map(|capacity| (capacity - row.taken).max(0)),
            waitlisted: row.waitlisted,
        }
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
    times: Times,
}

/// When a course was created and changed.
#[derive(Debug, Clone)]
enum Times {
    /// As the read model has it.
    Known { created_at: DateTime<Utc>, updated_at: DateTime<Utc> },
    /// Just committed: the log knows, and what else is read waits for this position.
    Committed { position: Position, version: u64 },
}

impl Course {
    /// A course from the read model. `None` for one that does not exist (any more than its row).
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
            times: Times::Known { created_at: row.created_at, updated_at: row.updated_at },
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
            times: Times::Committed { position, version: state.version },
        }
    }

    /// Waits until the read models show what a command has just done.
    async fn settled(&self, ctx: &Context<'_>) -> Result<()> {
        match self.times {
            Times::Known { .. } => Ok(()),
            Times::Committed { position, .. } => settle(ctx, position).await,
        }
    }

    async fn recorded_at(&self, ctx: &Context<'_>, sequence: u64) -> Result<DateTime<Utc>> {
        let stream = StreamId::new(StreamType::Course, &self.id);
        recorded_at(ctx, &stream, sequence).await
    }

    /// Whether the caller teaches this course or may do everything.
    pub(super) fn managed_by_caller(&self, ctx: &Context<'_>) -> Result<bool> {
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
    let loader = ctx.data::<DataLoader<ReadModels>>()?;
    let row = loader.load_one(CourseKey(id.to_owned())).await.map_err(|e| read_failed(&e))?;
    let sight = sight(ctx)?;
    Ok(row.filter(|row| sight.sees(row)).map(Course::from_row))
}

#[ComplexObject]
impl Course {
    /// How many seats there are and who wants them.
    async fn seats(&self, ctx: &Context<'_>) -> Result<Seats> {
        self.settled(ctx).await?;
        let loader = ctx.data::<DataLoader<ReadModels>>()?;
        let row = loader.load_one(SeatsKey(self.id.to_string())).await;
        let row = row.map_err(|error| read_failed(&error))?;
        row.map(Seats::from)
            .ok_or_else(|| failure(ErrorCode::ProjectionLagging, "the seats are not there yet"))
    }

    /// Who teaches it; never empty.
    async fn instructors(&self) -> Vec<User> {
        self.instructor_ids.iter().map(|id| User::by_id(id)).collect()
    }

    /// Its modules in order: for its instructors all, for others those that are published.
    async fn modules(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many: 0 to 100, by default 20")] first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor")] after: Option<String>,
    ) -> Result<Connection<IndexCursor, Module, EmptyFields>> {
        let size = page_size(first)?;
        let from = self::after::<IndexCursor>(after.as_deref())?.map_or(-1, |cursor| cursor.0);
        self.settled(ctx).await?;
        let loader = ctx.data::<DataLoader<ReadModels>>()?;
        let rows = loader.load_one(ModulesKey(self.id.to_string())).await;
        let rows = rows.map_err(|error| read_failed(&error))?.unwrap_or_default();
        let all = self.managed_by_caller(ctx)?;
        let mut rows = rows.into_iter().filter(|row| row.position > from && (all || visible(row)));
        let page: Vec<_> = rows.by_ref().take(size).collect();
        let mut connection = Connection::new(from >= 0, rows.next().is_some());
        connection.edges = page
            .into_iter()
            .map(|row| Edge::new(IndexCursor(row.position), Module::from_row(row)))
            .collect();
        Ok(connection)
    }

    /// The caller's own enrollment, where there is one.
    async fn viewer_enrollment(&self, ctx: &Context<'_>) -> Result<Option<Enrollment>> {
        let Some(actor) = caller(ctx)? else { return Ok(None) };
        self.settled(ctx).await?;
        match CourseId::parse(&self.id, "id") {
            Ok(course) => visible_enrollment(ctx, &EnrollmentId::of(&course, &actor.id)).await,
            Err(_) => Ok(None),
        }
    }

    /// When it was created.
    async fn created_at(&self, ctx: &Context<'_>) -> Result<DateTime<Utc>> {
        match self.times {
            Times::Known { created_at, .. } => Ok(created_at),
            Times::Committed { .. } => self.recorded_at(ctx, 1).await,
        }
    }

    /// When it last changed.
    async fn updated_at(&self, ctx: &Context<'_>) -> Result<DateTime<Utc>> {
        match self.times {
            Times::Known { updated_at, .. } => Ok(updated_at),
            Times::Committed { version, .. } => self.recorded_at(ctx, version).await,
        }
    }
}

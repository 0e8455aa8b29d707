//! Enrollments.

use async_graphql::dataloader::DataLoader;
use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use chrono::{DateTime, Utc};

use super::context::{caller, recorded_at, settle};
use super::course::Course;
use super::error::{ErrorCode, failure, read_failed};
use super::loader::{CourseKey, EnrollmentKey, ReadModels, WaitlistKey};
use super::user::User;
use crate::domain::enrollment::EnrollmentStatus as Status;
use crate::domain::{Enrollment as State, EnrollmentId, Role, StreamType};
use crate::event_store::{Position, StreamId};
use crate::projections::enrollments::EnrollmentRow;

/// Where an enrollment stands.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum EnrollmentStatus {
    /// The student waits for a seat.
    Waitlisted,
    /// The student has a seat.
    Active,
    /// The student left.
    Withdrawn,
}

/// A student's membership of a course. There is one per student and course, for ever.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(super) struct Enrollment {
    /// The same id in GraphQL, on Kafka and in the log.
    pub(super) id: ID,
    /// Where it stands.
    status: EnrollmentStatus,
    /// The number of changes so far.
    version: i64,
    #[graphql(skip)]
    course_id: String,
    #[graphql(skip)]
    student_id: String,
    #[graphql(skip)]
    times: Times,
}

#[derive(Debug, Clone)]
enum Times {
    Known {
        requested_at: DateTime<Utc>,
        enrolled_at: Option<DateTime<Utc>>,
        withdrawn_at: Option<DateTime<Utc>>,
    },
    Committed {
        position: Position,
        requested_in: u64,
        enrolled_in: Option<u64>,
        withdrawn_in: Option<u64>,
    },
}

impl Enrollment {
    /// An enrollment from the read model.
    pub(super) fn from_row(row: EnrollmentRow) -> Self {
        let status = match row.status.as_str() {
            "ACTIVE" => EnrollmentStatus::Active,
            "WAITLISTED" => EnrollmentStatus::Waitlisted,
            _ => EnrollmentStatus::Withdrawn,
        };
        Self {
            id: row.enrollment_id.into(),
            status,
            version: row.version,
            course_id: row.course_id,
            student_id: row.student_id,
            times: Times::Known {
                requested_at: row.requested_at,
                enrolled_at: row.enrolled_at,
                withdrawn_at: row.withdrawn_at,
            },
        }
    }

    /// An enrollment as a command has just left it.
    pub(super) fn committed(state: &State, position: Position) -> Self {
        let status = match state.status {
            Status::Active => EnrollmentStatus::Active,
            Status::Waitlisted => EnrollmentStatus::Waitlisted,
            Status::Withdrawn | Status::Missing => EnrollmentStatus::Withdrawn,
        };
        Self {
            id: EnrollmentId::of(&state.course_id, &state.student_id).as_str().into(),
            status,
            version: i64::try_from(state.version).unwrap_or(i64::MAX),
            course_id: state.course_id.to_string(),
            student_id: state.student_id.to_string(),
            times: Times::Committed {
                position,
                requested_in: state.requested_in,
                enrolled_in: state.enrolled_in,
                withdrawn_in: state.withdrawn_in,
            },
        }
    }

    async fn settled(&self, ctx: &Context<'_>) -> Result<()> {
        match self.times {
            Times::Known { .. } => Ok(()),
            Times::Committed { position, .. } => settle(ctx, position).await,
        }
    }

    async fn recorded_at(&self, ctx: &Context<'_>, sequence: u64) -> Result<DateTime<Utc>> {
        recorded_at(ctx, &StreamId::new(StreamType::Enrollment, &self.id), sequence).await
    }
}

/// The enrollment with this id, where the caller may see it: the student, an instructor of the course, an admin.
pub(super) async fn visible_enrollment(
    ctx: &Context<'_>,
    id: &EnrollmentId,
) -> Result<Option<Enrollment>> {
    // Another role reads what is public, and no enrollment is.
    let Some(actor) = caller(ctx)?.filter(|actor| actor.role != Role::Other) else {
        return Ok(None);
    };
    let loader = ctx.data::<DataLoader<ReadModels>>()?;
    let row = loader.load_one(EnrollmentKey(id.to_string())).await;
    let Some(row) = row.map_err(|error| read_failed(&error))? else { return Ok(None) };
    let mut sees = actor.admin() || row.student_id == actor.id.as_str();
    if !sees && actor.role == Role::Instructor {
        let course = loader.load_one(CourseKey(row.course_id.clone())).await;
        let course = course.map_err(|error| read_failed(&error))?;
        sees = course.is_some_and(|c| c.instructor_ids.iter().any(|id| id == actor.id.as_str()));
    }
    Ok(sees.then(|| Enrollment::from_row(row)))
}

#[ComplexObject]
impl Enrollment {
    /// The course. Whoever sees the enrollment sees it, also when it is no longer public.
    async fn course(&self, ctx: &Context<'_>) -> Result<Course> {
        self.settled(ctx).await?;
        let loader = ctx.data::<DataLoader<ReadModels>>()?;
        let row = loader.load_one(CourseKey(self.course_id.clone())).await;
        row.map_err(|error| read_failed(&error))?
            .map(Course::from_row)
            .ok_or_else(|| failure(ErrorCode::ProjectionLagging, "the course is not there yet"))
    }

    /// The student.
    async fn student(&self) -> User {
        User::by_id(&self.student_id)
    }

    /// The student's place in the waitlist, the next to get a seat being 1; null for one who does not wait.
    async fn waitlist_position(&self, ctx: &Context<'_>) -> Result<Option<i64>> {
        if self.status != EnrollmentStatus::Waitlisted {
            return Ok(None);
        }
        self.settled(ctx).await?;
        let loader = ctx.data::<DataLoader<ReadModels>>()?;
        let place = loader.load_one(WaitlistKey(self.id.to_string())).await;
        place.map_err(|error| read_failed(&error))
    }

    /// When the student asked for the seat.
    async fn requested_at(&self, ctx: &Context<'_>) -> Result<DateTime<Utc>> {
        match self.times {
            Times::Known { requested_at, .. } => Ok(requested_at),
            Times::Committed { requested_in, .. } => self.recorded_at(ctx, requested_in).await,
        }
    }

    /// When the student got the seat.
    async fn enrolled_at(&self, ctx: &Context<'_>) -> Result<Option<DateTime<Utc>>> {
        match self.times {
            Times::Known { enrolled_at, .. } => Ok(enrolled_at),
            Times::Committed { enrolled_in: Some(sequence), .. } => {
                self.recorded_at(ctx, sequence).await.map(Some)
            }
            Times::Committed { .. } => Ok(None),
        }
    }

    /// When the student left.
    async fn withdrawn_at(&self, ctx: &Context<'_>) -> Result<Option<DateTime<Utc>>> {
        match self.times {
            Times::Known { withdrawn_at, .. } => Ok(withdrawn_at),
            Times::Committed { withdrawn_in: Some(sequence), .. } => {
                self.recorded_at(ctx, sequence).await.map(Some)
            }
            Times::Committed { .. } => Ok(None),
        }
    }
}

//! Enrollments.

mod list;
mod results;

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

pub(super) use self::list::{
    EnrollmentConnection, EnrollmentFilter, enrollments_of_course, enrollments_of_student,
    page_of_enrollments,
};
pub(super) use self::results::AssessmentResult;
use super::assessment::assessments_of;
use super::connection::Arguments;
use super::context::{caller, count_entries, recorded_at, settle};
use super::course::{Course, existing_course, shown_course};
use super::error::internal;
use super::history::{DomainEventConnection, history_page};
use super::loader::{CourseKey, EnrollmentKey, RequiredKey, WaitlistKey, load};
use super::past::{self, Past};
use super::user::User;
use crate::domain::enrollment::EnrollmentStatus as Status;
use crate::domain::{Actor, CourseId, Enrollment as State, EnrollmentId, Role, StreamType};
use crate::event_store::{Position, StreamId};
use crate::projections::assessments::AssessmentRow;
use crate::projections::enrollments::{EnrollmentRow, Results};
use crate::projections::past::enrollment as enrollments_past;

/// Where an enrollment stands.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum EnrollmentStatus {
    /// The student waits for a seat.
    Waitlisted,
    /// The student has a seat.
    Active,
    /// The student left.
    Withdrawn,
    /// The student did what the course requires. The seat stays theirs; this is final.
    Completed,
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
    /// The items that the student is done with.
    #[graphql(skip)]
    completed: Vec<String>,
    #[graphql(skip)]
    results: Results,
    #[graphql(skip)]
    times: Times,
    /// Of a course as it stood at an instant.
    #[graphql(skip)]
    past: Option<Arc<Past>>,
}

impl From<EnrollmentStatus> for Status {
    fn from(status: EnrollmentStatus) -> Self {
        match status {
            EnrollmentStatus::Waitlisted => Self::Waitlisted,
            EnrollmentStatus::Active => Self::Active,
            EnrollmentStatus::Withdrawn => Self::Withdrawn,
            EnrollmentStatus::Completed => Self::Completed,
        }
    }
}

/// How far a student is. What counts is what the course requires now: its published required items, in published modules.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct Progress {
    /// How many items are required.
    required_items: usize,
    /// How many of these the student is done with.
    completed_items: usize,
    /// How much that is, 0 to 100; 100 where nothing is required.
    percent: f64,
    /// When the student completed an item or submitted an assessment last.
    last_activity_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
enum Times {
    Known {
        requested_at: DateTime<Utc>,
        enrolled_at: Option<DateTime<Utc>>,
        withdrawn_at: Option<DateTime<Utc>>,
        completed_at: Option<DateTime<Utc>>,
        item_completed_at: Option<DateTime<Utc>>,
    },
    Committed {
        position: Position,
        requested_in: u64,
        enrolled_in: Option<u64>,
        withdrawn_in: Option<u64>,
        completed_in: Option<u64>,
        active_in: Option<u64>,
    },
}

impl Enrollment {
    /// An enrollment from the read model.
    pub(super) fn from_row(row: EnrollmentRow) -> Self {
        let status = match row.status.as_str() {
            "ACTIVE" => EnrollmentStatus::Active,
            "WAITLISTED" => EnrollmentStatus::Waitlisted,
            "COMPLETED" => EnrollmentStatus::Completed,
            _ => EnrollmentStatus::Withdrawn,
        };
        Self {
            id: row.enrollment_id.into(),
            status,
            version: row.version,
            course_id: row.course_id,
            student_id: row.student_id,
            completed: row.completed,
            results: row.results.0,
            times: Times::Known {
                requested_at: row.requested_at,
                enrolled_at: row.enrolled_at,
                withdrawn_at: row.withdrawn_at,
                completed_at: row.completed_at,
                item_completed_at: row.item_completed_at,
            },
            past: None,
        }
    }

    /// An enrollment as it stood at an instant, in its course at that instant, which whoever reads it manages now.
    pub(super) fn from_past(row: EnrollmentRow, past: Arc<Past>) -> Self {
        Self { past: Some(past), ..Self::from_row(row) }
    }

    /// An enrollment as a command has just left it.
    pub(super) fn committed(state: &State, position: Position) -> Self {
        let status = match state.status {
            Status::Active => EnrollmentStatus::Active,
            Status::Waitlisted => EnrollmentStatus::Waitlisted,
            Status::Completed => EnrollmentStatus::Completed,
            Status::Withdrawn | Status::Missing => EnrollmentStatus::Withdrawn,
        };
        Self {
            id: EnrollmentId::of(&state.course_id, &state.student_id).as_str().into(),
            status,
            version: i64::try_from(state.version).unwrap_or(i64::MAX),
            course_id: state.course_id.to_string(),
            student_id: state.student_id.to_string(),
            completed: state.completed.iter().map(ToString::to_string).collect(),
            results: Results::from(&state.results),
            times: Times::Committed {
                position,
                requested_in: state.requested_in,
                enrolled_in: state.enrolled_in,
                withdrawn_in: state.withdrawn_in,
                completed_in: state.completed_in,
                active_in: state.active_in,
            },
            past: None,
        }
    }

    /// Refuses who may not see what happened to it: all but instructors of the course and admins.
    async fn check_manager(&self, ctx: &Context<'_>) -> Result<()> {
        let manages = match caller(ctx)? {
            Some(actor) => manages(ctx, actor, &self.course_id).await?,
            None => false,
        };
        if manages { Ok(()) } else { Err(past::forbidden()) }
    }

    async fn settled(&self, ctx: &Context<'_>) -> Result<()> {
        match self.times {
            Times::Known { .. } => Ok(()),
            Times::Committed { position, .. } => settle(ctx, position).await,
        }
    }

    /// The assessments of its course.
    async fn assessments_of_course(&self, ctx: &Context<'_>) -> Result<Arc<Vec<AssessmentRow>>> {
        match &self.past {
            Some(past) => past.assessments(ctx).await,
            None => assessments_of(ctx, &self.course_id).await,
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
    let row = load(ctx, EnrollmentKey(id.to_string())).await?;
    let Some(row) = row else { return Ok(None) };
    let sees = row.student_id == actor.id.as_str() || manages(ctx, actor, &row.course_id).await?;
    Ok(sees.then(|| Enrollment::from_row(row)))
}

/// Whether this caller teaches the course or may do everything.
async fn manages(ctx: &Context<'_>, actor: &Actor, course: &str) -> Result<bool> {
    if actor.role != Role::Instructor {
        return Ok(actor.admin());
    }
    let course = load(ctx, CourseKey(course.to_owned())).await?;
    Ok(course.is_some_and(|row| row.instructor_ids.iter().any(|id| id == actor.id.as_str())))
}

/// The enrollment with this id as it stood at an instant. Null where the caller does not see it now, and before the
/// student asked for it.
pub(super) async fn past_enrollment(
    ctx: &Context<'_>,
    id: &EnrollmentId,
    as_of: DateTime<Utc>,
) -> Result<Option<Enrollment>> {
    let Some(now) = visible_enrollment(ctx, id).await? else { return Ok(None) };
    now.check_manager(ctx).await?;
    let at = past::instant(ctx, as_of).await?;
    let row = enrollments_past(ctx.data::<PgPool>()?, id, at).await;
    let Some(row) = row.map_err(|error| internal(&error))? else { return Ok(None) };
    let course = CourseId::parse(&row.course_id, "courseId").map_err(|error| internal(&error))?;
    Ok(Some(Enrollment::from_past(row, Past::of(course, at))))
}

#[ComplexObject]
impl Enrollment {
    /// The course. Whoever sees the enrollment sees it, also when it is no longer public; of one that was withdrawn only
    /// who may see the course anyway.
    async fn course(&self, ctx: &Context<'_>) -> Result<Course> {
        if let Some(past) = &self.past {
            return Course::of_past(ctx, past).await;
        }
        self.settled(ctx).await?;
        if self.status == EnrollmentStatus::Withdrawn {
            return shown_course(ctx, &self.course_id).await;
        }
        existing_course(ctx, &self.course_id).await
    }

    /// The student.
    async fn student(&self) -> User {
        match self.times {
            Times::Known { .. } if self.past.is_some() => User::student(&self.student_id).then(),
            Times::Known { .. } => User::student(&self.student_id),
            // Who repeats a command may have lost the course since.
            Times::Committed { position, .. } => User::since(&self.student_id, position),
        }
    }

    /// The student's place in the waitlist, the next to get a seat being 1; null for one who does not wait.
    async fn waitlist_position(&self, ctx: &Context<'_>) -> Result<Option<i64>> {
        if self.status != EnrollmentStatus::Waitlisted {
            return Ok(None);
        }
        if let Some(past) = &self.past {
            let mut waiting = past.seats(ctx).await?.waitlist.iter();
            let place = waiting.position(|student| student.as_str() == self.student_id);
            return Ok(place.and_then(|place| i64::try_from(place + 1).ok()));
        }
        self.settled(ctx).await?;
        load(ctx, WaitlistKey(self.id.to_string())).await
    }

    /// How far the student is.
    async fn progress(&self, ctx: &Context<'_>) -> Result<Progress> {
        self.settled(ctx).await?;
        let required = match &self.past {
            Some(past) => Arc::new(past.required(ctx).await?),
            None => load(ctx, RequiredKey(self.course_id.clone())).await?.unwrap_or_default(),
        };
        let completed = self.completed.iter().filter(|item| required.contains(*item)).count();
        let item_completed_at = match self.times {
            Times::Known { item_completed_at, .. } => item_completed_at,
            Times::Committed { active_in: Some(sequence), .. } => {
                Some(self.recorded_at(ctx, sequence).await?)
            }
            Times::Committed { active_in: None, .. } => None,
        };
        Ok(Progress {
            required_items: required.len(),
            completed_items: completed,
            percent: percent(completed, required.len()),
            last_activity_at: item_completed_at.max(self.results.submitted_at()),
        })
    }

    /// What the student made of assessments: those that they submitted or that were graded, what is due first first.
    async fn assessments(&self, ctx: &Context<'_>) -> Result<Vec<AssessmentResult>> {
        if self.results.0.is_empty() {
            return Ok(Vec::new());
        }
        self.settled(ctx).await?;
        count_entries(ctx, self.results.0.len())?;
        let assessments = self.assessments_of_course(ctx).await?;
        Ok(results::results(&self.results, &assessments))
    }

    /// The final score so far, in percent: the mean of the graded required assessments by their weights. Null where there
    /// are none. It follows the assessments and grades of now, also where the enrollment is COMPLETED.
    async fn final_score(&self, ctx: &Context<'_>) -> Result<Option<f64>> {
        if self.results.0.is_empty() {
            return Ok(None);
        }
        self.settled(ctx).await?;
        let assessments = self.assessments_of_course(ctx).await?;
        Ok(results::final_score(&self.results, &assessments))
    }

    /// What happened to it, the oldest first: as many events as `version` says. FORBIDDEN for all but instructors of the
    /// course and admins.
    async fn history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the beginning: 0 to 100, by default 20.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
    ) -> Result<Option<DomainEventConnection>> {
        if self.past.is_some() {
            return Err(past::only_now("history"));
        }
        self.settled(ctx).await?;
        self.check_manager(ctx).await?;
        let stream = StreamId::new(StreamType::Enrollment, &self.id);
        let arguments = Arguments { first, after, last, before };
        history_page(ctx, stream, self.version, arguments).await.map(Some)
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

    /// When the student had done what the course requires.
    async fn completed_at(&self, ctx: &Context<'_>) -> Result<Option<DateTime<Utc>>> {
        match self.times {
            Times::Known { completed_at, .. } => Ok(completed_at),
            Times::Committed { completed_in: Some(sequence), .. } => {
                self.recorded_at(ctx, sequence).await.map(Some)
            }
            Times::Committed { .. } => Ok(None),
        }
    }
}

/// At most 200 modules of 500 items are required: far from where a float loses count.
#[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
fn percent(completed: usize, required: usize) -> f64 {
    if required == 0 { 100.0 } else { 100.0 * completed as f64 / required as f64 }
}

//! Subscriptions: what happens to courses and enrollments, as the subscriber may know it.
//!
//! ## Decision
//! One message for each event of the object's stream, in the log's order, once the read models have seen it: so
//! `position` of the last message is all that a client needs in order to go on elsewhere. What may be seen is asked anew for
//! each message, as it holds when the message is sent. A course that a subscriber no longer sees is told of once
//! more, without the course, and then not before they see it again; a change of an enrollment that they no longer see is
//! not told. The event itself is for managers: what it holds may be hidden, as an unpublished module is.

use async_graphql::{Context, Error, ID, Result, SimpleObject, Subscription};
use futures::StreamExt;
use futures::stream::{BoxStream, unfold};
use sqlx::PgPool;

use super::changes::{FollowError, Follower, Interest, Tail};
use super::context::{actor, sight};
use super::course::{Course, visible_course};
use super::enrollment::Enrollment;
use super::error::{ErrorCode, failure, internal, read_failed};
use super::history::DomainEvent;
use crate::domain::{Actor, CourseId, Role};
use crate::event_store::{Position, Recorded, log};
use crate::projections::courses::{self, Sight};
use crate::projections::enrollments;

/// A change of a course.
#[derive(SimpleObject)]
pub(super) struct CourseChange {
    /// What happened, such as `CoursePublished`.
    kind: String,
    /// Its place in the log: subscribe with it as `sincePosition` to go on behind it.
    position: String,
    /// The course as it is now, which may be later than this change. Null where the subscriber no longer sees it: then
    /// nothing is told until they do.
    course: Option<Course>,
    /// What the log holds of it. Null for all but instructors of the course and admins.
    event: Option<DomainEvent>,
}

/// A change of an enrollment.
#[derive(SimpleObject)]
pub(super) struct EnrollmentChange {
    /// What happened, such as `StudentEnrolled`.
    kind: String,
    /// Its place in the log: subscribe with it as `sincePosition` to go on behind it.
    position: String,
    /// The enrollment as it is now, which may be later than this change.
    enrollment: Enrollment,
    /// What the log holds of it. Null for all but instructors of the course and admins.
    event: Option<DomainEvent>,
}

/// Changes as they happen.
#[derive(Default)]
pub(super) struct Subscription;

/// Changes as they happen.
#[Subscription]
impl Subscription {
    /// Changes of a course that the caller sees: of its own fields, its modules and items, its instructors, assessments and
    /// videos. Who takes a seat is told by `enrollmentChanged`. `NOT_FOUND` where there is no such course.
    async fn course_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course.")] course_id: ID,
        #[graphql(
            desc = "Begins with the changes behind this position, of whatever message, payload or event. By default \
                    with what happens from now on."
        )]
        since_position: Option<String>,
    ) -> Result<BoxStream<'static, Result<CourseChange>>> {
        if visible_course(ctx, &course_id).await?.is_none() {
            return Err(failure(ErrorCode::NotFound, "no such course"));
        }
        let id = CourseId::parse(&course_id, "courseId").map_err(|error| internal(&error))?;
        let follower = follow(ctx, Interest::Course(id), since_position).await?;
        let reader =
            CourseReader { pool: ctx.data::<PgPool>()?.clone(), sight: sight(ctx)?, shown: true };
        Ok(changes(follower, reader))
    }

    /// Changes of enrollments: with `courseId` those of the course, for its instructors and admins; for others, and without
    /// it, the caller's own. `UNAUTHENTICATED` without a token.
    async fn enrollment_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only enrollments in this course.")] course_id: Option<ID>,
        #[graphql(
            desc = "Begins with the changes behind this position, of whatever message, payload or event. By default \
                    with what happens from now on."
        )]
        since_position: Option<String>,
    ) -> Result<BoxStream<'static, Result<EnrollmentChange>>> {
        let caller = actor(ctx)?;
        if caller.role == Role::Other {
            return Err(failure(ErrorCode::Forbidden, "this role has no enrollments"));
        }
        let interest = match course_id {
            None => Interest::Student(caller.id.clone()),
            Some(id) => {
                let course = visible_course(ctx, &id).await?;
                let invalid = |_| failure(ErrorCode::NotFound, "no such course");
                let id = CourseId::parse(&id, "courseId").map_err(invalid)?;
                match course {
                    Some(course) if course.managed_by_caller(ctx)? => Interest::Enrollments(id),
                    // A student may have an enrollment in a course that is not public any more.
                    Some(_) | None => Interest::Enrollment(id, caller.id.clone()),
                }
            }
        };
        let follower = follow(ctx, interest, since_position).await?;
        let reader = EnrollmentReader { pool: ctx.data::<PgPool>()?.clone(), caller };
        Ok(changes(follower, reader))
    }
}

/// Follows the log behind a position that a client gave, or from now on.
async fn follow(
    ctx: &Context<'_>,
    interest: Interest,
    since_position: Option<String>,
) -> Result<Follower> {
    let invalid = |message: &str| failure(ErrorCode::ValidationFailed, message);
    let head = log::head(ctx.data::<PgPool>()?).await.map_err(|error| read_failed(&error))?;
    let since = match since_position {
        None => head.position,
        Some(text) => text
            .parse::<Position>()
            .map_err(|_| invalid("sincePosition is not a position that this service gave out"))?,
    };
    if since.epoch != head.position.epoch {
        return Err(invalid(
            "sincePosition is of another epoch: the database has been restored since; read anew and subscribe without it",
        ));
    }
    if since > head.position {
        return Err(invalid("sincePosition lies behind the end of the log"));
    }
    Follower::new(ctx.data::<Tail>()?, interest, since).await.map_err(|error| lost(&error))
}

/// What a subscriber hears when they cannot be told any more.
fn lost(error: &FollowError) -> Error {
    match error {
        FollowError::Restored => failure(
            ErrorCode::ValidationFailed,
            "the database has been restored: read anew and subscribe without sincePosition",
        ),
        FollowError::Log(error) => internal(error),
    }
}

/// Reads what changed with the eyes of a subscriber.
trait Reader: Send + 'static {
    type Change: Send + 'static;

    /// What the subscriber may know of an event; `None` where that is nothing.
    fn change(
        &mut self,
        recorded: &Recorded,
        position: Position,
    ) -> impl Future<Output = Result<Option<Self::Change>>> + Send;
}

/// What a subscriber hears. An error is the last that they hear.
fn changes<R: Reader>(follower: Follower, reader: R) -> BoxStream<'static, Result<R::Change>> {
    let changes = unfold(Some((follower, reader)), async |state| {
        let (mut follower, mut reader) = state?;
        loop {
            let recorded = match follower.next().await {
                Ok(recorded) => recorded?,
                Err(error) => return Some((Err(lost(&error)), None)),
            };
            match reader.change(&recorded, follower.position(&recorded)).await {
                Ok(None) => {}
                Ok(Some(change)) => return Some((Ok(change), Some((follower, reader)))),
                Err(error) => return Some((Err(error), None)),
            }
        }
    });
    changes.boxed()
}

/// Reads courses with the eyes of a subscriber.
struct CourseReader {
    pool: PgPool,
    sight: Sight,
    /// Whether they saw the course when they last heard of it.
    shown: bool,
}

impl Reader for CourseReader {
    type Change = CourseChange;

    async fn change(
        &mut self,
        recorded: &Recorded,
        position: Position,
    ) -> Result<Option<CourseChange>> {
        let rows = courses::find_many(&self.pool, &[&recorded.stream.id]).await;
        let row = rows.map_err(|error| read_failed(&error))?.pop();
        let row = row.filter(|row| self.sight.sees(row));
        let was_shown = std::mem::replace(&mut self.shown, row.is_some());
        if !was_shown && row.is_none() {
            return Ok(None);
        }
        let manages = row.as_ref().is_some_and(|row| self.sight.manages(row));
        Ok(Some(CourseChange {
            kind: recorded.event.name().to_owned(),
            position: position.to_string(),
            course: row.map(Course::from_row),
            event: if manages { Some(DomainEvent::of(recorded)?) } else { None },
        }))
    }
}

/// Reads enrollments with the eyes of a subscriber.
struct EnrollmentReader {
    pool: PgPool,
    caller: Actor,
}

impl Reader for EnrollmentReader {
    type Change = EnrollmentChange;

    async fn change(
        &mut self,
        recorded: &Recorded,
        position: Position,
    ) -> Result<Option<EnrollmentChange>> {
        let failed = |error: sqlx::Error| read_failed(&error);
        let rows = enrollments::find_many(&self.pool, &[&recorded.stream.id]).await;
        let row = rows.map_err(failed)?.pop();
        let lagging = || failure(ErrorCode::ProjectionLagging, "the enrollment is not there yet");
        let row = row.ok_or_else(lagging)?;
        let manages = match self.caller.role {
            Role::Admin => true,
            Role::Instructor => {
                let courses = courses::find_many(&self.pool, &[&row.course_id]).await;
                let sight = Sight::Teacher(self.caller.id.clone());
                courses.map_err(failed)?.iter().any(|course| sight.manages(course))
            }
            Role::Student | Role::Other => false,
        };
        if !manages && row.student_id != self.caller.id.as_str() {
            return Ok(None);
        }
        Ok(Some(EnrollmentChange {
            kind: recorded.event.name().to_owned(),
            position: position.to_string(),
            enrollment: Enrollment::from_row(row),
            event: if manages { Some(DomainEvent::of(recorded)?) } else { None },
        }))
    }
}

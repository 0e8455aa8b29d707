//! Following the log: every event of interest once and in order, from any place of the log on, at any instance.
//!
//! ## Decision
//! What was missed is read from the log; what is new comes from one [`Tail`] per instance, which hands out batches to all
//! followers. The two meet at a position: a follower reads the log up to where the tail stood when it began to listen, and
//! passes over what the tail sends from before that. A follower that falls behind the tail's few batches reads the
//! log again until it has caught up. So nobody is told a thing twice or not at all, and a slow follower costs
//! no memory.

mod tail;

use std::collections::VecDeque;
use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

pub use self::tail::Tail;
use self::tail::{Batch, News};
use crate::domain::enrollment::EnrollmentEvent;
use crate::domain::{CourseId, EnrollmentId, Event, StreamType, UserId};
use crate::event_store::history::{self, Whose};
use crate::event_store::log::ReadError;
use crate::event_store::{Position, Recorded};
use crate::projections::enrollments::{self, EnrollmentList};
use crate::projections::page::Page;

/// The most events, or enrollments, that a follower reads at once.
const PORTION: i64 = 200;

/// Which events a follower wants.
#[derive(Debug, Clone)]
pub(super) enum Interest {
    /// Those of a course, its seats and enrollments aside.
    Course(CourseId),
    /// Those of all enrollments of a course.
    Enrollments(CourseId),
    /// Those of a student's enrollment in a course.
    Enrollment(CourseId, UserId),
    /// Those of a student's enrollments.
    Student(UserId),
}

impl Interest {
    fn includes(&self, recorded: &Recorded) -> bool {
        match (self, &recorded.event) {
            (Self::Course(id), Event::Course(_)) => *id.as_str() == *recorded.stream.id,
            (Self::Enrollments(id), Event::Enrollment(_)) => recorded.course.as_ref() == Some(id),
            (Self::Enrollment(id, student), Event::Enrollment(event)) => {
                recorded.course.as_ref() == Some(id) && student_of(event) == student
            }
            (Self::Student(student), Event::Enrollment(event)) => student_of(event) == student,
            _ => false,
        }
    }

    /// What of it the log holds between two positions, in order, at most a portion.
    async fn read(
        &self,
        pool: &PgPool,
        after: i64,
        up_to: i64,
    ) -> Result<Vec<Recorded>, ReadError> {
        let enrollments: Vec<String>;
        let whose = match self {
            Self::Course(id) => Whose::Streams(StreamType::Course, vec![id.as_str()]),
            Self::Enrollments(id) => Whose::Course(StreamType::Enrollment, id),
            Self::Enrollment(course, student) => {
                enrollments = vec![EnrollmentId::of(course, student).to_string()];
                Whose::Streams(StreamType::Enrollment, refs(&enrollments))
            }
            Self::Student(student) => {
                // The read models have seen `up_to`, so these are all.
                enrollments = enrollments_of(pool, student).await?;
                Whose::Streams(StreamType::Enrollment, refs(&enrollments))
            }
        };
        history::read_between(pool, &whose, after, up_to, PORTION).await
    }
}

fn refs(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}

async fn enrollments_of(pool: &PgPool, student: &UserId) -> sqlx::Result<Vec<String>> {
    let whose = enrollments::Whose::Own(student.clone());
    let list = EnrollmentList { whose, filter: enrollments::EnrollmentFilter::default() };
    let mut page = Page { limit: PORTION, backwards: false, from: None };
    let mut ids = Vec::new();
    loop {
        let rows = list.page(pool, &page).await?;
        page.from = rows.last().map(EnrollmentList::place);
        let is_full = i64::try_from(rows.len()).is_ok_and(|length| length >= page.limit);
        ids.extend(rows.into_iter().map(|row| row.enrollment_id));
        if !is_full {
            return Ok(ids);
        }
    }
}

fn student_of(event: &EnrollmentEvent) -> &UserId {
    match event {
        EnrollmentEvent::StudentEnrolled { student_id, .. }
        | EnrollmentEvent::StudentWaitlisted { student_id, .. }
        | EnrollmentEvent::StudentWithdrawn { student_id, .. }
        | EnrollmentEvent::ModuleItemCompleted { student_id, .. }
        | EnrollmentEvent::SubmissionRecorded { student_id, .. }
        | EnrollmentEvent::GradeRecorded { student_id, .. }
        | EnrollmentEvent::GradeRevised { student_id, .. }
        | EnrollmentEvent::EnrollmentCompleted { student_id, .. } => student_id,
    }
}

/// A follower cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The log is another one: the database was restored.
    #[error("the database has been restored since")]
    Restored,
}

/// Who follows the log.
pub(super) struct Follower {
    tail: Tail,
    interest: Interest,
    news: Receiver<News>,
    /// Which life of the log it follows.
    epoch: i32,
    /// Everything up to here was handed out, or is about to be.
    seen: i64,
    /// Up to here the log itself is read.
    missed: i64,
    ready: VecDeque<Arc<Recorded>>,
}

impl Follower {
    /// Follows behind `since`, which is a place of this epoch of the log.
    pub(super) async fn new(
        tail: &Tail,
        interest: Interest,
        since: Position,
    ) -> Result<Self, FollowError> {
        let (news, position) = tail.follow().await;
        if position.epoch != since.epoch {
            return Err(FollowError::Restored);
        }
        Ok(Self {
            tail: tail.clone(),
            interest,
            news,
            epoch: since.epoch,
            seen: since.number,
            missed: position.number,
            ready: VecDeque::new(),
        })
    }

    /// The place of an event, as it is followed from now: also that of one which was recorded before a restore.
    pub(super) fn position(&self, event: &Recorded) -> Position {
        Position { epoch: self.epoch, number: event.position.number }
    }

    /// The next event of interest; `None` when the service stops.
    pub(super) async fn next(&mut self) -> Result<Option<Arc<Recorded>>, FollowError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.seen < self.missed {
                self.read_portion().await?;
                continue;
            }
            match self.news.recv().await {
                Ok(News::Batch(batch)) => self.take(&batch),
                Ok(News::Restored) => return Err(FollowError::Restored),
                Err(RecvError::Lagged(_)) => {
                    let (news, position) = self.tail.follow().await;
                    if position.epoch != self.epoch {
                        return Err(FollowError::Restored);
                    }
                    (self.news, self.missed) = (news, position.number);
                }
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    fn take(&mut self, batch: &Batch) {
        if self.seen < batch.after {
            self.missed = batch.up_to; // it begins further on: what lies between comes from the log
            return;
        }
        let new = |event: &&Arc<Recorded>| {
            event.position.number > self.seen && self.interest.includes(event)
        };
        self.ready.extend(batch.events.iter().filter(new).cloned());
        self.seen = self.seen.max(batch.up_to);
    }

    async fn read_portion(&mut self) -> Result<(), FollowError> {
        let events = self.interest.read(self.tail.pool(), self.seen, self.missed).await?;
        let full = i64::try_from(events.len()).is_ok_and(|length| length >= PORTION);
        self.seen = match events.last() {
            Some(last) if full => last.position.number,
            _ => self.missed,
        };
        self.ready.extend(events.into_iter().map(Arc::new));
        Ok(())
    }
}

//! Use cases: a request becomes facts, a decision, an append and an answer. Called by GraphQL, Kafka and the CLI alike.
//!
//! Commands go through one mailbox per course and instance (`mailbox`): serial per course, on cached state that is
//! only a guess. The append decides: an acceptance and a refusal are both true at one point of the log, over any
//! number of instances.

mod awaited;
mod cache;
mod decision;
pub mod idempotency;
pub mod intake;
mod mailbox;
mod request;
mod video;
pub mod workbench;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cqrs_es::Aggregate;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

pub use self::awaited::Awaited;
use self::cache::RoomCache;
use self::idempotency::Done;
pub use self::idempotency::IdempotencyKey;
use self::mailbox::Job;
use self::request::Reply;
pub use self::request::{Answer, Cause, Request, State};
use crate::domain::course::CourseCommand;
use crate::domain::progress::CompleteItem;
use crate::domain::registration::{Enroll, Withdraw};
use crate::domain::{Actor, Course, CourseId, Enrollment, EnrollmentId, Refusal, StreamType};
use crate::event_store::stream::{LoadError, Streams};
use crate::event_store::{AppendError, Appender, Position, StreamId};

/// The most commands under way in one instance; more are turned away at once.
const MAX_IN_FLIGHT: usize = 10_000;

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The domain says no. True at one point of the log.
    #[error("{0}")]
    Refused(Refusal),
    /// No answer in time. The command may or may not become part of the log; retry with care.
    #[error("the command was not answered in time")]
    Timeout,
    /// Too much is under way. Nothing happened.
    #[error("too many commands are under way")]
    Overloaded,
    /// The machinery failed. Nothing happened, except perhaps where the service was stopping.
    #[error("the command could not be carried out")]
    Failed(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl From<Refusal> for CommandError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<LoadError> for CommandError {
    fn from(error: LoadError) -> Self {
        Self::Failed(Arc::new(error))
    }
}

impl From<AppendError> for CommandError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Expired => Self::Timeout,
            AppendError::Overloaded => Self::Overloaded,
            error @ (AppendError::Rejected(_) | AppendError::Stopped) => {
                Self::Failed(Arc::new(error))
            }
        }
    }
}

/// The write side of one instance. Cheap to clone.
#[derive(Clone)]
pub struct Commands {
    inner: Arc<Inner>,
}

struct Inner {
    appender: Appender,
    streams: Streams,
    cache: RoomCache,
    mailboxes: Mutex<HashMap<CourseId, mpsc::UnboundedSender<Job>>>,
    in_flight: AtomicUsize,
    patience: Duration,
    observe: Box<dyn Fn(&'static str) + Send + Sync>,
}

impl Inner {
    /// Reads no longer than a caller waits: a connection whose other end is gone answers never.
    async fn in_time<T>(
        &self,
        read: impl Future<Output = Result<T, LoadError>>,
    ) -> Result<T, CommandError> {
        let read = timeout(self.patience, read).await;
        Ok(read.map_err(|_| CommandError::Timeout)??)
    }
}

/// A place among the commands under way, given back when it is dropped, whatever ends the command.
struct Place(Arc<Inner>);

impl Place {
    fn take(inner: &Arc<Inner>) -> Result<Self, CommandError> {
        let place = Self(inner.clone());
        if inner.in_flight.fetch_add(1, Ordering::Relaxed) >= MAX_IN_FLIGHT {
            return Err(CommandError::Overloaded);
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Commands {
    /// Decides on what `pool` holds and appends through `appender`. `patience` bounds a command; `observe` hears each
    /// outcome: `accepted`, a refusal's code, `timeout`, `overloaded` or `failed`.
    pub fn new(
        pool: PgPool,
        appender: Appender,
        patience: Duration,
        observe: impl Fn(&'static str) + Send + Sync + 'static,
    ) -> Self {
        let inner = Inner {
            appender,
            streams: Streams::new(pool),
            cache: RoomCache::default(),
            mailboxes: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            patience,
            observe: Box::new(observe),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A command to a course.
    pub async fn course(
        &self,
        course: CourseId,
        command: CourseCommand,
        cause: impl Into<Cause>,
    ) -> Result<Answer, CommandError> {
        self.run(course, Request::Course(Box::new(command)), cause.into()).await
    }

    /// A student takes a seat or joins the waitlist.
    pub async fn enroll(
        &self,
        course: CourseId,
        command: Enroll,
        cause: impl Into<Cause>,
    ) -> Result<Answer, CommandError> {
        self.run(course, Request::Enroll(command), cause.into()).await
    }

    /// A student leaves. The enrollment is found in the log: its id does not tell course and student.
    pub async fn withdraw(
        &self,
        id: &EnrollmentId,
        actor: Actor,
        reason: Option<String>,
        expected_version: Option<u64>,
        cause: impl Into<Cause>,
    ) -> Result<Answer, CommandError> {
        let enrollment = match self.find(id).await {
            Ok(enrollment) => enrollment,
            Err(error) => {
                (self.inner.observe)(outcome(&error));
                return Err(error);
            }
        };
        let student = enrollment.student_id;
        let command = Withdraw { actor, student, reason, expected_version };
        self.run(enrollment.course_id, Request::Withdraw(command), cause.into()).await
    }

    /// A student is done with an item.
    pub async fn complete_item(
        &self,
        course: CourseId,
        command: CompleteItem,
        cause: impl Into<Cause>,
    ) -> Result<Answer, CommandError> {
        self.run(course, Request::Complete(command), cause.into()).await
    }

    async fn find(&self, id: &EnrollmentId) -> Result<Enrollment, CommandError> {
        let _place = Place::take(&self.inner)?;
        let found = self.inner.in_time(self.inner.streams.load::<Enrollment>(id.as_str())).await?;
        if found.version == 0 {
            return Err(Refusal::enrollment_not_found().into());
        }
        Ok(found)
    }

    async fn run(
        &self,
        course: CourseId,
        request: Request,
        cause: Cause,
    ) -> Result<Answer, CommandError> {
        let result = match self.submit(course, request, cause).await {
            Ok(Reply::Now(answer)) => Ok(answer),
            Ok(Reply::Before(done)) => self.recall(done).await,
            Err(error) => Err(error),
        };
        (self.inner.observe)(result.as_ref().map_or_else(outcome, |_| "accepted"));
        result
    }

    async fn submit(
        &self,
        course: CourseId,
        request: Request,
        cause: Cause,
    ) -> Result<Reply, CommandError> {
        let place = Place::take(&self.inner)?;
        let deadline = Instant::now() + self.inner.patience;
        let (reply, answer) = oneshot::channel();
        self.post(course, Job { request, cause, deadline, reply, _place: place });
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(CommandError::Timeout),
        }
    }

    /// The answer to a command that happened before: the state that it left, from the log.
    async fn recall(&self, done: Done) -> Result<Answer, CommandError> {
        let _place = Place::take(&self.inner)?;
        let Done { course, student, version, part } = done;
        let (position, state) = match student {
            None => {
                let stream = StreamId::new(StreamType::Course, course.as_str());
                let (position, state) = self.state_at::<Course>(&stream, version).await?;
                (position, State::Course(Arc::new(state)))
            }
            Some(student) => {
                let id = EnrollmentId::of(&course, &student);
                let stream = StreamId::new(StreamType::Enrollment, id.as_str());
                let (position, state) = self.state_at::<Enrollment>(&stream, version).await?;
                (position, State::Enrollment(Box::new(state)))
            }
        };
        Ok(Answer { position, state, part })
    }

    async fn state_at<A: Aggregate>(
        &self,
        stream: &StreamId,
        version: u64,
    ) -> Result<(Position, A), CommandError> {
        self.inner.in_time(self.inner.streams.load_at(stream, version)).await
    }

    /// Puts a job into the course's mailbox, and starts the task that empties it where there is none.
    fn post(&self, course: CourseId, job: Job) {
        let mut mailboxes = self.inner.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let job = match mailboxes.get(&course) {
            Some(mailbox) => match mailbox.send(job) {
                Ok(()) => return,
                Err(mpsc::error::SendError(job)) => job, // its task died: start another one
            },
            None => job,
        };
        let (mailbox, jobs) = mpsc::unbounded_channel();
        let _ = mailbox.send(job);
        mailboxes.insert(course.clone(), mailbox);
        drop(mailboxes);
        tokio::spawn(mailbox::serve(self.inner.clone(), course, jobs));
    }
}

fn outcome(error: &CommandError) -> &'static str {
    match error {
        CommandError::Refused(refusal) => refusal.code().as_str(),
        CommandError::Timeout => "timeout",
        CommandError::Overloaded => "overloaded",
        CommandError::Failed(_) => "failed",
    }
}

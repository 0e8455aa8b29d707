//! What is asked of a course's mailbox, and what it answers.

use std::sync::Arc;

use super::idempotency::{Done, IdempotencyKey};
use crate::domain::course::CourseCommand;
use crate::domain::progress::CompleteItem;
use crate::domain::registration::{Enroll, Withdraw};
use crate::domain::{Course, Enrollment, UserId};
use crate::event_store::{Metadata, Position};

/// A command that a course's mailbox takes.
#[derive(Debug, Clone)]
pub enum Request {
    /// To the course.
    Course(Box<CourseCommand>),
    /// To its seats.
    Enroll(Enroll),
    /// To its seats.
    Withdraw(Withdraw),
    /// To an enrollment.
    Complete(CompleteItem),
}

impl Request {
    /// Whose enrollment it is about; of a command to the course nobody's.
    pub(super) fn student(&self) -> Option<&UserId> {
        match self {
            Self::Course(_) => None,
            Self::Enroll(enroll) => Some(&enroll.student),
            Self::Withdraw(withdraw) => Some(&withdraw.student),
            Self::Complete(complete) => Some(&complete.student),
        }
    }
}

/// Who and what caused a command, and the key that makes it happen once.
#[derive(Debug, Clone, Default)]
pub struct Cause {
    /// What its events carry of it.
    pub metadata: Metadata,
    /// The caller's key, where there is one.
    pub key: Option<IdempotencyKey>,
}

impl From<Metadata> for Cause {
    fn from(metadata: Metadata) -> Self {
        Self { metadata, key: None }
    }
}

/// What a mailbox answers to an accepted command.
#[derive(Debug)]
pub(super) enum Reply {
    /// It happened now.
    Now(Answer),
    /// It happened before: its key tells what it did.
    Before(Done),
}

/// An accepted command: the state that it left and where the log stood then.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Of the command's last event; of a no-op a position at which it was one.
    pub position: Position,
    /// What the caller asked about.
    pub state: State,
    /// The id of the module or item that the payload is about: of a removed item its module.
    pub part: Option<String>,
}

/// The state after an accepted command.
#[derive(Debug, Clone)]
pub enum State {
    /// Of a command to the course.
    Course(Arc<Course>),
    /// Of a command about a student.
    Enrollment(Box<Enrollment>),
}

impl State {
    pub(super) fn version(&self) -> u64 {
        match self {
            Self::Course(course) => course.version,
            Self::Enrollment(enrollment) => enrollment.version,
        }
    }
}

impl Answer {
    /// The course, where the command was to one.
    pub fn course(self) -> Option<Arc<Course>> {
        match self.state {
            State::Course(course) => Some(course),
            State::Enrollment(_) => None,
        }
    }

    /// The enrollment, where the command was about one.
    pub fn enrollment(self) -> Option<Enrollment> {
        match self.state {
            State::Course(_) => None,
            State::Enrollment(enrollment) => Some(*enrollment),
        }
    }
}

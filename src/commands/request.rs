//! What is asked of a course's mailbox, and what it answers.

use std::sync::Arc;

use crate::domain::course::CourseCommand;
use crate::domain::registration::{Enroll, Withdraw};
use crate::domain::{Course, Enrollment};
use crate::event_store::Position;

/// A command that a course's mailbox takes.
#[derive(Debug, Clone)]
pub enum Request {
    /// To the course.
    Course(Box<CourseCommand>),
    /// To its seats.
    Enroll(Enroll),
    /// To its seats.
    Withdraw(Withdraw),
}

/// An accepted command: the state that it left and where the log stood then.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Of the command's last event; of a no-op a position at which it was one.
    pub position: Position,
    /// What the caller asked about.
    pub state: State,
}

/// The state after an accepted command.
#[derive(Debug, Clone)]
pub enum State {
    /// Of a command to the course.
    Course(Arc<Course>),
    /// Of a command to its seats.
    Enrollment(Box<Enrollment>),
}

impl Answer {
    /// The course, where the command was to one.
    pub fn course(self) -> Option<Arc<Course>> {
        match self.state {
            State::Course(course) => Some(course),
            State::Enrollment(_) => None,
        }
    }

    /// The enrollment, where the command was to one.
    pub fn enrollment(self) -> Option<Enrollment> {
        match self.state {
            State::Course(_) => None,
            State::Enrollment(enrollment) => Some(*enrollment),
        }
    }
}

//! The rules: what courses, seats and enrollments are, what may happen to them, and what they refuse.
//!
//! Everything here is pure. No clock, no randomness, no I/O: time, new ids, the actor and
//! looked-up facts come in with the command, because the shell decides again after a lost race
//! and replays for ever. The traits are those of `cqrs-es`, with `Services = ()`.
#![warn(missing_docs)]

pub mod actor;
pub mod course;
pub mod enrollment;
pub mod event;
pub mod freshness;
pub mod grading;
pub mod ids;
pub mod progress;
pub mod refusal;
pub mod registration;
pub mod report;
pub mod seats;
pub mod user;
pub mod values;

pub use actor::{Actor, Role};
pub use course::Course;
pub use enrollment::Enrollment;
pub use event::{Event, StreamType};
pub use ids::{
    AssessmentId, CourseId, EnrollmentId, ItemId, ModuleId, SubmissionId, UserId, VideoId,
};
pub use refusal::{Code, Refusal};
pub use seats::Seats;
pub use user::User;

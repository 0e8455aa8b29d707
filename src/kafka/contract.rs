//! The outgoing messages: what the outside world hears of a command. Pure.
//!
//! One message per command, topic and entity, with the id and version of the entity's last event in the command and
//! the state of the course exactly after it, or just before where the event took the entity away. In two steps, because that state has to be fetched in between: [`plan`]
//! says what is to be told, [`Planned::render`] says it. Within a schema version changes are only additive.
#![warn(missing_docs)]

mod render;
#[cfg(test)]
mod tests;
mod value;

use chrono::{DateTime, Utc};

pub use self::render::{Untellable, version};
use super::topics::Topic;
use crate::domain::Event;
use crate::domain::ModuleId;
use crate::domain::UserId;
use crate::domain::course::CourseEvent;
use crate::domain::enrollment::EnrollmentEvent;
use crate::domain::enrollment::Via;
use crate::event_store::Recorded;

/// The most bytes that a value takes beyond `outgoing_bytes` of its course or module: field names, times, numbers, `changes`.
pub const ENVELOPE_BYTES: usize = 2 * 1024;
/// The most bytes of a value: consumers may rely on it.
pub const MAX_VALUE_BYTES: usize = 256 * 1024;

/// A record to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Outbound {
    /// Where to.
    pub topic: Topic,
    /// What keeps records of one course or student in order.
    pub key: String,
    /// A JSON object.
    pub value: Vec<u8>,
    /// Those of `CloudEvents`, in binary mode.
    pub headers: Vec<(&'static str, String)>,
    /// When it happened, by the log's clock.
    pub timestamp: DateTime<Utc>,
}

/// A message that is to be told: all but the state that it shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned<'a> {
    topic: Topic,
    entity: Entity<'a>,
    last: &'a Recorded,
    changes: Vec<&'static str>,
}

#[derive(Debug, Clone, PartialEq)]
enum Entity<'a> {
    Course,
    Module(&'a ModuleId),
    Enrollment { student: &'a UserId, via: Via },
}

/// What the world hears of one command, given all its events in order. The messages are in the order of their last
/// events, so versions rise.
pub fn plan(command: &[Recorded]) -> Vec<Planned<'_>> {
    let mut planned: Vec<Planned<'_>> = Vec::new();
    for recorded in command {
        for (topic, entity, changes) in told(&recorded.event) {
            let same = planned.iter_mut().find(|other| {
                other.last.stream == recorded.stream
                    && other.entity.is(&entity)
                    && (other.topic == topic || other.topic == creation_of(topic))
            });
            if let Some(message) = same {
                message.last = recorded;
                message.entity = entity;
                for change in changes {
                    if !message.changes.contains(&change) {
                        message.changes.push(change);
                    }
                }
            } else {
                planned.push(Planned { topic, entity, last: recorded, changes });
            }
        }
    }
    planned.sort_by_key(|message| message.last.position);
    planned
}

type Told<'a> = (Topic, Entity<'a>, Vec<&'static str>);

/// What an event is told as; nothing for what stays inside. No `_`: a new event must be considered here.
fn told(event: &Event) -> Vec<Told<'_>> {
    let course = |topic, changes| vec![(topic, Entity::Course, changes)];
    match event {
        Event::Course(event) => match event {
            CourseEvent::CourseCreated { .. } => course(Topic::CourseCreation, vec![]),
            CourseEvent::CoursePublished {}
            | CourseEvent::CourseUnpublished {}
            | CourseEvent::CourseArchived {}
            | CourseEvent::CourseRestored {} => course(Topic::CourseUpdate, vec!["status"]),
            CourseEvent::InstructorAssigned { .. } | CourseEvent::InstructorRemoved { .. } => {
                course(Topic::CourseUpdate, vec!["instructorIds"])
            }
            CourseEvent::ModulesReordered { .. } => course(Topic::CourseUpdate, vec!["modules"]),
            CourseEvent::CourseDetailsChanged { code, title, description, tags, passing_score } => {
                let changes = [
                    code.as_ref().map(|_| "code"),
                    title.as_ref().map(|_| "title"),
                    description.as_ref().map(|_| "description"),
                    tags.as_ref().map(|_| "tags"),
                    passing_score.as_ref().map(|_| "passingScore"),
                ];
                course(Topic::CourseUpdate, changes.into_iter().flatten().collect())
            }
            CourseEvent::CourseScheduleChanged {
                starts_at,
                ends_at,
                enrollment_opens_at,
                enrollment_closes_at,
            } => {
                let changes = [
                    starts_at.as_ref().map(|_| "startsAt"),
                    ends_at.as_ref().map(|_| "endsAt"),
                    enrollment_opens_at.as_ref().map(|_| "enrollmentOpensAt"),
                    enrollment_closes_at.as_ref().map(|_| "enrollmentClosesAt"),
                ];
                course(Topic::CourseUpdate, changes.into_iter().flatten().collect())
            }
            CourseEvent::CourseCapacityChanged { capacity: _ } => {
                course(Topic::CourseUpdate, vec!["capacity"])
            }
            CourseEvent::CourseDeleted { reason: _ } => course(Topic::CourseDeletion, vec![]),
            CourseEvent::ModuleAdded { module_id, .. } => {
                vec![(Topic::ModuleCreation, Entity::Module(module_id), vec![])]
            }
            CourseEvent::ModuleDetailsChanged { module_id, title, summary, state } => {
                let changes = [
                    title.as_ref().map(|_| "title"),
                    summary.as_ref().map(|_| "summary"),
                    state.as_ref().map(|_| "status"),
                ];
                let changes = changes.into_iter().flatten().collect();
                vec![(Topic::ModuleUpdate, Entity::Module(module_id), changes)]
            }
            CourseEvent::ModuleRemoved { module_id } => {
                vec![(Topic::ModuleUpdate, Entity::Module(module_id), vec!["status"])]
            }
            CourseEvent::ModuleItemAdded { module_id, .. }
            | CourseEvent::ModuleItemChanged { module_id, .. }
            | CourseEvent::ModuleItemRemoved { module_id, .. }
            | CourseEvent::ModuleItemsReordered { module_id, .. }
            | CourseEvent::VideoTranscoded { module_id, .. }
            | CourseEvent::VideoTranscodingFailed { module_id, .. } => {
                vec![(Topic::ModuleUpdate, Entity::Module(module_id), vec!["items"])]
            }
            CourseEvent::AssessmentAttached { shown_in, .. } => {
                told_of_assessment(shown_in.as_slice())
            }
            CourseEvent::AssessmentChanged { shown_in, .. } => told_of_assessment(shown_in),
        },
        Event::Enrollment(event) => match event {
            EnrollmentEvent::StudentEnrolled { course_id: _, student_id, via } => {
                let entity = Entity::Enrollment { student: student_id, via: *via };
                vec![(Topic::StudentEnrolled, entity, vec![])]
            }
            EnrollmentEvent::StudentWaitlisted { .. }
            | EnrollmentEvent::StudentWithdrawn { .. }
            | EnrollmentEvent::ModuleItemCompleted { .. }
            | EnrollmentEvent::SubmissionRecorded { .. }
            | EnrollmentEvent::GradeRecorded { .. }
            | EnrollmentEvent::GradeRevised { .. }
            | EnrollmentEvent::EnrollmentCompleted { .. } => vec![],
        },
        // An inner boundary, nobody else's business; of another service, and personal data.
        Event::Seats(_) | Event::User(_) => vec![],
    }
}

/// An assessment is told of with the modules that show it, else with the course.
fn told_of_assessment(shown_in: &[ModuleId]) -> Vec<Told<'_>> {
    let changes = || vec!["assessments"];
    if shown_in.is_empty() {
        return vec![(Topic::CourseUpdate, Entity::Course, changes())];
    }
    let module = |id| (Topic::ModuleUpdate, Entity::Module(id), changes());
    shown_in.iter().map(module).collect()
}

/// The topic whose message of the same command already tells what would go to `topic`.
fn creation_of(topic: Topic) -> Topic {
    match topic {
        Topic::CourseUpdate | Topic::CourseCreation => Topic::CourseCreation,
        Topic::ModuleUpdate | Topic::ModuleCreation => Topic::ModuleCreation,
        Topic::CourseDeletion => Topic::CourseDeletion,
        Topic::StudentEnrolled => Topic::StudentEnrolled,
    }
}

impl Entity<'_> {
    fn is(&self, other: &Entity<'_>) -> bool {
        match (self, other) {
            (Entity::Course, Entity::Course)
            | (Entity::Enrollment { .. }, Entity::Enrollment { .. }) => true, // the stream says which
            (Entity::Module(one), Entity::Module(other)) => one == other,
            _ => false,
        }
    }
}

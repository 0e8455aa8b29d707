//! Saying what is to be told: key, value and headers of a planned message.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use cqrs_es::Aggregate;

use super::value::{
    self, CourseData, CourseMessage, DeletedCourse, EnrollmentData, EnrollmentMessage, Envelope,
    ModuleData, ModuleMessage,
};
use super::{Entity, Outbound, Planned};
use crate::domain::Course;
use crate::domain::Event;
use crate::domain::ModuleId;
use crate::domain::UserId;
use crate::domain::course::CourseEvent;
use crate::domain::enrollment::EnrollmentEvent;
use crate::domain::enrollment::Via;
use crate::event_store::Recorded;
use crate::event_store::StreamId;
use crate::kafka::topics::Topic;

const SOURCE: &str = "/course-management-service"; // never rename: with ce_id it is the identity of a message

/// The state that was given does not fit the message: the log breaks its own rules.
#[derive(Debug, thiserror::Error)]
#[error("the message of event {event} cannot be told: {why}")]
pub struct Untellable {
    /// The event.
    pub event: uuid::Uuid,
    /// Why.
    pub why: String,
}

impl<'a> Planned<'a> {
    /// The entity's last event in the command.
    pub fn last(&self) -> &'a Recorded {
        self.last
    }

    /// The course stream and the sequence up to which it must be folded for [`Self::render`]: that of the last event,
    /// or the one before it where the event takes away what is told.
    pub fn needs(&self) -> Option<(&'a StreamId, u64)> {
        let needed = self.last.sequence - u64::from(self.takes_away());
        match self.entity {
            Entity::Course | Entity::Module(_) => Some((&self.last.stream, needed)),
            Entity::Enrollment { .. } => None,
        }
    }

    fn takes_away(&self) -> bool {
        matches!(
            self.last.event,
            Event::Course(
                CourseEvent::ModuleRemoved { .. } | CourseEvent::InstructorRemoved { .. }
            )
        )
    }

    /// The record, given the fold that [`Self::needs`] asks for.
    pub fn render(&self, course: Option<&Course>) -> Result<Outbound, Untellable> {
        let value = match &self.entity {
            Entity::Course => self.course_value(self.state(course)?),
            Entity::Module(id) => self.module_value(self.state(course)?, id)?,
            Entity::Enrollment { student, via } => self.enrollment_value(student, *via)?,
        };
        let value = value.map_err(|error| self.untellable(error.to_string()))?;
        let (key, headers) = (self.key().to_owned(), self.headers());
        Ok(Outbound { topic: self.topic, key, value, headers, timestamp: self.last.recorded_at })
    }

    /// Where it goes.
    pub fn topic(&self) -> Topic {
        self.topic
    }

    /// The key of its record.
    pub fn key(&self) -> &'a str {
        match self.entity {
            Entity::Course | Entity::Module(_) => &self.last.stream.id,
            Entity::Enrollment { student, .. } => student.as_str(),
        }
    }

    /// What it is about, as its header says.
    pub fn subject(&self) -> &'a str {
        match self.entity {
            Entity::Course | Entity::Enrollment { .. } => &self.last.stream.id,
            Entity::Module(id) => id.as_str(),
        }
    }

    fn course_value(&self, course: &Course) -> serde_json::Result<Vec<u8>> {
        if self.topic == Topic::CourseDeletion {
            return serde_json::to_vec(&CourseMessage {
                course_id: course.id.as_str(),
                course_data: DeletedCourse::of(course),
                changes: None,
                deleted_at: Some(event_time(self.last.recorded_at)),
                envelope: self.envelope(),
            });
        }
        let mut course = Cow::Borrowed(course);
        let mut changes = self.changes.clone();
        if let Event::Course(removed @ CourseEvent::InstructorRemoved { instructor_id }) =
            &self.last.event
        {
            if course.instructor_ids.first() == Some(instructor_id) {
                changes.insert(0, "instructor");
            }
            course.to_mut().apply(removed.clone());
        }
        serde_json::to_vec(&CourseMessage {
            course_id: course.id.as_str(),
            course_data: CourseData::of(&course),
            changes: (self.topic == Topic::CourseUpdate).then_some(changes.as_slice()),
            deleted_at: None,
            envelope: self.envelope(),
        })
    }

    fn module_value(
        &self,
        course: &Course,
        id: &ModuleId,
    ) -> Result<serde_json::Result<Vec<u8>>, Untellable> {
        let found = course.modules.iter().enumerate().find(|(_, module)| module.id == *id);
        let (position, module) =
            found.ok_or_else(|| self.untellable(format!("the course has no module {id}")))?;
        let data = ModuleData::of(position, module, course);
        let removed = matches!(self.last.event, Event::Course(CourseEvent::ModuleRemoved { .. }));
        Ok(serde_json::to_vec(&ModuleMessage {
            course_id: course.id.as_str(),
            module_id: id.as_str(),
            module_data: if removed { data.removed() } else { data },
            changes: (self.topic == Topic::ModuleUpdate).then_some(self.changes.as_slice()),
            envelope: self.envelope(),
        }))
    }

    fn enrollment_value(
        &self,
        student: &UserId,
        via: Via,
    ) -> Result<serde_json::Result<Vec<u8>>, Untellable> {
        let Event::Enrollment(EnrollmentEvent::StudentEnrolled { course_id, .. }) =
            &self.last.event
        else {
            return Err(self.untellable("its last event does not enroll".to_owned()));
        };
        Ok(serde_json::to_vec(&EnrollmentMessage {
            course_id: course_id.as_str(),
            student_id: student.as_str(),
            enrollment_id: &self.last.stream.id,
            enrolled_at: event_time(self.last.recorded_at),
            enrollment_data: EnrollmentData { status: "ACTIVE", via: value::via_name(via) },
            envelope: self.envelope(),
        }))
    }

    fn state<'c>(&self, course: Option<&'c Course>) -> Result<&'c Course, Untellable> {
        let needed = self.needs().map_or(0, |(_, sequence)| sequence);
        let course = course.filter(|course| course.version == needed);
        course.ok_or_else(|| self.untellable(format!("its course is not at version {needed}")))
    }

    fn untellable(&self, why: String) -> Untellable {
        Untellable { event: self.last.event_id, why }
    }

    fn envelope(&self) -> Envelope {
        Envelope {
            event_id: self.last.event_id,
            event_type: event_type(self.topic),
            schema_version: 1,
            version: version(self.last),
            occurred_at: event_time(self.last.recorded_at),
        }
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let metadata = &self.last.metadata;
        let causation =
            metadata.causation_id.clone().unwrap_or_else(|| self.last.command_id.to_string());
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", self.last.event_id.to_string()),
            ("ce_source", SOURCE.to_owned()),
            ("ce_type", ce_type(self.topic).to_owned()),
            ("ce_subject", self.subject().to_owned()),
            ("ce_time", event_time(self.last.recorded_at)),
            ("ce_sequence", format!("{:020}", self.last.position.number)),
        ];
        headers.extend(metadata.correlation_id.clone().map(|id| ("ce_correlationid", id)));
        headers.push(("ce_causationid", causation));
        headers.extend(metadata.traceparent.clone().map(|parent| ("traceparent", parent)));
        headers
    }
}

/// The outgoing version of an event: rises with its stream's sequence, over restores too.
pub fn version(event: &Recorded) -> u64 {
    (u64::from(event.position.epoch.unsigned_abs()) << 32) + event.sequence
}

/// The time of an event: RFC 3339, UTC, milliseconds.
fn event_time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `eventType` of the value: never rename.
fn event_type(topic: Topic) -> &'static str {
    match topic {
        Topic::CourseCreation => "CourseCreated",
        Topic::CourseUpdate => "CourseUpdated",
        Topic::CourseDeletion => "CourseDeleted",
        Topic::ModuleCreation => "ModuleCreated",
        Topic::ModuleUpdate => "ModuleUpdated",
        Topic::StudentEnrolled => "StudentEnrolled",
    }
}

/// `ce_type`: never rename.
fn ce_type(topic: Topic) -> &'static str {
    match topic {
        Topic::CourseCreation => "org.courseservice.course.created.v1",
        Topic::CourseUpdate => "org.courseservice.course.updated.v1",
        Topic::CourseDeletion => "org.courseservice.course.deleted.v1",
        Topic::ModuleCreation => "org.courseservice.module.created.v1",
        Topic::ModuleUpdate => "org.courseservice.module.updated.v1",
        Topic::StudentEnrolled => "org.courseservice.student.enrolled.v1",
    }
}

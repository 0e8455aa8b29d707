//! The course: its content and lifecycle, `DRAFT ⇄ PUBLISHED → ARCHIVED → PUBLISHED`, `DELETED` from any of them.
//!
//! Seats are a consistency boundary of their own (`seats`): nothing here counts students.

mod assessment;
mod command;
mod decide;
mod event;
mod module;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

pub use self::assessment::Assessment;
pub use self::command::{
    CourseAction, CourseCommand, CoursePatch, ItemPatch, ModulePatch, NewCourse, NewItem,
};
pub use self::decide::AssessmentPatch;
pub use self::event::CourseEvent;
pub use self::module::{ItemKind, Module, ModuleItem, PublicationState};
use super::actor::{Actor, Role};
use super::ids::{AssessmentId, CourseId, ItemId, ModuleId, UserId};
use super::refusal::Refusal;
use super::values::json_len;

/// Where a course stands in its lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CourseStatus {
    /// There is no such course.
    #[default]
    Missing,
    /// Only its instructors see it.
    Draft,
    /// Everybody sees it, students enroll.
    Published,
    /// Concluded: its instructors see it, nobody enrolls, seats stay as they are.
    Archived,
    /// Gone for ever; its enrollments stay as they are.
    Deleted,
}

impl CourseStatus {
    /// The status as it stands on Kafka and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "MISSING",
            Self::Draft => "DRAFT",
            Self::Published => "PUBLISHED",
            Self::Archived => "ARCHIVED",
            Self::Deleted => "DELETED",
        }
    }
}

/// The state of a course: the fold of its stream.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Course {
    /// The number of events so far: the sequence of the last one.
    pub version: u64,
    /// Its id.
    pub id: CourseId,
    /// Unique among courses that are not deleted, without regard to case.
    pub code: String,
    /// 1..255 characters.
    pub title: String,
    /// At most 16 KiB.
    pub description: Option<String>,
    /// Who teaches it; never empty once it exists.
    pub instructor_ids: Vec<UserId>,
    /// Where it stands.
    pub status: CourseStatus,
    /// Seats; `None` is unlimited, 0 is closed.
    pub capacity: Option<u32>,
    /// First instant of the course.
    pub starts_at: Option<DateTime<Utc>>,
    /// The instant after its last.
    pub ends_at: Option<DateTime<Utc>>,
    /// First instant of the enrollment window.
    pub enrollment_opens_at: Option<DateTime<Utc>>,
    /// The instant after its last.
    pub enrollment_closes_at: Option<DateTime<Utc>>,
    /// At most 50.
    pub tags: Vec<String>,
    /// Percent, 0..100.
    pub passing_score: Option<f64>,
    /// In order.
    pub modules: Vec<Module>,
    /// As the assessment service reports them.
    pub assessments: BTreeMap<AssessmentId, Assessment>,
}

impl Course {
    /// Whether `actor` teaches this course.
    pub fn taught_by(&self, actor: &Actor) -> bool {
        actor.role == Role::Instructor && self.instructor_ids.contains(&actor.id)
    }

    /// Whether `actor` may see this course at all.
    pub fn visible_to(&self, actor: &Actor) -> bool {
        match self.status {
            CourseStatus::Missing => false,
            CourseStatus::Published => true,
            CourseStatus::Draft | CourseStatus::Archived | CourseStatus::Deleted => {
                actor.admin() || self.taught_by(actor)
            }
        }
    }

    /// Refuses who may not change this course: `NOT_FOUND` where they may not even see it, else `FORBIDDEN`.
    pub fn check_changeable_by(&self, actor: &Actor) -> Result<(), Refusal> {
        if self.status == CourseStatus::Missing || !self.visible_to(actor) {
            return Err(Refusal::course_not_found());
        }
        if actor.admin() || self.taught_by(actor) {
            return Ok(());
        }
        Err(Refusal::Forbidden { rule: "only an instructor of the course or an admin may" })
    }

    /// The module with this id.
    pub fn module(&self, id: &ModuleId) -> Option<&Module> {
        self.modules.iter().find(|module| module.id == *id)
    }

    /// The item with this id, and the module that holds it.
    pub fn item(&self, id: &ItemId) -> Option<(&Module, &ModuleItem)> {
        self.modules.iter().find_map(|module| module.item(id).map(|item| (module, item)))
    }

    /// Upper bound of the bytes that the JSON of this course takes on Kafka, `changes` and envelope aside.
    pub fn outgoing_bytes(&self) -> usize {
        let list = |items: &[String]| items.iter().map(|item| json_len(item) + 1).sum::<usize>();
        let ids = |ids: &[UserId]| ids.iter().map(|id| json_len(id.as_str()) + 1).sum::<usize>();
        json_len(&self.code)
            + json_len(&self.title)
            + self.description.as_deref().map_or(0, json_len)
            + list(&self.tags)
            + 2 * ids(&self.instructor_ids)
            + self.modules.iter().map(Module::summary_bytes).sum::<usize>()
            + self.assessments.iter().map(|(id, one)| one.outgoing_bytes(id)).sum::<usize>()
    }
}

impl Aggregate for Course {
    const TYPE: &'static str = "course"; // stored with every event: never rename
    type Command = CourseCommand;
    type Event = CourseEvent;
    type Error = Refusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: CourseCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refusal> {
        for event in self.decide(&command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: CourseEvent) {
        self.version += 1;
        match event {
            CourseEvent::CourseCreated {
                course_id,
                code,
                title,
                description,
                instructor_ids,
                capacity,
                starts_at,
                ends_at,
                enrollment_opens_at,
                enrollment_closes_at,
                tags,
                passing_score,
            } => {
                *self = Self {
                    version: self.version,
                    id: course_id,
                    code,
                    title,
                    description,
                    instructor_ids,
                    status: CourseStatus::Draft,
                    capacity,
                    starts_at,
                    ends_at,
                    enrollment_opens_at,
                    enrollment_closes_at,
                    tags,
                    passing_score,
                    modules: Vec::new(),
                    assessments: BTreeMap::new(),
                };
            }
            CourseEvent::CoursePublished {} | CourseEvent::CourseRestored {} => {
                self.status = CourseStatus::Published;
            }
            CourseEvent::CourseUnpublished {} => self.status = CourseStatus::Draft,
            CourseEvent::CourseArchived {} => self.status = CourseStatus::Archived,
            CourseEvent::InstructorAssigned { instructor_id } => {
                self.instructor_ids.push(instructor_id);
            }
            CourseEvent::InstructorRemoved { instructor_id } => {
                self.instructor_ids.retain(|id| *id != instructor_id);
            }
            CourseEvent::CourseDetailsChanged { code, title, description, tags, passing_score } => {
                assign(&mut self.code, code);
                assign(&mut self.title, title);
                assign(&mut self.description, description);
                assign(&mut self.tags, tags);
                assign(&mut self.passing_score, passing_score);
            }
            CourseEvent::CourseScheduleChanged {
                starts_at,
                ends_at,
                enrollment_opens_at,
                enrollment_closes_at,
            } => {
                assign(&mut self.starts_at, starts_at);
                assign(&mut self.ends_at, ends_at);
                assign(&mut self.enrollment_opens_at, enrollment_opens_at);
                assign(&mut self.enrollment_closes_at, enrollment_closes_at);
            }
            CourseEvent::CourseCapacityChanged { capacity } => self.capacity = capacity,
            CourseEvent::CourseDeleted { reason: _ } => self.status = CourseStatus::Deleted,
            CourseEvent::ModuleAdded { .. }
            | CourseEvent::ModuleDetailsChanged { .. }
            | CourseEvent::ModuleRemoved { .. }
            | CourseEvent::ModulesReordered { .. }
            | CourseEvent::ModuleItemAdded { .. }
            | CourseEvent::ModuleItemChanged { .. }
            | CourseEvent::ModuleItemRemoved { .. }
            | CourseEvent::ModuleItemsReordered { .. }
            | CourseEvent::VideoTranscoded { .. }
            | CourseEvent::VideoTranscodingFailed { .. } => self.apply_to_modules(event),
            CourseEvent::AssessmentAttached { .. } | CourseEvent::AssessmentChanged { .. } => {
                self.apply_to_assessments(event);
            }
        }
    }
}

fn assign<T>(field: &mut T, change: Option<T>) {
    if let Some(value) = change {
        *field = value;
    }
}

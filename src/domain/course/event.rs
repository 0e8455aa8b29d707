//! What happened to a course. Events are for ever: fields are only ever added, with defaults; names are never
//! reused; anything else is a new version with an upcaster and a fixture of the old JSON.

use chrono::{DateTime, Utc};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use super::PublicationState;
use crate::domain::ids::{CourseId, ModuleId, UserId};
use crate::domain::values::present;

/// A stored fact about a course. In the `…Changed` events an absent field did not change and null was cleared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the course")]
pub enum CourseEvent {
    /// A course came into being, as a draft.
    CourseCreated {
        course_id: CourseId,
        code: String,
        title: String,
        #[serde(default)]
        description: Option<String>,
        instructor_ids: Vec<UserId>,
        #[serde(default)]
        capacity: Option<u32>,
        #[serde(default)]
        starts_at: Option<DateTime<Utc>>,
        #[serde(default)]
        ends_at: Option<DateTime<Utc>>,
        #[serde(default)]
        enrollment_opens_at: Option<DateTime<Utc>>,
        #[serde(default)]
        enrollment_closes_at: Option<DateTime<Utc>>,
        #[serde(default)]
        tags: Vec<String>,
        #[serde(default)]
        passing_score: Option<f64>,
    },
    /// Everybody may see it and students may enroll.
    CoursePublished {},
    /// Its describing fields changed.
    CourseDetailsChanged {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        description: Option<Option<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tags: Option<Vec<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        passing_score: Option<Option<f64>>,
    },
    /// Its dates or its enrollment window changed.
    CourseScheduleChanged {
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        starts_at: Option<Option<DateTime<Utc>>>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        ends_at: Option<Option<DateTime<Utc>>>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        enrollment_opens_at: Option<Option<DateTime<Utc>>>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        enrollment_closes_at: Option<Option<DateTime<Utc>>>,
    },
    /// Its number of seats changed; null is unlimited.
    CourseCapacityChanged { capacity: Option<u32> },
    /// It is gone for ever.
    CourseDeleted {
        #[serde(default)]
        reason: Option<String>,
    },
    /// A module was inserted at `position`; those behind it moved up by one.
    ModuleAdded {
        module_id: ModuleId,
        title: String,
        #[serde(default)]
        summary: Option<String>,
        position: u32,
    },
    /// A module's describing fields changed.
    ModuleDetailsChanged {
        module_id: ModuleId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        summary: Option<Option<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<PublicationState>,
    },
}

impl CourseEvent {
    /// The stored type name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CourseCreated { .. } => "CourseCreated",
            Self::CoursePublished {} => "CoursePublished",
            Self::CourseDetailsChanged { .. } => "CourseDetailsChanged",
            Self::CourseScheduleChanged { .. } => "CourseScheduleChanged",
            Self::CourseCapacityChanged { .. } => "CourseCapacityChanged",
            Self::CourseDeleted { .. } => "CourseDeleted",
            Self::ModuleAdded { .. } => "ModuleAdded",
            Self::ModuleDetailsChanged { .. } => "ModuleDetailsChanged",
        }
    }
}

impl DomainEvent for CourseEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

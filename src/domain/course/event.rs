//! What happened to a course. Events are for ever: fields are only ever added, with defaults; names are never
//! reused; anything else is a new version with an upcaster and a fixture of the old JSON.

use chrono::{DateTime, Utc};
use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use super::module::{ItemKind, PublicationState};
use crate::domain::ids::{AssessmentId, CourseId, ItemId, ModuleId, UserId, VideoId};
use crate::domain::report::Rendition;
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
    /// It is a draft again.
    CourseUnpublished {},
    /// It is concluded: nobody enrolls any more.
    CourseArchived {},
    /// It is published again after it had been archived.
    CourseRestored {},
    /// Another instructor teaches it.
    InstructorAssigned { instructor_id: UserId },
    /// An instructor no longer teaches it.
    InstructorRemoved { instructor_id: UserId },
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
    /// A module is gone, with its items; those behind it moved down by one.
    ModuleRemoved { module_id: ModuleId },
    /// The modules have this order from now on: all of them.
    ModulesReordered { module_ids: Vec<ModuleId> },
    /// An item was inserted into a module at `position`; those behind it moved up by one.
    ModuleItemAdded {
        module_id: ModuleId,
        item_id: ItemId,
        kind: ItemKind,
        title: String,
        required: bool,
        position: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        video_id: Option<VideoId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assessment_id: Option<AssessmentId>,
    },
    /// An item's own fields changed.
    ModuleItemChanged {
        module_id: ModuleId,
        item_id: ItemId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        required: Option<bool>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        url: Option<Option<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<PublicationState>,
    },
    /// An item is gone; those behind it moved down by one.
    ModuleItemRemoved { module_id: ModuleId, item_id: ItemId },
    /// The items of a module have this order from now on: all of them.
    ModuleItemsReordered { module_id: ModuleId, item_ids: Vec<ItemId> },
    /// The assessment service has an assessment for the course. `module_id` is where it wants to be shown, `shown_in`
    /// the module of the course that shows it now.
    AssessmentAttached {
        assessment_id: AssessmentId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        module_id: Option<ModuleId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shown_in: Option<ModuleId>,
        title: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        max_score: f64,
        weight: f64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due_at: Option<DateTime<Utc>>,
        required: bool,
    },
    /// An assessment changed. `shown_in` names the modules that showed it or show it now.
    AssessmentChanged {
        assessment_id: AssessmentId,
        #[serde(default)]
        shown_in: Vec<ModuleId>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        module_id: Option<Option<ModuleId>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        kind: Option<Option<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_score: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        due_at: Option<Option<DateTime<Utc>>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        required: Option<bool>,
    },
    /// The video of an item can be played.
    VideoTranscoded {
        module_id: ModuleId,
        item_id: ItemId,
        video_id: VideoId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        playback_url: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_seconds: Option<f64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thumbnail_url: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        renditions: Vec<Rendition>,
    },
    /// The video of an item cannot be played.
    VideoTranscodingFailed {
        module_id: ModuleId,
        item_id: ItemId,
        video_id: VideoId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
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
            Self::CourseUnpublished {} => "CourseUnpublished",
            Self::CourseArchived {} => "CourseArchived",
            Self::CourseRestored {} => "CourseRestored",
            Self::InstructorAssigned { .. } => "InstructorAssigned",
            Self::InstructorRemoved { .. } => "InstructorRemoved",
            Self::ModuleRemoved { .. } => "ModuleRemoved",
            Self::ModulesReordered { .. } => "ModulesReordered",
            Self::ModuleItemAdded { .. } => "ModuleItemAdded",
            Self::ModuleItemChanged { .. } => "ModuleItemChanged",
            Self::ModuleItemRemoved { .. } => "ModuleItemRemoved",
            Self::ModuleItemsReordered { .. } => "ModuleItemsReordered",
            Self::AssessmentAttached { .. } => "AssessmentAttached",
            Self::AssessmentChanged { .. } => "AssessmentChanged",
            Self::VideoTranscoded { .. } => "VideoTranscoded",
            Self::VideoTranscodingFailed { .. } => "VideoTranscodingFailed",
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

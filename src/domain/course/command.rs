//! What can be asked of a course.

use chrono::{DateTime, Utc};

use super::{ItemKind, PublicationState};
use crate::domain::actor::Actor;
use crate::domain::ids::{AssessmentId, CourseId, ItemId, ModuleId, UserId, VideoId};
use crate::domain::report::VideoResult;
use crate::domain::values::Patch;

/// A command with who gives it and what they believe about the course.
#[derive(Debug, Clone, PartialEq)]
pub struct CourseCommand {
    /// Who asks.
    pub actor: Actor,
    /// The version that the caller has seen; another one is a CONFLICT.
    pub expected_version: Option<u64>,
    /// What is asked.
    pub action: CourseAction,
}

/// What is asked of a course. Looked-up facts are `code_owner`, who holds the wanted code now, `seats_taken` and
/// `waiting`, how many students have a seat or wait for one, and `video`, what is known of a new item's video.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of the course")]
pub enum CourseAction {
    Create { course: Box<NewCourse>, code_owner: Option<CourseId> },
    Update { patch: Box<CoursePatch>, code_owner: Option<CourseId> },
    AssignInstructor { instructor_id: UserId },
    RemoveInstructor { instructor_id: UserId },
    Publish,
    Unpublish { seats_taken: u32, waiting: u32 },
    Archive,
    Restore,
    Delete { force: bool, reason: Option<String>, seats_taken: u32 },
    AddModule { module_id: ModuleId, title: String, summary: Option<String>, position: Option<i64> },
    UpdateModule { module_id: ModuleId, patch: ModulePatch },
    RemoveModule { module_id: ModuleId },
    ReorderModules { module_ids: Vec<ModuleId> },
    AddItem { module_id: ModuleId, item: Box<NewItem>, video: Option<VideoResult> },
    UpdateItem { item_id: ItemId, patch: ItemPatch },
    RemoveItem { item_id: ItemId },
    ReorderItems { module_id: ModuleId, item_ids: Vec<ItemId> },
}

/// A course to be.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the fields are those of the course")]
pub struct NewCourse {
    pub id: CourseId,
    pub code: String,
    pub title: String,
    pub description: Option<String>,
    /// Who teaches it beside the instructor that creates it.
    pub co_instructor_ids: Vec<UserId>,
    pub capacity: Option<i64>,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub enrollment_opens_at: Option<DateTime<Utc>>,
    pub enrollment_closes_at: Option<DateTime<Utc>>,
    pub tags: Vec<String>,
    pub passing_score: Option<f64>,
    /// Publish it at once.
    pub publish: bool,
}

/// Changes of a course.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the fields are those of the course")]
pub struct CoursePatch {
    pub code: Patch<String>,
    pub title: Patch<String>,
    pub description: Patch<String>,
    pub tags: Patch<Vec<String>>,
    pub passing_score: Patch<f64>,
    pub capacity: Patch<i64>,
    pub starts_at: Patch<DateTime<Utc>>,
    pub ends_at: Patch<DateTime<Utc>>,
    pub enrollment_opens_at: Patch<DateTime<Utc>>,
    pub enrollment_closes_at: Patch<DateTime<Utc>>,
}

/// Changes of a module.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the fields are those of the module")]
pub struct ModulePatch {
    pub title: Patch<String>,
    pub summary: Patch<String>,
    pub state: Patch<PublicationState>,
}

/// An item to be.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of the item")]
pub struct NewItem {
    pub id: ItemId,
    pub kind: ItemKind,
    pub title: String,
    pub required: bool,
    /// Where it goes; absent is the end.
    pub position: Option<i64>,
    pub url: Option<String>,
    pub video_id: Option<VideoId>,
    pub assessment_id: Option<AssessmentId>,
}

/// Changes of an item.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the fields are those of the item")]
pub struct ItemPatch {
    pub title: Patch<String>,
    pub required: Patch<bool>,
    pub url: Patch<String>,
    pub state: Patch<PublicationState>,
}

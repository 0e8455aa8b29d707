//! Modules of a course and their items: the state that events leave.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{AssessmentId, ItemId, ModuleId, VideoId};

/// Whether a module or an item shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PublicationState {
    /// Only instructors see it.
    Unpublished,
    /// Whoever sees the course sees it.
    #[default]
    Published,
}

impl PublicationState {
    /// The state as it stands on Kafka and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unpublished => "UNPUBLISHED",
            Self::Published => "PUBLISHED",
        }
    }
}

/// What a module item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ItemKind {
    /// A page of text.
    Page,
    /// A video of the transcoding service.
    Video,
    /// An assessment of the assessment service.
    Assessment,
    /// A file to download.
    File,
    /// A link to elsewhere.
    Link,
}

impl ItemKind {
    /// The kind as it stands on Kafka and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "PAGE",
            Self::Video => "VIDEO",
            Self::Assessment => "ASSESSMENT",
            Self::File => "FILE",
            Self::Link => "LINK",
        }
    }
}

/// An entry of a module. Its position is its index in [`Module::items`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleItem {
    /// Its id.
    pub id: ItemId,
    /// What it is; never changes.
    pub kind: ItemKind,
    /// 1..255 characters.
    pub title: String,
    /// Whether it counts for a student's progress.
    pub required: bool,
    /// Whether it shows.
    pub state: PublicationState,
    /// Where it leads; of a FILE or LINK always there.
    pub url: Option<String>,
    /// The video of a VIDEO.
    pub video_id: Option<VideoId>,
    /// The assessment of an ASSESSMENT.
    pub assessment_id: Option<AssessmentId>,
}

/// An ordered unit of a course. Its position is its index in [`super::Course::modules`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Its id.
    pub id: ModuleId,
    /// 1..255 characters.
    pub title: String,
    /// At most 16 KiB.
    pub summary: Option<String>,
    /// Whether it shows.
    pub state: PublicationState,
    /// In order.
    pub items: Vec<ModuleItem>,
    /// The course version that added it.
    pub added_in: u64,
    /// The course version that changed its own fields last.
    pub changed_in: u64,
}

impl Module {
    /// The item with this id.
    pub fn item(&self, id: &ItemId) -> Option<&ModuleItem> {
        self.items.iter().find(|item| item.id == *id)
    }
}

/// Puts a list into the order of these ids. What the ids do not name keeps its order behind the rest.
pub(super) fn reorder<T, I: PartialEq>(list: &mut [T], ids: &[I], id_of: impl Fn(&T) -> &I) {
    list.sort_by_cached_key(|entry| {
        ids.iter().position(|id| id == id_of(entry)).unwrap_or(usize::MAX)
    });
}

//! Modules of a course and their items, and the state that events leave of them.

use std::collections::HashMap;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use super::{Course, CourseEvent, assign};
use crate::domain::ids::{AssessmentId, ItemId, ModuleId, VideoId};
use crate::domain::report::VideoResult;
use crate::domain::values::json_len;

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// What became of the video, once that is known.
    pub video: Option<VideoResult>,
}

/// An ordered unit of a course. Its position is its index in [`super::Course::modules`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
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

impl ModuleItem {
    /// Upper bound of the bytes that this item takes in the JSON of its module on Kafka.
    pub(super) fn outgoing_bytes(&self) -> usize {
        json_len(self.id.as_str())
            + json_len(&self.title)
            + self.url.as_deref().map_or(0, json_len)
            + self.video_id.as_ref().map_or(0, |id| json_len(id.as_str()))
            + self.assessment_id.as_ref().map_or(0, |id| json_len(id.as_str()))
            + self.video.as_ref().map_or(0, video_bytes)
            + 160
    }
}

/// Upper bound of the bytes that the result of a video takes in the JSON of its item on Kafka.
fn video_bytes(result: &VideoResult) -> usize {
    let text = |text: &Option<String>| text.as_deref().map_or(0, json_len);
    256 + match result {
        VideoResult::Ready { playback_url, duration_seconds: _, thumbnail_url, renditions } => {
            let renditions = renditions
                .iter()
                .map(|one| json_len(&one.quality) + json_len(&one.url) + 128)
                .sum::<usize>();
            text(playback_url) + text(thumbnail_url) + renditions
        }
        VideoResult::Failed { reason } => text(reason),
    }
}

impl Module {
    /// The item with this id.
    pub fn item(&self, id: &ItemId) -> Option<&ModuleItem> {
        self.items.iter().find(|item| item.id == *id)
    }

    /// Upper bound of the bytes that the JSON of this module takes on Kafka, `changes` and envelope aside.
    pub fn outgoing_bytes(&self) -> usize {
        json_len(self.id.as_str())
            + json_len(&self.title)
            + self.summary.as_deref().map_or(0, json_len)
            + self.items.iter().map(ModuleItem::outgoing_bytes).sum::<usize>()
    }

    /// Upper bound of the bytes that this module takes in the JSON of its course on Kafka.
    pub(super) fn summary_bytes(&self) -> usize {
        json_len(self.id.as_str()) + json_len(&self.title) + 64
    }
}

impl Course {
    /// What happened to a module or its items; every other event passes it by.
    pub(super) fn apply_to_modules(&mut self, event: CourseEvent) {
        match event {
            CourseEvent::ModuleAdded { module_id, title, summary, position } => {
                let module = Module {
                    id: module_id,
                    title,
                    summary,
                    state: PublicationState::Published,
                    items: Vec::new(),
                    added_in: self.version,
                    changed_in: self.version,
                };
                insert(&mut self.modules, position, module);
            }
            CourseEvent::ModuleDetailsChanged { module_id, title, summary, state } => {
                let version = self.version;
                if let Some(module) = self.module_mut(&module_id) {
                    assign(&mut module.title, title);
                    assign(&mut module.summary, summary);
                    assign(&mut module.state, state);
                    module.changed_in = version;
                }
            }
            CourseEvent::ModuleRemoved { module_id } => {
                self.modules.retain(|module| module.id != module_id);
            }
            CourseEvent::ModulesReordered { module_ids } => {
                reorder(&mut self.modules, &module_ids, |module| &module.id);
            }
            CourseEvent::ModuleItemAdded {
                module_id,
                item_id,
                kind,
                title,
                required,
                position,
                url,
                video_id,
                assessment_id,
            } => {
                let state = PublicationState::Published;
                let id = item_id;
                let item = ModuleItem {
                    id,
                    kind,
                    title,
                    required,
                    state,
                    url,
                    video_id,
                    assessment_id,
                    video: None,
                };
                if let Some(module) = self.module_mut(&module_id) {
                    insert(&mut module.items, position, item);
                }
            }
            CourseEvent::ModuleItemChanged { module_id, item_id, title, required, url, state } => {
                if let Some(item) = self.item_mut(&module_id, &item_id) {
                    assign(&mut item.title, title);
                    assign(&mut item.required, required);
                    assign(&mut item.url, url);
                    assign(&mut item.state, state);
                }
            }
            CourseEvent::ModuleItemRemoved { module_id, item_id } => {
                if let Some(module) = self.module_mut(&module_id) {
                    module.items.retain(|item| item.id != item_id);
                }
            }
            CourseEvent::ModuleItemsReordered { module_id, item_ids } => {
                if let Some(module) = self.module_mut(&module_id) {
                    reorder(&mut module.items, &item_ids, |item| &item.id);
                }
            }
            CourseEvent::VideoTranscoded {
                module_id,
                item_id,
                video_id: _,
                playback_url,
                duration_seconds,
                thumbnail_url,
                renditions,
            } => {
                if let Some(item) = self.item_mut(&module_id, &item_id) {
                    item.video = Some(VideoResult::Ready {
                        playback_url,
                        duration_seconds,
                        thumbnail_url,
                        renditions,
                    });
                }
            }
            CourseEvent::VideoTranscodingFailed { module_id, item_id, video_id: _, reason } => {
                if let Some(item) = self.item_mut(&module_id, &item_id) {
                    item.video = Some(VideoResult::Failed { reason });
                }
            }
            _ => {}
        }
    }

    fn item_mut(&mut self, module: &ModuleId, item: &ItemId) -> Option<&mut ModuleItem> {
        self.module_mut(module)?.items.iter_mut().find(|other| other.id == *item)
    }

    fn module_mut(&mut self, id: &ModuleId) -> Option<&mut Module> {
        self.modules.iter_mut().find(|module| module.id == *id)
    }
}

fn insert<T>(list: &mut Vec<T>, position: u32, entry: T) {
    let index = usize::try_from(position).unwrap_or(usize::MAX);
    list.insert(index.min(list.len()), entry);
}

/// Puts a list into the order of these ids. What the ids do not name keeps its order behind the rest.
fn reorder<T, I: Eq + Hash>(list: &mut [T], ids: &[I], id_of: impl Fn(&T) -> &I) {
    let places: HashMap<&I, usize> = ids.iter().zip(0..).collect();
    list.sort_by_cached_key(|entry| places.get(id_of(entry)).copied().unwrap_or(usize::MAX));
}

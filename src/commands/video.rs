//! What the write side knows of a video before any item shows it: its result, and the courses that must hear of one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::report::{Stamp, VideoResult};
use crate::domain::{CourseId, VideoId};

/// The set of videos, each with its [`VideoRecord`]. Stored: never rename.
pub(super) const VIDEOS: &str = "video";

/// What is kept of a video, as JSON. Whoever adds an item and whoever reports a result replace it, so neither misses
/// the other.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct VideoRecord {
    /// The courses that had an item with it; some may have removed it since.
    #[serde(default)]
    pub(super) courses: BTreeSet<CourseId>,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) result: Option<VideoResult>,
    /// How new that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stamp: Option<Stamp>,
}

impl VideoRecord {
    /// Reads what is kept; of a video that nobody knows the default.
    pub(super) fn parse(kept: Option<&str>) -> Self {
        kept.and_then(|kept| serde_json::from_str(kept).ok()).unwrap_or_default()
    }

    /// The form in which it is kept.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // of texts and finite numbers only
    }
}

/// The key of a video.
pub(super) fn video_key(id: &VideoId) -> (&'static str, String) {
    (VIDEOS, id.to_string())
}

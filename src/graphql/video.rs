//! Videos: what the transcoding service reports of them.

use async_graphql::{Enum, ID, SimpleObject};

use crate::domain::report::{Rendition, VideoResult};

/// What became of a video.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum VideoState {
    /// Nothing was reported yet.
    Pending,
    /// It can be played.
    Ready,
    /// It cannot be played.
    Failed,
}

/// A video of the transcoding service.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(unresolvable = "id")]
pub(super) struct VideoAsset {
    /// The id that the transcoding service gave it.
    id: ID,
    /// What became of it.
    #[graphql(shareable)]
    state: VideoState,
    /// Where it is played, once it is READY.
    #[graphql(shareable)]
    playback_url: Option<String>,
    /// How long it is, in seconds.
    #[graphql(shareable)]
    duration_seconds: Option<f64>,
    /// A picture of it.
    #[graphql(shareable)]
    thumbnail_url: Option<String>,
    /// How it is encoded; at most 32.
    #[graphql(shareable)]
    renditions: Vec<VideoRendition>,
    /// Why it cannot be played, where it is FAILED and a reason was reported.
    #[graphql(shareable)]
    failure_reason: Option<String>,
}

/// One encoding of a video.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(shareable)]
pub(super) struct VideoRendition {
    /// What the transcoding service calls it, such as `720p`.
    quality: String,
    /// Where it is.
    url: String,
    /// In pixels.
    width: Option<u32>,
    /// In pixels.
    height: Option<u32>,
    /// Kilobits a second.
    bitrate_kbps: Option<u32>,
}

impl VideoAsset {
    /// A video and what is known of it.
    pub(super) fn of(id: &str, result: Option<VideoResult>) -> Self {
        let pending = Self {
            id: id.into(),
            state: VideoState::Pending,
            playback_url: None,
            duration_seconds: None,
            thumbnail_url: None,
            renditions: Vec::new(),
            failure_reason: None,
        };
        match result {
            None => pending,
            Some(VideoResult::Ready {
                playback_url,
                duration_seconds,
                thumbnail_url,
                renditions,
            }) => Self {
                state: VideoState::Ready,
                playback_url,
                duration_seconds,
                thumbnail_url,
                renditions: renditions.into_iter().map(VideoRendition::from).collect(),
                ..pending
            },
            Some(VideoResult::Failed { reason }) => {
                Self { state: VideoState::Failed, failure_reason: reason, ..pending }
            }
        }
    }
}

impl From<Rendition> for VideoRendition {
    fn from(rendition: Rendition) -> Self {
        let Rendition { quality, url, width, height, bitrate_kbps } = rendition;
        Self { quality, url, width, height, bitrate_kbps }
    }
}

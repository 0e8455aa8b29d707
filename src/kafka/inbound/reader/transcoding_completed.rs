//! Transcoding-Completed: the transcoding of a video ended, well or not.

mod renditions;

use serde_json::Value;

use super::Topic;
use super::envelope::{Envelope, Shape, get, says_something};
use super::field::Field;
use super::poison::Poison;
use crate::domain::VideoId;
use crate::domain::report::{Report, TranscodingReport, VideoResult};

pub(super) const TOPIC: Topic = Topic {
    shape: Shape {
        wrappers: &["videoData", "transcodingData"],
        named: "video",
        ids: &["videoId", "assetId", "mediaId", "fileId", "key", "id", "_id"],
    },
    has_changes: false,
    times: &[
        "updatedAt",
        "modifiedAt",
        "transcodedAt",
        "completedAt",
        "finishedAt",
        "timestamp",
        "occurredAt",
        "createdAt",
    ],
    read: |envelope, _| read(envelope).map(Report::Transcoding),
};

const VIDEO: Field = Field {
    name: "videoId",
    names: &["videoId", "video", "assetId", "mediaId", "fileId", "key", "id", "_id"],
};
const STATUS: Field = Field { name: "status", names: &["status", "state"] };
const URL: Field = Field {
    name: "url",
    names: &["url", "playbackUrl", "hlsUrl", "manifestUrl", "outputUrl", "videoUrl"],
};
const RENDITIONS: Field =
    Field { name: "renditions", names: &["renditions", "outputs", "formats", "variants"] };
const DURATION: Field =
    Field { name: "duration", names: &["duration", "durationSeconds", "durationSec"] };
const MILLISECONDS: Field = Field { name: "durationMs", names: &["durationMs", "durationMillis"] };
const THUMBNAIL: Field =
    Field { name: "thumbnailUrl", names: &["thumbnailUrl", "thumbnail", "posterUrl", "poster"] };
const ERROR: Field =
    Field { name: "error", names: &["error", "errorMessage", "failureReason", "reason"] };

const MAX_URL_BYTES: usize = 2_048;
const MAX_REASON_BYTES: usize = 1_024;
/// What an object that stands for a URL may hold it in.
const URL_IN_OBJECT: [&str; 5] = ["url", "uri", "src", "playlist", "href"];

fn read(envelope: &Envelope<'_>) -> Result<TranscodingReport, Poison> {
    let video = VIDEO.id(envelope, VideoId::parse)?;
    let result = if is_playable(envelope)? {
        let url = |field: &'static Field| {
            let value = envelope.find(field.names).and_then(url_in);
            value.map(|value| url(field, value)).transpose()
        };
        let renditions = envelope.find(RENDITIONS.names).map(renditions::read).transpose()?;
        VideoResult::Ready {
            playback_url: url(&URL)?,
            duration_seconds: duration(envelope)?,
            thumbnail_url: url(&THUMBNAIL)?,
            renditions: renditions.unwrap_or_default(),
        }
    } else {
        VideoResult::Failed { reason: reason(envelope)? }
    };
    Ok(TranscodingReport { video, result })
}

/// Whether it went well. Without a status it did, unless all that is told is an error.
fn is_playable(envelope: &Envelope<'_>) -> Result<bool, Poison> {
    let Some(value) = envelope.find(STATUS.names) else {
        let has = |field: &Field| envelope.find(field.names).is_some();
        return Ok(!has(&ERROR) || has(&URL) || has(&RENDITIONS));
    };
    let known = |text: &str| match text.trim().to_ascii_uppercase().as_str() {
        "COMPLETED" | "COMPLETE" | "SUCCESS" | "SUCCEEDED" | "READY" | "DONE" => Some(true),
        "FAILED" | "FAILURE" | "ERROR" | "ERRORED" => Some(false),
        _ => None,
    };
    let rule = "must say that it is over: COMPLETED, SUCCESS, READY, FAILED or ERROR";
    value.as_str().and_then(known).ok_or(Poison::Invalid { field: STATUS.name, rule })
}

/// In seconds.
fn duration(envelope: &Envelope<'_>) -> Result<Option<f64>, Poison> {
    let rule = "must be a number of 0 or more";
    let seconds = DURATION.optional_number(envelope, rule, |n| n >= 0.0)?;
    let milliseconds = || MILLISECONDS.optional_number(envelope, rule, |n| n >= 0.0);
    match seconds {
        Some(seconds) => Ok(Some(seconds)),
        None => Ok(milliseconds()?.map(|number| number / 1_000.0)),
    }
}

/// Why it failed: cut where it is long, because it often holds the whole output of a tool.
fn reason(envelope: &Envelope<'_>) -> Result<Option<String>, Poison> {
    let Some(value) = envelope.find(ERROR.names) else { return Ok(None) };
    let value = match value {
        Value::Object(error) => get(error, "message").filter(|text| says_something(text)),
        value => Some(value),
    };
    let Some(value) = value else { return Ok(None) };
    let mut text = ERROR.text(value, "", |_| true)?;
    text.truncate(text.floor_char_boundary(MAX_REASON_BYTES));
    Ok(Some(text))
}

/// The text of a URL, which may stand in an object.
fn url_in(value: &Value) -> Option<&Value> {
    match value {
        Value::Object(fields) => {
            let mut found = URL_IN_OBJECT.iter().filter_map(|name| get(fields, name));
            found.find(|value| says_something(value))
        }
        value => Some(value),
    }
}

fn url(field: &Field, value: &Value) -> Result<String, Poison> {
    let lawful = |text: &str| text.len() <= MAX_URL_BYTES && !text.chars().any(char::is_control);
    field.text(value, "must be at most 2,048 bytes without control characters", lawful)
}

//! How new a message is.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Incoming;
use super::canonical;
use super::envelope::Envelope;
use super::field;
use super::time;
use crate::domain::report::Stamp;

/// The place of a message in the order of all messages about its object. A time that is none is passed over: it must
/// not keep what else the message says from being heard.
pub(super) fn stamp(
    record: &Incoming<'_>,
    envelope: &Envelope<'_>,
    times: &[&str],
    value: &Value,
) -> Stamp {
    let own = envelope.every(times).find_map(time::instant);
    let at = own
        .or_else(|| record.header("ce_time").and_then(time::of_text))
        .or_else(|| time::of_millis(record.timestamp))
        .map_or(0, |time| time.timestamp_millis());
    let version = envelope.every(&["version", "__v", "revision"]).find_map(field::integer);
    Stamp { at, version: version.unwrap_or(0), hash: canonical::hash(value) }
}

/// The time of a stamp, for a message that does not say when what it tells of happened.
pub(super) fn time_of(stamp: Stamp) -> DateTime<Utc> {
    time::of_millis(stamp.at).unwrap_or_default()
}

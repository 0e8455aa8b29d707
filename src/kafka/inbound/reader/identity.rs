//! By what a message is known again when it comes a second time.

use sha2::{Digest, Sha256};

use super::envelope::Envelope;
use super::{Incoming, parse, topic};

/// By what a record, poison too, is known again: the id of its event by `CloudEvents` headers; else the id that the
/// message itself has, within its topic; else where the record lies, with the hash of its value. A hash of those, so
/// that nothing foreign stands in the database.
pub fn identity(record: &Incoming<'_>) -> String {
    let value = parse(record).ok();
    let outer = value.as_ref().and_then(serde_json::Value::as_object);
    let envelope = outer.map(|outer| Envelope::open(outer, &topic(record.topic).shape));
    of(record, envelope.and_then(|envelope| envelope.event_id()))
}

/// The same, given the id that the message itself has.
pub(super) fn of(record: &Incoming<'_>, own_id: Option<String>) -> String {
    if let (Some(source), Some(id)) = (record.header("ce_source"), record.header("ce_id")) {
        return hash(["event", source, id].map(str::as_bytes));
    }
    let topic = record.topic.name().as_bytes();
    if let Some(id) = own_id {
        return hash([b"message", topic, id.as_bytes()]);
    }
    let value = record.value.map(|value| Sha256::digest(value).to_vec()).unwrap_or_default();
    hash([
        b"record",
        topic,
        &record.partition.to_be_bytes(),
        &record.offset.to_be_bytes(),
        &record.timestamp.to_be_bytes(),
        &value,
    ])
}

/// Parts that hold anything cannot run into one another: each comes with its length.
fn hash<const N: usize>(parts: [&[u8]; N]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    format!("{:x}", hash.finalize())
}

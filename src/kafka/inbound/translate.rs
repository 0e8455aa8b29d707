//! From a record to what the write side takes.

use std::sync::Arc;

use super::reader;
use crate::commands::intake::{Incoming, Origin, Reported, Unreadable};
use crate::commands::workbench::Reading;
use crate::event_store::Metadata;
use crate::event_store::inbound::Record;
use crate::kafka::personal::is_personal;
use crate::kafka::topics::InboundTopic;

/// The most headers, and the most bytes of them, that are kept of a record.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Reads a record. One that cannot be read is a message all the same: a dead letter to be.
pub fn translate(record: Record, origin: Origin) -> Incoming {
    let Some(topic) = InboundTopic::parse(&record.topic) else {
        let reason = "the topic is none that this release reads".to_owned();
        let content = Err(Unreadable { code: "UNKNOWN_TOPIC", reason });
        let identity = record.fingerprint();
        return Incoming { origin, identity, record: Arc::new(record), content };
    };
    let borrowed = reader::Incoming {
        topic,
        partition: record.partition,
        offset: record.offset,
        timestamp: record.timestamp,
        headers: &record.headers,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
    };
    let (identity, content) = match reader::read(&borrowed) {
        Ok(message) => {
            let metadata = Metadata {
                actor: None,
                correlation_id: message.correlation_id,
                causation_id: Some(message.identity.clone()),
                traceparent: message.traceparent,
            };
            let reported = Reported { stamp: message.stamp, report: message.report, metadata };
            (message.identity, Ok(reported))
        }
        Err(poison) => {
            let unreadable = Unreadable { code: poison.code(), reason: poison.to_string() };
            (reader::identity(&borrowed), Err(unreadable))
        }
    };
    Incoming { origin, identity, record: Arc::new(record), content }
}

/// How a workbench reads what was kept.
pub fn reading() -> Reading {
    Reading { translate, topics: InboundTopic::ALL.map(InboundTopic::name).to_vec(), is_personal }
}

/// The headers that are kept: the first ones, within a bound.
pub(super) fn bounded(headers: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let mut bytes = 0;
    let mut kept = headers;
    kept.truncate(MAX_HEADERS);
    kept.retain(|(name, value)| {
        bytes += name.len() + value.len();
        bytes <= MAX_HEADER_BYTES && !name.contains('\0')
    });
    kept
}

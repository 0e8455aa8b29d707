//! The reader of incoming records: bytes in, a report or the reason of its refusal out. Pure, and it never panics.

mod assessment_creation;
mod canonical;
mod envelope;
mod field;
mod freshness;
mod grading_completed;
mod identity;
mod poison;
mod submission_completed;
#[cfg(test)]
mod tests;
mod time;
mod transcoding_completed;
mod user;
mod user_creation;
mod user_update;

use serde_json::{Map, Value};

use self::envelope::{Envelope, Shape};
use super::super::topics::InboundTopic;
use crate::domain::report::{Report, Stamp};

pub use self::identity::identity;
pub use self::poison::Poison;

/// The most bytes of a value. Larger ones are not even parsed.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// A record as it lies in Kafka.
#[derive(Clone, Copy)]
pub struct Incoming<'a> {
    /// Of which topic, whatever its prefix on the cluster.
    pub topic: InboundTopic,
    /// Of which partition.
    pub partition: i32,
    /// Where in the partition.
    pub offset: i64,
    /// Milliseconds since 1970; 0 where it has none.
    pub timestamp: i64,
    /// In their order.
    pub headers: &'a [(String, Vec<u8>)],
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

impl<'a> Incoming<'a> {
    /// The first header of this name, where it is text and not empty.
    fn header(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.headers.iter().find(|(found, _)| found == name)?;
        std::str::from_utf8(value).ok().filter(|text| !text.is_empty())
    }
}

/// A record that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The same for every delivery of one message, see [`identity()`].
    pub identity: String,
    /// How new it is.
    pub stamp: Stamp,
    /// What it belongs to, where its producer says so.
    pub correlation_id: Option<String>,
    /// Its place in a trace, by W3C Trace Context.
    pub traceparent: Option<String>,
    /// What it says.
    pub report: Report,
}

/// Understands a record.
///
/// # Errors
/// [`Poison`] where no repetition can make it readable.
pub fn read(record: &Incoming<'_>) -> Result<Message, Poison> {
    let value = parse(record)?;
    let outer = object(&value)?;
    let topic = topic(record.topic);
    let envelope = Envelope::open(outer, &topic.shape);
    let identity = identity::of(record, envelope.event_id());
    let envelope = if topic.has_changes { envelope.with_changes() } else { envelope };
    let stamp = freshness::stamp(record, &envelope, topic.times, &value);
    let report = (topic.read)(&envelope, stamp)?;
    let correlation_id = record.header("ce_correlationid").filter(|id| is_correlation_id(id));
    let traceparent = record.header("traceparent").filter(|text| is_traceparent(text));
    Ok(Message {
        identity,
        stamp,
        correlation_id: correlation_id.map(str::to_owned),
        traceparent: traceparent.map(str::to_owned),
        report,
    })
}

/// What there is to know about a topic.
struct Topic {
    shape: Shape,
    /// Whether a part of the object may stand apart, under `changes` or `updatedFields`.
    has_changes: bool,
    /// Where the time of what is reported stands, the best first.
    times: &'static [&'static str],
    read: fn(&Envelope<'_>, Stamp) -> Result<Report, Poison>,
}

fn topic(topic: InboundTopic) -> &'static Topic {
    match topic {
        InboundTopic::UserCreation => &user_creation::TOPIC,
        InboundTopic::UserUpdate => &user_update::TOPIC,
        InboundTopic::AssessmentCreation => &assessment_creation::TOPIC,
        InboundTopic::SubmissionCompleted => &submission_completed::TOPIC,
        InboundTopic::GradingCompleted => &grading_completed::TOPIC,
        InboundTopic::TranscodingCompleted => &transcoding_completed::TOPIC,
    }
}

fn parse(record: &Incoming<'_>) -> Result<Value, Poison> {
    let value = record.value.filter(|value| !value.is_empty()).ok_or(Poison::EmptyValue)?;
    if value.len() > MAX_VALUE_BYTES {
        return Err(Poison::TooLarge);
    }
    serde_json::from_slice(value).map_err(|_| Poison::NotJson) // the error would quote the value
}

fn object(value: &Value) -> Result<&Map<String, Value>, Poison> {
    value.as_object().ok_or(Poison::NotAnObject)
}

/// The same that is asked of callers over HTTP.
fn is_correlation_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    text.len() <= 128 && text.bytes().all(plain)
}

/// W3C Trace Context, version 00.
fn is_traceparent(text: &str) -> bool {
    text.split('-').map(str::len).eq([2, 32, 16, 2])
        && text.bytes().all(|b| b == b'-' || b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

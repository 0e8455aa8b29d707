//! What is proposed to the log: the reads that a decision stands on, its events and its keys.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use crate::domain::{CourseId, Event, StreamType};

/// The name of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// Its kind.
    pub kind: StreamType,
    /// Its id within the kind.
    pub id: Arc<str>,
}

impl StreamId {
    /// The stream of this kind and id.
    pub fn new(kind: StreamType, id: &str) -> Self {
        Self { kind, id: id.into() }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.id)
    }
}

/// Who and what caused an event. Never holds a credential or personal data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The acting user's id.
    pub actor: Option<String>,
    /// Ties together everything that one request caused.
    pub correlation_id: Option<String>,
    /// What caused this command.
    pub causation_id: Option<String>,
    /// The W3C trace context of the request.
    pub traceparent: Option<String>,
}

const ACTOR: &str = "actor"; // stored with every event: never rename
const CORRELATION_ID: &str = "correlation_id"; // never rename
const CAUSATION_ID: &str = "causation_id"; // never rename
const TRACEPARENT: &str = "traceparent"; // never rename

impl Metadata {
    /// The stored form: texts by name, as cqrs-es reads it.
    pub(crate) fn to_map(&self) -> HashMap<&'static str, &str> {
        let fields = [
            (ACTOR, &self.actor),
            (CORRELATION_ID, &self.correlation_id),
            (CAUSATION_ID, &self.causation_id),
            (TRACEPARENT, &self.traceparent),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
    }

    /// Reads the stored form.
    pub(crate) fn from_json(json: &serde_json::Value) -> Self {
        let text = |name| json.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        Self {
            actor: text(ACTOR),
            correlation_id: text(CORRELATION_ID),
            causation_id: text(CAUSATION_ID),
            traceparent: text(TRACEPARENT),
        }
    }
}

/// An event to be appended. Its id is fixed before the first sending, so that a second one is recognised.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Where it goes.
    pub stream: StreamId,
    /// Its place in the stream; the first is 1.
    pub sequence: u64,
    /// What happened.
    pub event: Event,
    /// Its id.
    pub id: Uuid,
    /// The course that it concerns.
    pub course: Option<CourseId>,
}

/// A key that must be unique or is found by the write side, and what the append does with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Which set of keys.
    pub space: &'static str,
    /// The key.
    pub key: String,
    /// What is asserted or done.
    pub what: KeyAct,
}

/// See [`KeyUse`]. An assertion that fails answers [`super::Outcome::Keys`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyAct {
    /// Nobody but `0` holds it; from now on `0` does.
    Claim(String),
    /// `0` holds it.
    Held(String),
    /// Nobody holds it.
    Absent,
    /// `0` holds it; from now on nobody does.
    Release(String),
    /// `held` holds it, nobody where that is `None`; from now on `next` does.
    Replace {
        /// Who must hold it.
        held: Option<String>,
        /// Who holds it then.
        next: String,
    },
}

impl KeyAct {
    /// The operation's name and value, as the append function takes them.
    pub(super) fn parts(&self) -> (&'static str, Option<Cow<'_, str>>) {
        match self {
            Self::Claim(holder) => ("claim", Some(Cow::Borrowed(holder.as_str()))),
            Self::Held(holder) => ("held", Some(Cow::Borrowed(holder.as_str()))),
            Self::Absent => ("absent", None),
            Self::Release(holder) => ("release", Some(Cow::Borrowed(holder.as_str()))),
            Self::Replace { held, next } => {
                ("replace", Some(Cow::Owned(serde_json::json!([held, next]).to_string())))
            }
        }
    }
}

/// One command's outcome, to be made true: the streams that it was decided on with their versions, and what it adds.
/// Events may be none (a refusal, a no-op): the append then only certifies the reads.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Proposal {
    /// The command.
    pub command_id: Uuid,
    /// Asserted versions; within a chain as its earlier proposals leave them.
    pub reads: Vec<(StreamId, u64)>,
    /// What it adds.
    pub events: Vec<NewEvent>,
    /// Keys that it asserts, claims or releases.
    pub keys: Vec<KeyUse>,
    /// Who and what caused it.
    pub metadata: Metadata,
}

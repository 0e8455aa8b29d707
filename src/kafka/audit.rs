//! What is on the outgoing topics, held against the log: each message that the log asks for is there once, in order
//! and with the log's version, and nothing else is.

use std::collections::HashMap;

use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use serde::Deserialize;
use sqlx::PgPool;
use uuid::Uuid;

use super::bridge::{EVENTS, TailError, last_progress};
use super::client::{Connection, blocking};
use super::contract::{plan, version};
use super::sweep::{header, sweep};
use super::topics::{Topic, TopicNames};
use crate::event_store::log::{self, ReadError};

/// At least the largest command: see [`log::read_after`].
const BATCH: i64 = 5_000;

/// The topics could not be held against the log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Kafka did not answer.
    #[error("Kafka cannot be reached")]
    Kafka(#[from] KafkaError),
    /// The bridge's place could not be read.
    #[error(transparent)]
    Progress(#[from] TailError),
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// Postgres did not answer.
    #[error("the database cannot be reached")]
    Database(#[from] sqlx::Error),
}

/// A message that is not as the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The topic, without a prefix.
    pub topic: &'static str,
    /// The key of the record: a course's or a student's id.
    pub key: String,
    /// The position of the event that it is about; none where the log has no such event.
    pub position: Option<i64>,
    /// What is wrong, in a few words.
    pub what: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// Up to where the log is published.
    pub published: i64,
    /// The end of the log.
    pub head: i64,
    /// How many messages are as they should be.
    pub messages: u64,
    /// How many messages the topics no longer keep, so that nothing can be said of them.
    pub expired: u64,
    /// How many messages are of events that a restore of the database has lost.
    pub lost: u64,
    /// What is wrong.
    pub differences: Vec<Difference>,
}

/// The identity of a message: its topic, its event, and what it is about.
type Identity = (Topic, Uuid, String);

/// A record of an outgoing topic.
pub(super) struct Seen {
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) key: String,
    pub(super) version: u64,
}

/// The records of the outgoing topics.
#[derive(Default)]
pub(super) struct Topics {
    pub(super) records: HashMap<Identity, Seen>,
    /// Records that are there a second time, or that this service did not write.
    odd: Vec<Difference>,
    /// The time of the first record that is kept, of each topic that does not keep all.
    kept_since: HashMap<Topic, i64>,
}

#[derive(Deserialize)]
struct Value {
    version: u64,
}

impl Topics {
    /// Reads all of them. Blocks.
    pub(super) fn read(connection: &Connection, names: &TopicNames) -> Result<Self, KafkaError> {
        let mut found = Self::default();
        let mut first: HashMap<(Topic, i32), i64> = HashMap::new();
        let topics = Topic::ALL.map(Topic::name);
        let lows = sweep(connection, names, &topics, |name, message| {
            let Some(topic) = Topic::ALL.into_iter().find(|topic| topic.name() == name) else {
                return;
            };
            let timestamp = message.timestamp().to_millis().unwrap_or_default();
            first.entry((topic, message.partition())).or_insert(timestamp);
            let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
            let place = format!("partition {}, offset {}", message.partition(), message.offset());
            let id = header(message, "ce_id").and_then(|id| Uuid::parse_str(id).ok());
            let subject = header(message, "ce_subject").map(str::to_owned);
            let value = serde_json::from_slice::<Value>(message.payload().unwrap_or_default()).ok();
            let (Some(id), Some(subject), Some(value)) = (id, subject, value) else {
                let what = format!("a record that this service did not write ({place})");
                found.odd.push(Difference { topic: topic.name(), key, position: None, what });
                return;
            };
            let seen = Seen {
                partition: message.partition(),
                offset: message.offset(),
                key: key.clone(),
                version: value.version,
            };
            if let Some(other) = found.records.get(&(topic, id, subject.clone())) {
                let what = format!(
                    "event {id} is told again ({place}; first in partition {}, offset {})",
                    other.partition, other.offset
                );
                found.odd.push(Difference { topic: topic.name(), key, position: None, what });
                return;
            }
            found.records.insert((topic, id, subject), seen);
        })?;
        for topic in Topic::ALL {
            let partial = lows.iter().filter(|((name, _), low)| name == topic.name() && **low > 0);
            let since = partial.map(|((_, partition), _)| {
                // A partition that keeps nothing says nothing of when.
                first.get(&(topic, *partition)).copied().unwrap_or(i64::MAX)
            });
            if let Some(since) = since.max() {
                found.kept_since.insert(topic, since);
            }
        }
        Ok(found)
    }
}

/// Holds the outgoing topics against the log. What is published meanwhile may be there already or not yet.
pub async fn audit(
    pool: &PgPool,
    connection: &Connection,
    prefix: &str,
) -> Result<Audit, AuditError> {
    let names = TopicNames::with_prefix(prefix);
    let published = {
        let (connection, names) = (connection.clone(), names.clone());
        blocking(move || Ok(last_progress(&connection, &names, EVENTS))).await??
    };
    let published = published.map_or(0, |progress| progress.position);
    let connection = connection.clone();
    let Topics { mut records, odd, kept_since } =
        blocking(move || Topics::read(&connection, &names)).await?;
    let mut audit = Audit { published, differences: odd, ..Audit::default() };
    let mut last: HashMap<(Topic, String), (i32, i64)> = HashMap::new();
    // Read after the topics, so that nothing that was seen there lies behind it; what comes later is not waited for.
    let head = log::head(pool).await?;
    audit.head = head.position.number;
    let mut after = 0;
    while after < audit.head {
        let events = log::read_after(pool, after, BATCH).await?;
        let Some(end) = events.last() else { break };
        after = end.position.number;
        for command in events.chunk_by(|one, next| one.command_id == next.command_id) {
            for message in plan(command) {
                let (topic, event) = (message.topic(), message.last());
                let position = event.position.number;
                let mut differs = |what: String| {
                    audit.differences.push(Difference {
                        topic: topic.name(),
                        key: message.key().to_owned(),
                        position: Some(position),
                        what,
                    });
                };
                let identity = (topic, event.event_id, message.subject().to_owned());
                let Some(seen) = records.remove(&identity) else {
                    let kept = kept_since.get(&topic);
                    if position > published {
                        // Its turn is still to come.
                    } else if kept.is_some_and(|kept| event.recorded_at.timestamp_millis() <= *kept)
                    {
                        audit.expired += 1;
                    } else {
                        differs(format!("event {} is not told", event.event_id));
                    }
                    continue;
                };
                let place = format!("partition {}, offset {}", seen.partition, seen.offset);
                let due = version(event);
                if seen.key != message.key() {
                    differs(format!("the record has the key {} ({place})", seen.key));
                } else if seen.version != due {
                    differs(format!(
                        "the record has version {}, the log {due} ({place})",
                        seen.version
                    ));
                } else {
                    let here = (seen.partition, seen.offset);
                    let before = last.insert((topic, seen.key), here);
                    if before
                        .is_some_and(|(partition, offset)| partition == here.0 && offset > here.1)
                    {
                        differs(format!(
                            "the record stands before that of an earlier event ({place})"
                        ));
                    } else {
                        audit.messages += 1;
                    }
                }
            }
        }
    }
    for ((topic, id, _), seen) in records {
        let epoch = seen.version >> 32;
        if epoch < u64::from(head.position.epoch.unsigned_abs()) {
            audit.lost += 1;
            continue;
        }
        let Seen { partition, offset, key, .. } = seen;
        let what = format!(
            "the log has no event {id} that is told so (partition {partition}, offset {offset})"
        );
        audit.differences.push(Difference { topic: topic.name(), key, position: None, what });
    }
    let sorted = |d: &Difference| (d.topic, d.key.clone(), d.position, d.what.clone());
    audit.differences.sort_by_key(sorted);
    Ok(audit)
}

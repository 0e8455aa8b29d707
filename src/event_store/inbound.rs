//! The append of what comes in: events together with the claims of the messages that caused them, the place where
//! their partition goes on, and what is parked or dead. All of a slice is appended or nothing.
//!
//! Nobody waits for an answer, so there is no batch and no second sending: after a lost connection the slice is made
//! anew from what the log says then, and its claims tell what happened before. Each call locks the end of the log as
//! the appender's calls do, and is short: an interactive command waits for at most one of them.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use tokio::time::timeout;
use uuid::Uuid;

use super::batch::{self, Arrays, ChainOutcome};
use super::position::Position;
use super::proposal::{Proposal, StreamId};
use super::wake::Head;
use crate::fault;

/// How long a call may take before its connection is given up; the server gives up after 10 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(12);

/// A record of a topic, as it lies there.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The topic's name without a prefix.
    pub topic: String,
    /// Which partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// Milliseconds since 1970; 0 where there is none.
    pub timestamp: i64,
    /// In order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

impl Record {
    /// Tells the record from another one at the same place: a hash of its time, key and value.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.timestamp.to_be_bytes());
        for part in [&self.key, &self.value] {
            match part {
                None => hash.update([0]),
                Some(bytes) => {
                    hash.update([1]);
                    hash.update(bytes.len().to_be_bytes());
                    hash.update(bytes);
                }
            }
        }
        format!("{:x}", hash.finalize())
    }
}

/// The content may be personal data.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({}/{}/{})", self.topic, self.partition, self.offset)
    }
}

/// A partition moves on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetMove {
    /// The topic's name without a prefix.
    pub topic: String,
    /// Which partition.
    pub partition: i32,
    /// Where it must stand; `None`: it was never read.
    pub expected: Option<i64>,
    /// Where it goes on.
    pub next: i64,
    /// Of the last record before that.
    pub fingerprint: String,
}

/// What is kept of a message that did not become a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Keep {
    /// It waits for this.
    Parked {
        /// What the creating event releases.
        waits_for: String,
    },
    /// It cannot become a command.
    Dead {
        /// A stable code.
        code: &'static str,
        /// A sentence without any of its content.
        reason: String,
    },
}

/// A message to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its id from now on.
    pub id: Uuid,
    /// What tells it from other messages.
    pub identity: String,
    /// As it came.
    pub record: Record,
    /// Why it is kept.
    pub how: Keep,
}

/// What happens to a message that was kept. It must still be there.
#[derive(Debug, Clone, PartialEq)]
pub enum Settle {
    /// A parked message is released, expired or discarded.
    Unparked,
    /// A parked message waits for this from now on.
    WaitsFor(String),
    /// A dead letter was redriven.
    Redriven,
    /// A dead letter was discarded.
    Discarded,
}

/// Messages of one or several partitions with all their effects.
#[derive(Debug, Clone, Default)]
pub struct Slice {
    /// Of which group the partitions are.
    pub group: String,
    /// What is appended, in order; each read is asserted.
    pub chain: Vec<Proposal>,
    /// The partitions that move.
    pub offsets: Vec<OffsetMove>,
    /// The messages that are kept.
    pub kept: Vec<Kept>,
    /// The kept messages that are settled.
    pub settled: Vec<(Uuid, Settle)>,
    /// Who settles and why, where it is a person.
    pub by: Option<(String, Option<String>)>,
}

/// What became of a slice.
#[derive(Debug)]
pub enum SliceOutcome {
    /// All of it is in the log, which now ends here.
    Appended(Position),
    /// These streams have another version: nothing was appended.
    Stale(Vec<StreamId>),
    /// A key is not held as it was asserted: nothing was appended.
    Keys,
    /// These partitions stand elsewhere (topic, partition, place): nothing was appended.
    Moved(Vec<(String, i32, Option<i64>)>),
    /// These kept messages are no longer there: nothing was appended.
    Gone(Vec<Uuid>),
}

/// Appends slices.
#[derive(Clone)]
pub struct InboundLog {
    pool: PgPool,
    head: Head,
}

impl InboundLog {
    /// Appends through a connection of `pool`, and tells `head`.
    pub fn new(pool: PgPool, head: Head) -> Self {
        Self { pool, head }
    }

    /// Appends a slice.
    ///
    /// # Errors
    /// The database's. Where it is transient, nobody knows whether the slice was appended.
    pub async fn append(&self, slice: &Slice) -> Result<SliceOutcome, sqlx::Error> {
        fault::point("intake", "before commit");
        let called = timeout(CALL_TIMEOUT, self.call(slice)).await;
        fault::point("intake", "after commit");
        let rows = called.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        let outcome = decode(slice, &rows)?;
        if let SliceOutcome::Appended(position) = outcome {
            self.head.appended(position);
        }
        Ok(outcome)
    }

    async fn call(&self, slice: &Slice) -> Result<Vec<PgRow>, sqlx::Error> {
        let chains = [&slice.chain];
        let chain = Arrays::of(&chains)?;
        let Slice { group, offsets, kept, settled, by, .. } = slice;
        let waits: Vec<(Uuid, &str)> = settled
            .iter()
            .filter_map(|(id, how)| match how {
                Settle::WaitsFor(what) => Some((*id, what.as_str())),
                Settle::Unparked | Settle::Redriven | Settle::Discarded => None,
            })
            .collect();
        let taken: Vec<(Uuid, Option<&str>)> = settled
            .iter()
            .filter_map(|(id, how)| match how {
                Settle::WaitsFor(_) => None,
                Settle::Unparked => Some((*id, None)),
                Settle::Redriven => Some((*id, Some("REDRIVEN"))),
                Settle::Discarded => Some((*id, Some("DISCARDED"))),
            })
            .collect();
        let (mut waiting, mut codes, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
        for message in kept {
            let (wait, code, reason) = match &message.how {
                Keep::Parked { waits_for } => (Some(waits_for.as_str()), None, None),
                Keep::Dead { code, reason } => (None, Some(*code), Some(reason.as_str())),
            };
            waiting.push(wait);
            codes.push(code);
            reasons.push(reason);
        }
        let headers: Result<Vec<String>, _> =
            kept.iter().map(|message| headers_json(&message.record.headers)).collect();
        let headers = headers.map_err(|error| sqlx::Error::Encode(error.into()))?;
        let records = || kept.iter().map(|message| &message.record);
        let numbers: Vec<String> = (1..=43).map(|number| format!("${number}")).collect();
        let sql = format!("SELECT * FROM append_inbound({})", numbers.join(","));
        let query = sqlx::query(&sql)
            .bind(&chain.read_type)
            .bind(&chain.read_id)
            .bind(&chain.read_version)
            .bind(&chain.kind)
            .bind(&chain.id)
            .bind(&chain.sequence)
            .bind(&chain.event_type)
            .bind(&chain.event_version)
            .bind(&chain.payload)
            .bind(&chain.metadata)
            .bind(&chain.event_id)
            .bind(&chain.command_id)
            .bind(&chain.last)
            .bind(&chain.course)
            .bind(&chain.key_op)
            .bind(&chain.key_space)
            .bind(&chain.key)
            .bind(&chain.key_value)
            .bind(group)
            .bind(offsets.iter().map(|o| o.topic.as_str()).collect::<Vec<_>>())
            .bind(offsets.iter().map(|o| o.partition).collect::<Vec<_>>())
            .bind(offsets.iter().map(|o| o.expected).collect::<Vec<_>>())
            .bind(offsets.iter().map(|o| o.next).collect::<Vec<_>>())
            .bind(offsets.iter().map(|o| o.fingerprint.as_str()).collect::<Vec<_>>())
            .bind(taken.iter().map(|(id, _)| *id).collect::<Vec<_>>())
            .bind(taken.iter().map(|(_, settled)| settled.is_some()).collect::<Vec<_>>())
            .bind(taken.iter().map(|(_, settled)| *settled).collect::<Vec<_>>())
            .bind(by.as_ref().map(|(who, _)| who.as_str()))
            .bind(by.as_ref().and_then(|(_, reason)| reason.as_deref()))
            .bind(waits.iter().map(|(id, _)| *id).collect::<Vec<_>>())
            .bind(waits.iter().map(|(_, what)| *what).collect::<Vec<_>>())
            .bind(kept.iter().map(|message| message.id).collect::<Vec<_>>())
            .bind(kept.iter().map(|message| message.identity.as_str()).collect::<Vec<_>>())
            .bind(waiting)
            .bind(codes)
            .bind(reasons)
            .bind(records().map(|record| record.topic.as_str()).collect::<Vec<_>>())
            .bind(records().map(|record| record.partition).collect::<Vec<_>>())
            .bind(records().map(|record| record.offset).collect::<Vec<_>>())
            .bind(records().map(|record| record.timestamp).collect::<Vec<_>>())
            .bind(headers)
            .bind(records().map(|record| record.key.as_deref()).collect::<Vec<_>>())
            .bind(records().map(|record| record.value.as_deref()).collect::<Vec<_>>());
        let mut connection = self.pool.acquire().await?;
        let rows = query.fetch_all(&mut *connection).await;
        if rows.as_ref().is_err_and(super::append::is_transient) {
            drop(connection.detach()); // nobody knows what is still under way on it
        }
        rows
    }
}

/// Headers as they are stored: names with values in base64, in order.
fn headers_json(headers: &[(String, Vec<u8>)]) -> serde_json::Result<String> {
    let encoded = headers.iter().map(|(name, value)| (name, STANDARD.encode(value)));
    serde_json::to_string(&encoded.collect::<Vec<_>>())
}

/// Reads stored headers.
pub(super) fn headers_of(stored: &serde_json::Value) -> Vec<(String, Vec<u8>)> {
    let headers: Vec<(String, String)> = serde_json::from_value(stored.clone()).unwrap_or_default();
    let decode = |(name, value): (String, String)| Some((name, STANDARD.decode(value).ok()?));
    headers.into_iter().filter_map(decode).collect()
}

fn decode(slice: &Slice, rows: &[PgRow]) -> Result<SliceOutcome, sqlx::Error> {
    let (mut moved, mut gone) = (Vec::new(), Vec::new());
    for row in rows {
        match row.try_get("kind")? {
            "offset" => {
                let partition: &str = row.try_get("b")?;
                let partition = partition.parse().map_err(|_| batch::unreadable("partition"))?;
                moved.push((row.try_get("a")?, partition, row.try_get("n")?));
            }
            "gone" => {
                let id: &str = row.try_get("a")?;
                gone.push(Uuid::parse_str(id).map_err(|_| batch::unreadable("id"))?);
            }
            _ => {}
        }
    }
    if !gone.is_empty() {
        return Ok(SliceOutcome::Gone(gone));
    }
    if !moved.is_empty() {
        return Ok(SliceOutcome::Moved(moved));
    }
    let done = batch::decode(&[&slice.chain], rows)?;
    Ok(match done.chains.into_iter().next() {
        Some(ChainOutcome::Stale { actual, .. }) => {
            SliceOutcome::Stale(actual.into_keys().collect())
        }
        Some(ChainOutcome::Keys(_)) => SliceOutcome::Keys,
        Some(ChainOutcome::Appended { .. }) | None => SliceOutcome::Appended(done.head),
    })
}

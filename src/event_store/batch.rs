//! One call of `append_to_log`: chains in, an outcome for each out.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use cqrs_es::persist::SerializedEvent;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::position::Position;
use super::proposal::{Proposal, StreamId};
use crate::domain::{CourseId, StreamType};

/// Proposals of which all are appended or none.
pub(super) type Chain = Vec<Proposal>;

/// What became of a chain. See [`super::Outcome`].
#[derive(Debug)]
pub(super) enum ChainOutcome {
    Appended { first: i64, epoch: i32, recorded_at: DateTime<Utc> },
    Stale { actual: HashMap<StreamId, u64>, missing: Vec<(StreamId, SerializedEvent)> },
    Keys(Vec<(String, String, Option<String>)>),
}

/// What a call did: an outcome per chain, and the end of the log after it.
#[derive(Default)]
pub(super) struct Done {
    pub(super) chains: Vec<ChainOutcome>,
    pub(super) head: Position,
}

/// Sends all chains in one call, in autocommit. `resent`: it may have been sent before, and its outcome was lost.
pub(super) async fn send(
    connection: &mut PgConnection,
    chains: &[&Chain],
    resent: bool,
) -> Result<Done, sqlx::Error> {
    let arrays = Arrays::of(chains)?;
    let rows = sqlx::query(
        "SELECT * FROM append_to_log($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23)",
    )
    .bind(resent)
    .bind(&arrays.first)
    .bind(&arrays.read_chain)
    .bind(&arrays.read_type)
    .bind(&arrays.read_id)
    .bind(&arrays.read_version)
    .bind(&arrays.chain)
    .bind(&arrays.kind)
    .bind(&arrays.id)
    .bind(&arrays.sequence)
    .bind(&arrays.event_type)
    .bind(&arrays.event_version)
    .bind(&arrays.payload)
    .bind(&arrays.metadata)
    .bind(&arrays.event_id)
    .bind(&arrays.command_id)
    .bind(&arrays.last)
    .bind(&arrays.course)
    .bind(&arrays.key_chain)
    .bind(&arrays.key_op)
    .bind(&arrays.key_space)
    .bind(&arrays.key)
    .bind(&arrays.key_value)
    .fetch_all(connection)
    .await?;
    decode(chains, &rows)
}

/// The arguments of the append, a column each.
#[derive(Default)]
pub(super) struct Arrays<'a> {
    pub(super) first: Vec<Option<Uuid>>,
    pub(super) read_chain: Vec<i32>,
    pub(super) read_type: Vec<&'static str>,
    pub(super) read_id: Vec<&'a str>,
    pub(super) read_version: Vec<i64>,
    pub(super) chain: Vec<i32>,
    pub(super) kind: Vec<&'static str>,
    pub(super) id: Vec<&'a str>,
    pub(super) sequence: Vec<i64>,
    pub(super) event_type: Vec<&'static str>,
    pub(super) event_version: Vec<String>,
    pub(super) payload: Vec<String>,
    pub(super) metadata: Vec<String>,
    pub(super) event_id: Vec<Uuid>,
    pub(super) command_id: Vec<Uuid>,
    pub(super) last: Vec<bool>,
    pub(super) course: Vec<Option<&'a str>>,
    pub(super) key_chain: Vec<i32>,
    pub(super) key_op: Vec<&'static str>,
    pub(super) key_space: Vec<&'static str>,
    pub(super) key: Vec<&'a str>,
    pub(super) key_value: Vec<Option<Cow<'a, str>>>,
}

impl<'a> Arrays<'a> {
    pub(super) fn of(chains: &'a [&Chain]) -> Result<Self, sqlx::Error> {
        let encode = |error: serde_json::Error| sqlx::Error::Encode(error.into());
        let mut arrays = Self::default();
        for (number, chain) in (0_i32..).zip(chains) {
            let first = chain.iter().flat_map(|proposal| &proposal.events).next();
            arrays.first.push(first.map(|event| event.id));
            let mut seen: HashSet<&StreamId> = HashSet::new();
            for proposal in *chain {
                for (stream, version) in &proposal.reads {
                    // A later read of the chain stands on what its earlier proposals append.
                    if seen.insert(stream) {
                        arrays.read_chain.push(number);
                        arrays.read_type.push(stream.kind.as_str());
                        arrays.read_id.push(&stream.id);
                        arrays.read_version.push(signed(*version));
                    }
                }
                let metadata =
                    serde_json::to_string(&proposal.metadata.to_map()).map_err(encode)?;
                for (index, event) in proposal.events.iter().enumerate() {
                    arrays.chain.push(number);
                    arrays.kind.push(event.stream.kind.as_str());
                    arrays.id.push(&event.stream.id);
                    arrays.sequence.push(signed(event.sequence));
                    arrays.event_type.push(event.event.name());
                    arrays.event_version.push(event.event.version());
                    arrays.payload.push(event.event.to_json().map_err(encode)?);
                    arrays.metadata.push(metadata.clone());
                    arrays.event_id.push(event.id);
                    arrays.command_id.push(proposal.command_id);
                    arrays.last.push(index + 1 == proposal.events.len());
                    arrays.course.push(event.course.as_ref().map(CourseId::as_str));
                }
                for used in &proposal.keys {
                    let (op, value) = used.what.parts();
                    arrays.key_chain.push(number);
                    arrays.key_op.push(op);
                    arrays.key_space.push(used.space);
                    arrays.key.push(&used.key);
                    arrays.key_value.push(value);
                }
            }
        }
        Ok(arrays)
    }
}

/// Reads the answer: an outcome per chain.
pub(super) fn decode(chains: &[&Chain], rows: &[PgRow]) -> Result<Done, sqlx::Error> {
    let mut before = Position::default();
    let mut recorded_at = DateTime::<Utc>::default();
    let mut outcomes: Vec<Option<ChainOutcome>> = chains.iter().map(|_| None).collect();
    for row in rows {
        let number: i32 = row.try_get("chain")?;
        let kind: &str = row.try_get("kind")?;
        if kind == "head" {
            before = Position { epoch: row.try_get("epoch")?, number: row.try_get("n")? };
            recorded_at = row.try_get("at")?;
            continue;
        }
        let slot = usize::try_from(number).ok().and_then(|number| outcomes.get_mut(number));
        let slot = slot.ok_or_else(|| unreadable(format!("no chain {number}")))?;
        match kind {
            "done" => {
                *slot = Some(ChainOutcome::Appended {
                    first: row.try_get("n")?,
                    epoch: row.try_get("epoch")?,
                    recorded_at: row.try_get("at")?,
                });
            }
            "stale" => {
                let (stream, version) = (stream(row)?, row.try_get::<i64, _>("n")?);
                if let ChainOutcome::Stale { actual, .. } = slot.get_or_insert_with(stale) {
                    actual.insert(stream, u64::try_from(version).unwrap_or_default());
                }
            }
            "missing" => {
                let stream = stream(row)?;
                let event = missing_event(row, &stream)?;
                if let ChainOutcome::Stale { missing, .. } = slot.get_or_insert_with(stale) {
                    missing.push((stream, event));
                }
            }
            "key" => {
                let key = (row.try_get("a")?, row.try_get("b")?, row.try_get("c")?);
                match slot.get_or_insert_with(|| ChainOutcome::Keys(Vec::new())) {
                    ChainOutcome::Keys(keys) => keys.push(key),
                    _ => return Err(unreadable("a chain with two outcomes".to_owned())),
                }
            }
            other => return Err(unreadable(format!("unknown answer {other}"))),
        }
    }
    let mut next = before.number;
    let chains = outcomes
        .into_iter()
        .zip(chains)
        .map(|(outcome, chain)| {
            outcome.unwrap_or_else(|| {
                let events: usize = chain.iter().map(|proposal| proposal.events.len()).sum();
                let first = next + 1;
                next += i64::try_from(events).unwrap_or(i64::MAX);
                ChainOutcome::Appended { first, epoch: before.epoch, recorded_at }
            })
        })
        .collect();
    Ok(Done { chains, head: Position { number: next, ..before } })
}

/// The answer is none that this release knows.
pub(super) fn unreadable(why: impl Into<String>) -> sqlx::Error {
    sqlx::Error::Decode(why.into().into())
}

fn stale() -> ChainOutcome {
    ChainOutcome::Stale { actual: HashMap::new(), missing: Vec::new() }
}

fn stream(row: &PgRow) -> Result<StreamId, sqlx::Error> {
    let kind: &str = row.try_get("a")?;
    let kind =
        StreamType::parse(kind).ok_or_else(|| unreadable(format!("unknown stream type {kind}")))?;
    Ok(StreamId::new(kind, row.try_get("b")?))
}

fn missing_event(row: &PgRow, stream: &StreamId) -> Result<SerializedEvent, sqlx::Error> {
    let sequence: i64 = row.try_get("n")?;
    Ok(SerializedEvent::new(
        stream.id.to_string(),
        usize::try_from(sequence).unwrap_or_default(),
        stream.kind.as_str().to_owned(),
        row.try_get("c")?,
        row.try_get("d")?,
        row.try_get("payload")?,
        row.try_get("metadata")?,
    ))
}

/// Sequences count events one by one from 1: they never come near 2^63.
fn signed(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

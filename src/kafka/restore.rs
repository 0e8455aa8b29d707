//! After the database was put back to an earlier point: what Kafka knows that the log does not, and the new epoch that
//! makes an end of it.
//!
//! Two things outside of the database say how long the log was: the bridge's progress topic, and what the consumers
//! commit for their group. Each names an event, so a log that has grown again past its old end is found out too.
//!
//! ## Decision: the new epoch begins behind the last event that the world has heard of
//! What lies behind it was appended after the restore. It gets the new epoch, although it was appended in the old one:
//! the world has heard of lost events with the same sequences, and versions must rise. Where that event is is found
//! by reading the outgoing topics; that takes as long as it takes, but nothing is guessed.

use std::collections::{BTreeMap, HashSet};

use sqlx::PgPool;
use uuid::Uuid;

use super::audit::{AuditError, Topics};
use super::bridge::{DeadLane, EVENTS, Progress, ResumeFrom, last_progress, order_lane};
use super::client::{Connection, blocking};
use super::contract::plan;
use super::inbound::checkpoint::{self, Committed};
use super::sweep::{header, sweep};
use super::topics::{InboundTopic, Topic, TopicNames, dead_letter_topic};
use crate::event_store::log::{self, LogHead};
use crate::event_store::{dead_letters, offsets, restore};

/// At least the largest command: see [`log::read_after`].
const BATCH: i64 = 5_000;

/// How the refusals end.
pub(super) fn remedy(why: &str) -> String {
    format!(
        "{why} `course-service restore resolve` says what is ahead of the log and starts a new epoch; nothing goes \
         out and nothing comes in until then"
    )
}

/// What Kafka knows that the log does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// Why the bridge refuses, where it does.
    pub bridge: Option<String>,
    /// Why the consumers refuse, where they do.
    pub inbound: Option<String>,
    /// Messages that the world has got and whose events are lost: topic and key of each.
    pub lost: Vec<(&'static str, String)>,
    /// The last position that the world has heard of and that the log still has.
    pub published: i64,
    /// The last dead letter that the world has got and that the database still has.
    pub dead_letters: i64,
    /// The end of the log.
    pub head: LogHead,
    /// The highest epoch that anything knows.
    pub epoch: i32,
}

impl Ahead {
    /// Whether anything is ahead.
    pub fn is_ahead(&self) -> bool {
        self.bridge.is_some() || self.inbound.is_some()
    }
}

/// What Kafka says.
struct Told {
    events: Option<Progress>,
    dead: Option<Progress>,
    topics: Topics,
    letters: HashSet<Uuid>,
    committed: BTreeMap<(String, i32), Committed>,
}

/// Looks at the log and at all that Kafka knows of it. Changes nothing.
pub async fn look(
    pool: &PgPool,
    connection: &Connection,
    prefix: &str,
) -> Result<Ahead, AuditError> {
    let names = TopicNames::with_prefix(prefix);
    let told = {
        let (connection, names) = (connection.clone(), names.clone());
        blocking(move || Ok(listen(&connection, &names))).await??
    };
    let head = log::head(pool).await?;
    let bridge = match &told.events {
        Some(progress) if progress.epoch > head.position.epoch => {
            Some(format!("published is epoch {}", progress.epoch))
        }
        Some(progress) if progress.position > 0 => {
            let stands = log::event_id_at(pool, progress.position).await?;
            (stands != progress.event_id).then(|| {
                format!(
                    "published is position {}, where the log has another event or none",
                    progress.position
                )
            })
        }
        _ => None,
    };
    let dead = match &told.dead {
        Some(place) if place.position > 0 => {
            let stands = dead_letters::id_at(pool, place.position).await?;
            (stands != place.event_id).then(|| {
                format!(
                    "published is dead letter {}, where the database has another or none",
                    place.position
                )
            })
        }
        _ => None,
    };
    let stored = offsets::find(pool, &names.group()).await?;
    let inbound = checkpoint::ahead(pool, &told.committed, &stored).await?;
    let published = common(pool, &told.topics, head.position.number).await?;
    let lost = lost(pool, &told.topics, head.position.epoch).await?;
    let known = told.committed.values().filter_map(Committed::epoch);
    let known = known.chain(told.events.iter().map(|progress| progress.epoch));
    Ok(Ahead {
        bridge: bridge.or(dead),
        inbound,
        lost,
        published,
        dead_letters: common_letter(pool, &told.letters).await?,
        head,
        epoch: known.max().unwrap_or_default().max(head.position.epoch),
    })
}

/// Starts a new epoch, and tells the bridge where to go on. Returns the epoch.
pub async fn resolve(pool: &PgPool, ahead: &Ahead) -> Result<i32, sqlx::Error> {
    let epoch = ahead.epoch + 1;
    let mut transaction = pool.begin().await?;
    restore::begin_epoch(&mut transaction, epoch, ahead.published).await?;
    let from = ResumeFrom::Position(ahead.dead_letters);
    order_lane(&mut *transaction, DeadLane::NAME, from).await?;
    order_lane(&mut *transaction, EVENTS, ResumeFrom::Position(ahead.published)).await?;
    transaction.commit().await?;
    Ok(epoch)
}

fn listen(connection: &Connection, names: &TopicNames) -> Result<Told, AuditError> {
    let events = last_progress(connection, names, EVENTS)?;
    let dead = last_progress(connection, names, DeadLane::NAME)?;
    let topics = InboundTopic::ALL.map(|topic| dead_letter_topic(topic.name()));
    let mut letters = HashSet::new();
    sweep(connection, names, &topics.each_ref().map(String::as_str), |_, message| {
        letters.extend(header(message, "dlt-id").and_then(|id| Uuid::parse_str(id).ok()));
    })?;
    let committed = checkpoint::committed(connection, names)?;
    Ok(Told { events, dead, topics: Topics::read(connection, names)?, letters, committed })
}

/// The end of the last command of the log whose messages are on the topics. Published in the order of the log, so
/// nothing behind the first that is not there can be.
async fn common(pool: &PgPool, topics: &Topics, head: i64) -> Result<i64, AuditError> {
    let mut common = 0;
    let mut after = 0;
    while after < head {
        let events = log::read_after(pool, after, BATCH).await?;
        let Some(last) = events.last() else { break };
        after = last.position.number;
        for command in events.chunk_by(|one, next| one.command_id == next.command_id) {
            let told = plan(command).iter().any(|message| {
                let identity =
                    (message.topic(), message.last().event_id, message.subject().to_owned());
                topics.records.contains_key(&identity)
            });
            if let (true, Some(end)) = (told, command.last()) {
                common = end.position.number;
            }
        }
    }
    Ok(common)
}

/// The messages of this epoch whose events the log has not.
async fn lost(
    pool: &PgPool,
    topics: &Topics,
    epoch: i32,
) -> Result<Vec<(&'static str, String)>, AuditError> {
    let epoch = u64::from(epoch.unsigned_abs());
    let current: Vec<_> =
        topics.records.iter().filter(|(_, seen)| seen.version >> 32 >= epoch).collect();
    let mut lost = Vec::new();
    for part in current.chunks(10_000) {
        let ids: Vec<Uuid> = part.iter().map(|((_, id, _), _)| *id).collect();
        let there = log::which_exist(pool, &ids).await?;
        let gone = part.iter().filter(|((_, id, _), _)| !there.contains(id));
        lost.extend(gone.map(|((topic, ..), seen)| (Topic::name(*topic), seen.key.clone())));
    }
    lost.sort();
    Ok(lost)
}

/// The last dead letter of the database that is on its topic.
async fn common_letter(pool: &PgPool, published: &HashSet<Uuid>) -> Result<i64, sqlx::Error> {
    let mut common = 0;
    let mut after = 0;
    loop {
        let letters = dead_letters::read_after(pool, after, BATCH, 0).await?;
        let Some(last) = letters.last() else { return Ok(common) };
        after = last.number;
        let told = letters.iter().filter(|letter| published.contains(&letter.id));
        common = told.map(|letter| letter.number).max().unwrap_or(common).max(common);
    }
}

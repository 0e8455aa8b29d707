//! Incoming messages that did not become commands, for admins: dead letters and parked messages, and what would become
//! of them.

mod list;

use async_graphql::{Context, Enum, Error, ID, Object, Result, SimpleObject};
use chrono::{DateTime, Utc};
use uuid::Uuid;

pub(super) use self::list::{DEAD_LETTERS, PARKED_MESSAGES};
use self::list::{
    DeadLetterConnection, ParkedMessageConnection, page_of_dead_letters, page_of_parked_messages,
};
use super::connection::Arguments;
use super::context::{actor, caller, count_entries};
use super::error::{ErrorCode, failure, internal};
use super::loader::{DeadLetterKey, ParkedKey, load};
use crate::commands::workbench::{Outcome, Shelf, Workbench, WorkbenchError};
use crate::domain::{Actor, Refusal};
use crate::event_store::dead_letters::{self, Filter};
use crate::event_store::inbound::Record;
use crate::event_store::parked;

/// The most bytes of a value that are read: the rest is for the command line.
pub(super) const VALUE_CUT: i32 = 16 * 1024;

/// An incoming message that could not become a command.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct DeadLetter {
    /// The id under which it is kept.
    pub(super) id: ID,
    /// Its place among all dead letters, from 1.
    number: i64,
    /// The topic that it came from, without a prefix.
    topic: String,
    /// The partition that it came from.
    partition: i32,
    /// Its place in the partition: a whole number, which may be larger than an `Int`.
    offset: String,
    /// Its time there, where it has one.
    timestamp: Option<DateTime<Utc>>,
    /// The names of its headers; none once somebody has seen to it.
    header_names: Vec<String>,
    /// The first 16 KiB of its value. Null where that is no text, what may be personal data, or
    /// removed because somebody has seen to the message.
    value: Option<String>,
    /// How many bytes the whole value has. Null where there is none, or where it was removed.
    value_bytes: Option<i32>,
    /// Why it is dead: a stable code.
    code: String,
    /// The same as a sentence.
    reason: String,
    /// Since when it is dead.
    dead_at: DateTime<Utc>,
    /// What was done about it; null while nobody has seen to it.
    settled_as: Option<Settlement>,
    /// When that was.
    settled_at: Option<DateTime<Utc>>,
    /// Who did it: the id of a user, or `cli:` and the name of somebody at the command line.
    settled_by: Option<String>,
    /// Why it was discarded.
    settled_reason: Option<String>,
}

/// What an operator did about a dead letter.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(name = "DeadLetterSettlement")]
pub(super) enum Settlement {
    /// It was tried again, and has had its effect or waits for what it refers to.
    Redriven,
    /// It was taken away for good.
    Discarded,
}

/// An incoming message that waits for what it refers to. Once that exists, it is tried again by itself.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct ParkedMessage {
    /// The id under which it is kept.
    pub(super) id: ID,
    /// Its place in the order of arrival.
    number: i64,
    /// The topic that it came from, without a prefix.
    topic: String,
    /// The partition that it came from.
    partition: i32,
    /// Its place in the partition: a whole number, which may be larger than an `Int`.
    offset: String,
    /// Its time there, where it has one.
    timestamp: Option<DateTime<Utc>>,
    /// The names of its headers.
    header_names: Vec<String>,
    /// The first 16 KiB of its value. Null where that is no text or may be personal data.
    value: Option<String>,
    /// How many bytes the whole value has.
    value_bytes: Option<i32>,
    /// What it waits for: `course/`, `assessment/` or `enrollment/` and an id.
    waits_for: String,
    /// Since when it waits.
    parked_at: DateTime<Utc>,
}

/// What became of an incoming message, or would become.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct IncomingMessageOutcome {
    /// The id under which it was asked for.
    id: ID,
    /// What became of it.
    effect: IncomingMessageEffect,
    /// The code of a refusal, or of why it cannot be read.
    code: Option<String>,
    /// The same as a sentence; of one that is settled, who has seen to it.
    reason: Option<String>,
    /// What it waits for, where it is parked.
    waits_for: Option<String>,
    /// In a preview the names of the events that would be appended; else nothing.
    events: Vec<String>,
}

/// What became of an incoming message.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum IncomingMessageEffect {
    /// It became events.
    Applied,
    /// It says what is known. That is recorded.
    Unchanged,
    /// Something newer is known. That is recorded.
    Outdated,
    /// The domain refuses it, for good. That is recorded.
    Refused,
    /// It waits for something that does not exist.
    Parked,
    /// It cannot be read: it is a dead letter, or stays one.
    Dead,
    /// The same message had its effect before.
    Duplicate,
    /// It was taken away for good.
    Discarded,
    /// Somebody had seen to it before.
    Settled,
    /// There is none with this id. A parked one may have been released.
    Unknown,
}

impl From<Outcome> for IncomingMessageOutcome {
    fn from(outcome: Outcome) -> Self {
        use IncomingMessageEffect as Effect;
        let effect = match outcome.name() {
            "applied" => Effect::Applied,
            "unchanged" => Effect::Unchanged,
            "outdated" => Effect::Outdated,
            "refused" => Effect::Refused,
            "parked" => Effect::Parked,
            "dead" => Effect::Dead,
            "duplicate" => Effect::Duplicate,
            "discarded" => Effect::Discarded,
            "settled" => Effect::Settled,
            _ => Effect::Unknown,
        };
        Self {
            id: outcome.id.to_string().into(),
            effect,
            code: outcome.code().map(str::to_owned),
            reason: outcome.reason(),
            waits_for: outcome.waits_for(),
            events: outcome.events.into_iter().map(str::to_owned).collect(),
        }
    }
}

impl DeadLetter {
    fn of(workbench: &Workbench, letter: &dead_letters::DeadLetter) -> Self {
        let dead_letters::DeadLetter { record, settled, .. } = letter;
        let settled = settled.as_ref();
        Self {
            id: letter.id.to_string().into(),
            number: letter.number,
            topic: record.topic.clone(),
            partition: record.partition,
            offset: record.offset.to_string(),
            timestamp: timestamp(record),
            header_names: header_names(record),
            value: value(workbench, record, letter.bytes),
            value_bytes: letter.bytes,
            code: letter.code.clone(),
            reason: letter.reason.clone(),
            dead_at: letter.dead_at,
            settled_as: settled.map(|settled| match settled.how.as_str() {
                "REDRIVEN" => Settlement::Redriven,
                _ => Settlement::Discarded,
            }),
            settled_at: settled.map(|settled| settled.at),
            settled_by: settled.and_then(|settled| settled.by.clone()),
            settled_reason: settled.and_then(|settled| settled.reason.clone()),
        }
    }
}

impl ParkedMessage {
    fn of(workbench: &Workbench, parked: &parked::Parked) -> Self {
        let record = &parked.record;
        Self {
            id: parked.id.to_string().into(),
            number: parked.number,
            topic: record.topic.clone(),
            partition: record.partition,
            offset: record.offset.to_string(),
            timestamp: timestamp(record),
            header_names: header_names(record),
            value: value(workbench, record, parked.bytes),
            value_bytes: parked.bytes,
            waits_for: parked.waits_for.clone(),
            parked_at: parked.parked_at,
        }
    }
}

fn timestamp(record: &Record) -> Option<DateTime<Utc>> {
    let known = Some(record.timestamp).filter(|at| *at != 0);
    known.and_then(DateTime::from_timestamp_millis)
}

fn header_names(record: &Record) -> Vec<String> {
    record.headers.iter().map(|(name, _)| name.clone()).collect()
}

/// What of the value may be shown. Of one that was cut the last character may be cut, too.
fn value(workbench: &Workbench, record: &Record, bytes: Option<i32>) -> Option<String> {
    let value = record.value.as_deref().filter(|_| !workbench.is_personal(record))?;
    match std::str::from_utf8(value) {
        Ok(text) => Some(text.to_owned()),
        Err(error) if error.error_len().is_none() && bytes > Some(VALUE_CUT) => {
            std::str::from_utf8(&value[..error.valid_up_to()]).ok().map(str::to_owned)
        }
        Err(_) => None,
    }
}

/// Whether the caller is an admin. Everybody else sees none.
fn is_admin(ctx: &Context<'_>) -> Result<bool> {
    Ok(caller(ctx)?.is_some_and(Actor::admin))
}

/// Refuses everybody but admins.
pub(super) fn admin(actor: &Actor) -> std::result::Result<(), Refusal> {
    let rule = "only admins see to incoming messages";
    if actor.admin() { Ok(()) } else { Err(Refusal::Forbidden { rule }) }
}

/// The workbench of a caller who may use it.
fn workbench<'a>(ctx: &Context<'a>) -> Result<&'a Workbench> {
    admin(&actor(ctx)?).map_err(|refusal| failure(ErrorCode::Forbidden, refusal.to_string()))?;
    ctx.data::<Workbench>()
}

/// The ids of messages.
pub(super) fn message_ids(ids: &[ID]) -> std::result::Result<Vec<Uuid>, Refusal> {
    let rule = "must be ids of dead letters or parked messages";
    let parse = |id: &ID| Uuid::parse_str(id).map_err(|_| Refusal::invalid("ids", rule));
    ids.iter().map(parse).collect()
}

fn read_error(error: &WorkbenchError) -> Error {
    match error {
        WorkbenchError::Refused(_) | WorkbenchError::UnknownTopic(_) => {
            failure(ErrorCode::ValidationFailed, error.to_string())
        }
        WorkbenchError::Database(_) | WorkbenchError::Intake(_) => internal(error),
    }
}

/// The dead letter with this id, for admins.
pub(super) async fn visible_dead_letter(ctx: &Context<'_>, id: &str) -> Result<Option<DeadLetter>> {
    let Ok(id) = Uuid::parse_str(id) else { return Ok(None) };
    if !is_admin(ctx)? {
        return Ok(None);
    }
    let letter = load(ctx, DeadLetterKey(id)).await?;
    let workbench = ctx.data::<Workbench>()?;
    Ok(letter.map(|letter| DeadLetter::of(workbench, &letter)))
}

/// The parked message with this id, for admins.
pub(super) async fn visible_parked_message(
    ctx: &Context<'_>,
    id: &str,
) -> Result<Option<ParkedMessage>> {
    let Ok(id) = Uuid::parse_str(id) else { return Ok(None) };
    if !is_admin(ctx)? {
        return Ok(None);
    }
    let parked = load(ctx, ParkedKey(id)).await?;
    let workbench = ctx.data::<Workbench>()?;
    Ok(parked.map(|parked| ParkedMessage::of(workbench, &parked)))
}

async fn preview(
    ctx: &Context<'_>,
    drawer: Shelf,
    ids: &[ID],
) -> Result<Vec<IncomingMessageOutcome>> {
    let workbench = workbench(ctx)?;
    let ids = message_ids(ids).map_err(|refusal| read_error(&refusal.into()))?;
    let outcomes = workbench.preview(drawer, &ids).await.map_err(|error| read_error(&error))?;
    count_entries(ctx, outcomes.list.len())?;
    Ok(outcomes.list.into_iter().map(IncomingMessageOutcome::from).collect())
}

/// Reads of incoming messages. They are never behind: what is read is written together with the log.
#[derive(Default)]
pub(super) struct IncomingReads;

#[Object]
impl IncomingReads {
    /// Incoming messages that could not become commands, the oldest first; by default those that nobody has seen to. For
    /// admins; FORBIDDEN for others. Never behind the log.
    #[expect(clippy::too_many_arguments, reason = "the arguments of a connection")]
    async fn dead_letters(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the beginning: 0 to 100, by default 20.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only those of this topic.")] topic: Option<String>,
        #[graphql(desc = "Also those that somebody has seen to.", default = false)]
        include_settled: bool,
    ) -> Result<DeadLetterConnection> {
        let workbench = workbench(ctx)?;
        let filter = Filter { topic, settled: include_settled };
        let arguments = Arguments { first, after, last, before };
        page_of_dead_letters(ctx, workbench, filter, arguments).await
    }

    /// Incoming messages that wait for what they refer to, in the order of their arrival. For admins; FORBIDDEN for
    /// others. Never behind the log.
    async fn parked_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most this many from the beginning: 0 to 100, by default 20.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "At most this many from the end: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only those of this topic.")] topic: Option<String>,
    ) -> Result<ParkedMessageConnection> {
        let workbench = workbench(ctx)?;
        let arguments = Arguments { first, after, last, before };
        page_of_parked_messages(ctx, workbench, topic, arguments).await
    }

    /// What `redriveDeadLetters` would make of these, one after the other, by what the log says now. Nothing is written.
    /// For admins; FORBIDDEN for others.
    async fn redrive_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most 200 ids of dead letters.")] ids: Vec<ID>,
    ) -> Result<Vec<IncomingMessageOutcome>> {
        preview(ctx, Shelf::DeadLetters, &ids).await
    }

    /// What `releaseParkedMessages` would make of these, one after the other, by what the log says now. Nothing is
    /// written. For admins; FORBIDDEN for others.
    async fn release_preview(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most 200 ids of parked messages.")] ids: Vec<ID>,
    ) -> Result<Vec<IncomingMessageOutcome>> {
        preview(ctx, Shelf::Parked, &ids).await
    }
}

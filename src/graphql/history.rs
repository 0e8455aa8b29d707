//! What happened to a course or an enrollment: the events of its stream, for those who manage the course.
//!
//! ## Decision
//! The history of an object is its own stream, so it has as many events as `version` says, and a page costs a range of
//! the primary key however busy the course is. Who took a seat stands in the histories of the enrollments. What the event
//! holds is shown as it is stored. No name and no address is among it: users have streams of their own, which are not
//! shown, and the rest refers to them by id.

use async_graphql::{Context, Error, ID, Result, SimpleObject};
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::connection::{Arguments, connection};
use super::course::visible_course;
use super::cursor::{decode_number, encode_number};
use super::error::internal;
use super::loader::{EventKey, HistoryKey, load};
use crate::domain::Event;
use crate::event_store::history::HistoryPage;
use crate::event_store::{Recorded, StreamId};

/// Something that happened to a course or an enrollment. It never changes.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct DomainEvent {
    /// The id of the event, which the record on Kafka has too where there is one.
    pub(super) id: ID,
    /// What happened, such as `CoursePublished`.
    #[graphql(name = "type")]
    kind: String,
    /// Its place in the log, as `sincePosition` takes it; no longer where the database was restored since.
    position: String,
    /// Its place in what happened to the object, from 1: the `version` that the object had from then on.
    stream_version: i64,
    /// When it was recorded.
    occurred_at: DateTime<Utc>,
    /// The id of the user who caused it. Null where another service did.
    actor: Option<String>,
    /// The id of the request that caused it.
    correlation_id: Option<String>,
    /// The id of the command that caused it: events of one command have the same.
    causation_id: String,
    /// What the event holds, by its type, as it is stored: fields are only ever added.
    data: Value,
}

impl DomainEvent {
    /// An event of the log.
    pub(super) fn of(recorded: &Recorded) -> Result<Self> {
        let unreadable = |error: serde_json::Error| internal(&error);
        let stored = recorded.event.to_json().map_err(unreadable)?;
        let mut payload: Value = serde_json::from_str(&stored).map_err(unreadable)?;
        let name = recorded.event.name();
        Ok(Self {
            id: recorded.event_id.to_string().into(),
            kind: name.to_owned(),
            position: recorded.position.to_string(),
            stream_version: i64::try_from(recorded.sequence).unwrap_or(i64::MAX),
            occurred_at: recorded.recorded_at,
            actor: recorded.metadata.actor.clone(),
            correlation_id: recorded.metadata.correlation_id.clone(),
            causation_id: recorded.command_id.to_string(),
            data: payload[name].take(),
        })
    }
}

/// An event in a page.
#[derive(SimpleObject)]
pub(super) struct DomainEventEdge {
    /// The event.
    node: DomainEvent,
    /// Its place in the list, for `after` and `before`.
    cursor: String,
}

connection! {
    /// A page of events.
    DomainEventConnection of DomainEventEdge with DomainEvent, counted by EventTotal
}

/// How many events there are, which the version says.
pub(super) struct EventTotal(i64);

impl EventTotal {
    #[expect(clippy::unused_async, reason = "other lists are counted by asking")]
    async fn count(&self, _: &Context<'_>) -> Result<i64> {
        Ok(self.0)
    }
}

/// A page of what happened in a stream up to a version. Who asks knows that the caller may see it.
pub(super) async fn history_page(
    ctx: &Context<'_>,
    stream: StreamId,
    version: i64,
    arguments: Arguments,
) -> Result<DomainEventConnection> {
    let name = format!("history of {stream}");
    let asked = arguments.read(|cursor| decode_number(&name, cursor))?;
    let page = HistoryPage { limit: asked.limit(), backwards: asked.backwards, from: asked.from };
    let events = load(ctx, HistoryKey { stream, version, page }).await?.unwrap_or_default();
    let (events, neighbours) = asked.cut(ctx, events)?;
    let edge = |recorded: &Recorded| {
        let node = DomainEvent::of(recorded)?;
        Ok(DomainEventEdge { cursor: encode_number(&name, node.stream_version), node })
    };
    let edges = events.iter().map(edge).collect::<Result<_, Error>>()?;
    Ok(DomainEventConnection { edges, neighbours, total: EventTotal(version) })
}

/// The event with this id, where the caller manages the course that it concerns.
pub(super) async fn visible_event(ctx: &Context<'_>, id: &str) -> Result<Option<DomainEvent>> {
    let Ok(id) = Uuid::parse_str(id) else { return Ok(None) };
    let Some(recorded) = load(ctx, EventKey(id)).await? else { return Ok(None) };
    let shown = matches!(recorded.event, Event::Course(_) | Event::Enrollment(_));
    let Some(course) = recorded.course.as_ref().filter(|_| shown) else { return Ok(None) };
    let Some(course) = visible_course(ctx, course.as_str()).await? else { return Ok(None) };
    if course.managed_by_caller(ctx)? { DomainEvent::of(&recorded).map(Some) } else { Ok(None) }
}

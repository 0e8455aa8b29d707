//! Reading the log in its order.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use cqrs_es::persist::SerializedEvent;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgExecutor, Row};
use uuid::Uuid;

use super::position::Position;
use super::proposal::{Metadata, StreamId};
use super::upcast::{is_newest, upcast};
use crate::domain::{CourseId, Event, StreamType};

/// An event with its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its place in the log.
    pub position: Position,
    /// When, by the log's clock: rises with the position.
    pub recorded_at: DateTime<Utc>,
    /// Its id.
    pub event_id: Uuid,
    /// The command that caused it.
    pub command_id: Uuid,
    /// Whether it is the last of its command.
    pub last_of_command: bool,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream, from 1.
    pub sequence: u64,
    /// The course that it concerns.
    pub course: Option<CourseId>,
    /// Who and what caused it.
    pub metadata: Metadata,
    /// What happened.
    pub event: Event,
}

/// The log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database could not be read.
    #[error("the log could not be read")]
    Database(#[from] sqlx::Error),
    /// An event that this release does not decode: of a newer release, or broken. It is never skipped.
    #[error("the event {kind} at position {position} does not decode")]
    Undecodable {
        /// Its place.
        position: i64,
        /// Its type.
        kind: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl ReadError {
    /// Whether waiting may help: the database is away.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(error) if super::append::is_transient(error))
    }
}

pub(super) const COLUMNS: &str = "aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, \
     position, epoch, recorded_at, event_id, command_id, last_of_command, course_id";

/// What [`decode_for_rows`] reads, but for the payload.
pub(super) const FOR_ROWS: &str = "aggregate_type, aggregate_id, sequence, event_type, event_version, position, epoch, \
     recorded_at, event_id, command_id, last_of_command, course_id";

/// At most `limit` events behind `after`, in order, never a part of a command. `limit` must be at least the largest
/// command, of which the promotions are bounded (see `domain::values::MAX_PROMOTIONS`).
///
/// Where an event does not decode, those before it come first; the error follows with the next call.
pub async fn read_after(
    executor: impl PgExecutor<'_>,
    after: i64,
    limit: i64,
) -> Result<Vec<Recorded>, ReadError> {
    let sql =
        format!("SELECT {COLUMNS} FROM events WHERE position > $1 ORDER BY position LIMIT $2");
    let rows = sqlx::query(&sql).bind(after).bind(limit).fetch_all(executor).await?;
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        match decode(row) {
            Ok(event) => events.push(event),
            Err(error) => {
                whole_commands(&mut events);
                if events.is_empty() {
                    return Err(error);
                }
                return Ok(events);
            }
        }
    }
    whole_commands(&mut events);
    Ok(events)
}

/// A course's events behind `after`, of all its streams, in order.
pub async fn read_course_after(
    executor: impl PgExecutor<'_>,
    course: &CourseId,
    after: i64,
    limit: i64,
) -> Result<Vec<Recorded>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM events WHERE course_id = $3 AND position > $1 ORDER BY position LIMIT $2"
    );
    let query = sqlx::query(&sql).bind(after).bind(limit).bind(course.as_str());
    query.fetch_all(executor).await?.iter().map(decode).collect()
}

/// The events of one stream up to a sequence, in order.
pub async fn read_stream(
    executor: impl PgExecutor<'_>,
    stream: &StreamId,
    up_to: u64,
) -> Result<Vec<Recorded>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM events \
         WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence <= $3 ORDER BY sequence"
    );
    let query = sqlx::query(&sql)
        .bind(stream.kind.as_str())
        .bind(&*stream.id)
        .bind(i64::try_from(up_to).unwrap_or(i64::MAX));
    query.fetch_all(executor).await?.iter().map(decode).collect()
}

/// Where the command ends that wrote this event of a stream; `None` where there is no such event.
pub async fn end_of_command(
    executor: impl PgExecutor<'_>,
    stream: &StreamId,
    sequence: u64,
) -> Result<Option<Position>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT last.epoch, last.position FROM events e CROSS JOIN LATERAL ( \
           SELECT epoch, position FROM events WHERE position >= e.position AND last_of_command \
           ORDER BY position LIMIT 1) last \
         WHERE e.aggregate_type = $1 AND e.aggregate_id = $2 AND e.sequence = $3",
    )
    .bind(stream.kind.as_str())
    .bind(&*stream.id)
    .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
    .fetch_optional(executor)
    .await?;
    row.map(|row| Ok(Position { epoch: row.try_get("epoch")?, number: row.try_get("position")? }))
        .transpose()
}

/// When the events of a stream with these sequences were recorded; `None` for one that is not there.
pub async fn recorded_at(
    executor: impl PgExecutor<'_>,
    stream: &StreamId,
    sequence: u64,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT recorded_at FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence = $3",
    )
    .bind(stream.kind.as_str())
    .bind(&*stream.id)
    .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
    .fetch_optional(executor)
    .await
}

/// The id of the event at a position; `None` where there is none.
pub async fn event_id_at(
    executor: impl PgExecutor<'_>,
    position: i64,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar("SELECT event_id FROM events WHERE position = $1")
        .bind(position)
        .fetch_optional(executor)
        .await
}

/// Which of these events the log has.
pub async fn which_exist(
    executor: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT event_id FROM events WHERE event_id = ANY ($1)");
    Ok(query.bind(ids).fetch_all(executor).await?.into_iter().collect())
}

/// The end of the log, and which log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogHead {
    /// The log's id, for ever.
    pub log_id: Uuid,
    /// The last event's place.
    pub position: Position,
}

/// Reads the end of the log.
pub async fn head(executor: impl PgExecutor<'_>) -> Result<LogHead, sqlx::Error> {
    let row =
        sqlx::query("SELECT log_id, epoch, position FROM log_head").fetch_one(executor).await?;
    let position = Position { epoch: row.try_get("epoch")?, number: row.try_get("position")? };
    Ok(LogHead { log_id: row.try_get("log_id")?, position })
}

fn whole_commands(events: &mut Vec<Recorded>) {
    while events.last().is_some_and(|event| !event.last_of_command) {
        events.pop();
    }
}

pub(super) fn decode(row: &PgRow) -> Result<Recorded, ReadError> {
    let metadata: serde_json::Value = row.try_get("metadata")?;
    Ok(Recorded { metadata: Metadata::from_json(&metadata), ..decode_for_rows(row)? })
}

/// Without who caused it, which no read model shows.
pub(super) fn decode_for_rows(row: &PgRow) -> Result<Recorded, ReadError> {
    let kind: &str = row.try_get("aggregate_type")?;
    let id: &str = row.try_get("aggregate_id")?;
    let sequence: i64 = row.try_get("sequence")?;
    let position: i64 = row.try_get("position")?;
    let event_type: &str = row.try_get("event_type")?;
    let version: &str = row.try_get("event_version")?;
    let undecodable =
        |source| ReadError::Undecodable { position, kind: event_type.to_owned(), source };
    let stream_type = StreamType::parse(kind).ok_or_else(|| {
        undecodable(serde::de::Error::custom(format!("unknown stream type {kind}")))
    })?;
    let event = if is_newest(event_type, version) {
        // Most of the log: read at once, without a tree of values in between.
        let payload: Json<&RawValue> = row.try_get("payload")?;
        Event::from_text(stream_type, payload.0.get())
    } else {
        let stored = upcast(SerializedEvent::new(
            id.to_owned(),
            usize::try_from(sequence).unwrap_or_default(),
            kind.to_owned(),
            event_type.to_owned(),
            version.to_owned(),
            row.try_get("payload")?,
            serde_json::Value::Null,
        ));
        Event::from_json(stream_type, stored.payload)
    };
    let course: Option<&str> = row.try_get("course_id")?;
    let course = course.map(|course| CourseId::parse(course, "course_id"));
    Ok(Recorded {
        position: Position { epoch: row.try_get("epoch")?, number: position },
        recorded_at: row.try_get("recorded_at")?,
        event_id: row.try_get("event_id")?,
        command_id: row.try_get("command_id")?,
        last_of_command: row.try_get("last_of_command")?,
        stream: StreamId::new(stream_type, id),
        sequence: u64::try_from(sequence).unwrap_or_default(),
        course: course.transpose().map_err(|e| undecodable(serde::de::Error::custom(e)))?,
        metadata: Metadata::default(),
        event: event.map_err(undecodable)?,
    })
}

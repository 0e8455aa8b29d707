//! Looking back: streams up to an instant, and pages of what happened in them.
//!
//! ## Decision
//! The log is cut at an instant by `recorded_at`, which never falls from one position to the next. Events of one append
//! have the same instant: they are there together or not at all. An append that is under way may still record at
//! an instant that has just passed, so [`is_over`] waits for it; from then on the answer for that instant never changes.

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::log::{COLUMNS, ReadError, Recorded, decode};
use super::proposal::StreamId;
use crate::domain::{CourseId, StreamType};

/// Whether nothing will be recorded at this instant or before it any more. By the database's clock, which is the log's;
/// false is the future. Waits for an append that is under way.
pub async fn is_over(pool: &PgPool, at: DateTime<Utc>) -> Result<bool, sqlx::Error> {
    let (recorded, passed): (bool, bool) =
        sqlx::query_as("SELECT recorded_at >= $1, clock_timestamp() > $1 FROM log_head")
            .bind(at)
            .fetch_one(pool)
            .await?;
    if !recorded && passed {
        // Whoever gets this lock after us reads a later clock.
        sqlx::query("SELECT FROM log_head FOR KEY SHARE").execute(pool).await?;
    }
    Ok(recorded || passed)
}

/// At most `limit` events of a stream behind the sequence `after` that were recorded at `at` or earlier, in order.
pub async fn read_stream_until(
    executor: impl PgExecutor<'_>,
    stream: &StreamId,
    after: u64,
    at: DateTime<Utc>,
    limit: i64,
) -> Result<Vec<Recorded>, ReadError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence > $3 \
         AND recorded_at <= $4 ORDER BY sequence LIMIT $5"
    );
    let query = sqlx::query(&sql)
        .bind(stream.kind.as_str())
        .bind(&*stream.id)
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(at)
        .bind(limit);
    query.fetch_all(executor).await?.iter().map(decode).collect()
}

/// Which part of the history of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HistoryPage {
    /// At most this many events.
    pub limit: i64,
    /// From the end: what stands before `from`, the nearest first.
    pub backwards: bool,
    /// Behind the event with this sequence; `None` is the beginning, or the end where it goes backwards.
    pub from: Option<i64>,
}

/// A page of the history of each of these streams of one kind, each given with the version up to which it is read.
pub async fn pages(
    executor: impl PgExecutor<'_>,
    kind: StreamType,
    streams: &[(&str, i64)],
    page: &HistoryPage,
) -> Result<Vec<Recorded>, ReadError> {
    let (comparison, direction) = if page.backwards { ("<", "DESC") } else { (">", "ASC") };
    let from = page.from.unwrap_or(if page.backwards { i64::MAX } else { 0 });
    let sql = format!(
        "SELECT page.* FROM unnest($2::text[], $3::bigint[]) AS stream (id, version) CROSS JOIN LATERAL ( \
           SELECT {COLUMNS} FROM events WHERE aggregate_type = $1 AND aggregate_id = stream.id \
           AND sequence <= stream.version AND sequence {comparison} $4 ORDER BY sequence {direction} LIMIT $5) AS page \
         ORDER BY page.aggregate_id, page.sequence {direction}"
    );
    let (ids, versions): (Vec<&str>, Vec<i64>) = streams.iter().copied().unzip();
    let query =
        sqlx::query(&sql).bind(kind.as_str()).bind(ids).bind(versions).bind(from).bind(page.limit);
    query.fetch_all(executor).await?.iter().map(decode).collect()
}

/// Whose events are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose<'a> {
    /// Those of streams of one kind.
    Streams(StreamType, Vec<&'a str>),
    /// Those of the streams of this kind that concern a course.
    Course(StreamType, &'a CourseId),
}

/// At most `limit` events behind the position `after` and up to `up_to`, in the log's order.
pub async fn read_between(
    executor: impl PgExecutor<'_>,
    whose: &Whose<'_>,
    after: i64,
    up_to: i64,
    limit: i64,
) -> Result<Vec<Recorded>, ReadError> {
    // Each with an order that its index has: else Postgres may walk the whole log in the order of its positions.
    let sql = match whose {
        Whose::Streams(..) => format!(
            "SELECT events.* FROM unnest($2::text[]) AS stream (id) CROSS JOIN LATERAL ( \
               SELECT {COLUMNS} FROM events WHERE aggregate_type = $1 AND aggregate_id = stream.id \
               AND position > $3 AND position <= $4 ORDER BY sequence LIMIT $5) AS events \
             ORDER BY events.position LIMIT $5"
        ),
        Whose::Course(..) => format!(
            "SELECT {COLUMNS} FROM events WHERE aggregate_type = $1 AND course_id = $2 \
             AND position > $3 AND position <= $4 ORDER BY position LIMIT $5"
        ),
    };
    let query = match whose {
        Whose::Streams(kind, ids) => sqlx::query(&sql).bind(kind.as_str()).bind(ids),
        Whose::Course(kind, course) => sqlx::query(&sql).bind(kind.as_str()).bind(course.as_str()),
    };
    let query = query.bind(after).bind(up_to).bind(limit);
    query.fetch_all(executor).await?.iter().map(decode).collect()
}

/// The events with these ids.
pub async fn find_many(
    executor: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> Result<Vec<Recorded>, ReadError> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE event_id = ANY ($1)");
    sqlx::query(&sql).bind(ids).fetch_all(executor).await?.iter().map(decode).collect()
}

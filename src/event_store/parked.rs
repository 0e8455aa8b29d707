//! Messages that wait for what they refer to. Reading them; the append of a slice writes them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::postgres::types::PgInterval;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::inbound::{Record, headers_of};

/// A parked message.
#[derive(Debug, Clone)]
pub struct Parked {
    /// Its place in the order of arrival.
    pub number: i64,
    /// Its id.
    pub id: Uuid,
    /// What tells it from other messages.
    pub identity: String,
    /// What it waits for.
    pub waits_for: String,
    /// Since when.
    pub parked_at: DateTime<Utc>,
    /// The message.
    pub record: Record,
    /// How many bytes its value has.
    pub bytes: Option<i32>,
}

const COLUMNS: &str = "number, id, identity, waits_for, parked_at, topic, partition, record_offset, record_time, \
     headers, key, octet_length(value) AS bytes, value";

/// The messages that wait for one of these, in order of arrival, at most `limit`.
pub async fn waiting_for(
    pool: &PgPool,
    what: &[String],
    limit: i64,
) -> Result<Vec<Parked>, sqlx::Error> {
    let sql = sql("waits_for = ANY ($1)");
    sqlx::query(&sql).bind(what).bind(limit).fetch_all(pool).await?.iter().map(read).collect()
}

/// Those that were parked longer ago than `age`, the oldest first.
pub async fn older_than(
    pool: &PgPool,
    age: Duration,
    limit: i64,
) -> Result<Vec<Parked>, sqlx::Error> {
    let age = PgInterval {
        microseconds: i64::try_from(age.as_micros()).unwrap_or(i64::MAX),
        ..PgInterval::default()
    };
    let sql = sql("parked_at < clock_timestamp() - $1");
    sqlx::query(&sql).bind(age).bind(limit).fetch_all(pool).await?.iter().map(read).collect()
}

/// Those with these ids, in order; of each value at most the first `cut` bytes.
pub async fn find(pool: &PgPool, ids: &[Uuid], cut: i32) -> Result<Vec<Parked>, sqlx::Error> {
    let columns = COLUMNS.replace(" value", " substring(value from 1 for $2) AS value");
    let sql = format!("SELECT {columns} FROM parked_messages WHERE id = ANY ($1) ORDER BY number");
    sqlx::query(&sql).bind(ids).bind(cut).fetch_all(pool).await?.iter().map(read).collect()
}

/// A page of kept messages, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptPage {
    /// Only what lies behind this number; before it where the page goes backwards.
    pub from: Option<i64>,
    /// Whether it begins with the last.
    pub backwards: bool,
    /// The most messages.
    pub limit: i64,
    /// The most bytes of each value; the rest is left out.
    pub cut: i32,
}

impl KeptPage {
    /// With the number in `$1`.
    pub(super) fn condition(&self) -> &'static str {
        if self.backwards {
            "($1::bigint IS NULL OR number < $1)"
        } else {
            "number > coalesce($1::bigint, 0)"
        }
    }

    pub(super) fn direction(&self) -> &'static str {
        if self.backwards { "DESC" } else { "ASC" }
    }
}

/// A page of them, of one topic where it is given.
pub async fn list(
    pool: &PgPool,
    topic: Option<&str>,
    page: &KeptPage,
) -> Result<Vec<Parked>, sqlx::Error> {
    let columns = COLUMNS.replace(" value", " substring(value from 1 for $4) AS value");
    let sql = format!(
        "SELECT {columns} FROM parked_messages WHERE {} AND ($2::text IS NULL OR topic = $2) \
         ORDER BY number {} LIMIT $3",
        page.condition(),
        page.direction()
    );
    let query = sqlx::query(&sql).bind(page.from).bind(topic).bind(page.limit).bind(page.cut);
    query.fetch_all(pool).await?.iter().map(read).collect()
}

/// Numbers and ids of those behind `after`, of one topic where it is given, in order.
pub async fn ids(
    pool: &PgPool,
    topic: Option<&str>,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, Uuid)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT number, id FROM parked_messages \
         WHERE number > $1 AND ($2::text IS NULL OR topic = $2) ORDER BY number LIMIT $3",
    )
    .bind(after)
    .bind(topic)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// How many wait of one topic.
pub async fn count_of(pool: &PgPool, topic: Option<&str>) -> Result<i64, sqlx::Error> {
    let count = "SELECT count(*) FROM parked_messages WHERE $1::text IS NULL OR topic = $1";
    sqlx::query_scalar(count).bind(topic).fetch_one(pool).await
}

/// How many wait.
pub async fn count(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM parked_messages").fetch_one(pool).await
}

fn sql(condition: &str) -> String {
    format!("SELECT {COLUMNS} FROM parked_messages WHERE {condition} ORDER BY number LIMIT $2")
}

fn read(row: &PgRow) -> Result<Parked, sqlx::Error> {
    Ok(Parked {
        number: row.try_get("number")?,
        id: row.try_get("id")?,
        identity: row.try_get("identity")?,
        waits_for: row.try_get("waits_for")?,
        parked_at: row.try_get("parked_at")?,
        record: record(row)?,
        bytes: row.try_get("bytes")?,
    })
}

/// The message in a row.
pub(super) fn record(row: &PgRow) -> Result<Record, sqlx::Error> {
    Ok(Record {
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        offset: row.try_get("record_offset")?,
        timestamp: row.try_get("record_time")?,
        headers: headers_of(&row.try_get("headers")?),
        key: row.try_get("key")?,
        value: row.try_get("value")?,
    })
}

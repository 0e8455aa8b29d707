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
}

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

/// Those with these ids.
pub async fn find(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<Parked>, sqlx::Error> {
    let sql = sql("id = ANY ($1)");
    sqlx::query(&sql).bind(ids).bind(i64::MAX).fetch_all(pool).await?.iter().map(read).collect()
}

/// Those behind `after`, of one topic where it is given.
pub async fn list(
    pool: &PgPool,
    topic: Option<&str>,
    after: i64,
    limit: i64,
) -> Result<Vec<Parked>, sqlx::Error> {
    let sql = sql("number > $1 AND ($3::text IS NULL OR topic = $3)");
    let rows = sqlx::query(&sql).bind(after).bind(limit).bind(topic).fetch_all(pool).await?;
    rows.iter().map(read).collect()
}

/// How many wait.
pub async fn count(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM parked_messages").fetch_one(pool).await
}

fn sql(condition: &str) -> String {
    format!(
        "SELECT number, id, identity, waits_for, parked_at, topic, partition, record_offset, record_time, headers, \
         key, value FROM parked_messages WHERE {condition} ORDER BY number LIMIT $2"
    )
}

fn read(row: &PgRow) -> Result<Parked, sqlx::Error> {
    Ok(Parked {
        number: row.try_get("number")?,
        id: row.try_get("id")?,
        identity: row.try_get("identity")?,
        waits_for: row.try_get("waits_for")?,
        parked_at: row.try_get("parked_at")?,
        record: record(row)?,
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

//! Where each partition of the incoming topics goes on. Only the append of a slice and an operator move it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor, PgPool};

/// The place of a partition.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct StoredOffset {
    /// The topic's name without a prefix.
    pub topic: String,
    /// Which partition.
    pub partition: i32,
    /// The next record to be read.
    pub next_offset: i64,
    /// Of the last record before it; none after an operator's order.
    pub fingerprint: Option<String>,
    /// When it moved last.
    pub updated_at: DateTime<Utc>,
}

/// The places of a group, by topic and partition. A partition that was never read has none.
pub async fn find(
    executor: impl PgExecutor<'_>,
    group: &str,
) -> Result<HashMap<(String, i32), StoredOffset>, sqlx::Error> {
    let rows: Vec<StoredOffset> = sqlx::query_as(
        "SELECT topic, partition, next_offset, fingerprint, updated_at FROM inbound_offsets WHERE group_id = $1",
    )
    .bind(group)
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| ((row.topic.clone(), row.partition), row)).collect())
}

/// An operator says where a partition goes on. Whoever reads it notices within seconds.
pub async fn order(
    pool: &PgPool,
    group: &str,
    topic: &str,
    partition: i32,
    next: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO inbound_offsets (group_id, topic, partition, next_offset, fingerprint, updated_at) \
         VALUES ($1, $2, $3, $4, NULL, clock_timestamp()) \
         ON CONFLICT (group_id, topic, partition) DO UPDATE \
         SET next_offset = excluded.next_offset, fingerprint = NULL, updated_at = excluded.updated_at",
    )
    .bind(group)
    .bind(topic)
    .bind(partition)
    .bind(next)
    .execute(pool)
    .await?;
    Ok(())
}

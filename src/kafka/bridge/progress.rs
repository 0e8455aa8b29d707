//! How far the bridge is: the record in Kafka that is written with the messages, and its copy in Postgres.
//!
//! The record is the truth, because it is in the same transaction. The copy is written afterwards and never ahead of
//! it: it gives the lag, and shows when the truth was lost.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgExecutor, PgPool, Row};
use uuid::Uuid;

use crate::fault;
use crate::kafka::topics::TopicNames;

/// The lane of the event log; it is the key of its progress record. Never rename.
pub(crate) const LANE: &str = "events";

/// How far a lane is. As JSON the value of the progress record: never rename a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Which log.
    pub log_id: Uuid,
    /// Which life of it.
    pub epoch: i32,
    /// The last position that is published, or has nothing to publish.
    pub position: i64,
    /// The event there; none at position 0.
    pub event_id: Option<Uuid>,
    /// The Kafka cluster that it is published to.
    pub cluster_id: String,
}

/// Where an operator wants the bridge to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeFrom {
    /// Behind what the progress topic says, whatever the copy says.
    Progress,
    /// Behind what the copy in Postgres says, whatever the progress topic says.
    Postgres,
    /// Behind this position of the log.
    Position(i64),
}

impl std::fmt::Display for ResumeFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Progress => f.write_str("progress"),
            Self::Postgres => f.write_str("postgres"),
            Self::Position(position) => position.fmt(f),
        }
    }
}

/// What Postgres knows of the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeReport {
    /// The last published position, by the copy; none before the first.
    pub progress: Option<Progress>,
    /// When the copy was written.
    pub updated_at: Option<DateTime<Utc>>,
    /// The end of the log.
    pub head: i64,
    /// The instance that holds the lease, and until when.
    pub lease: Option<(Uuid, DateTime<Utc>)>,
    /// An order that was not followed yet.
    pub resume: Option<ResumeFrom>,
}

impl BridgeReport {
    /// How many events are not published yet.
    pub fn lag(&self) -> i64 {
        self.head - self.progress.as_ref().map_or(0, |progress| progress.position)
    }
}

/// Reads what Postgres knows of the bridge with this topic prefix.
pub async fn report(pool: &PgPool, prefix: &str) -> Result<BridgeReport, sqlx::Error> {
    let lease = TopicNames::with_prefix(prefix).transactional_id();
    let row = sqlx::query(
        "SELECT h.position AS head, l.holder, l.expires_at, p.updated_at \
         FROM log_head h LEFT JOIN leases l ON l.name = $1 LEFT JOIN bridge_progress p ON p.lane = $2",
    )
    .bind(lease)
    .bind(LANE)
    .fetch_one(pool)
    .await?;
    let holder: Option<Uuid> = row.try_get("holder")?;
    Ok(BridgeReport {
        progress: copy(pool, LANE).await?,
        updated_at: row.try_get("updated_at")?,
        head: row.try_get("head")?,
        lease: holder.zip(row.try_get("expires_at")?),
        resume: order(pool, LANE).await?,
    })
}

/// Orders where the bridge is to go on. It follows within seconds, whether it runs or refuses to.
pub async fn resume(pool: &PgPool, from: ResumeFrom) -> Result<(), sqlx::Error> {
    order_lane(pool, LANE, from).await
}

/// Orders where a lane is to go on.
pub(in crate::kafka) async fn order_lane(
    executor: impl PgExecutor<'_>,
    lane: &str,
    from: ResumeFrom,
) -> Result<(), sqlx::Error> {
    let (source, position) = columns(from);
    sqlx::query(
        "INSERT INTO bridge_resume (lane, from_source, from_position, requested_at) \
         VALUES ($1, $2, $3, clock_timestamp()) \
         ON CONFLICT (lane) DO UPDATE SET from_source = excluded.from_source, \
         from_position = excluded.from_position, requested_at = excluded.requested_at",
    )
    .bind(lane)
    .bind(source)
    .bind(position)
    .execute(executor)
    .await?;
    Ok(())
}

fn columns(from: ResumeFrom) -> (&'static str, Option<i64>) {
    match from {
        ResumeFrom::Progress => ("progress", None),
        ResumeFrom::Postgres => ("postgres", None),
        ResumeFrom::Position(position) => ("position", Some(position)),
    }
}

/// The order for a lane that was not followed yet.
pub(super) async fn order(
    executor: impl PgExecutor<'_>,
    lane: &str,
) -> Result<Option<ResumeFrom>, sqlx::Error> {
    let row = sqlx::query("SELECT from_source, from_position FROM bridge_resume WHERE lane = $1")
        .bind(lane)
        .fetch_optional(executor)
        .await?;
    row.map(|row| {
        let source: &str = row.try_get("from_source")?;
        Ok(match source {
            "progress" => ResumeFrom::Progress,
            "postgres" => ResumeFrom::Postgres,
            _ => ResumeFrom::Position(row.try_get("from_position")?),
        })
    })
    .transpose()
}

/// The copy of a lane's place.
pub(super) async fn copy(
    executor: impl PgExecutor<'_>,
    lane: &str,
) -> Result<Option<Progress>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT log_id, epoch, position, event_id, cluster_id FROM bridge_progress WHERE lane = $1",
    )
    .bind(lane)
    .fetch_optional(executor)
    .await?;
    row.map(|row| {
        Ok(Progress {
            log_id: row.try_get("log_id")?,
            epoch: row.try_get("epoch")?,
            position: row.try_get("position")?,
            event_id: row.try_get("event_id")?,
            cluster_id: row.try_get("cluster_id")?,
        })
    })
    .transpose()
}

/// Notes what Kafka has confirmed. Only the holder of the lease writes, and never backwards: a late write of a paused
/// instance changes nothing.
pub(super) async fn save_copy(
    pool: &PgPool,
    lane: &str,
    progress: &Progress,
    lease: &str,
    holder: Uuid,
) -> Result<(), sqlx::Error> {
    upsert(pool, lane, progress, "progress.position <= excluded.position", lease, holder).await
}

/// Notes that an order was followed: the copy may go back.
pub(super) async fn settle_order(
    pool: &PgPool,
    followed: ResumeFrom,
    progress: &Progress,
    lease: &str,
    holder: Uuid,
) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    upsert(&mut *tx, LANE, progress, "true", lease, holder).await?;
    let (source, position) = columns(followed);
    sqlx::query(
        "WITH followed AS (DELETE FROM bridge_resume \
           WHERE lane = $1 AND from_source = $2 AND from_position IS NOT DISTINCT FROM $3 \
           AND EXISTS (SELECT 1 FROM leases WHERE name = $4 AND holder = $5) RETURNING requested_at) \
         DELETE FROM bridge_resume r USING followed f WHERE r.lane <> $1 AND r.requested_at <= f.requested_at",
    )
    .bind(LANE)
    .bind(source)
    .bind(position)
    .bind(lease)
    .bind(holder)
    .execute(&mut *tx)
    .await?;
    fault::point("order", "before commit");
    tx.commit().await?;
    fault::point("order", "after commit");
    Ok(())
}

async fn upsert(
    executor: impl PgExecutor<'_>,
    lane: &str,
    progress: &Progress,
    unless_not: &str,
    lease: &str,
    holder: Uuid,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "INSERT INTO bridge_progress AS progress \
         (lane, log_id, epoch, position, event_id, cluster_id, updated_at) \
         SELECT $1, $2, $3, $4, $5, $6, clock_timestamp() \
         WHERE EXISTS (SELECT 1 FROM leases WHERE name = $7 AND holder = $8) \
         ON CONFLICT (lane) DO UPDATE SET log_id = excluded.log_id, epoch = excluded.epoch, \
         position = excluded.position, event_id = excluded.event_id, cluster_id = excluded.cluster_id, \
         updated_at = excluded.updated_at WHERE {unless_not}"
    );
    sqlx::query(&sql)
        .bind(lane)
        .bind(progress.log_id)
        .bind(progress.epoch)
        .bind(progress.position)
        .bind(progress.event_id)
        .bind(&progress.cluster_id)
        .bind(lease)
        .bind(holder)
        .execute(executor)
        .await?;
    Ok(())
}

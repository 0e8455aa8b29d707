//! Who works on the generations of a read model: one process at a time.
//!
//! ## Decision
//! A lease is a row with a sign of life, not a lock: a lock that is held for minutes needs a transaction as old, which
//! keeps Postgres from tidying up behind the appends, or a session, which a transaction-pooling proxy doesn't keep.
//! What counts is the fence: every transaction that changes something has to find its owner in the row, and holds on
//! to the row until it commits. Who takes over waits for such transactions first.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::RebuildError;

/// How often the owner shows that it is alive.
const BEAT: Duration = Duration::from_secs(1);
/// After how long without a sign of life another may take over. It stands in the SQL below, too.
const LEASE: Duration = Duration::from_secs(5);

/// The right to change generations of these read models. Given back by [`Lease::release`]; else it runs out.
pub(super) struct Lease {
    pool: PgPool,
    names: Vec<&'static str>,
    owner: Uuid,
    heart: AbortHandle,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.heart.abort();
    }
}

impl Lease {
    /// Takes the lease of all of these or of none. Where another process has one, this waits until it is certain that
    /// the other is alive, which is the error, or dead.
    pub(super) async fn take(
        pool: &PgPool,
        mut names: Vec<&'static str>,
        doing: &'static str,
    ) -> Result<Self, RebuildError> {
        names.sort_unstable();
        let owner = Uuid::now_v7();
        let deadline = Instant::now() + LEASE + BEAT;
        let mut first = None;
        loop {
            if let Some(other) = other(pool, &names).await? {
                let alive = first.get_or_insert_with(|| other.clone()) != &other;
                if alive || Instant::now() >= deadline {
                    return Err(RebuildError::Busy { name: other.name, doing: other.doing });
                }
            } else if try_take(pool, &names, owner, doing).await? {
                break;
            }
            sleep(BEAT / 5).await;
        }
        let heart = tokio::spawn(beat(pool.clone(), names.clone(), owner)).abort_handle();
        Ok(Self { pool: pool.clone(), names, owner, heart })
    }

    /// Makes sure, until the transaction of `connection` ends, that the lease is ours.
    pub(super) async fn fence(&self, connection: &mut PgConnection) -> Result<(), RebuildError> {
        Fence { names: self.names.clone(), owner: self.owner }.hold(connection).await
    }

    /// The same for tasks of their own.
    pub(super) fn to_fence(&self) -> Fence {
        Fence { names: self.names.clone(), owner: self.owner }
    }

    /// Gives it back.
    pub(super) async fn release(self) -> Result<(), RebuildError> {
        self.heart.abort();
        sqlx::query("DELETE FROM projection_leases WHERE name = ANY ($1) AND owner = $2")
            .bind(&self.names)
            .bind(self.owner)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// What tells the owner from those who were it.
#[derive(Debug, Clone)]
pub(super) struct Fence {
    names: Vec<&'static str>,
    owner: Uuid,
}

impl Fence {
    /// Makes sure, until the transaction of `connection` ends, that the lease is ours.
    pub(super) async fn hold(&self, connection: &mut PgConnection) -> Result<(), RebuildError> {
        // A paused process must not keep a new owner waiting for ever.
        sqlx::query("SET LOCAL idle_in_transaction_session_timeout = '30s'")
            .execute(&mut *connection)
            .await?;
        // Signs of life do not wait for this lock, a new owner does.
        let ours = "SELECT name FROM projection_leases WHERE name = ANY ($1) AND owner = $2 ORDER BY name FOR KEY SHARE";
        let rows =
            sqlx::query(ours).bind(&self.names).bind(self.owner).fetch_all(connection).await?;
        if rows.len() == self.names.len() { Ok(()) } else { Err(RebuildError::LeaseLost) }
    }
}

/// A lease of somebody else, with its last sign of life.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
struct Other {
    name: String,
    doing: String,
    beat_at: chrono::DateTime<chrono::Utc>,
}

/// Whether the lease is ours.
async fn try_take(
    pool: &PgPool,
    names: &[&str],
    owner: Uuid,
    doing: &str,
) -> Result<bool, RebuildError> {
    let mut transaction = pool.begin().await?;
    // Waits for transactions of a former owner that are still under way.
    sqlx::query("SELECT 1 FROM projection_leases WHERE name = ANY ($1) ORDER BY name FOR UPDATE")
        .bind(names)
        .execute(&mut *transaction)
        .await?;
    let taken = sqlx::query(
        "INSERT INTO projection_leases AS known (name, owner, doing, beat_at) \
         SELECT name, $2, $3, clock_timestamp() FROM unnest($1::text[]) AS name ORDER BY name \
         ON CONFLICT (name) DO UPDATE SET owner = $2, doing = $3, beat_at = clock_timestamp() \
         WHERE known.beat_at < clock_timestamp() - interval '5 s'",
    )
    .bind(names)
    .bind(owner)
    .bind(doing)
    .execute(&mut *transaction)
    .await?;
    let ours = usize::try_from(taken.rows_affected()) == Ok(names.len());
    if ours {
        transaction.commit().await?;
    } else {
        transaction.rollback().await?;
    }
    Ok(ours)
}

async fn other(pool: &PgPool, names: &[&str]) -> sqlx::Result<Option<Other>> {
    let other = "SELECT name, doing, beat_at FROM projection_leases WHERE name = ANY ($1) \
         AND beat_at >= clock_timestamp() - interval '5 s' ORDER BY name LIMIT 1";
    sqlx::query_as(other).bind(names).fetch_optional(pool).await
}

/// Shows that the owner is alive, until it is the owner no more: the fence tells it so.
async fn beat(pool: PgPool, names: Vec<&'static str>, owner: Uuid) {
    loop {
        sleep(BEAT).await;
        let sign = sqlx::query(
            "UPDATE projection_leases SET beat_at = clock_timestamp() WHERE name = ANY ($1) AND owner = $2",
        )
        .bind(&names)
        .bind(owner)
        .execute(&pool);
        if matches!(timeout(LEASE, sign).await, Ok(Ok(done)) if done.rows_affected() == 0) {
            return;
        }
    }
}

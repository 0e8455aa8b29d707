//! Who tries to do what only one instance should: a row in Postgres, by the database's clock.
//!
//! A lease never makes anything correct: a paused process may hold a stale one for as long as it likes. It only keeps
//! instances from fencing each other all the time. Never a session lock: a pooling proxy would break it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::fault;

/// How long a lease lasts unless it is renewed.
pub(crate) const TTL: Duration = Duration::from_secs(6);
const RENEW_EVERY: Duration = Duration::from_secs(2);
const RETRY_EVERY: Duration = Duration::from_millis(500);
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// A lease that this instance holds, as far as it knows.
#[derive(Debug, Clone)]
pub(crate) struct Lease {
    pool: PgPool,
    name: Arc<str>,
    holder: Uuid,
    /// By our clock, counted from before the database was asked: not later than the row says.
    until: Arc<watch::Sender<Instant>>,
}

impl Lease {
    /// Takes the lease if it is free, expired or ours.
    pub(crate) async fn acquire(
        pool: &PgPool,
        name: &str,
        holder: Uuid,
    ) -> Result<Option<Self>, sqlx::Error> {
        let asked = Instant::now();
        fault::point("lease", "before commit");
        let taken = sqlx::query(
            "INSERT INTO leases AS held (name, holder, expires_at) \
             VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3)) \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at \
             WHERE held.holder = excluded.holder OR held.expires_at < clock_timestamp()",
        )
        .bind(name)
        .bind(holder)
        .bind(TTL.as_secs_f64())
        .execute(pool)
        .await?;
        fault::point("lease", "after commit");
        Ok((taken.rows_affected() > 0).then(|| Self {
            pool: pool.clone(),
            name: name.into(),
            holder,
            until: Arc::new(watch::Sender::new(asked + TTL)),
        }))
    }

    /// Whether the lease can still be ours.
    pub(crate) fn is_fresh(&self) -> bool {
        Instant::now() < *self.until.borrow()
    }

    /// Renews until the lease is lost.
    pub(crate) async fn keep(&self) {
        let mut pause = RENEW_EVERY;
        loop {
            sleep(pause).await;
            let asked = Instant::now();
            // Only what is still ours: whoever took it meanwhile may have gone again.
            let renewed = sqlx::query(
                "UPDATE leases SET expires_at = clock_timestamp() + make_interval(secs => $3) \
                 WHERE name = $1 AND holder = $2",
            )
            .bind(&*self.name)
            .bind(self.holder)
            .bind(TTL.as_secs_f64())
            .execute(&self.pool);
            let left = self.until.borrow().saturating_duration_since(asked);
            match tokio::time::timeout(left, renewed).await {
                Ok(Ok(done)) if done.rows_affected() > 0 => {
                    self.until.send_replace(asked + TTL);
                    pause = RENEW_EVERY;
                }
                Ok(Ok(_)) | Err(_) => return,
                Ok(Err(error)) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "the lease {} could not be renewed",
                        self.name
                    );
                    pause = RETRY_EVERY;
                }
            }
        }
    }
}

/// Gives the lease back where it is ours, so that another instance need not wait for its end.
pub(crate) async fn release(pool: &PgPool, name: &str, holder: Uuid) {
    let released = sqlx::query("DELETE FROM leases WHERE name = $1 AND holder = $2")
        .bind(name)
        .bind(holder)
        .execute(pool);
    let _ = tokio::time::timeout(RELEASE_TIMEOUT, released).await; // it ends by itself anyway
}

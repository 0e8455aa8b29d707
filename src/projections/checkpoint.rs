//! How far each projection is, and waiting until all are far enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::names;
use crate::event_store::Position;

/// How long a waiting reader relies on hints of its own process before it looks again.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// A projection's place.
#[derive(Debug, Clone, FromRow)]
pub struct Checkpoint {
    /// Name and shape.
    pub name: String,
    /// Which table of that shape is live.
    pub generation: i32,
    /// The epoch of the last event that it has seen.
    pub epoch: i32,
    /// The position of that event.
    pub position: i64,
    /// Events behind the end of the log.
    pub lag: i64,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
    /// Whether it has ever been at the end of the log: before that nobody reads it.
    pub built: bool,
    /// What stands beside the live table.
    #[sqlx(json(nullable))]
    pub beside: Option<Beside>,
}

impl Checkpoint {
    /// The version of the shape: what follows the `_v` of its name.
    pub fn version(&self) -> &str {
        self.name.rsplit_once("_v").map_or("", |(_, version)| version)
    }
}

/// A generation that is not live.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Beside {
    /// Which table of that shape.
    pub generation: i32,
    /// `building`, `ready`, `refused` by its check, or `previous`: the one that was live before.
    pub state: String,
    /// How far its rows go.
    pub position: i64,
}

/// Waiting for `minPosition` was in vain.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The read models did not get there in time.
    #[error("the read model has not reached the position yet")]
    Lagging,
    /// The position belongs to another life of the log.
    #[error("the position is of another epoch of the log")]
    ForeignEpoch,
    /// The checkpoints could not be read.
    #[error("the checkpoints could not be read")]
    Database(#[from] sqlx::Error),
}

/// The checkpoints of all projections.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    pool: PgPool,
    moved: Arc<watch::Sender<u64>>,
    built: Arc<AtomicBool>,
}

impl Checkpoints {
    /// The checkpoints of this database.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, moved: Arc::new(watch::Sender::new(0)), built: Arc::default() }
    }

    /// A projection of this process has moved.
    pub(super) fn moved(&self) {
        self.moved.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// All of them, with their lag.
    pub async fn list(&self) -> sqlx::Result<Vec<Checkpoint>> {
        sqlx::query_as(
            "SELECT p.name, p.generation, p.epoch, p.position, h.position - p.position AS lag, p.updated_at, \
                    p.built_at IS NOT NULL OR p.position >= h.position AS built, \
                    CASE WHEN g.name IS NOT NULL THEN \
                      jsonb_build_object('generation', g.generation, 'state', g.state, 'position', g.position) \
                    END AS beside \
             FROM projections p CROSS JOIN log_head h LEFT JOIN projection_generations g ON g.name = p.name \
             ORDER BY p.name",
        )
        .fetch_all(&self.pool)
        .await
    }

    /// The read models of this release that have never been at the end of the log: they are being built, and what they
    /// would say is not true yet.
    pub async fn unbuilt(&self) -> sqlx::Result<Vec<&'static str>> {
        if self.built.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let list = self.list().await?;
        let built = |name: &str| list.iter().any(|known| known.built && known.name == name);
        let unbuilt: Vec<_> = names().into_iter().filter(|name| !built(name)).collect();
        self.built.store(unbuilt.is_empty(), Ordering::Relaxed);
        Ok(unbuilt)
    }

    /// Waits until every read model of this release has seen `position`, at most `patience`. Those of other releases,
    /// which a database may hold during an update, are waited for by nobody.
    pub async fn wait_for(&self, position: Position, patience: Duration) -> Result<(), WaitError> {
        let deadline = Instant::now() + patience;
        let mut moved = self.moved.subscribe();
        let names = names();
        loop {
            let (epoch, there): (i32, i64) = sqlx::query_as(
                "SELECT h.epoch, (SELECT count(*) FROM projections p WHERE p.name = ANY ($2) AND p.position >= $1) \
                 FROM log_head h",
            )
            .bind(position.number)
            .bind(&names)
            .fetch_one(&self.pool)
            .await?;
            if epoch != position.epoch {
                return Err(WaitError::ForeignEpoch);
            }
            if usize::try_from(there) == Ok(names.len()) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(WaitError::Lagging);
            }
            let _ = timeout_at(deadline.min(Instant::now() + LOOK_EVERY), moved.changed()).await;
        }
    }
}

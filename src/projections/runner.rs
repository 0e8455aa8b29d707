//! Driving a projection: lock the checkpoint, read the log, fold, write, move the checkpoint, commit.
//!
//! Where the database refuses the rows of a batch, the same events are tried command by command, so that what can be
//! applied is, and the one that cannot is named.

use std::time::Duration;

use sqlx::{PgPool, Row};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpoints;
use super::fold::{move_checkpoint, table};
use super::{ProjectionError, ReadModel};
use crate::event_store::append::is_transient;
use crate::event_store::log::ReadError;
use crate::event_store::replay::read_window;
use crate::event_store::wake::Wake;
use crate::fault;

/// The most events of one transaction; more than the largest command.
const BATCH: i64 = 2_000;

/// Whether a projection does its work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Health {
    /// It moves, or has nothing to do, or another instance does its work.
    #[default]
    Running,
    /// It cannot go on; the sentence says why.
    Stopped(String),
}

/// How much of the log a step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Portion {
    Batch,
    Command,
}

/// Drives one projection.
#[derive(Clone)]
pub struct Runner {
    /// Its name and shape.
    pub name: &'static str,
    model: &'static ReadModel,
    checkpoints: Checkpoints,
    health: watch::Sender<Health>,
}

impl Runner {
    pub(super) fn of(model: &'static ReadModel, checkpoints: &Checkpoints) -> Self {
        let health = watch::Sender::new(Health::Running);
        Self { name: model.name, model, checkpoints: checkpoints.clone(), health }
    }

    /// Whether it does its work.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Projects one batch in one transaction, and says by how many events the checkpoint moved. 0: caught up, or another
    /// instance is at it.
    pub async fn step(&self, pool: &PgPool) -> Result<i64, ProjectionError> {
        self.take(pool, Portion::Batch).await
    }

    async fn take(&self, pool: &PgPool, portion: Portion) -> Result<i64, ProjectionError> {
        let events = step(pool, self.model, portion).await?;
        if events > 0 {
            self.checkpoints.moved();
        }
        Ok(events)
    }

    /// Projects until `stop`. What cannot be applied is never skipped: it is tried again, and said.
    pub async fn run(self, pool: PgPool, mut wake: Wake, stop: CancellationToken) {
        let mut pause = Duration::from_millis(100);
        let mut one_by_one = 0;
        while !stop.is_cancelled() {
            let portion = if one_by_one > 0 { Portion::Command } else { Portion::Batch };
            match self.take(&pool, portion).await {
                Ok(events) => {
                    self.goes_on();
                    pause = Duration::from_millis(100);
                    one_by_one = (one_by_one - events).max(0);
                    if events == 0 {
                        one_by_one = 0;
                        let _ = stop.run_until_cancelled(wake.wait()).await;
                    }
                }
                Err(ProjectionError::Database(error))
                    if portion == Portion::Batch && !is_transient(&error) =>
                {
                    one_by_one = BATCH;
                }
                Err(error) => {
                    self.stopped(&error);
                    let _ = stop.run_until_cancelled(sleep(pause)).await;
                    pause = (pause * 2).min(Duration::from_secs(10));
                }
            }
        }
    }

    fn goes_on(&self) {
        self.health.send_if_modified(|health| {
            let stopped = *health != Health::Running;
            if stopped {
                tracing::info!(projection = self.name, "the projection goes on");
            }
            *health = Health::Running;
            stopped
        });
    }

    fn stopped(&self, error: &ProjectionError) {
        let why = match error {
            ProjectionError::Log(error @ ReadError::Undecodable { source, .. }) => {
                format!("{error}: {source}")
            }
            ProjectionError::Log(error) => error.to_string(),
            ProjectionError::Refused { source, .. } => format!("{error}: {source}"),
            other => other.to_string(),
        };
        let news = self.health.send_if_modified(|health| {
            let stopped = Health::Stopped(why.clone());
            let news = *health != stopped;
            *health = stopped;
            news
        });
        if news {
            tracing::error!(
                projection = self.name,
                error = error as &dyn std::error::Error,
                "the projection {} stands still: {why}",
                self.name
            );
        }
    }
}

async fn step(pool: &PgPool, model: &ReadModel, portion: Portion) -> Result<i64, ProjectionError> {
    let row = sqlx::query(
        "SELECT p.position < h.position AS behind, p.built_at IS NULL AS new \
         FROM projections p CROSS JOIN log_head h WHERE p.name = $1",
    )
    .bind(model.name)
    .fetch_optional(pool)
    .await?
    .ok_or(ProjectionError::NoCheckpoint(model.name))?;
    if !row.try_get::<bool, _>("behind")? {
        if row.try_get("new")? {
            built(pool, model.name).await?;
        }
        return Ok(0);
    }
    let mut transaction = pool.begin().await?;
    // A paused process must not keep the checkpoint from the others.
    sqlx::query("SET LOCAL idle_in_transaction_session_timeout = '5s'")
        .execute(&mut *transaction)
        .await?;
    let locked = sqlx::query(
        "SELECT generation, position FROM projections WHERE name = $1 FOR UPDATE SKIP LOCKED",
    )
    .bind(model.name)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(checkpoint) = locked else { return Ok(0) };
    let (generation, after) = (checkpoint.try_get("generation")?, checkpoint.try_get("position")?);
    let mut window = read_window(&mut *transaction, after, BATCH, model.kinds).await?;
    if portion == Portion::Command {
        window.first_command();
    }
    let Some(end) = window.end() else { return Ok(0) };
    let table = table(model.name, generation);
    let written = (model.write)(&mut transaction, &table, &window.events).await;
    written.map_err(|source| match portion {
        Portion::Command if !is_transient(&source) => {
            ProjectionError::Refused { position: end.number, source }
        }
        _ => ProjectionError::Database(source),
    })?;
    move_checkpoint(&mut transaction, model.name, end).await?;
    fault::point("projection", "before commit");
    transaction.commit().await?;
    fault::point("projection", "after commit");
    Ok(end.number - after)
}

/// The read model has been at the end of the log: from now on it is read.
async fn built(pool: &PgPool, name: &str) -> sqlx::Result<()> {
    let built =
        "UPDATE projections SET built_at = clock_timestamp() WHERE name = $1 AND built_at IS NULL";
    sqlx::query(built).bind(name).execute(pool).await?;
    tracing::info!(projection = name, "the read model {name} has reached the end of the log");
    Ok(())
}

//! Driving a projection: lock the checkpoint, read the log, fold, write, move the checkpoint, commit.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::{PgPool, Row};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpoints;
use super::fold::{move_checkpoint, table, write};
use super::{Projection, ProjectionError, rebuild};
use crate::event_store::log::{self, ReadError};
use crate::event_store::wake::Wake;

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

type Step = fn(PgPool) -> BoxFuture<'static, Result<usize, ProjectionError>>;
type Rebuild = fn(
    PgPool,
    Arc<dyn Fn(i64, i64) + Send + Sync>,
) -> BoxFuture<'static, Result<i64, ProjectionError>>;

/// Drives one projection.
#[derive(Clone)]
pub struct Runner {
    /// Its name and shape.
    pub name: &'static str,
    checkpoints: Checkpoints,
    health: watch::Sender<Health>,
    step: Step,
    rebuild: Rebuild,
}

impl Runner {
    /// The runner of `P`.
    pub(super) fn of<P: Projection>(checkpoints: &Checkpoints) -> Self {
        Self {
            name: P::NAME,
            checkpoints: checkpoints.clone(),
            health: watch::Sender::new(Health::Running),
            step: |pool| Box::pin(async move { step::<P>(&pool).await }),
            rebuild: |pool, report| {
                Box::pin(async move { rebuild::rebuild::<P>(&pool, &*report).await })
            },
        }
    }

    /// Whether it does its work.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Projects one batch in one transaction. 0: caught up, or another instance is at it.
    pub async fn step(&self, pool: &PgPool) -> Result<usize, ProjectionError> {
        let events = (self.step)(pool.clone()).await?;
        if events > 0 {
            self.checkpoints.moved();
        }
        Ok(events)
    }

    /// Builds the table again from the whole log, in one transaction: readers see the old rows until it commits.
    /// `report` hears (events done, events in the log). Returns the number of events.
    pub async fn rebuild(
        &self,
        pool: &PgPool,
        report: Arc<dyn Fn(i64, i64) + Send + Sync>,
    ) -> Result<i64, ProjectionError> {
        (self.rebuild)(pool.clone(), report).await
    }

    /// Projects until `stop`. What cannot be applied is never skipped: it is tried again, and said.
    pub async fn run(self, pool: PgPool, mut wake: Wake, stop: CancellationToken) {
        let mut pause = Duration::from_millis(100);
        while !stop.is_cancelled() {
            match self.step(&pool).await {
                Ok(events) => {
                    self.health.send_if_modified(|health| {
                        let stopped = *health != Health::Running;
                        if stopped {
                            tracing::info!(projection = self.name, "the projection goes on");
                        }
                        *health = Health::Running;
                        stopped
                    });
                    pause = Duration::from_millis(100);
                    if events == 0 {
                        let _ = stop.run_until_cancelled(wake.wait()).await;
                    }
                }
                Err(error) => {
                    self.stopped(&error);
                    let _ = stop.run_until_cancelled(sleep(pause)).await;
                    pause = (pause * 2).min(Duration::from_secs(10));
                }
            }
        }
    }

    fn stopped(&self, error: &ProjectionError) {
        let why = match error {
            ProjectionError::Log(error @ ReadError::Undecodable { .. }) => error.to_string(),
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

async fn step<P: Projection>(pool: &PgPool) -> Result<usize, ProjectionError> {
    let behind: Option<bool> = sqlx::query_scalar(
        "SELECT p.position < h.position FROM projections p CROSS JOIN log_head h WHERE p.name = $1",
    )
    .bind(P::NAME)
    .fetch_optional(pool)
    .await?;
    if !behind.ok_or(ProjectionError::NoCheckpoint(P::NAME))? {
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
    .bind(P::NAME)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(checkpoint) = locked else { return Ok(0) };
    let (generation, after) = (checkpoint.try_get("generation")?, checkpoint.try_get("position")?);
    let events = log::read_after(&mut *transaction, after, BATCH).await?;
    let Some(last) = events.last() else { return Ok(0) };
    write::<P>(&mut transaction, &table(P::NAME, generation), &events).await?;
    move_checkpoint(&mut transaction, P::NAME, last.position).await?;
    transaction.commit().await?;
    Ok(events.len())
}

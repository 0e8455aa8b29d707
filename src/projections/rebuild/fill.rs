//! Filling tables from the log: workers take portions of it, fold them in memory and write the rows.
//!
//! A portion's rows and the note that it is done are one transaction, so a fill that was killed goes on where it was.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{PgConnection, PgPool, Row};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::lease::{Fence, Lease};
use super::{RebuildError, Report};
use crate::domain::StreamType;
use crate::event_store::replay::{self, Chunk, Scope};
use crate::fault;
use crate::projections::ReadModel;

/// About how many events a worker folds before it writes.
const CHUNK: i64 = 20_000;

/// A read model and the table that its rows go to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) model: &'static ReadModel,
    pub(super) table: String,
}

/// Portions to do, by their number.
pub(super) type Portions = Vec<(i32, Chunk)>;

/// What a fill is: everything that its workers share.
pub(super) struct Fill {
    pub(super) targets: Vec<Target>,
    /// Up to which position of the log.
    pub(super) upto: i64,
    /// Under which the portions are noted as done; `None`: nowhere, because nobody goes on with it.
    pub(super) job: Option<Uuid>,
}

/// The log up to a position in portions, each event in one.
pub(super) async fn plan(
    connection: &mut PgConnection,
    upto: i64,
) -> Result<Vec<Chunk>, RebuildError> {
    let (chunks, all) = replay::chunks(connection, upto, CHUNK).await?;
    let covered = chunks.iter().map(|chunk| chunk.events).sum();
    if all == covered { Ok(chunks) } else { Err(RebuildError::Uncovered { all, covered }) }
}

/// Notes the portions of a job.
pub(super) async fn note(
    connection: &mut PgConnection,
    job: Uuid,
    chunks: &[Chunk],
) -> sqlx::Result<()> {
    let texts = |field: fn(&Chunk) -> &str| chunks.iter().map(field).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO projection_chunks (job, number, scope, after, upto, events) \
         SELECT $1, number, scope, after, upto, events \
         FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY \
              AS chunk (scope, after, upto, events, number)",
    )
    .bind(job)
    .bind(texts(|chunk| chunk.scope.as_str()))
    .bind(texts(|chunk| &chunk.after))
    .bind(texts(|chunk| &chunk.upto))
    .bind(chunks.iter().map(|chunk| chunk.events).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// The portions of a job that are not done, and how many events the others had.
pub(super) async fn open(pool: &PgPool, job: Uuid) -> sqlx::Result<(Portions, i64)> {
    let rows = sqlx::query(
        "SELECT number, scope, after, upto, events, done_at IS NOT NULL AS done FROM projection_chunks \
         WHERE job = $1 ORDER BY number",
    )
    .bind(job)
    .fetch_all(pool)
    .await?;
    let (mut portions, mut done) = (Vec::new(), 0);
    for row in rows {
        let events = row.try_get("events")?;
        if row.try_get("done")? {
            done += events;
            continue;
        }
        let scope = Scope::parse(row.try_get("scope")?).ok_or(sqlx::Error::RowNotFound)?;
        let (after, upto) = (row.try_get("after")?, row.try_get("upto")?);
        portions.push((row.try_get("number")?, Chunk { scope, after, upto, events }));
    }
    Ok((portions, done))
}

impl Fill {
    /// Does these portions with so many workers.
    pub(super) async fn run(
        self,
        pool: &PgPool,
        lease: &Lease,
        portions: Portions,
        workers: usize,
        report: &Report,
    ) -> Result<(), RebuildError> {
        let fill = Arc::new(self);
        let queue = Arc::new(Mutex::new(VecDeque::from(portions)));
        let mut tasks: JoinSet<Result<(), RebuildError>> = JoinSet::new();
        for _ in 0..workers.max(1) {
            let (fill, queue, pool) = (fill.clone(), queue.clone(), pool.clone());
            let (fence, report) = (lease.to_fence(), report.clone());
            tasks.spawn(async move {
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some((number, chunk)) = next() {
                    fill.portion(&pool, &fence, number, &chunk).await?;
                    report.events(chunk.events);
                }
                Ok(())
            });
        }
        let mut outcome = Ok(());
        while let Some(ended) = tasks.join_next().await {
            let ended = ended.unwrap_or_else(|e| Err(RebuildError::Panicked(e.to_string())));
            if ended.is_err() && outcome.is_ok() {
                // The others finish what they are at: a transaction that is dropped half way may outlive us.
                queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                outcome = ended;
            }
        }
        outcome
    }

    async fn portion(
        &self,
        pool: &PgPool,
        fence: &Fence,
        number: i32,
        chunk: &Chunk,
    ) -> Result<(), RebuildError> {
        let mut transaction = pool.begin().await?;
        // Rows and note are lost together where the database crashes, so nobody waits for its disk. Plans fit the sizes.
        sqlx::query(
            "SELECT set_config('synchronous_commit', 'off', true), \
                    set_config('plan_cache_mode', 'force_custom_plan', true)",
        )
        .execute(&mut *transaction)
        .await?;
        let mut folders: Vec<_> =
            self.targets.iter().map(|target| (target.model.folder)()).collect();
        let kinds = self.kinds();
        replay::read_chunk(&mut transaction, chunk, self.upto, &kinds, |event| {
            for folder in &mut folders {
                folder.add(event);
            }
        })
        .await?;
        fence.hold(&mut transaction).await?;
        for (target, folder) in self.targets.iter().zip(&folders) {
            folder.save(&mut transaction, &target.table).await?;
        }
        if let Some(job) = self.job {
            let done = "UPDATE projection_chunks SET done_at = clock_timestamp() \
                 WHERE job = $1 AND number = $2 AND done_at IS NULL";
            let done = sqlx::query(done).bind(job).bind(number).execute(&mut *transaction).await?;
            if done.rows_affected() != 1 {
                return Err(RebuildError::LeaseLost);
            }
        }
        fault::point("rebuild", "before a portion's commit");
        transaction.commit().await?;
        fault::point("rebuild", "after a portion's commit");
        Ok(())
    }

    fn kinds(&self) -> Vec<StreamType> {
        StreamType::ALL
            .into_iter()
            .filter(|kind| self.targets.iter().any(|target| target.model.kinds.contains(kind)))
            .collect()
    }
}

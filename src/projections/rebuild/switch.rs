//! Bringing the generation beside the live one up to the log, and the views before it.
//!
//! ## Decision
//! Readers hold their views in any order, so who replaces several views can meet them in a deadlock, and Postgres
//! might choose the reader as its victim. Therefore a switch waits for a view much shorter than Postgres waits before
//! it looks for deadlocks, gives everything back when that is in vain, and tries again. Where readers never pause, the
//! moment in which nobody holds any of the views never comes; a moment for one view does, because new readers queue
//! behind the switch, so after a while they are switched one by one. Nothing is lost by that: each read model has a
//! place in the log of its own anyway.
//!
//! A transaction that reads a snapshot from before the last rows were written would see a table without them. So a
//! switch first waits until those that are under way have ended.

use std::time::Duration;

use futures::future::join_all;
use sqlx::{FromRow, PgConnection, PgPool};
use tokio::time::{Instant, sleep};

use super::lease::Lease;
use super::{RebuildError, tables};
use crate::event_store::Position;
use crate::event_store::log::{self, ReadError};
use crate::event_store::replay::read_window;
use crate::fault;
use crate::projections::ReadModel;
use crate::projections::fold::table;

/// The most events of one transaction.
const BATCH: i64 = 5_000;
/// So near to the log the rest can be done within the switch.
const NEAR: i64 = 500;
/// How long a switch of several read models tries to find a moment without readers in its way.
const TOGETHER: Duration = Duration::from_secs(5);
/// How long a switch of one read model does.
const ALONE: Duration = Duration::from_mins(1);

/// In which direction readers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// To what was rebuilt.
    Forward,
    /// To what was live before.
    Back,
}

impl Direction {
    /// The state of the generation to which readers go, and then that of the one from which they come.
    fn states(self) -> (&'static str, &'static str) {
        match self {
            Self::Forward => ("ready", "previous"),
            Self::Back => ("previous", "ready"),
        }
    }
}

/// Applies the log from one position to another, both at the end of a command, to a table.
pub(super) async fn forward(
    connection: &mut PgConnection,
    model: &ReadModel,
    table: &str,
    mut from: i64,
    to: i64,
) -> Result<(), RebuildError> {
    while from < to {
        let limit = BATCH.min(to - from);
        let window = read_window(&mut *connection, from, limit, model.kinds).await?;
        let Some(end) = window.end() else { return Err(sqlx::Error::RowNotFound.into()) };
        (model.write)(connection, table, &window.events).await?;
        from = end.number;
    }
    Ok(())
}

/// Applies the log to the generations beside the live ones until they are near its end.
pub(super) async fn catch_up(
    pool: &PgPool,
    lease: &Lease,
    models: &[&'static ReadModel],
) -> Result<(), RebuildError> {
    let each = models.iter().map(|model| async {
        loop {
            let at = step(pool, lease, model).await?;
            let head = log::head(pool).await.map_err(ReadError::Database)?.position.number;
            if head - at <= NEAR {
                return Ok(());
            }
        }
    });
    join_all(each).await.into_iter().collect()
}

/// Applies one batch, and says where that ends.
async fn step(pool: &PgPool, lease: &Lease, model: &ReadModel) -> Result<i64, RebuildError> {
    let mut transaction = pool.begin().await?;
    lease.fence(&mut transaction).await?;
    let (generation, at): (i32, i64) = sqlx::query_as(
        "SELECT generation, position FROM projection_generations WHERE name = $1 FOR UPDATE",
    )
    .bind(model.name)
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(RebuildError::NothingBeside { name: model.name, wanted: "other" })?;
    let window = read_window(&mut *transaction, at, BATCH, model.kinds).await?;
    let Some(end) = window.end() else { return Ok(at) };
    let table = table(model.name, generation);
    (model.write)(&mut transaction, &table, &window.events).await?;
    move_beside(&mut transaction, model.name, end).await?;
    fault::point("rebuild", "before a step's commit");
    transaction.commit().await?;
    fault::point("rebuild", "after a step's commit");
    Ok(end.number)
}

async fn move_beside(connection: &mut PgConnection, name: &str, to: Position) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE projection_generations SET epoch = $2, position = $3, updated_at = clock_timestamp() WHERE name = $1",
    )
    .bind(name)
    .bind(to.epoch)
    .bind(to.number)
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts the views before the generations beside the live ones: all at once, or one after the other where readers that
/// never pause leave no moment for that.
pub(super) async fn switch(
    pool: &PgPool,
    lease: &Lease,
    models: &[&'static ReadModel],
    direction: Direction,
) -> Result<(), RebuildError> {
    if models.len() > 1 {
        match within(TOGETHER, pool, lease, models, direction).await {
            Err(RebuildError::ReadersInTheWay) => (),
            other => return other,
        }
    }
    for model in models {
        within(ALONE, pool, lease, &[model], direction).await?;
    }
    Ok(())
}

async fn within(
    patience: Duration,
    pool: &PgPool,
    lease: &Lease,
    models: &[&'static ReadModel],
    direction: Direction,
) -> Result<(), RebuildError> {
    let began = Instant::now();
    let mut deadline = None;
    let mut pause = Duration::from_millis(10);
    loop {
        catch_up(pool, lease, models).await?;
        old_snapshots_end(pool, began + ALONE).await?;
        let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
        match attempt(pool, lease, models, direction).await {
            Ok(true) => return Ok(()),
            Ok(false) => (), // the log has grown too much
            Err(RebuildError::Database(error)) if is_in_the_way(&error) => (),
            Err(error) => return Err(error),
        }
        if Instant::now() >= deadline {
            return Err(RebuildError::ReadersInTheWay);
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(640));
    }
}

/// A lock was not to be had in time, or would have been a deadlock.
fn is_in_the_way(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(code.as_ref(), "55P03" | "40P01"))
}

/// Waits until no transaction reads a snapshot from before now.
async fn old_snapshots_end(pool: &PgPool, deadline: Instant) -> Result<(), RebuildError> {
    let now: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(pool).await?;
    loop {
        let old: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity \
             WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() \
               AND backend_xmin IS NOT NULL AND xact_start < $1)",
        )
        .bind(now)
        .fetch_one(pool)
        .await?;
        if !old {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(RebuildError::ReadersInTheWay);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// A read model's live generation, and the one beside it.
#[derive(FromRow)]
struct Both {
    name: String,
    live: i32,
    live_epoch: i32,
    live_position: i64,
    beside: i32,
    beside_epoch: i32,
    beside_position: i64,
}

/// Whether it was done.
async fn attempt(
    pool: &PgPool,
    lease: &Lease,
    models: &[&'static ReadModel],
    direction: Direction,
) -> Result<bool, RebuildError> {
    let (from, to) = direction.states();
    let mut transaction = pool.begin().await?;
    sqlx::query("SET LOCAL lock_timeout = '2s'").execute(&mut *transaction).await?;
    lease.fence(&mut transaction).await?;
    // A paused process must not keep the runners waiting.
    sqlx::query("SET LOCAL idle_in_transaction_session_timeout = '5s'")
        .execute(&mut *transaction)
        .await?;
    let names: Vec<&str> = models.iter().map(|model| model.name).collect();
    // From here on the runners wait.
    let rows: Vec<Both> = sqlx::query_as(
        "SELECT name, p.generation AS live, p.epoch AS live_epoch, p.position AS live_position, \
                g.generation AS beside, g.epoch AS beside_epoch, g.position AS beside_position \
         FROM projections p JOIN projection_generations g USING (name) \
         WHERE name = ANY ($1) AND g.state = $2 ORDER BY name FOR UPDATE",
    )
    .bind(&names)
    .bind(from)
    .fetch_all(&mut *transaction)
    .await?;
    let mut moves = Vec::new();
    for row in rows {
        let Some(model) = models.iter().find(|model| model.name == row.name) else { continue };
        let gap = row.live_position - row.beside_position;
        if gap > NEAR * 4 {
            return Ok(false);
        }
        let table = table(model.name, row.beside);
        forward(&mut transaction, model, &table, row.beside_position, row.live_position).await?;
        moves.push((*model, table, row));
    }
    if let Some(model) = models.iter().find(|m| moves.iter().all(|(has, ..)| has.name != m.name)) {
        return Err(RebuildError::NothingBeside { name: model.name, wanted: from });
    }
    // All of them are well below the second after which Postgres looks for deadlocks.
    let wait = if models.len() > 1 { "50ms" } else { "250ms" };
    let wait = format!("SET LOCAL lock_timeout = '{wait}'");
    sqlx::query(&wait).execute(&mut *transaction).await?;
    for (model, table, _) in &moves {
        tables::show(&mut transaction, model.name, table).await?;
    }
    for (model, _, row) in &moves {
        let (epoch, position) = if row.beside_position > row.live_position {
            (row.beside_epoch, row.beside_position)
        } else {
            (row.live_epoch, row.live_position)
        };
        sqlx::query(
            "UPDATE projections SET generation = $2, epoch = $3, position = $4, updated_at = clock_timestamp() \
             WHERE name = $1",
        )
        .bind(model.name)
        .bind(row.beside)
        .bind(epoch)
        .bind(position)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "UPDATE projection_generations SET generation = $2, epoch = $3, position = $4, state = $5, job = NULL, \
                    updated_at = clock_timestamp() WHERE name = $1",
        )
        .bind(model.name)
        .bind(row.live)
        .bind(row.live_epoch)
        .bind(row.live_position)
        .bind(to)
        .execute(&mut *transaction)
        .await?;
    }
    fault::point("rebuild", "before the switch's commit");
    transaction.commit().await?;
    fault::point("rebuild", "after the switch's commit");
    Ok(true)
}

//! Read models built anew beside the live ones, checked, and put before the readers; and the way back.
//!
//! A rebuild makes the next generation of a table (`courses_v2_g2` beside `courses_v2_g1`), fills it from the log
//! with several workers, brings it up to what was written meanwhile, compares it with another fold of the log,
//! and puts the views before it in one transaction. Readers know the view only. What was live stays beside the
//! new one, until readers are sent back to it or the next rebuild takes its place. At most one generation stands beside
//! the live one, and one process at a time works on it: a lease says which.
//!
//! ## Decision
//! The old generation is not kept up to date: it has its own checkpoint, and sending readers back brings it up to the
//! live one first. That costs a moment when it is asked for, instead of every write twice, for ever.

mod fill;
mod lease;
mod switch;
mod tables;
mod verify;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use self::fill::{Fill, Target};
use self::lease::Lease;
use self::switch::Direction;
use self::tables::Kind;
use self::verify::Which;
pub use self::verify::{Difference, Verified};
use super::ReadModel;
use super::fold::table;
use crate::domain::StreamType;
use crate::event_store::log::{self, ReadError};
use crate::event_store::replay;
use crate::fault;

/// What an operation on generations tells while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It begins to read `total` events, of which `done` need not be read again.
    Stage {
        /// What it does.
        doing: &'static str,
        /// Events that an interrupted run has done.
        done: i64,
        /// All events.
        total: i64,
    },
    /// So many events more are done.
    Events(i64),
    /// It does something that is not counted in events.
    Doing(&'static str),
}

/// Who hears of the progress.
#[derive(Clone)]
pub struct Report(Arc<dyn Fn(Progress) + Send + Sync>);

impl Report {
    /// Tells it to `hear`.
    pub fn to(hear: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }

    fn progress(&self, progress: Progress) {
        (self.0)(progress);
    }

    fn events(&self, events: i64) {
        self.progress(Progress::Events(events));
    }
}

/// How to rebuild.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many portions of the log are folded at a time.
    pub workers: usize,
    /// Whether readers are sent to the result.
    pub switch: bool,
}

/// A rebuild that is done.
#[derive(Debug, Clone)]
pub struct Rebuilt {
    /// The events that were read.
    pub events: i64,
    /// How many of these an interrupted run had done before.
    pub resumed: i64,
    /// How long the filling took, with the indexes.
    pub filling: Duration,
    /// The comparison with a fresh fold.
    pub verified: Vec<Verified>,
}

/// An operation on generations did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Somebody else is at it.
    #[error("{name} is being {doing} by another process; wait until that is done")]
    Busy {
        /// The read model.
        name: String,
        /// What the other does.
        doing: String,
    },
    /// Somebody else took over.
    #[error("another process has taken over, because this one gave no sign of life")]
    LeaseLost,
    /// Nothing of the kind stands beside the live table.
    #[error("there is no {wanted} generation of {name}")]
    NothingBeside {
        /// The read model.
        name: &'static str,
        /// `ready`: to switch to; `previous`: to go back to.
        wanted: &'static str,
    },
    /// The new tables are not what a fresh fold gives; readers were not sent to them.
    #[error(
        "the rebuilt tables differ from a fresh fold of the log, so readers stay where they are"
    )]
    Differs(Vec<Verified>),
    /// Events concern neither a course nor a user, so a reader course by course would miss them.
    #[error("the log has {all} events, of which only {covered} are of a course or a user")]
    Uncovered {
        /// The events of the log.
        all: i64,
        /// Those that would be read.
        covered: i64,
    },
    /// No moment was found for the switch.
    #[error(
        "readers with long transactions are in the way; what was built is kept: try `projections switch` later"
    )]
    ReadersInTheWay,
    /// There is no such projection in the database: the migrations are of another release.
    #[error("the projection {0} has no checkpoint")]
    NoCheckpoint(&'static str),
    /// A worker panicked.
    #[error("a worker failed: {0}")]
    Panicked(String),
    /// The log could not be read, or holds an event that this release does not decode.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The tables could not be read or written.
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
}

/// Builds these read models anew and sends readers there. Goes on where an interrupted rebuild of the same ones was.
pub async fn rebuild(
    pool: &PgPool,
    models: &[&'static ReadModel],
    options: Options,
    report: &Report,
) -> Result<Rebuilt, RebuildError> {
    let lease = take(pool, models, "rebuilt").await?;
    let done = build(pool, &lease, models, options, report).await;
    given_back(lease, done).await
}

async fn build(
    pool: &PgPool,
    lease: &Lease,
    models: &[&'static ReadModel],
    options: Options,
    report: &Report,
) -> Result<Rebuilt, RebuildError> {
    let clock = Instant::now();
    let started = begin(pool, lease, models).await?;
    let (portions, resumed) = fill::open(pool, started.job).await?;
    let events = resumed + portions.iter().map(|(_, chunk)| chunk.events).sum::<i64>();
    report.progress(Progress::Stage { doing: "filling", done: resumed, total: events });
    let targets = started.targets.iter().map(|(target, _)| target.clone()).collect();
    let fill = Fill { targets, upto: started.upto, job: Some(started.job) };
    fill.run(pool, lease, portions, options.workers, report).await?;
    report.progress(Progress::Doing("making the indexes"));
    let tables = started.targets.iter();
    let completed = tables.map(|(target, live)| tables::complete(pool, live, &target.table));
    join_all(completed).await.into_iter().collect::<sqlx::Result<()>>()?;
    let filling = clock.elapsed();
    report.progress(Progress::Doing("catching up"));
    switch::catch_up(pool, lease, models).await?;
    let verified =
        verify::verify(pool, lease, models, Which::Beside, options.workers, report).await?;
    let differs = verified.iter().any(|table| table.count > 0);
    ended(pool, lease, models, if differs { "refused" } else { "ready" }).await?;
    if differs {
        return Err(RebuildError::Differs(verified));
    }
    if options.switch {
        report.progress(Progress::Doing("switching"));
        switch::switch(pool, lease, models, Direction::Forward).await?;
    }
    Ok(Rebuilt { events, resumed, filling, verified })
}

/// A fill that has begun.
struct Started {
    job: Uuid,
    upto: i64,
    /// Each with the live table.
    targets: Vec<(Target, String)>,
}

/// What stands beside a live generation.
#[derive(FromRow)]
struct Known {
    name: String,
    live: i32,
    beside: Option<i32>,
    state: Option<String>,
    position: Option<i64>,
    job: Option<Uuid>,
}

/// Goes on with a fill of exactly these, or makes new tables and plans how to fill them.
async fn begin(
    pool: &PgPool,
    lease: &Lease,
    models: &[&'static ReadModel],
) -> Result<Started, RebuildError> {
    let mut transaction = pool.begin().await?;
    // A reader from before may still hold a table that goes.
    sqlx::query("SET LOCAL lock_timeout = '10s'").execute(&mut *transaction).await?;
    lease.fence(&mut transaction).await?;
    let names: Vec<&str> = models.iter().map(|model| model.name).collect();
    let known: Vec<Known> = sqlx::query_as(
        "SELECT name, p.generation AS live, g.generation AS beside, g.state, g.position, g.job \
         FROM projections p LEFT JOIN projection_generations g USING (name) WHERE name = ANY ($1) ORDER BY name",
    )
    .bind(&names)
    .fetch_all(&mut *transaction)
    .await?;
    let find = |model: &ReadModel| known.iter().find(|known| known.name == model.name);
    if let Some(missing) = models.iter().find(|model| find(model).is_none()) {
        return Err(RebuildError::NoCheckpoint(missing.name));
    }
    let paired: Vec<(&'static ReadModel, &Known)> =
        models.iter().filter_map(|model| Some((*model, find(model)?))).collect();
    if let Some((job, upto)) = unfinished(&mut transaction, &known).await? {
        let targets = paired.iter().map(|(model, known)| {
            let table_of = |generation| table(model.name, generation);
            let beside = table_of(known.beside.unwrap_or_default());
            (Target { model, table: beside }, table_of(known.live))
        });
        return Ok(Started { job, upto, targets: targets.collect() });
    }
    let upto = log::head(&mut *transaction).await.map_err(ReadError::Database)?.position;
    let chunks = fill::plan(&mut transaction, upto.number).await?;
    let job = Uuid::now_v7();
    forget(&mut transaction, &known).await?;
    let mut targets = Vec::new();
    for (model, known) in paired {
        if let Some(old) = known.beside {
            tables::drop(&mut transaction, &table(model.name, old)).await?;
        }
        let generation = known.live.max(known.beside.unwrap_or_default()) + 1;
        let (live, beside) = (table(model.name, known.live), table(model.name, generation));
        tables::create(&mut transaction, Kind::Generation, &live, &beside).await?;
        sqlx::query(
            "INSERT INTO projection_generations (name, generation, state, epoch, position, job, updated_at) \
             VALUES ($1, $2, 'building', $3, $4, $5, clock_timestamp()) \
             ON CONFLICT (name) DO UPDATE SET generation = excluded.generation, state = excluded.state, \
             epoch = excluded.epoch, position = excluded.position, job = excluded.job, updated_at = excluded.updated_at",
        )
        .bind(model.name)
        .bind(generation)
        .bind(upto.epoch)
        .bind(upto.number)
        .bind(job)
        .execute(&mut *transaction)
        .await?;
        targets.push((Target { model, table: beside }, live));
    }
    fill::note(&mut transaction, job, &chunks).await?;
    fault::point("rebuild", "before the plan's commit");
    transaction.commit().await?;
    fault::point("rebuild", "after the plan's commit");
    Ok(Started { job, upto: upto.number, targets })
}

/// The job of a fill that was interrupted before it was done, if it is of exactly these read models.
async fn unfinished(
    connection: &mut PgConnection,
    known: &[Known],
) -> sqlx::Result<Option<(Uuid, i64)>> {
    let first = known.first().and_then(|known| Some((known.job?, known.position?)));
    let Some((job, upto)) = first else { return Ok(None) };
    let same = |known: &Known| {
        (known.state.as_deref(), known.job, known.position)
            == (Some("building"), Some(job), Some(upto))
    };
    let members: i64 =
        sqlx::query_scalar("SELECT count(*) FROM projection_generations WHERE job = $1")
            .bind(job)
            .fetch_one(connection)
            .await?;
    let all = usize::try_from(members) == Ok(known.len()) && known.iter().all(same);
    Ok(all.then_some((job, upto)))
}

/// Nobody goes on with the jobs that filled these: what else they were filling has to begin anew.
async fn forget(connection: &mut PgConnection, known: &[Known]) -> sqlx::Result<()> {
    let jobs: Vec<Uuid> = known.iter().filter_map(|known| known.job).collect();
    sqlx::query("DELETE FROM projection_chunks WHERE job = ANY ($1)")
        .bind(&jobs)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "UPDATE projection_generations SET state = 'refused', job = NULL WHERE job = ANY ($1)",
    )
    .bind(&jobs)
    .execute(connection)
    .await?;
    Ok(())
}

/// The fill is done, and what became of it.
async fn ended(
    pool: &PgPool,
    lease: &Lease,
    models: &[&'static ReadModel],
    state: &str,
) -> Result<(), RebuildError> {
    let names: Vec<&str> = models.iter().map(|model| model.name).collect();
    let mut transaction = pool.begin().await?;
    lease.fence(&mut transaction).await?;
    sqlx::query(
        "DELETE FROM projection_chunks WHERE job IN (SELECT job FROM projection_generations WHERE name = ANY ($1))",
    )
    .bind(&names)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "UPDATE projection_generations SET state = $2, job = NULL, updated_at = clock_timestamp() WHERE name = ANY ($1)",
    )
    .bind(&names)
    .bind(state)
    .execute(&mut *transaction)
    .await?;
    fault::point("rebuild", "before the end's commit");
    transaction.commit().await?;
    fault::point("rebuild", "after the end's commit");
    Ok(())
}

/// Sends readers to what was rebuilt, all at once.
pub async fn switch(pool: &PgPool, models: &[&'static ReadModel]) -> Result<(), RebuildError> {
    directed(pool, models, Direction::Forward, "switched").await
}

/// Sends readers back to what was live before. What they leave stays beside it, for [`switch()`].
pub async fn roll_back(pool: &PgPool, models: &[&'static ReadModel]) -> Result<(), RebuildError> {
    directed(pool, models, Direction::Back, "rolled back").await
}

async fn directed(
    pool: &PgPool,
    models: &[&'static ReadModel],
    direction: Direction,
    doing: &'static str,
) -> Result<(), RebuildError> {
    let lease = take(pool, models, doing).await?;
    let done = switch::switch(pool, &lease, models, direction).await;
    given_back(lease, done).await
}

/// Compares the live tables of these read models with a fresh fold of the log, while writes go on.
pub async fn verify(
    pool: &PgPool,
    models: &[&'static ReadModel],
    workers: usize,
    report: &Report,
) -> Result<Vec<Verified>, RebuildError> {
    let lease = take(pool, models, "verified").await?;
    let done = verify::verify(pool, &lease, models, Which::Live, workers, report).await;
    given_back(lease, done).await
}

async fn take(
    pool: &PgPool,
    models: &[&'static ReadModel],
    doing: &'static str,
) -> Result<Lease, RebuildError> {
    Lease::take(pool, models.iter().map(|model| model.name).collect(), doing).await
}

/// What counts is how the work ended; a lease that cannot be given back runs out.
async fn given_back<T>(lease: Lease, done: Result<T, RebuildError>) -> Result<T, RebuildError> {
    let released = lease.release().await;
    if let Err(error) = released {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a lease could not be given back"
        );
    }
    done
}

/// An event on which a rebuild would stop.
#[derive(Debug)]
pub struct Failing {
    /// Its place, its type and the cause.
    pub error: ReadError,
    /// The read models that it stops.
    pub stops: Vec<&'static str>,
}

/// Reads the whole log as a rebuild would, and finds every event that would stop it. Nothing is written.
pub async fn dry_run(
    pool: &PgPool,
    models: &[&'static ReadModel],
    report: &Report,
) -> Result<Vec<Failing>, RebuildError> {
    let head = log::head(pool).await.map_err(ReadError::Database)?.position.number;
    report.progress(Progress::Stage { doing: "reading", done: 0, total: head });
    let kinds: Vec<StreamType> = models.iter().flat_map(|model| model.kinds).copied().collect();
    let (mut failing, mut at) = (Vec::new(), 0);
    while at < head {
        let (failures, end) = replay::failures(pool, at, 5_000, &kinds).await?;
        for failure in failures {
            let concerned =
                |model: &&&ReadModel| failure.kind.is_none_or(|kind| model.kinds.contains(&kind));
            let stops = models.iter().filter(concerned).map(|model| model.name).collect();
            failing.push(Failing { error: failure.error, stops });
        }
        let Some(end) = end else { break };
        report.events(end.min(head) - at.min(head));
        at = end;
    }
    Ok(failing)
}

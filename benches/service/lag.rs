//! How long after its commit a command's rows are visible, at a steady 500 commands a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::api::Api;
use crate::figures::Table;
use crate::server::{Server, pool};

const EVERY: Duration = Duration::from_millis(2);
const TIME: Duration = Duration::from_secs(20);

pub(crate) async fn run(server: &Server, table: &mut Table) -> anyhow::Result<()> {
    let database = server.migrated("lag").await?;
    let api = Arc::new(Api::start(&database, 8).await?);
    let pool = pool(&database, 1).await?;
    let (committed, commits) = mpsc::unbounded_channel();
    let watching = tokio::spawn(watch(pool.clone(), commits));
    let start = Instant::now();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut commands = tokio::task::JoinSet::new();
    while start.elapsed() < TIME {
        ticks.tick().await;
        let (api, committed) = (api.clone(), committed.clone());
        commands.spawn(async move {
            let position = api.create(&Uuid::new_v4().to_string()).await?;
            let _ = committed.send((position.number, Instant::now())); // nobody listens after a failure
            anyhow::Ok(())
        });
    }
    while let Some(ended) = commands.join_next().await {
        ended??;
    }
    drop(committed);
    let mut lags = watching.await??;
    lags.sort_by(f64::total_cmp);
    let at = |percent: usize| lags.get(lags.len() * percent / 100).copied().unwrap_or(f64::NAN);
    let rate = lags.len() / usize::try_from(TIME.as_secs())?;
    let note = format!(
        "p50: {:.1} ms; {rate} courses created a second through HTTP, until the slowest of six read models",
        at(50)
    );
    table.limit("commit → rows visible: p99", at(99), &note, 1_000.0, "ms");
    pool.close().await;
    if let Some(api) = Arc::into_inner(api) {
        api.stop().await?;
    }
    server.drop("lag").await
}

/// For every commit the time until the slowest read model had passed it, in ms, to about a millisecond.
async fn watch(
    pool: PgPool,
    mut commits: mpsc::UnboundedReceiver<(i64, Instant)>,
) -> anyhow::Result<Vec<f64>> {
    let mut waiting: Vec<(i64, Instant)> = Vec::new();
    let mut lags = Vec::new();
    let mut open = true;
    while open || !waiting.is_empty() {
        let seen: i64 =
            sqlx::query_scalar("SELECT min(position) FROM projections").fetch_one(&pool).await?;
        let now = Instant::now();
        loop {
            match commits.try_recv() {
                Ok(commit) => waiting.push(commit),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    open = false;
                    break;
                }
            }
        }
        waiting.retain(|(position, at)| {
            if *position > seen {
                return true;
            }
            lags.push(now.saturating_duration_since(*at).as_secs_f64() * 1_000.0);
            false
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(lags)
}

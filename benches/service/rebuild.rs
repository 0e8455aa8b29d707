//! All read models built anew from the log by the release binary, while somebody reads; beside cqrs-es's replay.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cqrs_es::persist::{GenericQuery, QueryReplay};
use cqrs_es::{EventEnvelope, View};
use postgres_es::{PostgresEventRepository, PostgresViewRepository};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::Executor as _;
use tokio::process::Command;
use tokio::time::sleep;

use crate::api::Api;
use crate::figures::{Rate, Rates, Table, grouped};
use crate::mix;
use crate::server::{Server, pool, proc_figure};
use crate::vanilla::{self, Account, AccountEvent};

const SIZES: [usize; 3] = [100_000, 300_000, 1_000_000];
/// Events of the vanilla log; it takes all of its events one by one, so its rate does not depend on how many.
const VANILLA: i64 = 5_000;
/// How often a page of courses is read meanwhile.
const READ_EVERY: Duration = Duration::from_millis(20);

pub(crate) async fn run(server: &Server, table: &mut Table) -> anyhow::Result<()> {
    let mut vanilla_rates = Rates::default();
    let mut memory = Vec::new();
    for size in SIZES {
        vanilla_rates.push(replay(server).await?);
        let database = server.migrated("mix").await?;
        let events = mix::fill(&database, size).await?;
        let api = Api::start(&database, 8).await?;
        api.caught_up().await?;
        let Rebuilt { filled, whole, peak, before, during } = rebuilt(&api, events).await?;
        memory.push(peak);
        api.stop().await?;
        server.drop("mix").await?;
        let vanilla = vanilla_rates.last();
        eprintln!(
            "  {events}: filled at {:.0}/s, {:.0}/s with all, {peak:.0} MiB; vanilla {vanilla:.0}/s",
            filled.0, whole.0
        );
        let (mut ours, mut beside) = (Rates::default(), Rates::default());
        ours.push(filled);
        beside.push(Rate(vanilla));
        let number = grouped(Rate::of(events, Duration::from_secs(1)).0);
        let what = format!("all read models filled from {number} events, with indexes");
        table.rate(&what, &ours, ("QueryReplay with GenericQuery, one read model", &beside), 40.0);
        let note = "50 pages of 20 courses a second are read meanwhile";
        table.at_least("the same, compared and switched, too", whole.0, note, 50_000.0);
        let before = format!("before: {before:.1} ms");
        table.limit("the same: p99 of those reads", during, &before, 1_000.0, "ms");
    }
    let note = "VmHWM of the release binary, the largest of the three";
    let largest = memory.into_iter().fold(0.0, f64::max);
    table.limit("projections rebuild all: memory", largest, note, 256.0, "MiB");
    Ok(())
}

/// What a rebuild came to.
struct Rebuilt {
    filled: Rate,
    /// From the start of the process to its end: filled, compared with a fresh fold, switched.
    whole: Rate,
    /// In MiB.
    peak: f64,
    /// The 99th percentiles of reads, in ms.
    before: f64,
    during: f64,
}

async fn rebuilt(api: &Api, events: usize) -> anyhow::Result<Rebuilt> {
    let done = Arc::new(AtomicBool::new(false));
    let before = {
        let quiet = Arc::new(AtomicBool::new(false));
        let stop = async {
            sleep(Duration::from_secs(2)).await;
            quiet.store(true, Ordering::Relaxed);
            anyhow::Ok(())
        };
        tokio::try_join!(reads(api, &quiet), stop)?.0
    };
    let building = async {
        let clock = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_course-service"))
            .args(["projections", "rebuild", "all"])
            .env("DATABASE_URL", api.database())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("it has ended")?;
        let mut peak = 0.0_f64;
        let status = loop {
            let figure = proc_figure(&format!("/proc/{pid}/status"), "VmHWM:");
            peak = peak.max(figure.unwrap_or_default() / 1024.0);
            if let Some(status) = child.try_wait()? {
                break status;
            }
            sleep(Duration::from_millis(20)).await;
        };
        let took = clock.elapsed();
        done.store(true, Ordering::Relaxed);
        ensure!(status.success(), "the rebuild failed: {status}");
        // `courses_v2: rebuilt from 1012360 events in 7.9 s, …`
        let said = String::from_utf8(child.wait_with_output().await?.stdout)?;
        let seconds = said.split(" events in ").nth(1).and_then(|rest| rest.split(" s,").next());
        let seconds: f64 = seconds.with_context(|| said.clone())?.parse()?;
        let filled = Rate::of(events, Duration::from_secs_f64(seconds));
        anyhow::Ok((filled, Rate::of(events, took), peak))
    };
    let ((filled, whole, peak), during) = tokio::try_join!(building, reads(api, &done))?;
    Ok(Rebuilt { filled, whole, peak, before, during })
}

/// Reads pages until it is `done`; the 99th percentile in ms. An error ends the benchmark.
async fn reads(api: &Api, done: &AtomicBool) -> anyhow::Result<f64> {
    let body = json!({ "query": "{ courses(first: 20) { nodes { id title seats { taken } } } }" });
    let mut times = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let clock = Instant::now();
        let answer = api.ask(&body).await?;
        times.push(clock.elapsed().as_secs_f64() * 1_000.0);
        ensure!(answer["data"]["courses"]["nodes"].as_array().is_some_and(|page| page.len() == 20));
        sleep(READ_EVERY.saturating_sub(clock.elapsed())).await;
    }
    times.sort_by(f64::total_cmp);
    Ok(times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN))
}

/// A view as simple as can be.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Accounts {
    opened: u32,
}

impl View<Account> for Accounts {
    fn update(&mut self, event: &EventEnvelope<Account>) {
        let AccountEvent::AccountOpened { .. } = event.payload;
        self.opened += 1;
    }
}

async fn replay(server: &Server) -> anyhow::Result<Rate> {
    let pool = pool(&server.empty("replay").await?, 4).await?;
    pool.execute(vanilla::EVENTS).await?;
    pool.execute("CREATE TABLE accounts (view_id text PRIMARY KEY, version bigint CHECK (version >= 0) NOT NULL, payload json NOT NULL)").await?;
    sqlx::query(
        r"INSERT INTO events SELECT 'account', (n % 1000)::text, n / 1000 + 1, 'AccountOpened', '1.0',
           json_build_object('AccountOpened', json_build_object('account_id', (n % 1000)::text)), '{}'
           FROM generate_series(0, $1 - 1) AS n",
    )
    .bind(VANILLA)
    .execute(&pool)
    .await?;
    let views: PostgresViewRepository<Accounts, Account> =
        PostgresViewRepository::new("accounts", pool.clone());
    let mut query = GenericQuery::new(Arc::new(views));
    query.use_error_handler(Box::new(|error| eprintln!("vanilla: {error}")));
    let replay: QueryReplay<_, _, Account> =
        QueryReplay::new(PostgresEventRepository::new(pool.clone()), query);
    let clock = Instant::now();
    replay.replay_all().await?;
    let rate = Rate::of(usize::try_from(VANILLA)?, clock.elapsed());
    let sum: i64 =
        sqlx::query_scalar("SELECT sum((payload->>'opened')::bigint)::bigint FROM accounts")
            .fetch_one(&pool)
            .await?;
    ensure!(sum == VANILLA, "{sum} events in the views");
    pool.close().await;
    server.drop("replay").await?;
    Ok(rate)
}

//! 64 commands in flight, one new course each.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use sqlx::PgPool;
use uuid::Uuid;

use crate::figures::{Rate, Rates, Table, for_a_while};
use crate::ours::Ours;
use crate::server::Server;
use crate::sql;
use crate::vanilla::{self, Account, OpenAccount};

const IN_FLIGHT: usize = 64;
const CONNECTIONS: u32 = 32;
const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_millis(500);
const TIME: Duration = Duration::from_secs(2);

pub(crate) async fn run(server: &Server, table: &mut Table) -> anyhow::Result<()> {
    let ours = Ours::open(&server.migrated("ours").await?)?;
    let (cqrs, cqrs_pool) = vanilla::framework::<Account>(server, "vanilla").await?;
    let cqrs = Arc::new(cqrs);
    let inserts = sql::inserts(server, CONNECTIONS).await?;

    create_courses(&ours, WARM_UP).await?;
    open_accounts(&cqrs, WARM_UP).await?;
    insert_rows(&inserts, WARM_UP).await?;
    let (mut rates, mut a, mut b) = (Rates::default(), Rates::default(), Rates::default());
    for round in 1..=ROUNDS {
        rates.push(create_courses(&ours, TIME).await?);
        a.push(open_accounts(&cqrs, TIME).await?);
        b.push(insert_rows(&inserts, TIME).await?);
        eprintln!("  round {round}: {:.0}/s, {:.0}/s, {:.0}/s", rates.last(), a.last(), b.last());
    }
    let (events, keys): (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM keys)")
            .fetch_one(&ours.pool)
            .await?;
    ensure!(
        keys == ours.commands_in_the_log().await?,
        "a course without its code, or more than one"
    );
    ensure!(events == 2 * keys, "a course without its two streams");

    let transactions = "SELECT count(DISTINCT recorded_at) FROM events"; // the log's clock ticks once in each
    let transactions: i64 = sqlx::query_scalar(transactions).fetch_one(&ours.pool).await?;
    eprintln!("  {keys} commands in {transactions} transactions");

    let what = "64 new courses in flight: 2 events and a claimed code each";
    table.rate(what, &rates, ("(a) cqrs-es, 1 event each", &a), 3.0);
    table.rate(what, &rates, ("(b) INSERTs of 1 row, 32 connections", &b), 1.0);
    for pool in [&ours.pool, &cqrs_pool, &inserts] {
        pool.close().await;
    }
    for name in ["ours", "vanilla", "inserts"] {
        server.drop(name).await?;
    }
    Ok(())
}

async fn create_courses(ours: &Ours, time: Duration) -> anyhow::Result<Rate> {
    let ours = ours.clone();
    let step = move |_, _| {
        let ours = ours.clone();
        async move { ours.create(None, false).await.map(drop) }
    };
    for_a_while(IN_FLIGHT, time, step).await
}

async fn open_accounts(
    cqrs: &Arc<postgres_es::PostgresCqrs<Account>>,
    time: Duration,
) -> anyhow::Result<Rate> {
    let cqrs = cqrs.clone();
    let step = move |_, _| {
        let cqrs = cqrs.clone();
        async move {
            let account_id = Uuid::now_v7().to_string();
            Ok(cqrs.execute(&account_id.clone(), OpenAccount { account_id }).await?)
        }
    };
    for_a_while(IN_FLIGHT, time, step).await
}

async fn insert_rows(pool: &PgPool, time: Duration) -> anyhow::Result<Rate> {
    let pool = pool.clone();
    let step = move |_, _| {
        let pool = pool.clone();
        async move { sql::insert(&pool, &Uuid::now_v7().to_string()).await }
    };
    for_a_while(usize::try_from(CONNECTIONS)?, time, step).await
}

//! A log that was not published yet: how fast the bridge is with it, beside the same reading and mapping whose records
//! go through a plain idempotent producer, and beside that producer with records that were made before.

use std::time::{Duration, Instant};

use anyhow::ensure;
use course_service::app::database;
use course_service::event_store::wake::Head;
use course_service::kafka::contract::Outbound;
use course_service::kafka::topics::TopicNames;
use sqlx::PgPool;

use super::plain::Bulk;
use super::reader::Reader;
use super::{Running, mapped, topics};
use crate::figures::{Rate, Rates, Table, grouped};
use crate::mix;
use crate::process::Broker;
use crate::server::Server;

const EVENTS: usize = 200_000;
const ROUNDS: usize = 5;

#[derive(Clone, Copy)]
enum Way {
    /// The bridge.
    ExactlyOnce,
    /// Read and mapped as in the bridge, sent by the plain producer.
    Plain,
    /// Sent by the plain producer.
    Bare,
}

pub(super) async fn run(server: &Server, broker: &Broker, table: &mut Table) -> anyhow::Result<()> {
    let database = server.migrated("bridge").await?;
    let events = mix::fill(&database, EVENTS).await?;
    let pool = database::pool(&database, 4)?;
    let mut records = Vec::new();
    mapped(&pool, |some| {
        records.extend(some);
        Ok(())
    })
    .await?;
    eprintln!("  {} records of {events} events", records.len());

    let (mut ours, mut plain, mut bare) = (Rates::default(), Rates::default(), Rates::default());
    for round in 1..=ROUNDS {
        // The order changes: whoever comes first finds a quieter broker.
        let mut ways = [Way::ExactlyOnce, Way::Plain, Way::Bare];
        let first = round % ways.len();
        ways.rotate_left(first);
        for way in ways {
            let rate = measure(way, &pool, broker, &records).await?;
            match way {
                Way::ExactlyOnce => ours.push(rate),
                Way::Plain => plain.push(rate),
                Way::Bare => bare.push(rate),
            }
        }
        let percent = ours.last() / plain.last() * 100.0;
        eprintln!(
            "  round {round}: the bridge {:.0}/s, plain {:.0}/s ({percent:.0} %), made before {:.0}/s",
            ours.last(),
            plain.last(),
            bare.last()
        );
    }
    eprintln!("  median: {:.0} % of the plain producer", ours.over(&plain) * 100.0);
    let number = grouped(Rate::of(events, Duration::from_secs(1)).0);
    let what = format!("records of {number} events, caught up exactly once");
    let floor = ("the same log by a plain idempotent producer", &plain);
    table.rate(&what, &ours, floor, 0.6);
    table.beside("the same", &ours, ("the producer alone, records made before", &bare));
    pool.close().await;
    server.drop("bridge").await
}

/// The rate of one way, on topics of its own. Every record must be there at the end, once.
async fn measure(
    way: Way,
    pool: &PgPool,
    broker: &Broker,
    records: &[Outbound],
) -> anyhow::Result<Rate> {
    let names = topics(broker).await?;
    let rate = match way {
        Way::ExactlyOnce => exactly_once(pool, broker, &names, records.len()).await?,
        Way::Plain => {
            let producer = Bulk::connect(broker, &names)?;
            let clock = Instant::now();
            mapped(pool, |some| some.iter().try_for_each(|record| producer.send(record))).await?;
            producer.delivered().await;
            Rate::of(records.len(), clock.elapsed())
        }
        Way::Bare => {
            let producer = Bulk::connect(broker, &names)?;
            let clock = Instant::now();
            records.iter().try_for_each(|record| producer.send(record))?;
            producer.delivered().await;
            Rate::of(records.len(), clock.elapsed())
        }
    };
    let (reader, expected) = (Reader::connect(broker, &names)?, records.len());
    let read = tokio::task::spawn_blocking(move || reader.read(expected)).await??.len();
    ensure!(read == expected, "{read} records instead of {expected}");
    Ok(rate)
}

/// From when the bridge has taken over until it has published everything.
async fn exactly_once(
    pool: &PgPool,
    broker: &Broker,
    names: &TopicNames,
    records: usize,
) -> anyhow::Result<Rate> {
    // It has published this log before, to other topics.
    sqlx::query("DELETE FROM bridge_progress").execute(pool).await?;
    let head = Head::default();
    let mut bridge = Running::start(pool, head.subscribe(), broker, names).await?;
    let clock = Instant::now();
    bridge.published(records).await?;
    let rate = Rate::of(records, clock.elapsed());
    bridge.stop().await?;
    Ok(rate)
}

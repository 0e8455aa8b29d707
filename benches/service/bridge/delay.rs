//! How long after its commit a `read_committed` consumer has a command's record, at a steady 500 events a second;
//! beside a plain idempotent producer that sends the same records at the same pace.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use course_service::event_store::log;
use course_service::kafka::contract::Outbound;
use course_service::kafka::topics::TopicNames;
use tokio::task::JoinHandle;
use tokio::time::interval;

use super::plain::Single;
use super::reader::{Arrival, Reader};
use super::{Running, mapped, topics};
use crate::figures::{Table, median};
use crate::ours::Ours;
use crate::process::Broker;
use crate::server::Server;

/// A command makes two events, of a course and of its seats, and one record.
const EVERY: Duration = Duration::from_millis(4);
/// 20 s of them.
const COMMANDS: usize = 5_000;
/// The first are not counted: everybody meets the topics for the first time.
const WARM_UP: usize = 250;
const ROUNDS: usize = 3;

pub(super) async fn run(server: &Server, broker: &Broker, table: &mut Table) -> anyhow::Result<()> {
    let (mut commits, mut acks, mut sends) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let (commit, records) = bridge(server, broker).await?;
        let (ack, send) = plain(broker, records).await?;
        eprintln!(
            "  round {round}: commit → readable {commit}; plain: send → acknowledged {ack}, send → readable {send}"
        );
        commits.push(commit);
        acks.push(ack);
        sends.push(send);
    }
    for (floor, times) in [("send → acknowledged", acks), ("send → readable", sends)] {
        let floor = format!("plain producer, {floor}");
        for (name, percentile) in [("p50", Times::p50 as fn(&Times) -> f64), ("p99", Times::p99)] {
            let middle =
                |times: &[Times]| median(&times.iter().map(percentile).collect::<Vec<_>>());
            let what = format!("commit → readable at 500 events/s: {name}");
            table.times(&what, middle(&commits), (&floor, middle(&times)));
        }
    }
    Ok(())
}

/// The times from commits to arrivals, and the records.
async fn bridge(server: &Server, broker: &Broker) -> anyhow::Result<(Times, Vec<Outbound>)> {
    let ours = Ours::open(&server.migrated("delay").await?)?;
    let names = topics(broker).await?;
    let bridge = Running::start(&ours.pool, ours.head.subscribe(), broker, &names).await?;
    let reading = reading(broker, &names).await?;
    let commits = paced(|_| {
        let ours = ours.clone();
        async move {
            let course = ours.create(None, false).await?;
            Ok((course.to_string(), Instant::now()))
        }
    })
    .await?;
    let times = until_read(&commits, reading.await??)?;
    bridge.stop().await?;

    let events = log::head(&ours.pool).await?.position.number;
    ensure!(usize::try_from(events)? == 2 * COMMANDS, "{events} events");
    let mut records = Vec::new();
    mapped(&ours.pool, |some| {
        records.extend(some);
        Ok(())
    })
    .await?;
    ours.pool.close().await;
    server.drop("delay").await?;
    Ok((times, records))
}

/// The times from sending to acknowledgements, and to arrivals.
async fn plain(broker: &Broker, records: Vec<Outbound>) -> anyhow::Result<(Times, Times)> {
    let names = topics(broker).await?;
    let producer = Single::connect(broker, &names)?;
    let reading = reading(broker, &names).await?;
    let records = Arc::new(records);
    let sent = paced(|number| {
        let (producer, records) = (producer.clone(), records.clone());
        async move {
            let record = records.get(number).context("a record for every command")?;
            let clock = Instant::now();
            producer.send(record).await?;
            Ok((record.key.clone(), clock, clock.elapsed()))
        }
    })
    .await?;
    let acks = sent.iter().map(|(_, _, took)| *took).collect();
    let sent: Vec<_> = sent.into_iter().map(|(key, at, _)| (key, at)).collect();
    Ok((Times::of(acks), until_read(&sent, reading.await??)?))
}

/// Reads [`COMMANDS`] records, from when it is known to be at the end of the topics.
async fn reading(
    broker: &Broker,
    names: &TopicNames,
) -> anyhow::Result<JoinHandle<anyhow::Result<Vec<Arrival>>>> {
    let reader = Reader::connect(broker, names)?;
    let at_end = move || {
        reader.read(0)?;
        anyhow::Ok(reader)
    };
    let reader = tokio::task::spawn_blocking(at_end).await??;
    Ok(tokio::task::spawn_blocking(move || reader.read(COMMANDS)))
}

/// Begins a step at every tick, however long the others take. Answers what those after the warm-up answered.
async fn paced<T, F>(step: impl Fn(usize) -> F) -> anyhow::Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let mut ticks = interval(EVERY);
    let mut steps = Vec::with_capacity(COMMANDS);
    for number in 0..COMMANDS {
        ticks.tick().await;
        steps.push(tokio::spawn(step(number)));
    }
    let mut answers = Vec::with_capacity(COMMANDS);
    for step in steps {
        answers.push(step.await??);
    }
    Ok(answers.split_off(WARM_UP))
}

fn until_read(begun: &[(String, Instant)], arrivals: Vec<Arrival>) -> anyhow::Result<Times> {
    ensure!(arrivals.len() == COMMANDS, "{} records", arrivals.len());
    let arrivals: HashMap<String, Instant> =
        arrivals.into_iter().map(|arrival| (arrival.key, arrival.at)).collect();
    let times = begun.iter().map(|(key, at)| {
        let arrived = arrivals.get(key).with_context(|| format!("no record of {key}"))?;
        Ok(arrived.saturating_duration_since(*at))
    });
    Ok(Times::of(times.collect::<anyhow::Result<_>>()?))
}

/// Sorted, in ms.
struct Times(Vec<f64>);

impl Times {
    fn of(times: Vec<Duration>) -> Self {
        let mut times: Vec<f64> =
            times.into_iter().map(|time| time.as_secs_f64() * 1_000.0).collect();
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    fn p50(&self) -> f64 {
        self.at(50)
    }

    fn p99(&self) -> f64 {
        self.at(99)
    }

    fn at(&self, percent: usize) -> f64 {
        self.0.get(self.0.len() * percent / 100).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.1} ms, p99 {:.1} ms", self.p50(), self.p99())
    }
}

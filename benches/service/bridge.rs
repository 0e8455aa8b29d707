//! The bridge from the log to Kafka, beside a plain idempotent producer: how fast it catches up, and how soon a
//! consumer has what was committed.

mod catch_up;
mod delay;
mod plain;
mod reader;

use course_service::event_store::Recorded;
use course_service::event_store::log;
use course_service::event_store::wake::Wake;
use course_service::kafka::bridge::{Bridge, BridgeConfig, BridgeState, BridgeStatus, Gatherer};
use course_service::kafka::client::Connection;
use course_service::kafka::contract::Outbound;
use course_service::kafka::topics::{self, TopicNames, TopicSettings};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::figures::Table;
use crate::process::Broker;
use crate::server::Server;

/// The most events that are read at once, as in the bridge.
const WINDOW: i64 = 10_000;

pub(crate) async fn run(server: &Server, table: &mut Table) -> anyhow::Result<()> {
    let broker = Broker::start().await?;
    catch_up::run(server, &broker, table).await?;
    delay::run(server, &broker, table).await?;
    broker.stop().await
}

/// The topics of a prefix that nobody has used before, as the service creates them.
async fn topics(broker: &Broker) -> anyhow::Result<TopicNames> {
    let prefix = format!("bench-{}-", Uuid::new_v4());
    let names = TopicNames::with_prefix(&prefix);
    topics::ensure(&connection(broker), &names, TopicSettings::default()).await?;
    Ok(names)
}

fn connection(broker: &Broker) -> Connection {
    Connection { brokers: broker.address.clone(), properties: Vec::new() }
}

/// The bridge at work in this process.
struct Running {
    status: watch::Receiver<BridgeStatus>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts it and waits until it has taken over.
    async fn start(
        pool: &PgPool,
        wake: Wake,
        broker: &Broker,
        names: &TopicNames,
    ) -> anyhow::Result<Self> {
        let config = BridgeConfig {
            connection: connection(broker),
            topics: TopicSettings::default(),
            prefix: names.prefixed(""),
            instance: Uuid::now_v7(),
        };
        let bridge = Bridge::new(pool.clone(), wake, config);
        let (mut status, stop) = (bridge.status(), CancellationToken::new());
        let task = tokio::spawn(bridge.run(stop.clone()));
        status.wait_for(|status| status.state == BridgeState::Running).await?;
        Ok(Self { status, stop, task })
    }

    /// Waits until so many records are published.
    async fn published(&mut self, records: usize) -> anyhow::Result<()> {
        let records = u64::try_from(records)?;
        self.status.wait_for(|status| status.published >= records).await?;
        Ok(())
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok(self.task.await?)
    }
}

/// Reads the log and makes its records as the bridge does, and gives those of each command to `take`.
async fn mapped(
    pool: &PgPool,
    mut take: impl FnMut(Vec<Outbound>) -> anyhow::Result<()> + Send,
) -> anyhow::Result<()> {
    let mut gatherer = Gatherer::new(pool.clone());
    let mut after = 0;
    loop {
        let events: Vec<Recorded> = log::read_after(pool, after, WINDOW).await?;
        let Some(last) = events.last() else { return Ok(()) };
        after = last.position.number;
        for command in events.chunk_by(|one, next| one.command_id == next.command_id) {
            take(gatherer.command(command).await?)?;
        }
    }
}

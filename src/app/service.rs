//! `serve`: the parts of a process by role, from the configuration to the last goodbye.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::config::{Config, ConfigError};
use super::connections::{self, ConnectionLimits};
use super::database;
use super::health::Health;
use super::http;
use super::identity::Identity;
use super::metrics::Metrics;
use super::tasks::Tasks;
use crate::commands::Commands;
use crate::commands::idempotency::forget_old_keys;
use crate::commands::intake::Intake;
use crate::commands::workbench::Workbench;
use crate::event_store::inbound::InboundLog;
use crate::event_store::wake::Head;
use crate::event_store::{Appender, migrate};
use crate::graphql::http::Sockets;
use crate::graphql::{self, Parts, Tail};
use crate::kafka::bridge::{Bridge, BridgeConfig};
use crate::kafka::client::Connection;
use crate::kafka::inbound::{self, Inbound, InboundConfig, InboundStatus, Unpark, UnparkState};
use crate::kafka::topics::{TopicNames, TopicSettings};
use crate::projections::{self, Checkpoints};

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each role is on or off by itself")]
pub struct Roles {
    /// Serves GraphQL.
    pub api: bool,
    /// Drives the read models.
    pub projections: bool,
    /// Publishes to Kafka.
    pub bridge: bool,
    /// Takes in what comes from Kafka.
    pub inbound: bool,
}

impl Roles {
    /// Everything.
    pub const ALL: Self = Self { api: true, projections: true, bridge: true, inbound: true };
    /// The API and what it reads.
    pub const WITHOUT_KAFKA: Self = Self { bridge: false, inbound: false, ..Self::ALL };
}

/// How to serve.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What this process does.
    pub roles: Roles,
    /// Whether to apply migrations; else pending ones are an error.
    pub migrate: bool,
}

/// A running service.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    /// Asks it to stop: no new requests, those under way are finished, within the configured grace.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.context("the service panicked")?
    }

    /// Waits until it ends by itself, which is an error.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        (&mut self.task).await.context("the service panicked")?
    }
}

/// The settings of Kafka's clients.
///
/// # Errors
/// When no broker is configured.
pub fn kafka_connection(config: &Config) -> Result<Connection, ConfigError> {
    let properties = config.kafka.client_properties();
    Ok(Connection {
        brokers: config.kafka_brokers()?.join(","),
        properties: properties.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    })
}

fn topic_settings(config: &Config) -> TopicSettings {
    TopicSettings {
        partitions: config.kafka.topic_partitions,
        replication: config.kafka.topic_replication_factor,
        retention_ms: config.kafka.topic_retention_ms,
    }
}

fn bridge_config(config: &Config, instance: Uuid) -> Result<BridgeConfig, ConfigError> {
    Ok(BridgeConfig {
        connection: kafka_connection(config)?,
        topics: topic_settings(config),
        prefix: config.kafka.topic_prefix.clone(),
        instance,
    })
}

fn inbound_config(config: &Config) -> Result<InboundConfig, ConfigError> {
    Ok(InboundConfig {
        connection: kafka_connection(config)?,
        topics: topic_settings(config),
        prefix: config.kafka.topic_prefix.clone(),
    })
}

/// The write side of incoming messages.
///
/// # Errors
/// When `DATABASE_URL` does not parse.
pub fn intake(
    config: &Config,
    pool: &PgPool,
    head: &Head,
    observe: impl Fn(&str, &'static str) + Send + Sync + 'static,
) -> anyhow::Result<Intake> {
    let log = InboundLog::new(database::appender_pool(config.database_url()?)?, head.clone());
    let group = TopicNames::with_prefix(&config.kafka.topic_prefix).group();
    Ok(Intake::new(pool.clone(), log, &group, observe))
}

/// What an operator does about messages that did not become commands.
pub fn workbench(pool: &PgPool, intake: Intake) -> Workbench {
    Workbench::new(pool.clone(), intake, inbound::reading())
}

/// Starts the service. It listens when this returns; whether it can work, `/readyz` says.
///
/// # Errors
/// When the configuration lacks something, or the address is taken.
pub async fn start(config: &Config, options: Options) -> anyhow::Result<Running> {
    let Options { roles, migrate } = options;
    let pool = database::pool(config.database_url()?, config.database_max_connections)
        .context("DATABASE_URL does not parse")?;
    let listener = TcpListener::bind(config.bind_addr)
        .await
        .with_context(|| format!("cannot listen on {} (BIND_ADDR)", config.bind_addr))?;
    let address = listener.local_addr().context("the listener has no address")?;

    let stop = CancellationToken::new();
    let background = CancellationToken::new();
    let mut tasks = Tasks::new(background.clone());
    let (migrated_sender, migrated) = watch::channel(false);
    tasks.spawn("migrations", {
        let (pool, background) = (pool.clone(), background.clone());
        async move {
            match background.run_until_cancelled(prepare_database(&pool, migrate)).await {
                Some(Err(error)) => return Err(error),
                Some(Ok(())) => migrated_sender.send_replace(true),
                None => false,
            };
            background.cancelled().await;
            Ok(())
        }
    });
    let mut tasks = AfterMigration { tasks, migrated: migrated.clone(), stop: background.clone() };

    let head = Head::default();
    let checkpoints = Checkpoints::new(pool.clone());
    let metrics = Metrics::new();
    tasks.spawn("listener", head.clone().hear_others(pool.clone(), background.clone()));

    let mut runners = Vec::new();
    if roles.projections {
        runners = projections::runners(&checkpoints);
        for runner in runners.clone() {
            let wake = head.subscribe();
            tasks.spawn("projection", runner.run(pool.clone(), wake, background.clone()));
        }
    }
    let (instance, mut bridge_status) = (Uuid::now_v7(), None);
    if roles.bridge {
        let bridge = Bridge::new(pool.clone(), head.subscribe(), bridge_config(config, instance)?);
        bridge_status = Some(bridge.status());
        tasks.spawn("bridge", bridge.run(background.clone()));
    }
    if roles.api || roles.inbound {
        tasks.spawn("notifier", head.clone().notify_others(pool.clone(), background.clone()));
    }
    let observed = metrics.clone();
    let intake = intake(config, &pool, &head, move |topic, effect| {
        observed.message(topic, effect);
    })?;
    let inbound_status = if roles.inbound {
        let (wake, ttl) = (head.subscribe(), config.parked_ttl);
        let unpark = Unpark::new(pool.clone(), intake.clone(), wake, instance, ttl);
        let inbound = Inbound::new(pool.clone(), intake.clone(), inbound_config(config)?);
        Some(tasks.take_in(inbound, unpark))
    } else {
        None
    };
    let mut appender_task = None;
    let mut api = None;
    if roles.api {
        let appender_pool = database::appender_pool(config.database_url()?)?;
        let tail = Tail::new(pool.clone(), checkpoints.clone());
        tasks.spawn("subscriptions", tail.clone().run(head.subscribe(), background.clone()));
        let (appender, task) = Appender::new(appender_pool, head);
        appender_task = Some(tokio::spawn(task));
        tasks.spawn("old keys", forget_old_keys(pool.clone(), background.clone()));
        let (observed, patience) = (metrics.clone(), config.command_timeout);
        let observe = move |outcome| observed.command(outcome);
        let commands = Commands::new(pool.clone(), appender, patience, observe);
        let schema = graphql::schema(Parts {
            commands,
            workbench: workbench(&pool, intake),
            pool: pool.clone(),
            checkpoints: checkpoints.clone(),
            tail,
            introspection: config.graphql_limits.introspection,
        });
        api = Some(face(config, schema)?);
    }
    let sockets = api.as_ref().map(|api| api.sockets.clone());
    let health = Health {
        pool: pool.clone(),
        migrated,
        api: roles.api,
        checkpoints,
        projections: runners,
        bridge: bridge_status,
        inbound: inbound_status,
        topic_prefix: config.kafka.topic_prefix.clone(),
    };
    let router = http::router(health, metrics, api);
    let (grace, mut tasks) = (config.shutdown_grace, tasks.tasks);
    let server = Server { listener, router, limits: config.connection_limits, sockets };
    tasks.spawn("http", serve_http(server, stop.clone(), background, grace));
    tracing::info!(%address, ?roles, "listening");

    let task = tokio::spawn(until_ended(tasks, grace, appender_task, pool));
    Ok(Running { address, stop, task })
}

/// What HTTP serves of GraphQL, and who is asked about its callers.
fn face(config: &Config, schema: graphql::Schema) -> anyhow::Result<http::Api> {
    let identity = Identity::try_new(config.user_management_service_url()?)
        .context("the client of the user management service cannot be built")?;
    let identity = Arc::new(identity);
    let sockets = Sockets::new(config.socket_limits, http::validator(&identity));
    Ok(http::Api { schema, limits: config.graphql_limits, identity, sockets })
}

/// Runs the tasks to their end, then what was appended last.
async fn until_ended(
    tasks: Tasks,
    grace: Duration,
    appender_task: Option<JoinHandle<()>>,
    pool: PgPool,
) -> anyhow::Result<()> {
    let ended = tasks.run(grace).await;
    if let Some(task) = appender_task
        && timeout(grace, task).await.is_err()
    {
        tracing::warn!("the database did not answer in time; some commands have no outcome yet");
    }
    let _ = timeout(Duration::from_secs(1), pool.close()).await;
    ended
}

/// Tasks that begin once the database has this release's tables.
struct AfterMigration {
    tasks: Tasks,
    migrated: watch::Receiver<bool>,
    stop: CancellationToken,
}

impl AfterMigration {
    /// Starts what takes messages in; follows how it is.
    fn take_in(
        &mut self,
        inbound: Inbound,
        unpark: Unpark,
    ) -> (watch::Receiver<InboundStatus>, watch::Receiver<UnparkState>) {
        let status = (inbound.status(), unpark.state());
        self.spawn("unpark", unpark.run(self.stop.clone()));
        self.spawn("inbound", inbound.run(self.stop.clone()));
        status
    }

    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (mut migrated, stop) = (self.migrated.clone(), self.stop.clone());
        self.tasks.spawn(name, async move {
            let ready = async { migrated.wait_for(|migrated| *migrated).await.is_ok() };
            if stop.run_until_cancelled(ready).await == Some(true) {
                task.await;
            } else {
                stop.cancelled().await;
            }
            Ok(())
        });
    }
}

/// Migrates, or checks that nothing is pending; waits for a database that is away.
async fn prepare_database(pool: &PgPool, migrate: bool) -> anyhow::Result<()> {
    let mut pause = Duration::from_millis(100);
    loop {
        let pending = match migrate::pending(pool).await {
            Ok(pending) if pending.is_empty() => return Ok(()),
            Ok(pending) if !migrate => bail!(
                "{} migrations are pending; run `course-service migrate`, or serve without --no-migrate",
                pending.len()
            ),
            Ok(_) => migrate::run(pool).await,
            Err(error) => Err(error),
        };
        match pending {
            Ok(()) => return Ok(()),
            Err(error) if migrate::is_transient(&error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the database is away; trying again"
                );
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            Err(error) => return Err(error).context("the database cannot be migrated"),
        }
    }
}

/// What is served over HTTP, and where.
struct Server {
    listener: TcpListener,
    router: axum::Router,
    limits: ConnectionLimits,
    sockets: Option<Sockets>,
}

/// Serves until `stop`, then finishes what is under way; only then the rest of the process may stop.
async fn serve_http(
    server: Server,
    stop: CancellationToken,
    background: CancellationToken,
    grace: Duration,
) -> anyhow::Result<()> {
    let Server { listener, router, limits, sockets } = server;
    let asked = CancellationToken::new();
    let ask = async {
        tokio::select! {
            () = stop.cancelled() => (),
            () = background.cancelled() => (),
        }
        if let Some(sockets) = &sockets {
            sockets.stop();
        }
        asked.cancel();
        sleep(grace).await;
    };
    let work = async {
        connections::serve(listener, router, limits, asked.clone()).await;
        // They outlive the requests that they come from.
        if let Some(sockets) = &sockets {
            sockets.closed().await;
        }
    };
    tokio::select! {
        () = work => (),
        () = ask => tracing::warn!("some requests were not finished in time"),
    }
    background.cancel();
    Ok(())
}

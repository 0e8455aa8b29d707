//! The release binary as a process of its own, with its broker and its user management service.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use course_service::app::embedded::{DataDir, Kafka, KafkaOptions, Needs, Parts};
use course_service::app::stand_in::{self, StandIn};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::server::proc_figure;

const PATIENCE: Duration = Duration::from_secs(30);

/// A broker: that of `KAFKA_BROKER`, or one of our own.
pub(crate) struct Broker {
    pub(crate) address: String,
    kafka: Option<(Kafka, DataDir)>,
}

impl Broker {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        if let Ok(address) = std::env::var("KAFKA_BROKER") {
            return Ok(Self { address, kafka: None });
        }
        let needs = Needs { postgres: false, kafka: true };
        let parts = Parts::fetch(needs, &|step| eprintln!("{step}")).await?;
        let data = DataDir::ephemeral()?;
        let kafka = Kafka::start(&parts, data.path(), KafkaOptions::default()).await?;
        Ok(Self { address: kafka.brokers(), kafka: Some((kafka, data)) })
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        if let Some((kafka, data)) = self.kafka {
            kafka.stop().await?;
            drop(data);
        }
        Ok(())
    }
}

/// What it takes to start the service.
pub(crate) struct Service {
    pub(crate) database: String,
    pub(crate) prefix: String,
    broker: String,
    users: StandIn,
    client: reqwest::Client,
}

/// The service at work. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    address: String,
    /// How long it took until it was ready.
    pub(crate) took: Duration,
}

impl Service {
    pub(crate) async fn on(database: &str, broker: &Broker, name: &str) -> anyhow::Result<Self> {
        Ok(Self {
            database: database.to_owned(),
            prefix: format!("bench-{}-{name}-", std::process::id()),
            broker: broker.address.clone(),
            users: stand_in::start().await?,
            client: reqwest::Client::builder().no_proxy().build()?,
        })
    }

    /// Starts it with every role and waits until it is ready.
    pub(crate) async fn start(&self) -> anyhow::Result<Running> {
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let clock = Instant::now();
        let child = Command::new(env!("CARGO_BIN_EXE_course-service"))
            .arg("serve")
            .env("DATABASE_URL", &self.database)
            .env("KAFKA_BROKER", &self.broker)
            .env("KAFKA_TOPIC_PREFIX", &self.prefix)
            .env("USER_MANAGEMENT_SERVICE_URL", self.users.url())
            .env("BIND_ADDR", &address)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut running = Running { child, address, took: Duration::ZERO };
        self.wait(&mut running, |_| true).await?;
        running.took = clock.elapsed();
        Ok(running)
    }

    /// Waits until nothing in its report is amiss or still starting.
    pub(crate) async fn all_up(&self, running: &mut Running) -> anyhow::Result<()> {
        let ok = |report: &Value, part: &str| report["parts"][part]["status"] == "ok";
        let all_up = |report: &Value| {
            report["status"] == "ok" && ok(report, "bridge") && ok(report, "inbound")
        };
        self.wait(running, all_up).await
    }

    async fn wait(
        &self,
        running: &mut Running,
        wished: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let url = format!("http://{}/readyz", running.address);
        let mut last = String::new();
        while Instant::now() < deadline {
            if let Some(status) = running.child.try_wait()? {
                bail!("the service ended: {status}");
            }
            if let Ok(answer) = self.client.get(&url).send().await {
                let ready = answer.status().is_success();
                last = answer.text().await?;
                if ready && wished(&serde_json::from_str(&last)?) {
                    return Ok(());
                }
            }
            sleep(Duration::from_millis(2)).await;
        }
        bail!("the service is not ready after {PATIENCE:?}: {last}")
    }

    pub(crate) async fn shutdown(self) {
        self.users.shutdown().await;
    }
}

impl Running {
    /// A figure of its memory in MiB: `VmRSS` now, `VmHWM` at most so far.
    pub(crate) fn memory(&self, name: &str) -> anyhow::Result<f64> {
        let pid = self.child.id().context("the service has ended")?;
        let figure = proc_figure(&format!("/proc/{pid}/status"), &format!("{name}:"));
        Ok(figure.context("there is no /proc")? / 1024.0)
    }

    /// Stops it as an operator would, so that it gives its lease back.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().context("the service has ended")?;
        Command::new("kill").arg(pid.to_string()).status().await?;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.context("the service does not stop")??;
        Ok(())
    }
}

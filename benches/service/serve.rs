//! What `serve` costs while nobody asks anything: all roles, with its database and its broker up.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use course_service::app::embedded::{DataDir, Kafka, KafkaOptions, Needs, Parts};
use course_service::app::stand_in;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::figures::{Table, median};
use crate::server::{Server, proc_figure};

const STARTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it idles before its memory is read.
const IDLE: Duration = Duration::from_secs(3);

pub(crate) async fn run(server: &Server, table: &mut Table) -> anyhow::Result<()> {
    let users = stand_in::start().await?;
    let given = std::env::var("KAFKA_BROKER").ok();
    let (brokers, kafka) = if let Some(brokers) = given {
        (brokers, None)
    } else {
        let needs = Needs { postgres: false, kafka: true };
        let parts = Parts::fetch(needs, &|step| eprintln!("{step}")).await?;
        let data = DataDir::ephemeral()?;
        let kafka = Kafka::start(&parts, data.path(), KafkaOptions::default()).await?;
        (kafka.brokers(), Some((kafka, data)))
    };
    let service = Service {
        database: server.migrated("serve").await?,
        brokers,
        users: users.url(),
        prefix: format!("bench-{}-", std::process::id()),
        client: reqwest::Client::builder().no_proxy().build()?,
    };
    let mut starts = Vec::new();
    let mut memory = Vec::new();
    let mut first = 0.0;
    for start in 0..=STARTS {
        let (mut child, address, took) = service.start().await?;
        service.wait(&address, &mut child, all_up).await?; // the first time it creates the topics
        if start == 0 {
            first = took.as_secs_f64();
        } else {
            starts.push(took.as_secs_f64());
        }
        if start + 1 >= STARTS {
            sleep(IDLE).await;
            let pid = child.id().context("the service has ended")?;
            memory.extend(proc_figure(&format!("/proc/{pid}/status"), "VmRSS:"));
        }
        stop(&mut child).await?;
    }
    let note = format!("the first start, which creates the topics: {first:.2} s");
    table.limit("serve, all roles: start to /readyz", median(&starts), &note, 1.0, "s");
    let note = "VmRSS of the release binary, idle for 3 s";
    table.limit("serve, all roles: memory", median(&memory) / 1024.0, note, 64.0, "MiB");
    if let Some((kafka, data)) = kafka {
        kafka.stop().await?;
        drop(data);
    }
    users.shutdown().await;
    server.drop("serve").await
}

struct Service {
    database: String,
    brokers: String,
    users: String,
    prefix: String,
    client: reqwest::Client,
}

impl Service {
    /// Starts it and waits until it is ready.
    async fn start(&self) -> anyhow::Result<(Child, String, Duration)> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let address = port.to_string();
        let clock = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_course-service"))
            .arg("serve")
            .env("DATABASE_URL", &self.database)
            .env("KAFKA_BROKER", &self.brokers)
            .env("KAFKA_TOPIC_PREFIX", &self.prefix)
            .env("USER_MANAGEMENT_SERVICE_URL", &self.users)
            .env("BIND_ADDR", &address)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        self.wait(&address, &mut child, |_| true).await?;
        Ok((child, address, clock.elapsed()))
    }

    /// Waits until it is ready and its report is as wished.
    async fn wait(
        &self,
        address: &str,
        child: &mut Child,
        wished: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let url = format!("http://{address}/readyz");
        let mut last = String::new();
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
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
}

/// Whether nothing in the report is amiss or still starting.
fn all_up(report: &Value) -> bool {
    report["status"] == "ok" && report["parts"]["bridge"]["status"] == "ok"
}

/// Stops it as an operator would, so that it gives its lease back.
async fn stop(child: &mut Child) -> anyhow::Result<()> {
    let pid = child.id().context("the service has ended")?;
    Command::new("kill").arg(pid.to_string()).status().await?;
    tokio::time::timeout(PATIENCE, child.wait()).await.context("the service does not stop")??;
    Ok(())
}

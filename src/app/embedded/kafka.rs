//! A Kafka of our own: one node that is broker and controller.
//!
//! Guarantees: [`Kafka::start`] returns when the broker is registered and serves requests; topics,
//! offsets and the cluster's id survive a `kill -9` of this process, ports may differ from start to
//! start. The settings are those of one small broker: every replication factor is 1.

use std::{
    fmt::Write as _,
    fs, iter,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{
    PORT_ATTEMPTS, Parts,
    child::{Process, end_predecessor},
    free_port, launcher,
    launcher::Launcher,
    maven,
};

const FORMAT_PATIENCE: Duration = Duration::from_mins(1);
/// Recovery after a crash reads the segments that were open.
const START_PATIENCE: Duration = Duration::from_mins(2);
const STOP_PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// What the broker logs when it serves requests.
const READY: &str = "Kafka Server started";

const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
auto.create.topics.enable=true
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
# back within 4 s after a crash
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
";

const LOGGING: &str = "\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
# says when the broker is ready
logger.server.name = kafka.server
logger.server.level = info
";

/// How to run Kafka.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// `None`: whichever is free.
    pub port: Option<u16>,
    /// Starts a second sooner and stays slower under load; off where throughput is measured.
    pub quick_start: bool,
    /// Further lines of `server.properties`; the last one of a name counts.
    pub settings: Vec<(String, String)>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self { port: None, quick_start: true, settings: vec![] }
    }
}

/// A running Kafka. Dropping it stops it, and waits for that.
#[derive(Debug)]
pub struct Kafka {
    process: Process,
    port: u16,
}

impl Kafka {
    /// Starts Kafka on `data_dir/kafka`, which it formats where that is missing. The caller holds
    /// the [`DataDir`](super::DataDir).
    pub async fn start(
        parts: &Parts,
        data_dir: &Path,
        options: KafkaOptions,
    ) -> anyhow::Result<Self> {
        let started = Instant::now();
        let folder = Folder::open(parts, data_dir)?;
        end_predecessor("Kafka", &folder.home.join("kafka.pid"), &folder.home, "KILL").await?;
        folder.format().await?;
        let mut attempts = 0;
        loop {
            let (port, controller) = (free_port(options.port)?, free_port(None)?);
            folder.configure(&folder.data(), port, controller, &options.settings)?;
            let command = folder.server(options.quick_start);
            let mut process = Process::spawn("Kafka", command, &folder.log(), "TERM")?;
            folder.write("kafka.pid", &process.pid().to_string())?;
            if is_ready(&mut process).await? {
                let (version, seconds) = (Self::version(), started.elapsed().as_secs_f32());
                tracing::info!(port, "Kafka {version} started on port {port} ({seconds:.1} s)");
                return Ok(Self { process, port });
            }
            attempts += 1;
            if attempts >= PORT_ATTEMPTS {
                bail!("Kafka finds no free port: look at its log{}", process.tail());
            }
        }
    }

    /// The address for `KAFKA_BROKER`.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the broker.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The version that is embedded, such as `4.4.0`.
    pub fn version() -> &'static str {
        maven::version("kafka")
    }

    /// Waits until the broker ends by itself, and returns why that may be.
    pub async fn ended(&mut self) -> anyhow::Error {
        match self.process.wait().await {
            Ok(status) => anyhow::anyhow!("Kafka ended ({status}){}", self.process.tail()),
            Err(error) => error,
        }
    }

    /// Stops within a few seconds.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.process.stop(STOP_PATIENCE).await
    }

    /// Ends the broker as a crash would, for tests of recovery.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill()
    }
}

/// Whether the broker serves requests; `false` if a port was taken.
async fn is_ready(process: &mut Process) -> anyhow::Result<bool> {
    let deadline = Instant::now() + START_PATIENCE;
    while Instant::now() < deadline {
        let ended = process.try_wait()?;
        let output = process.output();
        if let Some(status) = ended {
            if output.contains("Address already in use") {
                return Ok(false);
            }
            bail!("Kafka does not start ({status}){}{}", advice(&output), process.tail());
        }
        if output.contains(READY) {
            return Ok(true);
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("Kafka is not ready after {START_PATIENCE:?}{}", process.tail());
}

/// What to do about failures that are not Kafka's.
fn advice(output: &str) -> &'static str {
    if output.contains("UnsupportedClassVersionError") {
        ", because this Java is too old: install a JDK 17 or newer, or set KAFKA_BROKER"
    } else if output.contains("Unable to locate a Java Runtime") {
        ", because there is no Java: install a JDK 17 or newer, or set KAFKA_BROKER"
    } else {
        ""
    }
}

/// `data_dir/kafka` and the programs that work on it.
struct Folder {
    java: PathBuf,
    classpath: String,
    home: PathBuf,
    launcher: &'static Launcher,
}

impl Folder {
    fn open(parts: &Parts, data_dir: &Path) -> anyhow::Result<Self> {
        let (java, launcher) = (launcher::find_java()?, Launcher::get()?);
        let classpath = format!("{}/libs/*", parts.kafka()?.display());
        let home = std::path::absolute(data_dir)
            .context("cannot read the working directory")?
            .join("kafka");
        let folder = Self { java, classpath, home, launcher };
        folder.launcher.part_folder(&folder.home)?;
        // Java unpacks native libraries into `tmp` and leaves them there when it is killed.
        let _ = fs::remove_dir_all(folder.home.join("tmp"));
        folder.launcher.part_folder(&folder.home.join("tmp"))?;
        folder.write("log4j2.properties", LOGGING)?;
        Ok(folder)
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn log(&self) -> PathBuf {
        self.home.join("kafka.log")
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.home.join(name);
        fs::write(&path, text)
            .and_then(|()| self.launcher.give(&path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn configure(
        &self,
        data: &Path,
        port: u16,
        controller: u16,
        further: &[(String, String)],
    ) -> anyhow::Result<()> {
        let listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}");
        let mut text = format!(
            "# written at every start\n{SETTINGS}listeners={listeners}\n\
             advertised.listeners={listeners}\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\nlog.dirs={}\n",
            data.display()
        );
        for (name, value) in further {
            let _ = writeln!(text, "{name}={value}"); // a `String` takes everything
        }
        self.write("server.properties", &text)
    }

    fn java(&self, flags: &[&str]) -> Command {
        let mut command = self.launcher.command(&self.java, "KILL");
        command.args(flags).arg("-XX:-UsePerfData");
        command.arg(format!("-Djava.io.tmpdir={}/tmp", self.home.display()));
        command.arg("-Dlog4j2.configurationFile=log4j2.properties");
        command.arg("-cp").arg(&self.classpath).current_dir(&self.home);
        command
    }

    fn server(&self, quick_start: bool) -> Command {
        let mut flags = vec!["-Xmx384m", "-XX:+UseSerialGC"];
        flags.extend(quick_start.then_some("-XX:TieredStopAtLevel=1"));
        let mut command = self.java(&flags);
        command.args(["kafka.Kafka", "server.properties"]);
        command
    }

    /// Formats beside the final place, so that the folder is formatted completely or not there.
    async fn format(&self) -> anyhow::Result<()> {
        if self.data().join("meta.properties").exists() {
            return Ok(());
        }
        let fresh = self.home.join("data.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).context("cannot remove a half-made Kafka folder")?;
        }
        // The ports are of no matter: `configure` gives others at each start.
        self.configure(&fresh, free_port(None)?, free_port(None)?, &[])?;
        let mut command = self.java(&["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        command.args(["kafka.tools.StorageTool", "format", "--standalone", "-c"]);
        command.args(["server.properties", "-t", &cluster_id()]);
        let format = Process::spawn("Kafka's StorageTool", command, &self.log(), "TERM")?;
        format.finish(FORMAT_PATIENCE).await.map_err(|error| {
            let advice = advice(&error.to_string());
            error.context(format!("cannot format the Kafka folder{advice}"))
        })?;
        fs::rename(&fresh, self.data()).context("cannot put the Kafka folder into its place")
    }
}

/// A random cluster id as Kafka writes them. Not with a leading `-`, which looks like an option.
fn cluster_id() -> String {
    let mut ids = iter::repeat_with(|| URL_SAFE_NO_PAD.encode(Uuid::new_v4()));
    ids.find(|id| !id.starts_with('-')).expect("the ids never end")
}

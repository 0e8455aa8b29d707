//! A Postgres of our own.
//!
//! Guarantees: [`Postgres::start`] returns when connections are accepted; the cluster is created
//! completely or not at all; what was committed survives a `kill -9` of this process (with `fsync`
//! also the loss of power). Anyone on this machine may connect as the superuser `postgres`, without
//! a password: it is for development only.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::{
    PORT_ATTEMPTS, Parts,
    child::{Process, end_predecessor},
    free_port,
    launcher::Launcher,
    maven,
};

const INITDB_PATIENCE: Duration = Duration::from_mins(2);
/// Recovery after a crash replays what was written since the last checkpoint.
const START_PATIENCE: Duration = Duration::from_mins(2);
const STOP_PATIENCE: Duration = Duration::from_secs(4);
/// How long the last processes of a killed server may hold the folder.
const FOLDER_PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
/// What a server gets when we die: end at once, but take shared memory and lock files along.
const DEATH_SIGNAL: &str = "QUIT";

/// How to run Postgres.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Off for tests: faster, and the data may be gone after the loss of power.
    pub fsync: bool,
    /// For all clients together.
    pub max_connections: u32,
    /// `None`: whichever is free.
    pub port: Option<u16>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { fsync: true, max_connections: 300, port: None }
    }
}

/// A running Postgres. Dropping it stops it, and waits for that.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: u16,
}

/// What became of one try to start.
enum Outcome {
    Ready,
    PortTaken,
    FolderInUse,
}

impl Postgres {
    /// Starts Postgres on `data_dir/postgres`, which it creates where it is missing. The caller
    /// holds the [`DataDir`](super::DataDir).
    pub async fn start(
        parts: &Parts,
        data_dir: &Path,
        options: PostgresOptions,
    ) -> anyhow::Result<Self> {
        let started = Instant::now();
        let folder = Folder::open(parts, data_dir)?;
        folder.create_cluster(options.fsync).await?;
        let pid_file = folder.data().join("postmaster.pid");
        end_predecessor("Postgres", &pid_file, &folder.data(), DEATH_SIGNAL).await?;
        let (mut attempts, deadline) = (0, Instant::now() + FOLDER_PATIENCE);
        loop {
            let port = free_port(options.port)?;
            let command = folder.server(port, &options);
            let mut process = Process::spawn("Postgres", command, &folder.log(), "INT")?;
            match folder.outcome(&mut process).await? {
                Outcome::Ready => {
                    let seconds = started.elapsed().as_secs_f32();
                    let version = Self::version();
                    tracing::info!(
                        port,
                        "Postgres {version} started on port {port} ({seconds:.1} s)"
                    );
                    return Ok(Self { process, port });
                }
                Outcome::PortTaken if attempts < PORT_ATTEMPTS => attempts += 1,
                Outcome::FolderInUse if Instant::now() < deadline => {
                    tokio::time::sleep(POLL * 10).await;
                }
                Outcome::PortTaken | Outcome::FolderInUse => {
                    bail!("Postgres does not start: look at its log{}", process.tail())
                }
            }
        }
    }

    /// How `database` is reached; `postgres` is there from the start.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The version that is embedded, such as `18.4`.
    pub fn version() -> &'static str {
        let version = maven::version("postgres");
        version.strip_suffix(".0").unwrap_or(version) // the jar counts its own builds
    }

    /// Waits until the server ends by itself, and returns why that may be.
    pub async fn ended(&mut self) -> anyhow::Error {
        match self.process.wait().await {
            Ok(status) => anyhow::anyhow!("Postgres ended ({status}){}", self.process.tail()),
            Err(error) => error,
        }
    }

    /// Disconnects the clients and stops within a few seconds.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.process.stop(STOP_PATIENCE).await
    }

    /// Ends the server as a crash would, for tests of recovery.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.process.kill()
    }
}

/// `data_dir/postgres` and the programs that work on it.
struct Folder {
    programs: PathBuf,
    home: PathBuf,
    launcher: &'static Launcher,
}

impl Folder {
    fn open(parts: &Parts, data_dir: &Path) -> anyhow::Result<Self> {
        let (programs, launcher) = (parts.postgres()?.join("bin"), Launcher::get()?);
        let home = std::path::absolute(data_dir)
            .context("cannot read the working directory")?
            .join("postgres");
        launcher.part_folder(&home)?;
        Ok(Self { programs, home, launcher })
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn log(&self) -> PathBuf {
        self.home.join("postgres.log")
    }

    fn command(&self, program: &str, death: &str) -> Command {
        let mut command = self.launcher.command(&self.programs.join(program), death);
        command.current_dir(&self.home);
        command
    }

    /// Runs `initdb` beside the final place, so that a cluster is either complete or not there.
    async fn create_cluster(&self, fsync: bool) -> anyhow::Result<()> {
        if let Ok(found) = fs::read_to_string(self.data().join("PG_VERSION")) {
            let ours = Postgres::version().split('.').next().unwrap_or_default();
            if found.trim() != ours {
                bail!(
                    "{} was made by Postgres {}, this is {ours}: move it away, or choose another \
                     folder with `--data-dir`",
                    self.data().display(),
                    found.trim()
                );
            }
            return Ok(());
        }
        let fresh = self.home.join("data.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).context("cannot remove a half-made Postgres cluster")?;
        }
        let mut command = self.command("initdb", "KILL");
        command.arg("--pgdata").arg(&fresh).args(["--username=postgres", "--auth=trust"]);
        command.args(["--encoding=UTF8", "--locale=C", "--no-instructions"]);
        // the same order of texts on every machine, whatever locales it has
        command.args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]);
        if !fsync {
            command.arg("--no-sync");
        }
        let initdb = Process::spawn("initdb", command, &self.log(), "INT")?;
        initdb.finish(INITDB_PATIENCE).await.context("cannot create the Postgres cluster")?;
        fs::rename(&fresh, self.data()).context("cannot put the Postgres cluster into its place")
    }

    fn server(&self, port: u16, options: &PostgresOptions) -> Command {
        let switch = if options.fsync { "on" } else { "off" };
        let mut command = self.command("postgres", DEATH_SIGNAL);
        command.arg("-D").arg(self.data());
        for setting in [
            "listen_addresses=127.0.0.1".into(),
            format!("port={port}"),
            "unix_socket_directories=".into(), // a path may be too long for a socket
            format!("max_connections={}", options.max_connections),
            format!("fsync={switch}"),
            format!("full_page_writes={switch}"),
            "max_wal_size=2GB".into(),
            "log_checkpoints=off".into(),
            "timezone=UTC".into(),
            "log_timezone=UTC".into(),
        ] {
            command.arg("-c").arg(setting);
        }
        command
    }

    /// Waits until the server is ready, or has ended for a reason that another try may mend.
    async fn outcome(&self, process: &mut Process) -> anyhow::Result<Outcome> {
        let deadline = Instant::now() + START_PATIENCE;
        while Instant::now() < deadline {
            if self.is_ready(process.pid()) {
                return Ok(Outcome::Ready);
            }
            if let Some(status) = process.try_wait()? {
                let output = process.output();
                let has = |text: &str| output.contains(text);
                if has("could not create any TCP/IP sockets") {
                    return Ok(Outcome::PortTaken);
                }
                if has("\"postmaster.pid\" already exists") || has("is still in use") {
                    return Ok(Outcome::FolderInUse);
                }
                bail!("Postgres does not start ({status}){}", process.tail());
            }
            tokio::time::sleep(POLL).await;
        }
        bail!("Postgres is not ready after {START_PATIENCE:?}{}", process.tail());
    }

    /// The server says so itself, in the last line of `postmaster.pid`.
    fn is_ready(&self, pid: u32) -> bool {
        let Ok(text) = fs::read_to_string(self.data().join("postmaster.pid")) else { return false };
        let mut lines = text.lines().map(str::trim);
        lines.next() == Some(&pid.to_string()) && lines.next_back() == Some("ready")
    }
}

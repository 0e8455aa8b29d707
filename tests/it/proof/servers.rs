//! A Postgres, a Kafka and a user service of a test's own, each behind a wire that can be cut.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use course_service::app::embedded::{
    DataDir, Kafka, KafkaOptions, Needs, Parts, Postgres, PostgresOptions,
};
use course_service::app::stand_in::{self, StandIn};
use sqlx::{Connection, Executor, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::dice::Dice;
use crate::process::Settings;
use crate::support::prefix;

const DATABASE: &str = "service";

/// What a wire does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Carries everything.
    Open,
    /// Takes connections and bytes, and delivers nothing.
    Hanging,
    /// Ends every connection and takes no new one.
    Closed,
}

/// A TCP proxy that can be cut.
pub(super) struct Wire {
    port: u16,
    target: Arc<AtomicU16>,
    /// What it does, and how often it was cut.
    line: watch::Sender<(Line, u64)>,
    task: AbortHandle,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    /// A wire that leads nowhere yet. It is what clients know: behind it a server comes back at any port, because the one
    /// that it had may be taken meanwhile, by a client that looks for it there and meets itself.
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::new(AtomicU16::new(0));
        let line = watch::Sender::new((Line::Open, 0));
        let (to, state) = (target.clone(), line.subscribe());
        let task = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                if state.borrow().0 != Line::Closed {
                    tokio::spawn(carry(client, to.load(Ordering::SeqCst), state.clone()));
                }
            }
        });
        Self { port, target, line, task: task.abort_handle() }
    }

    /// Leads to a port; 0 is nowhere.
    fn leads_to(&self, port: u16) {
        self.target.store(port, Ordering::SeqCst);
    }

    pub(super) fn set(&self, line: Line) {
        self.line.send_modify(|state| state.0 = line);
    }

    /// Ends the connections that are there, wherever they are in what they say.
    pub(super) fn cut(&self) {
        self.line.send_modify(|state| state.1 += 1);
    }
}

async fn carry(client: TcpStream, port: u16, line: watch::Receiver<(Line, u64)>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (client_reads, client_writes) = client.into_split();
    let (server_reads, server_writes) = server.into_split();
    let cuts = line.borrow().1;
    let mut cut = line.clone();
    tokio::select! {
        () = pump(client_reads, server_writes, line.clone()) => {}
        () = pump(server_reads, client_writes, line) => {}
        _ = cut.wait_for(|state| state.0 == Line::Closed || state.1 > cuts) => {}
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: watch::Receiver<(Line, u64)>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        if line.wait_for(|state| state.0 != Line::Hanging).await.is_err()
            || to.write_all(&buffer[..bytes]).await.is_err()
        {
            return;
        }
    }
}

/// How a Postgres is stopped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stop {
    /// Its clients are sent away.
    Fast,
    /// It drops everything and recovers at the next start.
    Immediate,
    /// `kill -9`.
    Crash,
}

/// See the module.
pub(super) struct Servers {
    // Dropped in this order.
    postgres: Option<Postgres>,
    kafka: Option<Kafka>,
    disk: Option<Disk>,
    data: DataDir,
    parts: Parts,
    pub(super) database: Wire,
    /// To the database, too, and never broken.
    direct: Wire,
    pub(super) broker: Wire,
    pub(super) users: Wire,
    _stand_in: StandIn,
}

impl Servers {
    pub(super) async fn start() -> Self {
        let needs = Needs { postgres: true, kafka: true };
        let parts = Parts::fetch(needs, &|step| eprintln!("{step}")).await.unwrap();
        let stand_in = stand_in::start().await.unwrap();
        let (database, direct) = (Wire::new().await, Wire::new().await);
        let (broker, users) = (Wire::new().await, Wire::new().await);
        let url = stand_in.url();
        users.leads_to(url.rsplit_once(':').unwrap().1.parse().unwrap());
        let data = DataDir::ephemeral().unwrap();
        let disk = Disk::mount(&data.path().join("postgres"));
        let mut servers = Self {
            postgres: None,
            kafka: None,
            disk,
            data,
            parts,
            database,
            direct,
            broker,
            users,
            _stand_in: stand_in,
        };
        servers.start_postgres().await;
        servers.start_kafka().await;
        let url = servers.postgres.as_ref().unwrap().url("postgres");
        let mut connection = PgConnection::connect(&url).await.unwrap();
        connection.execute(&*format!("CREATE DATABASE {DATABASE}")).await.unwrap();
        servers
    }

    /// Settings of a service that reaches them over the wires.
    pub(super) async fn settings(&self) -> Settings {
        let broker = format!("127.0.0.1:{}", self.broker.port);
        let users = format!("http://127.0.0.1:{}", self.users.port);
        let settings = Settings::of(database_at(&self.database), broker, prefix()).await;
        settings.with("USER_MANAGEMENT_SERVICE_URL", &users)
    }

    /// The database, by a way that nobody breaks.
    pub(super) fn direct(&self) -> String {
        database_at(&self.direct)
    }

    /// Starts Postgres.
    pub(super) async fn start_postgres(&mut self) {
        let options = PostgresOptions::default();
        let postgres = Postgres::start(&self.parts, self.data.path(), options).await.unwrap();
        self.database.leads_to(postgres.port());
        self.direct.leads_to(postgres.port());
        self.postgres = Some(postgres);
    }

    pub(super) async fn stop_postgres(&mut self, how: Stop) {
        let mut postgres = self.postgres.take().expect("it runs");
        match how {
            Stop::Fast => postgres.stop().await.unwrap(),
            Stop::Immediate => {
                signal(postgres.pid(), "QUIT");
                postgres.ended().await;
            }
            Stop::Crash => postgres.kill().unwrap(),
        }
        self.database.leads_to(0);
        self.direct.leads_to(0);
    }

    /// Whether the disk of Postgres can be filled: where this user may mount one.
    pub(super) fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Fills the disk of Postgres while this lasts.
    pub(super) async fn fill_disk(&mut self, meanwhile: impl Future<Output = ()>) {
        let Some(disk) = &self.disk else { return };
        disk.fill();
        meanwhile.await;
        disk.free();
        // It may have given up for good.
        let postgres = self.postgres.as_mut().expect("it was started");
        if let Ok(error) = timeout(Duration::from_secs(5), postgres.ended()).await {
            println!("{error}");
            self.postgres = None;
            self.start_postgres().await;
        }
    }

    /// Starts Kafka. It names the wire as its address.
    pub(super) async fn start_kafka(&mut self) {
        let advertised = format!("PLAINTEXT://127.0.0.1:{}", self.broker.port);
        let settings = vec![("advertised.listeners".to_owned(), advertised)];
        let options = KafkaOptions { settings, ..KafkaOptions::default() };
        let kafka = Kafka::start(&self.parts, self.data.path(), options).await.unwrap();
        self.broker.leads_to(kafka.port());
        self.kafka = Some(kafka);
    }

    pub(super) async fn stop_kafka(&mut self) {
        self.kafka.take().expect("it runs").stop().await.unwrap();
        self.broker.leads_to(0);
    }

    /// Cuts the connections of some wires at moments of chance, for so long.
    pub(super) async fn cuts(wires: &[&Wire], dice: &mut Dice, time: Duration) -> u64 {
        let mut cuts = 0;
        let end = Instant::now() + time;
        while Instant::now() < end {
            wires[dice.index(wires.len())].cut();
            cuts += 1;
            sleep(Duration::from_millis(u64::from(20 + dice.below(400)))).await;
        }
        cuts
    }
}

fn database_at(wire: &Wire) -> String {
    format!("postgres://postgres@127.0.0.1:{}/{DATABASE}", wire.port)
}

/// A disk in memory that can be full.
struct Disk(PathBuf);

impl Disk {
    /// `None` where this user may not mount one.
    fn mount(folder: &Path) -> Option<Self> {
        std::fs::create_dir(folder).unwrap();
        let disk = Self(folder.to_owned());
        disk.run("mount -t tmpfs -o size=4g tmpfs").then_some(disk)
    }

    fn run(&self, command: &str) -> bool {
        let command = format!("{command} '{}'", self.0.display());
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &command]).stderr(Stdio::null()).status().unwrap().success()
    }

    fn fill(&self) {
        // It may grow between the question and the answer.
        let shrink = || self.run(&format!("mount -o remount,size={}k", self.used() + 256));
        assert!((0..20).any(|_| shrink()), "the disk grows all the time");
    }

    /// In KiB.
    fn used(&self) -> u64 {
        let mut df = std::process::Command::new("df");
        let output = df.args(["--output=used", "--block-size=1K"]).arg(&self.0).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().nth(1).unwrap().trim().parse().unwrap()
    }

    fn free(&self) {
        assert!(self.run("mount -o remount,size=4g"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run("umount -l");
    }
}

fn signal(pid: u32, signal: &str) {
    let kill = format!("kill -{signal} {pid}");
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

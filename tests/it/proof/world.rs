//! Instances of the service that come and go, and where clients find them.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::dice::Dice;
use crate::process::{Client, PATIENCE, Process, Settings};
use crate::support::{eventually, pool};

/// What `abort` ends a process with.
const SIGABRT: i32 = 6;
const LOOK_EVERY: Duration = Duration::from_millis(20);

const ASK_EVERY: Duration = Duration::from_secs(1);

/// Every role in one process.
pub(super) const ALL_ROLES: &str = "api,projections,bridge,inbound";

/// See the module.
pub(super) struct World {
    pub(super) settings: Settings,
    /// The database, by a way that nobody breaks.
    pub(super) pool: PgPool,
    instances: Vec<Instance>,
    addresses: watch::Sender<Vec<Option<String>>>,
}

struct Instance {
    roles: &'static str,
    process: Option<Process>,
}

/// Where the instances listen, as clients know it.
pub(super) type Addresses = watch::Receiver<Vec<Option<String>>>;

impl World {
    /// Nothing runs yet. `direct` is the URL of the database that nobody breaks.
    pub(super) async fn new(settings: Settings, direct: &str, roles: &[&'static str]) -> Self {
        let pool = pool(direct).await;
        let instances = roles.iter().map(|roles| Instance { roles, process: None }).collect();
        let addresses = watch::Sender::new(vec![None; roles.len()]);
        Self { settings, pool, instances, addresses }
    }

    /// The same on servers that all tests share.
    pub(super) async fn shared(roles: &[&'static str]) -> Self {
        let settings = Settings::new().await;
        let direct = settings.database_url.clone();
        Self::new(settings, &direct, roles).await
    }

    /// How many instances there are.
    pub(super) fn len(&self) -> usize {
        self.instances.len()
    }

    /// Where clients find them.
    pub(super) fn addresses(&self) -> Addresses {
        self.addresses.subscribe()
    }

    /// Starts an instance, perhaps one that breaks at a place.
    pub(super) fn start(&mut self, which: usize, fault: Option<&str>) {
        let mut environment = self.settings.environment();
        environment.extend(fault.map(|fault| ("FAULT_AT", fault)));
        let instance = &mut self.instances[which];
        let arguments = ["serve", "--role", instance.roles];
        instance.process = Some(Process::start(&arguments, &environment));
    }

    /// Starts all of them, and waits until they are ready.
    pub(super) async fn start_all(&mut self) {
        for which in 0..self.len() {
            self.start(which, None);
        }
        self.ready().await;
    }

    /// Waits until all that run are ready.
    pub(super) async fn ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        for which in 0..self.len() {
            while self.address(which).is_none() {
                assert!(Instant::now() < deadline, "{which} does not listen: {}", self.said(which));
                self.live(LOOK_EVERY).await;
            }
            Client::new(&self.address(which).unwrap()).ready().await;
        }
    }

    fn address(&self, which: usize) -> Option<String> {
        self.addresses.borrow()[which].clone()
    }

    fn said(&self, which: usize) -> String {
        self.instances[which].process.as_ref().map(Process::output).unwrap_or_default()
    }

    /// The instance's client.
    pub(super) fn client(&self, which: usize) -> Client {
        Client::new(&self.address(which).expect("it listens"))
    }

    /// Tells clients where the instances are.
    fn look(&mut self) {
        for (which, instance) in self.instances.iter_mut().enumerate() {
            let Some(process) = &mut instance.process else { continue };
            if self.addresses.borrow()[which].is_some() {
                continue;
            }
            if let Some(url) = process.url_now() {
                self.addresses.send_modify(|addresses| addresses[which] = Some(url));
            }
        }
    }

    /// Lets time pass in which no instance may end by itself.
    pub(super) async fn live(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.look();
            for instance in &mut self.instances {
                let Some(process) = &mut instance.process else { continue };
                assert!(process.is_running(), "it ended by itself\n{}", process.output());
            }
            if Instant::now() >= end {
                return;
            }
            sleep(LOOK_EVERY.min(end - Instant::now())).await;
        }
    }

    /// Lets time pass in which every instance says that it lives.
    pub(super) async fn stays(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.live(ASK_EVERY.min(end - Instant::now())).await;
            for which in 0..self.len() {
                assert_eq!(self.client(which).get("/livez").await.0, 200);
            }
        }
    }

    /// `kill -9`.
    pub(super) async fn kill(&mut self, which: usize) {
        let instance = &mut self.instances[which];
        if let Some(mut process) = instance.process.take() {
            process.kill().await;
        }
        self.addresses.send_modify(|addresses| addresses[which] = None);
    }

    /// Waits until an instance has crashed at the place that it was started for. Whether it has in time.
    pub(super) async fn crashes(&mut self, which: usize, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            self.look();
            let process = self.instances[which].process.as_mut().expect("it was started");
            if !process.is_running() {
                let status = process.ended(PATIENCE).await;
                assert_eq!(status.signal(), Some(SIGABRT), "{}", process.output());
                self.kill(which).await;
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Stops an instance with `SIGSTOP`, and lets it go on after a while.
    pub(super) async fn pause(&mut self, which: usize, time: Duration) {
        self.signal(which, "STOP");
        self.live(time).await;
        self.signal(which, "CONT");
    }

    /// Sends a signal, such as `TERM`.
    pub(super) fn signal(&self, which: usize, signal: &str) {
        self.instances[which].process.as_ref().expect("it runs").signal(signal);
    }

    /// Waits until an instance has stopped itself at the place that it was started for. Whether it has in time.
    pub(super) async fn stops(&mut self, which: usize, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            self.live(LOOK_EVERY).await;
            let pid = self.instances[which].process.as_ref().expect("it was started").pid();
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
            if state == Some('T') {
                return true;
            }
        }
        false
    }

    /// Waits until an instance has written one of these.
    pub(super) async fn says_one_of(&self, which: usize, words: &[&str]) {
        let says = async || words.iter().any(|word| self.said(which).contains(word));
        eventually("it says so", says).await;
    }

    /// Prints what the instances have written.
    pub(super) fn dump(&self) {
        for which in 0..self.len() {
            println!("instance {which}:\n{}", self.said(which));
        }
    }

    /// How far the log is published, and how many messages of others were taken in.
    pub(super) async fn progress(&self) -> (i64, i64) {
        let sql = "SELECT coalesce((SELECT position FROM bridge_progress WHERE lane = 'events'), 0), \
                   (SELECT coalesce(sum(next_offset), 0)::bigint FROM inbound_offsets)";
        sqlx::query_as(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// The leases of the dead end now. By themselves they take some seconds, which would make the test a slow one.
    pub(super) async fn end_leases(&self) {
        sqlx::query("DELETE FROM leases").execute(&self.pool).await.unwrap();
    }

    /// A short life for an instance: most answer clients when it ends, some still start.
    pub(super) fn life(dice: &mut Dice) -> Duration {
        let millis = if dice.one_in(5) { dice.below(300) } else { 300 + dice.below(1_800) };
        Duration::from_millis(millis.into())
    }
}

//! Instances of the write side on one database, without HTTP and Kafka, and a proxy that cuts their connections.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::Utc;
use course_service::app::database::appender_pool;
use course_service::commands::{Answer, CommandError, Commands};
use course_service::domain::actor::Role;
use course_service::domain::course::{CourseAction, CourseCommand, CoursePatch, NewCourse};
use course_service::domain::progress::CompleteItem;
use course_service::domain::registration::Enroll;
use course_service::domain::{Actor, CourseId, EnrollmentId, ItemId, Refusal, UserId};
use course_service::event_store::wake::Head;
use course_service::event_store::{Appender, Metadata, Recorded, log};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::support;

/// How long a command may take where the test is not about that.
const PATIENCE: Duration = Duration::from_mins(1);

/// An instance: commands with an appender of their own.
pub(crate) struct Instance {
    pub(crate) pool: PgPool,
    pub(crate) appender: Appender,
    pub(crate) head: Head,
    pub(crate) commands: Commands,
    task: AbortHandle,
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Instance {
    /// An instance on this database.
    pub(crate) async fn on(url: &str) -> Self {
        Self::with(support::pool(url).await, url, PATIENCE)
    }

    /// An instance that reads through `pool` and appends at `appender_url`.
    pub(crate) fn with(pool: PgPool, appender_url: &str, patience: Duration) -> Self {
        let head = Head::default();
        let (appender, task) = Appender::new(appender_pool(appender_url).unwrap(), head.clone());
        let task = tokio::spawn(task).abort_handle();
        let commands = Commands::new(pool.clone(), appender.clone(), patience, |_| ());
        Self { pool, appender, head, commands, task }
    }

    /// A published course with this code; its id.
    pub(crate) async fn published(&self, code: &str, capacity: Option<i64>) -> CourseId {
        let id = new_course_id();
        self.create(&id, code, capacity).await.unwrap();
        id
    }

    /// Creates and publishes a course.
    pub(crate) async fn create(
        &self,
        id: &CourseId,
        code: &str,
        capacity: Option<i64>,
    ) -> Result<Answer, CommandError> {
        let course = NewCourse {
            id: id.clone(),
            code: code.to_owned(),
            title: code.to_owned(),
            capacity,
            publish: true,
            ..NewCourse::default()
        };
        let action = CourseAction::Create { course: Box::new(course), code_owner: None };
        self.course(id, None, action).await
    }

    /// A command of the course's instructor.
    pub(crate) async fn course(
        &self,
        id: &CourseId,
        expected_version: Option<u64>,
        action: CourseAction,
    ) -> Result<Answer, CommandError> {
        let command = CourseCommand { actor: instructor(), expected_version, action };
        self.commands.course(id.clone(), command, Metadata::default()).await
    }

    /// A change of the course by its instructor.
    pub(crate) async fn update(
        &self,
        id: &CourseId,
        patch: CoursePatch,
    ) -> Result<Answer, CommandError> {
        let action = CourseAction::Update { patch: Box::new(patch), code_owner: None };
        self.course(id, None, action).await
    }

    /// Deletes a course whatever seats are taken.
    pub(crate) async fn delete(&self, id: &CourseId) -> Result<Answer, CommandError> {
        let action = CourseAction::Delete { force: true, reason: None, seats_taken: 0 };
        self.course(id, None, action).await
    }

    /// A student enrolls; waits where no seat is free and `join_waitlist`.
    pub(crate) async fn enroll(
        &self,
        course: &CourseId,
        student: &str,
        join_waitlist: bool,
    ) -> Result<Answer, CommandError> {
        let actor = student_named(student);
        let command = Enroll { student: actor.id.clone(), actor, join_waitlist, at: Utc::now() };
        self.commands.enroll(course.clone(), command, Metadata::default()).await
    }

    /// A student is done with an item.
    pub(crate) async fn complete(
        &self,
        course: &CourseId,
        student: &str,
        item: &ItemId,
    ) -> Result<Answer, CommandError> {
        let actor = student_named(student);
        let (student, item) = (actor.id.clone(), item.clone());
        let command = CompleteItem { actor, student, item, expected_version: None };
        self.commands.complete_item(course.clone(), command, Metadata::default()).await
    }

    /// A student withdraws.
    pub(crate) async fn withdraw(
        &self,
        course: &CourseId,
        student: &str,
    ) -> Result<Answer, CommandError> {
        let actor = student_named(student);
        let id = EnrollmentId::of(course, &actor.id);
        self.commands.withdraw(&id, actor, None, None, Metadata::default()).await
    }

    /// The whole log.
    pub(crate) async fn log(&self) -> Vec<Recorded> {
        whole_log(&self.pool).await
    }
}

/// The whole log.
pub(crate) async fn whole_log(pool: &PgPool) -> Vec<Recorded> {
    log::read_after(pool, 0, i64::MAX).await.unwrap()
}

/// Waits until this many sessions of the database wait for a lock.
pub(crate) async fn waits_for_a_lock(pool: &PgPool, sessions: i64) {
    support::eventually("sessions wait for a lock", async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        waiting >= sessions
    })
    .await;
}

/// A course's id that nobody else has.
pub(crate) fn new_course_id() -> CourseId {
    CourseId::from_uuid(uuid::Uuid::now_v7())
}

/// Who teaches the courses.
pub(crate) fn instructor() -> Actor {
    Actor { id: UserId::parse("ada", "id").unwrap(), role: Role::Instructor }
}

/// A student.
pub(crate) fn student_named(name: &str) -> Actor {
    Actor { id: UserId::parse(name, "id").unwrap(), role: Role::Student }
}

/// The refusal that a command met.
pub(crate) fn refusal(result: Result<Answer, CommandError>) -> Refusal {
    match result {
        Err(CommandError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// What a proxy does with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// Lets them through.
    Pass,
    /// Cuts the next connection on which the answer of an append comes, and swallows that answer; then refuses.
    CutAnswer,
    /// Cuts every connection and takes no new one.
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frozen {
    Not,
    Now,
    ForEver,
}

/// A proxy in front of the database.
pub(crate) struct Proxy {
    /// The database's URL through it.
    pub(crate) url: String,
    mode: Arc<AtomicU8>,
    frozen: watch::Sender<Frozen>,
    cuts: Arc<AtomicUsize>,
    stale: Arc<AtomicUsize>,
    refusals: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// A proxy in front of this database.
    pub(crate) async fn before(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().unwrap();
        let upstream = format!("{}:{}", options.get_host(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = through(url, listener.local_addr().unwrap());
        let mode = Arc::new(AtomicU8::new(Mode::Pass as u8));
        let cuts = Arc::new(AtomicUsize::new(0));
        let stale = Arc::new(AtomicUsize::new(0));
        let frozen = watch::Sender::new(Frozen::Not);
        let switch = Switch {
            mode: mode.clone(),
            cuts: cuts.clone(),
            stale: stale.clone(),
            frozen: frozen.subscribe(),
        };
        let refusals = Arc::new(AtomicUsize::new(0));
        let refused = refusals.clone();
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if switch.is(Mode::Refuse) {
                    refused.fetch_add(1, Ordering::SeqCst);
                } else {
                    tokio::spawn(carry(client, upstream.clone(), switch.clone()));
                }
            }
        });
        Self { url, mode, frozen, cuts, stale, refusals, task: task.abort_handle() }
    }

    /// From now on it does this.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }

    /// Holds every byte back, or no longer.
    pub(crate) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(if frozen { Frozen::Now } else { Frozen::Not });
    }

    /// The connections that were frozen stay so for ever; new ones work.
    pub(crate) fn cut(&self) {
        self.frozen.send_replace(Frozen::ForEver);
    }

    /// How many answers of appends said that a guess was wrong.
    pub(crate) fn stale_answers(&self) -> usize {
        self.stale.load(Ordering::SeqCst)
    }

    /// How many connections it has refused.
    pub(crate) fn refusals(&self) -> usize {
        self.refusals.load(Ordering::SeqCst)
    }

    /// How often it cut an answer off.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::SeqCst)
    }
}

fn through(url: &str, address: SocketAddr) -> String {
    let options: PgConnectOptions = url.parse().unwrap();
    let (head, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
    assert!(!options.get_host().starts_with('/'), "a database behind TCP");
    format!("{head}://{user}{address}/{path}")
}

#[derive(Clone)]
struct Switch {
    mode: Arc<AtomicU8>,
    cuts: Arc<AtomicUsize>,
    stale: Arc<AtomicUsize>,
    frozen: watch::Receiver<Frozen>,
}

impl Switch {
    fn is(&self, mode: Mode) -> bool {
        self.mode.load(Ordering::SeqCst) == mode as u8
    }
}

async fn carry(client: TcpStream, upstream: String, mut switch: Switch) {
    let server = TcpStream::connect(upstream).await.unwrap();
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let mut answers = switch.clone();
    tokio::select! {
        () = pump(client_read, server_write, &mut switch, false) => (),
        () = pump(server_read, client_write, &mut answers, true) => (),
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    switch: &mut Switch,
    answers: bool,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            () = refused(switch.clone()) => return,
        };
        let Ok(bytes @ 1..) = read else { return };
        if *switch.frozen.borrow() == Frozen::Now {
            let thawed = switch.frozen.wait_for(|state| *state != Frozen::Now).await;
            if thawed.is_ok_and(|state| *state == Frozen::ForEver) {
                return pending().await;
            }
        }
        if answers && buffer[..bytes].windows(5).any(|text| text == b"stale") {
            switch.stale.fetch_add(1, Ordering::SeqCst);
        }
        let appended = buffer[..bytes].windows(4).any(|text| text == b"head"); // not a ping's answer
        if answers && appended && switch.is(Mode::CutAnswer) {
            switch.mode.store(Mode::Refuse as u8, Ordering::SeqCst);
            switch.cuts.fetch_add(1, Ordering::SeqCst);
            return;
        }
        if to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}

async fn refused(switch: Switch) {
    while !switch.is(Mode::Refuse) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

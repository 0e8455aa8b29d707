//! The append: gapless, commit-ordered, all or nothing, and its outcome always learnt.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::HashMap;
use std::time::{Duration, Instant as Clock};

use course_service::app::database::appender_pool;
use course_service::domain::course::{CourseAction, CourseCommand, CourseEvent};
use course_service::domain::seats::SeatsEvent;
use course_service::domain::{
    Course, CourseId, Event, ModuleId, Refusal, Seats, StreamType, UserId,
};
use course_service::event_store::log::ReadError;
use course_service::event_store::proposal::KeyAct;
use course_service::event_store::stream::Streams;
use course_service::event_store::wake::Head;
use course_service::event_store::{
    AppendError, Appended, Appender, KeyUse, NewEvent, Outcome, Proposal, StreamId, log,
};
use cqrs_es::persist::{PersistedEventRepository, PersistedEventStore};
use cqrs_es::{AggregateContext, CqrsFramework, EventStore};
use futures::future::{join, join_all};
use postgres_es::PostgresEventRepository;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Postgres, Transaction};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use uuid::Uuid;

use crate::instance::{
    Instance, Mode, Proxy, instructor, new_course_id, refusal, waits_for_a_lock, whole_log,
};
use crate::support;

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

fn seats(course: &CourseId) -> StreamId {
    StreamId::new(StreamType::Seats, course.as_str())
}

/// One event of a course's seats behind `version`.
fn seat_event(course: &CourseId, version: u64, event: SeatsEvent) -> Proposal {
    seat_events(course, version, vec![event])
}

fn seat_events(course: &CourseId, version: u64, events: Vec<SeatsEvent>) -> Proposal {
    let event = |(sequence, event): (u64, SeatsEvent)| NewEvent {
        stream: seats(course),
        sequence,
        event: event.into(),
        id: Uuid::now_v7(),
        course: Some(course.clone()),
    };
    Proposal {
        command_id: Uuid::now_v7(),
        reads: vec![(seats(course), version)],
        events: (version + 1..).zip(events).map(event).collect(),
        ..Proposal::default()
    }
}

fn taken(student: &str) -> SeatsEvent {
    // Past the checks of the border.
    SeatsEvent::SeatTaken { student: serde_json::from_value(student.into()).unwrap() }
}

/// Nothing but a read.
fn reading(course: &CourseId, version: u64) -> Proposal {
    Proposal { reads: vec![(seats(course), version)], ..Proposal::default() }
}

/// Nothing but a key.
fn using(key: &str, what: KeyAct) -> Proposal {
    let keys = vec![KeyUse { space: "test", key: key.to_owned(), what }];
    Proposal { keys, ..Proposal::default() }
}

async fn append(appender: &Appender, chain: Vec<Proposal>) -> Result<Outcome, AppendError> {
    appender.append(chain, soon()).await
}

async fn appended(appender: &Appender, chain: Vec<Proposal>) -> Appended {
    match append(appender, chain).await {
        Ok(Outcome::Appended(place)) => place,
        other => panic!("not appended: {other:?}"),
    }
}

fn stale_at(outcome: &Result<Outcome, AppendError>) -> Option<u64> {
    match outcome {
        Ok(Outcome::Stale { actual, .. }) => Some(actual.first()?.1),
        _ => None,
    }
}

fn held_by(outcome: Result<Outcome, AppendError>) -> Vec<(String, Option<String>)> {
    match outcome {
        Ok(Outcome::Keys(keys)) => keys.into_iter().map(|(_, key, held)| (key, held)).collect(),
        other => panic!("no answer about keys: {other:?}"),
    }
}

/// Holds the lock of the log until it is dropped.
async fn hold_the_log(pool: &PgPool) -> Transaction<'static, Postgres> {
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM log_head FOR UPDATE").execute(&mut *transaction).await.unwrap();
    transaction
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_sees_every_event_of_concurrent_appenders_once_and_in_order() {
    const COURSES: usize = 40;
    const EVENTS: u64 = 30;
    let url = support::database_url().await;
    let pool = support::pool(&url).await;
    let mut writers = Vec::new();
    for _ in 0..3 {
        let instance = Instance::on(&url).await;
        writers.push(tokio::spawn(async move {
            let write = |course: CourseId| {
                let appender = instance.appender.clone();
                async move {
                    for version in (0..EVENTS).step_by(2) {
                        let events = vec![taken("a"), taken("b")];
                        appended(&appender, vec![seat_events(&course, version, events)]).await;
                    }
                }
            };
            join_all((0..COURSES).map(|_| write(new_course_id()))).await;
        }));
    }
    let all = i64::try_from(3 * COURSES).unwrap() * i64::try_from(EVENTS).unwrap();
    let mut seen = 0;
    let mut sequences: HashMap<StreamId, u64> = HashMap::new();
    let mut last = None;
    while seen < all {
        for event in log::read_after(&pool, seen, 37).await.unwrap() {
            seen += 1;
            assert_eq!(event.position.number, seen, "no gap, nothing twice");
            let sequence = sequences.entry(event.stream).or_default();
            *sequence += 1;
            assert_eq!(event.sequence, *sequence, "a stream in its own order");
            assert!(last.is_none_or(|last| last <= event.recorded_at), "time goes back");
            last = Some(event.recorded_at);
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(log::head(&pool).await.unwrap().position.number, all);
}

#[tokio::test]
async fn the_time_of_the_log_rises_with_every_append_although_the_clock_went_back() {
    let instance = Instance::on(&support::database_url().await).await;
    let ahead = "UPDATE log_head SET recorded_at = clock_timestamp() + interval '1 hour'";
    sqlx::query(ahead).execute(&instance.pool).await.unwrap();
    let course = new_course_id();
    let mut last = None;
    for version in 0..10 {
        let chain = vec![seat_event(&course, version, taken("a"))];
        let recorded_at = appended(&instance.appender, chain).await.recorded_at;
        assert!(last.is_none_or(|last| last < recorded_at));
        last = Some(recorded_at);
    }
    let times: Vec<_> = instance.log().await.iter().map(|event| event.recorded_at).collect();
    assert!(times.is_sorted_by(|a, b| a < b));
}

#[tokio::test]
async fn a_chain_is_appended_whole_or_not_at_all() {
    let instance = Instance::on(&support::database_url().await).await;
    let (one, two) = (new_course_id(), new_course_id());
    appended(&instance.appender, vec![seat_event(&two, 0, taken("x"))]).await;
    let chain = vec![
        seat_event(&one, 0, taken("a")),
        seat_event(&one, 1, taken("b")),
        seat_event(&two, 0, taken("late")), // somebody was faster
    ];
    let outcome = append(&instance.appender, chain).await;
    assert_eq!(stale_at(&outcome), Some(1));
    assert_eq!(instance.log().await.len(), 1);
    let chain = vec![
        seat_event(&one, 0, taken("a")),
        reading(&one, 1),
        seat_event(&one, 1, taken("b")),
        seat_event(&two, 1, taken("late")),
    ];
    let positions = appended(&instance.appender, chain).await.positions;
    assert_eq!(positions.iter().map(|at| at.number).collect::<Vec<_>>(), [2, 2, 3, 4]);
    assert_eq!(instance.log().await.len(), 4);
}

#[tokio::test]
async fn no_seat_is_sold_on_a_capacity_that_was_never_raised() {
    let url = support::database_url().await;
    let (a, b) = (Instance::on(&url).await, Instance::on(&url).await);
    let course = new_course_id();
    let defined = SeatsEvent::SeatsDefined { capacity: Some(500), opens_at: None, closes_at: None };
    let mut history = vec![defined, SeatsEvent::SeatsOpened { promoted: vec![] }];
    history.extend((0..500).map(|n| taken(&format!("s{n}"))));
    appended(&a.appender, vec![seat_events(&course, 0, history)]).await;
    // A raises the capacity at 503 and takes the new seat at 504; B has meanwhile appended 503.
    let raised = SeatsEvent::SeatsCapacityChanged { capacity: Some(501), promoted: vec![] };
    let waits = SeatsEvent::SeatWaitlisted { student: UserId::parse("w", "id").unwrap() };
    appended(&b.appender, vec![seat_event(&course, 502, waits)]).await;
    let chain =
        vec![seat_event(&course, 502, raised), seat_event(&course, 503, taken("the 501st"))];
    let outcome = append(&a.appender, chain).await;
    assert_eq!(stale_at(&outcome), Some(503));
    let left: Seats = Streams::new(a.pool.clone()).load(course.as_str()).await.unwrap();
    assert_eq!((left.version, left.taken, left.capacity), (503, 500, Some(500)));
}

#[tokio::test]
async fn what_is_missing_comes_with_the_answer_that_a_guess_was_wrong() {
    let instance = Instance::on(&support::database_url().await).await;
    let course = new_course_id();
    let history = vec![taken("a"), taken("b"), taken("c")];
    appended(&instance.appender, vec![seat_events(&course, 0, history)]).await;
    let outcome = append(&instance.appender, vec![reading(&course, 1)]).await;
    let Ok(Outcome::Stale { actual, missing }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(actual, [(seats(&course), 3)]);
    assert_eq!(missing.iter().map(|(_, event)| event.sequence).collect::<Vec<_>>(), [2, 3]);
    // A guess ahead of the log is as wrong, and nothing is missing from it.
    let outcome = append(&instance.appender, vec![reading(&course, 9)]).await;
    let Ok(Outcome::Stale { actual, missing }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((actual, missing.len()), (vec![(seats(&course), 3)], 0));
}

#[tokio::test]
async fn a_refusal_and_a_no_op_are_checked_as_an_acceptance_is() {
    let instance = Instance::on(&support::database_url().await).await;
    let course = new_course_id();
    assert_eq!(appended(&instance.appender, vec![reading(&course, 0)]).await.positions.len(), 1);
    appended(&instance.appender, vec![seat_event(&course, 0, taken("a"))]).await;
    let outcome = append(&instance.appender, vec![reading(&course, 0)]).await;
    assert_eq!(stale_at(&outcome), Some(1));
    let positions = appended(&instance.appender, vec![reading(&course, 1)]).await.positions;
    assert_eq!(positions[0].number, 1);
    assert_eq!(instance.log().await.len(), 1);
}

#[tokio::test]
async fn keys_are_claimed_held_absent_and_released() {
    let instance = Instance::on(&support::database_url().await).await;
    let appender = &instance.appender;
    let (a, b) = (|| "a".to_owned(), || "b".to_owned());
    appended(appender, vec![using("k", KeyAct::Absent)]).await;
    let missing = append(appender, vec![using("k", KeyAct::Held(a()))]).await;
    assert_eq!(held_by(missing), [("k".to_owned(), None)]);
    appended(appender, vec![using("k", KeyAct::Claim(a()))]).await;
    appended(appender, vec![using("k", KeyAct::Claim(a()))]).await; // it is ours already
    appended(appender, vec![using("k", KeyAct::Held(a()))]).await;
    for act in [KeyAct::Claim(b()), KeyAct::Held(b()), KeyAct::Absent, KeyAct::Release(b())] {
        let outcome = append(appender, vec![using("k", act)]).await;
        assert_eq!(held_by(outcome), [("k".to_owned(), Some(a()))]);
    }
    appended(appender, vec![using("k", KeyAct::Release(a()))]).await;
    appended(appender, vec![using("k", KeyAct::Claim(b()))]).await;
}

#[tokio::test]
async fn a_key_that_is_refused_takes_the_events_of_its_chain_along_but_nobody_elses() {
    let instance = Instance::on(&support::database_url().await).await;
    let appender = &instance.appender;
    appended(appender, vec![using("k", KeyAct::Claim("a".to_owned()))]).await;
    let (one, two) = (new_course_id(), new_course_id());
    let chain = vec![
        seat_event(&one, 0, taken("a")),
        using("fresh", KeyAct::Claim("b".to_owned())),
        using("k", KeyAct::Claim("b".to_owned())),
    ];
    let (refused, neighbour) =
        join(append(appender, chain), append(appender, vec![seat_event(&two, 0, taken("a"))]))
            .await;
    assert!(held_by(refused).contains(&("k".to_owned(), Some("a".to_owned()))));
    assert!(matches!(neighbour, Ok(Outcome::Appended(_))), "{neighbour:?}");
    assert_eq!(instance.log().await.len(), 1);
    appended(appender, vec![using("fresh", KeyAct::Absent)]).await;
}

#[tokio::test]
async fn of_two_claims_of_one_key_in_one_moment_one_wins() {
    let instance = Instance::on(&support::database_url().await).await;
    let hold = hold_the_log(&instance.pool).await;
    let blocker = append(&instance.appender, vec![reading(&new_course_id(), 0)]);
    let claims = async {
        waits_for_a_lock(&instance.pool, 1).await;
        let claim = |owner: &str| {
            append(&instance.appender, vec![using("k", KeyAct::Claim(owner.to_owned()))])
        };
        let free = async { drop(hold) };
        let (a, b, ()) = futures::future::join3(claim("a"), claim("b"), free).await;
        (a, b)
    };
    let (_, (a, b)) = join(blocker, claims).await;
    assert!(matches!(a, Ok(Outcome::Appended(_))), "{a:?}");
    assert_eq!(held_by(b), [("k".to_owned(), Some("a".to_owned()))]);
}

#[tokio::test]
async fn of_two_courses_with_one_code_in_one_moment_one_is_told_that_the_code_is_taken() {
    let instance = Instance::on(&support::database_url().await).await;
    for (first, second) in [("RUST-101", "RUST-101"), ("Go-1", "gO-1")] {
        let hold = hold_the_log(&instance.pool).await;
        let blocker = append(&instance.appender, vec![reading(&new_course_id(), 0)]);
        let (one, two) = (new_course_id(), new_course_id());
        let creations = async {
            waits_for_a_lock(&instance.pool, 1).await;
            let free = async { drop(hold) };
            let one = instance.create(&one, first, None);
            let two = instance.create(&two, second, None);
            futures::future::join3(one, two, free).await
        };
        let (_, (one, two, ())) = join(blocker, creations).await;
        let mut results = [one, two];
        results.sort_by_key(Result::is_err);
        let [created, refused] = results;
        created.unwrap();
        assert_eq!(refusal(refused), Refusal::CodeTaken);
    }
}

#[tokio::test]
async fn what_the_database_cannot_store_fails_alone_and_its_neighbours_are_appended() {
    let instance = Instance::on(&support::database_url().await).await;
    let hold = hold_the_log(&instance.pool).await;
    let blocker = append(&instance.appender, vec![reading(&new_course_id(), 0)]);
    let batch = async {
        waits_for_a_lock(&instance.pool, 1).await;
        let free = async { drop(hold) };
        let chains = (0..50).map(|number| {
            let name = if number == 17 || number == 40 { "nu\0ll" } else { "fine" };
            let chain = vec![seat_event(&new_course_id(), 0, taken(name))];
            append(&instance.appender, chain)
        });
        join(join_all(chains.collect::<Vec<_>>()), free).await.0
    };
    let (_, outcomes) = join(blocker, batch).await;
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Err(AppendError::Rejected(_)) => assert!(number == 17 || number == 40),
            Ok(Outcome::Appended(_)) => assert!(number != 17 && number != 40),
            other => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(instance.log().await.len(), 48);
}

#[tokio::test]
async fn what_was_not_sent_before_its_deadline_is_never_appended() {
    let instance = Instance::on(&support::database_url().await).await;
    let hold = hold_the_log(&instance.pool).await;
    let blocker = append(&instance.appender, vec![reading(&new_course_id(), 0)]);
    let late = async {
        waits_for_a_lock(&instance.pool, 1).await;
        let deadline = Instant::now() + Duration::from_millis(50);
        let chain = vec![seat_event(&new_course_id(), 0, taken("late"))];
        let late = instance.appender.append(chain, deadline);
        let free = async {
            tokio::time::sleep_until(deadline).await;
            drop(hold);
        };
        join(late, free).await.0
    };
    let (_, late) = join(blocker, late).await;
    assert!(matches!(late, Err(AppendError::Expired)), "{late:?}");
    assert_eq!(instance.log().await.len(), 0);
}

#[tokio::test]
async fn without_a_database_a_deadline_is_kept_and_nothing_is_appended_later() {
    let url = support::database_url().await;
    let proxy = Proxy::before(&url).await;
    proxy.set(Mode::Refuse);
    let instance = Instance::with(support::pool(&url).await, &proxy.url, Duration::from_secs(1));
    let submit = |name: &str| {
        let deadline = Instant::now() + Duration::from_millis(200);
        let chain = vec![seat_event(&new_course_id(), 0, taken(name))];
        let appender = instance.appender.clone();
        async move {
            let answer = appender.append(chain, deadline);
            tokio::time::timeout(Duration::from_secs(20), answer).await.expect("no answer")
        }
    };
    let before = proxy.refusals();
    let first = submit("the first");
    let second = async {
        support::eventually("the first is being sent", async || proxy.refusals() > before).await;
        submit("the second").await
    };
    for outcome in <[_; 2]>::from(join(first, second).await) {
        assert!(matches!(outcome, Err(AppendError::Expired)), "{outcome:?}");
    }
    proxy.set(Mode::Pass);
    appended(&instance.appender, vec![seat_event(&new_course_id(), 0, taken("the third"))]).await;
    assert_eq!(instance.log().await.len(), 1);
}

#[tokio::test]
async fn a_connection_lost_after_the_commit_does_not_append_twice_or_hide_the_success() {
    let url = support::database_url().await;
    let (proxy, other) = (Proxy::before(&url).await, Instance::on(&url).await);
    let instance = Instance::with(other.pool.clone(), &proxy.url, Duration::from_mins(1));
    let course = new_course_id();
    appended(&instance.appender, vec![seat_event(&course, 0, taken("a"))]).await;
    proxy.set(Mode::CutAnswer);
    let chain = vec![reading(&course, 1), seat_event(&course, 1, taken("b"))];
    let again = async {
        support::eventually("the answer is cut off", async || proxy.cuts() == 1).await;
        // Meanwhile the log goes on, in the same stream too: the answer is still that of the first sending.
        appended(&other.appender, vec![seat_event(&course, 2, taken("c"))]).await;
        proxy.set(Mode::Pass);
    };
    let (appended, ()) = join(appended(&instance.appender, chain), again).await;
    assert_eq!(appended.positions.iter().map(|at| at.number).collect::<Vec<_>>(), [1, 2]);
    let log = instance.log().await;
    assert_eq!(log.len(), 3);
    assert_eq!(appended.recorded_at, log[1].recorded_at);
}

#[tokio::test]
async fn a_student_is_not_told_already_enrolled_for_a_success_of_their_own() {
    let url = support::database_url().await;
    let (proxy, pool) = (Proxy::before(&url).await, support::pool(&url).await);
    let instance = Instance::with(pool, &proxy.url, Duration::from_mins(1));
    let course = instance.published("RUST-101", Some(5)).await;
    for (number, student) in ["s1", "s2", "s3"].iter().enumerate() {
        proxy.set(Mode::CutAnswer);
        let again = async {
            support::eventually("an answer is cut off", async || proxy.cuts() == number + 1).await;
            proxy.set(Mode::Pass);
        };
        let (answer, ()) = join(instance.enroll(&course, student, false), again).await;
        assert_eq!(answer.unwrap().enrollment().unwrap().version, 1);
    }
    let taken = instance.log().await.into_iter().filter(|event| event.event.name() == "SeatTaken");
    assert_eq!(taken.count(), 3);
}

#[tokio::test]
async fn the_log_goes_on_although_every_connection_is_killed_in_between() {
    let instance = Instance::on(&support::database_url().await).await;
    let course = new_course_id();
    for version in 0..5 {
        appended(&instance.appender, vec![seat_event(&course, version, taken("a"))]).await;
        let kill = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                    WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::query(kill).execute(&instance.pool).await.unwrap();
    }
    assert_eq!(instance.log().await.len(), 5);
}

#[tokio::test]
async fn a_client_that_vanishes_with_the_lock_in_its_hand_stops_the_others_for_ten_seconds_at_most()
{
    let url = support::database_url().await;
    let instance = Instance::on(&url).await;
    let Some(_silent) = hold_the_lock_and_fall_silent(&url).await else {
        eprintln!("skipped: the database asks for a password, and the test's own client has none");
        return;
    };
    let began = Clock::now();
    appended(&instance.appender, vec![seat_event(&new_course_id(), 0, taken("a"))]).await;
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(2), "nobody held the lock");
    assert!(waited < Duration::from_secs(20), "{waited:?}");
}

/// Executes the append without a Sync, so that its transaction stays open, and keeps the socket.
async fn hold_the_lock_and_fall_silent(url: &str) -> Option<TcpStream> {
    let options: PgConnectOptions = url.parse().unwrap();
    let mut socket = TcpStream::connect((options.get_host(), options.get_port())).await.unwrap();
    let mut startup = 196_608_i32.to_be_bytes().to_vec();
    let database = options.get_database().unwrap();
    for text in ["user", options.get_username(), "database", database, ""] {
        startup.extend(text.as_bytes());
        startup.push(0);
    }
    socket.write_all(&framed(None, &startup)).await.unwrap();
    loop {
        match message(&mut socket).await {
            (b'R', body) if body != [0; 4] => return None,
            (b'Z', _) => break,
            _ => (),
        }
    }
    let nothing = ", '{}'".repeat(22);
    let parse = format!("\0SELECT * FROM append_to_log(false{nothing})\0\0\0");
    let mut sent = framed(Some(b'P'), parse.as_bytes());
    sent.extend(framed(Some(b'B'), &[0; 8])); // unnamed portal and statement; no formats, no parameters
    sent.extend(framed(Some(b'E'), &[0; 5])); // unnamed portal; all rows
    sent.extend(framed(Some(b'H'), &[]));
    socket.write_all(&sent).await.unwrap();
    loop {
        match message(&mut socket).await {
            (b'C', _) => return Some(socket),
            (b'E', body) => panic!("{}", String::from_utf8_lossy(&body)),
            _ => (),
        }
    }
}

fn framed(kind: Option<u8>, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap();
    let mut bytes: Vec<u8> = kind.into_iter().collect();
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes
}

async fn message(socket: &mut TcpStream) -> (u8, Vec<u8>) {
    let kind = socket.read_u8().await.unwrap();
    let length = usize::try_from(socket.read_i32().await.unwrap()).unwrap();
    let mut body = vec![0; length - 4];
    socket.read_exact(&mut body).await.unwrap();
    (kind, body)
}

#[tokio::test]
async fn an_append_that_would_read_an_old_snapshot_is_refused() {
    let url = support::database_url().await;
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.options([("default_transaction_isolation", "repeatable\\ read")]);
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let (appender, task) = Appender::new(pool.clone(), Head::default());
    tokio::spawn(task);
    let outcome = append(&appender, vec![seat_event(&new_course_id(), 0, taken("a"))]).await;
    let Err(AppendError::Rejected(error)) = outcome else { panic!("{outcome:?}") };
    assert!(error.to_string().contains("READ COMMITTED"), "{error}");
    assert_eq!(whole_log(&support::pool(&url).await).await.len(), 0);
}

#[tokio::test]
async fn an_event_that_is_not_known_stops_a_reader_and_is_never_skipped() {
    let instance = Instance::on(&support::database_url().await).await;
    let course = new_course_id();
    for version in 0..3 {
        appended(&instance.appender, vec![seat_event(&course, version, taken("a"))]).await;
    }
    let paint = r#"UPDATE events SET event_type = 'SeatPainted', payload = '{"SeatPainted": {}}' WHERE position = 2"#;
    sqlx::query(paint).execute(&instance.pool).await.unwrap();
    for _ in 0..2 {
        let before = log::read_after(&instance.pool, 0, 100).await.unwrap();
        assert_eq!(before.len(), 1);
        let stopped = log::read_after(&instance.pool, 1, 100).await;
        assert!(
            matches!(&stopped, Err(ReadError::Undecodable { position: 2, kind, .. }) if kind == "SeatPainted"),
            "{stopped:?}"
        );
    }
    let loaded = Streams::new(instance.pool.clone()).load::<Seats>(course.as_str()).await;
    assert!(loaded.is_err());
}

#[tokio::test]
async fn a_reader_gets_whole_commands_only() {
    let instance = Instance::on(&support::database_url().await).await;
    let course = new_course_id();
    for version in [0, 3, 6] {
        let events = vec![taken("a"), taken("b"), taken("c")];
        appended(&instance.appender, vec![seat_events(&course, version, events)]).await;
    }
    for (limit, expected) in [(3, 3), (4, 3), (5, 3), (6, 6), (8, 6), (9, 9), (99, 9)] {
        let events = log::read_after(&instance.pool, 0, limit).await.unwrap();
        assert_eq!(events.len(), expected, "limit {limit}");
        assert!(events.last().unwrap().last_of_command);
        let ends = events.iter().filter(|event| event.last_of_command).count();
        assert_eq!(ends, expected / 3);
    }
}

#[tokio::test]
async fn the_tools_of_cqrs_es_read_our_log() {
    let instance = Instance::on(&support::database_url().await).await;
    let course = instance.published("RUST-101", Some(2)).await;
    instance.enroll(&course, "s1", false).await.unwrap();
    let repository = PostgresEventRepository::new(instance.pool.clone());
    let stored = repository.get_events::<Course>(course.as_str()).await.unwrap();
    assert_eq!(stored.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2]);
    let last = repository.get_last_events::<Seats>(course.as_str(), 2).await.unwrap();
    assert_eq!(last.len(), 1);
    let store = PersistedEventStore::<_, Seats>::new_event_store(repository);
    let events = store.load_events(course.as_str()).await.unwrap();
    assert_eq!(events.len(), 3);
    let mut context = store.load_aggregate(course.as_str()).await.unwrap();
    assert_eq!(context.current_sequence, 3);
    assert_eq!((context.aggregate().taken, context.aggregate().capacity), (1, Some(2)));
}

#[tokio::test]
async fn the_framework_of_cqrs_es_decides_on_our_log_but_cannot_write_past_the_append() {
    let instance = Instance::on(&support::database_url().await).await;
    let course = instance.published("RUST-101", Some(2)).await;
    let repository = PostgresEventRepository::new(instance.pool.clone());
    let store = PersistedEventStore::<_, Course>::new_event_store(repository);
    let framework = CqrsFramework::new(store, vec![], ());
    let command = |action| CourseCommand { actor: instructor(), expected_version: None, action };
    let refused = framework.execute(
        course.as_str(),
        command(CourseAction::AddModule {
            module_id: ModuleId::from_uuid(Uuid::now_v7()),
            title: String::new(),
            summary: None,
            position: None,
        }),
    );
    assert!(matches!(refused.await, Err(cqrs_es::AggregateError::UserError(_))));
    framework.execute(course.as_str(), command(CourseAction::Publish)).await.unwrap(); // published already
    let before = instance.log().await.len();
    let delete = CourseAction::Delete { force: true, reason: None, seats_taken: 0 };
    framework.execute(course.as_str(), command(delete)).await.unwrap_err();
    assert_eq!(instance.log().await.len(), before);
    let first = instance.log().await.remove(0);
    assert!(matches!(first.event, Event::Course(CourseEvent::CourseCreated { .. })));
}

#[tokio::test]
async fn the_appender_ends_when_nobody_can_ask_it_any_more() {
    let url = support::database_url().await;
    let (appender, task) = Appender::new(appender_pool(&url).unwrap(), Head::default());
    let task = tokio::spawn(task);
    appended(&appender, vec![seat_event(&new_course_id(), 0, taken("a"))]).await;
    drop(appender);
    task.await.unwrap();
}

//! What was asked and acknowledged, and the account that is drawn up at the end: the log, the topics, the messages of
//! others, the read models and the seats, each against what the world was told.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use course_service::domain::course::CourseEvent;
use course_service::domain::enrollment::{EnrollmentEvent, Via};
use course_service::domain::user::{Sealed, UserEvent};
use course_service::domain::{CourseId, Event, UserId};
use course_service::event_store::personal::{PersonalField, find_keys};
use course_service::event_store::{Position, Recorded};
use course_service::kafka::client::Connection;
use course_service::kafka::inbound::report::report;
use serde_json::Value;
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use super::messages::{grade_fact, last_name};
use super::world::World;
use crate::process::PATIENCE;
use crate::records::{
    assert_published_once, assert_whole, dead_letters, published, records, whole_log,
};
use crate::support::eventually;
use crate::told::Told;

/// How long `verify` may take: a long run leaves hundreds of thousands of events.
const VERIFY_PATIENCE: Duration = Duration::from_mins(10);

/// See the module. A *fact* is a sentence that can become true only once.
#[derive(Default)]
pub(super) struct Ledger {
    facts: Mutex<Facts>,
    unanswered: AtomicU64,
    turned_away: AtomicU64,
    /// Records that Kafka has, and the different messages among them.
    records: AtomicU64,
    messages: AtomicU64,
}

#[derive(Default)]
struct Facts {
    asked: HashSet<String>,
    /// With the position that the answer named.
    acknowledged: HashMap<String, Position>,
    /// What messages of others say.
    told: HashSet<String>,
    /// Where Kafka says that it has records of them.
    places: HashMap<String, String>,
}

impl Ledger {
    /// Somebody wants these to become true.
    pub(super) fn asked(&self, facts: &[String]) {
        self.facts.lock().unwrap().asked.extend(facts.iter().cloned());
    }

    /// An answer says that they have been true for a while.
    pub(super) fn confirm(&self, facts: &[String]) {
        let some_time = Position { epoch: i32::MAX, number: i64::MAX };
        let mut known = self.facts.lock().unwrap();
        known.acknowledged.extend(facts.iter().map(|fact| (fact.clone(), some_time)));
    }

    /// An answer says that they are true.
    pub(super) fn acknowledge(&self, facts: &[String], payload: &Value) {
        let position: Position = payload["position"].as_str().unwrap().parse().unwrap();
        let mut known = self.facts.lock().unwrap();
        for fact in facts {
            let known = known.acknowledged.insert(fact.clone(), position);
            assert_eq!(known, None, "acknowledged twice: {fact}");
        }
    }

    /// Kafka says that it has a record of a message of others, and where.
    pub(super) fn kafka_has(&self, place: &str, fact: Option<&String>) {
        self.records.fetch_add(1, Ordering::Relaxed);
        let fact = fact.cloned().unwrap_or_default();
        let other = self.facts.lock().unwrap().places.insert(place.to_owned(), fact.clone());
        if let Some(other) = other {
            println!("Kafka says that it has two records at {place}: {fact}, {other}");
        }
    }

    /// A message of others was told, which counts as so many messages.
    pub(super) fn told(&self, fact: Option<String>, messages: u32) {
        self.facts.lock().unwrap().told.extend(fact);
        self.messages.fetch_add(messages.into(), Ordering::Relaxed);
    }

    /// An answer was lost.
    pub(super) fn unanswered(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// The service said that it cannot now.
    pub(super) fn turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// How many answers were lost, and how many said: not now.
    pub(super) fn without_an_answer(&self) -> (u64, u64) {
        (self.unanswered.load(Ordering::Relaxed), self.turned_away.load(Ordering::Relaxed))
    }

    /// How many facts are acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        self.facts.lock().unwrap().acknowledged.len()
    }
}

/// The account: what should be, and what is; and what else is worth knowing.
#[derive(Default)]
struct Account {
    rows: Vec<(String, u64, u64)>,
    notes: Vec<(String, u64)>,
}

impl Account {
    fn row(&mut self, what: &str, wanted: impl TryInto<u64>, found: impl TryInto<u64>) {
        let number = |value: Result<u64, _>| value.unwrap_or(u64::MAX);
        let wanted = number(wanted.try_into().map_err(drop));
        let found = number(found.try_into().map_err(drop));
        self.rows.push((what.to_owned(), wanted, found));
    }

    fn show(&self, title: &str) {
        println!("\n{title}\n{:<66}{:>12}{:>12}", "", "should be", "is");
        for (what, wanted, found) in &self.rows {
            let mark = if wanted == found { "" } else { "  <--" };
            println!("{what:<66}{wanted:>12}{found:>12}{mark}");
        }
        for (what, count) in &self.notes {
            println!("{what:<66}{count:>24}");
        }
        println!();
    }
}

/// Waits until all that was begun is done, and draws up the account. `broken` says what was broken, with how often.
pub(super) async fn settle(world: &World, ledger: &Ledger, title: &str, broken: &[(&str, u64)]) {
    at_rest(world).await;
    let World { settings, pool, .. } = world;
    let events = whole_log(pool).await;
    assert_whole(&events);
    let facts = std::mem::take(&mut *ledger.facts.lock().unwrap());
    let mut account = Account::default();

    let log = facts_of(&events);
    let wrong = |fact: &&String| {
        let told = facts.acknowledged[*fact];
        log.get(*fact).is_none_or(|(_, position)| *position > told)
    };
    let lost: Vec<&String> = facts.acknowledged.keys().filter(wrong).collect();
    let twice: Vec<&String> =
        log.iter().filter(|(_, (times, _))| *times > 1).map(|(fact, _)| fact).collect();
    let unheard = |fact: &&String| {
        !facts.asked.contains(*fact) && !facts.told.contains(*fact) && !fact.contains(" promoted ")
    };
    let ghosts: Vec<&String> = log.keys().filter(unheard).collect();
    let acknowledged = facts.acknowledged.len();
    account.row(
        "facts acknowledged, in the log where they said",
        acknowledged,
        acknowledged - lost.len(),
    );
    account.row("facts that are in the log twice", 0, twice.len());
    account.row("facts in the log that nobody asked for", 0, ghosts.len());

    let letters = dead_letter_texts(pool).await;
    let has = |fact: &String| match fact.strip_prefix("dead ") {
        Some(mark) => {
            letters.iter().filter(|letter| *letter == &format!("no JSON: {mark}")).count()
        }
        None => log.get(fact).map_or(0, |(times, _)| *times),
    };
    let missing: Vec<&String> = facts.told.iter().filter(|fact| has(fact) != 1).collect();
    let wanted = facts.told.len();
    account.row("effects of messages of others, each once", wanted, wanted - missing.len());
    let claims: i64 = scalar(pool, "SELECT count(*) FROM keys WHERE space = 'inbox'").await;
    let messages = ledger.messages.load(Ordering::Relaxed);
    account.row("messages of others, by their claims", messages, claims);
    let offsets = "SELECT coalesce(sum(next_offset), 0)::bigint FROM inbound_offsets";
    let records_in = ledger.records.load(Ordering::Relaxed);
    let read: i64 = scalar(pool, offsets).await;
    account.row("records of others that were passed, of those on the topics", records_in, read);
    account.row(
        "messages that still wait",
        0,
        scalar(pool, "SELECT count(*) FROM parked_messages").await,
    );
    let (names, last_names) = names(pool, &log).await;
    account.row("names that are the newest that was told", names, last_names);
    let videos = "SELECT count(*) FROM module_items_v2 WHERE video_id IS NOT NULL";
    let ready = "SELECT count(*) FROM module_items_v2 WHERE video::text LIKE '%cdn.example%'";
    account.row("videos that can be played", scalar(pool, videos).await, scalar(pool, ready).await);

    let found = records(&settings.brokers, &settings.prefix).await;
    let expected: usize = crate::records::expected(&events).values().map(Vec::len).sum();
    account.row("messages on the outgoing topics, once each", expected, found.len());
    let told = dead_letters(&settings.brokers, &settings.prefix).await;
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT id::text FROM dead_letters").fetch_all(pool).await.unwrap();
    let here = ids.iter().filter(|id| told.iter().filter(|told| told == id).count() == 1);
    account.row("dead letters on their topics, once each", ids.len(), here.count());
    account.row("records on those topics", ids.len(), told.len());

    let verified = settings.start(&["verify", "--json"]).finish(VERIFY_PATIENCE).await;
    let differences = verified.code.map_or(1, i64::from);
    account.row("log, read models and topics as `verify` finds them", 0, differences);
    let (lost_answers, turned_away) = ledger.without_an_answer();
    let length = u64::try_from(events.len()).unwrap();
    let notes = broken.iter().copied().chain([
        ("answers that were lost", lost_answers),
        ("answers that said: not now, try again", turned_away),
        ("events", length),
    ]);
    account.notes.extend(notes.map(|(what, count)| (what.to_owned(), count)));
    account.show(title);

    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(twice.is_empty(), "twice: {twice:?}");
    assert!(ghosts.is_empty(), "nobody asked for {ghosts:?}");
    for (place, fact) in &facts.places {
        if missing.contains(&fact) {
            println!("{place}: {fact}");
        }
    }
    assert!(missing.is_empty(), "without their effect, or with it twice: {missing:?}");
    assert_published_once(&events, &found);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    for (what, wanted, found) in &account.rows {
        assert_eq!(wanted, found, "{what}");
    }
    let promotions = check_seats(&events);
    println!(
        "the seats are exact at each of {} events; {promotions} promotions, in order",
        events.len()
    );
}

/// Waits until nothing is under way any more.
async fn at_rest(world: &World) {
    let World { settings, pool, .. } = world;
    let connection = Connection { brokers: settings.brokers.clone(), properties: Vec::new() };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = report(pool, &connection, &settings.prefix).await;
        if found.as_ref().is_ok_and(|found| found.values().all(|found| found.lag() == 0)) {
            break;
        }
        if Instant::now() > deadline {
            world.dump();
            panic!("messages of others are not read: {found:#?}");
        }
        sleep(Duration::from_millis(100)).await;
    }
    eventually("nothing waits any more", async || {
        scalar(pool, "SELECT count(*) FROM parked_messages").await == 0
            && scalar(pool, "SELECT (SELECT position FROM followers WHERE name = 'unpark') - position FROM log_head").await == 0
    })
    .await;
    eventually("the read models are at the end of the log", async || {
        scalar(pool, "SELECT count(*) FROM projections p, log_head h WHERE p.position < h.position")
            .await
            == 0
    })
    .await;
    published(pool, &settings.prefix).await;
    eventually("the dead letters are published", async || {
        let sql = "SELECT coalesce((SELECT max(number) FROM dead_letters), 0) \
                   - coalesce((SELECT position FROM bridge_progress WHERE lane = 'dead-letters'), 0)";
        scalar(pool, sql).await == 0
    })
    .await;
}

async fn scalar(pool: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

async fn dead_letter_texts(pool: &PgPool) -> Vec<String> {
    let values: Vec<Option<Vec<u8>>> =
        sqlx::query_scalar("SELECT value FROM dead_letters").fetch_all(pool).await.unwrap();
    let text = |value: Option<Vec<u8>>| String::from_utf8_lossy(&value.unwrap_or_default()).into();
    values.into_iter().map(text).collect()
}

/// How many students the log knows, and how many of them are called as they should be.
async fn names(pool: &PgPool, log: &BTreeMap<String, (usize, Position)>) -> (usize, usize) {
    let students: Vec<&str> = log.keys().filter_map(|fact| fact.strip_prefix("user ")).collect();
    let keys = find_keys(pool, &students).await.unwrap();
    let rows: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT user_id, display_name FROM users_v1").fetch_all(pool).await.unwrap();
    let right = rows.iter().filter(|(id, sealed)| {
        let user = UserId::parse(id, "id").unwrap();
        let sealed = Sealed(sealed.clone().unwrap_or_default());
        let key = keys.get(id);
        let name = key.and_then(|key| key.open(&user, PersonalField::DisplayName, &sealed));
        name.as_deref() == Some(&last_name(id))
    });
    (students.len(), right.count())
}

/// The facts of the log: how often they are there, and where first.
fn facts_of(events: &[Recorded]) -> BTreeMap<String, (usize, Position)> {
    let mut facts = BTreeMap::new();
    for event in events {
        let Some(fact) = fact(event) else { continue };
        facts.entry(fact).or_insert((0, event.position)).0 += 1;
    }
    facts
}

/// What an event says, in the words of the ledger.
fn fact(event: &Recorded) -> Option<String> {
    let course = || event.course.as_ref().map(ToString::to_string).unwrap_or_default();
    let course = course();
    Some(match &event.event {
        Event::Course(told) => match told {
            CourseEvent::CourseCreated { code, .. } => format!("{course} created {code}"),
            CourseEvent::CoursePublished {} => format!("{course} published"),
            CourseEvent::CourseDeleted { .. } => format!("{course} deleted"),
            CourseEvent::CourseDetailsChanged { title: Some(title), .. } => {
                format!("{course} renamed {title}")
            }
            CourseEvent::ModuleAdded { title, .. } => format!("{course} module {title}"),
            CourseEvent::ModuleDetailsChanged { title: Some(title), .. } => {
                format!("{course} module renamed {title}")
            }
            CourseEvent::ModuleItemAdded { title, .. } => format!("{course} item {title}"),
            CourseEvent::AssessmentAttached { assessment_id, .. } => {
                format!("assessment {assessment_id}")
            }
            _ => return None,
        },
        Event::Enrollment(told) => match told {
            EnrollmentEvent::StudentEnrolled { student_id, via: Via::Waitlist, .. } => {
                format!("{course} promoted {student_id}")
            }
            EnrollmentEvent::StudentEnrolled { student_id, .. }
            | EnrollmentEvent::StudentWaitlisted { student_id, .. } => {
                format!("{course} has {student_id}")
            }
            EnrollmentEvent::StudentWithdrawn { student_id, .. } => {
                format!("{course} left by {student_id}")
            }
            EnrollmentEvent::ModuleItemCompleted { student_id, .. } => {
                format!("{course} done by {student_id}")
            }
            EnrollmentEvent::SubmissionRecorded { submission_id, .. } => {
                format!("submission {submission_id}")
            }
            EnrollmentEvent::GradeRecorded { student_id, assessment_id, grade, .. }
            | EnrollmentEvent::GradeRevised { student_id, assessment_id, grade, .. } => {
                grade_fact(assessment_id.as_str(), student_id.as_str(), grade.graded_at)
            }
            EnrollmentEvent::EnrollmentCompleted { .. } => return None,
        },
        Event::User(UserEvent::UserRegistered { user_id, .. }) => format!("user {user_id}"),
        Event::User(_) | Event::Seats(_) => return None,
    })
}

/// Counts the seats of every course anew, event by event. How many were promoted.
fn check_seats(events: &[Recorded]) -> usize {
    let mut courses: HashMap<&CourseId, Told> = HashMap::new();
    let mut promotions = 0;
    for recorded in events {
        let Some(course) = &recorded.course else { continue };
        let told = courses.entry(course).or_default();
        told.hear(&recorded.event);
        if recorded.last_of_command {
            told.check();
        }
        let promoted = matches!(
            &recorded.event,
            Event::Enrollment(EnrollmentEvent::StudentEnrolled { via: Via::Waitlist, .. })
        );
        promotions += usize::from(promoted);
    }
    promotions
}

//! `kill -9` at any moment under load: what was acknowledged is there, nothing is there twice.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use course_service::domain::Event;
use course_service::domain::course::CourseEvent;
use course_service::domain::enrollment::{EnrollmentEvent, Via};
use course_service::event_store::{Position, Recorded};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::dice::{self, Dice};
use crate::process::{Client, Failure, PATIENCE, Settings};
use crate::records::{assert_published_once, assert_whole, published, records, whole_log};
use crate::support::pool;

const KILLS: u32 = 20;
const CLIENTS: u32 = 6;
/// Everybody wants to get into this one.
const HOT: &str = "hot";

/// What the clients were told: the fact, and how long the log was then.
type Ledger = Arc<Mutex<HashMap<String, Position>>>;

/// What an event says, in the words of the ledger. Each fact can be true only once.
fn fact(event: &Recorded) -> Option<String> {
    let course = event.course.as_ref()?;
    Some(match &event.event {
        Event::Course(CourseEvent::CourseCreated { code, .. }) => {
            format!("{course} created {code}")
        }
        Event::Course(CourseEvent::CoursePublished {}) => format!("{course} published"),
        Event::Course(CourseEvent::CourseDetailsChanged { title: Some(title), .. }) => {
            format!("{course} renamed {title}")
        }
        Event::Course(CourseEvent::ModuleAdded { title, .. }) => format!("{course} module {title}"),
        Event::Course(CourseEvent::ModuleDetailsChanged { title: Some(title), .. }) => {
            format!("{course} module renamed {title}")
        }
        Event::Enrollment(EnrollmentEvent::StudentEnrolled { student_id, via, .. }) => match via {
            Via::Waitlist => format!("{course} promoted {student_id}"),
            Via::Direct | Via::Reactivation => format!("{course} enrolled {student_id}"),
        },
        Event::Enrollment(EnrollmentEvent::StudentWaitlisted { student_id, .. }) => {
            format!("{course} waitlisted {student_id}")
        }
        Event::Enrollment(EnrollmentEvent::StudentWithdrawn { student_id, .. }) => {
            format!("{course} withdrawn {student_id}")
        }
        _ => return None,
    })
}

/// One of the clients.
struct Load {
    client: Client,
    url: watch::Receiver<Option<String>>,
    stop: watch::Receiver<bool>,
    ledger: Ledger,
}

impl Load {
    /// Sends one command until there is an answer from the service: the payload, or nothing for one that was refused or
    /// whose outcome will not be known. `repeatable` are commands that change nothing the second time.
    async fn send(
        &mut self,
        token: &str,
        name: &str,
        input: Value,
        selection: &str,
        repeatable: bool,
    ) -> Option<Value> {
        while !*self.stop.borrow() {
            let Some(url) = self.url.borrow_and_update().clone() else {
                let _ = timeout(Duration::from_millis(100), self.url.changed()).await;
                continue;
            };
            let client = self.client.at(&url);
            match client.try_mutate(token, name, input.clone(), selection).await {
                Ok(payload) if payload["userErrors"] == json!([]) => return Some(payload),
                Ok(_) => return None,
                Err(Failure::Errors(errors)) => {
                    assert_eq!(errors[0]["extensions"]["retryable"], true, "{name}: {errors}");
                }
                Err(Failure::NoAnswer) => {
                    // The process is gone; another comes at another address.
                    let _ = timeout(Duration::from_millis(100), self.url.changed()).await;
                }
            }
            if !repeatable {
                return None;
            }
        }
        None
    }

    fn acknowledged(&self, fact: String, payload: &Value) {
        let position: Position = payload["position"].as_str().unwrap().parse().unwrap();
        let known = self.ledger.lock().unwrap().insert(fact, position);
        assert_eq!(known, None, "acknowledged twice: {payload}");
    }

    /// One life of a course and its students.
    async fn round(&mut self, me: u32, round: u32) -> Option<()> {
        let course = format!("c-{me}-{round}");
        let ada = format!("instructor:ada-{me}");
        let publish = round.is_multiple_of(2);
        let code = course.to_uppercase();
        let input = json!({
            "id": course, "code": code, "title": "first", "capacity": 2, "publish": publish
        });
        // The second time its id is taken, by itself: then it is there, though nobody acknowledged it.
        if let Some(payload) = self.send(&ada, "createCourse", input, "", true).await {
            self.acknowledged(format!("{course} created {code}"), &payload);
            if publish {
                self.acknowledged(format!("{course} published"), &payload);
            }
        }
        for title in ["second", "third"] {
            let input = json!({ "courseId": course, "title": title });
            if let Some(payload) = self.send(&ada, "updateCourse", input, "", false).await {
                self.acknowledged(format!("{course} renamed {title}"), &payload);
            }
        }
        if !publish {
            let input = json!({ "courseId": course });
            if let Some(payload) = self.send(&ada, "publishCourse", input, "", false).await {
                self.acknowledged(format!("{course} published"), &payload);
            }
        }
        let input = json!({ "courseId": course, "title": "intro" });
        if let Some(payload) = self.send(&ada, "addModule", input, "module { id }", false).await {
            self.acknowledged(format!("{course} module intro"), &payload);
            let input = json!({
                "courseId": course, "moduleId": payload["module"]["id"], "title": "outro"
            });
            if let Some(payload) = self.send(&ada, "updateModule", input, "", false).await {
                self.acknowledged(format!("{course} module renamed outro"), &payload);
            }
        }
        for (course, students) in [(course.as_str(), 3), (HOT, 2)] {
            let mut first = None;
            for number in 0..students {
                let student = format!("s-{me}-{round}-{number}");
                let enrollment = self.enroll(course, &student).await;
                first = first.or(enrollment.map(|enrollment| (student, enrollment)));
            }
            if let Some((student, enrollment)) = first {
                let token = format!("student:{student}");
                let input = json!({ "enrollmentId": enrollment });
                let done = self.send(&token, "withdrawEnrollment", input, "", false).await;
                if let Some(payload) = done {
                    self.acknowledged(format!("{course} withdrawn {student}"), &payload);
                }
            }
        }
        (!*self.stop.borrow()).then_some(())
    }

    async fn enroll(&mut self, course: &str, student: &str) -> Option<String> {
        let token = format!("student:{student}");
        let input = json!({ "courseId": course });
        let selection = "enrollment { id }";
        let payload = self.send(&token, "enrollStudent", input, selection, true).await?;
        self.acknowledged(format!("{course} asked {student}"), &payload);
        Some(payload["enrollment"]["id"].as_str()?.to_owned())
    }
}

/// The rows of a read model, in an order of their own.
async fn rows(pool: &PgPool, view: &str) -> Vec<String> {
    let sql = format!("SELECT to_jsonb(t)::text FROM {view} t ORDER BY 1");
    sqlx::query_scalar(&sql).fetch_all(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_kills_it_nothing_acknowledged_is_lost_and_nothing_is_there_twice() {
    let mut dice = Dice::new(dice::seed("SURVIVAL_SEED"), 0);
    let began = Instant::now();

    let settings = Settings::new().await;
    let pool = pool(&settings.database_url).await;
    let (mut process, client) = settings.serve(&[]).await;
    let input = json!({ "id": HOT, "code": HOT, "title": HOT, "capacity": 40, "publish": true });
    client.mutate("instructor:ada", "createCourse", input, "").await;

    let (url_sender, url) = watch::channel(Some(client.url().to_owned()));
    let (stop_sender, stop) = watch::channel(false);
    let ledger = Ledger::default();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|me| {
            let (url, stop, ledger) = (url.clone(), stop.clone(), ledger.clone());
            let mut load = Load { client: client.clone(), url, stop, ledger };
            tokio::spawn(async move {
                for round in 0.. {
                    if load.round(me, round).await.is_none() {
                        return;
                    }
                }
            })
        })
        .collect();

    for kill in 0..KILLS {
        // Most die at work, some while they start.
        let life = Duration::from_millis(if dice.one_in(5) {
            dice.below(300).into()
        } else {
            (300 + dice.below(1_800)).into()
        });
        let end = Instant::now() + life;
        while Instant::now() < end {
            if let Some(url) = process.url_now() {
                url_sender.send_if_modified(|now| {
                    let url = Some(url);
                    let is_new = *now != url;
                    *now = url;
                    is_new
                });
            }
            assert!(process.is_running(), "it ended by itself\n{}", process.output());
            sleep(Duration::from_millis(10)).await;
        }
        process.kill().await;
        url_sender.send_replace(None);
        // The lease of the dead would end by itself after 6 s; mostly the test shall not take that long.
        if kill % 5 != 0 {
            sqlx::query("DELETE FROM leases").execute(&pool).await.unwrap();
        }
        process = settings.start(&["serve"]);
    }
    let client = Client::new(&process.url().await);
    client.ready().await;
    url_sender.send_replace(Some(client.url().to_owned()));
    // The last one works under load, too, before the load ends.
    let before = ledger.lock().unwrap().len();
    crate::support::eventually("the load goes on", async || {
        ledger.lock().unwrap().len() > before + 20
    })
    .await;
    stop_sender.send_replace(true);
    for client in clients {
        timeout(PATIENCE, client).await.unwrap().unwrap();
    }
    let killed = began.elapsed();

    published(&pool, &settings.prefix).await;
    let events = whole_log(&pool).await;
    assert_whole(&events);
    let ledger = std::mem::take(&mut *ledger.lock().unwrap());
    assert_remembered(&events, &ledger);

    let found = records(&settings.brokers, &settings.prefix).await;
    assert_published_once(&events, &found);

    for view in ["courses_v2", "modules_v2", "module_items_v2", "enrollments_v3"] {
        let live = rows(&pool, view).await;
        let rebuilt = settings.run(&["projections", "rebuild", view]).await;
        assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
        assert_eq!(live, rows(&pool, view).await, "{view} is not what the log says");
    }
    println!(
        "{} acknowledged, {} events, {} messages; {:.1} s under load, {:.1} s in all",
        ledger.len(),
        events.len(),
        found.len(),
        killed.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
}

/// Every acknowledged fact is in the log, where the acknowledgement said, and no fact twice.
fn assert_remembered(events: &[Recorded], ledger: &HashMap<String, Position>) {
    let mut log: BTreeMap<String, Position> = BTreeMap::new();
    let mut asked: BTreeMap<String, Position> = BTreeMap::new();
    let mut codes: BTreeMap<String, String> = BTreeMap::new();
    for event in events {
        let Some(fact) = fact(event) else { continue };
        for first in [" enrolled ", " waitlisted "] {
            if fact.contains(first) {
                let request = fact.replace(first, " asked ");
                let known = asked.insert(request, event.position);
                assert_eq!(known, None, "the log has it twice: {fact}");
            }
        }
        if let Event::Course(CourseEvent::CourseCreated { course_id, code, .. }) = &event.event {
            let known = codes.insert(code.clone(), course_id.to_string());
            assert_eq!(known, None, "two courses have the code {code}");
        }
        let known = log.insert(fact.clone(), event.position);
        assert_eq!(known, None, "the log has it twice: {fact}");
    }
    log.extend(asked);
    for (fact, told) in ledger {
        let position = log.get(fact);
        assert!(
            position.is_some_and(|position| position <= told),
            "acknowledged at {told:?}, in the log at {position:?}: {fact}"
        );
    }
    let hot: Vec<_> =
        events.iter().filter(|e| e.course.as_ref().is_some_and(|c| c.as_str() == HOT)).collect();
    let count = |wanted: fn(&EnrollmentEvent) -> bool| {
        let is = |e: &&&Recorded| matches!(&e.event, Event::Enrollment(event) if wanted(event));
        hot.iter().filter(is).count()
    };
    let enrolled = count(|event| matches!(event, EnrollmentEvent::StudentEnrolled { .. }));
    assert!(enrolled > 0, "nobody got into the hot course");
}

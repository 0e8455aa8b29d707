//! Clients that do all that clients do, and remember what they were told.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::ledger::Ledger;
use super::messages::{self, Sender};
use super::world::{Addresses, World};
use crate::dice::Dice;
use crate::process::{Client, Failure};

/// Everybody wants to get into this one.
pub(super) const HOT: &str = "hot";
/// How many clients there are, beside the one that moves the hot course about.
const CLIENTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(50);
/// How long the last round of a client may take.
const LAST_ROUND: Duration = Duration::from_mins(4);

/// A load that goes on until it is ended.
pub(super) struct Load {
    pub(super) ledger: Arc<Ledger>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Load {
    /// Begins. The hot course is there then. A client waits so long for an answer before it takes the instance for
    /// dead.
    pub(super) async fn start(world: &World, seed: u64, patience: Duration) -> Self {
        let ledger = Arc::<Ledger>::default();
        let stop = watch::Sender::new(false);
        let sender = Sender::new(&world.settings, &ledger);
        let caller = |me: u32| Caller {
            me,
            dice: Dice::new(seed, me),
            http: Client::with_patience("", patience),
            addresses: world.addresses(),
            ledger: ledger.clone(),
            keys: 0,
        };
        let input =
            json!({ "id": HOT, "code": HOT, "title": HOT, "capacity": 40, "publish": true });
        let mut first = caller(0);
        let facts = [format!("{HOT} created {HOT}"), format!("{HOT} published")];
        let create = ("createCourse", input, "");
        first.make(&facts, "instructor:ada-0", create, Repeat::Natural).await;
        let mut clients = JoinSet::new();
        for me in 1..=CLIENTS {
            let client = Attendant { caller: caller(me), sender: sender.clone() };
            clients.spawn(client.run(stop.subscribe()));
        }
        clients.spawn(dean(first, stop.subscribe()));
        Self { ledger, stop, clients }
    }

    /// Waits until so much more was acknowledged. Fails where a client has found something wrong.
    pub(super) async fn goes_on(&mut self, more: usize) {
        while let Some(ended) = self.clients.try_join_next() {
            ended.unwrap();
        }
        let before = self.ledger.acknowledged();
        crate::support::eventually("the load goes on", async || {
            self.ledger.acknowledged() >= before + more
        })
        .await;
    }

    /// Ends it: every client finishes what it is at.
    pub(super) async fn end(mut self) -> Arc<Ledger> {
        self.stop.send_replace(true);
        while let Some(ended) =
            timeout(LAST_ROUND, self.clients.join_next()).await.expect("the last rounds end")
        {
            ended.unwrap();
        }
        self.ledger
    }
}

/// What is done where no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// Nothing: whether it was done will not be known.
    Never,
    /// It is sent again with the same idempotency key.
    Keyed,
    /// It is sent again: done twice it would be refused.
    Natural,
}

/// What comes of a command.
enum Told {
    Done(Value),
    /// It was done at an earlier attempt, whose answer was lost.
    DoneBefore,
    Unknown,
}

/// Sends commands to whichever instance is there.
struct Caller {
    me: u32,
    dice: Dice,
    http: Client,
    addresses: Addresses,
    ledger: Arc<Ledger>,
    keys: u32,
}

impl Caller {
    async fn address(&mut self) -> String {
        loop {
            let there: Vec<String> =
                self.addresses.borrow_and_update().iter().flatten().cloned().collect();
            if !there.is_empty() {
                return there[self.dice.index(there.len())].clone();
            }
            let _ = timeout(Duration::from_secs(1), self.addresses.changed()).await;
        }
    }

    async fn send(
        &mut self,
        token: &str,
        name: &str,
        mut input: Value,
        selection: &str,
        repeat: Repeat,
    ) -> Told {
        if repeat == Repeat::Keyed {
            self.keys += 1;
            input["idempotencyKey"] = json!(format!("{}-{}", self.me, self.keys));
        }
        for attempt in 0.. {
            let address = self.address().await;
            let client = self.http.at(&address);
            match client.try_mutate(token, name, input.clone(), selection).await {
                Ok(payload) if payload["userErrors"] == json!([]) => return Told::Done(payload),
                Ok(payload) => {
                    let code = payload["userErrors"][0]["code"].as_str().unwrap().to_owned();
                    let again = attempt > 0
                        && repeat == Repeat::Natural
                        && ["COURSE_ID_TAKEN", "COURSE_CODE_TAKEN", "ALREADY_ENROLLED"]
                            .contains(&code.as_str());
                    assert!(again, "{name} {input} is refused at attempt {attempt}: {payload}");
                    return Told::DoneBefore;
                }
                Err(Failure::Errors(errors)) => {
                    let retryable = &errors[0]["extensions"]["retryable"];
                    assert_eq!(retryable, true, "{name}: {errors}");
                    self.ledger.turned_away();
                }
                Err(Failure::NoAnswer) => self.ledger.unanswered(),
            }
            if repeat == Repeat::Never {
                break;
            }
            sleep(PAUSE).await;
        }
        Told::Unknown
    }

    /// Sends a command that makes `facts` true, and remembers them where it is told so. The payload, if it is known.
    async fn make(
        &mut self,
        facts: &[String],
        token: &str,
        (name, input, selection): (&str, Value, &str),
        repeat: Repeat,
    ) -> Option<Value> {
        self.ledger.asked(facts);
        match self.send(token, name, input, selection, repeat).await {
            Told::Done(payload) => {
                self.ledger.acknowledge(facts, &payload);
                Some(payload)
            }
            Told::DoneBefore => {
                self.ledger.confirm(facts);
                None
            }
            Told::Unknown => None,
        }
    }

    /// Half of what changes something each time is sent again with a key.
    fn repeat(&mut self) -> Repeat {
        if self.dice.one_in(2) { Repeat::Keyed } else { Repeat::Never }
    }
}

/// Moves the seats of the hot course about.
async fn dean(mut caller: Caller, stop: watch::Receiver<bool>) {
    for number in 0.. {
        if *stop.borrow() {
            return;
        }
        let (title, capacity) = (format!("{HOT} {number}"), 20 + caller.dice.below(60));
        let facts = [format!("{HOT} renamed {title}")];
        let input = json!({ "courseId": HOT, "title": title, "capacity": capacity });
        let repeat = caller.repeat();
        caller.make(&facts, "instructor:ada-0", ("updateCourse", input, ""), repeat).await;
        sleep(PAUSE * 4).await;
    }
}

/// A client with courses of its own, and the services that tell about them.
struct Attendant {
    caller: Caller,
    sender: Sender,
}

impl Attendant {
    async fn run(mut self, stop: watch::Receiver<bool>) {
        let mut messengers = JoinSet::new();
        for round in 0.. {
            if *stop.borrow() {
                break;
            }
            let mark = format!("{}-{round}", self.caller.me);
            let course = format!("c-{mark}");
            let students: Vec<String> = (0..3).map(|number| format!("s-{mark}-{number}")).collect();
            let messages = messages::about(&course, &mark, &students, &mut self.caller.dice);
            messengers.spawn(self.sender.clone().tell(messages));
            self.round(round, &mark, &course, &students).await;
        }
        while let Some(told) = messengers.join_next().await {
            told.unwrap();
        }
    }

    /// One life of a course and its students.
    async fn round(&mut self, round: u32, mark: &str, course: &str, students: &[String]) {
        let ada = format!("instructor:ada-{}", self.caller.me);
        let publish = round.is_multiple_of(2);
        let code = course.to_uppercase();
        let mut facts = vec![format!("{course} created {code}")];
        facts.extend(publish.then(|| format!("{course} published")));
        let input = json!({
            "id": course, "code": code, "title": "first", "capacity": 2, "publish": publish
        });
        let create = ("createCourse", input, "");
        self.caller.make(&facts, &ada, create, Repeat::Natural).await;
        for title in ["second", "third"] {
            let input = json!({ "courseId": course, "title": title });
            let facts = [format!("{course} renamed {title}")];
            let repeat = self.caller.repeat();
            self.caller.make(&facts, &ada, ("updateCourse", input, ""), repeat).await;
        }
        if !publish {
            let facts = [format!("{course} published")];
            let input = json!({ "courseId": course });
            // Done twice it changes nothing; students need it.
            self.caller.make(&facts, &ada, ("publishCourse", input, ""), Repeat::Keyed).await;
        }
        let item = self.module(&ada, mark, course).await;
        for (course, students) in [(course, students), (HOT, &students[..2])] {
            self.students(course, students, item.as_deref().filter(|_| course != HOT)).await;
        }
        if round.is_multiple_of(3) {
            self.short_life(&ada, mark).await;
        }
    }

    /// A module with a video; the video's item.
    async fn module(&mut self, ada: &str, mark: &str, course: &str) -> Option<String> {
        let facts = [format!("{course} module intro")];
        let input = json!({ "courseId": course, "title": "intro" });
        let repeat = self.caller.repeat();
        let add = ("addModule", input, "module { id }");
        let module = self.caller.make(&facts, ada, add, repeat).await?;
        let module = &module["module"]["id"];
        let facts = [format!("{course} module renamed outro")];
        let input = json!({ "courseId": course, "moduleId": module, "title": "outro" });
        let repeat = self.caller.repeat();
        self.caller.make(&facts, ada, ("updateModule", input, ""), repeat).await;
        let facts = [format!("{course} item clip")];
        let input = json!({
            "courseId": course, "moduleId": module, "kind": "VIDEO", "title": "clip",
            "videoId": format!("v-{mark}")
        });
        let repeat = self.caller.repeat();
        let add = ("addModuleItem", input, "moduleItem { id }");
        let item = self.caller.make(&facts, ada, add, repeat).await?;
        Some(item["moduleItem"]["id"].as_str()?.to_owned())
    }

    async fn students(&mut self, course: &str, students: &[String], item: Option<&str>) {
        let mut first = None;
        for student in students {
            let token = format!("student:{student}");
            let facts = [format!("{course} has {student}")];
            let input = json!({ "courseId": course });
            let enroll = ("enrollStudent", input, "enrollment { id status }");
            // Who leaves again needs a key: an instance that hangs may still do the first attempt after that.
            let repeat = if first.is_none() { Repeat::Keyed } else { Repeat::Natural };
            let told = self.caller.make(&facts, &token, enroll, repeat).await;
            let Some(enrollment) = told.map(|payload| payload["enrollment"].clone()) else {
                continue;
            };
            if let Some(item) = item
                && enrollment["status"] == "ACTIVE"
            {
                let facts = [format!("{course} done by {student}")];
                let input = json!({ "courseId": course, "moduleItemId": item });
                let repeat = self.caller.repeat();
                self.caller.make(&facts, &token, ("completeModuleItem", input, ""), repeat).await;
            }
            first.get_or_insert((token, student, enrollment["id"].clone()));
        }
        if let Some((token, student, enrollment)) = first {
            let facts = [format!("{course} left by {student}")];
            let input = json!({ "enrollmentId": enrollment });
            let repeat = self.caller.repeat();
            self.caller.make(&facts, &token, ("withdrawEnrollment", input, ""), repeat).await;
        }
    }

    /// A course that is created and deleted.
    async fn short_life(&mut self, ada: &str, mark: &str) {
        let course = format!("d-{mark}");
        let code = course.to_uppercase();
        let facts = [format!("{course} created {code}")];
        let input = json!({ "id": course, "code": code, "title": "short" });
        self.caller.make(&facts, ada, ("createCourse", input, ""), Repeat::Natural).await;
        let facts = [format!("{course} deleted")];
        let input = json!({ "courseId": course });
        let repeat = self.caller.repeat();
        self.caller.make(&facts, ada, ("deleteCourse", input, ""), repeat).await;
    }
}

//! A registration rush: 10,000 students want 500 seats, over three instances, while seats come and go.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use course_service::domain::enrollment::{EnrollmentEvent, EnrollmentStatus, Via};
use course_service::domain::{Event, UserId};
use course_service::event_store::Recorded;
use futures::StreamExt;
use serde_json::{Value, json};

use super::world::{ALL_ROLES, World};
use super::{alone, seed};
use crate::dice::Dice;
use crate::process::{Client, Settings};
use crate::records::{assert_published_once, assert_whole, published, records, whole_log};
use crate::told::Told;

const STUDENTS: u32 = 10_000;
const SEATS: u32 = 500;
/// How many students ask at the same time.
const AT_ONCE: usize = 96;
const COURSE: &str = "rush";
const ADA: &str = "instructor:ada";
/// The whole course is looked at behind so many commands, and each event's own rules at each.
const LOOK_EVERY: usize = 1_000;

struct Rush {
    clients: Vec<Client>,
    /// What each student was told last: the status, and the version of the enrollment.
    answers: Mutex<BTreeMap<String, (String, u64)>>,
    over: AtomicBool,
    withdrawals: AtomicU64,
}

impl Rush {
    async fn mutate(&self, dice: &mut Dice, token: &str, name: &str, input: Value) -> Value {
        let client = &self.clients[dice.index(self.clients.len())];
        let selection =
            if name == "updateCourse" { "" } else { "enrollment { id status version }" };
        client.mutate(token, name, input, selection).await
    }

    fn told(&self, student: &str, payload: &Value) {
        let enrollment = &payload["enrollment"];
        let status = enrollment["status"].as_str().unwrap().to_owned();
        let version = enrollment["version"].as_u64().unwrap();
        self.answers.lock().unwrap().insert(student.to_owned(), (status, version));
    }

    /// Enrolls; one in four leaves again, and half of those come back.
    async fn student(&self, number: u32, mut dice: Dice) {
        let student = format!("s{number:05}");
        let token = format!("student:{student}");
        let enroll = || json!({ "courseId": COURSE });
        let payload = self.mutate(&mut dice, &token, "enrollStudent", enroll()).await;
        self.told(&student, &payload);
        if !dice.one_in(4) {
            return;
        }
        let leave = json!({ "enrollmentId": payload["enrollment"]["id"] });
        let payload = self.mutate(&mut dice, &token, "withdrawEnrollment", leave).await;
        self.told(&student, &payload);
        self.withdrawals.fetch_add(1, Ordering::Relaxed);
        if dice.one_in(2) {
            let payload = self.mutate(&mut dice, &token, "enrollStudent", enroll()).await;
            self.told(&student, &payload);
        }
    }

    /// Everybody was told what the log says; since then they were only promoted.
    fn assert_told(&self, told: &Told) {
        let answers = self.answers.lock().unwrap();
        assert_eq!(answers.len(), STUDENTS as usize);
        for (student, (status, version)) in &*answers {
            let student = UserId::parse(student, "id").unwrap();
            let version = usize::try_from(*version).unwrap();
            let (before, since) = told.enrollments[&student].split_at(version);
            let then = before.last().unwrap().status;
            assert_eq!(then.as_str(), status, "{student} was told otherwise");
            let promoted = since.iter().all(|state| state.status == EnrollmentStatus::Active);
            assert!(promoted && since.len() <= 1, "{student}: {since:?}");
        }
    }

    /// Changes the capacity until the rush is over. How often.
    async fn dean(&self, mut dice: Dice) -> u64 {
        let mut changes = 0;
        while !self.over.load(Ordering::SeqCst) {
            let capacity = SEATS / 2 + dice.below(SEATS / 2);
            let input = json!({ "courseId": COURSE, "capacity": capacity });
            self.mutate(&mut dice, ADA, "updateCourse", input).await;
            changes += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let input = json!({ "courseId": COURSE, "capacity": SEATS });
        self.mutate(&mut dice, ADA, "updateCourse", input).await;
        changes
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_students_get_five_hundred_seats_in_the_order_in_which_they_came() {
    let _alone = alone().await;
    let seed = seed();
    // Where the machine is slow, it is not the students' fault.
    let settings = Settings::new().await.with("COMMAND_TIMEOUT_MS", "60000");
    let settings = settings.with("GRAPHQL_TIMEOUT_MS", "60000");
    let direct = settings.database_url.clone();
    let mut world = World::new(settings, &direct, &[ALL_ROLES; 3]).await;
    world.start_all().await;
    let rush = Rush {
        clients: (0..3).map(|which| world.client(which)).collect(),
        answers: Mutex::default(),
        over: AtomicBool::new(false),
        withdrawals: AtomicU64::new(0),
    };
    let input = json!({
        "id": COURSE, "code": COURSE, "title": COURSE, "capacity": SEATS, "publish": true
    });
    rush.clients[0].mutate(ADA, "createCourse", input, "").await;
    let began = std::time::Instant::now();
    let students = async {
        futures::stream::iter(0..STUDENTS)
            .map(|number| rush.student(number, Dice::new(seed, number)))
            .buffer_unordered(AT_ONCE)
            .for_each(async |()| ())
            .await;
        rush.over.store(true, Ordering::SeqCst);
    };
    let ((), changes) = futures::future::join(students, rush.dean(Dice::new(seed, STUDENTS))).await;
    let seconds = began.elapsed().as_secs_f64();

    let events = whole_log(&world.pool).await;
    assert_whole(&events);
    let counted = Counted::of(&events);
    assert_eq!(counted.told.seated.len(), SEATS as usize, "a seat is free while somebody waits");
    rush.assert_told(&counted.told);
    published(&world.pool, &world.settings.prefix).await;
    let found = records(&world.settings.brokers, &world.settings.prefix).await;
    assert_published_once(&events, &found);
    let verified = world.settings.run(&["verify"]).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let Counted { told, commands, most, promotions } = counted;
    println!(
        "\nRegistration rush: {STUDENTS} students, {SEATS} seats, three instances\n\
         {commands} commands in {seconds:.1} s: {} withdrawals, {changes} changes of the capacity, {promotions} \
         promotions; at most {most} seats taken, {} still wait; {} messages on the topics",
        rush.withdrawals.load(Ordering::Relaxed),
        told.line.len(),
        found.len()
    );
}

/// What the log says came of the rush.
struct Counted {
    told: Told,
    commands: usize,
    /// The most seats that were taken at once.
    most: usize,
    promotions: usize,
}

impl Counted {
    /// Reads the log event by event: nobody is admitted without a seat or out of turn, and none is idle.
    fn of(events: &[Recorded]) -> Self {
        let mut counted = Self { told: Told::default(), commands: 0, most: 0, promotions: 0 };
        for recorded in events.iter().filter(|recorded| recorded.course.is_some()) {
            let told = &mut counted.told;
            told.hear(&recorded.event);
            counted.most = counted.most.max(told.seated.len());
            if recorded.last_of_command {
                counted.commands += 1;
                if counted.commands.is_multiple_of(LOOK_EVERY) {
                    told.check();
                }
            }
            if let Event::Enrollment(EnrollmentEvent::StudentEnrolled {
                via: Via::Waitlist, ..
            }) = &recorded.event
            {
                counted.promotions += 1;
            }
        }
        counted.told.check();
        assert!(counted.most <= SEATS as usize, "{} of {SEATS} seats were taken", counted.most);
        counted
    }
}

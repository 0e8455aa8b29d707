//! A registration rush over three instances while the course itself is moved about: the log is read event by event
//! afterwards, with nothing of the service but its events, and every answer is held against it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use course_service::commands::{Answer, CommandError, State};
use course_service::domain::course::{CourseAction, CoursePatch, CourseStatus, ItemKind, NewItem};
use course_service::domain::enrollment::{EnrollmentEvent, EnrollmentStatus, Via};
use course_service::domain::values::Patch;
use course_service::domain::{CourseId, Event, ItemId, ModuleId, Refusal, UserId};
use course_service::event_store::Recorded;
use futures::StreamExt;
use futures::future::join3;

use crate::dice::{self, Dice};
use crate::instance::{Instance, new_course_id, refusal, student_named};
use crate::support;
use crate::told::Told;

const STUDENTS: u32 = 200;
/// How many students ask at the same time.
const AT_ONCE: usize = 48;

#[derive(Debug, Clone, PartialEq)]
enum Asked {
    Enroll { student: UserId, join_waitlist: bool },
    Withdraw { student: UserId },
    Course(CourseAction),
}

/// A command and its answer, which is true at a position from `from` to `to`.
#[derive(Debug)]
struct Heard {
    course: CourseId,
    asked: Asked,
    from: i64,
    to: i64,
    answer: Result<State, Refusal>,
}

struct Rush {
    instances: Vec<Instance>,
    /// The last position that any answer told.
    told: AtomicI64,
    heard: Mutex<Vec<Heard>>,
    over: AtomicBool,
}

impl Rush {
    async fn ask(&self, instance: u32, course: &CourseId, asked: Asked) -> Result<(), Refusal> {
        let instance = &self.instances[instance as usize % self.instances.len()];
        let from = self.told.load(Ordering::SeqCst);
        let result: Result<Answer, CommandError> = match asked.clone() {
            Asked::Enroll { student, join_waitlist } => {
                instance.enroll(course, student.as_str(), join_waitlist).await
            }
            Asked::Withdraw { student } => instance.withdraw(course, student.as_str()).await,
            Asked::Course(action) => instance.course(course, None, action).await,
        };
        let (to, answer) = match result {
            Ok(answer) => {
                self.told.fetch_max(answer.position.number, Ordering::SeqCst);
                (answer.position.number, Ok(answer.state))
            }
            refused => (self.head().await, Err(refusal(refused))),
        };
        let outcome = answer.as_ref().map(|_| ()).map_err(Clone::clone);
        let heard = Heard { course: course.clone(), asked, from, to, answer };
        self.heard.lock().unwrap().push(heard);
        outcome
    }

    async fn head(&self) -> i64 {
        let head = sqlx::query_scalar("SELECT position FROM log_head");
        head.fetch_one(&self.instances[0].pool).await.unwrap()
    }

    async fn change(
        &self,
        instance: u32,
        course: &CourseId,
        action: CourseAction,
    ) -> Result<(), Refusal> {
        self.ask(instance, course, Asked::Course(action)).await
    }

    /// A student enrolls, withdraws and enrolls again, each time wherever they happen to be connected to.
    async fn student(&self, number: u32, mut dice: Dice, courses: &[CourseId; 2]) {
        let student = student_named(&format!("s{number}")).id;
        for _ in 0..3 + dice.below(3) {
            let course = &courses[usize::from(dice.one_in(4))];
            let asked = if dice.one_in(3) {
                Asked::Withdraw { student: student.clone() }
            } else {
                let join_waitlist = !dice.one_in(4);
                Asked::Enroll { student: student.clone(), join_waitlist }
            };
            let _ = self.ask(dice.below(3), course, asked).await;
        }
    }

    /// Seats come and go, the course is archived and restored, and nobody loses a seat by an attempt to unpublish it.
    async fn dean(&self, mut dice: Dice, course: &CourseId) {
        let mut turns = 0;
        while turns < 20 || !self.over.load(Ordering::SeqCst) {
            turns += 1;
            let capacity = i64::from(dice.below(90));
            let action = match dice.below(8) {
                0 => CourseAction::Unpublish { seats_taken: 0, waiting: 0 },
                1 => CourseAction::Archive,
                2 | 3 => CourseAction::Restore,
                4 => CourseAction::Publish,
                _ => with_capacity(Some(capacity)),
            };
            let _ = self.change(dice.below(3), course, action).await;
        }
    }

    /// The content of the course changes, and the other course is deleted although its seats are taken.
    async fn editor(&self, mut dice: Dice, [course, other]: &[CourseId; 2]) {
        let module_id = ModuleId::from_uuid(uuid::Uuid::now_v7());
        let module = CourseAction::AddModule {
            module_id: module_id.clone(),
            title: "Module".to_owned(),
            summary: None,
            position: None,
        };
        self.change(0, course, module).await.unwrap();
        let mut turns = 0;
        while turns < 60 && (turns < 12 || !self.over.load(Ordering::SeqCst)) {
            turns += 1;
            if turns == 8 {
                let _ = self.change(1, other, delete(false)).await; // refused while seats are taken
                self.change(2, other, delete(true)).await.unwrap();
            }
            let item = NewItem {
                id: ItemId::from_uuid(uuid::Uuid::now_v7()),
                kind: ItemKind::Page,
                title: format!("Page {turns}"),
                required: true,
                position: Some(0),
                url: None,
                video_id: None,
                assessment_id: None,
            };
            let add = CourseAction::AddItem {
                module_id: module_id.clone(),
                item: Box::new(item),
                video: None,
            };
            self.change(dice.below(3), course, add).await.unwrap();
        }
    }
}

fn with_capacity(capacity: Option<i64>) -> CourseAction {
    let capacity = capacity.map_or(Patch::Clear, Patch::Set);
    let patch = Box::new(CoursePatch { capacity, ..CoursePatch::default() });
    CourseAction::Update { patch, code_owner: None }
}

fn delete(force: bool) -> CourseAction {
    CourseAction::Delete { force, reason: None, seats_taken: 0 }
}

fn unpublish() -> CourseAction {
    CourseAction::Unpublish { seats_taken: 0, waiting: 0 }
}

impl Told {
    /// Whether this refusal is true as things stand.
    fn justifies(&self, asked: &Asked, refusal: &Refusal) -> bool {
        let taken = u32::try_from(self.seated.len()).unwrap();
        let waits = u32::try_from(self.line.len()).unwrap();
        match (asked, refusal) {
            (Asked::Enroll { student, .. }, Refusal::AlreadyEnrolled) => {
                self.seated.contains(student) || self.line.contains(student)
            }
            (Asked::Enroll { .. }, Refusal::CourseNotPublished) => !self.open,
            (Asked::Enroll { .. }, Refusal::EnrollmentClosed) => {
                self.open && self.capacity == Some(0)
            }
            (Asked::Enroll { join_waitlist, .. }, Refusal::CourseFull) => {
                self.open && !join_waitlist && (!self.has_room() || !self.line.is_empty())
            }
            (Asked::Withdraw { student }, Refusal::NotFound { object: "enrollment", .. }) => {
                self.status(student) == EnrollmentStatus::Missing
            }
            (
                Asked::Course(CourseAction::Unpublish { .. }),
                Refusal::SeatsInUse { taken: told, waiting },
            ) => self.open && (taken, waits) == (*told, *waiting),
            (
                Asked::Course(CourseAction::Delete { force: false, .. }),
                Refusal::SeatsTaken { taken: told },
            ) => taken == *told && taken > 0,
            (Asked::Course(_), Refusal::IllegalTransition { status, .. }) => {
                self.course.status.as_str() == *status
            }
            _ => false,
        }
    }
}

/// Reads the log and holds every answer against it. What every course came to.
fn read(log: &[Recorded], heard: &[Heard]) -> HashMap<CourseId, Told> {
    let mut told: HashMap<CourseId, Told> = HashMap::new();
    let mut open: Vec<&Heard> = heard.iter().filter(|heard| heard.answer.is_err()).collect();
    for recorded in log {
        let course = told.entry(recorded.course.clone().unwrap()).or_default();
        course.hear(&recorded.event);
        if recorded.last_of_command {
            course.check();
            let at = recorded.position.number;
            open.retain(|heard| {
                let Err(refusal) = &heard.answer else { return false };
                let now = (heard.from..=heard.to).contains(&at);
                let told = told.get(&heard.course).filter(|_| now);
                !told.is_some_and(|told| told.justifies(&heard.asked, refusal))
            });
        }
    }
    assert!(open.is_empty(), "never true while they were under way: {open:#?}");
    told
}

/// Every accepted answer shows a state that the log has, and every event of a student was answered for.
fn check_accepted(told: &HashMap<CourseId, Told>, heard: &[Heard]) {
    let mut enrolled: BTreeSet<(&CourseId, &UserId, u64)> = BTreeSet::new();
    let mut withdrawn = enrolled.clone();
    for Heard { course, asked, answer, .. } in heard {
        let Ok(state) = answer else { continue };
        match (asked, state) {
            (Asked::Course(_), State::Course(answered)) => {
                let version = usize::try_from(answered.version).unwrap();
                assert_eq!(told[course].courses[version - 1], **answered, "{asked:?}");
            }
            (Asked::Enroll { student, .. } | Asked::Withdraw { student }, state) => {
                let State::Enrollment(answered) = state else { panic!("{state:?}") };
                let version = usize::try_from(answered.version).unwrap();
                assert_eq!(told[course].enrollments[student][version - 1], **answered);
                if let Some(version) = answered.withdrawn_in {
                    withdrawn.insert((course, student, version));
                } else {
                    let new = enrolled.insert((course, student, answered.requested_in));
                    assert!(new, "one enrollment for two answers: {answered:?}");
                }
            }
            other => panic!("{other:?}"),
        }
    }
    let mut in_log = (BTreeSet::new(), BTreeSet::new());
    for (course, told) in told {
        for (student, states) in &told.enrollments {
            in_log.0.extend(states.iter().map(|state| (course, student, state.requested_in)));
            let left = states.iter().filter_map(|state| state.withdrawn_in);
            in_log.1.extend(left.map(|version| (course, student, version)));
        }
    }
    assert_eq!((enrolled, withdrawn), in_log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rush_is_exact_while_its_course_is_archived_restored_and_resized_and_another_is_deleted()
{
    let seed = dice::seed("RUSH_SEED");
    let url = support::database_url().await;
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(Instance::on(&url).await);
    }
    let courses = [new_course_id(), new_course_id()];
    instances[0].create(&courses[0], "RUSH-101", Some(40)).await.unwrap();
    instances[1].create(&courses[1], "RUSH-102", Some(20)).await.unwrap();
    let rush = Rush {
        instances,
        told: AtomicI64::new(0),
        heard: Mutex::default(),
        over: AtomicBool::new(false),
    };
    let (rush, course) = (&rush, &courses[0]);

    let students = futures::stream::iter(0..STUDENTS)
        .map(|number| rush.student(number, Dice::new(seed, number), &courses))
        .buffer_unordered(AT_ONCE);
    let students = async {
        students.for_each(async |()| ()).await;
        rush.over.store(true, Ordering::SeqCst);
    };
    let dean = rush.dean(Dice::new(seed, STUDENTS), course);
    let editor = rush.editor(Dice::new(seed, STUDENTS + 1), &courses);
    join3(students, dean, editor).await;

    // Whatever the dice left: published, with a seat taken and a student waiting, it cannot be unpublished.
    let _ = rush.change(0, course, CourseAction::Restore).await;
    let _ = rush.change(1, course, CourseAction::Publish).await;
    rush.change(2, course, with_capacity(None)).await.unwrap();
    let last = |name: &str| Asked::Enroll { student: student_named(name).id, join_waitlist: true };
    rush.ask(0, course, last("last")).await.unwrap();
    rush.change(1, course, with_capacity(Some(1))).await.unwrap();
    // Whatever the dice left, somebody waits and is promoted.
    for name in ["patient-1", "patient-2", "patient-3"] {
        rush.ask(0, course, last(name)).await.unwrap();
    }
    rush.change(1, course, with_capacity(None)).await.unwrap();
    rush.change(1, course, with_capacity(Some(1))).await.unwrap();
    let refused = rush.change(2, course, unpublish()).await.unwrap_err();
    assert!(matches!(refused, Refusal::SeatsInUse { .. }), "{refused}");
    // Once everybody has left it can.
    let told = read(&rush.instances[0].log().await, &[]);
    let here: Vec<UserId> = told[course].seated.iter().chain(&told[course].line).cloned().collect();
    futures::stream::iter(here)
        .for_each_concurrent(AT_ONCE, async |student| {
            rush.ask(1, course, Asked::Withdraw { student }).await.unwrap();
        })
        .await;
    rush.change(0, course, unpublish()).await.unwrap();
    assert_eq!(rush.ask(1, course, last("late")).await, Err(Refusal::CourseNotPublished));
    rush.change(2, course, CourseAction::Publish).await.unwrap();
    rush.ask(0, course, last("late")).await.unwrap();

    let log = rush.instances[0].log().await;
    let heard = rush.heard.lock().unwrap();
    let told = read(&log, &heard);
    check_accepted(&told, &heard);
    assert_eq!(told[&courses[1]].course.status, CourseStatus::Deleted);
    let promoted = log.iter().filter(|recorded| {
        matches!(
            &recorded.event,
            Event::Enrollment(EnrollmentEvent::StudentEnrolled { via: Via::Waitlist, .. })
        )
    });
    let refusals = heard.iter().filter(|heard| heard.answer.is_err()).count();
    assert!(promoted.count() >= 3);
    assert!(heard.len() > 500 && refusals > 10, "not much of a rush: {refusals} refusals");
}

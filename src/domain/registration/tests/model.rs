//! Whatever anybody asks of a course in whatever order: nothing panics and everything that must hold of it holds.

mod content;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use self::content::Content;
use super::world::World;
use super::*;
use crate::domain::course::{CourseAction, CoursePatch, CourseStatus, NewCourse};
use crate::domain::refusal::Code;
use crate::domain::values::Patch;

/// What somebody asks; facts that the shell looks up are filled in when it is run.
#[derive(Debug, Clone)]
enum Step {
    Create { course: NewCourse, code_is_taken: bool },
    Update { patch: CoursePatch, code_is_taken: bool },
    Publish,
    Unpublish,
    Archive,
    Restore,
    Delete { force: bool, reason: Option<String> },
    AssignInstructor(UserId),
    RemoveInstructor(UserId),
    Content(Content),
    Enroll { student: UserId, join_waitlist: bool, at: DateTime<Utc> },
    Withdraw { student: UserId, reason: Option<String> },
}

/// Which version the caller believes in.
#[derive(Debug, Clone)]
enum Belief {
    None,
    Right,
    Any(u64),
}

// The arguments

fn text() -> BoxedStrategy<String> {
    prop_oneof![
        12 => select(vec!["a", "b", "Linear Algebra", "Vectors"]).prop_map(str::to_owned),
        3 => vec(any::<char>(), 0..70).prop_map(String::from_iter),
        1 => select(vec!["", " ", "\0", "a\0b", "\\u0000", "\u{202e}", "\u{feff}", "e\u{301}"])
            .prop_map(str::to_owned),
        1 => (select(vec!["x", "ü", "\u{1}", "\u{1f600}", "\""]), 200..300_usize)
            .prop_map(|(part, times)| part.repeat(times)),
        1 => (select(vec!["x", "\u{1}"]), select(vec![1_024, 1_025, 16_384, 16_385]))
            .prop_map(|(part, times)| part.repeat(times)),
    ]
    .boxed()
}

fn code() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(vec!["MATH-201", "math-201", "x", "A.b_c-9"]).prop_map(str::to_owned),
        1 => text(),
    ]
}

fn tags() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        4 => vec(select(vec!["a", "b", "c"]).prop_map(str::to_owned), 0..3),
        1 => vec(text(), 0..4),
        1 => (45..55_usize).prop_map(|count| (0..count).map(|n| n.to_string()).collect()),
    ]
}

fn percent() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => select(vec![0.0, -0.0, 0.1 + 0.2, 50.0, 100.0, 1e-300, f64::MIN_POSITIVE]),
        1 => select(vec![-1.0, 100.000_001, f64::NAN, f64::INFINITY, f64::MAX]),
        1 => any::<f64>(),
    ]
}

fn capacity() -> impl Strategy<Value = i64> {
    prop_oneof![
        12 => 0..5_i64,
        1 => select(vec![-1, i64::MIN, i64::MAX, 1 << 31, (1 << 31) - 1]),
    ]
}

/// Around the times at which students enroll; seldom at the ends of what there is.
fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    prop_oneof![
        12 => (-3..4_i64).prop_map(|hours| noon() + chrono::TimeDelta::hours(hours)),
        1 => select(vec![
            DateTime::<Utc>::MIN_UTC,
            DateTime::<Utc>::MAX_UTC,
            at("0001-01-01T00:00:00Z"),
            at("9999-12-31T23:59:59.999999999Z"),
            at("2016-12-31T23:59:60Z"),
            at("2026-09-01T12:00:00.000000001Z"),
        ]),
    ]
}

fn patch<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Patch<T>> {
    prop_oneof![
        6 => Just(Patch::Keep),
        1 => Just(Patch::Clear),
        3 => value.prop_map(Patch::Set),
    ]
}

fn actor() -> impl Strategy<Value = Actor> {
    let anybody = ["ina", "ivo", "s0", "s1", "s2", "s3", "s4", "s5"];
    let roles = vec![Role::Student, Role::Instructor, Role::Admin, Role::Other];
    prop_oneof![
        4 => Just(admin()),
        4 => Just(ina()),
        1 => Just(ivo()),
        6 => (0..6_u8).prop_map(|n| student(&format!("s{n}"))),
        1 => Just(oda()),
        1 => (select(anybody.to_vec()), select(roles)).prop_map(|(id, role)| Actor {
            id: user(id),
            role,
        }),
    ]
}

fn some_student() -> impl Strategy<Value = UserId> {
    prop_oneof![
        12 => (0..6_u8).prop_map(|n| user(&format!("s{n}"))),
        1 => Just(user("ina")),
        1 => Just(user(&"\u{1f600}".repeat(32))),
    ]
}

fn new_course() -> impl Strategy<Value = NewCourse> {
    let people = vec(select(vec!["ina", "ivo", "s0"]).prop_map(user), 0..4);
    let texts = (code(), text(), option::of(text()), tags(), people);
    let numbers = (option::of(capacity()), option::of(percent()), any::<bool>());
    let times = (
        option::of(instant()),
        option::of(instant()),
        option::of(instant()),
        option::of(instant()),
    );
    (texts, numbers, times).prop_map(|(texts, numbers, times)| {
        let (code, title, description, tags, co_instructor_ids) = texts;
        let (capacity, passing_score, publish) = numbers;
        let (starts_at, ends_at, enrollment_opens_at, enrollment_closes_at) = times;
        NewCourse {
            id: c1(),
            code,
            title,
            description,
            co_instructor_ids,
            capacity,
            starts_at,
            ends_at,
            enrollment_opens_at,
            enrollment_closes_at,
            tags,
            passing_score,
            publish,
        }
    })
}

fn course_patch() -> impl Strategy<Value = CoursePatch> {
    let details = (patch(code()), patch(text()), patch(text()), patch(tags()), patch(percent()));
    let times = (patch(instant()), patch(instant()), patch(instant()), patch(instant()));
    (details, patch(capacity()), times).prop_map(|(details, capacity, times)| {
        let (code, title, description, tags, passing_score) = details;
        let (starts_at, ends_at, enrollment_opens_at, enrollment_closes_at) = times;
        CoursePatch {
            code,
            title,
            description,
            tags,
            passing_score,
            capacity,
            starts_at,
            ends_at,
            enrollment_opens_at,
            enrollment_closes_at,
        }
    })
}

fn somebody() -> impl Strategy<Value = UserId> {
    select(vec!["ina", "ivo", "ida", "s0"]).prop_map(user)
}

fn step() -> impl Strategy<Value = Step> {
    let seldom = || prop::bool::weighted(0.05);
    let more_or_fewer_seats =
        patch(capacity()).prop_map(|capacity| CoursePatch { capacity, ..CoursePatch::default() });
    prop_oneof![
        35 => (some_student(), any::<bool>(), instant())
            .prop_map(|(student, join_waitlist, at)| Step::Enroll { student, join_waitlist, at }),
        22 => (some_student(), option::weighted(0.2, text()))
            .prop_map(|(student, reason)| Step::Withdraw { student, reason }),
        10 => more_or_fewer_seats
            .prop_map(|patch| Step::Update { patch, code_is_taken: false }),
        8 => (course_patch(), seldom())
            .prop_map(|(patch, code_is_taken)| Step::Update { patch, code_is_taken }),
        20 => content::content().prop_map(Step::Content),
        8 => Just(Step::Publish),
        3 => Just(Step::Unpublish),
        3 => Just(Step::Archive),
        5 => Just(Step::Restore),
        3 => somebody().prop_map(Step::AssignInstructor),
        2 => somebody().prop_map(Step::RemoveInstructor),
        2 => (new_course(), seldom())
            .prop_map(|(course, code_is_taken)| Step::Create { course, code_is_taken }),
        1 => (any::<bool>(), option::of(text()))
            .prop_map(|(force, reason)| Step::Delete { force, reason }),
    ]
}

/// Mostly by who may ask for it: else nearly nothing would ever happen.
fn asked() -> impl Strategy<Value = (Actor, Belief, Step)> {
    let belief = prop_oneof![
        12 => Just(Belief::None),
        3 => Just(Belief::Right),
        1 => any::<u64>().prop_map(Belief::Any),
        1 => (0..9_u64).prop_map(Belief::Any),
    ];
    (actor(), belief, step(), prop::bool::weighted(0.6)).prop_map(
        |(anybody, belief, step, entitled)| {
            let actor = match &step {
                _ if !entitled => anybody,
                Step::Enroll { student: id, .. } | Step::Withdraw { student: id, .. } => {
                    Actor { id: id.clone(), role: Role::Student }
                }
                _ => ina(),
            };
            (actor, belief, step)
        },
    )
}

/// A lawful course to begin with, or nothing.
fn beginning() -> impl Strategy<Value = Option<(Actor, Belief, Step)>> {
    let course = (0..4_i64, prop::bool::weighted(0.9)).prop_map(|(capacity, publish)| {
        let course = NewCourse { capacity: Some(capacity), publish, ..algebra() };
        (ina(), Belief::None, Step::Create { course, code_is_taken: false })
    });
    option::weighted(0.9, course)
}

// The run

impl World {
    fn ask(&self, actor: &Actor, expected_version: Option<u64>, step: &Step) -> Answer {
        let owner = |taken: bool| taken.then(|| CourseId::parse("c2", "courseId").unwrap());
        let action = match step.clone() {
            Step::Enroll { student, join_waitlist, at } => {
                let command = Enroll { actor: actor.clone(), student, join_waitlist, at };
                return self.decide(|room| room.enroll(&command));
            }
            Step::Withdraw { student, reason } => {
                let command =
                    Withdraw { actor: actor.clone(), student, reason, expected_version: None };
                return self.decide(|room| room.withdraw(&command));
            }
            Step::Create { course, code_is_taken } => {
                CourseAction::Create { course: Box::new(course), code_owner: owner(code_is_taken) }
            }
            Step::Update { patch, code_is_taken } => {
                CourseAction::Update { patch: Box::new(patch), code_owner: owner(code_is_taken) }
            }
            Step::Publish => CourseAction::Publish,
            Step::Delete { force, reason } => {
                CourseAction::Delete { force, reason, seats_taken: self.seats.taken }
            }
            Step::Unpublish => unpublish(self),
            Step::Archive => CourseAction::Archive,
            Step::Restore => CourseAction::Restore,
            Step::AssignInstructor(instructor_id) => {
                CourseAction::AssignInstructor { instructor_id }
            }
            Step::RemoveInstructor(instructor_id) => {
                CourseAction::RemoveInstructor { instructor_id }
            }
            Step::Content(content) => content.action(&self.course),
        };
        let command = CourseCommand { actor: actor.clone(), expected_version, action };
        self.decide(|room| room.change_course(&command))
    }

    /// What who may not do this must hear.
    fn denied(&self, actor: &Actor, step: &Step) -> Option<Code> {
        let exists = self.course.status != CourseStatus::Missing;
        let public = self.course.status == CourseStatus::Published;
        let admin = actor.role == Role::Admin;
        let teaches =
            actor.role == Role::Instructor && self.course.instructor_ids.contains(&actor.id);
        let to_change = match (exists && (admin || teaches), public) {
            (true, _) => None,
            (false, true) => Some(Code::Forbidden),
            (false, false) => Some(Code::NotFound),
        };
        match step {
            Step::Create { .. } => {
                (!admin && actor.role != Role::Instructor).then_some(Code::Forbidden)
            }
            Step::Enroll { student, .. } => match actor.role {
                Role::Admin => None,
                Role::Student => (actor.id != *student).then_some(Code::Forbidden),
                Role::Instructor => to_change,
                Role::Other => Some(Code::Forbidden),
            },
            Step::Withdraw { student, .. } => {
                (!admin && !teaches && actor.id != *student).then_some(Code::NotFound)
            }
            Step::Update { .. }
            | Step::Publish
            | Step::Unpublish
            | Step::Archive
            | Step::Restore
            | Step::Delete { .. }
            | Step::AssignInstructor(_)
            | Step::RemoveInstructor(_)
            | Step::Content(_) => to_change,
        }
    }

    /// What a student hears who may enroll; `None` is a seat, or a place in the line.
    fn enrollment_refusal(
        &self,
        student: &UserId,
        join_waitlist: bool,
        at: DateTime<Utc>,
    ) -> Option<Code> {
        let course = &self.course;
        let within = course.enrollment_opens_at.is_none_or(|opens| opens <= at)
            && course.enrollment_closes_at.is_none_or(|closes| at < closes);
        let seat_free = self.line.is_empty()
            && course.capacity.is_none_or(|c| self.active() < usize::try_from(c).unwrap());
        match (course.status, self.status(student)) {
            (CourseStatus::Missing, _) => Some(Code::NotFound),
            (_, EnrollmentStatus::Active | EnrollmentStatus::Waitlisted) => {
                Some(Code::AlreadyEnrolled)
            }
            (CourseStatus::Draft | CourseStatus::Archived | CourseStatus::Deleted, _) => {
                Some(Code::CourseNotPublished)
            }
            (CourseStatus::Published, _) if !within || course.capacity == Some(0) => {
                Some(Code::EnrollmentClosed)
            }
            (CourseStatus::Published, _) => {
                (!seat_free && !join_waitlist).then_some(Code::CourseFull)
            }
        }
    }

    /// What a step of the lifecycle hears from whoever may take it; `None` is a step, or one that was taken before.
    fn lifecycle_refusal(&self, step: &Step) -> Option<Code> {
        let used = self.active() > 0 || !self.line.is_empty();
        match (step, self.course.status) {
            (Step::Publish, CourseStatus::Draft | CourseStatus::Published)
            | (Step::Unpublish, CourseStatus::Draft)
            | (Step::Archive | Step::Restore, CourseStatus::Published | CourseStatus::Archived) => {
                None
            }
            (Step::Unpublish, CourseStatus::Published) => used.then_some(Code::SeatsTaken),
            _ => Some(Code::IllegalTransition),
        }
    }

    fn run(&mut self, actor: &Actor, belief: &Belief, step: &Step) {
        let expected_version = match belief {
            Belief::None => None,
            Belief::Right => Some(self.course.version),
            Belief::Any(version) => Some(*version),
        };
        let answer = self.ask(actor, expected_version, step);
        let code = answer.as_ref().err().map(Refusal::code);
        if let Some(denied) = self.denied(actor, step) {
            // A withdrawal looks at its reason first, which tells nothing about the enrollment.
            let reason = matches!(step, Step::Withdraw { .. }).then_some(Code::ValidationFailed);
            assert!(code == Some(denied) || code.is_some() && code == reason, "{answer:?}");
            return;
        }
        if let Step::Enroll { student, join_waitlist, at } = step {
            assert_eq!(code, self.enrollment_refusal(student, *join_waitlist, *at));
        }
        let lifecycle =
            matches!(step, Step::Publish | Step::Unpublish | Step::Archive | Step::Restore);
        if lifecycle && code != Some(Code::Conflict) {
            assert_eq!(code, self.lifecycle_refusal(step));
        }
        let Ok(changes) = answer else { return };
        self.append(&changes);
        let repeatable = match step {
            Step::Create { .. } | Step::Enroll { .. } => false,
            Step::Content(content) => content.repeatable(),
            _ => self.denied(actor, step).is_none(), // one may remove oneself
        };
        if repeatable {
            let again = self.ask(actor, None, step);
            assert_eq!(again, Ok(Changes::default()), "said again it changes something");
        }
    }
}

type Answer = Result<Changes, Refusal>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_happens_the_rules_hold(first in beginning(), rest in vec(asked(), 0..200)) {
        let mut world = World::new(c1());
        for (actor, belief, step) in first.iter().chain(&rest) {
            world.run(actor, belief, step);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_happens_to_a_course_that_is_nearly_full_its_records_have_room(
        rest in vec(content::content(), 0..40)
    ) {
        let mut world = published(None);
        world.append(&content::nearly_full());
        for content in rest {
            world.run(&ina(), &Belief::None, &Step::Content(content));
        }
    }
}

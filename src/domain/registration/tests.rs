//! What the streams of a course decide together, and that nothing anybody does breaks them.

mod course;
mod enroll;
mod model;
mod world;

use std::collections::BTreeSet;

use self::world::World;
use super::*;
use crate::domain::course::{CourseAction, CoursePatch, ModulePatch, NewCourse};
use crate::domain::enrollment::Via;
use crate::domain::ids::ModuleId;
use crate::domain::refusal::Code;
use crate::domain::values::Patch;

fn c1() -> CourseId {
    CourseId::parse("c1", "courseId").unwrap()
}

fn user(name: &str) -> UserId {
    UserId::parse(name, "userId").unwrap()
}

fn admin() -> Actor {
    Actor { id: user("ada"), role: Role::Admin }
}

/// Teaches the course of these tests.
fn ina() -> Actor {
    Actor { id: user("ina"), role: Role::Instructor }
}

/// Teaches another one.
fn ivo() -> Actor {
    Actor { id: user("ivo"), role: Role::Instructor }
}

/// Neither learns nor teaches.
fn oda() -> Actor {
    Actor { id: user("oda"), role: Role::Other }
}

fn student(name: &str) -> Actor {
    Actor { id: user(name), role: Role::Student }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn noon() -> DateTime<Utc> {
    at("2026-09-01T12:00:00Z")
}

fn algebra() -> NewCourse {
    NewCourse {
        id: c1(),
        code: "MATH-201".to_owned(),
        title: "Linear Algebra".to_owned(),
        ..NewCourse::default()
    }
}

fn create(course: NewCourse) -> CourseAction {
    CourseAction::Create { course: Box::new(course), code_owner: None }
}

fn update(patch: CoursePatch) -> CourseAction {
    CourseAction::Update { patch: Box::new(patch), code_owner: None }
}

fn set_capacity(capacity: Option<i64>) -> CourseAction {
    let capacity = capacity.map_or(Patch::Clear, Patch::Set);
    update(CoursePatch { capacity, ..CoursePatch::default() })
}

fn enrollment_of(name: &str) -> (CourseId, UserId) {
    (c1(), user(name))
}

fn enrolled(name: &str, via: Via) -> (UserId, Vec<EnrollmentEvent>) {
    let (course_id, student_id) = enrollment_of(name);
    (user(name), vec![EnrollmentEvent::StudentEnrolled { course_id, student_id, via }])
}

fn waitlisted(name: &str) -> (UserId, Vec<EnrollmentEvent>) {
    let (course_id, student_id) = enrollment_of(name);
    (user(name), vec![EnrollmentEvent::StudentWaitlisted { course_id, student_id }])
}

fn withdrawn(name: &str, reason: Option<&str>) -> (UserId, Vec<EnrollmentEvent>) {
    let (course_id, student_id) = enrollment_of(name);
    let reason = reason.map(str::to_owned);
    (user(name), vec![EnrollmentEvent::StudentWithdrawn { course_id, student_id, reason }])
}

fn released(name: &str, promoted: Option<&str>) -> SeatsEvent {
    SeatsEvent::SeatReleased { student: user(name), promoted: promoted.map(user) }
}

fn taken(name: &str) -> SeatsEvent {
    SeatsEvent::SeatTaken { student: user(name) }
}

fn on_seats_and_enrollments(
    seats: SeatsEvent,
    enrollments: Vec<(UserId, Vec<EnrollmentEvent>)>,
) -> Changes {
    Changes { course: Vec::new(), seats: vec![seats], enrollments }
}

impl World {
    fn change_as(&self, actor: Actor, action: CourseAction) -> Result<Changes, Refusal> {
        let command = CourseCommand { actor, expected_version: None, action };
        self.decide(|room| room.change_course(&command))
    }

    fn change(&self, action: CourseAction) -> Result<Changes, Refusal> {
        self.change_as(ina(), action)
    }

    fn enroll_as(&self, actor: Actor, name: &str) -> Result<Changes, Refusal> {
        let command = Enroll { actor, student: user(name), join_waitlist: true, at: noon() };
        self.decide(|room| room.enroll(&command))
    }

    fn enroll(&self, name: &str) -> Result<Changes, Refusal> {
        self.enroll_as(student(name), name)
    }

    fn withdraw_as(&self, actor: Actor, name: &str) -> Result<Changes, Refusal> {
        let student = user(name);
        let command = Withdraw { actor, student, reason: None, expected_version: None };
        self.decide(|room| room.withdraw(&command))
    }

    fn withdraw(&self, name: &str) -> Result<Changes, Refusal> {
        self.withdraw_as(student(name), name)
    }

    /// This world after what was decided.
    fn after(mut self, changes: Result<Changes, Refusal>) -> Self {
        self.append(&changes.unwrap());
        self
    }

    fn and_change(self, action: CourseAction) -> Self {
        let changes = self.change(action);
        self.after(changes)
    }

    fn and_enroll(self, names: &[&str]) -> Self {
        names.iter().fold(self, |world, name| {
            let changes = world.enroll(name);
            world.after(changes)
        })
    }

    fn and_withdraw(self, name: &str) -> Self {
        let changes = self.withdraw(name);
        self.after(changes)
    }
}

/// No course.
fn nothing() -> World {
    World::new(c1())
}

fn draft(capacity: Option<i64>) -> World {
    nothing().and_change(create(NewCourse { capacity, ..algebra() }))
}

fn published(capacity: Option<i64>) -> World {
    draft(capacity).and_change(CourseAction::Publish)
}

/// One seat, taken by a; b and c wait.
fn rush() -> World {
    published(Some(1)).and_enroll(&["a", "b", "c"])
}

fn delete(world: &World, force: bool) -> CourseAction {
    CourseAction::Delete { force, reason: None, seats_taken: world.seats.taken }
}

fn unpublish(world: &World) -> CourseAction {
    let waiting = u32::try_from(world.seats.waitlist.len()).unwrap();
    CourseAction::Unpublish { seats_taken: world.seats.taken, waiting }
}

fn deleted(world: World) -> World {
    let action = delete(&world, true);
    world.and_change(action)
}

/// What is decided before any enrollment was looked up.
fn at_first_sight(
    world: &World,
    decide: impl Fn(&Room<'_>) -> Result<Changes, Undecided>,
) -> Result<Changes, Undecided> {
    decide(&Room {
        id: &world.id,
        course: &world.course,
        seats: &world.seats,
        enrollment: &|_| None,
    })
}

// Codes

/// Every code with whether a retry of the same command may help. The match makes a new code stand here too.
fn frozen(code: Code) -> &'static str {
    match code {
        Code::ValidationFailed => "VALIDATION_FAILED",
        Code::NotFound => "NOT_FOUND",
        Code::Forbidden => "FORBIDDEN",
        Code::Conflict => "CONFLICT",
        Code::IllegalTransition => "ILLEGAL_TRANSITION",
        Code::CourseCodeTaken => "COURSE_CODE_TAKEN",
        Code::CourseIdTaken => "COURSE_ID_TAKEN",
        Code::CourseNotPublished => "COURSE_NOT_PUBLISHED",
        Code::CourseFull => "COURSE_FULL",
        Code::EnrollmentClosed => "ENROLLMENT_CLOSED",
        Code::AlreadyEnrolled => "ALREADY_ENROLLED",
        Code::NotEnrolled => "NOT_ENROLLED",
        Code::ModuleNotFound => "MODULE_NOT_FOUND",
        Code::ModuleOrderMismatch => "MODULE_ORDER_MISMATCH",
        Code::SeatsTaken => "SEATS_TAKEN",
        Code::LastInstructor => "LAST_INSTRUCTOR",
        Code::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
        Code::LimitExceeded => "LIMIT_EXCEEDED",
    }
}

#[test]
fn every_code_reaches_callers_under_its_frozen_name() {
    let world = rush();
    let would_not_wait =
        Enroll { actor: student("sam"), student: user("sam"), join_waitlist: false, at: noon() };
    let stale =
        CourseCommand { actor: ina(), expected_version: Some(99), action: CourseAction::Publish };
    let code_taken = CourseAction::Create {
        course: Box::new(algebra()),
        code_owner: Some(CourseId::parse("c2", "courseId").unwrap()),
    };
    let no_module = CourseAction::UpdateModule {
        module_id: ModuleId::parse("m1", "moduleId").unwrap(),
        patch: ModulePatch::default(),
    };
    let disorder = CourseAction::ReorderModules {
        module_ids: vec![ModuleId::parse("m1", "moduleIds").unwrap()],
    };
    let alone = CourseAction::RemoveInstructor { instructor_id: user("ina") };
    let crowd = (0..51).map(|n| user(&n.to_string())).collect();
    let crowded = NewCourse { co_instructor_ids: crowd, ..algebra() };
    let answers = [
        (nothing().change(create(NewCourse::default())), Some("code")),
        (nothing().change(CourseAction::Publish), Some("courseId")),
        (world.change_as(oda(), CourseAction::Publish), None),
        (world.decide(|room| room.change_course(&stale)), Some("expectedVersion")),
        (deleted(rush()).change(CourseAction::Publish), None),
        (nothing().change(code_taken), Some("code")),
        (world.change(create(algebra())), Some("id")),
        (draft(None).enroll_as(admin(), "sam"), None),
        (world.decide(|room| room.enroll(&would_not_wait)), None),
        (published(Some(0)).enroll("sam"), None),
        (world.enroll("a"), None),
        (world.withdraw("sam"), None),
        (world.change(no_module), Some("moduleId")),
        (world.change(disorder), Some("moduleIds")),
        (world.change(delete(&world, false)), Some("force")),
        (world.change(unpublish(&world)), None),
        (world.change(alone), Some("instructorId")),
        (nothing().change(create(crowded)), Some("coInstructorIds")),
        // Said where keys are kept, outside of the domain.
        (Err(Refusal::IdempotencyKeyReused), Some("idempotencyKey")),
    ];
    let mut heard = BTreeSet::new();
    for (answer, field) in answers {
        let refusal = answer.unwrap_err();
        let name = frozen(refusal.code());
        assert_eq!(refusal.code().as_str(), name);
        assert_eq!(serde_json::to_value(refusal.code()).unwrap(), name);
        assert_eq!(refusal.field(), field, "{name}");
        assert!(!refusal.to_string().is_empty());
        heard.insert(name);
    }
    assert_eq!(heard.len(), 18, "{heard:?}");
}

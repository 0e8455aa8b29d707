//! What the streams of a course decide together, and that nothing anybody does breaks them.

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
        let command = Withdraw { actor, student: user(name), reason: None };
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

// Enroll

#[test]
fn a_student_takes_a_free_seat() {
    assert_eq!(
        published(Some(1)).enroll("sam").unwrap(),
        on_seats_and_enrollments(taken("sam"), vec![enrolled("sam", Via::Direct)])
    );
}

#[test]
fn a_student_waits_when_every_seat_is_taken() {
    assert_eq!(
        rush().enroll("sam").unwrap(),
        on_seats_and_enrollments(
            SeatsEvent::SeatWaitlisted { student: user("sam") },
            vec![waitlisted("sam")]
        )
    );
}

#[test]
fn a_student_who_would_not_wait_is_told_that_the_course_is_full() {
    let command =
        Enroll { actor: student("sam"), student: user("sam"), join_waitlist: false, at: noon() };
    assert_eq!(rush().decide(|room| room.enroll(&command)), Err(Refusal::CourseFull));
    assert_eq!(
        published(Some(1)).decide(|room| room.enroll(&command)).unwrap(),
        on_seats_and_enrollments(taken("sam"), vec![enrolled("sam", Via::Direct)])
    );
}

#[test]
fn a_student_who_had_left_is_reactivated() {
    let world = published(Some(1)).and_enroll(&["sam"]).and_withdraw("sam");
    assert_eq!(
        world.enroll("sam").unwrap(),
        on_seats_and_enrollments(taken("sam"), vec![enrolled("sam", Via::Reactivation)])
    );
}

#[test]
fn who_leaves_the_waitlist_and_returns_stands_at_its_end() {
    let world = rush().and_withdraw("b").and_enroll(&["b"]);
    assert_eq!(world.line, [user("c"), user("b")]);
}

#[test]
fn who_has_a_seat_or_waits_cannot_enroll_again_whatever_became_of_the_course() {
    for world in [rush(), deleted(rush()), rush().and_change(set_capacity(Some(0)))] {
        for name in ["a", "b"] {
            assert_eq!(world.enroll(name), Err(Refusal::AlreadyEnrolled));
        }
    }
}

#[test]
fn nobody_enrolls_in_a_course_that_is_not_published() {
    for world in [draft(None), deleted(published(None))] {
        for actor in [admin(), ina()] {
            assert_eq!(world.enroll_as(actor, "sam"), Err(Refusal::CourseNotPublished));
        }
    }
}

#[test]
fn nobody_enrolls_outside_of_the_window_or_without_seats() {
    let early = NewCourse {
        enrollment_opens_at: Some(at("2026-09-01T12:00:00.000000001Z")),
        publish: true,
        ..algebra()
    };
    let late = NewCourse { enrollment_closes_at: Some(noon()), publish: true, ..algebra() };
    let no_seats = NewCourse { capacity: Some(0), publish: true, ..algebra() };
    for course in [early, late, no_seats] {
        let world = nothing().and_change(create(course));
        for actor in [admin(), ina(), student("sam")] {
            assert_eq!(world.enroll_as(actor, "sam"), Err(Refusal::EnrollmentClosed));
        }
    }
}

#[test]
fn students_enroll_themselves_and_instructors_and_admins_anybody() {
    for actor in [student("sam"), ina(), admin()] {
        assert_eq!(
            published(None).enroll_as(actor, "sam").unwrap(),
            on_seats_and_enrollments(taken("sam"), vec![enrolled("sam", Via::Direct)])
        );
    }
}

#[test]
fn who_may_not_enroll_a_student_hears_so_before_anything_else() {
    let only_themselves = Refusal::Forbidden { rule: "students enroll only themselves" };
    let nobody =
        Refusal::Forbidden { rule: "only students, instructors of the course and admins enroll" };
    for world in [nothing(), draft(None), rush(), deleted(rush())] {
        assert_eq!(world.enroll_as(student("tom"), "a"), Err(only_themselves.clone()));
        assert_eq!(world.enroll_as(oda(), "a"), Err(nobody.clone()));
        assert_eq!(world.enroll_as(oda(), "oda"), Err(nobody.clone()));
    }
    assert_eq!(
        rush().enroll_as(ivo(), "a"),
        Err(Refusal::Forbidden { rule: "only an instructor of the course or an admin may" })
    );
    for world in [nothing(), draft(None), deleted(rush())] {
        assert_eq!(world.enroll_as(ivo(), "a"), Err(Refusal::course_not_found()));
    }
}

#[test]
fn nobody_enrolls_where_there_is_no_course() {
    for actor in [admin(), ina(), student("sam")] {
        assert_eq!(nothing().enroll_as(actor, "sam"), Err(Refusal::course_not_found()));
    }
}

#[test]
fn enrolling_needs_the_enrollment_only_of_who_may_enroll() {
    let enroll = |actor: Actor| {
        let command = Enroll { actor, student: user("sam"), join_waitlist: true, at: noon() };
        at_first_sight(&published(None), |room| room.enroll(&command))
    };
    assert_eq!(enroll(student("sam")), Err(Undecided::Needs(vec![user("sam")])));
    for actor in [student("tom"), oda(), ivo()] {
        assert!(matches!(enroll(actor), Err(Undecided::Refused(Refusal::Forbidden { .. }))));
    }
}

// Withdraw

#[test]
fn the_seat_of_who_leaves_goes_to_the_first_who_waits() {
    assert_eq!(
        rush().withdraw("a").unwrap(),
        on_seats_and_enrollments(
            released("a", Some("b")),
            vec![withdrawn("a", None), enrolled("b", Via::Waitlist)]
        )
    );
}

#[test]
fn the_seat_of_who_leaves_is_free_when_nobody_waits() {
    let world = published(Some(1)).and_enroll(&["a"]);
    assert_eq!(
        world.withdraw("a").unwrap(),
        on_seats_and_enrollments(released("a", None), vec![withdrawn("a", None)])
    );
    assert_eq!(world.and_withdraw("a").seats.taken, 0);
}

#[test]
fn who_waits_leaves_the_line_without_moving_a_seat() {
    assert_eq!(
        rush().withdraw("b").unwrap(),
        on_seats_and_enrollments(
            SeatsEvent::WaitlistLeft { student: user("b") },
            vec![withdrawn("b", None)]
        )
    );
}

#[test]
fn leaving_twice_changes_nothing() {
    for name in ["a", "b"] {
        let world = rush().and_withdraw(name);
        assert_eq!(world.withdraw(name), Ok(Changes::default()));
    }
}

#[test]
fn who_was_never_enrolled_cannot_leave() {
    for world in [nothing(), draft(None), rush(), deleted(rush())] {
        assert_eq!(world.withdraw("sam"), Err(Refusal::NotEnrolled));
        assert_eq!(world.withdraw_as(admin(), "sam"), Err(Refusal::NotEnrolled));
    }
}

#[test]
fn students_withdraw_themselves_and_instructors_and_admins_anybody() {
    for actor in [student("a"), ina(), admin()] {
        assert_eq!(rush().withdraw_as(actor, "a").unwrap(), rush().withdraw("a").unwrap());
    }
}

#[test]
fn an_enrollment_that_the_caller_may_not_see_is_not_found() {
    let former_instructor = Actor { id: user("ina"), role: Role::Student };
    for world in [nothing(), rush(), deleted(rush())] {
        for name in ["a", "b", "sam"] {
            let same_id = Actor { id: user(name), role: Role::Other };
            for actor in [student("tom"), oda(), ivo(), former_instructor.clone(), same_id] {
                assert_eq!(world.withdraw_as(actor, name), Err(Refusal::enrollment_not_found()));
            }
        }
    }
}

#[test]
fn the_reason_of_a_withdrawal_is_kept_and_limited() {
    let because = |reason: &str| {
        let reason = Some(reason.to_owned());
        let command = Withdraw { actor: student("b"), student: user("b"), reason };
        rush().decide(|room| room.withdraw(&command))
    };
    let longest = "x".repeat(1_024);
    assert_eq!(because(&longest).unwrap().enrollments, [withdrawn("b", Some(&longest))]);
    for unlawful in ["x".repeat(1_025), "\0".to_owned()] {
        let refusal = because(&unlawful).unwrap_err();
        assert_eq!((refusal.code(), refusal.field()), (Code::ValidationFailed, Some("reason")));
        // A stranger does not even hear that there is something to leave.
        let (actor, student, reason) = (student("tom"), user("b"), Some(unlawful));
        let command = Withdraw { actor, student, reason };
        let refusal = rush().decide(|room| room.withdraw(&command)).unwrap_err();
        assert_eq!(refusal, Refusal::enrollment_not_found());
    }
}

#[test]
fn withdrawing_stays_possible_after_a_deletion_and_promotes_nobody() {
    let world = deleted(rush());
    assert_eq!(
        world.withdraw("a").unwrap(),
        on_seats_and_enrollments(released("a", None), vec![withdrawn("a", None)])
    );
    let world = world.and_withdraw("a").and_withdraw("b");
    assert_eq!((world.active(), world.line), (0, vec![user("c")]));
}

#[test]
fn withdrawing_needs_first_who_leaves_and_then_who_is_promoted() {
    let world = rush();
    let command = Withdraw { actor: student("a"), student: user("a"), reason: None };
    let needs = |names: &[&str]| Err(Undecided::Needs(names.iter().map(|n| user(n)).collect()));
    assert_eq!(at_first_sight(&world, |room| room.withdraw(&command)), needs(&["a"]));

    let a = &world.enrollments[&user("a")];
    let only_a = |student: &UserId| (*student == user("a")).then_some(a);
    let room =
        Room { id: &world.id, course: &world.course, seats: &world.seats, enrollment: &only_a };
    assert_eq!(room.withdraw(&command), needs(&["b"]));
}

// Create, publish, change, delete

#[test]
fn a_new_course_defines_its_seats() {
    let (opens, closes) = (at("2026-08-01T00:00:00Z"), at("2026-10-01T00:00:00Z"));
    let course = NewCourse {
        capacity: Some(3),
        enrollment_opens_at: Some(opens),
        enrollment_closes_at: Some(closes),
        ..algebra()
    };
    let defined = SeatsEvent::SeatsDefined {
        capacity: Some(3),
        opens_at: Some(opens),
        closes_at: Some(closes),
    };
    let changes = nothing().change(create(course.clone())).unwrap();
    assert_eq!(changes.seats, std::slice::from_ref(&defined));
    let changes = nothing().change(create(NewCourse { publish: true, ..course })).unwrap();
    assert_eq!(changes.seats, [defined, SeatsEvent::SeatsOpened { promoted: Vec::new() }]);
}

#[test]
fn publishing_opens_the_seats_once() {
    assert_eq!(
        draft(None).change(CourseAction::Publish).unwrap(),
        Changes {
            course: vec![CourseEvent::CoursePublished {}],
            seats: vec![SeatsEvent::SeatsOpened { promoted: Vec::new() }],
            enrollments: Vec::new(),
        }
    );
    assert_eq!(published(None).change(CourseAction::Publish), Ok(Changes::default()));
}

#[test]
fn raising_the_capacity_promotes_in_order() {
    for (capacity, promoted) in
        [(Some(2), &["b"][..]), (Some(3), &["b", "c"]), (Some(9), &["b", "c"]), (None, &["b", "c"])]
    {
        let changes = rush().change(set_capacity(capacity)).unwrap();
        let capacity = capacity.map(|seats| u32::try_from(seats).unwrap());
        assert_eq!(
            changes,
            Changes {
                course: vec![CourseEvent::CourseCapacityChanged { capacity }],
                seats: vec![SeatsEvent::SeatsCapacityChanged {
                    capacity,
                    promoted: promoted.iter().map(|name| user(name)).collect(),
                }],
                enrollments: promoted.iter().map(|name| enrolled(name, Via::Waitlist)).collect(),
            }
        );
    }
}

#[test]
fn raising_the_capacity_needs_the_enrollments_of_all_it_promotes() {
    let command =
        CourseCommand { actor: ina(), expected_version: None, action: set_capacity(Some(9)) };
    assert_eq!(
        at_first_sight(&rush(), |room| room.change_course(&command)),
        Err(Undecided::Needs(vec![user("b"), user("c")]))
    );
}

#[test]
fn lowering_the_capacity_evicts_nobody_and_frees_no_seat() {
    let world = published(Some(2)).and_enroll(&["a", "b", "c"]).and_change(set_capacity(Some(1)));
    assert_eq!((world.active(), world.line.as_slice()), (2, &[user("c")][..]));
    let world = world.and_withdraw("a");
    assert_eq!((world.active(), world.line.as_slice()), (1, &[user("c")][..]));
    let world = world.and_withdraw("b");
    assert_eq!(world.status(&user("c")), EnrollmentStatus::Active);
}

#[test]
fn those_who_wait_stay_in_line_while_the_capacity_is_zero() {
    let world = rush().and_change(set_capacity(Some(0))).and_withdraw("a");
    assert_eq!((world.active(), world.line.as_slice()), (0, &[user("b"), user("c")][..]));
    let world = world.and_change(set_capacity(Some(1)));
    assert_eq!((world.active(), world.line.as_slice()), (1, &[user("c")][..]));
}

#[test]
fn more_promotions_than_one_command_may_make_are_refused_as_a_whole() {
    let mut world = published(Some(1)).and_enroll(&["a"]);
    for n in 0..1_001 {
        let student = user(&format!("s{n}"));
        world.seats.apply(SeatsEvent::SeatWaitlisted { student });
    }
    let command =
        CourseCommand { actor: ina(), expected_version: None, action: set_capacity(None) };
    let answer = at_first_sight(&world, |room| room.change_course(&command));
    let Err(Undecided::Refused(refusal)) = answer else { panic!("{answer:?}") };
    assert_eq!((refusal.code(), refusal.field()), (Code::LimitExceeded, Some("capacity")));
}

#[test]
fn only_the_enrollment_window_of_a_schedule_concerns_the_seats() {
    let starts = CoursePatch { starts_at: Patch::Set(noon()), ..CoursePatch::default() };
    assert_eq!(rush().change(update(starts.clone())).unwrap().seats, []);
    let closes = CoursePatch { enrollment_closes_at: Patch::Set(noon()), ..starts };
    assert_eq!(
        rush().change(update(closes)).unwrap().seats,
        [SeatsEvent::SeatsWindowChanged { opens_at: None, closes_at: Some(Some(noon())) }]
    );
}

#[test]
fn the_content_of_a_course_does_not_concern_its_seats() {
    let title = CoursePatch { title: Patch::Set("Algebra".to_owned()), ..CoursePatch::default() };
    let module_id = ModuleId::parse("m1", "moduleId").unwrap();
    let add = CourseAction::AddModule {
        module_id: module_id.clone(),
        title: "Bases".to_owned(),
        summary: None,
        position: None,
    };
    let world = rush().and_change(add.clone());
    let patch = ModulePatch { title: Patch::Set("Basis".to_owned()), ..ModulePatch::default() };
    let change = CourseAction::UpdateModule { module_id, patch };
    for action in [update(title), add, change] {
        let changes = world.change(action).unwrap();
        assert_eq!(
            (changes.course.len(), changes.seats.len(), changes.enrollments.len()),
            (1, 0, 0)
        );
    }
}

#[test]
fn a_deletion_closes_the_seats_and_leaves_the_enrollments_as_they_are() {
    let world = rush();
    assert_eq!(world.change(delete(&world, false)), Err(Refusal::SeatsTaken { taken: 1 }));
    let changes = world.change(delete(&world, true)).unwrap();
    assert_eq!(changes.seats, [SeatsEvent::SeatsClosed {}]);
    assert_eq!(changes.enrollments, []);
    let world = deleted(world);
    assert_eq!((world.active(), world.line.as_slice()), (1, &[user("b"), user("c")][..]));
    assert_eq!(world.change(delete(&world, false)), Ok(Changes::default()));
}

#[test]
fn the_deletion_of_a_draft_finds_its_seats_closed_already() {
    let world = draft(None);
    let changes = world.change(delete(&world, false)).unwrap();
    assert_eq!((changes.course.len(), changes.seats.len()), (1, 0));
}

#[test]
fn a_refused_change_of_the_course_asks_for_no_enrollment() {
    for (actor, code) in [(ivo(), Code::Forbidden), (student("a"), Code::Forbidden)] {
        let command = CourseCommand { actor, expected_version: None, action: set_capacity(None) };
        let answer = at_first_sight(&rush(), |room| room.change_course(&command));
        let Err(Undecided::Refused(refusal)) = answer else { panic!("{answer:?}") };
        assert_eq!(refusal.code(), code);
    }
}

// Codes

/// Every code with whether a retry of the same command may help. The match makes a new code stand here too.
fn frozen(code: Code) -> (&'static str, bool) {
    match code {
        Code::ValidationFailed => ("VALIDATION_FAILED", false),
        Code::NotFound => ("NOT_FOUND", false),
        Code::Forbidden => ("FORBIDDEN", false),
        Code::Conflict => ("CONFLICT", true),
        Code::IllegalTransition => ("ILLEGAL_TRANSITION", false),
        Code::CourseCodeTaken => ("COURSE_CODE_TAKEN", false),
        Code::CourseIdTaken => ("COURSE_ID_TAKEN", false),
        Code::CourseNotPublished => ("COURSE_NOT_PUBLISHED", false),
        Code::CourseFull => ("COURSE_FULL", false),
        Code::EnrollmentClosed => ("ENROLLMENT_CLOSED", false),
        Code::AlreadyEnrolled => ("ALREADY_ENROLLED", false),
        Code::NotEnrolled => ("NOT_ENROLLED", false),
        Code::ModuleNotFound => ("MODULE_NOT_FOUND", false),
        Code::SeatsTaken => ("SEATS_TAKEN", false),
        Code::LimitExceeded => ("LIMIT_EXCEEDED", false),
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
        (world.change(delete(&world, false)), Some("force")),
        (nothing().change(create(crowded)), Some("coInstructorIds")),
    ];
    let mut heard = BTreeSet::new();
    for (answer, field) in answers {
        let refusal = answer.unwrap_err();
        let (name, retryable) = frozen(refusal.code());
        assert_eq!(refusal.code().as_str(), name);
        assert_eq!(serde_json::to_value(refusal.code()).unwrap(), name);
        assert_eq!((refusal.retryable(), refusal.field()), (retryable, field), "{name}");
        assert!(!refusal.to_string().is_empty());
        heard.insert(name);
    }
    assert_eq!(heard.len(), 15, "{heard:?}");
}

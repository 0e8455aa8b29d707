//! What a course decides: given its history, when it gets a command, then these events or this refusal.

use chrono::Datelike;
use cqrs_es::test::{AggregateTestExecutor, TestFramework};

use super::*;
use crate::domain::refusal::Code;
use crate::domain::values::{MAX_MODULES, MAX_OUTGOING_BYTES, Patch};

const TITLE_RULE: &str = "must be 1 to 255 characters, not only white space";
const POSITION_RULE: &str = "must be from 0 to the number of modules";

fn given(history: &[CourseEvent]) -> AggregateTestExecutor<Course> {
    TestFramework::with(()).given(history.to_vec())
}

fn fold(history: &[CourseEvent]) -> Course {
    let mut course = Course::default();
    for event in history {
        course.apply(event.clone());
    }
    course
}

fn id(text: &str) -> CourseId {
    CourseId::parse(text, "courseId").unwrap()
}

fn user(text: &str) -> UserId {
    UserId::parse(text, "userId").unwrap()
}

fn module_id(text: &str) -> ModuleId {
    ModuleId::parse(text, "moduleId").unwrap()
}

fn actor(name: &str, role: Role) -> Actor {
    Actor { id: user(name), role }
}

fn admin() -> Actor {
    actor("ada", Role::Admin)
}

/// Teaches the course of these tests.
fn ina() -> Actor {
    actor("ina", Role::Instructor)
}

/// Everybody who may not change it; the last two share the id of its instructor.
fn strangers() -> [Actor; 5] {
    [
        actor("ivo", Role::Instructor),
        actor("sam", Role::Student),
        actor("oda", Role::Other),
        actor("ina", Role::Student),
        actor("ina", Role::Other),
    ]
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn command(actor: Actor, action: CourseAction) -> CourseCommand {
    CourseCommand { actor, expected_version: None, action }
}

fn by_ina(action: CourseAction) -> CourseCommand {
    command(ina(), action)
}

fn algebra() -> NewCourse {
    NewCourse {
        id: id("c1"),
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

fn delete(seats_taken: u32, force: bool) -> CourseAction {
    CourseAction::Delete { force, reason: None, seats_taken }
}

fn add_module(name: &str, position: Option<i64>) -> CourseAction {
    CourseAction::AddModule {
        module_id: module_id(name),
        title: name.to_uppercase(),
        summary: None,
        position,
    }
}

fn update_module(name: &str, patch: ModulePatch) -> CourseAction {
    CourseAction::UpdateModule { module_id: module_id(name), patch }
}

fn created() -> CourseEvent {
    CourseEvent::CourseCreated {
        course_id: id("c1"),
        code: "MATH-201".to_owned(),
        title: "Linear Algebra".to_owned(),
        description: None,
        instructor_ids: vec![user("ina")],
        capacity: None,
        starts_at: None,
        ends_at: None,
        enrollment_opens_at: None,
        enrollment_closes_at: None,
        tags: Vec::new(),
        passing_score: None,
    }
}

/// A course with a value in every field.
fn created_in_full() -> CourseEvent {
    CourseEvent::CourseCreated {
        course_id: id("c1"),
        code: "MATH-201".to_owned(),
        title: "Linear Algebra".to_owned(),
        description: Some("Vectors".to_owned()),
        instructor_ids: vec![user("ina")],
        capacity: Some(30),
        starts_at: Some(at("2026-10-01T00:00:00Z")),
        ends_at: Some(at("2027-02-01T00:00:00Z")),
        enrollment_opens_at: Some(at("2026-08-01T00:00:00Z")),
        enrollment_closes_at: Some(at("2026-10-15T00:00:00Z")),
        tags: vec!["math".to_owned()],
        passing_score: Some(50.0),
    }
}

fn published() -> CourseEvent {
    CourseEvent::CoursePublished {}
}

fn deleted() -> CourseEvent {
    CourseEvent::CourseDeleted { reason: None }
}

fn added(name: &str, position: u32) -> CourseEvent {
    CourseEvent::ModuleAdded {
        module_id: module_id(name),
        title: name.to_uppercase(),
        summary: None,
        position,
    }
}

/// Something that each action but Create could ask for, all of it unlawful where that is possible.
fn unlawful_actions() -> Vec<CourseAction> {
    let title = || Patch::Set(String::new());
    vec![
        update(CoursePatch { title: title(), ..CoursePatch::default() }),
        CourseAction::Publish,
        CourseAction::Delete { force: false, reason: Some("\0".to_owned()), seats_taken: 1 },
        CourseAction::AddModule {
            module_id: module_id("m1"),
            title: String::new(),
            summary: None,
            position: Some(-1),
        },
        update_module("nowhere", ModulePatch { title: title(), ..ModulePatch::default() }),
    ]
}

// Create

#[test]
fn an_instructor_creates_a_draft_that_they_teach() {
    given(&[]).when(by_ina(create(algebra()))).then_expect_events(vec![created()]);
    assert_eq!(fold(&[created()]).status, CourseStatus::Draft);
}

#[test]
fn a_course_takes_every_field_of_its_creation() {
    let course = NewCourse {
        description: Some("Vectors".to_owned()),
        capacity: Some(30),
        starts_at: Some(at("2026-10-01T00:00:00Z")),
        ends_at: Some(at("2027-02-01T00:00:00Z")),
        enrollment_opens_at: Some(at("2026-08-01T00:00:00Z")),
        enrollment_closes_at: Some(at("2026-10-15T00:00:00Z")),
        tags: vec!["math".to_owned()],
        passing_score: Some(50.0),
        ..algebra()
    };
    given(&[]).when(by_ina(create(course))).then_expect_events(vec![created_in_full()]);
}

#[test]
fn a_course_can_be_published_with_its_creation() {
    let course = NewCourse { publish: true, ..algebra() };
    given(&[]).when(by_ina(create(course))).then_expect_events(vec![created(), published()]);
}

#[test]
fn the_first_instructors_are_the_creating_instructor_and_those_named_each_once() {
    let instructors = |actor: Actor, named: &[&str]| {
        let course = NewCourse {
            co_instructor_ids: named.iter().map(|name| user(name)).collect(),
            ..algebra()
        };
        let events = Course::default().decide(&command(actor, create(course))).unwrap();
        let ids = fold(&events).instructor_ids;
        ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(instructors(ina(), &[]), "ina");
    assert_eq!(instructors(ina(), &["ivo", "ina", "ivo"]), "ina ivo");
    assert_eq!(instructors(admin(), &["ivo", "ina"]), "ivo ina");
    assert_eq!(instructors(admin(), &[]), "ada");
}

#[test]
fn only_instructors_and_admins_create_and_the_others_hear_nothing_else() {
    let refusal = Refusal::Forbidden { rule: "only instructors and admins create courses" };
    for role in [Role::Student, Role::Other] {
        for history in [vec![], vec![created()]] {
            let unlawful = NewCourse { title: String::new(), ..algebra() };
            let action =
                CourseAction::Create { course: Box::new(unlawful), code_owner: Some(id("c2")) };
            given(&history)
                .when(command(actor("sam", role), action))
                .then_expect_error(refusal.clone());
        }
    }
}

#[test]
fn a_course_id_is_taken_for_ever() {
    for history in [vec![created()], vec![created(), published()], vec![created(), deleted()]] {
        for actor in [ina(), admin(), actor("ivo", Role::Instructor)] {
            given(&history)
                .when(command(actor, create(algebra())))
                .then_expect_error(Refusal::CourseIdTaken);
        }
    }
}

#[test]
fn a_code_that_another_course_holds_is_taken() {
    let with_owner = |owner: &str| CourseAction::Create {
        course: Box::new(algebra()),
        code_owner: Some(id(owner)),
    };
    given(&[]).when(by_ina(with_owner("c2"))).then_expect_error(Refusal::CodeTaken);
    given(&[]).when(by_ina(with_owner("c1"))).then_expect_events(vec![created()]);
}

#[test]
fn every_limit_of_a_new_course_names_its_field() {
    let early = Some(at("2026-01-01T00:00:00Z"));
    let late = Some(at("2026-01-01T00:00:00.000000001Z"));
    let year_0 = at("2026-01-01T00:00:00Z").with_year(0);
    let year_10_000 = at("2026-01-01T00:00:00Z").with_year(10_000);
    let cases: Vec<(&str, NewCourse)> = vec![
        ("code", NewCourse { code: String::new(), ..algebra() }),
        ("code", NewCourse { code: "x".repeat(65), ..algebra() }),
        ("code", NewCourse { code: "MATH 201".to_owned(), ..algebra() }),
        ("code", NewCourse { code: "MÄTH".to_owned(), ..algebra() }),
        ("code", NewCourse { code: "MATH\n".to_owned(), ..algebra() }),
        ("code", NewCourse { code: "MATH\0".to_owned(), ..algebra() }),
        ("title", NewCourse { title: String::new(), ..algebra() }),
        ("title", NewCourse { title: " \u{a0}\t".to_owned(), ..algebra() }),
        ("title", NewCourse { title: "ü".repeat(256), ..algebra() }),
        ("title", NewCourse { title: "a\0b".to_owned(), ..algebra() }),
        ("description", NewCourse { description: Some("x".repeat(16 * 1024 + 1)), ..algebra() }),
        ("description", NewCourse { description: Some("ü".repeat(8 * 1024 + 1)), ..algebra() }),
        ("description", NewCourse { description: Some("\0".to_owned()), ..algebra() }),
        ("tags", NewCourse { tags: (0..51).map(|n| n.to_string()).collect(), ..algebra() }),
        ("tags", NewCourse { tags: vec!["x".repeat(65)], ..algebra() }),
        ("tags", NewCourse { tags: vec!["ü".repeat(33)], ..algebra() }),
        ("tags", NewCourse { tags: vec![String::new()], ..algebra() }),
        ("tags", NewCourse { tags: vec![" ".to_owned()], ..algebra() }),
        ("tags", NewCourse { tags: vec!["a\0".to_owned()], ..algebra() }),
        ("tags", NewCourse { tags: vec!["a".to_owned(), "a".to_owned()], ..algebra() }),
        ("passingScore", NewCourse { passing_score: Some(-0.1), ..algebra() }),
        ("passingScore", NewCourse { passing_score: Some(100.1), ..algebra() }),
        ("passingScore", NewCourse { passing_score: Some(f64::NAN), ..algebra() }),
        ("passingScore", NewCourse { passing_score: Some(f64::INFINITY), ..algebra() }),
        ("capacity", NewCourse { capacity: Some(-1), ..algebra() }),
        ("capacity", NewCourse { capacity: Some(i64::from(i32::MAX) + 1), ..algebra() }),
        ("capacity", NewCourse { capacity: Some(i64::MIN), ..algebra() }),
        ("startsAt", NewCourse { starts_at: year_0, ..algebra() }),
        ("endsAt", NewCourse { ends_at: year_10_000, ..algebra() }),
        ("enrollmentOpensAt", NewCourse { enrollment_opens_at: year_0, ..algebra() }),
        ("enrollmentClosesAt", NewCourse { enrollment_closes_at: year_10_000, ..algebra() }),
        ("endsAt", NewCourse { starts_at: late, ends_at: early, ..algebra() }),
        (
            "enrollmentClosesAt",
            NewCourse { enrollment_opens_at: late, enrollment_closes_at: early, ..algebra() },
        ),
    ];
    for (field, course) in cases {
        let refusal = Course::default().decide(&by_ina(create(course))).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.field()),
            (Code::ValidationFailed, Some(field)),
            "{refusal}"
        );
    }
}

#[test]
fn the_edges_of_every_limit_are_lawful() {
    let instant = Some(at("2026-01-01T00:00:00Z"));
    let edge = NewCourse {
        code: "Az09._-".to_owned() + &"x".repeat(57),
        title: "\u{1f600}".repeat(255),
        description: Some("x".repeat(16 * 1024)),
        tags: (0..50).map(|n| format!("{n:064}")).collect(),
        passing_score: Some(100.0),
        capacity: Some(i64::from(i32::MAX)),
        starts_at: instant,
        ends_at: instant,
        enrollment_opens_at: instant,
        enrollment_closes_at: instant,
        co_instructor_ids: (0..49).map(|n| user(&n.to_string())).collect(),
        ..algebra()
    };
    let other_edge = NewCourse {
        code: "a".to_owned(),
        title: "a".to_owned(),
        description: Some(String::new()),
        passing_score: Some(0.0),
        capacity: Some(0),
        starts_at: at("2026-01-01T00:00:00Z").with_year(1),
        ends_at: at("2026-01-01T00:00:00Z").with_year(9999),
        ..algebra()
    };
    for course in [edge, other_edge] {
        assert_eq!(Course::default().decide(&by_ina(create(course))).unwrap().len(), 1);
    }
}

#[test]
fn a_course_has_at_most_fifty_instructors() {
    let course = NewCourse {
        co_instructor_ids: (0..50).map(|n| user(&n.to_string())).collect(),
        ..algebra()
    };
    given(&[]).when(by_ina(create(course.clone()))).then_expect_error(Refusal::LimitExceeded {
        field: "coInstructorIds",
        rule: "at most 50 instructors a course",
    });
    assert!(Course::default().decide(&command(admin(), create(course))).is_ok());
}

// Who may, and what they believe

#[test]
fn what_does_not_exist_is_not_found_for_everybody() {
    for actor in strangers().into_iter().chain([ina(), admin()]) {
        for action in unlawful_actions() {
            given(&[])
                .when(command(actor.clone(), action))
                .then_expect_error(Refusal::course_not_found());
        }
    }
}

#[test]
fn a_draft_or_deleted_course_is_not_found_for_who_may_not_see_it() {
    for history in [vec![created()], vec![created(), published(), deleted()]] {
        for actor in strangers() {
            for action in unlawful_actions() {
                let command =
                    CourseCommand { expected_version: Some(99), ..command(actor.clone(), action) };
                given(&history).when(command).then_expect_error(Refusal::course_not_found());
            }
        }
    }
}

#[test]
fn who_may_not_change_a_published_course_hears_forbidden_before_anything_else() {
    for actor in strangers() {
        for action in unlawful_actions() {
            let command =
                CourseCommand { expected_version: Some(99), ..command(actor.clone(), action) };
            given(&[created(), published()]).when(command).then_expect_error(Refusal::Forbidden {
                rule: "only an instructor of the course or an admin may",
            });
        }
    }
}

#[test]
fn every_instructor_of_the_course_and_every_admin_may_change_it() {
    for actor in [ina(), admin()] {
        given(&[created()])
            .when(command(actor, CourseAction::Publish))
            .then_expect_events(vec![published()]);
    }
}

#[test]
fn another_version_than_the_expected_is_a_conflict_before_the_content_is_looked_at() {
    for expected in [0, 1, 3, u64::MAX] {
        for action in unlawful_actions() {
            let command = CourseCommand { expected_version: Some(expected), ..by_ina(action) };
            given(&[created(), published()])
                .when(command)
                .then_expect_error(Refusal::VersionConflict { expected, actual: 2 });
        }
    }
}

#[test]
fn the_expected_version_lets_a_command_through() {
    let command = CourseCommand { expected_version: Some(1), ..by_ina(CourseAction::Publish) };
    given(&[created()]).when(command).then_expect_events(vec![published()]);
}

#[test]
fn everybody_sees_what_is_published_and_only_its_instructors_and_admins_the_rest() {
    let draft = fold(&[created()]);
    let open = fold(&[created(), published()]);
    let gone = fold(&[created(), published(), deleted()]);
    for actor in [ina(), admin()] {
        assert!(draft.visible_to(&actor) && open.visible_to(&actor) && gone.visible_to(&actor));
        assert!(!Course::default().visible_to(&actor));
    }
    for actor in strangers() {
        assert!(!draft.visible_to(&actor) && open.visible_to(&actor) && !gone.visible_to(&actor));
    }
}

// Update

#[test]
fn an_update_says_only_what_differs() {
    let patch = CoursePatch {
        code: Patch::Set("MATH-201".to_owned()),
        title: Patch::Set("Algebra".to_owned()),
        ..CoursePatch::default()
    };
    given(&[created()]).when(by_ina(update(patch))).then_expect_events(vec![
        CourseEvent::CourseDetailsChanged {
            code: None,
            title: Some("Algebra".to_owned()),
            description: None,
            tags: None,
            passing_score: None,
        },
    ]);
}

#[test]
fn an_update_of_everything_is_one_event_for_details_schedule_and_capacity_each() {
    let patch = CoursePatch {
        code: Patch::Set("MATH-202".to_owned()),
        title: Patch::Set("Algebra".to_owned()),
        description: Patch::Set("Matrices".to_owned()),
        tags: Patch::Set(vec!["algebra".to_owned()]),
        passing_score: Patch::Set(60.0),
        capacity: Patch::Set(0),
        starts_at: Patch::Set(at("2026-11-01T00:00:00Z")),
        ends_at: Patch::Set(at("2027-03-01T00:00:00Z")),
        enrollment_opens_at: Patch::Set(at("2026-09-01T00:00:00Z")),
        enrollment_closes_at: Patch::Set(at("2026-11-15T00:00:00Z")),
    };
    let history = [created_in_full()];
    let events = vec![
        CourseEvent::CourseDetailsChanged {
            code: Some("MATH-202".to_owned()),
            title: Some("Algebra".to_owned()),
            description: Some(Some("Matrices".to_owned())),
            tags: Some(vec!["algebra".to_owned()]),
            passing_score: Some(Some(60.0)),
        },
        CourseEvent::CourseScheduleChanged {
            starts_at: Some(Some(at("2026-11-01T00:00:00Z"))),
            ends_at: Some(Some(at("2027-03-01T00:00:00Z"))),
            enrollment_opens_at: Some(Some(at("2026-09-01T00:00:00Z"))),
            enrollment_closes_at: Some(Some(at("2026-11-15T00:00:00Z"))),
        },
        CourseEvent::CourseCapacityChanged { capacity: Some(0) },
    ];
    given(&history).when(by_ina(update(patch.clone()))).then_expect_events(events.clone());
    let after: Vec<_> = history.into_iter().chain(events).collect();
    given(&after).when(by_ina(update(patch))).then_expect_events(vec![]);
}

#[test]
fn null_clears_what_may_be_empty() {
    let patch = CoursePatch {
        description: Patch::Clear,
        tags: Patch::Clear,
        passing_score: Patch::Clear,
        capacity: Patch::Clear,
        starts_at: Patch::Clear,
        ends_at: Patch::Clear,
        enrollment_opens_at: Patch::Clear,
        enrollment_closes_at: Patch::Clear,
        ..CoursePatch::default()
    };
    let history = [created_in_full()];
    let events = vec![
        CourseEvent::CourseDetailsChanged {
            code: None,
            title: None,
            description: Some(None),
            tags: Some(Vec::new()),
            passing_score: Some(None),
        },
        CourseEvent::CourseScheduleChanged {
            starts_at: Some(None),
            ends_at: Some(None),
            enrollment_opens_at: Some(None),
            enrollment_closes_at: Some(None),
        },
        CourseEvent::CourseCapacityChanged { capacity: None },
    ];
    given(&history).when(by_ina(update(patch.clone()))).then_expect_events(events.clone());
    let after: Vec<_> = history.into_iter().chain(events).collect();
    assert_eq!(fold(&after), Course { version: 4, ..fold(&[created()]) });
    given(&after).when(by_ina(update(patch))).then_expect_events(vec![]);
}

#[test]
fn null_is_no_code_and_no_title() {
    let code = CoursePatch { code: Patch::Clear, ..CoursePatch::default() };
    let title = CoursePatch { title: Patch::Clear, ..CoursePatch::default() };
    for (field, patch) in [("code", code), ("title", title)] {
        given(&[created()])
            .when(by_ina(update(patch)))
            .then_expect_error(Refusal::invalid(field, "cannot be null"));
    }
}

#[test]
fn an_update_without_a_change_appends_nothing() {
    let same = CoursePatch {
        code: Patch::Set("MATH-201".to_owned()),
        title: Patch::Set("Linear Algebra".to_owned()),
        description: Patch::Set("Vectors".to_owned()),
        tags: Patch::Set(vec!["math".to_owned()]),
        passing_score: Patch::Set(50.0),
        capacity: Patch::Set(30),
        starts_at: Patch::Set(at("2026-10-01T00:00:00Z")),
        ends_at: Patch::Set(at("2027-02-01T00:00:00Z")),
        enrollment_opens_at: Patch::Set(at("2026-08-01T00:00:00Z")),
        enrollment_closes_at: Patch::Set(at("2026-10-15T00:00:00Z")),
    };
    for patch in [CoursePatch::default(), same] {
        given(&[created_in_full()]).when(by_ina(update(patch))).then_expect_events(vec![]);
    }
}

#[test]
fn every_limit_of_an_update_names_its_field() {
    let long_ago = at("2000-01-01T00:00:00Z");
    let far_off = at("2100-01-01T00:00:00Z");
    let year_0 = at("2026-01-01T00:00:00Z").with_year(0).unwrap();
    let keep = CoursePatch::default;
    let cases: Vec<(&str, CoursePatch)> = vec![
        ("code", CoursePatch { code: Patch::Set("a b".to_owned()), ..keep() }),
        ("title", CoursePatch { title: Patch::Set("x".repeat(256)), ..keep() }),
        ("description", CoursePatch { description: Patch::Set("\0".to_owned()), ..keep() }),
        ("description", CoursePatch { description: Patch::Set("x".repeat(20_000)), ..keep() }),
        ("tags", CoursePatch { tags: Patch::Set(vec!["x".repeat(65)]), ..keep() }),
        ("passingScore", CoursePatch { passing_score: Patch::Set(f64::NAN), ..keep() }),
        ("capacity", CoursePatch { capacity: Patch::Set(-1), ..keep() }),
        ("startsAt", CoursePatch { starts_at: Patch::Set(year_0), ..keep() }),
        // against the other end as it stands
        ("endsAt", CoursePatch { ends_at: Patch::Set(long_ago), ..keep() }),
        ("endsAt", CoursePatch { starts_at: Patch::Set(far_off), ..keep() }),
        (
            "enrollmentClosesAt",
            CoursePatch { enrollment_closes_at: Patch::Set(long_ago), ..keep() },
        ),
        ("enrollmentClosesAt", CoursePatch { enrollment_opens_at: Patch::Set(far_off), ..keep() }),
    ];
    for (field, patch) in cases {
        let refusal = fold(&[created_in_full()]).decide(&by_ina(update(patch))).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.field()),
            (Code::ValidationFailed, Some(field)),
            "{refusal}"
        );
    }
}

#[test]
fn a_range_may_move_as_a_whole_and_end_when_its_start_is_cleared() {
    let moved = CoursePatch {
        starts_at: Patch::Set(at("2000-01-01T00:00:00Z")),
        ends_at: Patch::Set(at("2000-01-01T00:00:00Z")),
        ..CoursePatch::default()
    };
    let cleared = CoursePatch {
        starts_at: Patch::Clear,
        ends_at: Patch::Set(at("2000-01-01T00:00:00Z")),
        ..CoursePatch::default()
    };
    for patch in [moved, cleared] {
        let events = fold(&[created_in_full()]).decide(&by_ina(update(patch))).unwrap();
        assert!(matches!(events.as_slice(), [CourseEvent::CourseScheduleChanged { .. }]));
    }
}

#[test]
fn an_update_to_a_code_that_another_course_holds_is_refused() {
    let with_code = |code: &str, owner: &str| CourseAction::Update {
        patch: Box::new(CoursePatch {
            code: Patch::Set(code.to_owned()),
            ..CoursePatch::default()
        }),
        code_owner: Some(id(owner)),
    };
    given(&[created()])
        .when(by_ina(with_code("MATH-202", "c2")))
        .then_expect_error(Refusal::CodeTaken);
    // Its own code in another case is its own still.
    given(&[created()]).when(by_ina(with_code("math-201", "c1"))).then_expect_events(vec![
        CourseEvent::CourseDetailsChanged {
            code: Some("math-201".to_owned()),
            title: None,
            description: None,
            tags: None,
            passing_score: None,
        },
    ]);
}

// Lifecycle

#[test]
fn publishing_twice_changes_nothing() {
    given(&[created()]).when(by_ina(CourseAction::Publish)).then_expect_events(vec![published()]);
    given(&[created(), published()]).when(by_ina(CourseAction::Publish)).then_expect_events(vec![]);
}

#[test]
fn a_course_is_deleted_from_any_state_and_only_once() {
    for history in [vec![created()], vec![created(), published()]] {
        given(&history).when(by_ina(delete(0, false))).then_expect_events(vec![deleted()]);
    }
    for force in [false, true] {
        given(&[created(), deleted()]).when(by_ina(delete(3, force))).then_expect_events(vec![]);
    }
}

#[test]
fn a_course_with_seats_taken_is_deleted_only_by_force() {
    given(&[created(), published()])
        .when(by_ina(delete(3, false)))
        .then_expect_error(Refusal::SeatsTaken { taken: 3 });
    given(&[created(), published()])
        .when(by_ina(delete(3, true)))
        .then_expect_events(vec![deleted()]);
}

#[test]
fn the_reason_of_a_deletion_is_kept_and_limited() {
    let because = |reason: String| {
        by_ina(CourseAction::Delete { force: false, reason: Some(reason), seats_taken: 0 })
    };
    let longest = "x".repeat(1_024);
    given(&[created()])
        .when(because(longest.clone()))
        .then_expect_events(vec![CourseEvent::CourseDeleted { reason: Some(longest) }]);
    given(&[created()])
        .when(because("x".repeat(1_025)))
        .then_expect_error(Refusal::invalid("reason", "must be at most 1 KiB"));
    given(&[created()])
        .when(because("\0".to_owned()))
        .then_expect_error(Refusal::invalid("reason", "must not contain the character U+0000"));
}

#[test]
fn a_deleted_course_accepts_nothing_else() {
    let lawful = [
        (update(CoursePatch::default()), "be changed"),
        (CourseAction::Publish, "be published"),
        (add_module("m2", None), "get a module"),
        (update_module("m1", ModulePatch::default()), "be changed"),
    ];
    for actor in [ina(), admin()] {
        for (action, verb) in lawful.clone() {
            given(&[created(), added("m1", 0), deleted()])
                .when(command(actor.clone(), action))
                .then_expect_error(Refusal::IllegalTransition {
                    object: "course",
                    status: "DELETED",
                    verb,
                });
        }
    }
}

// Modules

#[test]
fn a_module_goes_to_the_end_unless_a_position_is_given() {
    let history = [created(), added("m1", 0), added("m2", 1)];
    for (wanted, position) in [(None, 2), (Some(0), 0), (Some(1), 1), (Some(2), 2)] {
        given(&history)
            .when(by_ina(add_module("m3", wanted)))
            .then_expect_events(vec![added("m3", position)]);
    }
}

#[test]
fn a_position_outside_of_the_list_is_refused() {
    for position in [-1, 1, i64::MIN, i64::MAX] {
        given(&[created()])
            .when(by_ina(add_module("m1", Some(position))))
            .then_expect_error(Refusal::invalid("position", POSITION_RULE));
    }
}

#[test]
fn modules_stand_where_they_were_inserted_and_start_published() {
    let course = fold(&[created(), added("m1", 0), added("m2", 0), added("m3", 1)]);
    let order: Vec<_> = course.modules.iter().map(|module| module.id.as_str()).collect();
    assert_eq!(order, ["m2", "m3", "m1"]);
    for (name, version) in [("m1", 2), ("m2", 3), ("m3", 4)] {
        let module = course.module(&module_id(name)).unwrap();
        assert_eq!(module.state, PublicationState::Published);
        assert_eq!((module.added_in, module.changed_in), (version, version));
    }
}

#[test]
fn every_limit_of_a_module_names_its_field() {
    let too_long = "x".repeat(16 * 1024 + 1);
    let add = |title: &str, summary: Option<&str>| CourseAction::AddModule {
        module_id: module_id("m2"),
        title: title.to_owned(),
        summary: summary.map(str::to_owned),
        position: None,
    };
    let set = |text: &str| Patch::Set(text.to_owned());
    let titled = |title| ModulePatch { title, ..ModulePatch::default() };
    let summarized = |summary| ModulePatch { summary, ..ModulePatch::default() };
    let cases = [
        ("title", add("", None)),
        ("title", add(" ", None)),
        ("title", add(&"x".repeat(256), None)),
        ("title", add("\0", None)),
        ("summary", add("ok", Some("\0"))),
        ("summary", add("ok", Some(&too_long))),
        ("title", update_module("m1", titled(set("")))),
        ("title", update_module("m1", titled(Patch::Clear))),
        ("summary", update_module("m1", summarized(set("\0")))),
        ("summary", update_module("m1", summarized(set(&too_long)))),
        (
            "state",
            update_module("m1", ModulePatch { state: Patch::Clear, ..ModulePatch::default() }),
        ),
    ];
    for (field, action) in cases {
        let refusal = fold(&[created(), added("m1", 0)]).decide(&by_ina(action)).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.field()),
            (Code::ValidationFailed, Some(field)),
            "{refusal}"
        );
    }
    given(&[created()])
        .when(by_ina(add("", None)))
        .then_expect_error(Refusal::invalid("title", TITLE_RULE));
}

#[test]
fn a_course_has_at_most_two_hundred_modules() {
    let mut history = vec![created()];
    for position in 0..u32::try_from(MAX_MODULES).unwrap() - 1 {
        history.push(added(&format!("m{position}"), position));
    }
    given(&history)
        .when(by_ina(add_module("last", None)))
        .then_expect_events(vec![added("last", 199)]);
    history.push(added("last", 199));
    for position in [None, Some(0), Some(200)] {
        given(&history).when(by_ina(add_module("more", position))).then_expect_error(
            Refusal::LimitExceeded { field: "modules", rule: "at most 200 a course" },
        );
    }
}

#[test]
fn a_module_changes_only_where_it_differs() {
    let patch = ModulePatch {
        title: Patch::Set("M1".to_owned()),
        summary: Patch::Set("Bases".to_owned()),
        state: Patch::Set(PublicationState::Unpublished),
    };
    let changed = CourseEvent::ModuleDetailsChanged {
        module_id: module_id("m1"),
        title: None,
        summary: Some(Some("Bases".to_owned())),
        state: Some(PublicationState::Unpublished),
    };
    let mut history = vec![created(), added("m1", 0), added("m2", 1)];
    given(&history)
        .when(by_ina(update_module("m1", patch.clone())))
        .then_expect_events(vec![changed.clone()]);
    history.push(changed);
    given(&history).when(by_ina(update_module("m1", patch))).then_expect_events(vec![]);
    given(&history)
        .when(by_ina(update_module("m1", ModulePatch::default())))
        .then_expect_events(vec![]);

    let course = fold(&history);
    let module = course.module(&module_id("m1")).unwrap();
    assert_eq!((module.added_in, module.changed_in), (2, 4));
    assert_eq!(course.module(&module_id("m2")).unwrap().changed_in, 3);
}

#[test]
fn null_clears_the_summary_of_a_module_once() {
    let clear = || {
        let patch = ModulePatch { summary: Patch::Clear, ..ModulePatch::default() };
        by_ina(update_module("m1", patch))
    };
    let changed = |summary| CourseEvent::ModuleDetailsChanged {
        module_id: module_id("m1"),
        title: None,
        summary: Some(summary),
        state: None,
    };
    let with_summary = [created(), added("m1", 0), changed(Some("Bases".to_owned()))];
    given(&with_summary).when(clear()).then_expect_events(vec![changed(None)]);
    given(&[created(), added("m1", 0)]).when(clear()).then_expect_events(vec![]);
}

#[test]
fn a_module_that_the_course_has_not_cannot_be_changed() {
    given(&[created(), added("m1", 0)])
        .when(by_ina(update_module("m2", ModulePatch::default())))
        .then_expect_error(Refusal::ModuleNotFound);
}

#[test]
fn a_course_that_would_not_fit_into_a_record_is_refused() {
    let refusal =
        Refusal::LimitExceeded { field: "course", rule: "its JSON must stay within 240 KiB" };
    let long = "\u{1}".repeat(255); // six bytes of JSON each
    let add = |n: u32| CourseAction::AddModule {
        module_id: module_id(&format!("m{n}")),
        title: long.clone(),
        summary: None,
        position: None,
    };
    let mut course = fold(&[created(), added("small", 0)]);
    let mut refused = None;
    for n in 0..200 {
        match course.decide(&by_ina(add(n))) {
            Ok(events) => events.into_iter().for_each(|event| course.apply(event)),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
        assert!(course.outgoing_bytes() <= MAX_OUTGOING_BYTES);
    }
    assert_eq!(refused.as_ref(), Some(&refusal));

    let describe = CoursePatch {
        description: Patch::Set("\u{1}".repeat(16 * 1024)),
        ..CoursePatch::default()
    };
    assert_eq!(course.decide(&by_ina(update(describe))), Err(refusal.clone()));
    let retitle =
        |title: &str| ModulePatch { title: Patch::Set(title.to_owned()), ..ModulePatch::default() };
    assert_eq!(course.decide(&by_ina(update_module("small", retitle(&long)))), Err(refusal));
    assert!(course.decide(&by_ina(update_module("small", retitle("tiny")))).is_ok());
    assert!(course.decide(&by_ina(CourseAction::Publish)).is_ok());
}

#[test]
fn the_outgoing_size_is_not_below_the_json_that_goes_out() {
    let text = "\"\\\u{1}\n\u{7f}ü\u{1f600}";
    let course = NewCourse {
        description: Some(text.repeat(500)),
        tags: vec![text.to_owned(), "b".to_owned()],
        title: text.to_owned(),
        co_instructor_ids: vec![user("a\"b"), user("c")],
        ..algebra()
    };
    let mut course = fold(&Course::default().decide(&by_ina(create(course))).unwrap());
    for n in 0..200 {
        let mut event = added(&format!("m{n}"), 0);
        if let CourseEvent::ModuleAdded { title, .. } = &mut event {
            text.clone_into(title);
        }
        course.apply(event);
    }
    let modules: Vec<_> = course
        .modules
        .iter()
        .enumerate()
        .map(|(position, module)| {
            serde_json::json!({
                "id": module.id, "title": module.title, "position": position,
                "status": PublicationState::Unpublished,
            })
        })
        .collect();
    let varying = serde_json::json!([
        course.code,
        course.title,
        course.description,
        course.tags,
        course.instructor_ids[0],
        course.instructor_ids,
        modules,
    ]);
    let fixed = 7 + 6 + 1; // commas and brackets here, named fields there: part of the envelope
    assert!(varying.to_string().len() <= course.outgoing_bytes() + fixed);
}

// Names that stand in the log, in answers and on Kafka

#[test]
fn a_status_reads_the_same_everywhere() {
    for status in
        [CourseStatus::Missing, CourseStatus::Draft, CourseStatus::Published, CourseStatus::Deleted]
    {
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
    for state in [PublicationState::Unpublished, PublicationState::Published] {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
}

#[test]
fn a_course_survives_its_own_json() {
    let course = fold(&[created_in_full(), added("m1", 0), published()]);
    let json = serde_json::to_value(&course).unwrap();
    assert_eq!(serde_json::from_value::<Course>(json).unwrap(), course);
}

//! Creating a course, and who may ask a course for anything.

use super::*;

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
            given(&[created(), published()]).when(command).then_expect_error(
                Refusal::VersionConflict { object: "course", expected, actual: 2 },
            );
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

//! Changing, publishing and deleting a course.

use super::*;

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
        (remove_module("m1"), "be changed"),
        (reorder_modules(&["m1"]), "be changed"),
        (add_item("m1", page("t2")), "be changed"),
        (update_item("t1", ItemPatch::default()), "be changed"),
        (remove_item("t1"), "be changed"),
        (reorder_items("m1", &["t1"]), "be changed"),
        (assign("ina"), "be changed"),
        (dismiss("ivo"), "be changed"),
        (unpublish(0, 0), "be unpublished"),
        (CourseAction::Archive, "be archived"),
        (CourseAction::Restore, "be restored"),
    ];
    let history = [created(), added("m1", 0), page_added("m1", "t1", 0), deleted()];
    for actor in [ina(), admin()] {
        for (action, verb) in lawful.clone() {
            given(&history).when(command(actor.clone(), action)).then_expect_error(
                Refusal::IllegalTransition { object: "course", status: "DELETED", verb },
            );
        }
    }
}

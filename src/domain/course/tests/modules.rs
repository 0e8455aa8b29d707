//! Adding and changing modules, and the size of what goes out.

use super::*;

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

//! The items of a module.

use super::*;

const ITEM_POSITION_RULE: &str = "must be from 0 to the number of items";

/// A module with these pages, and an empty one.
fn pages(names: &[&str]) -> Vec<CourseEvent> {
    let items = names.iter().map(|name| page_added("m1", name, u32::MAX));
    [created(), added("m1", 0), added("m2", 1)].into_iter().chain(items).collect()
}

fn order(history: &[CourseEvent]) -> Vec<String> {
    let course = fold(history);
    course.module(&module_id("m1")).unwrap().items.iter().map(|item| item.id.to_string()).collect()
}

fn video(text: &str) -> VideoId {
    VideoId::parse(text, "videoId").unwrap()
}

fn assessment(text: &str) -> AssessmentId {
    AssessmentId::parse(text, "assessmentId").unwrap()
}

fn link(url: &str) -> String {
    url.to_owned()
}

/// A lawful item of this kind, with nothing that it does not need.
fn item_of(kind: ItemKind) -> NewItem {
    let item = NewItem { kind, ..page("t1") };
    match kind {
        ItemKind::Page => item,
        ItemKind::Video => NewItem { video_id: Some(video("v")), ..item },
        ItemKind::Assessment => NewItem { assessment_id: Some(assessment("a")), ..item },
        ItemKind::File | ItemKind::Link => {
            NewItem { url: Some(link("https://example.org/")), ..item }
        }
    }
}

fn change(name: &str) -> CourseEvent {
    CourseEvent::ModuleItemChanged {
        module_id: module_id("m1"),
        item_id: item_id(name),
        title: None,
        required: None,
        url: None,
        state: None,
    }
}

fn too_long_to_send() -> Refusal {
    Refusal::LimitExceeded { field: "module", rule: "its JSON must stay within 240 KiB" }
}

// Adding

#[test]
fn an_item_goes_to_the_end_unless_a_position_is_given() {
    let history = pages(&["t1", "t2"]);
    for (wanted, position) in [(None, 2), (Some(0), 0), (Some(1), 1), (Some(2), 2)] {
        let item = NewItem { position: wanted, ..page("t3") };
        given(&history)
            .when(by_ina(add_item("m1", item)))
            .then_expect_events(vec![page_added("m1", "t3", position)]);
    }
    for wanted in [-1, 3, i64::MIN, i64::MAX, 1 << 32] {
        let item = NewItem { position: Some(wanted), ..page("t3") };
        given(&history)
            .when(by_ina(add_item("m1", item)))
            .then_expect_error(Refusal::invalid("position", ITEM_POSITION_RULE));
    }
}

#[test]
fn items_stand_where_they_were_inserted_and_start_published() {
    let mut history = pages(&[]);
    history.extend([("t1", 0), ("t2", 0), ("t3", 1)].map(|(t, at)| page_added("m1", t, at)));
    assert_eq!(order(&history), ["t2", "t3", "t1"]);
    let course = fold(&history);
    let (module, item) = course.item(&item_id("t3")).unwrap();
    assert_eq!((module.id.as_str(), item.state), ("m1", PublicationState::Published));
    assert_eq!(
        (module.added_in, module.changed_in),
        (2, 2),
        "a module's own fields did not change"
    );
}

#[test]
fn an_item_of_every_kind_takes_what_belongs_to_it() {
    for kind in KINDS {
        for url in [item_of(kind).url, Some(link("http://example.org/a?b=c#d"))] {
            let item = NewItem { url, required: false, ..item_of(kind) };
            let added = CourseEvent::ModuleItemAdded {
                module_id: module_id("m2"),
                item_id: item_id("t1"),
                kind,
                title: "T1".to_owned(),
                required: false,
                position: 0,
                url: item.url.clone(),
                video_id: item.video_id.clone(),
                assessment_id: item.assessment_id.clone(),
            };
            given(&pages(&[]))
                .when(by_ina(add_item("m2", item.clone())))
                .then_expect_events(vec![added.clone()]);
            let course = fold(&[pages(&[]), vec![added]].concat());
            let (_, found) = course.item(&item_id("t1")).unwrap();
            let NewItem { id, kind, title, required, url, video_id, assessment_id, .. } = item;
            let state = PublicationState::Published;
            let item = ModuleItem {
                id,
                kind,
                title,
                required,
                state,
                url,
                video_id,
                assessment_id,
                video: None,
            };
            assert_eq!(found, &item);
        }
    }
}

#[test]
fn what_an_item_lacks_or_has_too_much_is_refused_with_its_field() {
    for kind in KINDS {
        let item = item_of(kind);
        let mut cases = vec![
            ("title", NewItem { title: String::new(), ..item.clone() }),
            ("title", NewItem { title: "x".repeat(256), ..item.clone() }),
            ("title", NewItem { title: "a\0".to_owned(), ..item.clone() }),
            ("url", NewItem { url: Some(link("example.org")), ..item.clone() }),
        ];
        if kind == ItemKind::Video {
            cases.push(("videoId", NewItem { video_id: None, ..item.clone() }));
        } else {
            cases.push(("videoId", NewItem { video_id: Some(video("v")), ..item.clone() }));
        }
        if kind == ItemKind::Assessment {
            cases.push(("assessmentId", NewItem { assessment_id: None, ..item.clone() }));
        } else {
            cases.push((
                "assessmentId",
                NewItem { assessment_id: Some(assessment("a")), ..item.clone() },
            ));
        }
        if matches!(kind, ItemKind::File | ItemKind::Link) {
            cases.push(("url", NewItem { url: None, ..item }));
        }
        for (field, item) in cases {
            let refusal = fold(&pages(&[])).decide(&by_ina(add_item("m1", item))).unwrap_err();
            assert_eq!(
                (refusal.code(), refusal.field()),
                (Code::ValidationFailed, Some(field)),
                "{kind:?}: {refusal}"
            );
        }
    }
}

#[test]
fn a_module_has_at_most_five_hundred_items() {
    let names: Vec<String> = (0..MAX_ITEMS).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let course = fold(&pages(&names[1..]));
    let added = page_added("m1", "last", 499);
    assert_eq!(course.decide(&by_ina(add_item("m1", page("last")))), Ok(vec![added]));
    let course = fold(&pages(&names));
    for position in [None, Some(0), Some(500)] {
        let more = NewItem { position, ..page("more") };
        assert_eq!(
            course.decide(&by_ina(add_item("m1", more.clone()))),
            Err(Refusal::LimitExceeded { field: "items", rule: "at most 500 a module" })
        );
        let elsewhere = NewItem { position: None, ..more };
        assert!(course.decide(&by_ina(add_item("m2", elsewhere))).is_ok());
    }
}

#[test]
fn a_module_or_item_that_does_not_exist_is_not_found_before_the_content_is_looked_at() {
    let nonsense = NewItem { title: String::new(), position: Some(-1), ..page("t2") };
    let untitled = ItemPatch { title: Patch::Clear, ..ItemPatch::default() };
    for (action, refusal) in [
        (add_item("m3", nonsense), Refusal::ModuleNotFound),
        (reorder_items("m3", &["t1", "t1"]), Refusal::ModuleNotFound),
        (update_item("t2", untitled), Refusal::item_not_found()),
        (remove_item("t2"), Refusal::item_not_found()),
    ] {
        given(&pages(&["t1"])).when(by_ina(action)).then_expect_error(refusal);
    }
    let refusal = Refusal::item_not_found();
    assert_eq!((refusal.code(), refusal.field()), (Code::NotFound, Some("moduleItemId")));
}

// Changing

#[test]
fn an_item_changes_only_where_it_differs() {
    let patch = ItemPatch {
        title: Patch::Set("T1".to_owned()),
        required: Patch::Set(false),
        url: Patch::Set("https://example.org/b".to_owned()),
        state: Patch::Set(PublicationState::Unpublished),
    };
    let changed = CourseEvent::ModuleItemChanged {
        module_id: module_id("m1"),
        item_id: item_id("t1"),
        title: None,
        required: Some(false),
        url: Some(Some(link("https://example.org/b"))),
        state: Some(PublicationState::Unpublished),
    };
    let mut history = pages(&["t1", "t2"]);
    given(&history)
        .when(by_ina(update_item("t1", patch.clone())))
        .then_expect_events(vec![changed.clone()]);
    let untouched = fold(&history).item(&item_id("t2")).unwrap().1.clone();
    history.push(changed);
    given(&history).when(by_ina(update_item("t1", patch))).then_expect_events(vec![]);
    given(&history)
        .when(by_ina(update_item("t1", ItemPatch::default())))
        .then_expect_events(vec![]);
    let course = fold(&history);
    let (_, item) = course.item(&item_id("t1")).unwrap();
    assert_eq!(item.url, Some(link("https://example.org/b")));
    assert_eq!((item.required, item.state), (false, PublicationState::Unpublished));
    assert_eq!(course.item(&item_id("t2")).unwrap().1, &untouched);
}

#[test]
fn null_clears_a_url_where_the_kind_can_do_without() {
    let clear = || update_item("t1", ItemPatch { url: Patch::Clear, ..ItemPatch::default() });
    for kind in KINDS {
        let item = NewItem { url: Some(link("https://example.org/")), ..item_of(kind) };
        let mut history = pages(&[]);
        history.extend(fold(&history).decide(&by_ina(add_item("m1", item))).unwrap());
        let given = given(&history).when(by_ina(clear()));
        if matches!(kind, ItemKind::File | ItemKind::Link) {
            let rule = "cannot be null: a FILE or LINK needs one";
            given.then_expect_error(Refusal::invalid("url", rule));
        } else {
            let mut cleared = change("t1");
            if let CourseEvent::ModuleItemChanged { url, .. } = &mut cleared {
                *url = Some(None);
            }
            given.then_expect_events(vec![cleared]);
        }
    }
    given(&pages(&["t1"])).when(by_ina(clear())).then_expect_events(vec![]);
}

#[test]
fn every_limit_of_a_change_names_its_field() {
    let keep = ItemPatch::default;
    for (field, patch) in [
        ("title", ItemPatch { title: Patch::Clear, ..keep() }),
        ("title", ItemPatch { title: Patch::Set(" ".to_owned()), ..keep() }),
        ("title", ItemPatch { title: Patch::Set("x".repeat(256)), ..keep() }),
        ("required", ItemPatch { required: Patch::Clear, ..keep() }),
        ("url", ItemPatch { url: Patch::Set(String::new()), ..keep() }),
        ("url", ItemPatch { url: Patch::Set("/a".to_owned()), ..keep() }),
        ("state", ItemPatch { state: Patch::Clear, ..keep() }),
    ] {
        let refusal = fold(&pages(&["t1"])).decide(&by_ina(update_item("t1", patch))).unwrap_err();
        assert_eq!(
            (refusal.code(), refusal.field()),
            (Code::ValidationFailed, Some(field)),
            "{refusal}"
        );
    }
}

// Removing and order

#[test]
fn a_removed_item_is_gone_and_the_rest_moves_up() {
    let mut history = pages(&["t1", "t2", "t3"]);
    let removed =
        CourseEvent::ModuleItemRemoved { module_id: module_id("m1"), item_id: item_id("t2") };
    given(&history).when(by_ina(remove_item("t2"))).then_expect_events(vec![removed.clone()]);
    history.push(removed);
    assert_eq!(order(&history), ["t1", "t3"]);
    given(&history).when(by_ina(remove_item("t2"))).then_expect_error(Refusal::item_not_found());
}

#[test]
fn items_take_the_order_that_is_asked_for_and_the_same_order_changes_nothing() {
    let mut history = pages(&["t1", "t2", "t3"]);
    let reordered = CourseEvent::ModuleItemsReordered {
        module_id: module_id("m1"),
        item_ids: ["t3", "t1", "t2"].map(item_id).to_vec(),
    };
    let action = reorder_items("m1", &["t3", "t1", "t2"]);
    given(&history).when(by_ina(action.clone())).then_expect_events(vec![reordered.clone()]);
    history.push(reordered);
    assert_eq!(order(&history), ["t3", "t1", "t2"]);
    given(&history).when(by_ina(action)).then_expect_events(vec![]);
    given(&history).when(by_ina(reorder_items("m2", &[]))).then_expect_events(vec![]);
}

#[test]
fn an_order_that_is_not_a_permutation_of_the_items_is_refused() {
    let refusal = Refusal::OrderMismatch { field: "moduleItemIds", object: "item" };
    assert_eq!(
        (refusal.code(), refusal.field()),
        (Code::ModuleOrderMismatch, Some("moduleItemIds"))
    );
    let mut history = pages(&["t1", "t2"]);
    history.push(page_added("m2", "other", 0));
    let wrong: [&[&str]; 6] = [
        &[],
        &["t1"],
        &["t1", "t1"],
        &["t1", "other"],
        &["t1", "t2", "other"],
        &["t2", "t1", "t2"],
    ];
    for wanted in wrong {
        given(&history)
            .when(by_ina(reorder_items("m1", wanted)))
            .then_expect_error(refusal.clone());
    }
}

// The size of what goes out

#[test]
fn a_module_that_would_not_fit_into_a_record_is_refused() {
    let long = "\u{1}".repeat(255); // six bytes of JSON each
    let item = |n: usize| NewItem { title: long.clone(), ..page(&format!("t{n}")) };
    let mut course = fold(&pages(&["small"]));
    let mut refused = None;
    for n in 0..MAX_ITEMS {
        match course.decide(&by_ina(add_item("m1", item(n)))) {
            Ok(events) => events.into_iter().for_each(|event| course.apply(event)),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
        assert!(course.modules[0].outgoing_bytes() <= MAX_OUTGOING_BYTES);
    }
    assert_eq!(refused, Some(too_long_to_send()));
    let set = |text: &str| Patch::Set(text.to_owned());
    let far = format!("https://example.org/{}", "x".repeat(2_000));
    let unlawful = [
        update_item("small", ItemPatch { title: set(&long), ..ItemPatch::default() }),
        update_item("small", ItemPatch { url: set(&far), ..ItemPatch::default() }),
        update_module("m1", ModulePatch { title: set(&long), ..ModulePatch::default() }),
        update_module("m1", ModulePatch { summary: set(&long), ..ModulePatch::default() }),
    ];
    for action in unlawful {
        assert_eq!(course.decide(&by_ina(action)), Err(too_long_to_send()));
    }
    let lawful = [
        update_item("small", ItemPatch { title: set("tiny"), ..ItemPatch::default() }),
        update_item("t0", ItemPatch { title: set("less"), ..ItemPatch::default() }),
        update_module("m1", ModulePatch { title: set("N"), ..ModulePatch::default() }),
        add_item("m2", item(0)),
        remove_item("t0"),
        CourseAction::Publish,
        add_module("m3", None),
    ];
    for action in lawful {
        assert!(course.decide(&by_ina(action.clone())).is_ok(), "{action:?}");
    }
}

#[test]
fn what_the_items_need_does_not_count_against_the_course() {
    let mut course = fold(&pages(&[]));
    let before = course.outgoing_bytes();
    course.apply(page_added("m1", "t1", 0));
    assert_eq!(course.outgoing_bytes(), before);
}

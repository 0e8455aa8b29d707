//! Items, what is removed and who teaches: what the records of a course and its modules say of them.

use super::*;
use crate::domain::AssessmentId;
use crate::domain::ItemId;
use crate::domain::VideoId;
use crate::domain::course::ItemKind;

fn item_id(id: &str) -> ItemId {
    ItemId::parse(id, "itemId").unwrap()
}

fn item_added(module: &str, id: &str, kind: ItemKind, position: u32) -> Event {
    let video_id = (kind == ItemKind::Video).then(|| VideoId::parse("v-9", "videoId").unwrap());
    let assessment_id =
        (kind == ItemKind::Assessment).then(|| AssessmentId::parse("a-9", "assessmentId").unwrap());
    let url = (kind == ItemKind::Link).then(|| "https://example.org/a".to_owned());
    Event::Course(CourseEvent::ModuleItemAdded {
        module_id: module_id(module),
        item_id: item_id(id),
        kind,
        title: format!("Item {id}"),
        required: kind == ItemKind::Video,
        position,
        url,
        video_id,
        assessment_id,
    })
}

fn history() -> Vec<Event> {
    vec![created(), module_added("m1"), item_added("m1", "t1", ItemKind::Page, 0)]
}

fn item(id: &str, kind: &str, position: usize) -> Value {
    json!({
        "id": id, "title": format!("Item {id}"), "kind": kind, "position": position,
        "required": false, "status": "PUBLISHED", "url": null, "videoId": null, "video": null,
        "assessmentId": null,
    })
}

fn with(mut object: Value, field: &str, value: impl Into<Value>) -> Value {
    object[field] = value.into();
    object
}

#[test]
fn a_new_item_is_an_update_of_its_module_with_all_its_items() {
    for (kind, name, field, reference) in [
        (ItemKind::Page, "PAGE", "url", Value::Null),
        (ItemKind::File, "FILE", "url", Value::Null),
        (ItemKind::Link, "LINK", "url", json!("https://example.org/a")),
        (ItemKind::Video, "VIDEO", "videoId", json!("v-9")),
        (ItemKind::Assessment, "ASSESSMENT", "assessmentId", json!("a-9")),
    ] {
        let records = told_of(history(), vec![item_added("m1", "t2", kind, 0)]);
        let record = only(&records);
        assert_eq!((record.topic, record.key.as_str()), (Topic::ModuleUpdate, "c1"));
        let new = with(item("t2", name, 0), field, reference);
        let new = with(new, "required", kind == ItemKind::Video);
        assert_eq!(
            value(record),
            json!({
                "courseId": "c1", "moduleId": "m1",
                "moduleData": {
                    "id": "m1", "title": "Module m1", "summary": null, "position": 0,
                    "status": "PUBLISHED", "items": [new, item("t1", "PAGE", 1)],
                    "assessments": [],
                },
                "changes": ["items"],
                "eventId": "00000000-0000-0000-0000-000000000064", "eventType": "ModuleUpdated",
                "schemaVersion": 1, "version": (2_u64 << 32) + 4,
                "occurredAt": "2026-09-12T08:00:00.123Z",
            })
        );
    }
}

#[test]
fn what_happens_to_the_items_of_a_module_is_one_update_of_it() {
    let changed = Event::Course(CourseEvent::ModuleItemChanged {
        module_id: module_id("m1"),
        item_id: item_id("t1"),
        title: Some("Bases".into()),
        required: Some(true),
        url: Some(Some("http://example.org".into())),
        state: Some(PublicationState::Unpublished),
    });
    let removed = Event::Course(CourseEvent::ModuleItemRemoved {
        module_id: module_id("m1"),
        item_id: item_id("t1"),
    });
    let reordered = Event::Course(CourseEvent::ModuleItemsReordered {
        module_id: module_id("m1"),
        item_ids: vec![item_id("t2"), item_id("t1")],
    });
    let t1 = json!({
        "id": "t1", "title": "Bases", "kind": "PAGE", "position": 0, "required": true,
        "status": "UNPUBLISHED", "url": "http://example.org", "videoId": null, "video": null,
        "assessmentId": null,
    });
    let cases = [
        (changed.clone(), json!([t1, item("t2", "PAGE", 1)])),
        (removed.clone(), json!([item("t2", "PAGE", 0)])),
        (reordered.clone(), json!([item("t2", "PAGE", 0), item("t1", "PAGE", 1)])),
    ];
    let mut history = history();
    history.push(item_added("m1", "t2", ItemKind::Page, 1));
    for (event, items) in cases {
        let records = told_of(history.clone(), vec![event]);
        let value = value(only(&records));
        assert_eq!(records[0].topic, Topic::ModuleUpdate);
        assert_eq!(value["changes"], json!(["items"]));
        assert_eq!(value["moduleData"]["items"], items);
    }
    let renamed = Event::Course(CourseEvent::ModuleDetailsChanged {
        module_id: module_id("m1"),
        title: Some("Vectors".into()),
        summary: None,
        state: None,
    });
    let records = told_of(history, vec![changed, renamed, reordered, removed]);
    assert_eq!(value(only(&records))["changes"], json!(["items", "title"]));
    assert_eq!(value(&records[0])["moduleData"]["items"], json!([item("t2", "PAGE", 0)]));
    assert_eq!(value(&records[0])["version"], json!((2_u64 << 32) + 8));
}

#[test]
fn items_that_come_with_their_module_are_told_by_its_creation() {
    let events = vec![module_added("m1"), item_added("m1", "t1", ItemKind::Page, 0)];
    let records = told_of(vec![created()], events);
    let value = value(only(&records));
    assert_eq!(records[0].topic, Topic::ModuleCreation);
    assert_eq!(value["moduleData"]["items"], json!([item("t1", "PAGE", 0)]));
    assert_eq!(value.get("changes"), None);
}

#[test]
fn a_removed_module_is_told_as_it_was_with_the_status_removed() {
    let mut history = history();
    history.push(module_added("m0")); // before m1
    let removed = Event::Course(CourseEvent::ModuleRemoved { module_id: module_id("m1") });
    let records = told_of(history, vec![removed]);
    let record = only(&records);
    assert_eq!((record.topic, record.key.as_str()), (Topic::ModuleUpdate, "c1"));
    assert!(record.headers.contains(&("ce_subject", "m1".to_owned())));
    assert_eq!(
        value(record),
        json!({
            "courseId": "c1", "moduleId": "m1",
            "moduleData": {
                "id": "m1", "title": "Module m1", "summary": null, "position": 1,
                "status": "REMOVED", "items": [item("t1", "PAGE", 0)],
                    "assessments": [],
            },
            "changes": ["status"],
            "eventId": "00000000-0000-0000-0000-000000000064", "eventType": "ModuleUpdated",
            "schemaVersion": 1, "version": (2_u64 << 32) + 5,
            "occurredAt": "2026-09-12T08:00:00.123Z",
        })
    );
}

#[test]
fn a_removal_needs_the_course_just_before_it_and_nothing_else_does() {
    let removed = CourseEvent::ModuleRemoved { module_id: module_id("m1") };
    let left = CourseEvent::InstructorRemoved { instructor_id: user("u-18") };
    let item_gone =
        CourseEvent::ModuleItemRemoved { module_id: module_id("m1"), item_id: item_id("t1") };
    for (event, needed) in [
        (removed, 3),
        (left, 3),
        (item_gone, 4),
        (CourseEvent::CourseDeleted { reason: None }, 4),
        (CourseEvent::ModulesReordered { module_ids: vec![module_id("m1")] }, 4),
    ] {
        let events = command(4, vec![Event::Course(event)]);
        let planned = plan(&events);
        let (stream, sequence) = planned[0].needs().unwrap();
        assert_eq!((stream, sequence), (&events[0].stream, needed), "{:?}", events[0].event);
        let other = Course { version: 7 - needed, ..Course::default() };
        assert!(planned[0].render(Some(&other)).is_err());
    }
}

#[test]
fn a_new_order_of_the_modules_is_an_update_of_the_course_with_their_summaries() {
    let history = vec![created(), module_added("m1"), module_added("m2"), module_added("m3")];
    let reordered = Event::Course(CourseEvent::ModulesReordered {
        module_ids: ["m1", "m3", "m2"].map(module_id).to_vec(),
    });
    let records = told_of(history, vec![reordered]);
    let value = value(only(&records));
    assert_eq!(records[0].topic, Topic::CourseUpdate);
    assert_eq!(value["changes"], json!(["modules"]));
    let summary = |id: &str, position: usize| json!({ "id": id, "title": format!("Module {id}"), "position": position, "status": "PUBLISHED" });
    assert_eq!(
        value["courseData"]["modules"],
        json!([summary("m1", 0), summary("m3", 1), summary("m2", 2)])
    );
}

#[test]
fn who_teaches_is_told_by_what_differs() {
    let assigned = |id| CourseEvent::InstructorAssigned { instructor_id: user(id) };
    let removed = |id| CourseEvent::InstructorRemoved { instructor_id: user(id) };
    for (event, changes, instructors) in [
        (assigned("u-19"), &["instructorIds"][..], &["u-17", "u-18", "u-19"][..]),
        (removed("u-18"), &["instructorIds"], &["u-17"]),
        (removed("u-17"), &["instructor", "instructorIds"], &["u-18"]),
    ] {
        let records = told_of(vec![created()], vec![Event::Course(event)]);
        let value = value(only(&records));
        assert_eq!(records[0].topic, Topic::CourseUpdate);
        assert_eq!(value["changes"], json!(changes));
        assert_eq!(value["courseData"]["instructorIds"], json!(instructors));
        assert_eq!(value["courseData"]["instructor"], json!(instructors[0]));
        assert_eq!(value["version"], json!((2_u64 << 32) + 2));
    }
}

#[test]
fn every_step_of_the_lifecycle_is_an_update_of_the_status() {
    for (event, status) in [
        (CourseEvent::CourseUnpublished {}, "DRAFT"),
        (CourseEvent::CourseArchived {}, "ARCHIVED"),
        (CourseEvent::CourseRestored {}, "PUBLISHED"),
    ] {
        let records = told_of(vec![created(), published()], vec![Event::Course(event)]);
        assert_eq!(only(&records).topic, Topic::CourseUpdate);
        assert_eq!(value(&records[0])["changes"], json!(["status"]));
        assert_eq!(value(&records[0])["courseData"]["status"], status);
    }
}

//! What a course decides: given its history, when it gets a command, then these events or this refusal.

mod create;
mod instructors;
mod items;
mod lifecycle;
mod modules;
mod order;
mod reports;
mod update;

use chrono::Datelike;
use cqrs_es::test::{AggregateTestExecutor, TestFramework};

use super::*;
use crate::domain::ids::{AssessmentId, VideoId};
use crate::domain::refusal::Code;
use crate::domain::values::{MAX_INSTRUCTORS, MAX_ITEMS, MAX_MODULES, MAX_OUTGOING_BYTES, Patch};

const TITLE_RULE: &str = "must be 1 to 255 characters, not only white space";
const POSITION_RULE: &str = "must be from 0 to the number of modules";

const KINDS: [ItemKind; 5] =
    [ItemKind::Page, ItemKind::Video, ItemKind::Assessment, ItemKind::File, ItemKind::Link];

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

fn item_id(text: &str) -> ItemId {
    ItemId::parse(text, "moduleItemId").unwrap()
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

fn add_item(module: &str, item: NewItem) -> CourseAction {
    CourseAction::AddItem { module_id: module_id(module), item: Box::new(item), video: None }
}

fn update_item(name: &str, patch: ItemPatch) -> CourseAction {
    CourseAction::UpdateItem { item_id: item_id(name), patch }
}

fn remove_item(name: &str) -> CourseAction {
    CourseAction::RemoveItem { item_id: item_id(name) }
}

fn reorder_items(module: &str, names: &[&str]) -> CourseAction {
    let item_ids = names.iter().map(|name| item_id(name)).collect();
    CourseAction::ReorderItems { module_id: module_id(module), item_ids }
}

fn remove_module(name: &str) -> CourseAction {
    CourseAction::RemoveModule { module_id: module_id(name) }
}

fn reorder_modules(names: &[&str]) -> CourseAction {
    CourseAction::ReorderModules { module_ids: names.iter().map(|name| module_id(name)).collect() }
}

fn assign(name: &str) -> CourseAction {
    CourseAction::AssignInstructor { instructor_id: user(name) }
}

fn dismiss(name: &str) -> CourseAction {
    CourseAction::RemoveInstructor { instructor_id: user(name) }
}

fn unpublish(seats_taken: u32, waiting: u32) -> CourseAction {
    CourseAction::Unpublish { seats_taken, waiting }
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

fn unpublished() -> CourseEvent {
    CourseEvent::CourseUnpublished {}
}

fn archived() -> CourseEvent {
    CourseEvent::CourseArchived {}
}

fn restored() -> CourseEvent {
    CourseEvent::CourseRestored {}
}

fn assigned(name: &str) -> CourseEvent {
    CourseEvent::InstructorAssigned { instructor_id: user(name) }
}

fn dismissed(name: &str) -> CourseEvent {
    CourseEvent::InstructorRemoved { instructor_id: user(name) }
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

/// A page, required, with nothing that it refers to.
fn page(name: &str) -> NewItem {
    NewItem {
        id: item_id(name),
        kind: ItemKind::Page,
        title: name.to_uppercase(),
        required: true,
        position: None,
        url: None,
        video_id: None,
        assessment_id: None,
    }
}

/// The event that [`page`] comes to.
fn page_added(module: &str, name: &str, position: u32) -> CourseEvent {
    CourseEvent::ModuleItemAdded {
        module_id: module_id(module),
        item_id: item_id(name),
        kind: ItemKind::Page,
        title: name.to_uppercase(),
        required: true,
        position,
        url: None,
        video_id: None,
        assessment_id: None,
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
        remove_module("nowhere"),
        reorder_modules(&["nowhere"]),
        add_item("nowhere", NewItem { title: String::new(), ..page("t1") }),
        update_item("nowhere", ItemPatch { title: title(), ..ItemPatch::default() }),
        remove_item("nowhere"),
        reorder_items("nowhere", &["t1"]),
        assign("ivo"),
        dismiss("ina"),
        unpublish(1, 1),
        CourseAction::Archive,
        CourseAction::Restore,
    ]
}

#[test]
fn a_status_reads_the_same_everywhere() {
    for status in [
        CourseStatus::Missing,
        CourseStatus::Draft,
        CourseStatus::Published,
        CourseStatus::Archived,
        CourseStatus::Deleted,
    ] {
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
    for kind in KINDS {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
    for state in [PublicationState::Unpublished, PublicationState::Published] {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
}

#[test]
fn a_course_survives_its_own_json() {
    let course = fold(&[created_in_full(), added("m1", 0), page_added("m1", "t1", 0), published()]);
    let json = serde_json::to_value(&course).unwrap();
    assert_eq!(serde_json::from_value::<Course>(json).unwrap(), course);
}

//! What decide lets through fits into a record, with everything around it.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::value::ModuleData;
use super::*;
use crate::domain::AssessmentId;
use crate::domain::ItemId;
use crate::domain::VideoId;
use crate::domain::course::CourseStatus;
use crate::domain::course::ItemKind;
use crate::domain::course::Module;
use crate::domain::course::ModuleItem;
use crate::domain::values::MAX_ITEMS;
use crate::domain::values::MAX_OUTGOING_BYTES;

fn lawful_course() -> impl Strategy<Value = Course> {
    let text = "[a-z\"\\\\\u{1}-\u{1f}ü日]{0,255}";
    let module = (text, option::of(text), 1_u64..900).prop_map(|(title, summary, id)| Module {
        id: module_id(&format!("{id:064}")),
        title,
        summary,
        state: PublicationState::Unpublished,
        ..Module::default()
    });
    let parts = (
        vec(module, 0..200),
        vec(text, 0..50),
        vec("[a-z\"]{1,128}", 1..50),
        option::of("[a-z\u{1}-\u{1f}]{0,9000}"),
        any::<(u32, f64)>(),
    );
    let lawful =
        parts.prop_map(|(modules, tags, instructors, description, (capacity, score))| Course {
            version: 1,
            id: CourseId::parse(&"c".repeat(64), "courseId").unwrap(),
            code: "x".repeat(64),
            title: "title".into(),
            description,
            instructor_ids: instructors.iter().map(|id| user(id)).collect(),
            status: CourseStatus::Published,
            capacity: Some(capacity),
            starts_at: Some(at("2026-10-01T00:00:00.123456789Z")),
            ends_at: Some(at("2026-10-01T00:00:00.123456789Z")),
            enrollment_opens_at: Some(at("2026-10-01T00:00:00.123456789Z")),
            enrollment_closes_at: Some(at("2026-10-01T00:00:00.123456789Z")),
            tags,
            passing_score: Some(score.abs() % 100.0),
            modules,
            assessments: std::collections::BTreeMap::new(),
        });
    lawful.prop_filter("decide refuses it", |course| course.outgoing_bytes() <= MAX_OUTGOING_BYTES)
}

/// Up to so many bytes, and cheap to make.
fn long_text(most: usize) -> impl Strategy<Value = String> {
    let part = select(vec!["x", "\"", "\\", "\u{1}", "日"]);
    (part, 1..=most).prop_map(|(part, bytes)| part.repeat(1.max(bytes / part.len())))
}

fn lawful_item() -> impl Strategy<Value = ModuleItem> {
    let kinds =
        [ItemKind::Page, ItemKind::Video, ItemKind::Assessment, ItemKind::File, ItemKind::Link];
    let reference = || option::of("[a-z\"\\\\]{1,256}");
    let url = option::of(long_text(2_030)).prop_map(|rest| rest.map(|r| format!("https://x/{r}")));
    let told = (long_text(255), url, any::<bool>());
    (0..1_000_u32, select(kinds.to_vec()), told, reference(), reference()).prop_map(
        |(id, kind, (title, url, required), video, assessment)| ModuleItem {
            id: ItemId::parse(&format!("{id:064}"), "id").unwrap(),
            kind,
            title,
            required,
            state: PublicationState::Unpublished,
            url,
            video_id: video.map(|id| VideoId::parse(&id, "videoId").unwrap()),
            assessment_id: assessment.map(|id| AssessmentId::parse(&id, "assessmentId").unwrap()),
            video: None,
        },
    )
}

/// As many of its items as decide lets in.
fn lawful_module() -> impl Strategy<Value = Module> {
    let summary = option::of("[a-z\u{1}-\u{1f}]{0,9000}");
    (summary, vec(lawful_item(), 0..40), 1..20_usize).prop_map(|(summary, items, times)| {
        let title = "\u{1}".repeat(255);
        let mut module =
            Module { id: module_id(&"m".repeat(64)), title, summary, ..Module::default() };
        let mut bytes = module.outgoing_bytes();
        let count = (items.len() * times).min(MAX_ITEMS);
        for item in items.into_iter().cycle().take(count) {
            let alone = Module { items: vec![item.clone()], ..Module::default() };
            let more = alone.outgoing_bytes() - Module::default().outgoing_bytes();
            if bytes + more <= MAX_OUTGOING_BYTES {
                module.items.push(item);
                bytes += more;
            }
        }
        assert_eq!(module.outgoing_bytes(), bytes);
        module
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_lawful_course_fits_into_a_record(course in lawful_course()) {
        let everything = CourseEvent::CourseDetailsChanged {
            code: Some(String::new()),
            title: Some(String::new()),
            description: Some(None),
            tags: Some(vec![]),
            passing_score: Some(None),
        };
        let dates = CourseEvent::CourseScheduleChanged {
            starts_at: Some(None),
            ends_at: Some(None),
            enrollment_opens_at: Some(None),
            enrollment_closes_at: Some(None),
        };
        let capacity = CourseEvent::CourseCapacityChanged { capacity: None };
        let events = [everything, dates, capacity, CourseEvent::CoursePublished {}];
        let mut events = command(1, events.map(Event::Course).to_vec());
        for event in &mut events {
            event.position.epoch = i32::MAX;
        }
        let course = Course { version: 4, ..course };
        let records: Vec<_> = plan(&events).iter().map(|told| told.render(Some(&course)).unwrap()).collect();
        let bytes = only(&records).value.len();
        prop_assert!(bytes <= course.outgoing_bytes() + ENVELOPE_BYTES, "{bytes}");
        prop_assert!(bytes <= MAX_VALUE_BYTES);
    }

    #[test]
    fn a_lawful_module_fits_into_a_record(module in lawful_module()) {
        let removed = CourseEvent::ModuleRemoved { module_id: module.id.clone() };
        let changed = CourseEvent::ModuleDetailsChanged {
            module_id: module.id.clone(),
            title: Some(String::new()),
            summary: Some(None),
            state: Some(PublicationState::Unpublished),
        };
        let reordered = CourseEvent::ModuleItemsReordered {
            module_id: module.id.clone(),
            item_ids: Vec::new(),
        };
        let before = (0..199).map(|_| Module::default());
        let outgoing_bytes = module.outgoing_bytes();
        let course = Course {
            version: 3,
            id: CourseId::parse(&"c".repeat(64), "courseId").unwrap(),
            modules: before.chain([module]).collect(),
            ..Course::default()
        };
        for (first, events) in [(2, vec![changed, reordered]), (4, vec![removed])] {
            let mut events = command(first, events.into_iter().map(Event::Course).collect());
            for event in &mut events {
                event.position.epoch = i32::MAX;
            }
            let planned = plan(&events);
            let record = planned[0].render(Some(&course)).unwrap();
            let bytes = record.value.len();
            prop_assert!(bytes <= outgoing_bytes + ENVELOPE_BYTES, "{bytes}");
            prop_assert!(bytes <= MAX_VALUE_BYTES);
        }
    }
}

/// The longest that every part may be, of the kind that needs the most.
#[test]
fn no_more_than_the_limit_of_items_goes_out_and_what_is_fixed_is_counted() {
    let item = |n: usize| ModuleItem {
        id: ItemId::parse(&format!("{n:064}"), "id").unwrap(),
        kind: ItemKind::Assessment,
        title: "t".into(),
        required: false,
        state: PublicationState::Unpublished,
        url: None,
        video_id: None,
        assessment_id: Some(AssessmentId::parse("a", "assessmentId").unwrap()),
        video: None,
    };
    let module = Module { items: (0..MAX_ITEMS).map(item).collect(), ..Module::default() };
    let data = serde_json::to_vec(&ModuleData::of(199, &module, &Course::default())).unwrap();
    assert!(data.len() <= module.outgoing_bytes() + 128, "{}", data.len());
    assert!(module.outgoing_bytes() <= MAX_OUTGOING_BYTES, "the most items with little to say");
}

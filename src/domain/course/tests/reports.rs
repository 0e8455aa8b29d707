//! What other services report: assessments and transcoded videos.

use super::*;
use crate::domain::course::AssessmentPatch;
use crate::domain::ids::{AssessmentId, VideoId};
use crate::domain::report::{Rendition, VideoResult};
use crate::domain::values::Patch;

fn quiz() -> AssessmentId {
    AssessmentId::parse("quiz", "assessmentId").unwrap()
}

fn v9() -> VideoId {
    VideoId::parse("v-9", "videoId").unwrap()
}

fn in_module(name: &str) -> AssessmentPatch {
    AssessmentPatch { module_id: Patch::Set(module_id(name)), ..AssessmentPatch::default() }
}

fn attached(module: Option<&str>, shown: Option<&str>) -> CourseEvent {
    CourseEvent::AssessmentAttached {
        assessment_id: quiz(),
        module_id: module.map(module_id),
        shown_in: shown.map(module_id),
        title: "quiz".to_owned(),
        kind: None,
        max_score: 100.0,
        weight: 1.0,
        due_at: None,
        required: true,
    }
}

fn ready(url: &str) -> VideoResult {
    VideoResult::Ready {
        playback_url: Some(url.to_owned()),
        duration_seconds: Some(1.5),
        thumbnail_url: None,
        renditions: Vec::new(),
    }
}

fn video_added(module: &str, name: &str) -> CourseEvent {
    CourseEvent::ModuleItemAdded {
        module_id: module_id(module),
        item_id: item_id(name),
        kind: ItemKind::Video,
        title: name.to_uppercase(),
        required: true,
        position: 0,
        url: None,
        video_id: Some(v9()),
        assessment_id: None,
    }
}

fn course_of(history: &[CourseEvent]) -> Course {
    fold(history)
}

#[test]
fn a_first_report_attaches_the_assessment_with_what_it_leaves_out() {
    let course = course_of(&[created(), added("m1", 0)]);
    let none = AssessmentPatch::default();
    assert_eq!(course.attach_assessment(&quiz(), &none).unwrap(), [attached(None, None)]);
    let there = course.attach_assessment(&quiz(), &in_module("m1")).unwrap();
    assert_eq!(there, [attached(Some("m1"), Some("m1"))]);
    let later = course.attach_assessment(&quiz(), &in_module("m2")).unwrap();
    assert_eq!(later, [attached(Some("m2"), None)], "the wanted module is kept");
}

#[test]
fn a_second_report_changes_what_differs_and_names_the_modules_that_show_it() {
    let history = [created(), added("m1", 0), added("m2", 1), attached(Some("m1"), Some("m1"))];
    let course = course_of(&history);
    let same = AssessmentPatch { title: Some("quiz".to_owned()), ..in_module("m1") };
    assert_eq!(course.attach_assessment(&quiz(), &same).unwrap(), []);
    let moved = AssessmentPatch { weight: Some(2.0), ..in_module("m2") };
    let changed = CourseEvent::AssessmentChanged {
        assessment_id: quiz(),
        shown_in: vec![module_id("m1"), module_id("m2")],
        module_id: Some(Some(module_id("m2"))),
        title: None,
        kind: None,
        max_score: None,
        weight: Some(2.0),
        due_at: None,
        required: None,
    };
    assert_eq!(course.attach_assessment(&quiz(), &moved).unwrap(), std::slice::from_ref(&changed));
    let after = course_of(&[&history[..], &[changed]].concat());
    assert_eq!(after.assessments_of(&module_id("m1")).count(), 0);
    assert_eq!(after.assessments_of(&module_id("m2")).count(), 1);
}

#[test]
fn a_result_holds_for_every_item_that_shows_the_video_and_is_told_once() {
    let history = [
        created(),
        added("m1", 0),
        added("m2", 1),
        video_added("m1", "t1"),
        video_added("m2", "t2"),
        page_added("m2", "t3", 0),
    ];
    let course = course_of(&history);
    let events = course.record_transcoding(&v9(), &ready("https://a")).unwrap();
    assert_eq!(events.len(), 2);
    let after = course_of(&[&history[..], &events].concat());
    assert_eq!(after.record_transcoding(&v9(), &ready("https://a")).unwrap(), []);
    for (name, shown) in
        [("t1", Some(ready("https://a"))), ("t2", Some(ready("https://a"))), ("t3", None)]
    {
        assert_eq!(after.item(&item_id(name)).unwrap().1.video, shown, "{name}");
    }
    let failed = VideoResult::Failed { reason: Some("no sound".to_owned()) };
    assert_eq!(after.record_transcoding(&v9(), &failed).unwrap().len(), 2);
}

#[test]
fn an_item_that_is_added_later_starts_with_the_result() {
    let item = NewItem { kind: ItemKind::Video, video_id: Some(v9()), ..page("t1") };
    let action = CourseAction::AddItem {
        module_id: module_id("m1"),
        item: Box::new(item),
        video: Some(ready("https://a")),
    };
    given(&[created(), added("m1", 0)]).when(by_ina(action)).then_expect_events(vec![
        video_added("m1", "t1"),
        CourseEvent::VideoTranscoded {
            module_id: module_id("m1"),
            item_id: item_id("t1"),
            video_id: v9(),
            playback_url: Some("https://a".to_owned()),
            duration_seconds: Some(1.5),
            thumbnail_url: None,
            renditions: Vec::new(),
        },
    ]);
}

#[test]
fn nothing_is_reported_of_a_course_that_is_missing_or_deleted() {
    let none = AssessmentPatch::default();
    let missing = Course::default();
    assert_eq!(missing.attach_assessment(&quiz(), &none), Err(Refusal::course_not_found()));
    let gone = course_of(&[created(), added("m1", 0), video_added("m1", "t1"), deleted()]);
    for refused in [
        gone.attach_assessment(&quiz(), &none),
        gone.record_transcoding(&v9(), &ready("https://a")),
    ] {
        assert_eq!(refused.unwrap_err().code(), Code::IllegalTransition);
    }
}

#[test]
fn what_does_not_fit_into_a_record_is_refused() {
    let mut course = course_of(&[created(), added("m1", 0)]);
    let long = |number: usize| AssessmentPatch {
        title: Some("\u{1}".repeat(255)),
        kind: Patch::Set(format!("{number}")),
        ..in_module("m1")
    };
    let mut refused = None;
    for number in 0..1_000 {
        let id = AssessmentId::parse(&format!("a-{number}"), "id").unwrap();
        match course.attach_assessment(&id, &long(number)) {
            Ok(events) => events.into_iter().for_each(|event| course.apply(event)),
            Err(refusal) => {
                refused = Some(refusal.code());
                break;
            }
        }
    }
    assert_eq!(refused, Some(Code::LimitExceeded));
    let module = course.module(&module_id("m1")).unwrap();
    let bytes = module.outgoing_bytes() + course.assessment_bytes(&module.id);
    assert!(bytes <= MAX_OUTGOING_BYTES && course.outgoing_bytes() <= MAX_OUTGOING_BYTES);

    let url = || format!("https://x/{}", "x".repeat(2_030));
    let rendition = |_| Rendition {
        quality: "q".repeat(64),
        url: url(),
        width: None,
        height: None,
        bitrate_kbps: None,
    };
    let large = VideoResult::Ready {
        playback_url: Some(url()),
        duration_seconds: None,
        thumbnail_url: Some(url()),
        renditions: (0..32).map(rendition).collect(),
    };
    let items = ["t1", "t2", "t3", "t4"].map(|name| video_added("m1", name));
    let full = course_of(&[&[created(), added("m1", 0)], &items[..]].concat());
    let refused = full.record_transcoding(&v9(), &large);
    assert_eq!(refused.unwrap_err().code(), Code::LimitExceeded, "four of them are too many");
}

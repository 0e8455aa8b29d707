//! Assessments and videos: what the records of a course and its modules say of them.

use super::*;
use crate::domain::AssessmentId;
use crate::domain::ItemId;
use crate::domain::VideoId;
use crate::domain::course::ItemKind;
use crate::domain::report::Rendition;
use crate::domain::user::UserEvent;

fn quiz() -> AssessmentId {
    AssessmentId::parse("quiz", "assessmentId").unwrap()
}

fn attached(wanted: Option<&str>, shown: Option<&str>) -> Event {
    Event::Course(CourseEvent::AssessmentAttached {
        assessment_id: quiz(),
        module_id: wanted.map(module_id),
        shown_in: shown.map(module_id),
        title: "Quiz".into(),
        kind: Some("EXAM".into()),
        max_score: 20.0,
        weight: 0.5,
        due_at: Some(at("2026-12-01T10:00:00Z")),
        required: true,
    })
}

fn quiz_data(module: Option<&str>) -> Value {
    json!({
        "id": "quiz", "title": "Quiz", "kind": "EXAM", "moduleId": module, "maxScore": 20.0, "weight": 0.5,
        "dueAt": "2026-12-01T10:00:00Z", "required": true,
    })
}

#[test]
fn an_assessment_outside_of_modules_is_an_update_of_the_course() {
    for wanted in [None, Some("not yet")] {
        let wanted = wanted.map(|_| "m7");
        let records = told_of(vec![created()], vec![attached(wanted, None)]);
        let record = only(&records);
        assert_eq!(record.topic, Topic::CourseUpdate);
        let value = value(record);
        assert_eq!(value["changes"], json!(["assessments"]));
        assert_eq!(value["courseData"]["assessments"], json!([quiz_data(wanted)]));
    }
}

#[test]
fn an_assessment_that_sits_in_a_module_is_an_update_of_that_module() {
    let history = vec![created(), module_added("m1")];
    let records = told_of(history, vec![attached(Some("m1"), Some("m1"))]);
    let record = only(&records);
    assert_eq!(record.topic, Topic::ModuleUpdate);
    let value = value(record);
    assert_eq!(value["moduleId"], "m1");
    assert_eq!(value["changes"], json!(["assessments"]));
    assert_eq!(value["moduleData"]["assessments"], json!([quiz_data(Some("m1"))]));
}

#[test]
fn a_module_that_comes_later_is_created_with_the_assessment_that_wants_it() {
    let records = told_of(vec![created(), attached(Some("m1"), None)], vec![module_added("m1")]);
    assert_eq!(only(&records).topic, Topic::ModuleCreation);
    assert_eq!(value(&records[0])["moduleData"]["assessments"], json!([quiz_data(Some("m1"))]));
}

#[test]
fn an_assessment_that_moves_is_told_of_by_both_modules() {
    let history =
        vec![created(), module_added("m1"), module_added("m2"), attached(Some("m1"), Some("m1"))];
    let moved = Event::Course(CourseEvent::AssessmentChanged {
        assessment_id: quiz(),
        shown_in: vec![module_id("m1"), module_id("m2")],
        module_id: Some(Some(module_id("m2"))),
        title: None,
        kind: None,
        max_score: None,
        weight: None,
        due_at: None,
        required: None,
    });
    let records = told_of(history, vec![moved]);
    let told: Vec<(Topic, Value, Value)> = records
        .iter()
        .map(|record| {
            let value = value(record);
            let data = value["moduleData"]["assessments"].clone();
            (record.topic, value["moduleId"].clone(), data)
        })
        .collect();
    let expected = [
        (Topic::ModuleUpdate, json!("m1"), json!([])),
        (Topic::ModuleUpdate, json!("m2"), json!([quiz_data(Some("m2"))])),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_became_of_a_video_is_told_with_its_item() {
    let (module_id, item_id) = (module_id("m1"), ItemId::parse("t1", "itemId").unwrap());
    let video_id = VideoId::parse("v-9", "videoId").unwrap();
    let added = Event::Course(CourseEvent::ModuleItemAdded {
        module_id: module_id.clone(),
        item_id: item_id.clone(),
        kind: ItemKind::Video,
        title: "V".into(),
        required: true,
        position: 0,
        url: None,
        video_id: Some(video_id.clone()),
        assessment_id: None,
    });
    let done = Event::Course(CourseEvent::VideoTranscoded {
        module_id: module_id.clone(),
        item_id: item_id.clone(),
        video_id: video_id.clone(),
        playback_url: Some("https://cdn/v".into()),
        duration_seconds: Some(61.5),
        thumbnail_url: None,
        renditions: vec![Rendition {
            quality: "720p".into(),
            url: "https://cdn/720".into(),
            width: Some(1_280),
            height: None,
            bitrate_kbps: None,
        }],
    });
    let failed = Event::Course(CourseEvent::VideoTranscodingFailed {
        module_id,
        item_id,
        video_id,
        reason: Some("no sound".into()),
    });
    let history = || vec![created(), module_added("m1"), added.clone()];
    let ready = json!({
        "state": "READY", "playbackUrl": "https://cdn/v", "durationSeconds": 61.5, "thumbnailUrl": null,
        "renditions": [{ "quality": "720p", "url": "https://cdn/720", "width": 1280, "height": null, "bitrateKbps": null }],
        "failureReason": null,
    });
    let gone = json!({
        "state": "FAILED", "playbackUrl": null, "durationSeconds": null, "thumbnailUrl": null, "renditions": [],
        "failureReason": "no sound",
    });
    for (event, video) in [(done, ready), (failed, gone)] {
        let records = told_of(history(), vec![event]);
        assert_eq!(only(&records).topic, Topic::ModuleUpdate);
        let value = value(&records[0]);
        assert_eq!(value["changes"], json!(["items"]));
        assert_eq!(value["moduleData"]["items"][0]["video"], video);
    }
}

#[test]
fn nothing_of_a_user_and_nothing_of_a_students_work_leaves() {
    let user_id = user("u-20");
    let role = "student".to_owned();
    for event in [
        UserEvent::UserRegistered {
            user_id: user_id.clone(),
            display_name: None,
            email: None,
            role: None,
            active: None,
        },
        UserEvent::UserRoleChanged { user_id: user_id.clone(), role },
        UserEvent::UserDeactivated { user_id },
    ] {
        assert_eq!(told(&Event::User(event)), []);
    }
    let completed = EnrollmentEvent::EnrollmentCompleted {
        course_id: course_id(),
        student_id: user("u-20"),
        final_score: 80.0,
    };
    assert_eq!(told(&Event::Enrollment(completed)), []);
}

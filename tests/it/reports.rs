//! What other services report, as the API shows it, and who sees names and addresses.

use course_service::domain::course::CourseEvent;
use course_service::domain::enrollment::Grade;
use course_service::domain::report::Rendition;
use course_service::domain::user::{Sealed, UserEvent};
use course_service::domain::{ItemId, ModuleId, VideoId};
use course_service::event_store::personal::{PersonalField, ensure_keys};
use serde_json::{Value, json};

use crate::api::{ADA, BOB, NOBODY, ROOT, SAM, TIM, text};
use crate::instance::Instance;
use crate::reported::{Work, assessment, attached, grade, user};
use crate::support::{self, TestApp};

async fn world() -> (TestApp, Instance) {
    let app = support::app().await;
    let services = Instance::on(&app.database_url).await;
    (app, services)
}

const RESULTS: &str = "status completedAt finalScore progress { lastActivityAt } \
    assessments { assessment { id title } attempts submittedAt score maxScore percent letter gradedAt }";

/// The enrollment of sam as the holder of the token reads it.
async fn results(app: &TestApp, token: &str, course: &str) -> Value {
    app.settled().await;
    let query = format!(
        "query($course: ID!) {{ enrollment(courseId: $course, studentId: \"sam\") {{ {RESULTS} }} }}"
    );
    app.query(token, &query, json!({ "course": course })).await["enrollment"].take()
}

#[tokio::test]
async fn grades_come_to_percents_and_a_final_score_whatever_comes_first() {
    let (app, services) = world().await;
    let course = app.published_course("ALG-1", None).await;
    app.enroll(SAM, &course).await;
    let work = Work::of("sam", &course);
    let nothing = results(&app, SAM, &course).await;
    let none = json!({
        "status": "ACTIVE", "completedAt": null, "finalScore": null, "assessments": [],
        "progress": { "lastActivityAt": null }
    });
    assert_eq!(nothing, none);

    // A grade of an assessment that nobody has reported yet.
    let letter = Grade { letter: Some("B".to_owned()), ..grade(15.0) };
    services.work("sam", &course, vec![work.graded("quiz", letter)]).await;
    let seen = results(&app, SAM, &course).await;
    let unknown = json!([{
        "assessment": { "id": "quiz", "title": null }, "attempts": 0, "submittedAt": null, "score": 15.0,
        "maxScore": null, "percent": null, "letter": "B", "gradedAt": "2026-11-30T10:00:00+00:00"
    }]);
    assert_eq!((&seen["assessments"], &seen["finalScore"]), (&unknown, &Value::Null));

    let optional = CourseEvent::AssessmentAttached {
        assessment_id: assessment("extra"),
        module_id: None,
        shown_in: None,
        title: "Extra".to_owned(),
        kind: None,
        max_score: 10.0,
        weight: 100.0,
        due_at: Some("2026-12-01T00:00:00Z".parse().unwrap()),
        required: false,
    };
    let events =
        vec![attached("quiz", 1.0), attached("exam", 3.0), optional, attached("open", 9.0)];
    services.report(&course, events).await;
    let more = vec![
        work.submitted("quiz", "s-2", "2026-11-29T10:00:00Z"),
        work.submitted("quiz", "s-1", "2026-11-28T10:00:00Z"),
        work.submitted("quiz", "s-1", "2026-11-28T09:00:00Z"),
        work.graded("exam", Grade { percentage: Some(900.0), ..grade(1.0) }),
        work.regraded("exam", Grade { max_score: Some(50.0), ..grade(40.0) }, false),
        work.regraded("exam", grade(1.0), true),
        work.graded("extra", grade(0.0)),
    ];
    services.work("sam", &course, more).await;
    let expected = json!([
        {
            "assessment": { "id": "extra", "title": "Extra" }, "attempts": 0, "submittedAt": null, "score": 0.0,
            "maxScore": 10.0, "percent": 0.0, "letter": null, "gradedAt": "2026-11-30T10:00:00+00:00"
        },
        {
            "assessment": { "id": "exam", "title": "The exam" }, "attempts": 0, "submittedAt": null, "score": 40.0,
            "maxScore": 50.0, "percent": 80.0, "letter": null, "gradedAt": "2026-11-30T10:00:00+00:00"
        },
        {
            "assessment": { "id": "quiz", "title": "The quiz" }, "attempts": 2,
            "submittedAt": "2026-11-29T10:00:00+00:00", "score": 15.0, "maxScore": 20.0, "percent": 75.0,
            "letter": "B", "gradedAt": "2026-11-30T10:00:00+00:00"
        }
    ]);
    for token in [SAM, ADA, ROOT] {
        let seen = results(&app, token, &course).await;
        assert_eq!(seen["assessments"], expected, "{token}");
        assert_eq!(seen["finalScore"], 78.75, "{token}: (1 · 75 + 3 · 80) / 4");
        assert_eq!(seen["progress"]["lastActivityAt"], "2026-11-29T10:00:00+00:00");
    }
    for token in [NOBODY, TIM, BOB] {
        assert_eq!(results(&app, token, &course).await, Value::Null, "{token}");
    }
    // The grades are the same, and what they count changes.
    let reweighed = CourseEvent::AssessmentChanged {
        assessment_id: assessment("quiz"),
        shown_in: Vec::new(),
        module_id: None,
        title: None,
        kind: None,
        max_score: Some(30.0),
        weight: Some(3.0),
        due_at: None,
        required: None,
    };
    services.report(&course, vec![reweighed]).await;
    assert_eq!(results(&app, SAM, &course).await["finalScore"], 65.0, "(50 + 80) / 2");
}

#[tokio::test]
async fn the_payload_of_the_last_item_shows_the_completed_enrollment_as_it_is_read_then() {
    let (app, services) = world().await;
    let input =
        json!({ "code": "ALG-1", "title": "Algebra", "passingScore": 60.0, "publish": true });
    let course = app.course(input).await;
    let module = app.module(&course, "one").await;
    let items = [app.item(&course, &module, true).await, app.item(&course, &module, true).await];
    let enrollment = text(&app.enroll(SAM, &course).await["id"]);
    services.report(&course, vec![attached("quiz", 1.0)]).await;
    let work = Work::of("sam", &course);
    services.work("sam", &course, vec![work.graded("quiz", grade(14.0))]).await;
    let selection = format!("enrollment {{ {RESULTS} }}");
    for (item, status) in items.iter().zip(["ACTIVE", "COMPLETED"]) {
        let input = json!({ "courseId": course, "moduleItemId": item });
        let done = app.done(SAM, "completeModuleItem", input, &selection).await;
        let shown = &done["enrollment"];
        assert_eq!((&shown["status"], &shown["finalScore"]), (&json!(status), &json!(70.0)));
        assert_eq!(shown["completedAt"].is_string(), status == "COMPLETED");
        assert_eq!(*shown, results(&app, SAM, &course).await);
    }
    let query =
        "{ enrollments(filter: { status: [COMPLETED] }) { totalCount nodes { id status } } }";
    let found = app.query(ADA, query, json!({})).await["enrollments"].take();
    let expected =
        json!({ "totalCount": 1, "nodes": [{ "id": enrollment, "status": "COMPLETED" }] });
    assert_eq!(found, expected);
    let query =
        "query($id: ID!) { course(id: $id) { viewerCan { enroll enrollRefusal { code } } } }";
    let can = app.query(SAM, query, json!({ "id": course })).await["course"]["viewerCan"].take();
    assert_eq!(can, json!({ "enroll": false, "enrollRefusal": { "code": "ALREADY_ENROLLED" } }));
}

#[tokio::test]
async fn a_completion_that_was_reported_stays_whatever_the_score_is_now() {
    let (app, services) = world().await;
    let course = app.published_course("ALG-1", None).await;
    app.enroll(SAM, &course).await;
    services.work("sam", &course, vec![Work::of("sam", &course).completed(90.0)]).await;
    let seen = results(&app, ADA, &course).await;
    assert_eq!((&seen["status"], &seen["finalScore"]), (&json!("COMPLETED"), &Value::Null));
    assert!(seen["completedAt"].is_string());
}

async fn item(
    app: &TestApp,
    course: &str,
    module: &str,
    kind: &str,
    field: &str,
    id: &str,
) -> String {
    let mut input = json!({ "courseId": course, "moduleId": module, "kind": kind, "title": id });
    input[field] = json!(id);
    text(&app.done(ADA, "addModuleItem", input, "moduleItem { id }").await["moduleItem"]["id"])
}

#[tokio::test]
async fn a_video_is_pending_until_it_can_be_played_or_cannot() {
    let (app, services) = world().await;
    let course = app.published_course("ALG-1", None).await;
    let module = app.module(&course, "one").await;
    let mut items = Vec::new();
    for id in ["v-1", "v-2", "v-3"] {
        items.push(item(&app, &course, &module, "VIDEO", "videoId", id).await);
    }
    let module_id = ModuleId::parse(&module, "id").unwrap();
    let item_id = |index: usize| ItemId::parse(&items[index], "id").unwrap();
    let video_id = |id| VideoId::parse(id, "id").unwrap();
    let failed = |index, id, reason: &str| CourseEvent::VideoTranscodingFailed {
        module_id: module_id.clone(),
        item_id: item_id(index),
        video_id: video_id(id),
        reason: Some(reason.to_owned()),
    };
    let rendition = Rendition {
        quality: "720p".to_owned(),
        url: "https://cdn.example/720.mp4".to_owned(),
        width: Some(1280),
        height: Some(720),
        bitrate_kbps: None,
    };
    let ready = CourseEvent::VideoTranscoded {
        module_id: module_id.clone(),
        item_id: item_id(0),
        video_id: video_id("v-1"),
        playback_url: Some("https://cdn.example/v-1.m3u8".to_owned()),
        duration_seconds: Some(61.1),
        thumbnail_url: Some("https://cdn.example/v-1.jpg".to_owned()),
        renditions: vec![rendition],
    };
    let events = vec![failed(0, "v-1", "at first"), ready, failed(1, "v-2", "no audio track")];
    services.report(&course, events).await;
    app.settled().await;
    let video = "video { id state playbackUrl durationSeconds thumbnailUrl failureReason \
                 renditions { quality url width height bitrateKbps } }";
    let query = format!("query($id: ID!) {{ module(id: $id) {{ items {{ id {video} }} }} }}");
    let data = app.query(NOBODY, &query, json!({ "id": module })).await;
    let nothing = json!({
        "id": "v-3", "state": "PENDING", "playbackUrl": null, "durationSeconds": null, "thumbnailUrl": null,
        "failureReason": null, "renditions": []
    });
    let mut failure = nothing.clone();
    failure["id"] = json!("v-2");
    failure["state"] = json!("FAILED");
    failure["failureReason"] = json!("no audio track");
    let playable = json!({
        "id": "v-1", "state": "READY", "playbackUrl": "https://cdn.example/v-1.m3u8", "durationSeconds": 61.1,
        "thumbnailUrl": "https://cdn.example/v-1.jpg", "failureReason": null, "renditions": [{
            "quality": "720p", "url": "https://cdn.example/720.mp4", "width": 1280, "height": 720, "bitrateKbps": null
        }]
    });
    let expected = json!([
        { "id": items[0], "video": playable }, { "id": items[1], "video": failure }, { "id": items[2], "video": nothing }
    ]);
    assert_eq!(data["module"]["items"], expected);
    for (index, shown) in [(0, &playable), (2, &nothing)] {
        let input = json!({ "courseId": course, "moduleItemId": items[index], "title": "Renamed" });
        let selection = format!("moduleItem {{ {video} }}");
        let payload = app.done(ADA, "updateModuleItem", input, &selection).await;
        assert_eq!(payload["moduleItem"]["video"], *shown);
    }
}

#[tokio::test]
async fn assessments_show_in_their_course_their_module_and_its_items() {
    let (app, services) = world().await;
    let course = app.published_course("ALG-1", None).await;
    let other = app.published_course("ALG-2", None).await;
    let module = app.module(&course, "one").await;
    let mut items = Vec::new();
    for id in ["quiz", "exam", "elsewhere", "nowhere"] {
        items.push(item(&app, &course, &module, "ASSESSMENT", "assessmentId", id).await);
    }
    let in_module = |id: &str, wanted: &str, due: Option<&str>| CourseEvent::AssessmentAttached {
        assessment_id: assessment(id),
        module_id: Some(ModuleId::parse(wanted, "id").unwrap()),
        shown_in: None,
        title: format!("The {id}"),
        kind: Some("EXAM".to_owned()),
        max_score: 40.0,
        weight: 0.5,
        due_at: due.map(|due| due.parse().unwrap()),
        required: false,
    };
    let events = vec![
        attached("quiz", 1.0),
        in_module("exam", &module, Some("2026-12-01T00:00:00Z")),
        in_module("later", "no-such-module", None),
    ];
    services.report(&course, events).await;
    services.report(&other, vec![attached("elsewhere", 1.0)]).await;
    app.settled().await;
    let query = "query($id: ID!) { course(id: $id) { assessments { id title kind maxScore weight dueAt required } \
        modules { nodes { assessments { id } items { assessment { id title required } } } } } }";
    let data = app.query(NOBODY, query, json!({ "id": course })).await;
    let exam = json!({
        "id": "exam", "title": "The exam", "kind": "EXAM", "maxScore": 40.0, "weight": 0.5,
        "dueAt": "2026-12-01T00:00:00+00:00", "required": false
    });
    let all = data["course"]["assessments"].as_array().unwrap();
    assert_eq!(all[0], exam);
    let ids: Vec<&Value> = all.iter().map(|assessment| &assessment["id"]).collect();
    assert_eq!(ids, ["exam", "later", "quiz"], "what is due first comes first");
    let node = &data["course"]["modules"]["nodes"][0];
    assert_eq!(node["assessments"], json!([{ "id": "exam" }]));
    let of_items = json!([
        { "assessment": { "id": "quiz", "title": "The quiz", "required": true } },
        { "assessment": { "id": "exam", "title": "The exam", "required": false } },
        { "assessment": { "id": "elsewhere", "title": null, "required": null } },
        { "assessment": { "id": "nowhere", "title": null, "required": null } }
    ]);
    assert_eq!(node["items"], of_items, "what another course has is not told");

    let query = "query($id: ID!) { moduleItem(id: $id) { assessment { id title } } node(id: $id) \
                 { ... on ModuleItem { assessment { id } } } }";
    let data = app.query(NOBODY, query, json!({ "id": items[0] })).await;
    let known = json!({ "id": "quiz", "title": "The quiz" });
    assert_eq!(data["moduleItem"]["assessment"], known);
    assert_eq!(data["node"]["assessment"], json!({ "id": "quiz" }));
    let input = json!({ "courseId": course, "moduleItemId": items[0], "title": "Renamed" });
    let payload =
        app.done(ADA, "updateModuleItem", input, "moduleItem { assessment { id title } }").await;
    assert_eq!(payload["moduleItem"]["assessment"], known);
    let input = json!({ "courseId": course, "moduleId": module, "title": "Renamed" });
    let selection = "module { assessments { id } course { assessments { id } } }";
    let payload = app.done(ADA, "updateModule", input, selection).await;
    assert_eq!(payload["module"]["assessments"], json!([{ "id": "exam" }]));
    assert_eq!(payload["module"]["course"]["assessments"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_gateway_gets_of_an_assessment_what_the_caller_sees_of_its_course() {
    let (app, services) = world().await;
    let course = app.published_course("ALG-1", None).await;
    let draft = app.draft("LOGIC-1").await;
    services.report(&course, vec![attached("quiz", 2.0)]).await;
    services.report(&draft, vec![attached("secret", 3.0)]).await;
    app.settled().await;
    let query = "query($all: [_Any!]!) { _entities(representations: $all) { \
        ... on Assessment { id weight } ... on User { id displayName email } } }";
    let of = |kind: &str, id: &str| json!({ "__typename": kind, "id": id });
    let strange = "\u{0}";
    let all = json!([
        of("Assessment", "quiz"),
        of("Assessment", "secret"),
        of("Assessment", "unknown"),
        of("Assessment", strange),
        of("User", strange)
    ]);
    for (token, secret) in [(NOBODY, Value::Null), (SAM, Value::Null), (ADA, json!(3.0))] {
        let data = app.query(token, query, json!({ "all": all })).await;
        let expected = json!([
            { "id": "quiz", "weight": 2.0 }, { "id": "secret", "weight": secret }, { "id": "unknown", "weight": null },
            { "id": strange, "weight": null }, { "id": strange, "displayName": null, "email": null }
        ]);
        assert_eq!(data["_entities"], expected, "{token}");
    }
    let data = app.query(ROOT, query, json!({ "all": [of("User", strange)] })).await;
    assert_eq!(data["_entities"][0]["displayName"], Value::Null);
}

const PROFILE: &str = "displayName email role active";

fn profile(id: &str, name: &str) -> Value {
    let email = format!("{id}@example.org");
    json!({ "displayName": name, "email": email, "role": "replica", "active": id != "sam" })
}

/// A course of ada's with sam in it, and users with names; sam is no longer active.
async fn people() -> (TestApp, Instance, String) {
    let (app, services) = world().await;
    let course = app.published_course("ALG-1", None).await;
    app.enroll(SAM, &course).await;
    for (id, name) in [("ada", "Ada L."), ("sam", "Sam S."), ("tim", "Tim T."), ("bob", "Bob B.")] {
        let registered = services.named(id, name).await;
        services.user(id, vec![registered]).await;
    }
    services.user("sam", vec![UserEvent::UserDeactivated { user_id: user("sam") }]).await;
    app.settled().await;
    (app, services, course)
}

#[tokio::test]
async fn names_and_addresses_are_for_those_who_may_see_them() {
    let (app, _, course) = people().await;
    let hidden = json!({ "displayName": null, "email": null, "role": null, "active": true });
    let public = json!({ "displayName": "Ada L.", "email": null, "role": null, "active": true });
    let query = format!(
        "query($course: ID!, $users: [_Any!]!) {{ course(id: $course) {{ instructors {{ {PROFILE} }} \
             enrollments {{ nodes {{ student {{ {PROFILE} }} }} }} }} \
         enrollment(courseId: $course, studentId: \"sam\") {{ student {{ {PROFILE} }} }} \
         sam: student(id: \"sam\") {{ {PROFILE} }} ada: student(id: \"ada\") {{ {PROFILE} }} \
         tim: student(id: \" tim \") {{ id {PROFILE} }} nobody: student(id: \"\") {{ id }} \
         _entities(representations: $users) {{ ... on User {{ {PROFILE} }} }} viewer {{ displayName }} }}"
    );
    let reference = |id: &str| json!({ "__typename": "User", "id": id });
    let users = json!([reference("sam"), reference("ada"), reference("unknown")]);
    for (token, sees_sam, is_ada, viewer) in [
        (NOBODY, false, false, Value::Null),
        (SAM, true, false, json!({ "displayName": "Sam S." })),
        (TIM, false, false, json!({ "displayName": "Tim T." })),
        (ADA, true, true, json!({ "displayName": "Ada L." })),
        (BOB, false, false, json!({ "displayName": "Bob B." })),
        (ROOT, true, true, json!({ "displayName": null })),
    ] {
        let variables = json!({ "course": course, "users": users });
        let data = app.query(token, &query, variables).await;
        let sam = profile("sam", "Sam S.");
        let ada = profile("ada", "Ada L.");
        let teacher = if is_ada { &ada } else { &public };
        assert_eq!(data["course"]["instructors"], json!([teacher]), "{token}");
        let seen = if sees_sam { &sam } else { &Value::Null };
        assert_eq!(data["sam"], *seen, "{token}");
        assert_eq!(data["enrollment"]["student"], *seen, "{token}");
        assert_eq!(data["course"]["enrollments"]["nodes"][0]["student"], *seen, "{token}");
        assert_eq!(data["ada"], if is_ada { ada.clone() } else { Value::Null }, "{token}");
        let mut tim = profile("tim", "Tim T.");
        tim["id"] = json!("tim");
        let sees_tim = [TIM, ROOT].contains(&token);
        assert_eq!(data["tim"], if sees_tim { tim } else { Value::Null }, "{token}");
        assert_eq!(data["nobody"], Value::Null, "{token}");
        let by_id =
            |seen: bool, profile: &Value| if seen { profile.clone() } else { hidden.clone() };
        let expected = json!([by_id(sees_sam, &sam), by_id(is_ada, &ada), hidden]);
        assert_eq!(data["_entities"], expected, "{token}");
        assert_eq!(data["viewer"], viewer, "{token}");
    }
    // An instructor who has lost the course is told nothing more, also where they repeat what they did.
    let input = json!({ "courseId": course, "studentId": "tim", "idempotencyKey": "k" });
    let selection = "enrollment { student { id displayName } }";
    let enroll = async || {
        let done = app.done(ADA, "enrollStudent", input.clone(), selection).await;
        done["enrollment"]["student"]["displayName"].clone()
    };
    assert_eq!(enroll().await, "Tim T.");
    let bob = json!({ "courseId": course, "instructorId": "bob" });
    app.done(ROOT, "assignInstructor", bob, "course { id }").await;
    let gone = json!({ "courseId": course, "instructorId": "ada" });
    app.done(ROOT, "removeInstructor", gone, "course { id }").await;
    app.settled().await;
    assert_eq!(enroll().await, Value::Null);
    let name = "{ student(id: \"sam\") { displayName } }";
    assert_eq!(app.query(ADA, name, json!({})).await["student"], Value::Null);
    let seen = app.query(BOB, name, json!({})).await;
    assert_eq!(seen["student"], json!({ "displayName": "Sam S." }));
}

#[tokio::test]
async fn who_deletes_a_key_erases_the_name_at_once() {
    let (app, _, _) = people().await;
    let query = format!("{{ student(id: \"sam\") {{ {PROFILE} }} }}");
    let seen = app.query(SAM, &query, json!({})).await;
    assert_eq!(seen["student"], profile("sam", "Sam S."));
    sqlx::query("DELETE FROM subject_keys WHERE user_id = 'sam'").execute(&app.pool).await.unwrap();
    let erased = json!({ "displayName": null, "email": null, "role": "replica", "active": false });
    for token in [SAM, ADA, ROOT] {
        assert_eq!(app.query(token, &query, json!({})).await["student"], erased, "{token}");
    }
}

#[tokio::test]
async fn what_was_reported_of_a_user_before_their_creation_is_shown_and_then_completed() {
    let (app, services) = world().await;
    let query = format!("{{ student(id: \"zoe\") {{ {PROFILE} }} }}");
    let seen = async || {
        app.settled().await;
        app.query(ROOT, &query, json!({})).await["student"].take()
    };
    let unknown = json!({ "displayName": null, "email": null, "role": null, "active": true });
    assert_eq!(seen().await, unknown);
    let user_id = user("zoe");
    let key = ensure_keys(&app.pool, &["zoe"]).await.unwrap().remove("zoe").unwrap();
    let name = key.seal(&user_id, PersonalField::DisplayName, "Zoë");
    let stub = vec![
        UserEvent::UserProfileChanged {
            user_id: user_id.clone(),
            display_name: Some(Some(name.clone())),
            email: Some(Some(Sealed("not sealed".to_owned()))),
        },
        UserEvent::UserDeactivated { user_id: user_id.clone() },
    ];
    services.user("zoe", stub).await;
    let expected = json!({ "displayName": "Zoë", "email": null, "role": null, "active": false });
    assert_eq!(seen().await, expected);
    let registered = UserEvent::UserRegistered {
        user_id: user_id.clone(),
        display_name: None,
        email: Some(Some(key.seal(&user_id, PersonalField::Email, "zoe@example.org"))),
        role: Some("student".to_owned()),
        active: None,
    };
    services.user("zoe", vec![registered]).await;
    let expected = json!({
        "displayName": "Zoë", "email": "zoe@example.org", "role": "student", "active": false
    });
    assert_eq!(seen().await, expected);
    let cleared = UserEvent::UserProfileChanged { user_id, display_name: Some(None), email: None };
    let again = UserEvent::UserReactivated { user_id: user("zoe") };
    services.user("zoe", vec![cleared, again]).await;
    let expected = json!({
        "displayName": null, "email": "zoe@example.org", "role": "student", "active": true
    });
    assert_eq!(seen().await, expected);
}

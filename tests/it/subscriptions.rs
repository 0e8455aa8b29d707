//! Subscriptions: every change once and in order, from any place on, at any instance, as the subscriber may see it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use course_service::app::service::Roles;
use serde_json::{Value, json};

use crate::api::{ADA, BOB, NOBODY, ROOT, SAM, TIM, text};
use crate::npm;
use crate::process::{PATIENCE, Process};
use crate::socket_client::Socket;
use crate::support::{self, TestApp, eventually};

const COURSE: &str = "subscription($id: ID!, $since: String) { courseChanged(courseId: $id, sincePosition: $since) { \
    kind position course { version status title } event { type streamVersion position } } }";
const ENROLLMENTS: &str = "subscription($id: ID, $since: String) { enrollmentChanged(courseId: $id, sincePosition: $since) { \
    kind position enrollment { status version student { id } course { id } } event { type } } }";

fn position(number: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("0:{number}"))
}

/// Another instance on the same database.
async fn beside(app: &TestApp) -> TestApp {
    support::start(&[("DATABASE_URL", &app.database_url)], Roles::WITHOUT_KAFKA).await
}

async fn rename(app: &TestApp, course: &str, title: &str) {
    let input = json!({ "courseId": course, "title": title });
    app.done(ADA, "updateCourse", input, "course { id }").await;
}

/// A socket that hears of this, and has begun to.
async fn hearing(app: &TestApp, token: &str, query: &str, variables: Value) -> Socket {
    let mut socket = Socket::of(app, token).await;
    socket.subscribe("1", query, variables).await;
    begun(&mut socket).await;
    socket
}

/// The operation that was begun before this one has read where the log ends.
async fn begun(socket: &mut Socket) {
    socket.subscribe("begun", "{ viewer { id } }", json!({})).await;
    while socket.receive().await["type"] != "complete" {}
}

#[tokio::test]
async fn a_course_tells_its_changes_in_order_once_the_read_models_have_them() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let other = app.published_course("ALG-2", None).await;
    app.settled().await;
    // From the beginning of the log on, so that it does not matter when the subscription begins.
    let since = position(app.log_length().await);
    let mut socket = Socket::of(&app, ADA).await;
    socket.subscribe("1", COURSE, json!({ "id": course, "since": since })).await;
    for number in 0..5 {
        rename(&app, &other, &number.to_string()).await;
        rename(&app, &course, &number.to_string()).await;
        app.enroll(&format!("student:s{number}"), &course).await;
        let change = socket.next("1").await["courseChanged"].take();
        assert_eq!(change["kind"], "CourseDetailsChanged");
        assert_eq!(
            change["course"],
            json!({ "version": 3 + number, "status": "PUBLISHED", "title": number.to_string() })
        );
        let event = json!({ "type": "CourseDetailsChanged", "streamVersion": 3 + number, "position": change["position"] });
        assert_eq!(change["event"], event);
    }
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn without_a_position_it_begins_with_what_happens_from_then_on() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    app.settled().await;
    let mut socket = hearing(&app, NOBODY, COURSE, json!({ "id": course })).await;
    eventually("it has begun", async || {
        rename(&app, &course, &uuid::Uuid::now_v7().to_string()).await;
        !socket.is_quiet().await
    })
    .await;
}

/// What a subscriber has heard, over all its connections.
struct Heard {
    positions: Vec<String>,
}

impl Heard {
    fn since(&self) -> String {
        self.positions.last().cloned().unwrap_or_else(|| position(0))
    }
}

/// Hears `count` changes at an instance, from where it was interrupted, and leaves without a word.
async fn hear(
    app: &TestApp,
    query: &str,
    course: &str,
    heard: &mut Heard,
    count: usize,
    root: &str,
) {
    let mut socket = Socket::of(app, ADA).await;
    socket.subscribe("1", query, json!({ "id": course, "since": heard.since() })).await;
    for _ in 0..count {
        heard.positions.push(text(&socket.next("1").await[root]["position"]));
    }
}

/// The positions of the events of this kind that concern a course.
async fn logged(app: &TestApp, kind: &str, course: &str) -> Vec<String> {
    let sql = "SELECT position FROM events WHERE aggregate_type = $1 AND course_id = $2 ORDER BY position";
    let numbers: Vec<i64> =
        sqlx::query_scalar(sql).bind(kind).bind(course).fetch_all(&app.pool).await.unwrap();
    numbers.into_iter().map(position).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_goes_on_at_another_instance_without_a_gap_or_a_duplicate() {
    let first = Arc::new(support::app().await);
    let second = Arc::new(beside(&first).await);
    let course = first.published_course("ALG-1", None).await;
    first.settled().await;
    let done = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for (writer, app) in [&first, &second, &first].into_iter().enumerate() {
        let (app, course, done) = (app.clone(), course.clone(), done.clone());
        writers.push(tokio::spawn(async move {
            let mut number = 0;
            while !done.load(Ordering::SeqCst) {
                number += 1;
                let input = json!({ "courseId": course, "title": format!("{writer}-{number}") });
                app.done(ADA, "updateCourse", input, "course { id }").await;
                app.enroll(&format!("student:s{writer}-{number}"), &course).await;
            }
        }));
    }
    let mut courses = Heard { positions: Vec::new() };
    let mut enrollments = Heard { positions: Vec::new() };
    for round in 0..12 {
        let app = if round % 2 == 0 { &first } else { &second };
        // Both at once, from where they were interrupted.
        futures::join!(
            hear(app, COURSE, &course, &mut courses, 7, "courseChanged"),
            hear(app, ENROLLMENTS, &course, &mut enrollments, 5, "enrollmentChanged")
        );
    }
    done.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    // The rest, up to the end of the log.
    let all = logged(&first, "course", &course).await;
    let missing = all.len() - courses.positions.len();
    hear(&second, COURSE, &course, &mut courses, missing, "courseChanged").await;
    assert_eq!(courses.positions, all);
    let all = logged(&first, "enrollment", &course).await;
    let missing = all.len() - enrollments.positions.len();
    hear(&first, ENROLLMENTS, &course, &mut enrollments, missing, "enrollmentChanged").await;
    assert_eq!(enrollments.positions, all);
    assert!(courses.positions.len() > 80, "{}", courses.positions.len());
}

#[tokio::test]
async fn many_who_begin_at_different_places_hear_the_same_end() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    app.settled().await;
    let mut sockets = Vec::new();
    for number in 0..30 {
        rename(&app, &course, &number.to_string()).await;
        let mut socket = Socket::of(&app, NOBODY).await;
        let since = position(i64::from(number) / 2);
        socket.subscribe("1", COURSE, json!({ "id": course, "since": since })).await;
        sockets.push((socket, since));
        app.settled().await;
    }
    let all = logged(&app, "course", &course).await;
    let number = |position: &str| {
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(position).unwrap()).unwrap();
        plain.split_once(':').unwrap().1.parse::<i64>().unwrap()
    };
    for (mut socket, since) in sockets {
        let expected: Vec<&String> =
            all.iter().filter(|position| number(position) > number(&since)).collect();
        for position in expected {
            assert_eq!(socket.next("1").await["courseChanged"]["position"], **position);
        }
        assert!(socket.is_quiet().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_falls_far_behind_reads_the_log_and_misses_nothing() {
    let patience = [("GRAPHQL_SOCKET_PATIENCE_MS", "600000")];
    let app = support::start(&patience, Roles::WITHOUT_KAFKA).await;
    let course = app.published_course("ALG-1", None).await;
    app.settled().await;
    let since = position(app.log_length().await);
    let query = "subscription($id: ID!, $since: String) { \
                 courseChanged(courseId: $id, sincePosition: $since) { course { version description } event { streamVersion } } }";
    let (operations, changes) = (40, 50);
    let mut socket = Socket::of(&app, ADA).await;
    for number in 0..operations {
        let variables = json!({ "id": course, "since": since });
        socket.subscribe(&number.to_string(), query, variables).await;
    }
    // Nobody reads: 32 MB are more than the connection takes, and each change is a batch of its own, of which the tail
    // keeps 16.
    for number in 0..changes {
        let input = json!({ "courseId": course, "description": format!("{number:016000}") });
        app.done(ADA, "updateCourse", input, "course { id }").await;
        app.settled().await;
    }
    let mut heard = vec![2; operations];
    for _ in 0..operations * changes {
        let mut message = socket.receive().await;
        assert_eq!(message["type"], "next", "{message}");
        let id: usize = text(&message["id"]).parse().unwrap();
        heard[id] += 1;
        let change = message["payload"]["data"]["courseChanged"].take();
        assert_eq!(change["event"]["streamVersion"], json!(heard[id]), "{id}");
        assert!(change["course"]["version"].as_u64() >= Some(heard[id]), "the read model has it");
    }
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn a_course_that_becomes_invisible_is_told_of_once_and_comes_back_with_its_next_change() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    app.settled().await;
    let since = position(app.log_length().await);
    let mut student = Socket::of(&app, SAM).await;
    let mut teacher = Socket::of(&app, ADA).await;
    for socket in [&mut student, &mut teacher] {
        socket.subscribe("1", COURSE, json!({ "id": course, "since": since })).await;
    }
    let step = async |name: &str| {
        app.done(ADA, name, json!({ "courseId": course }), "course { id }").await;
    };
    step("unpublishCourse").await;
    let change = student.next("1").await["courseChanged"].take();
    assert_eq!((&change["kind"], &change["course"]), (&json!("CourseUnpublished"), &Value::Null));
    assert_eq!(change["event"], Value::Null);
    let change = teacher.next("1").await["courseChanged"].take();
    assert_eq!(change["course"]["status"], "DRAFT");
    assert_eq!(change["event"]["type"], "CourseUnpublished");

    rename(&app, &course, "secret").await;
    assert_eq!(teacher.next("1").await["courseChanged"]["course"]["title"], "secret");
    assert!(student.is_quiet().await);
    // Nor may anybody begin who does not see it.
    let mut late = Socket::of(&app, TIM).await;
    late.subscribe("1", COURSE, json!({ "id": course })).await;
    assert_eq!(late.error("1").await, "NOT_FOUND");

    step("publishCourse").await;
    assert_eq!(teacher.next("1").await["courseChanged"]["kind"], "CoursePublished");
    let change = student.next("1").await["courseChanged"].take();
    assert_eq!(
        (&change["kind"], &change["course"]["title"]),
        (&json!("CoursePublished"), &json!("secret"))
    );
    assert_eq!(change["event"], Value::Null);
}

#[tokio::test]
async fn enrollments_are_told_to_the_student_and_to_those_who_manage_the_course() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", Some(1)).await;
    let other = app.published_course("ALG-2", None).await;
    let shared = json!({ "courseId": course, "instructorId": "bob" });
    app.done(ADA, "assignInstructor", shared.clone(), "course { id }").await;
    app.settled().await;
    let since = position(app.log_length().await);
    let mut sockets = Vec::new();
    for (token, id) in [
        (ADA, json!(course)),
        (BOB, json!(course)),
        (ROOT, json!(course)),
        (SAM, json!(course)),
        (SAM, Value::Null),
        (TIM, Value::Null),
    ] {
        let mut socket = Socket::of(&app, token).await;
        socket.subscribe("1", ENROLLMENTS, json!({ "id": id, "since": since })).await;
        sockets.push(socket);
    }
    let seat = app.enroll(SAM, &course).await;
    app.enroll(TIM, &course).await;
    app.enroll(SAM, &other).await;
    app.settled().await;
    let mut told = async |index: usize, count: usize| {
        let mut changes = Vec::new();
        for _ in 0..count {
            let change = sockets[index].next("1").await["enrollmentChanged"].take();
            let enrollment = &change["enrollment"];
            let student = text(&enrollment["student"]["id"]);
            let here = if enrollment["course"]["id"] == json!(course) { "here" } else { "there" };
            changes.push(format!(
                "{} {student} {here} {}",
                text(&change["kind"]),
                change["event"].is_object()
            ));
        }
        assert!(sockets[index].is_quiet().await, "{index}");
        changes
    };
    let all = ["StudentEnrolled sam here true", "StudentWaitlisted tim here true"];
    for manager in [0, 1, 2] {
        assert_eq!(told(manager, 2).await, all, "{manager}");
    }
    assert_eq!(told(3, 1).await, ["StudentEnrolled sam here false"]);
    assert_eq!(
        told(4, 2).await,
        ["StudentEnrolled sam here false", "StudentEnrolled sam there false"]
    );
    assert_eq!(told(5, 1).await, ["StudentWaitlisted tim here false"]);

    // Who no longer teaches the course hears no more of it; the others do.
    app.done(ADA, "removeInstructor", shared, "course { id }").await;
    let input = json!({ "enrollmentId": seat["id"] });
    app.done(SAM, "withdrawEnrollment", input, "enrollment { id }").await;
    app.settled().await;
    assert_eq!(
        told(0, 2).await,
        ["StudentWithdrawn sam here true", "StudentEnrolled tim here true"]
    );
    assert_eq!(told(1, 0).await, [""; 0]);
    assert_eq!(told(5, 1).await, ["StudentEnrolled tim here false"]);
    assert_eq!(told(4, 1).await, ["StudentWithdrawn sam here false"]);

    // A student's own from the beginning: over all of their courses, in the order of the log.
    let mut again = Socket::of(&app, SAM).await;
    again.subscribe("1", ENROLLMENTS, json!({ "since": position(0) })).await;
    for kind in ["StudentEnrolled", "StudentEnrolled", "StudentWithdrawn"] {
        assert_eq!(again.next("1").await["enrollmentChanged"]["kind"], kind);
    }
    let mut nobody = Socket::of(&app, NOBODY).await;
    nobody.subscribe("1", ENROLLMENTS, json!({ "id": course })).await;
    assert_eq!(nobody.error("1").await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_position_that_is_none_or_of_another_log_is_refused() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    app.settled().await;
    let mut socket = Socket::of(&app, ADA).await;
    let foreign = URL_SAFE_NO_PAD.encode("1:1");
    for since in ["x", "", "0:1", foreign.as_str(), position(1_000_000).as_str()] {
        socket.subscribe("1", COURSE, json!({ "id": course, "since": since })).await;
        assert_eq!(socket.error("1").await, "VALIDATION_FAILED", "{since}");
    }
    for id in ["unknown", "", "\0"] {
        socket.subscribe("1", COURSE, json!({ "id": id })).await;
        assert_eq!(socket.error("1").await, "NOT_FOUND", "{id}");
    }
}

#[tokio::test]
async fn a_restored_database_ends_the_subscriptions_of_the_old_log() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    app.settled().await;
    let since = position(app.log_length().await);
    let mut socket = Socket::of(&app, ADA).await;
    socket.subscribe("1", COURSE, json!({ "id": course, "since": since })).await;
    rename(&app, &course, "a").await;
    socket.next("1").await;
    sqlx::query("UPDATE log_head SET epoch = epoch + 1").execute(&app.pool).await.unwrap();
    assert_eq!(socket.error("1").await, "VALIDATION_FAILED");
    // It can begin anew.
    socket.subscribe("1", COURSE, json!({ "id": course, "since": since })).await;
    assert_eq!(socket.error("1").await, "VALIDATION_FAILED");
    let length = app.log_length().await;
    let now = |number: i64| URL_SAFE_NO_PAD.encode(format!("1:{number}"));
    socket.subscribe("1", COURSE, json!({ "id": course, "since": now(length) })).await;
    rename(&app, &course, "b").await;
    assert_eq!(socket.next("1").await["courseChanged"]["course"]["title"], "b");
    // And go on behind what happened before the restore, from positions of now.
    socket.subscribe("2", COURSE, json!({ "id": course, "since": now(0) })).await;
    let first = socket.next("2").await["courseChanged"].take();
    assert_eq!((&first["kind"], &first["position"]), (&json!("CourseCreated"), &json!(now(1))));
    socket.send(json!({ "id": "2", "type": "complete" })).await;
    let mut again = Socket::of(&app, ADA).await;
    again.subscribe("1", COURSE, json!({ "id": course, "since": first["position"] })).await;
    for kind in ["CoursePublished", "CourseDetailsChanged", "CourseDetailsChanged"] {
        assert_eq!(again.next("1").await["courseChanged"]["kind"], kind);
    }
}

#[tokio::test]
async fn nothing_is_told_before_the_read_models_have_seen_it() {
    let roles = Roles { projections: false, ..Roles::WITHOUT_KAFKA };
    let first = support::app().await;
    let course = first.published_course("ALG-1", None).await;
    first.settled().await;
    let url = first.database_url.clone();
    let mut socket = {
        let since = position(first.log_length().await);
        first.stop().await;
        let app = support::start(&[("DATABASE_URL", &url)], roles).await;
        let mut socket = Socket::of(&app, ADA).await;
        socket.subscribe("1", COURSE, json!({ "id": course, "since": since })).await;
        begun(&mut socket).await;
        rename(&app, &course, "later").await;
        assert!(socket.is_quiet().await);
        // Whoever projects does so elsewhere.
        let projector = Roles { api: false, ..Roles::WITHOUT_KAFKA };
        let _projector = support::start(&[("DATABASE_URL", &url)], projector).await;
        assert_eq!(socket.next("1").await["courseChanged"]["course"]["title"], "later");
        socket
    };
    socket.send(json!({ "type": "ping" })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_of_npm_reconnects_elsewhere_and_goes_on_where_it_was() {
    let folder = npm::installed("graphql-ws").await;
    let first = support::app().await;
    let second = beside(&first).await;
    let course = first.published_course("ALG-1", None).await;
    first.settled().await;
    let urls = [&first, &second].map(|app| app.url("/graphql").replacen("http", "ws", 1)).join(",");
    let mut client = Process::start_other("node", |command| {
        command.arg(folder.join("follow.js")).args([&urls, ADA, &course, &position(0), "12"]);
    });
    let lines = |client: &Process| -> Vec<Value> {
        client.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    rename(&first, &course, "a").await;
    eventually("it hears of the first changes", async || lines(&client).len() >= 3).await;
    assert!(client.is_running(), "{}", client.output());
    let stopped = tokio::spawn(first.stop());
    for title in ["b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        rename(&second, &course, title).await;
    }
    stopped.await.unwrap();
    let finished = client.finish(PATIENCE).await;
    assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
    let heard: Vec<String> = finished
        .stdout
        .lines()
        .map(|line| text(&serde_json::from_str::<Value>(line).unwrap()["position"]))
        .collect();
    assert_eq!(heard, logged(&second, "course", &course).await);
    assert!(finished.stderr.contains("closed with 1001"), "{}", finished.stderr);
}

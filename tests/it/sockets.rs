//! The protocol `graphql-transport-ws`: who is let in, with which code a socket is closed, and how sockets are bounded.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::Router;
use axum::routing::get;
use course_service::app::service::Roles;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::api::{ADA, NOBODY, SAM, code_of, text};
use crate::process::{PATIENCE, Settings};
use crate::socket_client::{PROTOCOL, Socket};
use crate::support::{self, database_url, eventually, prefix};

const CHANGES: &str = "subscription($id: ID!, $since: String) { courseChanged(courseId: $id, sincePosition: $since) { \
                       kind position course { version title } } }";

#[tokio::test]
async fn what_breaks_the_protocol_closes_the_socket_with_its_code() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    app.settled().await;
    let ping = json!({ "type": "ping" });
    let subscribe =
        json!({ "id": "1", "type": "subscribe", "payload": { "query": "{ viewer { id } }" } });
    let forever = json!({
        "id": "1", "type": "subscribe", "payload": { "query": CHANGES, "variables": { "id": course } }
    });
    let init = json!({ "type": "connection_init" });
    for (what, messages, code) in [
        ("subscribing before being let in", vec![subscribe], 4401),
        ("a second initialisation", vec![init.clone(), init.clone()], 4429),
        ("an id twice", vec![init.clone(), forever.clone(), forever], 4409),
        ("an unknown type", vec![init.clone(), json!({ "type": "start", "id": "1" })], 4400),
        ("no object", vec![json!([])], 4400),
        (
            "no query",
            vec![init.clone(), json!({ "id": "1", "type": "subscribe", "payload": {} })],
            4400,
        ),
        (
            "an empty id",
            vec![
                init.clone(),
                json!({ "id": "", "type": "subscribe", "payload": { "query": "{a}" } }),
            ],
            4400,
        ),
        (
            "other credentials",
            vec![
                json!({ "type": "connection_init", "payload": { "authorization": "Basic YQ==" } }),
            ],
            4403,
        ),
        (
            "a token that is none",
            vec![json!({ "type": "connection_init", "payload": { "authorization": "Bearer x" } })],
            4403,
        ),
        (
            "a token of no text",
            vec![json!({ "type": "connection_init", "payload": { "Authorization": 1 } })],
            4403,
        ),
        (
            "a large message",
            vec![init, json!({ "type": "ping", "payload": { "x": "x".repeat(200_000) } })],
            1009,
        ),
    ] {
        let mut socket = Socket::open(&app.url(""), PROTOCOL).await;
        socket.send(ping.clone()).await;
        assert_eq!(socket.receive().await, json!({ "type": "pong" }), "{what}");
        for message in messages {
            socket.send(message).await;
        }
        assert_eq!(socket.closed().await, code, "{what}");
    }
    let mut socket = Socket::open(&app.url(""), PROTOCOL).await;
    socket.send_text("{").await;
    assert_eq!(socket.closed().await, 4400, "no JSON");
    let mut socket = Socket::open(&app.url(""), PROTOCOL).await;
    socket.send_raw(Message::binary(vec![1])).await;
    assert_eq!(socket.closed().await, 4400, "no text");
    let mut socket = Socket::open(&app.url(""), "").await;
    assert_eq!(socket.closed().await, 4406, "no subprotocol");
}

#[tokio::test]
async fn who_does_not_say_who_they_are_in_time_is_closed() {
    let app = support::start(&[("GRAPHQL_SOCKET_INIT_MS", "100")], Roles::WITHOUT_KAFKA).await;
    let mut socket = Socket::open(&app.url(""), PROTOCOL).await;
    assert_eq!(socket.closed().await, 4408);
    let mut socket = Socket::of(&app, ADA).await;
    socket.subscribe("1", "{ viewer { id } }", json!({})).await;
    assert_eq!(socket.next("1").await["viewer"]["id"], "ada");
}

#[tokio::test]
async fn queries_and_mutations_run_too_and_obey_the_same_limits() {
    let app = support::app().await;
    let mut socket = Socket::of(&app, ADA).await;
    let create = "mutation { createCourse(input: { code: \"A\", title: \"A\", publish: true }) { \
                  userErrors { code } position course { title id } } }";
    socket.subscribe("m", create, json!({})).await;
    let created = socket.next("m").await["createCourse"].take();
    assert_eq!(created["userErrors"], json!([]));
    assert_eq!(socket.receive().await, json!({ "id": "m", "type": "complete" }));
    let query =
        "query($at: String) { course(code: \"A\", minPosition: $at) { id title } viewer { role } }";
    socket.subscribe("q", query, json!({ "at": created["position"] })).await;
    let read = socket.next("q").await;
    assert_eq!(
        (&read["course"]["id"], &read["viewer"]["role"]),
        (&created["course"]["id"], &json!("instructor"))
    );
    assert_eq!(socket.receive().await["type"], "complete");

    let steps = 6;
    let nested =
        "modules(first: 1) { nodes { course { ".repeat(steps) + "id" + &" } } }".repeat(steps);
    let deep = format!("{{ course(id: \"x\") {{ {nested} }} }}");
    let followed =
        format!("subscription {{ courseChanged(courseId: \"x\") {{ course {{ {nested} }} }} }}");
    let id = &created["course"]["id"];
    let two = "subscription($id: ID!) { courseChanged(courseId: $id) { kind } enrollmentChanged { kind } }";
    let fragment = "subscription($id: ID!) { ...F } fragment F on Subscription { courseChanged(courseId: $id) { kind } }";
    for (query, code) in [
        (deep.as_str(), "LIMIT_EXCEEDED"),
        (followed.as_str(), "LIMIT_EXCEEDED"),
        (two, "VALIDATION_FAILED"),
        (fragment, "VALIDATION_FAILED"),
        ("subscription { __typename }", "VALIDATION_FAILED"),
        ("subscription { nothing }", "VALIDATION_FAILED"),
        ("subscription { courseChanged { kind } }", "VALIDATION_FAILED"),
        ("{", "VALIDATION_FAILED"),
    ] {
        socket.subscribe("x", query, json!({ "id": id })).await;
        assert_eq!(socket.error("x").await, code, "{query}");
    }

    // Over HTTP a subscription is refused, and nothing hangs.
    let answer = app.graphql(ADA, CHANGES, json!({ "id": id })).await;
    assert_eq!((code_of(&answer).as_str(), answer.get("data")), ("VALIDATION_FAILED", None));
    let url = app.url("/graphql?query=subscription%20%7Ba%7D");
    assert_eq!(app.client().get(url).send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn sockets_and_operations_are_bounded() {
    let settings = [("GRAPHQL_MAX_SOCKETS", "2"), ("GRAPHQL_MAX_OPERATIONS", "2")];
    let app = support::start(&settings, Roles::WITHOUT_KAFKA).await;
    let course = app.published_course("ALG-1", None).await;
    app.settled().await;
    let mut socket = Socket::of(&app, ADA).await;
    for id in ["1", "2"] {
        socket.subscribe(id, CHANGES, json!({ "id": course })).await;
    }
    socket.subscribe("3", CHANGES, json!({ "id": course })).await;
    assert_eq!(socket.error("3").await, "LIMIT_EXCEEDED");
    // Where one is over, there is room for another, also under its id.
    socket.send(json!({ "id": "2", "type": "complete" })).await;
    socket.subscribe("2", "{ viewer { id } }", json!({})).await;
    assert_eq!(socket.next("2").await["viewer"]["id"], "ada");

    let second = Socket::of(&app, NOBODY).await;
    assert_eq!(Socket::try_open(&app.url(""), PROTOCOL).await.err(), Some(503));
    drop(second);
    eventually("a place is free again", async || {
        Socket::try_open(&app.url(""), PROTOCOL).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn what_a_client_has_completed_says_nothing_more() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    app.settled().await;
    let mut socket = Socket::of(&app, NOBODY).await;
    socket.subscribe("1", CHANGES, json!({ "id": course })).await;
    assert!(socket.is_quiet().await);
    socket.subscribe("2", CHANGES, json!({ "id": course })).await;
    socket.send(json!({ "id": "1", "type": "complete" })).await;
    socket.send(json!({ "id": "unknown", "type": "complete" })).await;
    assert!(socket.is_quiet().await);
    app.done(ADA, "updateCourse", json!({ "courseId": course, "title": "x" }), "course { id }")
        .await;
    assert_eq!(socket.next("2").await["courseChanged"]["course"]["title"], "x");
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn a_service_that_stops_says_so_and_does_not_wait_for_its_clients() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    app.settled().await;
    let mut sockets = Vec::new();
    for token in [NOBODY, SAM, ADA] {
        let mut socket = Socket::of(&app, token).await;
        socket.subscribe("1", CHANGES, json!({ "id": course })).await;
        assert!(socket.is_quiet().await);
        sockets.push(socket);
    }
    let stopped = tokio::spawn(app.stop());
    for mut socket in sockets {
        assert_eq!(socket.closed().await, 1001);
    }
    tokio::time::timeout(PATIENCE, stopped).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutation_that_is_under_way_is_answered_before_the_service_stops() {
    let app = support::app().await;
    let pool = app.pool.clone();
    let mut socket = Socket::of(&app, ADA).await;
    let mut append = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM log_head FOR UPDATE").execute(&mut *append).await.unwrap();
    let create =
        "mutation { createCourse(input: { code: \"A\", title: \"A\" }) { course { code } } }";
    socket.subscribe("m", create, json!({})).await;
    crate::instance::waits_for_a_lock(&pool, 1).await;
    let address = app.address;
    let stopped = tokio::spawn(app.stop());
    eventually("it takes no more requests", async || TcpStream::connect(address).await.is_err())
        .await;
    append.rollback().await.unwrap();
    assert_eq!(socket.next("m").await["createCourse"]["course"]["code"], "A");
    assert_eq!(socket.receive().await["type"], "complete");
    assert_eq!(socket.closed().await, 1001);
    stopped.await.unwrap();
}

#[tokio::test]
async fn the_metrics_say_how_many_sockets_are_open() {
    let app = support::app().await;
    let open = async || {
        let text =
            app.client().get(app.url("/metrics")).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find(|line| line.starts_with("course_service_graphql_sockets "));
        line.unwrap().split_once(' ').unwrap().1.to_owned()
    };
    assert_eq!(open().await, "0");
    let socket = Socket::of(&app, ADA).await;
    assert_eq!(open().await, "1");
    drop(socket);
    eventually("it is closed", async || open().await == "0").await;
}

/// A user management service that knows everybody as an instructor, until it does not.
async fn users(valid: Arc<AtomicBool>) -> String {
    let answer = move || {
        let valid = valid.load(Ordering::SeqCst);
        async move { Json(json!({ "valid": valid, "role": "instructor", "userId": "ada" })) }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/validate", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

#[tokio::test]
async fn a_token_that_was_revoked_ends_a_socket_that_is_open() {
    let valid = Arc::new(AtomicBool::new(true));
    let url = users(valid.clone()).await;
    let app = support::start(&[("USER_MANAGEMENT_SERVICE_URL", &url)], Roles::WITHOUT_KAFKA).await;
    let draft = app.course(json!({ "code": "DRAFT", "title": "x" })).await;
    app.settled().await;
    let mut socket = Socket::of(&app, "token").await;
    socket.subscribe("1", CHANGES, json!({ "id": draft })).await;
    assert!(socket.is_quiet().await);
    valid.store(false, Ordering::SeqCst);
    // A positive answer is believed for 30 s; then it is asked again.
    assert_eq!(socket.closed().await, 4403);
}

#[tokio::test]
async fn the_token_of_the_handshake_counts_where_the_first_message_has_none() {
    let app = support::app().await;
    let url = app.url("/graphql").replacen("http", "ws", 1);
    let request = tokio_tungstenite::tungstenite::ClientRequestBuilder::new(url.parse().unwrap())
        .with_header("authorization", "Bearer student:sam")
        .with_sub_protocol(PROTOCOL);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let mut answers = Vec::new();
    for message in [
        json!({ "type": "connection_init" }),
        json!({ "id": "1", "type": "subscribe", "payload": { "query": "{ viewer { id } }" } }),
    ] {
        socket.send(Message::text(message.to_string())).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
        answers.push(serde_json::from_str::<Value>(&answer).unwrap());
    }
    assert_eq!(answers[1]["payload"]["data"]["viewer"]["id"], "sam");
}

/// The memory of a process, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_closed_with_a_code_and_costs_no_memory() {
    let brokers = "127.0.0.1:1".to_owned();
    let settings = Settings::of(database_url().await, brokers, prefix()).await;
    let settings = settings.with("GRAPHQL_SOCKET_PATIENCE_MS", "500");
    let (mut service, client) = settings.serve(&["--role", "api,projections"]).await;
    let course = client.create_course("SLOW-1").await;
    let mut position = Value::Null;
    for round in 0..40 {
        let input = json!({ "courseId": course, "description": format!("{round:016000}") });
        position =
            client.mutate(ADA, "updateCourse", input, "course { id }").await["position"].take();
    }
    let settled = "query($at: String) { viewer(minPosition: $at) { id } }";
    client.graphql(ADA, settled, json!({ "at": position })).await.unwrap();
    let before = resident(service.pid());

    // 40 changes for each of 80 operations, with 16 KB each: 51 MB, far more than the buffers of the connection take.
    let changes = "subscription($id: ID!) { courseChanged(courseId: $id, sincePosition: \"MDow\") { \
                   position course { description } } }";
    let mut socket = Socket::at(client.url(), ADA).await;
    for number in 0..80 {
        socket.subscribe(&number.to_string(), changes, json!({ "id": course })).await;
    }
    let gave_up = |line: &str| line.contains("its client does not read").then_some(());
    service.finds("it gives up", PATIENCE, gave_up).await;
    let after = resident(service.pid());
    assert!(after < before + 64 * 1024, "{before} KiB before, {after} KiB after");
    assert_eq!(socket.closed().await, 1013);
    // Others are served all the while, and the place is free again.
    let mut socket = Socket::at(client.url(), ADA).await;
    socket.subscribe("1", changes, json!({ "id": course })).await;
    for _ in 0..40 {
        assert_eq!(
            text(&socket.next("1").await["courseChanged"]["course"]["description"]).len(),
            16_000
        );
    }
}

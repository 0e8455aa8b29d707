//! The HTTP face beside GraphQL: health, metrics, ids of requests, and the way it stops.

use course_service::app::config::Config;
use course_service::app::service::{self, Options, Roles};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, timeout};

use crate::api::{ADA, SAM, code_of, text};
use crate::support::{self, TestApp, eventually};

async fn get(app: &TestApp, path: &str) -> (u16, String) {
    let answer = app.client().get(app.url(path)).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_healthy_service_says_so_part_by_part() {
    let app = support::app().await;
    assert_eq!(get(&app, "/livez").await, (200, "{\"status\":\"ok\"}".to_owned()));
    let (status, body) = get(&app, "/readyz").await;
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &report["status"]), (200, &json!("ok")), "{report}");
    let parts = report["parts"].as_object().unwrap();
    for part in ["database", "migrations", "projection:courses_v2", "projection:modules_v2"] {
        assert_eq!(parts[part]["status"], "ok", "{report}");
    }
}

#[tokio::test]
async fn without_its_database_a_service_lives_and_is_not_ready_and_answers_errors() {
    // A port that was free a moment ago.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let database = format!("postgres://nobody@{closed}/none");
    let config = Config::from_pairs([
        ("DATABASE_URL", database.as_str()),
        ("USER_MANAGEMENT_SERVICE_URL", "http://127.0.0.1:1"),
        ("BIND_ADDR", "127.0.0.1:0"),
        ("SHUTDOWN_GRACE_MS", "500"),
    ]);
    let options = Options { roles: Roles::WITHOUT_KAFKA, migrate: true };
    let running = service::start(&config.unwrap(), options).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = |path: &str| format!("http://{}{path}", running.address);

    let live = client.get(url("/livez")).send().await.unwrap();
    assert_eq!(live.status(), 200);
    let ready = client.get(url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    let report: Value = ready.json().await.unwrap();
    assert_eq!(report["status"], "unavailable");
    assert_eq!(report["parts"]["database"]["status"], "down");
    assert_eq!(report["parts"]["migrations"]["status"], "down");
    let body = json!({ "query": "{ courses { edges { cursor } } }" });
    let answer = client.post(url("/graphql")).json(&body).send();
    let answer = timeout(Duration::from_secs(10), answer).await.expect("it hangs").unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(code_of(&answer), "INTERNAL");
    assert_eq!(answer["errors"][0]["extensions"]["retryable"], true);
    assert!(!answer.to_string().contains(&closed.port().to_string()), "{answer}");
    let metrics = client.get(url("/metrics")).send().await.unwrap();
    assert_eq!(metrics.status(), 200);
    timeout(Duration::from_secs(10), running.stop()).await.expect("it does not stop").unwrap();
}

/// The value of a line of the metrics.
fn value(metrics: &str, name: &str) -> Option<i64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

#[tokio::test]
async fn the_metrics_count_commands_by_outcome_and_show_the_lag() {
    let app = support::app().await;
    let (_, metrics) = get(&app, "/metrics").await;
    let accepted = "course_service_commands_total{outcome=\"accepted\"}";
    assert_eq!(value(&metrics, accepted), Some(0), "{metrics}");
    assert_eq!(value(&metrics, "course_service_log_head"), Some(0), "{metrics}");

    let course = app.published_course("ALG-1", None).await;
    app.enroll(SAM, &course).await;
    let input = json!({ "code": "ALG-1", "title": "x" });
    app.refused(ADA, "createCourse", input).await;
    app.refused(SAM, "updateCourse", json!({ "courseId": course })).await;
    app.refused(SAM, "updateCourse", json!({ "courseId": course })).await;
    app.refused(ADA, "withdrawEnrollment", json!({ "enrollmentId": "unknown" })).await;

    let answer = app.client().get(app.url("/metrics")).send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let metrics = answer.text().await.unwrap();
    for (name, expected) in [
        (accepted, 2),
        ("course_service_commands_total{outcome=\"COURSE_CODE_TAKEN\"}", 1),
        ("course_service_commands_total{outcome=\"FORBIDDEN\"}", 2),
        ("course_service_commands_total{outcome=\"NOT_FOUND\"}", 1),
        ("course_service_commands_total{outcome=\"failed\"}", 0),
        ("course_service_log_head", app.log_length().await),
        ("course_service_projection_up{projection=\"courses_v2\"}", 1),
    ] {
        assert_eq!(value(&metrics, name), Some(expected), "{name} in {metrics}");
    }
    for projection in [
        "courses_v2",
        "modules_v2",
        "module_items_v2",
        "enrollments_v3",
        "assessments_v1",
        "users_v1",
    ] {
        let lag = format!("course_service_projection_lag_events{{projection=\"{projection}\"}}");
        eventually("the read models have caught up", async || {
            value(&get(&app, "/metrics").await.1, &lag) == Some(0)
        })
        .await;
    }
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
}

#[tokio::test]
async fn a_read_model_that_stands_still_is_told_with_place_and_cause_and_the_others_go_on() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    app.settled().await;
    let head = app.log_length().await;
    let broken = "INSERT INTO events SELECT 'enrollment', 'e-1', 1, 'StudentPainted', '1', '{\"StudentPainted\":{}}', \
                  '{}', position + 1, epoch, recorded_at, gen_random_uuid(), gen_random_uuid(), true, $1 FROM log_head";
    sqlx::query(broken).bind(&course).execute(&app.pool).await.unwrap();
    sqlx::query("UPDATE log_head SET position = position + 1").execute(&app.pool).await.unwrap();
    let mut report = Value::Null;
    eventually("it is told", async || {
        report = serde_json::from_str(&get(&app, "/readyz").await.1).unwrap();
        report["parts"]["projection:enrollments_v3"]["status"] == "down"
    })
    .await;
    let why = report["parts"]["projection:enrollments_v3"]["why"].as_str().unwrap();
    assert!(why.contains(&format!("position {}", head + 1)), "{why}");
    assert!(why.contains("unknown variant `StudentPainted`"), "{why}");
    assert_eq!((&report["status"], get(&app, "/readyz").await.0), (&json!("degraded"), 200));
    let up = |name: &str| format!("course_service_projection_up{{projection=\"{name}\"}}");
    let (_, metrics) = get(&app, "/metrics").await;
    assert_eq!(value(&metrics, &up("enrollments_v3")), Some(0), "{metrics}");
    assert_eq!(value(&metrics, &up("courses_v2")), Some(1), "{metrics}");
    let lag = "course_service_projection_lag_events{projection=\"courses_v2\"}";
    eventually("the others go on", async || value(&get(&app, "/metrics").await.1, lag) == Some(0))
        .await;
    // A release that can read it goes on by itself.
    let mended =
        "UPDATE events SET event_type = 'StudentWaitlisted', payload = $2 WHERE position = $1";
    let payload = json!({ "StudentWaitlisted": { "course_id": course, "student_id": "sam" } });
    sqlx::query(mended).bind(head + 1).bind(payload).execute(&app.pool).await.unwrap();
    app.settled().await;
    assert_eq!(get(&app, "/readyz").await.0, 200);
}

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn the_ids_of_a_request_are_in_its_answer_and_in_its_events() {
    let app = support::app().await;
    let send = async |headers: &[(&str, &str)], code: &str| {
        let query = format!(
            "mutation {{ createCourse(input: {{ code: \"{code}\", title: \"x\" }}) {{ position }} }}"
        );
        let mut request = app.client().post(app.url("/graphql")).bearer_auth(ADA);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.json(&json!({ "query": query })).send().await.unwrap();
        let id = answer.headers()["x-correlation-id"].to_str().unwrap().to_owned();
        let metadata: Value =
            sqlx::query_scalar("SELECT metadata FROM events ORDER BY position DESC LIMIT 1")
                .fetch_one(&app.pool)
                .await
                .unwrap();
        (id, metadata)
    };
    let ids = [("x-correlation-id", "trace-1:a_b.c"), ("traceparent", TRACEPARENT)];
    let (id, metadata) = send(&ids, "C1").await;
    assert_eq!(id, "trace-1:a_b.c");
    assert_eq!(metadata["correlation_id"], "trace-1:a_b.c", "{metadata}");
    assert_eq!(metadata["traceparent"], TRACEPARENT, "{metadata}");
    assert_eq!(metadata["actor"], "ada", "{metadata}");

    let long = "x".repeat(129);
    let unlawful = ["", "a b", "a\u{fc}", "a\tb", "<script>", &long];
    for (number, unlawful) in unlawful.into_iter().enumerate() {
        let headers = [("x-correlation-id", unlawful), ("traceparent", "00-nonsense")];
        let (id, metadata) = send(&headers, &format!("D{number}")).await;
        assert!(uuid::Uuid::parse_str(&id).is_ok(), "{unlawful:?}: {id}");
        assert_eq!(metadata["correlation_id"], json!(id), "{unlawful:?}");
        assert_eq!(metadata.get("traceparent").unwrap_or(&Value::Null), &Value::Null, "{metadata}");
    }
    let (one, _) = send(&[], "E1").await;
    let (other, _) = send(&[], "E2").await;
    assert_ne!(one, other);
    let answer = app.graphql(ADA, "{ nonsense }", json!({})).await;
    assert!(answer["errors"][0]["extensions"]["correlationId"].is_string(), "{answer}");
}

#[tokio::test]
async fn a_mutation_under_way_is_finished_before_the_service_stops() {
    let app = support::app().await;
    let mut other = PgConnection::connect(&app.database_url).await.unwrap();
    let mut lock = other.begin().await.unwrap();
    lock.execute("SELECT * FROM log_head FOR UPDATE").await.unwrap();

    let query = "mutation { createCourse(input: { code: \"C1\", title: \"x\", publish: true }) \
                 { course { id seats { taken } } userErrors { code } } }";
    let request = app.client().post(app.url("/graphql")).bearer_auth(ADA);
    let request = request.json(&json!({ "query": query })).send();
    let client = tokio::spawn(async move { request.await.unwrap().json::<Value>().await.unwrap() });
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("the append waits for the lock", async || {
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(&app.pool).await.unwrap() > 0
    })
    .await;

    let (address, pool) = (app.address, app.pool.clone());
    let stopped = tokio::spawn(app.stop());
    eventually("no new connection is taken", async || TcpStream::connect(address).await.is_err())
        .await;
    assert!(!stopped.is_finished() && !client.is_finished());
    lock.commit().await.unwrap();

    let answer = client.await.unwrap();
    let payload = &answer["data"]["createCourse"];
    assert_eq!(payload["userErrors"], json!([]), "{answer}");
    assert_eq!(payload["course"]["seats"]["taken"], 0, "{answer}");
    timeout(Duration::from_secs(10), stopped).await.expect("it does not stop").unwrap();
    let stored: Option<String> = sqlx::query_scalar(
        "SELECT aggregate_id FROM events WHERE aggregate_type = 'course' LIMIT 1",
    )
    .fetch_optional(&pool)
    .await
    .unwrap();
    assert_eq!(stored, Some(text(&payload["course"]["id"])));
}

/// Holds the end of the log, so that no append comes through until it is dropped.
async fn hold_log(app: &TestApp) -> PgConnection {
    let mut connection = PgConnection::connect(&app.database_url).await.unwrap();
    connection.execute("BEGIN; SELECT * FROM log_head FOR UPDATE").await.unwrap();
    connection
}

#[tokio::test]
async fn a_command_without_an_answer_in_time_says_so() {
    for setting in ["COMMAND_TIMEOUT_MS", "GRAPHQL_TIMEOUT_MS"] {
        let roles = Roles::WITHOUT_KAFKA;
        let app = support::start(&[(setting, "300")], roles).await;
        let holder = hold_log(&app).await;
        let query = "mutation { createCourse(input: { code: \"C1\", title: \"x\" }) { position } }";
        let answer = app.graphql(ADA, query, json!({})).await;
        assert_eq!(code_of(&answer), "TIMEOUT", "{setting}: {answer}");
        assert_eq!(answer["errors"][0]["extensions"]["retryable"], true, "{answer}");
        holder.close().await.unwrap();
        // It was under way, and becomes part of the log; the service goes on.
        eventually("the command is carried out", async || app.log_length().await == 2).await;
        app.draft("C2").await;
    }
}

#[tokio::test]
async fn connections_without_a_whole_request_keep_a_service_no_longer_than_its_grace() {
    let half = "POST /graphql HTTP/1.1\r\nhost: x\r\n";
    for (sent, grace) in [("", "60000"), (half, "1000")] {
        let roles = Roles::WITHOUT_KAFKA;
        let app = support::start(&[("SHUTDOWN_GRACE_MS", grace)], roles).await;
        let mut silent = TcpStream::connect(app.address).await.unwrap();
        silent.write_all(sent.as_bytes()).await.unwrap();
        get(&app, "/livez").await; // and one that is kept alive, behind it
        let stopped = timeout(Duration::from_secs(10), app.stop()).await;
        assert!(stopped.is_ok(), "it waits for {sent:?}");
    }
}

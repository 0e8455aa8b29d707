//! The user management service as this service sees it: every row of its contract, against a real HTTP stand-in.

use std::future::pending;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use course_service::app::service::Roles;
use serde_json::{Value, json};
use sqlx::Row;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::api::{code_of, text};
use crate::support::{self, TestApp};

const API: Roles = Roles::WITHOUT_KAFKA;

/// Answers by token; stops when dropped.
struct UserService {
    url: String,
    _server: JoinSet<()>,
}

async fn user_service() -> UserService {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    let router = Router::new().route("/validate", get(validate));
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    UserService { url, _server: server }
}

async fn validate(headers: HeaderMap) -> Response {
    let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let valid = |role: &str, id: &str| {
        axum::Json(json!({ "valid": true, "role": role, "userId": id })).into_response()
    };
    match token {
        "t-ada" => valid("instructor", "ada"),
        "t-sam" => valid("student", "sam"),
        "t-root" => valid("admin", "root"),
        "auditor" => valid("auditor", "sam"),
        "invalid" => axum::Json(json!({ "valid": false, "role": "admin" })).into_response(),
        "401" | "403" | "404" | "500" | "503" => {
            let status = StatusCode::from_bytes(token.as_bytes()).unwrap();
            (status, axum::Json(json!({ "valid": true, "role": "admin" }))).into_response()
        }
        "redirect" => (StatusCode::FOUND, [("location", "/validate?again")]).into_response(),
        "html" => "<html>hello</html>".into_response(),
        "empty" => "".into_response(),
        "hanging" => pending().await,
        "no-role" => axum::Json(json!({ "valid": true, "id": 42 })).into_response(),
        _ => axum::Json(json!({ "valid": true, "role": "instructor" })).into_response(),
    }
}

const CREATE: &str = "mutation($code: String!) { createCourse(input: { code: $code, title: \"x\" }) \
                      { course { id instructors { id } } userErrors { code } } }";

/// The code of what `token` hears: OK, a user error's or that of `errors[]`.
async fn create(app: &TestApp, token: &str) -> (String, Value) {
    let code = format!("C{}", app.log_length().await);
    let before = app.log_length().await;
    let answer = app.graphql(token, CREATE, json!({ "code": code })).await;
    let said = if answer.get("errors").is_some() {
        code_of(&answer)
    } else {
        answer["data"]["createCourse"]["userErrors"][0]["code"].as_str().unwrap_or("OK").to_owned()
    };
    assert_eq!(app.log_length().await > before, said == "OK", "{token}: {answer}");
    (said, answer)
}

#[tokio::test]
async fn every_reply_of_the_user_service_has_its_meaning() {
    let users = user_service().await;
    let app = support::start(&[("USER_MANAGEMENT_SERVICE_URL", &users.url)], API).await;
    for (token, expected, retryable) in [
        ("t-ada", "OK", false),
        ("t-root", "OK", false),
        ("t-sam", "FORBIDDEN", false),
        ("auditor", "FORBIDDEN", false),
        ("no-role", "FORBIDDEN", false),
        ("invalid", "UNAUTHENTICATED", false),
        ("401", "UNAUTHENTICATED", false),
        ("403", "FORBIDDEN", false),
        ("404", "USER_SERVICE_UNAVAILABLE", true),
        ("500", "USER_SERVICE_UNAVAILABLE", true),
        ("503", "USER_SERVICE_UNAVAILABLE", true),
        ("redirect", "USER_SERVICE_UNAVAILABLE", true),
        ("html", "USER_SERVICE_UNAVAILABLE", true),
        ("empty", "USER_SERVICE_UNAVAILABLE", true),
        ("hanging", "USER_SERVICE_UNAVAILABLE", true),
    ] {
        let started = Instant::now();
        let (said, answer) = create(&app, token).await;
        assert_eq!(said, expected, "{token}: {answer}");
        assert!(started.elapsed() < Duration::from_secs(4), "{token}: {:?}", started.elapsed());
        if token == "403" || expected == "UNAUTHENTICATED" || retryable {
            let extensions = &answer["errors"][0]["extensions"];
            assert_eq!(extensions["retryable"], json!(retryable), "{token}: {answer}");
            // A token that leads to nobody opens nothing at all, not even what is public.
            for query in [
                "{ viewer { id } }",
                "{ courses { edges { cursor } } }",
                "{ course(id: \"unknown\") { id } }",
                "{ course(code: \"?\") { id } }",
                "{ module(id: \"unknown\") { id } }",
                "{ enrollment(id: \"?\") { id } }",
            ] {
                if token == "hanging" {
                    break; // each takes its two seconds
                }
                let said = app.failure(token, query, json!({})).await;
                assert_eq!(said, expected, "{token}: {query}");
            }
        }
    }
}

#[tokio::test]
async fn without_the_user_service_nothing_is_done_but_what_is_public_is_shown() {
    // A port that was free a moment ago.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let app = support::start(&[("USER_MANAGEMENT_SERVICE_URL", &url)], API).await;
    assert_eq!(create(&app, "t-ada").await.0, "USER_SERVICE_UNAVAILABLE");
    let data = app.query("", "{ courses { edges { cursor } } }", json!({})).await;
    assert_eq!(data["courses"]["edges"], json!([]));
}

#[tokio::test]
async fn another_role_only_reads_what_is_public() {
    let users = user_service().await;
    let app = support::start(&[("USER_MANAGEMENT_SERVICE_URL", &users.url)], API).await;
    let input = json!({ "code": "C1", "title": "x", "publish": true });
    let payload = app.done("t-ada", "createCourse", input, "course { id }").await;
    let course = text(&payload["course"]["id"]);
    let enrolled = app.enroll("t-sam", &course).await;
    let payload = app.done(
        "t-ada",
        "updateCourse",
        json!({ "courseId": course, "title": "y" }),
        "course { seats { taken } }",
    );
    payload.await;

    // The auditor has the id of sam, but is no student.
    let query = "query($course: ID!, $enrollment: ID!) { viewer { id role } \
                 course(id: $course) { title viewerEnrollment { id } } \
                 enrollment(id: $enrollment) { id } }";
    let variables = json!({ "course": course, "enrollment": enrolled["id"] });
    let data = app.query("auditor", query, variables).await;
    let expected = json!({
        "viewer": { "id": "sam", "role": null }, "enrollment": null,
        "course": { "title": "y", "viewerEnrollment": null }
    });
    assert_eq!(data, expected);
    for (name, input, code) in [
        ("updateCourse", json!({ "courseId": course, "title": "z" }), "FORBIDDEN"),
        ("enrollStudent", json!({ "courseId": course }), "FORBIDDEN"),
        ("withdrawEnrollment", json!({ "enrollmentId": enrolled["id"] }), "NOT_FOUND"),
    ] {
        assert_eq!(app.refused("auditor", name, input).await, code, "{name}");
    }
}

#[tokio::test]
async fn who_has_no_id_owns_by_a_pseudonym_of_the_token() {
    let users = user_service().await;
    let app = support::start(&[("USER_MANAGEMENT_SERVICE_URL", &users.url)], API).await;
    let (_, answer) = create(&app, "first-token").await;
    let created = &answer["data"]["createCourse"]["course"];
    let owner = text(&created["instructors"][0]["id"]);
    assert_eq!(owner.len(), 16, "{owner}");
    assert!(owner.bytes().all(|byte| byte.is_ascii_hexdigit()), "{owner}");
    let mine = json!({ "courseId": created["id"], "title": "mine" });
    app.done("first-token", "updateCourse", mine.clone(), "course { id }").await;
    assert_eq!(app.refused("second-token", "updateCourse", mine).await, "NOT_FOUND");
}

/// Every cell of every table, as text, that holds `needle`.
async fn cells_with(app: &TestApp, needle: &str) -> Vec<String> {
    let tables = "SELECT table_schema, table_name FROM information_schema.tables \
                  WHERE table_schema NOT IN ('pg_catalog', 'information_schema')";
    let tables = sqlx::query(tables).fetch_all(&app.pool).await.unwrap();
    assert!(tables.len() > 10, "every table is looked at");
    let mut found = Vec::new();
    for table in tables {
        let (schema, name): (String, String) = (table.get(0), table.get(1));
        let rows =
            format!("SELECT t::text FROM \"{schema}\".\"{name}\" t WHERE strpos(t::text, $1) > 0");
        let rows: Vec<String> =
            sqlx::query_scalar(&rows).bind(needle).fetch_all(&app.pool).await.unwrap();
        found.extend(rows.into_iter().map(|row| format!("{name}: {row}")));
    }
    found
}

#[tokio::test]
async fn a_token_is_in_no_table_and_no_answer() {
    let users = user_service().await;
    let app = support::start(&[("USER_MANAGEMENT_SERVICE_URL", &users.url)], API).await;
    let token = "hush-hush-0123456789";
    let (said, answer) = create(&app, token).await;
    assert_eq!(said, "OK");
    let course = text(&answer["data"]["createCourse"]["course"]["id"]);
    for (name, input) in [
        ("publishCourse", json!({ "courseId": course })),
        ("addModule", json!({ "courseId": course, "title": "x" })),
        ("enrollStudent", json!({ "courseId": course })),
        ("deleteCourse", json!({ "courseId": course, "force": true })),
    ] {
        let payload =
            app.done(token, name, input, "clientMutationId query { viewer { id } }").await;
        assert!(!payload.to_string().contains(token), "{payload}");
    }
    // The read models have seen it all.
    let settled = json!({ "courseId": course });
    app.done(token, "deleteCourse", settled, "course { seats { taken } }").await;
    for query in ["{ viewer { id } }", "{ nonsense }", "{ course(id: \"x\", code: \"y\") { id } }"]
    {
        let answer = app.graphql(token, query, json!({})).await.to_string();
        assert!(!answer.contains(token), "{answer}");
    }
    assert_eq!(cells_with(&app, token).await, Vec::<String>::new());
    assert!(!cells_with(&app, &course).await.is_empty(), "the search finds what is there");
    for path in ["/metrics", "/readyz"] {
        let body = app.client().get(app.url(path)).bearer_auth(token).send().await.unwrap();
        assert!(!body.text().await.unwrap().contains(token), "{path}");
    }
}

#[tokio::test]
async fn credentials_that_are_no_bearer_token_are_refused() {
    let users = user_service().await;
    let app = support::start(&[("USER_MANAGEMENT_SERVICE_URL", &users.url)], API).await;
    for credentials in [
        &b"Basic YWRhOmFkYQ=="[..],
        b"Bearer",
        b"Bearer ",
        b"ada",
        b"",
        b"Bearer a b",
        b"Bearer \xff",
    ] {
        let body = json!({ "query": "{ viewer { id } }" });
        let request = app.client().post(app.url("/graphql")).json(&body);
        let answer = request.header("authorization", credentials).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(code_of(&answer), "UNAUTHENTICATED", "{credentials:?}");
    }
    for credentials in ["bearer t-ada", "BEARER   t-ada "] {
        let body = json!({ "query": "{ viewer { id } }" });
        let request = app.client().post(app.url("/graphql")).json(&body);
        let answer = request.header("authorization", credentials).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["data"]["viewer"]["id"], "ada", "{credentials:?}");
    }
}

//! The example of a client: types generated from the schema, checked, and run against the service.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;

use crate::npm;
use crate::process::tempdir::Folder;
use crate::support;

const PROJECT: &str = "client";

fn schema() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql")
}

/// Stands between client and service, lets the read models lag once, and keeps the answer to the first enrollment.
#[derive(Clone)]
struct Between {
    target: String,
    lists: Arc<AtomicU32>,
    enrollments: Arc<AtomicU32>,
    client: reqwest::Client,
}

impl Between {
    async fn start(target: String) -> (SocketAddr, Arc<AtomicU32>) {
        let lists = Arc::<AtomicU32>::default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let enrollments = Arc::default();
        let between = Self { target, lists: lists.clone(), enrollments, client };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/graphql", post(forward)).with_state(between);
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        (address, lists)
    }
}

async fn forward(State(between): State<Between>, headers: HeaderMap, body: String) -> Response {
    if body.contains("query Courses") && between.lists.fetch_add(1, Ordering::Relaxed) == 0 {
        return failed("PROJECTION_LAGGING");
    }
    let enrolls = body.contains("mutation EnrollStudent");
    let mut request = between.client.post(between.target).body(body);
    for name in [AUTHORIZATION, CONTENT_TYPE] {
        request = request.header(&name, &headers[&name]);
    }
    let answer = request.send().await.unwrap();
    if enrolls && between.enrollments.fetch_add(1, Ordering::Relaxed) == 0 {
        return failed("TIMEOUT");
    }
    let kind = [(CONTENT_TYPE, answer.headers()[CONTENT_TYPE].clone())];
    (answer.status(), kind, answer.bytes().await.unwrap()).into_response()
}

fn failed(code: &str) -> Response {
    let error = json!({ "message": code, "extensions": { "code": code, "retryable": true } });
    axum::Json(json!({ "data": null, "errors": [error] })).into_response()
}

const STORY: &str = "\
created RUST-101, DRAFT, version 1
added module 0: Ownership
published RUST-101, PUBLISHED
created ALGEBRA-1, DRAFT, version 1
added module 0: Vectors
published ALGEBRA-1, PUBLISHED
created LOGIC-1, DRAFT, version 1
added module 0: Propositions
published LOGIC-1, PUBLISHED
PROJECTION_LAGGING: trying again
page 1: RUST-101 Rust (Ownership), ALGEBRA-1 Linear algebra (Vectors)
page 2: LOGIC-1 Logic (Propositions)
TIMEOUT: trying again
enrolled sam, ACTIVE
refused with ALREADY_ENROLLED: the student is enrolled already
failed with UNAUTHENTICATED: the token is not valid
";

#[tokio::test]
async fn a_typed_client_is_generated_checked_and_does_what_it_says() {
    let project = npm::installed(PROJECT).await;
    let ran = npm::run(&project, "generate", &[("SCHEMA", schema())]).await;
    assert!(ran.done, "{}", ran.output);
    let ran = npm::run::<&str>(&project, "check", &[]).await;
    assert!(ran.done, "{}", ran.output);

    let app = support::app().await;
    let (between, lists) = Between::start(app.url("/graphql")).await;
    let url = format!("http://{between}/graphql");
    let settings = [
        ("COURSE_SERVICE_URL", url.as_str()),
        ("INSTRUCTOR_TOKEN", "instructor:ada"),
        ("STUDENT_TOKEN", "student:sam"),
    ];
    let ran = npm::run(&project, "start", &settings).await;
    assert_eq!(ran.output, STORY);
    assert!(ran.done);
    assert_eq!(
        lists.load(Ordering::Relaxed),
        4,
        "one failed, two pages, one without a valid token"
    );

    // What the schema does not know is found before anything runs.
    let folder = Folder::new();
    let stale = folder.path().join("stale.graphql");
    fs::write(&stale, "query Stale { courses { nodes { teacher } } }").unwrap();
    let settings = [("SCHEMA", schema()), ("DOCUMENTS", stale)];
    let ran = npm::run(&project, "generate", &settings).await;
    assert!(!ran.done && ran.output.contains("Cannot query field \"teacher\""), "{}", ran.output);
}

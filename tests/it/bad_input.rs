//! What callers get wrong: each a clear error with its code and field, and nothing appended.

use std::fmt::Write as _;

use course_service::app::service::Roles;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::{ADA, NOBODY, ROOT, SAM, code_of, text};
use crate::support::{self, TestApp};

/// A title of this many characters of four bytes each.
fn wide(characters: usize) -> String {
    "🎓".repeat(characters)
}

/// The code of a refusal, which must name the field.
async fn check(app: &TestApp, name: &str, input: Value, field: &str, code: &str) {
    let error = app.refusal(ADA, name, input.clone()).await;
    let input = input.to_string();
    let shown: String = input.chars().take(200).collect();
    assert_eq!(error["code"], code, "{name} {field}: {shown}");
    assert_eq!(error["field"], json!(["input", field]), "{name}: {shown}");
    assert_eq!(error["retryable"], false, "{name}: {shown}");
    assert!(error["message"].as_str().is_some_and(|text| text.len() > 10), "{name}: {error}");
}

fn with(mut input: Value, field: &str, value: &Value) -> Value {
    input[field] = value.clone();
    input
}

#[tokio::test]
async fn every_limit_of_a_course_names_its_field() {
    let app = support::app().await;
    let course = app.draft("ALG-1").await;
    let kib = "x".repeat(16 * 1024);
    let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    let both = [
        ("title", json!("")),
        ("title", json!(" \t\n ")),
        ("title", json!("x".repeat(256))),
        ("title", json!("a\0b")),
        ("code", json!("")),
        ("code", json!("a b")),
        ("code", json!("ü")),
        ("code", json!("x".repeat(65))),
        ("code", json!("a\0")),
        ("description", json!(format!("{kib}x"))),
        ("description", json!("\0")),
        ("tags", json!(many(51))),
        ("tags", json!([""])),
        ("tags", json!(["x".repeat(65)])),
        ("tags", json!(["a", "a"])),
        ("tags", json!(["a\0"])),
        ("capacity", json!(-1)),
        ("capacity", json!(i64::from(i32::MAX) + 1)),
        ("capacity", json!(i64::MAX)),
        ("capacity", json!(i64::MIN)),
        ("passingScore", json!(-0.1)),
        ("passingScore", json!(100.1)),
        ("passingScore", json!(1e300)),
        ("startsAt", json!("0000-12-31T23:59:59Z")),
        ("endsAt", json!("9999-12-31T23:59:59-01:00")),
        ("enrollmentOpensAt", json!("+12026-01-01T00:00:00Z")),
        ("enrollmentClosesAt", json!("-0001-01-01T00:00:00Z")),
    ];
    for (field, value) in &both {
        let new = with(json!({ "code": "NEW", "title": "x" }), field, value);
        check(&app, "createCourse", new, field, "VALIDATION_FAILED").await;
        let changes = with(json!({ "courseId": course }), field, value);
        check(&app, "updateCourse", changes, field, "VALIDATION_FAILED").await;
    }
    for field in ["title", "code"] {
        let changes = with(json!({ "courseId": course }), field, &Value::Null);
        check(&app, "updateCourse", changes, field, "VALIDATION_FAILED").await;
    }
    for id in ["", "a b", "ü", "a\0b", &"x".repeat(65)] {
        let new = json!({ "code": "NEW", "title": "x", "id": id });
        check(&app, "createCourse", new, "id", "VALIDATION_FAILED").await;
    }
    for id in ["", "  ", "a\0b", "a\nb", &"x".repeat(129)] {
        let new = json!({ "code": "NEW", "title": "x", "coInstructorIds": [id] });
        check(&app, "createCourse", new, "coInstructorIds", "VALIDATION_FAILED").await;
    }
    let new = json!({ "code": "NEW", "title": "x", "coInstructorIds": many(50) });
    check(&app, "createCourse", new, "coInstructorIds", "LIMIT_EXCEEDED").await;
    for version in [-1, i64::MIN] {
        let changes = json!({ "courseId": course, "expectedVersion": version });
        check(&app, "updateCourse", changes, "expectedVersion", "VALIDATION_FAILED").await;
    }
    for reason in ["x".repeat(1_025), "\0".to_owned()] {
        let deleted = json!({ "courseId": course, "reason": reason });
        check(&app, "deleteCourse", deleted, "reason", "VALIDATION_FAILED").await;
    }

    // The edges themselves are lawful.
    let edge = json!({
        "id": "x".repeat(64), "code": "X".repeat(64), "title": wide(255), "description": kib,
        "tags": (0..50).map(|n| format!("{n:x>64}")).collect::<Vec<_>>(), "capacity": i32::MAX,
        "passingScore": 100, "coInstructorIds": many(49),
        "startsAt": "0001-01-01T00:00:00Z", "endsAt": "9999-12-31T23:59:59.999Z",
        "enrollmentOpensAt": "2030-01-01T00:00:00Z", "enrollmentClosesAt": "2030-01-01T00:00:00Z"
    });
    let selection = "course { title seats { capacity } dates { startsAt endsAt } }";
    let payload = app.done(ADA, "createCourse", edge, selection).await;
    let at = payload["position"].clone();
    let query = format!(
        "query($id: ID!, $at: String) {{ course(id: $id, minPosition: $at) {{ {} }} }}",
        "title seats { capacity } dates { startsAt endsAt }"
    );
    let data = app.query(ADA, &query, json!({ "id": "x".repeat(64), "at": at })).await;
    assert_eq!(data["course"], payload["course"]);
    let reason = json!({ "courseId": course, "reason": "x".repeat(1_024) });
    app.done(ADA, "deleteCourse", reason, "course { id }").await;
}

#[tokio::test]
async fn an_end_before_its_start_is_refused_with_its_field() {
    let app = support::app().await;
    let early = "2030-01-01T00:00:00Z";
    let late = "2030-01-01T00:00:00.001Z";
    let input = json!({
        "code": "ALG-1", "title": "x", "startsAt": early, "endsAt": late,
        "enrollmentOpensAt": early, "enrollmentClosesAt": late
    });
    let course = app.course(input).await;
    for (start, end) in [("startsAt", "endsAt"), ("enrollmentOpensAt", "enrollmentClosesAt")] {
        let new = json!({ "code": "NEW", "title": "x", start: late, end: early });
        check(&app, "createCourse", new, end, "VALIDATION_FAILED").await;
        // Against what is there already.
        let changes = json!({ "courseId": course, end: "2029-01-01T00:00:00Z" });
        check(&app, "updateCourse", changes, end, "VALIDATION_FAILED").await;
        let changes = json!({ "courseId": course, start: "2031-01-01T00:00:00Z" });
        check(&app, "updateCourse", changes, end, "VALIDATION_FAILED").await;
    }
}

#[tokio::test]
async fn every_limit_of_a_module_and_an_enrollment_names_its_field() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let module = app.module(&course, "x").await;
    for (field, value) in [
        ("title", json!("")),
        ("title", json!("x".repeat(256))),
        ("title", json!("a\0b")),
        ("summary", json!("x".repeat(16 * 1024 + 1))),
        ("summary", json!("\0")),
    ] {
        let new = with(json!({ "courseId": course, "title": "x" }), field, &value);
        check(&app, "addModule", new, field, "VALIDATION_FAILED").await;
        let changes = with(json!({ "courseId": course, "moduleId": module }), field, &value);
        check(&app, "updateModule", changes, field, "VALIDATION_FAILED").await;
    }
    for field in ["title", "state"] {
        let changes = with(json!({ "courseId": course, "moduleId": module }), field, &Value::Null);
        check(&app, "updateModule", changes, field, "VALIDATION_FAILED").await;
    }
    for id in ["", "a b", "a\0b", &"x".repeat(65)] {
        let input = json!({ "courseId": course, "moduleId": id, "title": "x" });
        check(&app, "updateModule", input, "moduleId", "VALIDATION_FAILED").await;
        for (name, input) in [
            ("updateCourse", json!({ "courseId": id })),
            ("publishCourse", json!({ "courseId": id })),
            ("deleteCourse", json!({ "courseId": id })),
            ("addModule", json!({ "courseId": id, "title": "x" })),
            ("updateModule", json!({ "courseId": id, "moduleId": module })),
            ("enrollStudent", json!({ "courseId": id })),
        ] {
            check(&app, name, input, "courseId", "VALIDATION_FAILED").await;
        }
        let input = json!({ "enrollmentId": id });
        check(&app, "withdrawEnrollment", input, "enrollmentId", "VALIDATION_FAILED").await;
    }
    for id in ["", " ", "a\0b", &"x".repeat(129)] {
        let input = json!({ "courseId": course, "studentId": id });
        check(&app, "enrollStudent", input, "studentId", "VALIDATION_FAILED").await;
    }
    let enrollment = app.enroll(SAM, &course).await["id"].take();
    for reason in ["x".repeat(1_025), "a\0b".to_owned()] {
        let input = json!({ "enrollmentId": enrollment, "reason": reason });
        check(&app, "withdrawEnrollment", input, "reason", "VALIDATION_FAILED").await;
    }
}

#[tokio::test]
async fn a_course_has_at_most_200_modules() {
    let app = support::app().await;
    let course = app.draft("ALG-1").await;
    for start in (0..200).step_by(10) {
        let mut document = String::from("mutation($course: ID!) {");
        for number in start..start + 10 {
            let input = format!("{{ courseId: $course, title: \"{number}\" }}");
            write!(document, " m{number}: addModule(input: {input}) {{ userErrors {{ code }} }}")
                .unwrap();
        }
        document.push('}');
        let data = app.query(ADA, &document, json!({ "course": course })).await;
        let payloads = data.as_object().unwrap();
        assert!(payloads.values().all(|payload| payload["userErrors"] == json!([])), "{data}");
    }
    let one_more = json!({ "courseId": course, "title": "x" });
    check(&app, "addModule", one_more, "modules", "LIMIT_EXCEEDED").await;
}

#[tokio::test]
async fn a_course_that_would_not_fit_into_a_kafka_record_is_refused() {
    let app = support::app().await;
    // 16 KiB of what JSON writes as six bytes each, in one request of at most 100 KiB.
    let input = json!({ "code": "ALG-1", "title": "x", "description": "\u{1}".repeat(16 * 1024) });
    let course = app.course(input).await;
    let refused = loop {
        let input = json!({ "courseId": course, "title": wide(255) });
        let before = app.log_length().await;
        let payload = app.mutate(ADA, "addModule", input, "module { position }").await;
        if payload["userErrors"] != json!([]) {
            assert_eq!(app.log_length().await, before);
            break payload;
        }
    };
    let error = &refused["userErrors"][0];
    assert_eq!(error["code"], "LIMIT_EXCEEDED");
    let modules: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events WHERE event_type = 'ModuleAdded'")
            .fetch_one(&app.pool)
            .await
            .unwrap();
    assert!((100..150).contains(&modules), "{modules}");
}

#[tokio::test]
async fn u_0000_is_never_a_fault_of_ours() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    // What is only echoed may hold it.
    let input = json!({ "courseId": course, "clientMutationId": "a\0b" });
    let payload = app.no_op(ADA, "publishCourse", input, "clientMutationId").await;
    assert_eq!(payload["clientMutationId"], "a\0b");
    // What is looked up finds nothing.
    let query = "query($x: String!, $id: ID!) { a: course(code: $x) { id } b: course(id: $id) { id } \
                 c: module(id: $id) { id } d: enrollment(id: $id) { id } \
                 e: enrollment(courseId: $id, studentId: $id) { id } }";
    let data = app.query(ROOT, query, json!({ "x": "a\0b", "id": "a\0b" })).await;
    assert_eq!(data, json!({ "a": null, "b": null, "c": null, "d": null, "e": null }));
    let query = "{ course(code: \"a\\u0000b\") { id } }";
    assert_eq!(app.query(ROOT, query, json!({})).await["course"], Value::Null);
    // In the document itself it is no GraphQL.
    assert_eq!(app.failure(ROOT, "{ viewer\0 { id } }", json!({})).await, "VALIDATION_FAILED");
    let body = json!({ "query": "query A { viewer { id } }", "operationName": "A\0" });
    let answer = app.client().post(app.url("/graphql")).json(&body).send().await.unwrap();
    assert_eq!(code_of(&answer.json().await.unwrap()), "VALIDATION_FAILED");
}

#[tokio::test]
async fn values_that_the_schema_does_not_know_are_errors_of_the_request() {
    let app = support::app().await;
    let course = app.draft("ALG-1").await;
    for query in [
        "",
        "{",
        "nonsense",
        "{ nonsense }",
        "{ viewer { nonsense } }",
        "{ viewer }",
        "{ courses(first: 1, nonsense: 2) { edges { cursor } } }",
        "{ courses(first: \"1\") { edges { cursor } } }",
        "{ courses(first: 99999999999) { edges { cursor } } }",
        "{ courses(first: 1.5) { edges { cursor } } }",
        "subscription { courseChanged { id } }",
        "query A { viewer { id } } query B { viewer { id } }",
        "query($x: Nonsense) { viewer { id } }",
        "query($x: ID!) { course(id: $x) { id } }",
        "{ ...Missing }",
        "{ viewer { ...F } } fragment F on User { ...F }",
        "mutation { createCourse { course { id } } }",
        "mutation { createCourse(input: { title: \"x\" }) { course { id } } }",
        "mutation { createCourse(input: { code: \"x\", title: \"x\", nonsense: 1 }) { course { id } } }",
        "mutation { createCourse(input: { code: 1, title: \"x\" }) { course { id } } }",
        "mutation { createCourse(input: { code: \"x\", title: null }) { course { id } } }",
        "mutation { createCourse(input: { code: \"x\", title: \"x\", publish: null }) { course { id } } }",
        "mutation { createCourse(input: { code: \"x\", title: \"x\", passingScore: 1e999 }) { course { id } } }",
        "mutation { createCourse(input: { code: \"x\", title: \"x\", passingScore: NaN }) { course { id } } }",
        "mutation { createCourse(input: { code: \"x\", title: \"x\", capacity: 1e3 }) { course { id } } }",
        "mutation { createCourse(input: { code: \"x\", title: \"x\", capacity: 99999999999999999999 }) { course { id } } }",
        "mutation { createCourse(input: { code: \"x\", title: \"x\", startsAt: \"tomorrow\" }) { course { id } } }",
        "mutation { createCourse(input: { code: \"x\", title: \"x\", startsAt: \"2030-13-01T00:00:00Z\" }) { course { id } } }",
        "mutation { createCourse(input: { code: \"x\", title: \"x\", startsAt: \"2030-02-30T00:00:00Z\" }) { course { id } } }",
        "mutation { createCourse(input: { code: \"x\", title: \"x\", startsAt: 5 }) { course { id } } }",
    ] {
        assert_eq!(app.failure(ADA, query, json!({})).await, "VALIDATION_FAILED", "{query}");
    }
    let query = "mutation($input: UpdateModuleInput!) { updateModule(input: $input) { position } }";
    let input = json!({ "courseId": course, "moduleId": "x", "state": "SECRET" });
    let code = app.failure(ADA, query, json!({ "input": input })).await;
    assert_eq!(code, "VALIDATION_FAILED");
}

#[tokio::test]
async fn fragments_that_grow_without_measure_are_refused_before_anything_walks_them() {
    let app = support::app().await;
    let double = |number| {
        let next = number + 1;
        format!("fragment f{number} on Query {{ ...f{next} ...f{next} }}")
    };
    let doubling: Vec<String> = (0..60).map(double).collect();
    let doubling = doubling.join(" ");
    let bomb = format!("{{ ...f0 }} {doubling} fragment f60 on Query {{ viewer {{ id }} }}");
    assert_eq!(app.failure(NOBODY, &bomb, json!({})).await, "LIMIT_EXCEEDED");
    let unused =
        format!("{{ viewer {{ id }} }} {doubling} fragment f60 on Query {{ viewer {{ id }} }}");
    assert_eq!(app.failure(NOBODY, &unused, json!({})).await, "LIMIT_EXCEEDED");
    let cycle = "{ viewer { ...a } } fragment a on User { ...a }";
    assert_eq!(app.failure(NOBODY, cycle, json!({})).await, "VALIDATION_FAILED");
}

#[tokio::test]
async fn brackets_without_end_are_an_error_and_not_the_end_of_the_process() {
    let app = support::app().await;
    for (open, close) in [("{a", "}"), ("[", "]"), ("{a:", "}"), ("{...{", "}}")] {
        for depth in [100, 10_000] {
            for closed in [true, false] {
                let mut inner = open.repeat(depth);
                if closed {
                    inner = inner + "a" + &close.repeat(depth);
                }
                for query in [
                    inner.clone(),
                    format!("{{ courses(after: {inner}) {{ edges {{ cursor }} }} }}"),
                    format!("query($x: {inner}) {{ viewer {{ id }} }}"),
                ] {
                    let code = app.failure(NOBODY, &query, json!({})).await;
                    assert_eq!(code, "LIMIT_EXCEEDED", "{depth} times {open}");
                }
            }
        }
    }
    // Over GET too, and in variables.
    let query = "{a".repeat(10_000);
    let request = app.client().get(app.url("/graphql")).query(&[("query", &query)]);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(code_of(&answer), "LIMIT_EXCEEDED");
    let body =
        format!("{{\"query\":\"{{viewer{{id}}}}\",\"variables\":{}", "{\"a\":".repeat(20_000));
    let answer = post(&app, "application/json", body).await;
    assert_eq!(answer.status(), 400);
    // Brackets in strings and comments do not count.
    let brackets = "{".repeat(5_000);
    let query = format!(
        "# {brackets}\n{{ course(id: \"{brackets}\") {{ id }} b: course(id: \"\"\"{brackets}\"\"\") {{ id }} }}"
    );
    let data = app.query(NOBODY, &query, json!({})).await;
    assert_eq!(data, json!({ "course": null, "b": null }));
}

async fn post(app: &TestApp, kind: &str, body: impl Into<reqwest::Body>) -> Response {
    let mut request = app.client().post(app.url("/graphql")).bearer_auth(ADA).body(body);
    if !kind.is_empty() {
        request = request.header("content-type", kind);
    }
    request.send().await.unwrap()
}

/// The status and the code of an answer, whose type must be JSON.
async fn said(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.contains("json"), "{kind}");
    let correlation_id = answer.headers()["x-correlation-id"].to_str().unwrap().to_owned();
    let body: Value = answer.json().await.unwrap();
    let code = code_of(&body);
    assert_eq!(body["errors"][0]["extensions"]["correlationId"], json!(correlation_id));
    (status, code)
}

const PUBLISH: &str =
    "mutation { createCourse(input: { code: \"X\", title: \"x\" }) { position } }";

#[tokio::test]
async fn what_is_no_graphql_request_has_its_status_and_code() {
    let app = support::app().await;
    let before = app.log_length().await;
    let json = "application/json";
    let malformed: [&[u8]; 11] = [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b"{}",
        b"null",
        br#"{"query":1}"#,
        br#"{"query":"{ viewer { id } }","variables":[]}"#,
        br#"{"query":"{ viewer { id } }","operationName":1}"#,
        br#"{"query":"{ viewer { id } }","variables":{"x":1e999}}"#,
        b"{\"query\":\"\xff\"}",
    ];
    for body in malformed {
        let answer = said(post(&app, json, body).await).await;
        assert_eq!(answer, (400, "VALIDATION_FAILED".to_owned()), "{body:?}");
    }
    let bytes = json!({ "query": PUBLISH }).to_string();
    let kinds = [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
    ];
    for kind in kinds {
        let answer = said(post(&app, kind, bytes.clone()).await).await;
        assert_eq!(answer, (415, "VALIDATION_FAILED".to_owned()), "{kind}");
    }
    let large =
        json!({ "query": PUBLISH, "variables": { "x": "x".repeat(100 * 1024) } }).to_string();
    let answer = said(post(&app, json, large.clone()).await).await;
    assert_eq!(answer, (413, "LIMIT_EXCEEDED".to_owned()));
    // Without a length that says so beforehand.
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                connection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    let request = format!("{head}{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert_eq!(app.log_length().await, before);

    let charset = post(&app, "Application/JSON; charset=utf-8", bytes).await;
    assert_eq!(charset.status(), 200);
    assert!(app.log_length().await > before);
}

#[tokio::test]
async fn get_reads_and_never_writes() {
    let app = support::app().await;
    let before = app.log_length().await;
    let get = async |parameters: &[(&str, &str)]| {
        let request = app.client().get(app.url("/graphql")).bearer_auth(ADA);
        request.query(parameters).send().await.unwrap()
    };
    let hidden = "query A { viewer { id } } mutation B { deleteCourse(input: { courseId: \"x\" }) { position } }";
    for parameters in [&[("query", PUBLISH)][..], &[("query", hidden), ("operationName", "B")]] {
        let answer = get(parameters).await;
        assert_eq!(answer.headers()["allow"], "POST");
        assert_eq!(said(answer).await, (405, "VALIDATION_FAILED".to_owned()), "{parameters:?}");
    }
    for parameters in [
        &[][..],
        &[("query", "")],
        &[("nonsense", "x")],
        &[("query", "{ viewer { id } }"), ("variables", "{")],
    ] {
        let answer = said(get(parameters).await).await;
        assert_eq!(answer, (400, "VALIDATION_FAILED".to_owned()), "{parameters:?}");
    }
    // Beside a mutation, a query may be read; without a name, it is unclear which is meant.
    let answer: Value =
        get(&[("query", hidden), ("operationName", "A")]).await.json().await.unwrap();
    assert_eq!(answer["data"], json!({ "viewer": { "id": "ada" } }));
    let answer: Value = get(&[("query", hidden)]).await.json().await.unwrap();
    assert_eq!(code_of(&answer), "VALIDATION_FAILED");
    assert_eq!(app.log_length().await, before);
    let query = "query A($id: ID) { viewer { id } course(id: $id) { id } }";
    let parameters = [("query", query), ("variables", "{\"id\":\"x\"}"), ("operationName", "A")];
    let answer: Value = get(&parameters).await.json().await.unwrap();
    assert_eq!(answer["data"], json!({ "viewer": { "id": "ada" }, "course": null }));
}

#[tokio::test]
async fn other_methods_are_refused_and_say_which_are_not() {
    let app = support::app().await;
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let request = app.client().request(method.clone(), app.url("/graphql"));
        let answer = request.json(&json!({ "query": PUBLISH })).send().await.unwrap();
        let allowed = answer.headers()["allow"].to_str().unwrap();
        assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
        assert_eq!(said(answer).await, (405, "VALIDATION_FAILED".to_owned()), "{method}");
    }
    assert_eq!(app.log_length().await, 0);
}

#[tokio::test]
async fn introspection_can_be_switched_off() {
    let query = "{ __schema { queryType { name } } __type(name: \"Course\") { name } }";
    let app = support::app().await;
    let data = app.query(NOBODY, query, json!({})).await;
    assert_eq!(data["__type"]["name"], "Course");
    let roles = Roles::WITHOUT_KAFKA;
    let app = support::start(&[("GRAPHQL_INTROSPECTION", "false")], roles).await;
    let answer = app.graphql(NOBODY, query, json!({})).await;
    assert_eq!(code_of(&answer), "VALIDATION_FAILED");
    assert_eq!(answer["errors"][0]["message"], "introspection is switched off");
    assert_eq!(answer.get("data"), None, "{answer}");
    // Nor does a mistake bring its correction.
    let answer = app.graphql(NOBODY, "{ cours(id: \"x\") { id } }", json!({})).await;
    assert!(!answer.to_string().contains("course"), "{answer}");
    app.query(NOBODY, "{ courses { edges { cursor } } }", json!({})).await;
}

#[tokio::test]
async fn a_browser_gets_graphiql_from_this_host_alone() {
    let app = support::app().await;
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let request = app.client().get(app.url("/graphql")).header("accept", browser);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for rule in
        ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("http") && !policy.contains('*'), "{policy}");
    let page = answer.text().await.unwrap();
    assert!(!page.contains("//"), "the page names another host");
    let mut assets = 0;
    for path in page.split('"').filter(|part| part.starts_with("graphiql/")) {
        let answer = app.client().get(app.url(&format!("/{path}"))).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let kind = answer.headers()["content-type"].to_str().unwrap();
        let style = path.rsplit_once('.').is_some_and(|(_, extension)| extension == "css");
        let wanted = if style { "text/css" } else { "text/javascript" };
        assert!(kind.starts_with(wanted), "{path}: {kind}");
        assert!(!answer.bytes().await.unwrap().is_empty(), "{path}");
        assets += 1;
    }
    assert_eq!(assets, 6);
    let missing = app.client().get(app.url("/graphiql/../Cargo.toml")).send().await.unwrap();
    assert_eq!(missing.status(), 404);
}

#[tokio::test]
async fn unknown_courses_are_not_found_by_any_mutation() {
    let app = support::app().await;
    for (name, input) in [
        ("updateCourse", json!({ "title": "x" })),
        ("publishCourse", json!({})),
        ("deleteCourse", json!({})),
        ("addModule", json!({ "title": "x" })),
        ("updateModule", json!({ "moduleId": "x" })),
        ("enrollStudent", json!({ "studentId": "sam" })),
    ] {
        for token in [ADA, ROOT] {
            let input = with(input.clone(), "courseId", &json!("unknown"));
            let error = app.refusal(token, name, input).await;
            assert_eq!(text(&error["code"]), "NOT_FOUND", "{name} by {token}");
            assert_eq!(error["field"], json!(["input", "courseId"]), "{name} by {token}");
        }
    }
}

//! GraphQL over HTTP beyond its audits: types, statuses, methods, batches, persisted documents, ids and order.

use course_service::app::service::Roles;
use reqwest::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::{ADA, SAM, code_of};
use crate::process::Settings;
use crate::support::{self, TestApp, eventually};

const NEW: &str = "application/graphql-response+json";
const OLD: &str = "application/json";
const WRITE: &str = "mutation { createCourse(input: { code: \"X\", title: \"x\" }) { position } }";

async fn send(app: &TestApp, accept: &str, body: &Value) -> Response {
    let request = app.client().post(app.url("/graphql")).header(ACCEPT, accept);
    request.bearer_auth(ADA).json(body).send().await.unwrap()
}

/// Status, type without its parameters, and body.
async fn said(answer: Response) -> (u16, String, Value) {
    let status = answer.status().as_u16();
    let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap();
    let kind = kind.strip_suffix("; charset=utf-8").unwrap_or_else(|| panic!("{kind}")).to_owned();
    assert_eq!(answer.headers()["vary"], "accept, authorization");
    (status, kind, answer.json().await.unwrap())
}

#[tokio::test]
async fn the_status_says_in_the_new_type_whether_anything_was_run() {
    let app = support::app().await;
    let introspection = json!({ "query": "{ viewer { id } }" });
    let missing = json!({ "query": "query($x: ID!) { course(id: $x) { id } }" });
    for (body, in_new, code) in [
        (introspection, 200, None),
        (json!({ "query": "{" }), 400, Some("VALIDATION_FAILED")),
        (json!({ "query": "{ nonsense }" }), 400, Some("VALIDATION_FAILED")),
        (missing, 400, Some("VALIDATION_FAILED")),
        (json!({ "query": "query A { a } query B { b }" }), 400, Some("VALIDATION_FAILED")),
        (
            json!({ "query": "{ viewer { id } }", "operationName": "A" }),
            400,
            Some("VALIDATION_FAILED"),
        ),
        (json!({ "query": "subscription { a }" }), 400, Some("VALIDATION_FAILED")),
        (json!({ "query": "{a".repeat(70) }), 400, Some("LIMIT_EXCEEDED")),
        // It was run, and a field of it failed.
        (
            json!({ "query": "{ courses(first: 101) { nodes { id } } }" }),
            200,
            Some("VALIDATION_FAILED"),
        ),
        (json!({ "query": "{ viewer { id } a: course { id } }" }), 200, Some("VALIDATION_FAILED")),
    ] {
        for (kind, expected) in [(NEW, in_new), (OLD, 200)] {
            let (status, answered, answer) = said(send(&app, kind, &body).await).await;
            assert_eq!((status, answered.as_str()), (expected, kind), "{body}: {answer}");
            assert_eq!(answer.get("data").is_some(), in_new == 200, "{body}: {answer}");
            match code {
                Some(code) => assert_eq!(code_of(&answer), code, "{body}"),
                None => assert_eq!(answer.get("errors"), None, "{body}: {answer}"),
            }
        }
    }
    let partly = json!({ "query": "{ viewer { id } a: course { id } }" });
    let (_, _, answer) = said(send(&app, NEW, &partly).await).await;
    assert_eq!(answer["data"], json!({ "viewer": { "id": "ada" }, "a": null }));
    assert_eq!(answer["errors"][0]["path"], json!(["a"]));
}

#[tokio::test]
async fn what_cannot_be_served_is_not_acceptable_and_not_run() {
    let app = support::app().await;
    for accept in ["text/html", "application/xml", "application/json;q=0", "nonsense"] {
        let answer = said(send(&app, accept, &json!({ "query": WRITE })).await).await;
        assert_eq!((answer.0, code_of(&answer.2).as_str()), (406, "VALIDATION_FAILED"), "{accept}");
    }
    let request = app.client().get(app.url("/graphql")).header(ACCEPT, "text/csv");
    let answer = request.query(&[("query", "{ viewer { id } }")]).send().await.unwrap();
    assert_eq!(answer.status(), 406);
    assert_eq!(app.log_length().await, 0);
    // A form of a page would be refused for its type, whatever its page accepts.
    let request = app.client().post(app.url("/graphql")).header(ACCEPT, "text/html,*/*;q=0.8");
    let answer = request.header(CONTENT_TYPE, "text/plain").body("x").send().await.unwrap();
    assert_eq!(answer.status(), 415);
}

#[tokio::test]
async fn what_a_page_of_another_origin_can_send_never_writes() {
    let app = support::app().await;
    let body = json!({ "query": WRITE }).to_string();
    let form = format!("query={}", WRITE.replace(' ', "+"));
    let part = format!(
        "--x\r\ncontent-disposition: form-data; name=\"operations\"\r\ncontent-type: application/json\r\n\r\n\
         {body}\r\n--x--\r\n"
    );
    for (kind, body) in [
        (None, body.as_str()),
        (Some(""), &body),
        (Some("text/plain"), &body),
        (Some("text/plain;charset=UTF-8"), &body),
        (Some("text/plain; application/json"), &body),
        (Some("text/plain; charset=application/json"), &body),
        (Some("text/plain, application/json"), &body),
        (Some("application/x-www-form-urlencoded"), &body),
        (Some("application/x-www-form-urlencoded"), &form),
        (Some("application/x-www-form-urlencoded; charset=application/json"), &form),
        (Some("multipart/form-data; boundary=x"), &part),
        (Some("multipart/form-data; boundary=\"application/json\""), &body),
    ] {
        // As a signed-in user, and with the operation in the URL besides.
        for url in ["/graphql".to_owned(), format!("/graphql?{form}")] {
            let request = app.client().post(app.url(&url)).bearer_auth(ADA);
            let request = match kind {
                Some(kind) => request.header(CONTENT_TYPE, kind),
                None => request,
            };
            let answer = request.body(body.to_owned()).send().await.unwrap();
            assert_eq!(answer.status(), 415, "{kind:?}");
        }
    }
    for parameters in [
        vec![("query", WRITE)],
        vec![("query", "query A { viewer { id } } mutation B { a }"), ("operationName", "B")],
    ] {
        let request = app.client().get(app.url("/graphql")).bearer_auth(ADA);
        let answer = request.query(&parameters).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{parameters:?}");
    }
    assert_eq!(app.log_length().await, 0);
    // What asks first hears no yes.
    let request = app.client().request(Method::OPTIONS, app.url("/graphql"));
    let request = request.header("origin", "https://elsewhere.example");
    let request = request.header("access-control-request-method", "POST");
    let answer = request.header("access-control-request-headers", "content-type").send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.headers()[ALLOW], "GET, HEAD, POST, OPTIONS");
    assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("access-control")));
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let app = support::app().await;
    let ask = async |method: Method, query: &str| {
        let request = app.client().request(method, app.url("/graphql"));
        request.query(&[("query", query)]).bearer_auth(ADA).send().await.unwrap()
    };
    let answer = ask(Method::HEAD, "{ viewer { id } }").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json; charset=utf-8");
    assert_eq!(answer.text().await.unwrap(), "");
    assert_eq!(ask(Method::HEAD, WRITE).await.status(), 405);
    assert_eq!(app.log_length().await, 0);
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order_and_run_one_after_the_other() {
    let app = support::app().await;
    let create = |code: &str| {
        let query = format!(
            "mutation {{ createCourse(input: {{ code: \"{code}\", title: \"x\" }}) {{ course {{ code }} userErrors {{ code }} }} }}"
        );
        json!({ "query": query })
    };
    let batch = json!([
        create("B1"),
        { "query": "{ nonsense }" },
        create("B2"),
        create("b1"),
        { "query": "query Q($x: ID) { viewer { id } course(id: $x) { id } }", "variables": { "x": "y" }, "operationName": "Q" },
    ]);
    let (status, kind, answers) = said(send(&app, NEW, &batch).await).await;
    assert_eq!((status, kind.as_str()), (200, NEW));
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 5);
    let payload = |at: usize| &answers[at]["data"]["createCourse"];
    assert_eq!(payload(0)["course"]["code"], "B1");
    assert_eq!(code_of(&answers[1]), "VALIDATION_FAILED");
    assert_eq!(answers[1].get("data"), None);
    assert_eq!(payload(2)["course"]["code"], "B2");
    assert_eq!(payload(3)["userErrors"][0]["code"], "COURSE_CODE_TAKEN");
    assert_eq!(answers[4]["data"], json!({ "viewer": { "id": "ada" }, "course": null }));

    let member = json!({ "query": "{ viewer { id } }" });
    let (status, _, answers) = said(send(&app, OLD, &json!([member])).await).await;
    assert_eq!((status, answers), (200, json!([{ "data": { "viewer": { "id": "ada" } } }])));
    for body in [json!([]), json!([member, {}]), json!([member, null]), json!([[member]])] {
        let (status, _, answer) = said(send(&app, OLD, &body).await).await;
        assert_eq!((status, code_of(&answer).as_str()), (400, "VALIDATION_FAILED"), "{body}");
    }
    let (status, _, answer) = said(send(&app, OLD, &json!(vec![member; 11])).await).await;
    assert_eq!((status, code_of(&answer).as_str()), (400, "LIMIT_EXCEEDED"));
    let request = app.client().get(app.url("/graphql"));
    let answer = request.query(&[("query", "[{ viewer { id } }]")]).send().await.unwrap();
    assert_eq!(code_of(&answer.json().await.unwrap()), "VALIDATION_FAILED");
}

#[tokio::test]
async fn the_timeout_is_that_of_the_whole_batch() {
    use sqlx::{Connection, Executor, PgConnection};

    let roles = Roles::WITHOUT_KAFKA;
    let app = support::start(&[("GRAPHQL_TIMEOUT_MS", "2000")], roles).await;
    let mut holder = PgConnection::connect(&app.database_url).await.unwrap();
    holder.execute("BEGIN; SELECT * FROM log_head FOR UPDATE").await.unwrap();
    let read = json!({ "query": "{ viewer { id } }" });
    let batch = json!([read, { "query": WRITE }, read]);
    let (status, _, answers) = said(send(&app, NEW, &batch).await).await;
    assert_eq!(status, 200);
    assert_eq!(answers[0], json!({ "data": { "viewer": { "id": "ada" } } }));
    assert_eq!((code_of(&answers[1]).as_str(), &answers[1]["data"]), ("TIMEOUT", &Value::Null));
    assert_eq!(code_of(&answers[2]), "TIMEOUT");
    assert_eq!(answers[2].get("data"), None, "it was not run");
    holder.close().await.unwrap();
    eventually("what was begun is carried out", async || app.log_length().await > 0).await;
}

/// The extensions by which a client refers to a document.
fn reference(version: u64, text: &str) -> Value {
    let hash = format!("{:x}", Sha256::digest(text));
    json!({ "persistedQuery": { "version": version, "sha256Hash": hash } })
}

#[tokio::test]
async fn a_document_is_persisted_once_it_was_sent_with_its_hash() {
    let app = support::app().await;
    let query = "query A($x: ID = \"y\") { viewer { id } course(id: $x) { id } }";
    let known = json!({ "extensions": reference(1, query) });
    let get = async |extensions: &Value| {
        let request = app.client().get(app.url("/graphql")).header(ACCEPT, NEW).bearer_auth(ADA);
        let request = request.query(&[("extensions", extensions.to_string())]);
        said(request.send().await.unwrap()).await
    };
    for (kind, expected) in [(OLD, 200), (NEW, 400)] {
        let (status, _, answer) = said(send(&app, kind, &known).await).await;
        assert_eq!((status, code_of(&answer).as_str()), (expected, "PERSISTED_QUERY_NOT_FOUND"));
        assert_eq!(answer["errors"][0]["message"], "PersistedQueryNotFound");
        assert_eq!(answer.get("data"), None, "{answer}");
    }
    assert_eq!(code_of(&get(&known["extensions"]).await.2), "PERSISTED_QUERY_NOT_FOUND");

    let mut both = known.clone();
    both["query"] = json!(query);
    let expected = json!({ "data": { "viewer": { "id": "ada" }, "course": null } });
    assert_eq!(said(send(&app, OLD, &both).await).await.2, expected);
    assert_eq!(said(send(&app, OLD, &known).await).await.2, expected);
    assert_eq!(get(&known["extensions"]).await, (200, NEW.to_owned(), expected.clone()));
    assert_eq!(
        said(send(&app, OLD, &json!([known, both])).await).await.2,
        json!([expected, expected])
    );
}

#[tokio::test]
async fn only_what_is_lawful_is_persisted() {
    let app = support::app().await;
    let deep = "{a".repeat(20) + &"}".repeat(20);
    for query in ["{ nonsense }", "{", &deep] {
        let both = json!({ "query": query, "extensions": reference(1, query) });
        let (_, _, answer) = said(send(&app, OLD, &both).await).await;
        assert_ne!(answer.get("errors"), None, "{query}");
        let known = json!({ "extensions": reference(1, query) });
        let (_, _, answer) = said(send(&app, OLD, &known).await).await;
        assert_eq!(code_of(&answer), "PERSISTED_QUERY_NOT_FOUND", "{query}");
    }
    let query = "{ viewer { id } }";
    for (body, status, code) in [
        (json!({ "query": query, "extensions": reference(1, "{ a }") }), 400, "VALIDATION_FAILED"),
        (
            json!({ "query": query, "extensions": reference(2, query) }),
            200,
            "PERSISTED_QUERY_NOT_SUPPORTED",
        ),
        (json!({ "extensions": { "persistedQuery": { "version": 1 } } }), 400, "VALIDATION_FAILED"),
        (json!({ "extensions": { "persistedQuery": "x" } }), 400, "VALIDATION_FAILED"),
        (json!({ "extensions": {} }), 400, "VALIDATION_FAILED"),
    ] {
        let (found, _, answer) = said(send(&app, OLD, &body).await).await;
        assert_eq!((found, code_of(&answer).as_str()), (status, code), "{body}");
    }
    // A mutation that is known is still none for GET.
    let both = json!({ "query": WRITE, "extensions": reference(1, WRITE) });
    assert_eq!(said(send(&app, OLD, &both).await).await.2.get("errors"), None);
    let written = app.log_length().await;
    let request = app.client().get(app.url("/graphql")).bearer_auth(ADA);
    let extensions = reference(1, WRITE).to_string();
    let answer = request.query(&[("extensions", extensions)]).send().await.unwrap();
    assert_eq!(answer.status(), 405);
    assert_eq!(app.log_length().await, written);
}

#[tokio::test]
async fn variables_are_looked_at_before_anything_is_run() {
    let app = support::app().await;
    let query = "mutation($code: String!, $x: ID!) { \
                 a: createCourse(input: { code: $code, title: \"x\" }) { position } \
                 b: deleteCourse(input: { courseId: $x }) { position } }";
    for variables in [json!({ "code": "C1" }), json!({ "code": "C1", "x": null })] {
        let code = app.failure(ADA, query, variables).await;
        assert_eq!(code, "VALIDATION_FAILED");
    }
    let query =
        "query($yes: Boolean = true) { viewer { id @include(if: $yes) role @skip(if: $yes) } }";
    assert_eq!(app.query(SAM, query, json!({})).await, json!({ "viewer": { "id": "sam" } }));
}

#[tokio::test]
async fn a_variable_without_a_value_is_as_if_its_argument_were_not_there() {
    let app = support::app().await;
    let input = json!({ "code": "C1", "title": "Title", "description": "Kept", "tags": ["a"] });
    let course = app.course(input).await;
    let query = "mutation($id: ID!, $title: String, $description: String, $tags: [String!]) { \
                 updateCourse(input: { courseId: $id, title: $title, ...D }) { course { title } } }";
    let query = query.replace("...D", "description: $description, tags: $tags");
    let selection = "course { title description tags } userErrors { code field }";
    let query = query.replace("course { title }", selection);
    let change = async |variables: Value| {
        app.query(ADA, &query, variables).await["updateCourse"]["course"].take()
    };
    let changed = change(json!({ "id": course, "title": "New" })).await;
    assert_eq!(changed, json!({ "title": "New", "description": "Kept", "tags": ["a"] }));
    let changed = change(json!({ "id": course, "description": null })).await;
    assert_eq!(changed, json!({ "title": "New", "description": null, "tags": ["a"] }));

    // What is not lawful stays so, and what a fragment or another operation says is not mixed up.
    let unknown = "query($x: Nonsense) { course(id: $x) { id } }";
    assert_eq!(app.failure(ADA, unknown, json!({})).await, "VALIDATION_FAILED");
    let wrong = "query($x: Boolean) { course(id: $x) { id } }";
    assert_eq!(app.failure(ADA, wrong, json!({})).await, "VALIDATION_FAILED");
    let needed = "query($x: ID) { module(id: $x) { id } }";
    assert_eq!(app.failure(ADA, needed, json!({})).await, "VALIDATION_FAILED");
    let two = "query A($n: Int) { courses(first: $n) { ...F } } \
               query B($n: Int!, $m: Int) { courses(first: $n) { nodes { modules(first: $m) { nodes { id } } } } } \
               fragment F on CourseConnection { nodes { id modules(first: $n) { nodes { id } } } }";
    let body = json!({ "query": two, "operationName": "A" });
    let (status, _, answer) = said(send(&app, NEW, &body).await).await;
    assert_eq!((status, answer.get("errors")), (200, None), "{answer}");
    let body = json!({ "query": two, "operationName": "B" });
    assert_eq!(said(send(&app, NEW, &body).await).await.0, 400);
}

#[tokio::test]
async fn every_answer_has_its_correlation_id() {
    let app = support::app().await;
    let ask = |method: &str, path: &str| {
        let method = method.parse::<Method>().unwrap();
        app.client().request(method, app.url(path))
    };
    let large = "x".repeat(110_000);
    let requests: [(u16, &str, RequestBuilder); 15] = [
        (200, "page", ask("GET", "/graphql").header(ACCEPT, "text/html")),
        (200, "asset", ask("GET", "/graphiql/app.js")),
        (404, "no asset", ask("GET", "/graphiql/nothing.js")),
        (200, "live", ask("GET", "/livez")),
        (200, "ready", ask("GET", "/readyz")),
        (200, "metrics", ask("GET", "/metrics")),
        (405, "post to a probe", ask("POST", "/livez")),
        (404, "nowhere", ask("GET", "/nowhere")),
        (405, "put", ask("PUT", "/graphql")),
        (204, "options", ask("OPTIONS", "/graphql")),
        (400, "no query", ask("GET", "/graphql")),
        (406, "not acceptable", ask("GET", "/graphql").header(ACCEPT, "image/png")),
        (415, "no JSON", ask("POST", "/graphql").body("x")),
        (413, "large", ask("POST", "/graphql").header(CONTENT_TYPE, OLD).body(large)),
        (200, "query", ask("POST", "/graphql").json(&json!({ "query": "{ viewer { id } }" }))),
    ];
    for (number, (status, name, request)) in requests.into_iter().enumerate() {
        let id = format!("test-{number}");
        let again = request.try_clone().unwrap();
        let answer = request.header("x-correlation-id", &id).send().await.unwrap();
        assert_eq!(answer.status(), status, "{name}");
        assert_eq!(answer.headers()["x-correlation-id"], id.as_str(), "{name}");
        let json = answer
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/json; charset=utf-8");
        if json && status >= 400 {
            let answer: Value = answer.json().await.unwrap();
            code_of(&answer);
            assert_eq!(answer["errors"][0]["extensions"]["correlationId"], json!(id), "{name}");
        }
        let answer = again.header("x-correlation-id", "not lawful").send().await.unwrap();
        let own = answer.headers()["x-correlation-id"].to_str().unwrap();
        assert!(uuid::Uuid::parse_str(own).is_ok(), "{name}: {own}");
    }
}

#[tokio::test]
async fn every_log_line_of_a_request_has_its_correlation_id() {
    for format in ["json", "pretty"] {
        let settings = Settings::new().await.with("LOG_FORMAT", "json");
        // Nobody listens there: each request with a token is a line.
        let settings = settings.with("USER_MANAGEMENT_SERVICE_URL", "http://127.0.0.1:9");
        let (service, url) = if format == "json" {
            let (service, client) = settings.serve(&["--role", "api"]).await;
            (service, client.url().to_owned())
        } else {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let settings = settings.with("LOG_FORMAT", format).with("RUST_LOG", "warn");
            let settings = settings.with("BIND_ADDR", &port.to_string());
            let service = settings.start(&["serve", "--role", "api"]);
            let client = crate::process::Client::new(&format!("http://{port}"));
            eventually("it listens", async || tokio::net::TcpStream::connect(port).await.is_ok())
                .await;
            client.ready().await;
            (service, client.url().to_owned())
        };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{url}/graphql")).bearer_auth(ADA);
        let request = request.header("x-correlation-id", "find-me-4711");
        let answer = request.json(&json!({ "query": "{ viewer { id } }" })).send().await.unwrap();
        assert_eq!(code_of(&answer.json().await.unwrap()), "USER_SERVICE_UNAVAILABLE");
        let line = "the user management service cannot be used";
        eventually("the line is written", async || service.output().contains(line)).await;
        let output = service.output();
        let mut lines = output.lines().filter(|text| text.contains(line)).peekable();
        assert!(lines.peek().is_some());
        for line in lines {
            assert!(line.contains("find-me-4711"), "{format}: {line}");
            assert!(!line.contains(ADA), "{format}: {line}");
        }
    }
}

#[tokio::test]
async fn fields_are_answered_in_the_order_of_the_document() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", Some(3)).await;
    let module = app.module(&course, "One").await;
    let query = "query($id: ID!) { second: course(id: $id) { ...More title id code } \
                 viewer { role id } first: course(id: $id) { id } second: course(id: $id) { id tags } } \
                 fragment More on Course { seats { waitlisted taken } ... on Course { status } \
                 modules(first: 1) { pageInfo { hasNextPage } nodes { title id } } }";
    let body = json!({ "query": query, "variables": { "id": course } });
    eventually("the read models have caught up", async || {
        send(&app, OLD, &body).await.text().await.unwrap().contains(&module)
    })
    .await;
    let text = send(&app, OLD, &body).await.text().await.unwrap();
    let expected = format!(
        "{{\"data\":{{\"second\":{{\"seats\":{{\"waitlisted\":0,\"taken\":0}},\"status\":\"PUBLISHED\",\
         \"modules\":{{\"pageInfo\":{{\"hasNextPage\":false}},\"nodes\":[{{\"title\":\"One\",\"id\":\"{module}\"}}]}},\
         \"title\":\"ALG-1\",\"id\":\"{course}\",\"code\":\"ALG-1\",\"tags\":[]}},\
         \"viewer\":{{\"role\":\"instructor\",\"id\":\"ada\"}},\"first\":{{\"id\":\"{course}\"}}}}}}"
    );
    assert_eq!(text, expected);
}

#[tokio::test]
async fn the_null_of_a_field_that_failed_goes_up_to_what_may_be_null() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let ready = json!({ "query": "{ courses { nodes { id } } }" });
    eventually("the read models have caught up", async || {
        send(&app, OLD, &ready).await.text().await.unwrap().contains(&course)
    })
    .await;
    let known = format!("{{ __typename: \"Course\", id: \"{course}\" }}");
    let nope = "{ __typename: \"Nope\", id: \"x\" }";
    let wrong = "modules(first: -1) { totalCount }";
    let invalid = "VALIDATION_FAILED";
    for (query, data, path, code) in [
        (
            format!("{{ courses(first: 2) {{ nodes {{ id {wrong} }} }} }}"),
            Value::Null,
            json!(["courses", "nodes", 0, "modules"]),
            invalid,
        ),
        (
            format!("{{ viewer {{ id }} c: course(id: \"{course}\") {{ id {wrong} }} }}"),
            json!({ "viewer": { "id": "ada" }, "c": null }),
            json!(["c", "modules"]),
            invalid,
        ),
        (
            format!(
                "{{ nodes(ids: [\"x\", \"{course}\"]) {{ id }} \
                 _entities(representations: [{known}]) {{ __typename ... on Course {{ {wrong} }} }} }}"
            ),
            json!({ "nodes": [null, { "id": course }], "_entities": [null] }),
            json!(["_entities", "modules"]),
            invalid,
        ),
        (
            format!(
                "{{ ok: courses(first: 1) {{ nodes {{ id }} }} \
                 _entities(representations: [{known}, {nope}]) {{ __typename }} }}"
            ),
            Value::Null,
            json!(["_entities"]),
            "NOT_FOUND",
        ),
        (
            format!(
                "{{ ...Q }} fragment Q on Query \
                 {{ e: _entities(representations: [{nope}]) {{ __typename }} }}"
            ),
            Value::Null,
            json!(["e"]),
            "NOT_FOUND",
        ),
        (
            "{ _entities(representations: [{ id: \"x\" }]) { __typename } }".to_owned(),
            Value::Null,
            json!(["_entities"]),
            invalid,
        ),
    ] {
        let (status, _, answer) = said(send(&app, NEW, &json!({ "query": query })).await).await;
        assert_eq!((status, answer.get("data")), (200, Some(&data)), "{query}: {answer}");
        assert_eq!(answer["errors"][0]["path"], path, "{query}: {answer}");
        assert_eq!(code_of(&answer), code, "{query}: {answer}");
    }
}

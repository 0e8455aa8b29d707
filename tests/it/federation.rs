//! The schema as a subgraph: composed with another one, and a gateway's plan run against the service.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::path::Path;

use course_service::app::service::Roles;
use serde_json::{Value, json};

use crate::api::{ADA, NOBODY, SAM, code_of, text};
use crate::npm::{self, Ran};
use crate::process::tempdir::Folder;
use crate::statements::counted;
use crate::support::{self, TestApp};

async fn plan(environment: &[(&str, &Path)]) -> Ran {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql");
    let mut settings = vec![("SCHEMA", schema.as_path())];
    settings.extend(environment);
    npm::run(&npm::installed("federation").await, "plan", &settings).await
}

/// The fetch of the plan that asks our subgraph for objects of this type.
fn fetch(plan: &Value, kind: &str) -> String {
    let fetches = plan["fetches"].as_array().unwrap();
    let ours = fetches.iter().filter(|fetch| fetch["service"] == "courses");
    let wanted = format!("...on {kind}{{");
    let mut queries = ours.map(|fetch| text(&fetch["query"]));
    queries.find(|query| query.contains(&wanted)).unwrap_or_else(|| panic!("{kind}: {plan}"))
}

fn reference(kind: &str, id: &str) -> Value {
    json!({ "__typename": kind, "id": id })
}

async fn entities(app: &TestApp, token: &str, query: &str, references: Vec<Value>) -> Value {
    let mut answer = app.graphql(token, query, json!({ "representations": references })).await;
    assert_eq!(answer.get("errors"), None, "{answer}");
    answer["data"]["_entities"].take()
}

#[tokio::test]
async fn a_gateway_gets_from_references_of_another_subgraph_to_what_the_caller_may_see() {
    let ran = plan(&[]).await;
    assert!(ran.done, "{}", ran.output);
    let plan: Value = serde_json::from_str(ran.output.trim()).unwrap();
    let fields = plan["fields"].as_array().unwrap();
    assert!(fields.contains(&json!("courses")) && fields.contains(&json!("assessments")));
    assert_eq!(plan["fetches"][0]["service"], "others");

    let app = support::app().await;
    let course = app.published_course("RUST-101", Some(3)).await;
    let draft = app.draft("LOGIC-1").await;
    let module = app.module(&course, "Ownership").await;
    let hidden = app.module(&draft, "Propositions").await;
    let input = json!({ "courseId": course });
    let enrolled = app.done(SAM, "enrollStudent", input, "enrollment { id }").await;
    let enrollment = text(&enrolled["enrollment"]["id"]);
    let query = "query($at: String!) { courses(minPosition: $at) { nodes { id } } }";
    let settled = app.graphql(NOBODY, query, json!({ "at": enrolled["position"] })).await;
    assert_eq!(settled.get("errors"), None, "{settled}");

    let courses = fetch(&plan, "Course");
    let references =
        || [&course, &draft, "unknown", "not an id", &course].map(|id| reference("Course", id));
    let seen = entities(&app, SAM, &courses, references().to_vec()).await;
    let expected = json!({
        "title": "RUST-101",
        "status": "PUBLISHED",
        "seats": { "capacity": 3 },
        "instructors": [{ "__typename": "User", "id": "ada" }],
        "modules": { "nodes": [{ "title": "Ownership" }] }
    });
    assert_eq!(seen, json!([expected, null, null, null, expected]));
    let seen = entities(&app, ADA, &courses, references().to_vec()).await;
    assert_eq!((&seen[1]["status"], &seen[2]), (&json!("DRAFT"), &Value::Null));

    let modules = fetch(&plan, "Module");
    let references = [&module, &hidden].map(|id| reference("Module", id));
    let seen = entities(&app, SAM, &modules, references.to_vec()).await;
    assert_eq!(seen, json!([{ "title": "Ownership", "position": 0 }, null]));

    let enrollments = fetch(&plan, "Enrollment");
    let references = vec![reference("Enrollment", &enrollment)];
    let seen = entities(&app, SAM, &enrollments, references.clone()).await;
    assert_eq!(seen, json!([{ "status": "ACTIVE", "student": { "id": "sam" } }]));
    assert_eq!(entities(&app, NOBODY, &enrollments, references).await, json!([null]));

    let references = json!({ "representations": [reference("Course", &course)] });
    let refused = app.graphql("no such token", &courses, references).await;
    assert_eq!(code_of(&refused), "UNAUTHENTICATED");
}

#[tokio::test]
async fn fifty_references_are_read_together() {
    let app = support::app().await;
    let mut position = Value::Null;
    let mut modules = Vec::new();
    for number in 0..50 {
        let course = app.published_course(&format!("C{number}"), Some(3)).await;
        let input = json!({ "courseId": course, "title": "First" });
        let mut added = app.done(ADA, "addModule", input, "module { id }").await;
        modules.push((course, text(&added["module"]["id"])));
        position = added["position"].take();
    }
    let query = "query($at: String!) { courses(minPosition: $at) { nodes { id } } }";
    app.query(NOBODY, query, json!({ "at": position })).await;

    let query = "query($representations: [_Any!]!) { _entities(representations: $representations) {
        ... on Course {
            title seats { taken } instructors { id } modules { nodes { title } } viewerEnrollment { id }
        }
        ... on Module { title course { title } }
    } }";
    let statements = async |references: usize| {
        let kinds = modules[..references / 2].iter();
        let references = kinds
            .flat_map(|(course, module)| [reference("Course", course), reference("Module", module)])
            .collect::<Vec<_>>();
        let variables = json!({ "representations": references });
        let (seen, statements) = counted(&app, SAM, query, variables).await;
        let seen = seen["_entities"].as_array().unwrap().clone();
        assert!(seen.iter().all(|object| object["title"].is_string()), "{seen:?}");
        statements
    };
    let few = statements(4).await;
    let many = statements(50).await;
    assert!(few.len() >= 4, "{few:?}");
    assert_eq!(few.len(), many.len(), "{few:#?} {many:#?}");
}

#[tokio::test]
async fn a_gateway_may_ask_for_the_schema_where_anybody_may() {
    const SDL: &str = "{ _service { sdl } }";
    let app = support::app().await;
    let answer = app.graphql(NOBODY, SDL, json!({})).await;
    assert!(text(&answer["data"]["_service"]["sdl"]).contains("type Course implements Node @key"));

    let roles = Roles::WITHOUT_KAFKA;
    let app = support::start(&[("GRAPHQL_INTROSPECTION", "false")], roles).await;
    let answer = app.graphql(NOBODY, SDL, json!({})).await;
    assert_eq!((code_of(&answer).as_str(), answer.get("data")), ("VALIDATION_FAILED", None));
    let answer = app.graphql(NOBODY, "{ viewer { id } }", json!({})).await;
    assert_eq!(answer, json!({ "data": { "viewer": null } }));
}

#[tokio::test]
async fn a_subgraph_that_contradicts_ours_does_not_compose() {
    let folder = Folder::new();
    let file = folder.path().join("others.graphql");
    let others = r#"
        extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])
        type Query { assessments: [String!] }
        type Course @key(fields: "id") { id: ID! title: Int! }
    "#;
    fs::write(&file, others).unwrap();
    let ran = plan(&[("OTHERS", &file)]).await;
    assert!(!ran.done && ran.output.contains("Course.title"), "{}", ran.output);
}

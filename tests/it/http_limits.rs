//! How much a request may ask for: each limit has its setting, and is checked before anything runs.

use std::fmt::Write as _;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};
use course_service::app::service::Roles;
use serde_json::{Value, json};

use crate::api::{ADA, NOBODY, code_of};
use crate::support::{self, TestApp};

/// The limit that a document passes, sent as the holder of `token`.
async fn passed(app: &TestApp, token: &str, query: &str, variables: Value) -> String {
    let before = app.log_length().await;
    let answer = app.graphql(token, query, variables).await;
    let shown: String = query.chars().take(200).collect();
    assert_eq!(code_of(&answer), "LIMIT_EXCEEDED", "{shown}: {answer}");
    assert_eq!(answer.get("data"), None, "{shown}: {answer}");
    assert_eq!(app.log_length().await, before, "{shown}: {answer}");
    answer["errors"][0]["extensions"]["limit"].as_str().unwrap().to_owned()
}

fn deep(pairs: usize) -> String {
    let inner = "course { modules(first: 1) { edges { node { ".repeat(pairs);
    let query = "{ module(id: \"x\") { ".to_owned() + &inner + "id" + &" } } } }".repeat(pairs);
    query + " } }"
}

fn aliased(count: usize) -> String {
    let mut query = "{".to_owned();
    for number in 0..count {
        write!(query, " a{number}: viewer {{ id }}").unwrap();
    }
    query + " }"
}

fn mutations(count: usize) -> String {
    let mut query = "mutation {".to_owned();
    for number in 0..count {
        let input = format!("{{ code: \"C{number}\", title: \"x\" }}");
        write!(query, " m{number}: createCourse(input: {input}) {{ position }}").unwrap();
    }
    query + " }"
}

const PAGES: &str = "query($courses: Int = 100, $modules: Int!) { courses(first: $courses) { \
    pageInfo { endCursor hasNextPage } nodes { ...Card modules(first: $modules) { nodes { id title summary state } } } } } \
    fragment Card on Course { id code title description status version tags seats { capacity taken available waitlisted } \
    instructors { id } }";

#[tokio::test]
async fn every_limit_of_a_document_holds_by_default() {
    let app = support::app().await;
    app.query(NOBODY, &deep(3), json!({})).await;
    for pairs in [4, 10] {
        assert_eq!(passed(&app, NOBODY, &deep(pairs), json!({})).await, "depth", "{pairs}");
    }
    app.query(NOBODY, &aliased(20), json!({})).await;
    assert_eq!(passed(&app, NOBODY, &aliased(21), json!({})).await, "aliases");
    let tokens = |count: usize| format!("{{ viewer {{ id{} }} }}", " id".repeat(count - 6));
    app.query(NOBODY, &tokens(2_500), json!({})).await;
    let viewers = |count: usize| format!("{{ {} }}", "viewer { id } ".repeat(count));
    app.query(NOBODY, &viewers(1_249), json!({})).await;
    assert_eq!(passed(&app, NOBODY, &viewers(1_250), json!({})).await, "tokens");
    assert_eq!(passed(&app, NOBODY, &tokens(5_001), json!({})).await, "tokens");
    assert_eq!(passed(&app, ADA, &mutations(11), json!({})).await, "mutations");
    let data = app.query(ADA, &mutations(10), json!({})).await;
    assert_eq!(data.as_object().unwrap().len(), 10);
}

#[tokio::test]
async fn a_page_costs_as_often_as_it_is_long_whoever_says_how_long() {
    let app = support::app().await;
    app.query(NOBODY, PAGES, json!({ "modules": 20 })).await;
    for variables in [json!({ "modules": 100 }), json!({ "courses": 100, "modules": 100 })] {
        assert_eq!(passed(&app, NOBODY, PAGES, variables).await, "complexity");
    }
    app.query(NOBODY, PAGES, json!({ "courses": 10, "modules": 100 })).await;
    // A page that is too long is for its field to refuse.
    let code = app.failure(NOBODY, PAGES, json!({ "courses": 101, "modules": 1 })).await;
    assert_eq!(code, "VALIDATION_FAILED");
}

#[test]
fn the_schema_has_the_shape_by_which_pages_are_known() {
    let schema = parse_schema(course_service::graphql::sdl()).unwrap();
    let mut pages = 0;
    for definition in schema.definitions {
        let TypeSystemDefinition::Type(kind) = definition else { continue };
        let TypeKind::Object(object) = kind.node.kind else { continue };
        let is_page = kind.node.name.node.ends_with("Connection");
        for field in object.fields {
            let (name, ty) = (&field.node.name.node, field.node.ty.node.to_string());
            let takes =
                |argument| field.node.arguments.iter().any(|a| a.node.name.node == argument);
            let lists = ty.starts_with('[');
            assert!(
                !is_page || !lists || matches!(name.as_str(), "nodes" | "edges"),
                "{name}: {ty}"
            );
            let answers_page = ty.trim_end_matches('!').ends_with("Connection");
            assert!(!answers_page || takes("first") || takes("last"), "{name}: {ty}");
            pages += usize::from(answers_page);
        }
    }
    assert!(pages >= 2, "{pages}");
}

#[tokio::test]
async fn an_introspection_of_a_usual_depth_passes_and_a_circle_does_not() {
    let app = support::app().await;
    let of_type = "kind name ".to_owned() + &"ofType { kind name ".repeat(9) + &"} ".repeat(9);
    let usual = format!(
        "{{ __schema {{ queryType {{ name }} mutationType {{ name }} types {{ ...Full }} \
         directives {{ name description locations args {{ ...Input }} }} }} }} \
         fragment Full on __Type {{ kind name description fields(includeDeprecated: true) {{ name \
         description args {{ ...Input }} type {{ ...Ref }} isDeprecated deprecationReason }} \
         inputFields {{ ...Input }} interfaces {{ ...Ref }} enumValues(includeDeprecated: true) {{ \
         name description }} possibleTypes {{ ...Ref }} }} \
         fragment Input on __InputValue {{ name description type {{ ...Ref }} defaultValue }} \
         fragment Ref on __Type {{ {of_type} }}"
    );
    app.query(NOBODY, &usual, json!({})).await;
    let circle =
        "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    assert_eq!(passed(&app, NOBODY, circle, json!({})).await, "depth");
}

#[tokio::test]
async fn every_limit_has_its_setting() {
    let settings = [
        ("GRAPHQL_MAX_DEPTH", "3"),
        ("GRAPHQL_MAX_COMPLEXITY", "50"),
        ("GRAPHQL_MAX_ALIASES", "2"),
        ("GRAPHQL_MAX_TOKENS", "60"),
        ("GRAPHQL_MAX_MUTATIONS", "1"),
        ("GRAPHQL_MAX_BATCH", "2"),
        ("GRAPHQL_MAX_BODY_BYTES", "1024"),
    ];
    let app = support::start(&settings, Roles::WITHOUT_KAFKA).await;
    app.query(NOBODY, "{ courses(first: 10) { nodes { id } } }", json!({})).await;
    let deep = "{ courses(first: 1) { nodes { seats { taken } } } }";
    assert_eq!(passed(&app, NOBODY, deep, json!({})).await, "depth");
    let wide = "{ courses(first: 10) { nodes { id code title status } } }";
    assert_eq!(passed(&app, NOBODY, wide, json!({})).await, "complexity");
    app.query(NOBODY, &aliased(2), json!({})).await;
    assert_eq!(passed(&app, NOBODY, &aliased(3), json!({})).await, "aliases");
    let long = format!("{{ viewer {{ {} }} }}", "id ".repeat(56));
    assert_eq!(passed(&app, NOBODY, &long, json!({})).await, "tokens");
    assert_eq!(passed(&app, ADA, &mutations(2), json!({})).await, "mutations");
    app.query(ADA, &mutations(1), json!({})).await;

    let send = async |body: Value| {
        let answer = app.client().post(app.url("/graphql")).json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap())
    };
    let member = json!({ "query": "{ viewer { id } }" });
    assert_eq!(send(json!([member, member])).await.0, 200);
    let (status, answer) = send(json!([member, member, member])).await;
    assert_eq!((status, code_of(&answer).as_str()), (400, "LIMIT_EXCEEDED"));
    assert_eq!(answer["errors"][0]["extensions"]["limit"], "batch");
    let (status, answer) = send(json!({ "query": "x".repeat(1_024) })).await;
    assert_eq!((status, code_of(&answer).as_str()), (413, "LIMIT_EXCEEDED"));
    assert_eq!(answer["errors"][0]["extensions"]["limit"], "body");
}

#[tokio::test]
async fn the_mutations_of_a_batch_count_together_and_none_is_run_where_they_are_too_many() {
    let app = support::app().await;
    let batch = |counts: &[usize]| {
        let queries = counts.iter().map(|count| json!({ "query": mutations(*count) }));
        Value::Array(queries.collect())
    };
    let request = app.client().post(app.url("/graphql")).bearer_auth(ADA);
    let answer = request.json(&batch(&[6, 5])).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(code_of(&answer), "LIMIT_EXCEEDED");
    assert_eq!(answer["errors"][0]["extensions"]["limit"], "mutations");
    assert_eq!(app.log_length().await, 0);
}

#[tokio::test]
async fn a_bomb_is_refused_at_once() {
    let app = support::app().await;
    let double = |number| {
        let next = number + 1;
        format!("fragment f{number} on Query {{ ...f{next} ...f{next} }}")
    };
    let doubling: Vec<String> = (0..25).map(double).collect();
    let bomb =
        format!("{{ ...f0 }} {} fragment f25 on Query {{ viewer {{ id }} }}", doubling.join(" "));
    let errors = format!("{{ {} }}", "nonsense ".repeat(4_000));
    let began = std::time::Instant::now();
    assert_eq!(passed(&app, NOBODY, &bomb, json!({})).await, "complexity");
    // A short document of many mistakes has a short answer.
    let answer = app.graphql(NOBODY, &errors, json!({})).await;
    assert_eq!(code_of(&answer), "VALIDATION_FAILED");
    assert_eq!(answer["errors"].as_array().unwrap().len(), 20);
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

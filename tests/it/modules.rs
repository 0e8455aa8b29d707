//! Modules through the API.

use serde_json::{Value, json};

use crate::api::{ADA, BOB, NOBODY, ROOT, SAM, text};
use crate::support::{self, TestApp};

const ALL: &str =
    "module { id title summary position state course { id version } } clientMutationId";

/// Ids and positions of the modules that the holder of the token sees.
async fn listed(app: &TestApp, token: &str, course: &str, at: &Value) -> Vec<(String, i64)> {
    let query = "query($id: ID!, $at: String) { course(id: $id, minPosition: $at) \
                 { modules(first: 100, includeUnpublished: true) { edges { node { id position } } } } }";
    let data = app.query(token, query, json!({ "id": course, "at": at })).await;
    let edges = data["course"]["modules"]["edges"].as_array().unwrap();
    let node =
        |edge: &Value| (text(&edge["node"]["id"]), edge["node"]["position"].as_i64().unwrap());
    edges.iter().map(node).collect()
}

#[tokio::test]
async fn modules_stand_in_order_wherever_they_are_inserted() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let mut ids: Vec<String> = Vec::new();
    let mut at = Value::Null;
    for (index, wanted) in [None, None, Some(0), Some(1), Some(4)].into_iter().enumerate() {
        let title = format!("Module {index}");
        let input = json!({
            "courseId": course, "title": title, "summary": "s", "position": wanted,
            "clientMutationId": title
        });
        let mut payload = app.done(ADA, "addModule", input, ALL).await;
        let place = wanted.unwrap_or(ids.len());
        let id = text(&payload["module"]["id"]);
        let expected = json!({
            "id": id, "title": title, "summary": "s", "position": place, "state": "PUBLISHED",
            "course": { "id": course, "version": index + 3 }
        });
        assert_eq!(payload["module"], expected);
        assert_eq!(payload["clientMutationId"], json!(title));
        ids.insert(place, id);
        at = payload["position"].take();
    }
    let expected: Vec<(String, i64)> = ids.into_iter().zip(0..).collect();
    assert_eq!(listed(&app, NOBODY, &course, &at).await, expected);
    for position in [6, -1, i64::MAX] {
        let input = json!({ "courseId": course, "title": "x", "position": position });
        let error = app.refusal(ADA, "addModule", input).await;
        assert_eq!(error["code"], "VALIDATION_FAILED", "{position}");
        assert_eq!(error["field"], json!(["input", "position"]), "{position}");
    }
}

#[tokio::test]
async fn an_update_of_a_module_keeps_what_is_absent_and_clears_what_is_null() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let input = json!({ "courseId": course, "title": "Groups", "summary": "s" });
    let module = text(&app.done(ADA, "addModule", input, ALL).await["module"]["id"]);
    let update = |changes: Value| {
        let mut input = changes;
        input["courseId"] = json!(course);
        input["moduleId"] = json!(module);
        input
    };
    let expected = |title: &str, summary: Value, version: u64| {
        json!({
            "id": module, "title": title, "summary": summary, "position": 0, "state": "PUBLISHED",
            "course": { "id": course, "version": version }
        })
    };
    let input = update(json!({ "title": "Rings", "clientMutationId": "m" }));
    let payload = app.done(ADA, "updateModule", input.clone(), ALL).await;
    assert_eq!(payload["module"], expected("Rings", json!("s"), 4));
    assert_eq!(payload["clientMutationId"], "m");
    let payload = app.no_op(ADA, "updateModule", input, ALL).await;
    assert_eq!(payload["module"], expected("Rings", json!("s"), 4));
    let payload = app.done(ADA, "updateModule", update(json!({ "summary": null })), ALL).await;
    assert_eq!(payload["module"], expected("Rings", Value::Null, 5));
    app.no_op(ADA, "updateModule", update(json!({})), ALL).await;

    let query = "query($id: ID!, $at: String) { module(id: $id, minPosition: $at) \
                 { id title summary position state createdAt updatedAt course { id version } } }";
    let variables = json!({ "id": module, "at": payload["position"] });
    let mut read = app.query(NOBODY, query, variables).await["module"].take();
    let read = read.as_object_mut().unwrap();
    assert_ne!(read.remove("createdAt"), read.remove("updatedAt"));
    assert_eq!(Value::Object(read.clone()), expected("Rings", Value::Null, 5));
}

#[tokio::test]
async fn an_unpublished_module_shows_only_to_who_manages_the_course() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let (shown, hidden) = (app.module(&course, "a").await, app.module(&course, "b").await);
    let input = json!({ "courseId": course, "moduleId": hidden, "state": "UNPUBLISHED" });
    let payload = app.done(ADA, "updateModule", input.clone(), ALL).await;
    assert_eq!(payload["module"]["state"], "UNPUBLISHED");
    app.no_op(ADA, "updateModule", input, ALL).await;
    let at = &payload["position"];
    for (token, sees) in [(NOBODY, false), (SAM, false), (BOB, false), (ADA, true), (ROOT, true)] {
        let mut expected = vec![(shown.clone(), 0)];
        expected.extend(sees.then(|| (hidden.clone(), 1)));
        assert_eq!(listed(&app, token, &course, at).await, expected, "{token}");
        let query = "query($id: ID!) { module(id: $id) { id } }";
        let data = app.query(token, query, json!({ "id": hidden })).await;
        assert_eq!(data["module"].is_object(), sees, "{token}");
    }
}

#[tokio::test]
async fn modules_come_in_pages() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let mut ids = Vec::new();
    for title in ["a", "b", "c", "d", "e"] {
        ids.push(app.module(&course, title).await);
    }
    let mut after = Value::Null;
    for expected in [&ids[..2], &ids[2..4], &ids[4..]] {
        let query = "query($id: ID!, $after: String) { course(id: $id) { title modules(first: 2, after: $after) \
                     { edges { node { id } } pageInfo { hasNextPage endCursor } } } }";
        let settled = "mutation($id: ID!) { publishCourse(input: { courseId: $id }) { course { seats { taken } } } }";
        app.query(ADA, settled, json!({ "id": course })).await;
        let data = app.query(NOBODY, query, json!({ "id": course, "after": after })).await;
        let modules = &data["course"]["modules"];
        let edges = modules["edges"].as_array().unwrap();
        let found: Vec<String> = edges.iter().map(|edge| text(&edge["node"]["id"])).collect();
        assert_eq!(found, expected);
        assert_eq!(modules["pageInfo"]["hasNextPage"], json!(expected.last() != ids.last()));
        after = modules["pageInfo"]["endCursor"].clone();
    }
}

#[tokio::test]
async fn a_module_that_the_course_does_not_have_is_not_found() {
    let app = support::app().await;
    let (one, two) = (app.draft("ALG-1").await, app.draft("ALG-2").await);
    let of_two = app.module(&two, "Groups").await;
    for module in ["unknown", &of_two] {
        let input = json!({ "courseId": one, "moduleId": module, "title": "x" });
        let error = app.refusal(ADA, "updateModule", input).await;
        assert_eq!(error["code"], "MODULE_NOT_FOUND", "{module}");
        assert_eq!(error["field"], json!(["input", "moduleId"]), "{module}");
    }
    let data = app.query(ROOT, "{ module(id: \"unknown\") { id } }", json!({})).await;
    assert_eq!(data["module"], Value::Null);
}

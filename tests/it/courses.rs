//! Courses through the API: every mutation, its payload and what queries show afterwards.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::api::{ADA, BOB, NOBODY, ROOT, SAM, text};
use crate::support::{self, TestApp};

const ALL: &str = "course { id code title description status version tags passingScore \
                   dates { startsAt endsAt } enrollmentWindow { startsAt endsAt } \
                   instructors { id } seats { capacity taken available waitlisted } } clientMutationId";

/// A course with every field set.
fn full(code: &str) -> Value {
    json!({
        "code": code, "title": "Algebra", "description": "Groups, rings and fields",
        "startsAt": "2030-03-01T08:00:00Z", "endsAt": "2030-06-01T08:00:00+02:00",
        "enrollmentOpensAt": "2020-01-01T00:00:00Z", "enrollmentClosesAt": "2030-02-01T00:00:00.1239Z",
        "capacity": 2, "tags": ["maths", "first year"], "passingScore": 62.5,
        "coInstructorIds": ["cleo", "ada", " cleo "], "clientMutationId": "m-1"
    })
}

fn full_course(id: &str, code: &str, status: &str, version: u64) -> Value {
    json!({
        "id": id, "code": code, "title": "Algebra", "description": "Groups, rings and fields",
        "status": status, "version": version, "tags": ["maths", "first year"], "passingScore": 62.5,
        "dates": { "startsAt": "2030-03-01T08:00:00+00:00", "endsAt": "2030-06-01T06:00:00+00:00" },
        "enrollmentWindow": {
            "startsAt": "2020-01-01T00:00:00+00:00", "endsAt": "2030-02-01T00:00:00.123+00:00"
        },
        "instructors": [{ "id": "ada" }, { "id": "cleo" }],
        "seats": { "capacity": 2, "taken": 0, "available": 2, "waitlisted": 0 }
    })
}

/// What the read model has, once it has seen the position of the payload.
async fn read(app: &TestApp, token: &str, id: &str, position: &Value) -> Value {
    let query = format!(
        "query($id: ID!, $at: String) {{ c: course(id: $id, minPosition: $at) {{ {} }} }}",
        ALL.trim_start_matches("course {").trim_end_matches("} clientMutationId")
    );
    app.query(token, &query, json!({ "id": id, "at": position })).await["c"].take()
}

#[tokio::test]
async fn a_course_is_created_as_a_draft_with_all_that_was_given() {
    let app = support::app().await;
    let payload = app.done(ADA, "createCourse", full("ALG-1"), ALL).await;
    let id = text(&payload["course"]["id"]);
    assert_eq!(payload["course"], full_course(&id, "ALG-1", "DRAFT", 1));
    assert_eq!(payload["clientMutationId"], "m-1");
    assert_eq!(app.events().await, ["CourseCreated", "SeatsDefined"]);
    let read = read(&app, ADA, &id, &payload["position"]).await;
    assert_eq!(read, full_course(&id, "ALG-1", "DRAFT", 1));
    assert!(uuid::Uuid::parse_str(&id).is_ok_and(|id| id.get_version_num() == 7), "{id}");
}

#[tokio::test]
async fn a_course_can_be_created_published_and_with_an_id_of_the_callers() {
    let app = support::app().await;
    let id = "64f1a2b3c4d5e6f708192a3b";
    let mut input = full("ALG-1");
    input["publish"] = json!(true);
    input["id"] = json!(id);
    let payload = app.done(ADA, "createCourse", input.clone(), ALL).await;
    assert_eq!(payload["course"], full_course(id, "ALG-1", "PUBLISHED", 2));
    let read = read(&app, NOBODY, id, &payload["position"]).await;
    assert_eq!(read, full_course(id, "ALG-1", "PUBLISHED", 2));
    let events = app.events().await;
    assert_eq!(events.len(), 4, "{events:?}");
    input["code"] = json!("ALG-2");
    let error = app.refusal(ADA, "createCourse", input).await;
    assert_eq!(
        (&error["code"], &error["field"]),
        (&json!("COURSE_ID_TAKEN"), &json!(["input", "id"]))
    );
}

#[tokio::test]
async fn a_code_is_taken_whatever_its_case_until_its_course_is_deleted_or_renamed() {
    let app = support::app().await;
    let first = app.draft("Alg.1").await;
    let error = app.refusal(BOB, "createCourse", json!({ "code": "aLG.1", "title": "x" })).await;
    assert_eq!(error["code"], "COURSE_CODE_TAKEN");
    assert_eq!(error["field"], json!(["input", "code"]));
    let second = app.draft("Geo.1").await;
    let taken = json!({ "courseId": second, "code": "ALG.1" });
    assert_eq!(app.refused(ADA, "updateCourse", taken.clone()).await, "COURSE_CODE_TAKEN");

    app.done(ADA, "updateCourse", json!({ "courseId": first, "code": "Alg.2" }), "course { id }")
        .await;
    app.done(ADA, "updateCourse", taken, "course { id }").await;
    app.draft("geo.1").await;
    app.done(ADA, "deleteCourse", json!({ "courseId": first }), "course { id }").await;
    app.draft("ALG.2").await;
    let other_case = json!({ "courseId": second, "code": "alg.1" });
    let payload = app.done(ADA, "updateCourse", other_case, "course { code }").await;
    assert_eq!(payload["course"]["code"], "alg.1");
}

#[tokio::test]
async fn an_update_keeps_what_is_absent_and_clears_what_is_null() {
    let app = support::app().await;
    let id = text(&app.done(ADA, "createCourse", full("ALG-1"), ALL).await["course"]["id"]);
    let input = json!({ "courseId": id, "title": "Algebra II", "clientMutationId": "m-2" });
    let payload = app.done(ADA, "updateCourse", input, ALL).await;
    let mut expected = full_course(&id, "ALG-1", "DRAFT", 2);
    expected["title"] = json!("Algebra II");
    assert_eq!(payload["course"], expected);
    assert_eq!(payload["clientMutationId"], "m-2");
    assert_eq!(read(&app, ADA, &id, &payload["position"]).await, expected);

    let input = json!({
        "courseId": id, "description": null, "startsAt": null, "endsAt": null, "capacity": null,
        "enrollmentOpensAt": null, "enrollmentClosesAt": null, "tags": null, "passingScore": null
    });
    let payload = app.done(ADA, "updateCourse", input.clone(), ALL).await;
    for field in ["description", "dates", "enrollmentWindow", "passingScore"] {
        expected[field] = Value::Null;
    }
    expected["tags"] = json!([]);
    expected["seats"] = json!({ "capacity": null, "taken": 0, "available": null, "waitlisted": 0 });
    expected["version"] = payload["course"]["version"].clone();
    assert_eq!(payload["course"], expected);
    assert_eq!(read(&app, ADA, &id, &payload["position"]).await, expected);

    let payload = app.no_op(ADA, "updateCourse", input, ALL).await;
    assert_eq!(payload["course"], expected);
    app.no_op(ADA, "updateCourse", json!({ "courseId": id }), ALL).await;
}

#[tokio::test]
async fn publishing_shows_a_course_and_twice_changes_nothing() {
    let app = support::app().await;
    let id = app.draft("ALG-1").await;
    assert_eq!(read(&app, SAM, &id, &Value::Null).await, Value::Null);
    let input = json!({ "courseId": id, "clientMutationId": "m" });
    let payload = app.done(ADA, "publishCourse", input.clone(), ALL).await;
    assert_eq!(payload["course"]["status"], "PUBLISHED");
    assert_eq!(payload["course"]["version"], 2);
    assert_eq!(payload["clientMutationId"], "m");
    assert_eq!(read(&app, SAM, &id, &payload["position"]).await["status"], "PUBLISHED");
    let again = app.no_op(ADA, "publishCourse", input, ALL).await;
    assert_eq!(again["course"], payload["course"]);
}

#[tokio::test]
async fn a_deleted_course_is_gone_for_all_but_its_instructors() {
    let app = support::app().await;
    let id = app.published_course("ALG-1", None).await;
    let input = json!({ "courseId": id, "reason": "no longer taught" });
    let payload = app.done(ADA, "deleteCourse", input.clone(), ALL).await;
    assert_eq!(payload["course"]["status"], "DELETED");
    app.no_op(ADA, "deleteCourse", input, ALL).await;
    let at = &payload["position"];
    for (token, seen) in [(NOBODY, false), (SAM, false), (BOB, false), (ADA, true), (ROOT, true)] {
        assert_eq!(read(&app, token, &id, at).await.is_object(), seen, "{token}");
    }
    let by_code = "{ course(code: \"ALG-1\") { id } courses { nodes: edges { node { id } } } }";
    let data = app.query(ADA, by_code, json!({})).await;
    assert_eq!(data, json!({ "course": null, "courses": { "nodes": [] } }));
    for (name, input) in [
        ("updateCourse", json!({ "courseId": id, "title": "x" })),
        ("publishCourse", json!({ "courseId": id })),
        ("addModule", json!({ "courseId": id, "title": "x" })),
    ] {
        assert_eq!(app.refused(ADA, name, input).await, "ILLEGAL_TRANSITION", "{name}");
    }
}

#[tokio::test]
async fn deleting_with_seats_taken_needs_force_and_leaves_the_enrollments() {
    let app = support::app().await;
    let id = app.published_course("ALG-1", None).await;
    let enrollment = text(&app.enroll(SAM, &id).await["id"]);
    let error = app.refusal(ADA, "deleteCourse", json!({ "courseId": id })).await;
    assert_eq!(
        (&error["code"], &error["field"]),
        (&json!("SEATS_TAKEN"), &json!(["input", "force"]))
    );
    let forced = json!({ "courseId": id, "force": true });
    let payload = app.done(ADA, "deleteCourse", forced, "course { status }").await;
    let query = "query($id: ID!, $at: String) { enrollment(id: $id, minPosition: $at) \
                 { status course { status } } }";
    let variables = json!({ "id": enrollment, "at": payload["position"] });
    let data = app.query(SAM, query, variables).await;
    let expected = json!({ "status": "ACTIVE", "course": { "status": "DELETED" } });
    assert_eq!(data["enrollment"], expected);
    let input = json!({ "enrollmentId": enrollment });
    let payload = app.done(SAM, "withdrawEnrollment", input, "enrollment { status }").await;
    assert_eq!(payload["enrollment"]["status"], "WITHDRAWN");
}

#[tokio::test]
async fn an_unexpected_version_is_a_conflict() {
    let app = support::app().await;
    let id = app.draft("ALG-1").await;
    let module = app.module(&id, "Groups").await;
    for (name, input) in [
        ("updateCourse", json!({ "title": "x" })),
        ("publishCourse", json!({})),
        ("deleteCourse", json!({})),
        ("addModule", json!({ "title": "x" })),
        ("updateModule", json!({ "moduleId": module, "title": "x" })),
    ] {
        let mut input = input;
        input["courseId"] = json!(id);
        input["expectedVersion"] = json!(1);
        let error = app.refusal(ADA, name, input).await;
        assert_eq!(error["code"], "CONFLICT", "{name}");
        assert_eq!(error["field"], json!(["input", "expectedVersion"]), "{name}");
        assert_eq!(error["retryable"], true, "{name}");
    }
    let input = json!({ "courseId": id, "title": "x", "expectedVersion": 2 });
    let payload = app.done(ADA, "updateCourse", input, "course { version }").await;
    assert_eq!(payload["course"]["version"], 3);
}

#[tokio::test]
async fn a_payload_shows_the_connections_of_what_was_just_written() {
    let app = support::app().await;
    let id = app.published_course("ALG-1", Some(1)).await;
    let module = app.module(&id, "Groups").await;
    let enrollment = text(&app.enroll(SAM, &id).await["id"]);
    let input = json!({ "courseId": id, "coInstructorIds": [], "title": "Algebra II" });
    let mut input = input;
    input.as_object_mut().unwrap().remove("coInstructorIds");
    let selection = "course { title createdAt updatedAt instructors { id } viewerEnrollment { id } \
                     seats { taken available } modules { edges { node { id course { title } } } } } \
                     query { course(code: \"ALG-1\") { title seats { taken } } viewer { id role } }";
    let payload = app.done(ADA, "updateCourse", input, selection).await;
    let course = &payload["course"];
    assert_eq!(course["seats"], json!({ "taken": 1, "available": 0 }));
    let node = json!({ "id": module, "course": { "title": "Algebra II" } });
    assert_eq!(course["modules"]["edges"], json!([{ "node": node }]));
    assert_eq!(course["instructors"], json!([{ "id": "ada" }]));
    assert_eq!(course["viewerEnrollment"], Value::Null);
    let queried = json!({ "title": "Algebra II", "seats": { "taken": 1 } });
    assert_eq!(payload["query"]["course"], queried);
    assert_eq!(payload["query"]["viewer"], json!({ "id": "ada", "role": "instructor" }));

    // Times are those of the log, in the payload and in the read model alike.
    let query =
        "query($id: ID!) { course(id: $id) { createdAt updatedAt viewerEnrollment { id } } }";
    let data = app.query(SAM, query, json!({ "id": id })).await;
    assert_eq!(data["course"]["createdAt"], course["createdAt"]);
    assert_eq!(data["course"]["updatedAt"], course["updatedAt"]);
    assert_ne!(course["createdAt"], course["updatedAt"]);
    assert_eq!(data["course"]["viewerEnrollment"]["id"], json!(enrollment));
}

#[tokio::test]
async fn a_course_is_found_by_id_or_by_code_but_not_by_both() {
    let app = support::app().await;
    let id = app.published_course("Alg.1", None).await;
    app.done(
        ADA,
        "updateCourse",
        json!({ "courseId": id, "title": "x" }),
        "course { seats { taken } }",
    )
    .await;
    let data = app.query(NOBODY, "{ course(code: \"aLG.1\") { id } }", json!({})).await;
    assert_eq!(data["course"]["id"], json!(id));
    let both = json!({ "id": id, "code": "Alg.1" });
    for variables in [json!({}), json!({ "id": null, "code": null }), both] {
        let query = "query($id: ID, $code: String) { course(id: $id, code: $code) { id } }";
        assert_eq!(app.failure(NOBODY, query, variables).await, "VALIDATION_FAILED");
    }
    for query in ["{ course(id: \"unknown\") { id } }", "{ course(code: \"unknown\") { id } }"] {
        assert_eq!(app.query(ROOT, query, json!({})).await["course"], Value::Null, "{query}");
    }
}

/// A page of the catalogue: ids, the cursor of its end and whether there is more.
async fn page(app: &TestApp, first: u32, after: Option<&str>) -> (Vec<String>, String, bool) {
    let query = "query($first: Int, $after: String) { courses(first: $first, after: $after) { \
                 edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage endCursor } } }";
    let data = app.query(NOBODY, query, json!({ "first": first, "after": after })).await;
    let courses = &data["courses"];
    let edges = courses["edges"].as_array().unwrap();
    let ids = edges.iter().map(|edge| text(&edge["node"]["id"])).collect();
    let info = &courses["pageInfo"];
    assert_eq!(edges.last().map(|edge| &edge["cursor"]), Some(&info["endCursor"]));
    assert_eq!(info["hasPreviousPage"], json!(after.is_some()));
    (ids, text(&info["endCursor"]), info["hasNextPage"] == true)
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition_while_courses_come_and_go() {
    let app = support::app().await;
    let mut ids = Vec::new();
    for number in 0..12 {
        ids.push(app.published_course(&format!("C{number}"), None).await);
    }
    let settled = json!({ "courseId": ids[11], "title": "last" });
    app.done(ADA, "updateCourse", settled, "course { seats { taken } }").await;
    let (first, cursor, more) = page(&app, 5, None).await;
    assert_eq!((first.as_slice(), more), (&ids[..5], true));

    // What was shown already goes away, and a new course comes: the next page is the same.
    app.done(ADA, "deleteCourse", json!({ "courseId": ids[4] }), "course { id }").await;
    let input = json!({ "code": "C12", "title": "new", "publish": true });
    let payload = app.done(ADA, "createCourse", input, "course { id seats { taken } }").await;
    ids.push(text(&payload["course"]["id"]));
    let (second, cursor, more) = page(&app, 5, Some(&cursor)).await;
    assert_eq!((second.as_slice(), more), (&ids[5..10], true));
    let (third, _, more) = page(&app, 5, Some(&cursor)).await;
    assert_eq!((third.as_slice(), more), (&ids[10..], false));

    let (exact, _, more) = page(&app, 3, Some(&cursor)).await;
    assert_eq!((exact.len(), more), (3, false));
    let (all, _, more) = page(&app, 100, None).await;
    assert_eq!((all.len(), more), (12, false));
    let data = app.query(NOBODY, "{ courses(first: 0) { edges { cursor } } }", json!({})).await;
    assert_eq!(data["courses"]["edges"], json!([]));
}

#[tokio::test]
async fn pages_beyond_their_limits_and_foreign_cursors_are_errors() {
    let app = support::app().await;
    let id = app.published_course("ALG-1", None).await;
    app.module(&id, "Groups").await;
    let encoded = |plain: &str| URL_SAFE_NO_PAD.encode(plain);
    let cursors = [
        String::new(),
        "x".to_owned(),
        "%%".to_owned(),
        encoded("0"),
        encoded("1 a\0"),
        encoded("-9000000000000000000 a"),
        encoded("-400000000000000000 a"),
        encoded("8000000000000000000 a"),
        encoded("99999999999999999999 a"),
    ];
    for cursor in cursors {
        let query = "query($after: String) { courses(after: $after) { edges { cursor } } }";
        let code = app.failure(NOBODY, query, json!({ "after": cursor })).await;
        assert_eq!(code, "VALIDATION_FAILED", "{cursor}");
    }
    for first in [101, -1, i32::MAX, i32::MIN] {
        let query = "query($first: Int) { courses(first: $first) { edges { cursor } } }";
        let code = app.failure(NOBODY, query, json!({ "first": first })).await;
        assert_eq!(code, "VALIDATION_FAILED", "{first}");
        let query = "query($id: ID!, $first: Int) { course(id: $id) \
                     { modules(first: $first) { edges { cursor } } } }";
        let code = app.failure(NOBODY, query, json!({ "id": id, "first": first })).await;
        assert_eq!(code, "VALIDATION_FAILED", "{first}");
    }
    let query = "query($id: ID!, $after: String) { course(id: $id) \
                 { modules(after: $after) { edges { cursor } } } }";
    let code = app.failure(NOBODY, query, json!({ "id": id, "after": encoded("1 a") })).await;
    assert_eq!(code, "VALIDATION_FAILED");
}

#[tokio::test]
async fn a_query_with_the_position_of_a_write_sees_it() {
    let app = support::app().await;
    for number in 0..20 {
        let code = format!("C{number}");
        let input = json!({ "code": code, "title": code, "publish": true });
        let payload = app.done(ADA, "createCourse", input, "course { id }").await;
        let query = "query($id: ID!, $code: String!, $at: String!) { \
                     course(id: $id, minPosition: $at) { code seats { taken } } \
                     byCode: course(code: $code, minPosition: $at) { id } \
                     courses(first: 100, minPosition: $at) { edges { node { id } } } }";
        let id = &payload["course"]["id"];
        let variables = json!({ "id": id, "code": code, "at": payload["position"] });
        let data = app.query(NOBODY, query, variables).await;
        assert_eq!(data["course"], json!({ "code": code, "seats": { "taken": 0 } }));
        assert_eq!(data["byCode"]["id"], *id);
        assert_eq!(data["courses"]["edges"].as_array().map(Vec::len), Some(number + 1));
    }
}

#[tokio::test]
async fn a_position_of_another_log_is_an_error_and_one_not_reached_can_be_tried_again() {
    let app = support::app().await;
    let head = app.log_length().await;
    let at = |epoch: i64, number: i64| URL_SAFE_NO_PAD.encode(format!("{epoch}:{number}"));
    for (position, code) in [
        (String::new(), "VALIDATION_FAILED"),
        ("0:1".to_owned(), "VALIDATION_FAILED"),
        ("garbage".to_owned(), "VALIDATION_FAILED"),
        ("\0".to_owned(), "VALIDATION_FAILED"),
        (at(0, -1), "VALIDATION_FAILED"),
        (at(1 << 40, 1), "VALIDATION_FAILED"),
        (at(7, head), "VALIDATION_FAILED"),
        (at(0, head + 1), "PROJECTION_LAGGING"),
        (at(0, i64::MAX), "PROJECTION_LAGGING"),
    ] {
        for field in [
            "course(id: \"x\", minPosition: $at) { id }",
            "courses(minPosition: $at) { edges { cursor } }",
            "module(id: \"x\", minPosition: $at) { id }",
            "enrollment(id: \"x\", minPosition: $at) { id }",
        ] {
            let query = format!("query($at: String) {{ {field} }}");
            let answer = app.graphql(ADA, &query, json!({ "at": position })).await;
            let extensions = &answer["errors"][0]["extensions"];
            assert_eq!(extensions["code"], code, "{position:?} {field}");
            let retryable = code == "PROJECTION_LAGGING";
            assert_eq!(extensions["retryable"], json!(retryable), "{position:?} {field}");
        }
    }
}

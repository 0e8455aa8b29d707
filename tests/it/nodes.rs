//! Objects by their global id, items and progress, and what the caller may do.

use chrono::{Duration, Utc};
use course_service::app::service::Roles;
use serde_json::{Value, json};

use crate::api::{ADA, BOB, NOBODY, ROOT, SAM, TIM, code_of, text};
use crate::support::{self, TestApp};

#[tokio::test]
async fn nodes_are_what_the_caller_may_see_in_the_order_of_their_ids() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let draft = app.draft("DRAFT").await;
    let module = app.module(&course, "shown").await;
    let hidden = app.module(&course, "hidden").await;
    let input = json!({ "courseId": course, "moduleId": hidden, "state": "UNPUBLISHED" });
    app.done(ADA, "updateModule", input, "module { id }").await;
    let item = app.item(&course, &module, true).await;
    let secret = app.item(&course, &module, true).await;
    app.hide(&course, &secret).await;
    let inner = app.item(&course, &hidden, true).await;
    let enrollment = text(&app.enroll(SAM, &course).await["id"]);
    app.settled().await;
    let ids = [
        &inner,
        &course,
        &draft,
        &module,
        &hidden,
        &item,
        &secret,
        &enrollment,
        "unknown",
        "\0",
        &course,
    ];
    let public = [false, true, false, true, false, true, false, false, false, false, true];
    let own = [false, true, false, true, false, true, false, true, false, false, true];
    let all = [true, true, true, true, true, true, true, true, false, false, true];
    for (token, sees) in
        [(NOBODY, public), (TIM, public), (SAM, own), (BOB, public), (ADA, all), (ROOT, all)]
    {
        let query = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }";
        let data = app.query(token, query, json!({ "ids": ids })).await;
        let kinds = [
            "ModuleItem",
            "Course",
            "Course",
            "Module",
            "Module",
            "ModuleItem",
            "ModuleItem",
            "Enrollment",
            "",
            "",
            "Course",
        ];
        for (index, id) in ids.into_iter().enumerate() {
            let expected = if sees[index] {
                json!({ "__typename": kinds[index], "id": id })
            } else {
                Value::Null
            };
            assert_eq!(data["nodes"][index], expected, "{token} {id}");
            let query = "query($id: ID!) { node(id: $id) { __typename id } moduleItem(id: $id) { id } module(id: $id) { id } }";
            let one = app.query(token, query, json!({ "id": id })).await;
            assert_eq!(one["node"], expected, "{token} {id}");
            let is = |kind: &str| sees[index] && kinds[index] == kind;
            assert_eq!(one["moduleItem"].is_object(), is("ModuleItem"), "{token} {id}");
            assert_eq!(one["module"].is_object(), is("Module"), "{token} {id}");
        }
    }
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    let many = vec!["x"; 101];
    assert_eq!(app.failure(NOBODY, query, json!({ "ids": many })).await, "VALIDATION_FAILED");
    let none: [&str; 0] = [];
    assert_eq!(app.query(NOBODY, query, json!({ "ids": none })).await["nodes"], json!([]));
}

#[tokio::test]
async fn what_is_not_published_shows_to_managers_who_ask_for_it() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let module = app.module(&course, "shown").await;
    let hidden = app.module(&course, "hidden").await;
    let input = json!({ "courseId": course, "moduleId": hidden, "state": "UNPUBLISHED" });
    app.done(ADA, "updateModule", input, "module { id }").await;
    let item = app.item(&course, &module, true).await;
    let secret = app.item(&course, &module, false).await;
    app.hide(&course, &secret).await;
    app.settled().await;
    let query = "query($id: ID!, $module: ID!, $all: Boolean!) { \
        course(id: $id) { modules(includeUnpublished: $all) { nodes { id items { id } } totalCount } } \
        module(id: $module) { items { id kind position required state url video { id } assessment { id } \
                                      module { id } course { id } } } }";
    for (token, manages) in [(NOBODY, false), (SAM, false), (BOB, false), (ADA, true), (ROOT, true)]
    {
        for all in [false, true] {
            let variables = json!({ "id": course, "module": module, "all": all });
            let data = app.query(token, query, variables).await;
            let expected = if manages && all {
                json!([{ "id": module, "items": [{ "id": secret }, { "id": item }] }, { "id": hidden, "items": [] }])
            } else {
                json!([{ "id": module, "items": [{ "id": item }] }])
            };
            let modules = &data["course"]["modules"];
            assert_eq!(modules["nodes"], expected, "{token} {all}");
            assert_eq!(modules["totalCount"], json!(expected.as_array().unwrap().len()));
            let items = data["module"]["items"].as_array().unwrap();
            assert_eq!(items.len(), 1 + usize::from(manages), "{token}");
            let shown = json!({
                "id": item, "kind": "PAGE", "position": 1, "required": true, "state": "PUBLISHED", "url": null,
                "video": null, "assessment": null, "module": { "id": module }, "course": { "id": course }
            });
            assert_eq!(items.last(), Some(&shown), "{token}");
        }
    }
}

#[tokio::test]
async fn pages_of_modules_go_both_ways_and_follow_a_module_that_moves() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let mut ids = Vec::new();
    for title in ["a", "b", "c", "d", "e"] {
        ids.push(app.module(&course, title).await);
    }
    app.settled().await;
    let query = "query($id: ID!, $first: Int, $after: String, $last: Int, $before: String) { course(id: $id) { \
        modules(first: $first, after: $after, last: $last, before: $before) \
        { nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }";
    let page = async |mut arguments: Value| {
        arguments["id"] = json!(course);
        let data = app.query(NOBODY, query, arguments).await;
        let modules = &data["course"]["modules"];
        let nodes = modules["nodes"].as_array().unwrap();
        (nodes.iter().map(|n| text(&n["id"])).collect::<Vec<_>>(), modules["pageInfo"].clone())
    };
    let (last, info) = page(json!({ "last": 2 })).await;
    assert_eq!((last.as_slice(), &info["hasPreviousPage"]), (&ids[3..], &json!(true)));
    let (before, info) = page(json!({ "last": 3, "before": info["startCursor"] })).await;
    assert_eq!((before.as_slice(), &info["hasPreviousPage"]), (&ids[..3], &json!(false)));
    assert_eq!(info["hasNextPage"], true);
    let (first, info) = page(json!({ "first": 2 })).await;
    assert_eq!(first, ids[..2]);
    // One comes in front of what was seen: the next page is the same all the same.
    let input = json!({ "courseId": course, "title": "new", "position": 0 });
    let new = text(&app.done(ADA, "addModule", input, "module { id }").await["module"]["id"]);
    app.settled().await;
    let (next, _) = page(json!({ "first": 2, "after": info["endCursor"] })).await;
    assert_eq!(next, ids[2..4]);
    // And where the last that was seen goes away, it goes on where it stood.
    let input = json!({ "courseId": course, "moduleId": ids[1] });
    app.done(ADA, "removeModule", input, "course { id }").await;
    let order = [&ids[4], &new, &ids[0], &ids[2], &ids[3]];
    let input = json!({ "courseId": course, "moduleIds": order });
    app.done(ADA, "reorderModules", input, "course { id }").await;
    app.settled().await;
    let (all, _) = page(json!({})).await;
    assert_eq!(all.iter().collect::<Vec<_>>(), order);
    let (next, _) = page(json!({ "after": info["endCursor"] })).await;
    assert_eq!(next, [&ids[0], &ids[2], &ids[3]].map(Clone::clone), "behind position 1");
}

#[tokio::test]
async fn progress_counts_the_required_items_that_the_course_shows_now() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    app.enroll(SAM, &course).await;
    let progress = async || {
        app.settled().await;
        let query = "query($id: ID!) { course(id: $id) { viewerEnrollment { status \
                     progress { requiredItems completedItems percent lastActivityAt } } } }";
        let mut data = app.query(SAM, query, json!({ "id": course })).await;
        let mut enrollment = data["course"]["viewerEnrollment"].take();
        assert_eq!(enrollment["status"], "ACTIVE");
        let progress = enrollment["progress"].take();
        let numbers =
            ["requiredItems", "completedItems", "percent"].map(|f| progress[f].as_f64().unwrap());
        (numbers, progress["lastActivityAt"].is_string())
    };
    assert_eq!(progress().await, ([0.0, 0.0, 100.0], false));
    let (one, two) = (app.module(&course, "one").await, app.module(&course, "two").await);
    let mut items = Vec::new();
    for (module, required) in
        [(&one, true), (&one, true), (&two, true), (&two, true), (&two, false)]
    {
        items.push(app.item(&course, module, required).await);
    }
    assert_eq!(progress().await, ([4.0, 0.0, 0.0], false));
    for item in [&items[0], &items[4], &items[0]] {
        app.complete(SAM, &course, item).await;
    }
    assert_eq!(progress().await, ([4.0, 1.0, 25.0], true));
    app.hide(&course, &items[0]).await;
    assert_eq!(progress().await, ([3.0, 0.0, 0.0], true));
    app.complete(SAM, &course, &items[1]).await;
    let input = json!({ "courseId": course, "moduleId": two, "state": "UNPUBLISHED" });
    app.done(ADA, "updateModule", input, "module { id }").await;
    assert_eq!(progress().await, ([1.0, 1.0, 100.0], true));
}

/// A course of ada's in some state; its id.
async fn course_in(app: &TestApp, state: &str) -> String {
    let day = Duration::days(1);
    let mut input = json!({ "code": state, "title": state, "publish": state != "draft" });
    match state {
        "full" | "waited for" => input["capacity"] = json!(1),
        "closed" => input["capacity"] = json!(0),
        "early" => input["enrollmentOpensAt"] = json!((Utc::now() + day).to_rfc3339()),
        "late" => input["enrollmentClosesAt"] = json!((Utc::now() - day).to_rfc3339()),
        _ => {}
    }
    input["code"] = json!(state.replace(' ', "-"));
    let course = app.course(input).await;
    if matches!(state, "full" | "waited for" | "enrolled" | "archived" | "deleted") {
        app.enroll(SAM, &course).await;
    }
    if state == "waited for" {
        app.enroll(TIM, &course).await;
    }
    if state == "deleted" {
        let input = json!({ "courseId": course, "force": true });
        app.done(ADA, "deleteCourse", input, "course { id }").await;
    }
    if state == "archived" {
        app.done(ADA, "archiveCourse", json!({ "courseId": course }), "course { id }").await;
    }
    course
}

/// The code with which a mutation is refused, or none.
async fn refused(app: &TestApp, token: &str, name: &str, course: &str) -> Option<String> {
    let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
    let query = format!(
        "mutation($input: {kind}!) {{ {name}(input: $input) {{ userErrors {{ code }} }} }}"
    );
    let answer = app.graphql(token, &query, json!({ "input": { "courseId": course } })).await;
    if answer.get("errors").is_some() {
        return Some(code_of(&answer));
    }
    answer["data"][name]["userErrors"][0]["code"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn what_a_caller_may_do_is_what_the_mutations_then_do() {
    let app = support::app().await;
    let states = [
        "draft",
        "open",
        "enrolled",
        "full",
        "waited for",
        "closed",
        "early",
        "late",
        "archived",
        "deleted",
    ];
    let query = "query($id: ID!) { course(id: $id) { viewerCan { update publish enroll enrollRefusal { code } } } }";
    let mut seen = 0;
    for state in states {
        let course = course_in(&app, state).await;
        app.settled().await;
        for token in [NOBODY, SAM, TIM, "student:zoe", BOB, ADA, ROOT] {
            app.settled().await;
            let data = app.query(token, query, json!({ "id": course })).await;
            if data["course"].is_null() {
                continue; // who does not see it is told nothing
            }
            seen += 1;
            let can = &data["course"]["viewerCan"];
            let what = format!("{state} {token} {can}");
            let update = refused(&app, token, "updateCourse", &course).await;
            assert_eq!(can["update"], json!(update.is_none()), "{what}: {update:?}");
            let enroll = refused(&app, token, "enrollStudent", &course).await;
            assert_eq!(can["enroll"], json!(enroll.is_none()), "{what}: {enroll:?}");
            assert_eq!(can["enrollRefusal"]["code"], json!(enroll), "{what}");
            // The last: it changes what comes after it.
            if token == ROOT || can["publish"] == false {
                let publish = refused(&app, token, "publishCourse", &course).await;
                assert_eq!(can["publish"], json!(publish.is_none()), "{what}: {publish:?}");
            }
        }
    }
    assert_eq!(seen, 7 * 7 + 3 * 2);
    // In a payload too.
    let course = app.published_course("PAYLOAD", None).await;
    let selection = "course { viewerCan { update publish enroll } seats { taken } }";
    let payload =
        app.done(ADA, "updateCourse", json!({ "courseId": course, "title": "x" }), selection).await;
    let all = json!({ "update": true, "publish": true, "enroll": true });
    assert_eq!(payload["course"]["viewerCan"], all);
}

#[tokio::test]
async fn an_id_that_a_course_took_over_stays_that_of_the_module() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let module = app.module(&course, "first").await;
    let input = json!({ "id": module, "code": "TAKEN", "title": "Taken over", "publish": true });
    app.done(BOB, "createCourse", input, "course { id }").await;
    app.settled().await;
    let data = app
        .query(NOBODY, "query($id: ID!) { node(id: $id) { __typename } }", json!({ "id": module }))
        .await;
    assert_eq!(data["node"]["__typename"], "Module");
}

#[tokio::test]
async fn a_withdrawn_student_sees_no_more_of_a_course_than_everybody() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let enrollment = text(&app.enroll(SAM, &course).await["id"]);
    let input = json!({ "enrollmentId": enrollment });
    app.done(SAM, "withdrawEnrollment", input, "enrollment { id }").await;
    let query = "query($id: ID!) { enrollment(id: $id) { status course { title } } }";
    app.settled().await;
    let data = app.query(SAM, query, json!({ "id": enrollment })).await;
    assert_eq!(data["enrollment"]["course"]["title"], "ALG-1");
    app.done(ADA, "unpublishCourse", json!({ "courseId": course }), "course { id }").await;
    app.settled().await;
    let answer = app.graphql(SAM, query, json!({ "id": enrollment })).await;
    assert_eq!(code_of(&answer), "NOT_FOUND");
}

#[tokio::test]
async fn lists_without_pages_inside_of_one_another_are_bounded() {
    let settings = [("GRAPHQL_MAX_COMPLEXITY", "300")];
    let roles = Roles::WITHOUT_KAFKA;
    let app = support::start(&settings, roles).await;
    let course = app.published_course("ALG-1", None).await;
    let module = app.module(&course, "first").await;
    for _ in 0..10 {
        app.item(&course, &module, true).await;
    }
    app.settled().await;
    let one = "query($id: ID!) { module(id: $id) { items { module { items { id } } } } }";
    app.query(NOBODY, one, json!({ "id": module })).await; // 10 and 100 entries
    let two = "query($id: ID!) { module(id: $id) { items { module { items { module { items { id } } } } } } }";
    let answer = app.graphql(NOBODY, two, json!({ "id": module })).await;
    assert_eq!(code_of(&answer), "LIMIT_EXCEEDED");
    assert_eq!(answer["errors"][0]["extensions"]["limit"], "complexity");
}

#[tokio::test]
async fn a_leap_second_is_the_second_behind_it() {
    let app = support::app().await;
    let input = json!({ "code": "LEAP", "title": "Leap", "startsAt": "2027-01-01T23:59:60Z" });
    let made = app.done(ADA, "createCourse", input, "course { id dates { startsAt } }").await;
    assert_eq!(made["course"]["dates"]["startsAt"], "2027-01-02T00:00:00+00:00");
    let input = json!({ "code": "END", "title": "End", "startsAt": "9999-12-31T23:59:60Z" });
    assert_eq!(app.refused(ADA, "createCourse", input).await, "VALIDATION_FAILED");
}

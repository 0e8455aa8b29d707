//! A mutation that is sent again with its key is not carried out again, and is answered as it was.

use course_service::app::service::Roles;
use course_service::commands::idempotency::KEPT_FOR;
use course_service::event_store::keys;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::api::{ADA, BOB, ROOT, SAM, TIM, text};
use crate::support::{self, TestApp};

const COURSE: &str =
    "course { id version title status modules(includeUnpublished: true) { nodes { id } } }";
const OWN: &str = "course { id version title status instructors { id } }";
const MODULE: &str = "module { id title position }";
const ITEM: &str = "moduleItem { id title kind }";
const ENROLLMENT: &str = "enrollment { id status version }";

/// Mutations that take no key, with the reason.
const WITHOUT_A_KEY: [(&str, &str); 4] = [
    ("redriveDeadLetters", "a letter that is settled has no second effect"),
    ("releaseParkedMessages", "a message that is released has no second effect"),
    ("discardDeadLetters", "what is gone cannot be discarded again"),
    ("discardParkedMessages", "what is gone cannot be discarded again"),
];

/// Sends a mutation twice with one key and another one in between; answers the payload of both.
async fn twice(app: &TestApp, token: &str, name: &str, mut input: Value, selection: &str) -> Value {
    let key = format!("key of {name}");
    input["idempotencyKey"] = json!(key);
    let first = app.done(token, name, input.clone(), selection).await;
    app.course(json!({ "code": format!("between-{name}"), "title": "Between" })).await;
    input["clientMutationId"] = json!("again");
    let again = app.no_op(token, name, input, selection).await;
    assert_eq!(again, first, "{name}");
    first
}

#[tokio::test]
async fn every_mutation_is_carried_out_once_and_answered_as_it_was() {
    let app = support::app().await;
    let create = json!({ "code": "C-1", "title": "One", "publish": true });
    let id = text(&twice(&app, ADA, "createCourse", create, OWN).await["course"]["id"]);
    let course = |mut input: Value| {
        input["courseId"] = json!(id);
        input
    };
    let update = course(json!({ "title": "Two", "expectedVersion": 2 }));
    twice(&app, ADA, "updateCourse", update, OWN).await;
    twice(&app, ADA, "unpublishCourse", course(json!({})), OWN).await;
    twice(&app, ADA, "publishCourse", course(json!({})), OWN).await;
    twice(&app, ADA, "archiveCourse", course(json!({})), OWN).await;
    twice(&app, ADA, "restoreCourse", course(json!({})), OWN).await;
    let instructor = course(json!({ "instructorId": "bob" }));
    twice(&app, ADA, "assignInstructor", instructor.clone(), OWN).await;
    twice(&app, ADA, "removeInstructor", instructor, OWN).await;
    let one = twice(&app, ADA, "addModule", course(json!({ "title": "M" })), MODULE).await;
    let one = text(&one["module"]["id"]);
    let two = app.module(&id, "N").await;
    let update = course(json!({ "moduleId": one, "title": "M 1" }));
    twice(&app, ADA, "updateModule", update, MODULE).await;
    let order = course(json!({ "moduleIds": [two, one] }));
    twice(&app, ADA, "reorderModules", order, OWN).await;
    twice(&app, ADA, "removeModule", course(json!({ "moduleId": two })), OWN).await;

    let item = course(json!({ "moduleId": one, "kind": "PAGE", "title": "I" }));
    let item = twice(&app, ADA, "addModuleItem", item, ITEM).await;
    let item = text(&item["moduleItem"]["id"]);
    let update = course(json!({ "moduleItemId": item, "title": "I 1" }));
    twice(&app, ADA, "updateModuleItem", update, ITEM).await;
    let other = course(json!({ "moduleId": one, "kind": "PAGE", "title": "J" }));
    let other = app.done(ADA, "addModuleItem", other, ITEM).await["moduleItem"]["id"].take();
    let order = course(json!({ "moduleId": one, "moduleItemIds": [other, item] }));
    twice(&app, ADA, "reorderModuleItems", order, MODULE).await;

    let enroll = twice(&app, SAM, "enrollStudent", course(json!({})), ENROLLMENT).await;
    let complete = course(json!({ "moduleItemId": item }));
    twice(&app, SAM, "completeModuleItem", complete, ENROLLMENT).await;
    let remove = course(json!({ "moduleItemId": item }));
    twice(&app, ADA, "removeModuleItem", remove, MODULE).await;
    let withdraw = json!({ "enrollmentId": enroll["enrollment"]["id"], "expectedVersion": 2 });
    twice(&app, SAM, "withdrawEnrollment", withdraw, ENROLLMENT).await;
    twice(&app, ADA, "deleteCourse", course(json!({})), OWN).await;

    let schema = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql"));
    let schema = schema.unwrap();
    let (_, mutations) = schema.split_once("type Mutation {").unwrap();
    let (mutations, _) = mutations.split_once("\n}").unwrap();
    let keys = "SELECT count(*) FROM keys WHERE space = 'idempotency'";
    let claimed: i64 = sqlx::query_scalar(keys).fetch_one(&app.pool).await.unwrap();
    let offered = mutations.matches("Payload!").count() - WITHOUT_A_KEY.len();
    for (mutation, _) in WITHOUT_A_KEY {
        let (_, input) = schema
            .split_once(&format!(
                "input {}{}Input {{",
                mutation[..1].to_uppercase(),
                &mutation[1..]
            ))
            .unwrap();
        let (input, _) = input.split_once("\n}").unwrap();
        assert!(!input.contains("idempotencyKey"), "{mutation} takes a key and is not tried here");
    }
    assert_eq!(
        usize::try_from(claimed).unwrap(),
        offered,
        "one of the mutations is not tried here"
    );
}

#[tokio::test]
async fn the_answer_shows_the_state_at_its_own_position_whatever_happened_since() {
    let app = support::app().await;
    let input = json!({ "code": "C-1", "title": "One", "idempotencyKey": "k" });
    let first = app.done(ADA, "createCourse", input.clone(), COURSE).await;
    let id = first["course"]["id"].clone();
    let change = json!({ "courseId": id, "title": "Two" });
    app.done(ADA, "updateCourse", change, OWN).await;
    let again = app.no_op(ADA, "createCourse", input, COURSE).await;
    assert_eq!(
        (&again["course"]["title"], &again["course"]["version"]),
        (&json!("One"), &json!(1))
    );
    assert_eq!(again["position"], first["position"]);

    let publish = json!({ "courseId": id });
    app.done(ADA, "publishCourse", publish, OWN).await;
    let enroll = json!({ "courseId": id, "idempotencyKey": "k" });
    let selection = "enrollment { id status version }";
    let first = app.done(SAM, "enrollStudent", enroll.clone(), selection).await;
    let withdraw = json!({ "enrollmentId": first["enrollment"]["id"] });
    app.done(SAM, "withdrawEnrollment", withdraw, selection).await;
    let again = app.no_op(SAM, "enrollStudent", enroll, selection).await;
    assert_eq!(again, first);
}

#[tokio::test]
async fn what_changed_nothing_is_answered_with_the_state_that_it_found() {
    let app = support::app().await;
    let id = app.draft("C-1").await;
    let input = json!({ "courseId": id, "title": "C-1", "idempotencyKey": "k" });
    let first = app.no_op(ADA, "updateCourse", input.clone(), OWN).await;
    app.done(ADA, "updateCourse", json!({ "courseId": id, "title": "Two" }), OWN).await;
    let again = app.no_op(ADA, "updateCourse", input, OWN).await;
    assert_eq!(again["course"], first["course"]);
}

#[tokio::test]
async fn a_key_with_another_input_is_refused() {
    let app = support::app().await;
    let id = app.draft("C-1").await;
    let input = |title: &str| json!({ "courseId": id, "title": title, "idempotencyKey": "k" });
    app.done(ADA, "updateCourse", input("One"), OWN).await;
    let refusal = app.refusal(ADA, "updateCourse", input("Two")).await;
    assert_eq!(refusal["code"], "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(refusal["field"], json!(["input", "idempotencyKey"]));
    assert_eq!(refusal["retryable"], false);
    let clear =
        json!({ "courseId": id, "title": "One", "description": null, "idempotencyKey": "k" });
    assert_eq!(app.refused(ADA, "updateCourse", clear).await, "IDEMPOTENCY_KEY_REUSED");
    for key in ["", &"x".repeat(256)] {
        let input = json!({ "courseId": id, "idempotencyKey": key });
        let refusal = app.refusal(ADA, "publishCourse", input).await;
        assert_eq!(refusal["code"], "VALIDATION_FAILED");
        assert_eq!(refusal["field"], json!(["input", "idempotencyKey"]));
    }
}

#[tokio::test]
async fn a_key_belongs_to_its_caller_and_mutation() {
    let app = support::app().await;
    let id = app.published_course("C-1", None).await;
    let input = json!({ "courseId": id, "idempotencyKey": "k" });
    for token in [SAM, TIM] {
        let payload = app.done(token, "enrollStudent", input.clone(), ENROLLMENT).await;
        assert_eq!(payload["enrollment"]["version"], 1);
    }
    let module = json!({ "courseId": id, "title": "M", "idempotencyKey": "k" });
    app.done(ADA, "addModule", module.clone(), MODULE).await;
    let archived = app.done(ADA, "archiveCourse", input, OWN).await;
    assert_eq!(archived["course"]["status"], "ARCHIVED");
    assert_eq!(app.refused(BOB, "addModule", module).await, "NOT_FOUND");
}

#[tokio::test]
async fn a_refusal_leaves_the_key_free() {
    let app = support::app().await;
    let id = app.draft("C-1").await;
    let input = json!({ "courseId": id, "idempotencyKey": "k" });
    assert_eq!(app.refused(ROOT, "enrollStudent", input.clone()).await, "COURSE_NOT_PUBLISHED");
    app.done(ADA, "publishCourse", json!({ "courseId": id }), OWN).await;
    app.done(ROOT, "enrollStudent", input, ENROLLMENT).await;
}

#[tokio::test]
async fn of_many_at_once_over_two_instances_one_is_carried_out() {
    let app = support::app().await;
    let settings = [("DATABASE_URL", app.database_url.as_str())];
    let other = support::start(&settings, Roles::WITHOUT_KAFKA).await;
    let input = json!({ "code": "C-1", "title": "One", "publish": true, "idempotencyKey": "k" });
    let sent = (0..20).map(|n| {
        let instance = if n % 2 == 0 { &app } else { &other };
        instance.done(ADA, "createCourse", input.clone(), OWN)
    });
    let answers = join_all(sent).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(app.events().await.iter().filter(|name| *name == "CourseCreated").count(), 1);
    let input = json!({ "courseId": answers[0]["course"]["id"], "idempotencyKey": "k" });
    let sent = (0..20).map(|n| {
        let instance = if n % 2 == 0 { &app } else { &other };
        instance.done(SAM, "enrollStudent", input.clone(), ENROLLMENT)
    });
    let answers = join_all(sent).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert_eq!(app.events().await.iter().filter(|name| *name == "StudentEnrolled").count(), 1);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let app = support::app().await;
    let input = json!({ "code": "C-1", "title": "One", "idempotencyKey": "k" });
    app.done(ADA, "createCourse", input.clone(), OWN).await;
    let age = |hours: i32| {
        sqlx::query(
            "UPDATE keys SET claimed_at = clock_timestamp() - $1 * interval '1 hour' WHERE space = 'idempotency'",
        )
        .bind(hours)
        .execute(&app.pool)
    };
    let left = async || {
        let keys = "SELECT count(*) FROM keys WHERE space = 'idempotency'";
        sqlx::query_scalar::<_, i64>(keys).fetch_one(&app.pool).await.unwrap()
    };
    age(23).await.unwrap();
    assert_eq!(keys::forget(&app.pool, "idempotency", KEPT_FOR).await.unwrap(), 0);
    age(25).await.unwrap();
    // A service that starts forgets what is old.
    let settings = [("DATABASE_URL", app.database_url.as_str())];
    let _other = support::start(&settings, Roles::WITHOUT_KAFKA).await;
    support::eventually("the key is forgotten", async || left().await == 0).await;
    assert_eq!(app.refused(ADA, "createCourse", input).await, "COURSE_CODE_TAKEN");
}

#[tokio::test]
async fn who_repeats_a_mutation_sees_of_the_rest_only_what_they_may_see_by_now() {
    let app = support::app().await;
    let id = app.published_course("C-1", None).await;
    let bob = json!({ "courseId": id, "instructorId": "bob" });
    app.done(ADA, "assignInstructor", bob.clone(), OWN).await;
    let module = json!({ "courseId": id, "title": "M", "idempotencyKey": "k" });
    let update = json!({ "courseId": id, "title": "Two", "idempotencyKey": "k" });
    let whole = "module { id title items { title } course { status } }";
    let course = "course { id title modules(includeUnpublished: true) { nodes { title } } enrollments { totalCount } }";
    let added = app.done(BOB, "addModule", module.clone(), "module { id }").await;
    app.done(BOB, "updateCourse", update.clone(), "course { id }").await;
    app.enroll(SAM, &id).await;
    let module_id = text(&added["module"]["id"]);
    let secret = app.item(&id, &module_id, true).await;
    app.hide(&id, &secret).await;
    app.module(&id, "hidden").await;

    app.done(ADA, "removeInstructor", bob, OWN).await;
    app.settled().await; // rights to read are those of the read models
    let again = app.no_op(BOB, "addModule", module.clone(), whole).await;
    assert_eq!(again["module"]["items"], json!([]), "the items that everybody sees");
    let again = app.no_op(BOB, "updateCourse", update.clone(), course).await;
    assert_eq!(again["course"]["enrollments"]["totalCount"], 0, "their own");

    app.done(ADA, "archiveCourse", json!({ "courseId": id }), OWN).await;
    app.settled().await;
    for (name, input, selection) in
        [("addModule", &module, whole), ("updateCourse", &update, course)]
    {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!("mutation($i: {kind}!) {{ {name}(input: $i) {{ {selection} }} }}");
        let answer = app.graphql(BOB, &query, json!({ "i": input })).await;
        assert_eq!(crate::api::code_of(&answer), "NOT_FOUND", "{answer}");
    }
    // Their own fields are what they were.
    let again = app.no_op(BOB, "updateCourse", update, "course { title status version }").await;
    assert_eq!(again["course"]["title"], "Two");
}

#[tokio::test]
async fn a_key_belongs_to_a_role_of_its_caller() {
    let app = support::app().await;
    let id = app.draft("C-1").await;
    let input = json!({ "courseId": id, "title": "Two", "idempotencyKey": "k" });
    app.done(ADA, "updateCourse", input.clone(), OWN).await;
    assert_eq!(app.refused("student:ada", "updateCourse", input).await, "NOT_FOUND");
}

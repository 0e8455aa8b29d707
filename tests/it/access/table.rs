//! Every field of `Query`, `Mutation` and `Subscription` has a line here, for every caller: a new one without a line fails.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Stage, World, outcome, world};
use crate::api::{ADA, BOB, NOBODY, ROOT, SAM, TIM, code_of, text};
use crate::process::PATIENCE;
use crate::socket_client::{PROTOCOL, Socket};
use crate::support::{self, TestApp};

/// A token that the user management service does not know.
const BAD: &str = "none";

/// Nobody, somebody with a bad token, a student with a seat, another student, the course's instructor, another
/// instructor, an admin.
const CALLERS: [&str; 7] = [NOBODY, BAD, SAM, TIM, ADA, BOB, ROOT];

const NO: &str = "UNAUTHENTICATED";
const FORBIDDEN: &str = "FORBIDDEN";
const HIDDEN: &str = "NOT_FOUND";
const OK: &str = "OK";

/// For those who manage the course; others see it and may not.
const MANAGERS: [&str; 7] = [NO, NO, FORBIDDEN, FORBIDDEN, OK, FORBIDDEN, OK];
const ADMINS: [&str; 7] = [NO, NO, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, OK];

/// The same, where a seat stands in the way.
const TAKEN: [&str; 7] = [NO, NO, FORBIDDEN, FORBIDDEN, "SEATS_TAKEN", FORBIDDEN, "SEATS_TAKEN"];

/// A mutation, its input on a published course, and what each caller hears.
type Write = (&'static str, fn(&World) -> Value, [&'static str; 7]);

const WRITES: &[Write] = &[
    (
        "createCourse",
        |world| json!({ "code": format!("{}-new", world.code), "title": "x" }),
        [NO, NO, FORBIDDEN, FORBIDDEN, OK, OK, OK],
    ),
    ("updateCourse", |w| json!({ "courseId": w.course, "title": "x" }), MANAGERS),
    ("publishCourse", |w| json!({ "courseId": w.course }), MANAGERS),
    ("unpublishCourse", |w| json!({ "courseId": w.course }), TAKEN),
    ("archiveCourse", |w| json!({ "courseId": w.course }), MANAGERS),
    ("restoreCourse", |w| json!({ "courseId": w.course }), MANAGERS),
    ("deleteCourse", |w| json!({ "courseId": w.course, "force": true }), MANAGERS),
    ("assignInstructor", |w| json!({ "courseId": w.course, "instructorId": "zed" }), MANAGERS),
    ("removeInstructor", |w| json!({ "courseId": w.course, "instructorId": "zed" }), MANAGERS),
    ("addModule", |w| json!({ "courseId": w.course, "title": "x" }), MANAGERS),
    (
        "updateModule",
        |w| json!({ "courseId": w.course, "moduleId": w.hidden, "title": "x" }),
        MANAGERS,
    ),
    ("removeModule", |w| json!({ "courseId": w.course, "moduleId": w.hidden }), MANAGERS),
    (
        "reorderModules",
        |w| json!({ "courseId": w.course, "moduleIds": [w.hidden, w.module] }),
        MANAGERS,
    ),
    (
        "addModuleItem",
        |w| json!({ "courseId": w.course, "moduleId": w.module, "kind": "PAGE", "title": "x" }),
        MANAGERS,
    ),
    (
        "updateModuleItem",
        |w| json!({ "courseId": w.course, "moduleItemId": w.item, "title": "x" }),
        MANAGERS,
    ),
    ("removeModuleItem", |w| json!({ "courseId": w.course, "moduleItemId": w.item }), MANAGERS),
    (
        "reorderModuleItems",
        |w| json!({ "courseId": w.course, "moduleId": w.module, "moduleItemIds": [w.item] }),
        MANAGERS,
    ),
    (
        "enrollStudent",
        |w| json!({ "courseId": w.course }),
        [NO, NO, "ALREADY_ENROLLED", OK, OK, FORBIDDEN, OK],
    ),
    ("enrollStudent", |w| json!({ "courseId": w.course, "studentId": "zoe" }), MANAGERS),
    (
        "withdrawEnrollment",
        |w| json!({ "enrollmentId": w.enrollment }),
        [NO, NO, OK, HIDDEN, OK, HIDDEN, OK],
    ),
    (
        "completeModuleItem",
        |w| json!({ "courseId": w.course, "moduleItemId": w.item, "studentId": "sam" }),
        [NO, NO, OK, FORBIDDEN, OK, FORBIDDEN, OK],
    ),
    ("redriveDeadLetters", |_| json!({}), ADMINS),
    ("releaseParkedMessages", |_| json!({}), ADMINS),
    ("discardDeadLetters", |_| json!({ "ids": [], "reason": "x" }), ADMINS),
    ("discardParkedMessages", |_| json!({ "ids": [], "reason": "x" }), ADMINS),
];

#[tokio::test]
async fn every_mutation_is_for_those_who_may_and_appends_nothing_for_others() {
    let app = support::app().await;
    let mut wrong = Vec::new();
    for (number, (name, input, expected)) in WRITES.iter().enumerate() {
        let mut now = world(&app, Stage::Published, &format!("W{number}")).await;
        for (index, caller) in CALLERS.into_iter().enumerate() {
            let code = outcome(&app, caller, name, input(&now)).await;
            if code != expected[index] {
                wrong.push(format!("{name} by {caller:?}: {code}, not {}", expected[index]));
            }
            if code == OK {
                now = world(&app, Stage::Published, &format!("W{number}-{index}")).await;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn no_mutation_tells_of_a_course_that_the_caller_cannot_see() {
    let app = support::app().await;
    let draft = world(&app, Stage::Draft, "DRAFT").await;
    let mut tried = 0;
    for (name, input, expected) in WRITES {
        if *expected != MANAGERS && *expected != TAKEN || *name == "enrollStudent" {
            continue; // not of managers alone, or of those whom the README names as the exception
        }
        for caller in [SAM, TIM, BOB] {
            assert_eq!(outcome(&app, caller, name, input(&draft)).await, HIDDEN, "{name} {caller}");
            tried += 1;
        }
    }
    assert!(tried >= 45, "{tried}");
}

/// What is read: a published course P with a module, a hidden one and sam's enrollment, and a draft D, both of ada.
struct Shelf {
    published: World,
    draft: World,
    /// An instant at which all of it was there.
    then: String,
}

/// A field of `Query`, a document that reads it, and how much of it each caller gets: entries of a list, or whether there
/// is an object; or the code of the error.
type Read = (&'static str, &'static str, [&'static str; 7]);

const SEEN: &str = "1";
const NONE: &str = "0";
const ALL: [&str; 7] = [SEEN, NO, SEEN, SEEN, SEEN, SEEN, SEEN];
const OWNERS: [&str; 7] = [NONE, NO, NONE, NONE, SEEN, NONE, SEEN];
const PAST: [&str; 7] = [FORBIDDEN, NO, FORBIDDEN, FORBIDDEN, SEEN, FORBIDDEN, SEEN];
const ENROLLED: [&str; 7] = [NONE, NO, SEEN, NONE, SEEN, NONE, SEEN];
const TWO_OR_ONE: [&str; 7] = ["1", NO, "1", "1", "2", "1", "2"];

const READS: &[Read] = &[
    ("course", "course(id: $course) { id }", ALL),
    ("course", "course(id: $draft) { id }", OWNERS),
    ("course", "course(code: \"DRAFT\") { id }", OWNERS),
    ("course", "course(id: $course, asOf: $then) { id }", PAST),
    ("course", "course(id: $draft, asOf: $then) { id }", OWNERS),
    ("course", "course(id: $course) { history { nodes { id } } }", PAST),
    ("course", "course(id: $course) { modules(includeUnpublished: true) { nodes { id } } }", ALL),
    ("courses", "courses { nodes { id } }", TWO_OR_ONE),
    ("courses", "courses(filter: { status: [DRAFT] }) { nodes { id } }", OWNERS),
    ("searchCourses", "searchCourses(query: \"published or draft\") { nodes { id } }", TWO_OR_ONE),
    ("instructorCourses", "instructorCourses(instructorId: \"ada\") { nodes { id } }", TWO_OR_ONE),
    ("module", "module(id: $module) { id }", ALL),
    ("module", "module(id: $hidden) { id }", OWNERS),
    ("moduleItem", "moduleItem(id: $item) { id }", ALL),
    ("moduleItem", "moduleItem(id: $draftItem) { id }", OWNERS),
    ("node", "node(id: $course) { id }", ALL),
    ("node", "node(id: $draft) { id }", OWNERS),
    ("node", "node(id: $hidden) { id }", OWNERS),
    ("node", "node(id: $enrollment) { id }", ENROLLED),
    ("nodes", "nodes(ids: [$course, $draft]) { id }", TWO_OR_ONE),
    ("enrollment", "enrollment(id: $enrollment) { id }", ENROLLED),
    ("enrollment", "enrollment(courseId: $course, studentId: \"sam\") { id }", ENROLLED),
    (
        "enrollment",
        "enrollment(id: $enrollment, asOf: $then) { id }",
        [NONE, NO, FORBIDDEN, NONE, SEEN, NONE, SEEN],
    ),
    (
        "enrollment",
        "enrollment(id: $enrollment) { history { nodes { id } } }",
        [NONE, NO, FORBIDDEN, NONE, SEEN, NONE, SEEN],
    ),
    ("enrollments", "enrollments(filter: { courseId: $course }) { nodes { id } }", ENROLLED),
    ("student", "student(id: \"sam\") { id email }", ENROLLED),
    ("viewer", "viewer { id }", [NONE, NO, SEEN, SEEN, SEEN, SEEN, SEEN]),
    (
        "deadLetters",
        "deadLetters { nodes { id } }",
        [NO, NO, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, NONE],
    ),
    (
        "parkedMessages",
        "parkedMessages { nodes { id } }",
        [NO, NO, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, NONE],
    ),
    (
        "redrivePreview",
        "redrivePreview(ids: []) { id }",
        [NO, NO, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, NONE],
    ),
    (
        "releasePreview",
        "releasePreview(ids: []) { id }",
        [NO, NO, FORBIDDEN, FORBIDDEN, FORBIDDEN, FORBIDDEN, NONE],
    ),
    (
        "_entities",
        "_entities(representations: [{ __typename: \"Course\", id: $draft }]) { ... on Course { id } }",
        OWNERS,
    ),
    (
        "_entities",
        "_entities(representations: [{ __typename: \"Enrollment\", id: $enrollment }]) { ... on Enrollment { id } }",
        ENROLLED,
    ),
    // The schema is no secret: whoever asks, and with whatever token, gets it as long as introspection is on.
    ("_service", "_service { sdl }", [SEEN; 7]),
];

/// How much of a field came.
fn amount(field: &Value) -> usize {
    let entries = |list: &[Value]| list.iter().filter(|entry| !entry.is_null()).count();
    match field {
        Value::Null => 0,
        Value::Array(list) => entries(list),
        Value::Object(object) => match object.get("nodes").and_then(Value::as_array) {
            Some(list) => entries(list),
            None => 1,
        },
        other => panic!("{other}"),
    }
}

async fn shelf(app: &TestApp) -> Shelf {
    let published = world(app, Stage::Published, "PUBLISHED").await;
    let draft = world(app, Stage::Draft, "DRAFT").await;
    app.settled().await;
    let last = "SELECT max(recorded_at) FROM events";
    let then: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar(last).fetch_one(&app.pool).await.unwrap();
    Shelf { published, draft, then: then.to_rfc3339() }
}

#[tokio::test]
async fn every_query_shows_what_the_caller_may_see() {
    let app = support::app().await;
    let shelf = shelf(&app).await;
    let variables = json!({
        "course": shelf.published.course, "draft": shelf.draft.course, "module": shelf.published.module,
        "hidden": shelf.published.hidden, "item": shelf.published.item, "draftItem": shelf.draft.item,
        "enrollment": shelf.published.enrollment, "then": shelf.then
    });
    let mut wrong = Vec::new();
    for (name, document, expected) in READS {
        let used: Vec<String> = variables
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| {
                document.contains(&format!("${name})"))
                    || document.contains(&format!("${name},"))
                    || document.contains(&format!("${name} "))
                    || document.contains(&format!("${name}]"))
            })
            .map(|name| format!("${name}: {}!", if name == "then" { "DateTime" } else { "ID" }))
            .collect();
        let declared =
            if used.is_empty() { String::new() } else { format!("({})", used.join(" ")) };
        let query = format!("query{declared} {{ {document} }}");
        for (index, caller) in CALLERS.into_iter().enumerate() {
            let answer = app.graphql(caller, &query, variables.clone()).await;
            let got = if answer.get("errors").is_some() {
                code_of(&answer)
            } else {
                amount(&answer["data"][name]).to_string()
            };
            if got != expected[index] {
                wrong.push(format!("{document} by {caller:?}: {got}, not {}", expected[index]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A field of `Subscription`, the document, and what each caller is told first: of whom or which, a code, or the code with
/// which the socket closes.
const FOLLOWS: &[Read] = &[
    (
        "courseChanged",
        "courseChanged(courseId: $course, sincePosition: \"MDow\") { position course { code } event { id } }",
        [
            "PUBLISHED",
            "closed 4403",
            "PUBLISHED",
            "PUBLISHED",
            "PUBLISHED with its event",
            "PUBLISHED",
            "PUBLISHED with its event",
        ],
    ),
    (
        "courseChanged",
        "courseChanged(courseId: $draft, sincePosition: \"MDow\") { position course { code } event { id } }",
        [
            HIDDEN,
            "closed 4403",
            HIDDEN,
            HIDDEN,
            "DRAFT with its event",
            HIDDEN,
            "DRAFT with its event",
        ],
    ),
    (
        "enrollmentChanged",
        "enrollmentChanged(courseId: $course, sincePosition: \"MDow\") { position enrollment { student { id } } event { id } }",
        [NO, "closed 4403", "sam", "tim", "sam with its event", "bob", "sam with its event"],
    ),
    (
        "enrollmentChanged",
        "enrollmentChanged(sincePosition: \"MDow\") { position enrollment { student { id } } event { id } }",
        [NO, "closed 4403", "sam", "tim", "ada with its event", "bob", "root with its event"],
    ),
];

async fn told(app: &TestApp, caller: &str, query: &str, name: &str, variables: Value) -> String {
    let mut socket = Socket::open(&app.url(""), PROTOCOL).await;
    socket.init(caller).await;
    if caller == BAD {
        return format!("closed {}", socket.closed().await);
    }
    assert_eq!(socket.receive().await["type"], "connection_ack");
    socket.subscribe("1", query, variables).await;
    let message = tokio::time::timeout(PATIENCE, socket.receive()).await.unwrap();
    if message["type"] == "error" {
        return code_of(&json!({ "errors": message["payload"] }));
    }
    assert_eq!(message["payload"].get("errors"), None, "{message}");
    let change = &message["payload"]["data"][name];
    let whose = if name == "courseChanged" {
        text(&change["course"]["code"])
    } else {
        text(&change["enrollment"]["student"]["id"])
    };
    let event = if change["event"].is_object() { " with its event" } else { "" };
    whose + event
}

#[tokio::test]
async fn every_subscription_tells_what_the_caller_may_see() {
    let app = support::app().await;
    let shelf = shelf(&app).await;
    let course = &shelf.published.course;
    // Everybody has an enrollment of their own, so that everybody who may follow anything hears of something.
    for student in ["tim", "bob", "ada", "root"] {
        let input = json!({ "courseId": course, "studentId": student });
        app.done(ROOT, "enrollStudent", input, "enrollment { id }").await;
    }
    app.settled().await;
    let mut wrong = Vec::new();
    for (name, document, expected) in FOLLOWS {
        for (index, caller) in CALLERS.into_iter().enumerate() {
            let (declared, variables) = if document.contains("$course") {
                ("($course: ID!)", json!({ "course": course }))
            } else if document.contains("$draft") {
                ("($draft: ID!)", json!({ "draft": shelf.draft.course }))
            } else {
                ("", json!({}))
            };
            let query = format!("subscription{declared} {{ {document} }}");
            let got = told(&app, caller, &query, name, variables).await;
            if got != expected[index] {
                wrong.push(format!("{document} by {caller:?}: {got}, not {}", expected[index]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn nothing_that_can_be_asked_is_without_a_line() {
    let app = support::app().await;
    let query = "{ __schema { queryType { fields { name } } mutationType { fields { name } } \
                 subscriptionType { fields { name } } } }";
    let schema = app.query(NOBODY, query, json!({})).await["__schema"].take();
    let served = |root: &str| -> BTreeSet<String> {
        schema[root]["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| text(&field["name"]))
            .collect()
    };
    let named = |names: &mut dyn Iterator<Item = &&'static str>| -> BTreeSet<String> {
        names.map(|name| (*name).to_owned()).collect()
    };
    assert_eq!(served("queryType"), named(&mut READS.iter().map(|(name, ..)| name)));
    assert_eq!(served("mutationType"), named(&mut WRITES.iter().map(|(name, ..)| name)));
    assert_eq!(served("subscriptionType"), named(&mut FOLLOWS.iter().map(|(name, ..)| name)));
}

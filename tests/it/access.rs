//! Who may do and see what: every mutation and query, for every caller, on a draft, a published and a deleted course.
//! Who may not see an object hears that there is none; who sees it and may not, hears so; nothing is appended.

mod table;

use serde_json::{Value, json};

use crate::api::{ADA, BOB, NOBODY, ROOT, SAM, TIM, code_of, text};
use crate::support::{self, TestApp};

/// Nobody, a student with a seat, another student, the course's instructor, another instructor, an admin.
const CALLERS: [&str; 6] = [NOBODY, SAM, TIM, ADA, BOB, ROOT];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Draft,
    Published,
    Deleted,
}

struct World {
    course: String,
    code: String,
    module: String,
    hidden: String,
    /// In `module`.
    item: String,
    /// Of sam; on a draft there is none.
    enrollment: String,
    position: Value,
}

/// A course of ada's at this stage. Sam enrolled while it was published.
async fn world(app: &TestApp, stage: Stage, code: &str) -> World {
    let course = app.draft(code).await;
    let module = app.module(&course, "shown").await;
    let hidden = app.module(&course, "hidden").await;
    let item = app.item(&course, &module, true).await;
    let input = json!({ "courseId": course, "moduleId": hidden, "state": "UNPUBLISHED" });
    let mut last = app.done(ADA, "updateModule", input, "module { id }").await;
    let mut enrollment = "unknown".to_owned();
    if stage != Stage::Draft {
        let input = json!({ "courseId": course });
        app.done(ADA, "publishCourse", input, "course { id }").await;
        let input = json!({ "courseId": course });
        last = app.done(SAM, "enrollStudent", input, "enrollment { id }").await;
        enrollment = text(&last["enrollment"]["id"]);
    }
    if stage == Stage::Deleted {
        let input = json!({ "courseId": course, "force": true });
        last = app.done(ADA, "deleteCourse", input, "course { id }").await;
    }
    let position = last["position"].take();
    World { course, code: code.to_owned(), module, hidden, item, enrollment, position }
}

/// Runs the mutation and answers its code, or OK; what is refused appends nothing.
async fn outcome(app: &TestApp, token: &str, name: &str, input: Value) -> String {
    let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
    let query = format!(
        "mutation($input: {kind}!) {{ {name}(input: $input) {{ userErrors {{ code }} }} }}"
    );
    let before = app.log_length().await;
    let answer = app.graphql(token, &query, json!({ "input": input })).await;
    let after = app.log_length().await;
    let code = if answer.get("errors").is_some() {
        code_of(&answer)
    } else {
        match &answer["data"][name]["userErrors"][0]["code"] {
            Value::Null => return "OK".to_owned(),
            code => text(code),
        }
    };
    assert_eq!(after, before, "{name} by {token}: {answer}");
    code
}

#[tokio::test]
async fn mutations_are_for_those_who_may() {
    use Stage::{Deleted, Draft, Published};
    const NO: &str = "UNAUTHENTICATED";
    const HIDDEN: &str = "NOT_FOUND";
    const FORBIDDEN: &str = "FORBIDDEN";
    const ILLEGAL: &str = "ILLEGAL_TRANSITION";
    const CLOSED: &str = "COURSE_NOT_PUBLISHED";
    const OK: &str = "OK";
    let draft = [NO, HIDDEN, HIDDEN, OK, HIDDEN, OK];
    let published = [NO, FORBIDDEN, FORBIDDEN, OK, FORBIDDEN, OK];
    let deleted = [NO, HIDDEN, HIDDEN, ILLEGAL, HIDDEN, ILLEGAL];
    let mut table = Vec::new();
    for name in ["updateCourse", "publishCourse", "addModule", "updateModule"] {
        table.extend([
            (Draft, name, draft),
            (Published, name, published),
            (Deleted, name, deleted),
        ]);
    }
    table.extend([
        (Draft, "deleteCourse", draft),
        (
            Published,
            "deleteCourse",
            [NO, FORBIDDEN, FORBIDDEN, "SEATS_TAKEN", FORBIDDEN, "SEATS_TAKEN"],
        ),
        (Deleted, "deleteCourse", [NO, HIDDEN, HIDDEN, OK, HIDDEN, OK]),
        (Draft, "enroll me", [NO, CLOSED, CLOSED, CLOSED, HIDDEN, CLOSED]),
        (Published, "enroll me", [NO, "ALREADY_ENROLLED", OK, OK, FORBIDDEN, OK]),
        (Deleted, "enroll me", [NO, "ALREADY_ENROLLED", CLOSED, CLOSED, HIDDEN, CLOSED]),
        (Draft, "enroll zoe", [NO, FORBIDDEN, FORBIDDEN, CLOSED, HIDDEN, CLOSED]),
        (Published, "enroll zoe", [NO, FORBIDDEN, FORBIDDEN, OK, FORBIDDEN, OK]),
        (Deleted, "enroll zoe", [NO, FORBIDDEN, FORBIDDEN, CLOSED, HIDDEN, CLOSED]),
        (Draft, "withdrawEnrollment", [NO, HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN]),
        (Published, "withdrawEnrollment", [NO, OK, HIDDEN, OK, HIDDEN, OK]),
        (Deleted, "withdrawEnrollment", [NO, OK, HIDDEN, OK, HIDDEN, OK]),
    ]);
    let app = support::app().await;
    for (number, (stage, what, expected)) in table.into_iter().enumerate() {
        let mut world = world(&app, stage, &format!("C{number}")).await;
        for (index, (caller, expected)) in CALLERS.into_iter().zip(expected).enumerate() {
            let course = &world.course;
            let (name, input) = match what {
                "updateCourse" => (what, json!({ "courseId": course, "title": caller })),
                "addModule" => (what, json!({ "courseId": course, "title": "x" })),
                "updateModule" => {
                    let (module, title) = (&world.module, caller);
                    (what, json!({ "courseId": course, "moduleId": module, "title": title }))
                }
                "enroll me" => ("enrollStudent", json!({ "courseId": course })),
                "enroll zoe" => {
                    ("enrollStudent", json!({ "courseId": course, "studentId": "zoe" }))
                }
                "withdrawEnrollment" => (what, json!({ "enrollmentId": world.enrollment })),
                _ => (what, json!({ "courseId": course })),
            };
            let code = outcome(&app, caller, name, input).await;
            assert_eq!(code, expected, "{stage:?}: {what} by {caller:?}");
            if code == OK {
                world = self::world(&app, stage, &format!("C{number}-{index}")).await;
            }
        }
    }
}

#[tokio::test]
async fn instructors_and_admins_create_courses() {
    let app = support::app().await;
    for (token, expected) in
        CALLERS.into_iter().zip(["UNAUTHENTICATED", "FORBIDDEN", "FORBIDDEN", "OK", "OK", "OK"])
    {
        let code = if token.is_empty() { "nobody" } else { &token.replace(':', "-") };
        // Who may not do it hears nothing about the input either.
        let unlawful = json!({ "code": "", "title": "" });
        let wanted = if expected == "OK" { "VALIDATION_FAILED" } else { expected };
        assert_eq!(outcome(&app, token, "createCourse", unlawful).await, wanted, "{token}");
        let input = json!({ "code": code, "title": "x" });
        assert_eq!(outcome(&app, token, "createCourse", input).await, expected, "{token}");
    }
}

#[tokio::test]
async fn instructors_teach_what_they_create_and_admins_whom_they_name() {
    let app = support::app().await;
    for (token, others, expected) in [
        (ADA, json!([]), json!([{ "id": "ada" }])),
        (ADA, json!(["bob"]), json!([{ "id": "ada" }, { "id": "bob" }])),
        (ROOT, json!(["bob"]), json!([{ "id": "bob" }])),
        (ROOT, json!([]), json!([{ "id": "root" }])),
    ] {
        let code = format!("C{}", app.log_length().await);
        let input = json!({ "code": code, "title": "x", "coInstructorIds": others });
        let payload = app
            .done(token, "createCourse", input, "course { instructors { id } seats { taken } }")
            .await;
        assert_eq!(payload["course"]["instructors"], expected, "{token} {others}");
    }
    let data = app.query(BOB, "{ courses { edges { node { status } } } }", json!({})).await;
    assert_eq!(
        data["courses"]["edges"].as_array().map(Vec::len),
        Some(2),
        "those that bob teaches"
    );
}

#[tokio::test]
async fn queries_show_what_the_caller_may_see() {
    use Stage::{Deleted, Draft, Published};
    const MINE: [bool; 6] = [false, false, false, true, false, true];
    const ALL: [bool; 6] = [true; 6];
    const NONE: [bool; 6] = [false; 6];
    const ENROLLED: [bool; 6] = [false, true, false, true, false, true];
    let app = support::app().await;
    // Per stage who sees: the course by id, by code, in the list; its module, its hidden module; sam's enrollment.
    let table = [
        (Draft, [MINE, MINE, MINE, MINE, MINE, NONE]),
        (Published, [ALL, ALL, ALL, ALL, MINE, ENROLLED]),
        (Deleted, [MINE, NONE, NONE, MINE, MINE, ENROLLED]),
    ];
    for (stage, expected) in table {
        let world = world(&app, stage, &format!("{stage:?}")).await;
        for (index, caller) in CALLERS.into_iter().enumerate() {
            let query = "query($course: ID!, $code: String!, $module: ID!, $hidden: ID!, \
                         $enrollment: ID!, $at: String!) { \
                         byId: course(id: $course, minPosition: $at) { id } \
                         byCode: course(code: $code, minPosition: $at) { id } \
                         list: courses(first: 100, minPosition: $at) { edges { node { id } } } \
                         module(id: $module, minPosition: $at) { id } \
                         hidden: module(id: $hidden, minPosition: $at) { id } \
                         byKey: enrollment(courseId: $course, studentId: \"sam\", minPosition: $at) { id } \
                         enrollment(id: $enrollment, minPosition: $at) { id student { id } course { id } } }";
            let variables = json!({
                "course": world.course, "code": world.code, "module": world.module,
                "hidden": world.hidden, "enrollment": world.enrollment, "at": world.position
            });
            let data = app.query(caller, query, variables).await;
            let listed = data["list"]["edges"].as_array().unwrap();
            let listed = listed.iter().any(|edge| edge["node"]["id"] == json!(world.course));
            let seen = |field: &str| data[field].is_object();
            assert_eq!(seen("byKey"), seen("enrollment"), "{stage:?} {caller:?}");
            let seen = [
                seen("byId"),
                seen("byCode"),
                listed,
                seen("module"),
                seen("hidden"),
                seen("enrollment"),
            ];
            assert_eq!(seen, expected.map(|seen| seen[index]), "{stage:?} {caller:?}");
        }
    }
}

#[tokio::test]
async fn the_viewer_is_the_caller() {
    let app = support::app().await;
    for (token, viewer) in [
        (NOBODY, Value::Null),
        (SAM, json!({ "id": "sam", "role": "student" })),
        (ADA, json!({ "id": "ada", "role": "instructor" })),
        (ROOT, json!({ "id": "root", "role": "admin" })),
    ] {
        let data = app.query(token, "{ viewer { id role } }", json!({})).await;
        assert_eq!(data["viewer"], viewer, "{token}");
    }
}

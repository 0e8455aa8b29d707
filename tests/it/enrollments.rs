//! Enrollments through the API: seats, the waitlist, promotion, and who is told what.

use chrono::{Duration, Utc};
use serde_json::{Value, json};

use crate::api::{ADA, BOB, NOBODY, ROOT, SAM, TIM, text};
use crate::support::{self, TestApp};

const ALL: &str = "enrollment { id status version waitlistPosition student { id } course { id } \
                   requestedAt enrolledAt withdrawnAt } clientMutationId";

/// Status and place in the waitlist of a student, as ada reads it once the read model is at the position.
async fn standing(app: &TestApp, course: &str, student: &str, at: &Value) -> (String, Value) {
    let query = "query($course: ID!, $student: ID!, $at: String) { \
                 enrollment(courseId: $course, studentId: $student, minPosition: $at) \
                 { status waitlistPosition } }";
    let variables = json!({ "course": course, "student": student, "at": at });
    let mut data = app.query(ADA, query, variables).await;
    let enrollment = &mut data["enrollment"];
    (text(&enrollment["status"]), enrollment["waitlistPosition"].take())
}

async fn seats(app: &TestApp, course: &str, at: &Value) -> Value {
    let query = "query($id: ID!, $at: String) { course(id: $id, minPosition: $at) \
                 { seats { capacity taken available waitlisted } } }";
    app.query(NOBODY, query, json!({ "id": course, "at": at })).await["course"]["seats"].take()
}

#[tokio::test]
async fn a_student_takes_a_seat_and_leaves_and_comes_back() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", Some(2)).await;
    let input = json!({ "courseId": course, "clientMutationId": "m" });
    let payload = app.done(SAM, "enrollStudent", input.clone(), ALL).await;
    let enrolled = &payload["enrollment"];
    let id = text(&enrolled["id"]);
    assert_eq!(enrolled["status"], "ACTIVE");
    assert_eq!(enrolled["version"], 1);
    assert_eq!(enrolled["waitlistPosition"], Value::Null);
    assert_eq!(enrolled["student"]["id"], "sam");
    assert_eq!(enrolled["course"]["id"], json!(course));
    assert_eq!(enrolled["requestedAt"], enrolled["enrolledAt"]);
    assert_eq!(enrolled["withdrawnAt"], Value::Null);
    assert_eq!(payload["clientMutationId"], "m");

    let query = "query($id: ID!, $course: ID!, $at: String) { \
                 a: enrollment(id: $id, minPosition: $at) { id status requestedAt enrolledAt withdrawnAt } \
                 b: enrollment(courseId: $course, studentId: \" sam \") { id status requestedAt enrolledAt withdrawnAt } }";
    let variables = json!({ "id": id, "course": course, "at": payload["position"] });
    let data = app.query(SAM, query, variables).await;
    assert_eq!(data["a"], data["b"]);
    assert_eq!(data["a"]["id"], json!(id));
    assert_eq!(data["a"]["enrolledAt"], enrolled["enrolledAt"]);

    let again = app.refusal(SAM, "enrollStudent", input.clone()).await;
    assert_eq!(again["code"], "ALREADY_ENROLLED");
    let leave = json!({ "enrollmentId": id, "reason": "no time", "clientMutationId": "w" });
    let payload = app.done(SAM, "withdrawEnrollment", leave.clone(), ALL).await;
    assert_eq!(payload["enrollment"]["status"], "WITHDRAWN");
    assert_eq!(payload["enrollment"]["version"], 2);
    assert!(payload["enrollment"]["withdrawnAt"].is_string());
    assert_eq!(payload["clientMutationId"], "w");
    let twice = app.no_op(SAM, "withdrawEnrollment", leave, ALL).await;
    assert_eq!(twice["enrollment"], payload["enrollment"]);

    let payload = app.done(SAM, "enrollStudent", input, ALL).await;
    assert_eq!(payload["enrollment"]["id"], json!(id), "its history goes on");
    assert_eq!(payload["enrollment"]["version"], 3);
    assert_eq!(payload["enrollment"]["withdrawnAt"], Value::Null);
    let expected = json!({ "capacity": 2, "taken": 1, "available": 1, "waitlisted": 0 });
    assert_eq!(seats(&app, &course, &payload["position"]).await, expected);
}

#[tokio::test]
async fn instructors_and_admins_enroll_and_withdraw_students() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    for (token, student) in [(ADA, "sam"), (ROOT, "tim")] {
        let input = json!({ "courseId": course, "studentId": format!(" {student} ") });
        let payload = app.done(token, "enrollStudent", input, ALL).await;
        assert_eq!(payload["enrollment"]["student"]["id"], student);
        let input = json!({ "enrollmentId": payload["enrollment"]["id"] });
        let payload = app.done(token, "withdrawEnrollment", input, ALL).await;
        assert_eq!(payload["enrollment"]["status"], "WITHDRAWN");
    }
}

#[tokio::test]
async fn whoever_waits_is_promoted_in_order_as_seats_become_free() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", Some(1)).await;
    let mut ids = Vec::new();
    for (student, status, place) in [
        ("s0", "ACTIVE", Value::Null),
        ("s1", "WAITLISTED", json!(1)),
        ("s2", "WAITLISTED", json!(2)),
        ("s3", "WAITLISTED", json!(3)),
        ("s4", "WAITLISTED", json!(4)),
    ] {
        let enrollment = app.enroll(&format!("student:{student}"), &course).await;
        assert_eq!(enrollment["status"], status, "{student}");
        assert_eq!(enrollment["waitlistPosition"], place, "{student}");
        ids.push(enrollment["id"].clone());
    }
    let declined = json!({ "courseId": course, "joinWaitlist": false });
    assert_eq!(app.refused(SAM, "enrollStudent", declined).await, "COURSE_FULL");
    let waiting = json!({ "courseId": course });
    assert_eq!(app.refused("student:s1", "enrollStudent", waiting).await, "ALREADY_ENROLLED");

    // The first leaves: the next gets the seat in the same transaction.
    let leave = |index: usize| json!({ "enrollmentId": ids[index] });
    let payload = app.done("student:s0", "withdrawEnrollment", leave(0), ALL).await;
    let at = &payload["position"];
    assert_eq!(standing(&app, &course, "s1", at).await, ("ACTIVE".to_owned(), Value::Null));
    assert_eq!(standing(&app, &course, "s2", at).await, ("WAITLISTED".to_owned(), json!(1)));

    // One who waits leaves: those behind move up, nobody is promoted.
    let payload = app.done("student:s2", "withdrawEnrollment", leave(2), ALL).await;
    let at = &payload["position"];
    assert_eq!(standing(&app, &course, "s3", at).await, ("WAITLISTED".to_owned(), json!(1)));
    let expected = json!({ "capacity": 1, "taken": 1, "available": 0, "waitlisted": 2 });
    assert_eq!(seats(&app, &course, at).await, expected);

    // A higher capacity promotes; a lower one evicts nobody.
    let capacity = |seats: u32| json!({ "courseId": course, "capacity": seats });
    let payload =
        app.done(ADA, "updateCourse", capacity(2), "course { seats { taken waitlisted } }").await;
    assert_eq!(payload["course"]["seats"], json!({ "taken": 2, "waitlisted": 1 }));
    let at = &payload["position"];
    assert_eq!(standing(&app, &course, "s3", at).await, ("ACTIVE".to_owned(), Value::Null));
    assert_eq!(standing(&app, &course, "s4", at).await, ("WAITLISTED".to_owned(), json!(1)));
    let payload =
        app.done(ADA, "updateCourse", capacity(1), "course { seats { taken available } }").await;
    assert_eq!(payload["course"]["seats"], json!({ "taken": 2, "available": 0 }));
    let payload = app.done("student:s1", "withdrawEnrollment", leave(1), ALL).await;
    let at = &payload["position"];
    assert_eq!(standing(&app, &course, "s4", at).await.0, "WAITLISTED", "still one too many");
}

#[tokio::test]
async fn enrolling_needs_a_published_course_an_open_window_and_seats() {
    let app = support::app().await;
    let draft = app.draft("DRAFT").await;
    for token in [SAM, ADA, ROOT] {
        let input = json!({ "courseId": draft });
        let error = app.refusal(token, "enrollStudent", input).await;
        assert_eq!(error["code"], "COURSE_NOT_PUBLISHED", "{token}");
        assert_eq!(error["retryable"], false, "{token}");
    }
    let day = Duration::days(1);
    let (past, future) = ((Utc::now() - day).to_rfc3339(), (Utc::now() + day).to_rfc3339());
    for (code, limits, expected) in [
        ("EARLY", json!({ "enrollmentOpensAt": future }), Some("ENROLLMENT_CLOSED")),
        ("LATE", json!({ "enrollmentClosesAt": past }), Some("ENROLLMENT_CLOSED")),
        ("NONE", json!({ "capacity": 0 }), Some("ENROLLMENT_CLOSED")),
        ("OPEN", json!({ "enrollmentOpensAt": past, "enrollmentClosesAt": future }), None),
    ] {
        let mut input = json!({ "code": code, "title": code, "publish": true });
        input.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        let course = app.course(input).await;
        match expected {
            Some(expected) => {
                let input = json!({ "courseId": course });
                assert_eq!(app.refused(SAM, "enrollStudent", input).await, expected, "{code}");
            }
            None => assert_eq!(app.enroll(SAM, &course).await["status"], "ACTIVE"),
        }
    }
    let input = json!({ "courseId": "unknown" });
    let error = app.refusal(SAM, "enrollStudent", input).await;
    assert_eq!(
        (&error["code"], &error["field"]),
        (&json!("NOT_FOUND"), &json!(["input", "courseId"]))
    );
    let input = json!({ "enrollmentId": "unknown" });
    let error = app.refusal(SAM, "withdrawEnrollment", input).await;
    assert_eq!(
        (&error["code"], &error["field"]),
        (&json!("NOT_FOUND"), &json!(["input", "enrollmentId"]))
    );
}

#[tokio::test]
async fn an_enrollment_is_named_by_its_id_or_by_course_and_student() {
    let app = support::app().await;
    for arguments in [
        json!({}),
        json!({ "course": "c" }),
        json!({ "student": "s" }),
        json!({ "id": "i", "course": "c" }),
        json!({ "id": "i", "course": "c", "student": "s" }),
    ] {
        let query = "query($id: ID, $course: ID, $student: ID) { \
                     enrollment(id: $id, courseId: $course, studentId: $student) { id } }";
        assert_eq!(app.failure(ROOT, query, arguments).await, "VALIDATION_FAILED");
    }
    let query = "{ a: enrollment(id: \"unknown\") { id } \
                 b: enrollment(courseId: \"unknown\", studentId: \"x\") { id } }";
    let data = app.query(ROOT, query, json!({})).await;
    assert_eq!(data, json!({ "a": null, "b": null }));
}

#[tokio::test]
async fn what_somebody_may_not_see_cannot_be_told_from_what_is_not_there() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let id = app.enroll(SAM, &course).await["id"].take();
    let long = "x".repeat(2_000);
    for (name, input) in [
        ("plain", json!({ "enrollmentId": id })),
        ("a reason that breaks its rule", json!({ "enrollmentId": id, "reason": long })),
    ] {
        for token in [TIM, BOB] {
            let error = app.refusal(token, "withdrawEnrollment", input.clone()).await;
            assert_eq!(error["code"], "NOT_FOUND", "{name} {token}");
        }
    }
    let input = json!({ "enrollmentId": id, "reason": long });
    let error = app.refusal(SAM, "withdrawEnrollment", input).await;
    assert_eq!(
        (&error["code"], &error["field"]),
        (&json!("VALIDATION_FAILED"), &json!(["input", "reason"]))
    );
}

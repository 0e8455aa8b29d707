//! Time travel and history: what stood at an instant, what happened, and who may know.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::api::{ADA, BOB, NOBODY, ROOT, SAM, TIM, code_of, text};
use crate::instance::Instance;
use crate::reported::{Work, attached, grade};
use crate::support::{self, TestApp};

/// All of a course that has a past.
const COURSE: &str = "id code title description status version tags passingScore createdAt updatedAt \
    dates { startsAt endsAt } enrollmentWindow { startsAt endsAt } instructors { id displayName } \
    seats { capacity taken available waitlisted } assessments { id title maxScore weight dueAt required } \
    shown: modules(first: 3) { totalCount pageInfo { hasNextPage endCursor } nodes { id } } \
    modules(first: 100, includeUnpublished: true) { totalCount edges { cursor } nodes { \
        id title summary position state createdAt updatedAt course { id version seats { taken } } \
        assessments { id } items { id title kind position required state url \
            video { id state } assessment { id title } module { id position } course { version } } } }";

/// All of an enrollment that has a past.
const ENROLLMENT: &str = "id status version waitlistPosition finalScore requestedAt enrolledAt withdrawnAt completedAt \
    student { id } course { id version status seats { taken waitlisted } } \
    progress { requiredItems completedItems percent lastActivityAt } \
    assessments { assessment { id title } attempts score percent gradedAt }";

/// When the newest event of the log was recorded, as exactly as the log knows.
async fn recorded_at(app: &TestApp) -> String {
    let sql = "SELECT recorded_at FROM events ORDER BY position DESC LIMIT 1";
    let at: DateTime<Utc> = sqlx::query_scalar(sql).fetch_one(&app.pool).await.unwrap();
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

async fn course_as_of(app: &TestApp, token: &str, id: &str, at: &str) -> Value {
    let query = format!(
        "query($id: ID!, $at: DateTime) {{ c: course(id: $id, asOf: $at) {{ {COURSE} }} }}"
    );
    app.query(token, &query, json!({ "id": id, "at": at })).await["c"].take()
}

async fn enrollment_as_of(
    app: &TestApp,
    token: &str,
    course: &str,
    student: &str,
    at: &str,
) -> Value {
    let query = format!(
        "query($course: ID!, $student: ID!, $at: DateTime) {{ \
         e: enrollment(courseId: $course, studentId: $student, asOf: $at) {{ {ENROLLMENT} }} }}"
    );
    let variables = json!({ "course": course, "student": student, "at": at });
    app.query(token, &query, variables).await["e"].take()
}

/// The read models' answers, as an admin gets them.
async fn live(app: &TestApp, courses: &[String], students: &[&str]) -> Vec<Value> {
    let mut answers = Vec::new();
    for course in courses {
        let query = format!("query($id: ID!) {{ c: course(id: $id) {{ {COURSE} }} }}");
        answers.push(app.query(ROOT, &query, json!({ "id": course })).await["c"].take());
        for student in students {
            let query = format!(
                "query($course: ID!, $student: ID!) {{ \
                 e: enrollment(courseId: $course, studentId: $student) {{ {ENROLLMENT} }} }}"
            );
            let variables = json!({ "course": course, "student": student });
            answers.push(app.query(ROOT, &query, variables).await["e"].take());
        }
    }
    answers
}

async fn as_of(app: &TestApp, courses: &[String], students: &[&str], at: &str) -> Vec<Value> {
    let mut answers = Vec::new();
    for course in courses {
        answers.push(course_as_of(app, ROOT, course, at).await);
        for student in students {
            answers.push(enrollment_as_of(app, ROOT, course, student, at).await);
        }
    }
    answers
}

/// Numbers that look random and are the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        if all.is_empty() { None } else { all.get(self.below(all.len())) }
    }
}

const STUDENTS: [&str; 4] = ["sam", "tim", "uma", "vic"];

/// What the commands know of a course.
#[derive(Default)]
struct Known {
    modules: Vec<String>,
    items: Vec<(String, String)>,
}

/// Runs a command on a course; it may be refused.
async fn run(app: &TestApp, token: &str, course: &str, name: &str, mut input: Value) -> Value {
    input["courseId"] = json!(course);
    let selection = match name {
        "addModule" => "module { id }",
        "addModuleItem" => "moduleItem { id }",
        _ => "clientMutationId",
    };
    app.mutate(token, name, input, selection).await
}

/// The enrollment of a student, where there is one.
async fn enrollment_of(app: &TestApp, course: &str, student: &str) -> Option<String> {
    let query = "query($c: ID!, $s: ID!) { enrollment(courseId: $c, studentId: $s) { id } }";
    let found = app.query(ROOT, query, json!({ "c": course, "s": student })).await;
    found["enrollment"]["id"].as_str().map(str::to_owned)
}

/// A random command on a course and its seats; some are refused.
async fn command(app: &TestApp, course: &str, known: &Known, numbers: &mut Numbers, round: usize) {
    let student = STUDENTS[numbers.below(STUDENTS.len())];
    let token = format!("student:{student}");
    let (token, name, input) = match numbers.below(12) {
        0 => {
            let capacity = [json!(1), json!(2), json!(3), Value::Null][numbers.below(4)].clone();
            let input = json!({ "title": format!("title {round}"), "capacity": capacity });
            (ADA, "updateCourse", input)
        }
        1 => {
            let input = json!({
                "description": format!("description {round}"), "tags": ["a", round.to_string()],
                "startsAt": "2030-01-01T00:00:00Z", "endsAt": null, "passingScore": 50.5
            });
            (ADA, "updateCourse", input)
        }
        2 => (ADA, "unpublishCourse", json!({})),
        3 if round > 40 => (ADA, "archiveCourse", json!({})),
        4 => (ADA, "restoreCourse", json!({})),
        5 => (ADA, "assignInstructor", json!({ "instructorId": "bob" })),
        6 => (ADA, "removeInstructor", json!({ "instructorId": "bob" })),
        7 | 8 => (token.as_str(), "enrollStudent", json!({})),
        9 => {
            let Some(id) = enrollment_of(app, course, student).await else { return };
            let input = json!({ "enrollmentId": id });
            app.mutate(&token, "withdrawEnrollment", input, "clientMutationId").await;
            return;
        }
        10 => {
            let Some((_, item)) = numbers.one_of(&known.items) else { return };
            (token.as_str(), "completeModuleItem", json!({ "moduleItemId": item }))
        }
        _ => (ADA, "publishCourse", json!({})),
    };
    run(app, token, course, name, input).await;
}

/// A random command on its modules and items; some are refused.
async fn content(
    app: &TestApp,
    course: &str,
    known: &mut Known,
    numbers: &mut Numbers,
    round: usize,
) {
    let module = numbers.one_of(&known.modules).cloned().unwrap_or_else(|| "none".to_owned());
    let item = numbers.one_of(&known.items).cloned().unwrap_or_default().1;
    let state = ["PUBLISHED", "UNPUBLISHED"][numbers.below(2)];
    match numbers.below(8) {
        0 => {
            let input =
                json!({ "moduleId": module, "title": format!("module {round}"), "state": state });
            run(app, ADA, course, "updateModule", input).await;
        }
        1 if known.modules.len() > 3 => {
            run(app, ADA, course, "removeModule", json!({ "moduleId": module })).await;
            known.modules.retain(|other| *other != module);
            known.items.retain(|(other, _)| *other != module);
        }
        2 => {
            let order: Vec<_> = known.modules.iter().rev().collect();
            run(app, ADA, course, "reorderModules", json!({ "moduleIds": order })).await;
        }
        3 if known.items.len() > 4 => {
            run(app, ADA, course, "removeModuleItem", json!({ "moduleItemId": item })).await;
            known.items.retain(|(_, other)| *other != item);
        }
        4 if !item.is_empty() => {
            let title = format!("item {round}");
            let input = json!({ "moduleItemId": item, "title": title, "state": state });
            run(app, ADA, course, "updateModuleItem", input).await;
        }
        5 | 6 if !known.modules.is_empty() => {
            let mut input = match numbers.below(3) {
                0 => json!({ "kind": "ASSESSMENT", "assessmentId": "quiz" }),
                1 => json!({ "kind": "LINK", "url": "https://example.org" }),
                _ => json!({ "kind": "PAGE" }),
            };
            input["moduleId"] = json!(module);
            input["title"] = json!(format!("item {round}"));
            input["required"] = json!(numbers.below(3) > 0);
            let payload = run(app, ADA, course, "addModuleItem", input).await;
            let added = payload["moduleItem"]["id"].as_str();
            known.items.extend(added.map(|id| (module.clone(), id.to_owned())));
        }
        _ => {
            let input = json!({ "title": format!("module {round}"), "position": 0 });
            let payload = run(app, ADA, course, "addModule", input).await;
            known.modules.extend(payload["module"]["id"].as_str().map(str::to_owned));
        }
    }
}

/// What other services report.
async fn report(
    app: &TestApp,
    services: &Instance,
    course: &str,
    numbers: &mut Numbers,
    round: usize,
) {
    if round.is_multiple_of(25) {
        let quiz = if round == 0 { "quiz".to_owned() } else { format!("quiz-{round}") };
        services.report(course, vec![attached(&quiz, 2.0)]).await;
        return;
    }
    let student = STUDENTS[numbers.below(STUDENTS.len())];
    if enrollment_of(app, course, student).await.is_some() {
        let score = 10.0 + f64::from(u32::try_from(numbers.below(10)).unwrap());
        let graded = Work::of(student, course).graded("quiz", grade(score));
        services.work(student, course, vec![graded]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_of_an_instant_is_what_the_read_models_answered_then() {
    let app = support::app().await;
    let services = Instance::on(&app.database_url).await;
    for seed in [1_u64, 20_261_127] {
        let mut numbers = Numbers(seed);
        let mut courses = Vec::new();
        for number in 0..2 {
            let capacity = [json!(2), Value::Null][number].clone();
            let input = json!({
                "code": format!("C{seed}-{number}"), "title": "T", "capacity": capacity, "publish": number == 0
            });
            courses.push(app.course(input).await);
        }
        let mut known = [Known::default(), Known::default()];
        let mut history: Vec<(String, Vec<Value>)> = Vec::new();
        let mut before = 0;
        for round in 0..120_usize {
            let which = numbers.below(2);
            let (course, known) = (&courses[which], &mut known[which]);
            match numbers.below(20) {
                _ if round.is_multiple_of(25) => {
                    for course in &courses {
                        report(&app, &services, course, &mut numbers, round).await;
                    }
                }
                0 => report(&app, &services, course, &mut numbers, round).await,
                1..=9 => content(&app, course, known, &mut numbers, round).await,
                _ => command(&app, course, known, &mut numbers, round).await,
            }
            if round == 110 {
                let input = json!({ "courseId": courses[1], "force": true });
                app.done(ADA, "deleteCourse", input, "course { id }").await;
            }
            let length = app.log_length().await;
            if length == before {
                continue;
            }
            before = length;
            app.settled().await;
            history.push((recorded_at(&app).await, live(&app, &courses, &STUDENTS).await));
        }
        assert!(history.len() > 50, "{}", history.len());
        let enrolled =
            history.iter().flat_map(|(_, answers)| answers).filter(|a| a["student"].is_object());
        assert!(enrolled.count() > 50, "students are among what is compared");
        for (at, answers) in &history {
            assert_eq!(
                as_of(&app, &courses, &STUDENTS, at).await,
                *answers,
                "seed {seed}, as of {at}"
            );
        }
    }
}

#[tokio::test]
async fn before_it_was_there_a_thing_is_null_and_afterwards_it_is_as_it_was() {
    let app = support::app().await;
    let early = Utc::now().to_rfc3339();
    let course = app.published_course("ALG-1", Some(5)).await;
    let created = recorded_at(&app).await;
    app.enroll(SAM, &course).await;
    let enrolled = recorded_at(&app).await;
    let input = json!({ "courseId": course, "force": true });
    app.done(ADA, "deleteCourse", input, "course { id }").await;
    let deleted = recorded_at(&app).await;
    app.settled().await;

    for at in [&early, "1000-01-01T00:00:00Z"] {
        assert_eq!(course_as_of(&app, ADA, &course, at).await, Value::Null, "{at}");
    }
    assert_eq!(enrollment_as_of(&app, ADA, &course, "sam", &created).await, Value::Null);
    let then = course_as_of(&app, ADA, &course, &enrolled).await;
    assert_eq!((&then["status"], &then["seats"]["taken"]), (&json!("PUBLISHED"), &json!(1)));
    assert_eq!(course_as_of(&app, ADA, &course, &deleted).await["status"], "DELETED");
    let then = enrollment_as_of(&app, ROOT, &course, "sam", &enrolled).await;
    assert_eq!(
        (&then["status"], &then["course"]["status"]),
        (&json!("ACTIVE"), &json!("PUBLISHED"))
    );
    assert_eq!(course_as_of(&app, ADA, "unknown", &created).await, Value::Null);
    assert_eq!(course_as_of(&app, ADA, "\0", &created).await, Value::Null);
}

#[tokio::test]
async fn an_instant_that_is_not_over_or_is_none_is_refused() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    app.settled().await;
    let query = "query($id: ID!, $at: DateTime) { course(id: $id, asOf: $at) { id } }";
    let future = (Utc::now() + Duration::hours(1)).to_rfc3339();
    for at in [
        future.as_str(),
        "yesterday",
        "",
        "2026-02-30T00:00:00Z",
        "2026-01-01",
        "+10000-01-01T00:00:00Z",
    ] {
        let code = app.failure(ADA, query, json!({ "id": course, "at": at })).await;
        assert_eq!(code, "VALIDATION_FAILED", "{at}");
    }
    let by_code = "query($at: DateTime) { course(code: \"ALG-1\", asOf: $at) { id } }";
    let code = app.failure(ADA, by_code, json!({ "at": "2026-01-01T00:00:00Z" })).await;
    assert_eq!(code, "VALIDATION_FAILED");
    // An instant that has only just passed, in any zone, is answered, and null is now.
    let now: DateTime<Utc> =
        sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&app.pool).await.unwrap();
    let zone = chrono::FixedOffset::east_opt(7_200).unwrap();
    for at in [json!(now.with_timezone(&zone).to_rfc3339()), Value::Null] {
        let data = app.query(ADA, query, json!({ "id": course, "at": at })).await;
        assert_eq!(data["course"]["id"], json!(course), "{at}");
    }
}

#[tokio::test]
async fn an_append_under_way_is_waited_for_so_that_the_answer_never_changes() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    app.settled().await;
    // Whoever appends holds this lock, and may have read its clock already.
    let mut append = app.pool.begin().await.unwrap();
    let held = "SELECT clock_timestamp() FROM log_head FOR UPDATE";
    let at: DateTime<Utc> = sqlx::query_scalar(held).fetch_one(&mut *append).await.unwrap();
    let at = at.to_rfc3339();
    let asked = course_as_of(&app, ADA, &course, &at);
    let title = async {
        crate::instance::waits_for_a_lock(&app.pool, 1).await;
        let sql = "UPDATE log_head SET recorded_at = clock_timestamp()";
        sqlx::query(sql).execute(&mut *append).await.unwrap();
        append.commit().await.unwrap();
    };
    let (answer, ()) = futures::join!(asked, title);
    assert_eq!(answer["title"], "ALG-1");
}

#[tokio::test]
async fn the_past_is_for_those_who_manage_the_course_now() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    let draft = app.draft("DRAFT").await;
    let enrollment = text(&app.enroll(SAM, &course).await["id"]);
    let shared = json!({ "courseId": course, "instructorId": "bob" });
    app.done(ADA, "assignInstructor", shared.clone(), "course { id }").await;
    let at = recorded_at(&app).await;
    app.settled().await;
    let query =
        "query($id: ID!, $at: DateTime) { course(id: $id, asOf: $at) { instructors { id } } }";
    let both = json!([{ "id": "ada" }, { "id": "bob" }]);
    assert_eq!(course_as_of(&app, BOB, &course, &at).await["version"], 3);
    app.done(ADA, "removeInstructor", shared, "course { id }").await;
    app.settled().await;
    for token in [ADA, ROOT] {
        let seen = app.query(token, query, json!({ "id": course, "at": at })).await;
        assert_eq!(seen["course"]["instructors"], both, "{token}");
    }
    // Who taught it then and does not now has lost it, and a student has never had it.
    for token in [BOB, SAM, NOBODY] {
        let code = app.failure(token, query, json!({ "id": course, "at": at })).await;
        assert_eq!(code, "FORBIDDEN", "{token}");
        let seen = app.query(token, query, json!({ "id": draft, "at": at })).await;
        assert_eq!(seen["course"], Value::Null, "{token}");
    }
    let query = "query($id: ID!, $at: DateTime) { enrollment(id: $id, asOf: $at) { status } }";
    let variables = json!({ "id": enrollment, "at": at });
    for token in [ADA, ROOT] {
        let seen = app.query(token, query, variables.clone()).await;
        assert_eq!(seen["enrollment"]["status"], "ACTIVE", "{token}");
    }
    assert_eq!(app.failure(SAM, query, variables.clone()).await, "FORBIDDEN");
    for token in [BOB, TIM, NOBODY] {
        assert_eq!(app.query(token, query, variables.clone()).await["enrollment"], Value::Null);
    }
}

#[tokio::test]
async fn what_has_no_past_is_refused_with_a_code_of_its_own() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    app.enroll(SAM, &course).await;
    let at = recorded_at(&app).await;
    app.settled().await;
    for selection in [
        "enrollments { totalCount }",
        "history { totalCount }",
        "viewerEnrollment { id }",
        "viewerCan { update }",
        "instructors { enrollments { totalCount } }",
        "instructors { taughtCourses { totalCount } }",
    ] {
        let query = format!(
            "query($id: ID!, $at: DateTime) {{ course(id: $id, asOf: $at) {{ {selection} }} }}"
        );
        let answer = app.graphql(ADA, &query, json!({ "id": course, "at": at })).await;
        assert_eq!(code_of(&answer), "AS_OF_UNSUPPORTED", "{selection}");
    }
    for selection in [
        "history { totalCount }",
        "student { enrollments { totalCount } }",
        "course { history { totalCount } }",
    ] {
        let query = format!(
            "query($c: ID!, $at: DateTime) {{ enrollment(courseId: $c, studentId: \"sam\", asOf: $at) {{ {selection} }} }}"
        );
        let answer = app.graphql(ADA, &query, json!({ "c": course, "at": at })).await;
        assert_eq!(code_of(&answer), "AS_OF_UNSUPPORTED", "{selection}");
    }
}

const EVENT: &str =
    "id type position streamVersion occurredAt actor correlationId causationId data";

#[tokio::test]
async fn the_history_of_a_course_goes_both_ways_and_has_as_many_events_as_its_version() {
    let app = support::app().await;
    let course = app.published_course("ALG-1", None).await;
    for title in ["a", "b", "c"] {
        app.done(
            ADA,
            "updateCourse",
            json!({ "courseId": course, "title": title }),
            "course { id }",
        )
        .await;
    }
    app.enroll(SAM, &course).await;
    app.settled().await;
    let query = format!(
        "query($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {{ course(id: $id) {{ version \
         history(first: $first, after: $after, last: $last, before: $before) {{ totalCount edges {{ cursor }} \
         nodes {{ {EVENT} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }}"
    );
    let page = async |token: &str, mut arguments: Value| {
        arguments["id"] = json!(course);
        app.query(token, &query, arguments).await["course"].take()
    };
    let all = page(ADA, json!({})).await;
    let events = all["history"]["nodes"].as_array().unwrap().clone();
    assert_eq!(all["history"]["totalCount"], all["version"]);
    let kinds: Vec<String> = events.iter().map(|event| text(&event["type"])).collect();
    let changed = "CourseDetailsChanged";
    assert_eq!(kinds, ["CourseCreated", "CoursePublished", changed, changed, changed]);
    assert_eq!(events[2]["data"], json!({ "title": "a" }));
    assert_eq!((&events[0]["actor"], &events[0]["streamVersion"]), (&json!("ada"), &json!(1)));
    assert_eq!(events[0]["causationId"], events[1]["causationId"], "one command");

    let first = page(ROOT, json!({ "first": 2 })).await;
    assert_eq!(first["history"]["nodes"], json!(events[..2]));
    let info = &first["history"]["pageInfo"];
    assert_eq!((&info["hasNextPage"], &info["hasPreviousPage"]), (&json!(true), &json!(false)));
    let next = page(ROOT, json!({ "first": 9, "after": info["endCursor"] })).await;
    assert_eq!(next["history"]["nodes"], json!(events[2..]));
    let last = page(ROOT, json!({ "last": 2 })).await;
    assert_eq!(last["history"]["nodes"], json!(events[3..]));
    let before = last["history"]["pageInfo"]["startCursor"].clone();
    let before = page(ROOT, json!({ "last": 2, "before": before })).await;
    assert_eq!(before["history"]["nodes"], json!(events[1..3]));

    // Each is a node, for the same people.
    let node =
        format!("query($id: ID!) {{ node(id: $id) {{ id ... on DomainEvent {{ {EVENT} }} }} }}");
    for event in &events {
        let found = app.query(ADA, &node, json!({ "id": event["id"] })).await;
        assert_eq!(found["node"], *event);
        for token in [NOBODY, SAM, BOB] {
            let found = app.query(token, &node, json!({ "id": event["id"] })).await;
            assert_eq!(found["node"], Value::Null, "{token}");
        }
    }
}

#[tokio::test]
async fn history_is_forbidden_to_others_and_holds_no_personal_data() {
    let app = support::app().await;
    let services = Instance::on(&app.database_url).await;
    for (id, name) in [("ada", "Ada Lovelace"), ("sam", "Samuel Morse")] {
        let registered = services.named(id, name).await;
        services.user(id, vec![registered]).await;
    }
    let course = app.published_course("ALG-1", None).await;
    app.enroll(SAM, &course).await;
    services.report(&course, vec![attached("quiz", 1.0)]).await;
    let graded = Work::of("sam", &course).graded("quiz", grade(15.0));
    services.work("sam", &course, vec![graded]).await;
    app.settled().await;
    let query = format!(
        "query($c: ID!) {{ course(id: $c) {{ code history {{ nodes {{ {EVENT} }} }} }} \
         enrollment(courseId: $c, studentId: \"sam\") {{ version history {{ totalCount nodes {{ {EVENT} }} }} }} }}"
    );
    for token in [ADA, ROOT] {
        let data = app.query(token, &query, json!({ "c": course })).await;
        let enrollment = &data["enrollment"];
        let nodes = enrollment["history"]["nodes"].as_array().unwrap();
        let kinds: Vec<String> = nodes.iter().map(|event| text(&event["type"])).collect();
        assert_eq!(kinds, ["StudentEnrolled", "GradeRecorded"], "{token}");
        assert_eq!(enrollment["history"]["totalCount"], enrollment["version"]);
        let shown = data.to_string();
        for secret in
            ["Lovelace", "Morse", "example.org", "instructor:ada", "student:sam", "Bearer"]
        {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }
    let data = app.graphql(SAM, &query, json!({ "c": course })).await;
    assert_eq!(code_of(&data), "FORBIDDEN");
    // The rest of the answer is there.
    assert_eq!(data["data"]["course"], json!({ "code": "ALG-1", "history": null }));
    assert_eq!(data["data"]["enrollment"], json!({ "version": 2, "history": null }));
    // No event of a user is a node.
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT event_id FROM events WHERE aggregate_type IN ('user', 'seats')")
            .fetch_all(&app.pool)
            .await
            .unwrap();
    assert!(ids.len() >= 4);
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    let data = app.query(ROOT, query, json!({ "ids": ids })).await;
    assert!(data["nodes"].as_array().unwrap().iter().all(Value::is_null), "{data}");
}

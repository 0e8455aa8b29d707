//! Lists through the API: pages both ways, orders, filters, searches, and whose eyes see what.

use std::collections::HashSet;

use chrono::{Duration, Utc};
use serde_json::{Value, json};

use crate::api::{ADA, BOB, NOBODY, ROOT, SAM, TIM, text};
use crate::support::{self, TestApp};

const PAGE: &str = "edges { cursor node { id } } nodes { id } \
                    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }";

struct Page {
    ids: Vec<String>,
    info: Value,
}

fn page_of(connection: &Value) -> Page {
    let edges = connection["edges"].as_array().unwrap_or_else(|| panic!("{connection}"));
    let ids: Vec<String> = edges.iter().map(|edge| text(&edge["node"]["id"])).collect();
    let nodes = connection["nodes"].as_array().unwrap();
    assert_eq!(nodes.iter().map(|node| text(&node["id"])).collect::<Vec<_>>(), ids);
    let info = connection["pageInfo"].clone();
    assert_eq!(info["startCursor"], edges.first().map_or(Value::Null, |e| e["cursor"].clone()));
    assert_eq!(info["endCursor"], edges.last().map_or(Value::Null, |e| e["cursor"].clone()));
    Page { ids, info }
}

/// A page of courses in an order.
async fn courses(app: &TestApp, token: &str, order: &Value, arguments: Value) -> Page {
    let query = format!(
        "query($first: Int, $after: String, $last: Int, $before: String, $order: [CourseOrder!]) {{ \
         courses(first: $first, after: $after, last: $last, before: $before, orderBy: $order) {{ {PAGE} }} }}"
    );
    let mut variables = arguments;
    variables["order"] = order.clone();
    page_of(&app.query(token, &query, variables).await["courses"])
}

fn sql_order(order: &[(&str, &str)]) -> String {
    let mut terms: Vec<String> = Vec::new();
    for (field, direction) in order {
        let column = match *field {
            "CREATED_AT" => "created_at",
            "UPDATED_AT" => "updated_at",
            "TITLE" => "title COLLATE \"und-x-icu\"",
            "CODE" => "lower(code)",
            "STARTS_AT" => "starts_at",
            _ => "taken",
        };
        terms.push(format!("{column} {direction}"));
    }
    let last = order.last().map_or("ASC", |(_, direction)| *direction);
    terms.push(format!("course_id {last}"));
    terms.join(", ")
}

#[tokio::test]
async fn walking_courses_either_way_gives_each_once_in_order_while_others_come() {
    let app = support::app().await;
    let mut random = 88_172_645_463_325_252_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % 1_000_003).unwrap() % below
    };
    for number in 0..30 {
        let title = ["Äpfel", "apfel", "Birne", "Zebra", "zoo"][next(5)];
        let starts = [Value::Null, json!("2030-01-01T00:00:00Z"), json!("2031-01-01T00:00:00Z")];
        let input = json!({
            "code": format!("{}-{number}", ["a", "B"][next(2)]), "title": title,
            "startsAt": starts[next(3)], "publish": next(3) > 0
        });
        app.course(input).await;
    }
    app.settled().await;
    let seats = "UPDATE courses_v2_g1 SET taken = mod(ascii(right(course_id, 1)), 3)";
    sqlx::query(seats).execute(&app.pool).await.unwrap();
    let fields = ["CREATED_AT", "UPDATED_AT", "TITLE", "CODE", "STARTS_AT", "ENROLLED_COUNT"];
    for round in 0..40 {
        let terms = if round < 12 { 1 } else { next(4) };
        let mut order: Vec<(&str, &str)> =
            (0..terms).map(|_| (fields[next(6)], ["ASC", "DESC"][next(2)])).collect();
        if round < 12 {
            order = vec![(fields[round % 6], ["ASC", "DESC"][round / 6])];
        }
        let by: Vec<Value> = order
            .iter()
            .map(|(field, direction)| json!({ "field": field, "direction": direction }))
            .collect();
        let by = json!(by);
        if order.is_empty() {
            order.push(("CREATED_AT", "ASC"));
        }
        let (token, sees) = [
            (NOBODY, "status = 'PUBLISHED'"),
            (BOB, "status = 'PUBLISHED'"),
            (ADA, "status <> 'DELETED'"),
            (ROOT, "status <> 'DELETED'"),
        ][next(4)];
        let sql =
            format!("SELECT course_id FROM courses_v2 WHERE {sees} ORDER BY {}", sql_order(&order));
        let expected: Vec<String> = sqlx::query_scalar(&sql).fetch_all(&app.pool).await.unwrap();
        let size = next(7) + 1;
        let what = format!("{order:?} by {size} as {token:?}");
        for backwards in [false, true] {
            let (mut walked, mut cursor, mut pages) = (Vec::new(), Value::Null, 0);
            loop {
                let arguments = if backwards {
                    json!({ "last": size, "before": cursor })
                } else {
                    json!({ "first": size, "after": cursor })
                };
                let page = courses(&app, token, &by, arguments).await;
                let (on, back, end) = if backwards {
                    ("hasPreviousPage", "hasNextPage", "startCursor")
                } else {
                    ("hasNextPage", "hasPreviousPage", "endCursor")
                };
                assert_eq!(page.info[back], json!(pages > 0), "{what}");
                let mut ids = page.ids;
                if backwards {
                    ids.reverse();
                }
                walked.extend(ids);
                cursor = page.info[end].clone();
                pages += 1;
                if pages == 2 && round % 8 == 0 {
                    let code = format!("new-{round}-{backwards}");
                    app.course(json!({ "code": code, "title": "Kiwi", "publish": true })).await;
                    app.settled().await;
                }
                if page.info[on] == false {
                    break;
                }
            }
            if backwards {
                walked.reverse();
            }
            let once: HashSet<&String> = walked.iter().collect();
            assert_eq!(once.len(), walked.len(), "{what}: no course twice");
            let known: HashSet<&String> = expected.iter().collect();
            walked.retain(|id| known.contains(id));
            assert_eq!(walked, expected, "{what}, backwards: {backwards}");
        }
    }
}

#[tokio::test]
async fn a_page_is_asked_for_in_one_direction_within_limits_with_a_cursor_of_its_list() {
    let app = support::app().await;
    let id = app.published_course("ALG-1", None).await;
    app.module(&id, "Groups").await;
    app.enroll(SAM, &id).await;
    app.settled().await;
    let lists = [
        "courses(ARGS) { edges { cursor } }",
        "courses(ARGS, orderBy: [{ field: TITLE }]) { edges { cursor } }",
        "courses(ARGS, orderBy: [{ field: TITLE, direction: DESC }]) { edges { cursor } }",
        "courses(ARGS, orderBy: [{ field: TITLE }, { field: CODE }]) { edges { cursor } }",
        "searchCourses(query: \"alg\", ARGS) { edges { cursor } }",
        "searchCourses(query: \"alg or x\", ARGS) { edges { cursor } }",
        "instructorCourses(instructorId: \"ada\", ARGS) { edges { cursor } }",
        "enrollments(ARGS) { edges { cursor } }",
        "course(code: \"ALG-1\") { modules(ARGS) { edges { cursor } } }",
        "course(code: \"ALG-1\") { enrollments(ARGS) { edges { cursor } } }",
        "viewer { enrollments(ARGS) { edges { cursor } } }",
    ];
    let ask = |list: &str, args: &str| format!("{{ {} }}", list.replace("ARGS", args));
    let mut cursors = Vec::new();
    for list in lists {
        for args in [
            "first: 1, last: 1",
            "first: 1, before: \"x\"",
            "last: 1, after: \"x\"",
            "after: \"x\", before: \"y\"",
            "first: 101",
            "first: -1",
            "last: 101",
            "last: -1",
            "after: \"\"",
            "after: \"x\"",
            "before: \"W10\"",
            "after: \"WyJjb3Vyc2VzIl0\"",
        ] {
            let code = app.failure(SAM, &ask(list, args), json!({})).await;
            assert_eq!(code, "VALIDATION_FAILED", "{list} {args}");
        }
        for args in ["first: 0", "last: 0", "first: 100", "last: 100"] {
            app.query(SAM, &ask(list, args), json!({})).await;
        }
        let data = app.query(SAM, &ask(list, "first: 1"), json!({})).await.to_string();
        let cursor = data.split("\"cursor\":\"").nth(1).unwrap_or_else(|| panic!("{list}: {data}"));
        cursors.push(cursor.split('"').next().unwrap().to_owned());
    }
    for (index, list) in lists.iter().enumerate() {
        for (of, cursor) in cursors.iter().enumerate() {
            for side in ["after", "before"] {
                let query = ask(list, &format!("{side}: \"{cursor}\""));
                if of == index {
                    app.query(SAM, &query, json!({})).await;
                } else {
                    let code = app.failure(SAM, &query, json!({})).await;
                    assert_eq!(code, "VALIDATION_FAILED", "{} in {list}", lists[of]);
                }
            }
        }
    }
    let four = "{ courses(orderBy: [{ field: TITLE }, { field: CODE }, { field: TITLE }, { field: CODE }]) { nodes { id } } }";
    assert_eq!(app.failure(SAM, four, json!({})).await, "VALIDATION_FAILED");
}

/// The codes of the courses that a filter leaves, sorted.
async fn filtered(app: &TestApp, token: &str, filter: Value) -> Vec<String> {
    let query = "query($filter: CourseFilter) { courses(filter: $filter, orderBy: [{ field: CODE }]) \
                 { nodes { code } totalCount } }";
    let data = app.query(token, query, json!({ "filter": filter })).await;
    let nodes = data["courses"]["nodes"].as_array().unwrap();
    assert_eq!(data["courses"]["totalCount"], json!(nodes.len()), "{filter}");
    nodes.iter().map(|node| text(&node["code"])).collect()
}

#[tokio::test]
async fn filters_leave_what_fits_all_their_fields_and_what_the_caller_sees() {
    let app = support::app().await;
    let day = Duration::days(1);
    let (past, future) = ((Utc::now() - day).to_rfc3339(), (Utc::now() + day).to_rfc3339());
    for (code, more) in [
        (
            "A.1",
            json!({ "tags": ["maths", "x"], "capacity": 1, "startsAt": "2030-01-01T00:00:00Z" }),
        ),
        ("A.2", json!({ "tags": ["art"], "capacity": 0, "coInstructorIds": ["bob"] })),
        ("B.1", json!({ "enrollmentOpensAt": future })),
        ("B.2", json!({ "enrollmentClosesAt": past, "startsAt": "2031-01-01T00:00:00Z" })),
        ("D", json!({ "publish": false, "tags": ["maths"] })),
    ] {
        let mut input = json!({ "code": code, "title": code, "publish": true });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let id = app.course(input).await;
        if code == "A.1" {
            app.enroll(SAM, &id).await;
        }
    }
    let gone = app.published_course("GONE", None).await;
    let payload = app.done(ADA, "deleteCourse", json!({ "courseId": gone }), "course { id }").await;
    assert!(payload["position"].is_string());
    app.settled().await;
    let all = ["A.1", "A.2", "B.1", "B.2", "D"];
    for (filter, expected) in [
        (json!({}), &all[..]),
        (json!({ "status": ["DRAFT"] }), &["D"]),
        (json!({ "status": ["DRAFT", "PUBLISHED", "DRAFT"] }), &all),
        (json!({ "status": ["DELETED"] }), &["GONE"]),
        (json!({ "status": [] }), &[]),
        (json!({ "tags": ["maths"] }), &["A.1", "D"]),
        (json!({ "tags": ["art", "x", "a\0b"] }), &["A.1", "A.2"]),
        (json!({ "tags": ["\0"] }), &[]),
        (json!({ "tags": ["maths"], "status": ["PUBLISHED"] }), &["A.1"]),
        (json!({ "instructorId": " bob " }), &["A.2"]),
        (json!({ "instructorId": "\0" }), &[]),
        (json!({ "codePrefix": "a." }), &["A.1", "A.2"]),
        (json!({ "codePrefix": "" }), &all),
        (json!({ "codePrefix": "%" }), &[]),
        (json!({ "codePrefix": "_" }), &[]),
        (json!({ "startsAfter": "2030-01-01T00:00:00Z" }), &["A.1", "B.2"]),
        (json!({ "startsBefore": "2031-01-01T00:00:00Z" }), &["A.1"]),
        (json!({ "hasSeats": true }), &["B.1", "B.2", "D"]),
        (json!({ "hasSeats": false }), &["A.1", "A.2"]),
        (json!({ "enrollableNow": true }), &["A.1"]),
        (json!({ "enrollableNow": false }), &["A.2", "B.1", "B.2", "D"]),
        (json!({ "updatedSince": past }), &all),
        (json!({ "updatedSince": future }), &[]),
    ] {
        assert_eq!(filtered(&app, ADA, filter.clone()).await, expected, "{filter}");
    }
    let published = ["A.1", "A.2", "B.1", "B.2"];
    for (token, mine) in [(NOBODY, false), (SAM, false), (BOB, false), (ADA, true), (ROOT, true)] {
        for (status, others) in [("DRAFT", "D"), ("DELETED", "GONE"), ("PUBLISHED", "")] {
            let expected = match status {
                "PUBLISHED" => published.to_vec(),
                _ if mine => vec![others],
                _ => Vec::new(),
            };
            let found = filtered(&app, token, json!({ "status": [status] })).await;
            assert_eq!(found, expected, "{token} {status}");
        }
    }
    for field in ["startsAfter", "startsBefore", "updatedSince"] {
        let query = "query($filter: CourseFilter) { courses(filter: $filter) { nodes { id } } }";
        let mut filter = json!({});
        filter[field] = json!("-200000-01-01T00:00:00Z");
        let code = app.failure(NOBODY, query, json!({ "filter": filter })).await;
        assert_eq!(code, "VALIDATION_FAILED", "{field}");
    }
}

#[tokio::test]
async fn a_search_finds_words_the_best_first_and_hostile_texts_do_no_harm() {
    let app = support::app().await;
    for (code, title, description, publish) in [
        ("RUST-101", "Systems", "with rust", true),
        ("GO_7", "Rust and others", "Ünïcode über alles", true),
        ("PY.3", "Snakes", "no rust here, only rust", true),
        ("HID-1", "Rust, hidden", "", false),
    ] {
        app.course(json!({
            "code": code, "title": title, "description": description, "publish": publish,
            "tags": [format!("tag of {code}")]
        }))
        .await;
    }
    app.settled().await;
    let query = "query($q: String!, $n: Int, $after: String) { searchCourses(query: $q, first: $n, after: $after) \
                 { totalCount edges { score cursor node { code } } pageInfo { hasNextPage endCursor } } }";
    let search = async |token: &str, q: &str| {
        let data = app.query(token, query, json!({ "q": q })).await;
        let edges = data["searchCourses"]["edges"].as_array().unwrap().clone();
        let scores: Vec<f64> = edges.iter().map(|e| e["score"].as_f64().unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{q}: {scores:?}");
        assert_eq!(data["searchCourses"]["totalCount"], json!(edges.len()), "{q}");
        edges.iter().map(|edge| text(&edge["node"]["code"])).collect::<Vec<_>>()
    };
    let found = search(NOBODY, "rust").await;
    assert_eq!(found.len(), 3);
    assert_eq!(found[2], "PY.3", "a word of the description weighs less");
    for (q, expected) in [
        ("rust-101", &["RUST-101"][..]),
        ("RUST 101", &["RUST-101"]),
        ("101", &["RUST-101"]),
        ("go", &["GO_7"]),
        ("7", &["GO_7"]),
        ("\"and others\"", &["GO_7"]),
        ("\"others and\"", &[]),
        ("rust -others -101", &["PY.3"]),
        ("snakes or others or zzz", &["GO_7", "PY.3"]),
        ("ÜNÏCODE", &["GO_7"]),
        ("zzz", &[]),
    ] {
        let mut found = search(NOBODY, q).await;
        found.sort_unstable();
        assert_eq!(found, expected, "{q}");
    }
    assert_eq!(search(ADA, "hidden").await, ["HID-1"]);
    for token in [NOBODY, SAM, BOB] {
        assert!(search(token, "hidden").await.is_empty(), "{token}");
    }
    let hostile = [
        "'",
        "\"",
        "& | ! ( ) :* <->",
        "\\",
        "rust':*",
        "a\0b",
        "%",
        "-",
        "!!!",
        "';DROP TABLE x;--",
        "<1000000>",
    ];
    for q in hostile {
        search(NOBODY, q).await;
    }
    search(NOBODY, &"x".repeat(500)).await;
    search(NOBODY, &"(a or -b) ".repeat(50)).await;
    for q in ["", "  ", "\0", &"x".repeat(501)] {
        assert_eq!(app.failure(NOBODY, query, json!({ "q": q })).await, "VALIDATION_FAILED");
    }
    // Page by page it is the same.
    let (mut walked, mut after) = (Vec::new(), Value::Null);
    loop {
        let data = app.query(NOBODY, query, json!({ "q": "rust", "n": 1, "after": after })).await;
        let page = &data["searchCourses"];
        walked.push(text(&page["edges"][0]["node"]["code"]));
        after = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(walked, found);
}

/// Every enrollment of [`enrollments`], as student and course.
const ALL: [&str; 6] =
    ["sam@ADA-1", "tim@ADA-1", "zoe@ADA-1", "sam@BOB-1", "tim@BOB-1", "ada@BOB-1"];

/// A course of ada's and one of bob's with students, of whom one waits, and ada; their ids.
async fn enrollments(app: &TestApp) -> (String, String) {
    let ours = app.published_course("ADA-1", Some(2)).await;
    let input = json!({ "code": "BOB-1", "title": "x", "publish": true });
    let theirs = app.done(BOB, "createCourse", input, "course { id }").await;
    let theirs = text(&theirs["course"]["id"]);
    for (token, course) in
        [(SAM, &ours), (TIM, &ours), ("student:zoe", &ours), (SAM, &theirs), (TIM, &theirs)]
    {
        app.enroll(token, course).await;
    }
    let input = json!({ "courseId": theirs, "studentId": "ada" });
    app.done(BOB, "enrollStudent", input, "enrollment { id }").await;
    app.settled().await;
    (ours, theirs)
}

/// The enrollments of a connection, as student and course.
fn names(nodes: &Value) -> Vec<String> {
    let name = |node: &Value| {
        text(&node["student"]["id"]) + "@" + node["course"]["code"].as_str().unwrap()
    };
    nodes.as_array().unwrap().iter().map(name).collect()
}

fn named(list: &Value) -> Vec<String> {
    let names = names(&list["nodes"]);
    assert_eq!(list["totalCount"], json!(names.len()), "{list}");
    names
}

#[tokio::test]
async fn enrollments_are_listed_for_those_who_may_see_them() {
    let app = support::app().await;
    let (ours, theirs) = enrollments(&app).await;
    let query = "query($course: ID!, $filter: EnrollmentFilter) { \
        list: enrollments(filter: $filter) { nodes { course { code } student { id } } totalCount } \
        course(id: $course) { enrollments(filter: $filter) { nodes { course { code } student { id } } totalCount } \
          instructors { taughtCourses { nodes { code } totalCount } \
                        enrollments { nodes { course { code } student { id } } totalCount } } } }";
    let all = ALL;
    let of_ours = ["sam@ADA-1", "tim@ADA-1", "zoe@ADA-1"];
    for (token, listed, in_course, of_ada) in [
        (NOBODY, &[][..], &[][..], &[][..]),
        (SAM, &["sam@ADA-1", "sam@BOB-1"], &["sam@ADA-1"], &[]),
        (ADA, &["sam@ADA-1", "tim@ADA-1", "zoe@ADA-1", "ada@BOB-1"], &of_ours, &["ada@BOB-1"]),
        (BOB, &["sam@BOB-1", "tim@BOB-1", "ada@BOB-1"], &[], &["ada@BOB-1"]),
        (ROOT, &all, &of_ours, &["ada@BOB-1"]),
    ] {
        let data = app.query(token, query, json!({ "course": ours })).await;
        assert_eq!(named(&data["list"]), listed, "{token}");
        assert_eq!(named(&data["course"]["enrollments"]), in_course, "{token}");
        let ada = &data["course"]["instructors"][0];
        assert_eq!(named(&ada["enrollments"]), of_ada, "{token}");
        assert_eq!(
            ada["taughtCourses"],
            json!({ "nodes": [{ "code": "ADA-1" }], "totalCount": 1 })
        );
    }
    for (token, filter, expected) in [
        (ROOT, json!({ "studentId": " sam " }), &["sam@ADA-1", "sam@BOB-1"][..]),
        (ROOT, json!({ "status": ["WAITLISTED"] }), &["zoe@ADA-1"]),
        (ROOT, json!({ "status": [] }), &[]),
        (ROOT, json!({ "studentId": "\0" }), &[]),
        (ROOT, json!({ "courseId": "no such" }), &[]),
        (ADA, json!({ "courseId": theirs }), &["ada@BOB-1"]),
        (ADA, json!({ "courseId": ours, "status": ["ACTIVE"] }), &["sam@ADA-1", "tim@ADA-1"]),
        (BOB, json!({ "courseId": ours }), &[]),
        (SAM, json!({ "studentId": "tim" }), &[]),
        (
            ROOT,
            json!({ "enrolledSince": "2000-01-01T00:00:00Z", "courseId": ours }),
            &["sam@ADA-1", "tim@ADA-1"],
        ),
        (ROOT, json!({ "enrolledSince": "2900-01-01T00:00:00Z" }), &[]),
    ] {
        let data = app.query(token, query, json!({ "course": ours, "filter": filter })).await;
        assert_eq!(named(&data["list"]), expected, "{token} {filter}");
    }
}

#[tokio::test]
async fn enrollments_come_in_pages_either_way() {
    let app = support::app().await;
    enrollments(&app).await;
    let paged = "query($first: Int, $after: String, $last: Int, $before: String) { \
                 enrollments(first: $first, after: $after, last: $last, before: $before) \
                 { nodes { course { code } student { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    for (token, expected) in
        [(ROOT, &ALL[..]), (ADA, &["sam@ADA-1", "tim@ADA-1", "zoe@ADA-1", "ada@BOB-1"])]
    {
        for backwards in [false, true] {
            let (mut walked, mut cursor) = (Vec::new(), Value::Null);
            loop {
                let arguments = if backwards {
                    json!({ "last": 2, "before": cursor })
                } else {
                    json!({ "first": 2, "after": cursor })
                };
                let mut data = app.query(token, paged, arguments).await;
                let page = data["enrollments"].take();
                let mut found = names(&page["nodes"]);
                if backwards {
                    found.reverse();
                }
                walked.extend(found);
                let (more, end) = if backwards {
                    ("hasPreviousPage", "startCursor")
                } else {
                    ("hasNextPage", "endCursor")
                };
                cursor = page["pageInfo"][end].clone();
                if page["pageInfo"][more] == false {
                    break;
                }
            }
            if backwards {
                walked.reverse();
            }
            assert_eq!(walked, expected, "{token} {backwards}");
        }
    }
}

//! How much a read asks of the database: the number of statements, which must not grow with what is read, and the
//! number of rows, which must not grow with the number of the page.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, OnceLock, PoisonError};

use course_service::domain::UserId;
use course_service::projections::courses::{CourseFilter, CourseList, CourseSort, Sight};
use course_service::projections::page::Page;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::api::{ADA, NOBODY, SAM};
use crate::instance::Instance;
use crate::reported::{Work, attached, grade};
use crate::support::{self, TestApp};

/// Counts the statements that sqlx logs inside of the span of a request.
struct Counter;

struct Correlation(String);

static COUNTS: OnceLock<Mutex<HashMap<String, Vec<String>>>> = OnceLock::new();

fn counts() -> &'static Mutex<HashMap<String, Vec<String>>> {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let wanted = tracing_subscriber::filter::filter_fn(|meta| {
            meta.target() == "sqlx::query" || (meta.is_span() && meta.name() == "request")
        });
        let layers = tracing_subscriber::registry().with(Counter.with_filter(wanted));
        tracing::subscriber::set_global_default(layers).unwrap();
    });
    COUNTS.get_or_init(Mutex::default)
}

#[derive(Default)]
struct Fields(HashMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Counter {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let (Some(span), Some(id)) = (ctx.span(id), fields.0.remove("correlation_id")) {
            span.extensions_mut().insert(Correlation(id));
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let Some(scope) = ctx.event_scope(event) else { return };
        let of = scope.filter_map(|s| s.extensions().get::<Correlation>().map(|c| c.0.clone()));
        if let Some(id) = of.last() {
            let mut fields = Fields::default();
            event.record(&mut fields);
            let statement = fields.0.remove("summary").unwrap_or_default();
            let mut counts = counts().lock().unwrap_or_else(PoisonError::into_inner);
            counts.entry(id).or_default().push(statement);
        }
    }
}

/// Runs a query and answers its data and the statements that it took.
pub(crate) async fn counted(
    app: &TestApp,
    token: &str,
    query: &str,
    variables: Value,
) -> (Value, Vec<String>) {
    let id = uuid::Uuid::now_v7().to_string();
    counts();
    let mut request = app.client().post(app.url("/graphql")).header("x-correlation-id", &id);
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    let body = json!({ "query": query, "variables": variables });
    let answer: Value = request.json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer.get("errors"), None, "{answer}");
    let statements = counts().lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    (answer["data"].clone(), statements.unwrap_or_default())
}

/// A video and an assessment in a module, and what sam made of the latter.
async fn reports(app: &TestApp, services: &Instance, course: &str, module: &str) {
    for (kind, field) in [("VIDEO", "videoId"), ("ASSESSMENT", "assessmentId")] {
        let mut input =
            json!({ "courseId": course, "moduleId": module, "kind": kind, "title": kind });
        input[field] = json!("quiz");
        app.done(ADA, "addModuleItem", input, "moduleItem { id }").await;
    }
    services.report(course, vec![attached("quiz", 1.0)]).await;
    let graded = Work::of("sam", course).graded("quiz", grade(15.0));
    services.work("sam", course, vec![graded]).await;
}

async fn world(app: &TestApp) -> (Vec<String>, Vec<String>) {
    let services = Instance::on(&app.database_url).await;
    for id in ["ada", "sam"] {
        let registered = services.named(id, id).await;
        services.user(id, vec![registered]).await;
    }
    let (mut courses, mut others) = (Vec::new(), Vec::new());
    for number in 0..50 {
        let course = app.published_course(&format!("C{number}"), Some(5)).await;
        for title in ["a", "b"] {
            let module = app.module(&course, title).await;
            others.push(app.item(&course, &module, true).await);
            others.push(module);
        }
        let enrollment = app.enroll(SAM, &course).await;
        others.push(enrollment["id"].as_str().unwrap().to_owned());
        reports(app, &services, &course, &others[others.len() - 2]).await;
        courses.push(course);
    }
    app.settled().await;
    (courses, others)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_takes_as_many_statements_for_fifty_courses_as_for_five() {
    let app = support::app().await;
    counts();
    let (courses, others) = world(&app).await;
    let catalogue = "query($n: Int) { courses(first: $n) { nodes { id title seats { taken available } instructors { id displayName } \
        modules { nodes { title items { title video { state } assessment { title } } } } \
        viewerEnrollment { status finalScore progress { percent } } \
        viewerCan { enroll } } } }";
    let lists = "query($n: Int) { courses(first: $n) { nodes { \
        enrollments(first: 3) { totalCount nodes { waitlistPosition student { id } course { title } } } \
        modules { totalCount nodes { course { title } items { module { title } course { title } } } } \
        instructors { taughtCourses(first: 2) { totalCount nodes { title } } } } } }";
    let mine = "query($n: Int) { enrollments(first: $n) { nodes { course { title seats { taken } \
        modules { nodes { title } } } progress { percent } } } }";
    let results = "query($n: Int) { enrollments(first: $n) { nodes { student { displayName email active } finalScore \
        assessments { percent assessment { title } } course { title assessments { title } instructors { displayName } } } } }";
    for (what, query, token, most) in [
        ("catalogue", catalogue, SAM, 8),
        ("catalogue", catalogue, ADA, 8),
        ("catalogue", catalogue, NOBODY, 8),
        ("lists", lists, ADA, 14),
        ("lists", lists, SAM, 14),
        ("own enrollments", mine, SAM, 5),
        ("enrollments", mine, ADA, 6),
        ("results", results, SAM, 6),
        ("results", results, ADA, 7),
    ] {
        let (data, few) = counted(&app, token, query, json!({ "n": 5 })).await;
        assert!(!few.is_empty(), "{what}: they are counted");
        assert!(few.len() <= most, "{what} {token:?}: {few:#?}");
        let data = data.to_string();
        assert!(data.matches("title").count() >= 5, "{data}");
        let reported = ["\"displayName\":\"ada\"", "\"title\":\"The quiz\"", "\"finalScore\":75"];
        let expected = match what {
            "catalogue" if token == SAM => &reported[..],
            "catalogue" => &reported[..2],
            "results" => &reported[1..],
            _ => &[],
        };
        assert!(expected.iter().all(|part| data.contains(part)), "{what} {token:?}: {data}");
        for _ in 0..5 {
            let (_, many) = counted(&app, token, query, json!({ "n": 50 })).await;
            assert_eq!(few.len(), many.len(), "{what} {token:?}: {few:#?} {many:#?}");
        }
    }
    let one = "query($id: ID!) { course(id: $id) { title seats { taken } modules { nodes { title items { title } } } } }";
    let (_, statements) = counted(&app, NOBODY, one, json!({ "id": courses[0] })).await;
    assert_eq!(statements.len(), 3, "{statements:#?}");
    let nodes = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    for token in [NOBODY, SAM, ADA] {
        let ids: Vec<&String> = courses.iter().chain(&others).collect();
        let (_, few) = counted(&app, token, nodes, json!({ "ids": others[..5] })).await;
        let (_, many) = counted(&app, token, nodes, json!({ "ids": ids[..100] })).await;
        assert!(few.len() <= 8 && many.len() <= 8, "{few:#?} {many:#?}");
    }
    let total = |field: &str| format!("{{ courses(first: 5) {{ nodes {{ id }} {field} }} }}");
    let (_, without) = counted(&app, NOBODY, &total(""), json!({})).await;
    let (data, with) = counted(&app, NOBODY, &total("totalCount"), json!({})).await;
    assert_eq!((without.len(), with.len(), &data["courses"]["totalCount"]), (1, 2, &json!(50)));
}

/// How many rows of courses were read since the last time, by index or without.
async fn rows_read(pool: &PgPool) -> (i64, i64) {
    sqlx::query("SELECT pg_stat_force_next_flush()").execute(pool).await.unwrap();
    sqlx::query_as(
        "SELECT coalesce(sum(idx_tup_fetch), 0)::bigint, coalesce(sum(seq_tup_read), 0)::bigint \
         FROM pg_stat_user_tables WHERE relname = 'courses_v2_g1'",
    )
    .fetch_one(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_late_page_reads_as_few_rows_as_the_first_in_every_order_and_for_every_reader() {
    let url = support::database_url().await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    sqlx::query(
        "INSERT INTO courses_v2_g1 SELECT 'c' || lpad(n::text, 6, '0'), 'CODE-' || md5(n::text), 'Title ' || md5(n::text), \
         NULL, CASE WHEN n % 10 = 0 THEN 'DRAFT' WHEN n % 10 = 1 THEN 'ARCHIVED' ELSE 'PUBLISHED' END, 1, \
         ARRAY['i' || n % 200], 10, CASE WHEN n % 3 = 0 THEN NULL ELSE now() + n % 500 * interval '1 hour' END, \
         NULL, NULL, NULL, '{}', NULL, n % 7, 0, now() + n * interval '1 second', now() - n * interval '1 second' \
         FROM generate_series(1, 20000) n",
    )
    .execute(&pool)
    .await
    .unwrap();
    sqlx::query("VACUUM ANALYZE courses_v2_g1").execute(&pool).await.unwrap();
    let teacher = Sight::Teacher(UserId::parse("i0", "id").unwrap());
    for sight in [Sight::Public, teacher, Sight::Everything] {
        for sort in [
            CourseSort::CreatedAt,
            CourseSort::UpdatedAt,
            CourseSort::Title,
            CourseSort::Code,
            CourseSort::StartsAt,
            CourseSort::EnrolledCount,
        ] {
            for descending in [false, true] {
                let filter = CourseFilter::default();
                let order = vec![(sort, descending)];
                let list = CourseList { sight: sight.clone(), filter, text: None, order };
                let deep = Page { limit: 3_000, backwards: false, from: None };
                let deep = list.page(&pool, &deep).await.unwrap();
                let from = Some(list.place(deep.last().unwrap()));
                for (from, backwards) in [(None, false), (from.clone(), false), (from, true)] {
                    let page = Page { limit: 21, backwards, from };
                    let before = rows_read(&pool).await;
                    assert_eq!(list.page(&pool, &page).await.unwrap().len(), 21);
                    let after = rows_read(&pool).await;
                    let what = format!("{sight:?} {sort:?} {descending} {page:?}");
                    assert_eq!(after.1, before.1, "no row is read without an index: {what}");
                    // Of each status a page, and what one teacher has.
                    assert!(after.0 - before.0 <= 3 * 21 + 200, "{}: {what}", after.0 - before.0);
                }
            }
        }
    }
    assert!(rows_read(&pool).await.0 > 10_000, "they are counted");
}

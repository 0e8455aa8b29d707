//! Reads through HTTP and GraphQL beside a handler that somebody wrote by hand for just this JSON: axum and sqlx, as
//! few statements, the same pool, the same client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use course_service::app::database;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use sqlx::{FromRow, PgPool};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::api::Api;
use crate::figures::{Rate, Rates, Table, for_a_while};
use crate::server::Server;

const CLIENTS: usize = 64;
const COURSES: usize = 1_000;
const MODULES: usize = 5;
const CONNECTIONS: u32 = 16;
const ROUNDS: usize = 5;
const WARM_UP: Duration = Duration::from_millis(500);
const TIME: Duration = Duration::from_secs(2);

const COURSE: &str = "query($id: ID!) { course(id: $id) { id code title description status version tags \
     modules(first: 20) { nodes { id title position state } } } }";
const PAGE: &str = "query($first: Int!) { courses(first: $first) { nodes { id code title status \
     seats { capacity taken available waitlisted } } pageInfo { hasNextPage } } }";

pub(crate) async fn run(server: &Server, table: &mut Table) -> anyhow::Result<()> {
    let url = server.migrated("reads").await?;
    let api = Api::start(&url, CONNECTIONS).await?;
    let ids = Arc::new(api.fill(COURSES, MODULES).await?);
    let by_hand = by_hand(database::pool(&url, CONNECTIONS)?).await?;
    let clients = Arc::new(Clients::new()?);

    let course = |n: usize| json!({ "query": COURSE, "variables": { "id": ids[n % ids.len()] } });
    let page = json!({ "query": PAGE, "variables": { "first": 20 } });
    let ours: Value = api.ask(&course(7)).await?;
    let theirs: Value =
        clients.get(0, &format!("{by_hand}/courses/{}", ids[7])).await?.json().await?;
    ensure!(ours["data"]["course"] == theirs["course"], "not the same course: {ours} {theirs}");
    let ours: Value = api.ask(&page).await?;
    let theirs: Value = clients.get(0, &format!("{by_hand}/courses")).await?.json().await?;
    ensure!(ours["data"]["courses"] == theirs["courses"], "not the same page: {ours} {theirs}");

    let graphql = api.url.clone();
    let requests: [(&str, Ask, Ask); 2] = [
        (
            "a course by id with 5 modules",
            {
                let (clients, ids, url) = (clients.clone(), ids.clone(), graphql.clone());
                Arc::new(move |worker, turn| {
                    let (clients, url) = (clients.clone(), url.clone());
                    let id = ids[(worker * 31 + turn * 7) % ids.len()].clone();
                    Box::pin(async move {
                        let body = json!({ "query": COURSE, "variables": { "id": id } });
                        clients.post(worker, &url, &body).await
                    })
                })
            },
            {
                let (clients, ids, url) = (clients.clone(), ids.clone(), by_hand.clone());
                Arc::new(move |worker, turn| {
                    let (clients, id) =
                        (clients.clone(), &ids[(worker * 31 + turn * 7) % ids.len()]);
                    let url = format!("{url}/courses/{id}");
                    Box::pin(async move { clients.timed(worker, &url).await })
                })
            },
        ),
        (
            "a page of 20 courses with seats",
            {
                let (clients, url) = (clients.clone(), graphql);
                Arc::new(move |worker, _| {
                    let (clients, url, page) = (clients.clone(), url.clone(), page.clone());
                    Box::pin(async move { clients.post(worker, &url, &page).await })
                })
            },
            {
                let (clients, url) = (clients.clone(), format!("{by_hand}/courses"));
                Arc::new(move |worker, _| {
                    let (clients, url) = (clients.clone(), url.clone());
                    Box::pin(async move { clients.timed(worker, &url).await })
                })
            },
        ),
    ];
    for (what, ours, theirs) in requests {
        let (mut a, mut b) = (Rates::default(), Rates::default());
        let (mut times, mut floor_times) = (Vec::new(), Vec::new());
        measure(&ours, WARM_UP, &mut Vec::new()).await?;
        measure(&theirs, WARM_UP, &mut Vec::new()).await?;
        for round in 1..=ROUNDS {
            a.push(measure(&ours, TIME, &mut times).await?);
            b.push(measure(&theirs, TIME, &mut floor_times).await?);
            eprintln!("  round {round}: {:.0}/s, {:.0}/s", a.last(), b.last());
        }
        let what = format!(
            "{what}, {CLIENTS} connections (p99 {:.1} ms; by hand {:.1} ms)",
            p99(&mut times),
            p99(&mut floor_times)
        );
        table.rate(&what, &a, ("axum and sqlx by hand", &b), 0.8);
    }
    api.stop().await?;
    server.drop("reads").await
}

type Ask = Arc<dyn Fn(usize, usize) -> BoxFuture<'static, anyhow::Result<Duration>> + Send + Sync>;

async fn measure(ask: &Ask, time: Duration, late: &mut Vec<f64>) -> anyhow::Result<Rate> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let step = {
        let (ask, times) = (ask.clone(), times.clone());
        move |worker, turn| {
            let (sent, times) = (ask(worker, turn), times.clone());
            async move {
                let took = sent.await?;
                times.lock().await.push(took.as_secs_f64() * 1_000.0);
                Ok(())
            }
        }
    };
    let rate = for_a_while(CLIENTS, time, step).await?;
    late.append(&mut *times.lock().await);
    Ok(rate)
}

fn p99(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}

/// One client a worker, each with one connection.
struct Clients(Vec<reqwest::Client>);

impl Clients {
    fn new() -> anyhow::Result<Self> {
        let client = || reqwest::Client::builder().no_proxy().pool_max_idle_per_host(1).build();
        Ok(Self((0..CLIENTS).map(|_| client()).collect::<Result<_, _>>()?))
    }

    async fn get(&self, worker: usize, url: &str) -> anyhow::Result<reqwest::Response> {
        Ok(self.0[worker].get(url).send().await?.error_for_status()?)
    }

    async fn timed(&self, worker: usize, url: &str) -> anyhow::Result<Duration> {
        let clock = Instant::now();
        self.get(worker, url).await?.bytes().await?;
        Ok(clock.elapsed())
    }

    async fn post(&self, worker: usize, url: &str, body: &Value) -> anyhow::Result<Duration> {
        let clock = Instant::now();
        let answer = self.0[worker].post(url).json(body).send().await?.error_for_status()?;
        let answer = answer.bytes().await?;
        ensure!(!answer.starts_with(b"{\"errors\""), "{}", String::from_utf8_lossy(&answer));
        Ok(clock.elapsed())
    }
}

#[derive(FromRow)]
struct CourseRow {
    course_id: String,
    code: String,
    title: String,
    description: Option<String>,
    status: String,
    version: i64,
    tags: Vec<String>,
}

#[derive(FromRow)]
struct ModuleRow {
    module_id: String,
    title: String,
    position: i32,
    state: String,
}

#[derive(FromRow)]
struct ListedRow {
    course_id: String,
    code: String,
    title: String,
    status: String,
    capacity: Option<i32>,
    taken: i32,
    waitlisted: i32,
}

/// The handler by hand; answers where it listens.
async fn by_hand(pool: PgPool) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new()
        .route("/courses", get(courses))
        .route("/courses/{id}", get(course))
        .with_state(pool);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

async fn course(
    State(pool): State<PgPool>,
    Path(id): Path<String>,
) -> Result<Json<Value>, StatusCode> {
    let read = async {
        let course: CourseRow = sqlx::query_as(
            "SELECT course_id, code, title, description, status, version, tags FROM courses_v2 \
             WHERE course_id = $1 AND status = 'PUBLISHED'",
        )
        .bind(&id)
        .fetch_one(&pool)
        .await?;
        let modules: Vec<ModuleRow> = sqlx::query_as(
            "SELECT module_id, title, position, state FROM modules_v2 \
             WHERE course_id = $1 AND state = 'PUBLISHED' ORDER BY position LIMIT 20",
        )
        .bind(&id)
        .fetch_all(&pool)
        .await?;
        anyhow::Ok((course, modules))
    };
    let (course, modules) = read.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let modules: Vec<Value> = modules
        .into_iter()
        .map(|m| json!({ "id": m.module_id, "title": m.title, "position": m.position, "state": m.state }))
        .collect();
    Ok(Json(json!({ "course": {
        "id": course.course_id, "code": course.code, "title": course.title,
        "description": course.description, "status": course.status, "version": course.version,
        "tags": course.tags, "modules": { "nodes": modules },
    } })))
}

async fn courses(State(pool): State<PgPool>) -> Result<Json<Value>, StatusCode> {
    let rows: Result<Vec<ListedRow>, _> = sqlx::query_as(
        "SELECT course_id, code, title, status, capacity, taken, waitlisted FROM courses_v2 \
         WHERE status = 'PUBLISHED' ORDER BY created_at, course_id LIMIT 21",
    )
    .fetch_all(&pool)
    .await;
    let rows = rows.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let more = rows.len() > 20;
    let nodes: Vec<Value> = rows
        .into_iter()
        .take(20)
        .map(|row| {
            let available = row.capacity.map(|capacity| (capacity - row.taken).max(0));
            json!({
                "id": row.course_id, "code": row.code, "title": row.title, "status": row.status,
                "seats": {
                    "capacity": row.capacity, "taken": row.taken,
                    "available": available, "waitlisted": row.waitlisted,
                },
            })
        })
        .collect();
    Ok(Json(json!({ "courses": { "nodes": nodes, "pageInfo": { "hasNextPage": more } } })))
}

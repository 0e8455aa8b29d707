//! Page 1,000 of a list beside its first page, through HTTP and GraphQL, on 100,000 courses.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::api::Api;
use crate::figures::{Table, median};
use crate::server::Server;

const COURSES: usize = 100_000;
const SIZE: usize = 20;
const DEEP: usize = 1_000;
const ROUNDS: usize = 200;

const QUERY: &str = "query($first: Int!, $after: String, $by: [CourseOrder!]) { \
     courses(first: $first, after: $after, orderBy: $by) { nodes { id title } pageInfo { hasNextPage endCursor } } }";

pub(crate) async fn run(server: &Server, table: &mut Table) -> anyhow::Result<()> {
    let url = server.migrated("pages").await?;
    let api = Api::start(&url, 4).await?;
    api.fill(COURSES, 0).await?;
    for (field, direction) in [("CREATED_AT", "ASC"), ("TITLE", "ASC"), ("ENROLLED_COUNT", "DESC")]
    {
        let by = json!([{ "field": field, "direction": direction }]);
        let mut after = Value::Null;
        // The cursor in front of page 1,000, in strides of five pages.
        for _ in 0..(DEEP - 1) * SIZE / 100 {
            after = page(&api, 100, &after, &by).await?;
        }
        let rest = (DEEP - 1) * SIZE % 100;
        if rest > 0 {
            after = page(&api, rest, &after, &by).await?;
        }
        let (mut first, mut deep) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            first.push(timed(&api, &Value::Null, &by).await?);
            deep.push(timed(&api, &after, &by).await?);
        }
        let ratios: Vec<f64> = deep.iter().zip(&first).map(|(deep, first)| deep / first).collect();
        let note = format!("{:.2} ms beside {:.2} ms", median(&deep), median(&first));
        let what = format!("page {DEEP} beside page 1 of {COURSES} courses by {field} {direction}");
        table.limit(&what, median(&ratios), &note, 1.2, "×");
    }
    api.stop().await?;
    server.drop("pages").await
}

async fn page(api: &Api, size: usize, after: &Value, by: &Value) -> anyhow::Result<Value> {
    let variables = json!({ "first": size, "after": after, "by": by });
    let mut answer = api.ask(&json!({ "query": QUERY, "variables": variables })).await?;
    let courses = &mut answer["data"]["courses"];
    let nodes = courses["nodes"].as_array().context("no page")?;
    ensure!(nodes.len() == size, "a short page: {}", nodes.len());
    Ok(courses["pageInfo"]["endCursor"].take())
}

async fn timed(api: &Api, after: &Value, by: &Value) -> anyhow::Result<f64> {
    let clock = Instant::now();
    page(api, SIZE, after, by).await?;
    Ok(clock.elapsed().as_secs_f64() * 1_000.0)
}

//! The service with its API and its read models, in this process, and a client.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use course_service::app::config::Config;
use course_service::app::service::{self, Options, Roles, Running};
use course_service::app::stand_in::{self, StandIn};
use course_service::event_store::Position;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::sleep;

use crate::ours::Ours;
use crate::server::pool;

const PATIENCE: Duration = Duration::from_mins(3);
/// Courses that are created at a time.
const AT_A_TIME: usize = 256;

pub(crate) struct Api {
    /// Where GraphQL is.
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    database: String,
    pool: PgPool,
    running: Running,
    users: StandIn,
}

impl Api {
    pub(crate) async fn start(database: &str, connections: u32) -> anyhow::Result<Self> {
        let users = stand_in::start().await?;
        let config = Config::from_pairs([
            ("DATABASE_URL", database),
            ("DATABASE_MAX_CONNECTIONS", &connections.to_string()),
            ("USER_MANAGEMENT_SERVICE_URL", &users.url()),
            ("BIND_ADDR", "127.0.0.1:0"),
        ])?;
        let roles = Roles::WITHOUT_KAFKA;
        let running = service::start(&config, Options { roles, migrate: true }).await?;
        Ok(Self {
            url: format!("http://{}/graphql", running.address),
            client: reqwest::Client::builder().no_proxy().build()?,
            database: database.to_owned(),
            pool: pool(database, 2).await?,
            running,
            users,
        })
    }

    /// Creates published courses with modules, and waits until the read models show them. Answers their ids.
    pub(crate) async fn fill(&self, courses: usize, modules: usize) -> anyhow::Result<Vec<String>> {
        let ours = Ours::open(&self.database)?;
        let ids: Vec<String> = stream::iter(0..courses)
            .map(|_| async {
                let id = ours.create(Some(100), true).await?;
                for number in 0..modules {
                    ours.add_module(&id, &format!("Module {number}")).await?;
                }
                anyhow::Ok(id.to_string())
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;
        self.caught_up().await?;
        sqlx::query("VACUUM ANALYZE").execute(&self.pool).await?;
        Ok(ids)
    }

    /// Where its data is.
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// Waits until the read models show all of the log.
    pub(crate) async fn caught_up(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let behind = "SELECT count(*) FROM projections p CROSS JOIN log_head h WHERE p.position < h.position";
        while sqlx::query_scalar::<_, i64>(behind).fetch_one(&self.pool).await? > 0 {
            if Instant::now() > deadline {
                bail!("the read models do not catch up");
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Asks as nobody; an error ends the benchmark.
    pub(crate) async fn ask(&self, body: &Value) -> anyhow::Result<Value> {
        let answer: Value = self.client.post(&self.url).json(body).send().await?.json().await?;
        if answer.get("errors").is_some() {
            bail!("{answer}");
        }
        Ok(answer)
    }

    /// Creates a course as an instructor. Answers where the log ends with it.
    pub(crate) async fn create(&self, code: &str) -> anyhow::Result<Position> {
        let query = "mutation($input: CreateCourseInput!) { createCourse(input: $input) { \
             course { id version } position userErrors { code } } }";
        let input = json!({
            "code": code,
            "title": "Event sourcing, from the first event to the last",
            "description": "What happened, in the order in which it happened.",
            "tags": ["rust", "postgres"],
        });
        let body = json!({ "query": query, "variables": { "input": input } });
        let request = self.client.post(&self.url).bearer_auth("instructor:ada").json(&body);
        let answer: Value = request.send().await?.json().await?;
        let position = &answer["data"]["createCourse"]["position"];
        Ok(position.as_str().with_context(|| format!("{answer}"))?.parse()?)
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.running.stop().await?;
        self.pool.close().await;
        self.users.shutdown().await;
        Ok(())
    }
}

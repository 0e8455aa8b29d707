//! What the tests stand on: a Postgres and a Kafka for the whole run, a database and topics for each test.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use course_service::app::config::Config;
use course_service::app::embedded::{
    DataDir, Kafka, KafkaOptions, Needs, Parts, Postgres, PostgresOptions,
};
use course_service::app::service::{self, Options, Roles, Running};
use course_service::app::stand_in::{self, StandIn};
use course_service::event_store::migrate;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tokio::time::{Instant, sleep};

const TEMPLATE: &str = "template";

/// Runs `start` on a thread that lives as long as the process, because the parts end with the thread that began them.
fn keep<T: Send + 'static, F>(start: impl FnOnce() -> F + Send + 'static) -> T
where
    F: Future<Output = T>,
{
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            send.send(start().await).unwrap();
            pending::<()>().await;
        });
    });
    receive.recv().expect("the parts of the tests did not start")
}

/// The URL of a database server, without a database name.
fn server() -> &'static str {
    static SERVER: OnceLock<String> = OnceLock::new();
    SERVER.get_or_init(|| {
        let url = std::env::var("DATABASE_URL").ok();
        keep(async move || {
            let base = if let Some(url) = url {
                url.rsplit_once('/').expect("DATABASE_URL names a database").0.to_owned()
            } else {
                let needs = Needs { postgres: true, kafka: false };
                let parts = Parts::fetch(needs, &|step| eprintln!("{step}")).await.unwrap();
                let data: &DataDir = Box::leak(Box::new(DataDir::ephemeral().unwrap()));
                let options = PostgresOptions { fsync: false, ..PostgresOptions::default() };
                let part = Postgres::start(&parts, data.path(), options).await.unwrap();
                let url = part.url("");
                Box::leak(Box::new(part));
                url.trim_end_matches('/').to_owned()
            };
            prepare_template(&base).await;
            base
        })
    })
}

async fn prepare_template(server: &str) {
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    let template = name_of(TEMPLATE);
    let old: Vec<String> = sqlx::query_scalar(
        "SELECT datname FROM pg_database d WHERE datname LIKE 'course_service_test_%' \
         AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = d.datname)",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for name in old {
        let _ = connection.execute(&*format!("DROP DATABASE IF EXISTS \"{name}\"")).await;
    }
    connection.execute(&*format!("CREATE DATABASE \"{template}\"")).await.unwrap();
    let pool = PgPool::connect(&format!("{server}/{template}")).await.unwrap();
    migrate::run(&pool).await.unwrap();
    pool.close().await;
}

fn name_of(what: &str) -> String {
    format!("course_service_test_{}_{what}", std::process::id())
}

/// The URL of an empty, migrated database of the test's own.
pub(crate) async fn database_url() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let server = tokio::task::spawn_blocking(server).await.unwrap();
    let name = name_of(&NUMBER.fetch_add(1, Ordering::Relaxed).to_string());
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    let create = format!("CREATE DATABASE \"{name}\" TEMPLATE \"{}\"", name_of(TEMPLATE));
    // Creating from a template is exclusive; another test may be at it.
    let deadline = Instant::now() + Duration::from_secs(90);
    while let Err(error) = connection.execute(&*create).await {
        assert!(Instant::now() < deadline, "no database: {error}");
        sleep(Duration::from_millis(20)).await;
    }
    format!("{server}/{name}")
}

/// An empty, migrated database of the test's own.
pub(crate) async fn database() -> PgPool {
    pool(&database_url().await).await
}

/// A pool for this database.
pub(crate) async fn pool(url: &str) -> PgPool {
    let options: PgConnectOptions = url.parse().unwrap();
    PgPoolOptions::new().max_connections(8).connect_with(options).await.unwrap()
}

/// The addresses of a Kafka that all tests share: use a topic prefix of your own.
pub(crate) async fn brokers() -> String {
    static BROKERS: OnceLock<String> = OnceLock::new();
    let start = || {
        BROKERS.get_or_init(|| {
            if let Ok(brokers) = std::env::var("KAFKA_BROKER") {
                return brokers;
            }
            keep(async || {
                let needs = Needs { postgres: false, kafka: true };
                let parts = Parts::fetch(needs, &|step| eprintln!("{step}")).await.unwrap();
                let data: &DataDir = Box::leak(Box::new(DataDir::ephemeral().unwrap()));
                let part =
                    Kafka::start(&parts, data.path(), KafkaOptions::default()).await.unwrap();
                let brokers = part.brokers();
                Box::leak(Box::new(part));
                brokers
            })
        })
    };
    tokio::task::spawn_blocking(start).await.unwrap().clone()
}

/// A topic prefix that nobody else uses.
pub(crate) fn prefix() -> String {
    format!("t{}-", uuid::Uuid::now_v7().simple())
}

/// A service in this process, on a database of its own.
pub(crate) struct TestApp {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its database.
    pub(crate) pool: PgPool,
    /// The URL of its database.
    pub(crate) database_url: String,
    running: Option<Running>,
    client: reqwest::Client,
    _stand_in: Option<StandIn>,
}

/// Starts the API and the read models; no Kafka.
pub(crate) async fn app() -> TestApp {
    start(&[], Roles::WITHOUT_KAFKA).await
}

/// Starts the roles with settings that win over the tests' own, and waits until they are ready.
pub(crate) async fn start(settings: &[(&str, &str)], roles: Roles) -> TestApp {
    let app = started(settings, roles).await;
    eventually("the service is ready", async || {
        let ready = app.client.get(app.url("/readyz")).send().await;
        ready.is_ok_and(|ready| ready.status().is_success())
    })
    .await;
    app
}

/// Starts the roles with settings that win over the tests' own.
pub(crate) async fn started(settings: &[(&str, &str)], roles: Roles) -> TestApp {
    let given =
        |name| settings.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
    let database_url = match given("DATABASE_URL") {
        Some(url) => url,
        None => database_url().await,
    };
    let (stand_in, users) = if let Some(url) = given("USER_MANAGEMENT_SERVICE_URL") {
        (None, url)
    } else {
        let stand_in = stand_in::start().await.unwrap();
        let url = stand_in.url();
        (Some(stand_in), url)
    };
    let mut pairs = vec![
        ("DATABASE_URL", database_url.as_str()),
        ("DATABASE_MAX_CONNECTIONS", "8"),
        ("USER_MANAGEMENT_SERVICE_URL", &users),
        ("BIND_ADDR", "127.0.0.1:0"),
        ("KAFKA_TOPIC_PARTITIONS", "3"),
    ];
    pairs.extend(settings);
    let config = Config::from_pairs(pairs).unwrap();
    let running = service::start(&config, Options { roles, migrate: true }).await.unwrap();
    TestApp {
        address: running.address,
        pool: pool(&database_url).await,
        database_url,
        running: Some(running),
        client: reqwest::Client::builder().no_proxy().build().unwrap(),
        _stand_in: stand_in,
    }
}

impl TestApp {
    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The HTTP client.
    pub(crate) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Runs a GraphQL document as the holder of `token` (empty: nobody) and answers the whole response.
    pub(crate) async fn graphql(&self, token: &str, query: &str, variables: Value) -> Value {
        let mut request = self.client.post(self.url("/graphql"));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let body = json!({ "query": query, "variables": variables });
        request.json(&body).send().await.unwrap().json().await.unwrap()
    }

    /// Runs one mutation with its input and answers its payload. `selection` is what of the payload to read.
    pub(crate) async fn mutate(
        &self,
        token: &str,
        name: &str,
        input: Value,
        selection: &str,
    ) -> Value {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {kind}!) {{ {name}(input: $input) {{ {selection} position \
             userErrors {{ code field message retryable }} }} }}"
        );
        let answer = self.graphql(token, &query, json!({ "input": input })).await;
        assert_eq!(answer.get("errors"), None, "{name}: {answer}");
        answer["data"][name].clone()
    }

    /// A published course of `instructor:ada`; its id.
    pub(crate) async fn published_course(&self, code: &str, capacity: Option<i64>) -> String {
        let input = json!({ "code": code, "title": code, "capacity": capacity, "publish": true });
        let payload = self.mutate("instructor:ada", "createCourse", input, "course { id }").await;
        payload["course"]["id"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned()
    }

    /// How many events the log holds.
    pub(crate) async fn log_length(&self) -> i64 {
        sqlx::query_scalar("SELECT position FROM log_head").fetch_one(&self.pool).await.unwrap()
    }

    /// Stops it as SIGTERM would.
    pub(crate) async fn stop(mut self) {
        self.running.take().unwrap().stop().await.unwrap();
    }
}

/// Polls until `condition` holds; fails after 90 s: a deadline for machines that do much else, not an expectation.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 90 s: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

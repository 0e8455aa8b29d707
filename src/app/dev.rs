//! `dev`: the whole stack with nothing installed by hand.
//!
//! Postgres and Kafka are real ones of its own, unless `DATABASE_URL` or `KAFKA_BROKER` name others; the user management
//! service is a stand-in unless `USER_MANAGEMENT_SERVICE_URL` names one. What runs is the same code as `serve`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::config::Config;
use super::embedded::{
    DataDir, Kafka, KafkaOptions, Needs, Parts, Postgres, PostgresOptions, default_data_dir,
};
use super::service::{self, Options, Roles, Running};
use super::stand_in::{self, StandIn};

const DATABASE: &str = "course_service";
/// How long requests under way may delay the end.
const SERVICE_PATIENCE: Duration = Duration::from_secs(3);

/// What `dev` was asked.
#[derive(Debug, Clone, Default)]
pub struct DevOptions {
    /// Where to keep the data.
    pub data_dir: Option<PathBuf>,
    /// Throw the data away at the end.
    pub ephemeral: bool,
}

/// The parts that we started; in the order in which they must stop.
#[derive(Default)]
struct Started {
    service: Option<Running>,
    stand_in: Option<StandIn>,
    kafka: Option<Kafka>,
    postgres: Option<Postgres>,
    data: Option<DataDir>,
}

/// Runs the stack until `signal`.
pub async fn run(
    config: Config,
    options: DevOptions,
    signal: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut started = Started::default();
    tokio::pin!(signal);
    let result = tokio::select! {
        () = &mut signal => Ok(()),
        result = start(config, options, &mut started) => result,
    };
    let result = if result.is_ok() && started.service.is_some() {
        tokio::select! {
            () = &mut signal => Ok(()),
            error = failed(&mut started) => Err(error),
        }
    } else {
        result
    };
    eprintln!("\nstopping");
    let clock = Instant::now();
    let stopped = stop(started).await;
    eprintln!("stopped ({})", seconds(clock));
    result.and(stopped)
}

async fn start(config: Config, options: DevOptions, started: &mut Started) -> anyhow::Result<()> {
    let needs =
        Needs { postgres: config.database_url().is_err(), kafka: config.kafka_brokers().is_err() };
    let mut overrides: Vec<(&str, String)> = Vec::new();
    let given = config.user_management_service_url().is_ok();
    for (name, given) in [
        ("DATABASE_URL", !needs.postgres),
        ("KAFKA_BROKER", !needs.kafka),
        ("USER_MANAGEMENT_SERVICE_URL", given),
    ] {
        if given {
            eprintln!("{name} is set, so that is used and nothing started in its place");
        }
    }
    if needs.postgres || needs.kafka {
        let parts = Parts::fetch(needs, &|step| eprintln!("{step}")).await?;
        let data = if options.ephemeral {
            DataDir::ephemeral()?
        } else {
            DataDir::open(&options.data_dir.unwrap_or_else(default_data_dir))?
        };
        eprintln!("data in {}", data.path().display());
        let path = data.path().to_owned();
        started.data = Some(data);
        let postgres = async {
            if !needs.postgres {
                return Ok(None);
            }
            let clock = Instant::now();
            let part = Postgres::start(&parts, &path, PostgresOptions::default()).await?;
            let version = Postgres::version();
            eprintln!("Postgres {version} on 127.0.0.1:{} ({})", part.port(), seconds(clock));
            anyhow::Ok(Some(part))
        };
        let kafka = async {
            if !needs.kafka {
                return Ok(None);
            }
            let clock = Instant::now();
            let part = Kafka::start(&parts, &path, KafkaOptions::default()).await?;
            eprintln!(
                "Apache Kafka {} on {} ({})",
                Kafka::version(),
                part.brokers(),
                seconds(clock)
            );
            anyhow::Ok(Some(part))
        };
        let (postgres, kafka) = tokio::join!(postgres, kafka);
        // Both are kept before either error ends this, so that both are stopped.
        let (postgres, kafka) = match (postgres, kafka) {
            (Ok(postgres), Ok(kafka)) => (postgres, kafka),
            (postgres, kafka) => {
                let failure = [postgres.as_ref().err(), kafka.as_ref().err()];
                let message = failure.into_iter().flatten().map(|error| format!("{error:#}"));
                let message = message.collect::<Vec<_>>().join("\n");
                started.postgres = postgres.ok().flatten();
                started.kafka = kafka.ok().flatten();
                bail!(message);
            }
        };
        started.postgres = postgres;
        started.kafka = kafka;
        if let Some(postgres) = &started.postgres {
            create_database(postgres).await?;
            overrides.push(("DATABASE_URL", postgres.url(DATABASE)));
        }
        if let Some(kafka) = &started.kafka {
            overrides.push(("KAFKA_BROKER", kafka.brokers()));
        }
    }
    if config.user_management_service_url().is_err() {
        let stand_in = stand_in::start().await?;
        eprintln!("stand-in of the user management service on {}", stand_in.url());
        overrides.push(("USER_MANAGEMENT_SERVICE_URL", stand_in.url()));
        started.stand_in = Some(stand_in);
    }
    let mut config = Config::load_with(overrides.clone())?;
    let clock = Instant::now();
    let options = Options { roles: Roles::ALL, migrate: true };
    let service = match service::start(&config, options).await {
        Ok(service) => service,
        Err(error) if config.bind_addr.port() != 0 => {
            // Somebody else has the port, another `dev` perhaps: any other will do here.
            eprintln!("{error:#}; taking another port");
            overrides.push(("BIND_ADDR", format!("{}:0", config.bind_addr.ip())));
            config = Config::load_with(overrides)?;
            service::start(&config, options).await?
        }
        Err(error) => return Err(error),
    };
    let address = service.address;
    started.service = Some(service);
    ready(&format!("http://{address}")).await?;
    eprintln!("migrated and ready ({})", seconds(clock));
    println!("{}", welcome(&format!("http://{address}")));
    Ok(())
}

async fn create_database(postgres: &Postgres) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&postgres.url("postgres"))
        .await
        .context("the embedded Postgres does not answer")?;
    let exists: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(DATABASE)
            .fetch_one(&mut connection)
            .await?;
    if !exists {
        connection.execute(&*format!("CREATE DATABASE {DATABASE}")).await?;
    }
    connection.close().await?;
    Ok(())
}

async fn ready(url: &str) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let reply = client.get(format!("{url}/readyz")).send().await;
        if reply.is_ok_and(|reply| reply.status().is_success()) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the service did not become ready within 30 s; its log says why");
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn welcome(url: &str) -> String {
    // Another code at every start: the data may be kept, and codes are unique.
    let code = Uuid::now_v7().simple().to_string().split_off(26).to_uppercase();
    format!(
        "
GraphQL     {url}/graphql   (a browser gets GraphiQL)
operations  {url}/readyz  {url}/metrics
tokens      any <role>:<user id>, for example instructor:ada, student:sam, admin:root

Create a course:

curl -s {url}/graphql -H 'content-type: application/json' -H 'authorization: Bearer instructor:ada' \\
  -d '{{\"query\":\"mutation {{ createCourse(input: {{ code: \\\"RUST-{code}\\\", title: \\\"Rust\\\", capacity: 2, publish: true }}) {{ course {{ id code status }} position userErrors {{ code message }} }} }}\"}}'

Ctrl-C stops everything."
    )
}

async fn failed(started: &mut Started) -> anyhow::Error {
    let Started { service, kafka, postgres, .. } = started;
    let service = async {
        match service {
            Some(service) => match service.ended().await {
                Ok(()) => anyhow::anyhow!("the service ended by itself"),
                Err(error) => error,
            },
            None => std::future::pending().await,
        }
    };
    let kafka = async {
        match kafka {
            Some(kafka) => kafka.ended().await,
            None => std::future::pending().await,
        }
    };
    let postgres = async {
        match postgres {
            Some(postgres) => postgres.ended().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        error = service => error,
        error = kafka => error,
        error = postgres => error,
    }
}

/// Stops the service, then what it stood on, each with a patience of its own: 8 s at the most.
async fn stop(started: Started) -> anyhow::Result<()> {
    let service = match started.service {
        Some(service) => timeout(SERVICE_PATIENCE, service.stop()).await.unwrap_or(Ok(())),
        None => Ok(()),
    };
    if let Some(stand_in) = started.stand_in {
        stand_in.shutdown().await;
    }
    let kafka = async {
        match started.kafka {
            Some(kafka) => kafka.stop().await,
            None => Ok(()),
        }
    };
    let postgres = async {
        match started.postgres {
            Some(postgres) => postgres.stop().await,
            None => Ok(()),
        }
    };
    let (kafka, postgres) = tokio::join!(kafka, postgres);
    drop(started.data);
    service.and(kafka).and(postgres)
}

fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}

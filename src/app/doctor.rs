//! Checking every dependency and setting, and saying how to mend what is wrong.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::timeout;

use super::config::Config;
use super::database;
use super::service::kafka_connection;
use crate::event_store::migrate;
use crate::kafka::probe;
use crate::kafka::topics::{Topic, TopicNames};

/// The append uses `transaction_timeout`, which came with this release.
const MIN_POSTGRES: i32 = 170_000;
const PATIENCE: Duration = Duration::from_secs(5);

/// What a check found: a sentence, and whether all is well.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What was looked at.
    pub part: &'static str,
    /// Whether all is well.
    pub ok: bool,
    /// What was found, and where it is not well how to mend it.
    pub finding: String,
}

fn well(part: &'static str, finding: impl Into<String>) -> Finding {
    Finding { part, ok: true, finding: finding.into() }
}

fn ill(part: &'static str, finding: impl Into<String>) -> Finding {
    Finding { part, ok: false, finding: finding.into() }
}

/// Checks everything.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = database(config).await;
    findings.push(kafka(config).await);
    findings.push(user_service(config).await);
    findings
}

async fn database(config: &Config) -> Vec<Finding> {
    let url = match config.database_url() {
        Ok(url) => url,
        Err(error) => return vec![ill("database", error.to_string())],
    };
    let pool = match database::pool(url, 1) {
        Ok(pool) => pool,
        Err(error) => {
            return vec![ill("database", format!("DATABASE_URL does not parse: {error}"))];
        }
    };
    let version = match timeout(PATIENCE, server_version(&pool)).await {
        Ok(Ok(version)) => version,
        Ok(Err(error)) => {
            return vec![ill(
                "database",
                format!(
                    "cannot be reached ({error}): is Postgres running, and DATABASE_URL right?"
                ),
            )];
        }
        Err(_) => return vec![ill("database", "does not answer within 5 s")],
    };
    let mut findings = vec![if version >= MIN_POSTGRES {
        well("database", format!("Postgres {}", version / 10_000))
    } else {
        let release = version / 10_000;
        ill("database", format!("Postgres {release} is too old: 17 is the oldest that will do"))
    }];
    findings.push(match timeout(PATIENCE, migrate::pending(&pool)).await {
        Ok(Ok(pending)) if pending.is_empty() => well("migrations", "all applied"),
        Ok(Ok(pending)) => {
            let count = pending.len();
            ill("migrations", format!("{count} are pending: run `course-service migrate`"))
        }
        Ok(Err(error)) => ill("migrations", format!("cannot be read: {error}")),
        Err(_) => ill("migrations", "cannot be read within 5 s"),
    });
    findings
}

async fn server_version(pool: &PgPool) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar("SELECT current_setting('server_version_num')::int").fetch_one(pool).await
}

async fn kafka(config: &Config) -> Finding {
    let connection = match kafka_connection(config) {
        Ok(connection) => connection,
        Err(error) => return ill("kafka", error.to_string()),
    };
    match probe::probe(&connection).await {
        Err(error) => ill(
            "kafka",
            format!("cannot be reached ({error}): is a broker running, and KAFKA_BROKER right?"),
        ),
        Ok(cluster) => {
            let names = TopicNames::with_prefix(&config.kafka.topic_prefix);
            let wanted = Topic::ALL.map(|topic| names.topic(topic));
            let missing = wanted.iter().filter(|topic| !cluster.topics.contains(topic)).count();
            let brokers = cluster.brokers;
            well(
                "kafka",
                match missing {
                    0 => format!("{brokers} brokers, our topics are there"),
                    _ => format!("{brokers} brokers; {missing} topics will be created by `serve`"),
                },
            )
        }
    }
}

async fn user_service(config: &Config) -> Finding {
    const PART: &str = "user service";
    let url = match config.user_management_service_url() {
        Ok(url) => url,
        Err(error) => return ill(PART, error.to_string()),
    };
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build();
    let asked = match client {
        Ok(client) => client.get(format!("{url}/validate")).send().await,
        Err(error) => return ill(PART, error.to_string()),
    };
    match asked {
        Ok(reply) if reply.status().is_server_error() => {
            ill(PART, format!("answers with {}: look at its log", reply.status()))
        }
        Ok(_) => well(PART, "answers"),
        Err(error) => {
            let error = error.without_url();
            ill(PART, format!("cannot be reached ({error}): is USER_MANAGEMENT_SERVICE_URL right?"))
        }
    }
}

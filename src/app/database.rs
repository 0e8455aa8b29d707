//! Connections to Postgres.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use tokio::time::timeout;

/// How long a reader waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(3);

/// A pool that connects when it is first used, so that a service starts while its database is away.
///
/// # Errors
/// When the URL does not parse.
pub fn pool(url: &str, connections: u32) -> Result<PgPool, sqlx::Error> {
    Ok(pool_options(connections).connect_lazy_with(connect_options(url)?))
}

fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE)
}

/// A pool for a command of an operator, who hears at once and why where the database cannot be reached, and nothing of
/// statements that take their time: it may be a long command.
///
/// # Errors
/// When the URL does not parse or nobody lets us in.
pub async fn reached(url: &str, connections: u32) -> anyhow::Result<PgPool> {
    let connect = async {
        let options = connect_options(url)?;
        options.connect().await?.close().await
    };
    let answer = timeout(ACQUIRE, connect).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    answer
        .context("the database cannot be reached: is Postgres running, and DATABASE_URL right?")?;
    let options = connect_options(url)?.disable_statement_logging();
    Ok(pool_options(connections).connect_lazy_with(options))
}

/// A pool for the appender alone. It does not test its connection before use: the append is sent again anyway.
///
/// # Errors
/// When the URL does not parse.
pub fn appender_pool(url: &str) -> Result<PgPool, sqlx::Error> {
    let options = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None);
    Ok(options.connect_lazy_with(connect_options(url)?))
}

fn connect_options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(PgConnectOptions::from_str(url)?.application_name("course-service"))
}

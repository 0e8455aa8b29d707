//! The Postgres that everything is measured on, and the machine below it.

use std::time::Duration;

use anyhow::Context as _;
use course_service::app::embedded::{DataDir, Needs, Parts, Postgres, PostgresOptions};
use course_service::event_store::migrate;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};

use crate::figures::{for_a_while, grouped};

/// A database server. Its databases of this run begin with a name of our own.
pub(crate) struct Server {
    base: String,
    postgres: Option<Postgres>,
    /// Dropped, and so removed, after the server that works on it.
    data: Option<DataDir>,
}

impl Server {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let server = if let Ok(url) = std::env::var("DATABASE_URL") {
            let (base, _) = url.rsplit_once('/').context("DATABASE_URL names no database")?;
            Self { base: base.to_owned(), postgres: None, data: None }
        } else {
            let needs = Needs { postgres: true, kafka: false };
            let parts = Parts::fetch(needs, &|step| eprintln!("{step}")).await?;
            let data = DataDir::ephemeral()?;
            let postgres = Postgres::start(&parts, data.path(), PostgresOptions::default()).await?;
            let base = postgres.url("").trim_end_matches('/').to_owned();
            Self { base, postgres: Some(postgres), data: Some(data) }
        };
        let template = server.empty("template").await?;
        let pool = pool(&template, 2).await?;
        migrate::run(&pool).await?;
        pool.close().await;
        Ok(server)
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("{}/{}", self.base, full(name))
    }

    /// A connection for what concerns all databases.
    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(&format!("{}/postgres", self.base)).await?)
    }

    /// The URL of a database without tables.
    pub(crate) async fn empty(&self, name: &str) -> anyhow::Result<String> {
        self.create(name, "template1").await
    }

    /// The URL of a database with our tables and nothing in them.
    pub(crate) async fn migrated(&self, name: &str) -> anyhow::Result<String> {
        self.create(name, &full("template")).await
    }

    async fn create(&self, name: &str, template: &str) -> anyhow::Result<String> {
        let create = format!("CREATE DATABASE \"{}\" TEMPLATE \"{template}\"", full(name));
        self.connect().await?.execute(&*create).await?;
        Ok(self.url(name))
    }

    pub(crate) async fn drop(&self, name: &str) -> anyhow::Result<()> {
        let drop = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", full(name));
        self.connect().await?.execute(&*drop).await?;
        Ok(())
    }

    /// The machine, the server and the day.
    pub(crate) async fn describe(&self) -> anyhow::Result<String> {
        let mut connection = self.connect().await?;
        let version: String =
            sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
        let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut connection).await?;
        let commits = self.commits().await?;
        let cores = std::thread::available_parallelism()?;
        let memory = proc_figure("/proc/meminfo", "MemTotal:").map_or_else(
            || "memory unknown".to_owned(),
            |kib| format!("{:.0} GiB", kib / 1024.0 / 1024.0),
        );
        Ok(format!(
            "{cores} cores, {memory}; Postgres {version} ({}, fsync {fsync}, one connection commits {}/s); {}",
            if self.postgres.is_some() { "embedded" } else { "of DATABASE_URL" },
            grouped(commits),
            chrono::Utc::now().format("%Y-%m-%d")
        ))
    }

    /// What a lone connection commits: how fast the disk makes things durable.
    async fn commits(&self) -> anyhow::Result<f64> {
        let pool = pool(&self.empty("commits").await?, 1).await?;
        pool.execute("CREATE TABLE t (n bigint)").await?;
        let insert = {
            let pool = pool.clone();
            move |_, _| {
                let pool = pool.clone();
                async move {
                    pool.execute(sqlx::query("INSERT INTO t VALUES (1)")).await?;
                    Ok(())
                }
            }
        };
        let rate = for_a_while(1, Duration::from_secs(1), insert).await?;
        pool.close().await;
        self.drop("commits").await?;
        Ok(rate.0)
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        match self.postgres {
            Some(postgres) => postgres.stop().await?,
            None => self.drop("template").await?,
        }
        drop(self.data);
        Ok(())
    }
}

fn full(name: &str) -> String {
    format!("course_service_bench_{}_{name}", std::process::id())
}

/// A pool that holds its connections and asks for none before it is used.
pub(crate) async fn pool(url: &str, connections: u32) -> anyhow::Result<PgPool> {
    let options: PgConnectOptions = url.parse()?;
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .min_connections(connections)
        .acquire_timeout(Duration::from_mins(1))
        .test_before_acquire(false);
    Ok(pool.connect_with(options).await?)
}

/// A number of a file below `/proc`, where there is one.
pub(crate) fn proc_figure(file: &str, name: &str) -> Option<f64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

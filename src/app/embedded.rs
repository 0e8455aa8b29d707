//! A real Postgres and a real Kafka for `course-service dev` and the integration tests, so that a
//! machine with Rust, Java 17+ and Maven needs nothing installed or started by hand.
//!
//! What holds:
//! - [`Parts`] are fetched once for each version and platform; later starts need neither Maven nor
//!   a network.
//! - Everything listens on 127.0.0.1 only, on ports picked at the start unless one is asked for.
//! - On Linux no part outlives this process, not even after `kill -9`; nor does one run as root.
//! - One process uses a [`DataDir`] at a time. What it holds survives a stop and a `kill -9`.
//! - A failure is one sentence that says what to do, with the end of the part's own log.
//!
//! ```no_run
//! # use std::path::Path;
//! # use course_service::app::embedded::{DataDir, Needs, Parts, Postgres, PostgresOptions};
//! # async fn example() -> anyhow::Result<()> {
//! let parts = Parts::fetch(Needs { postgres: true, kafka: false }, &|step| println!("{step}")).await?;
//! let data = DataDir::open(Path::new(".course-service"))?;
//! let postgres = Postgres::start(&parts, data.path(), PostgresOptions::default()).await?;
//! println!("{}", postgres.url("postgres"));
//! postgres.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! ## Decision
//! The parts run from Maven Central's jars instead of containers or installed servers: those need a
//! daemon or root, these need what the contributors of a Kafka service have anyway. The price is a
//! JVM of 300 MB beside the service, and one more place (`docker/embedded/pom.xml`) that names the
//! versions of `docker/compose.yaml`.

mod child;
mod data_dir;
mod kafka;
mod launcher;
mod maven;
mod postgres;

use std::net::TcpListener;

pub use data_dir::{DataDir, default_data_dir};
pub use kafka::{Kafka, KafkaOptions};
pub use maven::{Needs, Parts};
pub use postgres::{Postgres, PostgresOptions};

use anyhow::Context as _;

/// How often a part may lose the race for the port that was free a moment ago.
const PORT_ATTEMPTS: u32 = 5;

/// A port of 127.0.0.1 that nobody listens on right now: the wished one, or any. Another process
/// may still be faster.
fn free_port(wished: Option<u16>) -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", wished.unwrap_or(0))).with_context(|| {
        wished.map_or_else(
            || "cannot open a port on 127.0.0.1".into(),
            |port| format!("cannot listen on 127.0.0.1:{port}: choose another port"),
        )
    })?;
    Ok(listener.local_addr().context("cannot read the port of a listener")?.port())
}

/// A name for `bytes` that is the same on every machine and after every upgrade.
fn fingerprint(bytes: &[u8]) -> String {
    let mut name = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, bytes).simple().to_string();
    name.truncate(16);
    name
}

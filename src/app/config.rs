//! The configuration: the environment, and a `.env` file for what the environment leaves unset.
//!
//! This is the only place that reads either. Everything below `app` gets typed values. An empty
//! variable counts as unset. What a command needs is asked for by accessor
//! ([`Config::database_url`] …), because commands need different things.

mod settings;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use settings::{SETTINGS, Setting, Shown, settings_markdown};
use values::{Values, rules};

use super::connections::ConnectionLimits;
use crate::graphql::Limits;
use crate::graphql::http::SocketLimits;

/// Why the configuration was refused: a sentence for people that never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The command needs a setting that is unset.
    #[error("{name} is not set; it is needed here ({doc})")]
    Missing { name: &'static str, doc: &'static str },
    /// A value breaks the rule of its setting; `shown` is that value, masked where it is secret.
    #[error("{name} must be {rule}, but is `{shown}`")]
    Invalid { name: &'static str, rule: &'static str, shown: String },
    /// Two settings contradict each other.
    #[error("{name} {rule}")]
    Contradiction { name: &'static str, rule: &'static str },
    /// A name that looks like one of ours and is none.
    #[error(
        "{name} is not a setting of this service{}",
        suggestion.map(|name| format!("; did you mean {name}?")).unwrap_or_default()
    )]
    Unknown { name: String, suggestion: Option<&'static str> },
    /// The program was built without what the setting needs.
    #[error(
        "{name} needs TLS or SASL towards Kafka, which this build leaves out; \
         build with `--features kafka-tls`, as the docker image does"
    )]
    WithoutTls { name: &'static str },
    /// A value of ours is not Unicode.
    #[error("{name} is not valid UTF-8")]
    NotUnicode { name: String },
    /// `.env` cannot be used.
    #[error(".env cannot be read: {problem}")]
    File { problem: String },
}

/// A value that must not be printed; its `Debug` form is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself: for the client library that needs it, never for output.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people at a terminal.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Kafka's part of the configuration, addresses aside.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// Put before every topic name; may be empty.
    pub topic_prefix: String,
    /// Partitions of the topics that we create; at least 1.
    pub topic_partitions: i32,
    /// Copies of each partition; -1: the broker's default.
    pub topic_replication_factor: i32,
    /// Milliseconds that records are kept; -1: for ever.
    pub topic_retention_ms: i64,
    security: Vec<(&'static str, Secret)>,
}

impl KafkaConfig {
    /// What a client needs to be let in, by librdkafka's property names; empty for a plain broker.
    /// Holds passwords: not for output.
    pub fn client_properties(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.security.iter().map(|(name, value)| (*name, value.expose()))
    }
}

/// All settings, parsed. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Config {
    database_url: Option<Secret>,
    kafka_brokers: Option<Vec<String>>,
    user_management_service_url: Option<String>,
    /// Size of the connection pool of this process; at least 1.
    pub database_max_connections: u32,
    /// Where the HTTP server listens.
    pub bind_addr: SocketAddr,
    /// How its connections are bounded.
    pub connection_limits: ConnectionLimits,
    /// Topics, and how we are let in.
    pub kafka: KafkaConfig,
    /// How much a GraphQL request may ask for.
    pub graphql_limits: Limits,
    /// How its sockets are bounded.
    pub socket_limits: SocketLimits,
    /// How long a command may take.
    pub command_timeout: Duration,
    /// How long an incoming message may wait for what it refers to.
    pub parked_ttl: Duration,
    /// How long work in progress may go on after the signal to stop.
    pub shutdown_grace: Duration,
    /// How log lines look; `None`: pretty on a terminal, else JSON.
    pub log_format: Option<LogFormat>,
    /// What is logged: directives of `tracing`, known to parse.
    pub log_filter: String,
    effective: Vec<(&'static str, String)>,
    warnings: Vec<String>,
}

impl Config {
    /// Reads `.env` (of this folder or the nearest one above it) and the environment, which wins.
    ///
    /// # Errors
    /// When a value breaks its rule, a name is misspelt or `.env` cannot be read.
    pub fn load() -> Result<Self, ConfigError> {
        Self::load_with::<String, String>([])
    }

    /// As [`Config::load`], with `overrides` winning over both.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with<N: Into<String>, V: Into<String>>(
        overrides: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigError> {
        let mut pairs = dotenv_pairs()?;
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => pairs.push((name, value)),
                Err(_) if settings::find(&name).is_some() => {
                    return Err(ConfigError::NotUnicode { name });
                }
                Err(_) => (),
            }
        }
        pairs.extend(overrides.into_iter().map(|(name, value)| (name.into(), value.into())));
        Self::from_pairs(pairs)
    }

    /// Parses `pairs` of name and value, of which later ones win; reads nothing else.
    ///
    /// # Errors
    /// When a value breaks its rule or a name is misspelt.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigError> {
        let values = Values::collect(pairs)?;
        let traces = values.is_given("OTEL_EXPORTER_OTLP_ENDPOINT").then(|| {
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but this release does not export traces".to_owned()
        });
        Ok(Self {
            database_url: values.optional("DATABASE_URL", rules::POSTGRES_URL)?,
            kafka_brokers: values.optional("KAFKA_BROKER", rules::BROKERS)?,
            user_management_service_url: values
                .optional("USER_MANAGEMENT_SERVICE_URL", rules::HTTP_URL)?,
            database_max_connections: values.required("DATABASE_MAX_CONNECTIONS", rules::SIZE)?,
            bind_addr: values.required("BIND_ADDR", rules::ADDRESS)?,
            connection_limits: values.connections()?,
            kafka: values.kafka(cfg!(feature = "kafka-tls"))?,
            graphql_limits: values.graphql()?,
            socket_limits: values.sockets()?,
            command_timeout: values.required("COMMAND_TIMEOUT_MS", rules::MILLISECONDS)?,
            parked_ttl: values.required("INBOUND_PARKED_TTL_MS", rules::PARKED_TTL)?,
            shutdown_grace: values.required("SHUTDOWN_GRACE_MS", rules::MILLISECONDS)?,
            log_format: values.optional("LOG_FORMAT", rules::LOG_FORMAT)?,
            log_filter: values.required("RUST_LOG", rules::LOG_FILTER)?,
            effective: values.effective(),
            warnings: traces.into_iter().collect(),
        })
    }

    /// The database to use.
    ///
    /// # Errors
    /// When it is not configured.
    pub fn database_url(&self) -> Result<&str, ConfigError> {
        self.database_url.as_ref().map(Secret::expose).ok_or_else(|| missing("DATABASE_URL"))
    }

    /// The brokers to begin with, each `host:port`; never empty.
    ///
    /// # Errors
    /// When none is configured.
    pub fn kafka_brokers(&self) -> Result<&[String], ConfigError> {
        self.kafka_brokers.as_deref().ok_or_else(|| missing("KAFKA_BROKER"))
    }

    /// The user management service, without a slash at the end.
    ///
    /// # Errors
    /// When it is not configured.
    pub fn user_management_service_url(&self) -> Result<&str, ConfigError> {
        let url = self.user_management_service_url.as_deref();
        url.ok_or_else(|| missing("USER_MANAGEMENT_SERVICE_URL"))
    }

    /// Every setting with the value that holds, as it may be shown: secrets are masked, what is
    /// unset is empty.
    pub fn effective(&self) -> &[(&'static str, String)] {
        &self.effective
    }

    /// What an operator should hear although nothing is wrong enough to stop.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn missing(name: &'static str) -> ConfigError {
    ConfigError::Missing { name, doc: settings::find(name).map_or("", |setting| setting.doc) }
}

/// The pairs of `.env`, without touching the process's environment; none when there is no file.
fn dotenv_pairs() -> Result<Vec<(String, String)>, ConfigError> {
    let unreadable = |problem| ConfigError::File { problem };
    let lines = match dotenvy::dotenv_iter() {
        Ok(lines) => lines,
        Err(error) if error.not_found() => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let mut pairs: Vec<(String, String)> = Vec::new();
    for line in lines {
        // The library's message repeats the line, which may hold a secret.
        pairs.push(line.map_err(|_| match pairs.last() {
            Some((name, _)) => unreadable(format!("the line after {name} is not NAME=value")),
            None => unreadable("its first line is not NAME=value".to_owned()),
        })?);
    }
    Ok(pairs)
}

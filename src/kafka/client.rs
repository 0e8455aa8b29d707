//! How clients of Kafka are made: one place for the address, the pass-through settings and the client's log.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

/// How long a request that only asks may take.
pub(crate) const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Where Kafka is and how it is talked to.
#[derive(Clone, Default)]
pub struct Connection {
    /// Comma-separated addresses.
    pub brokers: String,
    /// Settings of librdkafka, such as `security.protocol` and `sasl.*`. May hold credentials.
    pub properties: Vec<(String, String)>,
}

impl Connection {
    /// The settings that all clients share. What the exactly-once guarantee needs is set on top of these and wins.
    pub(crate) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.extend(self.properties.iter().cloned());
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "course-management-service")
            .set("allow.auto.create.topics", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        config
    }
}

/// Sends the client's log to ours. Its errors are repeated by the calls that fail, so they are worth no more than a
/// debug line here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Log;

impl ClientContext for Log {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

impl ConsumerContext for Log {}

/// Runs a call of librdkafka that blocks. It runs to its end, also when nobody waits for it any more.
pub(crate) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    tokio::task::spawn_blocking(call).await.unwrap_or(Err(KafkaError::Canceled))
}

/// An error with everything that caused it, as far as it does not say so itself.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

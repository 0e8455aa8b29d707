//! Asking a broker whether it is there, for `doctor`.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::client::{ASK_TIMEOUT, Connection, Log, blocking};

/// What a broker says of its cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// How many brokers it has.
    pub brokers: usize,
    /// The topics that exist.
    pub topics: Vec<String>,
}

/// Asks for the cluster's metadata.
///
/// # Errors
/// When no broker answers within 5 s.
pub async fn probe(connection: &Connection) -> Result<Cluster, KafkaError> {
    let config = connection.client_config();
    blocking(move || {
        let consumer: BaseConsumer<Log> = config.create_with_context(Log)?;
        let metadata = consumer.fetch_metadata(None, ASK_TIMEOUT)?;
        Ok(Cluster {
            brokers: metadata.brokers().len(),
            topics: metadata.topics().iter().map(|topic| topic.name().to_owned()).collect(),
        })
    })
    .await
}

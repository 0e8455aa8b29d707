//! Why the bridge stops for a while.

use rdkafka::error::KafkaError;

use super::gather::GatherError;
use super::producer::ProduceError;
use super::tail::TailError;
use crate::event_store::log::ReadError;
use crate::kafka::topics::TopicError;

/// Why a tenure ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// Another instance has, or may have, the lease.
    #[error("the lease is no longer ours")]
    LeaseLost,
    /// Another instance took over.
    #[error("another instance took over")]
    Fenced(#[source] ProduceError),
    /// Somebody has to say where to go on.
    #[error("{0}")]
    Refused(String),
    /// An operator has said where to go on.
    #[error("an operator ordered where to go on")]
    Ordered,
    /// The event that we stand on is no longer the one that was published.
    #[error("the log is another one at position {0}: was the database restored?")]
    Restored(i64),
    /// Kafka failed.
    #[error(transparent)]
    Produce(ProduceError),
    /// Kafka could not be reached.
    #[error("Kafka cannot be reached")]
    Kafka(#[from] KafkaError),
    /// A topic is missing or unfit.
    #[error(transparent)]
    Topics(#[from] TopicError),
    /// A transaction that is over is open in these partitions.
    #[error(
        "a transaction that is over is still open in {}, and nobody else ends it: look for it with Kafka's own \
         kafka-transactions.sh describe-producers, and end it with abort",
        named(.0)
    )]
    Unended(Vec<(String, i32)>),
    /// The progress topic could not be read.
    #[error(transparent)]
    Tail(#[from] TailError),
    /// The database could not be reached.
    #[error("the database cannot be reached")]
    Database(#[from] sqlx::Error),
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// An event could not be turned into messages.
    #[error(transparent)]
    Gather(#[from] GatherError),
}

fn named(partitions: &[(String, i32)]) -> String {
    let names = partitions.iter().map(|(topic, partition)| format!("{topic}/{partition}"));
    names.collect::<Vec<_>>().join(", ")
}

impl From<ProduceError> for End {
    fn from(error: ProduceError) -> Self {
        match error {
            ProduceError::Fenced(_) => Self::Fenced(error),
            other => Self::Produce(other),
        }
    }
}

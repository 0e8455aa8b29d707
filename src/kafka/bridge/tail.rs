//! Reading the progress topic: the last committed record of a lane.
//!
//! The topic is compacted, but its newest segment never is: it is read from near its end, farther back only where the
//! lane is not found there.

use std::time::Instant;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::progress::Progress;
use crate::kafka::client::{ASK_TIMEOUT, Connection, Log};
use crate::kafka::topics::TopicNames;

/// How far before its end the topic is read first; a transaction takes two offsets.
const FIRST_LOOK: i64 = 1_000;

/// The progress topic could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// Kafka did not answer.
    #[error("the progress topic could not be read")]
    Kafka(#[from] KafkaError),
    /// The last record is not ours.
    #[error("the last record of the progress topic is not a progress")]
    Foreign(#[source] serde_json::Error),
}

/// The lane's last committed progress, or a later one. Where it must be the last, call it after `init_transactions`:
/// before that a predecessor may still commit. Blocks.
pub(in crate::kafka) fn last_progress(
    connection: &Connection,
    names: &TopicNames,
    lane: &str,
) -> Result<Option<Progress>, TailError> {
    let mut config = connection.client_config();
    config
        .set("group.id", names.group()) // never joined and never committed to: only `assign` asks for a name
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error");
    let consumer: BaseConsumer<Log> = config.create_with_context(Log)?;
    let topic = names.progress();
    let (low, high) = consumer.fetch_watermarks(&topic, 0, ASK_TIMEOUT)?;
    let mut distance = FIRST_LOOK;
    loop {
        let from = (high - distance).max(low);
        let found = read_to_end(&consumer, &topic, from, high, lane)?;
        if found.is_some() || from == low {
            return found
                .map(|value| serde_json::from_slice(&value).map_err(TailError::Foreign))
                .transpose();
        }
        distance *= 10;
    }
}

fn read_to_end(
    consumer: &BaseConsumer<Log>,
    topic: &str,
    from: i64,
    high: i64,
    lane: &str,
) -> Result<Option<Vec<u8>>, KafkaError> {
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, 0, Offset::Offset(from))?;
    consumer.assign(&assignment)?;
    let mut last = None;
    let mut heard = Instant::now();
    while heard.elapsed() < ASK_TIMEOUT {
        match consumer.poll(ASK_TIMEOUT) {
            Some(Ok(message)) => {
                heard = Instant::now();
                if message.key() == Some(lane.as_bytes()) {
                    last = message.payload().map(<[u8]>::to_vec);
                }
                if message.offset() >= high - 1 {
                    return Ok(last); // somebody may write on without end
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(last),
            // A client that has just begun tells of every address that did not answer; the deadline tells whether
            // Kafka is away.
            Some(Err(error)) => tracing::debug!(%error, "reading the progress topic stumbled"),
            None => (),
        }
    }
    Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
}

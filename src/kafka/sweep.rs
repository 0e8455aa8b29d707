//! Reading topics from end to end, as a consumer that joins no group.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{ASK_TIMEOUT, Connection, Log};
use super::topics::TopicNames;

/// How long nothing may come before the reading is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Shows every committed record of these topics to `each`, with the topic's name without the prefix: from the first
/// that Kafka still has to the last that there is when its partition's turn comes, one partition after the other. What
/// is added meanwhile does not hold it up. Returns where each partition begins. Topics that do not exist have no
/// records. Blocks.
pub(super) fn sweep(
    connection: &Connection,
    names: &TopicNames,
    topics: &[&str],
    mut each: impl FnMut(&str, &BorrowedMessage<'_>),
) -> Result<BTreeMap<(String, i32), i64>, KafkaError> {
    let mut config = connection.client_config();
    config
        .set("group.id", names.group()) // never joined and never committed to
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10") // so that an end is told at once
        .set("auto.offset.reset", "error");
    let consumer: BaseConsumer<Log> = config.create_with_context(Log)?;
    let metadata = consumer.fetch_metadata(None, ASK_TIMEOUT)?;
    let mut lows = BTreeMap::new();
    for topic in topics {
        let name = names.prefixed(topic);
        let found = metadata.topics().iter().find(|found| found.name() == name);
        for partition in found.into_iter().flat_map(rdkafka::metadata::MetadataTopic::partitions) {
            let (low, high) = consumer.fetch_watermarks(&name, partition.id(), ASK_TIMEOUT)?;
            lows.insert(((*topic).to_owned(), partition.id()), low);
            if high > low {
                let mut assignment = TopicPartitionList::new();
                assignment.add_partition_offset(&name, partition.id(), Offset::Offset(low))?;
                consumer.assign(&assignment)?;
                up_to(&consumer, high, |message| each(topic, message))?;
            }
        }
    }
    Ok(lows)
}

/// Shows the records of the one partition that is assigned, those before `high`.
fn up_to(
    consumer: &BaseConsumer<Log>,
    high: i64,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> Result<(), KafkaError> {
    let mut heard = Instant::now();
    while heard.elapsed() < PATIENCE {
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(message)) => {
                heard = Instant::now();
                if message.offset() < high {
                    each(&message);
                }
                if message.offset() >= high - 1 {
                    return Ok(());
                }
            }
            // The last places may hold what ends a transaction, which is no record.
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
            // Told by the client of its past, perhaps; the deadline tells whether Kafka is away.
            Some(Err(error)) => tracing::debug!(%error, "reading the topics stumbled"),
            None => {}
        }
    }
    Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
}

/// A header's value as text; `None` where there is none or it is no text.
pub(super) fn header<'m>(message: &'m BorrowedMessage<'_>, name: &str) -> Option<&'m str> {
    let found = message.headers()?.iter().find(|header| header.key == name)?;
    std::str::from_utf8(found.value?).ok()
}

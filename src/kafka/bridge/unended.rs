//! Transactions that are over, and that the brokers have not ended in every partition.
//!
//! A broker that is killed right behind a commit may lose the markers that end the transaction where its records lie.
//! Alone in its cluster it then never writes them. Readers stand before such a place for ever, so that the last
//! progress they can see is not the last there is; and the end of our next transaction in that partition would end
//! the old one with it, whichever way that was decided. So nothing is published while there is one.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataPartition;
use rdkafka::{Offset, TopicPartitionList};

use crate::kafka::client::{ASK_TIMEOUT, Connection, Log};
use crate::kafka::topics::TopicNames;

/// How long the last marker may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// The partitions of the bridge's topics in which a transaction is open, after a moment of patience. Call it after
/// `init_transactions`: before that a predecessor may have one open by right. Blocks.
pub(super) fn unended(
    connection: &Connection,
    names: &TopicNames,
) -> Result<Vec<(String, i32)>, KafkaError> {
    let everything = consumer(connection, names, "read_uncommitted")?;
    let committed = consumer(connection, names, "read_committed")?;
    let metadata = committed.fetch_metadata(None, ASK_TIMEOUT)?;
    let ours = names.written();
    let mut open: Vec<(String, i32)> = Vec::new();
    for topic in metadata.topics().iter().filter(|topic| ours.iter().any(|our| our == topic.name()))
    {
        let partitions = topic.partitions().iter().map(MetadataPartition::id);
        open.extend(partitions.map(|partition| (topic.name().to_owned(), partition)));
    }
    let deadline = Instant::now() + PATIENCE;
    while !open.is_empty() {
        // In this order: what is written in between only looks ended.
        let (end, stable) = (ends(&everything, &open)?, ends(&committed, &open)?);
        open.retain(|(topic, partition)| {
            let offset = |ends: &TopicPartitionList| {
                ends.find_partition(topic, *partition).and_then(|end| end.offset().to_raw())
            };
            offset(&end) > offset(&stable)
        });
        if Instant::now() > deadline {
            break;
        }
        std::thread::sleep(POLL);
    }
    Ok(open)
}

fn consumer(
    connection: &Connection,
    names: &TopicNames,
    isolation: &str,
) -> Result<BaseConsumer<Log>, KafkaError> {
    let mut config = connection.client_config();
    config
        .set("group.id", names.group()) // never joined and never committed to
        .set("enable.auto.commit", "false")
        .set("isolation.level", isolation);
    config.create_with_context(Log)
}

/// Where readers of these partitions come to an end now.
fn ends(
    consumer: &BaseConsumer<Log>,
    partitions: &[(String, i32)],
) -> Result<TopicPartitionList, KafkaError> {
    let mut wanted = TopicPartitionList::new();
    for (topic, partition) in partitions {
        wanted.add_partition_offset(topic, *partition, Offset::End)?;
    }
    consumer.offsets_for_times(wanted, ASK_TIMEOUT)
}

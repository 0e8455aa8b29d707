//! What is kept of the consumers outside of the database: with the group's offsets in Kafka, the end of the log when
//! they were committed. After a restore of the database it is ahead.

use std::collections::{BTreeMap, HashMap};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use super::places::{Partition, Probe};
use crate::event_store::log;
use crate::event_store::offsets::StoredOffset;
use crate::kafka::client::{ASK_TIMEOUT, Connection};
use crate::kafka::topics::{InboundTopic, TopicNames};

/// The end of the log. As JSON the metadata of a committed offset: never rename a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Checkpoint {
    log_id: Uuid,
    epoch: i32,
    position: i64,
    event_id: Option<Uuid>,
}

/// What Kafka keeps of a partition of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kafka) struct Committed {
    next: i64,
    /// None where somebody else has set the offset.
    checkpoint: Option<Checkpoint>,
}

impl Committed {
    /// The epoch of the log when it was committed.
    pub(in crate::kafka) fn epoch(&self) -> Option<i32> {
        self.checkpoint.as_ref().map(|checkpoint| checkpoint.epoch)
    }

    /// The next record, by what Kafka keeps.
    pub(super) fn next(&self) -> i64 {
        self.next
    }
}

impl Checkpoint {
    /// The log as it is now.
    pub(super) async fn now(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let head = log::head(pool).await?;
        let event_id = log::event_id_at(pool, head.position.number).await?;
        let (epoch, position) = (head.position.epoch, head.position.number);
        Ok(Self { log_id: head.log_id, epoch, position, event_id })
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // of numbers and ids
    }
}

/// What Kafka keeps of all partitions of the group. Blocks.
pub(in crate::kafka) fn committed(
    connection: &Connection,
    names: &TopicNames,
) -> Result<BTreeMap<Partition, Committed>, KafkaError> {
    let probe = Probe::connect(connection, names)?;
    let partitions = probe.partitions(&InboundTopic::ALL.map(InboundTopic::name))?;
    of(probe.consumer(), names, &partitions)
}

/// What Kafka keeps of these partitions, as a client of the group hears it. Blocks.
pub(super) fn of<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    names: &TopicNames,
    partitions: &[Partition],
) -> Result<BTreeMap<Partition, Committed>, KafkaError> {
    let mut wanted = TopicPartitionList::new();
    for (topic, partition) in partitions {
        wanted.add_partition(&names.prefixed(topic), *partition);
    }
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found = consumer.committed_offsets(wanted, ASK_TIMEOUT)?;
    let known = found.elements().into_iter().filter_map(|element| {
        let Offset::Offset(next) = element.offset() else { return None };
        let partition = (names.unprefixed(element.topic())?.to_owned(), element.partition());
        Some((
            partition,
            Committed { next, checkpoint: serde_json::from_str(element.metadata()).ok() },
        ))
    });
    Ok(known.collect())
}

/// Why what Kafka keeps of the group is ahead of the database; nothing where it is not. `stored` must be read after
/// `committed`.
pub(in crate::kafka) async fn ahead(
    pool: &PgPool,
    committed: &BTreeMap<Partition, Committed>,
    stored: &HashMap<Partition, StoredOffset>,
) -> Result<Option<String>, sqlx::Error> {
    let head = log::head(pool).await?;
    let ours = committed.iter().filter_map(|(partition, committed)| {
        let checkpoint = committed.checkpoint.as_ref()?;
        (checkpoint.log_id == head.log_id).then_some((partition, committed.next, checkpoint))
    });
    let ours: Vec<_> = ours.collect();
    let last = ours.iter().map(|(.., checkpoint)| *checkpoint);
    let Some(last) = last.max_by_key(|checkpoint| (checkpoint.epoch, checkpoint.position)) else {
        return Ok(None);
    };
    if last.epoch > head.position.epoch {
        return Ok(Some(format!(
            "messages were consumed in epoch {} of the log, which is in epoch {}: was the database restored?",
            last.epoch, head.position.epoch
        )));
    }
    if last.epoch < head.position.epoch {
        return Ok(None); // all of it is of a life that is over
    }
    if log::event_id_at(pool, last.position).await? != last.event_id {
        return Ok(Some(format!(
            "messages were consumed when the log ended at position {}, where it has another event or none now: was \
             the database restored?",
            last.position
        )));
    }
    for (partition, next, checkpoint) in ours {
        let (topic, id) = partition;
        let there = stored.get(partition);
        // An order of an operator has no fingerprint, and may go back.
        let ordered = there.is_some_and(|there| there.fingerprint.is_none());
        let known = there.map_or(0, |there| there.next_offset);
        if checkpoint.epoch == head.position.epoch && !ordered && next > known {
            return Ok(Some(format!(
                "{topic}, partition {id}, was consumed up to {next}, and the database knows of {known}: was the \
                 database restored?"
            )));
        }
    }
    Ok(None)
}

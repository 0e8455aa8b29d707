//! Where the partitions go on, held against what Kafka has: a topic that was deleted and made anew, and a retention
//! that overtook us, are noticed instead of read over.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::translate::bounded;
use crate::event_store::inbound::Record;
use crate::event_store::offsets::StoredOffset;
use crate::kafka::client::{ASK_TIMEOUT, Connection, Log};
use crate::kafka::topics::TopicNames;

/// How long the last records of all partitions may take to arrive.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long they may take while the partitions are read; after that they are looked at with more patience.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// A topic's name without its prefix, and a partition.
pub type Partition = (String, i32);

/// What was found of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The next record to be read; `None`: the first there is, because none was ever read.
    pub next: Option<i64>,
    /// The first record that Kafka still has.
    pub low: i64,
    /// The place behind the last.
    pub high: i64,
    /// Why the partition must not be read on, where it must not.
    pub red: Option<String>,
    /// The last record that was read, where it is still there.
    pub(super) mark: Option<Mark>,
}

/// A record that was read: as long as it is there, its partition is the one that it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) offset: i64,
    pub(super) fingerprint: String,
}

impl Mark {
    pub(super) fn of(record: &Record) -> Self {
        Self { offset: record.offset, fingerprint: record.fingerprint() }
    }
}

impl Found {
    /// How many records are still to be read.
    pub fn lag(&self) -> i64 {
        (self.high - self.next.unwrap_or(self.low)).max(0)
    }
}

/// Looks at partitions without being a member of the group. Every method blocks.
pub(super) struct Probe {
    consumer: BaseConsumer<Log>,
    names: TopicNames,
}

impl Probe {
    pub(super) fn connect(connection: &Connection, names: &TopicNames) -> Result<Self, KafkaError> {
        let mut config = connection.client_config();
        config
            .set("group.id", names.group()) // never joined and never committed to
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            // One batch is asked for, and the next question does not wait for what follows it.
            .set("max.partition.fetch.bytes", "1")
            .set("fetch.wait.max.ms", "10")
            .set("fetch.error.backoff.ms", "50");
        Ok(Self { consumer: config.create_with_context(Log)?, names: names.clone() })
    }

    /// Its client, for questions about the group.
    pub(super) fn consumer(&self) -> &BaseConsumer<Log> {
        &self.consumer
    }

    /// Whether a broker answers.
    pub(super) fn ping(&self) -> Result<(), KafkaError> {
        self.consumer.fetch_metadata(None, ASK_TIMEOUT).map(|_| ())
    }

    /// How many partitions the topics have that exist, by their names without the prefix.
    pub(super) fn partitions(&self, topics: &[&str]) -> Result<Vec<Partition>, KafkaError> {
        let metadata = self.consumer.fetch_metadata(None, ASK_TIMEOUT)?;
        let mut partitions = Vec::new();
        for topic in topics {
            let name = self.names.prefixed(topic);
            let found = metadata.topics().iter().find(|found| found.name() == name);
            let ids = found.into_iter().flat_map(rdkafka::metadata::MetadataTopic::partitions);
            partitions.extend(ids.map(|partition| ((*topic).to_owned(), partition.id())));
        }
        Ok(partitions)
    }

    /// What there is of these partitions, and whether it fits what is stored.
    pub(super) fn look(
        &self,
        partitions: &[Partition],
        stored: &HashMap<Partition, StoredOffset>,
    ) -> Result<BTreeMap<Partition, Found>, KafkaError> {
        let mut found = BTreeMap::new();
        let mut to_compare = BTreeMap::new();
        for partition in partitions {
            let (topic, id) = partition;
            let name = self.names.prefixed(topic);
            let (low, high) = self.consumer.fetch_watermarks(&name, *id, ASK_TIMEOUT)?;
            let stored = stored.get(partition);
            let next = stored.map(|stored| stored.next_offset);
            let red = next.and_then(|next| outside(topic, *id, next, low, high));
            if let Some(StoredOffset { next_offset, fingerprint: Some(fingerprint), .. }) = stored
                && red.is_none()
                && *next_offset > low
            {
                let (offset, fingerprint) = (next_offset - 1, fingerprint.clone());
                to_compare.insert(partition.clone(), Mark { offset, fingerprint });
            }
            found.insert(partition.clone(), Found { next, low, high, red, mark: None });
        }
        let mut there = self.marks(&to_compare, LOOK_TIMEOUT)?;
        for (partition, Mark { offset, fingerprint }) in to_compare {
            let Some(found) = found.get_mut(&partition) else { continue };
            found.mark = there.remove(&partition);
            let (topic, id) = &partition;
            if found.mark.as_ref().is_some_and(|mark| mark.fingerprint != fingerprint) {
                found.red = Some(remedy(
                    topic,
                    *id,
                    &format!(
                        "the record at {offset} of {topic}, partition {id}, is not the one that was read there: the \
                         topic was made anew"
                    ),
                ));
            }
        }
        Ok(found)
    }

    /// Whether all these records are there as they were. Where they are, what was read behind them before is of the
    /// same topic: one that was made anew meanwhile would not have them.
    pub(super) fn still_there(
        &self,
        marks: &BTreeMap<Partition, Mark>,
    ) -> Result<bool, KafkaError> {
        Ok(self.marks(marks, CHECK_TIMEOUT)? == *marks)
    }

    /// What lies at the places of these marks, as far as there are records.
    fn marks(
        &self,
        places: &BTreeMap<Partition, Mark>,
        patience: Duration,
    ) -> Result<BTreeMap<Partition, Mark>, KafkaError> {
        let mut found = BTreeMap::new();
        if places.is_empty() {
            return Ok(found);
        }
        let mut assignment = TopicPartitionList::new();
        let mut open: HashMap<(String, i32), (&Partition, i64)> = HashMap::new();
        for (partition, mark) in places {
            let (topic, id) = partition;
            let name = self.names.prefixed(topic);
            assignment.add_partition_offset(&name, *id, Offset::Offset(mark.offset))?;
            open.insert((name, *id), (partition, mark.offset));
        }
        self.consumer.assign(&assignment)?;
        let deadline = Instant::now() + patience;
        while !open.is_empty() {
            if Instant::now() >= deadline {
                self.consumer.unassign()?;
                return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
            }
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let place = (message.topic().to_owned(), message.partition());
                    if let Some((partition, offset)) = open.remove(&place)
                        && message.offset() == offset
                    {
                        let record = record_of(&message, &partition.0);
                        found.insert(partition.clone(), Mark::of(&record));
                    }
                }
                // Nothing there but what compaction or a transaction left.
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    let position = self.consumer.position()?;
                    open.retain(|(topic, id), (_, offset)| {
                        let at = position.find_partition(topic, *id).map(|found| found.offset());
                        !matches!(at, Some(Offset::Offset(at)) if at > *offset)
                    });
                }
                // Told by the client of its past, perhaps; the deadline tells whether Kafka is away now.
                Some(Err(error)) => tracing::debug!(%error, "a look at the partitions stumbled"),
                None => {}
            }
        }
        self.consumer.unassign()?;
        Ok(found)
    }
}

/// The record in a message of the client.
pub(super) fn record_of(message: &impl Message, topic: &str) -> Record {
    let headers = message.headers().map(|headers| {
        let header = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
        };
        headers.iter().map(header).collect()
    });
    Record {
        topic: topic.to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or_default().max(0),
        headers: bounded(headers.unwrap_or_default()),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
    }
}

fn outside(topic: &str, partition: i32, next: i64, low: i64, high: i64) -> Option<String> {
    let why = if next < low {
        format!(
            "the next record of {topic}, partition {partition}, is {next}, but Kafka keeps only those from {low} on: \
             {} records are lost to its retention",
            low - next
        )
    } else if next > high {
        format!(
            "{topic}, partition {partition}, was read up to {next}, but ends at {high}: the topic was made anew or \
             lost records"
        )
    } else {
        return None;
    };
    Some(remedy(topic, partition, &why))
}

fn remedy(topic: &str, partition: i32, why: &str) -> String {
    format!(
        "{why}. Say where to go on with `course-service inbound offsets set --topic {topic} --partition {partition} \
         --to beginning|end|OFFSET`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_within_what_kafka_has_is_good() {
        for (next, low, high) in [(0, 0, 0), (5, 5, 9), (9, 5, 9), (7, 0, 9)] {
            assert_eq!(outside("User-Creation", 3, next, low, high), None);
        }
    }

    #[test]
    fn a_place_outside_is_told_with_the_command_that_mends_it() {
        let lost = outside("User-Creation", 3, 4, 6, 9).unwrap();
        assert!(lost.contains("2 records are lost"), "{lost}");
        let anew = outside("User-Creation", 3, 10, 0, 9).unwrap();
        assert!(anew.contains("made anew"), "{anew}");
        for why in [lost, anew] {
            assert!(why.contains("inbound offsets set --topic User-Creation --partition 3"));
        }
    }
}

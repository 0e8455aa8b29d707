//! A `read_committed` consumer of the outgoing topics.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use course_service::kafka::topics::{Topic, TopicNames, TopicSettings};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::process::Broker;

/// How long it waits for what is missing.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long it looks whether there is more.
const QUIET: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(100);

/// A record that was read.
pub(super) struct Arrival {
    pub(super) key: String,
    pub(super) at: Instant,
}

/// See the module.
pub(super) struct Reader(BaseConsumer);

impl Reader {
    /// At the beginning of the topics.
    pub(super) fn connect(broker: &Broker, names: &TopicNames) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &broker.address)
            .set("group.id", names.prefixed("reader")) // never joined: only `assign` asks for a name
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create()?;
        let mut assignment = TopicPartitionList::new();
        for topic in Topic::ALL.map(|topic| names.topic(topic)) {
            for partition in 0..TopicSettings::default().partitions {
                assignment.add_partition_offset(&topic, partition, Offset::Beginning)?;
            }
        }
        consumer.assign(&assignment)?;
        Ok(Self(consumer))
    }

    /// Reads on until so many records have come, and then until no more come. Blocks.
    pub(super) fn read(&self, records: usize) -> anyhow::Result<Vec<Arrival>> {
        let mut arrivals = Vec::with_capacity(records);
        let mut last = Instant::now();
        while arrivals.len() < records || last.elapsed() < QUIET {
            if let Some(message) = self.0.poll(POLL) {
                let message = message?;
                last = Instant::now();
                let key = String::from_utf8_lossy(message.key().context("a record without key")?);
                arrivals.push(Arrival { key: key.into_owned(), at: last });
            }
            let count = arrivals.len();
            ensure!(last.elapsed() < PATIENCE, "{count} of {records} records came");
        }
        Ok(arrivals)
    }
}

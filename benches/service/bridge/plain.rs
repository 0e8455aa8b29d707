//! The floor: an idempotent producer with the settings of the bridge's own, but without transactions.

use std::time::Duration;

use course_service::kafka::contract::Outbound;
use course_service::kafka::topics::TopicNames;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DefaultProducerContext, FutureProducer, FutureRecord, Producer as _,
    ThreadedProducer,
};
use rdkafka::types::RDKafkaErrorCode;
use tokio::time::sleep;

use crate::process::Broker;

const POLL: Duration = Duration::from_millis(1);

/// Sends many records and waits for all of them.
pub(super) struct Bulk {
    producer: ThreadedProducer<DefaultProducerContext>,
    names: TopicNames,
}

impl Bulk {
    pub(super) fn connect(broker: &Broker, names: &TopicNames) -> anyhow::Result<Self> {
        let producer: ThreadedProducer<DefaultProducerContext> = settings(broker).create()?;
        producer.client().fetch_metadata(None, Duration::from_secs(5))?; // it is connected now
        Ok(Self { producer, names: names.clone() })
    }

    pub(super) fn send(&self, record: &Outbound) -> anyhow::Result<()> {
        let topic = self.names.topic(record.topic);
        let mut new = BaseRecord::to(&topic)
            .key(&record.key)
            .payload(&record.value)
            .headers(headers(record))
            .timestamp(record.timestamp.timestamp_millis());
        let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        while let Err((error, back)) = self.producer.send(new) {
            if error != full {
                return Err(error.into());
            }
            new = back;
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// What was not delivered is missed when the records are counted.
    pub(super) async fn delivered(&self) {
        while self.producer.in_flight_count() > 0 {
            sleep(POLL).await;
        }
    }
}

/// Sends records one by one, and tells of each when it is delivered.
#[derive(Clone)]
pub(super) struct Single {
    producer: FutureProducer,
    names: TopicNames,
}

impl Single {
    pub(super) fn connect(broker: &Broker, names: &TopicNames) -> anyhow::Result<Self> {
        Ok(Self { producer: settings(broker).create()?, names: names.clone() })
    }

    pub(super) async fn send(&self, record: &Outbound) -> anyhow::Result<()> {
        let topic = self.names.topic(record.topic);
        let new = FutureRecord::to(&topic)
            .key(&record.key)
            .payload(&record.value)
            .headers(headers(record))
            .timestamp(record.timestamp.timestamp_millis());
        self.producer.send(new, Duration::ZERO).await.map_err(|(error, _)| error)?;
        Ok(())
    }
}

/// Those of `kafka::bridge::producer`.
fn settings(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &broker.address)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.codec", "gzip")
        .set("compression.level", "1")
        .set("partitioner", "murmur2_random")
        .set("message.max.bytes", "1000000")
        .set("linger.ms", "5");
    config
}

fn headers(record: &Outbound) -> OwnedHeaders {
    let headers = OwnedHeaders::new_with_capacity(record.headers.len());
    record
        .headers
        .iter()
        .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

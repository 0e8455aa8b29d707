//! The transactional producer: records and the progress that they stand for, all or nothing.
//!
//! ## Decision: whatever goes wrong, begin anew
//! librdkafka tells abortable, retriable and fatal errors apart, and each asks for something else. We abort where that
//! frees readers sooner, and then always make a new producer: `init_transactions` ends what the old one left, and the
//! progress topic says what became of it. Price: some tenths of a second after a failure. What would change our mind:
//! failures that are part of normal operation.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;

use super::dead::{DeadLane, DeadRecord};
use super::progress::{LANE, Progress};
use crate::fault;
use crate::kafka::client::{ASK_TIMEOUT, Connection, Log};
use crate::kafka::contract::Outbound;
use crate::kafka::topics::TopicNames;

/// After this long the broker ends a transaction by itself, so that readers never wait longer for a dead instance.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
/// A new producer finds a coordinator that moved sooner than a patient one does.
const INIT_TIMEOUT: Duration = Duration::from_secs(6);
const ABORT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a commit is asked about before the progress topic is asked instead.
const COMMIT_PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(1);

/// A transaction did not succeed, or nobody knows.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProduceError {
    /// Another producer took over: this one may never write again.
    #[error("another instance took over")]
    Fenced(#[source] KafkaError),
    /// Anything else.
    #[error("Kafka did not take the transaction")]
    Failed(#[source] KafkaError),
    /// The progress could not be written as JSON.
    #[error("the progress could not be written")]
    Encode(#[source] serde_json::Error),
}

/// Remembers the first record that was not delivered.
#[derive(Default)]
struct Deliveries {
    failed: Mutex<Option<KafkaError>>,
}

impl Deliveries {
    fn take(&self) -> Option<KafkaError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Log.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| error.clone());
        }
    }
}

/// See the module. Every method blocks.
pub(super) struct Transactions {
    producer: BaseProducer<Deliveries>,
    names: TopicNames,
}

impl Transactions {
    /// Connects. Nobody is fenced yet.
    pub(super) fn connect(connection: &Connection, names: &TopicNames) -> Result<Self, KafkaError> {
        let mut config = connection.client_config();
        config
            .set("transactional.id", names.transactional_id())
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.as_millis().to_string())
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // kafkajs reads no other compression than gzip
            .set("compression.codec", "gzip")
            .set("compression.level", "1")
            // the hash of Java and kafkajs: other producers' records of a key are in the same partition
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", "1000000")
            .set("linger.ms", "5");
        let producer = config.create_with_context(Deliveries::default())?;
        Ok(Self { producer, names: names.clone() })
    }

    /// Which cluster this is.
    pub(super) fn cluster_id(&self) -> Result<String, KafkaError> {
        let id = self.producer.client().fetch_cluster_id(ASK_TIMEOUT);
        id.ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::AllBrokersDown))
    }

    /// Whether a broker answers: an idle producer does not notice that none does.
    pub(super) fn ping(&self) -> Result<(), KafkaError> {
        let topic = self.names.progress();
        self.producer.client().fetch_metadata(Some(&topic), ASK_TIMEOUT).map(|_| ())
    }

    /// Fences all earlier producers and ends what they left.
    pub(super) fn take_over(&self) -> Result<(), ProduceError> {
        self.producer.init_transactions(INIT_TIMEOUT).map_err(|error| self.classify(error))
    }

    /// Publishes `records` and notes `progress`, all or nothing. After an error the producer is of no more use, and
    /// only the progress topic knows what became of them.
    pub(super) fn publish(
        &self,
        records: &[Outbound],
        progress: &Progress,
    ) -> Result<(), ProduceError> {
        self.transaction(LANE, progress, || self.send_all(records))
    }

    /// The same for dead letters and the place of their lane.
    pub(super) fn publish_dead(
        &self,
        records: &[DeadRecord],
        progress: &Progress,
    ) -> Result<(), ProduceError> {
        self.transaction(DeadLane::NAME, progress, || self.send_dead(records))
    }

    fn transaction(
        &self,
        lane: &str,
        progress: &Progress,
        send: impl FnOnce() -> Result<(), KafkaError>,
    ) -> Result<(), ProduceError> {
        let value = serde_json::to_vec(progress).map_err(ProduceError::Encode)?;
        self.producer.context().take();
        self.producer.begin_transaction().map_err(|error| self.classify(error))?;
        fault::point(lane, "before produce");
        let delivered = send().and_then(|()| {
            fault::point(lane, "after produce");
            self.deliver(lane, &value)
        });
        let done = delivered.and_then(|()| {
            fault::point(lane, "before commit");
            self.commit()
        });
        fault::point(lane, "after commit");
        done.map_err(|error| {
            let error = self.classify(error);
            if matches!(&error, ProduceError::Failed(cause) if may_abort(cause)) {
                let _ = self.producer.abort_transaction(ABORT_TIMEOUT); // the next producer does it otherwise
            }
            error
        })
    }

    fn send_all(&self, records: &[Outbound]) -> Result<(), KafkaError> {
        for record in records {
            let (topic, key) = (self.names.topic(record.topic), record.key.as_bytes());
            self.send(|| {
                let headers = OwnedHeaders::new_with_capacity(record.headers.len());
                let headers = record.headers.iter().fold(headers, |headers, (key, value)| {
                    headers.insert(Header { key, value: Some(value) })
                });
                BaseRecord::to(&topic)
                    .key(key)
                    .payload(&record.value)
                    .headers(headers)
                    .timestamp(record.timestamp.timestamp_millis())
            })?;
        }
        Ok(())
    }

    fn send_dead(&self, records: &[DeadRecord]) -> Result<(), KafkaError> {
        for record in records {
            let topic = self.names.prefixed(&record.topic);
            self.send(|| {
                let headers = OwnedHeaders::new_with_capacity(record.headers.len());
                let headers = record.headers.iter().fold(headers, |headers, (key, value)| {
                    headers.insert(Header { key, value: Some(value) })
                });
                let mut new: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&topic).headers(headers);
                new.key = record.key.as_deref();
                new.payload = record.value.as_deref();
                new
            })?;
        }
        Ok(())
    }

    /// Sends the lane's place behind the records, and waits until all are delivered.
    fn deliver(&self, lane: &str, progress: &[u8]) -> Result<(), KafkaError> {
        let topic = self.names.progress();
        self.send(|| BaseRecord::to(&topic).partition(0).key(lane.as_bytes()).payload(progress))?;
        // Not `flush`: it serves deliveries in steps of 100 ms. Each record ends within the transaction's timeout.
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(POLL);
        }
        self.producer.context().take().map_or(Ok(()), Err)
    }

    fn send<'a, P: rdkafka::message::ToBytes + ?Sized + 'a>(
        &self,
        record: impl Fn() -> BaseRecord<'a, [u8], P>,
    ) -> Result<(), KafkaError> {
        let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
        let mut record = record();
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) if error == full => {
                    record = back;
                    self.producer.poll(POLL);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    fn commit(&self) -> Result<(), KafkaError> {
        let deadline = Instant::now() + COMMIT_PATIENCE;
        loop {
            match self.producer.commit_transaction(Timeout::Never) {
                Err(KafkaError::Transaction(error))
                    if error.is_retriable() && Instant::now() < deadline =>
                {
                    self.producer.poll(POLL * 50);
                }
                done => return done,
            }
        }
    }

    fn classify(&self, error: KafkaError) -> ProduceError {
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        let fenced = [error.rdkafka_error_code(), fatal].into_iter().flatten().any(|code| {
            matches!(
                code,
                RDKafkaErrorCode::Fenced
                    | RDKafkaErrorCode::ProducerFenced
                    | RDKafkaErrorCode::InvalidProducerEpoch
            )
        });
        if fenced { ProduceError::Fenced(error) } else { ProduceError::Failed(error) }
    }
}

/// Whether the transaction is known to be open still: not after a commit whose outcome is unknown.
fn may_abort(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.txn_requires_abort(),
        _ => true, // sending or delivering failed, so no commit was asked for
    }
}

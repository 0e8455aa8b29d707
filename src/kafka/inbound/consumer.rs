//! The consumer of the incoming topics: Kafka → intake, exactly once.
//!
//! Guarantees: the records of a partition have their effects in order, each once, whatever crashes, is paused or
//! joins. Where a partition goes on stands in Postgres and moves in the append that holds the effects; what Kafka
//! keeps of the group is information. A reader that lost its partitions without knowing is refused by that append.
//! Nothing is skipped: while Postgres or Kafka is away everything waits, and a partition that does not fit its place
//! stands still until somebody says where to go on.
//!
//! ## Decision: one thread polls, decides and appends in turn
//! So no record is under way while partitions come and go, and what is fetched ahead is bounded by the client. The
//! heartbeats are the client's own thread, and while the database is away the polling goes on with the partitions
//! paused. Price: fetching and appending overlap only as far as the client fetches ahead. What would change our mind:
//! an append that takes longer than the fetch before it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use sqlx::PgPool;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpoint;
use super::places::{Mark, Partition, Probe, record_of};
use super::seat::{DATABASE_TIMEOUT, Seat};
use super::translate::translate;
use crate::commands::intake::{Incoming, Intake, IntakeError, MAX_SLICE, Origin};
use crate::fault;
use crate::kafka::client::{Connection, chain};
use crate::kafka::topics::{self, InboundTopic, TopicError, TopicNames, TopicSettings};

/// The most records that are taken from the client at once.
const MAX_MESSAGES: usize = 5 * MAX_SLICE;
/// The most bytes of their values, beyond the first record.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// How long a poll waits for a first record.
const IDLE_POLL: Duration = Duration::from_millis(100);
/// How often an idle consumer asks whether Kafka and its topics are still there, so that `/readyz` tells.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How often red partitions are looked at again, and what Kafka keeps of the group is brought up to date.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(2);

/// What the consumer needs to know.
#[derive(Clone)]
pub struct InboundConfig {
    /// Where Kafka is.
    pub connection: Connection,
    /// What new topics are given.
    pub topics: TopicSettings,
    /// Put before every topic and the group; empty by default.
    pub prefix: String,
}

/// How the consumer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundState {
    /// It has not found out yet.
    Starting,
    /// It reads what there is.
    Running,
    /// It cannot work and keeps trying; nothing is skipped.
    Down {
        /// Why.
        why: String,
    },
}

/// What the consumer shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundStatus {
    /// How it is.
    pub state: InboundState,
    /// The partitions that this instance reads: how many records are left, where that is known.
    pub lag: BTreeMap<Partition, Option<i64>>,
    /// The partitions that stand still until somebody says where to go on, and why.
    pub red: BTreeMap<Partition, String>,
}

/// See the module.
pub struct Inbound {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) pool: PgPool,
    pub(super) intake: Intake,
    config: InboundConfig,
    pub(super) names: TopicNames,
    pub(super) status: watch::Sender<InboundStatus>,
}

/// Why the consumer has to begin anew.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error(transparent)]
    Topics(#[from] TopicError),
    #[error("Kafka cannot be reached")]
    Kafka(#[from] KafkaError),
}

impl Inbound {
    /// A consumer that gives to `intake`, and does nothing before [`Self::run`].
    pub fn new(pool: PgPool, intake: Intake, config: InboundConfig) -> Self {
        let status = watch::Sender::new(InboundStatus {
            state: InboundState::Starting,
            lag: BTreeMap::new(),
            red: BTreeMap::new(),
        });
        let names = TopicNames::with_prefix(&config.prefix);
        Self { shared: Arc::new(Shared { pool, intake, config, names, status }) }
    }

    /// Follows how the consumer is.
    pub fn status(&self) -> watch::Receiver<InboundStatus> {
        self.shared.status.subscribe()
    }

    /// Reads until `stop`. The slice that is being appended then still ends.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = FIRST_BACKOFF;
        while !stop.is_cancelled() {
            let Err(end) = self.shared.turn(&stop).await else { continue };
            let running = self.shared.status.borrow().state == InboundState::Running;
            backoff = if running { FIRST_BACKOFF } else { (backoff * 2).min(LAST_BACKOFF) };
            self.shared.down(&chain(&end));
            let _ = stop.run_until_cancelled(sleep(backoff)).await;
        }
    }
}

impl Shared {
    /// One membership in the group: from joining to the first failure of the client.
    async fn turn(self: &Arc<Self>, stop: &CancellationToken) -> Result<(), End> {
        let ensured =
            topics::ensure_inbound(&self.config.connection, &self.names, self.config.topics);
        let Some(ensured) = stop.run_until_cancelled(ensured).await else { return Ok(()) };
        ensured?;
        let (shared, runtime, stop) = (self.clone(), Handle::current(), stop.clone());
        let work = move || Member::join(shared, runtime)?.work(&stop);
        let worked = tokio::task::spawn_blocking(work).await;
        Ok(worked.unwrap_or(Err(KafkaError::Canceled))?)
    }

    pub(super) fn running(&self) {
        self.status.send_if_modified(|status| {
            let news = status.state != InboundState::Running;
            if news {
                tracing::info!("the consumer of incoming messages runs");
            }
            status.state = InboundState::Running;
            news
        });
    }

    pub(super) fn down(&self, why: &str) {
        self.status.send_if_modified(|status| {
            let state = InboundState::Down { why: why.to_owned() };
            let news = status.state != state;
            if news {
                tracing::error!(why, "the consumer of incoming messages stands still: {why}");
            }
            status.state = state;
            news
        });
    }
}

/// A member of the group. Every method blocks.
struct Member {
    consumer: BaseConsumer<Seat>,
}

impl Member {
    fn join(shared: Arc<Shared>, runtime: Handle) -> Result<Self, KafkaError> {
        let mut config = shared.config.connection.client_config();
        config
            .set("group.id", shared.names.group())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1500")
            .set("topic.metadata.refresh.interval.ms", "30000")
            // Bounds what is fetched ahead, so that a backlog does not fill the memory.
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.max.bytes", "16777216")
            .set("statistics.interval.ms", "1000");
        let topics = InboundTopic::ALL.map(|topic| shared.names.prefixed(topic.name()));
        let probe = Probe::connect(&shared.config.connection, &shared.names)?;
        let seat = Seat { shared, runtime, probe, held: Mutex::default(), highs: Mutex::default() };
        let consumer: BaseConsumer<Seat> = config.create_with_context(seat)?;
        consumer.subscribe(&topics.each_ref().map(String::as_str))?;
        Ok(Self { consumer })
    }

    fn seat(&self) -> &Seat {
        self.consumer.context()
    }

    fn work(&self, stop: &CancellationToken) -> Result<(), KafkaError> {
        let (mut looked, mut heard) = (Instant::now(), Instant::now());
        let mut backoff = FIRST_BACKOFF;
        while !stop.is_cancelled() {
            if let Some((code, why)) = self.consumer.client().fatal_error() {
                tracing::error!(%code, "the client of Kafka gave up: {why}");
                return Err(KafkaError::MessageConsumptionFatal(code));
            }
            if !self.seat().held().placed {
                let _ = self.gather(backoff); // serves rebalances; nothing is assigned
                backoff = (backoff * 2).min(LAST_BACKOFF);
                self.seat().place(&self.consumer);
                continue;
            }
            backoff = FIRST_BACKOFF;
            if looked.elapsed() >= LOOK_EVERY {
                looked = Instant::now();
                self.look();
            }
            if heard.elapsed() >= PING_EVERY {
                match self.seat().probe.ping() {
                    Ok(()) => {
                        self.seat().shared.running();
                        self.still_the_same(&[]);
                    }
                    Err(error) => self.seat().shared.down(&chain(&End::Kafka(error))),
                }
                heard = Instant::now();
            }
            if self.seat().held().ahead_of_us {
                // Without it nothing is read; what is wrong with Kafka shows in the next look.
                let told = self.tell_kafka(CommitMode::Sync);
                let mut held = self.seat().held();
                held.ahead_of_us = !told;
                held.placed &= told;
                continue;
            }
            let messages = self.gather(IDLE_POLL);
            if !messages.is_empty() {
                heard = Instant::now();
                if self.still_the_same(&messages) {
                    self.give(messages, stop);
                }
            }
        }
        self.tell_kafka(CommitMode::Sync);
        Ok(())
    }

    /// The records that are there, at most a few slices of them. None where partitions came or went meanwhile: what is
    /// still ours then comes again.
    fn gather(&self, patience: Duration) -> Vec<Incoming> {
        let generation = self.seat().held().generation;
        let mut messages = Vec::new();
        let mut bytes = 0;
        let mut patience = patience;
        while messages.len() < MAX_MESSAGES && bytes < MAX_BYTES {
            match self.consumer.poll(patience) {
                None => break,
                Some(Ok(message)) => {
                    bytes += message.payload_len();
                    if let Some(topic) = self.seat().shared.names.unprefixed(message.topic()) {
                        messages.push(translate(record_of(&message, topic), Origin::Topic));
                    }
                    patience = Duration::ZERO;
                }
                Some(Err(error)) => self.stumbled(&error),
            }
        }
        let held = self.seat().held();
        if held.generation == generation && held.placed { messages } else { Vec::new() }
    }

    /// Whether the topics are those that were read before. The client does not tell of a topic that was made anew
    /// while it reads: it goes on in the new one at the place where it was in the old one. But as long as the last
    /// record before that place is there, or where there was none the first one behind it, the messages are of the
    /// same topic. Asked after they came, so that nothing can come in between. Without messages all partitions are
    /// asked about.
    fn still_the_same(&self, messages: &[Incoming]) -> bool {
        let seat = self.seat();
        let known = seat.held().marks.clone();
        let mut marks = BTreeMap::new();
        for message in messages {
            let record = &*message.record;
            marks.entry((record.topic.clone(), record.partition)).or_insert_with_key(|partition| {
                known.get(partition).cloned().unwrap_or_else(|| Mark::of(record))
            });
        }
        if messages.is_empty() {
            marks = known;
        }
        match seat.probe.still_there(&marks) {
            Ok(true) => return true,
            Ok(false) => {
                tracing::warn!("a record that was read is not there any more; looking again");
            }
            Err(error) => {
                tracing::debug!(%error, "the topics were not looked at; looking again");
            }
        }
        seat.held().placed = false;
        false
    }

    /// What the client reports by itself.
    fn stumbled(&self, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        let lost = matches!(
            error.rdkafka_error_code(),
            Some(
                Code::AutoOffsetReset
                    | Code::OffsetOutOfRange
                    | Code::UnknownTopicOrPartition
                    | Code::UnknownPartition
                    | Code::UnknownTopic
            )
        );
        if lost {
            // The place is outside of what Kafka has, or the topic is gone.
            tracing::warn!(%error, "a partition cannot be read; looking again where it stands");
            self.seat().held().placed = false;
        } else {
            tracing::debug!(%error, "the consumer of incoming messages stumbled");
        }
    }

    /// Gives the messages their effects. While the database is away the partitions are paused and the client is
    /// polled on, so that we stay a member of the group.
    fn give(&self, mut messages: Vec<Incoming>, stop: &CancellationToken) {
        let seat = self.seat();
        let generation = seat.held().generation;
        let mut backoff = FIRST_BACKOFF;
        let (mut stumbled, mut paused) = (false, false);
        while !messages.is_empty() {
            let mut places = seat.held().places.clone();
            let given = seat.shared.intake.process(messages.clone(), &mut places);
            let given = seat.runtime.block_on(given);
            let mut marks = BTreeMap::new();
            messages.retain(|message| {
                let partition = (message.record.topic.clone(), message.record.partition);
                let place = places.get(&partition).copied().flatten();
                let open = place.is_none_or(|place| message.record.offset >= place);
                if !open {
                    marks.insert(partition, message.record.clone());
                }
                open
            });
            let marks = marks.into_iter().map(|(partition, record)| (partition, Mark::of(&record)));
            let mut held = seat.held();
            held.marks.extend(marks);
            held.places = places;
            drop(held);
            match given {
                Ok(_) => {
                    seat.shared.running();
                    break;
                }
                Err(IntakeError::Moved(moved)) => {
                    tracing::warn!(
                        ?moved,
                        "partitions stand elsewhere than was believed; looking again"
                    );
                    seat.held().placed = false;
                    return;
                }
                Err(error @ (IntakeError::Unavailable(_) | IntakeError::Failed(_))) => {
                    seat.shared.down(&chain(&error));
                    stumbled = true;
                    paused = paused || self.pause();
                    let _ = self.consumer.poll(backoff); // paused: only rebalances come
                    backoff = (backoff * 2).min(LAST_BACKOFF);
                }
            }
            if stop.is_cancelled() || seat.held().generation != generation {
                break;
            }
        }
        if stumbled && seat.held().generation == generation {
            // They are read from where they stand, paused no longer; what came all the same comes again.
            seat.held().placed = false;
        }
    }

    fn pause(&self) -> bool {
        let paused = self.consumer.assignment().and_then(|all| self.consumer.pause(&all));
        paused.is_ok()
    }

    /// Notices what an operator ordered, and shows how it is.
    fn look(&self) {
        let seat = self.seat();
        match seat.stored() {
            Ok(stored) => {
                let mut held = seat.held();
                let moved = held.partitions.iter().any(|partition| {
                    let now = stored.get(partition);
                    let place = held.places.get(partition).copied().flatten();
                    match held.red_since.get(partition) {
                        Some(seen) => now.map(|now| now.updated_at) != *seen,
                        None => now.map(|now| now.next_offset) != place,
                    }
                });
                held.placed &= !moved && !held.restored;
            }
            Err(why) => seat.shared.down(&why),
        }
        seat.show();
        self.tell_kafka(CommitMode::Async);
    }

    /// What Kafka keeps of the group is for people and their tools, and tells of a database that was put back: the
    /// places, and where the log ended then. Nothing is read from there. Whether it was told.
    fn tell_kafka(&self, mode: CommitMode) -> bool {
        let seat = self.seat();
        let places = {
            let held = seat.held();
            if held.places == held.told && !held.ahead_of_us || held.restored {
                return true;
            }
            held.places.clone()
        };
        let now = Checkpoint::now(&seat.shared.pool);
        let now = seat.runtime.block_on(async { timeout(DATABASE_TIMEOUT, now).await });
        let Ok(Ok(now)) = now else { return false };
        let mut list = TopicPartitionList::new();
        for ((topic, partition), place) in &places {
            if let Some(place) = *place {
                let topic = seat.shared.names.prefixed(topic);
                list.add_partition(&topic, *partition).set_metadata(now.text());
                let _ = list.set_partition_offset(&topic, *partition, Offset::Offset(place));
            }
        }
        if list.count() > 0 {
            fault::point("group", "before checkpoint");
            let committed = self.consumer.commit(&list, mode);
            fault::point("group", "after checkpoint");
            if let Err(error) = committed {
                tracing::debug!(%error, "the group's offsets were not committed");
                return false;
            }
        }
        seat.held().told = places;
        true
    }
}

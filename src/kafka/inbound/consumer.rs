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

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::statistics::Statistics;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use sqlx::PgPool;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::places::{Found, Partition, Probe, record_of};
use super::translate::translate;
use crate::commands::intake::{Incoming, Intake, IntakeError, MAX_SLICE, Origin, Places};
use crate::event_store::offsets::{self, StoredOffset};
use crate::kafka::client::{Connection, Log, chain};
use crate::kafka::topics::{self, InboundTopic, TopicError, TopicNames, TopicSettings};

/// The most bytes of values of one slice, beyond its first record.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// How long a poll waits for a first record.
const IDLE_POLL: Duration = Duration::from_millis(100);
/// How often an idle consumer asks whether Kafka is still there, so that `/readyz` tells.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How often red partitions are looked at again, and what Kafka keeps of the group is brought up to date.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const DATABASE_TIMEOUT: Duration = Duration::from_secs(5);
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

struct Shared {
    pool: PgPool,
    intake: Intake,
    config: InboundConfig,
    names: TopicNames,
    status: watch::Sender<InboundStatus>,
}

/// Why the consumer has to begin anew.
#[derive(Debug, thiserror::Error)]
enum End {
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

    fn running(&self) {
        self.status.send_if_modified(|status| {
            let news = status.state != InboundState::Running;
            if news {
                tracing::info!("the consumer of incoming messages runs");
            }
            status.state = InboundState::Running;
            news
        });
    }

    fn down(&self, why: &str) {
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
                    Ok(()) => self.seat().shared.running(),
                    Err(error) => self.seat().shared.down(&chain(&End::Kafka(error))),
                }
                heard = Instant::now();
            }
            let messages = self.gather(IDLE_POLL);
            if !messages.is_empty() {
                heard = Instant::now();
                self.give(messages, stop);
            }
        }
        self.tell_kafka(CommitMode::Sync);
        Ok(())
    }

    /// The records that are there, at most a slice of them. None where partitions came or went meanwhile: what is
    /// still ours then comes again.
    fn gather(&self, patience: Duration) -> Vec<Incoming> {
        let generation = self.seat().held().generation;
        let mut messages = Vec::new();
        let mut bytes = 0;
        let mut patience = patience;
        while messages.len() < MAX_SLICE && bytes < MAX_BYTES {
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

    /// What the client reports by itself.
    fn stumbled(&self, error: &KafkaError) {
        match error.rdkafka_error_code() {
            // The place is outside of what Kafka has, or the topic is gone: look again.
            Some(
                RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic,
            ) => {
                tracing::warn!(%error, "a partition cannot be read; looking again where it stands");
                self.seat().held().placed = false;
            }
            _ => tracing::debug!(%error, "the consumer of incoming messages stumbled"),
        }
    }

    /// Gives the messages their effects. While the database is away the partitions are paused and the client is
    /// polled on, so that we stay a member of the group.
    fn give(&self, mut messages: Vec<Incoming>, stop: &CancellationToken) {
        let seat = self.seat();
        let generation = seat.held().generation;
        let mut backoff = FIRST_BACKOFF;
        let mut paused = false;
        while !messages.is_empty() {
            let mut places = seat.held().places.clone();
            let given = seat.shared.intake.process(messages.clone(), &mut places);
            let given = seat.runtime.block_on(given);
            messages.retain(|message| {
                let partition = (message.record.topic.clone(), message.record.partition);
                let place = places.get(&partition).copied().flatten();
                place.is_none_or(|place| message.record.offset >= place)
            });
            seat.held().places = places;
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
                    paused = paused || self.pause();
                    let _ = self.consumer.poll(backoff); // paused: only rebalances come
                    backoff = (backoff * 2).min(LAST_BACKOFF);
                }
            }
            if stop.is_cancelled() || seat.held().generation != generation {
                break;
            }
        }
        if paused && seat.held().generation == generation {
            // What the pausing has dropped is fetched again from where the partitions stand.
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
                held.placed &= !moved;
            }
            Err(why) => seat.shared.down(&why),
        }
        seat.show();
        self.tell_kafka(CommitMode::Async);
    }

    /// What Kafka keeps of the group is for people and their tools: nothing here reads it.
    fn tell_kafka(&self, mode: CommitMode) {
        let places = {
            let mut held = self.seat().held();
            if held.places == held.told {
                return;
            }
            held.told = held.places.clone();
            held.told.clone()
        };
        let mut list = TopicPartitionList::new();
        for ((topic, partition), place) in places {
            if let Some(place) = place {
                let topic = self.seat().shared.names.prefixed(&topic);
                let _ = list.add_partition_offset(&topic, partition, Offset::Offset(place));
            }
        }
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, mode)
        {
            tracing::debug!(%error, "the group's offsets were not committed");
        }
    }
}

/// What a member holds: the partitions that the group gave it, and where they stand.
struct Seat {
    shared: Arc<Shared>,
    runtime: Handle,
    probe: Probe,
    held: Mutex<Held>,
    /// The ends of the partitions, as the client has last heard.
    highs: Mutex<BTreeMap<Partition, i64>>,
}

#[derive(Default)]
struct Held {
    /// Changes whenever partitions come, go or are placed anew.
    generation: u64,
    partitions: Vec<Partition>,
    /// Whether the client reads them from where they stand.
    placed: bool,
    places: Places,
    lows: BTreeMap<Partition, i64>,
    red: BTreeMap<Partition, String>,
    red_since: BTreeMap<Partition, Option<DateTime<Utc>>>,
    told: Places,
}

impl Seat {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self) -> Result<HashMap<Partition, StoredOffset>, String> {
        let found = offsets::find(&self.shared.pool, self.shared.intake.group());
        match self.runtime.block_on(async { timeout(DATABASE_TIMEOUT, found).await }) {
            Ok(Ok(stored)) => Ok(stored),
            Ok(Err(error)) => Err(chain(&IntakeError::from(error))),
            Err(_) => Err("the database does not answer".to_owned()),
        }
    }

    /// Reads the partitions from where they stand. One that does not fit its place stands still.
    fn place(&self, consumer: &BaseConsumer<Self>) {
        let partitions = self.held().partitions.clone();
        let placed = self.stored().and_then(|stored| {
            let found = self.probe.look(&partitions, &stored);
            Ok((found.map_err(|error| chain(&End::Kafka(error)))?, stored))
        });
        let mut list = TopicPartitionList::new();
        let mut held = self.held();
        held.generation += 1;
        match placed {
            Ok((found, stored)) => {
                held.places = found.iter().map(|(at, found)| (at.clone(), found.next)).collect();
                held.lows = found.iter().map(|(at, found)| (at.clone(), found.low)).collect();
                let red =
                    |(at, found): (&Partition, &Found)| Some((at.clone(), found.red.clone()?));
                let red: BTreeMap<Partition, String> = found.iter().filter_map(red).collect();
                for (partition, why) in &red {
                    if !held.red.contains_key(partition) {
                        tracing::error!(topic = partition.0, partition = partition.1, "{why}");
                    }
                }
                let since = |at: &Partition| stored.get(at).map(|stored| stored.updated_at);
                held.red_since = red.keys().map(|at| (at.clone(), since(at))).collect();
                for (partition, found) in found.iter().filter(|(_, found)| found.red.is_none()) {
                    let topic = self.shared.names.prefixed(&partition.0);
                    let from = found.next.map_or(Offset::Beginning, Offset::Offset);
                    let _ = list.add_partition_offset(&topic, partition.1, from);
                }
                held.red = red;
                held.placed = true;
                let mut highs = self.highs.lock().unwrap_or_else(PoisonError::into_inner);
                highs.extend(found.into_iter().map(|(at, found)| (at, found.high)));
            }
            Err(why) => {
                held.placed = false;
                self.shared.down(&why);
            }
        }
        if let Err(error) = consumer.assign(&list) {
            held.placed = false;
            self.shared.down(&chain(&End::Kafka(error)));
        }
        let placed = held.placed;
        drop(held);
        if placed {
            self.shared.running();
        }
        self.show();
    }

    fn show(&self) {
        let held = self.held();
        let highs = self.highs.lock().unwrap_or_else(PoisonError::into_inner);
        let lag = held.partitions.iter().map(|partition| {
            let next = held.places.get(partition).copied().flatten();
            let next = next.or_else(|| held.lows.get(partition).copied());
            let lag = highs.get(partition).zip(next).map(|(high, next)| (high - next).max(0));
            (partition.clone(), lag)
        });
        let (lag, red) = (lag.collect(), held.red.clone());
        self.shared.status.send_if_modified(|status| {
            let news = status.lag != lag || status.red != red;
            status.lag = lag;
            status.red = red;
            news
        });
    }
}

impl ClientContext for Seat {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Log.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let mut highs = self.highs.lock().unwrap_or_else(PoisonError::into_inner);
        for (topic, partitions) in &statistics.topics {
            let Some(topic) = self.shared.names.unprefixed(topic) else { continue };
            for (partition, figures) in &partitions.partitions {
                if figures.hi_offset >= 0 {
                    highs.insert((topic.to_owned(), *partition), figures.hi_offset);
                }
            }
        }
    }
}

impl ConsumerContext for Seat {
    /// Called by the thread that polls, so nothing of ours is under way. The protocol is the eager one: all partitions
    /// are given at once and taken at once.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let names = &self.shared.names;
        let given = what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let elements = partitions.elements();
        let known = elements.iter().filter(|_| given).filter_map(|element| {
            Some((names.unprefixed(element.topic())?.to_owned(), element.partition()))
        });
        let generation = self.held().generation + 1;
        *self.held() = Held { generation, partitions: known.collect(), ..Held::default() };
        if given {
            tracing::info!(partitions = partitions.count(), "partitions were assigned");
            self.place(consumer);
        } else {
            let _ = consumer.unassign();
            self.show();
        }
    }
}

//! What a member of the group holds: the partitions that the group gave it, and where they stand.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::checkpoint::{self, Committed};
use super::consumer::{End, Shared};
use super::places::{Found, Mark, Partition, Probe};
use crate::commands::intake::{IntakeError, Places};
use crate::event_store::offsets::{self, StoredOffset};
use crate::kafka::client::{Log, chain};
use crate::kafka::restore;

pub(super) const DATABASE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a member holds: the partitions that the group gave it, and where they stand.
pub(super) struct Seat {
    pub(super) shared: Arc<Shared>,
    pub(super) runtime: Handle,
    pub(super) probe: Probe,
    pub(super) held: Mutex<Held>,
    /// The ends of the partitions, as the client has last heard.
    pub(super) highs: Mutex<BTreeMap<Partition, i64>>,
}

#[derive(Default)]
pub(super) struct Held {
    /// Changes whenever partitions come, go or are placed anew.
    pub(super) generation: u64,
    pub(super) partitions: Vec<Partition>,
    /// Whether the client reads them from where they stand.
    pub(super) placed: bool,
    pub(super) places: Places,
    pub(super) lows: BTreeMap<Partition, i64>,
    pub(super) red: BTreeMap<Partition, String>,
    pub(super) red_since: BTreeMap<Partition, Option<DateTime<Utc>>>,
    pub(super) told: Places,
    /// Kafka keeps a place of the group that is ahead of ours, because an operator has sent us back: it is told of ours
    /// before anything is read, so that it is not taken for what a lost database knew.
    pub(super) ahead_of_us: bool,
    /// All partitions stand still because the database was put back to an earlier point.
    pub(super) restored: bool,
    /// The last record that was read of each partition, where it was still there when they were placed.
    pub(super) marks: BTreeMap<Partition, Mark>,
}

/// What there is of the partitions that a member holds.
struct Looked {
    found: BTreeMap<Partition, Found>,
    stored: HashMap<Partition, StoredOffset>,
    restored: bool,
    ahead_of_us: bool,
}

impl Seat {
    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stored(&self) -> Result<HashMap<Partition, StoredOffset>, String> {
        let found = offsets::find(&self.shared.pool, self.shared.intake.group());
        match self.runtime.block_on(async { timeout(DATABASE_TIMEOUT, found).await }) {
            Ok(Ok(stored)) => Ok(stored),
            Ok(Err(error)) => Err(chain(&IntakeError::from(error))),
            Err(_) => Err("the database does not answer".to_owned()),
        }
    }

    /// What there is of the partitions: for the database, for Kafka and for the group, which is asked first, so that
    /// it is never ahead by chance.
    fn look(&self, partitions: &[Partition]) -> Result<Looked, String> {
        let kafka = |error| chain(&End::Kafka(error));
        let names = &self.shared.names;
        let committed = checkpoint::of(self.probe.consumer(), names, partitions).map_err(kafka)?;
        let stored = self.stored()?;
        let ahead = checkpoint::ahead(&self.shared.pool, &committed, &stored);
        let ahead = match self.runtime.block_on(async { timeout(DATABASE_TIMEOUT, ahead).await }) {
            Ok(ahead) => ahead.map_err(|error| chain(&IntakeError::from(error)))?,
            Err(_) => return Err("the database does not answer".to_owned()),
        };
        let mut found = self.probe.look(partitions, &stored).map_err(kafka)?;
        if let Some(why) = &ahead {
            for found in found.values_mut() {
                found.red = Some(restore::remedy(why));
            }
        }
        let ahead_of_us = found.iter().any(|(partition, found)| {
            let next = committed.get(partition).map(Committed::next);
            next.is_some_and(|next| next > found.next.unwrap_or_default())
        });
        Ok(Looked { found, stored, restored: ahead.is_some(), ahead_of_us })
    }

    /// Reads the partitions from where they stand. One that does not fit its place stands still.
    pub(super) fn place(&self, consumer: &BaseConsumer<Self>) {
        let partitions = self.held().partitions.clone();
        let placed = self.look(&partitions);
        let mut list = TopicPartitionList::new();
        let mut held = self.held();
        held.generation += 1;
        match placed {
            Ok(Looked { found, stored, restored, ahead_of_us }) => {
                held.restored = restored;
                held.ahead_of_us = ahead_of_us;
                held.places = found.iter().map(|(at, found)| (at.clone(), found.next)).collect();
                held.lows = found.iter().map(|(at, found)| (at.clone(), found.low)).collect();
                let red =
                    |(at, found): (&Partition, &Found)| Some((at.clone(), found.red.clone()?));
                let red: BTreeMap<Partition, String> = found.iter().filter_map(red).collect();
                // What concerns the database as a whole is said once.
                for (partition, why) in red.iter().take(if restored { 1 } else { usize::MAX }) {
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
                let mark =
                    |(at, found): (&Partition, &Found)| Some((at.clone(), found.mark.clone()?));
                held.marks = found.iter().filter_map(mark).collect();
                held.placed = true;
                let mut highs = self.highs.lock().unwrap_or_else(PoisonError::into_inner);
                highs.extend(found.into_iter().map(|(at, found)| (at, found.high)));
            }
            Err(why) => {
                held.placed = false;
                self.shared.down(&why);
            }
        }
        // The client remembers pauses, also of partitions that it has given back meanwhile.
        if let Err(error) = consumer.resume(&list).and_then(|()| consumer.assign(&list)) {
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

    pub(super) fn show(&self) {
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

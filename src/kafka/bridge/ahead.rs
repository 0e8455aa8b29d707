//! What comes next: the log as batches of records, read and mapped ahead of what is published.
//!
//! Guarantees: batches come in log order, each of whole commands and with the position behind the last of them. Nothing
//! of them outlives the tenure: what was not published is read again.

use std::collections::VecDeque;

use sqlx::PgPool;
use tokio::time::Instant;

use super::end::End;
use super::gather::Gatherer;
use super::progress::Progress;
use crate::event_store::Recorded;
use crate::event_store::log;
use crate::kafka::contract::Outbound;

/// The most events that are read at once. At least the largest command, and many more: a transaction takes tens of
/// milliseconds however small it is, because each partition is a request of its own.
const MAX_EVENTS: i64 = 10_000;
/// Whoever reads so many is behind: there is likely more.
const MANY_EVENTS: usize = 500;
/// The most bytes of values of one batch, beyond its first command.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What one transaction publishes.
pub(super) struct Batch {
    /// None where the world hears nothing of its commands.
    pub(super) records: Vec<Outbound>,
    /// Behind its last command.
    pub(super) place: Progress,
    /// When its first command was read.
    since: Instant,
    bytes: usize,
}

/// See the module.
pub(super) struct Ahead {
    pool: PgPool,
    gatherer: Gatherer,
    /// How far the log was read.
    place: Progress,
    /// Only the last of them may be without records.
    batches: VecDeque<Batch>,
    /// Whether the last reading brought many events.
    behind: bool,
}

impl Ahead {
    /// Goes on behind `place`.
    pub(super) fn new(pool: PgPool, place: Progress) -> Self {
        let gatherer = Gatherer::new(pool.clone());
        Self { pool, gatherer, place, batches: VecDeque::new(), behind: false }
    }

    /// Whether the next batch has something to publish.
    pub(super) fn has_records(&self) -> bool {
        self.batches.front().is_some_and(|batch| !batch.records.is_empty())
    }

    /// Since when the next batch waits, if there is one.
    pub(super) fn since(&self) -> Option<Instant> {
        self.batches.front().map(|batch| batch.since)
    }

    /// The next batch.
    pub(super) fn take(&mut self) -> Option<Batch> {
        self.batches.pop_front()
    }

    /// Reads on while a transaction is under way, where there is likely more and no full batch waits. A bridge that is
    /// not behind reads afterwards instead: then the next transaction has all that was committed meanwhile.
    pub(super) async fn read_ahead(&mut self) -> Result<(), End> {
        if self.behind && self.batches.len() <= 1 {
            self.read_on().await?;
        }
        Ok(())
    }

    /// Reads on. Whether there was anything.
    pub(super) async fn read_on(&mut self) -> Result<bool, End> {
        let events = self.read().await?;
        self.behind = events.len() >= MANY_EVENTS;
        for command in events.chunk_by(|one, next| one.command_id == next.command_id) {
            let Some(last) = command.last() else { continue };
            let records = self.gatherer.command(command).await?;
            self.place = Progress {
                epoch: last.position.epoch,
                position: last.position.number,
                event_id: Some(last.event_id),
                ..self.place.clone()
            };
            self.add(records);
            // The rest is read again: a few large courses would fill the memory.
            if self.batches.len() > 2 {
                break;
            }
        }
        Ok(!events.is_empty())
    }

    /// What comes next. The event that we stand on is read along: after a restore of the database it may be another
    /// one, or gone, and what comes next would be no sequel to what is published.
    async fn read(&self) -> Result<Vec<Recorded>, End> {
        let (pool, here) = (&self.pool, &self.place);
        if here.position == 0 {
            return Ok(log::read_after(pool, 0, MAX_EVENTS).await?);
        }
        loop {
            let mut events = log::read_after(pool, here.position - 1, MAX_EVENTS + 1).await?;
            if events.first().map(|event| event.event_id) != here.event_id {
                return Err(End::Restored(here.position));
            }
            // An event that does not decode shows only where none stands before it.
            if events.len() > 1
                || log::read_after(pool, here.position, MAX_EVENTS).await?.is_empty()
            {
                events.remove(0);
                return Ok(events);
            }
        }
    }

    /// Adds the records of the command before [`Self::place`].
    fn add(&mut self, records: Vec<Outbound>) {
        let bytes: usize = records.iter().map(|record| record.value.len()).sum();
        let fits = |last: &&mut Batch| last.records.is_empty() || last.bytes + bytes <= MAX_BYTES;
        if let Some(last) = self.batches.back_mut().filter(fits) {
            last.records.extend(records);
            last.bytes += bytes;
            last.place = self.place.clone();
        } else {
            let (place, since) = (self.place.clone(), Instant::now());
            self.batches.push_back(Batch { records, place, since, bytes });
        }
    }
}

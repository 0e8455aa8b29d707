//! What an operator does about messages that did not become commands: dead letters and parked ones. The command line
//! and the API stand on it alike.
//!
//! Whatever is tried again goes through the [`Intake`], so a message has its effect exactly once, however many people
//! try it at the same time: who comes second is told that somebody has seen to it.

mod outcome;

use std::collections::{HashMap, HashSet};

use sqlx::PgPool;
use uuid::Uuid;

pub use self::outcome::{Fate, Outcome, Outcomes};
use super::intake::{Incoming, Intake, IntakeError, Origin};
use crate::domain::{Refusal, values};
use crate::event_store::dead_letters::{self, DeadLetter, Filter};
use crate::event_store::inbound::{Keep, Kept, Record};
use crate::event_store::parked::{self, KeptPage, Parked};

/// The most messages of one portion.
pub const MAX_IDS: usize = 200;
/// All bytes of a value.
const WHOLE: i32 = i32::MAX;

/// How incoming messages are read: what the workbench takes from the one who consumes them.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Reads a record.
    pub translate: fn(Record, Origin) -> Incoming,
    /// The names of all incoming topics.
    pub topics: Vec<&'static str>,
    /// Whether the messages of a topic are personal data.
    pub is_personal: fn(&Record) -> bool,
}

/// Where a message is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelf {
    /// It could not become a command.
    DeadLetters,
    /// It waits for what it refers to.
    Parked,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum WorkbenchError {
    /// What was asked for cannot be meant.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// There is no such incoming topic.
    #[error("topic must be one of {0}")]
    UnknownTopic(String),
    /// The messages could not be read.
    #[error("the database cannot be read")]
    Database(#[from] sqlx::Error),
    /// What is not known to be done may be asked for again.
    #[error(transparent)]
    Intake(#[from] IntakeError),
}

type Result<T> = std::result::Result<T, WorkbenchError>;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Workbench {
    pool: PgPool,
    intake: Intake,
    reading: Reading,
}

impl Workbench {
    /// Looks at what `pool` holds, and tries again through `intake`.
    pub fn new(pool: PgPool, intake: Intake, reading: Reading) -> Self {
        Self { pool, intake, reading }
    }

    /// Whether keys and values of a topic are personal data.
    pub fn is_personal(&self, record: &Record) -> bool {
        (self.reading.is_personal)(record)
    }

    /// A page of dead letters.
    pub async fn dead_letters(&self, filter: &Filter, page: &KeptPage) -> Result<Vec<DeadLetter>> {
        self.known(filter.topic.as_deref())?;
        Ok(dead_letters::list(&self.pool, filter, page).await?)
    }

    /// How many dead letters there are.
    pub async fn count_dead_letters(&self, filter: &Filter) -> Result<i64> {
        Ok(dead_letters::count(&self.pool, filter).await?)
    }

    /// Dead letters with these ids, whole, also those that somebody has seen to.
    pub async fn find_dead_letters(&self, ids: &[Uuid]) -> Result<Vec<DeadLetter>> {
        Ok(dead_letters::find(&self.pool, ids, WHOLE).await?)
    }

    /// A page of parked messages, of one topic where it is given.
    pub async fn parked(&self, topic: Option<&str>, page: &KeptPage) -> Result<Vec<Parked>> {
        self.known(topic)?;
        Ok(parked::list(&self.pool, topic, page).await?)
    }

    /// How many messages are parked, of one topic where it is given.
    pub async fn count_parked(&self, topic: Option<&str>) -> Result<i64> {
        Ok(parked::count_of(&self.pool, topic).await?)
    }

    /// Parked messages with these ids, whole.
    pub async fn find_parked(&self, ids: &[Uuid]) -> Result<Vec<Parked>> {
        Ok(parked::find(&self.pool, ids, WHOLE).await?)
    }

    /// Numbers and ids of those behind `after` that nobody has seen to, of one topic where it is given, in order.
    pub async fn open(
        &self,
        drawer: Shelf,
        topic: Option<&str>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, Uuid)>> {
        self.known(topic)?;
        Ok(match drawer {
            Shelf::DeadLetters => dead_letters::open_ids(&self.pool, topic, after, limit).await?,
            Shelf::Parked => parked::ids(&self.pool, topic, after, limit).await?,
        })
    }

    /// What would become of these if they were tried again now, one after the other. Nothing is written.
    pub async fn preview(&self, drawer: Shelf, ids: &[Uuid]) -> Result<Outcomes> {
        let ids = portion(ids)?;
        let messages = self.messages(drawer, &ids).await?;
        let previews = self.intake.preview(&messages).await?;
        let previews = messages.iter().zip(previews);
        let known =
            previews.map(|(message, preview)| Outcome::previewed(message.id(), preview)).collect();
        Ok(Outcomes { list: self.outcomes(drawer, &ids, known).await?, position: None })
    }

    /// Tries these again, in the order in which they came: redrives dead letters, releases parked messages. What cannot
    /// be read stays a dead letter, and what still refers to something missing stays parked or is parked.
    pub async fn retry(&self, drawer: Shelf, ids: &[Uuid], by: &str) -> Result<Outcomes> {
        let ids = portion(ids)?;
        let messages = self.messages(drawer, &ids).await?;
        let retried = self.intake.retry(messages, by).await?;
        let effects = retried.effects.into_iter();
        let known = effects.map(|(id, effect)| Outcome::of(id, Fate::Tried(effect))).collect();
        Ok(Outcomes { list: self.outcomes(drawer, &ids, known).await?, position: retried.position })
    }

    /// Takes these away for good, with their content. That it was done, by whom and why stays, as a dead letter.
    pub async fn discard(
        &self,
        drawer: Shelf,
        ids: &[Uuid],
        by: &str,
        reason: &str,
    ) -> Result<Outcomes> {
        values::reason(reason)?;
        if reason.trim().is_empty() {
            return Err(Refusal::invalid("reason", "must be 1 to 1,024 bytes of text").into());
        }
        let ids = portion(ids)?;
        let gone = match drawer {
            Shelf::DeadLetters => self.intake.discard(&ids, by, reason).await?,
            Shelf::Parked => {
                let parked = parked::find(&self.pool, &ids, WHOLE).await?.into_iter();
                let dead = parked.map(|one| {
                    let reason = format!("discarded while it waited for {}", one.waits_for);
                    let how = Keep::Dead { code: "DISCARDED", reason };
                    let (identity, record) = (one.identity, one.record);
                    (one.id, Kept { id: Uuid::now_v7(), identity, record, how })
                });
                self.intake.discard_parked(dead.collect(), by, reason).await?
            }
        };
        let known = gone.into_iter().map(|id| Outcome::of(id, Fate::Discarded)).collect();
        Ok(Outcomes { list: self.outcomes(drawer, &ids, known).await?, position: None })
    }

    /// Refuses a topic that is none of the incoming ones.
    fn known(&self, topic: Option<&str>) -> Result<()> {
        let topics = &self.reading.topics;
        if topic.is_some_and(|topic| !topics.contains(&topic)) {
            return Err(WorkbenchError::UnknownTopic(topics.join(", ")));
        }
        Ok(())
    }

    /// Those that are there and that nobody has seen to, in the order in which they came.
    async fn messages(&self, drawer: Shelf, ids: &[Uuid]) -> Result<Vec<Incoming>> {
        let translate = self.reading.translate;
        Ok(match drawer {
            Shelf::DeadLetters => {
                let letters = dead_letters::find(&self.pool, ids, WHOLE).await?.into_iter();
                let open = letters.filter(|letter| letter.settled.is_none());
                open.map(|one| translate(one.record, Origin::DeadLetter(one.id))).collect()
            }
            Shelf::Parked => {
                let parked = parked::find(&self.pool, ids, WHOLE).await?.into_iter();
                parked.map(|one| translate(one.record, Origin::Parked(one.id))).collect()
            }
        })
    }

    /// In the order of `ids`, with what is to be said of the others.
    async fn outcomes(
        &self,
        drawer: Shelf,
        ids: &[Uuid],
        known: Vec<Outcome>,
    ) -> Result<Vec<Outcome>> {
        let mut known: HashMap<Uuid, Outcome> =
            known.into_iter().map(|outcome| (outcome.id, outcome)).collect();
        let others: Vec<Uuid> = ids.iter().copied().filter(|id| !known.contains_key(id)).collect();
        if drawer == Shelf::DeadLetters && !others.is_empty() {
            for letter in dead_letters::find(&self.pool, &others, 0).await? {
                if let Some(settled) = letter.settled {
                    known.insert(letter.id, Outcome::of(letter.id, Fate::Settled(settled)));
                }
            }
        }
        let of = |id: &Uuid| known.remove(id).unwrap_or_else(|| Outcome::of(*id, Fate::Unknown));
        Ok(ids.iter().map(of).collect())
    }
}

/// Each id once, as long as they are not too many.
fn portion(ids: &[Uuid]) -> Result<Vec<Uuid>> {
    if ids.len() > MAX_IDS {
        return Err(Refusal::invalid("ids", "must be at most 200").into());
    }
    let mut seen = HashSet::new();
    Ok(ids.iter().copied().filter(|id| seen.insert(*id)).collect())
}

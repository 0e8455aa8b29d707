//! Messages of other services become events, each with its effect exactly once.
//!
//! A slice of messages is decided as one, each message on what the one before it leaves, and appended as one: events,
//! claims, refusals, parked messages, dead letters, and the places where the partitions go on. What was read is only a
//! guess; where the log says otherwise nothing is appended and the slice is decided again. After a lost connection
//! too: the claims tell which messages had their effect.
//!
//! ## Decision: a slice is one chain, beside the mailboxes
//! Its messages are about many courses, and the place of a partition moves with all of them or not at all. A command
//! to one of the courses makes the slice stale, which costs one more round; the streams of users and enrollments that
//! slices write are seldom written by anybody else. What would change our mind: a slice that is stale again and again.

mod draft;
mod loaded;
mod verdict;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use uuid::Uuid;

use self::draft::{Draft, INBOX};
use self::loaded::{Loaded, StateCache};
use super::awaited::Awaited;
use crate::domain::Event;
use crate::domain::Refusal;
use crate::domain::report::{Report, Stamp};
use crate::event_store::append::is_transient;
use crate::event_store::inbound::{
    InboundLog, Keep, Kept, OffsetMove, Record, Settle, Slice, SliceOutcome,
};
use crate::event_store::proposal::KeyAct;
use crate::event_store::stream::{LoadError, Streams};
use crate::event_store::{KeyUse, Metadata, Position, Proposal, keys};

/// The most messages that are decided as one.
pub const MAX_SLICE: usize = 200;
/// How long the claims of messages are kept: one that comes again within this time has no second effect.
pub const CLAIMS_KEPT_FOR: Duration = Duration::from_hours(30 * 24);
/// The keys of the write side are not as it wrote them.
const UNDECIDED: &str = "a message could not be decided although nothing is missing";
/// A slice that is stale so often is cut in half, so that a busy course holds up nobody else for long.
const STALE_BEFORE_CUT: u32 = 3;

/// A message, read.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Where it comes from now.
    pub origin: Origin,
    /// What tells it from other messages: two with the same have their effect once.
    pub identity: String,
    /// As it lies in its topic.
    pub record: Arc<Record>,
    /// What it says.
    pub content: Result<Reported, Unreadable>,
}

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Its topic: the partition moves on behind it.
    Topic,
    /// It was parked.
    Parked(Uuid),
    /// It was a dead letter.
    DeadLetter(Uuid),
}

/// What a message says.
#[derive(Debug, Clone)]
pub struct Reported {
    /// How new it is.
    pub stamp: Stamp,
    /// What is reported.
    pub report: Report,
    /// What its events carry of it.
    pub metadata: Metadata,
}

/// A message that says nothing that can be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// A stable code.
    pub code: &'static str,
    /// A sentence, without anything of its content.
    pub reason: String,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// It became events.
    Applied,
    /// It says what is known.
    Unchanged,
    /// Something newer is known.
    Outdated,
    /// The domain refuses it. Recorded, not tried again.
    Refused(Refusal),
    /// It waits for this.
    Parked(Awaited),
    /// It is a dead letter, for this reason.
    Dead(Unreadable),
    /// The same message had its effect before.
    Duplicate,
}

impl Effect {
    /// Its name in metrics and claims. Stored: never rename.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Outdated => "outdated",
            Self::Refused(_) => "refused",
            Self::Parked(_) => "parked",
            Self::Dead(_) => "dead",
            Self::Duplicate => "duplicate",
        }
    }
}

/// An effect with the events that make it.
#[derive(Debug, Clone)]
pub struct Preview {
    /// What would become of the message.
    pub effect: Effect,
    /// The events that would be appended.
    pub events: Vec<Event>,
}

/// What became of kept messages that somebody tried again.
#[derive(Debug, Clone, Default)]
pub struct Retried {
    /// The effect of each that was still there, by the id under which it was kept.
    pub effects: HashMap<Uuid, Effect>,
    /// Where the log ended then; none where none was there.
    pub position: Option<Position>,
}

/// Where each partition stands, as its reader believes.
pub type Places = HashMap<(String, i32), Option<i64>>;

/// Why a slice has no effect.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The database cannot be reached. Nothing is known to be appended; trying again is safe.
    #[error("the database cannot be reached")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// Partitions stand elsewhere than their reader believes: another reader took them over, or an operator moved them.
    #[error("{} partitions stand elsewhere than was believed", .0.len())]
    Moved(Vec<(String, i32, Option<i64>)>),
    /// The log cannot be read or written, and trying again will not help by itself.
    #[error("the log cannot be read or written")]
    Failed(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl From<sqlx::Error> for IntakeError {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) {
            Self::Unavailable(Arc::new(error))
        } else {
            Self::Failed(Arc::new(error))
        }
    }
}

impl From<LoadError> for IntakeError {
    fn from(error: LoadError) -> Self {
        if error.is_transient() {
            Self::Unavailable(Arc::new(error))
        } else {
            Self::Failed(Arc::new(error))
        }
    }
}

/// The write side of incoming messages in one instance. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    inner: Arc<Inner>,
}

/// Hears of a message its topic and [`Effect::name`].
type Observe = dyn Fn(&str, &'static str) + Send + Sync;

struct Inner {
    pool: PgPool,
    log: InboundLog,
    streams: Streams,
    cache: StateCache,
    group: String,
    observe: Box<Observe>,
}

impl Intake {
    /// Decides on what `pool` holds and appends through `log`, for the consumer group `group`. `observe` hears of each
    /// message its topic and [`Effect::name`].
    pub fn new(
        pool: PgPool,
        log: InboundLog,
        group: &str,
        observe: impl Fn(&str, &'static str) + Send + Sync + 'static,
    ) -> Self {
        let inner = Inner {
            streams: Streams::new(pool.clone()),
            pool,
            log,
            cache: StateCache::default(),
            group: group.to_owned(),
            observe: Box::new(observe),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        &self.inner.group
    }

    /// Gives the messages their effects, in order, in slices of at most [`MAX_SLICE`]. `places` says where the
    /// partitions of messages from topics stand, and moves with each slice. Messages that another instance has dealt
    /// with meanwhile have no effect.
    ///
    /// # Errors
    /// Slices before the one that fails are appended, as `places` says; the rest may be given again.
    pub async fn process(
        &self,
        messages: Vec<Incoming>,
        places: &mut Places,
    ) -> Result<Vec<Effect>, IntakeError> {
        let taken = self.take(messages, places, None).await?;
        Ok(taken.effects.into_iter().map(|(_, effect)| effect).collect())
    }

    /// Gives kept messages their effects, in order, because somebody wants it: their name is recorded. Messages that
    /// are not there any more have none.
    ///
    /// # Errors
    /// As [`Self::process`]. What had its effect before keeps it.
    pub async fn retry(&self, messages: Vec<Incoming>, by: &str) -> Result<Retried, IntakeError> {
        let by = Some((by.to_owned(), None));
        let taken = self.take(messages, &mut Places::new(), by).await?;
        let Taken { effects, position } = taken;
        Ok(Retried { effects: effects.into_iter().collect(), position })
    }

    async fn take(
        &self,
        messages: Vec<Incoming>,
        places: &mut Places,
        by: Option<(String, Option<String>)>,
    ) -> Result<Taken, IntakeError> {
        let mut slices: Vec<Vec<Incoming>> =
            messages.chunks(MAX_SLICE).rev().map(<[Incoming]>::to_vec).collect();
        let mut effects = Vec::with_capacity(messages.len());
        let mut position = None;
        while let Some(mut slice) = slices.pop() {
            match self.slice(&slice, places, by.as_ref()).await? {
                Sliced::Done(done, at) => {
                    for (message, effect) in slice.iter().zip(&done) {
                        (self.inner.observe)(&message.record.topic, effect.name());
                    }
                    effects.extend(slice.iter().map(Incoming::id).zip(done));
                    position = at.or(position);
                }
                Sliced::Cut if slice.len() > 1 => {
                    let second = slice.split_off(slice.len() / 2);
                    slices.push(second);
                    slices.push(slice);
                }
                Sliced::Cut => slices.push(slice),
                Sliced::Without(gone) => {
                    slice.retain(|message| !gone.contains(&message.id()));
                    slices.push(slice);
                }
                Sliced::Rejected(error) => match slice.as_mut_slice() {
                    [one] if one.content.is_ok() => {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(error, "the database refuses the effect of a message");
                        one.content = Err(Unreadable {
                            code: "REJECTED",
                            reason: "the database refuses its effect".to_owned(),
                        });
                        slices.push(slice);
                    }
                    [_] => return Err(IntakeError::Failed(Arc::new(error))),
                    _ => {
                        let second = slice.split_off(slice.len() / 2);
                        slices.push(second);
                        slices.push(slice);
                    }
                },
            }
        }
        Ok(Taken { effects, position })
    }

    /// What would become of the messages, one after the other, as the log is now; nothing is written.
    pub async fn preview(&self, messages: &[Incoming]) -> Result<Vec<Preview>, IntakeError> {
        let (draft, effects) = self.decide(messages, None).await?;
        let proposals = draft.proposals();
        let events = |place: usize| {
            let events = proposals.iter().filter(|(of, _)| *of == place);
            events.flat_map(|(_, proposal)| &proposal.events).map(|new| new.event.clone()).collect()
        };
        let previews = effects.into_iter().enumerate();
        Ok(previews.map(|(place, effect)| Preview { effect, events: events(place) }).collect())
    }

    /// Takes dead letters away for good, with their content. Returns those that were there.
    pub async fn discard(
        &self,
        letters: &[Uuid],
        by: &str,
        reason: &str,
    ) -> Result<Vec<Uuid>, IntakeError> {
        let settled =
            letters.iter().map(|id| Settled { id: *id, how: Settle::Discarded, becomes: None });
        self.settle(settled.collect(), Some((by.to_owned(), Some(reason.to_owned())))).await
    }

    /// Takes parked messages away for good: each becomes a discarded dead letter, so that it is known what became of
    /// it. Returns those that were there.
    pub async fn discard_parked(
        &self,
        parked: Vec<(Uuid, Kept)>,
        by: &str,
        reason: &str,
    ) -> Result<Vec<Uuid>, IntakeError> {
        let settled = parked.into_iter().map(Settled::unparked).collect();
        self.settle(settled, Some((by.to_owned(), Some(reason.to_owned())))).await
    }

    /// Parked messages that waited for too long become dead letters. Returns how many.
    pub async fn expire(&self, parked: Vec<(Uuid, Kept)>) -> Result<usize, IntakeError> {
        let settled = parked.into_iter().map(Settled::unparked).collect();
        Ok(self.settle(settled, None).await?.len())
    }

    /// Forgets claims that are older than `age`. Returns how many.
    pub async fn forget_claims(&self, age: Duration) -> Result<u64, IntakeError> {
        Ok(keys::forget(&self.inner.pool, INBOX, age).await?)
    }

    /// What becomes a dead letter because somebody wants to be rid of it is a discarded one from the start.
    async fn settle(
        &self,
        mut settled: Vec<Settled>,
        by: Option<(String, Option<String>)>,
    ) -> Result<Vec<Uuid>, IntakeError> {
        loop {
            let letters = settled.iter().filter_map(|one| one.becomes.as_ref());
            let discarded = letters.clone().filter(|_| by.is_some());
            let discarded = discarded.map(|letter| (letter.id, Settle::Discarded));
            let slice = Slice {
                group: self.inner.group.clone(),
                settled: settled
                    .iter()
                    .map(|one| (one.id, one.how.clone()))
                    .chain(discarded)
                    .collect(),
                kept: letters.cloned().collect(),
                by: by.clone(),
                ..Slice::default()
            };
            let SliceOutcome::Gone(gone) = self.inner.log.append(&slice).await? else {
                return Ok(settled.into_iter().map(|one| one.id).collect());
            };
            settled.retain(|one| !gone.contains(&one.id));
        }
    }

    async fn slice(
        &self,
        messages: &[Incoming],
        places: &mut Places,
        by: Option<&(String, Option<String>)>,
    ) -> Result<Sliced, IntakeError> {
        if messages.is_empty() {
            return Ok(Sliced::Done(Vec::new(), None));
        }
        for _ in 0..STALE_BEFORE_CUT {
            let (draft, effects) = self.decide(messages, Some(&self.inner.cache)).await?;
            let offsets = moves(messages, places);
            let slice = draft.slice(&self.inner.group, offsets.clone());
            let slice = Slice { by: by.cloned(), ..slice };
            match self.inner.log.append(&slice).await {
                Ok(SliceOutcome::Appended(position)) => {
                    draft.keep_in(&self.inner.cache);
                    for moved in offsets {
                        places.insert((moved.topic, moved.partition), Some(moved.next));
                    }
                    return Ok(Sliced::Done(effects, Some(position)));
                }
                Ok(SliceOutcome::Stale(streams)) => self.inner.cache.forget(&streams),
                Ok(SliceOutcome::Keys) => {}
                Ok(SliceOutcome::Moved(moved)) => return Err(IntakeError::Moved(moved)),
                Ok(SliceOutcome::Gone(gone)) => return Ok(Sliced::Without(gone)),
                Err(error) if is_transient(&error) => return Err(error.into()),
                Err(error) => return Ok(Sliced::Rejected(error)),
            }
        }
        Ok(Sliced::Cut)
    }

    /// Decides until nothing is missing: what a message needs may hang on what another need has brought. Without a
    /// cache it is a preview.
    async fn decide(
        &self,
        messages: &[Incoming],
        cache: Option<&StateCache>,
    ) -> Result<(Draft, Vec<Effect>), IntakeError> {
        let mut loaded = Arc::new(Loaded::default());
        loop {
            let mut draft = Draft::new(loaded.clone());
            let effects: Vec<Option<Effect>> =
                messages.iter().enumerate().map(|(place, m)| draft.take(place, m)).collect();
            if draft.needs().is_empty() {
                // A message without an effect must not be passed over in silence.
                let effects: Option<Vec<Effect>> = effects.into_iter().collect();
                let undecided = || Box::<dyn std::error::Error + Send + Sync>::from(UNDECIDED);
                let effects = effects.ok_or_else(|| IntakeError::Failed(undecided().into()))?;
                return Ok((draft, effects));
            }
            let needs = draft.into_needs();
            let inner = &self.inner;
            Arc::make_mut(&mut loaded).load(needs, &inner.pool, &inner.streams, cache).await?;
        }
    }
}

/// A kept message that somebody settles without trying it.
struct Settled {
    id: Uuid,
    how: Settle,
    /// The dead letter that takes its place.
    becomes: Option<Kept>,
}

impl Settled {
    fn unparked((id, letter): (Uuid, Kept)) -> Self {
        Self { id, how: Settle::Unparked, becomes: Some(letter) }
    }
}

/// What became of messages, in order, each with the id under which it was kept.
struct Taken {
    effects: Vec<(Uuid, Effect)>,
    position: Option<Position>,
}

/// What became of a slice, where the database answered.
enum Sliced {
    /// Appended; the log ends there now.
    Done(Vec<Effect>, Option<Position>),
    /// It was stale too often.
    Cut,
    /// These kept messages are no longer there.
    Without(Vec<Uuid>),
    /// The database refuses the content.
    Rejected(sqlx::Error),
}

impl Incoming {
    /// The id under which it was kept; nil where it was not.
    pub(super) fn id(&self) -> Uuid {
        match self.origin {
            Origin::Topic => Uuid::nil(),
            Origin::Parked(id) | Origin::DeadLetter(id) => id,
        }
    }
}

/// How the partitions move behind these messages.
fn moves(messages: &[Incoming], places: &Places) -> Vec<OffsetMove> {
    let mut last: HashMap<(&str, i32), &Record> = HashMap::new();
    for message in messages.iter().filter(|message| message.origin == Origin::Topic) {
        let record = &*message.record;
        last.insert((&record.topic, record.partition), record);
    }
    let moves = last.into_values().map(|record| OffsetMove {
        topic: record.topic.clone(),
        partition: record.partition,
        expected: places.get(&(record.topic.clone(), record.partition)).copied().flatten(),
        next: record.offset + 1,
        fingerprint: record.fingerprint(),
    });
    let mut moves: Vec<OffsetMove> = moves.collect();
    moves.sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
    moves
}

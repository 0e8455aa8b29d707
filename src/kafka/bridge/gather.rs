//! From events to records: each command's messages, with the states of its courses that the contract asks for.
//!
//! The states are folds of the log, never read models, and are kept from command to command in a cache bounded in
//! bytes. An entry is only a shortcut: it is used for the next event of its stream and for nothing else.

use cqrs_es::Aggregate;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use sqlx::PgPool;

use crate::domain::Course;
use crate::domain::Event;
use crate::event_store::Recorded;
use crate::event_store::StreamId;
use crate::event_store::log;
use crate::event_store::log::ReadError;
use crate::kafka::contract;
use crate::kafka::contract::Outbound;
use crate::kafka::contract::Planned;
use crate::kafka::contract::Untellable;

const CACHE_BYTES: u64 = 16 * 1024 * 1024;
const ESTIMATED_COURSES: usize = 8_000;

/// A command cannot be turned into records.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// A stream could not be read.
    #[error("the stream of a course could not be read")]
    Read(#[from] ReadError),
    /// The log breaks its own rules.
    #[error("the event at position {position} cannot be published")]
    Untellable {
        /// Its place.
        position: i64,
        /// Why.
        #[source]
        source: Untellable,
    },
}

struct Entry {
    course: Course,
    weight: u64,
}

#[derive(Clone)]
struct ByWeight;

impl Weighter<StreamId, Entry> for ByWeight {
    fn weight(&self, _: &StreamId, entry: &Entry) -> u64 {
        entry.weight
    }
}

/// See the module. Public for the benchmarks, which map the log without the rest of the bridge.
pub struct Gatherer {
    pool: PgPool,
    courses: Cache<StreamId, Entry, ByWeight>,
}

impl Gatherer {
    /// Knows no course yet, and reads those that it needs through `pool`.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, courses: Cache::with_weighter(ESTIMATED_COURSES, CACHE_BYTES, ByWeight) }
    }

    /// The records of one command, given all its events.
    pub async fn command(&mut self, command: &[Recorded]) -> Result<Vec<Outbound>, GatherError> {
        let mut records = Vec::new();
        let mut planned = contract::plan(command).into_iter().peekable();
        for recorded in command {
            let here = |next: &Planned<'_>| next.last().position == recorded.position;
            let messages: Vec<Planned<'_>> =
                std::iter::from_fn(|| planned.next_if(|next| here(next))).collect();
            let tell = |course: Option<&Course>| {
                let rendered = messages.iter().map(|message| message.render(course));
                let rendered: Result<Vec<Outbound>, _> = rendered.collect();
                rendered.map_err(|source| GatherError::Untellable {
                    position: recorded.position.number,
                    source,
                })
            };
            let Event::Course(event) = &recorded.event else {
                records.extend(tell(None)?);
                continue;
            };
            let mut course = self.before(recorded).await?;
            let needs = messages.first().and_then(Planned::needs);
            if needs.is_some_and(|(_, sequence)| sequence < recorded.sequence) {
                records.extend(tell(Some(&course))?);
                course.apply(event.clone());
            } else {
                course.apply(event.clone());
                records.extend(tell(Some(&course))?);
            }
            let entry = Entry { weight: weight(&course), course };
            self.courses.insert(recorded.stream.clone(), entry);
        }
        Ok(records)
    }

    /// The course just before this event of it.
    async fn before(&mut self, recorded: &Recorded) -> Result<Course, ReadError> {
        let version = recorded.sequence - 1;
        let known = self.courses.remove(&recorded.stream).map(|(_, entry)| entry.course);
        if let Some(course) = known.filter(|course| course.version == version) {
            return Ok(course);
        }
        let mut course = Course::default();
        if version > 0 {
            for earlier in log::read_stream(&self.pool, &recorded.stream, version).await? {
                if let Event::Course(event) = earlier.event {
                    course.apply(event);
                }
            }
        }
        Ok(course)
    }
}

/// About how many bytes a course takes in memory.
fn weight(course: &Course) -> u64 {
    let modules: usize = course.modules.iter().map(|module| module.outgoing_bytes() + 128).sum();
    u64::try_from(course.outgoing_bytes() + modules + 512).unwrap_or(u64::MAX)
}

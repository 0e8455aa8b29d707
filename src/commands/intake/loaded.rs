//! What a slice is decided on: the streams, keys and keys of persons that it asked for. All of it only a guess.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sqlx::PgPool;

use super::IntakeError;
use crate::domain::{Course, Enrollment, StreamType, User};
use crate::event_store::StreamId;
use crate::event_store::keys;
use crate::event_store::personal::{self, SubjectKey};
use crate::event_store::stream::Streams;

const CACHE_BYTES: u64 = 24 * 1024 * 1024;
const ESTIMATED_STREAMS: usize = 16_000;

/// The fold of a stream that reports are about.
#[derive(Debug, Clone)]
pub(super) enum State {
    Course(Arc<Course>),
    Enrollment(Arc<Enrollment>),
    User(Arc<User>),
}

impl State {
    pub(super) fn version(&self) -> u64 {
        match self {
            Self::Course(course) => course.version,
            Self::Enrollment(enrollment) => enrollment.version,
            Self::User(user) => user.version,
        }
    }

    /// About how many bytes it takes in memory.
    fn bytes(&self) -> usize {
        match self {
            Self::Course(course) => {
                let modules = course.modules.iter().map(|module| module.outgoing_bytes() + 200);
                1_000 + course.outgoing_bytes() + modules.sum::<usize>()
            }
            Self::Enrollment(enrollment) => {
                let grades = enrollment
                    .results
                    .values()
                    .map(|result| 400 + 200 * result.submissions.len() + 200 * result.older.len());
                500 + 60 * enrollment.completed.len() + grades.sum::<usize>()
            }
            Self::User(_) => 600,
        }
    }
}

/// A place of the write side's keys.
pub(super) type Key = (&'static str, String);

/// What is missing for a decision.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) keys: BTreeSet<Key>,
    pub(super) streams: BTreeSet<StreamId>,
    pub(super) persons: BTreeSet<String>,
}

impl Needs {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.streams.is_empty() && self.persons.is_empty()
    }
}

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Loaded {
    pub(super) keys: HashMap<Key, Option<String>>,
    pub(super) streams: HashMap<StreamId, State>,
    pub(super) persons: HashMap<String, SubjectKey>,
}

impl Loaded {
    /// Brings what is missing, a statement for each kind of it. Without a cache it is for a preview: nothing comes from
    /// memory, which may be behind, and no keys of persons are made.
    pub(super) async fn load(
        &mut self,
        needs: Needs,
        pool: &PgPool,
        streams: &Streams,
        cache: Option<&StateCache>,
    ) -> Result<(), IntakeError> {
        if !needs.keys.is_empty() {
            let wanted: Vec<Key> = needs.keys.into_iter().collect();
            let mut held = keys::find(pool, &wanted).await?;
            for key in wanted {
                let value = held.remove(&(key.0.to_owned(), key.1.clone()));
                self.keys.insert(key, value);
            }
        }
        if !needs.persons.is_empty() {
            let users: Vec<&str> = needs.persons.iter().map(String::as_str).collect();
            self.persons.extend(match cache {
                Some(_) => personal::ensure_keys(pool, &users).await?,
                None => personal::keys_to_try(pool, &users).await?,
            });
        }
        let mut missing: Vec<StreamId> = Vec::new();
        for stream in needs.streams {
            match cache.and_then(|cache| cache.get(&stream)) {
                Some(state) => {
                    self.streams.insert(stream, state);
                }
                None => missing.push(stream),
            }
        }
        let of = |kind| missing.iter().filter(move |stream| stream.kind == kind);
        let ids = |kind| of(kind).map(|stream| &*stream.id).collect::<Vec<&str>>();
        let (courses, enrollments, users) =
            (ids(StreamType::Course), ids(StreamType::Enrollment), ids(StreamType::User));
        if !courses.is_empty() {
            let mut found = streams.load_many::<Course>(&courses).await?;
            for stream in of(StreamType::Course) {
                let course = found.remove(&*stream.id).unwrap_or_default();
                self.streams.insert(stream.clone(), State::Course(Arc::new(course)));
            }
        }
        if !enrollments.is_empty() {
            let mut found = streams.load_many::<Enrollment>(&enrollments).await?;
            for stream in of(StreamType::Enrollment) {
                let enrollment = found.remove(&*stream.id).unwrap_or_default();
                self.streams.insert(stream.clone(), State::Enrollment(Arc::new(enrollment)));
            }
        }
        if !users.is_empty() {
            let mut found = streams.load_many::<User>(&users).await?;
            for stream in of(StreamType::User) {
                let user = found.remove(&*stream.id).unwrap_or_default();
                self.streams.insert(stream.clone(), State::User(Arc::new(user)));
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<StreamId, State> for Bytes {
    fn weight(&self, _: &StreamId, state: &State) -> u64 {
        u64::try_from(state.bytes()).unwrap_or(u64::MAX)
    }
}

/// The streams that slices used last, bounded in bytes.
pub(super) struct StateCache(Cache<StreamId, State, Bytes>);

impl Default for StateCache {
    fn default() -> Self {
        Self(Cache::with_weighter(ESTIMATED_STREAMS, CACHE_BYTES, Bytes))
    }
}

impl StateCache {
    fn get(&self, stream: &StreamId) -> Option<State> {
        self.0.get(stream)
    }

    /// Keeps a state that the log has confirmed.
    pub(super) fn put(&self, stream: StreamId, state: State) {
        self.0.insert(stream, state);
    }

    /// Forgets states that the log has disproved.
    pub(super) fn forget(&self, streams: &[StreamId]) {
        for stream in streams {
            self.0.remove(stream);
        }
    }
}

//! Loading a stream: its events, folded. Through postgres-es's repository, whose table layout ours extends.

use std::collections::HashMap;

use cqrs_es::Aggregate;
use cqrs_es::persist::{PersistedEventRepository, PersistenceError, SerializedEvent};
use postgres_es::PostgresEventRepository;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};

use super::log;
use super::position::Position;
use super::proposal::StreamId;
use super::upcast::upcast;

/// A stream could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database could not be read.
    #[error("the stream {kind}/{id} could not be read")]
    Read {
        /// The stream's kind.
        kind: &'static str,
        /// Its id.
        id: String,
        /// Why.
        #[source]
        source: PersistenceError,
    },
    /// Several streams could not be read.
    #[error("streams could not be read")]
    ReadMany(#[source] sqlx::Error),
    /// An event does not decode. It is never skipped.
    #[error("event {sequence} of {kind}/{id} does not decode")]
    Decode {
        /// The stream's kind.
        kind: String,
        /// Its id.
        id: String,
        /// The event's place in it.
        sequence: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl LoadError {
    /// Whether waiting may help: the database is away.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Read { source: PersistenceError::ConnectionError(_), .. } => true,
            Self::ReadMany(error) => super::append::is_transient(error),
            Self::Read { .. } | Self::Decode { .. } => false,
        }
    }
}

/// Loads streams.
pub struct Streams {
    repository: PostgresEventRepository,
    pool: PgPool,
}

impl Streams {
    /// Loads from this database.
    pub fn new(pool: PgPool) -> Self {
        Self { repository: PostgresEventRepository::new(pool.clone()), pool }
    }

    /// The fold of one stream; of one that does not exist the default.
    pub async fn load<A: Aggregate>(&self, id: &str) -> Result<A, LoadError> {
        let events = self
            .repository
            .get_events::<A>(id)
            .await
            .map_err(|source| LoadError::Read { kind: A::TYPE, id: id.to_owned(), source })?;
        fold(A::default(), events)
    }

    /// The fold of a stream up to a version, and where the command ends that led to it.
    pub async fn load_at<A: Aggregate>(
        &self,
        stream: &StreamId,
        version: u64,
    ) -> Result<(Position, A), LoadError> {
        let position = log::end_of_command(&self.pool, stream, version).await;
        let position = position.and_then(|found| found.ok_or(sqlx::Error::RowNotFound));
        let position = position.map_err(LoadError::ReadMany)?;
        let rows = sqlx::query(SELECT_AT)
            .bind(A::TYPE)
            .bind(&*stream.id)
            .bind(i64::try_from(version).unwrap_or(i64::MAX));
        let rows = rows.fetch_all(&self.pool).await.map_err(LoadError::ReadMany)?;
        let events: sqlx::Result<Vec<_>> = rows.iter().map(stored::<A>).collect();
        Ok((position, fold(A::default(), events.map_err(LoadError::ReadMany)?)?))
    }

    /// The folds of many streams of one kind, in one statement. Those that do not exist are absent.
    pub async fn load_many<A: Aggregate>(
        &self,
        ids: &[&str],
    ) -> Result<HashMap<String, A>, LoadError> {
        let rows = sqlx::query(SELECT_MANY)
            .bind(A::TYPE)
            .bind(ids)
            .fetch_all(&self.pool)
            .await
            .map_err(LoadError::ReadMany)?;
        let mut states: HashMap<String, A> = HashMap::new();
        for row in rows {
            let event = stored::<A>(&row).map_err(LoadError::ReadMany)?;
            let state = states.remove(&event.aggregate_id).unwrap_or_default();
            states.insert(event.aggregate_id.clone(), fold(state, [event])?);
        }
        Ok(states)
    }
}

const SELECT_MANY: &str = "SELECT aggregate_id, sequence, event_type, event_version, payload, metadata FROM events \
     WHERE aggregate_type = $1 AND aggregate_id = ANY ($2) ORDER BY aggregate_id, sequence";
const SELECT_AT: &str = "SELECT aggregate_id, sequence, event_type, event_version, payload, metadata FROM events \
     WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence <= $3 ORDER BY sequence";

fn stored<A: Aggregate>(row: &PgRow) -> sqlx::Result<SerializedEvent> {
    Ok(SerializedEvent::new(
        row.try_get("aggregate_id")?,
        usize::try_from(row.try_get::<i64, _>("sequence")?).unwrap_or_default(),
        A::TYPE.to_owned(),
        row.try_get("event_type")?,
        row.try_get("event_version")?,
        row.try_get("payload")?,
        row.try_get("metadata")?,
    ))
}

/// Folds stored events over a state.
pub fn fold<A: Aggregate>(
    mut state: A,
    events: impl IntoIterator<Item = SerializedEvent>,
) -> Result<A, LoadError> {
    for stored in events {
        let stored = upcast(stored);
        let event = serde_json::from_value(stored.payload).map_err(|source| LoadError::Decode {
            kind: stored.aggregate_type,
            id: stored.aggregate_id,
            sequence: stored.sequence,
            source,
        })?;
        state.apply(event);
    }
    Ok(state)
}

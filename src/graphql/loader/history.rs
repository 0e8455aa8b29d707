//! What happened, read for many at once.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::dataloader::Loader;
use uuid::Uuid;

use super::{Loaded, ReadModels};
use crate::event_store::history::{self, HistoryPage};
use crate::event_store::log::ReadError;
use crate::event_store::{Recorded, StreamId};

/// A page of the history of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::graphql) struct HistoryKey {
    pub(in crate::graphql) stream: StreamId,
    /// Up to here it is read.
    pub(in crate::graphql) version: i64,
    pub(in crate::graphql) page: HistoryPage,
}

/// An event by id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::graphql) struct EventKey(pub(in crate::graphql) Uuid);

fn unread(error: ReadError) -> sqlx::Error {
    match error {
        ReadError::Database(error) => error,
        error @ ReadError::Undecodable { .. } => sqlx::Error::Decode(Box::new(error)),
    }
}

impl Loader<HistoryKey> for ReadModels {
    type Value = Vec<Recorded>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[HistoryKey]) -> Loaded<HistoryKey, Vec<Recorded>> {
        let mut shapes: HashMap<_, Vec<&HistoryKey>> = HashMap::new();
        for key in keys {
            shapes.entry((key.stream.kind, &key.page)).or_default().push(key);
        }
        let mut loaded = HashMap::new();
        for ((kind, page), keys) in shapes {
            // One stream may be asked for at two versions: then it is read up to the later one.
            let mut versions: HashMap<&str, i64> = HashMap::new();
            for key in &keys {
                let version = versions.entry(&*key.stream.id).or_default();
                *version = key.version.max(*version);
            }
            let streams: Vec<_> = versions.into_iter().collect();
            let events = history::pages(&self.pool, kind, &streams, page).await.map_err(unread)?;
            let mut by_stream: HashMap<Arc<str>, Vec<Recorded>> = HashMap::new();
            for event in events {
                by_stream.entry(event.stream.id.clone()).or_default().push(event);
            }
            for key in keys {
                let mut events = by_stream.get(&key.stream.id).cloned().unwrap_or_default();
                events.retain(|event| {
                    i64::try_from(event.sequence).is_ok_and(|at| at <= key.version)
                });
                loaded.insert(key.clone(), events);
            }
        }
        Ok(loaded)
    }
}

impl Loader<EventKey> for ReadModels {
    type Value = Arc<Recorded>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[EventKey]) -> Loaded<EventKey, Arc<Recorded>> {
        let ids: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let events = history::find_many(&self.pool, &ids).await.map_err(unread)?;
        Ok(events.into_iter().map(|event| (EventKey(event.event_id), Arc::new(event))).collect())
    }
}

//! One reader of the log per instance, for all who subscribe there: it hands out what is new, once every read model has
//! seen it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::domain::Event;
use crate::event_store::log::{self, ReadError};
use crate::event_store::wake::{POLL_EVERY, Wake};
use crate::event_store::{Position, Recorded};
use crate::projections::Checkpoints;
use crate::projections::checkpoint::WaitError;

/// The most events of a batch; more than the largest command.
const PORTION: i64 = 2_000;
/// How many batches wait for a follower. One that is slower reads the log itself.
const BATCHES: usize = 16;
/// How long one wait for the read models takes at most; then it begins anew.
const PATIENCE: Duration = Duration::from_secs(1);

/// The events of courses and enrollments between two places of the log.
#[derive(Debug)]
pub(super) struct Batch {
    /// Behind this place.
    pub(super) after: i64,
    /// Up to here.
    pub(super) up_to: i64,
    pub(super) events: Vec<Arc<Recorded>>,
}

/// What followers hear.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// The log has grown, and the read models have seen it.
    Batch(Arc<Batch>),
    /// The log is another one: the database was restored.
    Restored,
}

/// See the module. A clone is another handle of the same.
#[derive(Debug, Clone)]
pub struct Tail(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    checkpoints: Checkpoints,
    /// How far it is; `None` while nobody follows, and until that has been found out. It changes and a batch is sent in one step, so that whoever
    /// begins to follow knows up to where they must read the log themselves.
    position: watch::Sender<Option<Position>>,
    news: broadcast::Sender<News>,
    /// Somebody begins to follow.
    wanted: Notify,
}

/// Why the tail cannot go on for now.
#[derive(Debug, thiserror::Error)]
enum TailError {
    #[error(transparent)]
    Log(#[from] ReadError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Tail {
    /// A tail that stands still until [`Tail::run`].
    pub fn new(pool: PgPool, checkpoints: Checkpoints) -> Self {
        let (position, news) = (watch::Sender::new(None), broadcast::Sender::new(BATCHES));
        Self(Arc::new(Shared { pool, checkpoints, position, news, wanted: Notify::new() }))
    }

    /// Where the log is read.
    pub(super) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// Begins to follow: what is new comes from the receiver, gapless behind the position that comes with it.
    pub(super) async fn follow(&self) -> (broadcast::Receiver<News>, Position) {
        let mut position = self.0.position.subscribe();
        let _counted = self.0.news.subscribe();
        self.0.wanted.notify_one();
        loop {
            if let Some(known) = *position.borrow_and_update() {
                // While the position is borrowed, no batch is sent.
                return (self.0.news.subscribe(), known);
            }
            if position.changed().await.is_err() {
                return std::future::pending().await; // it cannot be: `self` holds the sender
            }
        }
    }

    /// Reads on until `stop`.
    pub async fn run(self, mut wake: Wake, stop: CancellationToken) {
        let mut failed = false;
        while !stop.is_cancelled() {
            match stop.run_until_cancelled(self.0.step(&mut wake)).await {
                None => return,
                Some(Ok(())) => failed = false,
                Some(Err(error)) => {
                    if !failed {
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(error, "subscriptions wait: the log cannot be read");
                    }
                    failed = true;
                    let _ = stop.run_until_cancelled(sleep(POLL_EVERY)).await;
                }
            }
        }
    }
}

impl Shared {
    async fn step(&self, wake: &mut Wake) -> Result<(), TailError> {
        if self.is_idle() {
            self.wanted.notified().await;
        }
        let head = log::head(&self.pool).await?.position;
        let known = *self.position.borrow();
        let Some(position) = known else {
            if self.seen(head).await? {
                self.position.send_replace(Some(head));
            }
            return Ok(());
        };
        if head.epoch != position.epoch || head.number < position.number {
            self.restored();
        } else if head == position {
            wake.wait().await;
        } else {
            self.read_on(position).await?;
        }
        Ok(())
    }

    /// Whether nobody follows: then nothing is read.
    fn is_idle(&self) -> bool {
        self.position.send_if_modified(|position| {
            let is_idle = self.news.receiver_count() == 0;
            if is_idle {
                *position = None;
            }
            is_idle
        })
    }

    /// Hands out the next batch.
    async fn read_on(&self, position: Position) -> Result<(), TailError> {
        let events = log::read_after(&self.pool, position.number, PORTION).await?;
        let Some(last) = events.last().map(|event| event.position) else { return Ok(()) };
        while !self.seen(last).await? {
            if self.position.borrow().is_none() {
                return Ok(());
            }
        }
        let told =
            |event: &Recorded| matches!(event.event, Event::Course(_) | Event::Enrollment(_));
        let events = events.into_iter().filter(told).map(Arc::new).collect();
        let batch = Batch { after: position.number, up_to: last.number, events };
        self.position.send_modify(|position| {
            *position = Some(last);
            let _ = self.news.send(News::Batch(Arc::new(batch))); // nobody may listen any more
        });
        Ok(())
    }

    /// Whether the read models have seen a position by now.
    async fn seen(&self, position: Position) -> Result<bool, TailError> {
        match self.checkpoints.wait_for(position, PATIENCE).await {
            Ok(()) => Ok(true),
            Err(WaitError::Lagging) => Ok(false),
            Err(WaitError::ForeignEpoch) => {
                self.restored();
                Ok(false)
            }
            Err(WaitError::Database(error)) => Err(error.into()),
        }
    }

    fn restored(&self) {
        self.position.send_modify(|position| {
            *position = None;
            let _ = self.news.send(News::Restored);
        });
    }
}

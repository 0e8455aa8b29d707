//! Telling readers that the log has grown. A hint, never a guarantee: readers poll as well.
//!
//! In the process a `watch` channel moves after each commit. Across instances one coalesced `NOTIFY` is sent outside of
//! the append (inside, its cluster-wide lock would serialise commits), and a listener turns it into the same hint.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::position::Position;

const CHANNEL: &str = "course_service_log";
/// The least time between two notifications of one instance.
const NOTIFY_EVERY: Duration = Duration::from_millis(20);
/// How long a reader waits at most before it looks by itself.
pub const POLL_EVERY: Duration = Duration::from_millis(500);

/// The end of the log as far as this instance has heard of it.
#[derive(Debug, Clone)]
pub struct Head {
    appended: watch::Sender<Position>,
    hints: watch::Sender<u64>,
}

impl Default for Head {
    fn default() -> Self {
        Self { appended: watch::Sender::new(Position::default()), hints: watch::Sender::new(0) }
    }
}

impl Head {
    /// This instance has appended up to `head`.
    pub(super) fn appended(&self, head: Position) {
        let grown = self.appended.send_if_modified(|known| {
            let grown = head > *known;
            *known = head.max(*known);
            grown
        });
        if grown {
            self.hint();
        }
    }

    fn hint(&self) {
        self.hints.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A reader's ear: changes when the log may have grown.
    pub fn subscribe(&self) -> Wake {
        Wake(self.hints.subscribe())
    }

    /// Tells other instances, until `stop`.
    pub async fn notify_others(self, pool: PgPool, stop: CancellationToken) {
        let mut appended = self.appended.subscribe();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = appended.changed() => if changed.is_err() { return },
            }
            let sent = sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&pool).await;
            if let Err(error) = sent {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "no notification was sent"
                );
            }
            sleep(NOTIFY_EVERY).await;
        }
    }

    /// Hears of other instances' appends, until `stop`. Without a connection readers poll.
    pub async fn hear_others(self, pool: PgPool, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let listened = tokio::select! {
                () = stop.cancelled() => return,
                listened = self.listen(&pool) => listened,
            };
            if let Err(error) = listened {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "not listening; polling instead"
                );
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(Duration::from_secs(1)) => (),
            }
        }
    }

    async fn listen(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        loop {
            let heard = listener.try_recv().await?;
            self.hint(); // also when the connection was lost: something may have been missed
            if heard.is_none() {
                return Ok(());
            }
        }
    }
}

/// See [`Head::subscribe`].
#[derive(Debug)]
pub struct Wake(watch::Receiver<u64>);

impl Wake {
    /// Returns when the log may have grown since the last call, or when it is time to look anyway.
    pub async fn wait(&mut self) {
        if let Ok(Err(_)) = tokio::time::timeout(POLL_EVERY, self.0.changed()).await {
            sleep(POLL_EVERY).await; // the appender is gone; only polling is left
        }
    }
}

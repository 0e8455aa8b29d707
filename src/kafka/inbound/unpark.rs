//! The follower of the log that releases parked messages once what they wait for exists.
//!
//! Guarantees: no message lies there while what it waits for exists, for longer than the follower is behind the log.
//! A message is parked by an append that asserts that the thing is absent, so the event that creates it comes later
//! in the log and is seen here. The place of the follower moves only behind messages that were released; what it
//! does twice after a crash finds nothing left to do.

use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::translate::translate;
use crate::commands::Awaited;
use crate::commands::intake::{CLAIMS_KEPT_FOR, Intake, IntakeError, Origin, Places};
use crate::event_store::inbound::{Keep, Kept};
use crate::event_store::log;
use crate::event_store::log::ReadError;
use crate::event_store::wake::Wake;
use crate::event_store::{followers, parked};
use crate::kafka::client::chain;
use crate::kafka::lease::{self, Lease};

/// Its place among the followers and its lease. Never rename.
const NAME: &str = "unpark";
/// The most events that are looked at before the place moves; more than the largest command.
const BATCH: i64 = 2_000;
/// The most messages that are released at once.
const PORTION: i64 = 200;
const STANDBY_EVERY: Duration = Duration::from_secs(1);
const TIDY_EVERY: Duration = Duration::from_mins(1);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(5);

/// How the follower is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum UnparkState {
    /// It follows, or another instance does.
    #[default]
    Running,
    /// It cannot go on and keeps trying.
    Down {
        /// Why.
        why: String,
    },
}

/// See the module.
pub struct Unpark {
    pool: PgPool,
    intake: Intake,
    wake: Wake,
    instance: Uuid,
    /// How long a message may wait.
    patience: Duration,
    state: watch::Sender<UnparkState>,
}

/// The follower could not go on.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("the database cannot be reached")]
    Database(#[from] sqlx::Error),
    #[error("the log could not be read")]
    Log(#[from] ReadError),
    #[error("parked messages could not be released")]
    Intake(#[from] IntakeError),
}

impl Unpark {
    /// A follower that gives to `intake`, and does nothing before [`Self::run`]. What waits longer than `patience`
    /// becomes a dead letter.
    pub fn new(
        pool: PgPool,
        intake: Intake,
        wake: Wake,
        instance: Uuid,
        patience: Duration,
    ) -> Self {
        let state = watch::Sender::new(UnparkState::default());
        Self { pool, intake, wake, instance, patience, state }
    }

    /// Follows how it is.
    pub fn state(&self) -> watch::Receiver<UnparkState> {
        self.state.subscribe()
    }

    /// Follows the log whenever the lease is ours, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let work = async {
            let mut backoff = FIRST_BACKOFF;
            loop {
                match Lease::acquire(&self.pool, NAME, self.instance).await {
                    Ok(Some(lease)) => {
                        let ended = tokio::select! {
                            () = lease.keep() => Ok(()),
                            ended = self.follow(&mut backoff) => ended,
                        };
                        if let Err(error) = ended {
                            self.down(&chain(&error));
                            sleep(backoff).await;
                            backoff = (backoff * 2).min(LAST_BACKOFF);
                        }
                    }
                    Ok(None) => {
                        self.state.send_replace(UnparkState::Running);
                        sleep(STANDBY_EVERY).await;
                    }
                    Err(error) => {
                        self.down(&chain(&FollowError::from(error)));
                        sleep(backoff).await;
                        backoff = (backoff * 2).min(LAST_BACKOFF);
                    }
                }
            }
        };
        let _: Option<()> = stop.run_until_cancelled(Box::pin(work)).await;
        lease::release(&self.pool, NAME, self.instance).await;
    }

    async fn follow(&mut self, backoff: &mut Duration) -> Result<(), FollowError> {
        let mut tidied: Option<Instant> = None;
        loop {
            let seen = self.step().await?;
            *backoff = FIRST_BACKOFF;
            self.state.send_replace(UnparkState::Running);
            if tidied.is_none_or(|at| at.elapsed() >= TIDY_EVERY) {
                tidied = Some(Instant::now());
                self.expire().await?;
                self.intake.forget_claims(CLAIMS_KEPT_FOR).await?;
            }
            if seen == 0 {
                self.wake.wait().await;
            }
        }
    }

    /// Looks at the next events and releases what waits for what they create. Returns how many there were.
    async fn step(&self) -> Result<usize, FollowError> {
        let after = followers::position(&self.pool, NAME).await?;
        let events = log::read_after(&self.pool, after, BATCH).await?;
        let Some(last) = events.last() else { return Ok(0) };
        let created = events.iter().filter_map(Awaited::created_by);
        let mut created: Vec<String> = created.map(|awaited| awaited.to_string()).collect();
        created.sort_unstable();
        created.dedup();
        if !created.is_empty() {
            self.release(&created).await?;
        }
        followers::advance(&self.pool, NAME, last.position).await?;
        Ok(events.len())
    }

    /// Releases all that waits for one of these, in the order of arrival. What then waits for another thing of the
    /// list is released again.
    async fn release(&self, created: &[String]) -> Result<(), FollowError> {
        loop {
            let waiting = parked::waiting_for(&self.pool, created, PORTION).await?;
            if waiting.is_empty() {
                return Ok(());
            }
            let released =
                waiting.into_iter().map(|one| translate(one.record, Origin::Parked(one.id)));
            self.intake.process(released.collect(), &mut Places::new()).await?;
        }
    }

    /// What waited for too long becomes a dead letter.
    async fn expire(&self) -> Result<(), FollowError> {
        loop {
            let late = parked::older_than(&self.pool, self.patience, PORTION).await?;
            if late.is_empty() {
                return Ok(());
            }
            let dead = late.into_iter().map(|one| {
                let reason = format!("{} did not come into being in time", one.waits_for);
                let how = Keep::Dead { code: "EXPIRED", reason };
                let (identity, record) = (one.identity, one.record);
                (one.id, Kept { id: Uuid::now_v7(), identity, record, how })
            });
            let expired = self.intake.expire(dead.collect()).await?;
            tracing::warn!(expired, "{expired} parked messages waited for too long");
        }
    }

    fn down(&self, why: &str) {
        self.state.send_if_modified(|state| {
            let down = UnparkState::Down { why: why.to_owned() };
            let news = *state != down;
            if news {
                tracing::error!(why, "parked messages are not released: {why}");
            }
            *state = down;
            news
        });
    }
}

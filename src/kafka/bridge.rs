//! The bridge: event log → Kafka, exactly once.
//!
//! Guarantees: a `read_committed` consumer gets every message once and, per key and topic, in log order, whatever
//! crashes, is paused or runs twice. Messages and the position that they stand for are one Kafka transaction; whoever
//! takes over fences the predecessor with `init_transactions` and only then reads the last position. The lease in
//! Postgres merely says who tries. Where the position cannot be trusted, the bridge refuses instead of guessing.
//!
//! ## Decision: the position lives in Kafka
//! Kept in Postgres it could not be part of the transaction, and a crash between the two would repeat or lose a batch.
//! Not with `send_offsets_to_transaction` under a made-up group: idle offsets expire, and a service that was quiet
//! for a week would begin anew. Price: a topic that must not be deleted; the copy in Postgres notices when it was.

mod ahead;
mod dead;
mod end;
mod gather;
mod producer;
mod progress;
mod session;
mod tail;
mod takeover;
mod unended;

use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(super) use self::dead::DeadLane;
pub use self::gather::{GatherError, Gatherer};
pub use self::progress::{BridgeReport, Progress, ResumeFrom, report, resume};
pub(super) use self::progress::{LANE as EVENTS, order_lane};
pub use self::tail::TailError;
pub(super) use self::tail::last_progress;

use self::end::End;
use self::session::Session;
use super::client::{Connection, chain};
use super::lease::{self, Lease};
use super::topics::{TopicNames, TopicSettings};
use crate::event_store::wake::Wake;

/// How often an instance without the lease asks for it.
const STANDBY_EVERY: Duration = Duration::from_secs(1);
/// How often a bridge that refused looks whether that was mended otherwise than by an order.
const REFUSED_EVERY: Duration = Duration::from_secs(10);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(2);

/// What the bridge needs to know.
#[derive(Clone)]
pub struct BridgeConfig {
    /// Where Kafka is.
    pub connection: Connection,
    /// What new topics are given.
    pub topics: TopicSettings,
    /// Put before every topic and the transactional id; empty by default.
    pub prefix: String,
    /// This process: another one for every start.
    pub instance: Uuid,
}

/// How the bridge is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BridgeState {
    /// It has not found out yet.
    Starting,
    /// Another instance is at work.
    Standby,
    /// It publishes.
    Running,
    /// It cannot work and keeps trying.
    Down {
        /// Why.
        why: String,
    },
    /// It must not work until somebody says where to go on.
    Refused {
        /// Why, and how to say it.
        why: String,
    },
}

/// What the bridge shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeStatus {
    /// How it is.
    pub state: BridgeState,
    /// The last position that this instance has published.
    pub position: Option<i64>,
    /// Records that this instance has published.
    pub published: u64,
    /// The last failure, also where it is over.
    pub last_error: Option<String>,
}

/// See the module.
pub struct Bridge {
    shared: Shared,
    wake: Wake,
}

/// What every tenure uses.
struct Shared {
    pool: PgPool,
    config: BridgeConfig,
    names: TopicNames,
    status: watch::Sender<BridgeStatus>,
}

impl Bridge {
    /// A bridge from the log in `pool`, which does nothing before [`Self::run`].
    pub fn new(pool: PgPool, wake: Wake, config: BridgeConfig) -> Self {
        let status = watch::Sender::new(BridgeStatus {
            state: BridgeState::Starting,
            position: None,
            published: 0,
            last_error: None,
        });
        let names = TopicNames::with_prefix(&config.prefix);
        Self { shared: Shared { pool, config, names, status }, wake }
    }

    /// Follows how the bridge is.
    pub fn status(&self) -> watch::Receiver<BridgeStatus> {
        self.shared.status.subscribe()
    }

    /// Publishes whenever the lease is ours, until `stop`. A transaction that was begun then still ends by itself.
    pub async fn run(self, stop: CancellationToken) {
        let Self { shared, mut wake } = self;
        let mut backoff = FIRST_BACKOFF;
        let work = async {
            loop {
                shared.turn(&mut wake, &mut backoff).await;
            }
        };
        let _: Option<()> = stop.run_until_cancelled(Box::pin(work)).await;
        lease::release(&shared.pool, &shared.lease_name(), shared.config.instance).await;
    }
}

impl Shared {
    fn lease_name(&self) -> String {
        self.names.transactional_id()
    }

    /// Tries to get the lease once, and works for as long as that goes well.
    async fn turn(&self, wake: &mut Wake, backoff: &mut Duration) {
        let end = match Lease::acquire(&self.pool, &self.lease_name(), self.config.instance).await {
            Ok(Some(lease)) => tokio::select! {
                () = lease.keep() => End::LeaseLost,
                end = Box::pin(self.tenure(&lease, wake)) => end,
            },
            Ok(None) => {
                self.set(BridgeState::Standby);
                return sleep(STANDBY_EVERY).await;
            }
            Err(error) => End::Database(error),
        };
        if self.status.borrow().state == BridgeState::Running {
            *backoff = FIRST_BACKOFF;
        }
        match end {
            End::Ordered => {
                tracing::info!("an order to resume was given; the bridge takes over anew");
            }
            End::LeaseLost => {
                tracing::warn!("the bridge lost its lease");
                self.set(BridgeState::Standby);
            }
            End::Fenced(_) => {
                tracing::warn!("another instance took the bridge over; waiting for the lease");
                self.set(BridgeState::Standby);
                sleep(lease::TTL).await; // to fence it at once would make the two fight
            }
            End::Refused(why) => {
                self.failed(&why, BridgeState::Refused { why: why.clone() });
                self.give_up_lease().await;
                self.await_order().await;
            }
            failure => {
                let why = chain(&failure);
                self.failed(&why, BridgeState::Down { why: why.clone() });
                self.give_up_lease().await;
                sleep(*backoff).await;
                *backoff = (*backoff * 2).min(LAST_BACKOFF);
            }
        }
    }

    async fn tenure(&self, lease: &Lease, wake: &mut Wake) -> End {
        match Session::take_over(self, lease).await {
            Ok(session) => session.run(wake).await,
            Err(end) => end,
        }
    }

    /// Another instance may be able to do what this one cannot.
    async fn give_up_lease(&self) {
        lease::release(&self.pool, &self.lease_name(), self.config.instance).await;
    }

    async fn await_order(&self) {
        let order = async {
            while !matches!(progress::order(&self.pool, progress::LANE).await, Ok(Some(_))) {
                sleep(STANDBY_EVERY).await;
            }
        };
        let _ = tokio::time::timeout(REFUSED_EVERY, order).await;
    }

    fn set(&self, state: BridgeState) {
        self.status.send_if_modified(|status| {
            let changed = status.state != state;
            status.state = state;
            changed
        });
    }

    fn failed(&self, why: &str, state: BridgeState) {
        if self.status.borrow().state != state {
            tracing::error!(why, "the bridge to Kafka stands still: {why}");
        }
        self.status.send_modify(|status| {
            status.state = state;
            status.last_error = Some(why.to_owned());
        });
    }
}

//! One tenure: from taking over to the first failure.
//!
//! Guarantees: what is read is published in log order, whole commands at a time, each batch in one Kafka transaction
//! together with the position behind it. A batch that publishes nothing only moves the position, which goes along
//! with the next transaction, or alone after a short while, so that the lag of an idle service is 0. While a
//! transaction is under way, a bridge that is behind reads and maps what comes next; it is published only after that.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::join;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::ahead::{Ahead, Batch};
use super::dead::DeadLane;
use super::end::End;
use super::producer::Transactions;
use super::progress::{self, LANE, Progress};
use super::tail::{self, TailError};
use super::takeover::{self, Known};
use super::{BridgeState, Shared, unended};
use crate::event_store::log;
use crate::event_store::wake::Wake;
use crate::fault;
use crate::kafka::client::{blocking, chain};
use crate::kafka::contract::Outbound;
use crate::kafka::lease::Lease;
use crate::kafka::topics;

/// How long a position without messages waits for company.
const PROGRESS_ALONE_AFTER: Duration = Duration::from_millis(250);

const LOOK_FOR_ORDERS_EVERY: Duration = Duration::from_secs(1);
/// How often an idle bridge asks whether Kafka is still there, so that `/readyz` tells.
const PING_EVERY: Duration = Duration::from_secs(5);

/// Dropping a producer waits for Kafka, so it is done where that stalls nobody.
struct Producer(Option<Arc<Transactions>>);

impl Producer {
    async fn call<T: Send + 'static, E: Send + 'static>(
        &self,
        call: impl FnOnce(&Transactions) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, KafkaError> {
        let producer = self.0.clone().ok_or(KafkaError::Canceled)?;
        blocking(move || Ok(call(&producer))).await
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if let (Some(producer), Ok(runtime)) =
            (self.0.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn_blocking(move || drop(producer));
        }
    }
}

/// See the module.
pub(super) struct Session<'a> {
    bridge: &'a Shared,
    lease: &'a Lease,
    producer: Producer,
    ahead: Ahead,
    /// What the progress topic says.
    committed: Progress,
    /// The lane of the dead letters.
    dead: DeadLane,
    /// When an order was looked for.
    looked: Instant,
    /// When Kafka last answered.
    heard: Instant,
}

impl<'a> Session<'a> {
    /// Fences predecessors and finds out where to go on.
    pub(super) async fn take_over(bridge: &'a Shared, lease: &'a Lease) -> Result<Self, End> {
        let config = &bridge.config;
        let (connection, names) = (config.connection.clone(), bridge.names.clone());
        let connect = move || Transactions::connect(&connection, &names).map(Arc::new);
        let producer = Producer(Some(blocking(connect).await?));
        let cluster_id = producer.call(Transactions::cluster_id).await??;
        let order = progress::order(&bridge.pool, LANE).await?;
        // Read before the topic: what a predecessor still commits may only make the topic newer than the copy.
        let copy = progress::copy(&bridge.pool, LANE).await?;
        if order.is_none() {
            takeover::check_cluster(copy.as_ref(), &cluster_id).map_err(End::Refused)?;
        }
        topics::ensure(&config.connection, &bridge.names, config.topics).await?;
        if !lease.is_fresh() {
            return Err(End::LeaseLost);
        }
        fault::point("bridge", "before fencing");
        producer.call(Transactions::take_over).await??;
        fault::point("bridge", "after fencing");
        let (connection, names) = (config.connection.clone(), bridge.names.clone());
        let open = blocking(move || unended::unended(&connection, &names)).await?;
        if !open.is_empty() {
            return Err(End::Unended(open));
        }
        let (connection, names) = (config.connection.clone(), bridge.names.clone());
        let read = move || {
            let events = tail::last_progress(&connection, &names, LANE);
            Ok((events, tail::last_progress(&connection, &names, DeadLane::NAME)))
        };
        let (events, dead) = blocking(read).await?;
        let understood = |read: Result<Option<Progress>, TailError>| match read {
            // An order may say more than the topic does.
            Err(TailError::Foreign(_)) if order.is_some() => Ok(None),
            Err(error @ TailError::Foreign(_)) => {
                Err(End::Refused(takeover::remedy(&chain(&error))))
            }
            other => other.map_err(End::from),
        };
        let (topic, dead) = (understood(events)?, understood(dead)?);
        let head = log::head(&bridge.pool).await?;
        let topic_name = bridge.names.progress();
        let known = Known { head, cluster_id, topic_name, topic, copy, order };
        let committed = takeover::verdict(&bridge.pool, &known).await?.map_err(End::Refused)?;
        let dead = DeadLane::take_over(&bridge.pool, &committed, dead, order.is_some())
            .await?
            .map_err(End::Refused)?;
        let ahead = Ahead::new(bridge.pool.clone(), committed.clone());
        let mut session = Self {
            bridge,
            lease,
            producer,
            ahead,
            committed,
            dead,
            looked: Instant::now(),
            heard: Instant::now(),
        };
        if let Some(order) = order {
            let start = session.committed.clone();
            session.publish(Vec::new(), start.clone()).await?;
            let place = session.dead.place().clone();
            let publish = move |producer: &Transactions| producer.publish_dead(&[], &place);
            session.producer.call(publish).await??;
            let (pool, holder) = (&bridge.pool, config.instance);
            progress::settle_order(pool, order, &start, &bridge.lease_name(), holder).await?;
            tracing::warn!(
                position = start.position,
                "as ordered, the bridge goes on behind {}",
                start.position
            );
        } else if known.topic.is_some() {
            session.save_copy().await;
        }
        Ok(session)
    }

    /// Publishes until something ends it.
    pub(super) async fn run(mut self, wake: &mut Wake) -> End {
        self.bridge.status.send_modify(|status| {
            status.state = BridgeState::Running;
            status.position = Some(self.committed.position);
        });
        tracing::info!(
            position = self.committed.position,
            "the bridge runs: it goes on behind position {}",
            self.committed.position
        );
        loop {
            if let Err(end) = self.step(wake).await {
                return end;
            }
        }
    }

    async fn step(&mut self, wake: &mut Wake) -> Result<(), End> {
        if self.looked.elapsed() >= LOOK_FOR_ORDERS_EVERY {
            self.looked = Instant::now();
            if progress::order(&self.bridge.pool, LANE).await?.is_some() {
                return Err(End::Ordered);
            }
            self.publish_dead_letters().await?; // also while events come without end
        }
        if self.ahead.has_records() {
            return self.publish_next().await;
        }
        if self.ahead.read_on().await? {
            return Ok(());
        }
        if self.publish_dead_letters().await? {
            return Ok(());
        }
        let Some(since) = self.ahead.since() else {
            if self.heard.elapsed() >= PING_EVERY {
                self.producer.call(Transactions::ping).await??;
                self.heard = Instant::now();
            }
            wake.wait().await;
            return Ok(());
        };
        let due = since + PROGRESS_ALONE_AFTER;
        if Instant::now() >= due {
            return self.publish_next().await;
        }
        let _ = timeout_at(due, wake.wait()).await;
        Ok(())
    }

    async fn publish_next(&mut self) -> Result<(), End> {
        let Some(Batch { records, place, .. }) = self.ahead.take() else { return Ok(()) };
        self.publish(records, place).await
    }

    /// One transaction. What comes next is read and mapped meanwhile, where the bridge is behind.
    async fn publish(&mut self, records: Vec<Outbound>, position: Progress) -> Result<(), End> {
        if !self.lease.is_fresh() {
            return Err(End::LeaseLost);
        }
        let count = u64::try_from(records.len()).unwrap_or_default();
        let noted = position.clone();
        let publish = move |producer: &Transactions| producer.publish(&records, &noted);
        let (published, read) = join!(self.producer.call(publish), self.ahead.read_ahead());
        published??;
        self.committed = position;
        self.heard = Instant::now();
        self.bridge.status.send_modify(|status| {
            status.position = Some(self.committed.position);
            status.published += count;
        });
        self.save_copy().await;
        read
    }

    /// The next dead letters in one transaction with their own place. Whether there were any.
    async fn publish_dead_letters(&mut self) -> Result<bool, End> {
        let Some((records, place)) = self.dead.next(&self.bridge.pool).await? else {
            return Ok(false);
        };
        if !self.lease.is_fresh() {
            return Err(End::LeaseLost);
        }
        let count = u64::try_from(records.len()).unwrap_or_default();
        let noted = place.clone();
        let publish = move |producer: &Transactions| producer.publish_dead(&records, &noted);
        self.producer.call(publish).await??;
        self.save_copy_of(DeadLane::NAME, &place).await;
        self.dead.moved(place);
        self.heard = Instant::now();
        self.bridge.status.send_modify(|status| status.published += count);
        Ok(true)
    }

    async fn save_copy(&self) {
        self.save_copy_of(LANE, &self.committed).await;
    }

    /// The copy may lag behind: it is only a copy, and the next one mends it.
    async fn save_copy_of(&self, lane: &str, place: &Progress) {
        let (pool, holder): (_, Uuid) = (&self.bridge.pool, self.bridge.config.instance);
        let saved = progress::save_copy(pool, lane, place, &self.bridge.lease_name(), holder).await;
        fault::point(lane, "after copy");
        if let Err(error) = saved {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the copy of the bridge's position could not be written"
            );
        }
    }
}

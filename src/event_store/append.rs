//! The appender: one task per instance that makes proposals part of the log, many at a time.
//!
//! What callers submit together is a *chain*: each proposal stands on what the earlier ones append, so all of a chain
//! is appended or none. The task collects the chains that are ready, without an artificial wait, and sends them in one
//! call, whose first statement locks the end of the log. Chains of one batch share no stream and no key: one that does
//! waits for the next batch, so its outcome never depends on a neighbour.
//!
//! ## Decision: the outcome of a batch is always learnt
//! After a lost connection the identical batch is sent again until the database answers, because a command whose
//! commit succeeded must not be decided a second time on its own effect. Callers bound their own wait; a chain that
//! was never sent is dropped at its deadline instead. Price: while the database is away, one batch is held back.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use cqrs_es::persist::SerializedEvent;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgPool, Postgres};
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

use super::batch::{self, Chain, ChainOutcome, Done};
use super::position::Position;
use super::proposal::{Proposal, StreamId};
use super::wake::Head;
use crate::fault;

/// The most events of one call, beyond its first chain.
const MAX_EVENTS: usize = 4_000;
/// The most chains of one call.
const MAX_CHAINS: usize = 1_000;
/// The most chains that may wait; more are turned away at once.
const MAX_WAITING: usize = 20_000;
/// How long one call may take before its connection is given up; the server gives up after 10 s.
const CALL_TIMEOUT: Duration = Duration::from_secs(12);
/// How long an unused connection is believed to be alive.
const IDLE: Duration = Duration::from_secs(5);
/// How long an unused connection may take to prove it.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a batch that grows is left to grow, each time for one turn of the tasks that are ready to run.
const TURNS: usize = 8;

/// What became of a chain.
#[derive(Debug)]
pub enum Outcome {
    /// All of it is in the log.
    Appended(Appended),
    /// A stream had another version than was read: nothing was appended.
    Stale {
        /// The streams that had another version, with that version.
        actual: Vec<(StreamId, u64)>,
        /// The events behind what was read, in stream order, at most 1,000 a stream.
        missing: Vec<(StreamId, SerializedEvent)>,
    },
    /// A key was held by somebody else, or not held: nothing was appended. Space, key, who holds it.
    Keys(Vec<(String, String, Option<String>)>),
}

/// Where a chain stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Per proposal the position of its last event; for one without events, a position at which its reads were true.
    pub positions: Vec<Position>,
    /// When, by the log's clock, which never goes back.
    pub recorded_at: DateTime<Utc>,
}

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Too much waits already. Nothing was appended.
    #[error("too many commands wait for the log")]
    Overloaded,
    /// It could not be sent before its deadline. Nothing was appended.
    #[error("the log could not be reached in time")]
    Expired,
    /// The database refuses this chain, and not because of its state. Nothing was appended.
    #[error("the database refuses the chain")]
    Rejected(#[source] sqlx::Error),
    /// The appender has stopped.
    #[error("the log no longer accepts commands")]
    Stopped,
}

struct Request {
    chain: Chain,
    deadline: Instant,
    reply: oneshot::Sender<Result<Outcome, AppendError>>,
}

/// The way to the appender task. Cheap to clone; the task ends when the last clone is gone and all is answered.
#[derive(Clone)]
pub struct Appender {
    requests: mpsc::UnboundedSender<Request>,
    waiting: Arc<AtomicUsize>,
}

impl Appender {
    /// An appender and the task that drives it. `pool` should be its own, of one or two connections, so that readers
    /// never keep it waiting.
    pub fn new(pool: PgPool, head: Head) -> (Self, impl Future<Output = ()> + Send) {
        let (requests, channel) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let task = Task {
            pool,
            connection: None,
            head,
            waiting: waiting.clone(),
            queue: Queue { channel, held: VecDeque::new(), closed: false },
        };
        (Self { requests, waiting }, task.run())
    }

    /// Submits a chain and waits for its outcome. It is sent although the caller stops waiting, unless `deadline`
    /// passes first.
    pub async fn append(
        &self,
        chain: Vec<Proposal>,
        deadline: Instant,
    ) -> Result<Outcome, AppendError> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(AppendError::Overloaded);
        }
        let (reply, outcome) = oneshot::channel();
        self.requests.send(Request { chain, deadline, reply }).map_err(|_| AppendError::Stopped)?;
        outcome.await.map_err(|_| AppendError::Stopped)?
    }
}

/// Requests: those still in the channel and those put back.
struct Queue {
    channel: mpsc::UnboundedReceiver<Request>,
    held: VecDeque<Request>,
    closed: bool,
}

impl Queue {
    fn fill(&mut self) {
        while let Ok(request) = self.channel.try_recv() {
            self.held.push_back(request);
        }
    }

    async fn wait(&mut self) {
        match self.channel.recv().await {
            Some(request) => self.held.push_back(request),
            None => self.closed = true,
        }
    }
}

struct Task {
    pool: PgPool,
    /// Kept between calls: the pool would ping it each time it comes back, a round trip before the next batch.
    connection: Option<(PoolConnection<Postgres>, Instant)>,
    head: Head,
    waiting: Arc<AtomicUsize>,
    queue: Queue,
}

impl Task {
    async fn run(mut self) {
        loop {
            self.gather().await;
            if self.queue.held.is_empty() {
                if self.queue.closed {
                    return;
                }
                self.queue.wait().await;
                continue;
            }
            let batch = self.take_batch();
            self.settle(batch).await;
        }
    }

    /// Takes in what is there, and what the callers that run right now add to it. Whoever was answered by the last
    /// batch asks again a moment later: without this the first few of them could be sent, and the others would wait
    /// for its commit. No timer: where nobody is about to ask, it takes microseconds.
    async fn gather(&mut self) {
        let mut before = 0;
        for _ in 0..TURNS {
            self.queue.fill();
            let now = self.queue.held.len();
            if now == before {
                return;
            }
            before = now;
            yield_now().await;
        }
    }

    /// The next batch: no chain that shares a stream or key with one before it in the queue.
    fn take_batch(&mut self) -> Vec<Request> {
        let mut busy = Busy::default();
        let mut batch: Vec<Request> = Vec::new();
        let mut events = 0;
        let held: Vec<Request> = in_time(&self.waiting, std::mem::take(&mut self.queue.held));
        for request in held {
            let size: usize = request.chain.iter().map(|proposal| proposal.events.len()).sum();
            let full =
                batch.len() >= MAX_CHAINS || (!batch.is_empty() && events + size > MAX_EVENTS);
            if !busy.occupy(&request.chain) || full {
                self.queue.held.push_back(request);
            } else {
                events += size;
                batch.push(request);
            }
        }
        batch
    }

    /// Answers every chain of a batch; where the database refuses the batch, splits it until the culprit stands alone.
    async fn settle(&mut self, batch: Vec<Request>) {
        let mut parts = vec![Batch { requests: batch, sent: false }];
        while let Some(mut part) = parts.pop() {
            match self.send(&mut part).await {
                Ok(done) => {
                    self.head.appended(done.head);
                    for (request, outcome) in part.requests.into_iter().zip(done.chains) {
                        let outcome = outcome_of(&request.chain, outcome);
                        answer(&self.waiting, request, Ok(outcome));
                    }
                }
                Err(error) if part.requests.len() == 1 => {
                    if let Some(request) = part.requests.pop() {
                        answer(&self.waiting, request, Err(AppendError::Rejected(error)));
                    }
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        chains = part.requests.len(),
                        "the database refuses a batch of the log; splitting it to find the culprit"
                    );
                    let second = part.requests.split_off(part.requests.len() / 2);
                    parts.push(Batch { requests: second, sent: part.sent });
                    parts.push(part);
                }
            }
        }
    }

    /// Sends the identical batch until the database answers; until it was sent for the first time, without what is
    /// late. An error is the database's refusal of its content.
    async fn send(&mut self, batch: &mut Batch) -> Result<Done, sqlx::Error> {
        let mut pause = Duration::from_millis(20);
        loop {
            if !batch.sent {
                batch.requests = in_time(&self.waiting, std::mem::take(&mut batch.requests));
            }
            if batch.requests.is_empty() {
                return Ok(Done::default());
            }
            let error = match self.call(batch).await {
                Ok(answer) => return answer,
                Err(error) => error,
            };
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                chains = batch.requests.len(),
                "the log cannot be reached; sending the same batch again"
            );
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
            self.queue.fill();
            self.queue.held = in_time(&self.waiting, std::mem::take(&mut self.queue.held));
        }
    }

    /// The database's answer to a batch. The outer error: there is none, and it is to be asked again. Whatever keeps
    /// us from a connection says nothing about the batch.
    async fn call(&mut self, batch: &mut Batch) -> Result<Result<Done, sqlx::Error>, sqlx::Error> {
        let mut connection = self.connect().await?;
        let resent = std::mem::replace(&mut batch.sent, true);
        let chains: Vec<&Chain> = batch.requests.iter().map(|request| &request.chain).collect();
        fault::point("append", "before commit");
        let called = timeout(CALL_TIMEOUT, batch::send(&mut connection, &chains, resent)).await;
        fault::point("append", "after commit");
        match called.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
            Err(error) if is_transient(&error) => {
                drop(connection.detach()); // nobody knows what is still under way on it
                Err(error)
            }
            answer => {
                self.connection = Some((connection, Instant::now()));
                Ok(answer)
            }
        }
    }

    /// The kept connection, or a new one. One that was idle may have died in silence: it is asked first.
    async fn connect(&mut self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        if let Some((mut connection, used)) = self.connection.take() {
            let alive = used.elapsed() < IDLE
                || matches!(timeout(PING_TIMEOUT, connection.ping()).await, Ok(Ok(())));
            if alive {
                return Ok(connection);
            }
            drop(connection.detach());
        }
        self.pool.acquire().await
    }
}

/// Chains on their way, and whether the database may have seen them.
struct Batch {
    requests: Vec<Request>,
    sent: bool,
}

fn answer(waiting: &AtomicUsize, request: Request, outcome: Result<Outcome, AppendError>) {
    waiting.fetch_sub(1, Ordering::Relaxed);
    let _ = request.reply.send(outcome); // nobody may be waiting any more
}

/// Those whose deadline is still to come; the others are told.
fn in_time<T: FromIterator<Request>>(
    waiting: &AtomicUsize,
    requests: impl IntoIterator<Item = Request>,
) -> T {
    let now = Instant::now();
    let keep = |request: Request| {
        if request.deadline > now {
            return Some(request);
        }
        answer(waiting, request, Err(AppendError::Expired));
        None
    };
    requests.into_iter().filter_map(keep).collect()
}

fn outcome_of(chain: &Chain, outcome: ChainOutcome) -> Outcome {
    match outcome {
        ChainOutcome::Appended { first, epoch, recorded_at } => {
            let mut last = first - 1;
            let positions = chain.iter().map(|proposal| {
                last += i64::try_from(proposal.events.len()).unwrap_or_default();
                Position { epoch, number: last }
            });
            Outcome::Appended(Appended { positions: positions.collect(), recorded_at })
        }
        ChainOutcome::Stale { actual, missing } => {
            Outcome::Stale { actual: actual.into_iter().collect(), missing }
        }
        ChainOutcome::Keys(keys) => Outcome::Keys(keys),
    }
}

/// The streams and keys that a batch, and what waits in front of its queue, is about.
#[derive(Default)]
struct Busy {
    streams: HashSet<StreamId>,
    keys: HashSet<(&'static str, String)>,
}

impl Busy {
    /// Whether the chain is alone with its streams and keys; they are occupied from now on either way.
    fn occupy(&mut self, chain: &Chain) -> bool {
        let mut alone = true;
        let mut streams = HashSet::new();
        let mut keys = HashSet::new();
        for proposal in chain {
            let appended = proposal.events.iter().map(|event| &event.stream);
            streams
                .extend(proposal.reads.iter().map(|(stream, _)| stream).chain(appended).cloned());
            keys.extend(proposal.keys.iter().map(|used| (used.space, used.key.clone())));
        }
        for stream in streams {
            alone &= self.streams.insert(stream);
        }
        for key in keys {
            alone &= self.keys.insert(key);
        }
        alone
    }
}

/// Whether the same call may succeed later: the connection or the server failed, not the content.
/// Codes: `PostgreSQL` documentation, appendix A.
pub(crate) fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_) // what stands between us and the server cut in
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            let class = code.get(..2).unwrap_or_default();
            matches!(class, "08" | "53" | "57" | "58")
                || matches!(
                    code.as_ref(),
                    "25006" | "25P03" | "25P04" | "40001" | "40P01" | "55P03"
                )
        }),
        _ => false,
    }
}

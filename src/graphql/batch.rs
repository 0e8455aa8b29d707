//! Batched reads without waiting for them: a request reads what it was asked for once nothing else of it can go on.
//!
//! A `DataLoader` collects keys for a time and hopes that all have come. Here the request's own task does the reading:
//! it runs every resolver as far as it goes, and then starts the reads that they wait for, level by level. So a batch is
//! complete whatever the load, costs no delay, and ends with its request. Nothing is kept from one read to the next.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_graphql::dataloader::DataLoader;
use async_graphql::{Request, Response};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::task::AtomicWaker;
use sqlx::PgPool;

use super::Types;
use super::loader::ReadModels;

type Read = BoxFuture<'static, ()>;

/// Runs a request with a [`DataLoader`] of [`ReadModels`] of its own. Not as an extension of async-graphql: with one it
/// takes a longer way through every field.
pub(super) async fn execute(types: &Types, pool: &PgPool, request: Request) -> Response {
    let (request, mut reads) = Reads::of(request, pool);
    reads.drive(pin!(types.execute(request))).await
}

/// The answers of a subscription, one after the other.
pub(super) struct Responses {
    responses: BoxStream<'static, Response>,
    reads: Reads,
}

impl Responses {
    /// Those of a request. Nothing is run before the first is asked for.
    pub(super) fn of(types: &Types, pool: &PgPool, request: Request) -> Self {
        let (request, reads) = Reads::of(request, pool);
        Self { responses: types.execute_stream(request), reads }
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Option<Response> {
        self.reads.drive(pin!(self.responses.next())).await
    }
}

/// What the resolvers of a request wait for.
struct Reads {
    waiting: Arc<Mutex<Vec<Read>>>,
    running: FuturesUnordered<Read>,
    signal: Arc<Signal>,
}

impl Reads {
    /// Gives a request its loader.
    fn of(request: Request, pool: &PgPool) -> (Request, Self) {
        let waiting: Arc<Mutex<Vec<Read>>> = Arc::default();
        let begin = {
            let waiting = waiting.clone();
            move |read: Read| waiting.lock().unwrap_or_else(PoisonError::into_inner).push(read)
        };
        let read_models = DataLoader::new(ReadModels { pool: pool.clone() }, begin);
        let request = request.data(read_models.delay(Duration::ZERO).max_batch_size(usize::MAX));
        let (running, signal) = (FuturesUnordered::new(), Arc::default());
        (request, Self { waiting, running, signal })
    }

    /// Runs a part of the request to its end, and the reads that it waits for.
    async fn drive<F: Future>(&mut self, mut part: Pin<&mut F>) -> F::Output {
        let Self { waiting, running, signal } = self;
        let waker = Waker::from(signal.clone());
        poll_fn(|cx| {
            loop {
                signal.task.register(cx.waker());
                signal.woken.store(false, Ordering::SeqCst);
                let resolved = part.as_mut().poll(&mut Context::from_waker(&waker));
                if let Poll::Ready(output) = resolved {
                    return Poll::Ready(output);
                }
                // A request that has woken itself has only paused, as large lists do, and goes on at the next turn.
                // While others are read, more keys may come from what they bring.
                if running.is_empty() && !signal.woken.load(Ordering::SeqCst) {
                    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    running.extend(waiting.drain(..));
                }
                match running.poll_next_unpin(cx) {
                    // Somebody has what they waited for.
                    Poll::Ready(Some(())) => {}
                    Poll::Ready(None) | Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }
}

/// Wakes the task of a request, and remembers that it did.
#[derive(Default)]
struct Signal {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.task.wake();
    }
}

//! Batched reads without waiting for them: a request reads what it was asked for once nothing else of it can go on.
//!
//! A `DataLoader` collects keys for a time and hopes that all have come. Here the request's own task does the reading:
//! it runs every resolver as far as it goes, and then starts the reads that they wait for, level by level. So a batch is
//! complete whatever the load, costs no delay, and ends with its request. Nothing is kept from one read to the next.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_graphql::dataloader::DataLoader;
use async_graphql::{Request, Response};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::task::AtomicWaker;
use sqlx::PgPool;

use super::Types;
use super::loader::ReadModels;

type Read = BoxFuture<'static, ()>;

/// Runs a request with a [`DataLoader`] of [`ReadModels`] of its own. Not as an extension of async-graphql: with one it
/// takes a longer way through every field.
pub(super) async fn execute(types: &Types, pool: &PgPool, request: Request) -> Response {
    let waiting: Arc<Mutex<Vec<Read>>> = Arc::default();
    let begin = {
        let waiting = waiting.clone();
        move |read: Read| waiting.lock().unwrap_or_else(PoisonError::into_inner).push(read)
    };
    let read_models = DataLoader::new(ReadModels { pool: pool.clone() }, begin);
    let request = request.data(read_models.delay(Duration::ZERO).max_batch_size(usize::MAX));

    let signal = Arc::new(Signal::default());
    let waker = Waker::from(signal.clone());
    let mut request = pin!(types.execute(request));
    let mut reads = FuturesUnordered::new();
    poll_fn(|cx| {
        loop {
            signal.task.register(cx.waker());
            signal.woken.store(false, Ordering::SeqCst);
            let resolved = request.as_mut().poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(response) = resolved {
                return Poll::Ready(response);
            }
            // A request that has woken itself has only paused, as large lists do, and goes on at the next turn.
            // While others are read, more keys may come from what they bring.
            if reads.is_empty() && !signal.woken.load(Ordering::SeqCst) {
                reads.extend(waiting.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
            }
            match reads.poll_next_unpin(cx) {
                // Somebody has what they waited for.
                Poll::Ready(Some(())) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
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

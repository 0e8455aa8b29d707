//! The connections of the HTTP server, and how they are bounded in number, memory and time.
//!
//! ## Decision
//! Connections are served here and not by `axum::serve`, which gives hyper no timer: a client that sends the head of a
//! request a byte a minute, or never reads its answer, would keep its connection, and the number of connections has no
//! end. What is sent after the head has its own deadline, that of the request.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The longest head of a request, in bytes, and what is kept of a connection beside the body that is being read.
const HEAD: usize = 128 * 1024;

/// How connections are bounded.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// The most that are open at once, those of `WebSockets` among them. Further ones wait for one that ends.
    pub connections: usize,
    /// How long a client may take to send the head of its next request, and to take a part of an answer.
    pub patience: Duration,
}

/// Serves until `stop`, then until what is under way is answered.
pub(super) async fn serve(
    mut listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    stop: CancellationToken,
) {
    let free = Arc::new(Semaphore::new(limits.connections));
    let open = TaskTracker::new();
    loop {
        let next = async {
            // Closed by nobody, so there is a place sooner or later.
            let place = free.clone().acquire_owned().await.ok();
            (place, Listener::accept(&mut listener).await.0)
        };
        let Some((place, stream)) = stop.run_until_cancelled(next).await else { break };
        let stream = Patient { stream, patience: limits.patience, late: None, _place: place };
        open.spawn(one(stream, router.clone(), stop.clone()));
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// Serves one connection to its end.
async fn one(stream: Patient, router: Router, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(stream.patience).max_buf_size(HEAD);
    let connection = http
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // The client's doing, whatever it is: it hung up, was late, or spoke no HTTP.
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke");
    }
}

/// A connection that breaks where the other side takes nothing of what is sent for too long.
struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// Runs while nothing can be sent.
    late: Option<Pin<Box<Sleep>>>,
    /// Its place among those that may be open, which it keeps when it becomes a WebSocket.
    _place: Option<OwnedSemaphorePermit>,
}

impl Patient {
    /// What became of an attempt to send.
    fn sent<T>(
        &mut self,
        context: &mut Context<'_>,
        sent: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.late = None;
            return sent;
        }
        let patience = self.patience;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(late.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(context, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.sent(context, sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

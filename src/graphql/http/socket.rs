//! Operations over a WebSocket, in the protocol `graphql-transport-ws`: subscriptions, and queries and mutations too.
//!
//! A browser may open a socket to another origin without being asked first. That gives a foreign page nothing: who calls is
//! said by a token in `connection_init`, never by a cookie.
//!
//! ## Decision
//! The protocol is spoken here and not by async-graphql-axum's `GraphQLWebSocket`, which knows neither our limits nor our
//! batched reads, and closes with codes of its own (1011 before the handshake, 1002 for no JSON), takes a second
//! subscription of one id, and waits for `connection_init` for ever.
//!
//! A client that does not take a message within the patience of the settings is closed: until then at most a few messages,
//! and one for each of its operations, wait for it. What it missed it gets by subscribing behind the last
//! position that it has seen.
//!
//! A token is asked about again with each operation, and twice a minute while the socket is open. A positive answer is
//! believed for 30 s as everywhere, so a token that was revoked is noticed with the next operation 30 s later, and ends
//! the subscriptions that run within a minute.

mod connection;
mod message;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::header::{AUTHORIZATION, UPGRADE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

use self::message::PROTOCOL;
use super::accept::Kind;
use super::answer::{self, refuse};
use super::{Api, Caller, ErrorCode, RequestIds};

/// So many times the size that a message may have is read: what lies unread when a socket ends would take away from the
/// client why it was closed.
const READ_MORE: usize = 4;

/// Says who holds a token.
pub type Validate = Arc<dyn Fn(String) -> BoxFuture<'static, Caller> + Send + Sync>;

/// How sockets are bounded.
#[derive(Debug, Clone, Copy)]
pub struct SocketLimits {
    /// The most that are open at once.
    pub sockets: usize,
    /// The most operations that are under way at once on one of them.
    pub operations: usize,
    /// How long a client may take to say who it is.
    pub init: Duration,
    /// How long a client may take to read a message.
    pub patience: Duration,
}

/// The sockets of this process. A clone is another handle of the same.
#[derive(Clone)]
pub struct Sockets {
    limits: SocketLimits,
    validate: Validate,
    stop: CancellationToken,
    free: Arc<Semaphore>,
    open: TaskTracker,
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets").field("open", &self.open.len()).finish_non_exhaustive()
    }
}

impl Sockets {
    /// None yet.
    pub fn new(limits: SocketLimits, validate: Validate) -> Self {
        let free = Arc::new(Semaphore::new(limits.sockets));
        let (stop, open) = (CancellationToken::new(), TaskTracker::new());
        Self { limits, validate, stop, free, open }
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// Closes all, and opens no more.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits, after [`Sockets::stop`], until all are closed.
    pub async fn closed(&self) {
        self.open.close();
        self.open.wait().await;
    }
}

/// Whether a request wants to become a WebSocket.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let names = headers.get(UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    names.split(',').any(|name| name.trim().eq_ignore_ascii_case("websocket"))
}

/// Makes a WebSocket of a request, unless there are too many.
pub(super) fn open(
    api: Api,
    ids: &RequestIds,
    headers: &HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let refused =
        |status, code, message: &str| refuse(status, Kind::Json, answer::error(code, message), ids);
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            let message = format!("this is no handshake of a WebSocket: {rejection}");
            return refused(StatusCode::BAD_REQUEST, ErrorCode::ValidationFailed, &message);
        }
    };
    let sockets = api.sockets.clone();
    let free = sockets.free.clone().try_acquire_owned();
    let Some(place) = free.ok().filter(|_| !sockets.stop.is_cancelled()) else {
        let message = "no more WebSockets can be opened now; try again";
        return refused(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::RateLimited, message);
    };
    let token =
        headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap_or_default().to_owned());
    let (open, span) = (sockets.open.token(), Span::current());
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(api.limits.body.saturating_mul(READ_MORE))
        .max_frame_size(api.limits.body.saturating_mul(READ_MORE))
        .on_upgrade(move |socket| {
            let talk = async move {
                connection::talk(api, socket, token).await;
                drop((place, open));
            };
            talk.instrument(span)
        })
}

/// The token of `Bearer …` (RFC 6750); `None` for any other kind of credentials.
pub fn bearer_token(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

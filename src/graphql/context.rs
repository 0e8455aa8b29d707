//! What a request brings along (who calls, and the ids that tie its traces together), and what resolvers ask of the
//! log: to wait until the read models have seen a position, and when an event was recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_graphql::{Context, ErrorExtensions, Result};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::error::{ErrorCode, failure, read_failed, wait_failed};
use crate::domain::{Actor, Role};
use crate::event_store::{Metadata, Position, StreamId, log};
use crate::projections::Checkpoints;
use crate::projections::courses::Sight;

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Nobody in particular: no token was sent.
    Anonymous,
    /// A validated caller.
    Known(Actor),
    /// A token was sent and did not lead to anybody: nothing is answered.
    Failed(IdentityFailure),
}

/// Why a token did not lead to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityFailure {
    /// It is not valid.
    Unauthenticated,
    /// The user management service refuses its owner.
    Forbidden,
    /// The user management service does not answer.
    Unavailable,
}

/// The ids of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestIds {
    /// In every log line, event and answer that the request causes.
    pub correlation_id: String,
    /// The W3C trace context, where the request had one.
    pub traceparent: Option<String>,
}

/// How many entries the lists of a request may have, all together: a list without pages inside of another multiplies,
/// which the document does not show.
#[derive(Clone)]
pub(super) struct Entries {
    limit: usize,
    left: Arc<AtomicUsize>,
}

impl Entries {
    /// At most this many.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, left: Arc::new(AtomicUsize::new(limit)) }
    }

    /// Begins anew, for the next answer of a subscription.
    pub(super) fn renew(&self) {
        self.left.store(self.limit, Ordering::Relaxed);
    }
}

/// Counts the entries of a list before they are answered; refuses what would be too many.
pub(super) fn count_entries(ctx: &Context<'_>, count: usize) -> Result<()> {
    let entries = ctx.data::<Entries>()?;
    let fits = |left: usize| left.checked_sub(count);
    if entries.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok() {
        return Ok(());
    }
    let message = format!("the lists of the answer would have more than {} entries", entries.limit);
    let error = failure(ErrorCode::LimitExceeded, message);
    Err(error.extend_with(|_, extensions| extensions.set("limit", "complexity")))
}

/// The caller, or why there is none.
pub(super) fn caller<'a>(ctx: &Context<'a>) -> Result<Option<&'a Actor>> {
    match ctx.data::<Caller>()? {
        Caller::Anonymous => Ok(None),
        Caller::Known(actor) => Ok(Some(actor)),
        Caller::Failed(IdentityFailure::Unauthenticated) => {
            Err(failure(ErrorCode::Unauthenticated, "the token is not valid"))
        }
        Caller::Failed(IdentityFailure::Forbidden) => {
            Err(failure(ErrorCode::Forbidden, "the user management service refuses this caller"))
        }
        Caller::Failed(IdentityFailure::Unavailable) => Err(failure(
            ErrorCode::UserServiceUnavailable,
            "the user management service does not answer; try again",
        )),
    }
}

/// The caller of a mutation: there must be one.
pub(super) fn actor(ctx: &Context<'_>) -> Result<Actor> {
    caller(ctx)?.cloned().ok_or_else(|| {
        failure(ErrorCode::Unauthenticated, "this needs a token: `Authorization: Bearer …`")
    })
}

/// Whose eyes the request reads with.
pub(super) fn sight(ctx: &Context<'_>) -> Result<Sight> {
    Ok(match caller(ctx)? {
        Some(actor) if actor.admin() => Sight::Everything,
        Some(actor) if actor.role == Role::Instructor => Sight::Teacher(actor.id.clone()),
        _ => Sight::Public,
    })
}

/// What the events of a mutation carry of its request.
pub(super) fn metadata(ctx: &Context<'_>, actor: &Actor) -> Metadata {
    let ids = ctx.data_opt::<RequestIds>();
    Metadata {
        actor: Some(actor.id.to_string()),
        correlation_id: ids.map(|ids| ids.correlation_id.clone()),
        causation_id: None,
        traceparent: ids.and_then(|ids| ids.traceparent.clone()),
    }
}

/// Refuses to read models that are built for the first time: what they show so far was never true.
pub(super) async fn built(ctx: &Context<'_>) -> Result<()> {
    let unbuilt = ctx.data::<Checkpoints>()?.unbuilt().await;
    if unbuilt.map_err(|error| read_failed(&error))?.is_empty() {
        return Ok(());
    }
    Err(failure(
        ErrorCode::ProjectionLagging,
        "a read model of this release is being built; try again later",
    ))
}

/// Waits, bounded, until the read models have seen a position.
pub(super) async fn settle(ctx: &Context<'_>, position: Position) -> Result<()> {
    let checkpoints = ctx.data::<Checkpoints>()?;
    let waited = checkpoints.wait_for(position, super::READ_YOUR_WRITES).await;
    waited.map_err(|error| wait_failed(&error))
}

/// When an event was recorded.
pub(super) async fn recorded_at(
    ctx: &Context<'_>,
    stream: &StreamId,
    sequence: u64,
) -> Result<DateTime<Utc>> {
    let found = log::recorded_at(ctx.data::<PgPool>()?, stream, sequence).await;
    let found = found.map_err(|error| read_failed(&error))?;
    found.ok_or_else(|| failure(ErrorCode::Internal, "something went wrong on our side; try again"))
}

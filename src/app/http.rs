//! The HTTP face: GraphQL with the caller's identity, health and metrics.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tracing::Instrument;
use uuid::Uuid;

use super::health::Health;
use super::identity::{Identity, IdentityError};
use super::metrics::Metrics;
use crate::graphql::http::{Sockets, Validate, bearer_token};
use crate::graphql::{self, Caller, IdentityFailure, Limits, RequestIds, Schema};

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the API needs.
pub(super) struct Api {
    pub(super) schema: Schema,
    pub(super) limits: Limits,
    pub(super) identity: Arc<Identity>,
    pub(super) sockets: Sockets,
}

struct Operations {
    health: Health,
    metrics: Arc<Metrics>,
    sockets: Option<Sockets>,
}

/// Everything that this process serves; `api` only where it has that role.
pub(super) fn router(health: Health, metrics: Arc<Metrics>, api: Option<Api>) -> Router {
    let sockets = api.as_ref().map(|api| api.sockets.clone());
    let operations = Router::new()
        .route("/livez", get(async || Json(json!({ "status": "ok" }))))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(Arc::new(Operations { health, metrics, sockets }));
    let router = match api {
        None => operations,
        Some(api) => graphql::http::router(api.schema, api.limits, api.sockets)
            .layer(middleware::from_fn_with_state(api.identity, identify))
            .merge(operations),
    };
    router.fallback(graphql::http::nowhere).layer(middleware::from_fn(correlate))
}

async fn readyz(State(operations): State<Arc<Operations>>) -> Response {
    let readiness = operations.health.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness.report)).into_response()
}

async fn metrics_text(State(operations): State<Arc<Operations>>) -> Response {
    operations.health.observe(&operations.metrics).await;
    operations.metrics.sockets(operations.sockets.as_ref().map_or(0, Sockets::count));
    match operations.metrics.text() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Gives the request its ids: the caller's where they are lawful, else new ones. The answer and every log line have them.
async fn correlate(mut request: Request, next: Next) -> Response {
    let correlation_id = lawful(request.headers(), &CORRELATION_ID, |text| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
        (1..=128).contains(&text.len()) && text.bytes().all(plain)
    });
    let correlation_id = correlation_id.unwrap_or_else(|| Uuid::now_v7().to_string());
    let traceparent = lawful(request.headers(), &TRACEPARENT, is_traceparent);
    let ids = RequestIds { correlation_id: correlation_id.clone(), traceparent };
    request.extensions_mut().insert(ids);
    // Of the highest level, so that no filter leaves its lines without it.
    let span = tracing::error_span!("request", correlation_id, path = request.uri().path());
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&correlation_id) {
        response.headers_mut().insert(CORRELATION_ID, value);
    }
    response
}

fn lawful(headers: &HeaderMap, name: &HeaderName, check: fn(&str) -> bool) -> Option<String> {
    headers.get(name)?.to_str().ok().filter(|text| check(text)).map(str::to_owned)
}

/// W3C Trace Context, version 00.
fn is_traceparent(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [2, 32, 16, 2]
        && text.bytes().all(|b| b == b'-' || b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

/// Finds out who calls, where a token was sent.
async fn identify(
    State(identity): State<Arc<Identity>>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match bearer(request.headers()) {
        Ok(None) => Caller::Anonymous,
        Err(()) => Caller::Failed(IdentityFailure::Unauthenticated),
        Ok(Some(token)) => validate(&identity, token).await,
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Who holds a token.
async fn validate(identity: &Identity, token: &str) -> Caller {
    match identity.validate(token).await {
        Ok(actor) => Caller::Known(actor),
        Err(IdentityError::Unauthenticated) => Caller::Failed(IdentityFailure::Unauthenticated),
        Err(IdentityError::Forbidden) => Caller::Failed(IdentityFailure::Forbidden),
        Err(IdentityError::Unavailable) => Caller::Failed(IdentityFailure::Unavailable),
    }
}

/// The same for sockets, which ask again as long as they are open.
pub(super) fn validator(identity: &Arc<Identity>) -> Validate {
    let identity = identity.clone();
    Arc::new(move |token| {
        let identity = identity.clone();
        Box::pin(async move { validate(&identity, &token).await })
    })
}

/// The bearer token of the request (RFC 6750); an error for any other kind of credentials.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ()> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    bearer_token(value.to_str().map_err(|_| ())?).ok_or(()).map(Some)
}

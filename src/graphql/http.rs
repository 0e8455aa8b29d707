//! GraphQL over HTTP: a thin layer of our own, because the stock one runs mutations over GET, answers every request
//! with 200 and does not negotiate.
//!
//! POST takes JSON only, so a page of another origin cannot send a mutation without a preflight, which nobody
//! answers; GET runs queries only, gives a browser `GraphiQL`, and opens a WebSocket for subscriptions (see `socket`). A
//! body may be a list of requests, which run one after the other.

mod accept;
mod answer;
mod documents;
mod nulls;
mod order;
mod persisted;
mod request;
mod run;
mod socket;
mod variables;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, Path, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::{Instant, timeout_at};

use self::accept::{Kind, negotiate};
use self::answer::{Answer, refuse};
use self::documents::Documents;
use self::nulls::FieldTypes;
use self::persisted::Store;
use self::request::{Envelope, Members, from_json, from_query, is_json};
pub use self::socket::{SocketLimits, Sockets, Validate, bearer_token};
use super::error::ErrorCode;
use super::limits::{Exceeded, Limits};
use super::{Caller, RequestIds, Schema, graphiql};

/// What `/graphql` understands.
const METHODS: &str = "GET, HEAD, POST, OPTIONS";

#[derive(Clone)]
struct Api {
    schema: Schema,
    limits: Limits,
    persisted: Arc<Store>,
    documents: Arc<Documents>,
    field_types: Arc<FieldTypes>,
    sockets: Sockets,
}

/// Who asks, in which type to answer, and until when.
struct Asked {
    caller: Caller,
    ids: RequestIds,
    kind: Kind,
    deadline: Instant,
}

/// `/graphql` and the files of `GraphiQL`. Needs [`Caller`] and [`RequestIds`] as extensions of each request.
pub fn router(schema: Schema, limits: Limits, sockets: Sockets) -> Router {
    let field_types = FieldTypes::of(&schema.types.sdl());
    Router::new()
        .route("/graphql", get(read).post(write).options(options).fallback(other_method))
        .route("/graphiql/{name}", get(asset))
        .with_state(Api {
            schema,
            limits,
            persisted: Arc::new(Store::new()),
            documents: Arc::new(Documents::new()),
            field_types: Arc::new(field_types),
            sockets,
        })
}

async fn asset(Path(name): Path<String>, ids: Extension<RequestIds>) -> Response {
    match graphiql::asset(&name) {
        Some((kind, bytes)) => {
            let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=3600")];
            (headers, bytes).into_response()
        }
        None => nowhere(ids).await,
    }
}

async fn write(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Extension(ids): Extension<RequestIds>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let deadline = Instant::now() + api.limits.timeout;
    let Some(kind) = negotiate(&headers, Kind::ANSWERS) else { return not_acceptable(&ids) };
    let asked = Asked { caller, ids, kind, deadline };
    if !is_json(&headers) {
        let message = "send JSON in UTF-8, with `content-type: application/json`";
        return asked.refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
    }
    let body = match timeout_at(deadline, to_bytes(body, api.limits.body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let exceeded = Exceeded::Body(api.limits.body);
            return asked.pass(StatusCode::PAYLOAD_TOO_LARGE, exceeded);
        }
        Err(_) => {
            let error = answer::error(ErrorCode::Timeout, "the body did not come in time");
            return refuse(StatusCode::REQUEST_TIMEOUT, asked.kind, error, &asked.ids);
        }
    };
    match from_json(&body) {
        Ok(Envelope::One(members)) => api.answer_one(*members, asked).await,
        Ok(Envelope::Batch(batch)) => api.answer_batch(batch, asked).await,
        Err(why) => {
            let message = format!("the body is not a GraphQL request in JSON: {why}");
            asked.refuse(StatusCode::BAD_REQUEST, &message)
        }
    }
}

async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Extension(ids): Extension<RequestIds>,
    headers: HeaderMap,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    if socket::is_asked_for(&headers) {
        return socket::open(api, &ids, &headers, upgrade);
    }
    let deadline = Instant::now() + api.limits.timeout;
    let Some(kind) = negotiate(&headers, Kind::ALL) else { return not_acceptable(&ids) };
    if kind == Kind::Page {
        let headers = [
            (CONTENT_TYPE, kind.content_type()),
            (CONTENT_SECURITY_POLICY, graphiql::CONTENT_SECURITY_POLICY),
            (VARY, "accept"),
        ];
        return (headers, graphiql::PAGE).into_response();
    }
    let asked = Asked { caller, ids, kind, deadline };
    let members = match from_query(&uri) {
        Ok(members) => members,
        Err(why) => return asked.refuse(StatusCode::BAD_REQUEST, &why),
    };
    let checked = match api.check(members) {
        Ok(checked) => checked,
        Err(refusal) => return Answer::from(refusal).into_response(asked.kind, &asked.ids),
    };
    if !checked.is_query() {
        let message = "GET runs queries only; send this with POST";
        let mut answer = asked.refuse(StatusCode::METHOD_NOT_ALLOWED, message);
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return answer;
    }
    let answer = api.run(checked, &asked).await;
    answer.into_response(asked.kind, &asked.ids)
}

/// Says what may be sent. To a preflight of another origin that is a no: nothing here allows one.
async fn options() -> Response {
    (StatusCode::NO_CONTENT, [(ALLOW, METHODS)]).into_response()
}

async fn other_method(Extension(ids): Extension<RequestIds>) -> Response {
    let message = "send a query with GET, or any operation with POST";
    let error = answer::error(ErrorCode::ValidationFailed, message);
    let mut answer = refuse(StatusCode::METHOD_NOT_ALLOWED, Kind::Json, error, &ids);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
    answer
}

/// The answer to a path that nothing is at. Needs [`RequestIds`] as an extension of each request.
pub async fn nowhere(Extension(ids): Extension<RequestIds>) -> Response {
    let error = answer::error(ErrorCode::NotFound, "no such path");
    refuse(StatusCode::NOT_FOUND, Kind::Json, error, &ids)
}

fn not_acceptable(ids: &RequestIds) -> Response {
    let message = "this is answered as application/graphql-response+json or application/json";
    let error = answer::error(ErrorCode::ValidationFailed, message);
    refuse(StatusCode::NOT_ACCEPTABLE, Kind::Json, error, ids)
}

impl Asked {
    /// Refuses what is no GraphQL request.
    fn refuse(&self, status: StatusCode, message: &str) -> Response {
        let error = answer::error(ErrorCode::ValidationFailed, message);
        refuse(status, self.kind, error, &self.ids)
    }

    /// Refuses a request that passes a limit.
    fn pass(&self, status: StatusCode, exceeded: Exceeded) -> Response {
        refuse(status, self.kind, answer::exceeded(exceeded), &self.ids)
    }
}

impl Api {
    async fn answer_one(&self, members: Members, asked: Asked) -> Response {
        let answer = match self.check(members) {
            Ok(checked) => self.run(checked, &asked).await,
            Err(refusal) => refusal.into(),
        };
        answer.into_response(asked.kind, &asked.ids)
    }

    /// Checks all requests, then runs them one after the other.
    async fn answer_batch(&self, batch: Vec<Members>, asked: Asked) -> Response {
        if batch.is_empty() {
            return asked.refuse(StatusCode::BAD_REQUEST, "a batch must have at least one request");
        }
        if batch.len() > self.limits.batch {
            return asked.pass(StatusCode::BAD_REQUEST, Exceeded::Batch(self.limits.batch));
        }
        let checked: Vec<_> = batch.into_iter().map(|members| self.check(members)).collect();
        let mutations: usize = checked.iter().flatten().map(run::Checked::mutations).sum();
        if mutations > self.limits.mutations {
            return asked.pass(StatusCode::BAD_REQUEST, Exceeded::Mutations(self.limits.mutations));
        }
        let mut answers = Vec::with_capacity(checked.len());
        for checked in checked {
            answers.push(match checked {
                Ok(checked) => self.run(checked, &asked).await,
                Err(refusal) => refusal.into(),
            });
        }
        answer::batch(answers, asked.kind, &asked.ids)
    }
}

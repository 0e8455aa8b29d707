//! What a request is answered with: status, type, and errors that all have a code and the correlation id.

use async_graphql::{ServerError, Value};
use async_graphql_axum::GraphQLResponse;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, VARY};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::accept::Kind;
use crate::graphql::RequestIds;
use crate::graphql::error::{ErrorCode, complete, server_error};
use crate::graphql::limits::Exceeded;

/// The most errors of a request that was not run: a short document can make thousands.
const MAX_ERRORS: usize = 20;

/// The answer to one request.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ServerError>,
    /// There is none where nothing was run.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    /// Where the request itself is not right, whatever the type of the answer.
    #[serde(skip)]
    malformed: bool,
}

/// Why a request is not run.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: Box<ServerError>,
    /// Whether it is the request and not the document.
    pub(super) malformed: bool,
}

impl From<ServerError> for Refusal {
    fn from(error: ServerError) -> Self {
        Self { error: Box::new(error), malformed: false }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self { errors: vec![*refusal.error], data: None, malformed: refusal.malformed }
    }
}

impl Answer {
    /// Of a request that was run, in part or in whole.
    pub(super) fn executed(data: Value, errors: Vec<ServerError>) -> Self {
        Self { errors, data: Some(data), malformed: false }
    }

    /// Of a request that was not run.
    pub(super) fn invalid(mut errors: Vec<ServerError>) -> Self {
        errors.truncate(MAX_ERRORS);
        Self { errors, data: None, malformed: false }
    }

    fn complete(&mut self, ids: &RequestIds) {
        for error in &mut self.errors {
            complete(error, &ids.correlation_id);
        }
    }

    /// As a message of a WebSocket has it: whole, or the errors where there is nothing else.
    pub(super) fn into_message(mut self, ids: &RequestIds) -> Result<Self, Vec<ServerError>> {
        self.complete(ids);
        match self.data {
            Some(Value::Null) if !self.errors.is_empty() => Err(self.errors),
            None => Err(self.errors),
            Some(_) => Ok(self),
        }
    }

    pub(super) fn into_response(mut self, kind: Kind, ids: &RequestIds) -> Response {
        self.complete(ids);
        if let Some(data) = self.data {
            let mut executed = async_graphql::Response::new(data);
            executed.errors = self.errors;
            let body = GraphQLResponse::from(executed);
            return (headers(kind), body).into_response();
        }
        let refused = kind == Kind::GraphqlResponse || self.malformed;
        let status = if refused { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        written(status, kind, &self)
    }
}

/// The answers to a batch, in its order.
pub(super) fn batch(mut answers: Vec<Answer>, kind: Kind, ids: &RequestIds) -> Response {
    for answer in &mut answers {
        answer.complete(ids);
    }
    written(StatusCode::OK, kind, &answers)
}

/// The answer to what is no GraphQL request.
pub(super) fn refuse(
    status: StatusCode,
    kind: Kind,
    error: ServerError,
    ids: &RequestIds,
) -> Response {
    let mut answer = Answer::invalid(vec![error]);
    answer.complete(ids);
    written(status, kind, &answer)
}

/// Whoever asks sees something else, and so does everybody a moment later: nothing on the way keeps it.
fn headers(kind: Kind) -> [(HeaderName, &'static str); 3] {
    [
        (CONTENT_TYPE, kind.content_type()),
        (CACHE_CONTROL, "no-store"),
        (VARY, "accept, authorization"),
    ]
}

fn written(status: StatusCode, kind: Kind, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => (status, headers(kind), body).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "an answer is not JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An error of the whole request.
pub(super) fn error(code: ErrorCode, message: &str) -> ServerError {
    server_error(code, message)
}

/// The error of a request that passes a limit.
pub(super) fn exceeded(exceeded: Exceeded) -> ServerError {
    let mut error = server_error(ErrorCode::LimitExceeded, exceeded.to_string());
    error.extensions.get_or_insert_default().set("limit", exceeded.name());
    error
}

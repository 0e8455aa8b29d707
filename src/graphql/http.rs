//! GraphQL over HTTP: a thin layer of our own, because the stock one runs mutations over GET.
//!
//! POST takes JSON only, so a page of another origin cannot send a mutation without a preflight; GET runs queries
//! only, and gives a browser `GraphiQL`.

use std::time::Duration;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{DocumentOperations, OperationType};
use async_graphql::{Request, Response as GraphqlResponse, ServerError, Variables};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use super::error::ErrorCode;
use super::expansion::{self, Unbounded};
use super::{Caller, RequestIds, Schema, graphiql};

/// The longest message of an error, in bytes.
const MAX_MESSAGE: usize = 1_000;

/// How requests are bounded.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body: usize,
    /// The longest that an operation may take.
    pub timeout: Duration,
}

#[derive(Clone)]
struct Api {
    schema: Schema,
    limits: Limits,
}

/// `/graphql` and the files of `GraphiQL`. Needs [`Caller`] and [`RequestIds`] as extensions of each request.
pub fn router(schema: Schema, limits: Limits) -> Router {
    Router::new()
        .route("/graphql", get(read).post(write).fallback(other_method))
        .route("/graphiql/{name}", get(asset))
        .with_state(Api { schema, limits })
}

async fn asset(Path(name): Path<String>) -> Response {
    match graphiql::asset(&name) {
        Some((kind, bytes)) => {
            let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=3600")];
            (headers, bytes).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The members of a request, by the GraphQL over HTTP specification.
#[derive(Deserialize)]
#[serde(expecting = "one object with `query` and, where needed, `operationName` and `variables`")]
struct Members {
    query: String,
    #[serde(default, rename = "operationName")]
    operation_name: Option<String>,
    #[serde(default)]
    variables: Option<serde_json::Map<String, serde_json::Value>>,
}

impl Members {
    fn into_request(self) -> Request {
        let variables = serde_json::Value::Object(self.variables.unwrap_or_default());
        let mut request = Request::new(self.query).variables(Variables::from_json(variables));
        request.operation_name = self.operation_name;
        request
    }
}

async fn write(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Extension(ids): Extension<RequestIds>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let json = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
        kind.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/json"))
    });
    if !json {
        let message = "send JSON, with `content-type: application/json`";
        return refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::ValidationFailed,
            message,
            &ids,
        );
    }
    let Ok(body) = to_bytes(body, api.limits.body).await else {
        let message = format!("the body must be at most {} bytes", api.limits.body);
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::LimitExceeded, &message, &ids);
    };
    match serde_json::from_slice::<Members>(&body) {
        Ok(members) => api.execute(members.into_request(), caller, ids, &headers).await,
        Err(error) => {
            let message = format!("the body is not a GraphQL request in JSON: {error}");
            refuse(StatusCode::BAD_REQUEST, ErrorCode::ValidationFailed, &message, &ids)
        }
    }
}

async fn read(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Extension(ids): Extension<RequestIds>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let wants_page = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if wants_page {
        let headers = [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CONTENT_SECURITY_POLICY, graphiql::CONTENT_SECURITY_POLICY),
        ];
        return (headers, graphiql::PAGE).into_response();
    }
    let request = match async_graphql::http::parse_query_string(query.as_deref().unwrap_or("")) {
        Ok(request) if !request.query.is_empty() => request,
        _ => {
            let message = "pass a `query` parameter, and `variables` as JSON where it needs some";
            return refuse(StatusCode::BAD_REQUEST, ErrorCode::ValidationFailed, message, &ids);
        }
    };
    if !only_queries(&request) {
        return refuse_method("POST", "GET runs queries only; send this with POST", &ids);
    }
    api.execute(request, caller, ids, &headers).await
}

async fn other_method(Extension(ids): Extension<RequestIds>) -> Response {
    refuse_method("GET, HEAD, POST", "send a query with GET, or any operation with POST", &ids)
}

/// Whether whatever operation of the document is chosen, it is a query. A document that does not parse runs nothing.
fn only_queries(request: &Request) -> bool {
    let Ok(document) = parse_query(&request.query) else { return true };
    let query = |kind: OperationType| kind == OperationType::Query;
    match &document.operations {
        DocumentOperations::Single(operation) => query(operation.node.ty),
        DocumentOperations::Multiple(operations) => {
            operations.values().all(|operation| query(operation.node.ty))
        }
    }
}

impl Api {
    async fn execute(
        &self,
        mut request: Request,
        caller: Caller,
        ids: RequestIds,
        headers: &HeaderMap,
    ) -> Response {
        // What does not parse is for the schema to tell.
        if let Ok(document) = parse_query(&request.query) {
            match expansion::check(&document) {
                Ok(()) => request.set_parsed_query(document),
                Err(error) => {
                    let code = match error {
                        Unbounded::TooLarge | Unbounded::Mutations => ErrorCode::LimitExceeded,
                        Unbounded::Cycle => ErrorCode::ValidationFailed,
                    };
                    return refuse(StatusCode::BAD_REQUEST, code, &error.to_string(), &ids);
                }
            }
        }
        let correlation_id = ids.correlation_id.clone();
        let request = request.data(caller).data(ids);
        let executed = tokio::time::timeout(self.limits.timeout, self.schema.execute(request));
        let mut response = executed.await.unwrap_or_else(|_| {
            let message = "no answer in time; a command may or may not have been carried out";
            GraphqlResponse::from_errors(vec![coded(ErrorCode::Timeout, message)])
        });
        for error in &mut response.errors {
            shorten(&mut error.message);
            let extensions = error.extensions.get_or_insert_default();
            if extensions.get("code").is_none() {
                // Only documents that were never run have errors without a code.
                extensions.set("code", ErrorCode::ValidationFailed.as_str());
                extensions.set("retryable", false);
            }
            extensions.set("correlationId", correlation_id.as_str());
        }
        let mut answer = async_graphql_axum::GraphQLResponse::from(response).into_response();
        let modern = headers
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("application/graphql-response+json"));
        if !modern {
            let json = HeaderValue::from_static("application/json; charset=utf-8");
            answer.headers_mut().insert(CONTENT_TYPE, json);
        }
        answer
    }
}

/// A parser quotes the line that it stumbles over, which may be the whole document.
fn shorten(message: &mut String) {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
}

fn coded(code: ErrorCode, message: &str) -> ServerError {
    let mut error = ServerError::new(message, None);
    let extensions = error.extensions.get_or_insert_default();
    extensions.set("code", code.as_str());
    extensions.set("retryable", code == ErrorCode::Timeout);
    error
}

fn refuse(status: StatusCode, code: ErrorCode, message: &str, ids: &RequestIds) -> Response {
    let mut error = coded(code, message);
    let extensions = error.extensions.get_or_insert_default();
    extensions.set("correlationId", ids.correlation_id.as_str());
    (status, axum::Json(GraphqlResponse::from_errors(vec![error]))).into_response()
}

fn refuse_method(allowed: &'static str, message: &str, ids: &RequestIds) -> Response {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut answer = refuse(status, ErrorCode::ValidationFailed, message, ids);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

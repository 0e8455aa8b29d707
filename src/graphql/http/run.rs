//! From the members of a request to its answer: find the document, check it, run it.

use std::collections::HashSet;
use std::sync::Arc;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, OperationType, Selection,
};
use async_graphql::{PathSegment, Positioned, Request, Response, ServerError, Value, Variables};
use tokio::time::{Instant, timeout_at};

use super::answer::{Answer, Refusal, exceeded};
use super::nulls::Operation;
use super::order::Order;
use super::persisted::{Found, Missing};
use super::request::Members;
use super::variables::{coerce, without};
use super::{Api, Asked};
use crate::graphql::batch::Responses;
use crate::graphql::context::{Caller, Entries, RequestIds};
use crate::graphql::error::{ErrorCode, server_error};
use crate::graphql::limits::{Scope, Unfit, check, check_text, selected};

/// A request that may run.
pub(super) struct Checked {
    request: Request,
    /// The name of its operation, where it gives one.
    name: Option<String>,
    found: Found,
    mutations: usize,
    /// The type of its operation; none where it names none, and nothing will be run.
    kind: Option<OperationType>,
    order: Order,
    /// The document as it came, to be validated, where another one is run.
    original: Option<ExecutableDocument>,
}

impl Checked {
    /// How many mutations it holds.
    pub(super) fn mutations(&self) -> usize {
        self.mutations
    }

    /// Whether its answers come one after the other.
    pub(super) fn is_subscription(&self) -> bool {
        self.kind == Some(OperationType::Subscription)
    }

    /// Whether it only reads.
    pub(super) fn is_query(&self) -> bool {
        self.kind.is_none_or(|kind| kind == OperationType::Query)
    }
}

impl Api {
    /// Finds the document of a request and checks every limit, before anything is run.
    pub(super) fn check(&self, members: Members) -> Result<Checked, Refusal> {
        let Members { query, operation_name, mut variables, reference } = members;
        let found = self.persisted.find(query, reference).map_err(missing)?;
        let document = self.documents.of(&found.text, || {
            check_text(&found.text, self.limits.tokens).map_err(exceeded)?;
            parse_query(&found.text).map_err(ServerError::from)
        })?;
        let operation = selected(&document, operation_name.as_deref());
        let absent = match operation {
            Some(operation) => coerce(operation, &mut variables)?,
            None => HashSet::new(),
        };
        let scope = Scope { document: &document, operation, variables: &variables };
        let mutations = check(scope, &self.limits).map_err(unfit)?;
        if let Some(operation) = operation {
            check_subscription(operation)?;
        }
        let kind = operation.map(|operation| operation.ty);
        let order = operation.map(|operation| Order::of(&document, &operation.selection_set.node));
        let order = order.unwrap_or_default();
        let reduced = operation
            .filter(|_| !absent.is_empty())
            .map(|operation| without(&absent, &document, operation));
        let mut request = Request::new(found.text.as_ref()).variables(variables);
        let original = if let Some(reduced) = reduced {
            request.set_parsed_query(reduced);
            Some(document)
        } else {
            request.operation_name.clone_from(&operation_name);
            request.set_parsed_query(document);
            None
        };
        Ok(Checked { request, name: operation_name, found, mutations, kind, order, original })
    }

    /// What the validation has against a document, without running it.
    async fn validate(
        &self,
        document: ExecutableDocument,
        variables: Variables,
    ) -> Vec<ServerError> {
        // Which operation is meant is looked at once the document is valid: none has this name.
        const NO_NAME: &str = " ";
        let mut request = Request::new("").variables(variables).operation_name(NO_NAME);
        request.set_parsed_query(document);
        let mut errors = self.schema.execute(request).await.errors;
        errors.retain(|error| !error.message.starts_with("Unknown operation named \" \""));
        errors
    }

    /// Runs a request to its end or to the deadline.
    pub(super) async fn run(&self, checked: Checked, asked: &Asked) -> Answer {
        if checked.is_subscription() {
            let message = "a subscription needs a WebSocket at this path, with the subprotocol graphql-transport-ws";
            return Answer::invalid(vec![server_error(ErrorCode::ValidationFailed, message)]);
        }
        if Instant::now() >= asked.deadline {
            let message = "no time was left for this request of the batch; it was not run";
            return Answer::invalid(vec![server_error(ErrorCode::Timeout, message)]);
        }
        let entries = Entries::new(self.limits.complexity);
        let prepared = self.prepare(checked, asked.caller.clone(), asked.ids.clone(), entries);
        let (request, shape) = match prepared.await {
            Ok(prepared) => prepared,
            Err(invalid) => return invalid,
        };
        let executed = timeout_at(asked.deadline, self.schema.execute(request)).await;
        let Ok(response) = executed else {
            let message = "no answer in time; a command may or may not have been carried out";
            let error = server_error(ErrorCode::Timeout, message);
            return Answer::executed(Value::Null, vec![error]);
        };
        self.answer(response, &shape)
    }

    /// Runs a subscription: its answers, as long as there are any.
    pub(super) async fn subscribe(
        &self,
        checked: Checked,
        caller: Caller,
        ids: RequestIds,
    ) -> Result<Answers, Answer> {
        let entries = Entries::new(self.limits.complexity);
        let (request, shape) = self.prepare(checked, caller, ids, entries.clone()).await?;
        Ok(Answers { api: self.clone(), responses: self.schema.subscribe(request), shape, entries })
    }

    /// Gives a request what its resolvers need. What is not valid, but would be run without what is absent, is refused.
    async fn prepare(
        &self,
        checked: Checked,
        caller: Caller,
        ids: RequestIds,
        entries: Entries,
    ) -> Result<(Request, Shape), Answer> {
        let Checked { request, name, found, order, original, .. } = checked;
        if let Some(original) = original {
            let errors = self.validate(original, request.variables.clone()).await;
            if !errors.is_empty() {
                return Err(Answer::invalid(errors));
            }
        }
        let request = request.data(caller).data(ids).data(entries);
        Ok((request, Shape { name, found, order }))
    }

    /// The answer that a response comes to.
    fn answer(&self, mut response: Response, shape: &Shape) -> Answer {
        let Shape { name, found, order } = shape;
        // What was not run has no data, and its errors have no path; those of `_entities` have none either.
        let in_field = |error: &ServerError| !error.path.is_empty() || of_entities(error);
        let executed = response.errors.is_empty()
            || response.data != Value::Null
            || response.errors.iter().any(in_field);
        if !executed {
            return Answer::invalid(response.errors);
        }
        if !response.errors.is_empty() {
            self.complete(&mut response, &found.text, name.as_deref());
        }
        if let Some(hash) = found.keep {
            self.persisted.keep(hash, found.text.clone());
        }
        order.apply(&mut response.data);
        Answer::executed(response.data, response.errors)
    }

    /// Gives the errors of fields their paths and their nulls.
    fn complete(&self, response: &mut Response, text: &Arc<str>, name: Option<&str>) {
        let document = self.documents.of(text, || parse_query(text)).ok();
        let operation = document.as_ref().and_then(|document| {
            selected(document, name).map(|definition| Operation { document, definition })
        });
        if let Some(operation) = operation {
            response.errors.iter_mut().for_each(|error| locate(error, operation));
        }
        self.field_types.complete(&mut response.data, &response.errors, operation);
    }
}

/// What async-graphql 7.2 says of references that it finds no resolver for. No validation says so.
const NO_ENTITY: &str = "Entity not found.";
const NO_TYPENAME: &str = r#""__typename" must be an existing string."#;

/// Whether it comes from `_entities` itself, whose errors have no path.
fn of_entities(error: &ServerError) -> bool {
    error.path.is_empty() && matches!(error.message.as_str(), NO_ENTITY | NO_TYPENAME)
}

/// What of a request its answer depends on.
struct Shape {
    name: Option<String>,
    found: Found,
    order: Order,
}

/// The answers of a subscription.
pub(super) struct Answers {
    api: Api,
    responses: Responses,
    shape: Shape,
    entries: Entries,
}

impl Answers {
    /// Waits for the next one; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        self.entries.renew();
        let response = self.responses.next().await?;
        Some(self.api.answer(response, &self.shape))
    }
}

/// Refuses a subscription that does not have exactly one field, as the specification has it. The library would run
/// several, and none that comes from a fragment.
fn check_subscription(operation: &OperationDefinition) -> Result<(), ServerError> {
    if operation.ty != OperationType::Subscription {
        return Ok(());
    }
    let one = match operation.selection_set.node.items.as_slice() {
        [Positioned { node: Selection::Field(field), .. }] => {
            let name = field.node.name.node.as_str();
            !name.starts_with("__") && field.node.directives.is_empty()
        }
        _ => false,
    };
    if one {
        return Ok(());
    }
    let message =
        "a subscription must have exactly one field at its top, without a fragment or a directive";
    Err(server_error(ErrorCode::ValidationFailed, message))
}

/// Gives an error of a root field its path.
fn locate(error: &mut ServerError, operation: Operation<'_>) {
    let Some(position) = error.locations.first().filter(|_| error.path.is_empty()) else { return };
    let Some(key) = operation.root_field(*position) else { return };
    let path = vec![PathSegment::Field(key.to_string())];
    if error.message == NO_ENTITY {
        let locations = std::mem::take(&mut error.locations);
        *error = server_error(ErrorCode::NotFound, "no such entity");
        error.locations = locations;
    }
    error.path = path;
}

fn missing(missing: Missing) -> Refusal {
    let (code, message, malformed) = match missing {
        // Clients compare these two messages.
        Missing::NotFound => (ErrorCode::PersistedQueryNotFound, "PersistedQueryNotFound", false),
        Missing::NotSupported => {
            (ErrorCode::PersistedQueryNotSupported, "PersistedQueryNotSupported", false)
        }
        Missing::WrongHash => {
            (ErrorCode::ValidationFailed, "sha256Hash is not the hash of this document", true)
        }
    };
    Refusal { error: Box::new(server_error(code, message)), malformed }
}

fn unfit(unfit: Unfit) -> ServerError {
    match unfit {
        Unfit::Exceeded(limit) => exceeded(limit),
        Unfit::Cycle | Unfit::Introspection => {
            server_error(ErrorCode::ValidationFailed, unfit.to_string())
        }
    }
}

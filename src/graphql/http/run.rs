//! From the members of a request to its answer: find the document, check it, run it.

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{OperationDefinition, OperationType};
use async_graphql::{Request, ServerError, Value, Variables};
use tokio::time::{Instant, timeout_at};

use super::answer::{Answer, Refusal, exceeded};
use super::order::Order;
use super::persisted::{Found, Missing};
use super::request::Members;
use super::{Api, Asked};
use crate::graphql::error::{ErrorCode, server_error};
use crate::graphql::limits::{Scope, Unfit, check, check_text, selected};

/// A request that may run.
pub(super) struct Checked {
    request: Request,
    found: Found,
    mutations: usize,
    /// The type of its operation; none where it names none, and nothing will be run.
    kind: Option<OperationType>,
    order: Order,
}

impl Checked {
    /// How many mutations it holds.
    pub(super) fn mutations(&self) -> usize {
        self.mutations
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
        check_text(&found.text, self.limits.tokens).map_err(exceeded)?;
        let document = parse_query(&found.text).map_err(ServerError::from)?;
        let operation = selected(&document, operation_name.as_deref());
        if let Some(operation) = operation {
            coerce(operation, &mut variables)?;
        }
        let scope = Scope { document: &document, operation, variables: &variables };
        let mutations = check(scope, &self.limits).map_err(unfit)?;
        let kind = operation.map(|operation| operation.ty);
        let order = operation.map(|operation| Order::of(&document, &operation.selection_set.node));
        let order = order.unwrap_or_default();
        let mut request = Request::new(found.text.as_ref()).variables(variables);
        request.operation_name = operation_name;
        request.set_parsed_query(document);
        Ok(Checked { request, found, mutations, kind, order })
    }

    /// Runs a request to its end or to the deadline.
    pub(super) async fn run(&self, checked: Checked, asked: &Asked) -> Answer {
        let Checked { request, found, order, .. } = checked;
        if Instant::now() >= asked.deadline {
            let message = "no time was left for this request of the batch; it was not run";
            return Answer::invalid(vec![server_error(ErrorCode::Timeout, message)]);
        }
        let request = request.data(asked.caller.clone()).data(asked.ids.clone());
        let executed = timeout_at(asked.deadline, self.schema.execute(request)).await;
        let Ok(mut response) = executed else {
            let message = "no answer in time; a command may or may not have been carried out";
            let error = server_error(ErrorCode::Timeout, message);
            return Answer::executed(Value::Null, vec![error]);
        };
        // What a field has made has its path; what the validation has made has none.
        let in_field = |error: &ServerError| !error.path.is_empty();
        let valid = response.errors.is_empty() || response.errors.iter().any(in_field);
        if !valid {
            return Answer::invalid(response.errors);
        }
        if let Some(hash) = found.keep {
            self.persisted.keep(hash, found.text);
        }
        order.apply(&mut response.data);
        Answer::executed(response.data, response.errors)
    }
}

/// Gives the variables of an operation their defaults, and refuses those that must not be null: before anything runs,
/// and not when a field in the middle of it asks for their values, as async-graphql 7.2 does.
fn coerce(operation: &OperationDefinition, variables: &mut Variables) -> Result<(), ServerError> {
    for definition in &operation.variable_definitions {
        let (name, kind) = (&definition.node.name.node, &definition.node.var_type.node);
        match (variables.get(name), &definition.node.default_value) {
            (None, Some(default)) => {
                variables.insert(name.clone(), default.node.clone());
            }
            (None | Some(Value::Null), _) if !kind.nullable => {
                let message = format!("the variable ${name} of type {kind} must have a value");
                let mut error = server_error(ErrorCode::ValidationFailed, message);
                error.locations = vec![definition.pos];
                return Err(error);
            }
            _ => (),
        }
    }
    Ok(())
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
    Refusal { error: server_error(code, message), malformed }
}

fn unfit(unfit: Unfit) -> ServerError {
    match unfit {
        Unfit::Exceeded(limit) => exceeded(limit),
        Unfit::Cycle | Unfit::Introspection => {
            server_error(ErrorCode::ValidationFailed, unfit.to_string())
        }
    }
}

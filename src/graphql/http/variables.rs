//! The values of variables, by the specification's `CoerceVariableValues`, before anything runs: async-graphql 7.2 asks
//! for them only where a field needs one, ignores their defaults in `@skip` and `@include`, and takes a variable
//! without a value for null, which in an input object clears a field instead of leaving it alone.

use std::collections::HashSet;

use async_graphql::parser::types::{
    Directive, DocumentOperations, ExecutableDocument, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Name, Pos, Positioned, ServerError, Variables};
use async_graphql_value::{ConstValue, Value};

use crate::graphql::error::{ErrorCode, server_error};

/// Gives the variables of an operation their defaults, and refuses those that must have a value and have none.
/// Answers which may be absent, and are.
pub(super) fn coerce(
    operation: &OperationDefinition,
    variables: &mut Variables,
) -> Result<HashSet<Name>, ServerError> {
    let mut absent = HashSet::new();
    for definition in &operation.variable_definitions {
        let (name, kind) = (&definition.node.name.node, &definition.node.var_type.node);
        match (variables.get(name), &definition.node.default_value) {
            (None, Some(default)) => {
                variables.insert(name.clone(), default.node.clone());
            }
            (None | Some(ConstValue::Null), _) if !kind.nullable => {
                let message = format!("the variable ${name} of type {kind} must have a value");
                let mut error = server_error(ErrorCode::ValidationFailed, message);
                error.locations = vec![definition.pos];
                return Err(error);
            }
            (None, None) => {
                absent.insert(name.clone());
            }
            _ => (),
        }
    }
    Ok(absent)
}

/// The operation and its fragments alone, without the arguments and the fields of input objects that would have the
/// value of an absent variable.
pub(super) fn without(
    absent: &HashSet<Name>,
    document: &ExecutableDocument,
    operation: &OperationDefinition,
) -> ExecutableDocument {
    let mut operation = operation.clone();
    operation.variable_definitions.retain(|def| !absent.contains(&def.node.name.node));
    let mut rest = Rest { absent, spread: Vec::new() };
    rest.directives(&mut operation.directives);
    rest.selection(&mut operation.selection_set.node);
    let operations = DocumentOperations::Single(Positioned::new(operation, Pos::default()));
    let mut reached =
        ExecutableDocument { operations, fragments: std::collections::HashMap::new() };
    while let Some(name) = rest.spread.pop() {
        if let Some(fragment) = document.fragments.get(&name)
            && !reached.fragments.contains_key(&name)
        {
            let mut fragment = fragment.clone();
            rest.directives(&mut fragment.node.directives);
            rest.selection(&mut fragment.node.selection_set.node);
            reached.fragments.insert(name, fragment);
        }
    }
    reached
}

struct Rest<'a> {
    absent: &'a HashSet<Name>,
    /// The fragments that were seen to be spread.
    spread: Vec<Name>,
}

impl Rest<'_> {
    fn selection(&mut self, selection: &mut SelectionSet) {
        for item in &mut selection.items {
            self.directives(item.node.directives_mut());
            match &mut item.node {
                Selection::Field(field) => {
                    field.node.arguments.retain_mut(|(_, value)| self.keeps(&mut value.node));
                    self.selection(&mut field.node.selection_set.node);
                }
                Selection::InlineFragment(fragment) => {
                    self.selection(&mut fragment.node.selection_set.node);
                }
                Selection::FragmentSpread(spread) => {
                    self.spread.push(spread.node.fragment_name.node.clone());
                }
            }
        }
    }

    fn directives(&self, directives: &mut [Positioned<Directive>]) {
        for directive in directives {
            directive.node.arguments.retain_mut(|(_, value)| self.keeps(&mut value.node));
        }
    }

    /// Whether a value is there, after what is absent was taken out of it.
    fn keeps(&self, value: &mut Value) -> bool {
        match value {
            Value::Variable(name) => return !self.absent.contains(name),
            Value::Object(fields) => fields.retain(|_, value| self.keeps(value)),
            Value::List(values) => {
                for value in values {
                    if !self.keeps(value) {
                        *value = Value::Null;
                    }
                }
            }
            _ => (),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::*;
    use crate::graphql::limits::selected;

    fn coerced(query: &str, variables: serde_json::Value) -> Result<Variables, String> {
        let document = parse_query(query).unwrap();
        let mut variables = Variables::from_json(variables);
        coerce(selected(&document, None).unwrap(), &mut variables)
            .map(|_| variables)
            .map_err(|error| error.message)
    }

    #[test]
    fn defaults_are_filled_in_and_what_must_be_there_is_missed() {
        let query = "query($a: Int = 1, $b: Int! = 2, $c: Int) { a }";
        let filled = coerced(query, json!({})).unwrap();
        assert_eq!(filled, Variables::from_json(json!({ "a": 1, "b": 2 })));
        let own = json!({ "a": null, "b": 3, "c": 4 });
        assert_eq!(coerced(query, own.clone()).unwrap(), Variables::from_json(own));
        assert!(coerced(query, json!({ "b": null })).unwrap_err().contains("$b of type Int!"));
        assert!(coerced("query($a: [ID!]!) { a }", json!({})).unwrap_err().contains("[ID!]!"));
    }

    #[test]
    fn what_has_the_value_of_an_absent_variable_is_taken_out() {
        let query = "query A($x: Int, $y: Int) { a(b: $x, c: { d: $x, e: [$x, $y], f: { g: $x } }) ...F } \
                     query B($x: Int) { h(b: $x) ...G } \
                     fragment F on T { i(b: $x) } fragment G on T { j }";
        let document = parse_query(query).unwrap();
        let operation = selected(&document, Some("A")).unwrap();
        let absent = HashSet::from([Name::new("x")]);
        let rest = without(&absent, &document, operation);
        let expected =
            "query A($y: Int) { a(c: { e: [null, $y], f: {} }) ...F } fragment F on T { i }";
        let expected = parse_query(expected).unwrap();
        let shown = |document: &ExecutableDocument| {
            let operation = selected(document, None).unwrap();
            let mut text = format!("{:?} {:?}", operation, document.fragments);
            // Positions differ.
            while let Some(at) = text.find("Pos(") {
                let end = at + text[at..].find(')').unwrap();
                text.replace_range(at..=end, "");
            }
            text
        };
        assert_eq!(shown(&rest), shown(&expected));
    }
}

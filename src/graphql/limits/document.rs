//! How deep and how large an operation is with its fragments spread, what it costs, and how many mutations it holds:
//! found without spreading anything, each fragment once.
//!
//! Thirty fragments of two spreads each are a kilobyte of text and a billion fields. async-graphql 7.2 walks all of
//! them, without a pause, before its own limits apply, so no timeout would help.

use std::collections::HashMap;

use async_graphql::parser::types::{
    Directive, DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType,
    Selection, SelectionSet,
};
use async_graphql::{Name, Number, Positioned, Variables};
use async_graphql_value::{ConstValue, Value};

use super::{Exceeded, Limits};
use crate::graphql::connection::{DEFAULT_PAGE, MAX_PAGE};

/// The most fields of a document with its fragments spread, all its operations together.
const MAX_FIELDS: usize = 5_000;

/// How deep selections of any kind may nest, fragments among them. What walks them calls itself for each.
const MAX_LEVELS: usize = 32;

/// How often the lists of an introspection may nest, as in graphql-js: types have fields, which have types.
const MAX_INTROSPECTED_LISTS: usize = 2;

/// More than any limit; a sum of as many costs as a document has fields is still a number.
const COUNTLESS: usize = u32::MAX as usize;

/// Why a document is not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::graphql) enum Unfit {
    /// It passes a limit.
    #[error("{0}")]
    Exceeded(Exceeded),
    /// A fragment spreads itself, directly or through others.
    #[error("a fragment must not spread itself")]
    Cycle,
    /// It asks for the schema, which is switched off.
    #[error("introspection is switched off")]
    Introspection,
}

/// The operation that is meant, and the values of its variables with their defaults.
#[derive(Debug, Clone, Copy)]
pub(in crate::graphql) struct Scope<'a> {
    pub(in crate::graphql) document: &'a ExecutableDocument,
    pub(in crate::graphql) operation: Option<&'a OperationDefinition>,
    pub(in crate::graphql) variables: &'a Variables,
}

/// The operation with this name, or the only one; none where it is unclear which.
pub(in crate::graphql) fn selected<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Option<&'a OperationDefinition> {
    let found = match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Some(operation),
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => {
            operations.values().next()
        }
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name),
        _ => None,
    };
    found.map(|operation| &operation.node)
}

/// Refuses an operation that passes a limit, and a document that would grow without measure. Answers how many
/// mutations the operation holds, which are limited over a whole batch.
pub(in crate::graphql) fn check(scope: Scope<'_>, limits: &Limits) -> Result<usize, Unfit> {
    let mut sizes = Sizes { scope, known: HashMap::new(), aliases: 0 };
    let operation = match scope.operation {
        Some(operation) => sizes.of(&operation.selection_set.node, 0)?,
        None => Size::default(),
    };
    let aliases = sizes.aliases;
    // What is not run is walked all the same by the validation.
    let mut fields = 0_usize;
    for (_, operation) in scope.document.operations.iter() {
        fields += sizes.of(&operation.node.selection_set.node, 0)?.fields;
    }
    for fragment in scope.document.fragments.values() {
        fields = fields.max(sizes.of(&fragment.node.selection_set.node, 0)?.fields);
    }
    let exceeded = if fields > MAX_FIELDS {
        Some(Exceeded::Fields(MAX_FIELDS))
    } else if operation.levels > MAX_LEVELS {
        Some(Exceeded::Depth(MAX_LEVELS))
    } else if operation.depth > limits.depth || operation.lists > MAX_INTROSPECTED_LISTS {
        Some(Exceeded::Depth(limits.depth))
    } else if aliases > limits.aliases {
        Some(Exceeded::Aliases(limits.aliases))
    } else if operation.cost > limits.complexity {
        Some(Exceeded::Complexity(limits.complexity))
    } else {
        None
    };
    if let Some(exceeded) = exceeded {
        return Err(Unfit::Exceeded(exceeded));
    }
    if operation.introspects && !limits.introspection {
        return Err(Unfit::Introspection);
    }
    let mutates = scope.operation.is_some_and(|op| op.ty == OperationType::Mutation);
    let mutations = if mutates { operation.roots } else { 0 };
    if mutations > limits.mutations {
        return Err(Unfit::Exceeded(Exceeded::Mutations(limits.mutations)));
    }
    Ok(mutations)
}

/// What a field costs whose selection costs `children` for each object: itself, and its page as often as it is long.
fn page_cost(size: usize, children: usize) -> usize {
    size.saturating_mul(children).saturating_add(1).min(COUNTLESS)
}

/// The size of a selection with its fragments spread.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    /// Fields and fragments, those that are skipped among them.
    fields: usize,
    /// How deep selections nest, fragments among them.
    levels: usize,
    /// How deep fields nest.
    depth: usize,
    /// What it costs.
    cost: usize,
    /// How many fields stand at its top.
    roots: usize,
    /// Whether its object is a page: it has `nodes` or `edges`.
    is_page: bool,
    /// How deep the lists of an introspection nest.
    lists: usize,
    /// Whether it asks for the schema.
    introspects: bool,
}

impl Size {
    /// Takes in another part of the same selection.
    fn add(&mut self, part: Self) {
        self.fields = (self.fields + part.fields).min(COUNTLESS);
        self.levels = self.levels.max(part.levels);
        self.depth = self.depth.max(part.depth);
        self.cost = (self.cost + part.cost).min(COUNTLESS);
        self.roots = (self.roots + part.roots).min(COUNTLESS);
        self.is_page |= part.is_page;
        self.lists = self.lists.max(part.lists);
        self.introspects |= part.introspects;
    }

    /// What is left of a part that is skipped: it is walked, but not run.
    fn skipped(self) -> Self {
        Self { fields: self.fields, levels: self.levels, ..Self::default() }
    }
}

struct Sizes<'a> {
    scope: Scope<'a>,
    /// The size of each fragment; none while it is being found out.
    known: HashMap<&'a Name, Option<Size>>,
    /// How many aliases stand in what has been looked at, each fragment once.
    aliases: usize,
}

impl<'a> Sizes<'a> {
    fn of(&mut self, selection: &'a SelectionSet, level: usize) -> Result<Size, Unfit> {
        let mut size = Size::default();
        if selection.items.is_empty() {
            return Ok(size);
        }
        if level >= MAX_LEVELS {
            return Err(Unfit::Exceeded(Exceeded::Depth(MAX_LEVELS)));
        }
        for item in &selection.items {
            let mut part = match &item.node {
                Selection::Field(field) => self.field(&field.node, level)?,
                Selection::InlineFragment(fragment) => {
                    let mut part = self.of(&fragment.node.selection_set.node, level + 1)?;
                    part.fields += 1;
                    part
                }
                Selection::FragmentSpread(spread) => {
                    let mut part = self.fragment(&spread.node.fragment_name.node, level)?;
                    part.fields += 1;
                    part
                }
            };
            if self.is_skipped(item.node.directives()) {
                part = part.skipped();
            }
            size.add(part);
        }
        size.levels += 1;
        Ok(size)
    }

    fn field(&mut self, field: &'a Field, level: usize) -> Result<Size, Unfit> {
        self.aliases += usize::from(field.alias.is_some());
        let inner = self.of(&field.selection_set.node, level + 1)?;
        let name = field.name.node.as_str();
        let list = matches!(name, "fields" | "interfaces" | "possibleTypes" | "inputFields");
        let introspects = matches!(name, "__schema" | "__type" | "_service");
        Ok(Size {
            fields: inner.fields + 1,
            levels: inner.levels,
            depth: inner.depth + 1,
            cost: page_cost(self.page(field, inner.is_page), inner.cost),
            roots: 1,
            is_page: matches!(name, "nodes" | "edges") && field.get_argument("ids").is_none(),
            // No other type of the schema has fields of these names.
            lists: inner.lists + usize::from(list),
            introspects: inner.introspects || introspects,
        })
    }

    fn fragment(&mut self, name: &Name, level: usize) -> Result<Size, Unfit> {
        // One that is not there is for the validation to tell.
        let Some((name, fragment)) = self.scope.document.fragments.get_key_value(name) else {
            return Ok(Size::default());
        };
        match self.known.get(name) {
            Some(Some(size)) => Ok(*size),
            Some(None) => Err(Unfit::Cycle),
            None => {
                self.known.insert(name, None);
                let size = self.of(&fragment.node.selection_set.node, level + 1)?;
                self.known.insert(name, Some(size));
                Ok(size)
            }
        }
    }

    /// How many objects a field may answer: as many as it is asked for, else the size of a page where it is one.
    fn page(&self, field: &Field, is_page: bool) -> usize {
        let argument = |name| field.get_argument(name).map(|value| self.given(&value.node));
        let asked = ["first", "last"].into_iter().filter_map(|name| match argument(name) {
            Some(Given::Number(size)) => Some(size.clamp(0, MAX_PAGE.into())),
            _ => None,
        });
        // More than a page has, and less than nothing, is for the field to refuse: hence the clamp.
        if let Some(asked) = asked.max() {
            return usize::try_from(asked).unwrap_or(0);
        }
        match argument("ids").or_else(|| argument("representations")) {
            Some(Given::List(length)) => length,
            _ if is_page => usize::try_from(DEFAULT_PAGE).unwrap_or(1),
            _ => 1,
        }
    }

    fn is_skipped(&self, directives: &[Positioned<Directive>]) -> bool {
        directives.iter().any(|directive| {
            let skips = match directive.node.name.node.as_str() {
                "skip" => true,
                "include" => false,
                _ => return false,
            };
            let condition = directive.node.get_argument("if");
            let condition = condition.map(|condition| self.given(&condition.node));
            matches!(condition, Some(Given::Truth(condition)) if condition == skips)
        })
    }

    /// What is known of a value or of that of a variable.
    fn given(&self, value: &Value) -> Given {
        match value {
            Value::Variable(name) => match self.scope.variables.get(name) {
                Some(ConstValue::Number(number)) => Given::number(number),
                Some(ConstValue::Boolean(truth)) => Given::Truth(*truth),
                Some(ConstValue::List(values)) => Given::List(values.len()),
                _ => Given::Other,
            },
            Value::Number(number) => Given::number(number),
            Value::Boolean(truth) => Given::Truth(*truth),
            Value::List(values) => Given::List(values.len()),
            _ => Given::Other,
        }
    }
}

/// What the cost asks of an argument.
enum Given {
    Number(i64),
    Truth(bool),
    /// A list of this many.
    List(usize),
    Other,
}

impl Given {
    fn number(number: &Number) -> Self {
        number.as_i64().map_or(Self::Other, Self::Number)
    }
}

#[cfg(test)]
mod tests;

//! How large a document grows when its fragments are spread, and how many mutations it holds: bounded before anything
//! walks or runs it.
//!
//! Thirty fragments of two spreads each are a kilobyte of text and a billion fields. async-graphql 7.2 walks all of
//! them, without a pause, before its own limits apply, so no timeout would help.

use std::collections::HashMap;

use async_graphql::Name;
use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
};

/// The most fields of a document with its fragments spread.
const MAX_FIELDS: usize = 5_000;

/// The most mutations of one request: each is a command of its own, one after the other.
const MAX_MUTATIONS: usize = 10;

/// Why a document is not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unbounded {
    /// Too many fields.
    #[error("the document must have at most {MAX_FIELDS} fields with its fragments spread")]
    TooLarge,
    /// Too many mutations.
    #[error("a request must have at most {MAX_MUTATIONS} mutations")]
    Mutations,
    /// A fragment spreads itself, directly or through others.
    #[error("a fragment must not spread itself")]
    Cycle,
}

/// Refuses a document that would grow without measure. Takes time in proportion to its text.
pub(super) fn check(document: &ExecutableDocument) -> Result<(), Unbounded> {
    let mut sizes = Sizes { document, known: HashMap::new() };
    let mut fields = 0_usize;
    for (_, operation) in document.operations.iter() {
        fields = fields.saturating_add(sizes.of(&operation.node.selection_set.node)?);
    }
    // A fragment that no operation spreads is walked all the same.
    for fragment in document.fragments.values() {
        fields = fields.max(sizes.of(&fragment.node.selection_set.node)?);
    }
    if fields > MAX_FIELDS {
        return Err(Unbounded::TooLarge);
    }
    let mutations = |operation: &OperationDefinition| {
        operation.ty == OperationType::Mutation
            && root_fields(document, &operation.selection_set.node) > MAX_MUTATIONS
    };
    if document.operations.iter().any(|(_, operation)| mutations(&operation.node)) {
        return Err(Unbounded::Mutations);
    }
    Ok(())
}

/// How many fields stand at the root. Only for documents that are known to be bounded.
fn root_fields(document: &ExecutableDocument, selection: &SelectionSet) -> usize {
    let count = |item: &Selection| match item {
        Selection::Field(_) => 1,
        Selection::InlineFragment(fragment) => {
            root_fields(document, &fragment.node.selection_set.node)
        }
        Selection::FragmentSpread(spread) => {
            let fragment = document.fragments.get(&spread.node.fragment_name.node);
            fragment.map_or(0, |found| root_fields(document, &found.node.selection_set.node))
        }
    };
    selection.items.iter().map(|item| count(&item.node)).sum()
}

struct Sizes<'a> {
    document: &'a ExecutableDocument,
    /// The size of each fragment; none while it is being found out.
    known: HashMap<&'a Name, Option<usize>>,
}

impl<'a> Sizes<'a> {
    fn of(&mut self, selection: &'a SelectionSet) -> Result<usize, Unbounded> {
        let mut fields = 0_usize;
        for item in &selection.items {
            let added = match &item.node {
                Selection::Field(field) => 1 + self.of(&field.node.selection_set.node)?,
                Selection::InlineFragment(fragment) => {
                    1 + self.of(&fragment.node.selection_set.node)?
                }
                Selection::FragmentSpread(spread) => {
                    1 + self.fragment(&spread.node.fragment_name.node)?
                }
            };
            fields = fields.saturating_add(added).min(usize::MAX / 2);
        }
        Ok(fields)
    }

    fn fragment(&mut self, name: &Name) -> Result<usize, Unbounded> {
        // One that is not there is for the validation to tell.
        let Some((name, fragment)) = self.document.fragments.get_key_value(name) else {
            return Ok(0);
        };
        match self.known.get(name) {
            Some(Some(size)) => Ok(*size),
            Some(None) => Err(Unbounded::Cycle),
            None => {
                self.known.insert(name, None);
                let size = self.of(&fragment.node.selection_set.node)?;
                self.known.insert(name, Some(size));
                Ok(size)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use async_graphql::parser::parse_query;

    use super::*;

    fn checked(query: &str) -> Result<(), Unbounded> {
        check(&parse_query(query).unwrap())
    }

    fn doubling(fragments: usize) -> String {
        let mut query = "{ ...f0 }".to_owned();
        for number in 0..fragments {
            let next = number + 1;
            write!(query, " fragment f{number} on Query {{ ...f{next} ...f{next} }}").unwrap();
        }
        write!(query, " fragment f{fragments} on Query {{ viewer {{ id }} }}").unwrap();
        query
    }

    #[test]
    fn fragments_count_as_often_as_they_are_spread() {
        assert_eq!(checked(&doubling(5)), Ok(()));
        assert_eq!(checked(&doubling(12)), Err(Unbounded::TooLarge));
        assert_eq!(checked(&doubling(200)), Err(Unbounded::TooLarge));
    }

    #[test]
    fn plain_fields_count_too() {
        let query = |count| format!("{{ {} }}", "viewer { id } ".repeat(count));
        assert_eq!(checked(&query(2_500)), Ok(()));
        assert_eq!(checked(&query(2_501)), Err(Unbounded::TooLarge));
    }

    #[test]
    fn fragments_that_spread_themselves_are_refused() {
        let own = "{ viewer { id } } fragment a on User { ...a }";
        let mutual = "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }";
        assert_eq!(checked(own), Err(Unbounded::Cycle));
        assert_eq!(checked(mutual), Err(Unbounded::Cycle));
    }

    #[test]
    fn a_request_has_at_most_ten_mutations_however_they_are_spread() {
        let fields = |count: usize| {
            let aliased = (0..count).map(|n| format!("m{n}: deleteCourse {{ position }}"));
            aliased.collect::<Vec<_>>().join(" ")
        };
        let plain = |count| format!("mutation {{ {} }}", fields(count));
        let spread = |count| {
            format!("mutation {{ ...a ...a }} fragment a on Mutation {{ {} }}", fields(count))
        };
        assert_eq!(checked(&plain(10)), Ok(()));
        assert_eq!(checked(&plain(11)), Err(Unbounded::Mutations));
        assert_eq!(checked(&spread(5)), Ok(()));
        assert_eq!(checked(&spread(6)), Err(Unbounded::Mutations));
    }

    #[test]
    fn a_fragment_that_is_not_there_is_left_to_the_validation() {
        assert_eq!(checked("{ ...nowhere }"), Ok(()));
    }
}

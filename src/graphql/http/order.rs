//! The fields of an answer in the order of the document: async-graphql 7.2 writes them in the order in which they are
//! completed.
//!
//! The order is that of the specification's field collection: fragments stand where they are spread, and a field that
//! is selected twice stands where it was first. What the document selects on several types of one interface keeps one
//! order for all of them.

use async_graphql::Name;
use async_graphql::Value;
use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};

/// The keys of an object in their order, each with the order of what is below it.
#[derive(Debug, Default)]
pub(super) struct Order(IndexMap<Name, Order>);

impl Order {
    /// The order of an operation. Only for documents that are known to be bounded.
    pub(super) fn of(document: &ExecutableDocument, selection: &SelectionSet) -> Self {
        let mut order = Self::default();
        order.collect(document, selection);
        order
    }

    fn collect(&mut self, document: &ExecutableDocument, selection: &SelectionSet) {
        for item in &selection.items {
            match &item.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.clone();
                    let below = self.0.entry(key).or_default();
                    below.collect(document, &field.node.selection_set.node);
                }
                Selection::InlineFragment(fragment) => {
                    self.collect(document, &fragment.node.selection_set.node);
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node)
                    {
                        self.collect(document, &fragment.node.selection_set.node);
                    }
                }
            }
        }
    }

    /// Puts what was answered into this order.
    pub(super) fn apply(&self, value: &mut Value) {
        // Scalars may be objects, too: what is below them is theirs.
        if self.0.is_empty() {
            return;
        }
        match value {
            Value::List(values) => values.iter_mut().for_each(|value| self.apply(value)),
            Value::Object(fields) => {
                let mut rest = std::mem::take(fields);
                for (key, below) in &self.0 {
                    if let Some((key, mut value)) = rest.swap_remove_entry(key) {
                        below.apply(&mut value);
                        fields.insert(key, value);
                    }
                }
                fields.extend(rest);
            }
            _ => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;
    use crate::graphql::limits::selected;

    fn ordered(query: &str, answer: &str) -> String {
        let document = parse_query(query).unwrap();
        let order = Order::of(&document, &selected(&document, None).unwrap().selection_set.node);
        let mut value: Value = serde_json::from_str(answer).unwrap();
        order.apply(&mut value);
        serde_json::to_string(&value).unwrap()
    }

    #[test]
    fn fields_stand_as_in_the_document() {
        for (query, answer, expected) in [
            ("{ c a b }", r#"{"a":1,"b":2,"c":3}"#, r#"{"c":3,"a":1,"b":2}"#),
            ("{ x: b y: a }", r#"{"y":1,"x":2}"#, r#"{"x":2,"y":1}"#),
            (
                "{ ...F b } fragment F on T { c ... on T { a } }",
                r#"{"a":1,"b":2,"c":3}"#,
                r#"{"c":3,"a":1,"b":2}"#,
            ),
            (
                "{ a { x } b a { y x } }",
                r#"{"b":1,"a":{"y":2,"x":3}}"#,
                r#"{"a":{"x":3,"y":2},"b":1}"#,
            ),
            (
                "{ a { y x } }",
                r#"{"a":[{"x":1,"y":2},null,[{"x":3,"y":4}]]}"#,
                r#"{"a":[{"y":2,"x":1},null,[{"y":4,"x":3}]]}"#,
            ),
            ("{ b a }", r#"{"a":{"z":1,"y":2},"b":null}"#, r#"{"b":null,"a":{"z":1,"y":2}}"#),
            ("{ b }", r#"{"other":1,"b":2}"#, r#"{"b":2,"other":1}"#),
            ("{ a }", "null", "null"),
        ] {
            assert_eq!(ordered(query, answer), expected, "{query}");
        }
    }
}

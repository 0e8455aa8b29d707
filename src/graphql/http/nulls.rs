//! The nulls of fields that failed: async-graphql 7.2 leaves such a field away and goes on, whatever its type.
//!
//! As the specification's handling of field errors has it, a field that must not be null makes its parent null, up to
//! the first that may be, which the whole of `data` always may. What has no known type is taken to be nullable.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, ExecutableDocument, Field, FieldDefinition, OperationDefinition, OperationType,
    Selection, SelectionSet, Type, TypeKind, TypeSystemDefinition,
};
use async_graphql::{Name, PathSegment, Pos, Positioned, ServerError, Value};

/// The types of all fields, by the name of their object or interface and their own.
#[derive(Debug, Default)]
pub(super) struct FieldTypes(HashMap<Name, HashMap<Name, Type>>);

/// The operation that was run, in its document.
#[derive(Clone, Copy)]
pub(super) struct Operation<'d> {
    pub(super) document: &'d ExecutableDocument,
    pub(super) definition: &'d OperationDefinition,
}

impl FieldTypes {
    /// The types of a schema.
    pub(super) fn of(sdl: &str) -> Self {
        let mut types = Self::default();
        match parse_schema(sdl) {
            Ok(document) => document.definitions.into_iter().for_each(|part| types.add(part)),
            Err(error) => tracing::error!(%error, "the schema cannot be read: nulls stay in place"),
        }
        types
    }

    fn add(&mut self, definition: TypeSystemDefinition) {
        let TypeSystemDefinition::Type(definition) = definition else { return };
        let fields: Vec<Positioned<FieldDefinition>> = match definition.node.kind {
            TypeKind::Object(object) => object.fields,
            TypeKind::Interface(interface) => interface.fields,
            _ => return,
        };
        let fields = fields.into_iter().map(|field| (field.node.name.node, field.node.ty.node));
        self.0.entry(definition.node.name.node).or_default().extend(fields);
    }

    /// Writes the null of each field that failed where the types allow it.
    pub(super) fn complete(
        &self,
        data: &mut Value,
        errors: &[ServerError],
        operation: Option<Operation<'_>>,
    ) {
        let paths = errors.iter().filter(|error| !error.path.is_empty());
        let mut places: Vec<Vec<PathSegment>> = paths
            .flat_map(|error| below_entities(data, &error.path, operation))
            .map(|mut path| {
                path.truncate(reach(data, &path));
                path.truncate(operation.map_or(path.len(), |op| self.nullable(op, &path)));
                path
            })
            .collect();
        // The deepest first: what is made null later stays so.
        places.sort_by_key(|place| Reverse(place.len()));
        for place in places {
            write(data, &place);
        }
    }

    /// How much of a path leads to what may be null.
    fn nullable(&self, operation: Operation<'_>, path: &[PathSegment]) -> usize {
        let definition = operation.definition;
        let root = match definition.ty {
            OperationType::Query => "Query",
            OperationType::Mutation => "Mutation",
            OperationType::Subscription => "Subscription",
        };
        let mut parents = vec![(root, &definition.selection_set.node)];
        let mut kind: Option<&Type> = None;
        let mut nullable = 0;
        for (index, segment) in path.iter().enumerate() {
            match segment {
                PathSegment::Field(key) => {
                    let mut fields = Vec::new();
                    for (parent, set) in parents {
                        operation.fields(parent, set, &mut |parent, field| {
                            if field.node.response_key().node == *key
                                && let Some(kind) = self.kind(parent, &field.node)
                            {
                                fields.push((kind, &field.node.selection_set.node));
                            }
                        });
                    }
                    // Fields with one key have types of one shape, even on different objects.
                    kind = fields.first().map(|(kind, _)| *kind);
                    let below = fields.into_iter().map(|(kind, set)| (named(kind), set));
                    parents = below.collect();
                }
                PathSegment::Index(_) => {
                    kind = kind.and_then(|kind| match &kind.base {
                        BaseType::List(element) => Some(&**element),
                        BaseType::Named(_) => None,
                    });
                }
            }
            if kind.is_none_or(|kind| kind.nullable) {
                nullable = index + 1;
            }
        }
        nullable
    }

    fn kind(&self, parent: &str, field: &Field) -> Option<&Type> {
        self.0.get(parent)?.get(&field.name.node)
    }
}

impl<'d> Operation<'d> {
    /// The key of the root field at this position.
    pub(super) fn root_field(self, position: Pos) -> Option<&'d Name> {
        let mut found = None;
        self.fields("", &self.definition.selection_set.node, &mut |_, field| {
            if field.pos == position {
                found = Some(&field.node.response_key().node);
            }
        });
        found
    }

    /// Shows the fields of a selection, those of fragments too, each with the type that it is selected on.
    fn fields(
        self,
        parent: &'d str,
        set: &'d SelectionSet,
        see: &mut dyn FnMut(&'d str, &'d Positioned<Field>),
    ) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => see(parent, field),
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let parent = condition.map_or(parent, |on| on.node.on.node.as_str());
                    self.fields(parent, &fragment.node.selection_set.node, see);
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = self.document.fragments.get(name) {
                        let parent = fragment.node.type_condition.node.on.node.as_str();
                        self.fields(parent, &fragment.node.selection_set.node, see);
                    }
                }
            }
        }
    }
}

/// The type within all lists.
fn named(mut kind: &Type) -> &str {
    loop {
        match &kind.base {
            BaseType::Named(name) => return name,
            BaseType::List(element) => kind = element,
        }
    }
}

/// The places that a path may mean: async-graphql leaves the index away below `_entities`, so all objects there that lack
/// the field and are of a type on which it was selected.
fn below_entities(
    data: &Value,
    path: &[PathSegment],
    operation: Option<Operation<'_>>,
) -> Vec<Vec<PathSegment>> {
    let (Value::Object(fields), [PathSegment::Field(root), PathSegment::Field(key), ..]) =
        (data, path)
    else {
        return vec![path.to_vec()];
    };
    let Some(Value::List(objects)) = fields.get(root.as_str()) else { return vec![path.to_vec()] };
    let mut types = HashSet::new();
    if let Some(operation) = operation {
        operation.fields("", &operation.definition.selection_set.node, &mut |_, list| {
            if list.node.response_key().node == *root {
                let set = &list.node.selection_set.node;
                operation.fields("", set, &mut |parent, field| {
                    if field.node.response_key().node == *key {
                        types.insert(parent);
                    }
                });
            }
        });
    }
    let lacks = |object: &Value| match object {
        Value::Object(fields) => {
            let kind = fields.get("__typename");
            let meant = matches!(kind, Some(Value::String(kind)) if types.contains(kind.as_str()));
            meant && !fields.contains_key(key.as_str())
        }
        _ => false,
    };
    let found = objects.iter().enumerate().filter(|(_, object)| lacks(object));
    found
        .map(|(index, _)| [&path[..1], &[PathSegment::Index(index)], &path[1..]].concat())
        .collect()
}

/// How much of a path can be written: elements of a list that failed are not there.
fn reach(data: &Value, path: &[PathSegment]) -> usize {
    let mut place = Some(data);
    for (depth, segment) in path.iter().enumerate() {
        place = match (place, segment) {
            (Some(Value::Object(fields)), PathSegment::Field(name)) => fields.get(name.as_str()),
            // An object of which nothing is left.
            (Some(Value::Null), PathSegment::Field(_)) => None,
            (Some(Value::List(values)), PathSegment::Index(index)) if *index < values.len() => {
                values.get(*index)
            }
            _ => return depth,
        };
    }
    path.len()
}

/// Writes a null. An object all of whose fields failed is not there, and is made again.
fn write(data: &mut Value, path: &[PathSegment]) {
    let mut place = data;
    for segment in path {
        if *place == Value::Null && matches!(segment, PathSegment::Field(_)) {
            *place = Value::Object(IndexMap::new());
        }
        let next = match (place, segment) {
            (Value::Object(fields), PathSegment::Field(name)) => {
                Some(fields.entry(Name::new(name)).or_default())
            }
            (Value::List(values), PathSegment::Index(index)) => values.get_mut(*index),
            _ => None,
        };
        let Some(next) = next else { return };
        place = next;
    }
    *place = Value::Null;
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::*;
    use crate::graphql::limits::selected;

    const SDL: &str = "
        type Query {
            course: Course
            must: Course!
            courses: [Course!]!
            some: [Course!]
            maybe: [Course]!
            rows: [[Course!]]!
            node: Node
            any: Any
        }
        type Mutation { create: Payload }
        type Payload { query: Query! }
        interface Node { owner: User! }
        type Course implements Node { id: ID owner: User! deputy: User next: Course! }
        type Module implements Node { owner: User! title: String! }
        type User { name: String! nick: String }
        union Any = Course | Module
    ";

    fn error(path: &serde_json::Value) -> ServerError {
        ServerError::new("", None).with_path(serde_json::from_value(path.clone()).unwrap())
    }

    fn completed(
        query: &str,
        data: &serde_json::Value,
        paths: &[serde_json::Value],
    ) -> serde_json::Value {
        let document = parse_query(query).unwrap();
        let definition = selected(&document, None).unwrap();
        let operation = Operation { document: &document, definition };
        let mut data = serde_json::from_value(data.clone()).unwrap();
        let errors: Vec<_> = paths.iter().map(error).collect();
        FieldTypes::of(SDL).complete(&mut data, &errors, Some(operation));
        serde_json::to_value(data).unwrap()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn a_null_goes_up_to_what_may_be_null() {
        for (query, data, path, expected) in [
            // It may be null itself, also where nothing is beside it.
            (
                "{course{id deputy{nick}}}",
                json!({"course":{"id":1}}),
                json!(["course", "deputy"]),
                json!({"course":{"id":1,"deputy":null}}),
            ),
            (
                "{course{deputy{nick}}}",
                json!({ "course": null }),
                json!(["course", "deputy"]),
                json!({"course":{"deputy":null}}),
            ),
            ("{course{id}}", json!(null), json!(["course"]), json!({ "course": null })),
            // It must not.
            (
                "{course{id owner{nick}}}",
                json!({"course":{"id":1}}),
                json!(["course", "owner"]),
                json!({ "course": null }),
            ),
            (
                "{course{id next{owner{name nick}}}}",
                json!({"course":{"id":1,"next":{"owner":{"nick":1}}}}),
                json!(["course", "next", "owner", "name"]),
                json!({ "course": null }),
            ),
            (
                "{course{id} must{id owner{name}}}",
                json!({"course":{"id":1},"must":{"id":1,"owner":null}}),
                json!(["must", "owner", "name"]),
                json!(null),
            ),
            // Lists and their elements.
            (
                "{courses{id owner{nick}}}",
                json!({"courses":[{"id":1},{"id":2}]}),
                json!(["courses", 1, "owner"]),
                json!(null),
            ),
            (
                "{some{id owner{nick}}}",
                json!({"some":[{"id":1},{"id":2}]}),
                json!(["some", 1, "owner"]),
                json!({ "some": null }),
            ),
            (
                "{maybe{id owner{nick}}}",
                json!({"maybe":[{"id":1},{"id":2}]}),
                json!(["maybe", 1, "owner"]),
                json!({"maybe":[{"id":1},null]}),
            ),
            (
                "{rows{id owner{nick}}}",
                json!({"rows":[[{"id":1}],[{"id":2},{"id":3}]]}),
                json!(["rows", 1, 0, "owner"]),
                json!({"rows":[[{"id":1}],null]}),
            ),
            // The element failed itself and took its list along.
            (
                "{course{id} maybe{id}}",
                json!({"course":{"id":1}}),
                json!(["maybe", 1]),
                json!(null),
            ),
            // Aliases and fragments.
            (
                "{c:course{id o:owner{nick}}}",
                json!({"c":{"id":1}}),
                json!(["c", "o"]),
                json!({ "c": null }),
            ),
            (
                "{...Q} fragment Q on Query{course{id} course{...C}} fragment C on Course{owner{nick}}",
                json!({"course":{"id":1}}),
                json!(["course", "owner"]),
                json!({ "course": null }),
            ),
            // Interfaces and unions.
            (
                "{node{__typename owner{nick}}}",
                json!({"node":{"__typename":"Course"}}),
                json!(["node", "owner"]),
                json!({ "node": null }),
            ),
            (
                "{any{__typename ...on Module{title}}}",
                json!({"any":{"__typename":"Module"}}),
                json!(["any", "title"]),
                json!({ "any": null }),
            ),
            (
                "{any{__typename ...on Node{...{owner{name nick}}}}}",
                json!({"any":{"__typename":"Module","owner":{"nick":1}}}),
                json!(["any", "owner", "name"]),
                json!({ "any": null }),
            ),
            // The reads after a mutation.
            (
                "mutation{create{query{course{id} must{id}}}}",
                json!({"create":{"query":{"course":{"id":1}}}}),
                json!(["create", "query", "must"]),
                json!({ "create": null }),
            ),
            // What is not known stays where it is.
            (
                "{course{id unknown{x}}}",
                json!({"course":{"id":1,"unknown":{"y":1}}}),
                json!(["course", "unknown", "x"]),
                json!({"course":{"id":1,"unknown":{"y":1,"x":null}}}),
            ),
        ] {
            let paths = std::slice::from_ref(&path);
            assert_eq!(completed(query, &data, paths), expected, "{query}");
        }
    }

    #[test]
    fn what_is_null_because_of_one_field_is_not_made_again_for_another() {
        let query = "{course{owner{nick} deputy{nick name}}}";
        let [owner, deputy] =
            [json!(["course", "owner"]), json!(["course", "deputy", "nick"])].map(|path| [path]);
        let data = json!({"course":{"deputy":{"name":1}}});
        let expected = json!({ "course": null });
        let paths = [owner.clone(), deputy.clone()].concat();
        assert_eq!(completed(query, &data, &paths), expected);
        assert_eq!(completed(query, &data, &[deputy, owner].concat()), expected);
    }

    #[test]
    fn without_its_operation_an_error_is_a_null_in_its_place() {
        let mut data = serde_json::from_value(json!({"course":{"id":1}})).unwrap();
        let errors = [error(&json!(["course", "owner"]))];
        FieldTypes::of(SDL).complete(&mut data, &errors, None);
        let expected = json!({"course":{"id":1,"owner":null}});
        assert_eq!(serde_json::to_value(data).unwrap(), expected);
    }

    #[test]
    fn the_types_of_the_schema_are_known() {
        let types = FieldTypes::of(&crate::graphql::types().finish().sdl());
        for (parent, field, expected) in [
            ("Course", "modules", "ModuleConnection!"),
            ("CreateCoursePayload", "query", "Query!"),
            ("Node", "id", "ID!"),
            ("Query", "_entities", "[_Entity]!"),
            ("Mutation", "createCourse", "CreateCoursePayload!"),
        ] {
            assert_eq!(types.0[parent][field].to_string(), expected, "{parent}.{field}");
        }
    }
}

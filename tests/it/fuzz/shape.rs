//! What the schema says may be asked, in the form from which documents are made up.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeMap;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{BaseType, Type, TypeKind, TypeSystemDefinition};

/// A field of an object, or one of an input.
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) arguments: Vec<Field>,
}

pub(crate) enum Kind {
    /// An object or an interface; with it the objects that it may be.
    Object(Vec<Field>, Vec<String>),
    Input(Vec<Field>),
    Enum(Vec<String>),
    Scalar,
}

pub(crate) struct Shape(BTreeMap<String, Kind>);

/// The name of a type without its lists.
pub(crate) fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

impl Shape {
    /// That of the service.
    pub(crate) fn of_the_service() -> Self {
        let mut kinds = BTreeMap::new();
        let mut implementors = Vec::new();
        for definition in parse_schema(course_service::graphql::sdl()).unwrap().definitions {
            let TypeSystemDefinition::Type(ty) = definition else { continue };
            let name = ty.node.name.node.to_string();
            let fields = |fields: Vec<_>| {
                let field = |field: async_graphql::Positioned<
                    async_graphql::parser::types::FieldDefinition,
                >| Field {
                    name: field.node.name.node.to_string(),
                    ty: field.node.ty.node,
                    arguments: field.node.arguments.into_iter().map(|a| input(a.node)).collect(),
                };
                fields.into_iter().map(field).collect::<Vec<_>>()
            };
            let kind = match ty.node.kind {
                TypeKind::Object(object) => {
                    for interface in object.implements {
                        implementors.push((interface.node.to_string(), name.clone()));
                    }
                    Kind::Object(fields(object.fields), Vec::new())
                }
                TypeKind::Interface(interface) => {
                    Kind::Object(fields(interface.fields), Vec::new())
                }
                TypeKind::InputObject(object) => {
                    Kind::Input(object.fields.into_iter().map(|f| input(f.node)).collect())
                }
                TypeKind::Enum(values) => {
                    let value = |v: async_graphql::Positioned<
                        async_graphql::parser::types::EnumValueDefinition,
                    >| v.node.value.node.to_string();
                    Kind::Enum(values.values.into_iter().map(value).collect())
                }
                TypeKind::Scalar | TypeKind::Union(_) => Kind::Scalar,
            };
            kinds.insert(name, kind);
        }
        for (interface, object) in implementors {
            if let Some(Kind::Object(_, objects)) = kinds.get_mut(&interface) {
                objects.push(object);
            }
        }
        Self(kinds)
    }

    /// What a name stands for; built-in scalars are in no schema.
    pub(crate) fn kind(&self, name: &str) -> &Kind {
        self.0.get(name).unwrap_or(&Kind::Scalar)
    }

    /// The fields of an object.
    pub(crate) fn fields(&self, name: &str) -> &[Field] {
        match self.kind(name) {
            Kind::Object(fields, _) | Kind::Input(fields) => fields,
            Kind::Enum(_) | Kind::Scalar => &[],
        }
    }
}

fn input(value: async_graphql::parser::types::InputValueDefinition) -> Field {
    Field { name: value.name.node.to_string(), ty: value.ty.node, arguments: Vec::new() }
}

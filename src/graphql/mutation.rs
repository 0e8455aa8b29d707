//! Writes: each takes one `input` and answers a payload with the object, `userErrors` and the log position.

mod call;
mod course;
mod enrollment;
mod incoming;
mod instructor;
mod item;
mod lifecycle;
mod module;

use async_graphql::MergedObject;

use self::course::CourseMutation;
use self::enrollment::EnrollmentMutation;
use self::incoming::IncomingMutation;
use self::instructor::InstructorMutation;
use self::item::ItemMutation;
use self::lifecycle::LifecycleMutation;
use self::module::ModuleMutation;

/// Writes.
#[derive(MergedObject, Default)]
pub(super) struct Mutation(
    CourseMutation,
    LifecycleMutation,
    InstructorMutation,
    ModuleMutation,
    ItemMutation,
    EnrollmentMutation,
    IncomingMutation,
);

/// An input, with what every mutation takes.
macro_rules! input {
    ($(#[$doc:meta])* $name:ident { $($fields:tt)* }) => {
        $(#[$doc])*
        #[derive(InputObject)]
        pub(super) struct $name {
            /// Comes back in the payload.
            client_mutation_id: Option<String>,
            /// Sent again with the same input within 24 hours, the mutation is not carried out again but answered
            /// as it was; 1 to 255 bytes, of the caller's own for each mutation.
            idempotency_key: Option<String>,
            $($fields)*
        }
    };
}
use input;

/// A payload: the object of a mutation, or why there is none.
macro_rules! payload {
    ($(#[$doc:meta])* $name:ident, $(#[$field_doc:meta])* $field:ident : $object:ty) => {
        $(#[$doc])*
        #[derive(async_graphql::SimpleObject)]
        pub(super) struct $name {
            $(#[$field_doc])*
            $field: Option<$object>,
            /// The `clientMutationId` of the input.
            client_mutation_id: Option<String>,
            /// Where the log stood: pass it as `minPosition` to read what this mutation wrote.
            position: Option<String>,
            /// Why nothing was changed; empty where it was done.
            user_errors: Vec<crate::graphql::error::UserError>,
            /// The reads, to go on in the same request.
            query: crate::graphql::query::Query,
        }

        impl $name {
            fn of(
                done: Result<(Option<$object>, crate::event_store::Position), crate::commands::CommandError>,
                client_mutation_id: Option<String>,
            ) -> async_graphql::Result<Self> {
                let position = done.as_ref().ok().map(|(_, position)| *position);
                let query = crate::graphql::query::Query::since(position);
                Ok(match done {
                    Ok(($field, position)) => Self {
                        $field,
                        client_mutation_id,
                        position: Some(position.to_string()),
                        user_errors: Vec::new(),
                        query,
                    },
                    Err(error) => Self {
                        $field: None,
                        client_mutation_id,
                        position: None,
                        user_errors: vec![crate::graphql::error::refused(error)?],
                        query,
                    },
                })
            }
        }
    };
}
use payload;

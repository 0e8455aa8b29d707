//! Users, as far as this service knows them.

use async_graphql::{ID, SimpleObject};

/// A user of the user management service.
#[derive(SimpleObject)]
#[graphql(unresolvable = "id")]
pub(super) struct User {
    /// The id that the user management service gave them.
    pub(super) id: ID,
    /// Their role, where the caller may know it.
    #[graphql(shareable)]
    pub(super) role: Option<String>,
}

impl User {
    /// A user of whom only the id is known.
    pub(super) fn by_id(id: &str) -> Self {
        Self { id: id.into(), role: None }
    }
}

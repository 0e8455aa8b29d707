//! The GraphQL API: queries on the read models, mutations on the write side.
//!
//! Refusals of the domain are data (`userErrors`); authentication, timeouts and bugs are `errors[]` with a code.
#![warn(missing_docs)]

mod batch;
mod connection;
mod context;
mod course;
mod cursor;
mod enrollment;
mod error;
mod graphiql;
pub mod http;
mod input;
mod limits;
mod loader;
mod module;
mod module_item;
mod mutation;
mod node;
mod query;
mod user;

use std::time::Duration;

use async_graphql::{EmptySubscription, SDLExportOptions};
use sqlx::PgPool;

use self::batch::Batches;
pub use self::context::{Caller, IdentityFailure, RequestIds};
pub use self::error::error_codes_markdown;
pub use self::limits::Limits;
use self::mutation::Mutation;
use self::query::Query;
use crate::commands::Commands;
use crate::projections::Checkpoints;

/// The schema with everything that it needs.
pub type Schema = async_graphql::Schema<Query, Mutation, EmptySubscription>;

/// What the API stands on.
pub struct Parts {
    /// The write side.
    pub commands: Commands,
    /// The database, for reads.
    pub pool: PgPool,
    /// How far the read models are.
    pub checkpoints: Checkpoints,
    /// Whether clients may ask for the schema.
    pub introspection: bool,
}

/// How long a read waits for the read models to reach a position.
const READ_YOUR_WRITES: Duration = Duration::from_secs(1);

/// The schema on these parts.
pub fn schema(parts: Parts) -> Schema {
    let builder = Schema::build(Query::default(), Mutation::default(), EmptySubscription)
        .extension(Batches::new(parts.pool.clone()))
        .data(parts.pool)
        .data(parts.checkpoints)
        .data(parts.commands);
    if parts.introspection {
        builder.finish()
    } else {
        // Nor may a wrong name be answered with those that are nearly right.
        builder.disable_introspection().disable_suggestions().finish()
    }
}

/// The schema as text, sorted. Needs no database.
pub fn sdl() -> String {
    let schema = Schema::build(Query::default(), Mutation::default(), EmptySubscription).finish();
    let options = SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items()
        .prefer_single_line_descriptions();
    schema.sdl_with_options(options)
}

//! The GraphQL API: queries on the read models, mutations on the write side.
//!
//! Refusals of the domain are data (`userErrors`); authentication, timeouts and bugs are `errors[]` with a code.
#![warn(missing_docs)]

mod context;
mod course;
mod cursor;
mod enrollment;
mod entity;
mod error;
mod expansion;
mod graphiql;
pub mod http;
mod input;
mod loader;
mod module;
mod mutation;
mod node;
mod query;
mod user;

use std::time::Duration;

use async_graphql::connection::Connection;
use async_graphql::dataloader::DataLoader;
use async_graphql::{EmptySubscription, SDLExportOptions, SchemaBuilder};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

pub use self::context::{Caller, IdentityFailure, RequestIds};
use self::course::Course;
use self::cursor::{IndexCursor, TimeCursor};
use self::loader::ReadModels;
use self::module::Module;
use self::mutation::Mutation;
use self::node::Node;
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

/// How deep a query may nest.
const MAX_DEPTH: usize = 15;

/// How long a read waits for the read models to reach a position.
const READ_YOUR_WRITES: Duration = Duration::from_secs(1);

/// The types of the schema, with descriptions for those that come from `async-graphql`.
fn types() -> SchemaBuilder<Query, Mutation, EmptySubscription> {
    Schema::build(Query::default(), Mutation::default(), EmptySubscription)
        .enable_federation()
        .register_output_type::<Node>()
        .override_output_type_description::<DateTime<Utc>>("An instant in RFC 3339, in UTC.")
        .override_output_type_description::<Connection<TimeCursor, Course>>("A page of courses.")
        .override_output_type_description::<Connection<IndexCursor, Module>>("A page of modules.")
}

/// The schema on these parts.
pub fn schema(parts: Parts) -> Schema {
    let read_models = DataLoader::new(ReadModels { pool: parts.pool.clone() }, tokio::spawn);
    let builder = types()
        .limit_depth(MAX_DEPTH)
        .data(read_models)
        .data(parts.pool)
        .data(parts.checkpoints)
        .data(parts.commands);
    if parts.introspection {
        builder.finish()
    } else {
        builder.disable_introspection().extension(entity::NoSdl).finish()
    }
}

/// The schema as text, sorted. Needs no database.
pub fn sdl() -> String {
    let options = SDLExportOptions::new()
        .federation()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items()
        .include_specified_by();
    types().finish().sdl_with_options(options)
}

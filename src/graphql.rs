//! The GraphQL API: queries on the read models, mutations on the write side, subscriptions on the log.
//!
//! Refusals of the domain are data (`userErrors`); authentication, timeouts and bugs are `errors[]` with a code.
#![warn(missing_docs)]

mod assessment;
mod batch;
mod changes;
mod connection;
mod context;
mod course;
mod cursor;
mod enrollment;
mod entity;
mod error;
mod graphiql;
mod history;
pub mod http;
mod incoming;
mod input;
mod limits;
mod loader;
mod module;
mod module_item;
mod mutation;
mod node;
mod past;
mod query;
mod subscription;
mod user;
mod video;

use std::time::Duration;

use async_graphql::{Request, Response, SDLExportOptions, SchemaBuilder};
use chrono::{DateTime, Utc};
use sqlx::PgPool;

use self::batch::Responses;
pub use self::changes::Tail;
pub use self::context::{Caller, IdentityFailure, RequestIds};
pub use self::error::error_codes_markdown;
pub use self::limits::Limits;
use self::mutation::Mutation;
use self::query::Query;
use self::subscription::Subscription;
use crate::commands::Commands;
use crate::commands::workbench::Workbench;
use crate::projections::Checkpoints;

type Types = async_graphql::Schema<Query, Mutation, Subscription>;

/// The schema with everything that it needs.
#[derive(Clone)]
pub struct Schema {
    types: Types,
    pool: PgPool,
}

impl Schema {
    /// Runs a request. It must have passed the limits.
    async fn execute(&self, request: Request) -> Response {
        batch::execute(&self.types, &self.pool, request).await
    }

    /// Runs a subscription. It must have passed the limits.
    fn subscribe(&self, request: Request) -> Responses {
        Responses::of(&self.types, &self.pool, request)
    }
}

/// What the API stands on.
pub struct Parts {
    /// The write side.
    pub commands: Commands,
    /// What admins do about messages that did not become commands.
    pub workbench: Workbench,
    /// The database, for reads.
    pub pool: PgPool,
    /// How far the read models are.
    pub checkpoints: Checkpoints,
    /// What subscriptions follow. Somebody must run it.
    pub tail: Tail,
    /// Whether clients may ask for the schema.
    pub introspection: bool,
}

/// How long a read waits for the read models to reach a position.
const READ_YOUR_WRITES: Duration = Duration::from_secs(1);

/// The types of the schema: a subgraph of a federation.
fn types() -> SchemaBuilder<Query, Mutation, Subscription> {
    Types::build(Query::default(), Mutation::default(), Subscription)
        .enable_federation()
        .enable_subscription_in_federation()
        .override_output_type_description::<DateTime<Utc>>("An instant in RFC 3339, in UTC.")
}

/// The schema on these parts.
pub fn schema(parts: Parts) -> Schema {
    let mut builder = types().data(parts.pool.clone()).data(parts.checkpoints).data(parts.tail);
    builder = builder.data(parts.commands).data(parts.workbench);
    if !parts.introspection {
        // Nor may a wrong name be answered with those that are nearly right.
        builder = builder.disable_introspection().disable_suggestions();
    }
    Schema { types: builder.finish(), pool: parts.pool }
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

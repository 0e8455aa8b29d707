//! What a gateway asks this subgraph for: objects by the references that other subgraphs hold.

use async_graphql::{Context, ID, Object, Result};

use super::assessment::{Assessment, referenced_assessment};
use super::context::{built, caller};
use super::course::{Course, visible_course};
use super::enrollment::{Enrollment, visible_enrollment};
use super::module::{Module, visible_module};
use super::module_item::{ModuleItem, visible_item};
use super::user::User;
use crate::domain::EnrollmentId;

/// Resolves references; null for what the caller may not see. References of one request are read together.
#[derive(Default)]
pub(super) struct Entities;

#[Object]
impl Entities {
    #[graphql(entity)]
    async fn course(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Course>> {
        caller(ctx)?;
        built(ctx).await?;
        visible_course(ctx, &id).await
    }

    #[graphql(entity)]
    async fn module(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Module>> {
        caller(ctx)?;
        built(ctx).await?;
        visible_module(ctx, &id).await
    }

    #[graphql(entity)]
    async fn module_item(&self, ctx: &Context<'_>, id: ID) -> Result<Option<ModuleItem>> {
        caller(ctx)?;
        built(ctx).await?;
        visible_item(ctx, &id).await
    }

    #[graphql(entity)]
    async fn enrollment(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Enrollment>> {
        caller(ctx)?;
        built(ctx).await?;
        match EnrollmentId::parse(&id, "id") {
            Ok(id) => visible_enrollment(ctx, &id).await,
            Err(_) => Ok(None),
        }
    }

    /// Whatever has an id may be an assessment of somewhere.
    #[graphql(entity)]
    async fn assessment(&self, ctx: &Context<'_>, id: ID) -> Result<Assessment> {
        caller(ctx)?;
        built(ctx).await?;
        referenced_assessment(ctx, &id).await
    }

    /// Whoever has an id is a user.
    #[graphql(entity)]
    #[expect(clippy::unused_async, reason = "async-graphql takes asynchronous resolvers only")]
    async fn user(&self, ctx: &Context<'_>, id: ID) -> Result<User> {
        caller(ctx)?;
        Ok(User::by_id(&id))
    }
}

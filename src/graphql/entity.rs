//! What a gateway asks this subgraph for: objects by the references that other subgraphs hold.

use std::sync::Arc;

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo,
};
use async_graphql::{Context, ID, Object, Result, ServerResult, Value};

use super::context::caller;
use super::course::{Course, visible_course};
use super::enrollment::{Enrollment, visible_enrollment};
use super::error::{ErrorCode, failure};
use super::module::{Module, visible_module};
use crate::domain::EnrollmentId;

/// Resolves references; null for what the caller may not see. References of one request are read together.
#[derive(Default)]
pub(super) struct Entities;

#[Object]
impl Entities {
    #[graphql(entity)]
    async fn course(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Course>> {
        caller(ctx)?;
        visible_course(ctx, &id).await
    }

    #[graphql(entity)]
    async fn module(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Module>> {
        caller(ctx)?;
        visible_module(ctx, &id).await
    }

    #[graphql(entity)]
    async fn enrollment(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Enrollment>> {
        caller(ctx)?;
        match EnrollmentId::parse(&id, "id") {
            Ok(id) => visible_enrollment(ctx, &id).await,
            Err(_) => Ok(None),
        }
    }
}

/// Keeps the schema from those who ask for it as a gateway does, where it may not be asked for.
pub(super) struct NoSdl;

impl ExtensionFactory for NoSdl {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Extension for NoSdl {
    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        if info.name == "_service" {
            let error = failure(ErrorCode::Forbidden, "the schema may not be asked for");
            return Err(error.into_server_error(info.field.name.pos));
        }
        next.run(ctx, info).await
    }
}

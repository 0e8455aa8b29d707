//! Modules of a course.

use async_graphql::dataloader::DataLoader;
use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};
use chrono::{DateTime, Utc};

use super::context::{recorded_at, settle};
use super::course::{Course, visible_course};
use super::error::{ErrorCode, failure, read_failed};
use super::loader::{ModuleKey, ReadModels};
use crate::domain::course::{Module as State, PublicationState as DomainState};
use crate::domain::{CourseId, ModuleId, StreamType};
use crate::event_store::{Position, StreamId};
use crate::projections::modules::ModuleRow;

/// Whether a module shows.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "DomainState")]
pub(super) enum PublicationState {
    /// Only instructors see it.
    Unpublished,
    /// Whoever sees the course sees it.
    Published,
}

/// An ordered unit of a course.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(super) struct Module {
    /// The same id in GraphQL, on Kafka and in the log.
    pub(super) id: ID,
    /// 1 to 255 characters.
    title: String,
    /// At most 16 KiB.
    summary: Option<String>,
    /// Its place in the course, from 0.
    position: i32,
    /// Whether it shows.
    state: PublicationState,
    #[graphql(skip)]
    course_id: String,
    #[graphql(skip)]
    times: Times,
}

#[derive(Debug, Clone)]
enum Times {
    Known { created_at: DateTime<Utc>, updated_at: DateTime<Utc> },
    Committed { position: Position, added_in: u64, changed_in: u64 },
}

/// Whether everybody who sees the course sees the module.
pub(super) fn visible(row: &ModuleRow) -> bool {
    row.state == DomainState::Published.as_str()
}

impl Module {
    /// A module from the read model.
    pub(super) fn from_row(row: ModuleRow) -> Self {
        let state =
            if visible(&row) { PublicationState::Published } else { PublicationState::Unpublished };
        Self {
            id: row.module_id.into(),
            title: row.title,
            summary: row.summary,
            position: row.position,
            state,
            course_id: row.course_id,
            times: Times::Known { created_at: row.created_at, updated_at: row.updated_at },
        }
    }

    /// A module as a command has just left it, at its index in the course.
    pub(super) fn committed(
        course: &CourseId,
        index: usize,
        state: &State,
        position: Position,
    ) -> Self {
        Self {
            id: state.id.as_str().into(),
            title: state.title.clone(),
            summary: state.summary.clone(),
            position: i32::try_from(index).unwrap_or(i32::MAX),
            state: state.state.into(),
            course_id: course.to_string(),
            times: Times::Committed {
                position,
                added_in: state.added_in,
                changed_in: state.changed_in,
            },
        }
    }

    async fn recorded_at(&self, ctx: &Context<'_>, sequence: u64) -> Result<DateTime<Utc>> {
        recorded_at(ctx, &StreamId::new(StreamType::Course, &self.course_id), sequence).await
    }
}

/// The module with this id, where the caller may see it.
pub(super) async fn visible_module(ctx: &Context<'_>, id: &str) -> Result<Option<Module>> {
    if ModuleId::parse(id, "id").is_err() {
        return Ok(None);
    }
    let loader = ctx.data::<DataLoader<ReadModels>>()?;
    let row = loader.load_one(ModuleKey(id.to_owned())).await.map_err(|e| read_failed(&e))?;
    let Some(row) = row else { return Ok(None) };
    let Some(course) = visible_course(ctx, &row.course_id).await? else { return Ok(None) };
    let sees = visible(&row) || course.managed_by_caller(ctx)?;
    Ok(sees.then(|| Module::from_row(row)))
}

#[ComplexObject]
impl Module {
    /// The course that it belongs to.
    async fn course(&self, ctx: &Context<'_>) -> Result<Course> {
        if let Times::Committed { position, .. } = self.times {
            settle(ctx, position).await?;
        }
        let course = visible_course(ctx, &self.course_id).await?;
        course.ok_or_else(|| failure(ErrorCode::NotFound, "no such course"))
    }

    /// When it was added.
    async fn created_at(&self, ctx: &Context<'_>) -> Result<DateTime<Utc>> {
        match self.times {
            Times::Known { created_at, .. } => Ok(created_at),
            Times::Committed { added_in, .. } => self.recorded_at(ctx, added_in).await,
        }
    }

    /// When its own fields last changed.
    async fn updated_at(&self, ctx: &Context<'_>) -> Result<DateTime<Utc>> {
        match self.times {
            Times::Known { updated_at, .. } => Ok(updated_at),
            Times::Committed { changed_in, .. } => self.recorded_at(ctx, changed_in).await,
        }
    }
}

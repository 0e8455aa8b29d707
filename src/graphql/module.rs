//! Modules of a course.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SelectionField, SimpleObject};
use chrono::{DateTime, Utc};

use super::assessment::{Assessment, asks_beyond_id, assessments_of};
use super::connection::{Arguments, Asked, Neighbours, connection};
use super::context::{count_entries, recorded_at, settle};
use super::course::{Course, existing_course, shown_course, visible_course};
use super::cursor::{decode_module, encode_module};
use super::loader::{ItemsKey, ModuleCountKey, ModuleKey, ModulesKey, load};
use super::module_item::{self, ModuleItem};
use super::past::Past;
use crate::domain::course::{Module as State, PublicationState as DomainState};
use crate::domain::{CourseId, ModuleId, StreamType};
use crate::event_store::{Position, StreamId};
use crate::projections::module_items::ItemRow;
use crate::projections::modules::{ModulePage, ModulePlace, ModuleRow};

/// Whether a module or an item shows.
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
    /// Whether the reader asked for what is not published, and may see it.
    #[graphql(skip)]
    all: bool,
    #[graphql(skip)]
    times: Times,
    /// Of a course as it stood at an instant.
    #[graphql(skip)]
    past: Option<Arc<Past>>,
}

/// A module in a page.
#[derive(SimpleObject)]
pub(super) struct ModuleEdge {
    /// The module.
    node: Module,
    /// Its place in the list, for `after` and `before`.
    cursor: String,
}

connection! {
    /// A page of modules.
    ModuleConnection of ModuleEdge with Module, counted by ModuleTotal
}

/// How many modules a course has.
pub(super) enum ModuleTotal {
    /// To be counted.
    Of(ModuleCountKey),
    /// Known.
    Known(usize),
}

impl ModuleTotal {
    async fn count(&self, ctx: &Context<'_>) -> Result<i64> {
        match self {
            Self::Of(key) => Ok(load(ctx, key.clone()).await?.unwrap_or(0)),
            Self::Known(total) => Ok(i64::try_from(*total).unwrap_or(i64::MAX)),
        }
    }
}

/// A page of the modules of a course, `all` or the published ones.
pub(super) async fn page_of_modules(
    ctx: &Context<'_>,
    course: &str,
    all: bool,
    arguments: Arguments,
) -> Result<ModuleConnection> {
    let (name, asked) = read_arguments(course, arguments)?;
    let course = course.to_owned();
    let page =
        ModulePage { limit: asked.limit(), backwards: asked.backwards, from: asked.from.clone() };
    let key = ModulesKey { course: course.clone(), all, page };
    let (rows, neighbours) = asked.cut(ctx, load(ctx, key).await?.unwrap_or_default())?;
    let modules = rows.into_iter().map(|row| Module::from_row(row, all));
    Ok(connect(modules, neighbours, &name, ModuleTotal::Of(ModuleCountKey { course, all })))
}

/// The same of a course as it stood at an instant.
pub(super) async fn page_of_past_modules(
    ctx: &Context<'_>,
    course: &str,
    past: &Arc<Past>,
    all: bool,
    arguments: Arguments,
) -> Result<ModuleConnection> {
    let (name, asked) = read_arguments(course, arguments)?;
    let every = &past.content(ctx).await?.modules;
    let rows: Vec<&ModuleRow> = every.iter().filter(|row| all || visible(row)).collect();
    let total = ModuleTotal::Known(rows.len());
    let from = asked.from.as_ref().map(|place| {
        let known = every.iter().find(|row| row.module_id == place.module_id);
        known.map_or(place.position, |row| row.position)
    });
    let limit = usize::try_from(asked.limit()).unwrap_or(usize::MAX);
    let rows: Vec<ModuleRow> = if asked.backwards {
        let before = |row: &&&ModuleRow| from.is_none_or(|from| row.position < from);
        rows.iter().rev().filter(before).take(limit).map(|row| (*row).clone()).collect()
    } else {
        let behind = |row: &&&ModuleRow| from.is_none_or(|from| row.position > from);
        rows.iter().filter(behind).take(limit).map(|row| (*row).clone()).collect()
    };
    let (rows, neighbours) = asked.cut(ctx, rows)?;
    let modules = rows.into_iter().map(|row| Module::from_past(row, all, past));
    Ok(connect(modules, neighbours, &name, total))
}

/// The name of the list in cursors, and the page that is asked for.
fn read_arguments(course: &str, arguments: Arguments) -> Result<(String, Asked<ModulePlace>)> {
    let name = format!("modules of {course}");
    let asked = arguments.read(|cursor| decode_module(&name, cursor))?;
    Ok((name, asked))
}

fn connect(
    modules: impl Iterator<Item = Module>,
    neighbours: Neighbours,
    name: &str,
    total: ModuleTotal,
) -> ModuleConnection {
    let edge = |node: Module| {
        let place = ModulePlace { module_id: node.id.to_string(), position: node.position };
        ModuleEdge { cursor: encode_module(name, &place), node }
    };
    ModuleConnection { edges: modules.map(edge).collect(), neighbours, total }
}

/// The module with this id, where the caller may see it.
pub(super) async fn visible_module(ctx: &Context<'_>, id: &str) -> Result<Option<Module>> {
    if ModuleId::parse(id, "id").is_err() {
        return Ok(None);
    }
    let Some(row) = load(ctx, ModuleKey(id.to_owned())).await? else { return Ok(None) };
    let Some(course) = visible_course(ctx, &row.course_id).await? else { return Ok(None) };
    let all = course.managed_by_caller(ctx)?;
    Ok((all || visible(&row)).then(|| Module::from_row(row, all)))
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
    /// A module from the read model; `all`: with the items that are not published.
    pub(super) fn from_row(row: ModuleRow, all: bool) -> Self {
        let state =
            if visible(&row) { PublicationState::Published } else { PublicationState::Unpublished };
        Self {
            id: row.module_id.into(),
            title: row.title,
            summary: row.summary,
            position: row.position,
            state,
            course_id: row.course_id,
            all,
            times: Times::Known { created_at: row.created_at, updated_at: row.updated_at },
            past: None,
        }
    }

    /// A module of a course as it stood at an instant.
    pub(super) fn from_past(row: ModuleRow, all: bool, past: &Arc<Past>) -> Self {
        Self { past: Some(past.clone()), ..Self::from_row(row, all) }
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
            all: false, // asked anew
            times: Times::Committed {
                position,
                added_in: state.added_in,
                changed_in: state.changed_in,
            },
            past: None,
        }
    }

    /// Whether it shows what is not published.
    pub(super) fn shows_all(&self) -> bool {
        self.all
    }

    /// The course that it belongs to: whoever sees the module may see it, who has just changed it if they still may.
    pub(super) async fn read_course(&self, ctx: &Context<'_>) -> Result<Course> {
        if let Some(past) = &self.past {
            return Course::of_past(ctx, past).await;
        }
        match self.times {
            Times::Known { .. } => existing_course(ctx, &self.course_id).await,
            Times::Committed { position, .. } => {
                settle(ctx, position).await?;
                shown_course(ctx, &self.course_id).await
            }
        }
    }

    async fn recorded_at(&self, ctx: &Context<'_>, sequence: u64) -> Result<DateTime<Utc>> {
        recorded_at(ctx, &StreamId::new(StreamType::Course, &self.course_id), sequence).await
    }
}

#[ComplexObject]
impl Module {
    /// The course that it belongs to.
    async fn course(&self, ctx: &Context<'_>) -> Result<Course> {
        self.read_course(ctx).await
    }

    /// Its items in order, at most 500. Those that are not published only for instructors of the course and admins, where
    /// `modules` was asked for them, or the module by its id.
    async fn items(&self, ctx: &Context<'_>) -> Result<Vec<ModuleItem>> {
        let all = match self.times {
            Times::Known { .. } => self.all,
            Times::Committed { .. } => self.read_course(ctx).await?.managed_by_caller(ctx)?,
        };
        if let Some(past) = &self.past {
            let content = past.content(ctx).await?;
            let rows = content.items.get(self.id.as_str()).into_iter().flatten();
            let rows: Vec<_> = rows.filter(|row| all || module_item::visible(row)).collect();
            count_entries(ctx, rows.len())?;
            let item = |row: &ItemRow| {
                let known = Some(content.assessments.as_slice());
                ModuleItem::from_row(row.clone(), all, known).of_past(past)
            };
            return Ok(rows.into_iter().map(item).collect());
        }
        // What the items will be asked for is read beside them, not after them.
        let field = ctx.field();
        let is_asked =
            |field: SelectionField<'_>| field.name() == "assessment" && asks_beyond_id(field);
        let details = field.selection_set().any(is_asked);
        let assessments = async {
            Ok(if details { Some(assessments_of(ctx, &self.course_id).await?) } else { None })
        };
        let items = load(ctx, ItemsKey(self.id.to_string()));
        let (rows, assessments) = futures::try_join!(items, assessments)?;
        let mut rows = rows.unwrap_or_default();
        rows.retain(|row| all || module_item::visible(row));
        count_entries(ctx, rows.len())?;
        let assessments = assessments.as_ref().map(|rows| rows.as_slice());
        Ok(rows.into_iter().map(|row| ModuleItem::from_row(row, all, assessments)).collect())
    }

    /// The assessments of the course that the assessment service puts into this module, what is due first first.
    async fn assessments(&self, ctx: &Context<'_>) -> Result<Vec<Assessment>> {
        if let Times::Committed { .. } = self.times {
            self.read_course(ctx).await?;
        }
        let assessments = match &self.past {
            Some(past) => past.assessments(ctx).await?,
            None => assessments_of(ctx, &self.course_id).await?,
        };
        let own = assessments.iter().filter(|row| row.module_id.as_deref() == Some(&*self.id));
        let own: Vec<Assessment> = own.map(Assessment::from_row).collect();
        count_entries(ctx, own.len())?;
        Ok(own)
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

//! Items of modules.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, Result, SimpleObject};

use super::assessment::{Assessment, asks_beyond_id, assessments_of};
use super::context::settle;
use super::course::Course;
use super::error::{ErrorCode, failure};
use super::loader::{ItemKey, ModuleKey, load};
use super::module::{Module, PublicationState, visible_module};
use super::past::Past;
use super::video::VideoAsset;
use crate::domain::course::{ItemKind, ModuleItem as State, PublicationState as DomainState};
use crate::domain::{AssessmentId, Course as CourseState, ItemId, ModuleId, VideoId};
use crate::event_store::Position;
use crate::projections::assessments::AssessmentRow;
use crate::projections::module_items::ItemRow;

/// What a module item is.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "ItemKind")]
pub(super) enum ModuleItemKind {
    /// A page of text.
    Page,
    /// A video of the transcoding service.
    Video,
    /// An assessment of the assessment service.
    Assessment,
    /// A file to download.
    File,
    /// A link to elsewhere.
    Link,
}

/// An entry of a module.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub(super) struct ModuleItem {
    /// The same id in GraphQL, on Kafka and in the log.
    pub(super) id: ID,
    /// 1 to 255 characters.
    title: String,
    /// What it is; never changes.
    kind: ModuleItemKind,
    /// Its place in the module, from 0.
    position: i32,
    /// Whether it counts for a student's progress.
    required: bool,
    /// Whether it shows.
    state: PublicationState,
    /// Where it leads; of a FILE or LINK always there.
    url: Option<String>,
    /// The video of a VIDEO.
    video: Option<VideoAsset>,
    #[graphql(skip)]
    assessment: Option<AssessmentOf>,
    #[graphql(skip)]
    module_id: String,
    /// Whether the reader may see what is not published.
    #[graphql(skip)]
    all: bool,
    /// Of one just committed: what else is read waits for this position.
    #[graphql(skip)]
    committed: Option<Position>,
    /// Of a course as it stood at an instant.
    #[graphql(skip)]
    past: Option<Arc<Past>>,
}

/// The assessment of an item.
#[derive(Debug, Clone)]
enum AssessmentOf {
    /// What is known of it was read with the item.
    Read(Assessment),
    /// It has this id; the course knows the rest.
    Named { course_id: String, id: String },
}

/// Whether everybody who sees the module sees the item.
pub(super) fn visible(row: &ItemRow) -> bool {
    row.state == DomainState::Published.as_str()
}

impl ModuleItem {
    /// An item from the read model; `all`: its module shows what is not published. The assessments are those of the
    /// course, where they have been read.
    pub(super) fn from_row(row: ItemRow, all: bool, assessments: Option<&[AssessmentRow]>) -> Self {
        let state =
            if visible(&row) { PublicationState::Published } else { PublicationState::Unpublished };
        let kind = match row.kind.as_str() {
            "VIDEO" => ModuleItemKind::Video,
            "ASSESSMENT" => ModuleItemKind::Assessment,
            "FILE" => ModuleItemKind::File,
            "LINK" => ModuleItemKind::Link,
            _ => ModuleItemKind::Page,
        };
        let ItemRow { course_id, .. } = row;
        let assessment = |id: String| match assessments {
            Some(assessments) => AssessmentOf::Read(Assessment::among(assessments, &id)),
            None => AssessmentOf::Named { course_id, id },
        };
        Self {
            id: row.item_id.into(),
            title: row.title,
            kind,
            position: row.position,
            required: row.required,
            state,
            url: row.url,
            video: row.video_id.map(|id| VideoAsset::of(&id, row.video.map(|video| video.0))),
            assessment: row.assessment_id.map(assessment),
            module_id: row.module_id,
            all,
            committed: None,
            past: None,
        }
    }

    /// The same of a course as it stood at an instant.
    pub(super) fn of_past(self, past: &Arc<Past>) -> Self {
        Self { past: Some(past.clone()), ..self }
    }

    /// An item as a command has just left it, at its index in the module.
    pub(super) fn committed(
        course: &CourseState,
        module: &ModuleId,
        index: usize,
        state: &State,
        position: Position,
    ) -> Self {
        let video = |id: &VideoId| VideoAsset::of(id.as_str(), state.video.clone());
        let assessment = |id: &AssessmentId| {
            let known = course.assessments.get(id);
            AssessmentOf::Read(Assessment::committed(id.as_str(), known))
        };
        Self {
            id: state.id.as_str().into(),
            title: state.title.clone(),
            kind: state.kind.into(),
            position: i32::try_from(index).unwrap_or(i32::MAX),
            required: state.required,
            state: state.state.into(),
            url: state.url.clone(),
            video: state.video_id.as_ref().map(video),
            assessment: state.assessment_id.as_ref().map(assessment),
            module_id: module.to_string(),
            all: false, // asked anew
            committed: Some(position),
            past: None,
        }
    }
}

/// The item with this id, where the caller may see it.
pub(super) async fn visible_item(ctx: &Context<'_>, id: &str) -> Result<Option<ModuleItem>> {
    if ItemId::parse(id, "id").is_err() {
        return Ok(None);
    }
    let Some(row) = load(ctx, ItemKey(id.to_owned())).await? else { return Ok(None) };
    let Some(module) = visible_module(ctx, &row.module_id).await? else { return Ok(None) };
    let all = module.shows_all();
    Ok((all || visible(&row)).then(|| ModuleItem::from_row(row, all, None)))
}

#[ComplexObject]
impl ModuleItem {
    /// The assessment of an ASSESSMENT.
    async fn assessment(&self, ctx: &Context<'_>) -> Result<Option<Assessment>> {
        Ok(match &self.assessment {
            None => None,
            Some(AssessmentOf::Read(assessment)) => Some(assessment.clone()),
            Some(AssessmentOf::Named { course_id, id }) if asks_beyond_id(ctx.field()) => {
                Some(Assessment::among(&assessments_of(ctx, course_id).await?, id))
            }
            Some(AssessmentOf::Named { id, .. }) => Some(Assessment::unknown(id)),
        })
    }

    /// The module that holds it.
    async fn module(&self, ctx: &Context<'_>) -> Result<Module> {
        let gone = || failure(ErrorCode::NotFound, "no such module");
        if let Some(position) = self.committed {
            settle(ctx, position).await?;
            return visible_module(ctx, &self.module_id).await?.ok_or_else(gone);
        }
        if let Some(past) = &self.past {
            let mut modules = past.content(ctx).await?.modules.iter();
            let row = modules.find(|row| row.module_id == self.module_id).ok_or_else(gone)?;
            return Ok(Module::from_past(row.clone(), self.all, past));
        }
        let row = load(ctx, ModuleKey(self.module_id.clone())).await?;
        row.map(|row| Module::from_row(row, self.all)).ok_or_else(gone)
    }

    /// The course that it belongs to.
    async fn course(&self, ctx: &Context<'_>) -> Result<Course> {
        self.module(ctx).await?.read_course(ctx).await
    }
}

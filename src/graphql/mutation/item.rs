//! Mutations of module items. They name the course too: the write side looks nothing up in a read model.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, Result};
use uuid::Uuid;

use super::call::{Call, Done};
use super::module::module;
use super::{input, payload};
use crate::commands::Answer;
use crate::domain::course::{CourseAction, ItemPatch, NewItem, PublicationState as DomainState};
use crate::domain::{AssessmentId, ItemId, ModuleId, VideoId};
use crate::event_store::Position;
use crate::graphql::input::patch;
use crate::graphql::module::{Module, PublicationState};
use crate::graphql::module_item::{ModuleItem, ModuleItemKind};

input! {
    /// An item to be added to a module.
    AddModuleItemInput {
        /// The course.
        course_id: ID,
        /// The course's version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
        /// The module.
        module_id: ID,
        /// What it is. It never changes.
        kind: ModuleItemKind,
        /// 1 to 255 characters.
        title: String,
        /// Whether it counts for a student's progress.
        #[graphql(default = true)]
        required: bool,
        /// Where to insert it, from 0; by default behind the last.
        position: Option<i64>,
        /// The video of a VIDEO: 1 to 256 bytes.
        video_id: Option<ID>,
        /// The assessment of an ASSESSMENT: 1 to 256 bytes.
        assessment_id: Option<ID>,
        /// Where it leads: an absolute http or https URL of at most 2,048 bytes. A FILE or LINK has one.
        url: Option<String>,
    }
}
input! {
    /// Changes of a module item: what is absent stays, null clears.
    UpdateModuleItemInput {
        /// The course.
        course_id: ID,
        /// The course's version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
        /// The item.
        module_item_id: ID,
        /// 1 to 255 characters.
        title: MaybeUndefined<String>,
        /// Whether it counts for a student's progress.
        required: MaybeUndefined<bool>,
        /// Where it leads: an absolute http or https URL of at most 2,048 bytes. A FILE or LINK has one.
        url: MaybeUndefined<String>,
        /// Whether it shows.
        state: MaybeUndefined<PublicationState>,
    }
}
input! {
    /// A module item to be removed.
    RemoveModuleItemInput {
        /// The course.
        course_id: ID,
        /// The course's version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
        /// The item.
        module_item_id: ID,
    }
}
input! {
    /// The order of the items of a module.
    ReorderModuleItemsInput {
        /// The course.
        course_id: ID,
        /// The course's version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
        /// The module.
        module_id: ID,
        /// All items of the module, in their new order.
        module_item_ids: Vec<ID>,
    }
}

payload! {
    /// What became of `addModuleItem`.
    AddModuleItemPayload,
    /// The new item.
    module_item: ModuleItem
}
payload! {
    /// What became of `updateModuleItem`.
    UpdateModuleItemPayload,
    /// The item after the change.
    module_item: ModuleItem
}
payload! {
    /// What became of `removeModuleItem`.
    RemoveModuleItemPayload,
    /// The module after the change.
    module: Module
}
payload! {
    /// What became of `reorderModuleItems`.
    ReorderModuleItemsPayload,
    /// The module after the change.
    module: Module
}

/// Mutations of module items.
#[derive(Default)]
pub(super) struct ItemMutation;

#[Object]
impl ItemMutation {
    /// Adds an item to a module. It shows at once where the module does. Published on Module-Update.
    async fn add_module_item(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module and the new item")] input: AddModuleItemInput,
    ) -> Result<AddModuleItemPayload> {
        let call = Call::new(ctx, input.idempotency_key.clone())?;
        let mutation = input.client_mutation_id.clone();
        AddModuleItemPayload::of(add(call, input).await, mutation)
    }

    /// Changes a module item. Published on Module-Update.
    async fn update_module_item(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The item and what to change")] input: UpdateModuleItemInput,
    ) -> Result<UpdateModuleItemPayload> {
        let call = Call::new(ctx, input.idempotency_key.clone())?;
        let mutation = input.client_mutation_id.clone();
        UpdateModuleItemPayload::of(update(call, input).await, mutation)
    }

    /// Removes a module item. Published on Module-Update.
    async fn remove_module_item(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The item")] input: RemoveModuleItemInput,
    ) -> Result<RemoveModuleItemPayload> {
        let call = Call::new(ctx, input.idempotency_key.clone())?;
        let mutation = input.client_mutation_id.clone();
        RemoveModuleItemPayload::of(remove(call, input).await, mutation)
    }

    /// Puts all items of a module into another order. Published on Module-Update.
    async fn reorder_module_items(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module and the order")] input: ReorderModuleItemsInput,
    ) -> Result<ReorderModuleItemsPayload> {
        let call = Call::new(ctx, input.idempotency_key.clone())?;
        let mutation = input.client_mutation_id.clone();
        ReorderModuleItemsPayload::of(reorder(call, input).await, mutation)
    }
}

async fn add(call: Call<'_>, input: AddModuleItemInput) -> Done<ModuleItem> {
    let module_id = ModuleId::parse(&input.module_id, "moduleId")?;
    let video = input.video_id.map(|id| VideoId::parse(&id, "videoId")).transpose()?;
    let assessment =
        input.assessment_id.map(|id| AssessmentId::parse(&id, "assessmentId")).transpose()?;
    let new = NewItem {
        id: ItemId::from_uuid(Uuid::now_v7()),
        kind: input.kind.into(),
        title: input.title,
        required: input.required,
        position: input.position,
        url: input.url,
        video_id: video,
        assessment_id: assessment,
    };
    let action = CourseAction::AddItem { module_id, item: Box::new(new), video: None };
    Ok(item(call.command(&input.course_id, input.expected_version, action).await?))
}

async fn update(call: Call<'_>, input: UpdateModuleItemInput) -> Done<ModuleItem> {
    let patch = ItemPatch {
        title: patch(input.title, |title| title),
        required: patch(input.required, |required| required),
        url: patch(input.url, |url| url),
        state: patch(input.state, DomainState::from),
    };
    let item_id = ItemId::parse(&input.module_item_id, "moduleItemId")?;
    let action = CourseAction::UpdateItem { item_id, patch };
    Ok(item(call.command(&input.course_id, input.expected_version, action).await?))
}

async fn remove(call: Call<'_>, input: RemoveModuleItemInput) -> Done<Module> {
    let item_id = ItemId::parse(&input.module_item_id, "moduleItemId")?;
    let action = CourseAction::RemoveItem { item_id };
    Ok(module(call.command(&input.course_id, input.expected_version, action).await?))
}

async fn reorder(call: Call<'_>, input: ReorderModuleItemsInput) -> Done<Module> {
    let module_id = ModuleId::parse(&input.module_id, "moduleId")?;
    let ids = input.module_item_ids.iter().map(|id| ItemId::parse(id, "moduleItemIds"));
    let item_ids = ids.collect::<Result<_, _>>()?;
    let action = CourseAction::ReorderItems { module_id, item_ids };
    Ok(module(call.command(&input.course_id, input.expected_version, action).await?))
}

/// The item that a command was about.
fn item(answer: Answer) -> (Option<ModuleItem>, Position) {
    let (position, part) = (answer.position, answer.part.clone());
    let item = answer.course().zip(part).and_then(|(course, id)| {
        let (module, index) = course.modules.iter().find_map(|module| {
            let index = module.items.iter().position(|item| item.id.as_str() == id)?;
            Some((module, index))
        })?;
        Some(ModuleItem::committed(&course, &module.id, index, &module.items[index], position))
    });
    (item, position)
}

//! Mutations of modules. They name the course too: the write side looks nothing up in a read model.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, Result};
use uuid::Uuid;

use super::call::{Call, Done};
use super::{input, payload};
use crate::commands::Answer;
use crate::domain::ModuleId;
use crate::domain::course::{CourseAction, ModulePatch, PublicationState as DomainState};
use crate::event_store::Position;
use crate::graphql::course::Course;
use crate::graphql::input::patch;
use crate::graphql::module::{Module, PublicationState};

input! {
    /// A module to be added.
    AddModuleInput {
        /// The course.
        course_id: ID,
        /// The course's version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
        /// 1 to 255 characters.
        title: String,
        /// At most 16 KiB.
        summary: Option<String>,
        /// Where to insert it, from 0; by default behind the last.
        position: Option<i64>,
    }
}

input! {
    /// Changes of a module: what is absent stays, null clears.
    UpdateModuleInput {
        /// The course.
        course_id: ID,
        /// The course's version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
        /// The module.
        module_id: ID,
        /// 1 to 255 characters.
        title: MaybeUndefined<String>,
        /// At most 16 KiB.
        summary: MaybeUndefined<String>,
        /// Whether it shows.
        state: MaybeUndefined<PublicationState>,
    }
}

input! {
    /// A module to be removed, with its items.
    RemoveModuleInput {
        /// The course.
        course_id: ID,
        /// The course's version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
        /// The module.
        module_id: ID,
    }
}
input! {
    /// The order of the modules of a course.
    ReorderModulesInput {
        /// The course.
        course_id: ID,
        /// The course's version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
        /// All modules of the course, in their new order.
        module_ids: Vec<ID>,
    }
}

payload! {
    /// What became of `addModule`.
    AddModulePayload,
    /// The new module.
    module: Module
}
payload! {
    /// What became of `updateModule`.
    UpdateModulePayload,
    /// The module after the change.
    module: Module
}
payload! {
    /// What became of `removeModule`.
    RemoveModulePayload,
    /// The course after the change.
    course: Course
}
payload! {
    /// What became of `reorderModules`.
    ReorderModulesPayload,
    /// The course after the change.
    course: Course
}

/// Mutations of modules.
#[derive(Default)]
pub(super) struct ModuleMutation;

#[Object]
impl ModuleMutation {
    /// Adds a module, which shows at once: add it to a draft, or hide it with `updateModule`. Published on Module-Creation.
    async fn add_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course and the new module")] input: AddModuleInput,
    ) -> Result<AddModulePayload> {
        let call = Call::new(ctx, input.idempotency_key)?;
        let action = CourseAction::AddModule {
            module_id: ModuleId::from_uuid(Uuid::now_v7()),
            title: input.title,
            summary: input.summary,
            position: input.position,
        };
        let done = call.command(&input.course_id, input.expected_version, action).await;
        AddModulePayload::of(done.map(module), input.client_mutation_id)
    }

    /// Changes a module. Published on Module-Update.
    async fn update_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module and what to change")] input: UpdateModuleInput,
    ) -> Result<UpdateModulePayload> {
        let call = Call::new(ctx, input.idempotency_key.clone())?;
        let mutation = input.client_mutation_id.clone();
        UpdateModulePayload::of(update(call, input).await, mutation)
    }

    /// Removes a module with its items. Published on Module-Update, with the status REMOVED.
    async fn remove_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module")] input: RemoveModuleInput,
    ) -> Result<RemoveModulePayload> {
        let call = Call::new(ctx, input.idempotency_key.clone())?;
        let mutation = input.client_mutation_id.clone();
        RemoveModulePayload::of(remove(call, input).await, mutation)
    }

    /// Puts all modules of a course into another order. Published on Course-Update.
    async fn reorder_modules(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course and the order")] input: ReorderModulesInput,
    ) -> Result<ReorderModulesPayload> {
        let call = Call::new(ctx, input.idempotency_key.clone())?;
        let mutation = input.client_mutation_id.clone();
        ReorderModulesPayload::of(reorder(call, input).await, mutation)
    }
}

async fn update(call: Call<'_>, input: UpdateModuleInput) -> Done<Module> {
    let patch = ModulePatch {
        title: patch(input.title, |title| title),
        summary: patch(input.summary, |text| text),
        state: patch(input.state, DomainState::from),
    };
    let module_id = ModuleId::parse(&input.module_id, "moduleId")?;
    let action = CourseAction::UpdateModule { module_id, patch };
    Ok(module(call.command(&input.course_id, input.expected_version, action).await?))
}

async fn remove(call: Call<'_>, input: RemoveModuleInput) -> Done<Course> {
    let module_id = ModuleId::parse(&input.module_id, "moduleId")?;
    let action = CourseAction::RemoveModule { module_id };
    call.change(&input.course_id, input.expected_version, action).await
}

async fn reorder(call: Call<'_>, input: ReorderModulesInput) -> Done<Course> {
    let ids = input.module_ids.iter().map(|id| ModuleId::parse(id, "moduleIds"));
    let action = CourseAction::ReorderModules { module_ids: ids.collect::<Result<_, _>>()? };
    call.change(&input.course_id, input.expected_version, action).await
}

/// The module that a command was about.
pub(super) fn module(answer: Answer) -> (Option<Module>, Position) {
    let Answer { position, part, .. } = &answer;
    let (position, part) = (*position, part.clone());
    let module = answer.course().zip(part).and_then(|(course, id)| {
        let index = course.modules.iter().position(|module| module.id.as_str() == id)?;
        Some(Module::committed(&course.id, index, &course.modules[index], position))
    });
    (module, position)
}

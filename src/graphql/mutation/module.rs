//! Mutations of modules. They name the course too: the write side looks nothing up in a read model.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, Result};
use uuid::Uuid;

use super::course::Call;
use super::payload;
use crate::commands::CommandError;
use crate::domain::course::{
    CourseAction, CourseCommand, ModulePatch, PublicationState as DomainState,
};
use crate::domain::{CourseId, ModuleId};
use crate::event_store::Position;
use crate::graphql::input::{patch, version};
use crate::graphql::module::{Module, PublicationState};

/// A module to be added.
#[derive(InputObject)]
pub(super) struct AddModuleInput {
    /// Comes back in the payload.
    client_mutation_id: Option<String>,
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

/// Changes of a module: what is absent stays, null clears.
#[derive(InputObject)]
pub(super) struct UpdateModuleInput {
    /// Comes back in the payload.
    client_mutation_id: Option<String>,
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

/// Mutations of modules.
#[derive(Default)]
pub(super) struct ModuleMutation;

#[Object]
impl ModuleMutation {
    /// Adds a module. Published on Module-Creation.
    async fn add_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new module and its course")] input: AddModuleInput,
    ) -> Result<AddModulePayload> {
        let call = Call::new(ctx)?;
        let module_id = ModuleId::from_uuid(Uuid::now_v7());
        let action = CourseAction::AddModule {
            module_id: module_id.clone(),
            title: input.title,
            summary: input.summary,
            position: input.position,
        };
        let done = change(call, &input.course_id, input.expected_version, &module_id, action).await;
        AddModulePayload::of(done, input.client_mutation_id)
    }

    /// Changes a module. Published on Module-Update.
    async fn update_module(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The module and what to change")] input: UpdateModuleInput,
    ) -> Result<UpdateModulePayload> {
        let call = Call::new(ctx)?;
        let changes = ModulePatch {
            title: patch(input.title, |title| title),
            summary: patch(input.summary, |text| text),
            state: patch(input.state, DomainState::from),
        };
        let done =
            update(call, &input.course_id, input.expected_version, &input.module_id, changes);
        UpdateModulePayload::of(done.await, input.client_mutation_id)
    }
}

type Done = Result<(Option<Module>, Position), CommandError>;

async fn update(
    call: Call<'_>,
    course: &ID,
    expected: Option<i64>,
    module: &ID,
    patch: ModulePatch,
) -> Done {
    let module_id = ModuleId::parse(module, "moduleId")?;
    let action = CourseAction::UpdateModule { module_id: module_id.clone(), patch };
    change(call, course, expected, &module_id, action).await
}

async fn change(
    call: Call<'_>,
    course: &ID,
    expected: Option<i64>,
    module: &ModuleId,
    action: CourseAction,
) -> Done {
    let course_id = CourseId::parse(course, "courseId")?;
    let expected_version = version(expected)?;
    let command = CourseCommand { actor: call.actor, expected_version, action };
    let answer = call.commands.course(course_id.clone(), command, call.metadata).await?;
    let position = answer.position;
    let module = answer.course().and_then(|course| {
        let index = course.modules.iter().position(|known| known.id == *module)?;
        Some(Module::committed(&course_id, index, &course.modules[index], position))
    });
    Ok((module, position))
}

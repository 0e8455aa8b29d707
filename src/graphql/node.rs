//! Objects by their global id, as Relay wants them.

use async_graphql::{Context, ID, Interface, Result};

use super::course::{Course, visible_course};
use super::enrollment::{Enrollment, visible_enrollment};
use super::history::{DomainEvent, visible_event};
use super::incoming::{DeadLetter, ParkedMessage, visible_dead_letter, visible_parked_message};
use super::module::{Module, visible_module};
use super::module_item::{ModuleItem, visible_item};
use crate::domain::EnrollmentId;

/// An object with a global id.
#[derive(Interface)]
#[graphql(field(
    name = "id",
    ty = "&ID",
    desc = "The same id in GraphQL, on Kafka and in the log."
))]
pub(super) enum Node {
    /// A course.
    Course(Box<Course>),
    /// A module.
    Module(Box<Module>),
    /// A module item.
    ModuleItem(Box<ModuleItem>),
    /// An enrollment.
    Enrollment(Box<Enrollment>),
    /// An incoming message that could not become a command.
    DeadLetter(Box<DeadLetter>),
    /// An incoming message that waits.
    ParkedMessage(Box<ParkedMessage>),
    /// Something that happened to a course or an enrollment.
    DomainEvent(Box<DomainEvent>),
}

/// The object with this id that the caller may see. Whatever the id is of, all kinds are read at once, together with
/// those of other ids.
pub(super) async fn node(ctx: &Context<'_>, id: &str) -> Result<Option<Node>> {
    let enrollment = async {
        match EnrollmentId::parse(id, "id") {
            Ok(id) => visible_enrollment(ctx, &id).await,
            Err(_) => Ok(None),
        }
    };
    let (course, module, item, enrollment, letter, parked, event) = futures::try_join!(
        visible_course(ctx, id),
        visible_module(ctx, id),
        visible_item(ctx, id),
        enrollment,
        visible_dead_letter(ctx, id),
        visible_parked_message(ctx, id),
        visible_event(ctx, id)
    )?;
    // The ids of courses may be chosen by who creates them: one that is also of something else stays that one's.
    let module = module.map(|module| Node::Module(Box::new(module)));
    Ok(module
        .or(item.map(|item| Node::ModuleItem(Box::new(item))))
        .or(enrollment.map(|enrollment| Node::Enrollment(Box::new(enrollment))))
        .or(letter.map(|letter| Node::DeadLetter(Box::new(letter))))
        .or(parked.map(|parked| Node::ParkedMessage(Box::new(parked))))
        .or(event.map(|event| Node::DomainEvent(Box::new(event))))
        .or(course.map(|course| Node::Course(Box::new(course)))))
}

//! What a command means for a course.

mod details;
mod items;
mod lifecycle;
mod modules;
mod reports;

use std::collections::HashSet;
use std::hash::Hash;

pub use self::reports::AssessmentPatch;
use super::command::{CourseAction, CourseCommand};
use super::event::CourseEvent;
use super::{Course, CourseStatus};
use crate::domain::refusal::Refusal;
use crate::domain::values::{self, Patch};

type Decision = Result<Vec<CourseEvent>, Refusal>;

impl Course {
    /// Decides what `command` means for this course. Pure and total: who may not do it hears so before
    /// anything about the course's state; a command that changes nothing is an empty list.
    pub fn decide(&self, command: &CourseCommand) -> Decision {
        if !matches!(command.action, CourseAction::Create { .. }) {
            self.check_changeable_by(&command.actor)?;
            if let Some(expected) = command.expected_version.filter(|v| *v != self.version) {
                let (object, actual) = ("course", self.version);
                return Err(Refusal::VersionConflict { object, expected, actual });
            }
        }
        match &command.action {
            CourseAction::Create { course, code_owner } => {
                self.create(&command.actor, course, code_owner.as_ref())
            }
            CourseAction::Update { patch, code_owner } => self.update(patch, code_owner.as_ref()),
            CourseAction::AssignInstructor { instructor_id } => {
                self.assign_instructor(instructor_id)
            }
            CourseAction::RemoveInstructor { instructor_id } => {
                self.remove_instructor(instructor_id)
            }
            CourseAction::Publish => self.publish(),
            CourseAction::Unpublish { seats_taken, waiting } => {
                self.unpublish(*seats_taken, *waiting)
            }
            CourseAction::Archive => self.archive(),
            CourseAction::Restore => self.restore(),
            CourseAction::Delete { force, reason, seats_taken } => {
                self.delete(*force, reason.as_deref(), *seats_taken)
            }
            CourseAction::AddModule { module_id, title, summary, position } => {
                self.add_module(module_id, title, summary.as_deref(), *position)
            }
            CourseAction::UpdateModule { module_id, patch } => self.update_module(module_id, patch),
            CourseAction::RemoveModule { module_id } => self.remove_module(module_id),
            CourseAction::ReorderModules { module_ids } => self.reorder_modules(module_ids),
            CourseAction::AddItem { module_id, item, video } => {
                self.add_item(module_id, item, video.as_ref())
            }
            CourseAction::UpdateItem { item_id, patch } => self.update_item(item_id, patch),
            CourseAction::RemoveItem { item_id } => self.remove_item(item_id),
            CourseAction::ReorderItems { module_id, item_ids } => {
                self.reorder_items(module_id, item_ids)
            }
        }
    }

    fn check_not_deleted(&self, verb: &'static str) -> Result<(), Refusal> {
        if self.status == CourseStatus::Deleted { Err(self.illegal(verb)) } else { Ok(()) }
    }

    fn illegal(&self, verb: &'static str) -> Refusal {
        Refusal::IllegalTransition { object: "course", status: self.status.as_str(), verb }
    }
}

/// Refuses a course that does not fit into a Kafka record: a lawful one can always be published.
fn check_course_fits(outgoing_bytes: usize) -> Result<(), Refusal> {
    check_fits(outgoing_bytes, "course")
}

/// The same for a module, which has records of its own.
fn check_module_fits(outgoing_bytes: usize) -> Result<(), Refusal> {
    check_fits(outgoing_bytes, "module")
}

fn check_fits(outgoing_bytes: usize, field: &'static str) -> Result<(), Refusal> {
    if outgoing_bytes <= values::MAX_OUTGOING_BYTES {
        return Ok(());
    }
    Err(Refusal::LimitExceeded { field, rule: "its JSON must stay within 240 KiB" })
}

/// The place in a list of `count` entries that is asked for; absent is the end.
fn place(wanted: Option<i64>, count: usize, rule: &'static str) -> Result<u32, Refusal> {
    let index = match wanted {
        None => Some(count),
        Some(wanted) => usize::try_from(wanted).ok().filter(|index| *index <= count),
    };
    index.and_then(|index| u32::try_from(index).ok()).ok_or(Refusal::invalid("position", rule))
}

/// Whether `wanted` names each of `current` once and nothing else.
fn is_permutation<I: Eq + Hash>(wanted: &[I], current: &HashSet<&I>) -> bool {
    let named: HashSet<&I> = wanted.iter().collect();
    wanted.len() == current.len() && named == *current
}

/// The new value of what has always one.
fn changed<T: Clone + PartialEq>(
    patch: &Patch<T>,
    current: &T,
    field: &'static str,
) -> Result<Option<T>, Refusal> {
    match patch {
        Patch::Keep => Ok(None),
        Patch::Clear => Err(Refusal::invalid(field, "cannot be null")),
        Patch::Set(value) => Ok((value != current).then(|| value.clone())),
    }
}

fn changed_text(
    patch: &Patch<String>,
    current: &String,
    field: &'static str,
    check: fn(&str) -> Result<(), Refusal>,
) -> Result<Option<String>, Refusal> {
    if let Patch::Set(text) = patch {
        check(text)?;
    }
    changed(patch, current, field)
}

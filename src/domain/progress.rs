//! What a student has done of a course: items are completed one by one.

use super::actor::{Actor, Role};
use super::course::{Course, CourseStatus, PublicationState};
use super::enrollment::EnrollmentCommand;
use super::ids::{ItemId, UserId};
use super::refusal::Refusal;
use super::registration::{Changes, Room, Undecided};

/// A student is done with an item.
#[derive(Debug, Clone, PartialEq)]
pub struct CompleteItem {
    /// Who says so.
    pub actor: Actor,
    /// Who is done.
    pub student: UserId,
    /// With what.
    pub item: ItemId,
    /// The version of the enrollment that the caller has seen; another one is a CONFLICT.
    pub expected_version: Option<u64>,
}

impl Room<'_> {
    /// A student is done with an item that they can see, while the course is published and they have a seat.
    pub fn complete_item(&self, command: &CompleteItem) -> Result<Changes, Undecided> {
        let CompleteItem { actor, student, item, expected_version } = command;
        let manages = actor.admin() || self.course.taught_by(actor);
        let own = actor.id == *student && actor.role != Role::Other;
        if !manages && !own {
            if !self.course.visible_to(actor) {
                return Err(Refusal::course_not_found().into());
            }
            let rule = "students complete only their own items, the course's instructors and admins anybody's";
            return Err(Refusal::Forbidden { rule }.into());
        }
        let enrollment = self.known(student)?;
        if enrollment.version == 0 && !self.course.visible_to(actor) {
            return Err(Refusal::course_not_found().into());
        }
        enrollment.check_version(*expected_version)?;
        enrollment.check_seat()?;
        if self.course.status != CourseStatus::Published {
            return Err(Refusal::CourseNotPublished.into());
        }
        if !self.course.shows(item, manages) {
            return Err(Refusal::item_not_found().into());
        }
        let events = enrollment.decide(&EnrollmentCommand::CompleteItem { item: item.clone() })?;
        let enrollments =
            if events.is_empty() { Vec::new() } else { vec![(student.clone(), events)] };
        Ok(Changes { enrollments, ..Changes::default() })
    }
}

impl Course {
    /// Whether the course has the item and, for one who does not manage the course, shows it.
    fn shows(&self, item: &ItemId, manages: bool) -> bool {
        self.item(item).is_some_and(|(module, item)| {
            let published = PublicationState::Published;
            manages || (module.state == published && item.state == published)
        })
    }
}

#[cfg(test)]
mod tests;

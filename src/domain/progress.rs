//! What a student has done of a course: items are completed one by one, assessments are submitted and graded, and
//! when all that is required is done well enough, the enrollment is completed.

use cqrs_es::Aggregate;

use super::actor::{Actor, Role};
use super::course::{Course, CourseStatus, PublicationState};
use super::enrollment::{Enrollment, EnrollmentCommand};
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
        let command = EnrollmentCommand::CompleteItem { item: item.clone() };
        self.progress(student, enrollment, &command)
    }

    /// What another service reports of a student's work: a fact, also of a student who has left. The enrollment must
    /// exist.
    pub fn record(
        &self,
        student: &UserId,
        command: &EnrollmentCommand,
    ) -> Result<Changes, Undecided> {
        let enrollment = self.known(student)?;
        if enrollment.version == 0 {
            return Err(Refusal::NotEnrolled.into());
        }
        self.progress(student, enrollment, command)
    }

    /// Whatever happens to an enrollment may complete it.
    fn progress(
        &self,
        student: &UserId,
        enrollment: &Enrollment,
        command: &EnrollmentCommand,
    ) -> Result<Changes, Undecided> {
        let mut events = enrollment.decide(command)?;
        if events.is_empty() {
            return Ok(Changes::default());
        }
        let mut after = enrollment.clone();
        for event in &events {
            after.apply(event.clone());
        }
        if let Some(final_score) = self.course.completes(&after) {
            events.extend(after.decide(&EnrollmentCommand::Complete { final_score })?);
        }
        let enrollments = vec![(student.clone(), events)];
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

//! Commands that concern several streams of one course, decided as one: a course's lifecycle moves its seats, a seat
//! moves enrollments. Pure; the append makes the parts one transaction.

use std::borrow::Cow;

use cqrs_es::Aggregate;

use chrono::{DateTime, Utc};

use super::actor::{Actor, Role};
use super::course::{Course, CourseCommand, CourseEvent};
use super::enrollment::{Enrollment, EnrollmentCommand, EnrollmentEvent, EnrollmentStatus, Via};
use super::ids::{CourseId, UserId};
use super::refusal::Refusal;
use super::seats::{Seats, SeatsCommand, SeatsEvent};
use super::values;

/// The events of one decision, stream by stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Changes {
    /// For the course's stream.
    pub course: Vec<CourseEvent>,
    /// For its seats' stream.
    pub seats: Vec<SeatsEvent>,
    /// For enrollments, by student.
    pub enrollments: Vec<(UserId, Vec<EnrollmentEvent>)>,
}

/// Why there is no decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Undecided {
    /// The answer is no.
    Refused(Refusal),
    /// The enrollments of these students must be looked up first.
    Needs(Vec<UserId>),
}

impl From<Refusal> for Undecided {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A student is to be enrolled.
#[derive(Debug, Clone, PartialEq)]
pub struct Enroll {
    /// Who asks.
    pub actor: Actor,
    /// Who is to be enrolled.
    pub student: UserId,
    /// Whether they would wait for a seat.
    pub join_waitlist: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// A student is to be withdrawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Withdraw {
    /// Who asks.
    pub actor: Actor,
    /// Who leaves.
    pub student: UserId,
    /// Why.
    pub reason: Option<String>,
    /// The version of the enrollment that the caller has seen; another one is a CONFLICT.
    pub expected_version: Option<u64>,
}

/// What the decisions of one course stand on.
pub struct Room<'a> {
    /// The course's id, also where there is no such course.
    pub id: &'a CourseId,
    /// Its content.
    pub course: &'a Course,
    /// Its seats.
    pub seats: &'a Seats,
    /// The enrollment of a student, where it was looked up.
    pub enrollment: &'a dyn Fn(&UserId) -> Option<&'a Enrollment>,
}

/// Whether what the actor may do with enrollments hangs on who teaches the course.
pub fn acts_as_instructor(actor: &Actor) -> bool {
    actor.role == Role::Instructor
}

impl Room<'_> {
    /// A command to the course, and what it means for seats and enrollments.
    pub fn change_course(&self, command: &CourseCommand) -> Result<Changes, Undecided> {
        let course = self.course.decide(command)?;
        let mut changes = Changes::default();
        let mut seats = Cow::Borrowed(self.seats);
        for event in &course {
            let Some(command) = seats_command(event, self.course) else { continue };
            for event in seats.decide(&command)? {
                self.promote(event.promoted(), &mut changes)?;
                seats.to_mut().apply(event.clone());
                changes.seats.push(event);
            }
        }
        changes.course = course;
        Ok(changes)
    }

    /// A student takes a seat or joins the waitlist.
    pub fn enroll(&self, command: &Enroll) -> Result<Changes, Undecided> {
        let Enroll { actor, student, join_waitlist, at } = command;
        self.check_enrollable_by(actor, student)?;
        if self.seats.version == 0 {
            return Err(Refusal::course_not_found().into());
        }
        let enrollment = self.known(student)?;
        enrollment.check_free_to_enroll()?;
        let take =
            SeatsCommand::Take { student: student.clone(), at: *at, join_waitlist: *join_waitlist };
        let seats = self.seats.decide(&take)?;
        let (course_id, student_id) = (self.id.clone(), student.clone());
        let command = if matches!(seats.as_slice(), [SeatsEvent::SeatTaken { .. }]) {
            EnrollmentCommand::Activate { course_id, student_id }
        } else {
            EnrollmentCommand::Waitlist { course_id, student_id }
        };
        let events = enrollment.decide(&command)?;
        Ok(Changes { seats, enrollments: vec![(student.clone(), events)], ..Changes::default() })
    }

    /// A student gives their seat or their place on the waitlist back; the first who waits gets the seat.
    pub fn withdraw(&self, command: &Withdraw) -> Result<Changes, Undecided> {
        let Withdraw { actor, student, reason, expected_version } = command;
        let own = actor.id == *student && actor.role != Role::Other;
        if !(actor.admin() || own || self.course.taught_by(actor)) {
            return Err(Refusal::enrollment_not_found().into());
        }
        reason.as_deref().map_or(Ok(()), values::reason)?;
        let enrollment = self.known(student)?;
        enrollment.check_version(*expected_version)?;
        let events = enrollment.decide(&EnrollmentCommand::Withdraw { reason: reason.clone() })?;
        let mut changes = Changes::default();
        if events.is_empty() {
            return Ok(changes);
        }
        let student_left = student.clone();
        let give_back = match enrollment.status {
            EnrollmentStatus::Waitlisted => SeatsCommand::LeaveWaitlist { student: student_left },
            _ => SeatsCommand::Release { student: student_left },
        };
        changes.seats = self.seats.decide(&give_back)?;
        changes.enrollments.push((student.clone(), events));
        let promoted: Vec<UserId> =
            changes.seats.iter().flat_map(SeatsEvent::promoted).cloned().collect();
        self.promote(&promoted, &mut changes)?;
        Ok(changes)
    }

    fn check_enrollable_by(&self, actor: &Actor, student: &UserId) -> Result<(), Refusal> {
        match actor.role {
            Role::Admin => Ok(()),
            Role::Student if actor.id == *student => Ok(()),
            Role::Student => Err(Refusal::Forbidden { rule: "students enroll only themselves" }),
            Role::Instructor => self.course.check_changeable_by(actor),
            Role::Other => Err(Refusal::Forbidden {
                rule: "only students, instructors of the course and admins enroll",
            }),
        }
    }

    pub(super) fn known(&self, student: &UserId) -> Result<&Enrollment, Undecided> {
        (self.enrollment)(student).ok_or_else(|| Undecided::Needs(vec![student.clone()]))
    }

    fn promote(&self, students: &[UserId], changes: &mut Changes) -> Result<(), Undecided> {
        let unknown: Vec<UserId> =
            students.iter().filter(|s| (self.enrollment)(s).is_none()).cloned().collect();
        if !unknown.is_empty() {
            return Err(Undecided::Needs(unknown));
        }
        for student in students {
            let events = self.known(student)?.decide(&EnrollmentCommand::Promote);
            // At every point of the log who waits by the seats waits by their enrollment. Where the two disagree one
            // of them is an old guess. A refusal would not be held against this enrollment, so there must be none: what
            // is decided instead can't be appended, and is decided again on what the append knows better.
            let events = events.unwrap_or_else(|_| {
                let (course_id, student_id) = (self.id.clone(), student.clone());
                let via = Via::Waitlist;
                vec![EnrollmentEvent::StudentEnrolled { course_id, student_id, via }]
            });
            changes.enrollments.push((student.clone(), events));
        }
        Ok(())
    }
}

/// What an event of the course asks of its seats. No command changes the window of a course twice.
fn seats_command(event: &CourseEvent, before: &Course) -> Option<SeatsCommand> {
    match event {
        CourseEvent::CourseCreated {
            capacity, enrollment_opens_at, enrollment_closes_at, ..
        } => Some(SeatsCommand::Define {
            capacity: *capacity,
            opens_at: *enrollment_opens_at,
            closes_at: *enrollment_closes_at,
        }),
        CourseEvent::CoursePublished {} | CourseEvent::CourseRestored {} => {
            Some(SeatsCommand::Open)
        }
        CourseEvent::CourseUnpublished {}
        | CourseEvent::CourseArchived {}
        | CourseEvent::CourseDeleted { .. } => Some(SeatsCommand::Close),
        CourseEvent::CourseScheduleChanged {
            enrollment_opens_at, enrollment_closes_at, ..
        } => Some(SeatsCommand::SetWindow {
            opens_at: enrollment_opens_at.unwrap_or(before.enrollment_opens_at),
            closes_at: enrollment_closes_at.unwrap_or(before.enrollment_closes_at),
        }),
        CourseEvent::CourseCapacityChanged { capacity } => {
            Some(SeatsCommand::SetCapacity { capacity: *capacity })
        }
        CourseEvent::CourseDetailsChanged { .. }
        | CourseEvent::InstructorAssigned { .. }
        | CourseEvent::InstructorRemoved { .. }
        | CourseEvent::ModuleAdded { .. }
        | CourseEvent::ModuleDetailsChanged { .. }
        | CourseEvent::ModuleRemoved { .. }
        | CourseEvent::ModulesReordered { .. }
        | CourseEvent::ModuleItemAdded { .. }
        | CourseEvent::ModuleItemChanged { .. }
        | CourseEvent::ModuleItemRemoved { .. }
        | CourseEvent::ModuleItemsReordered { .. }
        | CourseEvent::AssessmentAttached { .. }
        | CourseEvent::AssessmentChanged { .. }
        | CourseEvent::VideoTranscoded { .. }
        | CourseEvent::VideoTranscodingFailed { .. } => None,
    }
}

#[cfg(test)]
mod tests;

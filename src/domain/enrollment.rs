//! One student's history in one course: `∅ → ACTIVE | WAITLISTED`, `WAITLISTED → ACTIVE | WITHDRAWN`,
//! `ACTIVE → WITHDRAWN | COMPLETED`, `WITHDRAWN → ACTIVE | WAITLISTED`. Results of assessments are facts: they are
//! recorded wherever the enrollment stands.

mod result;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

pub use self::result::{AssessmentResult, Grade, Submission};
use super::ids::{AssessmentId, CourseId, ItemId, SubmissionId, UserId};
use super::refusal::Refusal;

/// Where an enrollment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EnrollmentStatus {
    /// There is no such enrollment.
    #[default]
    Missing,
    /// The student waits for a seat.
    Waitlisted,
    /// The student has a seat.
    Active,
    /// The student left.
    Withdrawn,
    /// The student did what the course requires; the seat stays theirs. Final.
    Completed,
}

impl EnrollmentStatus {
    /// The status as it stands on Kafka and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "MISSING",
            Self::Waitlisted => "WAITLISTED",
            Self::Active => "ACTIVE",
            Self::Withdrawn => "WITHDRAWN",
            Self::Completed => "COMPLETED",
        }
    }
}

/// How an enrollment became active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Via {
    /// A seat was free.
    Direct,
    /// Off the waitlist.
    Waitlist,
    /// A seat was free for a student who had withdrawn.
    Reactivation,
}

/// What is asked of an enrollment. Whether a seat is free is the seats' answer, not the enrollment's.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of the enrollment")]
pub enum EnrollmentCommand {
    /// A seat was free.
    Activate { course_id: CourseId, student_id: UserId },
    /// None was, and the student waits.
    Waitlist { course_id: CourseId, student_id: UserId },
    /// A seat became free for a student who waits.
    Promote,
    /// The student leaves.
    Withdraw { reason: Option<String> },
    /// The student is done with an item.
    CompleteItem { item: ItemId },
    /// The student submitted an assessment.
    RecordSubmission { assessment: AssessmentId, submission: Submission },
    /// An assessment of the student was graded. `newest` says whether no newer grade was reported before.
    RecordGrade { assessment: AssessmentId, grade: Grade, newest: bool },
    /// The student did what the course requires.
    Complete { final_score: f64 },
}

/// A stored fact about an enrollment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the enrollment")]
pub enum EnrollmentEvent {
    /// The student has a seat from now on.
    StudentEnrolled { course_id: CourseId, student_id: UserId, via: Via },
    /// The student waits for a seat from now on.
    StudentWaitlisted { course_id: CourseId, student_id: UserId },
    /// The student left the course or its waitlist.
    StudentWithdrawn {
        course_id: CourseId,
        student_id: UserId,
        #[serde(default)]
        reason: Option<String>,
    },
    /// The student is done with an item of a module.
    ModuleItemCompleted { course_id: CourseId, student_id: UserId, item_id: ItemId },
    /// The student submitted an assessment, or a known submission was reported as an earlier one or another attempt.
    SubmissionRecorded {
        course_id: CourseId,
        student_id: UserId,
        assessment_id: AssessmentId,
        submission_id: SubmissionId,
        submitted_at: DateTime<Utc>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
    },
    /// An assessment of the student was graded for the first time.
    GradeRecorded {
        course_id: CourseId,
        student_id: UserId,
        assessment_id: AssessmentId,
        #[serde(flatten)]
        grade: Grade,
    },
    /// Another grade of a graded assessment: the one that counts from now on, unless it is `outdated`.
    GradeRevised {
        course_id: CourseId,
        student_id: UserId,
        assessment_id: AssessmentId,
        #[serde(flatten)]
        grade: Grade,
        #[serde(default)]
        outdated: bool,
    },
    /// The student did what the course requires, with this final score in percent.
    EnrollmentCompleted { course_id: CourseId, student_id: UserId, final_score: f64 },
}

impl EnrollmentEvent {
    /// The stored type name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StudentEnrolled { .. } => "StudentEnrolled",
            Self::StudentWaitlisted { .. } => "StudentWaitlisted",
            Self::StudentWithdrawn { .. } => "StudentWithdrawn",
            Self::ModuleItemCompleted { .. } => "ModuleItemCompleted",
            Self::SubmissionRecorded { .. } => "SubmissionRecorded",
            Self::GradeRecorded { .. } => "GradeRecorded",
            Self::GradeRevised { .. } => "GradeRevised",
            Self::EnrollmentCompleted { .. } => "EnrollmentCompleted",
        }
    }
}

impl DomainEvent for EnrollmentEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// The state of an enrollment: the fold of its stream.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Enrollment {
    /// The number of events so far.
    pub version: u64,
    /// The course.
    pub course_id: CourseId,
    /// The student.
    pub student_id: UserId,
    /// Where it stands.
    pub status: EnrollmentStatus,
    /// The version that first enrolled or waitlisted the student in the current run.
    pub requested_in: u64,
    /// The version that gave the student the current or last seat.
    pub enrolled_in: Option<u64>,
    /// The version that withdrew the student, where they are withdrawn.
    pub withdrawn_in: Option<u64>,
    /// The items that the student is done with, also those that the course no longer has.
    pub completed: BTreeSet<ItemId>,
    /// The version that completed an item last.
    pub active_in: Option<u64>,
    /// The student's work on assessments.
    pub results: BTreeMap<AssessmentId, AssessmentResult>,
    /// The version that completed the enrollment.
    pub completed_in: Option<u64>,
}

impl Enrollment {
    /// Refuses a student who has a seat or waits for one.
    pub fn check_free_to_enroll(&self) -> Result<(), Refusal> {
        match self.status {
            EnrollmentStatus::Missing | EnrollmentStatus::Withdrawn => Ok(()),
            EnrollmentStatus::Waitlisted
            | EnrollmentStatus::Active
            | EnrollmentStatus::Completed => Err(Refusal::AlreadyEnrolled),
        }
    }

    /// Refuses where the caller has seen another version.
    pub fn check_version(&self, expected: Option<u64>) -> Result<(), Refusal> {
        match expected {
            Some(expected) if expected != self.version => {
                let (object, actual) = ("enrollment", self.version);
                Err(Refusal::VersionConflict { object, expected, actual })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a student who has no seat.
    pub fn check_seat(&self) -> Result<(), Refusal> {
        match self.status {
            EnrollmentStatus::Active | EnrollmentStatus::Completed => Ok(()),
            EnrollmentStatus::Missing
            | EnrollmentStatus::Waitlisted
            | EnrollmentStatus::Withdrawn => Err(Refusal::NotEnrolled),
        }
    }

    /// Decides what `command` means. Pure and total.
    pub fn decide(&self, command: &EnrollmentCommand) -> Result<Vec<EnrollmentEvent>, Refusal> {
        let event = match command {
            EnrollmentCommand::Activate { course_id, student_id } => {
                self.check_free_to_enroll()?;
                let again = self.status == EnrollmentStatus::Withdrawn;
                EnrollmentEvent::StudentEnrolled {
                    course_id: course_id.clone(),
                    student_id: student_id.clone(),
                    via: if again { Via::Reactivation } else { Via::Direct },
                }
            }
            EnrollmentCommand::Waitlist { course_id, student_id } => {
                self.check_free_to_enroll()?;
                EnrollmentEvent::StudentWaitlisted {
                    course_id: course_id.clone(),
                    student_id: student_id.clone(),
                }
            }
            EnrollmentCommand::Promote if self.status == EnrollmentStatus::Waitlisted => {
                EnrollmentEvent::StudentEnrolled {
                    course_id: self.course_id.clone(),
                    student_id: self.student_id.clone(),
                    via: Via::Waitlist,
                }
            }
            EnrollmentCommand::Promote => {
                return Err(Refusal::IllegalTransition {
                    object: "enrollment",
                    status: self.status.as_str(),
                    verb: "be promoted",
                });
            }
            EnrollmentCommand::Withdraw { reason } => match self.status {
                EnrollmentStatus::Missing => return Err(Refusal::NotEnrolled),
                EnrollmentStatus::Withdrawn => return Ok(Vec::new()),
                EnrollmentStatus::Completed => {
                    return Err(Refusal::IllegalTransition {
                        object: "enrollment",
                        status: self.status.as_str(),
                        verb: "be withdrawn",
                    });
                }
                EnrollmentStatus::Waitlisted | EnrollmentStatus::Active => {
                    EnrollmentEvent::StudentWithdrawn {
                        course_id: self.course_id.clone(),
                        student_id: self.student_id.clone(),
                        reason: reason.clone(),
                    }
                }
            },
            EnrollmentCommand::CompleteItem { item } => {
                self.check_seat()?;
                if self.completed.contains(item) {
                    return Ok(Vec::new());
                }
                EnrollmentEvent::ModuleItemCompleted {
                    course_id: self.course_id.clone(),
                    student_id: self.student_id.clone(),
                    item_id: item.clone(),
                }
            }
            EnrollmentCommand::RecordSubmission { assessment, submission } => {
                return Ok(self.record_submission(assessment, submission));
            }
            EnrollmentCommand::RecordGrade { assessment, grade, newest } => {
                return Ok(self.record_grade(assessment, grade, *newest));
            }
            EnrollmentCommand::Complete { final_score } => {
                if self.status != EnrollmentStatus::Active {
                    return Err(Refusal::IllegalTransition {
                        object: "enrollment",
                        status: self.status.as_str(),
                        verb: "be completed",
                    });
                }
                EnrollmentEvent::EnrollmentCompleted {
                    course_id: self.course_id.clone(),
                    student_id: self.student_id.clone(),
                    final_score: *final_score,
                }
            }
        };
        Ok(vec![event])
    }
}

impl Aggregate for Enrollment {
    const TYPE: &'static str = "enrollment"; // stored with every event: never rename
    type Command = EnrollmentCommand;
    type Event = EnrollmentEvent;
    type Error = Refusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: EnrollmentCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refusal> {
        for event in self.decide(&command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: EnrollmentEvent) {
        self.version += 1;
        match event {
            EnrollmentEvent::StudentEnrolled { course_id, student_id, via } => {
                self.course_id = course_id;
                self.student_id = student_id;
                self.status = EnrollmentStatus::Active;
                if via != Via::Waitlist {
                    self.requested_in = self.version;
                }
                self.enrolled_in = Some(self.version);
                self.withdrawn_in = None;
            }
            EnrollmentEvent::StudentWaitlisted { course_id, student_id } => {
                self.course_id = course_id;
                self.student_id = student_id;
                self.status = EnrollmentStatus::Waitlisted;
                self.requested_in = self.version;
                self.enrolled_in = None;
                self.withdrawn_in = None;
            }
            EnrollmentEvent::StudentWithdrawn { .. } => {
                self.status = EnrollmentStatus::Withdrawn;
                self.withdrawn_in = Some(self.version);
            }
            EnrollmentEvent::ModuleItemCompleted { course_id, student_id, item_id } => {
                self.course_id = course_id;
                self.student_id = student_id;
                self.completed.insert(item_id);
                self.active_in = Some(self.version);
            }
            EnrollmentEvent::SubmissionRecorded {
                assessment_id,
                submission_id,
                submitted_at,
                attempt,
                ..
            } => {
                let result = self.results.entry(assessment_id).or_default();
                let known = result.submissions.entry(submission_id).or_insert(submitted_at);
                *known = submitted_at.min(*known);
                result.attempt = result.attempt.max(attempt.unwrap_or(0));
            }
            EnrollmentEvent::GradeRecorded { assessment_id, grade, .. } => {
                self.results.entry(assessment_id).or_default().grade = Some(grade);
            }
            EnrollmentEvent::GradeRevised { assessment_id, grade, outdated, .. } => {
                let result = self.results.entry(assessment_id).or_default();
                let older = if outdated { Some(grade) } else { result.grade.replace(grade) };
                result.older.extend(older);
            }
            EnrollmentEvent::EnrollmentCompleted { .. } => {
                self.status = EnrollmentStatus::Completed;
                self.completed_in = Some(self.version);
            }
        }
    }
}

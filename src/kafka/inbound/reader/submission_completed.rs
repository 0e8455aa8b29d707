//! Submission-Completed: a student submitted an assessment.

use super::Topic;
use super::envelope::{Envelope, Shape};
use super::field::{ASSESSMENT, Field, STUDENT, optional_course};
use super::freshness;
use super::poison::Poison;
use crate::domain::report::{Report, Stamp, SubmissionReport};
use crate::domain::{AssessmentId, SubmissionId, UserId};

pub(super) const TOPIC: Topic = Topic {
    shape: Shape { wrappers: &["submissionData"], named: "submission", ids: SUBMISSION.names },
    has_changes: false,
    times: &[
        "updatedAt",
        "modifiedAt",
        "submittedAt",
        "completedAt",
        "timestamp",
        "occurredAt",
        "createdAt",
    ],
    read: |envelope, stamp| read(envelope, stamp).map(Report::Submission),
};

const SUBMISSION: Field = Field { name: "submissionId", names: &["submissionId", "id", "_id"] };
const SUBMITTED: Field =
    Field { name: "submittedAt", names: &["submittedAt", "completedAt", "timestamp"] };
const ATTEMPT: Field = Field { name: "attempt", names: &["attempt", "attemptNumber", "attemptNo"] };
const LAST_ATTEMPT: u32 = 10_000;

fn read(envelope: &Envelope<'_>, stamp: Stamp) -> Result<SubmissionReport, Poison> {
    let submission = SUBMISSION.id(envelope, SubmissionId::parse)?;
    let assessment = ASSESSMENT.id(envelope, AssessmentId::parse)?;
    let student = STUDENT.id(envelope, UserId::parse)?;
    let submitted_at = envelope.best(SUBMITTED.names).map(|value| SUBMITTED.time(value));
    let attempt = envelope.find(ATTEMPT.names).map(|value| {
        ATTEMPT.whole(value, "must be a whole number from 1 to 10,000", 1..=LAST_ATTEMPT)
    });
    Ok(SubmissionReport {
        submission,
        assessment,
        student,
        course: optional_course(envelope)?,
        submitted_at: submitted_at.transpose()?.unwrap_or_else(|| freshness::time_of(stamp)),
        attempt: attempt.transpose()?,
    })
}

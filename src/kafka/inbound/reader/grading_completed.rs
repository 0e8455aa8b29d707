//! Grading-Completed: a result was graded, or graded again.

use serde_json::Value;

use super::Topic;
use super::envelope::{Envelope, Shape};
use super::field::{
    self, ASSESSMENT, Field, MAX_SCORE, MOST_POINTS, STUDENT, is_maximum, optional_course,
};
use super::freshness;
use super::poison::Poison;
use crate::domain::report::{GradeReport, Report, Stamp};
use crate::domain::{AssessmentId, SubmissionId, UserId};

pub(super) const TOPIC: Topic = Topic {
    shape: Shape {
        wrappers: &["gradingData", "gradeData", "grading"],
        named: "grading",
        ids: &[], // nothing refers to a grading
    },
    has_changes: false,
    times: &[
        "updatedAt",
        "modifiedAt",
        "gradedAt",
        "completedAt",
        "timestamp",
        "occurredAt",
        "createdAt",
    ],
    read: |envelope, stamp| read(envelope, stamp).map(Report::Grade),
};

const SUBMISSION: Field = Field { name: "submissionId", names: &["submissionId", "submission"] };
/// What is points or a letter, as it comes.
const GRADE: &str = "grade";
const SCORE: Field = Field { name: "score", names: &["score", "marks", "points", "obtainedMarks"] };
const PERCENTAGE: Field = Field { name: "percentage", names: &["percentage", "percent"] };
const LETTER: Field = Field { name: "letter", names: &["letter", "letterGrade", "gradeLetter"] };
const GRADED: Field = Field { name: "gradedAt", names: &["gradedAt"] };
const GRADER: Field = Field { name: "gradedBy", names: &["gradedBy", "graderId", "instructorId"] };

fn read(envelope: &Envelope<'_>, stamp: Stamp) -> Result<GradeReport, Poison> {
    let submission = SUBMISSION.optional_id(envelope, SubmissionId::parse)?;
    let assessment = ASSESSMENT.id(envelope, AssessmentId::parse)?;
    let student = STUDENT.id(envelope, UserId::parse)?;
    let grade = envelope.find(&[GRADE]);
    let (points, word) = match grade {
        Some(value) if is_word(value) => (None, grade),
        _ => (grade, None),
    };
    let points = envelope.find(&["score"]).or(points).or_else(|| envelope.find(SCORE.names));
    let score =
        points.map(|value| SCORE.number(value, "must be a number", |_| true)).transpose()?;
    let percentage = PERCENTAGE.optional_number(envelope, "must be a number", |_| true)?;
    let letter = envelope
        .find(LETTER.names)
        .or(word)
        .map(|value| LETTER.text(value, "must be 1 to 32 bytes", |text| text.len() <= 32));
    let letter = letter.transpose()?;
    if score.is_none() && percentage.is_none() && letter.is_none() {
        return Err(Poison::Missing { field: SCORE.name });
    }
    let graded_at = envelope.find(GRADED.names).map(|value| GRADED.time(value)).transpose()?;
    Ok(GradeReport {
        submission,
        assessment,
        student,
        course: optional_course(envelope)?,
        score,
        max_score: MAX_SCORE.optional_number(envelope, MOST_POINTS, is_maximum)?,
        percentage,
        letter,
        graded_at: graded_at.unwrap_or_else(|| freshness::time_of(stamp)),
        // Who it was is not worth losing the grade for.
        graded_by: GRADER.optional_id(envelope, UserId::parse).unwrap_or_default(),
    })
}

/// A text that is not meant as a number; `NaN` is meant as one.
fn is_word(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().parse::<f64>().is_err())
        && field::numeric(value).is_none()
}

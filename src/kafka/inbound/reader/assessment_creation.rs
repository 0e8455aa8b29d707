//! Assessment-Creation: an assessment of a course came into being, or changed and is told anew.

use super::Topic;
use super::envelope::{Envelope, Shape};
use super::field::{COURSE, Field, MOST_POINTS, is_maximum, set};
use super::poison::Poison;
use crate::domain::report::{AssessmentReport, Report};
use crate::domain::{AssessmentId, CourseId, ModuleId};

pub(super) const TOPIC: Topic = Topic {
    shape: Shape { wrappers: &["assessmentData"], named: "assessment", ids: ASSESSMENT.names },
    has_changes: false,
    times: &["updatedAt", "modifiedAt", "occurredAt", "timestamp", "createdAt"],
    read: |envelope, _| read(envelope).map(Report::Assessment),
};

const ASSESSMENT: Field =
    Field { name: "assessmentId", names: &["assessmentId", "quizId", "assignmentId", "id", "_id"] };
const MODULE: Field = Field { name: "moduleId", names: &["moduleId", "module"] };
const TITLE: Field = Field { name: "title", names: &["title", "name"] };
const KIND: Field = Field { name: "type", names: &["type", "kind", "assessmentType"] };
const MAX_SCORE: Field =
    Field { name: "maxScore", names: &["maxScore", "totalMarks", "maxMarks", "points"] };
const WEIGHT: Field = Field { name: "weight", names: &["weight", "weightage"] };
const DUE: Field = Field { name: "dueAt", names: &["dueAt", "dueDate", "deadline"] };
const REQUIRED: Field = Field { name: "required", names: &["required", "isRequired", "mandatory"] };

fn read(envelope: &Envelope<'_>) -> Result<AssessmentReport, Poison> {
    let assessment = ASSESSMENT.id(envelope, AssessmentId::parse)?;
    let course = COURSE.id(envelope, CourseId::parse)?;
    let title = envelope.find(TITLE.names).map(|value| {
        let short = |text: &str| text.chars().count() <= 255;
        TITLE.text(value, "must be 1 to 255 characters", short)
    });
    Ok(AssessmentReport {
        assessment,
        course,
        module: MODULE.id_patch(envelope, ModuleId::parse)?,
        title: title.transpose()?,
        kind: set(&envelope.patch(KIND.names), |value| {
            KIND.text(value, "must be 1 to 64 bytes", |text| text.len() <= 64)
        })?,
        max_score: MAX_SCORE.optional_number(envelope, MOST_POINTS, is_maximum)?,
        weight: WEIGHT.optional_number(envelope, "must be a number from 0 to 1,000,000", |n| {
            (0.0..=1e6).contains(&n)
        })?,
        due_at: set(&envelope.patch(DUE.names), |value| DUE.time(value))?,
        required: REQUIRED.flag(envelope)?,
    })
}

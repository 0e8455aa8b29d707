//! A student's work on assessments: submissions and grades, as other services report them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Enrollment, EnrollmentEvent};
use crate::domain::ids::{AssessmentId, SubmissionId, UserId};

/// A submission as it is reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// Which.
    pub id: SubmissionId,
    /// When.
    pub submitted_at: DateTime<Utc>,
    /// What the submitting service counts it as, from 1.
    pub attempt: Option<u32>,
}

/// A grade as it is reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grade {
    /// The graded submission, where it is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submission_id: Option<SubmissionId>,
    /// Points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Points of a perfect result; else those of the assessment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_score: Option<f64>,
    /// Percent, as the grading service computed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentage: Option<f64>,
    /// A letter or word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letter: Option<String>,
    /// When.
    pub graded_at: DateTime<Utc>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graded_by: Option<UserId>,
}

impl Grade {
    /// Whether two reports say the same of the result, whenever they were made.
    fn says_the_same(&self, other: &Self) -> bool {
        *self == Self { graded_at: self.graded_at, ..other.clone() }
    }
}

/// What is known of a student's work on one assessment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AssessmentResult {
    /// The submissions, each with the earliest time that was reported for it.
    pub submissions: BTreeMap<SubmissionId, DateTime<Utc>>,
    /// The highest attempt that was reported.
    pub attempt: u32,
    /// The newest grade.
    pub grade: Option<Grade>,
    /// The grades that are not the newest.
    pub older: Vec<Grade>,
}

impl AssessmentResult {
    /// How often the student tried: as often as submissions are known, or as the submitting service counts.
    pub fn attempts(&self) -> usize {
        self.submissions.len().max(usize::try_from(self.attempt).unwrap_or(usize::MAX))
    }
}

impl Enrollment {
    /// A submission is known by its id. Of its time the earliest holds, of its attempt the highest: in whatever order
    /// reports come, and however often, the result is the same.
    pub(super) fn record_submission(
        &self,
        assessment: &AssessmentId,
        submission: &Submission,
    ) -> Vec<EnrollmentEvent> {
        let Submission { id, submitted_at, attempt } = submission;
        let result = self.results.get(assessment);
        let known = result.and_then(|result| result.submissions.get(id));
        let earlier = known.is_none_or(|known| submitted_at < known);
        let higher = attempt.unwrap_or(0) > result.map_or(0, |result| result.attempt);
        if !earlier && !higher {
            return Vec::new();
        }
        vec![EnrollmentEvent::SubmissionRecorded {
            course_id: self.course_id.clone(),
            student_id: self.student_id.clone(),
            assessment_id: assessment.clone(),
            submission_id: id.clone(),
            submitted_at: *submitted_at,
            attempt: *attempt,
        }]
    }

    pub(super) fn record_grade(
        &self,
        assessment: &AssessmentId,
        grade: &Grade,
        newest: bool,
    ) -> Vec<EnrollmentEvent> {
        let (course_id, student_id) = (self.course_id.clone(), self.student_id.clone());
        let (assessment_id, grade) = (assessment.clone(), grade.clone());
        let result = self.results.get(assessment);
        let Some((result, current)) = result.and_then(|r| Some((r, r.grade.as_ref()?))) else {
            return vec![EnrollmentEvent::GradeRecorded {
                course_id,
                student_id,
                assessment_id,
                grade,
            }];
        };
        let known = if newest {
            current.says_the_same(&grade)
        } else {
            *current == grade || result.older.contains(&grade)
        };
        if known {
            return Vec::new();
        }
        let outdated = !newest;
        vec![EnrollmentEvent::GradeRevised {
            course_id,
            student_id,
            assessment_id,
            grade,
            outdated,
        }]
    }
}

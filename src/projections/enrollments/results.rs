//! What of a student's work on assessments stands in the row of their enrollment. Percent and final score do not: they
//! depend on assessments, which may come later.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::enrollment::{self, EnrollmentEvent, Grade};
use crate::domain::{AssessmentId, SubmissionId};

/// The student's work, by assessment. The names of its fields stand in rows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Results(pub BTreeMap<AssessmentId, AssessmentResult>);

/// The student's work on one assessment. Older grades are only in the log.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AssessmentResult {
    /// The submissions, each with the earliest time that was reported for it.
    submissions: BTreeMap<SubmissionId, DateTime<Utc>>,
    /// The highest attempt that was reported.
    attempt: u32,
    /// The newest grade.
    pub grade: Option<Grade>,
}

impl AssessmentResult {
    /// How often the student tried: as often as submissions are known, or as the submitting service counts.
    pub fn attempts(&self) -> u32 {
        u32::try_from(self.submissions.len()).unwrap_or(u32::MAX).max(self.attempt)
    }

    /// When the student submitted last.
    pub fn submitted_at(&self) -> Option<DateTime<Utc>> {
        self.submissions.values().max().copied()
    }
}

impl Results {
    /// When the student submitted something last.
    pub fn submitted_at(&self) -> Option<DateTime<Utc>> {
        self.0.values().filter_map(AssessmentResult::submitted_at).max()
    }

    /// A submission or a grade; every other event passes it by.
    pub(super) fn apply(&mut self, event: &EnrollmentEvent) {
        match event {
            EnrollmentEvent::SubmissionRecorded {
                assessment_id,
                submission_id,
                submitted_at,
                attempt,
                ..
            } => {
                let result = self.0.entry(assessment_id.clone()).or_default();
                let submissions = &mut result.submissions;
                let known = submissions.entry(submission_id.clone()).or_insert(*submitted_at);
                *known = (*submitted_at).min(*known);
                result.attempt = result.attempt.max(attempt.unwrap_or(0));
            }
            EnrollmentEvent::GradeRecorded { assessment_id, grade, .. }
            | EnrollmentEvent::GradeRevised { assessment_id, grade, outdated: false, .. } => {
                self.0.entry(assessment_id.clone()).or_default().grade = Some(grade.clone());
            }
            _ => {}
        }
    }
}

impl From<&BTreeMap<AssessmentId, enrollment::AssessmentResult>> for Results {
    fn from(results: &BTreeMap<AssessmentId, enrollment::AssessmentResult>) -> Self {
        let result = |result: &enrollment::AssessmentResult| AssessmentResult {
            submissions: result.submissions.clone(),
            attempt: result.attempt,
            grade: result.grade.clone(),
        };
        Self(results.iter().map(|(id, known)| (id.clone(), result(known))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CourseId, UserId};

    fn submitted(id: &str, at: &str, attempt: Option<u32>) -> EnrollmentEvent {
        EnrollmentEvent::SubmissionRecorded {
            course_id: CourseId::default(),
            student_id: UserId::default(),
            assessment_id: AssessmentId::parse("quiz", "id").unwrap(),
            submission_id: SubmissionId::parse(id, "id").unwrap(),
            submitted_at: at.parse().unwrap(),
            attempt,
        }
    }

    fn folded<'e>(events: impl IntoIterator<Item = &'e EnrollmentEvent>) -> Results {
        let mut results = Results::default();
        events.into_iter().for_each(|event| results.apply(event));
        results
    }

    #[test]
    fn submissions_come_to_the_same_in_whatever_order_they_come() {
        let events = [
            submitted("a", "2026-11-03T10:00:00Z", None),
            submitted("b", "2026-11-02T10:00:00Z", Some(1)),
            submitted("a", "2026-11-01T10:00:00Z", Some(4)),
        ];
        let results = folded(&events);
        assert_eq!(folded(events.iter().rev()), results);
        let result = results.0.values().next().unwrap();
        assert_eq!(result.attempts(), 4);
        assert_eq!(result.submitted_at(), Some("2026-11-02T10:00:00Z".parse().unwrap()));
        assert_eq!(results.submitted_at(), result.submitted_at());
    }

    #[test]
    fn what_is_stored_is_read_as_it_was() {
        let results = folded(&[submitted("a", "2026-11-03T10:00:00.123Z", Some(2))]);
        let stored = serde_json::to_value(&results).unwrap();
        let expected = serde_json::json!({ "quiz": {
            "submissions": { "a": "2026-11-03T10:00:00.123Z" }, "attempt": 2, "grade": null
        } });
        assert_eq!(stored, expected);
        assert_eq!(serde_json::from_value::<Results>(stored).unwrap(), results);
    }

    #[test]
    fn an_outdated_grade_changes_nothing() {
        let grade = |score| Grade {
            submission_id: None,
            score: Some(score),
            max_score: None,
            percentage: None,
            letter: None,
            graded_at: "2026-11-03T10:00:00Z".parse().unwrap(),
            graded_by: None,
        };
        let revised = |score, outdated| EnrollmentEvent::GradeRevised {
            course_id: CourseId::default(),
            student_id: UserId::default(),
            assessment_id: AssessmentId::parse("quiz", "id").unwrap(),
            grade: grade(score),
            outdated,
        };
        let results = folded(&[revised(7.0, false), revised(3.0, true)]);
        let newest = results.0.values().next().unwrap().grade.as_ref().unwrap();
        assert_eq!(newest.score, Some(7.0));
    }
}

//! What a student made of the assessments of a course. Percent and final score follow from the assessments as they are
//! now, so that it never matters in which order grades and assessments were reported.

use async_graphql::SimpleObject;
use chrono::{DateTime, Utc};

use crate::domain::enrollment::Grade;
use crate::domain::grading::{percent, weighted_mean};
use crate::graphql::assessment::Assessment;
use crate::projections::assessments::AssessmentRow;
use crate::projections::enrollments::{AssessmentResult as Known, Results};

/// A student's submissions of one assessment, and their grade.
#[derive(Debug, Clone, SimpleObject)]
pub(in crate::graphql) struct AssessmentResult {
    /// The assessment.
    assessment: Assessment,
    /// How often the student submitted it; 0 where only a grade is known.
    attempts: u32,
    /// When the student submitted it last.
    submitted_at: Option<DateTime<Utc>>,
    /// The points of the newest grade.
    score: Option<f64>,
    /// The points of a perfect result: as the grade says, else the assessment.
    max_score: Option<f64>,
    /// The newest grade in percent, 0 to 150; null where it has no numbers.
    percent: Option<f64>,
    /// The letter or word of the newest grade.
    letter: Option<String>,
    /// When it was graded.
    graded_at: Option<DateTime<Utc>>,
}

/// The results of a student, in the order of the assessments of the course; those of others come last.
pub(super) fn results(results: &Results, assessments: &[AssessmentRow]) -> Vec<AssessmentResult> {
    let of = |row: &AssessmentRow| {
        let known = results.0.iter().find(|(id, _)| id.as_str() == row.assessment_id);
        known.map(|(_, known)| result(known, Assessment::from_row(row), Some(row.max_score)))
    };
    let unknown = results.0.iter().filter(|(id, _)| {
        let is = |row: &AssessmentRow| row.assessment_id == id.as_str();
        !assessments.iter().any(is)
    });
    let unknown = unknown.map(|(id, known)| result(known, Assessment::unknown(id.as_str()), None));
    assessments.iter().filter_map(of).chain(unknown).collect()
}

fn result(known: &Known, assessment: Assessment, max_score: Option<f64>) -> AssessmentResult {
    let grade = known.grade.as_ref();
    AssessmentResult {
        assessment,
        attempts: known.attempts(),
        submitted_at: known.submitted_at(),
        score: grade.and_then(|grade| grade.score),
        max_score: grade.and_then(|grade| grade.max_score).or(max_score),
        percent: grade.and_then(|grade| percent_of(grade, max_score)),
        letter: grade.and_then(|grade| grade.letter.clone()),
        graded_at: grade.map(|grade| grade.graded_at),
    }
}

/// A score says nothing where nobody knows of how many points.
fn percent_of(grade: &Grade, assessment_max: Option<f64>) -> Option<f64> {
    let max_score = grade.max_score.or(assessment_max);
    let score = max_score.and(grade.score);
    percent(score, max_score, grade.percentage, max_score.unwrap_or(1.0))
}

/// The weighted mean of the graded required assessments, in percent.
pub(super) fn final_score(results: &Results, assessments: &[AssessmentRow]) -> Option<f64> {
    let required = assessments.iter().filter(|row| row.required);
    weighted_mean(required.filter_map(|row| {
        let known = results.0.iter().find(|(id, _)| id.as_str() == row.assessment_id);
        let grade = known?.1.grade.as_ref()?;
        Some((row.weight, percent_of(grade, Some(row.max_score))?))
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(id: &str, weight: f64, required: bool) -> AssessmentRow {
        AssessmentRow {
            course_id: "c".to_owned(),
            assessment_id: id.to_owned(),
            module_id: None,
            title: id.to_owned(),
            kind: None,
            max_score: 20.0,
            weight,
            due_at: None,
            required,
        }
    }

    fn graded() -> Results {
        let grade = |score: f64| {
            let grade = json!({ "score": score, "graded_at": "2026-11-01T10:00:00Z" });
            json!({ "submissions": {}, "attempt": 0, "grade": grade })
        };
        let work =
            json!({ "a": grade(10.0), "b": grade(20.0), "c": grade(0.0), "gone": grade(1.0) });
        serde_json::from_value(work).unwrap()
    }

    #[test]
    fn the_final_score_counts_what_is_graded_and_required() {
        let assessments =
            [row("b", 3.0, true), row("a", 1.0, true), row("c", 9.0, false), row("d", 9.0, true)];
        let score = final_score(&graded(), &assessments);
        assert!(score.is_some_and(|score| (score - 87.5).abs() < 1e-9), "{score:?}");
        assert_eq!(final_score(&graded(), &[]), None);
    }

    #[test]
    fn results_come_as_the_assessments_do_and_without_one_a_score_has_no_percent() {
        let listed = results(&graded(), &[row("b", 1.0, true), row("a", 1.0, true)]);
        let percents: Vec<_> = listed.iter().map(|result| result.percent).collect();
        assert_eq!(percents, [Some(100.0), Some(50.0), None, None]);
        assert_eq!(listed[2].score, Some(0.0));
    }
}

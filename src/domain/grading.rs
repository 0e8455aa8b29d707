//! What grades come to: percent, final score, and when an enrollment is completed.

use super::course::{Assessment, Course, CourseStatus, PublicationState};
use super::enrollment::{Enrollment, EnrollmentStatus, Grade};
use super::ids::ItemId;

/// The most that one grade counts, in percent: extra credit has an end.
const MAX_PERCENT: f64 = 150.0;

impl Grade {
    /// The grade in percent, 0 to 150: what the grading service computed, else `score / max_score`, with the maximum of
    /// the assessment where the grade names none. `None` where there are no numbers, as with a mere letter.
    pub fn percent(&self, assessment: &Assessment) -> Option<f64> {
        percent(self.score, self.max_score, self.percentage, assessment.max_score)
    }
}

/// See [`Grade::percent`].
pub fn percent(
    score: Option<f64>,
    max_score: Option<f64>,
    percentage: Option<f64>,
    assessment_max: f64,
) -> Option<f64> {
    let of_score = || score.map(|score| 100.0 * score / max_score.unwrap_or(assessment_max));
    let percent = percentage.or_else(of_score).filter(|percent| !percent.is_nan());
    percent.map(|percent| percent.clamp(0.0, MAX_PERCENT))
}

/// `Σ(weight · percent) / Σ(weight)` over (weight, percent) of the graded required assessments; `None` where there are
/// none, or none with a weight. Finite whatever the weights are: they are taken as parts of the largest.
pub fn weighted_mean(graded: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    let graded: Vec<(f64, f64)> = graded.into_iter().collect();
    let largest = graded.iter().map(|(weight, _)| *weight).fold(0.0, f64::max);
    if largest <= 0.0 || !largest.is_finite() {
        return None;
    }
    let parts = graded.iter().map(|(weight, percent)| (weight / largest, *percent));
    let (sum, of) =
        parts.fold((0.0, 0.0), |(sum, of), (part, percent)| (sum + part * percent, of + part));
    Some(sum / of)
}

impl Course {
    /// The items that count for progress: published and required, in published modules.
    pub fn required_items(&self) -> impl Iterator<Item = &ItemId> {
        let published = PublicationState::Published;
        let modules = self.modules.iter().filter(move |module| module.state == published);
        let items = modules.flat_map(|module| &module.items);
        items.filter(move |item| item.required && item.state == published).map(|item| &item.id)
    }

    /// The final score of an enrollment so far, in percent.
    pub fn final_score(&self, enrollment: &Enrollment) -> Option<f64> {
        let required = self.assessments.iter().filter(|(_, assessment)| assessment.required);
        weighted_mean(required.filter_map(|(id, assessment)| {
            let grade = enrollment.results.get(id)?.grade.as_ref()?;
            Some((assessment.weight, grade.percent(assessment)?))
        }))
    }

    /// The final score by which an active enrollment is completed now: every required item is done and the score is
    /// at least the passing score. A course without a passing score completes nobody.
    pub fn completes(&self, enrollment: &Enrollment) -> Option<f64> {
        let open = matches!(self.status, CourseStatus::Published | CourseStatus::Archived);
        if !open || enrollment.status != EnrollmentStatus::Active {
            return None;
        }
        let score = self.final_score(enrollment)?;
        let passed = self.passing_score.is_some_and(|passing| score >= passing);
        let done = || self.required_items().all(|item| enrollment.completed.contains(item));
        (passed && done()).then_some(score)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn close(left: Option<f64>, right: f64) -> bool {
        left.is_some_and(|left| (left - right).abs() < 1e-9)
    }

    #[test]
    fn a_percentage_comes_before_a_score_and_both_are_clamped() {
        assert!(close(percent(Some(10.0), Some(20.0), None, 100.0), 50.0));
        assert!(close(percent(Some(10.0), None, None, 40.0), 25.0));
        assert!(close(percent(Some(10.0), Some(20.0), Some(80.0), 100.0), 80.0));
        assert!(close(percent(Some(900.0), None, None, 100.0), 150.0));
        assert!(close(percent(Some(-5.0), None, None, 100.0), 0.0));
        assert_eq!(percent(None, Some(20.0), None, 100.0), None);
    }

    #[test]
    fn the_mean_is_weighted_and_of_nothing_there_is_none() {
        assert!(close(weighted_mean([(1.0, 100.0), (3.0, 60.0)]), 70.0));
        assert_eq!(weighted_mean([]), None);
        assert_eq!(weighted_mean([(0.0, 100.0)]), None);
    }

    proptest! {
        #[test]
        fn whatever_is_reported_comes_to_a_finite_percentage(
            grades in vec((finite(), finite(), option::of(finite())), 0..8),
            weights in vec(prop_oneof![0.0..f64::MAX, 0.0..10.0], 8),
        ) {
            let percents = grades.iter().map(|(score, max, percentage)| {
                percent(Some(*score), Some(max.abs().max(f64::MIN_POSITIVE)), *percentage, 100.0)
            });
            let percents: Vec<f64> = percents.flatten().collect();
            prop_assert!(percents.iter().all(|percent| (0.0..=MAX_PERCENT).contains(percent)));
            let mean = weighted_mean(weights.into_iter().zip(percents));
            prop_assert!(mean.is_none_or(|mean| (0.0..=MAX_PERCENT + 1e-9).contains(&mean)), "{mean:?}");
        }
    }

    fn finite() -> impl Strategy<Value = f64> {
        proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO
    }
}

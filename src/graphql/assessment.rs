//! Assessments of a course: our copies of what the assessment service reports.

use std::sync::Arc;

use async_graphql::{Context, ID, Result, SelectionField, SimpleObject};
use chrono::{DateTime, Utc};

use super::course::visible_course;
use super::loader::{AssessmentKey, AssessmentsKey, load};
use crate::domain::AssessmentId;
use crate::domain::course::Assessment as State;
use crate::projections::assessments::AssessmentRow;

/// An assessment of the assessment service. What is known of it here is a copy, and null until it was reported.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct Assessment {
    /// The id that the assessment service gave it.
    id: ID,
    /// 1 to 255 characters.
    #[graphql(shareable)]
    title: Option<String>,
    /// What the assessment service calls its kind.
    #[graphql(shareable)]
    kind: Option<String>,
    /// The score of a perfect result; above 0.
    #[graphql(shareable)]
    max_score: Option<f64>,
    /// How much it counts in the final score; 0 or more.
    #[graphql(shareable)]
    weight: Option<f64>,
    /// When it is due.
    #[graphql(shareable)]
    due_at: Option<DateTime<Utc>>,
    /// Whether it counts in the final score.
    #[graphql(shareable)]
    required: Option<bool>,
}

impl Assessment {
    /// One of which only the id is known.
    pub(super) fn unknown(id: &str) -> Self {
        Self {
            id: id.into(),
            title: None,
            kind: None,
            max_score: None,
            weight: None,
            due_at: None,
            required: None,
        }
    }

    /// One of these of a course, or one that the course does not have.
    pub(super) fn among(assessments: &[AssessmentRow], id: &str) -> Self {
        let row = assessments.iter().find(|row| row.assessment_id == id);
        row.map_or_else(|| Self::unknown(id), Self::from_row)
    }

    /// One from the read model.
    pub(super) fn from_row(row: &AssessmentRow) -> Self {
        Self {
            id: row.assessment_id.as_str().into(),
            title: Some(row.title.clone()),
            kind: row.kind.clone(),
            max_score: Some(row.max_score),
            weight: Some(row.weight),
            due_at: row.due_at,
            required: Some(row.required),
        }
    }

    /// One as a command has just left its course.
    pub(super) fn committed(id: &str, state: Option<&State>) -> Self {
        let Some(state) = state else { return Self::unknown(id) };
        Self {
            id: id.into(),
            title: Some(state.title.clone()),
            kind: state.kind.clone(),
            max_score: Some(state.max_score),
            weight: Some(state.weight),
            due_at: state.due_at,
            required: Some(state.required),
        }
    }
}

/// The assessment with this id: of one of a course that the caller does not see no more than the id.
pub(super) async fn referenced_assessment(ctx: &Context<'_>, id: &str) -> Result<Assessment> {
    let Ok(lawful) = AssessmentId::parse(id, "id") else { return Ok(Assessment::unknown(id)) };
    let row = load(ctx, AssessmentKey(lawful.to_string())).await?;
    let Some(row) = row else { return Ok(Assessment::unknown(id)) };
    let seen = visible_course(ctx, &row.course_id).await?;
    Ok(seen.map_or_else(|| Assessment::unknown(id), |_| Assessment::from_row(&row)))
}

/// Whether more of an assessment is asked for than what is known without reading.
pub(super) fn asks_beyond_id(field: SelectionField<'_>) -> bool {
    field.selection_set().any(|field| !matches!(field.name(), "id" | "__typename"))
}

/// The assessments of a course, what is due first first. Whoever asks knows that the caller sees the course.
pub(super) async fn assessments_of(
    ctx: &Context<'_>,
    course: &str,
) -> Result<Arc<Vec<AssessmentRow>>> {
    Ok(load(ctx, AssessmentsKey(course.to_owned())).await?.unwrap_or_default())
}

//! Assessments of a course, as the assessment service reports them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Course, CourseEvent, Module, assign};
use crate::domain::ids::{AssessmentId, ModuleId};
use crate::domain::values::json_len;

/// An assessment of a course. Its content belongs to the assessment service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// 1..255 characters.
    pub title: String,
    /// What the assessment service calls its kind.
    pub kind: Option<String>,
    /// The score of a perfect result; above 0.
    pub max_score: f64,
    /// How much it counts in the final score; 0 or more.
    pub weight: f64,
    /// When it is due.
    pub due_at: Option<DateTime<Utc>>,
    /// Whether it counts in the final score.
    pub required: bool,
    /// The module that shows it as soon as the course has it.
    pub module_id: Option<ModuleId>,
}

impl Assessment {
    /// Upper bound of the bytes that this assessment takes in JSON on Kafka.
    pub(super) fn outgoing_bytes(&self, id: &AssessmentId) -> usize {
        json_len(id.as_str())
            + json_len(&self.title)
            + self.kind.as_deref().map_or(0, json_len)
            + self.module_id.as_ref().map_or(0, |id| json_len(id.as_str()))
            + 256
    }
}

impl Course {
    /// The module of the course that shows the assessment, where it has the wanted one.
    pub fn shown_in(&self, wanted: Option<&ModuleId>) -> Option<&Module> {
        wanted.and_then(|id| self.module(id))
    }

    /// The assessments that a module shows, or will once it exists.
    pub fn assessments_of(
        &self,
        module: &ModuleId,
    ) -> impl Iterator<Item = (&AssessmentId, &Assessment)> {
        self.assessments
            .iter()
            .filter(move |(_, assessment)| assessment.module_id.as_ref() == Some(module))
    }

    /// Upper bound of the bytes that the assessments of a module take in its JSON on Kafka.
    pub fn assessment_bytes(&self, module: &ModuleId) -> usize {
        self.assessments_of(module).map(|(id, assessment)| assessment.outgoing_bytes(id)).sum()
    }

    /// What happened to an assessment; every other event passes it by.
    pub(super) fn apply_to_assessments(&mut self, event: CourseEvent) {
        match event {
            CourseEvent::AssessmentAttached {
                assessment_id,
                module_id,
                shown_in: _,
                title,
                kind,
                max_score,
                weight,
                due_at,
                required,
            } => {
                let assessment =
                    Assessment { title, kind, max_score, weight, due_at, required, module_id };
                self.assessments.insert(assessment_id, assessment);
            }
            CourseEvent::AssessmentChanged {
                assessment_id,
                shown_in: _,
                module_id,
                title,
                kind,
                max_score,
                weight,
                due_at,
                required,
            } => {
                let Some(assessment) = self.assessments.get_mut(&assessment_id) else { return };
                assign(&mut assessment.module_id, module_id);
                assign(&mut assessment.title, title);
                assign(&mut assessment.kind, kind);
                assign(&mut assessment.max_score, max_score);
                assign(&mut assessment.weight, weight);
                assign(&mut assessment.due_at, due_at);
                assign(&mut assessment.required, required);
            }
            _ => {}
        }
    }
}

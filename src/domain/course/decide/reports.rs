//! What other services report about a course: assessments and transcoded videos. Nobody is asked whether they may;
//! refused is only what a deleted course or the size of a record leaves no room for.

use super::{Decision, check_course_fits, check_module_fits};
use crate::domain::course::{Assessment, Course, CourseEvent, CourseStatus, Module, ModuleItem};
use crate::domain::ids::{AssessmentId, ModuleId, VideoId};
use crate::domain::refusal::Refusal;
use crate::domain::report::VideoResult;
use crate::domain::values::Patch;

/// What is newly reported of an assessment: only what is newer than all reports before.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the fields are those of the assessment")]
pub struct AssessmentPatch {
    pub module_id: Patch<ModuleId>,
    pub title: Option<String>,
    pub kind: Patch<String>,
    pub max_score: Option<f64>,
    pub weight: Option<f64>,
    pub due_at: Patch<chrono::DateTime<chrono::Utc>>,
    pub required: Option<bool>,
}

impl Course {
    /// An assessment of this course was reported. What a first report leaves out is: its id as the title, 100 points,
    /// weight 1, required.
    pub fn attach_assessment(&self, id: &AssessmentId, patch: &AssessmentPatch) -> Decision {
        self.check_reportable()?;
        let before = self.assessments.get(id);
        let after = patched(id, before, patch);
        if before == Some(&after) {
            return Ok(Vec::new());
        }
        self.check_assessment_fits(id, before, &after)?;
        let now_in = self.shown_in(after.module_id.as_ref()).map(|module| module.id.clone());
        let Some(before) = before else {
            return Ok(vec![CourseEvent::AssessmentAttached {
                assessment_id: id.clone(),
                module_id: after.module_id,
                shown_in: now_in,
                title: after.title,
                kind: after.kind,
                max_score: after.max_score,
                weight: after.weight,
                due_at: after.due_at,
                required: after.required,
            }]);
        };
        let was_in = self.shown_in(before.module_id.as_ref()).map(|module| module.id.clone());
        let mut shown_in: Vec<ModuleId> = was_in.into_iter().chain(now_in).collect();
        shown_in.dedup();
        Ok(vec![CourseEvent::AssessmentChanged {
            assessment_id: id.clone(),
            shown_in,
            module_id: differs(&before.module_id, after.module_id),
            title: differs(&before.title, after.title),
            kind: differs(&before.kind, after.kind),
            max_score: differs(&before.max_score, after.max_score),
            weight: differs(&before.weight, after.weight),
            due_at: differs(&before.due_at, after.due_at),
            required: differs(&before.required, after.required),
        }])
    }

    /// What became of a video was reported: it holds for every item that shows the video.
    pub fn record_transcoding(&self, video: &VideoId, result: &VideoResult) -> Decision {
        self.check_reportable()?;
        let mut events = Vec::new();
        for module in &self.modules {
            let mut bytes = module.outgoing_bytes() + self.assessment_bytes(&module.id);
            for item in module.items.iter().filter(|item| item.video_id.as_ref() == Some(video)) {
                if item.video.as_ref() == Some(result) {
                    continue;
                }
                let after = ModuleItem { video: Some(result.clone()), ..item.clone() };
                bytes = bytes - item.outgoing_bytes() + after.outgoing_bytes();
                check_module_fits(bytes)?;
                events.push(transcoded(&module.id, item, video, result));
            }
        }
        Ok(events)
    }

    fn check_reportable(&self) -> Result<(), Refusal> {
        match self.status {
            CourseStatus::Missing => Err(Refusal::course_not_found()),
            CourseStatus::Deleted => Err(self.illegal("be reported about")),
            CourseStatus::Draft | CourseStatus::Published | CourseStatus::Archived => Ok(()),
        }
    }

    fn check_assessment_fits(
        &self,
        id: &AssessmentId,
        before: Option<&Assessment>,
        after: &Assessment,
    ) -> Result<(), Refusal> {
        let added = after.outgoing_bytes(id);
        let replaced = before.map_or(0, |before| before.outgoing_bytes(id));
        check_course_fits(self.outgoing_bytes() - replaced + added)?;
        let Some(wanted) = &after.module_id else { return Ok(()) };
        let stays = before.is_some_and(|before| before.module_id.as_ref() == Some(wanted));
        let there = self.module(wanted).map_or(0, Module::outgoing_bytes);
        let others = self.assessment_bytes(wanted) - if stays { replaced } else { 0 };
        check_module_fits(there + others + added)
    }
}

/// The event that an item shows the result of its video.
pub(super) fn transcoded(
    module_id: &ModuleId,
    item: &ModuleItem,
    video_id: &VideoId,
    result: &VideoResult,
) -> CourseEvent {
    let (module_id, item_id, video_id) = (module_id.clone(), item.id.clone(), video_id.clone());
    match result.clone() {
        VideoResult::Ready { playback_url, duration_seconds, thumbnail_url, renditions } => {
            CourseEvent::VideoTranscoded {
                module_id,
                item_id,
                video_id,
                playback_url,
                duration_seconds,
                thumbnail_url,
                renditions,
            }
        }
        VideoResult::Failed { reason } => {
            CourseEvent::VideoTranscodingFailed { module_id, item_id, video_id, reason }
        }
    }
}

fn patched(id: &AssessmentId, before: Option<&Assessment>, patch: &AssessmentPatch) -> Assessment {
    let mut after = before.cloned().unwrap_or_else(|| Assessment {
        title: id.to_string(),
        kind: None,
        max_score: 100.0,
        weight: 1.0,
        due_at: None,
        required: true,
        module_id: None,
    });
    after.title = patch.title.clone().unwrap_or(after.title);
    after.max_score = patch.max_score.unwrap_or(after.max_score);
    after.weight = patch.weight.unwrap_or(after.weight);
    after.required = patch.required.unwrap_or(after.required);
    after.kind = patch.kind.over(after.kind.as_ref()).cloned();
    after.due_at = patch.due_at.over(after.due_at.as_ref()).copied();
    after.module_id = patch.module_id.over(after.module_id.as_ref()).cloned();
    after
}

fn differs<T: PartialEq>(before: &T, after: T) -> Option<T> {
    (*before != after).then_some(after)
}

//! The JSON of outgoing values: types of the contract's own, so that a changed domain type never changes a message.
//! Absent values are null, so that consumers see a stable shape.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::domain::AssessmentId;
use crate::domain::Course;
use crate::domain::ModuleId;
use crate::domain::UserId;
use crate::domain::VideoId;
use crate::domain::course::Assessment;
use crate::domain::course::Module;
use crate::domain::course::ModuleItem;
use crate::domain::enrollment::Via;
use crate::domain::report::Rendition;
use crate::domain::report::VideoResult;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope {
    pub(super) event_id: Uuid,
    pub(super) event_type: &'static str,
    pub(super) schema_version: u32,
    pub(super) version: u64,
    pub(super) occurred_at: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CourseMessage<'a, D> {
    pub(super) course_id: &'a str,
    pub(super) course_data: D,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) changes: Option<&'a [&'static str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deleted_at: Option<String>,
    #[serde(flatten)]
    pub(super) envelope: Envelope,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModuleMessage<'a> {
    pub(super) course_id: &'a str,
    pub(super) module_id: &'a str,
    pub(super) module_data: ModuleData<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) changes: Option<&'a [&'static str]>,
    #[serde(flatten)]
    pub(super) envelope: Envelope,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EnrollmentMessage<'a> {
    pub(super) course_id: &'a str,
    pub(super) student_id: &'a str,
    pub(super) enrollment_id: &'a str,
    pub(super) enrolled_at: String,
    pub(super) enrollment_data: EnrollmentData,
    #[serde(flatten)]
    pub(super) envelope: Envelope,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CourseData<'a> {
    code: &'a str,
    title: &'a str,
    description: Option<&'a str>,
    status: &'static str,
    instructor: Option<&'a str>,
    instructor_ids: Vec<&'a str>,
    capacity: Option<u32>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    enrollment_opens_at: Option<String>,
    enrollment_closes_at: Option<String>,
    tags: &'a [String],
    passing_score: Option<f64>,
    modules: Vec<ModuleSummary<'a>>,
    assessments: Vec<AssessmentData<'a>>,
}

impl<'a> CourseData<'a> {
    pub(super) fn of(course: &'a Course) -> Self {
        Self {
            code: &course.code,
            title: &course.title,
            description: course.description.as_deref(),
            status: course.status.as_str(),
            instructor: course.instructor_ids.first().map(UserId::as_str),
            instructor_ids: course.instructor_ids.iter().map(UserId::as_str).collect(),
            capacity: course.capacity,
            starts_at: course.starts_at.map(instant),
            ends_at: course.ends_at.map(instant),
            enrollment_opens_at: course.enrollment_opens_at.map(instant),
            enrollment_closes_at: course.enrollment_closes_at.map(instant),
            tags: &course.tags,
            passing_score: course.passing_score,
            modules: course.modules.iter().enumerate().map(ModuleSummary::of).collect(),
            assessments: course.assessments.iter().map(AssessmentData::of).collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct DeletedCourse<'a> {
    code: &'a str,
    title: &'a str,
    status: &'static str,
}

impl<'a> DeletedCourse<'a> {
    pub(super) fn of(course: &'a Course) -> Self {
        Self { code: &course.code, title: &course.title, status: course.status.as_str() }
    }
}

#[derive(Serialize)]
struct ModuleSummary<'a> {
    id: &'a str,
    title: &'a str,
    position: usize,
    status: &'static str,
}

impl<'a> ModuleSummary<'a> {
    fn of((position, module): (usize, &'a Module)) -> Self {
        let (id, title) = (module.id.as_str(), module.title.as_str());
        Self { id, title, position, status: module.state.as_str() }
    }
}

#[derive(Serialize)]
pub(super) struct ModuleData<'a> {
    id: &'a str,
    title: &'a str,
    summary: Option<&'a str>,
    position: usize,
    status: &'static str,
    items: Vec<ItemData<'a>>,
    assessments: Vec<AssessmentData<'a>>,
}

impl<'a> ModuleData<'a> {
    pub(super) fn of(position: usize, module: &'a Module, course: &'a Course) -> Self {
        Self {
            id: module.id.as_str(),
            title: &module.title,
            summary: module.summary.as_deref(),
            position,
            status: module.state.as_str(),
            items: module.items.iter().enumerate().map(ItemData::of).collect(),
            assessments: course.assessments_of(&module.id).map(AssessmentData::of).collect(),
        }
    }

    /// The module as it was: no other topic says that it is gone.
    pub(super) fn removed(self) -> Self {
        Self { status: "REMOVED", ..self }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemData<'a> {
    id: &'a str,
    title: &'a str,
    kind: &'static str,
    position: usize,
    required: bool,
    status: &'static str,
    url: Option<&'a str>,
    video_id: Option<&'a str>,
    assessment_id: Option<&'a str>,
    video: Option<VideoData<'a>>,
}

impl<'a> ItemData<'a> {
    fn of((position, item): (usize, &'a ModuleItem)) -> Self {
        Self {
            id: item.id.as_str(),
            title: &item.title,
            kind: item.kind.as_str(),
            position,
            required: item.required,
            status: item.state.as_str(),
            url: item.url.as_deref(),
            video_id: item.video_id.as_ref().map(VideoId::as_str),
            assessment_id: item.assessment_id.as_ref().map(AssessmentId::as_str),
            video: item.video.as_ref().map(VideoData::of),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AssessmentData<'a> {
    id: &'a str,
    title: &'a str,
    kind: Option<&'a str>,
    module_id: Option<&'a str>,
    max_score: f64,
    weight: f64,
    due_at: Option<String>,
    required: bool,
}

impl<'a> AssessmentData<'a> {
    fn of((id, assessment): (&'a AssessmentId, &'a Assessment)) -> Self {
        Self {
            id: id.as_str(),
            title: &assessment.title,
            kind: assessment.kind.as_deref(),
            module_id: assessment.module_id.as_ref().map(ModuleId::as_str),
            max_score: assessment.max_score,
            weight: assessment.weight,
            due_at: assessment.due_at.map(instant),
            required: assessment.required,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VideoData<'a> {
    state: &'static str,
    playback_url: Option<&'a str>,
    duration_seconds: Option<f64>,
    thumbnail_url: Option<&'a str>,
    renditions: Vec<RenditionData<'a>>,
    failure_reason: Option<&'a str>,
}

impl<'a> VideoData<'a> {
    fn of(result: &'a VideoResult) -> Self {
        match result {
            VideoResult::Ready { playback_url, duration_seconds, thumbnail_url, renditions } => {
                Self {
                    state: "READY",
                    playback_url: playback_url.as_deref(),
                    duration_seconds: *duration_seconds,
                    thumbnail_url: thumbnail_url.as_deref(),
                    renditions: renditions.iter().map(RenditionData::of).collect(),
                    failure_reason: None,
                }
            }
            VideoResult::Failed { reason } => Self {
                state: "FAILED",
                playback_url: None,
                duration_seconds: None,
                thumbnail_url: None,
                renditions: Vec::new(),
                failure_reason: reason.as_deref(),
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RenditionData<'a> {
    quality: &'a str,
    url: &'a str,
    width: Option<u32>,
    height: Option<u32>,
    bitrate_kbps: Option<u32>,
}

impl<'a> RenditionData<'a> {
    fn of(rendition: &'a Rendition) -> Self {
        Self {
            quality: &rendition.quality,
            url: &rendition.url,
            width: rendition.width,
            height: rendition.height,
            bitrate_kbps: rendition.bitrate_kbps,
        }
    }
}

#[derive(Serialize)]
pub(super) struct EnrollmentData {
    pub(super) status: &'static str,
    pub(super) via: &'static str,
}

/// `via` as consumers know it: never rename.
pub(super) fn via_name(via: Via) -> &'static str {
    match via {
        Via::Direct => "DIRECT",
        Via::Waitlist => "WAITLIST",
        Via::Reactivation => "REACTIVATION",
    }
}

/// An instant that somebody chose: RFC 3339, UTC, as exact as it was given.
fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

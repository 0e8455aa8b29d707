//! The JSON of outgoing values: types of the contract's own, so that a changed domain type never changes a message.
//! Absent values are null, so that consumers see a stable shape.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::domain::AssessmentId;
use crate::domain::Course;
use crate::domain::UserId;
use crate::domain::VideoId;
use crate::domain::course::Module;
use crate::domain::course::ModuleItem;
use crate::domain::enrollment::Via;

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
}

impl<'a> ModuleData<'a> {
    pub(super) fn of(position: usize, module: &'a Module) -> Self {
        Self {
            id: module.id.as_str(),
            title: &module.title,
            summary: module.summary.as_deref(),
            position,
            status: module.state.as_str(),
            items: module.items.iter().enumerate().map(ItemData::of).collect(),
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

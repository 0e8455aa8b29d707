//! What became of a message, in one line for people. Names and addresses are never in it, only whether they are set.

use std::fmt::{Debug, Display};

use chrono::{DateTime, SecondsFormat, Utc};

use super::reader::{Message, Poison};
use crate::domain::report::AssessmentReport;
use crate::domain::report::GradeReport;
use crate::domain::report::Report;
use crate::domain::report::SubmissionReport;
use crate::domain::report::TranscodingReport;
use crate::domain::report::UserReport;
use crate::domain::report::VideoResult;
use crate::domain::values::Patch;

/// What a record becomes, or the code and sentence of its refusal.
pub fn outcome(read: &Result<Message, Poison>) -> String {
    match read {
        Ok(message) => summary(message),
        Err(poison) => format!("{}: {poison}", poison.code()),
    }
}

/// The command that a message becomes: whom or what it is about, what it says, and as of when.
pub fn summary(message: &Message) -> String {
    let (command, said) = match &message.report {
        Report::User(report) => user(report),
        Report::Assessment(report) => assessment(report),
        Report::Submission(report) => submission(report),
        Report::Grade(report) => grade(report),
        Report::Transcoding(report) => transcoding(report),
    };
    let said = if said.is_empty() { "nothing more".to_owned() } else { said.join(", ") };
    let stamp = message.stamp;
    let at = match DateTime::from_timestamp_millis(stamp.at) {
        Some(at) if stamp.at != 0 => time(&at),
        _ => "the record's time".to_owned(),
    };
    let version =
        if stamp.version == 0 { String::new() } else { format!(", version {}", stamp.version) };
    format!("{command}: {said}; as of {at}{version}")
}

fn user(report: &UserReport) -> (String, Vec<String>) {
    let command = if report.created { "RegisterUser" } else { "UpdateUser" };
    let mut said = Vec::new();
    said.extend(patch("display name", &report.display_name, |_| "set".to_owned()));
    said.extend(patch("e-mail", &report.email, |_| "set".to_owned()));
    said.extend(report.role.as_ref().map(|role| format!("role {role:?}")));
    said.extend(
        report.active.map(|active| if active { "active" } else { "not active" }.to_owned()),
    );
    (format!("{command} {}", report.user), said)
}

fn assessment(report: &AssessmentReport) -> (String, Vec<String>) {
    let mut said = Vec::new();
    said.extend(patch("module", &report.module, ToString::to_string));
    said.extend(quoted("title", report.title.as_ref()));
    said.extend(patch("type", &report.kind, |kind| format!("{kind:?}")));
    said.extend(plain("max score", report.max_score.as_ref()));
    said.extend(plain("weight", report.weight.as_ref()));
    said.extend(patch("due date", &report.due_at, time));
    let required = |required| if required { "required" } else { "not required" }.to_owned();
    said.extend(report.required.map(required));
    (format!("AttachAssessment {} to course {}", report.assessment, report.course), said)
}

fn submission(report: &SubmissionReport) -> (String, Vec<String>) {
    let SubmissionReport { submission, assessment, student, .. } = report;
    let mut said = vec![when("submitted at", &report.submitted_at)];
    said.extend(plain("course", report.course.as_ref()));
    said.extend(plain("attempt", report.attempt.as_ref()));
    (format!("RecordSubmission {submission} of assessment {assessment} by student {student}"), said)
}

fn grade(report: &GradeReport) -> (String, Vec<String>) {
    let mut said = Vec::new();
    said.extend(plain("score", report.score.as_ref()));
    said.extend(plain("of", report.max_score.as_ref()));
    said.extend(plain("percent", report.percentage.as_ref()));
    said.extend(quoted("letter", report.letter.as_ref()));
    said.push(when("graded at", &report.graded_at));
    said.extend(plain("by", report.graded_by.as_ref()));
    said.extend(plain("submission", report.submission.as_ref()));
    said.extend(plain("course", report.course.as_ref()));
    (format!("RecordGrade of student {} in assessment {}", report.student, report.assessment), said)
}

fn transcoding(report: &TranscodingReport) -> (String, Vec<String>) {
    let mut said = Vec::new();
    match &report.result {
        VideoResult::Ready { playback_url, duration_seconds, thumbnail_url, renditions } => {
            said.push("ready".to_owned());
            said.extend(quoted("url", playback_url.as_ref()));
            said.extend(duration_seconds.map(|seconds| format!("{seconds} s")));
            said.extend(quoted("thumbnail", thumbnail_url.as_ref()));
            for one in renditions {
                let size =
                    one.width.zip(one.height).map(|(width, height)| format!(" {width}x{height}"));
                let rate = one.bitrate_kbps.map(|rate| format!(" {rate} kbit/s"));
                let (size, rate) = (size.unwrap_or_default(), rate.unwrap_or_default());
                said.push(format!("rendition {:?}{size}{rate} {:?}", one.quality, one.url));
            }
        }
        VideoResult::Failed { reason } => {
            said.push("failed".to_owned());
            said.extend(quoted("reason", reason.as_ref()));
        }
    }
    (format!("RecordTranscoding of video {}", report.video), said)
}

fn patch<T>(name: &str, patch: &Patch<T>, show: impl FnOnce(&T) -> String) -> Option<String> {
    match patch {
        Patch::Keep => None,
        Patch::Clear => Some(format!("{name} cleared")),
        Patch::Set(value) => Some(format!("{name} {}", show(value))),
    }
}

fn plain(name: &str, value: Option<&impl Display>) -> Option<String> {
    value.map(|value| format!("{name} {value}"))
}

/// Texts of others may hold what a terminal obeys.
fn quoted(name: &str, value: Option<&impl Debug>) -> Option<String> {
    value.map(|value| format!("{name} {value:?}"))
}

/// The record's own time is not always known.
fn when(name: &str, at: &DateTime<Utc>) -> String {
    if *at == DateTime::UNIX_EPOCH {
        format!("{name} the record's time")
    } else {
        format!("{name} {}", time(at))
    }
}

fn time(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

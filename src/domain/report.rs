//! What other services report: facts, not wishes, so they are recorded rather than allowed. An absent field says
//! nothing; most reports are partial.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{AssessmentId, CourseId, ModuleId, SubmissionId, UserId, VideoId};
use super::values::Patch;

/// How new a report is, in one total order: of two reports about a field the greater one holds, whatever the order in
/// which they arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Milliseconds since 1970, by the reporting service, else by Kafka.
    pub at: i64,
    /// The reporting service's version of the object; 0 where it gives none.
    pub version: i64,
    /// The first eight bytes of the SHA-256 of the canonical value: ties are decided alike everywhere.
    pub hash: u64,
}

/// A name or an address: personal data, which never reaches a log or an error text.
#[derive(Clone, PartialEq, Eq)]
pub struct Personal(pub String);

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(personal)")
    }
}

/// A report of any kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// Of User-Creation and User-Update.
    User(UserReport),
    /// Of Assessment-Creation.
    Assessment(AssessmentReport),
    /// Of Submission-Completed.
    Submission(SubmissionReport),
    /// Of Grading-Completed.
    Grade(GradeReport),
    /// Of Transcoding-Completed.
    Transcoding(TranscodingReport),
}

/// A user came into being or changed.
#[derive(Debug, Clone, PartialEq)]
pub struct UserReport {
    /// Who.
    pub user: UserId,
    /// Whether this is the creation.
    pub created: bool,
    /// What they are called; at most 255 characters.
    pub display_name: Patch<Personal>,
    /// Their e-mail address; at most 320 bytes.
    pub email: Patch<Personal>,
    /// Their role in lower case; 1 to 64 bytes.
    pub role: Option<String>,
    /// Whether they may act at all.
    pub active: Option<bool>,
}

/// An assessment of a course came into being or changed.
#[derive(Debug, Clone, PartialEq)]
pub struct AssessmentReport {
    /// Which.
    pub assessment: AssessmentId,
    /// Whose.
    pub course: CourseId,
    /// The module that should show it.
    pub module: Patch<ModuleId>,
    /// 1 to 255 characters.
    pub title: Option<String>,
    /// What the assessment service calls its kind; 1 to 64 bytes.
    pub kind: Patch<String>,
    /// The score of a perfect result: above 0.
    pub max_score: Option<f64>,
    /// How much it counts in the final score: 0 or more.
    pub weight: Option<f64>,
    /// When it is due.
    pub due_at: Patch<DateTime<Utc>>,
    /// Whether it counts in the final score.
    pub required: Option<bool>,
}

/// A student submitted an assessment.
#[derive(Debug, Clone, PartialEq)]
pub struct SubmissionReport {
    /// Which submission.
    pub submission: SubmissionId,
    /// Of what.
    pub assessment: AssessmentId,
    /// By whom.
    pub student: UserId,
    /// In which course; else found by the assessment.
    pub course: Option<CourseId>,
    /// When.
    pub submitted_at: DateTime<Utc>,
    /// Which attempt the submitting service calls it, from 1.
    pub attempt: Option<u32>,
}

/// A result was graded.
#[derive(Debug, Clone, PartialEq)]
pub struct GradeReport {
    /// Which submission, where the grading service says so.
    pub submission: Option<SubmissionId>,
    /// Of what.
    pub assessment: AssessmentId,
    /// Whose.
    pub student: UserId,
    /// In which course; else found by the assessment.
    pub course: Option<CourseId>,
    /// Points.
    pub score: Option<f64>,
    /// Points of a perfect result: above 0; else the assessment's.
    pub max_score: Option<f64>,
    /// Percent, where the grading service computed it.
    pub percentage: Option<f64>,
    /// A letter or word; 1 to 32 bytes.
    pub letter: Option<String>,
    /// When.
    pub graded_at: DateTime<Utc>,
    /// By whom.
    pub graded_by: Option<UserId>,
}

/// The transcoding of a video ended.
#[derive(Debug, Clone, PartialEq)]
pub struct TranscodingReport {
    /// Which video.
    pub video: VideoId,
    /// How.
    pub result: VideoResult,
}

/// What became of a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "UPPERCASE")]
pub enum VideoResult {
    /// It can be played.
    Ready {
        /// Where; at most 2,048 bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        playback_url: Option<String>,
        /// How long it is, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duration_seconds: Option<f64>,
        /// A picture of it; at most 2,048 bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thumbnail_url: Option<String>,
        /// At most 32.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        renditions: Vec<Rendition>,
    },
    /// It cannot be played.
    Failed {
        /// Why; at most 1 KiB.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// One encoding of a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rendition {
    /// What the transcoding service calls it, such as `720p`; 1 to 64 bytes.
    pub quality: String,
    /// Where it is; at most 2,048 bytes.
    pub url: String,
    /// Pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Kilobits a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate_kbps: Option<u32>,
}

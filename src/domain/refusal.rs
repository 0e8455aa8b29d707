//! Refusals: what the domain says no to, with a stable code, the field meant and a sentence for the caller.

use serde::{Deserialize, Serialize};

/// Stable error codes. Never rename one: clients branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Code {
    ValidationFailed,
    NotFound,
    Forbidden,
    Conflict,
    IllegalTransition,
    CourseCodeTaken,
    CourseIdTaken,
    CourseNotPublished,
    CourseFull,
    EnrollmentClosed,
    AlreadyEnrolled,
    NotEnrolled,
    ModuleNotFound,
    ModuleOrderMismatch,
    SeatsTaken,
    IdempotencyKeyReused,
    LastInstructor,
    LimitExceeded,
}

impl Code {
    /// The code as it stands in answers, metrics and dead letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValidationFailed => "VALIDATION_FAILED",
            Self::NotFound => "NOT_FOUND",
            Self::Forbidden => "FORBIDDEN",
            Self::Conflict => "CONFLICT",
            Self::IllegalTransition => "ILLEGAL_TRANSITION",
            Self::CourseCodeTaken => "COURSE_CODE_TAKEN",
            Self::CourseIdTaken => "COURSE_ID_TAKEN",
            Self::CourseNotPublished => "COURSE_NOT_PUBLISHED",
            Self::CourseFull => "COURSE_FULL",
            Self::EnrollmentClosed => "ENROLLMENT_CLOSED",
            Self::AlreadyEnrolled => "ALREADY_ENROLLED",
            Self::NotEnrolled => "NOT_ENROLLED",
            Self::ModuleNotFound => "MODULE_NOT_FOUND",
            Self::ModuleOrderMismatch => "MODULE_ORDER_MISMATCH",
            Self::SeatsTaken => "SEATS_TAKEN",
            Self::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::LastInstructor => "LAST_INSTRUCTOR",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
        }
    }
}

/// Why a command was refused. Holds nothing that the caller may not see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field breaks its rule.
    #[error("{field} {rule}")]
    Invalid {
        /// The input field.
        field: &'static str,
        /// What it must be, as the end of a sentence.
        rule: &'static str,
    },
    /// No such object, or none that the caller may see.
    #[error("no such {object}")]
    NotFound {
        /// What was looked for.
        object: &'static str,
        /// The input field that named it.
        field: &'static str,
    },
    /// The caller may not do this.
    #[error("you may not do this: {rule}")]
    Forbidden {
        /// Who may.
        rule: &'static str,
    },
    /// The object has another version than the caller expected.
    #[error("the {object} has version {actual}, not the expected {expected}")]
    VersionConflict {
        /// What it is about.
        object: &'static str,
        /// What the caller expected.
        expected: u64,
        /// What it has.
        actual: u64,
    },
    /// The lifecycle has no such step.
    #[error("a {object} that is {status} cannot {verb}")]
    IllegalTransition {
        /// What it is about.
        object: &'static str,
        /// Its status.
        status: &'static str,
        /// What was asked of it.
        verb: &'static str,
    },
    /// Another course that is not deleted has this code.
    #[error("another course has this code already")]
    CodeTaken,
    /// A course with this id exists already.
    #[error("a course with this id exists already")]
    CourseIdTaken,
    /// Enrolling and completing items need a published course.
    #[error("the course is not published")]
    CourseNotPublished,
    /// No seat is free and the caller declined the waitlist.
    #[error("every seat is taken")]
    CourseFull,
    /// Outside of the enrollment window, or the capacity is 0.
    #[error("enrollment is closed")]
    EnrollmentClosed,
    /// The student has a seat or waits for one.
    #[error("the student is enrolled already")]
    AlreadyEnrolled,
    /// The student was never enrolled.
    #[error("the student is not enrolled")]
    NotEnrolled,
    /// The course has no such module.
    #[error("the course has no such module")]
    ModuleNotFound,
    /// The caller has used this idempotency key for something else.
    #[error("this key came with another input already; take a new one")]
    IdempotencyKeyReused,
    /// The course has seats taken and `force` was not given.
    #[error("{taken} seats are taken; pass force to delete all the same")]
    SeatsTaken {
        /// How many.
        taken: u32,
    },
    /// The course has seats taken or students who wait.
    #[error(
        "{taken} seats are taken and {waiting} students wait for one; unpublishing needs none of both"
    )]
    SeatsInUse {
        /// How many have a seat.
        taken: u32,
        /// How many wait.
        waiting: u32,
    },
    /// An order that leaves something out, names it twice or names what is not there.
    #[error("{field} must name every {object} exactly once and nothing else")]
    OrderMismatch {
        /// The input field.
        field: &'static str,
        /// What is put in order.
        object: &'static str,
    },
    /// Somebody must teach the course.
    #[error("the last instructor of a course cannot be removed")]
    LastInstructor,
    /// A limit on size or number would be passed.
    #[error("{field} would pass its limit: {rule}")]
    LimitExceeded {
        /// The input field.
        field: &'static str,
        /// The limit.
        rule: &'static str,
    },
}

impl Refusal {
    /// A field that breaks its rule.
    pub const fn invalid(field: &'static str, rule: &'static str) -> Self {
        Self::Invalid { field, rule }
    }

    /// No such course, or none that the caller may see.
    pub const fn course_not_found() -> Self {
        Self::NotFound { object: "course", field: "courseId" }
    }

    /// No such enrollment, or none that the caller may see.
    pub const fn enrollment_not_found() -> Self {
        Self::NotFound { object: "enrollment", field: "enrollmentId" }
    }

    /// No such module item, or none that the caller may see.
    pub const fn item_not_found() -> Self {
        Self::NotFound { object: "module item", field: "moduleItemId" }
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid { .. } => Code::ValidationFailed,
            Self::NotFound { .. } => Code::NotFound,
            Self::Forbidden { .. } => Code::Forbidden,
            Self::VersionConflict { .. } => Code::Conflict,
            Self::IllegalTransition { .. } => Code::IllegalTransition,
            Self::CodeTaken => Code::CourseCodeTaken,
            Self::CourseIdTaken => Code::CourseIdTaken,
            Self::CourseNotPublished => Code::CourseNotPublished,
            Self::CourseFull => Code::CourseFull,
            Self::EnrollmentClosed => Code::EnrollmentClosed,
            Self::AlreadyEnrolled => Code::AlreadyEnrolled,
            Self::NotEnrolled => Code::NotEnrolled,
            Self::ModuleNotFound => Code::ModuleNotFound,
            Self::IdempotencyKeyReused => Code::IdempotencyKeyReused,
            Self::SeatsTaken { .. } | Self::SeatsInUse { .. } => Code::SeatsTaken,
            Self::OrderMismatch { .. } => Code::ModuleOrderMismatch,
            Self::LastInstructor => Code::LastInstructor,
            Self::LimitExceeded { .. } => Code::LimitExceeded,
        }
    }

    /// The input field that the refusal is about, in the API's spelling.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Invalid { field, .. }
            | Self::NotFound { field, .. }
            | Self::OrderMismatch { field, .. }
            | Self::LimitExceeded { field, .. } => Some(field),
            Self::VersionConflict { .. } => Some("expectedVersion"),
            Self::CodeTaken => Some("code"),
            Self::IdempotencyKeyReused => Some("idempotencyKey"),
            Self::CourseIdTaken => Some("id"),
            Self::ModuleNotFound => Some("moduleId"),
            Self::SeatsTaken { .. } => Some("force"),
            Self::LastInstructor => Some("instructorId"),
            _ => None,
        }
    }
}

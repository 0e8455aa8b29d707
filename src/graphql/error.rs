//! Errors as the API shows them: one table from refusals to `userErrors`, one for failures to `errors[]`.

use async_graphql::{Enum, Error, ErrorExtensions, SimpleObject};

use crate::commands::CommandError;
use crate::domain::{Code, Refusal};
use crate::projections::checkpoint::WaitError;

/// Stable error codes, in `userErrors` and in `errors[].extensions.code` alike.
#[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorCode {
    /// A field of the input breaks its rule; the message names both.
    ValidationFailed,
    /// No such object, or none that the caller may see.
    NotFound,
    /// No token, or one that is not valid.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// The object has another version than expected: read it again.
    Conflict,
    /// The lifecycle has no such step.
    IllegalTransition,
    /// Another course that is not deleted has this code.
    CourseCodeTaken,
    /// A course with this id exists already.
    CourseIdTaken,
    /// Enrolling needs a published course.
    CourseNotPublished,
    /// Every seat is taken and the caller declined the waitlist.
    CourseFull,
    /// Outside of the enrollment window, or the course has no seats.
    EnrollmentClosed,
    /// The student has a seat or waits for one.
    AlreadyEnrolled,
    /// The student is not enrolled.
    NotEnrolled,
    /// The course has no such module.
    ModuleNotFound,
    /// Seats are taken; deleting needs `force`.
    SeatsTaken,
    /// A limit on size or number would be passed.
    LimitExceeded,
    /// The user management service does not answer; try again.
    UserServiceUnavailable,
    /// No answer in time: the command may or may not have been carried out.
    Timeout,
    /// Too much is under way; try again.
    RateLimited,
    /// The read model has not reached `minPosition`; try again.
    ProjectionLagging,
    /// A fault of ours. The correlation id finds it in the log.
    Internal,
}

impl ErrorCode {
    /// The code as text.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ValidationFailed => "VALIDATION_FAILED",
            Self::NotFound => "NOT_FOUND",
            Self::Unauthenticated => "UNAUTHENTICATED",
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
            Self::SeatsTaken => "SEATS_TAKEN",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::UserServiceUnavailable => "USER_SERVICE_UNAVAILABLE",
            Self::Timeout => "TIMEOUT",
            Self::RateLimited => "RATE_LIMITED",
            Self::ProjectionLagging => "PROJECTION_LAGGING",
            Self::Internal => "INTERNAL",
        }
    }

    fn retryable(self) -> bool {
        matches!(
            self,
            Self::UserServiceUnavailable
                | Self::Timeout
                | Self::RateLimited
                | Self::ProjectionLagging
                | Self::Internal
        )
    }
}

impl From<Code> for ErrorCode {
    fn from(code: Code) -> Self {
        match code {
            Code::ValidationFailed => Self::ValidationFailed,
            Code::NotFound => Self::NotFound,
            Code::Forbidden => Self::Forbidden,
            Code::Conflict => Self::Conflict,
            Code::IllegalTransition => Self::IllegalTransition,
            Code::CourseCodeTaken => Self::CourseCodeTaken,
            Code::CourseIdTaken => Self::CourseIdTaken,
            Code::CourseNotPublished => Self::CourseNotPublished,
            Code::CourseFull => Self::CourseFull,
            Code::EnrollmentClosed => Self::EnrollmentClosed,
            Code::AlreadyEnrolled => Self::AlreadyEnrolled,
            Code::NotEnrolled => Self::NotEnrolled,
            Code::ModuleNotFound => Self::ModuleNotFound,
            Code::SeatsTaken => Self::SeatsTaken,
            Code::LimitExceeded => Self::LimitExceeded,
        }
    }
}

/// What the domain says no to. Nothing was changed.
#[derive(Debug, Clone, SimpleObject)]
pub(super) struct UserError {
    /// The path into the arguments, where one field is meant.
    field: Option<Vec<String>>,
    /// A sentence for people.
    message: String,
    /// A stable code for programs.
    code: ErrorCode,
    /// Whether the same request may succeed later.
    retryable: bool,
}

impl UserError {
    /// Of a caller who sent no token.
    pub(super) fn unauthenticated() -> Self {
        let message = "this needs a token: `Authorization: Bearer …`".to_owned();
        Self { field: None, message, code: ErrorCode::Unauthenticated, retryable: false }
    }
}

impl From<Refusal> for UserError {
    fn from(refusal: Refusal) -> Self {
        Self {
            field: refusal.field().map(|field| vec!["input".to_owned(), field.to_owned()]),
            message: refusal.to_string(),
            code: refusal.code().into(),
            retryable: refusal.retryable(),
        }
    }
}

/// An entry of `errors[]`.
pub(super) fn failure(code: ErrorCode, message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| {
        extensions.set("code", code.as_str());
        extensions.set("retryable", code.retryable());
    })
}

/// A fault of ours: logged once, here, with its causes; the caller hears only that it is one.
pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Error {
    tracing::error!(error, "a GraphQL request failed");
    failure(ErrorCode::Internal, "something went wrong on our side; try again")
}

/// A read that failed.
pub(super) fn read_failed(error: &sqlx::Error) -> Error {
    internal(error)
}

/// A command's error: data where the domain says no, else an entry of `errors[]`.
pub(super) fn refused(error: CommandError) -> Result<UserError, Error> {
    match error {
        CommandError::Refused(refusal) => Ok(refusal.into()),
        CommandError::Timeout => Err(failure(
            ErrorCode::Timeout,
            "no answer in time; the command may or may not have been carried out",
        )),
        CommandError::Overloaded => {
            Err(failure(ErrorCode::RateLimited, "too many commands are under way; try again"))
        }
        error @ CommandError::Failed(_) => Err(internal(&error)),
    }
}

/// A wait for a position that was in vain.
pub(super) fn wait_failed(error: &WaitError) -> Error {
    match error {
        WaitError::Lagging => failure(ErrorCode::ProjectionLagging, error.to_string()),
        WaitError::ForeignEpoch => failure(
            ErrorCode::ValidationFailed,
            "minPosition is of another epoch: the database has been restored since; read without it",
        ),
        WaitError::Database(error) => internal(error),
    }
}

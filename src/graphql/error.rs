//! Errors as the API shows them: one table from refusals to `userErrors`, one for failures to `errors[]`.

use async_graphql::{
    Enum, Error, ErrorExtensionValues, ErrorExtensions, ServerError, SimpleObject,
};

use crate::commands::CommandError;
use crate::domain::{Code, Refusal};
use crate::projections::checkpoint::WaitError;

/// The longest message of an error, in bytes.
const MAX_MESSAGE: usize = 1_000;

/// All that a caller hears of a fault of ours.
const SOMETHING_WENT_WRONG: &str = "something went wrong on our side; try again";

/// The catalogue of error codes: what each means, which is its description in the schema, whether another try makes
/// sense, and what the client should do. The README holds it as a table.
macro_rules! catalogue {
    ($(#[doc = $meaning:literal] $variant:ident = $name:literal, retryable: $retryable:literal, $advice:literal;)+) => {
        /// Stable error codes, in `userErrors` and in `errors[].extensions.code` alike.
        #[derive(Debug, Enum, Clone, Copy, PartialEq, Eq)]
        pub(super) enum ErrorCode {
            $(#[doc = $meaning] $variant,)+
        }

        impl ErrorCode {
            const ALL: &[Self] = &[$(Self::$variant),+];

            /// The code as text.
            pub(super) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// Whether another try makes sense.
            fn retryable(self) -> bool {
                match self {
                    $(Self::$variant => $retryable,)+
                }
            }

            fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning.trim_ascii(),)+
                }
            }

            fn advice(self) -> &'static str {
                match self {
                    $(Self::$variant => $advice,)+
                }
            }
        }
    };
}

catalogue! {
    /// The request or a field of its input breaks a rule; the message names both.
    ValidationFailed = "VALIDATION_FAILED", retryable: false, "Correct what the message names.";
    /// No such object, or none that the caller may see.
    NotFound = "NOT_FOUND", retryable: false, "Check the id, and who is calling.";
    /// No token, or one that is not valid.
    Unauthenticated = "UNAUTHENTICATED", retryable: false, "Get a new token.";
    /// The caller may not do this.
    Forbidden = "FORBIDDEN", retryable: false, "Ask somebody who may.";
    /// The object has another version than expected.
    Conflict = "CONFLICT", retryable: true, "Read the object again and decide anew, with its version.";
    /// The lifecycle has no such step.
    IllegalTransition = "ILLEGAL_TRANSITION", retryable: false, "Read the object: its status has changed.";
    /// Another course that is not deleted has this code, in upper or lower case.
    CourseCodeTaken = "COURSE_CODE_TAKEN", retryable: false, "Choose another code.";
    /// A course with this id exists already.
    CourseIdTaken = "COURSE_ID_TAKEN", retryable: false, "Choose another id, or none.";
    /// Enrolling and completing items need a published course.
    CourseNotPublished = "COURSE_NOT_PUBLISHED", retryable: false, "Wait until the course is published.";
    /// Every seat is taken and the caller declined the waitlist.
    CourseFull = "COURSE_FULL", retryable: false, "Join the waitlist.";
    /// Outside of the enrollment window, or the course has no seats.
    EnrollmentClosed = "ENROLLMENT_CLOSED", retryable: false, "Show the enrollment window.";
    /// The student has a seat or waits for one.
    AlreadyEnrolled = "ALREADY_ENROLLED", retryable: false, "Nothing: what was wished for holds.";
    /// The student is not enrolled.
    NotEnrolled = "NOT_ENROLLED", retryable: false, "Enroll the student first.";
    /// The course has no such module.
    ModuleNotFound = "MODULE_NOT_FOUND", retryable: false, "Read the modules of the course again.";
    /// The order leaves something out, names it twice or names what is not there.
    ModuleOrderMismatch = "MODULE_ORDER_MISMATCH", retryable: false, "Read the modules or items again, and name each once.";
    /// Seats are taken: deleting needs `force`; unpublishing needs that nobody waits either.
    SeatsTaken = "SEATS_TAKEN", retryable: false, "Let a person confirm, then pass `force`; archive instead of unpublishing.";
    /// Somebody must teach the course.
    LastInstructor = "LAST_INSTRUCTOR", retryable: false, "Assign another instructor first.";
    /// The caller has used this idempotency key with another input already.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", retryable: false, "Take a new key for each intention.";
    /// A limit on size or number would be passed; in `errors[]`, `extensions.limit` says which.
    LimitExceeded = "LIMIT_EXCEEDED", retryable: false, "Ask for less: fewer fields, smaller pages, several requests.";
    /// The server does not have the document with this hash.
    PersistedQueryNotFound = "PERSISTED_QUERY_NOT_FOUND", retryable: false, "Send the document together with its hash.";
    /// This way to refer to a persisted document is not known here.
    PersistedQueryNotSupported = "PERSISTED_QUERY_NOT_SUPPORTED", retryable: false, "Send the document itself.";
    /// The user management service does not answer, so nobody knows who is calling. Nothing was done.
    UserServiceUnavailable = "USER_SERVICE_UNAVAILABLE", retryable: true, "Try again, ever more slowly.";
    /// No answer in time: a command may or may not have been carried out.
    Timeout = "TIMEOUT", retryable: true, "Send it again with the same `idempotencyKey`; without one, read first what became of it.";
    /// Too much is under way. Nothing was done.
    RateLimited = "RATE_LIMITED", retryable: true, "Try again, ever more slowly.";
    /// The read model has not reached `minPosition` in time.
    ProjectionLagging = "PROJECTION_LAGGING", retryable: true, "Try again, or read without `minPosition`.";
    /// What is asked for has no past: it cannot be read under `asOf`.
    AsOfUnsupported = "AS_OF_UNSUPPORTED", retryable: false, "Leave the field out, or read it without `asOf`.";
    /// A fault of ours. The correlation id finds it in the log.
    Internal = "INTERNAL", retryable: true, "Try again; where it stays, report the correlation id.";
}

/// The catalogue in Markdown. The README holds exactly this.
pub fn error_codes_markdown() -> String {
    let rows = ErrorCode::ALL.iter().map(|code| {
        let retryable = if code.retryable() { "yes" } else { "no" };
        format!("| `{}` | {} | {} | {retryable} |\n", code.as_str(), code.meaning(), code.advice())
    });
    ["| code | meaning | what to do | retryable |\n|---|---|---|---|\n".to_owned()]
        .into_iter()
        .chain(rows)
        .collect()
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
            Code::ModuleOrderMismatch => Self::ModuleOrderMismatch,
            Code::SeatsTaken => Self::SeatsTaken,
            Code::IdempotencyKeyReused => Self::IdempotencyKeyReused,
            Code::LastInstructor => Self::LastInstructor,
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
    /// Whether another try makes sense.
    retryable: bool,
}

impl UserError {
    /// Of a caller who sent no token.
    pub(super) fn unauthenticated() -> Self {
        let message = "this needs a token: `Authorization: Bearer …`".to_owned();
        Self { field: None, message, code: ErrorCode::Unauthenticated, retryable: false }
    }
}

impl UserError {
    /// A field of the input that breaks its rule, which is only known while running.
    pub(super) fn invalid(field: &str, message: String) -> Self {
        let field = Some(vec!["input".to_owned(), field.to_owned()]);
        Self { field, message, code: ErrorCode::ValidationFailed, retryable: false }
    }
}

impl From<Refusal> for UserError {
    fn from(refusal: Refusal) -> Self {
        let code = ErrorCode::from(refusal.code());
        Self {
            field: refusal.field().map(|field| vec!["input".to_owned(), field.to_owned()]),
            message: refusal.to_string(),
            code,
            retryable: code.retryable(),
        }
    }
}

/// An entry of `errors[]` that no field has made.
pub(super) fn server_error(code: ErrorCode, message: impl Into<String>) -> ServerError {
    let mut error = ServerError::new(message, None);
    describe(error.extensions.get_or_insert_default(), code);
    error
}

/// What every entry of `errors[]` says of its code.
fn describe(extensions: &mut ErrorExtensionValues, code: ErrorCode) {
    extensions.set("code", code.as_str());
    extensions.set("retryable", code.retryable());
}

/// An entry of `errors[]`.
pub(super) fn failure(code: ErrorCode, message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| describe(extensions, code))
}

/// Gives the errors that async-graphql makes itself their code, and takes from them what is nobody's business.
pub(super) fn complete(error: &mut ServerError, correlation_id: &str) {
    let coded =
        error.extensions.as_ref().is_some_and(|extensions| extensions.get("code").is_some());
    if !coded && error.source.take().is_some() {
        // Made by `?` in a resolver, instead of by one of the functions here.
        tracing::error!(error = error.message, "a GraphQL request failed");
        SOMETHING_WENT_WRONG.clone_into(&mut error.message);
        describe(error.extensions.get_or_insert_default(), ErrorCode::Internal);
    } else if !coded {
        // A document that does not parse or is not valid, or a value that does not fit its type.
        describe(error.extensions.get_or_insert_default(), ErrorCode::ValidationFailed);
    }
    shorten(&mut error.message);
    error.extensions.get_or_insert_default().set("correlationId", correlation_id);
}

/// A parser quotes the line that it stumbles over, which may be the whole document.
fn shorten(message: &mut String) {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
}

/// A fault of ours: logged once, here, with its causes; the caller hears only that it is one.
pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Error {
    tracing::error!(error, "a GraphQL request failed");
    failure(ErrorCode::Internal, SOMETHING_WENT_WRONG)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_code_is_the_same_everywhere() {
        for code in ErrorCode::ALL {
            assert_eq!(async_graphql::Name::new(code.as_str()), enum_name(*code), "{code:?}");
            assert!(!code.meaning().is_empty() && !code.advice().is_empty(), "{code:?}");
        }
        assert_eq!(ErrorCode::from(Code::SeatsTaken).as_str(), Code::SeatsTaken.as_str());
    }

    fn enum_name(code: ErrorCode) -> async_graphql::Name {
        let items = <ErrorCode as async_graphql::resolver_utils::EnumType>::items();
        let item = items.iter().find(|item| item.value == code).unwrap();
        async_graphql::Name::new(item.name)
    }

    #[test]
    fn errors_of_the_library_get_a_code_and_keep_no_secret() {
        let mut invalid = ServerError::new("x".repeat(2_000), None);
        complete(&mut invalid, "c-1");
        let extensions = serde_json::to_value(&invalid.extensions).unwrap();
        let expected = serde_json::json!(
            { "code": "VALIDATION_FAILED", "retryable": false, "correlationId": "c-1" }
        );
        assert_eq!(extensions, expected);
        assert!(invalid.message.len() < 1_010);

        let leaked = Error::from(std::io::Error::other("password"));
        let mut leaked = leaked.into_server_error(async_graphql::Pos::default());
        complete(&mut leaked, "c-1");
        assert_eq!(leaked.message, SOMETHING_WENT_WRONG);
        assert_eq!(serde_json::to_value(&leaked.extensions).unwrap()["code"], "INTERNAL");

        let mut ours = server_error(ErrorCode::Timeout, "late");
        complete(&mut ours, "c-1");
        assert_eq!(ours.message, "late");
        assert_eq!(serde_json::to_value(&ours.extensions).unwrap()["code"], "TIMEOUT");
    }
}

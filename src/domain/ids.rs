//! Identifiers. The same text stands in GraphQL, on Kafka and in the log.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::refusal::Refusal;

/// The namespace of the name-based enrollment ids (RFC 9562, `UUIDv5`). Never change it.
const ENROLLMENT_NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_3c52_1b0e_5d7a_9a43_52c8_7be0_41f9);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// A course: 1..64 characters of `[A-Za-z0-9_-]`. Ours are `UUIDv7`; those taken over stay as they are.
    CourseId
}
id! {
    /// A module of a course; the same form as a course id.
    ModuleId
}
id! {
    /// An item of a module; the same form as a course id.
    ItemId
}
id! {
    /// A video of the transcoding service: a trimmed text of 1..256 bytes.
    VideoId
}
id! {
    /// An assessment of the assessment service: a trimmed text of 1..256 bytes.
    AssessmentId
}
id! {
    /// A submission of an assessment: a trimmed text of 1..256 bytes.
    SubmissionId
}
id! {
    /// A user (student, instructor, admin) as the user management service names them: a trimmed text of 1..128 bytes.
    UserId
}
id! {
    /// An enrollment: the `UUIDv5` of its course and student, so one student has one per course.
    EnrollmentId
}

fn opaque(text: &str, field: &'static str) -> Result<Arc<str>, Refusal> {
    let lawful = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if lawful {
        Ok(text.into())
    } else {
        Err(Refusal::invalid(field, "must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -"))
    }
}

macro_rules! our_id {
    ($($name:ident),*) => {$(
        impl $name {
            /// Reads an id that a caller gave.
            pub fn parse(text: &str, field: &'static str) -> Result<Self, Refusal> {
                opaque(text, field).map(Self)
            }

            /// An id of our own.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid.to_string().into())
            }
        }
    )*};
}
our_id!(CourseId, ModuleId, ItemId);

/// Surrounding white space is not part of an id that another service gave.
fn foreign(text: &str, longest: usize) -> Option<Arc<str>> {
    let text = text.trim();
    let lawful = (1..=longest).contains(&text.len()) && !text.chars().any(char::is_control);
    lawful.then(|| text.into())
}

impl UserId {
    /// Reads a user's id: surrounding white space is not part of it.
    pub fn parse(text: &str, field: &'static str) -> Result<Self, Refusal> {
        let rule = "must be 1 to 128 bytes without control characters";
        foreign(text, 128).map(Self).ok_or(Refusal::invalid(field, rule))
    }
}

macro_rules! reference {
    ($($name:ident),*) => {$(
        impl $name {
            /// Reads a reference: surrounding white space is not part of it.
            pub fn parse(text: &str, field: &'static str) -> Result<Self, Refusal> {
                let rule = "must be 1 to 256 bytes without control characters";
                foreign(text, 256).map(Self).ok_or(Refusal::invalid(field, rule))
            }
        }
    )*};
}
reference!(VideoId, AssessmentId, SubmissionId);

impl EnrollmentId {
    /// The id of `student`'s enrollment in `course`. A course id holds no `/`, so no two pairs share a name.
    pub fn of(course: &CourseId, student: &UserId) -> Self {
        let name = format!("{course}/{student}");
        Self(Uuid::new_v5(&ENROLLMENT_NAMESPACE, name.as_bytes()).to_string().into())
    }

    /// Reads an id that a caller gave.
    pub fn parse(text: &str, field: &'static str) -> Result<Self, Refusal> {
        opaque(text, field).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enrollment_id_is_the_same_for_ever() {
        let course = CourseId::parse("c1", "courseId").unwrap();
        let student = UserId::parse(" sam ", "studentId").unwrap();
        assert_eq!(EnrollmentId::of(&course, &student).as_str(), ENROLLMENT_OF_C1_AND_SAM);
    }

    const ENROLLMENT_OF_C1_AND_SAM: &str = "56afe33f-e6fd-5992-b5ba-8e24758e4ebc";

    #[test]
    fn ids_of_the_old_service_are_lawful() {
        assert!(CourseId::parse("64f1a2b3c4d5e6f708192a3b", "id").is_ok());
    }

    #[test]
    fn unlawful_course_ids_are_refused_with_the_field() {
        for text in ["", "a b", "ü", "a\u{0}", &"x".repeat(65)] {
            let refusal = CourseId::parse(text, "courseId").unwrap_err();
            assert_eq!(refusal.field(), Some("courseId"), "{text:?}");
        }
    }
}

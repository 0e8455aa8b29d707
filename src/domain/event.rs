//! Every event of every stream, as the log holds them.

use cqrs_es::Aggregate;
use serde_json::Value;

use super::course::{Course, CourseEvent};
use super::enrollment::{Enrollment, EnrollmentEvent};
use super::seats::{Seats, SeatsEvent};
use super::user::{User, UserEvent};

/// The kinds of stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StreamType {
    /// A course's content, by course id.
    Course,
    /// A course's seats, by course id.
    Seats,
    /// A student's history in a course, by enrollment id.
    Enrollment,
    /// The replica of a user, by user id.
    User,
}

impl StreamType {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Course, Self::Seats, Self::Enrollment, Self::User];

    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Course => Course::TYPE,
            Self::Seats => Seats::TYPE,
            Self::Enrollment => Enrollment::TYPE,
            Self::User => User::TYPE,
        }
    }

    /// The kind with this stored name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.as_str() == name)
    }
}

/// An event of any stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Of a course.
    Course(CourseEvent),
    /// Of a course's seats.
    Seats(SeatsEvent),
    /// Of an enrollment.
    Enrollment(EnrollmentEvent),
    /// Of a user.
    User(UserEvent),
}

impl Event {
    /// The kind of stream that it belongs to.
    pub fn stream_type(&self) -> StreamType {
        match self {
            Self::Course(_) => StreamType::Course,
            Self::Seats(_) => StreamType::Seats,
            Self::Enrollment(_) => StreamType::Enrollment,
            Self::User(_) => StreamType::User,
        }
    }

    /// The stored type name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Course(event) => event.name(),
            Self::Seats(event) => event.name(),
            Self::Enrollment(event) => event.name(),
            Self::User(event) => event.name(),
        }
    }

    /// The stored version of the type's shape.
    pub fn version(&self) -> String {
        use cqrs_es::DomainEvent;
        match self {
            Self::Course(event) => event.event_version(),
            Self::Seats(event) => event.event_version(),
            Self::Enrollment(event) => event.event_version(),
            Self::User(event) => event.event_version(),
        }
    }

    /// The stored payload, as postgres-es's tools read it.
    pub fn to_json(&self) -> serde_json::Result<String> {
        match self {
            Self::Course(event) => serde_json::to_string(event),
            Self::Seats(event) => serde_json::to_string(event),
            Self::Enrollment(event) => serde_json::to_string(event),
            Self::User(event) => serde_json::to_string(event),
        }
    }

    /// Reads the text of a stored payload of the newest version.
    pub fn from_text(stream: StreamType, payload: &str) -> serde_json::Result<Self> {
        Ok(match stream {
            StreamType::Course => Self::Course(serde_json::from_str(payload)?),
            StreamType::Seats => Self::Seats(serde_json::from_str(payload)?),
            StreamType::Enrollment => Self::Enrollment(serde_json::from_str(payload)?),
            StreamType::User => Self::User(serde_json::from_str(payload)?),
        })
    }

    /// Reads a stored payload of the newest version.
    pub fn from_json(stream: StreamType, payload: Value) -> serde_json::Result<Self> {
        Ok(match stream {
            StreamType::Course => Self::Course(serde_json::from_value(payload)?),
            StreamType::Seats => Self::Seats(serde_json::from_value(payload)?),
            StreamType::Enrollment => Self::Enrollment(serde_json::from_value(payload)?),
            StreamType::User => Self::User(serde_json::from_value(payload)?),
        })
    }
}

impl From<CourseEvent> for Event {
    fn from(event: CourseEvent) -> Self {
        Self::Course(event)
    }
}

impl From<SeatsEvent> for Event {
    fn from(event: SeatsEvent) -> Self {
        Self::Seats(event)
    }
}

impl From<UserEvent> for Event {
    fn from(event: UserEvent) -> Self {
        Self::User(event)
    }
}

impl From<EnrollmentEvent> for Event {
    fn from(event: EnrollmentEvent) -> Self {
        Self::Enrollment(event)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    /// The stored name of every event. A new one does not compile until it is listed here, and then lacks its fixture.
    macro_rules! frozen_names {
        ($($stream:ident($events:ident::$name:ident)),* $(,)?) => {
            const NAMES: &[(StreamType, &str)] = &[$((StreamType::$stream, stringify!($name))),*];

            fn frozen_name(event: &Event) -> &'static str {
                match event {
                    $(Event::$stream($events::$name { .. }) => stringify!($name),)*
                }
            }
        };
    }

    frozen_names![
        Course(CourseEvent::CourseCreated),
        Course(CourseEvent::CoursePublished),
        Course(CourseEvent::CourseDetailsChanged),
        Course(CourseEvent::CourseScheduleChanged),
        Course(CourseEvent::CourseCapacityChanged),
        Course(CourseEvent::CourseDeleted),
        Course(CourseEvent::ModuleAdded),
        Course(CourseEvent::ModuleDetailsChanged),
        Course(CourseEvent::CourseUnpublished),
        Course(CourseEvent::CourseArchived),
        Course(CourseEvent::CourseRestored),
        Course(CourseEvent::InstructorAssigned),
        Course(CourseEvent::InstructorRemoved),
        Course(CourseEvent::ModuleRemoved),
        Course(CourseEvent::ModulesReordered),
        Course(CourseEvent::ModuleItemAdded),
        Course(CourseEvent::ModuleItemChanged),
        Course(CourseEvent::ModuleItemRemoved),
        Course(CourseEvent::ModuleItemsReordered),
        Seats(SeatsEvent::SeatsDefined),
        Seats(SeatsEvent::SeatsOpened),
        Seats(SeatsEvent::SeatsClosed),
        Seats(SeatsEvent::SeatsWindowChanged),
        Seats(SeatsEvent::SeatsCapacityChanged),
        Seats(SeatsEvent::SeatTaken),
        Seats(SeatsEvent::SeatWaitlisted),
        Seats(SeatsEvent::SeatReleased),
        Seats(SeatsEvent::WaitlistLeft),
        Enrollment(EnrollmentEvent::StudentEnrolled),
        Enrollment(EnrollmentEvent::StudentWaitlisted),
        Enrollment(EnrollmentEvent::StudentWithdrawn),
        Enrollment(EnrollmentEvent::ModuleItemCompleted),
        Course(CourseEvent::AssessmentAttached),
        Course(CourseEvent::AssessmentChanged),
        Course(CourseEvent::VideoTranscoded),
        Course(CourseEvent::VideoTranscodingFailed),
        Enrollment(EnrollmentEvent::SubmissionRecorded),
        Enrollment(EnrollmentEvent::GradeRecorded),
        Enrollment(EnrollmentEvent::GradeRevised),
        Enrollment(EnrollmentEvent::EnrollmentCompleted),
        User(UserEvent::UserRegistered),
        User(UserEvent::UserProfileChanged),
        User(UserEvent::UserRoleChanged),
        User(UserEvent::UserDeactivated),
        User(UserEvent::UserReactivated),
    ];

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events")
    }

    fn written(event: &Event) -> Value {
        serde_json::from_str(&event.to_json().unwrap()).unwrap()
    }

    #[test]
    fn every_event_of_version_1_is_still_read_and_written_as_it_was_stored() {
        for (stream, name) in NAMES {
            let path = fixtures().join(format!("{name}.v1.json"));
            let stored = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let payload: Value = serde_json::from_str(&stored).unwrap();
            let event = Event::from_json(*stream, payload.clone()).unwrap();
            assert_eq!((event.stream_type(), frozen_name(&event)), (*stream, *name));
            assert_eq!((event.name(), event.version().as_str()), (*name, "1"));
            assert_eq!(written(&event), payload);
            assert_eq!(event.to_json().unwrap(), stored.trim_end(), "even the order of its fields");
        }
    }

    #[test]
    fn every_fixture_belongs_to_an_event() {
        let expected: BTreeSet<String> =
            NAMES.iter().map(|(_, name)| format!("{name}.v1.json")).collect();
        let found: BTreeSet<String> = std::fs::read_dir(fixtures())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".v1.json"))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_event_without_its_optional_fields_is_read() {
        let minimal = [
            r#"{"CourseCreated":{"course_id":"c1","code":"M","title":"T","instructor_ids":["i"]}}"#,
            r#"{"CoursePublished":{}}"#,
            r#"{"CourseDetailsChanged":{}}"#,
            r#"{"CourseScheduleChanged":{}}"#,
            r#"{"CourseCapacityChanged":{"capacity":null}}"#,
            r#"{"CourseDeleted":{}}"#,
            r#"{"ModuleAdded":{"module_id":"m1","title":"T","position":0}}"#,
            r#"{"ModuleDetailsChanged":{"module_id":"m1"}}"#,
            r#"{"CourseUnpublished":{}}"#,
            r#"{"CourseArchived":{}}"#,
            r#"{"CourseRestored":{}}"#,
            r#"{"InstructorAssigned":{"instructor_id":"i"}}"#,
            r#"{"InstructorRemoved":{"instructor_id":"i"}}"#,
            r#"{"ModuleRemoved":{"module_id":"m1"}}"#,
            r#"{"ModulesReordered":{"module_ids":[]}}"#,
            r#"{"ModuleItemAdded":{"module_id":"m1","item_id":"t1","kind":"PAGE","title":"T","required":true,"position":0}}"#,
            r#"{"ModuleItemChanged":{"module_id":"m1","item_id":"t1"}}"#,
            r#"{"ModuleItemRemoved":{"module_id":"m1","item_id":"t1"}}"#,
            r#"{"ModuleItemsReordered":{"module_id":"m1","item_ids":[]}}"#,
            r#"{"SeatsDefined":{}}"#,
            r#"{"SeatsOpened":{}}"#,
            r#"{"SeatsClosed":{}}"#,
            r#"{"SeatsWindowChanged":{}}"#,
            r#"{"SeatsCapacityChanged":{"capacity":null}}"#,
            r#"{"SeatTaken":{"student":"s"}}"#,
            r#"{"SeatWaitlisted":{"student":"s"}}"#,
            r#"{"SeatReleased":{"student":"s"}}"#,
            r#"{"WaitlistLeft":{"student":"s"}}"#,
            r#"{"StudentEnrolled":{"course_id":"c1","student_id":"s","via":"DIRECT"}}"#,
            r#"{"StudentWaitlisted":{"course_id":"c1","student_id":"s"}}"#,
            r#"{"StudentWithdrawn":{"course_id":"c1","student_id":"s"}}"#,
            r#"{"ModuleItemCompleted":{"course_id":"c1","student_id":"s","item_id":"t1"}}"#,
            r#"{"AssessmentAttached":{"assessment_id":"a","title":"T","max_score":100.0,"weight":1.0,"required":true}}"#,
            r#"{"AssessmentChanged":{"assessment_id":"a"}}"#,
            r#"{"VideoTranscoded":{"module_id":"m1","item_id":"t1","video_id":"v"}}"#,
            r#"{"VideoTranscodingFailed":{"module_id":"m1","item_id":"t1","video_id":"v"}}"#,
            r#"{"SubmissionRecorded":{"course_id":"c1","student_id":"s","assessment_id":"a","submission_id":"u","submitted_at":"2026-11-01T10:00:00Z"}}"#,
            r#"{"GradeRecorded":{"course_id":"c1","student_id":"s","assessment_id":"a","graded_at":"2026-11-01T10:00:00Z"}}"#,
            r#"{"GradeRevised":{"course_id":"c1","student_id":"s","assessment_id":"a","graded_at":"2026-11-01T10:00:00Z"}}"#,
            r#"{"EnrollmentCompleted":{"course_id":"c1","student_id":"s","final_score":75.5}}"#,
            r#"{"UserRegistered":{"user_id":"s"}}"#,
            r#"{"UserProfileChanged":{"user_id":"s"}}"#,
            r#"{"UserRoleChanged":{"user_id":"s","role":"student"}}"#,
            r#"{"UserDeactivated":{"user_id":"s"}}"#,
            r#"{"UserReactivated":{"user_id":"s"}}"#,
        ];
        for ((stream, name), payload) in NAMES.iter().zip(minimal) {
            let payload: Value = serde_json::from_str(payload).unwrap();
            let event = Event::from_json(*stream, payload).unwrap();
            assert_eq!(event.name(), *name);
            assert_eq!(Event::from_json(*stream, written(&event)).unwrap(), event);
        }
        assert_eq!(minimal.len(), NAMES.len());
    }

    #[test]
    fn a_cleared_field_is_null_and_an_unchanged_one_is_absent() {
        for (stream, payload) in [
            (StreamType::Course, r#"{"CourseDetailsChanged":{"description":null}}"#),
            (StreamType::Course, r#"{"CourseScheduleChanged":{"starts_at":null}}"#),
            (StreamType::Course, r#"{"ModuleDetailsChanged":{"module_id":"m1","summary":null}}"#),
            (StreamType::Seats, r#"{"SeatsWindowChanged":{"closes_at":null}}"#),
        ] {
            let event = Event::from_json(stream, serde_json::from_str(payload).unwrap()).unwrap();
            assert_eq!(event.to_json().unwrap(), payload);
        }
    }

    #[test]
    fn a_field_of_a_later_release_is_passed_over_and_an_unknown_event_is_an_error() {
        let later = serde_json::json!({ "SeatTaken": { "student": "s", "row": 3 } });
        let read = Event::from_json(StreamType::Seats, later).unwrap();
        assert_eq!(read.to_json().unwrap(), r#"{"SeatTaken":{"student":"s"}}"#);
        let unknown = serde_json::json!({ "SeatPainted": {} });
        assert!(Event::from_json(StreamType::Seats, unknown.clone()).is_err());
        assert!(Event::from_json(StreamType::Course, unknown).is_err());
    }

    #[test]
    fn the_stored_names_of_the_streams_are_frozen() {
        for (stream, name) in [
            (StreamType::Course, "course"),
            (StreamType::Seats, "seats"),
            (StreamType::Enrollment, "enrollment"),
            (StreamType::User, "user"),
        ] {
            assert_eq!(stream.as_str(), name);
            assert_eq!(StreamType::parse(name), Some(stream));
        }
        for name in ["", "Course", "users"] {
            assert_eq!(StreamType::parse(name), None);
        }
    }
}

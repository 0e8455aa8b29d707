mod items;
mod reports;
mod size;

use cqrs_es::Aggregate;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::domain::Course;
use crate::domain::CourseId;
use crate::domain::EnrollmentId;
use crate::domain::StreamType;
use crate::domain::course::PublicationState;
use crate::domain::seats::SeatsEvent;
use crate::event_store::Metadata;
use crate::event_store::Position;
use crate::event_store::StreamId;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn user(id: &str) -> UserId {
    UserId::parse(id, "userId").unwrap()
}

fn course_id() -> CourseId {
    CourseId::parse("c1", "courseId").unwrap()
}

fn module_id(id: &str) -> ModuleId {
    ModuleId::parse(id, "moduleId").unwrap()
}

/// A command whose first event of the course has this sequence; positions begin at 100.
fn command(first: u64, events: Vec<Event>) -> Vec<Recorded> {
    let mut sequences = [first, 1, 5]; // of course, seats and enrollment
    let count = events.len();
    let record = |(index, event): (usize, Event)| {
        let (kind, id) = match &event {
            Event::Course(_) => (StreamType::Course, "c1".to_owned()),
            Event::Seats(_) => (StreamType::Seats, "c1".to_owned()),
            Event::Enrollment(
                EnrollmentEvent::StudentEnrolled { student_id, .. }
                | EnrollmentEvent::StudentWaitlisted { student_id, .. }
                | EnrollmentEvent::StudentWithdrawn { student_id, .. }
                | EnrollmentEvent::ModuleItemCompleted { student_id, .. }
                | EnrollmentEvent::SubmissionRecorded { student_id, .. }
                | EnrollmentEvent::GradeRecorded { student_id, .. }
                | EnrollmentEvent::GradeRevised { student_id, .. }
                | EnrollmentEvent::EnrollmentCompleted { student_id, .. },
            ) => (StreamType::Enrollment, EnrollmentId::of(&course_id(), student_id).to_string()),
            Event::User(_) => unreachable!("no test of records has users"),
        };
        let next = &mut sequences[kind as usize];
        let sequence = *next;
        *next += 1;
        let number = 100 + i64::try_from(index).unwrap();
        Recorded {
            position: Position { epoch: 2, number },
            recorded_at: at("2026-09-12T08:00:00.123456Z"),
            event_id: Uuid::from_u128(u128::try_from(number).unwrap()),
            command_id: Uuid::from_u128(7),
            last_of_command: index + 1 == count,
            stream: StreamId::new(kind, &id),
            sequence,
            course: Some(course_id()),
            metadata: Metadata { correlation_id: Some("r1".into()), ..Metadata::default() },
            event,
        }
    };
    events.into_iter().enumerate().map(record).collect()
}

fn created() -> Event {
    Event::Course(CourseEvent::CourseCreated {
        course_id: course_id(),
        code: "MATH-201".into(),
        title: "Linear Algebra".into(),
        description: None,
        instructor_ids: vec![user("u-17"), user("u-18")],
        capacity: Some(50),
        starts_at: Some(at("2026-10-01T00:00:00Z")),
        ends_at: None,
        enrollment_opens_at: None,
        enrollment_closes_at: None,
        tags: vec!["math".into()],
        passing_score: Some(60.0),
    })
}

fn published() -> Event {
    Event::Course(CourseEvent::CoursePublished {})
}

fn module_added(id: &str) -> Event {
    Event::Course(CourseEvent::ModuleAdded {
        module_id: module_id(id),
        title: format!("Module {id}"),
        summary: None,
        position: 0,
    })
}

fn renamed() -> Event {
    Event::Course(CourseEvent::CourseDetailsChanged {
        code: None,
        title: Some("Algebra".into()),
        description: Some(None),
        tags: None,
        passing_score: None,
    })
}

/// What is told of the last command, the ones before being history.
fn told_of(history: Vec<Event>, events: Vec<Event>) -> Vec<Outbound> {
    let first = u64::try_from(history.len()).unwrap() + 1;
    let mut course = Course::default();
    let mut states = vec![course.clone()];
    let recorded = command(first, events);
    let later = recorded.iter().map(|recorded| recorded.event.clone());
    for event in history.into_iter().chain(later) {
        if let Event::Course(event) = event {
            course.apply(event);
            states.push(course.clone());
        }
    }
    let render = |planned: Planned<'_>| {
        let state = planned.needs().map(|(_, version)| &states[usize::try_from(version).unwrap()]);
        planned.render(state).unwrap()
    };
    plan(&recorded).into_iter().map(render).collect()
}

fn value(record: &Outbound) -> Value {
    serde_json::from_slice(&record.value).unwrap()
}

fn only(records: &[Outbound]) -> &Outbound {
    assert_eq!(records.len(), 1, "{records:?}");
    &records[0]
}

#[test]
fn a_creation_with_publication_is_one_message_with_the_final_status() {
    let records =
        told_of(vec![], vec![created(), Event::Seats(SeatsEvent::SeatsClosed {}), published()]);
    let record = only(&records);
    assert_eq!((record.topic, record.key.as_str()), (Topic::CourseCreation, "c1"));
    assert_eq!(record.timestamp, at("2026-09-12T08:00:00.123456Z"));
    assert_eq!(
        value(record),
        json!({
            "courseId": "c1",
            "courseData": {
                "code": "MATH-201", "title": "Linear Algebra", "description": null, "status": "PUBLISHED",
                "instructor": "u-17", "instructorIds": ["u-17", "u-18"], "capacity": 50,
                "startsAt": "2026-10-01T00:00:00Z", "endsAt": null,
                "enrollmentOpensAt": null, "enrollmentClosesAt": null,
                "tags": ["math"], "passingScore": 60.0, "modules": [], "assessments": [],
            },
            "eventId": "00000000-0000-0000-0000-000000000066", "eventType": "CourseCreated",
            "schemaVersion": 1, "version": (2_u64 << 32) + 2, "occurredAt": "2026-09-12T08:00:00.123Z",
        })
    );
}

#[test]
fn the_headers_are_those_of_cloudevents() {
    let records = told_of(vec![], vec![created()]);
    let expected = [
        ("content-type", "application/json"),
        ("ce_specversion", "1.0"),
        ("ce_id", "00000000-0000-0000-0000-000000000064"),
        ("ce_source", "/course-management-service"),
        ("ce_type", "org.courseservice.course.created.v1"),
        ("ce_subject", "c1"),
        ("ce_time", "2026-09-12T08:00:00.123Z"),
        ("ce_sequence", "00000000000000000100"),
        ("ce_correlationid", "r1"),
        ("ce_causationid", "00000000-0000-0000-0000-000000000007"),
    ];
    assert_eq!(only(&records).headers, expected.map(|(name, value)| (name, value.to_owned())));
}

#[test]
fn what_caused_the_command_and_its_trace_are_told_where_known() {
    let mut events = command(1, vec![created()]);
    events[0].metadata.causation_id = Some("m1".into());
    events[0].metadata.traceparent = Some("00-1-2-01".into());
    let mut course = Course::default();
    let Event::Course(event) = events[0].event.clone() else { unreachable!() };
    course.apply(event);
    let headers = plan(&events)[0].render(Some(&course)).unwrap().headers;
    assert!(headers.contains(&("ce_causationid", "m1".to_owned())));
    assert!(headers.contains(&("traceparent", "00-1-2-01".to_owned())));
}

#[test]
fn an_update_of_several_events_is_one_message_with_the_full_state() {
    let capacity = Event::Course(CourseEvent::CourseCapacityChanged { capacity: None });
    let schedule = Event::Course(CourseEvent::CourseScheduleChanged {
        starts_at: Some(Some(at("2026-10-01T00:00:00.5Z"))),
        ends_at: None,
        enrollment_opens_at: None,
        enrollment_closes_at: Some(None),
    });
    let events = vec![renamed(), schedule, capacity];
    let records = told_of(vec![created(), module_added("m1")], events);
    let record = only(&records);
    let value = value(record);
    assert_eq!(record.topic, Topic::CourseUpdate);
    assert_eq!(
        value["changes"],
        json!(["title", "description", "startsAt", "enrollmentClosesAt", "capacity"])
    );
    assert_eq!(value["courseData"]["title"], "Algebra");
    assert_eq!(value["courseData"]["startsAt"], "2026-10-01T00:00:00.500Z");
    assert_eq!(value["courseData"]["capacity"], Value::Null);
    assert_eq!(
        value["courseData"]["modules"],
        json!([{ "id": "m1", "title": "Module m1", "position": 0, "status": "PUBLISHED" }])
    );
    assert_eq!(value["version"], json!((2_u64 << 32) + 5));
    assert_eq!(value["eventType"], "CourseUpdated");
}

#[test]
fn a_publication_is_an_update_of_the_status() {
    let records = told_of(vec![created()], vec![published()]);
    let record = only(&records);
    assert_eq!(record.topic, Topic::CourseUpdate);
    assert_eq!(value(record)["changes"], json!(["status"]));
    assert_eq!(value(record)["courseData"]["status"], "PUBLISHED");
}

#[test]
fn a_deletion_says_what_is_gone_and_when() {
    let records =
        told_of(vec![created()], vec![Event::Course(CourseEvent::CourseDeleted { reason: None })]);
    let record = only(&records);
    assert_eq!(record.topic, Topic::CourseDeletion);
    assert_eq!(
        value(record),
        json!({
            "courseId": "c1",
            "courseData": { "code": "MATH-201", "title": "Linear Algebra", "status": "DELETED" },
            "deletedAt": "2026-09-12T08:00:00.123Z",
            "eventId": "00000000-0000-0000-0000-000000000064", "eventType": "CourseDeleted",
            "schemaVersion": 1, "version": (2_u64 << 32) + 2, "occurredAt": "2026-09-12T08:00:00.123Z",
        })
    );
}

#[test]
fn modules_are_told_one_by_one_with_the_course_as_of_each() {
    let records = told_of(vec![created()], vec![module_added("m1"), module_added("m2")]);
    let [first, second] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((first.topic, first.key.as_str()), (Topic::ModuleCreation, "c1"));
    assert_eq!(
        value(first),
        json!({
            "courseId": "c1", "moduleId": "m1",
            "moduleData": {
                "id": "m1", "title": "Module m1", "summary": null, "position": 0,
                "status": "PUBLISHED", "items": [], "assessments": [],
            },
            "eventId": "00000000-0000-0000-0000-000000000064", "eventType": "ModuleCreated",
            "schemaVersion": 1, "version": (2_u64 << 32) + 2, "occurredAt": "2026-09-12T08:00:00.123Z",
        })
    );
    assert_eq!(value(second)["moduleId"], "m2");
    assert!(first.headers.contains(&("ce_subject", "m1".to_owned())));
}

#[test]
fn a_changed_module_says_what_changed() {
    let change = Event::Course(CourseEvent::ModuleDetailsChanged {
        module_id: module_id("m1"),
        title: None,
        summary: Some(Some("Vectors".into())),
        state: Some(PublicationState::Unpublished),
    });
    let records = told_of(vec![created(), module_added("m1"), module_added("m0")], vec![change]);
    let value = value(only(&records));
    assert_eq!(records[0].topic, Topic::ModuleUpdate);
    assert_eq!(value["changes"], json!(["summary", "status"]));
    assert_eq!(value["moduleData"]["summary"], "Vectors");
    assert_eq!(value["moduleData"]["status"], "UNPUBLISHED");
    assert_eq!(value["moduleData"]["position"], 1);
}

#[test]
fn whoever_gets_a_seat_is_told_to_their_own_key_and_nobody_else() {
    let enrolled = |student: &str| {
        Event::Enrollment(EnrollmentEvent::StudentEnrolled {
            course_id: course_id(),
            student_id: user(student),
            via: Via::Waitlist,
        })
    };
    let left = Event::Enrollment(EnrollmentEvent::StudentWithdrawn {
        course_id: course_id(),
        student_id: user("ann"),
        reason: None,
    });
    let waits = Event::Enrollment(EnrollmentEvent::StudentWaitlisted {
        course_id: course_id(),
        student_id: user("eve"),
    });
    let seats = Event::Seats(SeatsEvent::SeatTaken { student: user("bob") });
    let records = told_of(vec![], vec![seats, left, enrolled("bob"), waits, enrolled("sam")]);
    let [bob, sam] = records.as_slice() else { panic!("{records:?}") };
    let enrollment = EnrollmentId::of(&course_id(), &user("bob"));
    assert_eq!((bob.topic, bob.key.as_str()), (Topic::StudentEnrolled, "bob"));
    assert_eq!(sam.key, "sam");
    assert!(bob.headers.contains(&("ce_subject", enrollment.to_string())));
    assert_eq!(
        value(bob),
        json!({
            "courseId": "c1", "studentId": "bob", "enrollmentId": enrollment.as_str(),
            "enrolledAt": "2026-09-12T08:00:00.123Z",
            "enrollmentData": { "status": "ACTIVE", "via": "WAITLIST" },
            "eventId": "00000000-0000-0000-0000-000000000066", "eventType": "StudentEnrolled",
            "schemaVersion": 1, "version": (2_u64 << 32) + 6, "occurredAt": "2026-09-12T08:00:00.123Z",
        })
    );
}

#[test]
fn a_state_of_another_version_is_not_told() {
    let events = command(1, vec![created()]);
    assert!(plan(&events)[0].render(Some(&Course::default())).is_err());
    assert!(plan(&events)[0].render(None).is_err());
}

//! Who may complete what, and when.

use cqrs_es::Aggregate;

use super::*;
use crate::domain::course::{CourseEvent, ItemKind};
use crate::domain::enrollment::{Enrollment, EnrollmentEvent, Via};
use crate::domain::ids::{CourseId, ModuleId};
use crate::domain::seats::Seats;

fn c1() -> CourseId {
    CourseId::parse("c1", "courseId").unwrap()
}

fn user(name: &str) -> UserId {
    UserId::parse(name, "id").unwrap()
}

fn item(id: &str) -> ItemId {
    ItemId::parse(id, "id").unwrap()
}

fn module(id: &str) -> ModuleId {
    ModuleId::parse(id, "id").unwrap()
}

fn actor(name: &str, role: Role) -> Actor {
    Actor { id: user(name), role }
}

fn added(module_id: &str, id: &str) -> CourseEvent {
    CourseEvent::ModuleItemAdded {
        module_id: module(module_id),
        item_id: item(id),
        kind: ItemKind::Page,
        title: id.to_owned(),
        required: true,
        position: 0,
        url: None,
        video_id: None,
        assessment_id: None,
    }
}

/// A published course of ina: module m1 with the items t1 and, unpublished, t2; module m2, unpublished, with t3.
fn course() -> Course {
    let module_added = |id: &str| CourseEvent::ModuleAdded {
        module_id: module(id),
        title: id.to_owned(),
        summary: None,
        position: 0,
    };
    let events = [
        CourseEvent::CourseCreated {
            course_id: c1(),
            code: "C".to_owned(),
            title: "C".to_owned(),
            description: None,
            instructor_ids: vec![user("ina")],
            capacity: None,
            starts_at: None,
            ends_at: None,
            enrollment_opens_at: None,
            enrollment_closes_at: None,
            tags: Vec::new(),
            passing_score: None,
        },
        CourseEvent::CoursePublished {},
        module_added("m1"),
        module_added("m2"),
        added("m1", "t1"),
        added("m1", "t2"),
        added("m2", "t3"),
        CourseEvent::ModuleItemChanged {
            module_id: module("m1"),
            item_id: item("t2"),
            title: None,
            required: None,
            url: None,
            state: Some(PublicationState::Unpublished),
        },
        CourseEvent::ModuleDetailsChanged {
            module_id: module("m2"),
            title: None,
            summary: None,
            state: Some(PublicationState::Unpublished),
        },
    ];
    folded(Course::default(), events)
}

fn folded<A: Aggregate>(mut state: A, events: impl IntoIterator<Item = A::Event>) -> A {
    for event in events {
        state.apply(event);
    }
    state
}

fn enrolled() -> Enrollment {
    let (course_id, student_id, via) = (c1(), user("sam"), Via::Direct);
    let enrolled = EnrollmentEvent::StudentEnrolled { course_id, student_id, via };
    folded(Enrollment::default(), [enrolled])
}

fn waiting() -> Enrollment {
    let (course_id, student_id) = (c1(), user("sam"));
    folded(Enrollment::default(), [EnrollmentEvent::StudentWaitlisted { course_id, student_id }])
}

fn withdrawn() -> Enrollment {
    let (course_id, student_id, reason) = (c1(), user("sam"), None);
    folded(enrolled(), [EnrollmentEvent::StudentWithdrawn { course_id, student_id, reason }])
}

fn completed(id: &str) -> EnrollmentEvent {
    let (course_id, student_id, item_id) = (c1(), user("sam"), item(id));
    EnrollmentEvent::ModuleItemCompleted { course_id, student_id, item_id }
}

fn command(actor: Actor, id: &str) -> CompleteItem {
    CompleteItem { actor, student: user("sam"), item: item(id), expected_version: None }
}

/// What sam's item comes to: the events of sam's enrollment, nothing else.
fn decide(
    course: &Course,
    enrollment: &Enrollment,
    command: &CompleteItem,
) -> Result<Vec<EnrollmentEvent>, Refusal> {
    let lookup = |student: &UserId| (*student == user("sam")).then_some(enrollment);
    let room = Room { id: &c1(), course, seats: &Seats::default(), enrollment: &lookup };
    match room.complete_item(command) {
        Ok(changes) => {
            assert_eq!((changes.course.len(), changes.seats.len()), (0, 0));
            Ok(changes.enrollments.into_iter().flat_map(|(_, events)| events).collect())
        }
        Err(Undecided::Refused(refusal)) => Err(refusal),
        Err(Undecided::Needs(students)) => panic!("{students:?} was there"),
    }
}

fn sam() -> Actor {
    actor("sam", Role::Student)
}

#[test]
fn a_student_completes_an_item_once() {
    let first = decide(&course(), &enrolled(), &command(sam(), "t1")).unwrap();
    assert_eq!(first, [completed("t1")]);
    let after = folded(enrolled(), first);
    assert_eq!(decide(&course(), &after, &command(sam(), "t1")), Ok(Vec::new()));
    assert_eq!((after.version, after.active_in), (2, Some(2)));
}

#[test]
fn instructors_of_the_course_and_admins_complete_for_a_student() {
    for by in [actor("ina", Role::Instructor), actor("root", Role::Admin)] {
        for id in ["t1", "t2", "t3"] {
            let done = decide(&course(), &enrolled(), &command(by.clone(), id));
            assert_eq!(done, Ok(vec![completed(id)]), "{by:?}");
        }
    }
}

#[test]
fn who_learns_here_and_teaches_elsewhere_completes_their_own() {
    let done = decide(&course(), &enrolled(), &command(actor("sam", Role::Instructor), "t1"));
    assert_eq!(done, Ok(vec![completed("t1")]));
}

#[test]
fn nobody_else_completes_for_a_student() {
    for by in
        [actor("tim", Role::Student), actor("ivo", Role::Instructor), actor("sam", Role::Other)]
    {
        let refusal = decide(&course(), &enrolled(), &command(by.clone(), "t1")).unwrap_err();
        assert!(matches!(refusal, Refusal::Forbidden { .. }), "{by:?}: {refusal:?}");
        let draft = folded(course(), [CourseEvent::CourseUnpublished {}]);
        let refusal = decide(&draft, &enrolled(), &command(by, "t1"));
        assert_eq!(refusal, Err(Refusal::course_not_found()));
    }
}

#[test]
fn an_item_that_the_student_cannot_see_is_not_there() {
    for id in ["t2", "t3", "t9"] {
        let refusal = decide(&course(), &enrolled(), &command(sam(), id));
        assert_eq!(refusal, Err(Refusal::item_not_found()), "{id}");
    }
    let ina = actor("ina", Role::Instructor);
    let refusal = decide(&course(), &enrolled(), &command(ina, "t9"));
    assert_eq!(refusal, Err(Refusal::item_not_found()));
}

#[test]
fn only_who_has_a_seat_completes() {
    for enrollment in [Enrollment::default(), waiting(), withdrawn()] {
        let refusal = decide(&course(), &enrollment, &command(sam(), "t1"));
        assert_eq!(refusal, Err(Refusal::NotEnrolled), "{enrollment:?}");
    }
    let draft = folded(course(), [CourseEvent::CourseUnpublished {}]);
    let hidden = decide(&draft, &Enrollment::default(), &command(sam(), "t1"));
    assert_eq!(hidden, Err(Refusal::course_not_found()));
    let nowhere = decide(&Course::default(), &Enrollment::default(), &command(sam(), "t1"));
    assert_eq!(nowhere, Err(Refusal::course_not_found()));
}

#[test]
fn a_course_that_is_not_published_is_not_worked_on() {
    for event in [CourseEvent::CourseArchived {}, CourseEvent::CourseDeleted { reason: None }] {
        let course = folded(course(), [event]);
        let refusal = decide(&course, &enrolled(), &command(sam(), "t1"));
        assert_eq!(refusal, Err(Refusal::CourseNotPublished));
    }
}

#[test]
fn another_version_of_the_enrollment_is_a_conflict() {
    let expecting =
        |version| CompleteItem { expected_version: Some(version), ..command(sam(), "t1") };
    let refusal = decide(&course(), &enrolled(), &expecting(2)).unwrap_err();
    assert_eq!(refusal.to_string(), "the enrollment has version 1, not the expected 2");
    assert!(decide(&course(), &enrolled(), &expecting(1)).is_ok());
}

#[test]
fn what_was_completed_stays_over_a_withdrawal() {
    let history = [
        completed("t1"),
        EnrollmentEvent::StudentWithdrawn {
            course_id: c1(),
            student_id: user("sam"),
            reason: None,
        },
        EnrollmentEvent::StudentEnrolled {
            course_id: c1(),
            student_id: user("sam"),
            via: Via::Reactivation,
        },
    ];
    let again = folded(enrolled(), history);
    assert_eq!(decide(&course(), &again, &command(sam(), "t1")), Ok(Vec::new()));
}

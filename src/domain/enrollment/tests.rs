//! What an enrollment decides: given its history, when it gets a command, then this event or this refusal.

use cqrs_es::test::{AggregateTestExecutor, TestFramework};

use super::*;

fn given(history: &[EnrollmentEvent]) -> AggregateTestExecutor<Enrollment> {
    TestFramework::with(()).given(history.to_vec())
}

fn fold(history: &[EnrollmentEvent]) -> Enrollment {
    let mut enrollment = Enrollment::default();
    for event in history {
        enrollment.apply(event.clone());
    }
    enrollment
}

fn c1() -> CourseId {
    CourseId::parse("c1", "courseId").unwrap()
}

fn sam() -> UserId {
    UserId::parse("sam", "studentId").unwrap()
}

fn enrolled(via: Via) -> EnrollmentEvent {
    EnrollmentEvent::StudentEnrolled { course_id: c1(), student_id: sam(), via }
}

fn waitlisted() -> EnrollmentEvent {
    EnrollmentEvent::StudentWaitlisted { course_id: c1(), student_id: sam() }
}

fn withdrawn(reason: Option<&str>) -> EnrollmentEvent {
    EnrollmentEvent::StudentWithdrawn {
        course_id: c1(),
        student_id: sam(),
        reason: reason.map(str::to_owned),
    }
}

fn activate() -> EnrollmentCommand {
    EnrollmentCommand::Activate { course_id: c1(), student_id: sam() }
}

fn waitlist() -> EnrollmentCommand {
    EnrollmentCommand::Waitlist { course_id: c1(), student_id: sam() }
}

fn withdraw(reason: Option<&str>) -> EnrollmentCommand {
    EnrollmentCommand::Withdraw { reason: reason.map(str::to_owned) }
}

/// A history that ends in each status.
fn missing() -> Vec<EnrollmentEvent> {
    Vec::new()
}

fn waiting() -> Vec<EnrollmentEvent> {
    vec![waitlisted()]
}

fn active() -> Vec<EnrollmentEvent> {
    vec![enrolled(Via::Direct)]
}

fn gone() -> Vec<EnrollmentEvent> {
    vec![enrolled(Via::Direct), withdrawn(None)]
}

#[test]
fn a_free_seat_enrolls_a_new_student_directly() {
    given(&missing()).when(activate()).then_expect_events(vec![enrolled(Via::Direct)]);
}

#[test]
fn a_free_seat_reactivates_a_student_who_had_left() {
    let left_the_waitlist = vec![waitlisted(), withdrawn(None)];
    for history in [gone(), left_the_waitlist] {
        given(&history).when(activate()).then_expect_events(vec![enrolled(Via::Reactivation)]);
    }
}

#[test]
fn who_has_no_seat_may_wait() {
    for history in [missing(), gone()] {
        given(&history).when(waitlist()).then_expect_events(vec![waitlisted()]);
    }
}

#[test]
fn who_has_a_seat_or_waits_is_enrolled_already() {
    for history in [waiting(), active()] {
        for command in [activate(), waitlist()] {
            given(&history).when(command).then_expect_error(Refusal::AlreadyEnrolled);
        }
        assert_eq!(fold(&history).check_free_to_enroll(), Err(Refusal::AlreadyEnrolled));
    }
    for history in [missing(), gone()] {
        assert_eq!(fold(&history).check_free_to_enroll(), Ok(()));
    }
}

#[test]
fn who_waits_is_promoted() {
    for history in [waiting(), vec![enrolled(Via::Direct), withdrawn(None), waitlisted()]] {
        given(&history)
            .when(EnrollmentCommand::Promote)
            .then_expect_events(vec![enrolled(Via::Waitlist)]);
    }
}

#[test]
fn who_does_not_wait_cannot_be_promoted() {
    for (history, status) in [(missing(), "MISSING"), (active(), "ACTIVE"), (gone(), "WITHDRAWN")] {
        given(&history).when(EnrollmentCommand::Promote).then_expect_error(
            Refusal::IllegalTransition { object: "enrollment", status, verb: "be promoted" },
        );
    }
}

#[test]
fn who_has_a_seat_or_waits_may_leave() {
    for history in [waiting(), active(), vec![waitlisted(), enrolled(Via::Waitlist)]] {
        for reason in [None, Some("moved away")] {
            given(&history).when(withdraw(reason)).then_expect_events(vec![withdrawn(reason)]);
        }
    }
}

#[test]
fn leaving_twice_changes_nothing() {
    given(&gone()).when(withdraw(Some("again"))).then_expect_events(vec![]);
}

#[test]
fn who_was_never_enrolled_cannot_leave() {
    given(&missing()).when(withdraw(None)).then_expect_error(Refusal::NotEnrolled);
}

#[test]
fn an_enrollment_remembers_when_each_thing_happened() {
    let steps = [
        (waitlisted(), (1, None, None)),
        (enrolled(Via::Waitlist), (1, Some(2), None)),
        (withdrawn(None), (1, Some(2), Some(3))),
        (enrolled(Via::Reactivation), (4, Some(4), None)),
        (withdrawn(None), (4, Some(4), Some(5))),
        (waitlisted(), (6, None, None)),
    ];
    let mut enrollment = Enrollment::default();
    for (event, expected) in steps {
        enrollment.apply(event);
        let times = (enrollment.requested_in, enrollment.enrolled_in, enrollment.withdrawn_in);
        assert_eq!(times, expected, "at version {}", enrollment.version);
    }
    assert_eq!((enrollment.course_id, enrollment.student_id), (c1(), sam()));
}

#[test]
fn a_status_reads_the_same_everywhere() {
    for status in [
        EnrollmentStatus::Missing,
        EnrollmentStatus::Waitlisted,
        EnrollmentStatus::Active,
        EnrollmentStatus::Withdrawn,
    ] {
        assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
    }
    for (via, text) in
        [(Via::Direct, "DIRECT"), (Via::Waitlist, "WAITLIST"), (Via::Reactivation, "REACTIVATION")]
    {
        assert_eq!(serde_json::to_value(via).unwrap(), text);
    }
}

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

fn quiz() -> AssessmentId {
    AssessmentId::parse("quiz", "assessmentId").unwrap()
}

fn second(second: u32) -> DateTime<Utc> {
    format!("2026-11-01T10:00:{second:02}Z").parse().unwrap()
}

fn submission(id: &str, at: u32, attempt: Option<u32>) -> EnrollmentCommand {
    let id = SubmissionId::parse(id, "submissionId").unwrap();
    let submission = Submission { id, submitted_at: second(at), attempt };
    EnrollmentCommand::RecordSubmission { assessment: quiz(), submission }
}

fn submitted(id: &str, at: u32, attempt: Option<u32>) -> EnrollmentEvent {
    EnrollmentEvent::SubmissionRecorded {
        course_id: c1(),
        student_id: sam(),
        assessment_id: quiz(),
        submission_id: SubmissionId::parse(id, "submissionId").unwrap(),
        submitted_at: second(at),
        attempt,
    }
}

fn grade(score: f64, at: u32) -> Grade {
    Grade {
        submission_id: None,
        score: Some(score),
        max_score: None,
        percentage: None,
        letter: None,
        graded_at: second(at),
        graded_by: None,
    }
}

fn record(score: f64, at: u32, newest: bool) -> EnrollmentCommand {
    EnrollmentCommand::RecordGrade { assessment: quiz(), grade: grade(score, at), newest }
}

fn graded(score: f64, at: u32) -> EnrollmentEvent {
    let (course_id, student_id, assessment_id) = (c1(), sam(), quiz());
    EnrollmentEvent::GradeRecorded { course_id, student_id, assessment_id, grade: grade(score, at) }
}

fn revised(score: f64, at: u32, outdated: bool) -> EnrollmentEvent {
    let (course_id, student_id, assessment_id) = (c1(), sam(), quiz());
    let grade = grade(score, at);
    EnrollmentEvent::GradeRevised { course_id, student_id, assessment_id, grade, outdated }
}

fn completed() -> EnrollmentEvent {
    EnrollmentEvent::EnrollmentCompleted { course_id: c1(), student_id: sam(), final_score: 80.0 }
}

#[test]
fn a_submission_is_recorded_once_with_its_earliest_time_and_its_highest_attempt() {
    let seat = enrolled(Via::Direct);
    given(std::slice::from_ref(&seat))
        .when(submission("s", 5, None))
        .then_expect_events(vec![submitted("s", 5, None)]);
    let known = [seat, submitted("s", 5, Some(1))];
    for again in [submission("s", 5, Some(1)), submission("s", 9, None), submission("s", 5, None)] {
        given(&known).when(again).then_expect_events(vec![]);
    }
    given(&known).when(submission("s", 3, None)).then_expect_events(vec![submitted("s", 3, None)]);
    given(&known).when(submission("s", 6, Some(2))).then_expect_events(vec![submitted(
        "s",
        6,
        Some(2),
    )]);
    let all = [&known[..], &[submitted("s", 3, None), submitted("t", 7, None)]].concat();
    let result = &fold(&all).results[&quiz()];
    assert_eq!((result.attempts(), result.submissions.len()), (2, 2));
    assert_eq!(result.submissions.values().min(), Some(&second(3)));
}

#[test]
fn the_newest_grade_counts_and_the_others_stay_in_the_history() {
    let seat = enrolled(Via::Direct);
    given(std::slice::from_ref(&seat))
        .when(record(5.0, 1, true))
        .then_expect_events(vec![graded(5.0, 1)]);
    let known = [seat, graded(5.0, 2)];
    given(&known).when(record(7.0, 3, true)).then_expect_events(vec![revised(7.0, 3, false)]);
    given(&known).when(record(4.0, 1, false)).then_expect_events(vec![revised(4.0, 1, true)]);
    given(&known).when(record(5.0, 3, true)).then_expect_events(vec![]);
    given(&known).when(record(5.0, 2, false)).then_expect_events(vec![]);
    let all = [&known[..], &[revised(7.0, 3, false), revised(4.0, 1, true)]].concat();
    given(&all).when(record(4.0, 1, false)).then_expect_events(vec![]);
    let result = fold(&all).results.remove(&quiz()).unwrap();
    assert_eq!(result.grade, Some(grade(7.0, 3)));
    assert_eq!(result.older, [grade(5.0, 2), grade(4.0, 1)]);
}

#[test]
fn work_is_recorded_wherever_the_enrollment_stands() {
    for history in [
        vec![waitlisted()],
        vec![enrolled(Via::Direct), withdrawn(None)],
        vec![enrolled(Via::Direct), completed()],
    ] {
        given(&history)
            .when(submission("s", 5, None))
            .then_expect_events(vec![submitted("s", 5, None)]);
        given(&history).when(record(5.0, 1, true)).then_expect_events(vec![graded(5.0, 1)]);
    }
}

#[test]
fn a_completed_enrollment_keeps_its_seat_and_is_final() {
    let history = [enrolled(Via::Direct), completed()];
    assert_eq!(fold(&history).check_seat(), Ok(()));
    given(&history).when(activate()).then_expect_error(Refusal::AlreadyEnrolled);
    for (command, verb) in [
        (withdraw(None), "be withdrawn"),
        (EnrollmentCommand::Complete { final_score: 90.0 }, "be completed"),
        (EnrollmentCommand::Promote, "be promoted"),
    ] {
        let (object, status) = ("enrollment", "COMPLETED");
        given(&history).when(command).then_expect_error(Refusal::IllegalTransition {
            object,
            status,
            verb,
        });
    }
    given(&[enrolled(Via::Direct)])
        .when(EnrollmentCommand::Complete { final_score: 80.0 })
        .then_expect_events(vec![completed()]);
}

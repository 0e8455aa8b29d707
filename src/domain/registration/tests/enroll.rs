//! Students come and go.

use super::*;

#[test]
fn a_student_takes_a_free_seat() {
    assert_eq!(
        published(Some(1)).enroll("sam").unwrap(),
        on_seats_and_enrollments(taken("sam"), vec![enrolled("sam", Via::Direct)])
    );
}

#[test]
fn a_student_waits_when_every_seat_is_taken() {
    assert_eq!(
        rush().enroll("sam").unwrap(),
        on_seats_and_enrollments(
            SeatsEvent::SeatWaitlisted { student: user("sam") },
            vec![waitlisted("sam")]
        )
    );
}

#[test]
fn a_student_who_would_not_wait_is_told_that_the_course_is_full() {
    let command =
        Enroll { actor: student("sam"), student: user("sam"), join_waitlist: false, at: noon() };
    assert_eq!(rush().decide(|room| room.enroll(&command)), Err(Refusal::CourseFull));
    assert_eq!(
        published(Some(1)).decide(|room| room.enroll(&command)).unwrap(),
        on_seats_and_enrollments(taken("sam"), vec![enrolled("sam", Via::Direct)])
    );
}

#[test]
fn a_student_who_had_left_is_reactivated() {
    let world = published(Some(1)).and_enroll(&["sam"]).and_withdraw("sam");
    assert_eq!(
        world.enroll("sam").unwrap(),
        on_seats_and_enrollments(taken("sam"), vec![enrolled("sam", Via::Reactivation)])
    );
}

#[test]
fn who_leaves_the_waitlist_and_returns_stands_at_its_end() {
    let world = rush().and_withdraw("b").and_enroll(&["b"]);
    assert_eq!(world.line, [user("c"), user("b")]);
}

#[test]
fn who_has_a_seat_or_waits_cannot_enroll_again_whatever_became_of_the_course() {
    for world in [rush(), deleted(rush()), rush().and_change(set_capacity(Some(0)))] {
        for name in ["a", "b"] {
            assert_eq!(world.enroll(name), Err(Refusal::AlreadyEnrolled));
        }
    }
}

#[test]
fn nobody_enrolls_in_a_course_that_is_not_published() {
    for world in [draft(None), deleted(published(None))] {
        for actor in [admin(), ina()] {
            assert_eq!(world.enroll_as(actor, "sam"), Err(Refusal::CourseNotPublished));
        }
    }
}

#[test]
fn nobody_enrolls_outside_of_the_window_or_without_seats() {
    let early = NewCourse {
        enrollment_opens_at: Some(at("2026-09-01T12:00:00.000000001Z")),
        publish: true,
        ..algebra()
    };
    let late = NewCourse { enrollment_closes_at: Some(noon()), publish: true, ..algebra() };
    let no_seats = NewCourse { capacity: Some(0), publish: true, ..algebra() };
    for course in [early, late, no_seats] {
        let world = nothing().and_change(create(course));
        for actor in [admin(), ina(), student("sam")] {
            assert_eq!(world.enroll_as(actor, "sam"), Err(Refusal::EnrollmentClosed));
        }
    }
}

#[test]
fn students_enroll_themselves_and_instructors_and_admins_anybody() {
    for actor in [student("sam"), ina(), admin()] {
        assert_eq!(
            published(None).enroll_as(actor, "sam").unwrap(),
            on_seats_and_enrollments(taken("sam"), vec![enrolled("sam", Via::Direct)])
        );
    }
}

#[test]
fn who_may_not_enroll_a_student_hears_so_before_anything_else() {
    let only_themselves = Refusal::Forbidden { rule: "students enroll only themselves" };
    let nobody =
        Refusal::Forbidden { rule: "only students, instructors of the course and admins enroll" };
    for world in [nothing(), draft(None), rush(), deleted(rush())] {
        assert_eq!(world.enroll_as(student("tom"), "a"), Err(only_themselves.clone()));
        assert_eq!(world.enroll_as(oda(), "a"), Err(nobody.clone()));
        assert_eq!(world.enroll_as(oda(), "oda"), Err(nobody.clone()));
    }
    assert_eq!(
        rush().enroll_as(ivo(), "a"),
        Err(Refusal::Forbidden { rule: "only an instructor of the course or an admin may" })
    );
    for world in [nothing(), draft(None), deleted(rush())] {
        assert_eq!(world.enroll_as(ivo(), "a"), Err(Refusal::course_not_found()));
    }
}

#[test]
fn nobody_enrolls_where_there_is_no_course() {
    for actor in [admin(), ina(), student("sam")] {
        assert_eq!(nothing().enroll_as(actor, "sam"), Err(Refusal::course_not_found()));
    }
}

#[test]
fn enrolling_needs_the_enrollment_only_of_who_may_enroll() {
    let enroll = |actor: Actor| {
        let command = Enroll { actor, student: user("sam"), join_waitlist: true, at: noon() };
        at_first_sight(&published(None), |room| room.enroll(&command))
    };
    assert_eq!(enroll(student("sam")), Err(Undecided::Needs(vec![user("sam")])));
    for actor in [student("tom"), oda(), ivo()] {
        assert!(matches!(enroll(actor), Err(Undecided::Refused(Refusal::Forbidden { .. }))));
    }
}

// Withdraw

#[test]
fn the_seat_of_who_leaves_goes_to_the_first_who_waits() {
    assert_eq!(
        rush().withdraw("a").unwrap(),
        on_seats_and_enrollments(
            released("a", Some("b")),
            vec![withdrawn("a", None), enrolled("b", Via::Waitlist)]
        )
    );
}

#[test]
fn the_seat_of_who_leaves_is_free_when_nobody_waits() {
    let world = published(Some(1)).and_enroll(&["a"]);
    assert_eq!(
        world.withdraw("a").unwrap(),
        on_seats_and_enrollments(released("a", None), vec![withdrawn("a", None)])
    );
    assert_eq!(world.and_withdraw("a").seats.taken, 0);
}

#[test]
fn who_waits_leaves_the_line_without_moving_a_seat() {
    assert_eq!(
        rush().withdraw("b").unwrap(),
        on_seats_and_enrollments(
            SeatsEvent::WaitlistLeft { student: user("b") },
            vec![withdrawn("b", None)]
        )
    );
}

#[test]
fn leaving_twice_changes_nothing() {
    for name in ["a", "b"] {
        let world = rush().and_withdraw(name);
        assert_eq!(world.withdraw(name), Ok(Changes::default()));
    }
}

#[test]
fn who_was_never_enrolled_cannot_leave() {
    for world in [nothing(), draft(None), rush(), deleted(rush())] {
        assert_eq!(world.withdraw("sam"), Err(Refusal::NotEnrolled));
        assert_eq!(world.withdraw_as(admin(), "sam"), Err(Refusal::NotEnrolled));
    }
}

#[test]
fn students_withdraw_themselves_and_instructors_and_admins_anybody() {
    for actor in [student("a"), ina(), admin()] {
        assert_eq!(rush().withdraw_as(actor, "a").unwrap(), rush().withdraw("a").unwrap());
    }
}

#[test]
fn an_enrollment_that_the_caller_may_not_see_is_not_found() {
    let former_instructor = Actor { id: user("ina"), role: Role::Student };
    for world in [nothing(), rush(), deleted(rush())] {
        for name in ["a", "b", "sam"] {
            let same_id = Actor { id: user(name), role: Role::Other };
            for actor in [student("tom"), oda(), ivo(), former_instructor.clone(), same_id] {
                assert_eq!(world.withdraw_as(actor, name), Err(Refusal::enrollment_not_found()));
            }
        }
    }
}

#[test]
fn the_reason_of_a_withdrawal_is_kept_and_limited() {
    let because = |reason: &str| {
        let reason = Some(reason.to_owned());
        let command =
            Withdraw { actor: student("b"), student: user("b"), reason, expected_version: None };
        rush().decide(|room| room.withdraw(&command))
    };
    let longest = "x".repeat(1_024);
    assert_eq!(because(&longest).unwrap().enrollments, [withdrawn("b", Some(&longest))]);
    for unlawful in ["x".repeat(1_025), "\0".to_owned()] {
        let refusal = because(&unlawful).unwrap_err();
        assert_eq!((refusal.code(), refusal.field()), (Code::ValidationFailed, Some("reason")));
        // A stranger does not even hear that there is something to leave.
        let (actor, student, reason) = (student("tom"), user("b"), Some(unlawful));
        let command = Withdraw { actor, student, reason, expected_version: None };
        let refusal = rush().decide(|room| room.withdraw(&command)).unwrap_err();
        assert_eq!(refusal, Refusal::enrollment_not_found());
    }
}

#[test]
fn withdrawing_stays_possible_after_a_deletion_and_promotes_nobody() {
    let world = deleted(rush());
    assert_eq!(
        world.withdraw("a").unwrap(),
        on_seats_and_enrollments(released("a", None), vec![withdrawn("a", None)])
    );
    let world = world.and_withdraw("a").and_withdraw("b");
    assert_eq!((world.active(), world.line), (0, vec![user("c")]));
}

#[test]
fn withdrawing_needs_first_who_leaves_and_then_who_is_promoted() {
    let world = rush();
    let command =
        Withdraw { actor: student("a"), student: user("a"), reason: None, expected_version: None };
    let needs = |names: &[&str]| Err(Undecided::Needs(names.iter().map(|n| user(n)).collect()));
    assert_eq!(at_first_sight(&world, |room| room.withdraw(&command)), needs(&["a"]));

    let a = &world.enrollments[&user("a")];
    let only_a = |student: &UserId| (*student == user("a")).then_some(a);
    let room =
        Room { id: &world.id, course: &world.course, seats: &world.seats, enrollment: &only_a };
    assert_eq!(room.withdraw(&command), needs(&["b"]));
}

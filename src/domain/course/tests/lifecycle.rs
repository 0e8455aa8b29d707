//! `DRAFT ⇄ PUBLISHED → ARCHIVED → PUBLISHED`, and nothing else.

use super::*;

#[test]
fn every_step_of_the_lifecycle_is_lawful_void_or_illegal() {
    let draft = vec![created()];
    let open = vec![created(), published()];
    let closed = vec![created(), published(), archived()];
    let illegal = |status, verb| Err(Refusal::IllegalTransition { object: "course", status, verb });
    let cases = [
        (&draft, CourseAction::Publish, Ok(vec![published()])),
        (&draft, unpublish(0, 0), Ok(vec![])),
        (&draft, CourseAction::Archive, illegal("DRAFT", "be archived")),
        (&draft, CourseAction::Restore, illegal("DRAFT", "be restored")),
        (&open, CourseAction::Publish, Ok(vec![])),
        (&open, unpublish(0, 0), Ok(vec![unpublished()])),
        (&open, CourseAction::Archive, Ok(vec![archived()])),
        (&open, CourseAction::Restore, Ok(vec![])),
        (&closed, CourseAction::Publish, illegal("ARCHIVED", "be published")),
        (&closed, unpublish(0, 0), illegal("ARCHIVED", "be unpublished")),
        (&closed, CourseAction::Archive, Ok(vec![])),
        (&closed, CourseAction::Restore, Ok(vec![restored()])),
    ];
    for (history, action, answer) in cases {
        for actor in [ina(), admin()] {
            let command = command(actor, action.clone());
            match answer.clone() {
                Ok(events) => given(history).when(command).then_expect_events(events),
                Err(refusal) => given(history).when(command).then_expect_error(refusal),
            }
        }
    }
}

#[test]
fn a_course_goes_round_its_lifecycle_as_often_as_one_likes() {
    let mut history = vec![created()];
    let round = [
        (CourseAction::Publish, CourseStatus::Published),
        (unpublish(0, 0), CourseStatus::Draft),
        (CourseAction::Publish, CourseStatus::Published),
        (CourseAction::Archive, CourseStatus::Archived),
        (CourseAction::Restore, CourseStatus::Published),
        (unpublish(0, 0), CourseStatus::Draft),
    ];
    for (action, status) in round.clone().into_iter().chain(round) {
        history.extend(fold(&history).decide(&by_ina(action)).unwrap());
        assert_eq!(fold(&history).status, status);
    }
    assert_eq!(history.len(), 13);
}

#[test]
fn a_course_with_seats_taken_or_somebody_waiting_stays_published() {
    for (taken, waiting) in [(1, 0), (0, 1), (3, 2)] {
        let refusal = Refusal::SeatsInUse { taken, waiting };
        assert_eq!((refusal.code(), refusal.field()), (Code::SeatsTaken, None));
        given(&[created(), published()])
            .when(by_ina(unpublish(taken, waiting)))
            .then_expect_error(refusal);
        // Whoever had a seat of a course that is archived keeps it, and it is no draft by that.
        given(&[created(), published()])
            .when(by_ina(CourseAction::Archive))
            .then_expect_events(vec![archived()]);
        given(&[created()]).when(by_ina(unpublish(taken, waiting))).then_expect_events(vec![]);
    }
}

#[test]
fn an_archived_course_is_deleted_like_any_other() {
    let history = [created(), published(), archived()];
    given(&history).when(by_ina(delete(0, false))).then_expect_events(vec![deleted()]);
    given(&history)
        .when(by_ina(delete(2, false)))
        .then_expect_error(Refusal::SeatsTaken { taken: 2 });
    given(&history).when(by_ina(delete(2, true))).then_expect_events(vec![deleted()]);
}

#[test]
fn an_archived_course_is_not_found_for_who_may_not_see_it() {
    for actor in strangers() {
        for action in unlawful_actions() {
            given(&[created(), published(), archived()])
                .when(command(actor.clone(), action))
                .then_expect_error(Refusal::course_not_found());
        }
    }
}

#[test]
fn the_content_of_an_archived_course_may_still_be_mended() {
    let history = [created(), published(), archived()];
    given(&history).when(by_ina(add_module("m1", None))).then_expect_events(vec![added("m1", 0)]);
    given(&history).when(by_ina(assign("ivo"))).then_expect_events(vec![assigned("ivo")]);
}

//! What a change of the course means for its seats and enrollments.

use super::*;
use crate::domain::course::{ItemKind, ItemPatch, NewItem};
use crate::domain::ids::ItemId;

#[test]
fn a_new_course_defines_its_seats() {
    let (opens, closes) = (at("2026-08-01T00:00:00Z"), at("2026-10-01T00:00:00Z"));
    let course = NewCourse {
        capacity: Some(3),
        enrollment_opens_at: Some(opens),
        enrollment_closes_at: Some(closes),
        ..algebra()
    };
    let defined = SeatsEvent::SeatsDefined {
        capacity: Some(3),
        opens_at: Some(opens),
        closes_at: Some(closes),
    };
    let changes = nothing().change(create(course.clone())).unwrap();
    assert_eq!(changes.seats, std::slice::from_ref(&defined));
    let changes = nothing().change(create(NewCourse { publish: true, ..course })).unwrap();
    assert_eq!(changes.seats, [defined, SeatsEvent::SeatsOpened { promoted: Vec::new() }]);
}

#[test]
fn publishing_opens_the_seats_once() {
    assert_eq!(
        draft(None).change(CourseAction::Publish).unwrap(),
        Changes {
            course: vec![CourseEvent::CoursePublished {}],
            seats: vec![SeatsEvent::SeatsOpened { promoted: Vec::new() }],
            enrollments: Vec::new(),
        }
    );
    assert_eq!(published(None).change(CourseAction::Publish), Ok(Changes::default()));
}

#[test]
fn an_unpublished_course_has_its_seats_closed_and_may_be_published_again() {
    let world = published(Some(1));
    assert_eq!(
        world.change(unpublish(&world)).unwrap(),
        Changes {
            course: vec![CourseEvent::CourseUnpublished {}],
            seats: vec![SeatsEvent::SeatsClosed {}],
            enrollments: Vec::new(),
        }
    );
    let action = unpublish(&world);
    let world = world.and_change(action);
    assert_eq!(world.enroll("a"), Err(Refusal::CourseNotPublished));
    let world = world.and_change(CourseAction::Publish).and_enroll(&["a"]);
    assert_eq!(world.active(), 1);
}

#[test]
fn a_course_is_unpublished_only_when_nobody_has_a_seat_or_waits() {
    let rush = rush();
    assert_eq!(rush.change(unpublish(&rush)), Err(Refusal::SeatsInUse { taken: 1, waiting: 2 }));
    let closed = rush.and_change(set_capacity(Some(0))).and_withdraw("a");
    assert_eq!(
        closed.change(unpublish(&closed)),
        Err(Refusal::SeatsInUse { taken: 0, waiting: 2 })
    );
    let empty = closed.and_withdraw("b").and_withdraw("c");
    assert_eq!(empty.change(unpublish(&empty)).unwrap().seats, [SeatsEvent::SeatsClosed {}]);
}

#[test]
fn an_archived_course_keeps_its_seats_and_promotes_when_it_is_restored() {
    let changes = rush().change(CourseAction::Archive).unwrap();
    assert_eq!(changes.seats, [SeatsEvent::SeatsClosed {}]);
    assert_eq!(changes.enrollments, []);
    let world = rush().and_change(CourseAction::Archive);
    assert_eq!(world.enroll("d"), Err(Refusal::CourseNotPublished));
    let world = world.and_withdraw("a").and_change(set_capacity(Some(2)));
    assert_eq!((world.active(), world.line.as_slice()), (0, &[user("b"), user("c")][..]));
    let command =
        CourseCommand { actor: ina(), expected_version: None, action: CourseAction::Restore };
    assert_eq!(
        at_first_sight(&world, |room| room.change_course(&command)),
        Err(Undecided::Needs(vec![user("b"), user("c")]))
    );
    assert_eq!(
        world.change(CourseAction::Restore).unwrap(),
        Changes {
            course: vec![CourseEvent::CourseRestored {}],
            seats: vec![SeatsEvent::SeatsOpened { promoted: vec![user("b"), user("c")] }],
            enrollments: vec![enrolled("b", Via::Waitlist), enrolled("c", Via::Waitlist)],
        }
    );
    assert_eq!(rush().change(CourseAction::Restore), Ok(Changes::default()));
}

#[test]
fn raising_the_capacity_promotes_in_order() {
    for (capacity, promoted) in
        [(Some(2), &["b"][..]), (Some(3), &["b", "c"]), (Some(9), &["b", "c"]), (None, &["b", "c"])]
    {
        let changes = rush().change(set_capacity(capacity)).unwrap();
        let capacity = capacity.map(|seats| u32::try_from(seats).unwrap());
        assert_eq!(
            changes,
            Changes {
                course: vec![CourseEvent::CourseCapacityChanged { capacity }],
                seats: vec![SeatsEvent::SeatsCapacityChanged {
                    capacity,
                    promoted: promoted.iter().map(|name| user(name)).collect(),
                }],
                enrollments: promoted.iter().map(|name| enrolled(name, Via::Waitlist)).collect(),
            }
        );
    }
}

#[test]
fn raising_the_capacity_needs_the_enrollments_of_all_it_promotes() {
    let command =
        CourseCommand { actor: ina(), expected_version: None, action: set_capacity(Some(9)) };
    assert_eq!(
        at_first_sight(&rush(), |room| room.change_course(&command)),
        Err(Undecided::Needs(vec![user("b"), user("c")]))
    );
}

#[test]
fn a_promotion_on_an_old_guess_of_an_enrollment_is_left_to_the_append() {
    let mut world = rush();
    // Since this was looked up, b has withdrawn and joined the waitlist again.
    let old = published(Some(1)).and_enroll(&["b"]).enrollments[&user("b")].clone();
    world.enrollments.insert(user("b"), old);
    let raised = world.change(set_capacity(Some(2))).unwrap();
    let withdrawn = world.withdraw("a").unwrap();
    for changes in [raised, withdrawn] {
        let last = changes.enrollments.last();
        assert_eq!(last, Some(&enrolled("b", Via::Waitlist)), "so that the append reads it");
    }
}

#[test]
fn lowering_the_capacity_evicts_nobody_and_frees_no_seat() {
    let world = published(Some(2)).and_enroll(&["a", "b", "c"]).and_change(set_capacity(Some(1)));
    assert_eq!((world.active(), world.line.as_slice()), (2, &[user("c")][..]));
    let world = world.and_withdraw("a");
    assert_eq!((world.active(), world.line.as_slice()), (1, &[user("c")][..]));
    let world = world.and_withdraw("b");
    assert_eq!(world.status(&user("c")), EnrollmentStatus::Active);
}

#[test]
fn those_who_wait_stay_in_line_while_the_capacity_is_zero() {
    let world = rush().and_change(set_capacity(Some(0))).and_withdraw("a");
    assert_eq!((world.active(), world.line.as_slice()), (0, &[user("b"), user("c")][..]));
    let world = world.and_change(set_capacity(Some(1)));
    assert_eq!((world.active(), world.line.as_slice()), (1, &[user("c")][..]));
}

#[test]
fn more_promotions_than_one_command_may_make_are_refused_as_a_whole() {
    let mut world = published(Some(1)).and_enroll(&["a"]);
    for n in 0..1_001 {
        let student = user(&format!("s{n}"));
        world.seats.apply(SeatsEvent::SeatWaitlisted { student });
    }
    let command =
        CourseCommand { actor: ina(), expected_version: None, action: set_capacity(None) };
    let answer = at_first_sight(&world, |room| room.change_course(&command));
    let Err(Undecided::Refused(refusal)) = answer else { panic!("{answer:?}") };
    assert_eq!((refusal.code(), refusal.field()), (Code::LimitExceeded, Some("capacity")));
}

#[test]
fn only_the_enrollment_window_of_a_schedule_concerns_the_seats() {
    let starts = CoursePatch { starts_at: Patch::Set(noon()), ..CoursePatch::default() };
    assert_eq!(rush().change(update(starts.clone())).unwrap().seats, []);
    let closes = CoursePatch { enrollment_closes_at: Patch::Set(noon()), ..starts };
    assert_eq!(
        rush().change(update(closes)).unwrap().seats,
        [SeatsEvent::SeatsWindowChanged { opens_at: None, closes_at: Some(Some(noon())) }]
    );
}

#[test]
fn the_content_of_a_course_does_not_concern_its_seats() {
    let title = CoursePatch { title: Patch::Set("Algebra".to_owned()), ..CoursePatch::default() };
    let module_id = ModuleId::parse("m1", "moduleId").unwrap();
    let add = CourseAction::AddModule {
        module_id: module_id.clone(),
        title: "Bases".to_owned(),
        summary: None,
        position: None,
    };
    let item_id = ItemId::parse("t1", "moduleItemId").unwrap();
    let item = NewItem {
        id: item_id.clone(),
        kind: ItemKind::Page,
        title: "Definition".to_owned(),
        required: true,
        position: None,
        url: None,
        video_id: None,
        assessment_id: None,
    };
    let add_item =
        CourseAction::AddItem { module_id: module_id.clone(), item: Box::new(item), video: None };
    let world = rush().and_change(add.clone()).and_change(add_item.clone());
    let patch = ModulePatch { title: Patch::Set("Basis".to_owned()), ..ModulePatch::default() };
    let change = CourseAction::UpdateModule { module_id: module_id.clone(), patch };
    let patch = ItemPatch { required: Patch::Set(false), ..ItemPatch::default() };
    let actions = [
        update(title),
        add,
        change,
        CourseAction::RemoveModule { module_id },
        add_item,
        CourseAction::UpdateItem { item_id: item_id.clone(), patch },
        CourseAction::RemoveItem { item_id },
        CourseAction::AssignInstructor { instructor_id: user("ivo") },
    ];
    for action in actions {
        let changes = world.change(action).unwrap();
        assert_eq!(
            (changes.course.len(), changes.seats.len(), changes.enrollments.len()),
            (1, 0, 0)
        );
    }
}

#[test]
fn a_deletion_closes_the_seats_and_leaves_the_enrollments_as_they_are() {
    let world = rush();
    assert_eq!(world.change(delete(&world, false)), Err(Refusal::SeatsTaken { taken: 1 }));
    let changes = world.change(delete(&world, true)).unwrap();
    assert_eq!(changes.seats, [SeatsEvent::SeatsClosed {}]);
    assert_eq!(changes.enrollments, []);
    let world = deleted(world);
    assert_eq!((world.active(), world.line.as_slice()), (1, &[user("b"), user("c")][..]));
    assert_eq!(world.change(delete(&world, false)), Ok(Changes::default()));
}

#[test]
fn the_deletion_of_a_draft_finds_its_seats_closed_already() {
    let world = draft(None);
    let changes = world.change(delete(&world, false)).unwrap();
    assert_eq!((changes.course.len(), changes.seats.len()), (1, 0));
}

#[test]
fn a_refused_change_of_the_course_asks_for_no_enrollment() {
    for (actor, code) in [(ivo(), Code::Forbidden), (student("a"), Code::Forbidden)] {
        let command = CourseCommand { actor, expected_version: None, action: set_capacity(None) };
        let answer = at_first_sight(&rush(), |room| room.change_course(&command));
        let Err(Undecided::Refused(refusal)) = answer else { panic!("{answer:?}") };
        assert_eq!(refusal.code(), code);
    }
}

//! What seats decide: given their history, when they get a command, then these events or this refusal.

use cqrs_es::test::{AggregateTestExecutor, TestFramework};

use super::*;

fn given(history: &[SeatsEvent]) -> AggregateTestExecutor<Seats> {
    TestFramework::with(()).given(history.to_vec())
}

fn fold(history: &[SeatsEvent]) -> Seats {
    let mut seats = Seats::default();
    for event in history {
        seats.apply(event.clone());
    }
    seats
}

fn user(name: &str) -> UserId {
    UserId::parse(name, "studentId").unwrap()
}

fn users(names: &[&str]) -> Vec<UserId> {
    names.iter().map(|name| user(name)).collect()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn noon() -> DateTime<Utc> {
    at("2026-09-01T12:00:00Z")
}

fn defined(capacity: Option<u32>) -> SeatsEvent {
    SeatsEvent::SeatsDefined { capacity, opens_at: None, closes_at: None }
}

fn opened(promoted: &[&str]) -> SeatsEvent {
    SeatsEvent::SeatsOpened { promoted: users(promoted) }
}

fn closed() -> SeatsEvent {
    SeatsEvent::SeatsClosed {}
}

fn taken(name: &str) -> SeatsEvent {
    SeatsEvent::SeatTaken { student: user(name) }
}

fn waitlisted(name: &str) -> SeatsEvent {
    SeatsEvent::SeatWaitlisted { student: user(name) }
}

fn released(name: &str, promoted: Option<&str>) -> SeatsEvent {
    SeatsEvent::SeatReleased { student: user(name), promoted: promoted.map(user) }
}

fn capacity_changed(capacity: Option<u32>, promoted: &[&str]) -> SeatsEvent {
    SeatsEvent::SeatsCapacityChanged { capacity, promoted: users(promoted) }
}

fn take(name: &str) -> SeatsCommand {
    SeatsCommand::Take { student: user(name), at: noon(), join_waitlist: true }
}

fn take_or_leave(name: &str) -> SeatsCommand {
    SeatsCommand::Take { student: user(name), at: noon(), join_waitlist: false }
}

fn release(name: &str) -> SeatsCommand {
    SeatsCommand::Release { student: user(name) }
}

fn leave(name: &str) -> SeatsCommand {
    SeatsCommand::LeaveWaitlist { student: user(name) }
}

/// One seat, taken by a; b, c and d wait.
fn rush() -> Vec<SeatsEvent> {
    let mut history = vec![defined(Some(1)), opened(&[]), taken("a")];
    history.extend(["b", "c", "d"].map(waitlisted));
    history
}

/// The same, and then `more`.
fn rush_and(more: SeatsEvent) -> Vec<SeatsEvent> {
    let mut history = rush();
    history.push(more);
    history
}

// Define

#[test]
fn seats_are_defined_once() {
    let window = (Some(at("2026-08-01T00:00:00Z")), Some(at("2026-10-01T00:00:00Z")));
    let define =
        || SeatsCommand::Define { capacity: Some(3), opens_at: window.0, closes_at: window.1 };
    let event =
        SeatsEvent::SeatsDefined { capacity: Some(3), opens_at: window.0, closes_at: window.1 };
    given(&[]).when(define()).then_expect_events(vec![event.clone()]);
    given(&[event]).when(define()).then_expect_error(Refusal::CourseIdTaken);
}

#[test]
fn where_there_is_no_course_everything_is_not_found() {
    for command in [
        SeatsCommand::Open,
        SeatsCommand::Close,
        SeatsCommand::SetWindow { opens_at: None, closes_at: None },
        SeatsCommand::SetCapacity { capacity: None },
        take("a"),
        release("a"),
        leave("a"),
    ] {
        given(&[]).when(command).then_expect_error(Refusal::course_not_found());
    }
}

// Open and close

#[test]
fn opening_twice_changes_nothing() {
    given(&[defined(None)]).when(SeatsCommand::Open).then_expect_events(vec![opened(&[])]);
    given(&[defined(None), opened(&[])]).when(SeatsCommand::Open).then_expect_events(vec![]);
}

#[test]
fn closing_twice_changes_nothing() {
    given(&[defined(None), opened(&[])])
        .when(SeatsCommand::Close)
        .then_expect_events(vec![closed()]);
    given(&[defined(None)]).when(SeatsCommand::Close).then_expect_events(vec![]);
}

#[test]
fn opening_promotes_whoever_waits_and_fits() {
    let mut history = rush_and(closed());
    history.push(capacity_changed(Some(3), &[]));
    given(&history).when(SeatsCommand::Open).then_expect_events(vec![opened(&["b", "c"])]);
}

// Window

#[test]
fn the_window_changes_only_where_it_differs() {
    let (opens, closes) = (at("2026-08-01T00:00:00Z"), at("2026-10-01T00:00:00Z"));
    let set = |opens_at, closes_at| SeatsCommand::SetWindow { opens_at, closes_at };
    let changed = |opens_at, closes_at| SeatsEvent::SeatsWindowChanged { opens_at, closes_at };
    let mut history = vec![defined(None)];
    let steps = [
        (set(None, None), vec![]),
        (set(Some(opens), None), vec![changed(Some(Some(opens)), None)]),
        (set(Some(opens), Some(closes)), vec![changed(None, Some(Some(closes)))]),
        (set(Some(opens), Some(closes)), vec![]),
        (set(None, None), vec![changed(Some(None), Some(None))]),
    ];
    for (command, events) in steps {
        given(&history).when(command.clone()).then_expect_events(events.clone());
        history.extend(events);
        let SeatsCommand::SetWindow { opens_at, closes_at } = command else { unreachable!() };
        let seats = fold(&history);
        assert_eq!((seats.opens_at, seats.closes_at), (opens_at, closes_at));
    }
}

#[test]
fn the_window_holds_its_first_instant_and_not_its_last() {
    let history = [
        SeatsEvent::SeatsDefined {
            capacity: None,
            opens_at: Some(at("2026-09-01T12:00:00Z")),
            closes_at: Some(at("2026-09-01T13:00:00Z")),
        },
        opened(&[]),
    ];
    let take =
        |instant| SeatsCommand::Take { student: user("a"), at: at(instant), join_waitlist: true };
    for instant in ["2026-09-01T12:00:00Z", "2026-09-01T12:59:59.999999999Z"] {
        given(&history).when(take(instant)).then_expect_events(vec![taken("a")]);
    }
    for instant in ["2026-09-01T11:59:59.999999999Z", "2026-09-01T13:00:00Z"] {
        given(&history).when(take(instant)).then_expect_error(Refusal::EnrollmentClosed);
    }
}

// Take

#[test]
fn a_free_seat_is_taken_whether_or_not_the_student_would_wait() {
    for capacity in [None, Some(1)] {
        for command in [take("a"), take_or_leave("a")] {
            given(&[defined(capacity), opened(&[])])
                .when(command)
                .then_expect_events(vec![taken("a")]);
        }
    }
}

#[test]
fn who_finds_no_free_seat_waits_or_is_refused() {
    given(&rush()).when(take("e")).then_expect_events(vec![waitlisted("e")]);
    given(&rush()).when(take_or_leave("e")).then_expect_error(Refusal::CourseFull);
}

#[test]
fn no_seat_is_given_past_those_who_wait() {
    // A log in which a seat is idle must not let a newcomer overtake.
    let history = [defined(Some(2)), opened(&[]), taken("a"), waitlisted("b")];
    given(&history).when(take("c")).then_expect_events(vec![waitlisted("c")]);
}

#[test]
fn a_course_that_is_not_open_gives_no_seat() {
    for history in [vec![defined(None)], vec![defined(None), opened(&[]), closed()]] {
        given(&history).when(take("a")).then_expect_error(Refusal::CourseNotPublished);
    }
}

#[test]
fn a_capacity_of_zero_is_closed_and_has_no_waitlist() {
    for command in [take("a"), take_or_leave("a")] {
        given(&[defined(Some(0)), opened(&[])])
            .when(command)
            .then_expect_error(Refusal::EnrollmentClosed);
    }
}

// Release

#[test]
fn the_first_who_waits_gets_the_seat_that_is_given_back() {
    given(&rush()).when(release("a")).then_expect_events(vec![released("a", Some("b"))]);
    let seats = fold(&rush_and(released("a", Some("b"))));
    assert_eq!((seats.taken, Vec::from(seats.waitlist)), (1, users(&["c", "d"])));
}

#[test]
fn a_seat_that_is_given_back_is_free_when_nobody_waits() {
    let history = [defined(Some(1)), opened(&[]), taken("a")];
    given(&history).when(release("a")).then_expect_events(vec![released("a", None)]);
}

#[test]
fn a_seat_that_is_given_back_above_the_capacity_is_gone() {
    let mut history = vec![defined(Some(2)), opened(&[]), taken("a"), taken("b"), waitlisted("c")];
    history.push(capacity_changed(Some(1), &[]));
    given(&history).when(release("a")).then_expect_events(vec![released("a", None)]);
    history.push(released("a", None));
    given(&history).when(release("b")).then_expect_events(vec![released("b", Some("c"))]);
}

#[test]
fn a_closed_course_promotes_nobody() {
    given(&rush_and(closed())).when(release("a")).then_expect_events(vec![released("a", None)]);
    given(&rush_and(closed()))
        .when(SeatsCommand::SetCapacity { capacity: None })
        .then_expect_events(vec![capacity_changed(None, &[])]);
}

// Leave the waitlist

#[test]
fn who_waits_may_leave_from_any_place() {
    for (name, rest) in [("b", ["c", "d"]), ("c", ["b", "d"]), ("d", ["b", "c"])] {
        let left = SeatsEvent::WaitlistLeft { student: user(name) };
        given(&rush()).when(leave(name)).then_expect_events(vec![left.clone()]);
        assert_eq!(Vec::from(fold(&rush_and(left)).waitlist), users(&rest));
    }
}

#[test]
fn who_does_not_wait_cannot_leave_the_waitlist() {
    for name in ["a", "e"] {
        given(&rush()).when(leave(name)).then_expect_error(Refusal::NotEnrolled);
    }
}

// Capacity

#[test]
fn raising_the_capacity_promotes_in_order() {
    for (capacity, promoted) in [
        (Some(2), &["b"][..]),
        (Some(3), &["b", "c"]),
        (Some(4), &["b", "c", "d"]),
        (Some(9), &["b", "c", "d"]),
        (None, &["b", "c", "d"]),
    ] {
        given(&rush())
            .when(SeatsCommand::SetCapacity { capacity })
            .then_expect_events(vec![capacity_changed(capacity, promoted)]);
    }
    let seats = fold(&rush_and(capacity_changed(Some(3), &["b", "c"])));
    assert_eq!((seats.taken, Vec::from(seats.waitlist)), (3, users(&["d"])));
}

#[test]
fn the_window_does_not_bind_a_promotion() {
    let mut history = rush();
    history.push(SeatsEvent::SeatsWindowChanged {
        opens_at: None,
        closes_at: Some(Some(at("2000-01-01T00:00:00Z"))),
    });
    given(&history).when(take("e")).then_expect_error(Refusal::EnrollmentClosed);
    given(&history)
        .when(SeatsCommand::SetCapacity { capacity: Some(2) })
        .then_expect_events(vec![capacity_changed(Some(2), &["b"])]);
    given(&history).when(release("a")).then_expect_events(vec![released("a", Some("b"))]);
}

#[test]
fn lowering_the_capacity_evicts_nobody() {
    given(&rush())
        .when(SeatsCommand::SetCapacity { capacity: Some(0) })
        .then_expect_events(vec![capacity_changed(Some(0), &[])]);
    let seats = fold(&rush_and(capacity_changed(Some(0), &[])));
    assert_eq!((seats.taken, Vec::from(seats.waitlist)), (1, users(&["b", "c", "d"])));
}

#[test]
fn the_same_capacity_changes_nothing() {
    given(&rush()).when(SeatsCommand::SetCapacity { capacity: Some(1) }).then_expect_events(vec![]);
    given(&[defined(None)])
        .when(SeatsCommand::SetCapacity { capacity: None })
        .then_expect_events(vec![]);
}

#[test]
fn one_command_promotes_at_most_a_thousand() {
    let refusal = Refusal::LimitExceeded {
        field: "capacity",
        rule: "one command promotes at most 1,000 waiting students; raise it in steps",
    };
    let mut history = vec![defined(Some(1)), opened(&[]), taken("a")];
    let names: Vec<String> = (0..1_001).map(|n| format!("s{n}")).collect();
    history.extend(names.iter().map(|name| waitlisted(name)));
    for capacity in [Some(1_002), None] {
        given(&history)
            .when(SeatsCommand::SetCapacity { capacity })
            .then_expect_error(refusal.clone());
    }
    let first: Vec<&str> = names[..1_000].iter().map(String::as_str).collect();
    given(&history)
        .when(SeatsCommand::SetCapacity { capacity: Some(1_001) })
        .then_expect_events(vec![capacity_changed(Some(1_001), &first)]);

    history.push(closed());
    given(&history)
        .when(SeatsCommand::SetCapacity { capacity: None })
        .then_expect_events(vec![capacity_changed(None, &[])]);
    history.push(capacity_changed(None, &[]));
    given(&history).when(SeatsCommand::Open).then_expect_error(refusal);
}

#[test]
fn only_events_that_free_or_add_seats_promote() {
    assert_eq!(opened(&["a"]).promoted(), users(&["a"]));
    assert_eq!(capacity_changed(None, &["a", "b"]).promoted(), users(&["a", "b"]));
    assert_eq!(released("a", Some("b")).promoted(), users(&["b"]));
    for event in [released("a", None), taken("a"), waitlisted("a"), closed(), defined(None)] {
        assert!(event.promoted().is_empty());
    }
}

#[test]
fn seats_survive_their_own_json() {
    let seats = fold(&rush());
    let json = serde_json::to_value(&seats).unwrap();
    assert_eq!(serde_json::from_value::<Seats>(json).unwrap(), seats);
}

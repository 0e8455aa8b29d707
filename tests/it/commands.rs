//! Commands over several instances: every answer is true at one point of the log, and capacity is exact.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use course_service::app::database;
use course_service::commands::CommandError;
use course_service::domain::course::{CourseAction, CoursePatch};
use course_service::domain::enrollment::EnrollmentStatus;
use course_service::domain::values::Patch;
use course_service::domain::{CourseId, Enrollment, Event, Refusal, Seats, UserId};
use course_service::event_store::Recorded;
use cqrs_es::Aggregate;
use futures::future::join_all;

use crate::instance::{Instance, Mode, Proxy, new_course_id, refusal, waits_for_a_lock};
use crate::support;

/// Folds a course's part of the log and checks at every event what must hold at each.
fn fold_registration(log: &[Recorded], course: &CourseId) -> Seats {
    let mut seats = Seats::default();
    let mut enrollments: HashMap<String, Enrollment> = HashMap::new();
    for recorded in log.iter().filter(|event| event.course.as_ref() == Some(course)) {
        let at = recorded.position.number;
        match &recorded.event {
            Event::Course(_) | Event::User(_) => {}
            Event::Enrollment(event) => {
                enrollments.entry(recorded.stream.id.to_string()).or_default().apply(event.clone());
            }
            Event::Seats(event) => {
                let (before, waiting) = (seats.taken, seats.waitlist.clone());
                let promoted = event.promoted();
                assert!(promoted.iter().eq(waiting.iter().take(promoted.len())), "order at {at}");
                seats.apply(event.clone());
                let full = seats.capacity.is_some_and(|capacity| seats.taken >= capacity);
                let over = seats.capacity.is_some_and(|capacity| seats.taken > capacity);
                assert!(!over || seats.taken <= before, "oversold at {at}");
                assert!(!seats.open || full || seats.waitlist.is_empty(), "idle seat at {at}");
            }
        }
    }
    let with = |status: EnrollmentStatus| -> BTreeSet<&str> {
        let of_status = enrollments.values().filter(|enrollment| enrollment.status == status);
        of_status.map(|enrollment| enrollment.student_id.as_str()).collect()
    };
    assert_eq!(with(EnrollmentStatus::Active).len(), seats.taken as usize);
    let waiting: BTreeSet<&str> = seats.waitlist.iter().map(UserId::as_str).collect();
    assert_eq!(with(EnrollmentStatus::Waitlisted), waiting);
    seats
}

fn titled(title: &str) -> CoursePatch {
    CoursePatch { title: Patch::Set(title.to_owned()), ..CoursePatch::default() }
}

fn with_code(code: &str) -> CoursePatch {
    CoursePatch { code: Patch::Set(code.to_owned()), ..CoursePatch::default() }
}

fn with_capacity(capacity: i64) -> CoursePatch {
    CoursePatch { capacity: Patch::Set(capacity), ..CoursePatch::default() }
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capacity_is_exact_over_three_instances_in_a_rush_with_withdrawals_and_changes_of_capacity()
{
    let url = support::database_url().await;
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(Instance::on(&url).await);
    }
    let instances = &instances;
    let course = &instances[0].published("RUSH-101", Some(500)).await;
    let enrolled = join_all((0..2_000).map(|number| {
        let instance = &instances[number % 3];
        async move {
            let student = format!("s{number}");
            instance.enroll(course, &student, true).await.unwrap();
            if number % 7 == 0 {
                // Through another instance, which does not know of the enrollment yet.
                let other = &instances[(number + 1) % 3];
                other.withdraw(course, &student).await.unwrap();
            }
        }
    }));
    let changed = async {
        for capacity in [510, 480, 520, 500] {
            instances[1].update(course, with_capacity(capacity)).await.unwrap();
            instances[2].update(course, titled(&format!("Title {capacity}"))).await.unwrap();
        }
    };
    futures::future::join(enrolled, changed).await;
    let seats = fold_registration(&instances[0].log().await, course);
    assert!(seats.taken >= 500, "{} seats are taken", seats.taken);
    let withdrawn = (0..2_000).filter(|number| number % 7 == 0).count();
    assert_eq!(seats.taken as usize + seats.waitlist.len(), 2_000 - withdrawn);
}

#[tokio::test]
async fn an_answer_is_the_truth_of_the_log_although_another_instance_changed_it() {
    let url = support::database_url().await;
    let (a, b) = (Instance::on(&url).await, Instance::on(&url).await);
    let course = new_course_id();
    assert_eq!(refusal(b.enroll(&course, "s2", false).await), Refusal::course_not_found());
    a.create(&course, "RUST-101", Some(1)).await.unwrap();
    // B remembers that there is no such course.
    b.enroll(&course, "s2", false).await.unwrap();
    assert_eq!(refusal(a.enroll(&course, "s1", false).await), Refusal::CourseFull);
    b.withdraw(&course, "s2").await.unwrap();
    // A remembers that it is full.
    a.enroll(&course, "s1", false).await.unwrap();
    // B remembers a free seat.
    assert_eq!(refusal(b.enroll(&course, "s2", false).await), Refusal::CourseFull);
    assert_eq!(refusal(b.enroll(&course, "s1", false).await), Refusal::AlreadyEnrolled);
    a.withdraw(&course, "s1").await.unwrap();
    // B remembers that the student has a seat.
    b.enroll(&course, "s1", false).await.unwrap();
    a.delete(&course).await.unwrap();
    assert_eq!(refusal(b.enroll(&course, "s3", false).await), Refusal::CourseNotPublished);
    fold_registration(&a.log().await, &course);
}

#[tokio::test]
async fn of_two_instances_that_create_one_course_one_is_told_that_the_id_is_taken() {
    let url = support::database_url().await;
    let (a, b) = (Instance::on(&url).await, Instance::on(&url).await);
    let course = new_course_id();
    let both =
        futures::future::join(a.create(&course, "ONE-1", None), b.create(&course, "TWO-2", None));
    let mut results = <[_; 2]>::from(both.await);
    results.sort_by_key(Result::is_err);
    let [created, refused] = results;
    created.unwrap();
    assert_eq!(refusal(refused), Refusal::CourseIdTaken);
}

#[tokio::test]
async fn an_edit_on_an_old_guess_of_the_enrollment_window_is_carried_out() {
    let url = support::database_url().await;
    let (a, b) = (Instance::on(&url).await, Instance::on(&url).await);
    let course = a.published("RUST-101", Some(5)).await;
    b.enroll(&course, "s1", false).await.unwrap(); // B knows the seats
    let opens = time("2026-01-01T00:00:00Z");
    let window = CoursePatch { enrollment_opens_at: Patch::Set(opens), ..CoursePatch::default() };
    a.update(&course, window).await.unwrap();
    // B hears of the window with the course, and not with the seats, which the edit does not read.
    let starts = time("2030-01-01T00:00:00Z");
    let schedule = CoursePatch { starts_at: Patch::Set(starts), ..CoursePatch::default() };
    let answer = b.update(&course, schedule).await.unwrap().course().unwrap();
    assert_eq!((answer.starts_at, answer.enrollment_opens_at), (Some(starts), Some(opens)));
    let seats = fold_registration(&a.log().await, &course);
    assert_eq!(seats.opens_at, Some(opens));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_of_the_content_never_conflicts_with_a_rush() {
    let url = support::database_url().await;
    let proxy = Proxy::before(&url).await;
    let rush = Instance::on(&url).await;
    let editor = Instance::with(rush.pool.clone(), &proxy.url, Duration::from_mins(1));
    let course = &rush.published("RUSH-101", Some(50)).await;
    editor.update(course, titled("The editor knows the course")).await.unwrap();
    let enrolled = join_all((0..200).map(|number| {
        let rush = &rush;
        async move { rush.enroll(course, &format!("s{number}"), true).await.unwrap() }
    }));
    let edited = async {
        for number in 0..30 {
            editor.update(course, titled(&format!("Title {number}"))).await.unwrap();
        }
    };
    futures::future::join(enrolled, edited).await;
    assert_eq!(proxy.stale_answers(), 0);
    // The counter counts: an edit on an old version of the course is decided twice.
    rush.update(course, titled("Behind the editor's back")).await.unwrap();
    editor.update(course, titled("Again")).await.unwrap();
    assert_eq!(proxy.stale_answers(), 1);
}

#[tokio::test]
async fn an_expected_version_that_is_not_the_logs_is_a_conflict() {
    let url = support::database_url().await;
    let (a, b) = (Instance::on(&url).await, Instance::on(&url).await);
    let course = a.published("RUST-101", Some(5)).await;
    let update =
        |title: &str| CourseAction::Update { patch: Box::new(titled(title)), code_owner: None };
    b.course(&course, Some(2), update("B was here")).await.unwrap();
    // A believes in version 2 as well, and its cache does.
    let refused = refusal(a.course(&course, Some(2), update("A was here")).await);
    assert_eq!(refused, Refusal::VersionConflict { object: "course", expected: 2, actual: 3 });
    a.course(&course, Some(3), update("A was here")).await.unwrap();
    // B's cache says 3, the caller knows better.
    b.course(&course, Some(4), update("B again")).await.unwrap();
}

#[tokio::test]
async fn a_code_is_claimed_and_released_and_claimed_again_over_instances() {
    let url = support::database_url().await;
    let (a, b) = (Instance::on(&url).await, Instance::on(&url).await);
    let (one, two) = (new_course_id(), new_course_id());
    a.create(&one, "Rust-101", None).await.unwrap();
    assert_eq!(refusal(b.create(&two, "RUST-101", None).await), Refusal::CodeTaken);
    // Another spelling of one's own code moves no key.
    a.update(&one, with_code("rust-101")).await.unwrap();
    assert_eq!(refusal(b.create(&two, "rUST-101", None).await), Refusal::CodeTaken);
    b.create(&two, "Go-1", None).await.unwrap();
    assert_eq!(refusal(a.update(&one, with_code("GO-1")).await), Refusal::CodeTaken);
    // Renamed: the old code is free, the new one is not.
    a.update(&one, with_code("Rust-102")).await.unwrap();
    b.update(&two, with_code("RUST-101")).await.unwrap();
    assert_eq!(refusal(b.update(&two, with_code("RUST-102")).await), Refusal::CodeTaken);
    assert_eq!(refusal(a.update(&one, with_code("rust-101")).await), Refusal::CodeTaken);
    // Deleted: free again, for another instance too, which was told otherwise just now.
    b.delete(&two).await.unwrap();
    a.update(&one, with_code("RUST-101")).await.unwrap();
    a.create(&new_course_id(), "go-1", None).await.unwrap();
    let held: Vec<(String, String)> = sqlx::query_as("SELECT key, value FROM keys ORDER BY key")
        .fetch_all(&a.pool)
        .await
        .unwrap();
    assert_eq!(held.len(), 2);
    assert_eq!(held[1], ("rust-101".to_owned(), one.to_string()));
}

#[tokio::test]
async fn two_courses_may_swap_their_codes_by_a_third_one() {
    let instance = Instance::on(&support::database_url().await).await;
    let (one, two) = (new_course_id(), new_course_id());
    instance.create(&one, "A-1", None).await.unwrap();
    instance.create(&two, "B-1", None).await.unwrap();
    // Posted at once: one mailbox decides the first two as a chain, as far as their keys allow.
    let (first, second, _) = futures::future::join3(
        instance.update(&one, with_code("C-1")),
        instance.update(&one, with_code("D-1")),
        instance.update(&two, with_code("A-1")),
    )
    .await;
    first.unwrap();
    second.unwrap();
    instance.update(&two, with_code("A-1")).await.unwrap(); // now, if it was not before
    let mut held: Vec<String> =
        sqlx::query_scalar("SELECT key FROM keys").fetch_all(&instance.pool).await.unwrap();
    held.sort();
    assert_eq!(held, ["a-1", "d-1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_hangs_up_leaves_a_whole_outcome() {
    let url = support::database_url().await;
    let (a, b) = (Instance::on(&url).await, Instance::on(&url).await);
    let course = a.published("RUST-101", Some(40)).await;
    let instances = [&a, &b];
    for number in 0..200_u64 {
        let instance = instances[usize::try_from(number).unwrap() % 2];
        let student = format!("s{}", number / 2 * 2);
        let hang_up = Duration::from_micros(number * 40);
        // Every second one meets the enrollment of the one before it, wherever that got to.
        if number % 2 == 0 {
            let _ = tokio::time::timeout(hang_up, instance.enroll(&course, &student, true)).await;
        } else {
            let _ = tokio::time::timeout(hang_up, instance.withdraw(&course, &student)).await;
        }
    }
    // Behind all that is still under way in both.
    for (number, instance) in instances.into_iter().enumerate() {
        instance.enroll(&course, &format!("last{number}"), true).await.unwrap();
    }
    let log = a.log().await;
    assert!(log.iter().filter(|event| event.event.name() == "SeatTaken").count() > 1);
    fold_registration(&log, &course);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_database_commands_time_out_or_are_turned_away_and_go_on_when_it_is_back() {
    let url = support::database_url().await;
    let proxy = Proxy::before(&url).await;
    let readers = database::pool(&proxy.url, 4).unwrap();
    let instance = Instance::with(readers, &proxy.url, Duration::from_secs(2));
    let course = instance.published("RUST-101", Some(5)).await;
    instance.enroll(&course, "s0", false).await.unwrap();
    for round in 0..2 {
        proxy.freeze(true); // nobody answers, nobody hangs up
        let all = join_all((0..10_100).map(|number| {
            let (instance, course) = (&instance, &course);
            async move { instance.enroll(course, &format!("s{number}"), false).await }
        }))
        .await;
        let (mut late, mut turned_away) = (0, 0);
        for answer in all {
            match answer {
                Err(CommandError::Timeout | CommandError::Failed(_)) => late += 1,
                Err(CommandError::Overloaded) => turned_away += 1,
                other => panic!("round {round}: {other:?}"),
            }
        }
        assert_eq!((late, turned_away), (10_000, 100), "round {round}");
        proxy.freeze(false);
        support::eventually("commands are answered again", async || {
            let answer = instance.enroll(&course, "s0", false).await;
            matches!(answer, Err(CommandError::Refused(Refusal::AlreadyEnrolled)))
        })
        .await;
    }
    fold_registration(&instance.log().await, &course);
}

#[tokio::test]
async fn a_read_that_is_never_answered_does_not_keep_the_mailbox() {
    let url = support::database_url().await;
    let (proxy, other) = (Proxy::before(&url).await, Instance::on(&url).await);
    let readers = database::pool(&proxy.url, 4).unwrap();
    let instance = Instance::with(readers, &url, Duration::from_secs(1));
    let course = other.published("RUST-101", Some(5)).await;
    let mut lock = other.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE events").execute(&mut *lock).await.unwrap();
    let late = async { instance.enroll(&course, "s1", false).await };
    let withdrawn = async { instance.withdraw(&course, "s2").await };
    let frozen = async {
        waits_for_a_lock(&other.pool, 3).await; // the course, its seats and the enrollment are being read
        proxy.freeze(true);
        lock.rollback().await.unwrap();
    };
    let (late, withdrawn, ()) = futures::future::join3(late, withdrawn, frozen).await;
    assert!(matches!(late, Err(CommandError::Timeout)), "{late:?}");
    assert!(matches!(withdrawn, Err(CommandError::Timeout)), "{withdrawn:?}");
    proxy.cut(); // the old connections stay silent for ever, new ones work
    support::eventually("the mailbox works again", async || {
        instance.enroll(&course, "s1", false).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_database_that_refuses_connections_is_answered_for_and_waited_for() {
    let url = support::database_url().await;
    let proxy = Proxy::before(&url).await;
    let readers = database::pool(&proxy.url, 4).unwrap();
    let instance = Instance::with(readers, &proxy.url, Duration::from_secs(1));
    let course = instance.published("RUST-101", Some(5)).await;
    proxy.set(Mode::Refuse);
    for student in ["s1", "s2"] {
        let answer = instance.enroll(&course, student, false).await;
        assert!(
            matches!(answer, Err(CommandError::Timeout | CommandError::Failed(_))),
            "{answer:?}"
        );
    }
    proxy.set(Mode::Pass);
    support::eventually("commands are answered again", async || {
        instance.enroll(&course, "s3", false).await.is_ok()
            || instance.log().await.iter().any(|event| event.event.name() == "SeatTaken")
    })
    .await;
    fold_registration(&instance.log().await, &course);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guess_that_is_thousands_of_events_old_catches_up() {
    let url = support::database_url().await;
    let (a, b) = (Instance::on(&url).await, Instance::on(&url).await);
    let course = &new_course_id();
    assert_eq!(refusal(b.enroll(course, "last", false).await), Refusal::course_not_found());
    a.create(course, "RUST-101", Some(2_500)).await.unwrap();
    let a = &a;
    join_all((0..2_500).map(|number| async move {
        a.enroll(course, &format!("s{number}"), false).await.unwrap();
    }))
    .await;
    assert_eq!(refusal(b.enroll(course, "last", false).await), Refusal::CourseFull);
    b.withdraw(course, "s0").await.unwrap();
    b.enroll(course, "last", false).await.unwrap();
    assert_eq!(fold_registration(&a.log().await, course).taken, 2_500);
}

//! Read models: rows and checkpoint move together, once, and are a pure function of the log.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use course_service::app::database;
use course_service::domain::course::{
    CourseAction, CourseEvent, CoursePatch, ItemKind, ItemPatch, NewItem, PublicationState,
};
use course_service::domain::enrollment::Grade;
use course_service::domain::user::UserEvent;
use course_service::domain::values::Patch;
use course_service::domain::{
    Course, CourseId, Enrollment, EnrollmentId, ItemId, ModuleId, Seats, StreamType, User, UserId,
    VideoId,
};
use course_service::event_store::stream::Streams;
use course_service::event_store::wake::Head;
use course_service::event_store::{Position, log};
use course_service::kafka::contract;
use course_service::projections::checkpoint::WaitError;
use course_service::projections::rebuild::{self, Options, Report};
use course_service::projections::{
    Checkpoints, Health, ProjectionError, READ_MODELS, ReadModel, Runner, runners,
};
use cqrs_es::persist::PersistedEventRepository;
use postgres_es::PostgresEventRepository;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::instance::{Instance, Proxy, waits_for_a_lock, whole_log};
use crate::reported::{Work, assessment, attached, grade, user};
use crate::support;

pub(crate) const TABLES: [&str; 6] =
    ["courses_v2", "modules_v2", "module_items_v2", "enrollments_v3", "assessments_v1", "users_v1"];

/// Every row of every read model, as text.
pub(crate) async fn tables(pool: &PgPool) -> HashMap<&'static str, Vec<String>> {
    let mut tables = HashMap::new();
    for table in TABLES {
        let sql = format!("SELECT t::text FROM {table} t ORDER BY 1");
        tables.insert(table, sqlx::query_scalar(&sql).fetch_all(pool).await.unwrap());
    }
    tables
}

fn all(pool: &PgPool) -> Vec<Runner> {
    runners(&Checkpoints::new(pool.clone()))
}

fn runner(pool: &PgPool, name: &str) -> Runner {
    all(pool).into_iter().find(|runner| runner.name == name).unwrap()
}

/// Drives every projection to the end of the log by hand.
pub(crate) async fn catch_up(pool: &PgPool) {
    for runner in all(pool) {
        // A step that was dropped may hold the checkpoint for a moment still.
        support::eventually("it catches up", async || {
            while runner.step(pool).await.unwrap() > 0 {}
            position(pool, runner.name).await == log::head(pool).await.unwrap().position.number
        })
        .await;
    }
}

pub(crate) fn models() -> Vec<&'static ReadModel> {
    READ_MODELS.iter().collect()
}

pub(crate) fn model(name: &str) -> Vec<&'static ReadModel> {
    READ_MODELS.iter().filter(|model| model.name == name).collect()
}

pub(crate) fn quiet() -> Report {
    Report::to(|_| ())
}

async fn rebuild_all(pool: &PgPool) {
    let options = Options { workers: 2, switch: true };
    rebuild::rebuild(pool, &models(), options, &quiet()).await.unwrap();
}

pub(crate) async fn position(pool: &PgPool, name: &str) -> i64 {
    let position = "SELECT position FROM projections WHERE name = $1";
    sqlx::query_scalar(position).bind(name).fetch_one(pool).await.unwrap()
}

/// Runs every projection until it is told to stop.
pub(crate) fn run_all(pool: &PgPool, head: &Head, stop: &CancellationToken) -> Vec<Runner> {
    let runners = all(pool);
    for runner in &runners {
        tokio::spawn(runner.clone().run(pool.clone(), head.subscribe(), stop.clone()));
    }
    runners
}

/// Items that come, move, change and go, a module that goes, items that are completed.
async fn items(instance: &Instance, course: &CourseId, what: u64) {
    let change = async |action| {
        instance.course(course, None, action).await.unwrap();
    };
    let module_id = ModuleId::from_uuid(Uuid::now_v7());
    let title = "with items".to_owned();
    let module = CourseAction::AddModule {
        module_id: module_id.clone(),
        title: title.clone(),
        summary: None,
        position: Some(0),
    };
    change(module).await;
    let mut item_ids = Vec::new();
    for (student, required) in [("s0", true), ("s1", false), ("s2", true)] {
        let item_id = ItemId::from_uuid(Uuid::now_v7());
        let item = NewItem {
            id: item_id.clone(),
            kind: ItemKind::Page,
            title: title.clone(),
            required,
            position: Some(0),
            url: None,
            video_id: None,
            assessment_id: None,
        };
        change(CourseAction::AddItem {
            module_id: module_id.clone(),
            item: Box::new(item),
            video: None,
        })
        .await;
        for student in [student, "s0"] {
            let _ = instance.enroll(course, student, true).await; // who has a seat, or gets one, is done with it
            let _ = instance.complete(course, student, &item_id).await;
        }
        item_ids.push(item_id);
    }
    let state = Patch::Set(PublicationState::Unpublished);
    let patch = ItemPatch { state, ..ItemPatch::default() };
    change(CourseAction::UpdateItem { item_id: item_ids[1].clone(), patch }).await;
    videos(instance, course, &module_id, &item_ids).await;
    let last = match what {
        0 => CourseAction::RemoveModule { module_id },
        1 => CourseAction::RemoveItem { item_id: item_ids[0].clone() },
        _ => CourseAction::ReorderItems { module_id, item_ids },
    };
    change(last).await;
}

/// What became of the videos of items.
async fn videos(instance: &Instance, course: &CourseId, module: &ModuleId, items: &[ItemId]) {
    let events = items.iter().zip([0.1 + 0.2, 1e-7, 3e17]).flat_map(|(item, seconds)| {
        let video_id = VideoId::parse("v", "id").unwrap();
        let (module_id, item_id) = (module.clone(), item.clone());
        let failed = CourseEvent::VideoTranscodingFailed {
            module_id: module_id.clone(),
            item_id: item_id.clone(),
            video_id: video_id.clone(),
            reason: Some("no \"audio\"".to_owned()),
        };
        let ready = CourseEvent::VideoTranscoded {
            module_id,
            item_id,
            video_id,
            playback_url: None,
            duration_seconds: Some(seconds),
            thumbnail_url: None,
            renditions: Vec::new(),
        };
        [failed, ready]
    });
    instance.report(course.as_str(), events.collect()).await;
}

/// Assessments, submissions and grades of a course, and users: in whatever order.
async fn reports(instance: &Instance, course: &CourseId, number: u64) {
    let course = course.as_str();
    for round in 0..2 {
        for student in ["s0", "s1"] {
            let work = Work::of(student, course);
            let score = Grade { max_score: Some(3.0), ..grade(0.1 + 0.2) };
            let quiz = format!("quiz-{}", (number + round) % 3);
            let events = vec![
                work.graded(&quiz, score.clone()),
                work.submitted(&quiz, &format!("z-{round}"), "2026-11-03T10:00:00.123456789Z"),
                work.submitted(&quiz, "a", &format!("2026-11-0{}T10:00:00Z", 9 - round)),
                work.regraded(&quiz, Grade { percentage: Some(1.0 / 3.0), ..score }, round == 0),
            ];
            instance.work(student, course, events).await;
            let profile = instance.named(student, &format!("Student {number}")).await;
            let away = UserEvent::UserDeactivated { user_id: user(student) };
            instance.user(student, vec![profile, away]).await;
        }
        let changed = CourseEvent::AssessmentChanged {
            assessment_id: assessment("quiz-1"),
            shown_in: Vec::new(),
            module_id: None,
            title: None,
            kind: Some(None),
            max_score: Some(1.0 / 3.0),
            weight: None,
            due_at: Some("2026-11-03T10:00:00.123456789Z".parse().ok()),
            required: Some(false),
        };
        let again = attached(&format!("quiz-{}", round + 1), 0.1 + 0.2);
        instance.report(course, vec![again, changed]).await;
    }
}

/// Something of everything: courses, modules, enrollments, withdrawals, promotions, renames, deletions.
pub(crate) async fn workload(instance: &Instance, from: u64, to: u64) {
    let mut random = from + 88_172_645_463_325_252;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for number in from..to {
        let capacity = i64::try_from(next(4)).unwrap() + 1;
        let course = instance.published(&format!("C-{number}"), Some(capacity)).await;
        for _ in 0..next(12) {
            let student = format!("s{}", next(6));
            if next(3) == 0 {
                let _ = instance.withdraw(&course, &student).await;
            } else {
                let _ = instance.enroll(&course, &student, true).await;
            }
        }
        for module in 0..next(4) {
            let action = CourseAction::AddModule {
                module_id: ModuleId::from_uuid(Uuid::now_v7()),
                title: format!("Module {module}"),
                summary: (next(2) == 0).then(|| "Ünïcode \"and\" \\quotes\\".to_owned()),
                position: Some(0),
            };
            instance.course(&course, None, action).await.unwrap();
        }
        items(instance, &course, next(4)).await;
        reports(instance, &course, number).await;
        let patch = CoursePatch {
            capacity: Patch::Set(capacity + 1),
            passing_score: Patch::Set(0.1 + 0.2),
            tags: Patch::Set(vec!["a,b".to_owned(), "{c}".to_owned(), "NULL".to_owned()]),
            ..CoursePatch::default()
        };
        instance.update(&course, patch).await.unwrap();
        if next(5) == 0 {
            instance.delete(&course).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_rebuild_gives_the_same_rows_byte_for_byte() {
    let instance = Instance::on(&support::database_url().await).await;
    for round in 0..5 {
        workload(&instance, round * 8, round * 8 + 8).await;
        catch_up(&instance.pool).await;
        let live = tables(&instance.pool).await;
        assert!(live.values().all(|rows| !rows.is_empty()), "the workload touches every table");
        rebuild_all(&instance.pool).await;
        assert_eq!(tables(&instance.pool).await, live);
        let head = log::head(&instance.pool).await.unwrap().position.number;
        for table in TABLES {
            assert_eq!(position(&instance.pool, table).await, head);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runners_at_once_apply_each_event_once() {
    let url = support::database_url().await;
    let (a, b) = (Instance::on(&url).await, Instance::on(&url).await);
    let stop = CancellationToken::new();
    for instance in [&a, &b] {
        run_all(&instance.pool, &instance.head, &stop);
    }
    futures::future::join(workload(&a, 0, 25), workload(&b, 100, 125)).await;
    let head = log::head(&a.pool).await.unwrap().position;
    let checkpoints = Checkpoints::new(a.pool.clone());
    checkpoints.wait_for(head, Duration::from_secs(30)).await.unwrap();
    stop.cancel();
    let live = tables(&a.pool).await;
    rebuild_all(&a.pool).await;
    assert_eq!(tables(&a.pool).await, live);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_no_gap_while_a_read_model_is_rebuilt_and_what_comes_meanwhile_is_in_it() {
    let url = support::database_url().await;
    let instance = Instance::on(&url).await;
    workload(&instance, 0, 10).await;
    catch_up(&instance.pool).await;
    let stop = CancellationToken::new();
    run_all(&instance.pool, &instance.head, &stop);
    let reader = {
        let (pool, stop) = (support::pool(&url).await, stop.clone());
        tokio::spawn(async move {
            let mut reads = 0;
            while !stop.is_cancelled() {
                for (table, least) in [("courses_v2", 10_i64)] {
                    let count = format!("SELECT count(*) FROM {table}");
                    let rows: i64 = sqlx::query_scalar(&count).fetch_one(&pool).await.unwrap();
                    assert!(rows >= least, "{rows} rows of {table}");
                    reads += 1;
                }
            }
            reads
        })
    };
    let rebuilds = async {
        for _ in 0..5 {
            rebuild_all(&instance.pool).await;
        }
    };
    futures::future::join(rebuilds, workload(&instance, 10, 25)).await;
    let head = log::head(&instance.pool).await.unwrap().position;
    let checkpoints = Checkpoints::new(instance.pool.clone());
    checkpoints.wait_for(head, Duration::from_secs(30)).await.unwrap();
    stop.cancel();
    assert!(reader.await.unwrap() > 0);
    let live = tables(&instance.pool).await;
    rebuild_all(&instance.pool).await;
    assert_eq!(tables(&instance.pool).await, live);
}

#[tokio::test]
async fn rows_and_checkpoint_move_together_or_not_at_all() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    workload(&instance, 0, 3).await;
    for statement in [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$",
        "CREATE TRIGGER refuse BEFORE UPDATE ON projections FOR EACH ROW EXECUTE FUNCTION refuse()",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    for runner in all(pool) {
        runner.step(pool).await.unwrap_err(); // the rows were written, the checkpoint is refused
    }
    assert!(tables(pool).await.values().all(Vec::is_empty));
    sqlx::query("DROP TRIGGER refuse ON projections").execute(pool).await.unwrap();
    catch_up(pool).await;
    let live = tables(pool).await;
    rebuild_all(pool).await;
    assert_eq!(tables(pool).await, live);
}

#[tokio::test]
async fn a_step_that_is_dropped_anywhere_leaves_nothing_half() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    let runner = runner(pool, "courses_v2");
    for number in 0..60 {
        instance.published(&format!("C-{number}"), Some(1)).await;
        let limit = Duration::from_micros(number * 150);
        let _ = tokio::time::timeout(limit, runner.step(pool)).await;
        let (rows, defined): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM courses_v2), (SELECT count(*) FROM events e JOIN projections p \
             ON e.position <= p.position WHERE p.name = 'courses_v2' AND e.event_type = 'CourseCreated')",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        assert_eq!(rows, defined);
    }
    catch_up(pool).await;
    let live = tables(pool).await;
    rebuild_all(pool).await;
    assert_eq!(tables(pool).await, live);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_written_stops_that_projection_alone_until_it_is_mended() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    let refuse = "ALTER TABLE courses_v2_g1 ADD CONSTRAINT refuse CHECK (capacity <> 13)";
    sqlx::query(refuse).execute(pool).await.unwrap();
    let stop = CancellationToken::new();
    let runners = run_all(pool, &instance.head, &stop);
    instance.published("LUCKY-1", Some(7)).await;
    let before = log::head(pool).await.unwrap().position.number;
    let course = instance.published("UNLUCKY-1", Some(13)).await;
    let unlucky = log::head(pool).await.unwrap().position.number;
    let stopped = |name: &str| {
        let runner = runners.iter().find(|runner| runner.name == name).unwrap();
        runner.health() != Health::Running
    };
    let why = |name: &str| {
        let runner = runners.iter().find(|runner| runner.name == name).unwrap();
        if let Health::Stopped(why) = runner.health() { why } else { String::new() }
    };
    support::eventually("the projection stops, and says where and why", async || {
        let why = why("courses_v2");
        why.contains(&format!("position {unlucky}")) && why.contains("refuse")
    })
    .await;
    instance.enroll(&course, "s1", false).await.unwrap();
    let head = log::head(pool).await.unwrap().position.number;
    for name in &TABLES[1..] {
        support::eventually(name, async || position(pool, name).await == head).await;
        assert!(!stopped(name), "{name}");
    }
    assert_eq!(position(pool, "courses_v2").await, before, "what comes before it is applied");
    assert!(stopped("courses_v2"));
    sqlx::query("ALTER TABLE courses_v2_g1 DROP CONSTRAINT refuse").execute(pool).await.unwrap();
    support::eventually("it goes on", async || {
        position(pool, "courses_v2").await == head && !stopped("courses_v2")
    })
    .await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_not_known_stops_what_it_concerns_in_front_of_it_and_nothing_else() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    let course = instance.published("RUST-101", Some(5)).await;
    let bad = instance.enroll(&course, "s1", false).await.unwrap().position.number;
    let payload: serde_json::Value =
        sqlx::query_scalar("SELECT payload FROM events WHERE position = $1")
            .bind(bad)
            .fetch_one(pool)
            .await
            .unwrap();
    let set = "UPDATE events SET payload = $2 WHERE position = $1";
    let unknown = serde_json::json!({ "StudentPainted": {} });
    sqlx::query(set).bind(bad).bind(&unknown).execute(pool).await.unwrap();
    let stop = CancellationToken::new();
    let runners = run_all(pool, &instance.head, &stop);
    let stopped = |name: &str| {
        let runner = runners.iter().find(|runner| runner.name == name).unwrap();
        let why = |why: &str| why.contains(&bad.to_string()) && why.contains("StudentPainted");
        matches!(runner.health(), Health::Stopped(said) if why(&said))
    };
    support::eventually("enrollments stop", async || stopped("enrollments_v3")).await;
    // Up to the command before it: that command's first event, which decodes, waits for its second.
    assert_eq!(position(pool, "enrollments_v3").await, bad - 2);
    instance.published("GO-1", None).await;
    let head = log::head(pool).await.unwrap().position;
    for name in TABLES.iter().filter(|name| **name != "enrollments_v3") {
        support::eventually(name, async || position(pool, name).await == head.number).await;
        assert!(!stopped(name), "{name}");
    }
    assert_eq!(position(pool, "enrollments_v3").await, bad - 2);

    // A rebuild says beforehand where it would stop, and which of them.
    let failing = rebuild::dry_run(pool, &models(), &quiet()).await.unwrap();
    assert_eq!(failing.len(), 1);
    assert_eq!(failing[0].stops, ["enrollments_v3"]);
    assert!(failing[0].error.to_string().contains(&bad.to_string()), "{failing:?}");
    let others: Vec<_> = models().into_iter().filter(|m| m.name != "enrollments_v3").collect();
    assert!(rebuild::dry_run(pool, &others, &quiet()).await.unwrap().is_empty());
    let options = Options { workers: 2, switch: true };
    rebuild::rebuild(pool, &others, options, &quiet()).await.unwrap();
    let refused = rebuild::rebuild(pool, &model("enrollments_v3"), options, &quiet()).await;
    assert!(refused.unwrap_err().to_string().contains(&bad.to_string()));

    sqlx::query(set).bind(bad).bind(&payload).execute(pool).await.unwrap();
    let checkpoints = Checkpoints::new(pool.clone());
    checkpoints.wait_for(head, Duration::from_secs(30)).await.unwrap();
    support::eventually("all are well", async || {
        runners.iter().all(|runner| runner.health() == Health::Running)
    })
    .await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_an_unknown_kind_of_stream_stops_every_projection() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    instance.published("RUST-101", Some(5)).await;
    let last = log::head(pool).await.unwrap().position.number;
    let set = "UPDATE events SET aggregate_type = 'review' WHERE position = $1";
    sqlx::query(set).bind(last).execute(pool).await.unwrap();
    for runner in all(pool) {
        let error = runner.step(pool).await.unwrap_err();
        assert!(matches!(error, ProjectionError::Log(_)), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_a_position_ends_when_every_read_model_is_there_or_says_why_not() {
    let instance = Instance::on(&support::database_url().await).await;
    let pool = &instance.pool;
    let checkpoints = Checkpoints::new(pool.clone());
    checkpoints.wait_for(Position::default(), Duration::ZERO).await.unwrap();
    instance.published("RUST-101", None).await;
    let head = log::head(pool).await.unwrap().position;
    let short = Duration::from_millis(60);
    assert!(matches!(checkpoints.wait_for(head, short).await, Err(WaitError::Lagging)));
    for (number, runner) in runners(&checkpoints).iter().enumerate() {
        runner.step(pool).await.unwrap();
        let waited = checkpoints.wait_for(head, short).await;
        assert_eq!(waited.is_ok(), number == 5, "all but {} are there", 5 - number);
    }
    let foreign = Position { epoch: head.epoch + 1, number: 0 };
    let waited = checkpoints.wait_for(foreign, Duration::from_secs(30)).await;
    assert!(matches!(waited, Err(WaitError::ForeignEpoch)));
    let future = Position { number: head.number + 1, ..head };
    let stepping = async {
        instance.published("GO-1", None).await;
        for runner in runners(&checkpoints) {
            runner.step(pool).await.unwrap();
        }
    };
    let waiting = checkpoints.wait_for(future, Duration::from_secs(30));
    futures::future::join(waiting, stepping).await.0.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_with_the_checkpoint_in_its_hand_is_fenced() {
    let url = support::database_url().await;
    let (proxy, instance) = (Proxy::before(&url).await, Instance::on(&url).await);
    let pool = &instance.pool;
    workload(&instance, 0, 3).await;
    let far = database::pool(&proxy.url, 2).unwrap();
    let zombie = runner(pool, "courses_v2");
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE courses_v2_g1").execute(&mut *lock).await.unwrap();
    let zombie = tokio::spawn(async move { zombie.step(&far).await });
    waits_for_a_lock(pool, 1).await; // in the middle of its transaction
    proxy.freeze(true); // paused
    lock.rollback().await.unwrap();
    assert_eq!(runner(pool, "courses_v2").step(pool).await.unwrap(), 0, "it holds the checkpoint");
    support::eventually("another one takes over", async || {
        runner(pool, "courses_v2").step(pool).await.unwrap() > 0
    })
    .await;
    proxy.freeze(false); // and back
    zombie.await.unwrap().unwrap_err();
    catch_up(pool).await;
    let live = tables(pool).await;
    rebuild_all(pool).await;
    assert_eq!(tables(pool).await, live);
}

/// A story of every stored event, as its first version was written.
const STORY: [(StreamType, &str); 45] = [
    (StreamType::Course, "CourseCreated"),
    (StreamType::Seats, "SeatsDefined"),
    (StreamType::Course, "ModuleRemoved"),
    (StreamType::Course, "ModuleAdded"),
    (StreamType::Course, "ModuleDetailsChanged"),
    (StreamType::Course, "ModulesReordered"),
    (StreamType::Course, "ModuleItemRemoved"),
    (StreamType::Course, "ModuleItemAdded"),
    (StreamType::Course, "ModuleItemChanged"),
    (StreamType::Course, "ModuleItemsReordered"),
    (StreamType::Course, "InstructorAssigned"),
    (StreamType::Course, "InstructorRemoved"),
    (StreamType::Course, "CourseUnpublished"),
    (StreamType::Course, "CourseArchived"),
    (StreamType::Course, "CourseRestored"),
    (StreamType::Course, "CoursePublished"),
    (StreamType::Seats, "SeatsOpened"),
    (StreamType::Seats, "SeatTaken"),
    (StreamType::Enrollment, "StudentEnrolled"),
    (StreamType::Enrollment, "StudentWithdrawn"),
    (StreamType::Seats, "SeatWaitlisted"),
    (StreamType::Enrollment, "StudentWaitlisted"),
    (StreamType::Enrollment, "ModuleItemCompleted"),
    (StreamType::User, "UserProfileChanged"),
    (StreamType::User, "UserRegistered"),
    (StreamType::User, "UserRoleChanged"),
    (StreamType::User, "UserDeactivated"),
    (StreamType::User, "UserReactivated"),
    (StreamType::Course, "AssessmentAttached"),
    (StreamType::Course, "AssessmentChanged"),
    (StreamType::Course, "VideoTranscodingFailed"),
    (StreamType::Course, "VideoTranscoded"),
    (StreamType::Enrollment, "SubmissionRecorded"),
    (StreamType::Enrollment, "GradeRecorded"),
    (StreamType::Enrollment, "GradeRevised"),
    (StreamType::Enrollment, "EnrollmentCompleted"),
    (StreamType::Seats, "WaitlistLeft"),
    (StreamType::Seats, "SeatReleased"),
    (StreamType::Course, "CourseDetailsChanged"),
    (StreamType::Course, "CourseScheduleChanged"),
    (StreamType::Seats, "SeatsWindowChanged"),
    (StreamType::Course, "CourseCapacityChanged"),
    (StreamType::Seats, "SeatsCapacityChanged"),
    (StreamType::Course, "CourseDeleted"),
    (StreamType::Seats, "SeatsClosed"),
];

#[tokio::test]
async fn the_first_version_of_every_event_is_read_by_everything_that_reads() {
    let pool = support::database().await;
    let course = CourseId::parse("0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", "id").unwrap();
    let student = UserId::parse("u-20", "id").unwrap();
    let enrollment = EnrollmentId::of(&course, &student);
    let mut sequences: HashMap<StreamType, i64> = HashMap::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events");
    for (position, (stream, name)) in (1_i64..).zip(STORY) {
        let payload = std::fs::read_to_string(fixtures.join(format!("{name}.v1.json"))).unwrap();
        let sequence = sequences.entry(stream).or_default();
        *sequence += 1;
        let id = match stream {
            StreamType::Course | StreamType::Seats => course.as_str(),
            StreamType::Enrollment => enrollment.as_str(),
            StreamType::User => student.as_str(),
        };
        sqlx::query(
            "INSERT INTO events VALUES ($1, $2, $3, $4, '1', $5::jsonb, '{}', $6, 0, now(), $7, $8, true, $9)",
        )
        .bind(stream.as_str())
        .bind(id)
        .bind(*sequence)
        .bind(name)
        .bind(payload)
        .bind(position)
        .bind(Uuid::now_v7())
        .bind(Uuid::now_v7())
        .bind((stream != StreamType::User).then_some(course.as_str()))
        .execute(&pool)
        .await
        .unwrap();
    }
    sqlx::query("UPDATE log_head SET position = 45").execute(&pool).await.unwrap();

    let read: Vec<&str> = whole_log(&pool).await.iter().map(|event| event.event.name()).collect();
    assert_eq!(read, STORY.map(|(_, name)| name));
    let repository = PostgresEventRepository::new(pool.clone());
    assert_eq!(repository.get_events::<Course>(course.as_str()).await.unwrap().len(), 23);
    assert_eq!(repository.get_events::<Seats>(course.as_str()).await.unwrap().len(), 9);
    let streams = Streams::new(pool.clone());
    let folded: Course = streams.load(course.as_str()).await.unwrap();
    assert_eq!((folded.version, folded.modules.len()), (23, 1));
    assert_eq!(streams.load::<Seats>(course.as_str()).await.unwrap().version, 9);
    let many = streams.load_many::<Enrollment>(&[enrollment.as_str(), "nobody"]).await.unwrap();
    assert_eq!((many.len(), many[enrollment.as_str()].version), (1, 8));
    assert_eq!(streams.load::<User>(student.as_str()).await.unwrap().version, 5);

    // What the bridge makes of each.
    let told = whole_log(&pool).await;
    let told = told.chunks(1).map(|command| contract::plan(command).len()).sum::<usize>();
    assert_eq!(told, 24, "the events of the course, and the enrolling");

    catch_up(&pool).await;
    let live = tables(&pool).await;
    assert!(live.values().all(|rows| rows.len() == 1), "{live:?}");
    rebuild_all(&pool).await;
    assert_eq!(tables(&pool).await, live);
}

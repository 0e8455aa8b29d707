//! What other services report, through the real handler and a real Postgres: each effect once, in any order.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod order;
pub(crate) mod world;

use course_service::commands::Awaited;
use course_service::commands::intake::{Effect, IntakeError, Origin, Places};
use course_service::domain::course::{CourseAction, CoursePatch, ItemKind, NewItem};
use course_service::domain::enrollment::EnrollmentEvent;
use course_service::domain::values::Patch;
use course_service::domain::{
    AssessmentId, CourseId, Enrollment, EnrollmentId, Event, ItemId, ModuleId, User, UserId,
    VideoId,
};
use course_service::event_store::parked;
use course_service::event_store::personal::{PersonalField, find_keys};
use course_service::event_store::stream::Streams;
use course_service::kafka::inbound::translate;
use serde_json::json;
use uuid::Uuid;

use self::world::{World, at};
use crate::records::whole_log;

fn assessment(id: &str) -> AssessmentId {
    AssessmentId::parse(id, "id").unwrap()
}

async fn enrollment(world: &World, course: &CourseId, student: &str) -> Enrollment {
    let student = UserId::parse(student, "id").unwrap();
    let id = EnrollmentId::of(course, &student);
    Streams::new(world.instance.pool.clone()).load(id.as_str()).await.unwrap()
}

async fn user(world: &World, id: &str) -> User {
    Streams::new(world.instance.pool.clone()).load(id).await.unwrap()
}

async fn add_video(world: &World, course: &CourseId, video: &str) -> ItemId {
    let module_id = ModuleId::from_uuid(Uuid::now_v7());
    let action = CourseAction::AddModule {
        module_id: module_id.clone(),
        title: "M".into(),
        summary: None,
        position: None,
    };
    world.instance.course(course, None, action).await.unwrap();
    let id = ItemId::from_uuid(Uuid::now_v7());
    let item = NewItem {
        id: id.clone(),
        kind: ItemKind::Video,
        title: "V".into(),
        required: true,
        position: None,
        url: None,
        video_id: Some(VideoId::parse(video, "id").unwrap()),
        assessment_id: None,
    };
    let action = CourseAction::AddItem { module_id, item: Box::new(item), video: None };
    world.instance.course(course, None, action).await.unwrap();
    id
}

#[tokio::test]
async fn a_message_that_comes_twice_has_its_effect_once() {
    let mut world = World::new().await;
    let course = world.instance.published("TWICE", None).await;
    world.instance.enroll(&course, "sam", true).await.unwrap();
    let created = json!({ "assessmentId": "a", "courseId": course.as_str(), "title": "Quiz", "eventId": "e-1" });
    assert_eq!(world.tell("Assessment-Creation", &created).await, Effect::Applied);
    assert_eq!(world.tell("Assessment-Creation", &created).await, Effect::Duplicate);
    // The same without an id of its own, in one slice and over two.
    let graded = json!({ "assessmentId": "a", "studentId": "sam", "score": 7, "gradedAt": at(1) });
    let twice = vec![
        world.message("Grading-Completed", &graded),
        world.message("Grading-Completed", &graded),
    ];
    assert_eq!(world.give(twice).await, [Effect::Applied, Effect::Outdated]);
    assert_eq!(world.tell("Grading-Completed", &graded).await, Effect::Outdated);
    let submitted =
        json!({ "submissionId": "s", "assessmentId": "a", "studentId": "sam", "messageId": "m" });
    let twice = vec![
        world.message("Submission-Completed", &submitted),
        world.message("Submission-Completed", &submitted),
    ];
    assert_eq!(world.give(twice).await, [Effect::Applied, Effect::Duplicate]);
    for name in ["AssessmentAttached", "GradeRecorded", "SubmissionRecorded"] {
        assert_eq!(world.count(name).await, 1, "{name}");
    }
    assert_eq!(world.count("GradeRevised").await, 0);
}

#[tokio::test]
async fn the_newest_value_of_each_field_holds_in_any_order_also_where_a_newer_report_said_nothing_new()
 {
    let mut world = World::new().await;
    let named =
        |name: &str, seconds| json!({ "userId": "u", "name": name, "updatedAt": at(seconds) });
    assert_eq!(world.tell("User-Update", &named("A", 1)).await, Effect::Applied);
    assert_eq!(world.tell("User-Update", &named("A", 3)).await, Effect::Unchanged);
    assert_eq!(world.tell("User-Update", &named("B", 2)).await, Effect::Outdated);
    let role = json!({ "userId": "u", "role": "Instructor", "updatedAt": at(2) });
    assert_eq!(world.tell("User-Update", &role).await, Effect::Applied);
    let created = json!({ "userId": "u", "name": "C", "email": "u@example.org", "role": "student", "createdAt": at(0) });
    assert_eq!(world.tell("User-Creation", &created).await, Effect::Applied);
    let user = user(&world, "u").await;
    assert!(user.registered);
    assert_eq!(user.role.as_deref(), Some("instructor"));
    let keys = find_keys(&world.instance.pool, &["u"]).await.unwrap();
    let id = UserId::parse("u", "id").unwrap();
    let open = |field, sealed: Option<&_>| keys["u"].open(&id, field, sealed.unwrap());
    assert_eq!(open(PersonalField::DisplayName, user.display_name.as_ref()).as_deref(), Some("A"));
    assert_eq!(open(PersonalField::Email, user.email.as_ref()).as_deref(), Some("u@example.org"));
}

#[tokio::test]
async fn whoever_deletes_the_key_finds_the_person_nowhere() {
    let mut world = World::new().await;
    let created = json!({ "userId": "u-1", "name": "Wilhelmina Quux", "email": "wilhelmina@quux.example", "role": "student" });
    assert_eq!(world.tell("User-Creation", &created).await, Effect::Applied);
    let changed = json!({ "userId": "u-1", "changes": { "name": "Wilhelmina Zyzzyva" } });
    assert_eq!(world.tell("User-Update", &changed).await, Effect::Applied);
    assert_eq!(world.count("UserRegistered").await, 1);
    sqlx::query("DELETE FROM subject_keys").execute(&world.instance.pool).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&world.instance.pool)
    .await
    .unwrap();
    assert!(tables.len() > 10);
    // Bytes are shown as hexadecimal digits.
    let bytes: String = sqlx::query_scalar(
        "SELECT string_agg(encode(convert_to(word, 'UTF8'), 'hex'), '|') FROM unnest($1::text[]) AS word",
    )
    .bind(["Wilhelmina", "wilhelmina", "Quux", "quux", "Zyzzyva"])
    .fetch_one(&world.instance.pool)
    .await
    .unwrap();
    let words = format!("wilhelmina|quux|zyzzyva|{bytes}");
    for table in tables {
        let found = world
            .scalar(&format!("SELECT count(*) FROM \"{table}\" t WHERE t::text ~* '{words}'"))
            .await;
        assert_eq!(found, 0, "{table}");
    }
    assert!(find_keys(&world.instance.pool, &["u-1"]).await.unwrap().is_empty());
}

#[tokio::test]
async fn numbers_at_the_edge_leave_a_log_that_everybody_can_read() {
    let mut world = World::new().await;
    let course = CourseId::parse("edge", "id").unwrap();
    world.instance.create(&course, "EDGE", None).await.unwrap();
    let patch = CoursePatch { passing_score: Patch::Set(50.0), ..CoursePatch::default() };
    let update = CourseAction::Update { patch: Box::new(patch), code_owner: None };
    world.instance.course(&course, None, update).await.unwrap();
    world.instance.enroll(&course, "sam", true).await.unwrap();
    let mut effects = Vec::new();
    for (number, numbers) in [
        json!({ "weight": 1.7e308, "maxScore": 10 }),
        json!({ "weight": 1, "maxScore": 1e300 }),
        json!({ "weight": 1e6, "maxScore": 1e9 }),
        json!({ "weight": 1e-320, "maxScore": 1e-320 }),
        json!({ "weight": 0, "maxScore": 1 }),
    ]
    .into_iter()
    .enumerate()
    {
        let mut assessment = json!({ "assessmentId": format!("a-{number}"), "courseId": "edge" });
        assessment.as_object_mut().unwrap().extend(numbers.as_object().unwrap().clone());
        effects.push(world.tell("Assessment-Creation", &assessment).await.name());
    }
    assert_eq!(effects, ["dead", "dead", "applied", "applied", "applied"]);
    for number in 2..5 {
        for score in [f64::MAX, f64::MIN, f64::MIN_POSITIVE] {
            let id = format!("a-{number}");
            let value = json!({ "assessmentId": id, "studentId": "sam", "score": score, "percentage": null });
            world.tell("Grading-Completed", &value).await;
        }
    }
    // Whatever came of it, it is read.
    let log = whole_log(&world.instance.pool).await;
    let completed = log.iter().find_map(|recorded| match &recorded.event {
        Event::Enrollment(EnrollmentEvent::EnrollmentCompleted { final_score, .. }) => {
            Some(*final_score)
        }
        _ => None,
    });
    assert_eq!(completed, Some(150.0));
}

#[tokio::test]
async fn a_report_waits_for_what_it_refers_to_one_thing_after_the_other() {
    let mut world = World::new().await;
    let course = CourseId::parse("later", "id").unwrap();
    let sam = UserId::parse("sam", "id").unwrap();
    let graded = json!({ "assessmentId": "a", "studentId": "sam", "score": 5, "gradedAt": at(1) });
    let waits = Effect::Parked(Awaited::Assessment(assessment("a")));
    assert_eq!(world.tell("Grading-Completed", &graded).await, waits);
    let created = json!({ "assessmentId": "a", "courseId": "later" });
    let waits = Effect::Parked(Awaited::Course(course.clone()));
    assert_eq!(world.tell("Assessment-Creation", &created).await, waits);
    assert_eq!(world.scalar("SELECT count(*) FROM parked_messages").await, 2);

    world.instance.create(&course, "LATER", None).await.unwrap();
    let release = async |world: &World, what: &str| {
        let waiting =
            parked::waiting_for(&world.instance.pool, &[what.to_owned()], 10).await.unwrap();
        let messages = waiting.into_iter().map(|one| translate(one.record, Origin::Parked(one.id)));
        world.intake.process(messages.collect(), &mut Places::new()).await.unwrap()
    };
    assert_eq!(release(&world, "course/later").await, [Effect::Applied]);
    let waits = Effect::Parked(Awaited::Enrollment(EnrollmentId::of(&course, &sam)));
    assert_eq!(release(&world, "assessment/a").await, std::slice::from_ref(&waits));
    world.instance.enroll(&course, "sam", true).await.unwrap();
    let Effect::Parked(enrolled) = waits else { panic!() };
    assert_eq!(release(&world, &enrolled.to_string()).await, [Effect::Applied]);
    assert_eq!(release(&world, &enrolled.to_string()).await, []);
    assert_eq!(world.scalar("SELECT count(*) FROM parked_messages").await, 0);
    let enrollment = enrollment(&world, &course, "sam").await;
    assert_eq!(enrollment.results[&assessment("a")].grade.as_ref().unwrap().score, Some(5.0));
    // What was parked once and comes again is known.
    assert_eq!(world.tell("Grading-Completed", &graded).await, Effect::Outdated);
}

#[tokio::test]
async fn a_result_is_kept_under_its_video_and_shown_by_every_item_whenever_it_is_added() {
    let mut world = World::new().await;
    let one = world.instance.published("V-1", None).await;
    let two = world.instance.published("V-2", None).await;
    let before = add_video(&world, &one, "v").await;
    let done = json!({ "videoId": "v", "url": "https://cdn/v.m3u8", "timestamp": at(2) });
    assert_eq!(world.tell("Transcoding-Completed", &done).await, Effect::Applied);
    let after = add_video(&world, &two, "v").await;
    let failed = json!({ "videoId": "v", "status": "FAILED", "error": "late", "timestamp": at(1) });
    assert_eq!(world.tell("Transcoding-Completed", &failed).await, Effect::Outdated);
    let streams = Streams::new(world.instance.pool.clone());
    for (course, item) in [(&one, &before), (&two, &after)] {
        let course: course_service::domain::Course = streams.load(course.as_str()).await.unwrap();
        let (_, item) = course.item(item).unwrap();
        let video = serde_json::to_value(item.video.as_ref().unwrap()).unwrap();
        assert_eq!(video["playback_url"], "https://cdn/v.m3u8");
    }
    // A newer one reaches both, and nobody else.
    let failed = json!({ "videoId": "v", "status": "FAILED", "error": "gone", "timestamp": at(3) });
    assert_eq!(world.tell("Transcoding-Completed", &failed).await, Effect::Applied);
    assert_eq!(world.count("VideoTranscodingFailed").await, 2);
    assert_eq!(world.count("VideoTranscoded").await, 2);
}

#[tokio::test]
async fn items_added_while_their_video_is_reported_never_miss_the_result() {
    let world = World::new().await;
    for round in 0..30 {
        let course = world.instance.published(&format!("RACE-{round}"), None).await;
        let video = format!("v-{round}");
        let mut other = World::on(&world.url).await;
        let done = json!({ "videoId": video, "url": "https://cdn/v", "eventId": video });
        let mut message = other.message("Transcoding-Completed", &done);
        // A place of its own for each round: they share the database.
        let mut record = (*message.record).clone();
        record.partition = round;
        message = translate(record, Origin::Topic);
        let given = tokio::spawn(async move { other.give(vec![message]).await });
        let item = add_video(&world, &course, &video).await;
        let effect = given.await.unwrap().remove(0);
        assert!(matches!(effect, Effect::Applied | Effect::Unchanged), "{effect:?}");
        let streams = Streams::new(world.instance.pool.clone());
        let course: course_service::domain::Course = streams.load(course.as_str()).await.unwrap();
        assert!(course.item(&item).unwrap().1.video.is_some(), "round {round}");
    }
}

#[tokio::test]
async fn an_enrollment_is_completed_by_the_grade_that_is_good_enough() {
    let mut world = World::new().await;
    let course = world.instance.published("PASS", None).await;
    let patch = CoursePatch { passing_score: Patch::Set(60.0), ..Default::default() };
    world.instance.update(&course, patch).await.unwrap();
    world.instance.enroll(&course, "sam", true).await.unwrap();
    for (id, weight) in [("a", 1), ("b", 3)] {
        let created = json!({ "assessmentId": id, "courseId": course.as_str(), "maxScore": 10, "weight": weight });
        assert_eq!(world.tell("Assessment-Creation", &created).await, Effect::Applied);
    }
    let graded = |id: &str, score: i64, seconds| json!({ "assessmentId": id, "studentId": "sam", "score": score, "gradedAt": at(seconds) });
    assert_eq!(world.tell("Grading-Completed", &graded("a", 4, 1)).await, Effect::Applied);
    assert_eq!(world.count("EnrollmentCompleted").await, 0);
    assert_eq!(world.tell("Grading-Completed", &graded("b", 7, 2)).await, Effect::Applied);
    let sam = enrollment(&world, &course, "sam").await;
    assert_eq!(sam.status.as_str(), "COMPLETED");
    assert!(world.instance.withdraw(&course, "sam").await.is_err(), "it is final");
    // A regrade is recorded all the same, and an older one is kept in the history.
    assert_eq!(world.tell("Grading-Completed", &graded("b", 1, 4)).await, Effect::Applied);
    assert_eq!(world.tell("Grading-Completed", &graded("b", 2, 3)).await, Effect::Applied);
    let sam = enrollment(&world, &course, "sam").await;
    let result = &sam.results[&assessment("b")];
    assert_eq!(result.grade.as_ref().unwrap().score, Some(1.0));
    assert_eq!(
        result.older.iter().map(|grade| grade.score.unwrap()).collect::<Vec<_>>(),
        [7.0, 2.0]
    );
    assert_eq!(sam.status.as_str(), "COMPLETED");
}

#[tokio::test]
async fn a_fact_about_a_student_who_left_is_recorded_and_a_deleted_course_refuses() {
    let mut world = World::new().await;
    let course = world.instance.published("LEFT", None).await;
    world.instance.enroll(&course, "sam", true).await.unwrap();
    let created = json!({ "assessmentId": "a", "courseId": course.as_str() });
    assert_eq!(world.tell("Assessment-Creation", &created).await, Effect::Applied);
    world.instance.withdraw(&course, "sam").await.unwrap();
    let submitted = json!({ "submissionId": "s", "assessmentId": "a", "studentId": "sam" });
    assert_eq!(world.tell("Submission-Completed", &submitted).await, Effect::Applied);
    let other = json!({ "submissionId": "t", "assessmentId": "a", "studentId": "sam", "courseId": "another" });
    let Effect::Refused(refusal) = world.tell("Submission-Completed", &other).await else {
        panic!()
    };
    assert_eq!(refusal.field(), Some("courseId"));
    world.instance.delete(&course).await.unwrap();
    let late = json!({ "assessmentId": "late", "courseId": course.as_str() });
    let Effect::Refused(refusal) = world.tell("Assessment-Creation", &late).await else { panic!() };
    assert_eq!(refusal.code().as_str(), "ILLEGAL_TRANSITION");
    let recorded = world
        .scalar("SELECT count(*) FROM keys WHERE space = 'inbox' AND value::jsonb ->> 'code' = 'ILLEGAL_TRANSITION'")
        .await;
    assert_eq!(recorded, 1, "the refusal is recorded");
}

#[tokio::test]
async fn one_bad_message_in_ten_thousand_is_one_dead_letter_and_all_others_have_their_effect() {
    let mut world = World::new().await;
    let messages: Vec<_> = (0..10_000)
        .map(|number| {
            if number == 6_543 {
                return translate(
                    world.record("User-Creation", Some(b"{\"userId\":")),
                    Origin::Topic,
                );
            }
            world.message(
                "User-Creation",
                &json!({ "userId": format!("u-{number}"), "role": "student" }),
            )
        })
        .collect();
    let last = messages.last().unwrap().record.offset;
    let effects = world.give(messages).await;
    assert_eq!(effects.iter().filter(|effect| **effect == Effect::Applied).count(), 9_999);
    assert!(matches!(&effects[6_543], Effect::Dead(why) if why.code == "NOT_JSON"));
    assert_eq!(world.count("UserRegistered").await, 9_999);
    assert_eq!(world.scalar("SELECT count(*) FROM dead_letters").await, 1);
    assert_eq!(world.scalar("SELECT next_offset FROM inbound_offsets").await, last + 1);
}

#[tokio::test]
async fn a_reader_that_lost_its_partition_without_knowing_appends_nothing() {
    let mut owner = World::new().await;
    let mut zombie = World::on(&owner.url).await;
    let told = json!({ "userId": "u-1" });
    let first = owner.message("User-Creation", &told);
    assert_eq!(owner.give(vec![first.clone()]).await, [Effect::Applied]);
    let second = owner.message("User-Creation", &json!({ "userId": "u-2" }));
    let third = owner.message("User-Creation", &json!({ "userId": "u-3" }));
    zombie.places = owner.places.clone();
    assert_eq!(owner.give(vec![second.clone()]).await, [Effect::Applied]);
    let lost = zombie.try_give(vec![second, third.clone()]).await;
    let Err(IntakeError::Moved(moved)) = lost else { panic!("{lost:?}") };
    assert_eq!(moved, [("User-Creation".to_owned(), 0, Some(third.record.offset))]);
    assert_eq!(owner.count("UserRegistered").await, 2);
    assert_eq!(owner.give(vec![third]).await, [Effect::Applied]);
}

#[tokio::test]
async fn what_the_database_refuses_stands_alone_as_a_dead_letter() {
    let mut world = World::new().await;
    for sql in [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.aggregate_id = 'cursed' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()",
    ] {
        sqlx::query(sql).execute(&world.instance.pool).await.unwrap();
    }
    let ids = ["a", "b", "cursed", "c", "d"];
    let messages = ids.map(|id| world.message("User-Creation", &json!({ "userId": id })));
    let effects = world.give(messages.to_vec()).await;
    assert!(matches!(&effects[2], Effect::Dead(why) if why.code == "REJECTED"), "{effects:?}");
    assert_eq!(effects.iter().filter(|effect| **effect == Effect::Applied).count(), 4);
    assert_eq!(world.scalar("SELECT count(*) FROM dead_letters WHERE code = 'REJECTED'").await, 1);
}

#[tokio::test]
async fn nothing_is_parked_while_what_it_waits_for_exists_however_the_two_race() {
    let world = World::new().await;
    for round in 0..40 {
        let course = CourseId::parse(&format!("race-{round}"), "id").unwrap();
        let mut other = World::on(&world.url).await;
        let created = json!({ "assessmentId": format!("a-{round}"), "courseId": course.as_str() });
        let mut record = (*other.message("Assessment-Creation", &created).record).clone();
        record.partition = round;
        let message = translate(record, Origin::Topic);
        let given = tokio::spawn(async move { other.give(vec![message]).await });
        world.instance.create(&course, &format!("RACE-{round}"), None).await.unwrap();
        let effect = given.await.unwrap().remove(0);
        // Parked only at a place of the log before the creation, so that a follower of the log sees that.
        let parked_before: bool = sqlx::query_scalar(
            "SELECT coalesce((SELECT k.position < (SELECT min(position) FROM events WHERE course_id = $1) \
               FROM keys k JOIN parked_messages p ON k.space = 'inbox' AND k.key = p.identity \
               WHERE p.waits_for = 'course/' || $1), true)",
        )
        .bind(course.as_str())
        .fetch_one(&world.instance.pool)
        .await
        .unwrap();
        assert!(parked_before, "round {round}");
        assert!(matches!(effect, Effect::Applied | Effect::Parked(_)), "{effect:?}");
    }
}

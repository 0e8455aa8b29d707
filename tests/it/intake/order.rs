//! Whatever the order in which things happen, and however often they are told, the end is the same.

use std::collections::BTreeSet;
use std::time::Duration;

use course_service::commands::intake::Incoming;
use course_service::domain::course::{CourseAction, ItemKind, NewItem};
use course_service::domain::user::Sealed;
use course_service::domain::{CourseId, ItemId, ModuleId, UserId, VideoId};
use course_service::event_store::personal::{PersonalField, find_keys};
use course_service::event_store::{followers, log};
use course_service::kafka::inbound::Unpark;
use course_service::projections::{Checkpoints, runners};
use futures::StreamExt;
use futures::stream;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::world::{World, at};
use crate::instance::Instance;
use crate::support::eventually;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    User,
    Course,
    Assessment,
    Enrollment,
    Submission,
    Grade,
    Transcoding,
}

const THINGS: [Thing; 7] = [
    Thing::User,
    Thing::Course,
    Thing::Assessment,
    Thing::Enrollment,
    Thing::Submission,
    Thing::Grade,
    Thing::Transcoding,
];

/// Every order of the things.
fn permutations() -> Vec<Vec<Thing>> {
    let mut orders = vec![Vec::new()];
    for _ in THINGS {
        let longer = orders.iter().flat_map(|order: &Vec<Thing>| {
            let open = THINGS.into_iter().filter(|thing| !order.contains(thing));
            open.map(|thing| order.iter().copied().chain([thing]).collect())
        });
        orders = longer.collect();
    }
    orders
}

/// The things, each twice, in an order that hangs on the number alone.
fn shuffled(number: usize) -> Vec<Thing> {
    let mut order: Vec<(Vec<u8>, Thing)> = THINGS
        .into_iter()
        .chain(THINGS)
        .enumerate()
        .map(|(place, thing)| {
            let hash = Sha256::digest(format!("seed 5: {number}/{place}"));
            (hash.to_vec(), thing)
        })
        .collect();
    order.sort();
    order.into_iter().map(|(_, thing)| thing).collect()
}

/// One world's part of an order: everything that has to do with it has this mark in its ids.
struct Story {
    mark: String,
    order: Vec<Thing>,
}

impl Story {
    fn course(&self) -> CourseId {
        CourseId::parse(&format!("course-{}", self.mark), "id").unwrap()
    }

    /// What is told at this step; nothing where a client does it.
    fn message(&self, world: &World, step: usize) -> Option<Incoming> {
        let mark = &self.mark;
        let (topic, value) = match self.order.get(step)? {
            Thing::User => (
                "User-Creation",
                json!({ "userId": format!("user-{mark}"), "name": "Sam", "role": "student", "createdAt": at(1) }),
            ),
            Thing::Assessment => (
                "Assessment-Creation",
                json!({ "assessmentId": format!("assessment-{mark}"), "courseId": self.course().as_str(), "title": "Quiz",
                        "maxScore": 20, "moduleId": format!("module-{mark}"), "createdAt": at(2) }),
            ),
            Thing::Submission => (
                "Submission-Completed",
                json!({ "submissionId": format!("submission-{mark}"), "assessmentId": format!("assessment-{mark}"),
                        "studentId": format!("user-{mark}"), "submittedAt": at(3) }),
            ),
            Thing::Grade => (
                "Grading-Completed",
                json!({ "assessmentId": format!("assessment-{mark}"), "studentId": format!("user-{mark}"), "score": 15,
                        "gradedAt": at(4) }),
            ),
            Thing::Transcoding => (
                "Transcoding-Completed",
                json!({ "videoId": format!("video-{mark}"), "url": format!("https://cdn/{mark}"), "completedAt": at(5) }),
            ),
            Thing::Course | Thing::Enrollment => return None,
        };
        Some(world.message(topic, &value))
    }

    /// What clients do at this step. Who wants to enroll before there is a course tries again once there is one.
    async fn act(&self, instance: &Instance, step: usize) {
        let Some(thing) = self.order.get(step) else { return };
        let before = &self.order[..step];
        let first = !before.contains(thing);
        match thing {
            Thing::Course if first => {
                self.create(instance).await;
                if before.contains(&Thing::Enrollment) {
                    self.enroll(instance).await;
                }
            }
            Thing::Enrollment if first && before.contains(&Thing::Course) => {
                self.enroll(instance).await;
            }
            _ => {}
        }
    }

    async fn create(&self, instance: &Instance) {
        let (mark, course) = (&self.mark, self.course());
        instance.create(&course, &format!("CODE-{mark}"), None).await.unwrap();
        let module_id = ModuleId::parse(&format!("module-{mark}"), "id").unwrap();
        let action = CourseAction::AddModule {
            module_id: module_id.clone(),
            title: "Module".into(),
            summary: None,
            position: None,
        };
        instance.course(&course, None, action).await.unwrap();
        let item = NewItem {
            id: ItemId::parse(&format!("item-{mark}"), "id").unwrap(),
            kind: ItemKind::Video,
            title: "Video".into(),
            required: true,
            position: None,
            url: None,
            video_id: Some(VideoId::parse(&format!("video-{mark}"), "id").unwrap()),
            assessment_id: None,
        };
        let action = CourseAction::AddItem { module_id, item: Box::new(item), video: None };
        instance.course(&course, None, action).await.unwrap();
    }

    async fn enroll(&self, instance: &Instance) {
        let student = format!("user-{}", self.mark);
        instance.enroll(&self.course(), &student, true).await.unwrap();
    }
}

/// Tells all stories at once, step by step, each message `times` times in place.
async fn tell(world: &mut World, stories: &[Story], times: usize) {
    let steps = stories.iter().map(|story| story.order.len()).max().unwrap();
    for step in 0..steps {
        let acts = stories.iter().map(|story| story.act(&world.instance, step));
        stream::iter(acts).buffer_unordered(256).for_each(|()| async {}).await;
        let mut messages = Vec::new();
        for story in stories {
            for _ in 0..times {
                messages.extend(story.message(world, step));
            }
        }
        world.give(messages).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_and_every_shuffle_with_doubles_ends_alike() {
    let mut world = World::new().await;
    let (pool, stop) = (world.instance.pool.clone(), CancellationToken::new());
    let (wake, patience) = (world.instance.head.subscribe(), Duration::from_hours(1));
    let unpark = Unpark::new(pool.clone(), world.intake.clone(), wake, Uuid::now_v7(), patience);
    let follower = tokio::spawn(unpark.run(stop.clone()));

    let orders = permutations();
    assert_eq!(orders.iter().collect::<BTreeSet<_>>().len(), 5_040);
    let marked = |(number, order)| Story { mark: format!("o{number:05}"), order };
    let stories: Vec<Story> = orders.into_iter().enumerate().map(marked).collect();
    tell(&mut world, &stories, 2).await;
    let shuffles = (5_040..7_040).map(|number| marked((number, shuffled(number))));
    let shuffles: Vec<Story> = shuffles.collect();
    tell(&mut world, &shuffles, 1).await;

    eventually("nothing waits any more", async || {
        let parked = world.scalar("SELECT count(*) FROM parked_messages").await;
        let seen = followers::position(&pool, "unpark").await.unwrap();
        parked == 0 && seen == log::head(&pool).await.unwrap().position.number
    })
    .await;
    stop.cancel();
    follower.await.unwrap();
    for runner in runners(&Checkpoints::new(pool.clone())) {
        while runner.step(&pool).await.unwrap() > 0 {}
    }
    assert_eq!(world.scalar("SELECT count(*) FROM dead_letters").await, 0);

    // Of each table the rows of a story, without when and where in the log they changed, are those of every other.
    let when = "'{created_at,updated_at,requested_at,enrolled_at,last_activity_at,search,display_name}'::text[]";
    for view in [
        "courses_v2",
        "modules_v2",
        "module_items_v2",
        "enrollments_v3",
        "assessments_v1",
        "users_v1",
    ] {
        let row = format!(
            "regexp_replace((to_jsonb(t) - {when})::text, 'o[0-9]{{5}}|[0-9a-f-]{{36}}', 'o', 'g')"
        );
        assert_eq!(world.scalar(&format!("SELECT count(*) FROM {view}")).await, 7_040, "{view}");
        let different: Vec<String> =
            sqlx::query_scalar(&format!("SELECT DISTINCT {row} FROM {view} t LIMIT 3"))
                .fetch_all(&pool)
                .await
                .unwrap();
        assert_eq!(different.len(), 1, "{view}: {different:#?}");
    }
    let one: String = sqlx::query_scalar(
        "SELECT to_jsonb(e)::text || to_jsonb(i)::text FROM enrollments_v3 e, module_items_v2 i \
         WHERE e.course_id = 'course-o00000' AND i.module_id = 'module-o00000'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(one.contains("15") && one.contains("https://cdn/o00000"), "{one}");
    let names: Vec<(String, String)> = sqlx::query_as("SELECT user_id, display_name FROM users_v1")
        .fetch_all(&pool)
        .await
        .unwrap();
    let ids: Vec<&str> = names.iter().map(|(id, _)| id.as_str()).collect();
    let keys = find_keys(&pool, &ids).await.unwrap();
    for (id, sealed) in names {
        let user = UserId::parse(&id, "id").unwrap();
        let name = keys[&id].open(&user, PersonalField::DisplayName, &Sealed(sealed));
        assert_eq!(name.as_deref(), Some("Sam"));
    }
}

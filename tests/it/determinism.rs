//! Read models are a function of the log: what is built anew is what grew event by event, byte for byte.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use course_service::commands::intake::Incoming;
use course_service::domain::course::{
    CourseAction, CoursePatch, ItemKind, ItemPatch, ModulePatch, NewItem, PublicationState,
};
use course_service::domain::values::Patch;
use course_service::domain::{CourseId, ItemId, ModuleId, VideoId};
use course_service::event_store::log;
use course_service::projections::Checkpoints;
use course_service::projections::rebuild::{self, Options};
use futures::StreamExt;
use futures::future::join_all;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::dice::Dice;
use crate::instance::Instance;
use crate::intake::world::{World, at};
use crate::projections::{models, quiet, run_all, tables};

const COURSES: u32 = 60;
const STUDENTS: u32 = 80;
const COMMANDS: u32 = 16_000;
const MESSAGES: u32 = 5_000;
/// How many commands are under way at the same time.
const AT_ONCE: usize = 96;
const MESSAGES_AT_ONCE: usize = 100;

fn course(number: u32) -> CourseId {
    CourseId::parse(&format!("course-{number}"), "id").unwrap()
}

/// The modules and items of a course that were ever added.
#[derive(Default)]
struct Added {
    modules: Vec<ModuleId>,
    items: Vec<ItemId>,
}

/// Those of each course.
struct Content(Vec<Mutex<Added>>);

impl Content {
    fn of(&self, course: u32) -> MutexGuard<'_, Added> {
        self.0[course as usize].lock().unwrap()
    }

    fn module(&self, dice: &mut Dice, course: u32) -> ModuleId {
        let known = self.of(course);
        known.modules[dice.below(u32::try_from(known.modules.len()).unwrap()) as usize].clone()
    }

    fn item(&self, dice: &mut Dice, course: u32) -> ItemId {
        let known = self.of(course);
        known.items[dice.below(u32::try_from(known.items.len()).unwrap()) as usize].clone()
    }

    fn add_module(&self, dice: &mut Dice, course: u32) -> CourseAction {
        let module_id = ModuleId::from_uuid(Uuid::now_v7());
        self.of(course).modules.push(module_id.clone());
        CourseAction::AddModule {
            module_id,
            title: text(dice),
            summary: dice.one_in(2).then(|| text(dice)),
            position: dice.one_in(2).then_some(0),
        }
    }

    fn add_item(&self, dice: &mut Dice, course: u32) -> CourseAction {
        let module_id = self.module(dice, course);
        let id = ItemId::from_uuid(Uuid::now_v7());
        self.of(course).items.push(id.clone());
        let kind = [ItemKind::Page, ItemKind::Video][dice.below(2) as usize];
        let video = format!("video-{}", dice.below(40));
        let item = NewItem {
            id,
            kind,
            title: text(dice),
            required: dice.one_in(2),
            position: dice.one_in(2).then_some(0),
            url: None,
            video_id: (kind == ItemKind::Video).then(|| VideoId::parse(&video, "id").unwrap()),
            assessment_id: None,
        };
        CourseAction::AddItem { module_id, item: Box::new(item), video: None }
    }
}

fn text(dice: &mut Dice) -> String {
    let texts = ["Ünïcode \"and\" \\quotes\\", "", "a,b", "{c}", "NULL", "plain", "new\nline"];
    format!("{}{}", texts[dice.below(7) as usize], dice.below(50))
}

fn optional<T>(dice: &mut Dice, value: impl FnOnce(&mut Dice) -> T) -> Patch<T> {
    match dice.below(3) {
        0 => Patch::Keep,
        1 => Patch::Clear,
        _ => Patch::Set(value(dice)),
    }
}

fn number(dice: &mut Dice) -> f64 {
    [0.1 + 0.2, 1.0 / 3.0, 1e-7, 50.0, 99.9][dice.below(5) as usize]
}

fn action(dice: &mut Dice, content: &Content, course: u32) -> CourseAction {
    match dice.below(12) {
        0..=2 => {
            let patch = CoursePatch {
                title: Patch::Set(text(dice)),
                description: optional(dice, text),
                tags: optional(dice, |dice| vec![text(dice), text(dice)]),
                passing_score: optional(dice, number),
                capacity: optional(dice, |dice| i64::from(dice.below(60)) + 1),
                ends_at: optional(dice, |dice| at(i64::from(dice.below(9)))),
                ..CoursePatch::default()
            };
            CourseAction::Update { patch: Box::new(patch), code_owner: None }
        }
        3 => content.add_module(dice, course),
        4 => {
            let states = [PublicationState::Published, PublicationState::Unpublished];
            let state = Patch::Set(states[dice.below(2) as usize]);
            let title = Patch::Set(text(dice));
            let patch = ModulePatch { title, state, ..ModulePatch::default() };
            CourseAction::UpdateModule { module_id: content.module(dice, course), patch }
        }
        5 if dice.one_in(4) => {
            CourseAction::RemoveModule { module_id: content.module(dice, course) }
        }
        5 | 6 => content.add_item(dice, course),
        7 => {
            let patch = ItemPatch { title: Patch::Set(text(dice)), ..ItemPatch::default() };
            CourseAction::UpdateItem { item_id: content.item(dice, course), patch }
        }
        8 if dice.one_in(3) => CourseAction::RemoveItem { item_id: content.item(dice, course) },
        8 | 9 => {
            let module_ids = content.of(course).modules.iter().rev().cloned().collect();
            CourseAction::ReorderModules { module_ids }
        }
        10 => CourseAction::Unpublish { seats_taken: 0, waiting: 0 },
        _ => CourseAction::Publish,
    }
}

/// One command; whether it was accepted.
async fn command(instance: &Instance, content: &Content, seed: u64, nth: u32) -> bool {
    let mut dice = Dice::new(seed, nth);
    let which = dice.below(COURSES);
    let id = course(which);
    let student = format!("s{}", dice.below(STUDENTS));
    match dice.below(10) {
        0..=2 => instance.enroll(&id, &student, true).await.is_ok(),
        3 => instance.withdraw(&id, &student).await.is_ok(),
        4 | 5 => {
            let item = content.item(&mut dice, which);
            instance.complete(&id, &student, &item).await.is_ok()
        }
        _ => instance.course(&id, None, action(&mut dice, content, which)).await.is_ok(),
    }
}

/// One message of another service.
fn message(world: &World, seed: u64, nth: u32) -> Incoming {
    let mut dice = Dice::new(seed, COMMANDS + nth);
    let student = format!("s{}", dice.below(STUDENTS));
    let which = dice.below(COURSES);
    let assessment = format!("quiz-{which}-{}", dice.below(3));
    let when = at(i64::from(dice.below(500)));
    let (topic, value) = match dice.below(8) {
        0 => {
            let name = text(&mut dice);
            (
                "User-Creation",
                json!({ "userId": student, "name": name, "role": "student", "createdAt": when }),
            )
        }
        1 => (
            "User-Update",
            json!({ "userId": student, "name": text(&mut dice), "updatedAt": when }),
        ),
        2 => (
            "Assessment-Creation",
            json!({ "assessmentId": assessment, "courseId": course(which).as_str(), "title": text(&mut dice),
                    "maxScore": number(&mut dice), "createdAt": when }),
        ),
        3 | 4 => (
            "Submission-Completed",
            json!({ "submissionId": format!("sub-{}", dice.below(4)), "assessmentId": assessment,
                    "studentId": student, "submittedAt": when }),
        ),
        5 | 6 => (
            "Grading-Completed",
            json!({ "assessmentId": assessment, "studentId": student, "score": number(&mut dice), "gradedAt": when }),
        ),
        _ => (
            "Transcoding-Completed",
            json!({ "videoId": format!("video-{}", dice.below(40)), "url": "https://cdn/v.m3u8", "timestamp": when }),
        ),
    };
    world.message(topic, &value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_twenty_thousand_commands_and_messages_a_rebuild_gives_the_live_tables_byte_for_byte()
{
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    println!("seed {seed}");
    let mut world = World::new().await;
    let other = Instance::on(&world.url).await;
    let stop = CancellationToken::new();
    let runners = run_all(&world.instance.pool, &world.instance.head, &stop);
    run_all(&other.pool, &other.head, &stop);
    let content = &Content((0..COURSES).map(|_| Mutex::default()).collect());
    let creations = (0..COURSES).map(async |number| {
        let capacity = (number % 3 > 0).then_some(i64::from(number % 30) + 1);
        let instance = &world.instance;
        instance.create(&course(number), &format!("C-{number}"), capacity).await.unwrap();
        let mut dice = Dice::new(seed, number);
        for _ in 0..3 {
            for add in [Content::add_module, Content::add_item] {
                let add = add(content, &mut dice, number);
                instance.course(&course(number), None, add).await.unwrap();
            }
        }
    });
    join_all(creations).await;

    let accepted = AtomicUsize::new(0);
    let (one, intake) = (&other, &mut world);
    let commands = futures::stream::iter(0..COMMANDS).for_each_concurrent(AT_ONCE, |number| {
        let accepted = &accepted;
        async move {
            if command(one, content, seed, number).await {
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let messages = async {
        let mut effects: BTreeMap<String, usize> = BTreeMap::new();
        let numbers: Vec<u32> = (0..MESSAGES).collect();
        for some in numbers.chunks(MESSAGES_AT_ONCE) {
            let slice = some.iter().map(|number| message(intake, seed, *number)).collect();
            for effect in intake.give(slice).await {
                let name = format!("{effect:?}");
                let name = name.split('(').next().unwrap_or_default().to_owned();
                *effects.entry(name).or_default() += 1;
            }
        }
        effects
    };
    let ((), effects) = futures::future::join(commands, messages).await;
    println!("{accepted:?} commands were accepted; of the messages {effects:?}");
    assert!(accepted.into_inner() > 4_000, "the commands are about something");
    assert!(effects["Applied"] > 1_000, "the messages are about something: {effects:?}");

    let pool = &world.instance.pool;
    let head = log::head(pool).await.unwrap().position;
    let caught_up = Checkpoints::new(pool.clone()).wait_for(head, Duration::from_secs(30)).await;
    let health = runners.iter().map(|runner| (runner.name, runner.health())).collect::<Vec<_>>();
    assert!(caught_up.is_ok(), "{caught_up:?}: {health:?}");
    stop.cancel();
    let live = tables(pool).await;
    assert!(live.values().all(|rows| rows.len() > 20));
    let options = Options { workers: 4, switch: true };
    let rebuilt = rebuild::rebuild(pool, &models(), options, &quiet()).await.unwrap();
    assert_eq!(rebuilt.events, head.number);
    let again = tables(pool).await;
    for (table, rows) in &live {
        assert_eq!(&again[table], rows, "{table}, seed {seed}");
    }
}

//! The crash matrix: `kill -9` at any moment, and a crash at every place before and after a commit, a produce and a
//! checkpoint.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use course_service::kafka::bridge::report;
use sqlx::Executor;

use super::ledger::settle;
use super::load::Load;
use super::world::{ALL_ROLES, World};
use super::{alone, of, seed};
use crate::dice::Dice;
use crate::process::{PATIENCE, Settings};
use crate::support::{eventually, pool, prefix};

/// How long a client waits for an answer before it takes the instance for dead.
const ANSWER: Duration = Duration::from_secs(10);

/// Where `serve` can be made to crash: the part, what it is about to do or has done, and the most passages before it.
const PLACES: &[(&str, &[&str], u32)] = &[
    ("append", &["before commit", "after commit"], 40),
    ("intake", &["before commit", "after commit"], 12),
    ("subject keys", &["before commit", "after commit"], 4),
    ("unpark", &["before checkpoint", "after checkpoint"], 6),
    ("projection", &["before commit", "after commit"], 30),
    ("lease", &["before commit", "after commit"], 2),
    ("bridge", &["before fencing", "after fencing"], 1),
    (
        "events",
        &["before produce", "after produce", "before commit", "after commit", "after copy"],
        8,
    ),
    (
        "dead-letters",
        &["before produce", "after produce", "before commit", "after commit", "after copy"],
        1,
    ),
    ("group", &["before checkpoint", "after checkpoint"], 2),
];

/// Where it can at what is seldom done: each has a test of its own below.
const SELDOM: &[(&str, &[&str])] = &[
    (
        "rebuild",
        &[
            "before the plan's commit",
            "after the plan's commit",
            "before a portion's commit",
            "after a portion's commit",
            "before a step's commit",
            "after a step's commit",
            "before the end's commit",
            "after the end's commit",
            "before the switch's commit",
            "after the switch's commit",
        ],
    ),
    ("order", &["before commit", "after commit"]),
    ("migration", &["before commit", "after commit"]),
];

/// Transactions without a place, how many a file has, and why.
const UNNAMED: &[(&str, usize, &str)] = &[
    ("src/projections/rebuild/verify.rs", 2, "tables of a comparison, which is begun anew"),
    ("src/projections/rebuild/lease.rs", 1, "a lease that ends by itself"),
    ("src/kafka/restore.rs", 1, "the command of an operator, who repeats it"),
];

#[test]
fn every_transaction_has_its_places_and_every_place_is_in_the_matrix() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    collect(&root.join("src"), &mut sources);
    let serve = PLACES.iter().map(|(part, moments, _)| (*part, *moments));
    let matrix: BTreeSet<(&str, &str)> = serve
        .chain(SELDOM.iter().copied())
        .flat_map(|(part, moments)| moments.iter().map(move |moment| (part, *moment)))
        .collect();
    // Where the part is a variable, it is one of these.
    let lanes = ["events", "dead-letters", "unpark"];
    let mut named = 0;
    for (path, code) in &sources {
        let path = path.strip_prefix(root).unwrap().to_str().unwrap();
        let mut commits = 0;
        for call in code.split("fault::point(").skip(1) {
            let (part, rest) = call.split_once(',').unwrap();
            let moment = rest.split('"').nth(1).unwrap();
            let is_named = if part.starts_with('"') {
                matrix.contains(&(part.trim_matches('"'), moment))
            } else {
                lanes.iter().any(|lane| matrix.contains(&(*lane, moment)))
            };
            assert!(is_named, "{path}: {part}, {moment} is in no matrix");
            commits += usize::from(moment.starts_with("before") && moment.ends_with("commit"));
            named += 1;
        }
        let transactions = code.matches(".commit().await").count();
        let unnamed = UNNAMED.iter().find(|(of, ..)| *of == path).map_or(0, |(_, count, _)| *count);
        assert!(transactions <= commits + unnamed, "{path}: a transaction without a place");
        assert!(unnamed == 0 || transactions > commits, "{path} needs no exception any more");
    }
    assert!(named > 30, "{named}");
}

/// The files below a folder, with their text.
fn collect(folder: &Path, sources: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else {
            let code = fs::read_to_string(&path).unwrap();
            sources.push((path, code));
        }
    }
}

/// One instance with every role, and a load on it.
async fn one_under_load(seed: u64) -> (World, Load) {
    let mut world = World::shared(&[ALL_ROLES]).await;
    world.start_all().await;
    let load = Load::start(&world, seed, ANSWER).await;
    (world, load)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_kills_it_and_wherever_nothing_is_lost_doubled_or_reordered() {
    let _alone = alone().await;
    let seed = seed();
    let mut dice = Dice::new(seed, u32::MAX);
    let (mut world, mut load) = one_under_load(seed).await;

    // Each is one life of the one instance: that ends anywhere, or at a place.
    let places = PLACES.iter().flat_map(|(part, moments, most)| {
        moments.iter().map(move |moment| (format!("crash:{part}:{moment}"), *most))
    });
    let places: Vec<(String, u32)> = places.collect();
    let mut deaths: Vec<Option<&(String, u32)>> = vec![None; of(15, 120)];
    for _ in 0..of(1, 4) {
        deaths.extend(places.iter().map(Some));
    }
    dice.shuffle(&mut deaths);
    let (mut kills, mut crashes) = (0, 0);
    // Lives in which something was published, and in which messages of others were taken in.
    let (mut publishers, mut consumers) = (0, 0);
    world.kill(0).await;
    for death in deaths {
        match death {
            None => {
                let before = world.progress().await;
                world.start(0, None);
                if dice.one_in(2) {
                    // A group waits some seconds for a member that died: most are killed before they read at all.
                    let deadline = Instant::now() + PATIENCE;
                    while world.progress().await.1 == before.1 {
                        assert!(Instant::now() < deadline, "it takes nothing in");
                        world.live(Duration::from_millis(100)).await;
                    }
                    world.live(Duration::from_millis(dice.below(300).into())).await;
                } else {
                    world.live(World::life(&mut dice)).await;
                }
                world.kill(0).await;
                let after = world.progress().await;
                publishers += u64::from(after.0 > before.0);
                consumers += u64::from(after.1 > before.1);
                kills += 1;
            }
            Some((place, most)) => {
                let passage = 1 + dice.below(*most);
                world.start(0, Some(&format!("{place}:{passage}")));
                assert!(world.crashes(0, PATIENCE).await, "it never came to {place}:{passage}");
                crashes += 1;
            }
        }
        // By themselves the leases of the dead end after 6 s; mostly the test shall not take that long.
        if !dice.one_in(8) {
            world.end_leases().await;
        }
    }
    world.start_all().await;
    load.goes_on(40).await;
    let ledger = load.end().await;
    let broken = [
        ("kills at any moment", kills),
        ("of them of one that had published", publishers),
        ("of them of one that had taken messages in", consumers),
        ("crashes at a named place", crashes),
    ];
    settle(&world, &ledger, "Crash matrix: one instance", &broken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_crashes_anywhere_is_ended_by_the_next_under_load() {
    let _alone = alone().await;
    let seed = seed();
    let (mut world, mut load) = one_under_load(seed).await;
    load.goes_on(40).await;
    let mut crashes = 0;
    for moment in SELDOM[0].1 {
        let fault = format!("crash:rebuild:{moment}:1");
        let mut environment = world.settings.environment();
        environment.push(("FAULT_AT", &fault));
        let ended =
            crate::process::run(&["projections", "rebuild", "courses_v2"], &environment).await;
        assert_eq!(ended.code, None, "{moment}: it did not crash: {ended:?}");
        crashes += 1;
        // The owner of the lease is dead; it ends 5 s after its last sign.
        eventually("the rebuild is done", async || {
            let done = world.settings.run(&["projections", "rebuild", "courses_v2"]).await;
            done.code == Some(0)
        })
        .await;
        world.live(Duration::ZERO).await;
    }
    load.goes_on(20).await;
    let ledger = load.end().await;
    settle(&world, &ledger, "Crashes of a rebuild", &[("crashes at a named place", crashes)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_to_the_bridge_outlives_a_crash_on_either_side_of_its_commit() {
    let _alone = alone().await;
    let seed = seed();
    let (mut world, mut load) = one_under_load(seed).await;
    eventually("the bridge has published", async || {
        report(&world.pool, &world.settings.prefix).await.unwrap().progress.is_some()
    })
    .await;
    let mut crashes = 0;
    for moment in SELDOM[1].1 {
        world.kill(0).await;
        world.end_leases().await;
        let ordered = world.settings.run(&["bridge", "resume", "--from", "progress"]).await;
        assert_eq!(ordered.code, Some(0), "{ordered:?}");
        world.start(0, Some(&format!("crash:order:{moment}:1")));
        assert!(world.crashes(0, PATIENCE).await, "{moment}");
        crashes += 1;
        world.end_leases().await;
        world.start_all().await;
        load.goes_on(20).await;
    }
    let orders = report(&world.pool, &world.settings.prefix).await.unwrap().resume;
    let ledger = load.end().await;
    settle(&world, &ledger, "Crashes of an order", &[("crashes at a named place", crashes)]).await;
    assert_eq!(orders, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_crashes_on_either_side_of_its_commit_is_done_by_the_next_start() {
    let _alone = alone().await;
    for moment in SELDOM[2].1 {
        let settings = Settings::new().await;
        let empty = format!("{}_empty", settings.database_url);
        let (_, name) = empty.rsplit_once('/').unwrap();
        let create = format!("CREATE DATABASE \"{name}\"");
        pool(&settings.database_url).await.execute(&*create).await.unwrap();
        let settings = Settings::of(empty, settings.brokers.clone(), prefix()).await;
        let fault = format!("crash:migration:{moment}:1");
        let mut environment = settings.environment();
        environment.push(("FAULT_AT", &fault));
        let ended = crate::process::run(&["serve"], &environment).await;
        assert_eq!(ended.code, None, "{moment}: it did not crash: {ended:?}");
        let (_service, client) = settings.serve(&[]).await;
        client.create_course("AFTER").await;
    }
}

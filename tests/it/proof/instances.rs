//! Three instances with mixed roles, of which some are killed, some are paused for longer than every lease and come
//! back as zombies, and some are started again: the world may not notice.

use std::time::Duration;

use tokio::time::Instant;

use super::ledger::settle;
use super::load::Load;
use super::world::{ALL_ROLES, World};
use super::{alone, of, seed};
use crate::dice::Dice;
use crate::process::PATIENCE;

const ROLES: [&str; 3] = [ALL_ROLES, "api,inbound,bridge", "api,projections,bridge"];
/// Longer than every lease: a Kafka transaction may take 10 s, a seat in the group 6 s, a lease in Postgres 6 s, an
/// idle transaction 5 s.
const LONGER_THAN_EVERY_LEASE: Duration = Duration::from_secs(12);

/// Shorter than the pauses: clients go elsewhere, and what they asked first may be done all the same.
const ANSWER: Duration = Duration::from_secs(8);

/// Where an instance becomes a zombie, with the most passages before it. The first ones always.
const PLACES: &[(&str, u32)] = &[
    ("events:before commit", 8),
    ("intake:before commit", 8),
    ("projection:before commit", 20),
    ("append:before commit", 20),
    ("events:before produce", 8),
    ("events:after produce", 8),
    ("events:after commit", 8),
    ("unpark:before checkpoint", 4),
    ("group:before checkpoint", 1),
    ("lease:after commit", 2),
    ("subject keys:before commit", 4),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_die_or_come_back_as_zombies_lose_double_and_reorder_nothing() {
    let _alone = alone().await;
    let seed = seed();
    let mut dice = Dice::new(seed, u32::MAX);
    let mut world = World::shared(&ROLES).await;
    world.start_all().await;
    let mut load = Load::start(&world, seed, ANSWER).await;
    load.goes_on(20).await;

    // Kills and pauses at any moment.
    let (mut kills, mut pauses, mut zombies) = (0, 0, 0);
    for turn in 0..of(6, 60) {
        let which = dice.index(world.len());
        if turn % 6 == 5 {
            world.pause(which, LONGER_THAN_EVERY_LEASE).await;
            pauses += 1;
        } else {
            world.kill(which).await;
            kills += 1;
            world.live(World::life(&mut dice)).await;
            world.start(which, None);
            world.live(World::life(&mut dice)).await;
        }
    }
    world.ready().await;
    load.goes_on(20).await;

    // Zombies that were about to do something.
    for (place, most) in PLACES.iter().take(of(4, PLACES.len())).cycle().take(of(4, 22)) {
        for which in 0..world.len() {
            world.kill(which).await;
        }
        world.end_leases().await;
        let passage = 1 + dice.below(*most);
        world.start(0, Some(&format!("pause:{place}:{passage}")));
        assert!(world.stops(0, PATIENCE).await, "it never came to {place}:{passage}");
        let stopped = Instant::now();
        world.start(1, None);
        world.start(2, None);
        // The others do its work. Only then it comes back.
        world.live(LONGER_THAN_EVERY_LEASE).await;
        load.goes_on(10).await;
        assert!(stopped.elapsed() > LONGER_THAN_EVERY_LEASE);
        world.signal(0, "CONT");
        world.live(Duration::from_secs(2)).await;
        zombies += 1;
        if *place == "events:before commit" {
            // It hears of it from Kafka or from its own clock, whichever is first.
            let words = ["another instance took the bridge over", "the bridge lost its lease"];
            world.says_one_of(0, &words).await;
        }
    }
    world.ready().await;
    load.goes_on(20).await;
    let ledger = load.end().await;
    let broken = [
        ("kills at any moment", kills),
        ("pauses of 12 s at any moment", pauses),
        ("pauses of 12 s or more at a named place", zombies),
    ];
    settle(&world, &ledger, "Three instances", &broken).await;
}

/// The last thing that a publisher does may reach Kafka after its successor has the lease, and before that fences it: the
/// successor must not read its place before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_between_the_lease_and_the_fencing_is_not_published_again() {
    let _alone = alone().await;
    let seed = seed();
    let mut world = World::shared(&ROLES).await;
    world.start_all().await;
    let mut load = Load::start(&world, seed, ANSWER).await;
    load.goes_on(20).await;
    let takeovers = of(2_u32, 20);
    let mut dice = Dice::new(seed, u32::MAX);
    for _ in 0..takeovers {
        for which in 0..world.len() {
            world.kill(which).await;
        }
        world.end_leases().await;
        let passage = 1 + dice.below(6);
        world.start(0, Some(&format!("pause:events:before commit:{passage}")));
        assert!(world.stops(0, PATIENCE).await);
        world.end_leases().await;
        world.start(1, Some("pause:bridge:before fencing:1"));
        assert!(world.stops(1, PATIENCE).await);
        world.signal(0, "CONT");
        world.live(Duration::from_secs(1)).await;
        world.signal(1, "CONT");
        world.live(Duration::from_secs(4)).await;
    }
    for which in 0..world.len() {
        world.kill(which).await;
    }
    world.start_all().await;
    load.goes_on(20).await;
    let ledger = load.end().await;
    let broken = [("late commits before a fencing", u64::from(takeovers))];
    settle(&world, &ledger, "Take-overs: three instances", &broken).await;
}

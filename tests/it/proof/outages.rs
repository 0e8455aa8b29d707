//! What the service needs goes away, hangs or is cut off, for seconds or a minute, under load: it stays up, says so,
//! goes on by itself and loses nothing.

use std::time::Duration;

use super::ledger::settle;
use super::load::Load;
use super::servers::{Line, Servers, Stop, Wire};
use super::world::{ALL_ROLES, World};
use super::{alone, of, seed};
use crate::dice::Dice;

/// Longer than any request may take: an instance that stays up answers before.
const ANSWER: Duration = Duration::from_secs(40);

/// In seconds: a command gives up after 5 s.
const LONGER_THAN_A_COMMAND: u64 = 8;

/// What is broken.
#[derive(Debug, Clone, Copy)]
enum Outage {
    Postgres(Stop),
    PostgresHangs,
    /// The disk of Postgres is full.
    FullDisk,
    Kafka,
    KafkaHangs,
    UsersHang,
    UsersGone,
    PostgresAndKafka,
    /// Connections to Postgres, to Kafka or to all end in the middle of what they say, again and again.
    PostgresCuts,
    KafkaCuts,
    AllCuts,
    /// Instances start while Postgres and Kafka are away.
    AtStart,
}

const OUTAGES: [Outage; 14] = [
    Outage::Postgres(Stop::Fast),
    Outage::Postgres(Stop::Immediate),
    Outage::Postgres(Stop::Crash),
    Outage::PostgresHangs,
    Outage::FullDisk,
    Outage::Kafka,
    Outage::KafkaHangs,
    Outage::UsersHang,
    Outage::UsersGone,
    Outage::PostgresAndKafka,
    Outage::PostgresCuts,
    Outage::KafkaCuts,
    Outage::AllCuts,
    Outage::AtStart,
];

/// What happens on a wire while this lasts.
async fn disturb(wire: &Wire, line: Line, meanwhile: impl Future<Output = ()>) {
    wire.set(line);
    meanwhile.await;
    wire.set(Line::Open);
}

/// Breaks it for so long, and mends it.
async fn breaks(
    outage: Outage,
    servers: &mut Servers,
    world: &mut World,
    dice: &mut Dice,
    time: Duration,
) {
    match outage {
        Outage::Postgres(how) => {
            servers.stop_postgres(how).await;
            world.stays(time).await;
            servers.start_postgres().await;
        }
        Outage::FullDisk => servers.fill_disk(world.stays(time)).await,
        Outage::Kafka => {
            servers.stop_kafka().await;
            world.stays(time).await;
            servers.start_kafka().await;
        }
        Outage::PostgresAndKafka => {
            servers.stop_postgres(Stop::Immediate).await;
            servers.stop_kafka().await;
            world.stays(time).await;
            servers.start_kafka().await;
            servers.start_postgres().await;
        }
        Outage::PostgresHangs => {
            disturb(&servers.database, Line::Hanging, world.stays(time)).await;
        }
        Outage::KafkaHangs => disturb(&servers.broker, Line::Hanging, world.stays(time)).await,
        Outage::UsersHang => disturb(&servers.users, Line::Hanging, world.stays(time)).await,
        Outage::UsersGone => disturb(&servers.users, Line::Closed, world.stays(time)).await,
        Outage::PostgresCuts => {
            Servers::cuts(&[&servers.database], dice, time).await;
        }
        Outage::KafkaCuts => {
            Servers::cuts(&[&servers.broker], dice, time).await;
        }
        Outage::AllCuts => {
            let wires = [&servers.database, &servers.broker, &servers.users];
            Servers::cuts(&wires, dice, time).await;
        }
        Outage::AtStart => {
            servers.database.set(Line::Closed);
            servers.broker.set(Line::Closed);
            for which in 0..world.len() {
                world.kill(which).await;
                world.start(which, None);
            }
            world.live(time).await;
            servers.database.set(Line::Open);
            servers.broker.set(Line::Open);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_away_the_service_stays_and_nothing_is_lost_doubled_or_reordered() {
    let _alone = alone().await;
    let seed = seed();
    let mut dice = Dice::new(seed, u32::MAX);
    let mut servers = Servers::start().await;
    let settings = servers.settings().await;
    let mut world = World::new(settings, &servers.direct(), &[ALL_ROLES, ALL_ROLES]).await;
    world.start_all().await;
    let mut load = Load::start(&world, seed, ANSWER).await;
    load.goes_on(20).await;
    let mut outages: Vec<Outage> = Vec::new();
    for _ in 0..of(1, 3) {
        let mut all = OUTAGES;
        dice.shuffle(&mut all);
        outages.extend(all.into_iter().filter(|outage| match outage {
            Outage::FullDisk => servers.has_disk(),
            _ => true,
        }));
    }
    let mut seconds = 0;
    for outage in &outages {
        let time =
            u64::from(if dice.one_in(of(6, 3)) { of(14, 60) } else { 2 + dice.below(of(3, 12)) });
        println!("{outage:?} for {time} s");
        let (lost, turned_away) = load.ledger.without_an_answer();
        breaks(*outage, &mut servers, &mut world, &mut dice, Duration::from_secs(time)).await;
        seconds += time;
        world.ready().await;
        load.goes_on(20).await;
        world.live(Duration::ZERO).await;
        let (lost_since, turned_away_since) = load.ledger.without_an_answer();
        if !matches!(outage, Outage::AtStart) {
            assert_eq!(lost_since, lost, "{outage:?}: whoever stays up answers");
        }
        let takes_long = time > LONGER_THAN_A_COMMAND;
        if takes_long && matches!(outage, Outage::Postgres(_) | Outage::PostgresAndKafka) {
            assert!(turned_away_since > turned_away, "{outage:?}: nobody was told to try again");
        }
    }
    for which in 0..world.len() {
        world.client(which).says("ok").await;
    }
    let ledger = load.end().await;
    let count = u64::try_from(outages.len()).unwrap_or_default();
    let broken = [("outages", count), ("seconds of outages", seconds)];
    settle(&world, &ledger, "Outages: two instances", &broken).await;
}

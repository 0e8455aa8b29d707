//! The bridge on a real Postgres and a real Kafka: every message once, in order, whatever happens to it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod world;

use std::time::Duration;

use course_service::kafka::bridge::{BridgeState, ResumeFrom, report, resume};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::world::{DEADLINE, Running, World, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_comes_once_and_in_order() {
    let world = World::start().await;
    let bridge = world.bridge();
    world.append_courses(0..20).await;
    world.published_all().await;
    world.append_courses(20..40).await;
    world.published_all().await;
    world.assert_published_once().await;
    let count = bridge.status.borrow().published;
    assert_eq!(count, world.expected().await.len() as u64);
    bridge.stop().await;
    let report = report(&world.pool, &world.prefix).await.unwrap();
    assert_eq!((report.lag(), report.lease, report.resume), (0, None, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_bridge_has_no_lag_although_the_last_events_publish_nothing() {
    let world = World::start().await;
    let bridge = world.bridge();
    world.append_courses(0..2).await;
    world.append_silent(0).await;
    world.published_all().await;
    bridge.stop().await;
    let bridge = world.bridge(); // what was noted for nothing to publish is as good a place to go on
    world.append_courses(2..4).await;
    world.published_all().await;
    world.assert_published_once().await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_comes_once_although_the_bridge_is_aborted_at_any_moment() {
    let world = World::start().await;
    let done = CancellationToken::new();
    let writing = world.append_until(&done);
    let aborting = async {
        for round in 0..25_u64 {
            let bridge = world.bridge();
            if round % 4 != 0 {
                bridge.is(|state| *state == BridgeState::Running).await;
            }
            tokio::time::sleep(Duration::from_millis((round * 37) % 211)).await;
            bridge.abort().await;
            world.free_lease().await; // it would end by itself, but the test shall not take that long
        }
        done.cancel();
    };
    tokio::join!(writing, aborting);
    let bridge = world.bridge();
    world.published_all().await;
    world.assert_published_once().await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_several_transactions_comes_once_although_the_bridge_is_aborted_at_any_moment()
{
    let world = World::start().await;
    world.append_courses(0..3).await;
    world.append_crowd(3, 25_000).await; // more than is read at once
    world.append_courses(4..6).await;
    for round in 0..8_u64 {
        let bridge = world.bridge();
        bridge.is(|state| *state == BridgeState::Running).await;
        tokio::time::sleep(Duration::from_millis(round * 60)).await;
        bridge.abort().await;
        world.free_lease().await;
    }
    let bridge = world.bridge();
    world.published_all().await;
    world.assert_published_once().await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_instance_left_open_never_happened() {
    let world = World::start().await;
    let bridge = world.bridge();
    world.append_courses(0..3).await;
    world.published_all().await;
    bridge.stop().await;
    world.append_courses(3..4).await;
    world.die_while_publishing().await;
    let bridge = world.bridge();
    world.published_all().await;
    world.assert_published_once().await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_whose_lease_was_taken_is_fenced() {
    let world = World::start().await;
    let (first, second) = (world.bridge(), world.bridge());
    let done = CancellationToken::new();
    let forcing = async {
        let mut bridges = [&first, &second];
        until("one bridge runs", || async { bridges.iter().any(|bridge| bridge.runs()) }).await;
        if !bridges[0].runs() {
            bridges.reverse();
        }
        for turn in 0..3 {
            let taker = bridges[(turn + 1) % 2];
            // The other one renews every two seconds: until then it believes to be the only one.
            world.force_lease(taker.instance).await;
            until("the other one runs", || async { taker.runs() }).await;
            until("the first one noticed", || async { !bridges[turn % 2].runs() }).await;
        }
        done.cancel();
    };
    tokio::join!(world.append_until(&done), forcing);
    world.published_all().await;
    world.assert_published_once().await;
    let (first_count, second_count) = (first.published(), second.published());
    assert!(first_count > 0 && second_count > 0, "{first_count} and {second_count}");
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_progress_topic_is_refused_until_somebody_says_where_to_go_on() {
    let world = World::start().await;
    let bridge = world.bridge();
    world.append_courses(0..3).await;
    world.published_all().await;
    bridge.stop().await;
    world.delete_progress_topic().await;
    world.append_courses(3..5).await;

    let bridge = world.bridge();
    bridge.is(|state| refusal(state, "is empty")).await;
    bridge
        .is(|state| {
            refusal(state, "course-service bridge resume --from progress|postgres|POSITION")
        })
        .await;
    resume(&world.pool, ResumeFrom::Progress).await.unwrap();
    bridge
        .is(|state| refusal(state, "cannot be followed, because the progress topic is empty"))
        .await;
    resume(&world.pool, ResumeFrom::Postgres).await.unwrap();
    bridge.is(|state| *state == BridgeState::Running).await;
    world.published_all().await;
    world.assert_published_once().await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_not_the_published_one_is_refused() {
    let world = World::start().await;
    let bridge = world.bridge();
    world.append_courses(0..3).await;
    world.published_all().await;
    bridge.stop().await;
    let end = report(&world.pool, &world.prefix).await.unwrap().progress.unwrap().position;
    rename_event(&world.pool, end).await;

    let bridge = world.bridge();
    bridge.is(|state| refusal(state, "was the database restored?")).await;
    resume(&world.pool, ResumeFrom::Progress).await.unwrap();
    bridge.is(|state| refusal(state, "names an event that is not the log's")).await;
    resume(&world.pool, ResumeFrom::Position(end - 1)).await.unwrap();
    bridge.is(|state| refusal(state, "inside a command")).await;
    resume(&world.pool, ResumeFrom::Position(end + 1)).await.unwrap();
    bridge.is(|state| refusal(state, "the log ends")).await;
    resume(&world.pool, ResumeFrom::Position(end)).await.unwrap();
    bridge.is(|state| *state == BridgeState::Running).await;
    world.append_courses(3..5).await;
    world.published_all().await;
    bridge.stop().await;
    assert_eq!(world.consume().await.len(), world.expected().await.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_an_older_epoch_than_the_published_one_is_refused_whatever_its_length_and_the_orders()
 {
    let world = World::start().await;
    let set = |sql: &'static str| async { sqlx::query(sql).execute(&world.pool).await.unwrap() };
    set("UPDATE log_head SET epoch = 1").await;
    let bridge = world.bridge();
    world.append_courses(0..3).await;
    world.published_all().await;
    bridge.stop().await;
    // A copy from before the epoch began, in which more had been published.
    for sql in [
        "UPDATE log_head SET epoch = 0",
        "UPDATE events SET epoch = 0",
        "UPDATE bridge_progress SET epoch = 0, position = position + 1",
    ] {
        set(sql).await;
    }
    let bridge = world.bridge();
    bridge.is(|state| refusal(state, "course-service restore resolve")).await;
    for order in [ResumeFrom::Postgres, ResumeFrom::Progress, ResumeFrom::Position(0)] {
        resume(&world.pool, order).await.unwrap();
    }
    bridge.stop().await;
    let bridge = world.bridge();
    bridge.is(|state| refusal(state, "course-service restore resolve")).await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_restored_under_a_running_bridge_is_noticed() {
    let world = World::start().await;
    let bridge = world.bridge();
    world.append_courses(0..2).await;
    world.published_all().await;
    let end = report(&world.pool, &world.prefix).await.unwrap().progress.unwrap().position;
    rename_event(&world.pool, end).await;
    world.append_courses(2..3).await;
    bridge.is(|state| refusal(state, "was the database restored?")).await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_progress_topic_behind_the_copy_and_another_cluster_are_refused() {
    let world = World::start().await;
    let bridge = world.bridge();
    world.append_courses(0..3).await;
    world.published_all().await;
    bridge.stop().await;
    let set = |sql: &'static str| async { sqlx::query(sql).execute(&world.pool).await.unwrap() };

    set("UPDATE bridge_progress SET position = position + 1").await;
    let bridge = world.bridge();
    bridge.is(|state| refusal(state, "are published")).await;
    bridge.stop().await;
    set("UPDATE bridge_progress SET position = position - 1, cluster_id = 'elsewhere'").await;
    let bridge = world.bridge();
    bridge.is(|state| refusal(state, "published to the Kafka cluster elsewhere")).await;
    resume(&world.pool, ResumeFrom::Progress).await.unwrap();
    bridge.is(|state| *state == BridgeState::Running).await;
    world.append_courses(3..4).await;
    world.published_all().await;
    world.assert_published_once().await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_bridge_follows_an_order() {
    let world = World::start().await;
    let bridge = world.bridge();
    world.append_courses(0..2).await;
    world.published_all().await;
    let once = world.consume().await.len();
    resume(&world.pool, ResumeFrom::Position(0)).await.unwrap();
    until("all is published again", || async { world.consume().await.len() == 2 * once }).await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_cannot_be_read_stops_the_bridge_and_is_never_skipped() {
    let world = World::start().await;
    world.append_courses(0..1).await;
    let sane = world.expected().await.len();
    world.append_courses(1..2).await;
    let broken: i64 = sqlx::query_scalar(
        "UPDATE events SET event_type = 'Unheard', payload = '{\"Unheard\": {}}' \
         WHERE aggregate_id LIKE '%-1' AND aggregate_type = 'course' AND sequence = 1 RETURNING position",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let bridge = world.bridge();
    let place = format!("at position {broken} does not decode");
    bridge.is(|state| matches!(state, BridgeState::Down { why } if why.contains(&place))).await;
    assert_eq!(world.consume().await.len(), sane);
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_without_kafka_is_down_and_says_why() {
    let mut world = World::start().await;
    world.brokers = "127.0.0.1:1".to_owned();
    let bridge = world.bridge();
    bridge.is(|state| matches!(state, BridgeState::Down { why } if why.contains("Kafka cannot be reached"))).await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_progress_topic_that_loses_its_place_is_not_used() {
    let world = World::start().await;
    world.create_topic("course-management-service-bridge-progress", 2, "delete").await;
    let bridge = world.bridge();
    bridge
        .is(|state| matches!(state, BridgeState::Down { why } if why.contains("2 partitions")))
        .await;
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_partitioned_as_java_does() {
    let world = World::start().await;
    world.create_topic("Partitions", 48, "delete").await;
    let topic = format!("{}Partitions", world.prefix);
    let producer: BaseProducer =
        world.client().set("partitioner", "murmur2_random").create().unwrap();
    // Of org.apache.kafka.common.utils.UtilsTest#testMurmur2.
    let vectors: [(&[u8], i32); 5] = [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
    ];
    for (key, _) in vectors {
        producer.send(BaseRecord::to(&topic).key(key).payload("x")).map_err(|(e, _)| e).unwrap();
    }
    tokio::task::spawn_blocking(move || producer.flush(DEADLINE)).await.unwrap().unwrap();
    let found = world.consume_topics(&["Partitions"]).await;
    assert_eq!(found.len(), vectors.len());
    for (key, hash) in vectors {
        let record = found.iter().find(|record| record.key.as_bytes() == key).unwrap();
        assert_eq!(record.partition, (hash & i32::MAX) % 48, "{}", record.key);
    }
}

/// A broker that is killed right behind a commit may never write what ends the transaction in its partitions. Readers
/// then stand before it for ever, and what they read last is not what was published last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_published_while_a_transaction_that_is_over_is_open_in_a_topic() {
    for topic in ["course-management-service-bridge-progress", "Course-Creation"] {
        let world = World::start().await;
        let bridge = world.bridge();
        world.append_courses(0..3).await;
        world.published_all().await;
        bridge.stop().await;
        let hanging = world.hanging_transaction(topic).await;
        world.append_courses(3..5).await;
        let bridge = world.bridge();
        let name = format!("{}{topic}", world.prefix);
        bridge.is(|state| down(state, &name)).await;
        assert!(report(&world.pool, &world.prefix).await.unwrap().lag() > 0);
        tokio::task::spawn_blocking(move || hanging.abort_transaction(DEADLINE))
            .await
            .unwrap()
            .unwrap();
        world.published_all().await;
        world.assert_published_once().await;
        bridge.stop().await;
    }
}

fn down(state: &BridgeState, part: &str) -> bool {
    matches!(state, BridgeState::Down { why } if why.contains(part))
}

fn refusal(state: &BridgeState, part: &str) -> bool {
    matches!(state, BridgeState::Refused { why } if why.contains(part))
}

/// Gives the event at a position another id, as a log restored and written anew would have.
async fn rename_event(pool: &PgPool, position: i64) {
    sqlx::query("UPDATE events SET event_id = $2 WHERE position = $1")
        .bind(position)
        .bind(Uuid::from_u128(1))
        .execute(pool)
        .await
        .unwrap();
}

impl Running {
    fn runs(&self) -> bool {
        self.status.borrow().state == BridgeState::Running
    }

    fn published(&self) -> u64 {
        self.status.borrow().published
    }
}

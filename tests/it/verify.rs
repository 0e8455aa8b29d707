//! The topics are held against the log: whatever is not as the log says is named.

use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

use crate::process::{PATIENCE, Settings};
use crate::records::published;
use crate::support::{eventually, pool};

const ADA: &str = "instructor:ada";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_on_the_topics_but_not_as_the_log_says_is_named() {
    let settings = Settings::new().await;
    let pool = pool(&settings.database_url).await;
    let (_service, client) = settings.serve(&[]).await;
    for id in ["one", "two", "three"] {
        let input = json!({ "id": id, "code": id, "title": id });
        client.mutate(ADA, "createCourse", input, "").await;
        client.mutate(ADA, "publishCourse", json!({ "courseId": id }), "").await;
    }
    published(&pool, &settings.prefix).await;
    let finished = settings.run(&["verify"]).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.contains("6 messages are as the log says"), "{finished:?}");

    // One message again, one of an event that never was, and a record of somebody else.
    let event = async |position: i64| -> (String, i64) {
        let sql = "SELECT event_id::text, sequence FROM events WHERE position = $1";
        sqlx::query_as(sql).bind(position).fetch_one(&pool).await.unwrap()
    };
    let of = async |course: &str| -> i64 {
        let sql = "SELECT position FROM events WHERE aggregate_id = $1 AND event_type = 'CoursePublished'";
        sqlx::query_scalar(sql).bind(course).fetch_one(&pool).await.unwrap()
    };
    let (one, two, three) = (of("one").await, of("two").await, of("three").await);
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", &settings.brokers).create().unwrap();
    let send = async |key: &str, id: &str, version: i64| {
        let topic = format!("{}Course-Update", settings.prefix);
        let headers = [("ce_id", id), ("ce_subject", key)];
        let headers = headers.into_iter().fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(Header { key, value: Some(value) })
        });
        let value = json!({ "version": version }).to_string();
        let record: FutureRecord<'_, str, str> =
            FutureRecord::to(&topic).key(key).payload(value.as_str()).headers(headers);
        producer.send(record, PATIENCE).await.unwrap();
    };
    let (id, sequence) = event(one).await;
    send("one", &id, sequence).await;
    send("two", "00000000-0000-0000-0000-00000000002a", 7).await;
    send("three", "somebody", 1).await;
    // An event that was told under another name, so that it is not told now; and one with another version.
    let change =
        "UPDATE events SET event_id = '00000000-0000-0000-0000-00000000002b' WHERE position = $1";
    sqlx::query(change).bind(two).execute(&pool).await.unwrap();
    let change = "UPDATE events SET epoch = 1 WHERE position = $1";
    sqlx::query(change).bind(three).execute(&pool).await.unwrap();

    let finished = settings.run(&["verify"]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for line in [
        format!("Course-Update one: event {id} is told again"),
        format!("Course-Update two: position {two}: event 00000000-0000-0000-0000-00000000002b is not told"),
        "Course-Update two: the log has no event 00000000-0000-0000-0000-00000000002a that is told so".to_owned(),
        "Course-Update three: a record that this service did not write".to_owned(),
        format!("Course-Update three: position {three}: the record has version 2, the log 4294967298"),
    ] {
        assert!(finished.stdout.contains(&line), "{line} in {}", finished.stdout);
    }
    assert!(finished.stderr.contains("6 differences"), "{finished:?}");
    let finished = settings.run(&["verify", "--json"]).await;
    let found: Value = serde_json::from_str(&finished.stdout).unwrap();
    let found = &found["topics"];
    assert_eq!(found["differences"].as_array().unwrap().len(), 6, "{found}");
    assert_eq!(found["messages"], 4, "{found}");
    let positions = found["differences"].as_array().unwrap().iter();
    let positions: Vec<i64> = positions.filter_map(|one| one["position"].as_i64()).collect();
    assert_eq!(positions, [three, two], "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_breaks_its_own_rules_and_a_row_that_it_does_not_have_are_named() {
    let settings = Settings::new().await;
    let pool = pool(&settings.database_url).await;
    let (service, client) = settings.serve(&[]).await;
    for id in ["one", "two"] {
        let input = json!({ "id": id, "code": id, "title": id, "publish": true });
        client.mutate(ADA, "createCourse", input, "").await;
    }
    published(&pool, &settings.prefix).await;
    eventually("the read models are there", async || {
        let behind =
            "SELECT count(*) FROM projections p JOIN log_head h ON p.position < h.position";
        sqlx::query_scalar::<_, i64>(behind).fetch_one(&pool).await.unwrap() == 0
    })
    .await;
    // Also while writes go on.
    let done = std::sync::atomic::AtomicBool::new(false);
    let writes = async {
        let mut number = 0;
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            number += 1;
            let input = json!({ "courseId": "one", "title": format!("Title {number}") });
            client.mutate(ADA, "updateCourse", input, "").await;
        }
    };
    let verified = async {
        let finished = settings.run(&["verify"]).await;
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        finished
    };
    let ((), finished) = tokio::join!(writes, verified);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let head: i64 =
        sqlx::query_scalar("SELECT position FROM log_head").fetch_one(&pool).await.unwrap();
    published(&pool, &settings.prefix).await;
    eventually("the read models are there", async || {
        let behind =
            "SELECT count(*) FROM projections p JOIN log_head h ON p.position < h.position";
        sqlx::query_scalar::<_, i64>(behind).fetch_one(&pool).await.unwrap() == 0
    })
    .await;
    drop(service);
    for change in [
        "UPDATE courses_v2 SET title = 'Other' WHERE course_id = 'one'",
        "DELETE FROM events WHERE position = 6", // the second of the course `two`
    ] {
        sqlx::query(change).execute(&pool).await.unwrap();
    }
    let finished = settings.run(&["verify"]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    for line in [
        "log position 5: the log has no events from 6 to 6",
        &format!("courses_v2 one at position {head}"),
        &format!("courses_v2 two at position {head}"),
    ] {
        assert!(finished.stdout.contains(line), "{line} in {}", finished.stdout);
    }
    // Without Kafka the rest is told all the same.
    let settings = settings.with("KAFKA_BROKER", "127.0.0.1:1");
    let finished = settings.run(&["verify"]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stdout.contains("courses_v2 one"), "{finished:?}");
    assert!(finished.stderr.contains("the topics could not be looked at"), "{finished:?}");
    sqlx::query("UPDATE events SET sequence = 3 WHERE position = 7").execute(&pool).await.unwrap();
    let found = course_service::event_store::check::check(&pool).await.unwrap();
    let chain = found.iter().find(|one| one.what.contains("has version 3, where 1 comes next"));
    assert_eq!(chain.map(|one| one.position), Some(7), "{found:?}");
}

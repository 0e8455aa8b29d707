//! Kafka and Postgres go away and come back: the process stays, says so, and recovers by itself.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use course_service::app::embedded::{
    DataDir, Kafka, KafkaOptions, Needs, Parts, Postgres, PostgresOptions,
};
use course_service::event_store::migrate;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::process::{Client, Failure, Settings};
use crate::records::{
    PROGRESS, assert_published_once, assert_whole, published, records, records_of, whole_log,
};
use crate::support::{brokers, database_url, eventually, pool, prefix};

const ADA: &str = "instructor:ada";

async fn parts(needs: Needs) -> Parts {
    Parts::fetch(needs, &|step| eprintln!("{step}")).await.unwrap()
}

fn bridge(report: &Value) -> &Value {
    &report["parts"]["bridge"]["status"]
}

/// Waits until the bridge is down; the whole report. Other parts notice at their own pace.
async fn stands_still(client: &Client) -> Value {
    let mut report = Value::Null;
    eventually("the bridge stands still", async || {
        report = client.get("/readyz").await.1;
        bridge(&report) == "down"
    })
    .await;
    assert_eq!(report["status"], "degraded", "{report}");
    report
}

async fn publishes(client: &Client) {
    eventually("the bridge publishes", async || bridge(&client.get("/readyz").await.1) == "ok")
        .await;
}

/// Waits until the broker has ended the transaction that it has confirmed. One that is alone and is killed before that
/// may never write its end: it seems to take the partitions for deleted because it knows none yet. Their readers then
/// wait for ever.
async fn ended(settings: &Settings) {
    let (brokers, prefix) = (&settings.brokers, &settings.prefix);
    eventually("the message can be read", async || !records(brokers, prefix).await.is_empty())
        .await;
    let progress = [PROGRESS];
    eventually("the progress can be read", async || {
        !records_of(brokers, prefix, &progress).await.is_empty()
    })
    .await;
}

/// Reads a course through the read model as soon as that has it.
async fn title(client: &Client, payload: &Value) -> Value {
    let query = "query($id: ID, $at: String) { course(id: $id, minPosition: $at) { title } }";
    let at = json!({ "id": payload["course"]["id"], "at": payload["position"] });
    let answer = client.graphql("", query, at).await.unwrap();
    assert_eq!(answer.get("errors"), None, "{answer}");
    answer["data"]["course"]["title"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_go_on_while_kafka_is_away_and_are_published_once_it_is_back() {
    let parts = parts(Needs { postgres: false, kafka: true }).await;
    let data = DataDir::ephemeral().unwrap();
    let kafka = Kafka::start(&parts, data.path(), KafkaOptions::default()).await.unwrap();
    let port = kafka.port();
    let settings = Settings::of(database_url().await, kafka.brokers(), prefix()).await;
    let pool = pool(&settings.database_url).await;
    let (mut service, client) = settings.serve(&[]).await;
    publishes(&client).await;
    client.create_course("BEFORE").await;
    published(&pool, &settings.prefix).await;
    ended(&settings).await;

    kafka.kill().unwrap();
    for number in 0..20 {
        client.create_course(&format!("MEANWHILE-{number}")).await;
    }
    let report = stands_still(&client).await;
    assert!(report["parts"]["bridge"]["why"].is_string(), "{report}");
    let input = json!({ "code": "STILL", "title": "Still", "publish": true });
    let still = client.mutate(ADA, "createCourse", input, "course { id }").await;
    assert_eq!(title(&client, &still).await, "Still");

    let options = KafkaOptions { port: Some(port), ..KafkaOptions::default() };
    let kafka = Kafka::start(&parts, data.path(), options).await.unwrap();
    publishes(&client).await;
    published(&pool, &settings.prefix).await;
    client.says("ok").await;
    let events = whole_log(&pool).await;
    assert_published_once(&events, &records(&kafka.brokers(), &settings.prefix).await);
    kafka.kill().unwrap();
    stands_still(&client).await; // with nothing to publish, too
    assert!(service.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_starts_and_works_without_kafka() {
    // Nobody listens on port 1.
    let settings = Settings::of(database_url().await, "127.0.0.1:1".to_owned(), prefix()).await;
    let (mut service, client) = settings.serve(&[]).await;
    client.create_course("ALONE").await;
    stands_still(&client).await;
    assert_eq!(client.get("/readyz").await.0, 200);
    service.signal("TERM");
    assert_eq!(service.ended(std::time::Duration::from_secs(12)).await.code(), Some(0));
}

async fn start_postgres(parts: &Parts, data: &DataDir, port: Option<u16>) -> Postgres {
    let options = PostgresOptions { fsync: false, port, ..PostgresOptions::default() };
    Postgres::start(parts, data.path(), options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stays_up_while_postgres_is_away_and_recovers_by_itself() {
    let parts = parts(Needs { postgres: true, kafka: false }).await;
    let data = DataDir::ephemeral().unwrap();
    let postgres = start_postgres(&parts, &data, None).await;
    let port = postgres.port();
    let mut connection = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
    connection.execute("CREATE DATABASE service").await.unwrap();
    drop(connection);
    let url = postgres.url("service");
    let migrated = pool(&url).await;
    migrate::run(&migrated).await.unwrap();
    migrated.close().await;

    let settings = Settings::of(url, brokers().await, prefix()).await;
    let (mut service, client) = settings.serve(&[]).await;
    publishes(&client).await;
    client.create_course("BEFORE").await;

    postgres.stop().await.unwrap();
    let input = json!({ "code": "MEANWHILE", "title": "Meanwhile" });
    match client.try_mutate(ADA, "createCourse", input, "").await {
        Err(Failure::Errors(errors)) => {
            let extensions = &errors[0]["extensions"];
            assert_eq!(extensions["retryable"], true, "{errors}");
        }
        other => panic!("{other:?}"),
    }
    let answer = client.graphql("", "{ courses { nodes { id } } }", json!({})).await.unwrap();
    assert_eq!(answer["errors"][0]["extensions"]["retryable"], true, "{answer}");
    assert_eq!(client.get("/livez").await.0, 200);
    let (status, report) = client.get("/readyz").await;
    assert_eq!((status, &report["status"]), (503, &json!("unavailable")));
    assert_eq!(report["parts"]["database"]["status"], "down");
    assert!(service.is_running());

    let postgres = start_postgres(&parts, &data, Some(port)).await;
    client.says("ok").await;
    let input = json!({ "code": "AFTER", "title": "After", "publish": true });
    let after = client.mutate(ADA, "createCourse", input, "course { id }").await;
    assert_eq!(title(&client, &after).await, "After");
    // A crash breaks connections without a goodbye.
    postgres.kill().unwrap();
    let postgres = start_postgres(&parts, &data, Some(port)).await;
    eventually("it recovers from a crash, too", async || {
        let input = json!({ "id": "crash", "code": "CRASH", "title": "Crash", "publish": true });
        client.try_mutate(ADA, "createCourse", input, "").await.is_ok()
    })
    .await;
    client.says("ok").await;
    let pool = pool(&settings.database_url).await;
    published(&pool, &settings.prefix).await;
    let events = whole_log(&pool).await;
    assert_whole(&events);
    assert_published_once(&events, &records(&settings.brokers, &settings.prefix).await);
    assert!(service.is_running());
    drop(service);
    pool.close().await;
    postgres.stop().await.unwrap();
}

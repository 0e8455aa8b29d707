//! The database is put back to an earlier point, as a copy of its folder: nothing is skipped, repeated or numbered
//! backwards in silence.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::HashMap;
use std::path::Path;

use course_service::app::embedded::{DataDir, Needs, Parts, Postgres, PostgresOptions};
use course_service::event_store::migrate;
use course_service::kafka::bridge::report as bridge_report;
use course_service::kafka::client::Connection as KafkaConnection;
use course_service::kafka::inbound::report::report;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, PgPool};

use crate::process::{Client, PATIENCE, Process, Settings};
use crate::records::{Record, published, records};
use crate::support::{brokers, eventually, pool, prefix};

const ADA: &str = "instructor:ada";

/// A service on a database of its own that can be put back.
struct World {
    parts: Parts,
    data: DataDir,
    postgres: Option<Postgres>,
    settings: Settings,
    producer: FutureProducer,
}

impl World {
    async fn new() -> Self {
        let needs = Needs { postgres: true, kafka: true };
        let parts = Parts::fetch(needs, &|step| eprintln!("{step}")).await.unwrap();
        let data = DataDir::ephemeral().unwrap();
        let postgres = start(&parts, &data, None).await;
        let mut connection = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
        connection.execute("CREATE DATABASE service").await.unwrap();
        let url = postgres.url("service");
        let migrated = pool(&url).await;
        migrate::run(&migrated).await.unwrap();
        migrated.close().await;
        let settings = Settings::of(url, brokers().await, prefix()).await;
        let producer = ClientConfig::new().set("bootstrap.servers", &settings.brokers).create();
        Self { parts, data, postgres: Some(postgres), settings, producer: producer.unwrap() }
    }

    /// Stops the database, does something to its folder, and starts it again at the same address.
    async fn while_stopped(&mut self, what: impl FnOnce(&Path)) {
        let postgres = self.postgres.take().unwrap();
        let port = postgres.port();
        postgres.stop().await.unwrap();
        what(self.data.path());
        self.postgres = Some(start(&self.parts, &self.data, Some(port)).await);
    }

    async fn tell(&self, topic: &str, value: Value) {
        let (topic, value) = (format!("{}{topic}", self.settings.prefix), value.to_string());
        let record: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(&topic).payload(value.as_bytes());
        self.producer.send(record, PATIENCE).await.unwrap();
    }

    async fn records(&self) -> Vec<Record> {
        records(&self.settings.brokers, &self.settings.prefix).await
    }

    /// Waits until everything went out and everything that came in had its effect, and Kafka was told so.
    async fn settled(&self, pool: &PgPool, users: i64) {
        published(pool, &self.settings.prefix).await;
        eventually("all users are known", async || {
            let sql = "SELECT count(*) FROM events WHERE event_type = 'UserRegistered'";
            sqlx::query_scalar::<_, i64>(sql).fetch_one(pool).await.unwrap() == users
        })
        .await;
    }

    /// Runs a command that must be done; what it says.
    async fn done(&self, arguments: &[&str]) -> String {
        let finished = self.settings.run(arguments).await;
        assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
        finished.stdout
    }
}

async fn start(parts: &Parts, data: &DataDir, port: Option<u16>) -> Postgres {
    let options = PostgresOptions { fsync: false, port, ..PostgresOptions::default() };
    Postgres::start(parts, data.path(), options).await.unwrap()
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

async fn stopped(mut service: Process) {
    service.signal("TERM");
    assert_eq!(service.ended(PATIENCE).await.code(), Some(0));
}

async fn create(client: &Client, id: &str) -> String {
    let input = json!({ "id": id, "code": id, "title": id, "publish": true });
    let payload = client.mutate(ADA, "createCourse", input, "").await;
    payload["position"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned()
}

async fn rename(client: &Client, id: &str, title: &str) {
    let input = json!({ "courseId": id, "title": title });
    let payload = client.mutate(ADA, "updateCourse", input, "course { version }").await;
    assert_eq!(payload["userErrors"], json!([]), "{payload}");
}

async fn part(client: &Client, name: &str) -> Value {
    client.get("/readyz").await.1["parts"][name].clone()
}

fn versions_rise(records: &[Record]) {
    let mut versions: HashMap<(String, String), u64> = HashMap::new();
    for record in records {
        let id = record.value["courseId"].as_str().unwrap().to_owned();
        let version = record.value["version"].as_u64().unwrap();
        let before = versions.insert((record.topic.clone(), id), version);
        assert!(before.is_none_or(|before| before < version), "{record:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_put_back_is_refused_until_a_new_epoch_and_nothing_is_lost_or_told_twice_then() {
    let mut world = World::new().await;
    let (service, client) = world.settings.serve(&[]).await;
    create(&client, "kept").await;
    rename(&client, "kept", "Once").await;
    world.tell("User-Creation", json!({ "userId": "u-1", "role": "student" })).await;
    let reads = pool(&world.settings.database_url).await;
    world.settled(&reads, 1).await;
    reads.close().await;
    stopped(service).await;
    let backup = world.data.path().join("backup");
    world.while_stopped(|data| copy(&data.join("postgres"), &backup)).await;

    // What will be lost: changes of a course that stays, another course, a user, a dead letter.
    let (service, client) = world.settings.serve(&[]).await;
    rename(&client, "kept", "Twice").await;
    rename(&client, "kept", "Thrice").await;
    let token = create(&client, "lost").await;
    world.tell("User-Creation", json!({ "userId": "u-2", "role": "student" })).await;
    world.tell("User-Creation", json!({ "role": "student" })).await;
    let reads = pool(&world.settings.database_url).await;
    world.settled(&reads, 2).await;
    eventually("the dead letter is out", async || {
        let sql =
            "SELECT coalesce(max(position), 0) FROM bridge_progress WHERE lane = 'dead-letters'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&reads).await.unwrap() == 1
    })
    .await;
    reads.close().await;
    stopped(service).await;
    let before = world.records().await;
    world.while_stopped(|data| copy(&backup, &data.join("postgres"))).await;

    // It serves, but nothing goes out and nothing comes in, also when the log has grown past its old end.
    let (service, client) = world.settings.serve(&[]).await;
    for name in ["bridge", "inbound"] {
        let mut last = Value::Null;
        eventually("the part refuses", async || {
            last = part(&client, name).await;
            last["status"] == "refused"
        })
        .await;
        let said = last.to_string();
        assert!(said.contains("course-service restore resolve"), "{said}");
        assert!(said.contains("was the database restored?"), "{said}");
    }
    for number in 0..10 {
        rename(&client, "kept", &format!("Again {number}")).await;
    }
    create(&client, "new").await;
    stopped(service).await;
    let (_service, client) = world.settings.serve(&[]).await;
    for name in ["bridge", "inbound"] {
        eventually("the part still refuses", async || {
            part(&client, name).await["status"] == "refused"
        })
        .await;
    }
    let status = world.settings.run(&["inbound", "status"]).await;
    assert!(status.stdout.contains("restore resolve"), "{status:?}");

    // What is ahead is said before anything is changed.
    let told = world.done(&["restore", "resolve", "--dry-run"]).await;
    assert!(told.contains("3 messages of events that the log has lost"), "{told}");
    assert!(told.contains("Course-Creation") && told.contains(" lost"), "{told}");
    assert!(told.contains("Course-Update") && told.contains(" kept"), "{told}");
    assert!(told.contains("nothing was changed"), "{told}");
    let json: Value =
        serde_json::from_str(&world.done(&["restore", "resolve", "--dry-run", "--json"]).await)
            .unwrap();
    assert_eq!((&json["epoch"], &json["newEpoch"]), (&json!(0), &Value::Null), "{json}");
    let told = world.done(&["restore", "resolve"]).await;
    assert!(told.contains("epoch 1 has begun"), "{told}");

    // Both go on by themselves; what came in since the backup has its effect again.
    let reads = pool(&world.settings.database_url).await;
    world.settled(&reads, 2).await;
    for name in ["bridge", "inbound"] {
        eventually("the part works", async || part(&client, name).await["status"] == "ok").await;
    }
    create(&client, "later").await;
    world.tell("User-Creation", json!({ "userId": "u-3", "role": "student" })).await;
    world.settled(&reads, 3).await;

    // Nothing of the log was told twice, and versions rise for ever.
    let after = world.records().await;
    assert_eq!(after.len(), before.len() + 10 + 1 + 1, "what was told since: renames, new, later");
    versions_rise(&after);
    let audit = world.done(&["verify"]).await;
    assert!(audit.contains("3 messages are of events that a restore"), "{audit}");

    // A position of the old life is refused, one of the new life is served.
    let query = "query($at: String) { course(id: \"kept\", minPosition: $at) { title } }";
    let answer = client.graphql(ADA, query, json!({ "at": token })).await.unwrap();
    let said = answer["errors"].to_string();
    assert!(said.contains("another epoch"), "{answer}");
    let token = create(&client, "latest").await;
    let answer = client.graphql(ADA, query, json!({ "at": token })).await.unwrap();
    assert_eq!(answer["data"]["course"]["title"], "Again 9", "{answer}");

    // Nothing is ahead any more.
    published(&reads, &world.settings.prefix).await;
    let told = world.done(&["restore", "resolve"]).await;
    assert!(told.contains("no new epoch is needed"), "{told}");
    let connection =
        KafkaConnection { brokers: world.settings.brokers.clone(), properties: Vec::new() };
    let found = report(&reads, &connection, &world.settings.prefix).await.unwrap();
    assert!(found.values().all(|found| found.red.is_none()), "{found:?}");
    let progress = bridge_report(&reads, &world.settings.prefix).await.unwrap().progress.unwrap();
    assert_eq!(progress.epoch, 1);
    reads.close().await;
}

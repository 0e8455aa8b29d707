//! Incoming messages through real Kafka and the real process: the producer of other services, instances that come and
//! go, offsets that somebody reset, poison, topics made anew, outages.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::time::Duration;

use course_service::app::embedded::{
    DataDir, Kafka, KafkaOptions, Needs, Parts, Postgres, PostgresOptions,
};
use course_service::event_store::{migrate, offsets};
use course_service::kafka::client::Connection as KafkaConnection;
use course_service::kafka::inbound::report::{Goal, order, report};
use course_service::kafka::topics::InboundTopic;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, PgPool};

use crate::dice::{self, Dice};
use crate::instance::{Mode, Proxy};
use crate::npm;
use crate::process::{Client, PATIENCE, Process, Settings};
use crate::support::{eventually, pool, prefix};

const ADA: &str = "instructor:ada";
const SAM: &str = "student:sam";

fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("message.max.bytes", "20000000");
    config
}

fn admin(settings: &Settings) -> AdminClient<DefaultClientContext> {
    config(&settings.brokers).create().unwrap()
}

struct Sender {
    producer: FutureProducer,
    prefix: String,
}

impl Sender {
    fn new(settings: &Settings) -> Self {
        let producer = config(&settings.brokers).create().unwrap();
        Self { producer, prefix: settings.prefix.clone() }
    }

    async fn try_bytes(&self, topic: &str, value: &[u8]) -> Result<(), KafkaError> {
        let topic = format!("{}{topic}", self.prefix);
        let record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&topic).payload(value);
        self.producer.send(record, PATIENCE).await.map(drop).map_err(|(error, _)| error)
    }

    async fn bytes(&self, topic: &str, value: &[u8]) {
        self.try_bytes(topic, value).await.unwrap();
    }

    async fn json(&self, topic: &str, value: &Value) {
        self.bytes(topic, value.to_string().as_bytes()).await;
    }

    async fn user(&self, id: &str) {
        self.json("User-Creation", &json!({ "userId": id, "role": "student" })).await;
    }
}

async fn reads(client: &Client) {
    eventually("it reads", async || {
        client.get("/readyz").await.1["parts"]["inbound"]["status"] == "ok"
    })
    .await;
}

async fn count(pool: &PgPool, sql: &str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

async fn users(pool: &PgPool) -> i64 {
    count(pool, "SELECT count(*) FROM events WHERE event_type = 'UserRegistered'").await
}

/// All records of a topic, as a `read_committed` consumer gets them.
async fn all_of(settings: &Settings, topic: &str) -> Vec<OwnedMessage> {
    let (brokers, topic) = (settings.brokers.clone(), format!("{}{topic}", settings.prefix));
    let read = move || {
        let consumer: BaseConsumer = config(&brokers)
            .set("group.id", "inbound-it")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE).unwrap();
        let mut assignment = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            assignment.add_partition_offset(&topic, partition.id(), Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        let (mut records, mut ends) = (Vec::new(), 0);
        while ends < assignment.count() {
            match consumer.poll(PATIENCE).expect("the consumer is stuck") {
                Ok(message) => records.push(message.detach()),
                Err(KafkaError::PartitionEOF(_)) => ends += 1,
                Err(error) => panic!("{error}"),
            }
        }
        records
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

fn header(message: &OwnedMessage, name: &str) -> Option<String> {
    let headers = message.headers()?;
    let found = headers.iter().find(|header| header.key == name)?;
    Some(String::from_utf8(found.value?.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_read_on_after_an_append_whose_answer_was_lost() {
    let settings = Settings::new().await;
    let pool = pool(&settings.database_url).await;
    let proxy = Proxy::before(&settings.database_url).await;
    let (brokers, prefix) = (settings.brokers.clone(), settings.prefix.clone());
    let behind = Settings::of(proxy.url.clone(), brokers, prefix).await;
    let (_service, client) = behind.serve(&["--role", "inbound"]).await;
    reads(&client).await;
    let sender = Sender::new(&settings);
    proxy.set(Mode::CutAnswer);
    for number in 0..30 {
        sender.user(&format!("before-{number}")).await;
    }
    eventually("it stands still", async || {
        proxy.cuts() == 1 && client.get("/readyz").await.1["parts"]["inbound"]["status"] == "down"
    })
    .await;
    assert!(users(&pool).await > 0, "it was appended");
    proxy.set(Mode::Pass);
    reads(&client).await;
    for number in 0..30 {
        sender.user(&format!("after-{number}")).await;
    }
    eventually("all are read", async || users(&pool).await == 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_producer_of_the_seed_is_understood_shuffled_and_with_everything_twice() {
    let folder = npm::installed("kafkajs").await;
    let settings = Settings::new().await;
    let (service, client) = settings.serve(&[]).await;
    reads(&client).await;
    let input = json!({ "id": "rust", "code": "RUST", "title": "Rust", "publish": true, "passingScore": 50.0 });
    client.mutate(ADA, "createCourse", input, "").await;
    let input = json!({ "courseId": "rust", "title": "Ownership" });
    let module =
        client.mutate(ADA, "addModule", input, "module { id }").await["module"]["id"].clone();
    let input = json!({ "courseId": "rust", "moduleId": module, "kind": "VIDEO", "title": "Moves", "videoId": "v-1", "required": false });
    client.mutate(ADA, "addModuleItem", input, "").await;
    client.mutate(SAM, "enrollStudent", json!({ "courseId": "rust" }), "").await;

    let name = |topic: &str| format!("{}{topic}", settings.prefix);
    let mut messages = vec![
        (
            name("Grading-Completed"),
            json!({ "assessmentId": "quiz", "studentId": "sam", "score": 18, "gradedAt": "2026-11-02T10:00:00Z" }),
        ),
        (
            name("User-Update"),
            json!({ "userId": "sam", "updatedFields": { "name": "Sam Sample" }, "updatedAt": "2026-11-01T10:00:00Z" }),
        ),
        (
            name("Submission-Completed"),
            json!({ "_id": { "$oid": "64f1a2b3c4d5e6f708192a3b" }, "assessmentId": "quiz", "studentId": "sam" }),
        ),
        (
            name("Transcoding-Completed"),
            json!({ "videoId": "v-1", "status": "COMPLETED", "url": "https://cdn.example/v-1.m3u8" }),
        ),
        (
            name("Assessment-Creation"),
            json!({ "assessmentData": { "_id": "quiz", "course": "rust", "title": "Quiz", "totalMarks": 20 } }),
        ),
        (
            name("User-Creation"),
            json!({ "userId": "sam", "userData": { "name": "S.", "email": "sam@sample.example", "role": "student" }, "createdAt": "2026-10-01T10:00:00Z" }),
        ),
    ];
    messages.extend(messages.clone());
    Dice::new(dice::seed("SHUFFLE_SEED"), 0).shuffle(&mut messages);
    let sender = Process::start_other("sh", |command| {
        let script =
            format!("printf %s \"$MESSAGES\" | node '{}'", folder.join("send.js").display());
        command.args(["-c", &script]).env("KAFKA_BROKER", &settings.brokers);
        command.env("MESSAGES", serde_json::to_string(&messages).unwrap());
    });
    assert_eq!(sender.finish(PATIENCE).await.code, Some(0));

    let query = "{ enrollment(courseId: \"rust\", studentId: \"sam\") { status finalScore student { displayName email } \
                   assessments { attempts score percent assessment { title maxScore } } } \
                   course(id: \"rust\") { modules { nodes { items { video { state playbackUrl } } } } } }";
    let expected = json!({
        "enrollment": {
            "status": "COMPLETED", "finalScore": 90.0,
            "student": { "displayName": "Sam Sample", "email": "sam@sample.example" },
            "assessments": [{ "attempts": 1, "score": 18.0, "percent": 90.0, "assessment": { "title": "Quiz", "maxScore": 20.0 } }],
        },
        "course": { "modules": { "nodes": [{ "items": [{ "video": { "state": "READY", "playbackUrl": "https://cdn.example/v-1.m3u8" } }] }] } },
    });
    let mut last = Value::Null;
    eventually("all is known", async || {
        last = client.graphql(ADA, query, json!({})).await.unwrap()["data"].clone();
        last == expected
    })
    .await;
    let pool = pool(&settings.database_url).await;
    let connection = KafkaConnection { brokers: settings.brokers.clone(), properties: vec![] };
    eventually("all is consumed", async || {
        let found = report(&pool, &connection, &settings.prefix).await.unwrap();
        found.values().all(|found| found.lag() == 0 && found.red.is_none())
    })
    .await;
    for name in [
        "UserRegistered",
        "AssessmentAttached",
        "SubmissionRecorded",
        "GradeRecorded",
        "VideoTranscoded",
    ] {
        let sql = format!("SELECT count(*) FROM events WHERE event_type = '{name}'");
        assert_eq!(count(&pool, &sql).await, 1, "{name}");
    }
    // Names and addresses are on no topic and in no log.
    for topic in ["Course-Creation", "Course-Update", "Module-Update", "Student-Enrolled"] {
        for record in all_of(&settings, topic).await {
            let text = String::from_utf8_lossy(record.payload().unwrap()).into_owned();
            assert!(!text.contains("Sample") && !text.contains("sam@"), "{text}");
        }
    }
    let said = service.output();
    assert!(!said.contains("Sample") && !said.contains("sam@"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_effect_is_there_once_while_instances_join_die_and_come_back_and_offsets_are_reset() {
    let settings = Settings::new().await;
    let pool = pool(&settings.database_url).await;
    let (mut one, client) = settings.serve(&[]).await;
    reads(&client).await;
    let sender = Sender::new(&settings);
    let tell = async |from: usize| {
        for number in from..from + 200 {
            sender.user(&format!("u-{number}")).await;
            sender.user(&format!("u-{number}")).await;
        }
        // Read a second time, each would be a second dead letter: nothing but its place tells what it is.
        for _ in 0..20 {
            sender.bytes("Grading-Completed", b"[]").await;
        }
    };
    tell(0).await;
    let (two, other) = settings.serve(&["--role", "inbound"]).await;
    tell(200).await;
    reads(&other).await;
    eventually("both read", async || {
        let partitions =
            async |client: &Client| client.metrics().await.matches("inbound_lag_records{").count();
        partitions(&client).await > 0 && partitions(&other).await > 0
    })
    .await;
    // Paused for longer than its session, then back: a zombie.
    two.signal("STOP");
    tell(400).await;
    eventually("the other goes on alone", async || users(&pool).await == 600).await;
    two.signal("CONT");
    one.kill().await;
    tell(600).await;
    eventually("the zombie came back to life", async || users(&pool).await == 800).await;
    drop(two);
    // Somebody resets the group to the beginning; with nobody in it, that is allowed.
    let group = format!("{}course-management-group", settings.prefix);
    let reset = {
        let (brokers, topic) =
            (settings.brokers.clone(), format!("{}User-Creation", settings.prefix));
        move || {
            let consumer: BaseConsumer = config(&brokers).set("group.id", group).create().unwrap();
            let mut list = TopicPartitionList::new();
            for partition in 0..3 {
                list.add_partition_offset(&topic, partition, Offset::Offset(0)).unwrap();
            }
            consumer.commit(&list, CommitMode::Sync).is_ok()
        }
    };
    eventually("the group is reset", async || {
        tokio::task::spawn_blocking(reset.clone()).await.unwrap()
    })
    .await;
    let (_three, client) = settings.serve(&[]).await;
    reads(&client).await;
    tell(800).await;
    eventually("all is known", async || users(&pool).await == 1_000).await;
    let consumed =
        "SELECT sum(next_offset)::bigint FROM inbound_offsets WHERE topic = 'User-Creation'";
    eventually("all is consumed", async || count(&pool, consumed).await == 2_000).await;
    let consumed =
        "SELECT sum(next_offset)::bigint FROM inbound_offsets WHERE topic = 'Grading-Completed'";
    eventually("all is consumed", async || count(&pool, consumed).await == 100).await;
    assert_eq!(users(&pool).await, 1_000);
    assert_eq!(count(&pool, "SELECT count(*) FROM events").await, 1_000);
    assert_eq!(count(&pool, "SELECT count(*) FROM dead_letters").await, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_is_a_dead_letter_here_and_on_its_topic_once_and_the_partition_goes_on() {
    let settings = Settings::new().await.with("KAFKA_TOPIC_PARTITIONS", "1");
    let pool = pool(&settings.database_url).await;
    let (mut service, client) = settings.serve(&[]).await;
    reads(&client).await;
    let sender = Sender::new(&settings);
    let topic = format!("{}Grading-Completed", settings.prefix);
    let larger =
        AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", "20000000");
    for answer in admin(&settings).alter_configs([&larger], &AdminOptions::new()).await.unwrap() {
        answer.unwrap();
    }
    sender.bytes("Grading-Completed", b"{\"studentId\": \"sam\", \"score\": ").await;
    let large = vec![b'x'; 10 * 1024 * 1024];
    eventually("the broker takes more", async || {
        sender.try_bytes("Grading-Completed", &large).await.is_ok()
    })
    .await;
    sender
        .json("Grading-Completed", &json!({ "assessmentId": "a", "studentId": "sam", "score": 1 }))
        .await;
    sender.bytes("User-Creation", b"{\"name\": \"Wilhelmina\"}").await;
    // A whole user where an id belongs, and nothing of what the message is about.
    let student = json!({ "_id": "sam", "name": "Wilhelmina", "email": "w@sample.example" });
    sender.json("Submission-Completed", &json!({ "student": student })).await;
    sender.user("u-1").await;
    // Nothing in this course: refused once it is there.
    let input = json!({ "id": "rust", "code": "RUST", "title": "Rust", "publish": true });
    client.mutate(ADA, "createCourse", input, "").await;
    let input = json!({ "id": "go", "code": "GO", "title": "Go", "publish": true });
    client.mutate(ADA, "createCourse", input, "").await;
    for course in ["rust", "rust", "go"] {
        let value = json!({ "assessmentId": "q", "courseId": course, "title": "Q" });
        sender.json("Assessment-Creation", &value).await;
    }
    let dead = "SELECT count(*) FROM dead_letters";
    eventually("all is dealt with", async || {
        users(&pool).await == 1
            && count(&pool, dead).await == 4
            && count(&pool, "SELECT count(*) FROM parked_messages").await == 1
    })
    .await;
    for (figure, value) in [
        (r#"inbound_messages_total{topic="User-Creation",effect="applied"}"#, 1),
        (r#"inbound_messages_total{topic="User-Creation",effect="dead"}"#, 1),
        (r#"inbound_messages_total{topic="Grading-Completed",effect="dead"}"#, 2),
        (r#"inbound_messages_total{topic="Grading-Completed",effect="parked"}"#, 1),
        (r#"inbound_messages_total{topic="Assessment-Creation",effect="applied"}"#, 1),
        (r#"inbound_messages_total{topic="Assessment-Creation",effect="unchanged"}"#, 1),
        (r#"inbound_messages_total{topic="Assessment-Creation",effect="refused"}"#, 1),
        (r#"inbound_lag_records{topic="Grading-Completed",partition="0"}"#, 0),
        (r#"inbound_lag_records{topic="User-Creation",partition="0"}"#, 0),
        (r#"inbound_partition_red{topic="User-Creation",partition="0"}"#, 0),
        ("dead_letters", 4),
        ("parked_messages", 1),
    ] {
        let line = format!("course_service_{figure} {value}");
        eventually(&line, async || client.metrics().await.contains(&line)).await;
    }
    eventually("all is published", async || {
        let sql =
            "SELECT coalesce(max(position), 0) FROM bridge_progress WHERE lane = 'dead-letters'";
        count(&pool, sql).await == 4
    })
    .await;
    service.kill().await;
    let (_service, client) = settings.serve(&[]).await;
    eventually("the bridge publishes", async || {
        client.get("/readyz").await.1["parts"]["bridge"]["status"] == "ok"
    })
    .await;
    sender.bytes("Grading-Completed", b"null").await;
    eventually("the next is published", async || {
        all_of(&settings, "Grading-Completed-course-management-group-dlt").await.len() == 3
    })
    .await;
    let letters = all_of(&settings, "Grading-Completed-course-management-group-dlt").await;
    let codes: Vec<_> =
        letters.iter().map(|letter| header(letter, "dlt-error-code").unwrap()).collect();
    assert_eq!(codes, ["NOT_JSON", "TOO_LARGE", "NOT_AN_OBJECT"]);
    assert_eq!(letters[0].payload().unwrap(), b"{\"studentId\": \"sam\", \"score\": ");
    assert_eq!(header(&letters[0], "dlt-original-offset").as_deref(), Some("0"));
    assert_eq!(header(&letters[0], "dlt-original-topic").as_deref(), Some("Grading-Completed"));
    assert_eq!(letters[1].payload().unwrap().len(), 256 * 1024);
    assert_eq!(header(&letters[1], "dlt-value-truncated").as_deref(), Some("true"));
    let users = all_of(&settings, "User-Creation-course-management-group-dlt").await;
    let [user] = users.as_slice() else { panic!("{}", users.len()) };
    assert_eq!((user.payload(), user.key()), (None, None), "personal data does not leave");
    assert_eq!(header(user, "dlt-value-omitted").as_deref(), Some("true"));
    let submissions = all_of(&settings, "Submission-Completed-course-management-group-dlt").await;
    let [submission] = submissions.as_slice() else { panic!("{}", submissions.len()) };
    assert_eq!(submission.payload(), None, "nor where a whole user stands for an id");
    assert_eq!(header(submission, "dlt-error-code").as_deref(), Some("MISSING_FIELD"));
    let kept: i32 = sqlx::query_scalar("SELECT max(octet_length(value)) FROM dead_letters")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(kept, 10 * 1024 * 1024, "what came stays as it was");
}

/// Deletes a topic of one partition and makes it again. What is written from then on lies in the new one.
async fn make_anew(settings: &Settings, topic: &str) {
    let (admin, options) = (admin(settings), AdminOptions::new());
    for answer in admin.delete_topics(&[topic], &options).await.unwrap() {
        answer.unwrap();
    }
    let created = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
    eventually("it is made anew", async || {
        admin.create_topics([&created], &options).await.is_ok_and(|answers| answers[0].is_ok())
    })
    .await;
    // The broker may write to the old one for a moment although the controller has taken it away.
    let (brokers, topic) = (settings.brokers.clone(), topic.to_owned());
    eventually("it is empty", async || {
        let consumer: BaseConsumer =
            config(&brokers).set("group.id", "inbound-it").create().unwrap();
        let topic = topic.clone();
        let ends = move || consumer.fetch_watermarks(&topic, 0, PATIENCE);
        tokio::task::spawn_blocking(ends).await.unwrap().is_ok_and(|ends| ends == (0, 0))
    })
    .await;
}

/// Waits for a partition to stand still, and returns why.
async fn red(client: &Client) -> String {
    let mut why = Value::Null;
    eventually("the partition is red", async || {
        why = client.get("/readyz").await.1["parts"]["inbound"]["partitions"][0].clone();
        why.is_string()
    })
    .await;
    why.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_turns_its_partition_red_until_somebody_says_where_to_go_on() {
    let settings = Settings::new().await.with("KAFKA_TOPIC_PARTITIONS", "1");
    let pool = pool(&settings.database_url).await;
    let (service, client) = settings.serve(&[]).await;
    reads(&client).await;
    let sender = Sender::new(&settings);
    for number in 0..5 {
        sender.user(&format!("old-{number}")).await;
    }
    eventually("all is known", async || users(&pool).await == 5).await;
    drop(service);
    let topic = format!("{}User-Creation", settings.prefix);
    make_anew(&settings, &topic).await;
    // More than before, so that the place alone does not tell.
    for number in 0..9 {
        sender.user(&format!("new-{number}")).await;
    }
    let (service, client) = settings.serve(&[]).await;
    let why = red(&client).await;
    assert!(
        why.contains("made anew") && why.contains("inbound offsets set --topic User-Creation"),
        "{why}"
    );
    assert_eq!(client.get("/readyz").await.0, 200, "the API works");
    assert_eq!(users(&pool).await, 5, "nothing is read over");
    let connection = KafkaConnection { brokers: settings.brokers.clone(), properties: vec![] };
    let found = report(&pool, &connection, &settings.prefix).await.unwrap();
    assert!(found[&("User-Creation".to_owned(), 0)].red.is_some());
    let goal =
        |goal| order(&pool, &connection, &settings.prefix, InboundTopic::UserCreation, 0, goal);
    let outside = goal(Goal::Offset(100)).await.unwrap_err().to_string();
    assert!(outside.contains("from 0 to 9"), "{outside}");
    assert_eq!(goal(Goal::Beginning).await.unwrap(), 0);
    eventually("it goes on", async || users(&pool).await == 14).await;
    reads(&client).await;
    // A retention that overtook us is told apart.
    let group = format!("{}course-management-group", settings.prefix);
    offsets::order(&pool, &group, "User-Creation", 0, 3).await.unwrap();
    let mut cut = TopicPartitionList::new();
    cut.add_partition_offset(&topic, 0, Offset::Offset(7)).unwrap();
    drop(service);
    admin(&settings).delete_records(&cut, &AdminOptions::new()).await.unwrap();
    eventually("the loss is told", async || {
        let found = report(&pool, &connection, &settings.prefix).await.unwrap();
        let red = found[&("User-Creation".to_owned(), 0)].red.clone();
        red.is_some_and(|red| red.contains("4 records are lost to its retention"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_behind_the_back_of_its_reader_is_not_read_on() {
    let settings = Settings::new().await.with("KAFKA_TOPIC_PARTITIONS", "1");
    let pool = pool(&settings.database_url).await;
    let (_service, client) = settings.serve(&[]).await;
    reads(&client).await;
    let connection = KafkaConnection { brokers: settings.brokers.clone(), properties: vec![] };
    let topic = format!("{}User-Creation", settings.prefix);
    let mut known = 0;
    // Fewer records than were read, as many, and more.
    for (round, after) in [3, 5, 9].into_iter().enumerate() {
        let sender = Sender::new(&settings);
        for number in 0..5 {
            sender.user(&format!("old-{round}-{number}")).await;
        }
        known += 5;
        eventually("all is known", async || users(&pool).await == known).await;
        make_anew(&settings, &topic).await;
        let sender = Sender::new(&settings); // whose client knows nothing of the old one
        for number in 0..after {
            sender.user(&format!("new-{round}-{number}")).await;
        }
        let why = red(&client).await;
        assert!(why.contains("made anew"), "{why}");
        assert_eq!(users(&pool).await, known, "nothing is read over");
        order(&pool, &connection, &settings.prefix, InboundTopic::UserCreation, 0, Goal::Beginning)
            .await
            .unwrap();
        known += after;
        eventually("it goes on", async || users(&pool).await == known).await;
        reads(&client).await;
        // The next round begins with a topic of its own again.
        make_anew(&settings, &topic).await;
        red(&client).await;
        order(&pool, &connection, &settings.prefix, InboundTopic::UserCreation, 0, Goal::Beginning)
            .await
            .unwrap();
        reads(&client).await;
    }
}

async fn start_postgres(parts: &Parts, data: &DataDir, port: Option<u16>) -> Postgres {
    let options = PostgresOptions { fsync: false, port, ..PostgresOptions::default() };
    Postgres::start(parts, data.path(), options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_skipped_while_postgres_and_kafka_are_away_under_load() {
    let needs = Needs { postgres: true, kafka: true };
    let parts = Parts::fetch(needs, &|step| eprintln!("{step}")).await.unwrap();
    let (data, broker_data) = (DataDir::ephemeral().unwrap(), DataDir::ephemeral().unwrap());
    let postgres = start_postgres(&parts, &data, None).await;
    let kafka = Kafka::start(&parts, broker_data.path(), KafkaOptions::default()).await.unwrap();
    let (port, broker_port) = (postgres.port(), kafka.port());
    let mut connection = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
    connection.execute("CREATE DATABASE service").await.unwrap();
    drop(connection);
    let url = postgres.url("service");
    let migrated = pool(&url).await;
    migrate::run(&migrated).await.unwrap();
    migrated.close().await;
    let settings = Settings::of(url, kafka.brokers(), prefix()).await;
    let (mut service, client) = settings.serve(&[]).await;
    reads(&client).await;
    let sender = Sender::new(&settings);
    for number in 0..300 {
        sender.user(&format!("a-{number}")).await;
    }
    postgres.kill().unwrap();
    for number in 0..300 {
        sender.user(&format!("b-{number}")).await;
    }
    eventually("the part is red", async || {
        client.get("/readyz").await.1["parts"]["inbound"]["status"] == "down"
    })
    .await;
    let postgres = start_postgres(&parts, &data, Some(port)).await;
    reads(&client).await;
    let pool = pool(&settings.database_url).await;
    eventually("all is known", async || users(&pool).await == 600).await;
    for number in 0..300 {
        sender.user(&format!("b2-{number}")).await;
    }
    kafka.kill().unwrap(); // while they are read
    eventually("the part is red", async || {
        client.get("/readyz").await.1["parts"]["inbound"]["status"] == "down"
    })
    .await;
    let options = KafkaOptions { port: Some(broker_port), ..KafkaOptions::default() };
    let _kafka = Kafka::start(&parts, broker_data.path(), options).await.unwrap();
    for number in 0..300 {
        sender.user(&format!("c-{number}")).await;
    }
    eventually("it goes on", async || users(&pool).await == 1_200).await;
    reads(&client).await;
    assert_eq!(count(&pool, "SELECT count(*) FROM events").await, 1_200);
    assert_eq!(count(&pool, "SELECT count(*) FROM dead_letters").await, 0);
    assert!(service.is_running());
    service.signal("TERM");
    assert_eq!(service.ended(Duration::from_secs(30)).await.code(), Some(0));
    pool.close().await;
    postgres.stop().await.unwrap();
}

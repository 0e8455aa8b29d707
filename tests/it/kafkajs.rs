//! The consumer that the other services run, unchanged, on what this service publishes.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use serde_json::{Value, json};

use crate::npm;
use crate::process::{Client, Process, Settings};
use crate::records::TOPICS;
use crate::support::{brokers, database_url, eventually};

const ADA: &str = "instructor:ada";

struct Heard {
    topic: String,
    message: Value,
}

impl Heard {
    fn version(&self) -> u64 {
        self.message["version"].as_u64().unwrap()
    }
}

/// What it has heard of this course.
fn heard(consumer: &Process, course: &str) -> Vec<Heard> {
    let lines = consumer.stdout();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let heard = lines.map(|mut line| line["heard"].take()).map(|mut heard| Heard {
        topic: heard["topic"].as_str().unwrap_or_default().to_owned(),
        message: heard["message"].take(),
    });
    heard.filter(|heard| heard.message["courseId"] == course).collect()
}

async fn first_half(client: &Client) -> String {
    let code = format!("KAFKAJS-{}", uuid::Uuid::new_v4().simple());
    let input = json!({
        "code": code, "title": "Linear Algebra", "description": "Vectors \u{2014} and \"matrices\"",
        "capacity": 50, "startsAt": "2026-10-01T00:00:00Z", "tags": ["math"]
    });
    let payload = client.mutate(ADA, "createCourse", input, "course { id }").await;
    let course = payload["course"]["id"].as_str().unwrap().to_owned();
    let input = json!({ "courseId": course, "title": "Algebra", "capacity": 30 });
    client.mutate(ADA, "updateCourse", input, "").await;
    client.mutate(ADA, "publishCourse", json!({ "courseId": course }), "").await;
    course
}

async fn second_half(client: &Client, course: &str) {
    let input = json!({ "courseId": course, "title": "Vectors" });
    let payload = client.mutate(ADA, "addModule", input, "module { id }").await;
    let input = json!({
        "courseId": course, "moduleId": payload["module"]["id"], "title": "Vector spaces"
    });
    client.mutate(ADA, "updateModule", input, "").await;
    client.mutate("student:sam", "enrollStudent", json!({ "courseId": course }), "").await;
    let input = json!({ "courseId": course, "force": true });
    client.mutate(ADA, "deleteCourse", input, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_consumer_of_the_seed_hears_everything_in_order() {
    let folder = npm::installed("kafkajs").await;
    // The real names: no prefix. No other test may publish to them.
    let settings = Settings::of(database_url().await, brokers().await, String::new()).await;
    // A broker that outlives the tests knows the log of an earlier run; this is another one, from its beginning.
    assert_eq!(settings.run(&["bridge", "resume", "--from", "0"]).await.code, Some(0));
    let (_service, client) = settings.serve(&[]).await;
    eventually("the topics are there", async || {
        client.get("/readyz").await.1["parts"]["bridge"]["status"] == "ok"
    })
    .await;

    let course = first_half(&client).await;
    let group = format!("kafkajs-{}", uuid::Uuid::new_v4().simple());
    let consumer = Process::start_other("node", |command| {
        command.arg(folder.join("print.js")).env("KAFKA_BROKER", &settings.brokers);
        command.env("GROUP_ID", group).env("TOPICS", TOPICS.join(","));
    });
    eventually("the first half is heard", async || heard(&consumer, &course).len() >= 3).await;
    second_half(&client, &course).await;
    eventually("all is heard", async || {
        heard(&consumer, &course).iter().any(|heard| heard.topic == "Course-Deletion")
            && heard(&consumer, &course).len() >= 7
    })
    .await;

    let all = heard(&consumer, &course);
    for topic in TOPICS {
        let of_topic = all.iter().filter(|heard| heard.topic == topic).map(Heard::version);
        assert!(of_topic.collect::<Vec<_>>().is_sorted_by(|one, next| one < next), "{topic}");
    }
    let (enrolled, mut told): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|heard| heard.topic == "Student-Enrolled");
    told.sort_by_key(Heard::version);
    assert!(told.is_sorted_by(|one, next| one.version() < next.version()));
    let topics: Vec<&str> = told.iter().map(|heard| heard.topic.as_str()).collect();
    assert_eq!(
        topics,
        [
            "Course-Creation",
            "Course-Update",
            "Course-Update",
            "Module-Creation",
            "Module-Update",
            "Course-Deletion"
        ]
    );
    let message = |at: usize| &told[at].message;
    let data = |at: usize, name: &str| message(at)["courseData"][name].clone();
    assert_eq!(
        (data(0, "title"), data(0, "status"), data(0, "capacity"), data(0, "instructor")),
        (json!("Linear Algebra"), json!("DRAFT"), json!(50), json!("ada"))
    );
    assert_eq!(data(0, "description"), "Vectors \u{2014} and \"matrices\"");
    assert_eq!((data(1, "title"), data(1, "capacity")), (json!("Algebra"), json!(30)));
    assert_eq!(message(1)["changes"], json!(["title", "capacity"]));
    assert_eq!((data(2, "status"), data(2, "tags")), (json!("PUBLISHED"), json!(["math"])));
    assert_eq!(message(3)["moduleData"]["title"], "Vectors");
    assert_eq!(message(4)["moduleData"]["title"], "Vector spaces");
    assert_eq!(message(4)["moduleId"], message(3)["moduleId"]);
    assert_eq!(data(5, "status"), "DELETED");
    assert!(message(5)["deletedAt"].is_string());

    let [sam] = enrolled.as_slice() else { panic!("{} enrollments", enrolled.len()) };
    assert_eq!(sam.message["studentId"], "sam");
    assert_eq!(sam.message["enrollmentData"], json!({ "status": "ACTIVE", "via": "DIRECT" }));
}

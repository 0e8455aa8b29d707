//! What other services tell, with what must come of it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ledger::Ledger;
use crate::dice::Dice;
use crate::process::Settings;

/// A message before it is sent.
pub(super) struct Message {
    topic: &'static str,
    value: Vec<u8>,
    /// The event that must be in the log once.
    fact: Option<String>,
    /// How often it is sent.
    times: u32,
    /// Whether it has an id of its own, by which it is known again.
    has_id: bool,
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::<Utc>::UNIX_EPOCH + Duration::days(20_000) + Duration::seconds(second)
}

/// When the grade was given, as it stands in the fact.
pub(super) fn grade_fact(assessment: &str, student: &str, graded_at: DateTime<Utc>) -> String {
    format!("{assessment} graded {student} {}", graded_at.timestamp())
}

/// All that is told about a course, in an order of chance. `mark` stands in every id.
pub(super) fn about(
    course: &str,
    mark: &str,
    students: &[String],
    dice: &mut Dice,
) -> Vec<Message> {
    let assessment = format!("a-{mark}");
    let mut all = Vec::new();
    let mut tell = |topic, mut value: Value, fact| {
        let has_id = dice.one_in(2);
        if has_id {
            value["eventId"] = json!(Uuid::now_v7());
        }
        let times = if dice.one_in(4) { 2 } else { 1 };
        all.push(Message { topic, value: value.to_string().into_bytes(), fact, times, has_id });
    };
    for student in students {
        let name = |number: i64| format!("{student} the {number}.");
        let user =
            json!({ "userId": student, "name": name(0), "role": "student", "createdAt": at(0) });
        tell("User-Creation", user, Some(format!("user {student}")));
        for number in 1..=2 {
            let user = json!({ "userId": student, "name": name(number), "updatedAt": at(number) });
            tell("User-Update", user, None);
        }
        let submission = format!("{assessment}-{student}");
        let fact = format!("submission {submission}");
        let submitted = json!({
            "submissionId": submission, "assessmentId": assessment, "studentId": student, "submittedAt": at(3)
        });
        tell("Submission-Completed", submitted, Some(fact));
        for number in 4..=5 {
            let graded = json!({
                "assessmentId": assessment, "studentId": student, "score": number * 10, "gradedAt": at(number)
            });
            tell("Grading-Completed", graded, Some(grade_fact(&assessment, student, at(number))));
        }
    }
    let quiz = json!({
        "assessmentId": assessment, "courseId": course, "title": "Quiz", "maxScore": 50, "createdAt": at(1)
    });
    tell("Assessment-Creation", quiz, Some(format!("assessment {assessment}")));
    let video = json!({
        "videoId": format!("v-{mark}"), "url": format!("https://cdn.example/{mark}"), "timestamp": at(1)
    });
    tell("Transcoding-Completed", video, None);
    if dice.one_in(3) {
        let topic = ["Grading-Completed", "Submission-Completed", "User-Update"][dice.index(3)];
        let value = format!("no JSON: {mark}").into_bytes();
        all.push(Message {
            topic,
            value,
            fact: Some(format!("dead {mark}")),
            times: 1,
            has_id: false,
        });
    }
    dice.shuffle(&mut all);
    all
}

/// The name that a student has in the end.
pub(super) fn last_name(student: &str) -> String {
    format!("{student} the 2.")
}

/// The producer of the other services.
#[derive(Clone)]
pub(super) struct Sender {
    producer: FutureProducer,
    prefix: String,
    ledger: Arc<Ledger>,
}

impl Sender {
    pub(super) fn new(settings: &Settings, ledger: &Arc<Ledger>) -> Self {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &settings.brokers)
            .set("enable.idempotence", "true")
            // However long Kafka is away: it is told in the end.
            .set("message.timeout.ms", "0")
            .create()
            .unwrap();
        Self { producer, prefix: settings.prefix.clone(), ledger: ledger.clone() }
    }

    /// Sends all of them, one after the other, each until Kafka has it.
    pub(super) async fn tell(self, messages: Vec<Message>) {
        for message in messages {
            let topic = format!("{}{}", self.prefix, message.topic);
            for _ in 0..message.times {
                let record: FutureRecord<'_, [u8], [u8]> =
                    FutureRecord::to(&topic).payload(&message.value);
                let sent = self.producer.send(record, Timeout::Never).await;
                let place = sent.map_err(|(error, _)| error).unwrap();
                let place = format!("{topic}/{}/{}", place.partition, place.offset);
                self.ledger.kafka_has(&place, message.fact.as_ref());
            }
            let identities = if message.has_id { 1 } else { message.times };
            self.ledger.told(message.fact, identities);
        }
    }
}

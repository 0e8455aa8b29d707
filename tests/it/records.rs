//! What is on Kafka, as a `read_committed` consumer sees it, and what the log says should be there.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::{BTreeMap, HashSet};

use course_service::domain::course::CourseEvent;
use course_service::domain::enrollment::EnrollmentEvent;
use course_service::domain::{Event, StreamType};
use course_service::event_store::{Recorded, log};
use course_service::kafka::bridge::report;
use course_service::kafka::topics::InboundTopic;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use sqlx::PgPool;

use crate::process::PATIENCE;
use crate::support::eventually;

/// The outgoing topics.
pub(crate) const TOPICS: [&str; 6] = [
    "Course-Creation",
    "Course-Update",
    "Course-Deletion",
    "Module-Creation",
    "Module-Update",
    "Student-Enrolled",
];

/// A record that a consumer got.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Without the prefix.
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) value: Value,
}

/// Where the bridge keeps its place.
pub(crate) const PROGRESS: &str = "course-management-service-bridge-progress";

/// Every record of the outgoing topics, each partition in its order.
pub(crate) async fn records(brokers: &str, prefix: &str) -> Vec<Record> {
    records_of(brokers, prefix, &TOPICS).await
}

/// The same of these topics.
pub(crate) async fn records_of(
    brokers: &str,
    prefix: &str,
    topics: &[&'static str],
) -> Vec<Record> {
    let (brokers, prefix, topics) = (brokers.to_owned(), prefix.to_owned(), topics.to_vec());
    tokio::task::spawn_blocking(move || read(&brokers, &prefix, &topics)).await.unwrap().unwrap()
}

fn read(brokers: &str, prefix: &str, topics: &[&str]) -> Result<Vec<Record>, KafkaError> {
    let record = |message: OwnedMessage| Record {
        topic: message.topic().strip_prefix(prefix).unwrap().to_owned(),
        key: String::from_utf8(message.key().unwrap().to_vec()).unwrap(),
        value: serde_json::from_slice(message.payload().unwrap()).unwrap(),
    };
    Ok(read_committed(brokers, prefix, topics)?.into_iter().map(record).collect())
}

/// Every record of these topics as a `read_committed` consumer gets it, each partition in its order.
fn read_committed(
    brokers: &str,
    prefix: &str,
    topics: &[&str],
) -> Result<Vec<OwnedMessage>, KafkaError> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("{prefix}it"))
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for topic in topics.iter().map(|topic| format!("{prefix}{topic}")) {
        let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE)?;
        for partition in metadata.topics()[0].partitions() {
            assignment.add_partition_offset(&topic, partition.id(), Offset::Beginning)?;
        }
    }
    consumer.assign(&assignment)?;
    let (mut records, mut ends) = (Vec::new(), 0);
    while ends < assignment.count() {
        match consumer.poll(PATIENCE).expect("the consumer is stuck") {
            Ok(message) => records.push(message.detach()),
            Err(KafkaError::PartitionEOF(_)) => ends += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

/// The ids of the dead letters on their topics.
pub(crate) async fn dead_letters(brokers: &str, prefix: &str) -> Vec<String> {
    let (brokers, prefix) = (brokers.to_owned(), prefix.to_owned());
    let topics =
        InboundTopic::ALL.map(|topic| format!("{}-course-management-group-dlt", topic.name()));
    let read =
        move || read_committed(&brokers, &prefix, &topics.each_ref().map(String::as_str)).unwrap();
    let letters = tokio::task::spawn_blocking(read).await.unwrap();
    let id = |letter: OwnedMessage| {
        let id = letter.headers().unwrap().iter().find(|header| header.key == "dlt-id").unwrap();
        String::from_utf8(id.value.unwrap().to_vec()).unwrap()
    };
    letters.into_iter().map(id).collect()
}

/// The whole log.
pub(crate) async fn whole_log(pool: &PgPool) -> Vec<Recorded> {
    let mut events: Vec<Recorded> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event.position.number);
        let more = log::read_after(pool, after, 5_000).await.unwrap();
        if more.is_empty() {
            return events;
        }
        events.extend(more);
    }
}

/// Waits until the bridge has published the whole log.
pub(crate) async fn published(pool: &PgPool, prefix: &str) {
    eventually("all is published", async || report(pool, prefix).await.unwrap().lag() == 0).await;
}

/// What the log says that the world must hear, by the words of the contract and not by the bridge's code: for each
/// topic and key the ids of the events, in order. One message per command, topic and entity, with its last event.
pub(crate) fn expected(events: &[Recorded]) -> BTreeMap<(String, String), Vec<String>> {
    let mut expected: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for command in events.chunk_by(|one, next| one.command_id == next.command_id) {
        // Topic, key, entity, id of its last event and that event's position.
        let mut told: Vec<(&str, String, String, String, i64)> = Vec::new();
        for event in command {
            let Some((topic, key, entity)) = message(event) else { continue };
            let same = |name: &str| {
                told.iter().position(|(topic, _, other, ..)| *topic == name && *other == entity)
            };
            // What is created and changed at once is told as created.
            let at = match topic {
                "Course-Update" => same("Course-Creation").or_else(|| same(topic)),
                "Module-Update" => same("Module-Creation").or_else(|| same(topic)),
                _ => same(topic),
            };
            let (id, position) = (event.event_id.to_string(), event.position.number);
            match at {
                Some(at) => (told[at].3, told[at].4) = (id, position),
                None => told.push((topic, key, entity, id, position)),
            }
        }
        told.sort_by_key(|(.., position)| *position);
        for (topic, key, _, id, _) in told {
            expected.entry((topic.to_owned(), key)).or_default().push(id);
        }
    }
    expected
}

fn message(event: &Recorded) -> Option<(&'static str, String, String)> {
    let course = || event.stream.id.to_string();
    match &event.event {
        Event::Course(told) => {
            let (topic, entity) = match told {
                CourseEvent::CourseCreated { .. } => ("Course-Creation", course()),
                CourseEvent::CourseDeleted { .. } => ("Course-Deletion", course()),
                CourseEvent::ModuleAdded { module_id, .. } => {
                    ("Module-Creation", module_id.to_string())
                }
                CourseEvent::ModuleDetailsChanged { module_id, .. }
                | CourseEvent::ModuleRemoved { module_id }
                | CourseEvent::ModuleItemAdded { module_id, .. }
                | CourseEvent::ModuleItemChanged { module_id, .. }
                | CourseEvent::ModuleItemRemoved { module_id, .. }
                | CourseEvent::ModuleItemsReordered { module_id, .. }
                | CourseEvent::VideoTranscoded { module_id, .. }
                | CourseEvent::VideoTranscodingFailed { module_id, .. } => {
                    ("Module-Update", module_id.to_string())
                }
                CourseEvent::CoursePublished {}
                | CourseEvent::CourseUnpublished {}
                | CourseEvent::CourseArchived {}
                | CourseEvent::CourseRestored {}
                | CourseEvent::InstructorAssigned { .. }
                | CourseEvent::InstructorRemoved { .. }
                | CourseEvent::ModulesReordered { .. }
                | CourseEvent::CourseDetailsChanged { .. }
                | CourseEvent::CourseScheduleChanged { .. }
                | CourseEvent::CourseCapacityChanged { .. } => ("Course-Update", course()),
                CourseEvent::AssessmentAttached { shown_in: None, .. } => {
                    ("Course-Update", course())
                }
                CourseEvent::AssessmentAttached { shown_in: Some(module), .. } => {
                    ("Module-Update", module.to_string())
                }
                CourseEvent::AssessmentChanged { .. } => {
                    unreachable!("nothing in these tests changes an assessment")
                }
            };
            Some((topic, course(), entity))
        }
        Event::Enrollment(EnrollmentEvent::StudentEnrolled { student_id, .. }) => {
            Some(("Student-Enrolled", student_id.to_string(), event.stream.id.to_string()))
        }
        Event::Enrollment(_) | Event::Seats(_) | Event::User(_) => None,
    }
}

/// Every message that the log implies is there, once and in order, and nothing else; versions rise.
pub(crate) fn assert_published_once(events: &[Recorded], records: &[Record]) {
    let mut found: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut versions: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for record in records {
        let id = record.value["eventId"].as_str().unwrap().to_owned();
        found.entry((record.topic.clone(), record.key.clone())).or_default().push(id);
        let entity = record.value["enrollmentId"].as_str().unwrap_or_default();
        let version = record.value["version"].as_u64().unwrap();
        let last = versions.insert((&record.topic, &record.key, entity), version);
        assert!(last < Some(version), "the version does not rise: {record:?}");
    }
    let expected = expected(events);
    for (place, ids) in &expected {
        assert_eq!(found.get(place), Some(ids), "{place:?}");
    }
    assert_eq!(found.len(), expected.len(), "there is a key that the log does not know");
    // Over the five topics of a course no version comes twice.
    let mut seen = HashSet::new();
    for record in records.iter().filter(|record| record.topic != "Student-Enrolled") {
        let version = record.value["version"].as_u64().unwrap();
        assert!(seen.insert((&record.key, version)), "the version comes twice: {record:?}");
    }
}

/// Nothing is missing in the log and nothing is there twice.
pub(crate) fn assert_whole(events: &[Recorded]) {
    let positions: Vec<i64> = events.iter().map(|event| event.position.number).collect();
    let last = i64::try_from(positions.len()).unwrap();
    assert_eq!(positions, (1..=last).collect::<Vec<_>>(), "the positions have gaps");
    let ids: HashSet<_> = events.iter().map(|event| event.event_id).collect();
    assert_eq!(ids.len(), events.len(), "an event id is there twice");
    let mut streams: BTreeMap<(StreamType, String), u64> = BTreeMap::new();
    for event in events {
        let last = streams.entry((event.stream.kind, event.stream.id.to_string())).or_default();
        assert_eq!(event.sequence, *last + 1, "{event:?}");
        *last = event.sequence;
    }
}

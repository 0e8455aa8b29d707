//! A log with made-up courses, bridges from it, and a consumer that compares.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

use course_service::domain::course::{CourseEvent, ItemKind, PublicationState};
use course_service::domain::enrollment::{EnrollmentEvent, Via};
use course_service::domain::seats::SeatsEvent;
use course_service::domain::{CourseId, EnrollmentId, Event, ItemId, ModuleId, StreamType, UserId};
use course_service::event_store::wake::Head;
use course_service::event_store::{Appender, Metadata, NewEvent, Proposal, StreamId, log};
use course_service::kafka::bridge::{
    Bridge, BridgeConfig, BridgeState, BridgeStatus, Progress, report,
};
use course_service::kafka::client::Connection;
use course_service::kafka::contract;
use course_service::kafka::topics::{Topic, TopicSettings};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support;

pub(super) const DEADLINE: Duration = Duration::from_secs(90);

/// Polls until it is so.
pub(super) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let poll = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, poll).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

pub(super) struct World {
    pub(super) pool: PgPool,
    pub(super) brokers: String,
    pub(super) prefix: String,
    head: Head,
    appender: Appender,
    appending: JoinHandle<()>,
}

/// A bridge in a task of its own.
pub(super) struct Running {
    pub(super) status: watch::Receiver<BridgeStatus>,
    pub(super) instance: Uuid,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A record as a `read_committed` consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) key: String,
    pub(super) id: String,
    pub(super) sequence: String,
    pub(super) course: String,
    pub(super) version: u64,
    pub(super) value: String,
}

impl World {
    pub(super) async fn start() -> Self {
        let pool = support::database().await;
        let head = Head::default();
        let (appender, task) = Appender::new(pool.clone(), head.clone());
        let (brokers, prefix) = (support::brokers().await, support::prefix());
        Self { pool, brokers, prefix, head, appender, appending: tokio::spawn(task) }
    }

    pub(super) fn bridge(&self) -> Running {
        let config = BridgeConfig {
            connection: Connection { brokers: self.brokers.clone(), properties: vec![] },
            topics: TopicSettings { partitions: 3, ..TopicSettings::default() },
            prefix: self.prefix.clone(),
            instance: Uuid::new_v4(),
        };
        let instance = config.instance;
        let bridge = Bridge::new(self.pool.clone(), self.head.subscribe(), config);
        let (status, stop) = (bridge.status(), CancellationToken::new());
        let task = tokio::spawn(bridge.run(stop.clone()));
        Running { status, instance, stop, task }
    }

    /// Appends the history of courses, a command at a time.
    pub(super) async fn append_courses(&self, numbers: Range<u32>) {
        for number in numbers {
            for events in history(number) {
                self.append(number, events).await;
            }
        }
    }

    /// Appends courses at a pace, until `done`.
    pub(super) async fn append_until(&self, done: &CancellationToken) {
        let mut number = 0;
        while !done.is_cancelled() {
            self.append_courses(number..number + 1).await;
            number += 1;
            tokio::time::sleep(Duration::from_millis(10)).await; // not to outrun everything else
        }
    }

    /// Appends so many students of one course, many in each command: a backlog, and soon.
    pub(super) async fn append_crowd(&self, number: u32, students: u32) {
        let students: Vec<u32> = (0..students).collect();
        for some in students.chunks(500) {
            let enrolled = some.iter().map(|student| {
                let student_id = UserId::parse(&format!("crowd-{student}"), "id").unwrap();
                let (course_id, via) = (course_id(number), Via::Direct);
                let event = EnrollmentEvent::StudentEnrolled { course_id, student_id, via };
                (StreamType::Enrollment, 1, event.into())
            });
            self.append(number, enrolled.collect()).await;
        }
    }

    /// Appends a command that the world does not hear of.
    pub(super) async fn append_silent(&self, number: u32) {
        let student = UserId::parse("nobody", "id").unwrap();
        let event = SeatsEvent::SeatWaitlisted { student };
        self.append(number, vec![(StreamType::Seats, 100, event.into())]).await;
    }

    async fn append(&self, number: u32, events: Vec<(StreamType, u64, Event)>) {
        let course = course_id(number);
        let new = |(kind, sequence, event): (StreamType, u64, Event)| {
            let stream = match &event {
                Event::Enrollment(EnrollmentEvent::StudentEnrolled { student_id, .. }) => {
                    StreamId::new(kind, EnrollmentId::of(&course, student_id).as_str())
                }
                _ => StreamId::new(kind, course.as_str()),
            };
            let course = Some(course.clone());
            NewEvent { stream, sequence, event, id: Uuid::now_v7(), course }
        };
        let proposal = Proposal {
            command_id: Uuid::now_v7(),
            events: events.into_iter().map(new).collect(),
            metadata: Metadata { correlation_id: Some("r".into()), ..Metadata::default() },
            ..Proposal::default()
        };
        let deadline = tokio::time::Instant::now() + DEADLINE;
        self.appender.append(vec![proposal], deadline).await.unwrap();
    }

    /// What the log says that the world should hear, in order: topic, key, value. Each state is folded anew.
    pub(super) async fn expected(&self) -> Vec<(String, String, String)> {
        let mut expected = Vec::new();
        let mut after = 0;
        loop {
            let events = log::read_after(&self.pool, after, 5_000).await.unwrap();
            let Some(last) = events.last() else { return expected };
            after = last.position.number;
            for command in events.chunk_by(|one, next| one.command_id == next.command_id) {
                for told in contract::plan(command) {
                    let state = match told.needs() {
                        Some((stream, sequence)) => Some(self.course(stream, sequence).await),
                        None => None,
                    };
                    let record = told.render(state.as_ref()).unwrap();
                    let topic = format!("{}{}", self.prefix, record.topic.name());
                    expected.push((topic, record.key, String::from_utf8(record.value).unwrap()));
                }
            }
        }
    }

    async fn course(&self, stream: &StreamId, sequence: u64) -> course_service::domain::Course {
        use cqrs_es::Aggregate;
        let mut course = course_service::domain::Course::default();
        for recorded in log::read_stream(&self.pool, stream, sequence).await.unwrap() {
            if let Event::Course(event) = recorded.event {
                course.apply(event);
            }
        }
        course
    }

    pub(super) async fn published_all(&self) {
        until("all is published", || async {
            report(&self.pool, &self.prefix).await.unwrap().lag() == 0
        })
        .await;
    }

    pub(super) async fn assert_published_once(&self) {
        let seen = self.consume().await;
        let mut expected: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for (topic, key, value) in self.expected().await {
            expected.entry((topic, key)).or_default().push(value);
        }
        let mut found: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for record in &seen {
            let place = (record.topic.clone(), record.key.clone());
            found.entry(place).or_default().push(record.value.clone());
        }
        assert!(found == expected, "{} records, not as the log says", seen.len());
        let mut courses: HashMap<&str, Vec<(&str, u64)>> = HashMap::new();
        for record in seen.iter().filter(|record| record.course == record.key) {
            courses.entry(&record.course).or_default().push((&record.sequence, record.version));
        }
        for versions in courses.values_mut() {
            versions.sort_unstable();
            assert!(versions.is_sorted_by(|one, next| one.1 < next.1), "{versions:?}");
        }
    }

    pub(super) async fn consume(&self) -> Vec<Seen> {
        self.consume_topics(&Topic::ALL.map(Topic::name)).await
    }

    /// All committed records of topics, each partition in its order.
    pub(super) async fn consume_topics(&self, names: &[&str]) -> Vec<Seen> {
        let mut client = self.client();
        let topics: Vec<String> =
            names.iter().map(|name| format!("{}{name}", self.prefix)).collect();
        let read = move || {
            let consumer: BaseConsumer = client
                .set("group.id", "it")
                .set("isolation.level", "read_committed")
                .set("enable.partition.eof", "true")
                .create()?;
            let mut assignment = TopicPartitionList::new();
            for topic in &topics {
                let metadata = consumer.fetch_metadata(Some(topic), DEADLINE)?;
                for partition in metadata.topics()[0].partitions() {
                    assignment.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
                }
            }
            consumer.assign(&assignment)?;
            let (mut seen, mut ends) = (Vec::new(), 0);
            while ends < assignment.count() {
                match consumer.poll(DEADLINE).expect("the consumer is stuck") {
                    Ok(message) => seen.push(Seen::of(&message)),
                    Err(KafkaError::PartitionEOF(_)) => ends += 1,
                    Err(error) => return Err(error),
                }
            }
            Ok::<_, KafkaError>(seen)
        };
        tokio::task::spawn_blocking(read).await.unwrap().unwrap()
    }

    pub(super) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    pub(super) async fn create_topic(&self, name: &str, partitions: i32, policy: &str) {
        let name = format!("{}{name}", self.prefix);
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        let topic = topic.set("cleanup.policy", policy);
        self.admin().create_topics([&topic], &options).await.unwrap()[0].as_ref().unwrap();
    }

    pub(super) async fn delete_progress_topic(&self) {
        let name = format!("{}course-management-service-bridge-progress", self.prefix);
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        self.admin().delete_topics(&[&name], &options).await.unwrap()[0].as_ref().unwrap();
    }

    /// Leaves a transaction open, as an instance does that is killed between its last record and the commit: it says
    /// that everything is published.
    pub(super) async fn die_while_publishing(&self) {
        let progress = report(&self.pool, &self.prefix).await.unwrap().progress.unwrap();
        let end = log::head(&self.pool).await.unwrap().position.number;
        let id = log::event_id_at(&self.pool, end).await.unwrap();
        let progress = Progress { position: end, event_id: id, ..progress };
        let name = |name: &str| format!("{}{name}", self.prefix);
        let topics = [name("Course-Creation"), name("course-management-service-bridge-progress")];
        let mut client = self.client();
        client.set("transactional.id", name("course-management-service-bridge"));
        let publish = move || {
            let producer: BaseProducer = client.create()?;
            producer.init_transactions(DEADLINE)?;
            producer.begin_transaction()?;
            let value = serde_json::to_vec(&progress).unwrap();
            for (topic, key) in topics.iter().zip(["course-3", "events"]) {
                let record = BaseRecord::to(topic).key(key).payload(&value);
                producer.send(record).map_err(|(error, _)| error)?;
            }
            producer.flush(DEADLINE)
        };
        tokio::task::spawn_blocking(publish).await.unwrap().unwrap();
    }

    /// A transaction that is open in a topic and that no successor of ours will end.
    pub(super) async fn hanging_transaction(&self, topic: &str) -> BaseProducer {
        let topic = format!("{}{topic}", self.prefix);
        let mut client = self.client();
        client.set("transactional.id", format!("{}somebody-else", self.prefix));
        let begin = move || {
            let producer: BaseProducer = client.create()?;
            producer.init_transactions(DEADLINE)?;
            producer.begin_transaction()?;
            let record = BaseRecord::to(&topic).key("hangs").payload("{}");
            producer.send(record).map_err(|(error, _)| error)?;
            producer.flush(DEADLINE)?;
            Ok::<_, KafkaError>(producer)
        };
        tokio::task::spawn_blocking(begin).await.unwrap().unwrap()
    }

    pub(super) async fn free_lease(&self) {
        sqlx::query("DELETE FROM leases").execute(&self.pool).await.unwrap();
    }

    pub(super) async fn force_lease(&self, holder: Uuid) {
        sqlx::query(
            "UPDATE leases SET holder = $1, expires_at = clock_timestamp() + interval '6 s'",
        )
        .bind(holder)
        .execute(&self.pool)
        .await
        .unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.appending.abort();
    }
}

impl Running {
    pub(super) async fn is(&self, wanted: impl Fn(&BridgeState) -> bool + Send + Sync) {
        let mut status = self.status.clone();
        let reached =
            tokio::time::timeout(DEADLINE, status.wait_for(|now| wanted(&now.state))).await;
        assert!(reached.is_ok_and(|reached| reached.is_ok()), "{:?}", self.status.borrow());
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// Drops it wherever it is. What it does in a thread of its own goes on: it is a zombie now.
    pub(super) async fn abort(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

impl Seen {
    fn of(message: &impl Message<Headers = rdkafka::message::BorrowedHeaders>) -> Self {
        let header = |name| {
            let headers = message.headers()?;
            let header = headers.iter().find(|header| header.key == name)?;
            Some(String::from_utf8(header.value?.to_vec()).unwrap())
        };
        let text =
            |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
        let value: Value = serde_json::from_slice(message.payload().unwrap()).unwrap_or_default();
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            key: text(message.key()),
            id: header("ce_id").unwrap_or_default(),
            sequence: header("ce_sequence").unwrap_or_default(),
            course: value["courseId"].as_str().unwrap_or_default().to_owned(),
            version: value["version"].as_u64().unwrap_or_default(),
            value: text(message.payload()),
        }
    }
}

fn course_id(number: u32) -> CourseId {
    CourseId::parse(&format!("course-{number}"), "id").unwrap()
}

/// The commands of one course: with several events, several messages, and none.
fn history(number: u32) -> Vec<Vec<(StreamType, u64, Event)>> {
    let course = |sequence, event: CourseEvent| (StreamType::Course, sequence, event.into());
    let seats = |sequence, event: SeatsEvent| (StreamType::Seats, sequence, event.into());
    let student = |name: &str| UserId::parse(&format!("{name}-{}", number % 7), "id").unwrap();
    let enrolled = |name: &str| {
        let (course_id, student_id) = (course_id(number), student(name));
        let event = EnrollmentEvent::StudentEnrolled { course_id, student_id, via: Via::Direct };
        (StreamType::Enrollment, 1, Event::from(event))
    };
    let module = |id: &str| ModuleId::parse(id, "id").unwrap();
    let added = |id: &str, position| CourseEvent::ModuleAdded {
        module_id: module(id),
        title: id.to_owned(),
        summary: Some("A summary".repeat(20)),
        position,
    };
    let created = CourseEvent::CourseCreated {
        course_id: course_id(number),
        code: format!("C-{number}"),
        title: "A course".to_owned(),
        description: Some("What it is about. ".repeat(10)),
        instructor_ids: vec![student("ada")],
        capacity: Some(2),
        starts_at: None,
        ends_at: None,
        enrollment_opens_at: None,
        enrollment_closes_at: None,
        tags: vec!["tag".to_owned()],
        passing_score: None,
    };
    let renamed = CourseEvent::CourseDetailsChanged {
        code: None,
        title: Some("Another title".to_owned()),
        description: None,
        tags: None,
        passing_score: None,
    };
    let hidden = CourseEvent::ModuleDetailsChanged {
        module_id: module("m1"),
        title: None,
        summary: None,
        state: Some(PublicationState::Unpublished),
    };
    let item = CourseEvent::ModuleItemAdded {
        module_id: module("m1"),
        item_id: ItemId::parse("t1", "id").unwrap(),
        kind: ItemKind::Page,
        title: "A page".to_owned(),
        required: true,
        position: 0,
        url: None,
        video_id: None,
        assessment_id: None,
    };
    let grown = CourseEvent::CourseCapacityChanged { capacity: Some(3) };
    let defined = SeatsEvent::SeatsDefined { capacity: Some(2), opens_at: None, closes_at: None };
    let promoted =
        SeatsEvent::SeatsCapacityChanged { capacity: Some(3), promoted: vec![student("sam")] };
    vec![
        vec![
            course(1, created),
            seats(1, defined),
            course(2, CourseEvent::CoursePublished {}),
            seats(2, SeatsEvent::SeatsOpened { promoted: vec![] }),
        ],
        vec![seats(3, SeatsEvent::SeatTaken { student: student("bob") }), enrolled("bob")],
        vec![course(3, added("m1", 0))],
        vec![seats(4, SeatsEvent::SeatWaitlisted { student: student("sam") })],
        vec![course(4, added("m2", 1)), course(5, added("m3", 0))],
        vec![course(6, renamed), course(7, grown), seats(5, promoted), enrolled("sam")],
        vec![course(8, hidden)],
        vec![course(9, item)],
        vec![course(10, CourseEvent::InstructorAssigned { instructor_id: student("ida") })],
        vec![course(11, CourseEvent::InstructorRemoved { instructor_id: student("ada") })],
        vec![course(12, CourseEvent::ModuleRemoved { module_id: module("m1") })],
        vec![
            course(13, CourseEvent::CourseDeleted { reason: None }),
            seats(6, SeatsEvent::SeatsClosed {}),
        ],
    ]
}

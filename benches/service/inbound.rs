//! A backlog of grades: drained by the whole service, beside the same handler that appends each message by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use course_service::app::database;
use course_service::commands::intake::{Incoming, Intake, Origin, Places};
use course_service::domain::CourseId;
use course_service::event_store::inbound::{InboundLog, Record};
use course_service::event_store::wake::Head;
use course_service::kafka::inbound::translate;
use futures::stream::FuturesUnordered;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::sleep;

use crate::figures::{Rate, Rates, Table, grouped, median};
use crate::ours::{Ours, user};
use crate::process::{Broker, Service};
use crate::server::{Server, pool};

const MESSAGES: usize = 50_000;
const COURSES: usize = 10;
const STUDENTS: usize = 100;
const ASSESSMENTS: usize = 10;
/// So many of the messages go through the handler one by one.
const ONE_BY_ONE: usize = 4_000;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_mins(3);
const GROUP: &str = "course-management-group";

pub(crate) async fn run(server: &Server, table: &mut Table) -> anyhow::Result<()> {
    let broker = Broker::start().await?;
    let (mut ours, mut floor) = (Rates::default(), Rates::default());
    let mut memory = Vec::new();
    for round in 1..=ROUNDS {
        let (rate, peak) = drained(server, &broker, round).await?;
        ours.push(rate);
        memory.push(peak);
        floor.push(one_by_one(server).await?);
        eprintln!(
            "  round {round}: {:.0}/s with {peak:.0} MiB, {:.0}/s",
            ours.last(),
            floor.last()
        );
    }
    let what =
        format!("{} grades of 1,000 enrollments, drained from Kafka", grouped(as_f64(MESSAGES)));
    table.rate(&what, &ours, ("the same handler, a transaction each", &floor), 3.0);
    table.at_least("the same: messages a second", ours.median(), "all roles at work", 5_000.0);
    table.limit("the same: memory", median(&memory), "VmHWM of the release binary", 256.0, "MiB");
    broker.stop().await
}

/// The rate at which the service drains the backlog, and the most memory that it took.
async fn drained(server: &Server, broker: &Broker, round: usize) -> anyhow::Result<(Rate, f64)> {
    let database = server.migrated("inbound").await?;
    let pool = pool(&database, 2).await?;
    let courses = fill(&database, &pool).await?;
    let service = Service::on(&database, broker, &format!("inbound-{round}")).await?;
    let mut running = service.start().await?;
    service.all_up(&mut running).await?; // the topics are there now
    running.stop().await?;
    send(broker, &format!("{}Grading-Completed", service.prefix), &courses).await?;

    let running = service.start().await?;
    let read = "SELECT coalesce(sum(next_offset), 0)::bigint FROM inbound_offsets WHERE topic = 'Grading-Completed'";
    let (mut first, deadline) = (None, Instant::now() + PATIENCE);
    let rate = loop {
        let done: i64 = sqlx::query_scalar(read).fetch_one(&pool).await?;
        let done = usize::try_from(done)?;
        match first {
            None if done > 0 => first = Some((done, Instant::now())),
            Some((from, since)) if done >= MESSAGES => {
                break Rate::of(done - from, since.elapsed());
            }
            _ => {}
        }
        if Instant::now() > deadline {
            bail!("the backlog is not drained: {done} messages");
        }
        sleep(Duration::from_millis(5)).await;
    };
    let peak = running.memory("VmHWM")?;
    running.stop().await?;
    let sql = "SELECT count(*) FROM events WHERE event_type IN ('GradeRecorded', 'GradeRevised')";
    let grades: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await?;
    ensure!(usize::try_from(grades)? == MESSAGES, "{grades} grades in the log");
    service.shutdown().await;
    pool.close().await;
    server.drop("inbound").await?;
    Ok((rate, peak))
}

/// The rate of the handler alone, without Kafka and the other roles, when each message is an append.
async fn one_by_one(server: &Server) -> anyhow::Result<Rate> {
    let database = server.migrated("one").await?;
    let pool = pool(&database, 2).await?;
    let courses = fill(&database, &pool).await?;
    let intake = intake(&database)?;
    let mut places = Places::new();
    let messages = (0..ONE_BY_ONE)
        .map(|number| incoming(number, "Grading-Completed", &grade(&courses, number)));
    let messages: Vec<Incoming> = messages.collect();
    let clock = Instant::now();
    for message in messages {
        intake.process(vec![message], &mut places).await?;
    }
    let rate = Rate::of(ONE_BY_ONE, clock.elapsed());
    pool.close().await;
    server.drop("one").await?;
    Ok(rate)
}

fn intake(database: &str) -> anyhow::Result<Intake> {
    let log = InboundLog::new(database::appender_pool(database)?, Head::default());
    Ok(Intake::new(database::pool(database, 4)?, log, GROUP, |_, _| ()))
}

/// Courses with students and assessments. Answers the courses' ids.
async fn fill(database: &str, pool: &PgPool) -> anyhow::Result<Vec<CourseId>> {
    let ours = Ours::open(database)?;
    let mut courses = Vec::new();
    for _ in 0..COURSES {
        courses.push(ours.create(None, true).await?);
    }
    let places = (0..COURSES * STUDENTS).map(|place| (&courses[place % COURSES], place / COURSES));
    stream::iter(places)
        .map(|(course, student)| {
            let (ours, student) = (&ours, user(&format!("student-{student}")));
            async move { ours.enroll(course, &student?).await.map(drop) }
        })
        .buffer_unordered(64)
        .try_collect::<()>()
        .await?;
    let mut assessments = Vec::new();
    for course in &courses {
        for assessment in 0..ASSESSMENTS {
            let value = json!({
                "assessmentId": format!("{course}-{assessment}"), "courseId": course.as_str(),
                "title": format!("Assessment {assessment}"), "maxScore": 20,
            });
            assessments.push(incoming(assessments.len(), "Assessment-Creation", &value));
        }
    }
    intake(database)?.process(assessments, &mut Places::new()).await?;
    let attached = "SELECT count(*) FROM events WHERE event_type = 'AssessmentAttached'";
    let attached: i64 = sqlx::query_scalar(attached).fetch_one(pool).await?;
    ensure!(usize::try_from(attached)? == COURSES * ASSESSMENTS, "{attached} assessments");
    sqlx::query("DELETE FROM inbound_offsets").execute(pool).await?;
    sqlx::query("VACUUM ANALYZE").execute(pool).await?;
    Ok(courses)
}

/// The grade with this number: each student gets one after the other, and of each assessment a newer one again and
/// again.
fn grade(courses: &[CourseId], number: usize) -> Value {
    let course = &courses[number % COURSES];
    let student = number / COURSES % STUDENTS;
    let turn = number / COURSES / STUDENTS;
    let graded = chrono::DateTime::from_timestamp(1_790_000_000, 0).unwrap_or_default()
        + Duration::from_secs(turn.try_into().unwrap_or_default());
    json!({
        "assessmentId": format!("{course}-{}", turn % ASSESSMENTS),
        "studentId": format!("student-{student}"),
        "courseId": course.as_str(),
        "score": (number + turn / ASSESSMENTS) % 20, // another one each time
        "gradedAt": graded.to_rfc3339(),
    })
}

fn incoming(number: usize, topic: &str, value: &Value) -> Incoming {
    let record = Record {
        topic: topic.to_owned(),
        offset: i64::try_from(number).unwrap_or_default(),
        timestamp: 1_790_000_000_000,
        value: Some(value.to_string().into_bytes()),
        ..Record::default()
    };
    translate(record, Origin::Topic)
}

async fn send(broker: &Broker, topic: &str, courses: &[CourseId]) -> anyhow::Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &broker.address).set("linger.ms", "20");
    let producer: Arc<FutureProducer> = Arc::new(config.create()?);
    let mut sent = FuturesUnordered::new();
    for number in 0..MESSAGES {
        let (value, producer, topic) =
            (grade(courses, number).to_string(), producer.clone(), topic);
        sent.push(async move {
            let record: FutureRecord<'_, [u8], [u8]> =
                FutureRecord::to(topic).payload(value.as_bytes());
            producer.send(record, PATIENCE).await.map_err(|(error, _)| error)
        });
        if sent.len() >= 10_000 {
            sent.next().await.context("something was sent")??;
        }
    }
    sent.try_collect::<Vec<_>>().await?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn as_f64(number: usize) -> f64 {
    number as f64
}

//! One course that everybody wants.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use course_service::domain::enrollment::EnrollmentStatus;
use course_service::domain::{CourseId, Enrollment, EnrollmentId, Seats, UserId};
use course_service::event_store::Position;
use course_service::event_store::stream::Streams;
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::figures::{Rate, Rates, Table, for_a_while};
use crate::ours::{Ours, user};
use crate::server::Server;
use crate::sql;
use crate::vanilla::{self, Classroom};

const WORKERS: usize = 64;
const STUDENTS: usize = 2_000;
const SEATS: i32 = 500;
const CONNECTIONS: u32 = 32;
const ROUNDS: usize = 5;
/// The vanilla framework gets this long instead of all students: 2,000 would take a minute.
const VANILLA_TIME: Duration = Duration::from_secs(3);

pub(crate) async fn run(server: &Server, table: &mut Table) -> anyhow::Result<()> {
    let ours = Ours::open(&server.migrated("hot").await?)?;
    let (cqrs, cqrs_pool) = vanilla::framework::<Classroom>(server, "hot_vanilla").await?;
    let cqrs = Arc::new(cqrs);
    let registrations = sql::registrations(server, CONNECTIONS).await?;

    rush(&ours).await?;
    lock_rows(&registrations).await?;
    let (mut rates, mut a, mut c) = (Rates::default(), Rates::default(), Rates::default());
    for round in 1..=ROUNDS {
        rates.push(rush(&ours).await?);
        c.push(lock_rows(&registrations).await?);
        let classroom: Arc<str> = Uuid::now_v7().to_string().into();
        let shared = cqrs.clone();
        let step = move |worker, turn| {
            let (cqrs, classroom) = (shared.clone(), classroom.clone());
            async move { vanilla::take_seat(&cqrs, &classroom, &format!("s-{worker}-{turn}")).await }
        };
        a.push(for_a_while(WORKERS, VANILLA_TIME, step).await?);
        eprintln!("  round {round}: {:.0}/s, {:.0}/s, {:.0}/s", rates.last(), a.last(), c.last());
    }
    let what = "2,000 enrollments from 64 workers into 500 seats of one course";
    let vanilla = "(a) cqrs-es, retrying, only its first 3 s";
    table.rate(what, &rates, (vanilla, &a), 100.0);
    table.rate(what, &rates, ("(c) SELECT … FOR UPDATE, count, INSERT", &c), 3.0);
    for pool in [&ours.pool, &cqrs_pool, &registrations] {
        pool.close().await;
    }
    for name in ["hot", "hot_vanilla", "registrations"] {
        server.drop(name).await?;
    }
    Ok(())
}

/// The students of a worker, in the order in which they come.
fn students(worker: usize) -> anyhow::Result<Vec<UserId>> {
    let mine = (0..STUDENTS).filter(|number| number % WORKERS == worker);
    mine.map(|number| Ok(user(&format!("student-{number}"))?)).collect()
}

/// Everybody enrolls in a new course; then the log must say what happened.
async fn rush(ours: &Ours) -> anyhow::Result<Rate> {
    let course = ours.create(Some(i64::from(SEATS)), true).await?;
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (ours, course, students) = (ours.clone(), course.clone(), students(worker)?);
        workers.spawn(async move {
            let mut answered = Vec::new();
            for student in students {
                let position = ours.enroll(&course, &student).await?;
                answered.push((student, position));
            }
            anyhow::Ok(answered)
        });
    }
    let mut answered = Vec::new();
    while let Some(ended) = workers.join_next().await {
        answered.push(ended??); // no error
    }
    let rate = Rate::of(STUDENTS, start.elapsed());
    check(&ours.pool, &course, answered).await?;
    Ok(rate)
}

/// Exactly 500 have a seat and 1,500 wait in the order of the log, which is the order in which each worker asked.
async fn check(
    pool: &PgPool,
    course: &CourseId,
    answered: Vec<Vec<(UserId, Position)>>,
) -> anyhow::Result<()> {
    for worker in &answered {
        ensure!(worker.is_sorted_by_key(|(_, position)| *position), "a worker was overtaken");
    }
    let mut answered: Vec<(UserId, Position)> = answered.into_iter().flatten().collect();
    answered.sort_by_key(|(_, position)| *position);
    let in_order: Vec<&UserId> = answered.iter().map(|(student, _)| student).collect();
    let (first, rest) = in_order.split_at(usize::try_from(SEATS)?);

    let streams = Streams::new(pool.clone());
    let seats: Seats = streams.load(course.as_str()).await?;
    ensure!(seats.taken == SEATS.unsigned_abs(), "{} of {SEATS} seats are taken", seats.taken);
    ensure!(seats.waitlist.iter().eq(rest.iter().copied()), "the waitlist is not in order");

    let ids: HashMap<&UserId, EnrollmentId> =
        in_order.iter().map(|student| (*student, EnrollmentId::of(course, student))).collect();
    let texts: Vec<&str> = ids.values().map(EnrollmentId::as_str).collect();
    let enrollments: HashMap<String, Enrollment> = streams.load_many(&texts).await?;
    ensure!(enrollments.len() == STUDENTS, "{} enrollments", enrollments.len());
    for (students, status) in
        [(first, EnrollmentStatus::Active), (rest, EnrollmentStatus::Waitlisted)]
    {
        for student in students {
            let id = ids.get(student).context("every student has an enrollment")?;
            let enrollment = enrollments.get(id.as_str());
            let holds = enrollment.is_some_and(|e| e.status == status && e.version == 1);
            ensure!(holds, "{student} should be {}: {enrollment:?}", status.as_str());
        }
    }
    Ok(())
}

async fn lock_rows(pool: &PgPool) -> anyhow::Result<Rate> {
    let course: Arc<str> = Uuid::now_v7().to_string().into();
    sqlx::query("INSERT INTO courses VALUES ($1, $2)")
        .bind(&*course)
        .bind(SEATS)
        .execute(pool)
        .await?;
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let (pool, course, students) = (pool.clone(), course.clone(), students(worker)?);
        workers.spawn(async move {
            for student in students {
                sql::enroll(&pool, &course, student.as_str()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    let rate = Rate::of(STUDENTS, start.elapsed());
    let taken: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM enrollments WHERE course_id = $1 AND status = 'ACTIVE'",
    )
    .bind(&*course)
    .fetch_one(pool)
    .await?;
    ensure!(taken == i64::from(SEATS), "the floor itself is wrong: {taken}");
    Ok(rate)
}

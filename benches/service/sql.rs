//! Hand-written SQL without events: what the database itself can do.

use sqlx::{Executor as _, PgPool};

use crate::server::{Server, pool};
use crate::vanilla::EVENTS;

/// A table of events that is only inserted into, on `connections` connections.
pub(crate) async fn inserts(server: &Server, connections: u32) -> anyhow::Result<PgPool> {
    let pool = pool(&server.empty("inserts").await?, connections).await?;
    pool.execute(EVENTS).await?;
    Ok(pool)
}

/// One transaction with one row.
pub(crate) async fn insert(pool: &PgPool, id: &str) -> anyhow::Result<()> {
    let query = sqlx::query(
        "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata) \
         VALUES ('account', $1, 1, 'AccountOpened', '1.0', $2::json, '{}')",
    );
    let payload = format!(r#"{{"AccountOpened":{{"account_id":"{id}"}}}}"#);
    query.bind(id).bind(payload).execute(pool).await?;
    Ok(())
}

/// Courses and enrollments as two plain tables.
pub(crate) async fn registrations(server: &Server, connections: u32) -> anyhow::Result<PgPool> {
    let pool = pool(&server.empty("registrations").await?, connections).await?;
    pool.execute(
        "CREATE TABLE courses (id text PRIMARY KEY, capacity integer NOT NULL);
         CREATE TABLE enrollments (
             course_id   text        NOT NULL REFERENCES courses (id),
             student_id  text        NOT NULL,
             status      text        NOT NULL,
             enrolled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
             PRIMARY KEY (course_id, student_id)
         );
         CREATE INDEX ON enrollments (course_id, status);",
    )
    .await?;
    Ok(pool)
}

/// Locks the course's row, counts, inserts.
pub(crate) async fn enroll(pool: &PgPool, course: &str, student: &str) -> anyhow::Result<()> {
    let mut transaction = pool.begin().await?;
    let capacity: i32 = sqlx::query_scalar("SELECT capacity FROM courses WHERE id = $1 FOR UPDATE")
        .bind(course)
        .fetch_one(&mut *transaction)
        .await?;
    let taken: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM enrollments WHERE course_id = $1 AND status = 'ACTIVE'",
    )
    .bind(course)
    .fetch_one(&mut *transaction)
    .await?;
    let status = if taken < i64::from(capacity) { "ACTIVE" } else { "WAITLISTED" };
    sqlx::query("INSERT INTO enrollments (course_id, student_id, status) VALUES ($1, $2, $3)")
        .bind(course)
        .bind(student)
        .bind(status)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}

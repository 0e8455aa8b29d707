//! The table of courses: their own fields.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgPool};

use super::Projection;
use crate::domain::Event;
use crate::domain::course::{CourseEvent, CourseStatus};
use crate::event_store::Recorded;

/// A course as queries see it.
#[derive(Debug, Clone, PartialEq, FromRow)]
#[expect(missing_docs, reason = "the fields are those of the course")]
pub struct CourseRow {
    pub course_id: String,
    pub code: String,
    pub title: String,
    pub description: Option<String>,
    pub status: String,
    pub version: i64,
    pub instructor_ids: Vec<String>,
    pub capacity: Option<i32>,
    pub starts_at: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    pub enrollment_opens_at: Option<DateTime<Utc>>,
    pub enrollment_closes_at: Option<DateTime<Utc>>,
    pub tags: Vec<String>,
    pub passing_score: Option<f64>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The projection of [`CourseRow`].
pub struct Courses;

impl Projection for Courses {
    const NAME: &'static str = "courses_v1";
    type Rows = Option<CourseRow>;

    fn key(event: &Recorded) -> Option<&str> {
        matches!(event.event, Event::Course(_)).then_some(&*event.stream.id)
    }

    fn apply(row: &mut Option<CourseRow>, recorded: &Recorded) {
        let Event::Course(event) = &recorded.event else { return };
        if let CourseEvent::CourseCreated {
            course_id,
            code,
            title,
            description,
            instructor_ids,
            capacity,
            starts_at,
            ends_at,
            enrollment_opens_at,
            enrollment_closes_at,
            tags,
            passing_score,
        } = event
        {
            *row = Some(CourseRow {
                course_id: course_id.to_string(),
                code: code.clone(),
                title: title.clone(),
                description: description.clone(),
                status: CourseStatus::Draft.as_str().to_owned(),
                version: 0,
                instructor_ids: instructor_ids.iter().map(ToString::to_string).collect(),
                capacity: signed(*capacity),
                starts_at: *starts_at,
                ends_at: *ends_at,
                enrollment_opens_at: *enrollment_opens_at,
                enrollment_closes_at: *enrollment_closes_at,
                tags: tags.clone(),
                passing_score: *passing_score,
                created_at: recorded.recorded_at,
                updated_at: recorded.recorded_at,
            });
        }
        let Some(row) = row else { return };
        row.version = i64::try_from(recorded.sequence).unwrap_or(i64::MAX);
        row.updated_at = recorded.recorded_at;
        match event {
            CourseEvent::CourseCreated { .. }
            | CourseEvent::ModuleAdded { .. }
            | CourseEvent::ModuleDetailsChanged { .. }
            | CourseEvent::ModuleRemoved { .. }
            | CourseEvent::ModulesReordered { .. }
            | CourseEvent::ModuleItemAdded { .. }
            | CourseEvent::ModuleItemChanged { .. }
            | CourseEvent::ModuleItemRemoved { .. }
            | CourseEvent::ModuleItemsReordered { .. } => {}
            CourseEvent::CoursePublished {} | CourseEvent::CourseRestored {} => {
                set_status(row, CourseStatus::Published);
            }
            CourseEvent::CourseUnpublished {} => set_status(row, CourseStatus::Draft),
            CourseEvent::CourseArchived {} => set_status(row, CourseStatus::Archived),
            CourseEvent::InstructorAssigned { instructor_id } => {
                row.instructor_ids.push(instructor_id.to_string());
            }
            CourseEvent::InstructorRemoved { instructor_id } => {
                row.instructor_ids.retain(|id| id != instructor_id.as_str());
            }
            CourseEvent::CourseDeleted { .. } => set_status(row, CourseStatus::Deleted),
            CourseEvent::CourseDetailsChanged { code, title, description, tags, passing_score } => {
                assign(&mut row.code, code.as_ref());
                assign(&mut row.title, title.as_ref());
                assign(&mut row.description, description.as_ref());
                assign(&mut row.tags, tags.as_ref());
                assign(&mut row.passing_score, passing_score.as_ref());
            }
            CourseEvent::CourseScheduleChanged {
                starts_at,
                ends_at,
                enrollment_opens_at,
                enrollment_closes_at,
            } => {
                assign(&mut row.starts_at, starts_at.as_ref());
                assign(&mut row.ends_at, ends_at.as_ref());
                assign(&mut row.enrollment_opens_at, enrollment_opens_at.as_ref());
                assign(&mut row.enrollment_closes_at, enrollment_closes_at.as_ref());
            }
            CourseEvent::CourseCapacityChanged { capacity } => row.capacity = signed(*capacity),
        }
    }

    async fn load(
        connection: &mut PgConnection,
        table: &str,
        keys: &[&str],
    ) -> sqlx::Result<HashMap<String, Option<CourseRow>>> {
        let sql = format!("SELECT * FROM {table} WHERE course_id = ANY ($1)");
        let rows: Vec<CourseRow> = sqlx::query_as(&sql).bind(keys).fetch_all(connection).await?;
        Ok(rows.into_iter().map(|row| (row.course_id.clone(), Some(row))).collect())
    }

    async fn save(
        connection: &mut PgConnection,
        table: &str,
        rows: &[(&str, &Option<CourseRow>)],
    ) -> sqlx::Result<()> {
        // Rows travel as one JSON array: Postgres has no arrays of arrays of different lengths (tags, instructors).
        let sql = format!(
            "INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, $1) \
             ON CONFLICT (course_id) DO UPDATE SET code = excluded.code, title = excluded.title, \
             description = excluded.description, status = excluded.status, version = excluded.version, \
             instructor_ids = excluded.instructor_ids, capacity = excluded.capacity, \
             starts_at = excluded.starts_at, ends_at = excluded.ends_at, \
             enrollment_opens_at = excluded.enrollment_opens_at, \
             enrollment_closes_at = excluded.enrollment_closes_at, tags = excluded.tags, \
             passing_score = excluded.passing_score, updated_at = excluded.updated_at"
        );
        let rows: Vec<_> = rows.iter().filter_map(|(_, row)| row.as_ref()).map(to_json).collect();
        sqlx::query(&sql).bind(sqlx::types::Json(rows)).execute(connection).await?;
        Ok(())
    }
}

fn to_json(row: &CourseRow) -> serde_json::Value {
    serde_json::json!({
        "course_id": row.course_id,
        "code": row.code,
        "title": row.title,
        "description": row.description,
        "status": row.status,
        "version": row.version,
        "instructor_ids": row.instructor_ids,
        "capacity": row.capacity,
        "starts_at": row.starts_at,
        "ends_at": row.ends_at,
        "enrollment_opens_at": row.enrollment_opens_at,
        "enrollment_closes_at": row.enrollment_closes_at,
        "tags": row.tags,
        "passing_score": row.passing_score,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    })
}

fn set_status(row: &mut CourseRow, status: CourseStatus) {
    status.as_str().clone_into(&mut row.status);
}

fn assign<T: Clone>(field: &mut T, change: Option<&T>) {
    if let Some(value) = change {
        field.clone_from(value);
    }
}

/// Capacities are validated to fit.
fn signed(capacity: Option<u32>) -> Option<i32> {
    capacity.map(|seats| i32::try_from(seats).unwrap_or(i32::MAX))
}

/// Whose eyes a query reads with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight<'a> {
    /// What is public.
    Public,
    /// What is public, and the courses that this user teaches.
    Teacher(&'a str),
    /// Everything.
    Everything,
}

impl<'a> Sight<'a> {
    /// The bind parameters (everything, teacher).
    fn parameters(self) -> (bool, Option<&'a str>) {
        match self {
            Self::Public => (false, None),
            Self::Teacher(id) => (false, Some(id)),
            Self::Everything => (true, None),
        }
    }

    /// Whether the row is visible.
    pub fn sees(self, row: &CourseRow) -> bool {
        match self {
            Self::Everything => true,
            Self::Teacher(id) if row.instructor_ids.iter().any(|teacher| teacher == id) => true,
            Self::Public | Self::Teacher(_) => row.status == CourseStatus::Published.as_str(),
        }
    }
}

/// The courses with these ids, visible or not.
pub async fn find_many(pool: &PgPool, ids: &[&str]) -> sqlx::Result<Vec<CourseRow>> {
    sqlx::query_as("SELECT * FROM courses_v1 WHERE course_id = ANY ($1)")
        .bind(ids)
        .fetch_all(pool)
        .await
}

/// The course that has this code now, without regard to case.
pub async fn find_by_code(pool: &PgPool, code: &str) -> sqlx::Result<Option<CourseRow>> {
    sqlx::query_as(
        "SELECT * FROM courses_v1 WHERE lower(code) = lower($1) AND status <> 'DELETED' LIMIT 1",
    )
    .bind(code)
    .fetch_optional(pool)
    .await
}

/// A page of the visible courses that are not deleted, by creation, behind `(created_at, id)`.
pub async fn page(
    pool: &PgPool,
    sight: Sight<'_>,
    after: Option<(DateTime<Utc>, &str)>,
    limit: i64,
) -> sqlx::Result<Vec<CourseRow>> {
    let (everything, teacher) = sight.parameters();
    sqlx::query_as(
        "SELECT * FROM courses_v1 \
         WHERE (status = 'PUBLISHED' OR (status <> 'DELETED' AND ($1 OR $2 = ANY (instructor_ids)))) \
           AND ($3::timestamptz IS NULL OR (created_at, course_id) > ($3, $4)) \
         ORDER BY created_at, course_id LIMIT $5",
    )
    .bind(everything)
    .bind(teacher)
    .bind(after.map(|(at, _)| at))
    .bind(after.map(|(_, id)| id))
    .bind(limit)
    .fetch_all(pool)
    .await
}

//! The table of courses: their own fields and how many seats are taken.

mod list;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgPool};

pub use self::list::{CourseFilter, CourseList, CourseSort, Found};
use super::Projection;
use crate::domain::course::{CourseEvent, CourseStatus};
use crate::domain::seats::SeatsEvent;
use crate::domain::{Event, StreamType, UserId};
use crate::event_store::Recorded;

/// The view. Nothing else names it.
const VIEW: &str = "courses_v2";

/// The columns of a [`CourseRow`]: without the search vector, which no query reads.
const COLUMNS: &str = "course_id, code, title, description, status, version, instructor_ids, capacity, starts_at, \
     ends_at, enrollment_opens_at, enrollment_closes_at, tags, passing_score, taken, waitlisted, created_at, updated_at";

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
    /// Seats taken.
    pub taken: i32,
    /// Students who wait for a seat.
    pub waitlisted: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The projection of [`CourseRow`].
pub struct Courses;

/// The row of a course while events are folded into it.
#[derive(Debug, Default)]
pub struct Folded {
    row: Option<CourseRow>,
    /// Whether more than the seats changed.
    own: bool,
}

impl Folded {
    /// The row, where the course exists.
    pub(super) fn into_row(self) -> Option<CourseRow> {
        self.row
    }
}

impl Projection for Courses {
    const NAME: &'static str = VIEW;
    const KINDS: &'static [StreamType] = &[StreamType::Course, StreamType::Seats];
    type Rows = Folded;

    fn key(event: &Recorded) -> Option<&str> {
        match event.event {
            Event::Course(_) | Event::Seats(_) => Some(&*event.stream.id),
            Event::Enrollment(_) | Event::User(_) => None,
        }
    }

    fn apply(folded: &mut Folded, recorded: &Recorded) {
        match &recorded.event {
            Event::Course(event) => {
                folded.own = true;
                change_course(&mut folded.row, event, recorded);
            }
            Event::Seats(event) => {
                if let Some(row) = &mut folded.row {
                    change_seats(row, event);
                }
            }
            Event::Enrollment(_) | Event::User(_) => {}
        }
    }

    async fn load(
        connection: &mut PgConnection,
        table: &str,
        keys: &[&str],
    ) -> sqlx::Result<HashMap<String, Folded>> {
        let sql = format!("SELECT {COLUMNS} FROM {table} WHERE course_id = ANY ($1)");
        let rows: Vec<CourseRow> = sqlx::query_as(&sql).bind(keys).fetch_all(connection).await?;
        let folded = |row| Folded { row: Some(row), own: false };
        Ok(rows.into_iter().map(|row| (row.course_id.clone(), folded(row))).collect())
    }

    async fn save(
        connection: &mut PgConnection,
        table: &str,
        rows: &[(&str, &Folded)],
    ) -> sqlx::Result<()> {
        let (own, seats): (Vec<&Folded>, _) =
            rows.iter().map(|(_, folded)| *folded).partition(|folded| folded.own);
        save_courses(connection, table, &own).await?;
        save_seats(connection, table, &seats).await
    }
}

async fn save_courses(
    connection: &mut PgConnection,
    table: &str,
    rows: &[&Folded],
) -> sqlx::Result<()> {
    // Rows travel as one JSON array: Postgres has no arrays of arrays of different lengths (tags, instructors).
    let sql = format!(
        "INSERT INTO {table} ({COLUMNS}) SELECT {COLUMNS} FROM jsonb_populate_recordset(NULL::{table}, $1) \
         ON CONFLICT (course_id) DO UPDATE SET code = excluded.code, title = excluded.title, \
         description = excluded.description, status = excluded.status, version = excluded.version, \
         instructor_ids = excluded.instructor_ids, capacity = excluded.capacity, \
         starts_at = excluded.starts_at, ends_at = excluded.ends_at, \
         enrollment_opens_at = excluded.enrollment_opens_at, \
         enrollment_closes_at = excluded.enrollment_closes_at, tags = excluded.tags, \
         passing_score = excluded.passing_score, taken = excluded.taken, \
         waitlisted = excluded.waitlisted, updated_at = excluded.updated_at"
    );
    let rows: Vec<_> = rows.iter().filter_map(|folded| folded.row.as_ref()).map(to_json).collect();
    if !rows.is_empty() {
        sqlx::query(&sql).bind(sqlx::types::Json(rows)).execute(connection).await?;
    }
    Ok(())
}

/// What a rush on the seats changes, without the search vector being made again.
async fn save_seats(
    connection: &mut PgConnection,
    table: &str,
    rows: &[&Folded],
) -> sqlx::Result<()> {
    let rows: Vec<&CourseRow> = rows.iter().filter_map(|folded| folded.row.as_ref()).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE {table} AS stored SET taken = new.taken, waitlisted = new.waitlisted \
         FROM unnest($1::text[], $2::int[], $3::int[]) AS new (course_id, taken, waitlisted) \
         WHERE stored.course_id = new.course_id"
    );
    sqlx::query(&sql)
        .bind(rows.iter().map(|row| row.course_id.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.taken).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.waitlisted).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

fn change_course(row: &mut Option<CourseRow>, event: &CourseEvent, recorded: &Recorded) {
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
            taken: 0,
            waitlisted: 0,
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
        | CourseEvent::ModuleItemsReordered { .. }
        | CourseEvent::AssessmentAttached { .. }
        | CourseEvent::AssessmentChanged { .. }
        | CourseEvent::VideoTranscoded { .. }
        | CourseEvent::VideoTranscodingFailed { .. } => {}
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

fn change_seats(row: &mut CourseRow, event: &SeatsEvent) {
    let promoted = i32::try_from(event.promoted().len()).unwrap_or(i32::MAX);
    row.taken += promoted;
    row.waitlisted -= promoted;
    match event {
        // Capacity, window and whether they are open follow from the course, event by event.
        SeatsEvent::SeatsDefined { .. }
        | SeatsEvent::SeatsOpened { .. }
        | SeatsEvent::SeatsClosed {}
        | SeatsEvent::SeatsWindowChanged { .. }
        | SeatsEvent::SeatsCapacityChanged { .. } => {}
        SeatsEvent::SeatTaken { .. } => row.taken += 1,
        SeatsEvent::SeatWaitlisted { .. } => row.waitlisted += 1,
        SeatsEvent::SeatReleased { .. } => row.taken -= 1,
        SeatsEvent::WaitlistLeft { .. } => row.waitlisted -= 1,
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
        "taken": row.taken,
        "waitlisted": row.waitlisted,
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sight {
    /// What is public.
    Public,
    /// What is public, and the courses that this user teaches.
    Teacher(UserId),
    /// Everything.
    Everything,
}

impl Sight {
    /// Whether the row is visible.
    pub fn sees(&self, row: &CourseRow) -> bool {
        row.status == CourseStatus::Published.as_str() || self.manages(row)
    }

    /// Whether the row is of a course that these eyes may see whatever its status.
    pub fn manages(&self, row: &CourseRow) -> bool {
        match self {
            Self::Everything => true,
            Self::Teacher(id) => row.instructor_ids.iter().any(|teacher| teacher == id.as_str()),
            Self::Public => false,
        }
    }
}

/// The courses with these ids, visible or not.
pub async fn find_many(pool: &PgPool, ids: &[&str]) -> sqlx::Result<Vec<CourseRow>> {
    // Postgres keeps the plan for one id, and plans anew for each list of ids.
    if let [id] = ids {
        let sql = format!("SELECT {COLUMNS} FROM {VIEW} WHERE course_id = $1");
        return sqlx::query_as(&sql).bind(id).fetch_all(pool).await;
    }
    let sql = format!("SELECT {COLUMNS} FROM {VIEW} WHERE course_id = ANY ($1)");
    sqlx::query_as(&sql).bind(ids).fetch_all(pool).await
}

/// The course that has this code now, without regard to case.
pub async fn find_by_code(pool: &PgPool, code: &str) -> sqlx::Result<Option<CourseRow>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM {VIEW} WHERE lower(code) = lower($1) AND status <> 'DELETED' LIMIT 1"
    );
    sqlx::query_as(&sql).bind(code).fetch_optional(pool).await
}

/// The ids of the courses that this user teaches, the deleted ones too.
pub async fn taught_by(pool: &PgPool, teacher: &UserId) -> sqlx::Result<Vec<String>> {
    let sql = format!("SELECT course_id FROM {VIEW} WHERE instructor_ids @> ARRAY[$1::text]");
    sqlx::query_scalar(&sql).bind(teacher.as_str()).fetch_all(pool).await
}

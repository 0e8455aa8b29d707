//! The table of enrollments: standing, progress and results.

mod list;
mod results;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool};

pub use self::list::{EnrollmentFilter, EnrollmentList, Owner, Whose};
pub use self::results::{AssessmentResult, Results};
use super::Projection;
use crate::domain::enrollment::{EnrollmentEvent, EnrollmentStatus, Via};
use crate::domain::{Event, StreamType};
use crate::event_store::Recorded;

/// The view. Nothing else names it.
const VIEW: &str = "enrollments_v3";

/// An enrollment as queries see it.
#[derive(Debug, Clone, PartialEq, FromRow)]
#[expect(missing_docs, reason = "the fields are those of the enrollment")]
pub struct EnrollmentRow {
    pub enrollment_id: String,
    pub course_id: String,
    pub student_id: String,
    pub status: String,
    pub version: i64,
    pub requested_at: DateTime<Utc>,
    pub enrolled_at: Option<DateTime<Utc>>,
    pub withdrawn_at: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    /// The log position at which they joined the waitlist.
    pub waitlisted_from: Option<i64>,
    /// The items that the student is done with, also those that the course no longer has, sorted.
    pub completed: Vec<String>,
    /// When the student completed an item last.
    pub item_completed_at: Option<DateTime<Utc>>,
    /// The student's work on assessments.
    pub results: Json<Results>,
}

/// The projection of [`EnrollmentRow`].
pub struct Enrollments;

impl Projection for Enrollments {
    const NAME: &'static str = VIEW;
    const KINDS: &'static [StreamType] = &[StreamType::Enrollment];
    type Rows = Option<EnrollmentRow>;

    fn key(event: &Recorded) -> Option<&str> {
        matches!(event.event, Event::Enrollment(_)).then_some(&*event.stream.id)
    }

    fn apply(row: &mut Option<EnrollmentRow>, recorded: &Recorded) {
        let Event::Enrollment(event) = &recorded.event else { return };
        let (EnrollmentEvent::StudentEnrolled { course_id, student_id, .. }
        | EnrollmentEvent::StudentWaitlisted { course_id, student_id }
        | EnrollmentEvent::StudentWithdrawn { course_id, student_id, .. }
        | EnrollmentEvent::ModuleItemCompleted { course_id, student_id, .. }
        | EnrollmentEvent::SubmissionRecorded { course_id, student_id, .. }
        | EnrollmentEvent::GradeRecorded { course_id, student_id, .. }
        | EnrollmentEvent::GradeRevised { course_id, student_id, .. }
        | EnrollmentEvent::EnrollmentCompleted { course_id, student_id, .. }) = event;
        let at = recorded.recorded_at;
        let row = row.get_or_insert_with(|| EnrollmentRow {
            enrollment_id: recorded.stream.id.to_string(),
            course_id: course_id.to_string(),
            student_id: student_id.to_string(),
            status: String::new(),
            version: 0,
            requested_at: at,
            enrolled_at: None,
            withdrawn_at: None,
            completed_at: None,
            waitlisted_from: None,
            completed: Vec::new(),
            item_completed_at: None,
            results: Json::default(),
        });
        row.version = i64::try_from(recorded.sequence).unwrap_or(i64::MAX);
        let status = match event {
            EnrollmentEvent::StudentEnrolled { via, .. } => {
                if *via != Via::Waitlist {
                    row.requested_at = at;
                }
                row.enrolled_at = Some(at);
                row.withdrawn_at = None;
                row.waitlisted_from = None;
                EnrollmentStatus::Active
            }
            EnrollmentEvent::StudentWaitlisted { .. } => {
                row.requested_at = at;
                row.enrolled_at = None;
                row.withdrawn_at = None;
                row.waitlisted_from = Some(recorded.position.number);
                EnrollmentStatus::Waitlisted
            }
            EnrollmentEvent::StudentWithdrawn { .. } => {
                row.withdrawn_at = Some(at);
                row.waitlisted_from = None;
                EnrollmentStatus::Withdrawn
            }
            EnrollmentEvent::ModuleItemCompleted { item_id, .. } => {
                let item = item_id.as_str();
                if let Err(place) = row.completed.binary_search_by(|known| known.as_str().cmp(item))
                {
                    row.completed.insert(place, item.to_owned());
                }
                row.item_completed_at = Some(at);
                return;
            }
            EnrollmentEvent::SubmissionRecorded { .. }
            | EnrollmentEvent::GradeRecorded { .. }
            | EnrollmentEvent::GradeRevised { .. } => return row.results.apply(event),
            EnrollmentEvent::EnrollmentCompleted { .. } => {
                row.completed_at = Some(at);
                EnrollmentStatus::Completed
            }
        };
        status.as_str().clone_into(&mut row.status);
    }

    async fn load(
        connection: &mut PgConnection,
        table: &str,
        keys: &[&str],
    ) -> sqlx::Result<HashMap<String, Option<EnrollmentRow>>> {
        let sql = format!("SELECT * FROM {table} WHERE enrollment_id = ANY ($1)");
        let rows: Vec<EnrollmentRow> =
            sqlx::query_as(&sql).bind(keys).fetch_all(connection).await?;
        Ok(rows.into_iter().map(|row| (row.enrollment_id.clone(), Some(row))).collect())
    }

    async fn save(
        connection: &mut PgConnection,
        table: &str,
        rows: &[(&str, &Option<EnrollmentRow>)],
    ) -> sqlx::Result<()> {
        let sql = format!(
            "INSERT INTO {table} (enrollment_id, course_id, student_id, status, version, requested_at, enrolled_at, \
                                  withdrawn_at, waitlisted_from, completed, item_completed_at, completed_at, results) \
             SELECT enrollment_id, course_id, student_id, status, version, requested_at, enrolled_at, withdrawn_at, \
                    waitlisted_from, string_to_array(completed, ','), item_completed_at, completed_at, results \
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], \
                         $7::timestamptz[], $8::timestamptz[], $9::bigint[], $10::text[], $11::timestamptz[], \
                         $12::timestamptz[], $13::jsonb[]) \
                  AS new (enrollment_id, course_id, student_id, status, version, requested_at, enrolled_at, \
                          withdrawn_at, waitlisted_from, completed, item_completed_at, completed_at, results) \
             ON CONFLICT (enrollment_id) DO UPDATE SET status = excluded.status, version = excluded.version, \
             requested_at = excluded.requested_at, enrolled_at = excluded.enrolled_at, \
             withdrawn_at = excluded.withdrawn_at, waitlisted_from = excluded.waitlisted_from, \
             completed = excluded.completed, item_completed_at = excluded.item_completed_at, \
             completed_at = excluded.completed_at, results = excluded.results"
        );
        let rows: Vec<&EnrollmentRow> = rows.iter().filter_map(|(_, row)| row.as_ref()).collect();
        let texts = |field: fn(&EnrollmentRow) -> &str| {
            rows.iter().map(|row| field(row)).collect::<Vec<_>>()
        };
        sqlx::query(&sql)
            .bind(texts(|row| &row.enrollment_id))
            .bind(texts(|row| &row.course_id))
            .bind(texts(|row| &row.student_id))
            .bind(texts(|row| &row.status))
            .bind(rows.iter().map(|row| row.version).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.requested_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.enrolled_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.withdrawn_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.waitlisted_from).collect::<Vec<_>>())
            // Ids of items hold no comma, and Postgres has no arrays of arrays of different lengths.
            .bind(rows.iter().map(|row| row.completed.join(",")).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.item_completed_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.completed_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| &row.results).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// The enrollments with these ids.
pub async fn find_many(pool: &PgPool, ids: &[&str]) -> sqlx::Result<Vec<EnrollmentRow>> {
    let sql = format!("SELECT * FROM {VIEW} WHERE enrollment_id = ANY ($1)");
    sqlx::query_as(&sql).bind(ids).fetch_all(pool).await
}

/// Of these students those who have an enrollment in one of these courses, wherever it stands.
pub async fn students_of(
    pool: &PgPool,
    courses: &[String],
    students: &[&str],
) -> sqlx::Result<Vec<String>> {
    let sql = format!(
        "SELECT student.id FROM unnest($1::text[]) AS student (id) WHERE EXISTS \
            (SELECT FROM {VIEW} WHERE student_id = student.id AND course_id = ANY ($2))"
    );
    sqlx::query_scalar(&sql).bind(students).bind(courses).fetch_all(pool).await
}

/// For each of these waiting enrollments its place in the waitlist of its course, the next to be promoted being 1.
pub async fn waitlist_positions(pool: &PgPool, ids: &[&str]) -> sqlx::Result<Vec<(String, i64)>> {
    let sql = format!(
        "SELECT mine.enrollment_id, (SELECT count(*) FROM {VIEW} before \
            WHERE before.course_id = mine.course_id AND before.status = 'WAITLISTED' \
              AND before.waitlisted_from <= mine.waitlisted_from) \
         FROM {VIEW} mine WHERE mine.enrollment_id = ANY ($1) AND mine.status = 'WAITLISTED'"
    );
    sqlx::query_as(&sql).bind(ids).fetch_all(pool).await
}

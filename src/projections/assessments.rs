//! The table of assessments, as the assessment service reports them.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgPool};

use super::Projection;
use crate::domain::course::CourseEvent;
use crate::domain::{Event, StreamType};
use crate::event_store::Recorded;

/// The view. Nothing else names it.
const VIEW: &str = "assessments_v1";

/// An assessment as queries see it.
#[derive(Debug, Clone, PartialEq, FromRow)]
#[expect(missing_docs, reason = "the fields are those of the assessment")]
pub struct AssessmentRow {
    pub course_id: String,
    pub assessment_id: String,
    /// The module that is to show it, whether the course has that or not.
    pub module_id: Option<String>,
    pub title: String,
    pub kind: Option<String>,
    pub max_score: f64,
    pub weight: f64,
    pub due_at: Option<DateTime<Utc>>,
    pub required: bool,
}

/// The projection of [`AssessmentRow`].
pub struct Assessments;

impl Projection for Assessments {
    const NAME: &'static str = VIEW;
    const KINDS: &'static [StreamType] = &[StreamType::Course];
    /// The assessments of a course, by id.
    type Rows = BTreeMap<String, AssessmentRow>;

    fn key(event: &Recorded) -> Option<&str> {
        let Event::Course(course) = &event.event else { return None };
        match course {
            CourseEvent::AssessmentAttached { .. } | CourseEvent::AssessmentChanged { .. } => {
                Some(&*event.stream.id)
            }
            CourseEvent::CourseCreated { .. }
            | CourseEvent::CoursePublished {}
            | CourseEvent::CourseUnpublished {}
            | CourseEvent::CourseArchived {}
            | CourseEvent::CourseRestored {}
            | CourseEvent::InstructorAssigned { .. }
            | CourseEvent::InstructorRemoved { .. }
            | CourseEvent::ModuleAdded { .. }
            | CourseEvent::ModuleDetailsChanged { .. }
            | CourseEvent::ModuleRemoved { .. }
            | CourseEvent::ModulesReordered { .. }
            | CourseEvent::ModuleItemAdded { .. }
            | CourseEvent::ModuleItemChanged { .. }
            | CourseEvent::ModuleItemRemoved { .. }
            | CourseEvent::ModuleItemsReordered { .. }
            | CourseEvent::VideoTranscoded { .. }
            | CourseEvent::VideoTranscodingFailed { .. }
            | CourseEvent::CourseDetailsChanged { .. }
            | CourseEvent::CourseScheduleChanged { .. }
            | CourseEvent::CourseCapacityChanged { .. }
            | CourseEvent::CourseDeleted { .. } => None,
        }
    }

    fn apply(rows: &mut Self::Rows, recorded: &Recorded) {
        match &recorded.event {
            Event::Course(CourseEvent::AssessmentAttached {
                assessment_id,
                module_id,
                shown_in: _,
                title,
                kind,
                max_score,
                weight,
                due_at,
                required,
            }) => {
                let row = AssessmentRow {
                    course_id: recorded.stream.id.to_string(),
                    assessment_id: assessment_id.to_string(),
                    module_id: module_id.as_ref().map(ToString::to_string),
                    title: title.clone(),
                    kind: kind.clone(),
                    max_score: *max_score,
                    weight: *weight,
                    due_at: *due_at,
                    required: *required,
                };
                rows.insert(row.assessment_id.clone(), row);
            }
            Event::Course(CourseEvent::AssessmentChanged {
                assessment_id,
                shown_in: _,
                module_id,
                title,
                kind,
                max_score,
                weight,
                due_at,
                required,
            }) => {
                let Some(row) = rows.get_mut(assessment_id.as_str()) else { return };
                if let Some(module_id) = module_id {
                    row.module_id = module_id.as_ref().map(ToString::to_string);
                }
                if let Some(title) = title {
                    row.title.clone_from(title);
                }
                if let Some(kind) = kind {
                    row.kind.clone_from(kind);
                }
                row.max_score = max_score.unwrap_or(row.max_score);
                row.weight = weight.unwrap_or(row.weight);
                row.due_at = due_at.unwrap_or(row.due_at);
                row.required = required.unwrap_or(row.required);
            }
            _ => {}
        }
    }

    async fn load(
        connection: &mut PgConnection,
        table: &str,
        keys: &[&str],
    ) -> sqlx::Result<HashMap<String, Self::Rows>> {
        let sql = format!("SELECT * FROM {table} WHERE course_id = ANY ($1)");
        let rows: Vec<AssessmentRow> =
            sqlx::query_as(&sql).bind(keys).fetch_all(connection).await?;
        let mut by_course: HashMap<String, Self::Rows> = HashMap::new();
        for row in rows {
            let rows = by_course.entry(row.course_id.clone()).or_default();
            rows.insert(row.assessment_id.clone(), row);
        }
        Ok(by_course)
    }

    async fn save(
        connection: &mut PgConnection,
        table: &str,
        rows: &[(&str, &Self::Rows)],
    ) -> sqlx::Result<()> {
        let sql = format!(
            "INSERT INTO {table} AS stored (course_id, assessment_id, module_id, title, kind, max_score, weight, \
                                            due_at, required) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[], \
                                  $7::float8[], $8::timestamptz[], $9::bool[]) \
             ON CONFLICT (course_id, assessment_id) DO UPDATE SET module_id = excluded.module_id, \
             title = excluded.title, kind = excluded.kind, max_score = excluded.max_score, \
             weight = excluded.weight, due_at = excluded.due_at, required = excluded.required \
             WHERE (stored.*) IS DISTINCT FROM (excluded.*)"
        );
        let rows: Vec<&AssessmentRow> = rows.iter().flat_map(|(_, rows)| rows.values()).collect();
        let texts = |field: fn(&AssessmentRow) -> &str| {
            rows.iter().map(|row| field(row)).collect::<Vec<_>>()
        };
        let optional = |field: fn(&AssessmentRow) -> &Option<String>| {
            rows.iter().map(|row| field(row).as_deref()).collect::<Vec<_>>()
        };
        sqlx::query(&sql)
            .bind(texts(|row| &row.course_id))
            .bind(texts(|row| &row.assessment_id))
            .bind(optional(|row| &row.module_id))
            .bind(texts(|row| &row.title))
            .bind(optional(|row| &row.kind))
            .bind(rows.iter().map(|row| row.max_score).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.weight).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.due_at).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.required).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// The assessments with these ids. An assessment is of one course: the write side sees to that.
pub async fn find_many(pool: &PgPool, ids: &[&str]) -> sqlx::Result<Vec<AssessmentRow>> {
    let sql = format!("SELECT * FROM {VIEW} WHERE assessment_id = ANY ($1)");
    sqlx::query_as(&sql).bind(ids).fetch_all(pool).await
}

/// The assessments of these courses: of each course what is due first comes first, what is never due last, and equal
/// ones by id.
pub async fn of_courses(pool: &PgPool, courses: &[&str]) -> sqlx::Result<Vec<AssessmentRow>> {
    let sql = format!(
        "SELECT * FROM {VIEW} WHERE course_id = ANY ($1) ORDER BY course_id, due_at, assessment_id"
    );
    sqlx::query_as(&sql).bind(courses).fetch_all(pool).await
}

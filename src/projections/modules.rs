//! The table of modules, in the order of their course.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgPool};

use super::Projection;
use super::fold::place;
use crate::domain::course::{CourseEvent, PublicationState};
use crate::domain::{Event, StreamType};
use crate::event_store::Recorded;

/// The view. Nothing else names it.
const VIEW: &str = "modules_v2";

/// A module as queries see it.
#[derive(Debug, Clone, PartialEq, FromRow)]
#[expect(missing_docs, reason = "the fields are those of the module")]
pub struct ModuleRow {
    pub course_id: String,
    pub module_id: String,
    pub title: String,
    pub summary: Option<String>,
    pub position: i32,
    pub state: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// The projection of [`ModuleRow`].
pub struct Modules;

impl Projection for Modules {
    const NAME: &'static str = VIEW;
    const KINDS: &'static [StreamType] = &[StreamType::Course];
    type Rows = Vec<ModuleRow>;

    fn key(event: &Recorded) -> Option<&str> {
        let Event::Course(course) = &event.event else { return None };
        match course {
            CourseEvent::ModuleAdded { .. }
            | CourseEvent::ModuleDetailsChanged { .. }
            | CourseEvent::ModuleRemoved { .. }
            | CourseEvent::ModulesReordered { .. } => Some(&*event.stream.id),
            CourseEvent::CourseCreated { .. }
            | CourseEvent::CoursePublished {}
            | CourseEvent::CourseUnpublished {}
            | CourseEvent::CourseArchived {}
            | CourseEvent::CourseRestored {}
            | CourseEvent::InstructorAssigned { .. }
            | CourseEvent::InstructorRemoved { .. }
            | CourseEvent::ModuleItemAdded { .. }
            | CourseEvent::ModuleItemChanged { .. }
            | CourseEvent::ModuleItemRemoved { .. }
            | CourseEvent::ModuleItemsReordered { .. }
            | CourseEvent::AssessmentAttached { .. }
            | CourseEvent::AssessmentChanged { .. }
            | CourseEvent::VideoTranscoded { .. }
            | CourseEvent::VideoTranscodingFailed { .. }
            | CourseEvent::CourseDetailsChanged { .. }
            | CourseEvent::CourseScheduleChanged { .. }
            | CourseEvent::CourseCapacityChanged { .. }
            | CourseEvent::CourseDeleted { .. } => None,
        }
    }

    fn apply(rows: &mut Vec<ModuleRow>, recorded: &Recorded) {
        let Event::Course(event) = &recorded.event else { return };
        match event {
            CourseEvent::ModuleAdded { module_id, title, summary, position } => {
                let row = ModuleRow {
                    course_id: recorded.stream.id.to_string(),
                    module_id: module_id.to_string(),
                    title: title.clone(),
                    summary: summary.clone(),
                    position: 0,
                    state: PublicationState::Published.as_str().to_owned(),
                    created_at: recorded.recorded_at,
                    updated_at: recorded.recorded_at,
                };
                let index = usize::try_from(*position).unwrap_or(usize::MAX).min(rows.len());
                rows.insert(index, row);
            }
            CourseEvent::ModuleDetailsChanged { module_id, title, summary, state } => {
                let row = rows.iter_mut().find(|row| row.module_id == module_id.as_str());
                let Some(row) = row else { return };
                if let Some(title) = title {
                    row.title.clone_from(title);
                }
                if let Some(summary) = summary {
                    row.summary.clone_from(summary);
                }
                if let Some(state) = state {
                    state.as_str().clone_into(&mut row.state);
                }
                row.updated_at = recorded.recorded_at;
            }
            CourseEvent::ModuleRemoved { module_id } => {
                rows.retain(|row| row.module_id != module_id.as_str());
            }
            CourseEvent::ModulesReordered { module_ids } => {
                rows.sort_by_cached_key(|row| place(module_ids, |id| id.as_str() == row.module_id));
            }
            CourseEvent::CourseCreated { .. }
            | CourseEvent::CoursePublished {}
            | CourseEvent::CourseUnpublished {}
            | CourseEvent::CourseArchived {}
            | CourseEvent::CourseRestored {}
            | CourseEvent::InstructorAssigned { .. }
            | CourseEvent::InstructorRemoved { .. }
            | CourseEvent::ModuleItemAdded { .. }
            | CourseEvent::ModuleItemChanged { .. }
            | CourseEvent::ModuleItemRemoved { .. }
            | CourseEvent::ModuleItemsReordered { .. }
            | CourseEvent::AssessmentAttached { .. }
            | CourseEvent::AssessmentChanged { .. }
            | CourseEvent::VideoTranscoded { .. }
            | CourseEvent::VideoTranscodingFailed { .. }
            | CourseEvent::CourseDetailsChanged { .. }
            | CourseEvent::CourseScheduleChanged { .. }
            | CourseEvent::CourseCapacityChanged { .. }
            | CourseEvent::CourseDeleted { .. } => {}
        }
        for (position, row) in (0..).zip(rows) {
            row.position = position;
        }
    }

    async fn load(
        connection: &mut PgConnection,
        table: &str,
        keys: &[&str],
    ) -> sqlx::Result<HashMap<String, Vec<ModuleRow>>> {
        let sql = format!(
            "SELECT * FROM {table} WHERE course_id = ANY ($1) ORDER BY course_id, position"
        );
        let rows: Vec<ModuleRow> = sqlx::query_as(&sql).bind(keys).fetch_all(connection).await?;
        let mut by_course: HashMap<String, Vec<ModuleRow>> = HashMap::new();
        for row in rows {
            by_course.entry(row.course_id.clone()).or_default().push(row);
        }
        Ok(by_course)
    }

    async fn save(
        connection: &mut PgConnection,
        table: &str,
        rows: &[(&str, &Vec<ModuleRow>)],
    ) -> sqlx::Result<()> {
        let sql = format!(
            "INSERT INTO {table} AS stored (course_id, module_id, title, summary, position, state, created_at, updated_at) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], \
                                  $7::timestamptz[], $8::timestamptz[]) \
             ON CONFLICT (course_id, module_id) DO UPDATE SET title = excluded.title, summary = excluded.summary, \
             position = excluded.position, state = excluded.state, updated_at = excluded.updated_at \
             WHERE (stored.position, stored.updated_at) <> (excluded.position, excluded.updated_at)"
        );
        let courses: Vec<&str> = rows.iter().map(|(course, _)| *course).collect();
        let rows: Vec<&ModuleRow> = rows.iter().flat_map(|(_, rows)| rows.iter()).collect();
        let texts =
            |field: fn(&ModuleRow) -> &str| rows.iter().map(|row| field(row)).collect::<Vec<_>>();
        let summaries: Vec<Option<&str>> = rows.iter().map(|row| row.summary.as_deref()).collect();
        let positions: Vec<i32> = rows.iter().map(|row| row.position).collect();
        let created: Vec<DateTime<Utc>> = rows.iter().map(|row| row.created_at).collect();
        let updated: Vec<DateTime<Utc>> = rows.iter().map(|row| row.updated_at).collect();
        let removed =
            format!("DELETE FROM {table} WHERE course_id = ANY ($1) AND module_id <> ALL ($2)");
        sqlx::query(&removed)
            .bind(courses)
            .bind(texts(|row| &row.module_id))
            .execute(&mut *connection)
            .await?;
        sqlx::query(&sql)
            .bind(texts(|row| &row.course_id))
            .bind(texts(|row| &row.module_id))
            .bind(texts(|row| &row.title))
            .bind(summaries)
            .bind(positions)
            .bind(texts(|row| &row.state))
            .bind(created)
            .bind(updated)
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// The modules with these ids.
pub async fn find_many(pool: &PgPool, ids: &[&str]) -> sqlx::Result<Vec<ModuleRow>> {
    let sql = format!("SELECT * FROM {VIEW} WHERE module_id = ANY ($1)");
    sqlx::query_as(&sql).bind(ids).fetch_all(pool).await
}

/// The course of each published module of these courses, and the module.
pub async fn published(pool: &PgPool, courses: &[&str]) -> sqlx::Result<Vec<(String, String)>> {
    let sql = format!(
        "SELECT course_id, module_id FROM {VIEW} WHERE course_id = ANY ($1) AND state = 'PUBLISHED'"
    );
    sqlx::query_as(&sql).bind(courses).fetch_all(pool).await
}

/// A place in the list of the modules of a course: that of a module, and where it stood, should it be gone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the fields are those of the module")]
pub struct ModulePlace {
    pub module_id: String,
    pub position: i32,
}

/// Which of a list of modules.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModulePage {
    /// At most this many.
    pub limit: i64,
    /// From the end: only what stands before `from`, the nearest first.
    pub backwards: bool,
    /// Behind this place; `None` is the beginning, or the end where it goes backwards.
    pub from: Option<ModulePlace>,
}

/// A page of the modules of each of these courses, in order, or from the end; `all` or the published ones.
pub async fn pages(
    pool: &PgPool,
    courses: &[&str],
    all: bool,
    page: &ModulePage,
) -> sqlx::Result<Vec<ModuleRow>> {
    let (comparison, direction) = if page.backwards { ("<", "DESC") } else { (">", "ASC") };
    let published = published_only(all);
    // A module that moved since takes its place in the list along.
    let behind = page.from.as_ref().map_or_else(String::new, |_| {
        format!(
            "AND m.position {comparison} coalesce((SELECT f.position FROM {VIEW} f \
             WHERE f.course_id = m.course_id AND f.module_id = $2), $3)"
        )
    });
    let page_of = |course: &str| {
        format!(
            "SELECT m.* FROM {VIEW} m WHERE m.course_id = {course} {published} {behind} \
             ORDER BY m.position {direction} LIMIT {}",
            page.limit
        )
    };
    // Postgres keeps the plan for one course, and plans anew for each list of courses.
    let one = page_of("$1");
    let many = format!(
        "SELECT page.* FROM unnest($1::text[]) AS course (id) CROSS JOIN LATERAL ({}) AS page \
         ORDER BY page.course_id, page.position {direction}",
        page_of("course.id")
    );
    let mut query = match courses {
        [course] => sqlx::query_as(&one).bind(course),
        _ => sqlx::query_as(&many).bind(courses),
    };
    if let Some(from) = &page.from {
        query = query.bind(&from.module_id).bind(from.position);
    }
    query.fetch_all(pool).await
}

/// How many modules each of these courses has, `all` or the published ones.
pub async fn counts(
    pool: &PgPool,
    courses: &[&str],
    all: bool,
) -> sqlx::Result<Vec<(String, i64)>> {
    let sql = format!(
        "SELECT course.id, (SELECT count(*) FROM {VIEW} m WHERE m.course_id = course.id {}) \
         FROM unnest($1::text[]) AS course (id)",
        published_only(all)
    );
    sqlx::query_as(&sql).bind(courses).fetch_all(pool).await
}

fn published_only(all: bool) -> &'static str {
    if all { "" } else { "AND m.state = 'PUBLISHED'" }
}

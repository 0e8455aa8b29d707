//! The table of modules, in the order of their course.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, PgPool};

use super::Projection;
use crate::domain::Event;
use crate::domain::course::{CourseEvent, PublicationState};
use crate::event_store::Recorded;

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
    const NAME: &'static str = "modules_v1";
    type Rows = Vec<ModuleRow>;

    fn key(event: &Recorded) -> Option<&str> {
        let Event::Course(course) = &event.event else { return None };
        match course {
            CourseEvent::ModuleAdded { .. } | CourseEvent::ModuleDetailsChanged { .. } => {
                Some(&*event.stream.id)
            }
            CourseEvent::CourseCreated { .. }
            | CourseEvent::CoursePublished {}
            | CourseEvent::CourseDetailsChanged { .. }
            | CourseEvent::CourseScheduleChanged { .. }
            | CourseEvent::CourseCapacityChanged { .. }
            | CourseEvent::CourseDeleted { .. } => None,
        }
    }

    fn apply(rows: &mut Vec<ModuleRow>, recorded: &Recorded) {
        match &recorded.event {
            Event::Course(CourseEvent::ModuleAdded { module_id, title, summary, position }) => {
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
                for (position, row) in (0..).zip(rows) {
                    row.position = position;
                }
            }
            Event::Course(CourseEvent::ModuleDetailsChanged {
                module_id,
                title,
                summary,
                state,
            }) => {
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
            _ => {}
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
        let rows: Vec<&ModuleRow> = rows.iter().flat_map(|(_, rows)| rows.iter()).collect();
        let texts =
            |field: fn(&ModuleRow) -> &str| rows.iter().map(|row| field(row)).collect::<Vec<_>>();
        let summaries: Vec<Option<&str>> = rows.iter().map(|row| row.summary.as_deref()).collect();
        let positions: Vec<i32> = rows.iter().map(|row| row.position).collect();
        let created: Vec<DateTime<Utc>> = rows.iter().map(|row| row.created_at).collect();
        let updated: Vec<DateTime<Utc>> = rows.iter().map(|row| row.updated_at).collect();
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
    sqlx::query_as("SELECT * FROM modules_v1 WHERE module_id = ANY ($1)")
        .bind(ids)
        .fetch_all(pool)
        .await
}

/// The modules of these courses, each course's in order.
pub async fn of_courses(pool: &PgPool, courses: &[&str]) -> sqlx::Result<Vec<ModuleRow>> {
    sqlx::query_as(
        "SELECT * FROM modules_v1 WHERE course_id = ANY ($1) ORDER BY course_id, position",
    )
    .bind(courses)
    .fetch_all(pool)
    .await
}

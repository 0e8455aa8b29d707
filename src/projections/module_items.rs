//! The table of module items, in the order of their module, with what became of their videos.

use std::collections::HashMap;

use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, PgPool};

use super::Projection;
use super::fold::place;
use crate::domain::course::{CourseEvent, PublicationState};
use crate::domain::report::VideoResult;
use crate::domain::{Event, ItemId, StreamType};
use crate::event_store::Recorded;

/// The view. Nothing else names it.
const VIEW: &str = "module_items_v2";

/// A module item as queries see it.
#[derive(Debug, Clone, PartialEq, FromRow)]
#[expect(missing_docs, reason = "the fields are those of the item")]
pub struct ItemRow {
    pub module_id: String,
    pub item_id: String,
    pub course_id: String,
    pub kind: String,
    pub title: String,
    pub required: bool,
    pub position: i32,
    pub state: String,
    pub url: Option<String>,
    pub video_id: Option<String>,
    pub assessment_id: Option<String>,
    /// What became of the video, once that is known.
    pub video: Option<Json<VideoResult>>,
}

/// The projection of [`ItemRow`].
pub struct ModuleItems;

impl Projection for ModuleItems {
    const NAME: &'static str = VIEW;
    const KINDS: &'static [StreamType] = &[StreamType::Course];
    type Rows = Vec<ItemRow>;

    fn key(event: &Recorded) -> Option<&str> {
        let Event::Course(course) = &event.event else { return None };
        match course {
            CourseEvent::ModuleRemoved { module_id }
            | CourseEvent::ModuleItemAdded { module_id, .. }
            | CourseEvent::ModuleItemChanged { module_id, .. }
            | CourseEvent::ModuleItemRemoved { module_id, .. }
            | CourseEvent::ModuleItemsReordered { module_id, .. }
            | CourseEvent::VideoTranscoded { module_id, .. }
            | CourseEvent::VideoTranscodingFailed { module_id, .. } => Some(module_id.as_str()),
            CourseEvent::CourseCreated { .. }
            | CourseEvent::CoursePublished {}
            | CourseEvent::CourseUnpublished {}
            | CourseEvent::CourseArchived {}
            | CourseEvent::CourseRestored {}
            | CourseEvent::InstructorAssigned { .. }
            | CourseEvent::InstructorRemoved { .. }
            | CourseEvent::ModuleAdded { .. }
            | CourseEvent::ModuleDetailsChanged { .. }
            | CourseEvent::ModulesReordered { .. }
            | CourseEvent::AssessmentAttached { .. }
            | CourseEvent::AssessmentChanged { .. }
            | CourseEvent::CourseDetailsChanged { .. }
            | CourseEvent::CourseScheduleChanged { .. }
            | CourseEvent::CourseCapacityChanged { .. }
            | CourseEvent::CourseDeleted { .. } => None,
        }
    }

    fn apply(rows: &mut Vec<ItemRow>, recorded: &Recorded) {
        let Event::Course(event) = &recorded.event else { return };
        match event {
            CourseEvent::ModuleItemAdded {
                module_id,
                item_id,
                kind,
                title,
                required,
                position,
                url,
                video_id,
                assessment_id,
            } => {
                let row = ItemRow {
                    module_id: module_id.to_string(),
                    item_id: item_id.to_string(),
                    course_id: recorded.stream.id.to_string(),
                    kind: kind.as_str().to_owned(),
                    title: title.clone(),
                    required: *required,
                    position: 0,
                    state: PublicationState::Published.as_str().to_owned(),
                    url: url.clone(),
                    video_id: video_id.as_ref().map(ToString::to_string),
                    assessment_id: assessment_id.as_ref().map(ToString::to_string),
                    video: None,
                };
                let index = usize::try_from(*position).unwrap_or(usize::MAX).min(rows.len());
                rows.insert(index, row);
            }
            CourseEvent::ModuleItemChanged { item_id, title, required, url, state, .. } => {
                let row = rows.iter_mut().find(|row| row.item_id == item_id.as_str());
                let Some(row) = row else { return };
                if let Some(title) = title {
                    row.title.clone_from(title);
                }
                if let Some(required) = required {
                    row.required = *required;
                }
                if let Some(url) = url {
                    row.url.clone_from(url);
                }
                if let Some(state) = state {
                    state.as_str().clone_into(&mut row.state);
                }
            }
            CourseEvent::ModuleItemRemoved { item_id, .. } => {
                rows.retain(|row| row.item_id != item_id.as_str());
            }
            CourseEvent::ModuleItemsReordered { item_ids, .. } => {
                rows.sort_by_cached_key(|row| place(item_ids, |id| id.as_str() == row.item_id));
            }
            CourseEvent::ModuleRemoved { .. } => rows.clear(),
            CourseEvent::VideoTranscoded {
                item_id,
                playback_url,
                duration_seconds,
                thumbnail_url,
                renditions,
                ..
            } => {
                let result = VideoResult::Ready {
                    playback_url: playback_url.clone(),
                    duration_seconds: *duration_seconds,
                    thumbnail_url: thumbnail_url.clone(),
                    renditions: renditions.clone(),
                };
                set_video(rows, item_id, result);
            }
            CourseEvent::VideoTranscodingFailed { item_id, reason, .. } => {
                set_video(rows, item_id, VideoResult::Failed { reason: reason.clone() });
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
            | CourseEvent::ModulesReordered { .. }
            | CourseEvent::AssessmentAttached { .. }
            | CourseEvent::AssessmentChanged { .. }
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
    ) -> sqlx::Result<HashMap<String, Vec<ItemRow>>> {
        let sql = format!(
            "SELECT * FROM {table} WHERE module_id = ANY ($1) ORDER BY module_id, position"
        );
        let rows: Vec<ItemRow> = sqlx::query_as(&sql).bind(keys).fetch_all(connection).await?;
        let mut by_module: HashMap<String, Vec<ItemRow>> = HashMap::new();
        for row in rows {
            by_module.entry(row.module_id.clone()).or_default().push(row);
        }
        Ok(by_module)
    }

    async fn save(
        connection: &mut PgConnection,
        table: &str,
        rows: &[(&str, &Vec<ItemRow>)],
    ) -> sqlx::Result<()> {
        let modules: Vec<&str> = rows.iter().map(|(module, _)| *module).collect();
        let rows: Vec<&ItemRow> = rows.iter().flat_map(|(_, rows)| rows.iter()).collect();
        let texts =
            |field: fn(&ItemRow) -> &str| rows.iter().map(|row| field(row)).collect::<Vec<_>>();
        let optional = |field: fn(&ItemRow) -> &Option<String>| {
            rows.iter().map(|row| field(row).as_deref()).collect::<Vec<_>>()
        };
        let sql = format!("DELETE FROM {table} WHERE module_id = ANY ($1) AND item_id <> ALL ($2)");
        sqlx::query(&sql)
            .bind(modules)
            .bind(texts(|row| &row.item_id))
            .execute(&mut *connection)
            .await?;
        let sql = format!(
            "INSERT INTO {table} AS stored (module_id, item_id, kind, title, required, position, state, url, \
                                            video_id, assessment_id, course_id, video) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::int[], \
                                  $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::jsonb[]) \
             ON CONFLICT (module_id, item_id) DO UPDATE SET kind = excluded.kind, title = excluded.title, \
             required = excluded.required, position = excluded.position, state = excluded.state, \
             url = excluded.url, video_id = excluded.video_id, assessment_id = excluded.assessment_id, \
             course_id = excluded.course_id, video = excluded.video \
             WHERE (stored.*) IS DISTINCT FROM (excluded.*)"
        );
        sqlx::query(&sql)
            .bind(texts(|row| &row.module_id))
            .bind(texts(|row| &row.item_id))
            .bind(texts(|row| &row.kind))
            .bind(texts(|row| &row.title))
            .bind(rows.iter().map(|row| row.required).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.position).collect::<Vec<_>>())
            .bind(texts(|row| &row.state))
            .bind(optional(|row| &row.url))
            .bind(optional(|row| &row.video_id))
            .bind(optional(|row| &row.assessment_id))
            .bind(texts(|row| &row.course_id))
            .bind(rows.iter().map(|row| row.video.as_ref()).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }
}

fn set_video(rows: &mut [ItemRow], item: &ItemId, result: VideoResult) {
    if let Some(row) = rows.iter_mut().find(|row| row.item_id == item.as_str()) {
        row.video = Some(Json(result));
    }
}

/// The items with these ids.
pub async fn find_many(pool: &PgPool, ids: &[&str]) -> sqlx::Result<Vec<ItemRow>> {
    let sql = format!("SELECT * FROM {VIEW} WHERE item_id = ANY ($1)");
    sqlx::query_as(&sql).bind(ids).fetch_all(pool).await
}

/// The items of these modules, each module's in order.
pub async fn of_modules(pool: &PgPool, modules: &[&str]) -> sqlx::Result<Vec<ItemRow>> {
    let sql =
        format!("SELECT * FROM {VIEW} WHERE module_id = ANY ($1) ORDER BY module_id, position");
    sqlx::query_as(&sql).bind(modules).fetch_all(pool).await
}

/// The module of each published item of these modules that is required, and the item.
pub async fn required(pool: &PgPool, modules: &[&str]) -> sqlx::Result<Vec<(String, String)>> {
    let sql = format!(
        "SELECT module_id, item_id FROM {VIEW} \
         WHERE module_id = ANY ($1) AND required AND state = 'PUBLISHED'"
    );
    sqlx::query_as(&sql).bind(modules).fetch_all(pool).await
}

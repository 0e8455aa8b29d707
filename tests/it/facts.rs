//! Facts that no command writes yet, put into the log as if one had, and waiting until the read models have them.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test as tests do")]

use course_service::domain::course::{CourseEvent, ItemKind, PublicationState};
use course_service::domain::enrollment::EnrollmentEvent;
use course_service::domain::{CourseId, EnrollmentId, Event, ItemId, ModuleId, UserId};
use sqlx::PgPool;
use uuid::Uuid;

use crate::support;

/// Appends an event to a stream of a course.
pub(crate) async fn record(pool: &PgPool, course: &str, stream: &str, event: impl Into<Event>) {
    let event: Event = event.into();
    let mut transaction = pool.begin().await.unwrap();
    let head = "UPDATE log_head SET position = position + 1, recorded_at = clock_timestamp() \
                RETURNING position";
    let position: i64 = sqlx::query_scalar(head).fetch_one(&mut *transaction).await.unwrap();
    sqlx::query(
        "INSERT INTO events SELECT $1, $2, 1 + count(*), $3, '1', $4::jsonb, '{}', $5, 0, clock_timestamp(), \
         $6, $7, true, $8 FROM events WHERE aggregate_type = $1 AND aggregate_id = $2",
    )
    .bind(event.stream_type().as_str())
    .bind(stream)
    .bind(event.name())
    .bind(event.to_json().unwrap())
    .bind(position)
    .bind(Uuid::now_v7())
    .bind(Uuid::now_v7())
    .bind(course)
    .execute(&mut *transaction)
    .await
    .unwrap();
    transaction.commit().await.unwrap();
}

/// Appends an event of a course.
pub(crate) async fn of_course(pool: &PgPool, course: &str, event: CourseEvent) {
    record(pool, course, course, event).await;
}

/// A new page at the beginning of a module; its id.
pub(crate) async fn item(pool: &PgPool, course: &str, module: &str, required: bool) -> String {
    let item_id = ItemId::from_uuid(Uuid::now_v7());
    let event = CourseEvent::ModuleItemAdded {
        module_id: ModuleId::parse(module, "id").unwrap(),
        item_id: item_id.clone(),
        kind: ItemKind::Page,
        title: format!("item of {module}"),
        required,
        position: 0,
        url: None,
        video_id: None,
        assessment_id: None,
    };
    of_course(pool, course, event).await;
    item_id.to_string()
}

/// Hides an item.
pub(crate) async fn hide(pool: &PgPool, course: &str, module: &str, item: &str) {
    let event = CourseEvent::ModuleItemChanged {
        module_id: ModuleId::parse(module, "id").unwrap(),
        item_id: ItemId::parse(item, "id").unwrap(),
        title: None,
        required: None,
        url: None,
        state: Some(PublicationState::Unpublished),
    };
    of_course(pool, course, event).await;
}

/// A student is done with an item.
pub(crate) async fn completed(pool: &PgPool, course: &str, student: &str, item: &str) {
    let course_id = CourseId::parse(course, "id").unwrap();
    let student_id = UserId::parse(student, "id").unwrap();
    let stream = EnrollmentId::of(&course_id, &student_id);
    let item_id = ItemId::parse(item, "id").unwrap();
    let event = EnrollmentEvent::ModuleItemCompleted { course_id, student_id, item_id };
    record(pool, course, stream.as_str(), event).await;
}

/// Waits until every read model has seen the whole log.
pub(crate) async fn settled(pool: &PgPool) {
    support::eventually("the read models are there", async || {
        let behind = "SELECT count(*) FROM projections p CROSS JOIN log_head h WHERE p.position < h.position";
        let behind: i64 = sqlx::query_scalar(behind).fetch_one(pool).await.unwrap();
        behind == 0
    })
    .await;
}

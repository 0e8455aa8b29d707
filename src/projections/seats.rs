//! The table of seat counts.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection, PgPool};

use super::Projection;
use crate::domain::Event;
use crate::domain::seats::SeatsEvent;
use crate::event_store::Recorded;

/// A course's seats as queries see them.
#[derive(Debug, Clone, PartialEq, FromRow)]
#[expect(missing_docs, reason = "the fields are those of the seats")]
pub struct SeatsRow {
    pub course_id: String,
    pub open: bool,
    pub capacity: Option<i32>,
    pub taken: i32,
    pub waitlisted: i32,
}

/// The projection of [`SeatsRow`].
pub struct SeatCounts;

impl Projection for SeatCounts {
    const NAME: &'static str = "seats_v1";
    type Rows = Option<SeatsRow>;

    fn key(event: &Recorded) -> Option<&str> {
        matches!(event.event, Event::Seats(_)).then_some(&*event.stream.id)
    }

    fn apply(row: &mut Option<SeatsRow>, recorded: &Recorded) {
        let Event::Seats(event) = &recorded.event else { return };
        let row = row.get_or_insert_with(|| SeatsRow {
            course_id: recorded.stream.id.to_string(),
            open: false,
            capacity: None,
            taken: 0,
            waitlisted: 0,
        });
        let promoted = i32::try_from(event.promoted().len()).unwrap_or(i32::MAX);
        row.taken += promoted;
        row.waitlisted -= promoted;
        match event {
            SeatsEvent::SeatsDefined { capacity, .. }
            | SeatsEvent::SeatsCapacityChanged { capacity, .. } => {
                row.capacity = capacity.map(|seats| i32::try_from(seats).unwrap_or(i32::MAX));
            }
            SeatsEvent::SeatsOpened { .. } => row.open = true,
            SeatsEvent::SeatsClosed {} => row.open = false,
            SeatsEvent::SeatsWindowChanged { .. } => {}
            SeatsEvent::SeatTaken { .. } => row.taken += 1,
            SeatsEvent::SeatWaitlisted { .. } => row.waitlisted += 1,
            SeatsEvent::SeatReleased { .. } => row.taken -= 1,
            SeatsEvent::WaitlistLeft { .. } => row.waitlisted -= 1,
        }
    }

    async fn load(
        connection: &mut PgConnection,
        table: &str,
        keys: &[&str],
    ) -> sqlx::Result<HashMap<String, Option<SeatsRow>>> {
        let sql = format!("SELECT * FROM {table} WHERE course_id = ANY ($1)");
        let rows: Vec<SeatsRow> = sqlx::query_as(&sql).bind(keys).fetch_all(connection).await?;
        Ok(rows.into_iter().map(|row| (row.course_id.clone(), Some(row))).collect())
    }

    async fn save(
        connection: &mut PgConnection,
        table: &str,
        rows: &[(&str, &Option<SeatsRow>)],
    ) -> sqlx::Result<()> {
        let sql = format!(
            "INSERT INTO {table} (course_id, open, capacity, taken, waitlisted) \
             SELECT * FROM unnest($1::text[], $2::bool[], $3::int[], $4::int[], $5::int[]) \
             ON CONFLICT (course_id) DO UPDATE SET open = excluded.open, capacity = excluded.capacity, \
             taken = excluded.taken, waitlisted = excluded.waitlisted"
        );
        let rows: Vec<&SeatsRow> = rows.iter().filter_map(|(_, row)| row.as_ref()).collect();
        sqlx::query(&sql)
            .bind(rows.iter().map(|row| row.course_id.as_str()).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.open).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.capacity).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.taken).collect::<Vec<_>>())
            .bind(rows.iter().map(|row| row.waitlisted).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }
}

/// The seats of these courses.
pub async fn find_many(pool: &PgPool, courses: &[&str]) -> sqlx::Result<Vec<SeatsRow>> {
    sqlx::query_as("SELECT * FROM seats_v1 WHERE course_id = ANY ($1)")
        .bind(courses)
        .fetch_all(pool)
        .await
}

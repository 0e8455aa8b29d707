//! Keys of the write side: looking them up, and those that do not stay for ever. The append writes them.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::types::PgInterval;

/// The most keys of one statement: the append waits for none of them long.
const AT_ONCE: i64 = 1_000;

/// Who holds these keys, each a space and a key; those that nobody holds are absent. Only a guess: the append decides.
pub async fn find(
    pool: &PgPool,
    wanted: &[(&'static str, String)],
) -> sqlx::Result<HashMap<(String, String), String>> {
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT k.space, k.key, k.value FROM unnest($1::text[], $2::text[]) AS w (space, key) \
         JOIN keys k ON k.space = w.space AND k.key = w.key",
    )
    .bind(wanted.iter().map(|(space, _)| *space).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(space, key, value)| ((space, key), value)).collect())
}

/// Forgets the keys of a space that were claimed longer ago than `age`. Returns how many.
pub async fn forget(pool: &PgPool, space: &str, age: Duration) -> sqlx::Result<u64> {
    let age = PgInterval {
        microseconds: i64::try_from(age.as_micros()).unwrap_or(i64::MAX),
        ..PgInterval::default()
    };
    let mut forgotten = 0;
    loop {
        let some = sqlx::query(
            "DELETE FROM keys WHERE space = $1 AND key = ANY (ARRAY( \
               SELECT key FROM keys WHERE space = $1 AND claimed_at < clock_timestamp() - $2 LIMIT $3))",
        )
        .bind(space)
        .bind(age)
        .bind(AT_ONCE)
        .execute(pool)
        .await?
        .rows_affected();
        forgotten += some;
        if some == 0 {
            return Ok(forgotten);
        }
    }
}

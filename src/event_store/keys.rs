//! Keys that do not stay for ever.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::types::PgInterval;

/// The most keys of one statement: the append waits for none of them long.
const AT_ONCE: i64 = 1_000;

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

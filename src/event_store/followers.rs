//! Where followers of the log stand that are no read models.

use sqlx::{PgExecutor, PgPool};

use super::position::Position;
use crate::fault;

/// The last position that a follower has seen; 0 where it has seen none.
pub async fn position(executor: impl PgExecutor<'_>, name: &str) -> Result<i64, sqlx::Error> {
    let position = sqlx::query_scalar("SELECT position FROM followers WHERE name = $1");
    Ok(position.bind(name).fetch_optional(executor).await?.unwrap_or_default())
}

/// A follower has seen everything up to `to`. It never goes back.
pub async fn advance(pool: &PgPool, name: &str, to: Position) -> Result<(), sqlx::Error> {
    fault::point(name, "before checkpoint");
    sqlx::query("UPDATE followers SET epoch = $2, position = $3 WHERE name = $1 AND position < $3")
        .bind(name)
        .bind(to.epoch)
        .bind(to.number)
        .execute(pool)
        .await?;
    fault::point(name, "after checkpoint");
    Ok(())
}

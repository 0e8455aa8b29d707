//! A new life of a log that was put back to an earlier point.

use sqlx::PgConnection;

/// Starts a new epoch. The events behind `published`, of which nobody outside has heard, get it too, so that what is
/// told of them is newer than anything that was told of lost events.
pub async fn begin_epoch(
    connection: &mut PgConnection,
    epoch: i32,
    published: i64,
) -> Result<(), sqlx::Error> {
    // Whoever appends waits here, and goes on in the new epoch.
    sqlx::query("UPDATE log_head SET epoch = $1").bind(epoch).execute(&mut *connection).await?;
    for behind in [
        "UPDATE events SET epoch = $1 WHERE position > $2",
        "UPDATE projections SET epoch = $1 WHERE position > $2",
        "UPDATE followers SET epoch = $1 WHERE position > $2",
    ] {
        sqlx::query(behind).bind(epoch).bind(published).execute(&mut *connection).await?;
    }
    Ok(())
}

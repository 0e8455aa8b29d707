//! Building a read model again, in place: one transaction deletes the rows, folds the whole log and commits.
//! Readers see the old rows until then; the projection itself waits.

use sqlx::{PgPool, Row};

use super::fold::{move_checkpoint, table, write};
use super::{Projection, ProjectionError};
use crate::event_store::Position;
use crate::event_store::log;

const BATCH: i64 = 5_000;

pub(super) async fn rebuild<P: Projection>(
    pool: &PgPool,
    report: &(dyn Fn(i64, i64) + Send + Sync),
) -> Result<i64, ProjectionError> {
    let mut transaction = pool.begin().await?;
    let checkpoint = sqlx::query("SELECT generation FROM projections WHERE name = $1 FOR UPDATE")
        .bind(P::NAME)
        .fetch_optional(&mut *transaction)
        .await?
        .ok_or(ProjectionError::NoCheckpoint(P::NAME))?;
    let table = table(P::NAME, checkpoint.try_get("generation")?);
    sqlx::query(&format!("DELETE FROM {table}")).execute(&mut *transaction).await?;
    let head = log::head(&mut *transaction).await?.position;
    let mut at = Position::default();
    loop {
        let events = log::read_after(&mut *transaction, at.number, BATCH).await?;
        let Some(last) = events.last() else { break };
        at = last.position;
        write::<P>(&mut transaction, &table, &events).await?;
        report(at.number, head.number.max(at.number));
    }
    move_checkpoint(&mut transaction, P::NAME, at).await?;
    transaction.commit().await?;
    Ok(at.number)
}

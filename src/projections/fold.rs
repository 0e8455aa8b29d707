//! The one way in which rows change: the events of a batch are folded into the rows of their keys, in memory, and
//! written through the connection whose transaction moves the checkpoint.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::Projection;
use crate::event_store::{Position, Recorded};

/// The name of the table of a generation.
pub(super) fn table(name: &str, generation: i32) -> String {
    format!("{name}_g{generation}")
}

/// Folds a batch into the rows of its keys and writes them.
pub(super) async fn write<P: Projection>(
    connection: &mut PgConnection,
    table: &str,
    events: &[Recorded],
) -> sqlx::Result<()> {
    let mut by_key: HashMap<&str, Vec<&Recorded>> = HashMap::new();
    for event in events {
        if let Some(key) = P::key(event) {
            by_key.entry(key).or_default().push(event);
        }
    }
    if by_key.is_empty() {
        return Ok(());
    }
    let mut keys: Vec<&str> = by_key.keys().copied().collect();
    keys.sort_unstable();
    let mut rows = P::load(connection, table, &keys).await?;
    let mut folded = Vec::with_capacity(keys.len());
    for key in keys {
        let mut state = rows.remove(key).unwrap_or_default();
        for event in &by_key[key] {
            P::apply(&mut state, event);
        }
        folded.push((key, state));
    }
    let borrowed: Vec<(&str, &P::Rows)> = folded.iter().map(|(key, rows)| (*key, rows)).collect();
    P::save(connection, table, &borrowed).await
}

/// Moves a checkpoint that the transaction has locked.
pub(super) async fn move_checkpoint(
    connection: &mut PgConnection,
    name: &str,
    to: Position,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE projections SET epoch = $2, position = $3, updated_at = clock_timestamp() WHERE name = $1",
    )
    .bind(name)
    .bind(to.epoch)
    .bind(to.number)
    .execute(connection)
    .await?;
    Ok(())
}

/// Where an entry stands in a new order; what the order does not name keeps its place behind the rest.
pub(super) fn place<I>(order: &[I], is_it: impl Fn(&I) -> bool) -> usize {
    order.iter().position(is_it).unwrap_or(usize::MAX)
}

//! A projection without its types, so that a runner or a rebuild can hold any of them.

use std::collections::HashMap;

use futures::future::BoxFuture;
use sqlx::PgConnection;

use super::Projection;
use super::fold::write;
use crate::domain::StreamType;
use crate::event_store::Recorded;

/// The most keys that one statement writes.
const KEYS: usize = 4_000;

type Write =
    for<'a> fn(&'a mut PgConnection, &'a str, &'a [Recorded]) -> BoxFuture<'a, sqlx::Result<()>>;

/// A read model of this release.
pub struct ReadModel {
    /// Name and shape.
    pub name: &'static str,
    /// The kinds of stream that it is folded from.
    pub kinds: &'static [StreamType],
    pub(super) write: Write,
    pub(super) folder: fn() -> Box<dyn Folding>,
}

impl ReadModel {
    pub(super) const fn of<P: Projection>() -> Self {
        Self {
            name: P::NAME,
            kinds: P::KINDS,
            write: boxed_write::<P>,
            folder: || Box::new(Folder::<P> { rows: HashMap::new() }),
        }
    }
}

fn boxed_write<'a, P: Projection>(
    connection: &'a mut PgConnection,
    table: &'a str,
    events: &'a [Recorded],
) -> BoxFuture<'a, sqlx::Result<()>> {
    Box::pin(write::<P>(connection, table, events))
}

/// Rows that are folded from nothing: what it is given must hold every event of a key.
pub(super) trait Folding: Send + Sync {
    /// Folds one event in.
    fn add(&mut self, event: &Recorded);

    /// Writes all rows into a table that has none of these keys.
    fn save<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        table: &'a str,
    ) -> BoxFuture<'a, sqlx::Result<()>>;
}

struct Folder<P: Projection> {
    rows: HashMap<String, P::Rows>,
}

impl<P: Projection> Folding for Folder<P> {
    fn add(&mut self, event: &Recorded) {
        let Some(key) = P::key(event) else { return };
        if let Some(rows) = self.rows.get_mut(key) {
            P::apply(rows, event);
        } else {
            let mut rows = P::Rows::default();
            P::apply(&mut rows, event);
            self.rows.insert(key.to_owned(), rows);
        }
    }

    fn save<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        table: &'a str,
    ) -> BoxFuture<'a, sqlx::Result<()>> {
        Box::pin(async move {
            let mut rows: Vec<(&str, &P::Rows)> =
                self.rows.iter().map(|(key, rows)| (key.as_str(), rows)).collect();
            rows.sort_unstable_by_key(|(key, _)| *key);
            for some in rows.chunks(KEYS) {
                P::save(connection, table, some).await?;
            }
            Ok(())
        })
    }
}

//! The tables of generations: made like the live one, so that what stands in the migrations stands nowhere else.

use sqlx::{PgConnection, PgPool, Row};

/// What a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To be read.
    Generation,
    /// To compare another one with: a crash of the database may take it.
    Scratch,
}

/// Makes `table` like `live`: columns, constraints, storage settings and the primary key, not yet the other indexes.
pub(super) async fn create(
    connection: &mut PgConnection,
    kind: Kind,
    live: &str,
    table: &str,
) -> sqlx::Result<()> {
    let logged = if kind == Kind::Scratch { "UNLOGGED" } else { "" };
    let create =
        format!("CREATE {logged} TABLE {table} (LIKE {live} INCLUDING ALL EXCLUDING INDEXES)");
    sqlx::query(&create).execute(&mut *connection).await?;
    let settings: Option<String> = sqlx::query_scalar(
        "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = $1::regclass",
    )
    .bind(live)
    .fetch_one(&mut *connection)
    .await?;
    if let Some(settings) = settings {
        let set = format!("ALTER TABLE {table} SET ({settings})");
        sqlx::query(&set).execute(&mut *connection).await?;
    }
    let keys = sqlx::query(
        "SELECT conname::text AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint \
         WHERE conrelid = $1::regclass AND contype = 'p'",
    )
    .bind(live)
    .fetch_all(&mut *connection)
    .await?;
    for key in keys {
        let name: String = key.try_get("name")?;
        let (name, definition) =
            (renamed(&name, live, table), key.try_get::<&str, _>("definition")?);
        let add = format!("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}");
        sqlx::query(&add).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Makes the other indexes of `live` for `table`, where they are missing, and brings the planner's knowledge up to date.
pub(super) async fn complete(pool: &PgPool, live: &str, table: &str) -> sqlx::Result<()> {
    let definitions: Vec<String> = sqlx::query_scalar(
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = $1::regclass AND NOT indisprimary \
         ORDER BY indexrelid",
    )
    .bind(live)
    .fetch_all(pool)
    .await?;
    for definition in definitions {
        let create = renamed(&definition, live, table);
        let create = create.replacen("INDEX ", "INDEX IF NOT EXISTS ", 1);
        sqlx::query(&create).execute(pool).await?;
    }
    // Outside of any transaction, and before the first reader: index-only scans and good plans from the start.
    sqlx::query(&format!("VACUUM (ANALYZE) {table}")).execute(pool).await?;
    Ok(())
}

/// Drops a table that no view shows. Fails where a reader from before still holds it.
pub(super) async fn drop(connection: &mut PgConnection, table: &str) -> sqlx::Result<()> {
    sqlx::query(&format!("DROP TABLE IF EXISTS {table}")).execute(connection).await?;
    Ok(())
}

/// Puts the view before a table. Its name, columns and privileges stay.
pub(super) async fn show(
    connection: &mut PgConnection,
    view: &str,
    table: &str,
) -> sqlx::Result<()> {
    let replace = format!("CREATE OR REPLACE VIEW {view} AS SELECT * FROM {table}");
    sqlx::query(&replace).execute(connection).await?;
    Ok(())
}

/// The columns of the primary key.
pub(super) async fn key_columns(pool: &PgPool, table: &str) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT a.attname::text FROM pg_index i \
         CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS part (number, place) \
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = part.number \
         WHERE i.indrelid = $1::regclass AND i.indisprimary ORDER BY part.place",
    )
    .bind(table)
    .fetch_all(pool)
    .await
}

/// Names of constraints and indexes begin with the name of their table.
fn renamed(text: &str, live: &str, table: &str) -> String {
    text.replace(live, table)
}

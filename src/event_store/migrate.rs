//! Migrations: embedded in the binary, applied once each, by one instance at a time.
//!
//! sqlx's own guard is a session advisory lock, which a transaction-pooling proxy breaks; a locked row does not mind.

use std::collections::HashMap;

use sqlx::PgPool;
use sqlx::migrate::{Migrate, MigrateError, Migrator};

use crate::fault;

static MIGRATOR: Migrator = sqlx::migrate!();

/// Applies what is missing; waits while another instance does.
pub async fn run(pool: &PgPool) -> Result<(), MigrateError> {
    let mut guard = pool.begin().await?;
    // The two statements may race with themselves in another instance: the lock below is what counts.
    for statement in [
        "CREATE TABLE IF NOT EXISTS migration_lock (only_row boolean PRIMARY KEY CHECK (only_row))",
        "INSERT INTO migration_lock VALUES (true) ON CONFLICT DO NOTHING",
    ] {
        ensure(pool, statement).await?;
    }
    sqlx::query("SELECT 1 FROM migration_lock FOR UPDATE").execute(&mut *guard).await?;
    let mut migrator = Migrator { migrations: MIGRATOR.migrations.clone(), ..Migrator::DEFAULT };
    migrator.set_locking(false);
    migrator.run(pool).await?;
    fault::point("migration", "before commit");
    guard.commit().await?;
    fault::point("migration", "after commit");
    Ok(())
}

/// `CREATE … IF NOT EXISTS` still fails when two do it at once; the second try finds it there.
async fn ensure(pool: &PgPool, statement: &str) -> Result<(), sqlx::Error> {
    if sqlx::query(statement).execute(pool).await.is_err() {
        sqlx::query(statement).execute(pool).await?;
    }
    Ok(())
}

/// The versions that are embedded but not applied yet.
pub async fn pending(pool: &PgPool) -> Result<Vec<i64>, MigrateError> {
    let mut connection = pool.acquire().await?;
    let known: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    let applied: HashMap<i64, _> = if known {
        let applied = connection.list_applied_migrations().await?;
        applied.into_iter().map(|migration| (migration.version, migration.checksum)).collect()
    } else {
        HashMap::new()
    };
    let versions = MIGRATOR.iter().map(|migration| migration.version);
    Ok(versions.filter(|version| !applied.contains_key(version)).collect())
}

/// Whether migrating may succeed later: the database is away.
pub fn is_transient(error: &MigrateError) -> bool {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            super::append::is_transient(error)
        }
        _ => false,
    }
}

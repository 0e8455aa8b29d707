//! Comparing a table, row by row, with a fresh fold of the log up to the same position.

use futures::future::join_all;
use sqlx::{PgConnection, PgPool, Row};

use super::fill::{self, Fill, Portions, Target};
use super::lease::Lease;
use super::switch::forward;
use super::tables::{self, Kind};
use super::{Progress, RebuildError, Report};
use crate::projections::ReadModel;
use crate::projections::fold::table;

/// The most differences that are named.
const NAMED: i64 = 100;

/// Which table of a read model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// The one that is read.
    Live,
    /// The one beside it.
    Beside,
}

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Name and shape of the read model.
    pub name: &'static str,
    /// The position of the log at which it was compared.
    pub position: i64,
    /// The rows of the table.
    pub rows: i64,
    /// Their checksum, whatever their order.
    pub checksum: String,
    /// The rows that a fresh fold has.
    pub expected_rows: i64,
    /// Where the table differs from a fresh fold, the first of them.
    pub differences: Vec<Difference>,
    /// How many differences there are.
    pub count: i64,
}

/// A row that is not as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The columns of the primary key, with a slash between them.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
}

/// Compares the tables with a fresh fold of the log by so many workers.
pub(super) async fn verify(
    pool: &PgPool,
    lease: &Lease,
    models: &[&'static ReadModel],
    which: Which,
    workers: usize,
    report: &Report,
) -> Result<Vec<Verified>, RebuildError> {
    let (targets, upto, portions) = scratch(pool, lease, models, which).await?;
    let total = portions.iter().map(|(_, chunk)| chunk.events).sum();
    report.progress(Progress::Stage { doing: "verifying", done: 0, total });
    let fill = Fill { targets: targets.clone(), upto, job: None };
    fill.run(pool, lease, portions, workers, report).await?;
    let compared = targets.iter().map(|target| compare(pool, target, which, upto));
    let found: Result<Vec<_>, _> = join_all(compared).await.into_iter().collect();
    let mut transaction = pool.begin().await?;
    lease.fence(&mut transaction).await?;
    for target in &targets {
        tables::drop(&mut transaction, &target.table).await?;
    }
    transaction.commit().await?;
    found
}

/// Empty tables for a fresh fold, up to where it goes at first, and its portions.
async fn scratch(
    pool: &PgPool,
    lease: &Lease,
    models: &[&'static ReadModel],
    which: Which,
) -> Result<(Vec<Target>, i64, Portions), RebuildError> {
    let mut transaction = pool.begin().await?;
    lease.fence(&mut transaction).await?;
    let (mut targets, mut upto) = (Vec::new(), i64::MAX);
    for model in models {
        let (live, position) = place(&mut transaction, model, which).await?;
        let table = format!("{}_check", model.name);
        tables::drop(&mut transaction, &table).await?; // of one that was killed
        tables::create(&mut transaction, Kind::Scratch, &live, &table).await?;
        targets.push(Target { model, table });
        upto = upto.min(position);
    }
    let chunks = fill::plan(&mut transaction, upto).await?;
    transaction.commit().await?;
    Ok((targets, upto, (1..).zip(chunks).collect()))
}

/// The table and how far its rows go.
async fn place(
    connection: &mut PgConnection,
    model: &ReadModel,
    which: Which,
) -> Result<(String, i64), RebuildError> {
    let of = match which {
        Which::Live => "projections",
        Which::Beside => "projection_generations",
    };
    let sql = format!("SELECT generation, position FROM {of} WHERE name = $1");
    let row = sqlx::query(&sql).bind(model.name).fetch_optional(connection).await?;
    let row = row.ok_or(RebuildError::NothingBeside { name: model.name, wanted: "other" })?;
    Ok((table(model.name, row.try_get("generation")?), row.try_get("position")?))
}

/// Brings the fresh fold to the table's position and compares, all in one snapshot: the table may go on.
async fn compare(
    pool: &PgPool,
    fresh: &Target,
    which: Which,
    mut at: i64,
) -> Result<Verified, RebuildError> {
    let model = fresh.model;
    // Most of the way outside of the snapshot, which should not live long.
    let mut connection = pool.acquire().await?;
    let (_, near) = place(&mut connection, model, which).await?;
    forward(&mut connection, model, &fresh.table, at, near).await?;
    at = at.max(near);
    drop(connection);
    let keys = tables::key_columns(pool, &fresh.table).await?;
    let mut snapshot = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *snapshot).await?;
    let (table, position) = place(&mut snapshot, model, which).await?;
    forward(&mut snapshot, model, &fresh.table, at, position).await?;
    let (rows, checksum) = checksum(&mut snapshot, &table).await?;
    let (expected_rows, expected) = self::checksum(&mut snapshot, &fresh.table).await?;
    let (differences, count) = if (rows, &checksum) == (expected_rows, &expected) {
        (Vec::new(), 0)
    } else {
        differences(&mut snapshot, &table, &fresh.table, &keys).await?
    };
    snapshot.rollback().await?;
    let name = model.name;
    Ok(Verified { name, position, rows, checksum, expected_rows, differences, count })
}

/// The number of rows and a sum over a hash of each, so that their order does not matter.
async fn checksum(
    connection: &mut PgConnection,
    table: &str,
) -> Result<(i64, String), RebuildError> {
    let sql = format!(
        "SELECT count(*), lpad(to_hex((coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) % 9223372036854775807)::bigint), 16, '0') \
         FROM {table} t"
    );
    Ok(sqlx::query_as(&sql).fetch_one(connection).await?)
}

async fn differences(
    connection: &mut PgConnection,
    table: &str,
    fresh: &str,
    keys: &[String],
) -> Result<(Vec<Difference>, i64), RebuildError> {
    let join: Vec<String> = keys.iter().map(|key| format!("t.{key} = f.{key}")).collect();
    let key: Vec<String> = keys.iter().map(|key| format!("coalesce(t.{key}, f.{key})")).collect();
    let sql = format!(
        "SELECT concat_ws('/', {key}) AS key, count(*) OVER () AS count, \
                CASE WHEN f IS NOT DISTINCT FROM NULL THEN 'the log has no such row' \
                     WHEN t IS NOT DISTINCT FROM NULL THEN 'the row is missing' \
                     ELSE 'differs in ' || (SELECT string_agg(a.key, ', ' ORDER BY a.key) \
                       FROM jsonb_each(to_jsonb(t)) a JOIN jsonb_each(to_jsonb(f)) b USING (key) \
                       WHERE a.value IS DISTINCT FROM b.value) END AS what \
         FROM {table} t FULL JOIN {fresh} f ON {join} \
         WHERE t::text IS DISTINCT FROM f::text ORDER BY 1 LIMIT $1",
        key = key.join(", "),
        join = join.join(" AND "),
    );
    let rows = sqlx::query(&sql).bind(NAMED).fetch_all(connection).await?;
    let mut differences = Vec::new();
    let mut count = 0;
    for row in rows {
        count = row.try_get("count")?;
        let what: Option<String> = row.try_get("what")?;
        let what = what.unwrap_or_else(|| "differs".to_owned());
        differences.push(Difference { key: row.try_get("key")?, what });
    }
    Ok((differences, count))
}

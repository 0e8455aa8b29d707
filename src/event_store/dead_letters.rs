//! Messages that could not become commands. Reading them; the append of a slice writes them. They are numbered in
//! commit order without gaps, so they can be followed like the log.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, PgPool, Row};
use uuid::Uuid;

use super::inbound::Record;
use super::parked::{KeptPage, record};

/// A dead letter.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Its place among all of them, from 1.
    pub number: i64,
    /// Its id.
    pub id: Uuid,
    /// What tells the message from others.
    pub identity: String,
    /// Why it is dead: a stable code.
    pub code: String,
    /// The same as a sentence.
    pub reason: String,
    /// The consumer group.
    pub group: String,
    /// When it became one.
    pub dead_at: DateTime<Utc>,
    /// The message; without its content once it is settled.
    pub record: Record,
    /// How many bytes its value has.
    pub bytes: Option<i32>,
    /// What became of it, where somebody saw to it.
    pub settled: Option<Settled>,
}

/// What an operator did about a dead letter.
#[derive(Debug, Clone)]
pub struct Settled {
    /// `REDRIVEN` or `DISCARDED`.
    pub how: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

const COLUMNS: &str = "number, id, identity, code, reason, group_id, dead_at, topic, partition, record_offset, \
     record_time, headers, key, octet_length(value) AS bytes, value, settled_as, settled_at, settled_by, settled_reason";

/// Those behind `after`, in order, at most `limit`; of each value at most the first `cut` bytes.
pub async fn read_after(
    executor: impl PgExecutor<'_>,
    after: i64,
    limit: i64,
    cut: i32,
) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let columns = COLUMNS.replace(" value,", " substring(value from 1 for $3) AS value,");
    let sql =
        format!("SELECT {columns} FROM dead_letters WHERE number > $1 ORDER BY number LIMIT $2");
    let rows = sqlx::query(&sql).bind(after).bind(limit).bind(cut).fetch_all(executor).await?;
    rows.iter().map(read).collect()
}

/// The id of the dead letter with this number; `None` where there is none.
pub async fn id_at(
    executor: impl PgExecutor<'_>,
    number: i64,
) -> Result<Option<Uuid>, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT id FROM dead_letters WHERE number = $1").bind(number);
    query.fetch_optional(executor).await
}

/// The number of the last one; 0 where there is none.
pub async fn last(executor: impl PgExecutor<'_>) -> Result<i64, sqlx::Error> {
    let last = "SELECT coalesce(max(number), 0) FROM dead_letters";
    sqlx::query_scalar(last).fetch_one(executor).await
}

/// Those with these ids, in order; of each value at most the first `cut` bytes.
pub async fn find(pool: &PgPool, ids: &[Uuid], cut: i32) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let columns = COLUMNS.replace(" value,", " substring(value from 1 for $2) AS value,");
    let sql = format!("SELECT {columns} FROM dead_letters WHERE id = ANY ($1) ORDER BY number");
    sqlx::query(&sql).bind(ids).bind(cut).fetch_all(pool).await?.iter().map(read).collect()
}

/// Which dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those of this topic.
    pub topic: Option<String>,
    /// Also those that somebody has seen to.
    pub settled: bool,
}

/// A page of those that fit.
pub async fn list(
    pool: &PgPool,
    filter: &Filter,
    page: &KeptPage,
) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let columns = COLUMNS.replace(" value,", " substring(value from 1 for $4) AS value,");
    let sql = format!(
        "SELECT {columns} FROM dead_letters WHERE {} \
         AND ($2::text IS NULL OR topic = $2) AND ($5 OR settled_as IS NULL) ORDER BY number {} LIMIT $3",
        page.condition(),
        page.direction()
    );
    let query = sqlx::query(&sql).bind(page.from).bind(&filter.topic).bind(page.limit);
    let query = query.bind(page.cut).bind(filter.settled);
    query.fetch_all(pool).await?.iter().map(read).collect()
}

/// How many fit.
pub async fn count(pool: &PgPool, filter: &Filter) -> Result<i64, sqlx::Error> {
    let count = "SELECT count(*) FROM dead_letters \
                 WHERE ($1::text IS NULL OR topic = $1) AND ($2 OR settled_as IS NULL)";
    sqlx::query_scalar(count).bind(&filter.topic).bind(filter.settled).fetch_one(pool).await
}

/// Numbers and ids of those behind `after` that nobody has seen to, of one topic where it is given, in order.
pub async fn open_ids(
    pool: &PgPool,
    topic: Option<&str>,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, Uuid)>, sqlx::Error> {
    sqlx::query_as(
        "SELECT number, id FROM dead_letters \
         WHERE number > $1 AND settled_as IS NULL AND ($2::text IS NULL OR topic = $2) ORDER BY number LIMIT $3",
    )
    .bind(after)
    .bind(topic)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// How many nobody has seen to.
pub async fn count_open(pool: &PgPool) -> Result<i64, sqlx::Error> {
    let count = "SELECT count(*) FROM dead_letters WHERE settled_as IS NULL";
    sqlx::query_scalar(count).fetch_one(pool).await
}

fn read(row: &PgRow) -> Result<DeadLetter, sqlx::Error> {
    let how: Option<String> = row.try_get("settled_as")?;
    let at: Option<DateTime<Utc>> = row.try_get("settled_at")?;
    let (by, reason) = (row.try_get("settled_by")?, row.try_get("settled_reason")?);
    Ok(DeadLetter {
        number: row.try_get("number")?,
        id: row.try_get("id")?,
        identity: row.try_get("identity")?,
        code: row.try_get("code")?,
        reason: row.try_get("reason")?,
        group: row.try_get("group_id")?,
        dead_at: row.try_get("dead_at")?,
        record: record(row)?,
        bytes: row.try_get("bytes")?,
        settled: how.zip(at).map(|(how, at)| Settled { how, at, by, reason }),
    })
}

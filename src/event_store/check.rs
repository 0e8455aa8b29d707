//! Whether the log keeps its own rules.

use sqlx::{PgConnection, PgPool, Row};

/// The most violations of a kind that are named.
const NAMED: i64 = 100;

/// A rule that the log breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where.
    pub position: i64,
    /// What is wrong.
    pub what: String,
}

/// Looks for gaps in the positions, for streams whose versions are no chain from 1 in the log's order, and for a
/// command without its end. Reads the whole log, in one snapshot. Of each kind at most the first 100.
pub async fn check(pool: &PgPool) -> Result<Vec<Violation>, sqlx::Error> {
    let mut snapshot = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *snapshot).await?;
    let mut found = gaps(&mut snapshot).await?;
    found.extend(chains(&mut snapshot).await?);
    found.extend(open_command(&mut snapshot).await?);
    snapshot.rollback().await?;
    Ok(found)
}

async fn gaps(connection: &mut PgConnection) -> Result<Vec<Violation>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT before, after FROM ( \
           SELECT position AS before, lead(position) OVER (ORDER BY position) AS after \
           FROM (SELECT position FROM events UNION ALL SELECT 0 \
                 UNION ALL SELECT position + 1 FROM log_head) AS places) AS pairs \
         WHERE after <> before + 1 ORDER BY before LIMIT $1",
    )
    .bind(NAMED)
    .fetch_all(connection)
    .await?;
    let gap = |row: sqlx::postgres::PgRow| {
        let (before, after): (i64, i64) = (row.try_get("before")?, row.try_get("after")?);
        let what = if after <= before {
            "the log has an event behind its end, or two in one place".to_owned()
        } else {
            format!("the log has no events from {} to {}", before + 1, after - 1)
        };
        Ok(Violation { position: before, what })
    };
    rows.into_iter().map(gap).collect()
}

async fn chains(connection: &mut PgConnection) -> Result<Vec<Violation>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT aggregate_type, aggregate_id, position, sequence, number FROM ( \
           SELECT aggregate_type, aggregate_id, position, sequence, \
                  row_number() OVER (PARTITION BY aggregate_type, aggregate_id ORDER BY position) AS number \
           FROM events) AS numbered \
         WHERE sequence <> number ORDER BY position LIMIT $1",
    )
    .bind(NAMED)
    .fetch_all(connection)
    .await?;
    let broken = |row: sqlx::postgres::PgRow| {
        let (kind, id): (&str, &str) =
            (row.try_get("aggregate_type")?, row.try_get("aggregate_id")?);
        let (sequence, number): (i64, i64) = (row.try_get("sequence")?, row.try_get("number")?);
        let what = format!("{kind}/{id} has version {sequence}, where {number} comes next");
        Ok(Violation { position: row.try_get("position")?, what })
    };
    rows.into_iter().map(broken).collect()
}

async fn open_command(connection: &mut PgConnection) -> Result<Option<Violation>, sqlx::Error> {
    let last = "SELECT position FROM events ORDER BY position DESC LIMIT 1";
    let last = format!(
        "SELECT position FROM ({last}) AS l JOIN events e USING (position) WHERE NOT e.last_of_command"
    );
    let open: Option<i64> = sqlx::query_scalar(&last).fetch_optional(connection).await?;
    Ok(open.map(|position| Violation {
        position,
        what: "the log ends inside of a command".to_owned(),
    }))
}

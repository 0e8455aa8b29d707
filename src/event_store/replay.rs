//! Reading the log for read models: only what concerns them, in the order of positions or course by course.
//!
//! ## Decision
//! A rebuild reads the log course by course, by the index on `(course_id, position)`: all events of a course come one
//! after the other, so its rows are folded once, written once and never read back, and a worker holds the rows of one
//! portion. The price is a scattered read of the table, which a disk without fast random access would feel; reading
//! in the order of positions would cost a cache of half-folded rows and a second read of whatever falls out of it.

use futures::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, Row};

use super::log::{FOR_ROWS, ReadError, Recorded, decode_for_rows};
use super::position::Position;
use crate::domain::StreamType;

/// A piece of the log in the order of positions: whole commands.
#[derive(Debug, Default)]
pub struct Window {
    /// The events of the wanted kinds.
    pub events: Vec<Recorded>,
    /// Where each command ends, with the number of wanted events up to there.
    ends: Vec<(Position, usize)>,
}

impl Window {
    /// Where it ends; `None` where there is nothing more.
    pub fn end(&self) -> Option<Position> {
        self.ends.last().map(|(position, _)| *position)
    }

    /// Only the first command that has something wanted, and what comes before it.
    pub fn first_command(&mut self) {
        if let Some(first) = self.ends.iter().position(|(_, events)| *events > 0) {
            self.ends.truncate(first + 1);
            self.events.truncate(self.ends[first].1);
        }
    }
}

/// At most `limit` events behind `after`, in order, never a part of a command; of other kinds than `kinds` none is
/// decoded. A kind that this release doesn't know may concern everybody: it counts as wanted, and does not decode.
///
/// Where an event does not decode, the commands before it come first; the error follows with the next call.
pub async fn read_window(
    executor: impl PgExecutor<'_>,
    after: i64,
    limit: i64,
    kinds: &[StreamType],
) -> Result<Window, ReadError> {
    let rows = page(executor, after, limit, kinds).await?;
    let mut window = Window::default();
    for row in &rows {
        if row.try_get("wanted")? {
            match decode_for_rows(row) {
                Ok(event) => window.events.push(event),
                Err(error) if window.ends.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        if row.try_get("last_of_command")? {
            let (epoch, number) = (row.try_get("epoch")?, row.try_get("position")?);
            window.ends.push((Position { epoch, number }, window.events.len()));
        }
    }
    window.events.truncate(window.ends.last().map_or(0, |(_, events)| *events));
    Ok(window)
}

/// By what the events of a chunk are found and ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// By the course that they concern, then by position.
    Courses,
    /// By the stream of the user, then by sequence: these concern no course.
    Users,
}

impl Scope {
    /// The stored name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Courses => "courses",
            Self::Users => "users",
        }
    }

    /// The scope with this stored name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Courses, Self::Users].into_iter().find(|scope| scope.as_str() == name)
    }
}

/// A portion of the log: every event of some courses, or of some users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Courses or users.
    pub scope: Scope,
    /// Behind this id.
    pub after: String,
    /// Up to and with this one.
    pub upto: String,
    /// How many events it holds.
    pub events: i64,
}

/// The log up to a position in chunks of `size` events, or of one course where that has more, and how many events it
/// has. Each event that concerns a course or a user is in one chunk: where others do not, the numbers differ.
pub async fn chunks(
    connection: &mut PgConnection,
    upto: i64,
    size: i64,
) -> sqlx::Result<(Vec<Chunk>, i64)> {
    let mut chunks = Vec::new();
    let scopes = [
        (Scope::Courses, "course_id", "course_id IS NOT NULL"),
        (Scope::Users, "aggregate_id", "course_id IS NULL AND aggregate_type = 'user'"),
    ];
    for (scope, key, of) in scopes {
        let sql = format!(
            "WITH sizes AS (SELECT {key} AS key, count(*) AS events FROM events \
                            WHERE {of} AND position <= $1 GROUP BY {key}), \
                  placed AS (SELECT key, events, div(sum(events) OVER (ORDER BY key) - 1, $2) AS place FROM sizes) \
             SELECT max(key), sum(events)::bigint FROM placed GROUP BY place ORDER BY place"
        );
        let rows: Vec<(String, i64)> =
            sqlx::query_as(&sql).bind(upto).bind(size).fetch_all(&mut *connection).await?;
        let mut after = String::new();
        for (upto, events) in rows {
            chunks.push(Chunk { scope, after, upto: upto.clone(), events });
            after = upto;
        }
    }
    let all: i64 = sqlx::query_scalar("SELECT count(*) FROM events WHERE position <= $1")
        .bind(upto)
        .fetch_one(connection)
        .await?;
    Ok((chunks, all))
}

/// Reads the events of a chunk up to a position, those of a course or of a user in their order.
///
/// The settings of the connection's transaction are changed: the index gives the order, and a sort of whole events
/// would go to the disk.
pub async fn read_chunk(
    connection: &mut PgConnection,
    chunk: &Chunk,
    upto: i64,
    kinds: &[StreamType],
    mut each: impl FnMut(&Recorded),
) -> Result<(), ReadError> {
    set_planner(connection, "off").await?;
    let (of, key, order) = match chunk.scope {
        Scope::Courses => ("TRUE", "course_id", "course_id, position"),
        Scope::Users => (
            "course_id IS NULL AND aggregate_type = 'user'",
            "aggregate_id",
            "aggregate_id, sequence",
        ),
    };
    let sql = format!(
        "SELECT {FOR_ROWS}, payload FROM events WHERE {of} AND {key} > $1 AND {key} <= $2 AND position <= $3 \
         AND aggregate_type <> ALL ($4) ORDER BY {order}"
    );
    {
        let query =
            sqlx::query(&sql).bind(&chunk.after).bind(&chunk.upto).bind(upto).bind(others(kinds));
        let mut rows = query.fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            each(&decode_for_rows(&row)?);
        }
    }
    set_planner(connection, "on").await
}

async fn set_planner(connection: &mut PgConnection, to: &str) -> Result<(), ReadError> {
    sqlx::query(
        "SELECT set_config('enable_sort', $1, true), set_config('enable_bitmapscan', $1, true), \
                set_config('enable_seqscan', $1, true)",
    )
    .bind(to)
    .execute(connection)
    .await?;
    Ok(())
}

/// An event that does not decode.
#[derive(Debug)]
pub struct Failure {
    /// The kind of its stream; `None` where this release doesn't know that.
    pub kind: Option<StreamType>,
    /// Its place, its type and the cause.
    pub error: ReadError,
}

/// What of the `limit` positions behind `after` does not decode, and where that ends: `None` at the end of the log.
pub async fn failures(
    executor: impl PgExecutor<'_>,
    after: i64,
    limit: i64,
    kinds: &[StreamType],
) -> Result<(Vec<Failure>, Option<i64>), ReadError> {
    let (mut failures, mut end) = (Vec::new(), None);
    for row in page(executor, after, limit, kinds).await? {
        end = Some(row.try_get("position")?);
        if !row.try_get::<bool, _>("wanted")? {
            continue;
        }
        match decode_for_rows(&row) {
            Ok(_) => {}
            Err(error @ ReadError::Undecodable { .. }) => {
                let kind = StreamType::parse(row.try_get("aggregate_type")?);
                failures.push(Failure { kind, error });
            }
            Err(error) => return Err(error),
        }
    }
    Ok((failures, end))
}

/// The rows of a piece of the log; what is not wanted comes without its payload.
async fn page(
    executor: impl PgExecutor<'_>,
    after: i64,
    limit: i64,
    kinds: &[StreamType],
) -> sqlx::Result<Vec<PgRow>> {
    let sql = format!(
        "SELECT {FOR_ROWS}, wanted, CASE WHEN wanted THEN payload END AS payload FROM events \
         CROSS JOIN LATERAL (SELECT aggregate_type <> ALL ($3) AS wanted) w \
         WHERE position > $1 ORDER BY position LIMIT $2"
    );
    sqlx::query(&sql).bind(after).bind(limit).bind(others(kinds)).fetch_all(executor).await
}

/// The kinds that need not be looked at.
fn others(kinds: &[StreamType]) -> Vec<&'static str> {
    let others = StreamType::ALL.into_iter().filter(|kind| !kinds.contains(kind));
    others.map(StreamType::as_str).collect()
}

//! Whether commands get slower as the log grows.

use std::time::{Duration, Instant};

use anyhow::ensure;
use sqlx::Executor as _;

use crate::figures::{Rate, Rates, Table, for_a_while};
use crate::ours::{Ours, user};
use crate::server::{Server, pool};

const IN_FLIGHT: usize = 64;
const EVENTS: i64 = 1_000_000;
const ROUNDS: usize = 7;
const WARM_UP: Duration = Duration::from_millis(300);
const TIME: Duration = Duration::from_millis(1_500);
/// What a worker does in its turn: create, publish, enroll.
const COMMANDS: i32 = 3;

/// Published courses, four events each, with the ids and shapes that the service gives them.
const FILL: &str = r#"
    INSERT INTO events
    SELECT kind, id, sequence, event_type, '1', payload, '{"actor":"ada"}', position, 0,
           (SELECT recorded_at FROM log_head) - make_interval(secs => ($1 - position) / 1000.0),
           ('01900000-0000-7000-9000-' || lpad(to_hex(position), 12, '0'))::uuid,
           ('01900000-0000-7000-a000-' || lpad(to_hex(n), 12, '0'))::uuid,
           step = 4, id
    FROM (SELECT n, step, (n - 1) * 4 + step AS position,
                 '01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0') AS id
          FROM generate_series(1, $1 / 4) AS n, generate_series(1, 4) AS step) AS counted,
         LATERAL (VALUES
            (1, 'course', 1, 'CourseCreated', jsonb_build_object('CourseCreated', jsonb_build_object(
                'course_id', id, 'code', md5(n::text), 'title', 'Course ' || n, 'instructor_ids', '["ada"]'::jsonb,
                'description', 'What happened, in the order in which it happened.'))),
            (2, 'course', 2, 'CoursePublished', '{"CoursePublished":{}}'),
            (3, 'seats', 1, 'SeatsDefined', '{"SeatsDefined":{}}'),
            (4, 'seats', 2, 'SeatsOpened', '{"SeatsOpened":{"promoted":[]}}')
         ) AS shapes (of_step, kind, sequence, event_type, payload)
    WHERE of_step = step
    ORDER BY position"#;
const FILL_KEYS: &str = "
    INSERT INTO keys
    SELECT 'course_code', md5(n::text), '01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'), n * 4, clock_timestamp()
    FROM generate_series(1, $1 / 4) AS n";

pub(crate) async fn run(server: &Server, table: &mut Table) -> anyhow::Result<()> {
    let full = server.migrated("full").await?;
    fill(&full).await?;
    let (mut rates, mut empty_rates) = (Rates::default(), Rates::default());
    for round in 1..=ROUNDS {
        // The order changes: whoever comes first finds a quieter disk.
        for is_full in if round % 2 == 0 { [true, false] } else { [false, true] } {
            if is_full {
                rates.push(measure(&full, EVENTS).await?);
            } else {
                let url = server.migrated(&empty_name(round)).await?;
                empty_rates.push(measure(&url, 0).await?);
            }
        }
        eprintln!("  round {round}: {:.0}/s, {:.0}/s", rates.last(), empty_rates.last());
    }
    let what = "64 × create, publish, enroll on a log of 1,000,000 events";
    table.rate(what, &rates, ("the same on an empty log", &empty_rates), 0.9);
    server.drop("full").await?;
    for round in 1..=ROUNDS {
        server.drop(&empty_name(round)).await?;
    }
    Ok(())
}

/// A fresh one each round, and none dropped between them: that forces a checkpoint, after which only the full log
/// would write whole pages to the WAL again.
fn empty_name(round: usize) -> String {
    format!("empty_{round}")
}

async fn fill(url: &str) -> anyhow::Result<()> {
    let clock = Instant::now();
    let pool = pool(url, 1).await?;
    for statement in [FILL, FILL_KEYS] {
        sqlx::query(statement).bind(EVENTS).execute(&pool).await?;
    }
    sqlx::query("UPDATE log_head SET position = $1").bind(EVENTS).execute(&pool).await?;
    pool.execute("VACUUM (ANALYZE) events").await?;
    pool.execute("VACUUM (ANALYZE) keys").await?;
    pool.execute("CHECKPOINT").await?;
    pool.close().await;
    eprintln!("  filled in {:.1} s", clock.elapsed().as_secs_f64());
    Ok(())
}

async fn measure(url: &str, at_least: i64) -> anyhow::Result<Rate> {
    let ours = Ours::open(url)?;
    let before = head(&ours).await?;
    ensure!(before >= at_least, "the log holds {before} events");
    turns(&ours, WARM_UP).await?;
    let rate = turns(&ours, TIME).await?;
    let (head, events): (i64, i64) = sqlx::query_as(
        "SELECT (SELECT position FROM log_head), (SELECT count(*) FROM events WHERE position > $1)",
    )
    .bind(before)
    .fetch_one(&ours.pool)
    .await?;
    ensure!(head - before == events, "the log has a gap");
    ours.pool.close().await;
    Ok(rate)
}

async fn head(ours: &Ours) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar("SELECT position FROM log_head").fetch_one(&ours.pool).await?)
}

async fn turns(ours: &Ours, time: Duration) -> anyhow::Result<Rate> {
    let ours = ours.clone();
    let step = move |_, _| {
        let ours = ours.clone();
        async move {
            let course = ours.create(Some(30), false).await?;
            ours.publish(&course).await?;
            ours.enroll(&course, &user("sam")?).await.map(drop)
        }
    };
    let Rate(turns) = for_a_while(IN_FLIGHT, time, step).await?;
    Ok(Rate(turns * f64::from(COMMANDS)))
}

//! `course-service events`.

use std::io::{ErrorKind, Write, stdout};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use sqlx::PgPool;

use super::end_token;
use crate::app::config::Config;
use crate::app::database;
use crate::domain::{CourseId, Refusal};
use crate::event_store::Recorded;
use crate::event_store::log::{self, ReadError};

/// More than the events of any one command.
const BATCH: i64 = 2_000;
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only the events of this course, of all its streams.
    #[arg(long, value_name = "ID", value_parser = course_id)]
    course: Option<CourseId>,
    /// Begin at this position; by default at the first event.
    #[arg(long, value_name = "POSITION", default_value_t = 1, value_parser = clap::value_parser!(i64).range(0..))]
    from: i64,
    /// Go on with new events until Ctrl-C.
    #[arg(long)]
    follow: bool,
}

fn course_id(text: &str) -> Result<CourseId, Refusal> {
    CourseId::parse(text, "it")
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let pool = database::reached(config.database_url()?, 2).await?;
        let mut after = (self.from - 1).max(0);
        let end = end_token();
        while !end.is_cancelled() {
            let events = read(&pool, self.course.as_ref(), after).await?;
            for event in &events {
                after = event.position.number;
                match writeln!(stdout(), "{}", line(event)?) {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                    written => written.context("stdout cannot be written")?,
                }
            }
            if events.is_empty() {
                if !self.follow {
                    return Ok(());
                }
                let _ = end.run_until_cancelled(tokio::time::sleep(POLL)).await;
            }
        }
        Ok(())
    }
}

async fn read(
    pool: &PgPool,
    course: Option<&CourseId>,
    after: i64,
) -> Result<Vec<Recorded>, ReadError> {
    match course {
        Some(course) => log::read_course_after(pool, course, after, BATCH).await,
        None => log::read_after(pool, after, BATCH).await,
    }
}

fn line(event: &Recorded) -> anyhow::Result<String> {
    let payload: serde_json::Value = serde_json::from_str(&event.event.to_json()?)?;
    let line = json!({
        "position": event.position.number,
        "epoch": event.position.epoch,
        "recordedAt": event.recorded_at,
        "stream": event.stream.to_string(),
        "sequence": event.sequence,
        "type": event.event.name(),
        "payload": payload.get(event.event.name()),
        "course": event.course,
        "eventId": event.event_id,
        "commandId": event.command_id,
        "actor": event.metadata.actor,
        "correlationId": event.metadata.correlation_id,
    });
    Ok(line.to_string())
}

//! `course-service bridge`.

use clap::Subcommand;
use serde_json::json;

use super::Usage;
use crate::app::config::Config;
use crate::app::database;
use crate::kafka::bridge::{ResumeFrom, report, resume};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows how far it is, who drives it and what it waits for.
    #[command(after_help = "Example:\n  course-service bridge status --json")]
    Status {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Tells a bridge that refuses where to go on.
    #[command(after_help = "Example:\n  course-service bridge resume --from progress")]
    Resume {
        /// `progress` (the topic's word), `postgres` (the copy's) or a position of the log.
        #[arg(long, value_parser = parse)]
        from: ResumeFrom,
    },
}

fn parse(text: &str) -> Result<ResumeFrom, String> {
    match text {
        "progress" => Ok(ResumeFrom::Progress),
        "postgres" => Ok(ResumeFrom::Postgres),
        _ => text
            .parse()
            .ok()
            .filter(|position| *position >= 0)
            .map(ResumeFrom::Position)
            .ok_or_else(|| "must be progress, postgres or a position of the log".to_owned()),
    }
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let pool = database::reached(config.database_url()?, 1).await?;
        match self.command {
            Command::Resume { from } => {
                let head = report(&pool, &config.kafka.topic_prefix).await?.head;
                if let ResumeFrom::Position(position) = from
                    && position > head
                {
                    return Err(Usage(format!("the log ends at position {head}")).into());
                }
                resume(&pool, from).await?;
                println!("the bridge will go on from {from}");
            }
            Command::Status { json } => {
                let report = report(&pool, &config.kafka.topic_prefix).await?;
                let position = report.progress.as_ref().map_or(0, |progress| progress.position);
                let (holder, until) = report.lease.unzip();
                if json {
                    let object = json!({
                        "position": position, "head": report.head, "lag": report.lag(),
                        "updatedAt": report.updated_at, "holder": holder, "leaseUntil": until,
                        "resume": report.resume.map(|from| from.to_string()),
                    });
                    println!("{}", serde_json::to_string_pretty(&object)?);
                    return Ok(());
                }
                println!("position  {position} of {} ({} behind)", report.head, report.lag());
                match (holder, until) {
                    (Some(holder), Some(until)) => println!("lease     {holder} until {until}"),
                    _ => println!("lease     nobody"),
                }
                if let Some(from) = report.resume {
                    println!("ordered   to go on from {from}");
                }
            }
        }
        Ok(())
    }
}

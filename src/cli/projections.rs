//! `course-service projections`.

pub(super) mod progress;

use std::thread::available_parallelism;

use clap::Subcommand;
use sqlx::PgPool;

use self::progress::Shown;
use super::Usage;
use crate::app::config::Config;
use crate::app::database;
use crate::projections::rebuild::{self, Options, RebuildError, Rebuilt, Report, Verified};
use crate::projections::{Checkpoints, READ_MODELS, ReadModel};

/// Connections beyond those of the workers: signs of life, and what comes before and after.
const OTHER_CONNECTIONS: u32 = 8;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows each read model: its generation, position and lag, and what stands beside it.
    #[command(after_help = "Example:\n  course-service projections list --json")]
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Builds read models anew from the whole log, beside the live ones, and sends readers there. Run it again to go on
    /// after an interruption.
    #[command(
        after_help = "Example:\n  course-service projections rebuild courses_v2 enrollments_v3\n  course-service projections rebuild all"
    )]
    Rebuild {
        /// Which, as `list` names them, or `all`.
        #[arg(required = true)]
        names: Vec<String>,
        /// How many portions of the log are folded at a time [default: twice the processors, at most 8].
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=32))]
        workers: Option<u8>,
        /// Only says which events would stop it.
        #[arg(long, conflicts_with_all = ["workers", "no_switch"])]
        dry_run: bool,
        /// Leaves the result beside the live tables, for `projections switch`.
        #[arg(long)]
        no_switch: bool,
    },
    /// Compares live read models with a fresh fold of the log, while writes go on. Exit code 1 where they differ.
    #[command(after_help = "Example:\n  course-service projections verify all")]
    Verify {
        /// Which, as `list` names them, or `all`.
        #[arg(required = true)]
        names: Vec<String>,
        /// How many portions of the log are folded at a time [default: twice the processors, at most 8].
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=32))]
        workers: Option<u8>,
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Sends readers to the generation that `rebuild --no-switch` has built.
    #[command(after_help = "Example:\n  course-service projections switch courses_v2")]
    Switch {
        /// Which, as `list` names them, or `all`.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Sends readers back to the generation that was live before, brought up to date.
    #[command(after_help = "Example:\n  course-service projections rollback courses_v2")]
    Rollback {
        /// Which, as `list` names them, or `all`.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        match self.command {
            Command::List { json } => {
                list(&Checkpoints::new(connect(config, 1).await?), json).await
            }
            Command::Rebuild { names, dry_run: true, .. } => {
                let models = named(&names)?;
                dry_run(&connect(config, 1).await?, &models).await
            }
            Command::Rebuild { names, workers, no_switch, .. } => {
                let (models, workers) = (named(&names)?, workers_of(workers));
                let pool = connect(config, workers).await?;
                rebuild(&pool, &models, Options { workers, switch: !no_switch }).await
            }
            Command::Verify { names, workers, json } => {
                let (models, workers) = (named(&names)?, workers_of(workers));
                verify(&connect(config, workers).await?, &models, workers, json).await
            }
            Command::Switch { names } => {
                let models = named(&names)?;
                rebuild::switch(&connect(config, 1).await?, &models).await?;
                readers_at(
                    &models,
                    "now read what was rebuilt; `projections rollback` sends them back",
                );
                Ok(())
            }
            Command::Rollback { names } => {
                let models = named(&names)?;
                rebuild::roll_back(&connect(config, 1).await?, &models).await?;
                readers_at(
                    &models,
                    "read the former generation again; `projections switch` undoes that",
                );
                Ok(())
            }
        }
    }
}

pub(super) async fn connect(config: &Config, workers: usize) -> anyhow::Result<PgPool> {
    let connections = u32::try_from(workers).unwrap_or(1) + OTHER_CONNECTIONS;
    database::reached(config.database_url()?, connections).await
}

pub(super) fn workers_of(given: Option<u8>) -> usize {
    let processors = available_parallelism().map_or(1, usize::from);
    given.map_or((processors * 2).min(8), usize::from)
}

/// The read models with these names, each once.
fn named(names: &[String]) -> Result<Vec<&'static ReadModel>, Usage> {
    let known = |name: &str| READ_MODELS.iter().any(|model| model.name == name);
    if let Some(unknown) = names.iter().find(|name| *name != "all" && !known(name)) {
        let known: Vec<_> = READ_MODELS.iter().map(|model| model.name).collect();
        return Err(Usage(format!(
            "there is no projection {unknown}; there are {}, and all",
            known.join(", ")
        )));
    }
    let wanted = |model: &&ReadModel| names.iter().any(|name| name == "all" || name == model.name);
    Ok(READ_MODELS.iter().filter(wanted).collect())
}

fn readers_at(models: &[&'static ReadModel], what: &str) {
    for model in models {
        println!("{}: readers {what}", model.name);
    }
}

async fn rebuild(
    pool: &PgPool,
    models: &[&'static ReadModel],
    options: Options,
) -> anyhow::Result<()> {
    let shown = Shown::new();
    let rebuilt = rebuild::rebuild(pool, models, options, &report(&shown)).await;
    shown.end();
    let rebuilt = match rebuilt {
        Err(RebuildError::Differs(tables)) => {
            tables.iter().for_each(print_differences);
            return Err(RebuildError::Differs(tables).into());
        }
        other => other?,
    };
    let Rebuilt { events, resumed, filling, verified } = rebuilt;
    if resumed > 0 {
        println!("{resumed} of {events} events were done by an interrupted run");
    }
    for table in verified {
        println!(
            "{}: rebuilt from {events} events in {:.1} s, {} rows, checksum {}, as a fresh fold has it at position {}",
            table.name,
            filling.as_secs_f64(),
            table.rows,
            table.checksum,
            table.position
        );
    }
    let next = if options.switch {
        "now read it; `projections rollback` sends them back"
    } else {
        "read what they read before; `projections switch` sends them to it"
    };
    readers_at(models, next);
    Ok(())
}

pub(super) fn report(shown: &Shown) -> Report {
    let shown = shown.clone();
    Report::to(move |progress| shown.hear(progress))
}

async fn verify(
    pool: &PgPool,
    models: &[&'static ReadModel],
    workers: usize,
    json: bool,
) -> anyhow::Result<()> {
    let shown = Shown::new();
    let verified = rebuild::verify(pool, models, workers, &report(&shown)).await;
    shown.end();
    let verified = verified?;
    if json {
        let tables: Vec<_> = verified.iter().map(to_json).collect();
        println!("{}", serde_json::to_string_pretty(&tables)?);
    } else {
        print_verified(&verified);
    }
    let differ: Vec<_> =
        verified.iter().filter(|table| table.count > 0).map(|table| table.name).collect();
    if differ.is_empty() {
        return Ok(());
    }
    anyhow::bail!("not as the log has it: {}; rebuild what differs", differ.join(", "))
}

pub(super) fn to_json(table: &Verified) -> serde_json::Value {
    let differences = table
        .differences
        .iter()
        .map(|difference| serde_json::json!({ "key": difference.key, "what": difference.what }));
    serde_json::json!({
        "name": table.name, "position": table.position, "rows": table.rows, "checksum": table.checksum,
        "expectedRows": table.expected_rows, "differing": table.count,
        "differences": differences.collect::<Vec<_>>(),
    })
}

pub(super) fn print_verified(verified: &[Verified]) {
    verified.iter().for_each(print_differences);
    for table in verified.iter().filter(|table| table.count == 0) {
        println!(
            "{}: {} rows at position {}, checksum {}, as the log has them",
            table.name, table.rows, table.position, table.checksum
        );
    }
}

fn print_differences(table: &Verified) {
    for difference in &table.differences {
        println!(
            "{} {} at position {}: {}",
            table.name, difference.key, table.position, difference.what
        );
    }
    let more = table.count - i64::try_from(table.differences.len()).unwrap_or_default();
    if more > 0 {
        println!("{}: {more} more", table.name);
    }
}

async fn dry_run(pool: &PgPool, models: &[&'static ReadModel]) -> anyhow::Result<()> {
    let shown = Shown::new();
    let failing = rebuild::dry_run(pool, models, &report(&shown)).await;
    shown.end();
    let failing = failing?;
    for failing in &failing {
        let cause = std::error::Error::source(&failing.error);
        let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
        println!("{}{cause}; it would stop {}", failing.error, failing.stops.join(", "));
    }
    if failing.is_empty() {
        println!("every event can be read; nothing was built");
        return Ok(());
    }
    anyhow::bail!("{} events would stop the rebuild; nothing was built", failing.len())
}

async fn list(checkpoints: &Checkpoints, json: bool) -> anyhow::Result<()> {
    let all = checkpoints.list().await?;
    if json {
        let rows: Vec<_> = all
            .iter()
            .map(|row| {
                let beside = row.beside.as_ref().map(|beside| {
                    serde_json::json!({
                        "generation": beside.generation, "state": beside.state,
                        "position": beside.position,
                    })
                });
                serde_json::json!({
                    "name": row.name, "version": row.version(), "generation": row.generation,
                    "epoch": row.epoch, "position": row.position, "lag": row.lag, "built": row.built,
                    "updatedAt": row.updated_at, "beside": beside,
                })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    println!(
        "{:<16} {:>7} {:>10} {:>12} {:>8}  {:<20}  beside",
        "name", "version", "generation", "position", "lag", "updated"
    );
    for row in all {
        let beside = row.beside.as_ref().map_or_else(
            || if row.built { String::new() } else { "(not read before it is built)".to_owned() },
            |beside| format!("{} at {}, {}", beside.generation, beside.position, beside.state),
        );
        let line = format!(
            "{:<16} {:>7} {:>10} {:>12} {:>8}  {}  {beside}",
            row.name,
            row.version(),
            row.generation,
            row.position,
            row.lag,
            row.updated_at.format("%Y-%m-%dT%H:%M:%SZ")
        );
        println!("{}", line.trim_end());
    }
    Ok(())
}

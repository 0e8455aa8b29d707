//! `course-service projections`.

use std::io::{IsTerminal, Write, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Subcommand;

use super::Usage;
use crate::app::config::Config;
use crate::app::database;
use crate::projections::{Checkpoints, runners};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows each read model: its generation, position and lag.
    #[command(after_help = "Example:\n  course-service projections list --json")]
    List {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Builds read models again from the whole log. Readers see the old rows until it is done.
    #[command(
        after_help = "Example:\n  course-service projections rebuild courses_v2 enrollments_v3"
    )]
    Rebuild {
        /// Which, as `list` names them.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let pool = database::reached(config.database_url()?, 4).await?;
        let checkpoints = Checkpoints::new(pool.clone());
        match self.command {
            Command::List { json } => list(&checkpoints, json).await,
            Command::Rebuild { names } => {
                let known = runners(&checkpoints);
                for name in &names {
                    if !known.iter().any(|runner| runner.name == name) {
                        let names: Vec<_> = known.iter().map(|runner| runner.name).collect();
                        let names = names.join(", ");
                        return Err(Usage(format!(
                            "there is no projection {name}; there are {names}"
                        ))
                        .into());
                    }
                }
                for runner in known.iter().filter(|runner| names.iter().any(|n| n == runner.name)) {
                    let progress = Progress::of(runner.name);
                    let report = {
                        let progress = progress.clone();
                        Arc::new(move |done, total| progress.show(done, total))
                    };
                    let clock = Instant::now();
                    let events = runner.rebuild(&pool, report).await?;
                    progress.end();
                    println!(
                        "{}: rebuilt from {events} events in {:.1} s",
                        runner.name,
                        clock.elapsed().as_secs_f64()
                    );
                }
                Ok(())
            }
        }
    }
}

async fn list(checkpoints: &Checkpoints, json: bool) -> anyhow::Result<()> {
    let all = checkpoints.list().await?;
    if json {
        let rows: Vec<_> = all
            .iter()
            .map(|row| {
                serde_json::json!({
                    "name": row.name, "generation": row.generation, "epoch": row.epoch,
                    "position": row.position, "lag": row.lag, "updatedAt": row.updated_at,
                })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    println!("{:<16} {:>10} {:>12} {:>8}  updated", "name", "generation", "position", "lag");
    for row in all {
        println!(
            "{:<16} {:>10} {:>12} {:>8}  {}",
            row.name,
            row.generation,
            row.position,
            row.lag,
            row.updated_at.format("%Y-%m-%dT%H:%M:%SZ")
        );
    }
    Ok(())
}

/// A progress line on a terminal, plain lines elsewhere, on stderr.
#[derive(Clone)]
struct Progress {
    name: &'static str,
    started: Instant,
    shown: Arc<Mutex<Option<Instant>>>,
    terminal: bool,
}

impl Progress {
    fn of(name: &'static str) -> Self {
        let terminal = stderr().is_terminal();
        Self { name, started: Instant::now(), shown: Arc::default(), terminal }
    }

    fn show(&self, done: i64, total: i64) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let every = Duration::from_millis(if self.terminal { 100 } else { 2_000 });
        if done < total && shown.is_some_and(|at| at.elapsed() < every) {
            return;
        }
        *shown = Some(Instant::now());
        #[expect(clippy::cast_precision_loss, reason = "for people to read")]
        let (rate, left) = {
            let rate = done as f64 / self.started.elapsed().as_secs_f64().max(0.001);
            (rate, (total - done) as f64 / rate.max(1.0))
        };
        let line = format!("{}: {done}/{total} events, {rate:.0}/s, {left:.0} s left", self.name);
        let (start, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let _ = write!(stderr(), "{start}{line}{end}");
    }

    fn end(&self) {
        if self.terminal {
            let _ = writeln!(stderr());
        }
    }
}

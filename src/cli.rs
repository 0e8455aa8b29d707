//! The command line: one binary, roles as subcommands.

mod bridge;
mod contract_check;
mod dead_letters;
mod dev;
mod doctor;
mod events;
mod inbound;
mod kept;
mod operator;
mod parked;
mod projections;
mod restore;
mod serve;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::app::config::{Config, ConfigError};
use crate::app::{database, telemetry};
use crate::event_store::migrate;
use crate::graphql;

/// Course management: an event log on Postgres, read models behind GraphQL, exactly-once messages on Kafka.
#[derive(Debug, Parser)]
#[command(name = "course-service", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the whole stack with nothing installed by hand, and serves.
    #[command(after_help = "Example:\n  course-service dev --ephemeral")]
    Dev(dev::Args),
    /// Runs the service against `DATABASE_URL`, `KAFKA_BROKER` and `USER_MANAGEMENT_SERVICE_URL`.
    #[command(after_help = "Example:\n  course-service serve --role api,projections")]
    Serve(serve::Args),
    /// Applies the migrations.
    #[command(after_help = "Example:\n  DATABASE_URL=postgres://… course-service migrate")]
    Migrate,
    /// Lists, rebuilds, verifies and switches read models.
    #[command(after_help = "Example:\n  course-service projections rebuild courses_v2")]
    Projections(projections::Args),
    /// Prints the log, one JSON object a line.
    #[command(after_help = "Example:\n  course-service events --from 100 --follow")]
    Events(events::Args),
    /// Shows the bridge to Kafka, or tells it where to go on.
    #[command(after_help = "Example:\n  course-service bridge status")]
    Bridge(bridge::Args),
    /// Shows how far the incoming topics are read, or says where a partition goes on.
    #[command(after_help = "Example:\n  course-service inbound status")]
    Inbound(inbound::Args),
    /// Shows, redrives and discards incoming messages that could not become commands.
    #[command(after_help = "Example:\n  course-service dead-letters list")]
    DeadLetters(dead_letters::Args),
    /// Shows, releases and discards incoming messages that wait for what they refer to.
    #[command(after_help = "Example:\n  course-service parked list")]
    Parked(parked::Args),
    /// Tells what the service makes of messages that other services send, captured in files. Needs nothing to run.
    #[command(after_help = contract_check::HELP)]
    ContractCheck(contract_check::Args),
    /// Goes on after the database was put back to an earlier point.
    #[command(after_help = "Example:\n  course-service restore resolve --dry-run")]
    Restore(restore::Args),
    /// Looks at the log (gaps, chains of versions), and holds read models and outgoing topics against it (missing, doubled,
    /// stray, out of order). Exit code 1 where anything differs.
    #[command(after_help = "Example:\n  course-service verify --json")]
    Verify(verify::Args),
    /// Prints the GraphQL schema.
    #[command(after_help = "Example:\n  course-service schema > schema.graphql")]
    Schema,
    /// Prints the effective configuration, secrets masked.
    #[command(after_help = "Example:\n  course-service config --json")]
    Config {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Checks every dependency and setting, and says how to mend what is wrong.
    #[command(after_help = "Example:\n  course-service doctor")]
    Doctor(doctor::Args),
}

/// What was asked for cannot be meant, as only a look at more than the words shows.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Done.
const DONE: u8 = 0;
/// Failed.
const FAILED: u8 = 1;
/// Wrong usage or configuration.
const USAGE: u8 = 2;

impl Cli {
    /// Runs the command. Errors go to stderr as sentences; the exit code is 0 done, 1 failed, 2 wrong usage or
    /// configuration.
    pub async fn run(self) -> ExitCode {
        let ended = match self.command {
            // These need no configuration, so a wrong one does not keep them from working.
            Command::Schema => {
                print!("{}", graphql::sdl());
                Ok(())
            }
            Command::ContractCheck(args) => args.run(),
            command => command.run().await,
        };
        match ended {
            Ok(()) => DONE.into(),
            Err(error) => {
                eprintln!("error: {error:#}");
                let usage = |cause: &(dyn std::error::Error + 'static)| {
                    cause.is::<ConfigError>() || cause.is::<Usage>()
                };
                if error.chain().any(usage) { USAGE.into() } else { FAILED.into() }
            }
        }
    }
}

impl Command {
    async fn run(self) -> anyhow::Result<()> {
        let config = Config::load()?;
        if let Self::Config { json } = self {
            return print_config(&config, json);
        }
        telemetry::init(&config)?;
        match self {
            Self::Dev(args) => args.run(config).await,
            Self::Serve(args) => args.run(&config).await,
            Self::Migrate => {
                let pool = database::reached(config.database_url()?, 2).await?;
                migrate::run(&pool).await?;
                eprintln!("the database is up to date");
                Ok(())
            }
            Self::Projections(args) => args.run(&config).await,
            Self::Events(args) => args.run(&config).await,
            Self::Bridge(args) => args.run(&config).await,
            Self::Inbound(args) => args.run(&config).await,
            Self::DeadLetters(args) => args.run(&config).await,
            Self::Parked(args) => args.run(&config).await,
            Self::Restore(args) => args.run(&config).await,
            Self::Verify(args) => args.run(&config).await,
            Self::Doctor(args) => args.run(&config).await,
            Self::Schema | Self::Config { .. } | Self::ContractCheck(_) => Ok(()), // answered above
        }
    }
}

fn print_config(config: &Config, json: bool) -> anyhow::Result<()> {
    if json {
        let object: serde_json::Map<_, _> = config
            .effective()
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone().into()))
            .collect();
        println!("{}", serde_json::to_string_pretty(&object)?);
    } else {
        for (name, value) in config.effective() {
            println!("{name}={value}");
        }
    }
    Ok(())
}

/// A future that ends when the process is asked to end: SIGINT (Ctrl-C) or SIGTERM. They are heard from this call on,
/// not from the first poll on: until then they would kill the process.
fn asked_to_end() -> impl Future<Output = ()> + Send {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
            tracing::error!("signals cannot be heard; only SIGKILL ends this process");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => (),
            _ = terminate.recv() => (),
        }
    }
}

/// A token that is cancelled when the process is asked to end.
fn end_token() -> CancellationToken {
    let token = CancellationToken::new();
    let (ended, asked) = (token.clone(), asked_to_end());
    tokio::spawn(async move {
        asked.await;
        ended.cancel();
    });
    token
}

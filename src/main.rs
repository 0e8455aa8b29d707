//! The binary: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use course_service::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    Cli::parse().run().await
}

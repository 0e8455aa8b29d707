//! The binary: parse, run, exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use course_service::cli::Cli;

/// How long a call that cannot be interrupted, to a Kafka that is away for instance, may delay the end.
const LAST_CALLS: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the process cannot start its threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(cli.run());
    runtime.shutdown_timeout(LAST_CALLS);
    code
}

//! Logging: one line an event, to stderr, so that stdout stays free for output.

use std::io::{IsTerminal, stderr};

use anyhow::{Context, anyhow};
use tracing_subscriber::EnvFilter;

use super::config::{Config, LogFormat};

/// Starts logging as `config` says, then logs its warnings. Records of the `log` crate (librdkafka
/// and others) come along.
///
/// # Errors
/// When the filter does not parse or logging has been started before.
pub fn init(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log_filter).context("RUST_LOG does not parse")?;
    let terminal = stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(terminal);
    let format =
        config.log_format.unwrap_or(if terminal { LogFormat::Pretty } else { LogFormat::Json });
    match format {
        LogFormat::Pretty => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    }
    .map_err(|error| anyhow!(error))
    .context("logging cannot be started")?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(())
}

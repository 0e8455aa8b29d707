//! `course-service dev`.

use std::path::PathBuf;

use super::asked_to_end;
use crate::app::config::Config;
use crate::app::dev::{self, DevOptions};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to keep the data; by default `.course-service` in the current folder.
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    data_dir: Option<PathBuf>,
    /// Throw the data away at the end.
    #[arg(long)]
    ephemeral: bool,
}

impl Args {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let options = DevOptions { data_dir: self.data_dir, ephemeral: self.ephemeral };
        dev::run(config, options, asked_to_end()).await
    }
}

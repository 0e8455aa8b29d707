//! `course-service doctor`.

use anyhow::bail;

use crate::app::config::Config;
use crate::app::doctor::examine;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// As a JSON array.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let findings = examine(config).await;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&findings)?);
        } else {
            for finding in &findings {
                let mark = if finding.ok { "ok  " } else { "FAIL" };
                println!("{mark}  {:<12}  {}", finding.part, finding.finding);
            }
        }
        match findings.iter().filter(|finding| !finding.ok).count() {
            0 => Ok(()),
            count => bail!("{count} of {} checks failed", findings.len()),
        }
    }
}

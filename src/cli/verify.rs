//! `course-service verify`.

use anyhow::bail;
use serde_json::json;

use super::kept::print;
use crate::app::config::Config;
use crate::app::{database, service};
use crate::kafka::audit::{Audit, Difference, audit};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let connection = service::kafka_connection(config)?;
        let pool = database::reached(config.database_url()?, 2).await?;
        let found = audit(&pool, &connection, &config.kafka.topic_prefix).await?;
        if self.json {
            let differences = found.differences.iter().map(|difference| {
                let Difference { topic, key, position, what } = difference;
                json!({ "topic": topic, "key": key, "position": position, "what": what })
            });
            let object = json!({
                "published": found.published, "head": found.head, "messages": found.messages,
                "expired": found.expired, "lost": found.lost, "differences": differences.collect::<Vec<_>>(),
            });
            print(&serde_json::to_string_pretty(&object)?)?;
        } else {
            print(&lines(&found).join("\n"))?;
        }
        match found.differences.len() {
            0 => Ok(()),
            1 => bail!("1 difference between the log and the topics"),
            many => bail!("{many} differences between the log and the topics"),
        }
    }
}

fn lines(found: &Audit) -> Vec<String> {
    let Audit { published, head, messages, expired, lost, differences } = found;
    let mut lines: Vec<String> = differences
        .iter()
        .map(|Difference { topic, key, position, what }| {
            let at = position.map_or_else(String::new, |at| format!(" position {at}:"));
            format!("{topic} {key}:{at} {what}")
        })
        .collect();
    lines.push(format!("topics: {messages} messages are as the log says; it is published up to {published} of {head}"));
    if *expired > 0 {
        lines
            .push(format!("topics: {expired} messages are no longer kept, and were not looked at"));
    }
    if *lost > 0 {
        lines.push(format!(
            "topics: {lost} messages are of events that a restore of the database has lost"
        ));
    }
    lines
}

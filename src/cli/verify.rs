//! `course-service verify`.

use anyhow::bail;
use serde_json::json;

use super::kept::print;
use super::projections::progress::Shown;
use super::projections::{connect, print_verified, report, to_json, workers_of};
use crate::app::config::Config;
use crate::app::service;
use crate::event_store::check::check;
use crate::kafka::audit::{Audit, Difference, audit};
use crate::projections::{READ_MODELS, rebuild};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let connection = service::kafka_connection(config)?;
        let workers = workers_of(None);
        let pool = connect(config, workers).await?;
        let violations = check(&pool).await?;
        let models: Vec<_> = READ_MODELS.iter().collect();
        let shown = Shown::new();
        let verified = rebuild::verify(&pool, &models, workers, &report(&shown)).await;
        shown.end();
        let verified = verified?;
        let found = audit(&pool, &connection, &config.kafka.topic_prefix).await?;
        if self.json {
            let log = violations.iter();
            let log = log.map(|one| json!({ "position": one.position, "what": one.what }));
            let differences = found.differences.iter().map(|difference| {
                let Difference { topic, key, position, what } = difference;
                json!({ "topic": topic, "key": key, "position": position, "what": what })
            });
            let topics = json!({
                "published": found.published, "head": found.head, "messages": found.messages,
                "expired": found.expired, "lost": found.lost, "differences": differences.collect::<Vec<_>>(),
            });
            let object = json!({
                "log": log.collect::<Vec<_>>(), "topics": topics,
                "readModels": verified.iter().map(to_json).collect::<Vec<_>>(),
            });
            print(&serde_json::to_string_pretty(&object)?)?;
        } else {
            for violation in &violations {
                println!("log position {}: {}", violation.position, violation.what);
            }
            print_verified(&verified);
            print(&lines(&found).join("\n"))?;
        }
        let rows = verified.iter().map(|table| usize::try_from(table.count).unwrap_or_default());
        match violations.len() + rows.sum::<usize>() + found.differences.len() {
            0 => Ok(()),
            1 => bail!("1 difference"),
            many => bail!("{many} differences"),
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
    lines.push(format!(
        "topics: {messages} messages are as the log says; it is published up to {published} of {head}"
    ));
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

//! `course-service restore`.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde_json::json;

use super::kept::print;
use crate::app::config::Config;
use crate::app::{database, service};
use crate::kafka::restore::{Ahead, look, resolve};

/// How many keys of lost messages are named.
const NAMED: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// After the database was put back to an earlier point: says what Kafka knows that the log does not, and starts a new
    /// epoch, in which the bridge and the consumers go on. Positions that were given out before are refused from then on.
    #[command(
        after_help = "Example:\n  course-service restore resolve --dry-run\n  course-service restore resolve"
    )]
    Resolve {
        /// Only says what is ahead.
        #[arg(long)]
        dry_run: bool,
        /// Starts a new epoch although Kafka knows of nothing that the log has not.
        #[arg(long, conflicts_with = "dry_run")]
        force: bool,
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let Command::Resolve { dry_run, force, json } = self.command;
        let connection = service::kafka_connection(config)?;
        let pool = database::reached(config.database_url()?, 2).await?;
        let ahead = look(&pool, &connection, &config.kafka.topic_prefix).await?;
        let epoch = if !dry_run && (ahead.is_ahead() || force) {
            Some(resolve(&pool, &ahead).await?)
        } else {
            None
        };
        if json {
            let Ahead { bridge, inbound, lost, published, dead_letters, head, .. } = &ahead;
            let lost: Vec<_> =
                lost.iter().map(|(topic, key)| json!({ "topic": topic, "key": key })).collect();
            let object = json!({
                "bridge": bridge, "inbound": inbound, "lostMessages": lost,
                "publishedPosition": published, "publishedDeadLetters": dead_letters,
                "head": head.position.number, "epoch": head.position.epoch, "newEpoch": epoch,
            });
            return print(&serde_json::to_string_pretty(&object)?);
        }
        let mut lines = told(&ahead);
        lines.push(match epoch {
            Some(epoch) => format!(
                "epoch {epoch} has begun: the bridge goes on behind position {}, and the consumers where the database \
                 stands",
                ahead.published
            ),
            None if ahead.is_ahead() => "nothing was changed".to_owned(),
            None => "no new epoch is needed".to_owned(),
        });
        print(&lines.join("\n"))
    }
}

fn told(ahead: &Ahead) -> Vec<String> {
    let Ahead { bridge, inbound, lost, published, head, .. } = ahead;
    let head = head.position;
    let mut lines =
        vec![format!("the log ends at position {} of epoch {}", head.number, head.epoch)];
    if !ahead.is_ahead() {
        lines.push("Kafka knows of nothing that the log has not".to_owned());
        return lines;
    }
    lines.extend(bridge.iter().map(|why| format!("the bridge: {why}")));
    lines.extend(inbound.iter().map(|why| format!("the consumers: {why}")));
    let mut topics: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (topic, key) in lost {
        topics.entry(topic).or_default().push(key);
    }
    lines.push(format!(
        "consumers have got {} messages of events that the log has lost{}",
        lost.len(),
        if lost.is_empty() { "" } else { "; topic, messages, keys:" }
    ));
    for (topic, mut keys) in topics {
        let messages = keys.len();
        keys.dedup();
        let more = keys.len().saturating_sub(NAMED);
        keys.truncate(NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        lines.push(format!("  {topic:<16} {messages:>8}  {}{more}", keys.join(" ")));
    }
    lines.push(format!(
        "of the log they have heard up to position {published}; {} events behind it will be told in the new epoch",
        head.number - published
    ));
    lines
}

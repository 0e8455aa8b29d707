//! `course-service inbound`.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;

use super::Usage;
use super::kept::{print, topic, workbench};
use crate::app::config::Config;
use crate::app::{database, service};
use crate::event_store::dead_letters::Filter;
use crate::kafka::inbound::report::{Goal, OrderError, order, report};
use crate::kafka::inbound::{Found, Partition};
use crate::kafka::topics::InboundTopic;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows how far each partition of the incoming topics is read, and how many messages are dead or parked. Exit codes:
    /// 0 all can be read on, 1 a partition is red.
    #[command(after_help = "Example:\n  course-service inbound status --json")]
    Status {
        /// As one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Says where partitions go on.
    #[command(
        after_help = "Example:\n  course-service inbound offsets set --topic User-Update --partition 0 --to beginning"
    )]
    Offsets(Offsets),
}

#[derive(Debug, clap::Args)]
struct Offsets {
    #[command(subcommand)]
    command: OffsetsCommand,
}

#[derive(Debug, Subcommand)]
enum OffsetsCommand {
    /// Says where one partition goes on. What is read again has no second effect for 30 days; what is skipped has none.
    #[command(
        after_help = "Example:\n  course-service inbound offsets set --topic User-Update --partition 0 --to 4711"
    )]
    Set {
        /// Which topic.
        #[arg(long, value_name = "TOPIC", value_parser = topic)]
        topic: InboundTopic,
        /// Which partition.
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
        partition: i32,
        /// `beginning` (the first record that Kafka has), `end` (behind the last), or an offset.
        #[arg(long, value_name = "PLACE", value_parser = goal)]
        to: Goal,
    },
}

fn goal(text: &str) -> Result<Goal, String> {
    match text {
        "beginning" => Ok(Goal::Beginning),
        "end" => Ok(Goal::End),
        _ => {
            let offset = text.parse().ok().filter(|offset: &i64| *offset >= 0);
            let rule = || "it must be beginning, end or an offset".to_owned();
            offset.map(Goal::Offset).ok_or_else(rule)
        }
    }
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        match self.command {
            Command::Status { json } => status(config, json).await,
            Command::Offsets(Offsets { command }) => {
                let OffsetsCommand::Set { topic, partition, to } = command;
                let connection = service::kafka_connection(config)?;
                let pool = database::reached(config.database_url()?, 1).await?;
                let prefix = &config.kafka.topic_prefix;
                let next = order(&pool, &connection, prefix, topic, partition, to).await;
                let next = next.map_err(|error| match error {
                    OrderError::Report(error) => anyhow::Error::from(error),
                    error => Usage(error.to_string()).into(),
                })?;
                println!("{}, partition {partition}, goes on at {next}", topic.name());
                Ok(())
            }
        }
    }
}

async fn status(config: &Config, json: bool) -> anyhow::Result<()> {
    let connection = service::kafka_connection(config)?;
    let pool = database::reached(config.database_url()?, 1).await?;
    let workbench = workbench(config).await?;
    let dead = workbench.count_dead_letters(&Filter::default()).await?;
    let parked = workbench.count_parked(None).await?;
    let found = report(&pool, &connection, &config.kafka.topic_prefix).await?;
    if json {
        let partitions: Vec<_> = found
            .iter()
            .map(|((topic, partition), found)| {
                json!({
                    "topic": topic, "partition": partition, "next": found.next, "low": found.low,
                    "end": found.high, "lag": found.lag(), "red": found.red,
                })
            })
            .collect();
        let object = json!({
            "partitions": partitions, "missingTopics": missing(&found), "deadLetters": dead, "parked": parked,
        });
        print(&serde_json::to_string_pretty(&object)?)?;
    } else {
        print(&table(&found, dead, parked).join("\n"))?;
    }
    let red = found.values().filter(|found| found.red.is_some()).count();
    match red {
        0 => Ok(()),
        1 => bail!("1 partition is red: it is not read on until somebody says where"),
        red => bail!("{red} partitions are red: they are not read on until somebody says where"),
    }
}

/// The topics that Kafka does not have.
fn missing(found: &BTreeMap<Partition, Found>) -> Vec<&'static str> {
    let is_there = |name: &str| found.keys().any(|(topic, _)| topic == name);
    InboundTopic::ALL.map(InboundTopic::name).into_iter().filter(|name| !is_there(name)).collect()
}

fn table(found: &BTreeMap<Partition, Found>, dead: i64, parked: i64) -> Vec<String> {
    let head = ["topic", "partition", "next", "end", "lag"];
    let mut lines = vec![format!(
        "{:<21} {:>9} {:>12} {:>12} {:>9}",
        head[0], head[1], head[2], head[3], head[4]
    )];
    for ((topic, partition), found) in found {
        // What was never read begins with the first record that there is.
        let next = found.next.unwrap_or(found.low);
        let (end, lag) = (found.high, found.lag());
        lines.push(format!("{topic:<21} {partition:>9} {next:>12} {end:>12} {lag:>9}"));
        lines.extend(found.red.as_ref().map(|why| format!("  RED: {why}")));
    }
    lines.extend(missing(found).into_iter().map(|topic| format!("{topic:<21} is not there")));
    lines.push(format!("dead letters {dead}, parked {parked}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_word_or_an_offset() {
        assert_eq!(goal("beginning"), Ok(Goal::Beginning));
        assert_eq!(goal("end"), Ok(Goal::End));
        assert_eq!(goal("7"), Ok(Goal::Offset(7)));
        for text in ["", "-1", "start", "9223372036854775808"] {
            assert!(goal(text).is_err(), "{text}");
        }
    }
}

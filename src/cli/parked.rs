//! `course-service parked`.

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};

use super::kept::{
    DiscardArgs, ListArgs, RetryArgs, ShowArgs, header_names, place, print, printable, workbench,
};
use crate::app::config::Config;
use crate::commands::workbench::{Shelf, Workbench};
use crate::event_store::parked::Parked;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists what waits, for what and since when, in the order in which it came.
    #[command(after_help = "Example:\n  course-service parked list --json")]
    List(ListArgs),
    /// Shows one. Of User-Creation and User-Update key and value are personal data, and are shown only with --value.
    #[command(
        after_help = "Example:\n  course-service parked show 01a20956-d757-776d-904f-2830204d14f0"
    )]
    Show(ShowArgs),
    /// Tries them again now. `serve` does so by itself once what they wait for exists; what is still missing goes on
    /// waiting. Exit codes: 0 done, 1 one cannot be read, or there is no such parked message.
    #[command(after_help = "Example:\n  course-service parked release --topic Grading-Completed")]
    Release(RetryArgs),
    /// Takes them away for good, with their content. Who did it and why is kept, as a discarded dead letter.
    #[command(
        after_help = "Example:\n  course-service parked discard 01a20956-d757-776d-904f-2830204d14f0 --reason \"a test\""
    )]
    Discard(DiscardArgs),
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let workbench = workbench(config).await?;
        match self.command {
            Command::List(list) => {
                let topic = list.topic_name();
                let parked = workbench.parked(topic.as_deref(), &list.page()).await?;
                list.show(parked, |one| one.number, json_of, line)
            }
            Command::Show(show) => self::show(&show, &workbench).await,
            Command::Release(retry) => retry.run(&workbench, Shelf::Parked).await,
            Command::Discard(discard) => discard.run(&workbench, Shelf::Parked).await,
        }
    }
}

async fn show(args: &ShowArgs, workbench: &Workbench) -> anyhow::Result<()> {
    let found = workbench.find_parked(&[args.id]).await?;
    let Some(one) = found.first() else {
        bail!("there is no parked message {}; was it released?", args.id)
    };
    let content = args.content(workbench, &one.record, false);
    if args.json {
        let mut object = json_of(one);
        content.add_to(&mut object);
        return print(&serde_json::to_string_pretty(&object)?);
    }
    let names = header_names(&one.record).join(", ");
    let mut lines = vec![
        format!("id         {} (number {})", one.id, one.number),
        format!("place      {}", place(&one.record)),
        format!("waits for  {}", printable(&one.waits_for)),
        format!("since      {}", one.parked_at.format("%Y-%m-%dT%H:%M:%SZ")),
        format!(
            "headers    {}",
            if names.is_empty() { "none".to_owned() } else { printable(&names) }
        ),
    ];
    lines.extend(content.lines());
    print(&lines.join("\n"))
}

fn json_of(one: &Parked) -> Value {
    let record = &one.record;
    json!({
        "number": one.number, "id": one.id, "topic": record.topic, "partition": record.partition,
        "offset": record.offset, "timestamp": record.timestamp, "waitsFor": one.waits_for,
        "parkedAt": one.parked_at, "headers": header_names(record), "valueBytes": one.bytes,
    })
}

fn line(one: &Parked) -> String {
    let (place, since) = (place(&one.record), one.parked_at.format("%Y-%m-%dT%H:%M:%SZ"));
    format!(
        "{:>5}  {}  {since}  {place}  waits for {}",
        one.number,
        one.id,
        printable(&one.waits_for)
    )
}

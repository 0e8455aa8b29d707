//! `course-service dead-letters`.

use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};

use super::kept::{
    DiscardArgs, ListArgs, RetryArgs, ShowArgs, header_names, place, print, printable, workbench,
};
use crate::app::config::Config;
use crate::commands::workbench::{Shelf, Workbench};
use crate::event_store::dead_letters::{DeadLetter, Filter};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists those that nobody has seen to, the oldest first.
    #[command(
        after_help = "Example:\n  course-service dead-letters list --topic Grading-Completed"
    )]
    List {
        #[command(flatten)]
        list: ListArgs,
        /// Also those that somebody has seen to.
        #[arg(long)]
        all: bool,
    },
    /// Shows one: where it comes from, why it is dead, and what it holds. Of User-Creation and User-Update key and value
    /// are personal data, and are shown only with --value.
    #[command(
        after_help = "Example:\n  course-service dead-letters show 01a20956-d757-776d-904f-2830204d14f0"
    )]
    Show(ShowArgs),
    /// Tries them again. One that can be read has its effect, exactly once, and is settled; the others stay.
    /// Exit codes: 0 done, 1 one cannot be read still, or there is no such dead letter.
    #[command(after_help = "Example:\n  course-service dead-letters redrive --all --dry-run")]
    Redrive(RetryArgs),
    /// Takes them away for good, with their content. Who did it and why is kept.
    #[command(
        after_help = "Example:\n  course-service dead-letters discard 01a20956-d757-776d-904f-2830204d14f0 --reason \"a test\""
    )]
    Discard(DiscardArgs),
}

impl Args {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let workbench = workbench(config).await?;
        match self.command {
            Command::List { list, all } => {
                let filter = Filter { topic: list.topic_name(), settled: all };
                let letters = workbench.dead_letters(&filter, &list.page()).await?;
                list.show(letters, |letter| letter.number, json_of, line)
            }
            Command::Show(show) => self::show(&show, &workbench).await,
            Command::Redrive(retry) => retry.run(&workbench, Shelf::DeadLetters).await,
            Command::Discard(discard) => discard.run(&workbench, Shelf::DeadLetters).await,
        }
    }
}

async fn show(args: &ShowArgs, workbench: &Workbench) -> anyhow::Result<()> {
    let found = workbench.find_dead_letters(&[args.id]).await?;
    let Some(letter) = found.first() else { bail!("there is no dead letter {}", args.id) };
    let content = args.content(workbench, &letter.record, letter.settled.is_some());
    if args.json {
        let mut object = json_of(letter);
        content.add_to(&mut object);
        return print(&serde_json::to_string_pretty(&object)?);
    }
    let names = header_names(&letter.record).join(", ");
    let mut lines = vec![
        format!("id         {} (number {})", letter.id, letter.number),
        format!("place      {} of {}", place(&letter.record), letter.group),
        format!("dead since {}", letter.dead_at.format("%Y-%m-%dT%H:%M:%SZ")),
        format!("because    {}: {}", letter.code, printable(&letter.reason)),
        format!(
            "headers    {}",
            if names.is_empty() { "none".to_owned() } else { printable(&names) }
        ),
    ];
    lines.extend(settled(letter).map(|settled| format!("settled    {settled}")));
    lines.extend(content.lines());
    print(&lines.join("\n"))
}

fn json_of(letter: &DeadLetter) -> Value {
    let DeadLetter { record, settled, .. } = letter;
    json!({
        "number": letter.number, "id": letter.id, "topic": record.topic, "partition": record.partition,
        "offset": record.offset, "timestamp": record.timestamp, "group": letter.group,
        "code": letter.code, "reason": letter.reason, "deadAt": letter.dead_at,
        "headers": header_names(record), "valueBytes": letter.bytes,
        "settledAs": settled.as_ref().map(|settled| &settled.how),
        "settledAt": settled.as_ref().map(|settled| settled.at),
        "settledBy": settled.as_ref().and_then(|settled| settled.by.as_deref()),
        "settledReason": settled.as_ref().and_then(|settled| settled.reason.as_deref()),
    })
}

fn line(letter: &DeadLetter) -> String {
    let DeadLetter { number, id, record, code, reason, dead_at, .. } = letter;
    let (place, since) = (place(record), dead_at.format("%Y-%m-%dT%H:%M:%SZ"));
    let settled = settled(letter).map(|settled| format!("  [{settled}]")).unwrap_or_default();
    format!("{number:>5}  {id}  {since}  {place}  {code}: {}{settled}", printable(reason))
}

fn settled(letter: &DeadLetter) -> Option<String> {
    let settled = letter.settled.as_ref()?;
    let by = settled.by.as_deref().unwrap_or("nobody known");
    let at = settled.at.format("%Y-%m-%dT%H:%M:%SZ");
    let why = settled.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    Some(printable(&format!("{} by {by} at {at}{why}", settled.how)))
}

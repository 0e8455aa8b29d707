//! `course-service contract-check`.

mod capture;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, ErrorKind, Write, stdout};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::json;

use self::capture::{Capture, Captured};
use super::Usage;
use crate::kafka::inbound::{Incoming, outcome, read, summary};
use crate::kafka::topics::InboundTopic;

pub(super) const HELP: &str = "\
One message a file, in a folder named after its topic or in a file named so; in files that end in .jsonl one a line:
  captured/User-Creation/ada.json
  captured/User-Creation.2026-09-12.json
  captured/Grading-Completed/all.jsonl
Names and e-mail addresses are never printed. Exit codes: 0 all are taken, 1 one is refused, 2 there are none.

Example:
  course-service contract-check captured";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder with the messages.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// As JSON, one object a message and line.
    #[arg(long)]
    json: bool,
}

/// How many messages of a topic there are.
#[derive(Default)]
struct Count {
    all: usize,
    refused: usize,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = self.folder.display();
        if !self.folder.is_dir() {
            return Err(Usage(format!("there is no folder {folder}")).into());
        }
        let capture = Capture::of(&self.folder);
        let capture = capture.with_context(|| format!("{folder} cannot be read"))?;
        let mut counts: BTreeMap<InboundTopic, Count> = BTreeMap::new();
        let mut out = BufWriter::new(stdout().lock());
        for file in &capture.files {
            let messages = file.messages();
            for message in messages.with_context(|| format!("{} cannot be read", file.shown))? {
                let message = message.with_context(|| format!("{} cannot be read", file.shown))?;
                let count = counts.entry(file.topic).or_default();
                count.all += 1;
                match tell(&message, self.json, &mut out) {
                    Ok(is_taken) => count.refused += usize::from(!is_taken),
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                    Err(error) => return Err(error).context("stdout cannot be written"),
                }
            }
        }
        if !self.json {
            summarise(&counts, &mut out).or_else(unless_closed)?;
        }
        out.flush().or_else(unless_closed)?;
        if !capture.of_no_topic.is_empty() {
            let names = capture.of_no_topic.join(", ");
            eprintln!("of no topic, and therefore not read: {names}");
        }
        let all: usize = counts.values().map(|count| count.all).sum();
        if all == 0 {
            let rule = "expected DIR/User-Creation/x.json, for example; see --help";
            return Err(Usage(format!("there are no messages in {folder}: {rule}")).into());
        }
        match counts.values().map(|count| count.refused).sum::<usize>() {
            0 => Ok(()),
            refused => bail!("{refused} of {all} messages are refused"),
        }
    }
}

/// Writes what becomes of a message, and says whether it is taken.
fn tell(message: &Captured<'_>, json: bool, out: &mut impl Write) -> io::Result<bool> {
    let topic = message.file.topic;
    let record = Incoming {
        topic,
        partition: 0,
        offset: 0,
        timestamp: 0,
        headers: &[],
        key: None,
        value: Some(&message.value),
    };
    let read = read(&record);
    let (file, line) = (&message.file.shown, message.line);
    if json {
        let mut object = json!({ "topic": topic.name(), "file": file, "ok": read.is_ok() });
        if let Some(line) = line {
            object["line"] = line.into();
        }
        match &read {
            Ok(message) => object["becomes"] = summary(message).into(),
            Err(poison) => {
                object["code"] = poison.code().into();
                object["field"] = poison.field().into();
                object["message"] = poison.to_string().into();
            }
        }
        writeln!(out, "{object}")?;
    } else {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        let mark = if read.is_ok() { "ok  " } else { "FAIL" };
        writeln!(out, "{mark}  {}  {file}{line}  {}", topic.name(), outcome(&read))?;
    }
    Ok(read.is_ok())
}

fn summarise(counts: &BTreeMap<InboundTopic, Count>, out: &mut impl Write) -> io::Result<()> {
    if !counts.is_empty() {
        writeln!(out)?;
    }
    for (topic, Count { all, refused }) in counts {
        writeln!(out, "{:<21}  {:>5} taken, {refused} refused", topic.name(), all - refused)?;
    }
    Ok(())
}

/// Whoever reads may have seen enough.
fn unless_closed(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

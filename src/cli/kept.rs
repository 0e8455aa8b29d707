//! What `dead-letters` and `parked` have in common: which messages are meant, and how they and what becomes of them are
//! shown.

use std::io::{self, BufWriter, ErrorKind, Write, stdout};

use anyhow::{Context as _, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Usage;
use super::operator::operator;
use crate::app::config::Config;
use crate::app::{database, service};
use crate::commands::intake::Effect;
use crate::commands::workbench::{Fate, MAX_IDS, Outcome, Shelf, Workbench, WorkbenchError};
use crate::event_store::inbound::Record;
use crate::event_store::parked::KeptPage;
use crate::event_store::wake::Head;
use crate::kafka::topics::InboundTopic;

/// Which messages a list shows.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only those of this topic.
    #[arg(long, value_name = "TOPIC", value_parser = topic)]
    pub(super) topic: Option<InboundTopic>,
    /// Only those behind this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    after: i64,
    /// At most this many.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// As a JSON array.
    #[arg(long)]
    pub(super) json: bool,
}

impl ListArgs {
    /// The page, and one more, which tells whether there are more. Values are not read.
    pub(super) fn page(&self) -> KeptPage {
        let limit = i64::from(self.limit) + 1;
        KeptPage { from: Some(self.after), backwards: false, limit, cut: 0 }
    }

    pub(super) fn topic_name(&self) -> Option<String> {
        self.topic.map(|topic| topic.name().to_owned())
    }

    /// Writes rows: as JSON, or line by line with a hint how to go on.
    pub(super) fn show<T>(
        &self,
        mut rows: Vec<T>,
        number: impl Fn(&T) -> i64,
        object: impl Fn(&T) -> Value,
        line: impl Fn(&T) -> String,
    ) -> anyhow::Result<()> {
        let has_more = rows.len() > usize::from(self.limit);
        rows.truncate(usize::from(self.limit));
        if self.json {
            let rows: Vec<Value> = rows.iter().map(object).collect();
            return print(&serde_json::to_string_pretty(&rows)?);
        }
        let lines: Vec<String> = rows.iter().map(line).collect();
        if !lines.is_empty() {
            print(&lines.join("\n"))?;
        }
        if has_more && let Some(last) = rows.last() {
            eprintln!("there are more: --after {}", number(last));
        }
        Ok(())
    }
}

/// One message.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// Its id, as `list` shows it.
    #[arg(value_name = "ID")]
    pub(super) id: Uuid,
    /// Also key and value of a message of User-Creation or User-Update, which are personal data. Those of the other
    /// topics are always shown.
    #[arg(long)]
    value: bool,
    /// As one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// Messages to be tried again.
#[derive(Debug, clap::Args)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    which: Which,
    /// Only say what would become of them, by what is known now. Nothing is changed.
    #[arg(long)]
    dry_run: bool,
    /// As JSON, one object a message and line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// Their ids, as `list` shows them.
    #[arg(value_name = "ID")]
    ids: Vec<Uuid>,
    /// All of this topic that are there now.
    #[arg(long, value_name = "TOPIC", value_parser = topic)]
    topic: Option<InboundTopic>,
    /// All that are there now.
    #[arg(long)]
    all: bool,
}

/// Messages to be taken away.
#[derive(Debug, clap::Args)]
pub(super) struct DiscardArgs {
    /// Their ids, as `list` shows them.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<Uuid>,
    /// Why, in 1 to 1,024 bytes. It is kept.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// As JSON, one object a message and line.
    #[arg(long)]
    json: bool,
}

/// The topic with this name.
pub(super) fn topic(text: &str) -> Result<InboundTopic, String> {
    InboundTopic::parse(text).ok_or_else(|| {
        let names = InboundTopic::ALL.map(InboundTopic::name).join(", ");
        format!("it must be one of {names}")
    })
}

/// The workbench of this process.
pub(super) async fn workbench(config: &Config) -> anyhow::Result<Workbench> {
    let pool = database::reached(config.database_url()?, 2).await?;
    let intake = service::intake(config, &pool, &Head::default(), |_, _| ())?;
    Ok(service::workbench(&pool, intake))
}

impl RetryArgs {
    /// Tries them again, or says what would become of them.
    pub(super) async fn run(self, workbench: &Workbench, drawer: Shelf) -> anyhow::Result<()> {
        let ids = if self.which.ids.is_empty() {
            let topic = self.which.topic.map(InboundTopic::name);
            let open = workbench.open(drawer, topic, 0, i64::MAX).await?;
            open.into_iter().map(|(_, id)| id).collect()
        } else {
            self.which.ids
        };
        let by = operator();
        let mut tally = Tally::default();
        for portion in ids.chunks(MAX_IDS) {
            let outcomes = if self.dry_run {
                workbench.preview(drawer, portion).await?
            } else {
                workbench.retry(drawer, portion, &by).await?
            };
            tally.show(&outcomes.list, self.json)?;
        }
        tally.end(drawer, if self.dry_run { Asked::Preview } else { Asked::Retry })
    }
}

impl DiscardArgs {
    /// Takes them away.
    pub(super) async fn run(self, workbench: &Workbench, drawer: Shelf) -> anyhow::Result<()> {
        let by = operator();
        let mut tally = Tally::default();
        for portion in self.ids.chunks(MAX_IDS) {
            let discarded = workbench.discard(drawer, portion, &by, &self.reason).await;
            let outcomes = discarded.map_err(|error| match error {
                WorkbenchError::Refused(refusal) => {
                    anyhow::Error::from(Usage(format!("--{refusal}")))
                }
                error => error.into(),
            })?;
            tally.show(&outcomes.list, self.json)?;
        }
        tally.end(drawer, Asked::Discard)
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Preview,
    Retry,
    Discard,
}

/// What was shown so far.
#[derive(Default)]
struct Tally {
    all: usize,
    /// Those that could not be read.
    dead: usize,
    unknown: Vec<String>,
}

impl Tally {
    fn show(&mut self, outcomes: &[Outcome], json: bool) -> anyhow::Result<()> {
        let mut lines = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            self.all += 1;
            match &outcome.fate {
                Fate::Unknown => self.unknown.push(outcome.id.to_string()),
                Fate::Tried(Effect::Dead(_)) => self.dead += 1,
                Fate::Tried(_) | Fate::Discarded | Fate::Settled(_) => {}
            }
            lines.push(if json {
                outcome_json(outcome).to_string()
            } else {
                outcome_line(outcome)
            });
        }
        if lines.is_empty() { Ok(()) } else { print(&lines.join("\n")) }
    }

    fn end(self, drawer: Shelf, asked: Asked) -> anyhow::Result<()> {
        let Self { all, dead, unknown } = self;
        if all == 0 {
            eprintln!("there is none");
        }
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            match drawer {
                Shelf::DeadLetters => bail!("there is no dead letter {unknown}"),
                Shelf::Parked => bail!("there is no parked message {unknown}; was it released?"),
            }
        }
        if asked == Asked::Retry && dead > 0 {
            match drawer {
                Shelf::DeadLetters => bail!("{dead} of {all} dead letters cannot be read and stay"),
                Shelf::Parked => bail!("{dead} of {all} messages cannot be read: dead letters now"),
            }
        }
        Ok(())
    }
}

fn outcome_json(outcome: &Outcome) -> Value {
    json!({
        "id": outcome.id, "outcome": outcome.name(), "code": outcome.code(),
        "reason": outcome.reason(), "waitsFor": outcome.waits_for(), "events": outcome.events,
    })
}

fn outcome_line(outcome: &Outcome) -> String {
    let parts = [
        Some(format!("{}  {:<9}", outcome.id, outcome.name())),
        outcome.code().map(|code| format!("  {code}:")),
        outcome.reason().map(|reason| format!(" {}", printable(&reason))),
        outcome.waits_for().map(|awaited| format!("  waits for {}", printable(&awaited))),
        (!outcome.events.is_empty()).then(|| format!("  {}", outcome.events.join(", "))),
    ];
    parts.into_iter().flatten().collect::<String>().trim_end().to_owned()
}

/// Where a message lay.
pub(super) fn place(record: &Record) -> String {
    format!("{}/{}/{}", record.topic, record.partition, record.offset)
}

/// What a message holds, as far as it may be shown.
pub(super) enum Content {
    /// It was removed when somebody saw to the message.
    Removed,
    /// It is personal data, and nobody asked for it.
    Personal,
    /// Key and value, where there are.
    Shown(Option<Text>, Option<Text>),
}

/// Bytes as a text.
pub(super) struct Text {
    text: String,
    is_utf8: bool,
}

impl Text {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { text: text.to_owned(), is_utf8: true },
            Err(_) => Self { text: STANDARD.encode(bytes), is_utf8: false },
        }
    }

    fn json(&self) -> Value {
        json!({ "encoding": if self.is_utf8 { "utf-8" } else { "base64" }, "text": self.text })
    }

    fn line(&self) -> String {
        if self.is_utf8 { printable(&self.text) } else { format!("(base64) {}", self.text) }
    }
}

impl ShowArgs {
    /// What of the message may be shown.
    pub(super) fn content(
        &self,
        workbench: &Workbench,
        record: &Record,
        is_settled: bool,
    ) -> Content {
        if is_settled {
            return Content::Removed;
        }
        if workbench.is_personal(record) && !self.value {
            return Content::Personal;
        }
        let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(Text::of);
        Content::Shown(text(&record.key), text(&record.value))
    }
}

impl Content {
    /// Adds it to the JSON of a message.
    pub(super) fn add_to(&self, object: &mut Value) {
        let (note, key, value) = match self {
            Self::Removed => ("removed", &None, &None),
            Self::Personal => ("personal", &None, &None),
            Self::Shown(key, value) => ("shown", key, value),
        };
        object["content"] = note.into();
        object["key"] = key.as_ref().map(Text::json).into();
        object["value"] = value.as_ref().map(Text::json).into();
    }

    /// Its lines for people.
    pub(super) fn lines(&self) -> Vec<String> {
        match self {
            Self::Removed => vec!["content    removed when somebody saw to it".to_owned()],
            Self::Personal => vec!["content    personal data: shown only with --value".to_owned()],
            Self::Shown(key, value) => {
                let line =
                    |text: &Option<Text>| text.as_ref().map_or("none".to_owned(), Text::line);
                vec![format!("key        {}", line(key)), format!("value      {}", line(value))]
            }
        }
    }
}

/// The names of its headers.
pub(super) fn header_names(record: &Record) -> Vec<&str> {
    record.headers.iter().map(|(name, _)| name.as_str()).collect()
}

/// A text without what a terminal would obey.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(shown).collect()
}

/// Writes a text and a line break to stdout. Whoever reads may have seen enough.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = BufWriter::new(stdout().lock());
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.or_else(unless_closed).context("stdout cannot be written")
}

fn unless_closed(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_command_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{9b}"), "a\\u{1b}[2Jb\nc\\u{9b}");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_in_base64() {
        assert_eq!(Text::of(b"{\"a\":1}").line(), "{\"a\":1}");
        assert_eq!(Text::of(&[0xff, 0xfe]).line(), "(base64) //4=");
    }

    #[test]
    fn a_topic_is_one_of_the_six() {
        assert_eq!(topic("User-Update"), Ok(InboundTopic::UserUpdate));
        let refused = topic("Course-Creation").unwrap_err();
        for known in InboundTopic::ALL {
            assert!(refused.contains(known.name()), "{refused}");
        }
    }
}

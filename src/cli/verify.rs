//! `course-service verify`.

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::kept::print;
use super::projections::progress::Shown;
use super::projections::{connect, print_verified, report, to_json, workers_of};
use crate::app::config::Config;
use crate::app::service;
use crate::event_store::check::{Violation, check};
use crate::kafka::audit::{Audit, AuditError, Difference, audit};
use crate::projections::READ_MODELS;
use crate::projections::rebuild::{self, RebuildError, Verified};

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
        let mut seen = Seen { json: self.json.then(Map::new), ..Seen::default() };

        seen.log(check(&pool).await);
        let models: Vec<_> = READ_MODELS.iter().collect();
        let shown = Shown::new();
        let verified = rebuild::verify(&pool, &models, workers, &report(&shown)).await;
        shown.end();
        seen.read_models(verified);
        seen.topics(audit(&pool, &connection, &config.kafka.topic_prefix).await);
        seen.ended()
    }
}

/// What was found so far. What could not be looked at keeps nothing else from being told.
#[derive(Default)]
struct Seen {
    json: Option<Map<String, Value>>,
    differences: usize,
    failed: Vec<String>,
}

impl Seen {
    fn log(&mut self, found: Result<Vec<Violation>, sqlx::Error>) {
        let Some(violations) = self.known("the log", found) else { return };
        self.differences += violations.len();
        if let Some(json) = &mut self.json {
            let all = violations.iter();
            let all = all.map(|one| json!({ "position": one.position, "what": one.what }));
            json.insert("log".to_owned(), all.collect());
            return;
        }
        for Violation { position, what } in &violations {
            println!("log position {position}: {what}");
        }
        if violations.is_empty() {
            println!("log: no gap, whole commands, a chain of versions in every stream");
        }
    }

    fn read_models(&mut self, found: Result<Vec<Verified>, RebuildError>) {
        let Some(verified) = self.known("the read models", found) else { return };
        let differing = verified.iter().map(|table| usize::try_from(table.count));
        self.differences += differing.map(Result::unwrap_or_default).sum::<usize>();
        match &mut self.json {
            Some(json) => {
                json.insert("readModels".to_owned(), verified.iter().map(to_json).collect());
            }
            None => print_verified(&verified),
        }
    }

    fn topics(&mut self, found: Result<Audit, AuditError>) {
        let Some(found) = self.known("the topics", found) else { return };
        self.differences += found.differences.len();
        let Some(json) = &mut self.json else {
            return println!("{}", lines(&found).join("\n"));
        };
        let differences = found.differences.iter().map(|difference| {
            let Difference { topic, key, position, what } = difference;
            json!({ "topic": topic, "key": key, "position": position, "what": what })
        });
        let topics = json!({
            "published": found.published, "head": found.head, "messages": found.messages,
            "expired": found.expired, "lost": found.lost, "differences": differences.collect::<Vec<_>>(),
        });
        json.insert("topics".to_owned(), topics);
    }

    fn known<T, E: std::error::Error + Send + Sync + 'static>(
        &mut self,
        what: &str,
        found: Result<T, E>,
    ) -> Option<T> {
        let failed =
            |error| format!("{what} could not be looked at: {:#}", anyhow::Error::new(error));
        found.map_err(|error| self.failed.push(failed(error))).ok()
    }

    fn ended(self) -> anyhow::Result<()> {
        if let Some(json) = self.json {
            print(&serde_json::to_string_pretty(&json)?)?;
        }
        let mut why = self.failed;
        match self.differences {
            0 => {}
            1 => why.push("1 difference".to_owned()),
            many => why.push(format!("{many} differences")),
        }
        if why.is_empty() { Ok(()) } else { bail!("{}", why.join("; ")) }
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

//! The second lane: dead letters → Kafka, exactly once, each to the dead-letter topic of the topic it came from.
//!
//! They are numbered like the log, so the lane moves like that of the events: its place is written in the transaction
//! of its records. Personal data does not leave: of what may be personal only the origin and the reason do.

use chrono::SecondsFormat;
use sqlx::PgPool;
use uuid::Uuid;

use super::progress::{self, Progress, ResumeFrom};
use super::takeover::remedy;
use crate::event_store::dead_letters::{self, DeadLetter};
use crate::kafka::personal::{in_header, is_personal};
use crate::kafka::restore;
use crate::kafka::topics::dead_letter_topic;

/// The most dead letters of one transaction.
const MAX_LETTERS: i64 = 50;
/// The most bytes of a value that are published; the rest stays in Postgres.
const MAX_VALUE_BYTES: i32 = 256 * 1024;

/// A dead letter as it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeadRecord {
    /// Without a prefix.
    pub(super) topic: String,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

/// Where the lane is.
pub(in crate::kafka) struct DeadLane(Progress);

impl DeadLane {
    /// The key of its progress record. Never rename.
    pub(in crate::kafka) const NAME: &'static str = "dead-letters";

    /// Goes on where the progress topic says. `events` is the place of the lane of events, which was found to fit log
    /// and cluster. Refuses where the dead letters are not those that were published, unless somebody has `ordered`
    /// where to go on: then at an order for this lane, else behind what is known to be published and still there.
    pub(super) async fn take_over(
        pool: &PgPool,
        events: &Progress,
        topic: Option<Progress>,
        ordered: bool,
    ) -> Result<Result<Self, String>, sqlx::Error> {
        let copy = progress::copy(pool, Self::NAME).await?;
        let start =
            |position, event_id| Ok(Ok(Self(Progress { position, event_id, ..events.clone() })));
        if let Some(ResumeFrom::Position(position)) = progress::order(pool, Self::NAME).await? {
            return start(position, dead_letters::id_at(pool, position).await?);
        }
        let known = match (&topic, &copy) {
            (None, None) => return start(0, None),
            (Some(topic), _) if !ordered => {
                if dead_letters::id_at(pool, topic.position).await? == topic.event_id {
                    return start(topic.position, topic.event_id);
                }
                let why = format!(
                    "dead letter {} is not the one that was published: was the database restored?",
                    topic.position
                );
                return Ok(Err(restore::remedy(&why)));
            }
            (None, Some(copy)) if !ordered => {
                let why = format!(
                    "the progress topic knows of no dead letter, but {} are published",
                    copy.position
                );
                return Ok(Err(remedy(&why)));
            }
            (topic, copy) => {
                topic.iter().chain(copy).map(|place| place.position).max().unwrap_or_default()
            }
        };
        let position = known.min(dead_letters::last(pool).await?);
        start(position, dead_letters::id_at(pool, position).await?)
    }

    /// The next records, and the place behind them; nothing where there are none.
    pub(super) async fn next(
        &self,
        pool: &PgPool,
    ) -> Result<Option<(Vec<DeadRecord>, Progress)>, sqlx::Error> {
        let after = self.0.position;
        let letters = dead_letters::read_after(pool, after, MAX_LETTERS, MAX_VALUE_BYTES).await?;
        let Some(last) = letters.last() else { return Ok(None) };
        let place = self.at(last.number, last.id);
        Ok(Some((letters.into_iter().map(record).collect(), place)))
    }

    fn at(&self, position: i64, id: Uuid) -> Progress {
        Progress { position, event_id: Some(id), ..self.0.clone() }
    }

    /// Where it is.
    pub(super) fn place(&self) -> &Progress {
        &self.0
    }

    /// Kafka has confirmed this place.
    pub(super) fn moved(&mut self, place: Progress) {
        self.0 = place;
    }
}

/// Header names are what consumers branch on: never rename.
fn record(letter: DeadLetter) -> DeadRecord {
    let DeadLetter { id, code, reason, group, dead_at, record, bytes, settled, .. } = letter;
    let personal = is_personal(&record);
    let cut = bytes.is_some_and(|bytes| bytes > MAX_VALUE_BYTES);
    let omitted = personal || settled.is_some();
    let mut headers = if personal { Vec::new() } else { record.headers };
    headers.retain(|(name, value)| !in_header(name, value));
    let own = [
        ("dlt-id", id.to_string()),
        ("dlt-original-topic", record.topic.clone()),
        ("dlt-original-partition", record.partition.to_string()),
        ("dlt-original-offset", record.offset.to_string()),
        ("dlt-original-timestamp", record.timestamp.to_string()),
        ("dlt-original-group", group),
        ("dlt-error-code", code),
        ("dlt-error-message", reason),
        ("dlt-time", dead_at.to_rfc3339_opts(SecondsFormat::Millis, true)),
    ];
    headers.extend(own.map(|(name, value)| (name.to_owned(), value.into_bytes())));
    let mut flag = |name: &str| headers.push((name.to_owned(), b"true".to_vec()));
    if omitted {
        flag("dlt-value-omitted");
    } else if cut {
        flag("dlt-value-truncated");
    }
    DeadRecord {
        topic: dead_letter_topic(&record.topic),
        key: record.key.filter(|_| !omitted),
        value: record.value.filter(|_| !omitted),
        headers,
    }
}

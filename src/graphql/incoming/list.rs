//! Pages of dead letters and of parked messages.

use async_graphql::{Context, Result, SimpleObject};

use super::{DeadLetter, ParkedMessage, VALUE_CUT, read_error};
use crate::commands::workbench::Workbench;
use crate::event_store::dead_letters::Filter;
use crate::event_store::parked::KeptPage;
use crate::graphql::connection::{Arguments, Asked, connection};
use crate::graphql::cursor::{decode_number, encode_number};

/// The name of the list of dead letters in cursors.
pub(in crate::graphql) const DEAD_LETTERS: &str = "deadLetters";
/// The name of the list of parked messages in cursors.
pub(in crate::graphql) const PARKED_MESSAGES: &str = "parkedMessages";

/// A dead letter in a page.
#[derive(SimpleObject)]
pub(in crate::graphql) struct DeadLetterEdge {
    /// The dead letter.
    node: DeadLetter,
    /// Its place in the list, for `after` and `before`.
    cursor: String,
}

connection! {
    /// A page of dead letters.
    DeadLetterConnection of DeadLetterEdge with DeadLetter, counted by DeadLetterTotal
}

/// Which dead letters are counted.
pub(in crate::graphql) struct DeadLetterTotal(Workbench, Filter);

impl DeadLetterTotal {
    async fn count(&self, _: &Context<'_>) -> Result<i64> {
        self.0.count_dead_letters(&self.1).await.map_err(|error| read_error(&error))
    }
}

/// A parked message in a page.
#[derive(SimpleObject)]
pub(in crate::graphql) struct ParkedMessageEdge {
    /// The parked message.
    node: ParkedMessage,
    /// Its place in the list, for `after` and `before`.
    cursor: String,
}

connection! {
    /// A page of parked messages.
    ParkedMessageConnection of ParkedMessageEdge with ParkedMessage, counted by ParkedMessageTotal
}

/// Which parked messages are counted.
pub(in crate::graphql) struct ParkedMessageTotal(Workbench, Option<String>);

impl ParkedMessageTotal {
    async fn count(&self, _: &Context<'_>) -> Result<i64> {
        self.0.count_parked(self.1.as_deref()).await.map_err(|error| read_error(&error))
    }
}

fn page(asked: &Asked<i64>) -> KeptPage {
    let (from, backwards, limit) = (asked.from, asked.backwards, asked.limit());
    KeptPage { from, backwards, limit, cut: VALUE_CUT }
}

/// Dead letters.
pub(super) async fn page_of_dead_letters(
    ctx: &Context<'_>,
    workbench: &Workbench,
    filter: Filter,
    arguments: Arguments,
) -> Result<DeadLetterConnection> {
    let asked = arguments.read(|cursor| decode_number(DEAD_LETTERS, cursor))?;
    let letters = workbench.dead_letters(&filter, &page(&asked)).await;
    let (letters, neighbours) = asked.cut(ctx, letters.map_err(|error| read_error(&error))?)?;
    let edges = letters.iter().map(|letter| DeadLetterEdge {
        node: DeadLetter::of(workbench, letter),
        cursor: encode_number(DEAD_LETTERS, letter.number),
    });
    let total = DeadLetterTotal(workbench.clone(), filter);
    Ok(DeadLetterConnection { edges: edges.collect(), neighbours, total })
}

/// Parked messages.
pub(super) async fn page_of_parked_messages(
    ctx: &Context<'_>,
    workbench: &Workbench,
    topic: Option<String>,
    arguments: Arguments,
) -> Result<ParkedMessageConnection> {
    let asked = arguments.read(|cursor| decode_number(PARKED_MESSAGES, cursor))?;
    let parked = workbench.parked(topic.as_deref(), &page(&asked)).await;
    let (parked, neighbours) = asked.cut(ctx, parked.map_err(|error| read_error(&error))?)?;
    let edges = parked.iter().map(|one| ParkedMessageEdge {
        node: ParkedMessage::of(workbench, one),
        cursor: encode_number(PARKED_MESSAGES, one.number),
    });
    let total = ParkedMessageTotal(workbench.clone(), topic);
    Ok(ParkedMessageConnection { edges: edges.collect(), neighbours, total })
}

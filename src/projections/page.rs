//! Pages of lists that are sorted by keys and then by id: they go on behind a place, so rows that come or go elsewhere
//! change nothing, and a late page costs no more than the first.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};

/// What a row is sorted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// A text.
    Text(String),
    /// An instant.
    Time(DateTime<Utc>),
    /// Behind every instant: of a row that has none.
    Never,
    /// A number.
    Number(i32),
    /// The bits of a 32-bit float.
    Score(u32),
}

/// A place in a list: the keys of a row and its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// One for each term of the order.
    pub keys: Vec<Key>,
    /// What tells rows of equal keys apart.
    pub id: String,
}

/// Which part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Page {
    /// At most this many rows.
    pub limit: i64,
    /// From the end: what stands before `from`, the nearest first.
    pub backwards: bool,
    /// Behind this place; `None` is the beginning, or the end where it goes backwards.
    pub from: Option<Place>,
}

/// A term of an order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    /// What is compared.
    pub(super) expression: &'static str,
    /// Its name in the rows of a page.
    pub(super) alias: &'static str,
    /// The greatest first.
    pub(super) descending: bool,
}

impl Term {
    /// Whether rows of a greater key come later.
    fn rises(self, page: &Page) -> bool {
        self.descending == page.backwards
    }
}

/// Writes `, expression AS alias` for every term but the last, which is the id and a column already.
pub(super) fn push_keys(query: &mut QueryBuilder<'_, Postgres>, terms: &[Term]) {
    for term in &terms[..terms.len() - 1] {
        query.push(format_args!(", {} AS {}", term.expression, term.alias));
    }
}

/// Writes ` AND …`: only what comes behind the place of the page.
pub(super) fn push_behind(query: &mut QueryBuilder<'_, Postgres>, terms: &[Term], page: &Page) {
    if let Some(place) = &page.from {
        let mut keys = place.keys.clone();
        keys.push(Key::Text(place.id.clone()));
        query.push(" AND ");
        behind(query, terms, &keys, page);
    }
}

fn behind(query: &mut QueryBuilder<'_, Postgres>, terms: &[Term], keys: &[Key], page: &Page) {
    let ([term, rest @ ..], [key, further @ ..]) = (terms, keys) else { return };
    let comparison = if term.rises(page) { ">" } else { "<" };
    if rest.iter().all(|other| other.rises(page) == term.rises(page)) {
        // One comparison of rows is one range of an index.
        let expressions: Vec<_> = terms.iter().map(|term| term.expression).collect();
        query.push(format_args!("({}) {comparison} (", expressions.join(", ")));
        for (index, key) in keys.iter().enumerate() {
            query.push(if index == 0 { "" } else { ", " });
            push_key(query, key);
        }
        query.push(")");
        return;
    }
    query.push(format_args!("({} {comparison}= ", term.expression));
    push_key(query, key);
    query.push(format_args!(" AND ({} {comparison} ", term.expression));
    push_key(query, key);
    query.push(" OR ");
    behind(query, rest, further, page);
    query.push("))");
}

fn push_key(query: &mut QueryBuilder<'_, Postgres>, key: &Key) {
    match key {
        Key::Text(text) => query.push_bind(text.clone()),
        Key::Time(at) => query.push_bind(*at),
        Key::Never => query.push("'infinity'::timestamptz"),
        Key::Number(number) => query.push_bind(*number),
        Key::Score(bits) => query.push_bind(f32::from_bits(*bits)),
    };
}

/// Writes the terms of an `ORDER BY`, by expression or by alias.
pub(super) fn push_order(
    query: &mut QueryBuilder<'_, Postgres>,
    terms: &[Term],
    page: &Page,
    name: fn(&Term) -> &'static str,
) {
    for (index, term) in terms.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let direction = if term.rises(page) { "ASC" } else { "DESC" };
        query.push(format_args!("{comma}{} {direction}", name(term)));
    }
}

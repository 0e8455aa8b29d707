//! Cursors of connections: opaque, keyset, stable under inserts; and the size of a page.

use async_graphql::connection::CursorType;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, TimeZone, Utc};

use super::error::{ErrorCode, failure};

pub(super) const DEFAULT_PAGE: i32 = 20;
pub(super) const MAX_PAGE: i32 = 100;

/// The size of a page: 20 where it is not said, at most 100.
pub(super) fn page_size(first: Option<i32>) -> async_graphql::Result<usize> {
    let size = first.unwrap_or(DEFAULT_PAGE);
    usize::try_from(size).ok().filter(|_| size <= MAX_PAGE).ok_or_else(|| {
        failure(ErrorCode::ValidationFailed, format!("first must be 0 to {MAX_PAGE}"))
    })
}

/// A place in a list that is sorted by an instant, then by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimeCursor {
    pub(super) at: DateTime<Utc>,
    pub(super) id: String,
}

/// A place in a list that is sorted by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexCursor(pub(super) i32);

/// The text is not a cursor of this list.
#[derive(Debug, thiserror::Error)]
#[error("is not a cursor of this list")]
pub(super) struct NotACursor;

fn plain(text: &str) -> Result<String, NotACursor> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotACursor)?;
    String::from_utf8(bytes).map_err(|_| NotACursor)
}

impl CursorType for TimeCursor {
    type Error = NotACursor;

    fn decode_cursor(text: &str) -> Result<Self, NotACursor> {
        let plain = plain(text)?;
        let (micros, id) = plain.split_once(' ').ok_or(NotACursor)?;
        let micros = micros.parse().map_err(|_| NotACursor)?;
        let at = Utc.timestamp_micros(micros).single().ok_or(NotACursor)?;
        // What Postgres cannot take as a parameter: its instants begin in 4713 BC, its text holds no U+0000.
        if !(1..=9999).contains(&at.year()) || id.contains('\0') {
            return Err(NotACursor);
        }
        Ok(Self { at, id: id.to_owned() })
    }

    fn encode_cursor(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{} {}", self.at.timestamp_micros(), self.id))
    }
}

impl CursorType for IndexCursor {
    type Error = NotACursor;

    fn decode_cursor(text: &str) -> Result<Self, NotACursor> {
        plain(text)?.parse().map(Self).map_err(|_| NotACursor)
    }

    fn encode_cursor(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.to_string())
    }
}

/// Reads the `after` argument.
pub(super) fn after<C: CursorType>(text: Option<&str>) -> async_graphql::Result<Option<C>> {
    text.map(|text| {
        C::decode_cursor(text)
            .map_err(|_| failure(ErrorCode::ValidationFailed, "after is not a cursor of this list"))
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let at = Utc.timestamp_micros(1_790_000_000_123_456).single().unwrap();
        let cursor = TimeCursor { at, id: "c-1".to_owned() };
        assert_eq!(TimeCursor::decode_cursor(&cursor.encode_cursor()).unwrap(), cursor);
    }

    /// `-400000000000000000 a`: an instant that chrono knows and Postgres does not.
    const BEFORE_TIME: &str = "LTQwMDAwMDAwMDAwMDAwMDAwMCBh";

    #[test]
    fn foreign_cursors_are_refused() {
        for text in ["", "x", "%", "MTIz", &URL_SAFE_NO_PAD.encode("1 a\0"), BEFORE_TIME] {
            assert!(TimeCursor::decode_cursor(text).is_err(), "{text:?}");
        }
    }
}

//! A place in the log, as callers hold it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A place in the log: the epoch (it rises when the database was restored to an earlier point) and the position, 0
/// being "before the first event". Its text is opaque to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Which life of the log.
    pub epoch: i32,
    /// The number of events up to here.
    pub number: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(format!("{}:{}", self.epoch, self.number)))
    }
}

/// The text is not a position that this service gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a position that this service gave out")]
pub struct NotAPosition;

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotAPosition)?;
        let plain = String::from_utf8(bytes).map_err(|_| NotAPosition)?;
        let (epoch, number) = plain.split_once(':').ok_or(NotAPosition)?;
        let epoch = epoch.parse().ok().filter(|epoch| *epoch >= 0).ok_or(NotAPosition)?;
        let number = number.parse().ok().filter(|number| *number >= 0).ok_or(NotAPosition)?;
        Ok(Self { epoch, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_its_text() {
        let position = Position { epoch: 3, number: 987_654_321 };
        assert_eq!(position.to_string().parse(), Ok(position));
    }

    #[test]
    fn foreign_texts_are_refused() {
        for text in ["", "0:1", "x", "MDox!", "LTE6MQ"] {
            assert_eq!(text.parse::<Position>(), Err(NotAPosition), "{text:?}");
        }
    }
}

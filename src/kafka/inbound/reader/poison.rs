//! Why a record cannot be read.

/// A record that stays unreadable however often it is read. The sentence names field and rule and never quotes the
/// record: that may hold personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Poison {
    /// A tombstone, or no bytes.
    #[error("the record has no value")]
    EmptyValue,
    /// Not JSON, not UTF-8, a number beyond all, half a character, or nested too deeply.
    #[error(
        "the value is not JSON, holds a number or character that nothing can hold, or is nested too deeply"
    )]
    NotJson,
    /// JSON, but of another kind.
    #[error("the value is JSON, but not an object")]
    NotAnObject,
    /// More than [`super::MAX_VALUE_BYTES`].
    #[error("the value is larger than 1 MiB")]
    TooLarge,
    /// A field that the message is nothing without.
    #[error("{field} is missing")]
    Missing {
        /// Its first name.
        field: &'static str,
    },
    /// A field breaks its rule.
    #[error("{field} {rule}")]
    Invalid {
        /// Its first name.
        field: &'static str,
        /// What it must be, as the end of a sentence.
        rule: &'static str,
    },
}

impl Poison {
    /// The code as it stands in dead letters and metrics. Never rename one.
    pub fn code(&self) -> &'static str {
        match self {
            Self::EmptyValue => "EMPTY_VALUE",
            Self::NotJson => "NOT_JSON",
            Self::NotAnObject => "NOT_AN_OBJECT",
            Self::TooLarge => "TOO_LARGE",
            Self::Missing { .. } => "MISSING_FIELD",
            Self::Invalid { .. } => "INVALID_FIELD",
        }
    }

    /// The field that it is about, where it is about one.
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Missing { field } | Self::Invalid { field, .. } => Some(field),
            _ => None,
        }
    }
}

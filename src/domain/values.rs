//! The limits of single values, and what "keep, clear or set" means in a patch.

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Deserializer};
use url::Url;

use super::refusal::Refusal;

/// The most modules that a course may have.
pub const MAX_MODULES: usize = 200;
/// The most items that a module may have.
pub const MAX_ITEMS: usize = 500;
/// The most instructors of a course.
pub const MAX_INSTRUCTORS: usize = 50;
/// The most waiting students that one command may promote.
pub const MAX_PROMOTIONS: usize = 1_000;
/// The most bytes of JSON that a course or module may need on Kafka: its topics take 256 KiB a
/// record, and what is not counted here (ids, times, `changes`) is far below the difference.
pub const MAX_OUTGOING_BYTES: usize = 240 * 1024;

const MAX_TAGS: usize = 50;
const MAX_TAG_BYTES: usize = 64;
const MAX_DESCRIPTION_BYTES: usize = 16 * 1024;
const MAX_REASON_BYTES: usize = 1_024;
const MAX_URL_BYTES: usize = 2_048;

/// A field of a patch: absent, null or a value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Patch<T> {
    /// Absent: keep what is there.
    #[default]
    Keep,
    /// Null: clear it.
    Clear,
    /// Set it.
    Set(T),
}

impl<T: Clone + PartialEq> Patch<T> {
    /// The new value where it differs from `current`.
    pub fn change(&self, current: Option<&T>) -> Option<Option<T>> {
        let wanted = match self {
            Self::Keep => return None,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        };
        (wanted != current).then(|| wanted.cloned())
    }

    /// The value after the patch.
    pub fn over<'a>(&'a self, current: Option<&'a T>) -> Option<&'a T> {
        match self {
            Self::Keep => current,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// Reads a field whose presence matters: absent is `None` (by `serde(default)`), null is `Some(None)`.
pub(super) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn no_nul(text: &str, field: &'static str) -> Result<(), Refusal> {
    if text.contains('\0') {
        return Err(Refusal::invalid(field, "must not contain the character U+0000"));
    }
    Ok(())
}

/// A title: 1..255 characters, not only white space.
pub fn title(text: &str) -> Result<(), Refusal> {
    no_nul(text, "title")?;
    if text.trim().is_empty() || text.chars().count() > 255 {
        return Err(Refusal::invalid("title", "must be 1 to 255 characters, not only white space"));
    }
    Ok(())
}

/// A course code: `^[A-Za-z0-9._-]{1,64}$`.
pub fn code(text: &str) -> Result<(), Refusal> {
    let lawful = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if lawful {
        Ok(())
    } else {
        Err(Refusal::invalid("code", "must be 1 to 64 characters of A-Z, a-z, 0-9, ., _ and -"))
    }
}

/// The form in which codes are compared: without regard to case.
pub fn folded_code(code: &str) -> String {
    code.to_ascii_lowercase()
}

/// A description or summary: at most 16 KiB.
pub fn description(text: &str, field: &'static str) -> Result<(), Refusal> {
    no_nul(text, field)?;
    if text.len() > MAX_DESCRIPTION_BYTES {
        return Err(Refusal::invalid(field, "must be at most 16 KiB"));
    }
    Ok(())
}

/// A reason: at most 1 KiB.
pub fn reason(text: &str) -> Result<(), Refusal> {
    no_nul(text, "reason")?;
    if text.len() > MAX_REASON_BYTES {
        return Err(Refusal::invalid("reason", "must be at most 1 KiB"));
    }
    Ok(())
}

/// A URL: absolute, of the web, at most 2,048 bytes. It is kept as it was written.
pub fn url(text: &str) -> Result<(), Refusal> {
    if text.len() > MAX_URL_BYTES {
        return Err(Refusal::invalid("url", "must be at most 2,048 bytes"));
    }
    // The parser mends what browsers mend: white space, a missing slash.
    let clean = !text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\');
    let on_the_web = |url: Url| {
        let scheme = url.scheme();
        let host = text.get(scheme.len()..).and_then(|rest| rest.strip_prefix("://"));
        matches!(scheme, "http" | "https") && host.is_some_and(|host| !host.starts_with('/'))
    };
    if clean && Url::parse(text).is_ok_and(on_the_web) {
        return Ok(());
    }
    Err(Refusal::invalid("url", "must be an absolute http or https URL without white space"))
}

/// Tags: at most 50 of 1..64 bytes, none twice.
pub fn tags(tags: &[String]) -> Result<(), Refusal> {
    if tags.len() > MAX_TAGS {
        return Err(Refusal::invalid("tags", "must be at most 50"));
    }
    for (index, tag) in tags.iter().enumerate() {
        no_nul(tag, "tags")?;
        if tag.trim().is_empty() || tag.len() > MAX_TAG_BYTES {
            return Err(Refusal::invalid("tags", "must each be 1 to 64 bytes"));
        }
        if tags[..index].contains(tag) {
            return Err(Refusal::invalid("tags", "must not hold a tag twice"));
        }
    }
    Ok(())
}

/// A capacity: 0 (closed) to 2^31 - 1 seats.
pub fn capacity(seats: i64) -> Result<u32, Refusal> {
    i32::try_from(seats)
        .ok()
        .and_then(|seats| u32::try_from(seats).ok())
        .ok_or(Refusal::invalid("capacity", "must be 0 to 2147483647, or null for unlimited"))
}

/// A passing score in percent: 0..100.
pub fn passing_score(percent: f64) -> Result<(), Refusal> {
    if (0.0..=100.0).contains(&percent) {
        Ok(())
    } else {
        Err(Refusal::invalid("passingScore", "must be a percentage from 0 to 100"))
    }
}

/// An instant that RFC 3339 can write: the years 1 to 9999.
pub fn instant(instant: Option<&DateTime<Utc>>, field: &'static str) -> Result<(), Refusal> {
    if instant.is_none_or(|instant| (1..=9999).contains(&instant.year())) {
        return Ok(());
    }
    Err(Refusal::invalid(field, "must lie in the years 1 to 9999"))
}

/// A range of time: the end is not before the start.
pub fn range(
    start: Option<&DateTime<Utc>>,
    end: Option<&DateTime<Utc>>,
    field: &'static str,
    rule: &'static str,
) -> Result<(), Refusal> {
    match (start, end) {
        (Some(start), Some(end)) if end < start => Err(Refusal::invalid(field, rule)),
        _ => Ok(()),
    }
}

/// How many bytes `text` needs as a JSON string, escapes and quotes included (RFC 8259, as `serde_json` writes it).
pub fn json_len(text: &str) -> usize {
    2 + text
        .bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
            0x00..=0x1f => 6,
            _ => 1,
        })
        .sum::<usize>()
}

#[cfg(test)]
mod tests {
    use proptest::collection;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_json_length_is_what_serde_json_writes(chars in collection::vec(any::<char>(), 0..64)) {
            let text: String = chars.into_iter().collect(); // `any::<String>()` holds no control characters
            prop_assert_eq!(json_len(&text), serde_json::to_string(&text).unwrap().len());
        }
    }

    #[test]
    fn the_json_length_of_every_ascii_character_is_exact() {
        for byte in 0..=0x7f_u8 {
            let text = char::from(byte).to_string();
            assert_eq!(json_len(&text), serde_json::to_string(&text).unwrap().len(), "{byte:#x}");
        }
    }

    #[test]
    fn a_url_is_absolute_and_of_the_web() {
        let longest = format!("https://example.org/{}", "x".repeat(2_048 - 20));
        for lawful in [
            "http://a",
            "HTTPS://Example.org",
            "https://example.org:8443/a/b.pdf?c=d&e=%20#f",
            "http://[::1]/",
            "https://bücher.example/日本",
            "https://example.org/a|b",
            &longest,
        ] {
            assert_eq!(url(lawful), Ok(()), "{lawful}");
        }
        for unlawful in [
            "",
            "a",
            "/a",
            "//example.org",
            "example.org",
            "http:",
            "http://",
            "http:///a",
            "http:a",
            "http:/a",
            "https:\\\\example.org",
            "ftp://example.org",
            "file:///etc/passwd",
            "data:text/html,x",
            "javascript:alert(1)",
            "mailto:a@example.org",
            "http://exa mple.org",
            "http://example.org/a b",
            " http://example.org",
            "http://example.org ",
            "http://example.org\n",
            "ht\ntp://example.org",
            "http://example.org/\0",
            "http://example.org/\u{85}",
            "http://example.org:99999",
            "http://[::1",
            &format!("{longest}x"),
        ] {
            let refusal = url(unlawful).unwrap_err();
            assert_eq!(refusal.field(), Some("url"), "{unlawful}");
        }
    }

    #[test]
    fn every_limit_names_its_field() {
        let cases: [(Result<(), Refusal>, &str); 14] = [
            (title(""), "title"),
            (title("   "), "title"),
            (title(&"x".repeat(256)), "title"),
            (title("a\0b"), "title"),
            (code(""), "code"),
            (code("a b"), "code"),
            (code(&"x".repeat(65)), "code"),
            (description(&"x".repeat(16 * 1024 + 1), "summary"), "summary"),
            (tags(&vec![String::from("x"); 2]), "tags"),
            (tags(&[String::new()]), "tags"),
            (tags(&["x".repeat(65)]), "tags"),
            (tags(&(0..51).map(|n| n.to_string()).collect::<Vec<_>>()), "tags"),
            (passing_score(f64::NAN), "passingScore"),
            (capacity(-1).map(|_| ()), "capacity"),
        ];
        for (result, field) in cases {
            assert_eq!(result.unwrap_err().field(), Some(field));
        }
    }

    #[test]
    fn the_edges_of_the_limits_are_lawful() {
        title(&"ü".repeat(255)).unwrap();
        code(&"A".repeat(64)).unwrap();
        description(&"x".repeat(16 * 1024), "description").unwrap();
        assert_eq!(capacity(i64::from(i32::MAX)).unwrap(), 2_147_483_647);
        assert!(capacity(i64::from(i32::MAX) + 1).is_err());
    }
}

//! What of a message may be somebody's name or mail address, and so must not leave.
//!
//! What `User-…` topics tell is personal in any case. Of other messages nobody can know: a producer may put a whole
//! user where an id belongs. So a message is taken for personal where a field is called like a name or a mail address,
//! or a text looks like an address. What cannot be read is searched as it is.

use serde_json::Value;

use super::topics::InboundTopic;
use crate::event_store::inbound::Record;

/// Parts of the names of fields that hold personal data, in lower case.
const FIELDS: [&str; 3] = ["name", "mail", "phone"];
/// Fields that are called so and hold none.
const HARMLESS: [&str; 2] = ["eventname", "topicname"];

/// Whether key or value may hold a name or an address.
pub(crate) fn is_personal(record: &Record) -> bool {
    let topic = InboundTopic::parse(&record.topic);
    topic.is_none_or(InboundTopic::is_personal)
        || [&record.key, &record.value].into_iter().flatten().any(|bytes| in_bytes(bytes))
}

/// Whether a header may.
pub(super) fn in_header(name: &str, value: &[u8]) -> bool {
    called_so(name) || value.contains(&b'@')
}

fn in_bytes(bytes: &[u8]) -> bool {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return in_value(&value);
    }
    let text = bytes.to_ascii_lowercase();
    let has = |part: &str| text.windows(part.len()).any(|window| window == part.as_bytes());
    text.contains(&b'@') || FIELDS.iter().any(|part| has(part))
}

fn in_value(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('@'),
        Value::Array(items) => items.iter().any(in_value),
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| called_so(name) || in_value(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn called_so(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !HARMLESS.contains(&name.as_str()) && FIELDS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn personal(topic: &str, value: &str) -> bool {
        let value = Some(value.as_bytes().to_vec());
        is_personal(&Record { topic: topic.to_owned(), value, ..Record::default() })
    }

    #[test]
    fn whoever_tells_of_users_tells_personal_data() {
        assert!(personal("User-Update", "{}"));
        assert!(personal("Unknown", "{}"));
    }

    #[test]
    fn a_user_where_an_id_belongs_is_found_however_deep_and_however_written() {
        for value in [
            r#"{"student":{"_id":"s","name":"Sam"}}"#,
            r#"{"data":[{"gradedBy":{"displayName":"Sam"}}]}"#,
            r#"{"contact":"sam@example.org"}"#,
            r#"{"\u006eame":"Sam"}"#,
            r#"{"student":{"emailAddress":null}}"#,
            r#"{"student":{"name":"Sam"#,
            "sam@example.org",
        ] {
            assert!(personal("Grading-Completed", value), "{value}");
        }
        for value in [
            r#"{"eventName":"graded","studentId":"sam","score":1}"#,
            r#"{"studentId":"sam","score":"#,
            "xxx",
            "null",
        ] {
            assert!(!personal("Grading-Completed", value), "{value}");
        }
    }

    #[test]
    fn a_header_may_hold_an_address() {
        assert!(in_header("reply-to", b"sam@example.org"));
        assert!(in_header("user-name", b"Sam"));
        assert!(!in_header("ce_id", b"1"));
    }
}

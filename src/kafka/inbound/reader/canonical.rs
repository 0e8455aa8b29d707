//! One form for all ways to write a JSON value: keys in order, no white space.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The first eight bytes of the SHA-256 of the canonical form.
pub(super) fn hash(value: &Value) -> u64 {
    let mut text = String::new();
    write(value, &mut text);
    let digest = Sha256::digest(&text);
    digest.iter().take(8).fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

/// As deep as the parser let it be.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            for (index, (name, field)) in fields.into_iter().enumerate() {
                text.push(if index == 0 { '{' } else { ',' });
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(field, text);
            }
            text.push_str(if map.is_empty() { "{}" } else { "}" });
        }
        Value::Array(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(element, text);
            }
            text.push(']');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_has_sorted_keys_and_no_white_space() {
        let value =
            serde_json::from_str(r#"{ "b": [1, {"z": 1.50, "a": null}, {}], "a": "\u0041\n" }"#);
        let mut text = String::new();
        write(&value.unwrap(), &mut text);
        assert_eq!(text, r#"{"a":"A\n","b":[1,{"a":null,"z":1.5},{}]}"#);
    }

    #[test]
    fn the_hash_of_a_value_is_the_same_for_ever() {
        assert_eq!(hash(&serde_json::json!({})), 0x4413_6fa3_55b3_678a); // of `{}`
    }
}

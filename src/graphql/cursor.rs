//! Cursors: opaque places in a list. A cursor names its list, order and direction, so that one of another list is an
//! error and not a page of nonsense.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, TimeZone, Utc};
use serde_json::{Value, json};

use crate::projections::modules::ModulePlace;
use crate::projections::page::{Key, Place};

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text.
    Text,
    /// An instant.
    Time,
    /// An instant, or none.
    OptionalTime,
    /// A number.
    Number,
    /// How well a row fits.
    Score,
}

/// The cursor of a place in the list of this name.
pub(super) fn encode(list: &str, place: &Place) -> String {
    let mut parts = vec![json!(list)];
    parts.extend(place.keys.iter().map(|key| match key {
        Key::Text(text) => json!(text),
        Key::Time(at) => json!(at.timestamp_micros()),
        Key::Never => Value::Null,
        Key::Number(number) => json!(number),
        Key::Score(bits) => json!(bits),
    }));
    parts.push(json!(place.id));
    write(&Value::Array(parts))
}

/// The place that a cursor of the list of this name says; `None` for anything else.
pub(super) fn decode(list: &str, kinds: &[Kind], cursor: &str) -> Option<Place> {
    let mut parts = read(list, cursor)?;
    let id = text(&parts.pop()?)?;
    if parts.len() != kinds.len() {
        return None;
    }
    let keys = parts.iter().zip(kinds).map(|(part, kind)| match kind {
        Kind::Text => text(part).map(Key::Text),
        Kind::OptionalTime if part.is_null() => Some(Key::Never),
        Kind::Time | Kind::OptionalTime => instant(part.as_i64()?).map(Key::Time),
        Kind::Number => i32::try_from(part.as_i64()?).ok().map(Key::Number),
        Kind::Score => {
            let bits = u32::try_from(part.as_u64()?).ok()?;
            f32::from_bits(bits).is_finite().then_some(Key::Score(bits))
        }
    });
    Some(Place { keys: keys.collect::<Option<_>>()?, id })
}

/// The cursor of a module in the list of this name.
pub(super) fn encode_module(list: &str, place: &ModulePlace) -> String {
    write(&json!([list, place.position, place.module_id]))
}

/// The place that a cursor of the list of modules of this name says; `None` for anything else.
pub(super) fn decode_module(list: &str, cursor: &str) -> Option<ModulePlace> {
    let parts = read(list, cursor)?;
    let [position, id] = parts.as_slice() else { return None };
    let position = i32::try_from(position.as_i64()?).ok()?;
    Some(ModulePlace { position, module_id: text(id)? })
}

/// The cursor of a number in the list of this name.
pub(super) fn encode_number(list: &str, number: i64) -> String {
    write(&json!([list, number]))
}

/// The number that a cursor of the list of this name says; `None` for anything else.
pub(super) fn decode_number(list: &str, cursor: &str) -> Option<i64> {
    match read(list, cursor)?.as_slice() {
        [number] => number.as_i64(),
        _ => None,
    }
}

fn write(parts: &Value) -> String {
    URL_SAFE_NO_PAD.encode(parts.to_string())
}

/// What stands behind the name of the list.
fn read(list: &str, cursor: &str) -> Option<Vec<Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let mut parts: Vec<Value> = serde_json::from_slice(&bytes).ok()?;
    let ours = parts.first()? == list;
    parts.remove(0);
    ours.then_some(parts)
}

/// What Postgres cannot take as a parameter is no place: its text holds no U+0000.
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.contains('\0')).map(str::to_owned)
}

/// Its instants begin in 4713 BC.
fn instant(micros: i64) -> Option<DateTime<Utc>> {
    let at = Utc.timestamp_micros(micros).single()?;
    (1..=9999).contains(&at.year()).then_some(at)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 5] =
        [Kind::Text, Kind::Time, Kind::OptionalTime, Kind::Number, Kind::Score];

    fn json_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(|value| json!(value)),
            any::<i64>().prop_map(|value| json!(value)),
            any::<u64>().prop_map(|value| json!(value)),
            any::<f64>().prop_map(|value| json!(value)),
            any::<String>().prop_map(|value| json!(value)),
            Just(json!("a\0b")),
            Just(json!([1])),
        ]
    }

    /// Whether Postgres takes it.
    fn lawful(place: &Place) -> bool {
        let key = |key: &Key| match key {
            Key::Text(text) => !text.contains('\0'),
            Key::Time(at) => (1..=9999).contains(&at.year()),
            Key::Score(bits) => f32::from_bits(*bits).is_finite(),
            Key::Never | Key::Number(_) => true,
        };
        place.keys.iter().all(key) && !place.id.contains('\0')
    }

    proptest! {
        #[test]
        fn a_cursor_survives_its_text(
            title in "[^\\x00]{0,20}", micros in 0_i64..250_000_000_000_000_000, none: bool, number: i32, score: f32, id in "[^\\x00]{0,20}"
        ) {
            prop_assume!(score.is_finite());
            let at = Utc.timestamp_micros(micros).single().unwrap();
            let starts = if none { Key::Never } else { Key::Time(at) };
            let keys = vec![
                Key::Text(title), Key::Time(at), starts, Key::Number(number), Key::Score(score.to_bits()),
            ];
            let place = Place { keys, id };
            prop_assert_eq!(decode("list", &KINDS, &encode("list", &place)), Some(place.clone()));
            prop_assert_eq!(decode("other", &KINDS, &encode("list", &place)), None);
            prop_assert_eq!(decode("list", &KINDS[1..], &encode("list", &place)), None);
            let at = i64::from(number);
            prop_assert_eq!(decode_number("list", &encode_number("list", at)), Some(at));
            prop_assert_eq!(decode_number("other", &encode_number("list", at)), None);
            let module = ModulePlace { position: number, module_id: place.id };
            prop_assert_eq!(decode_module("list", &encode_module("list", &module)), Some(module));
        }

        #[test]
        fn any_text_is_a_lawful_place_or_none(text in "\\PC{0,60}", bytes in vec(any::<u8>(), 0..60)) {
            for cursor in [text.clone(), URL_SAFE_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&bytes)] {
                prop_assert_eq!(decode("list", &KINDS, &cursor), None);
                prop_assert_eq!(decode_module("list", &cursor), None);
                prop_assert_eq!(decode_number("list", &cursor), None);
            }
        }

        #[test]
        fn any_json_is_a_lawful_place_or_none(mut parts in vec(json_value(), 0..8)) {
            parts.insert(0, json!("list"));
            let cursor = write(&Value::Array(parts));
            prop_assert!(decode("list", &KINDS, &cursor).is_none_or(|place| lawful(&place)));
            for kind in KINDS {
                prop_assert!(decode("list", &[kind], &cursor).is_none_or(|place| lawful(&place)));
            }
            prop_assert!(decode_module("list", &cursor).is_none_or(|p| !p.module_id.contains('\0')));
            let number = decode_number("list", &cursor);
            prop_assert!(number.is_none_or(|number| cursor == encode_number("list", number)));
        }
    }
}

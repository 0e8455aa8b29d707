//! Times in all the forms in which services write them.

use chrono::{DateTime, Datelike, Utc};
use serde_json::Value;

use super::field;

/// Below this a number counts seconds, from it on milliseconds: the seconds reach to the year 5138, and the
/// milliseconds begin in 1973.
const FIRST_MILLISECOND: f64 = 1e11;
/// Farther than the year 9999 in either.
const FARTHEST: f64 = 1e15;

/// A time: RFC 3339, seconds or milliseconds since 1970, or `{"$date": …}` of either. Nothing outside of the years 1
/// to 9999, and nothing finer than a microsecond, which is what the database holds.
pub(super) fn instant(value: &Value) -> Option<DateTime<Utc>> {
    let value = value.get("$date").unwrap_or(value);
    match (field::numeric(value), value) {
        (Some(number), _) => of_number(number),
        (None, Value::String(text)) => of_text(text),
        _ => None,
    }
}

/// RFC 3339.
pub(super) fn of_text(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text.trim()).ok()?;
    of_micros(time.timestamp_micros())
}

/// Milliseconds since 1970.
pub(super) fn of_millis(millis: i64) -> Option<DateTime<Utc>> {
    of_micros(millis.checked_mul(1_000)?)
}

fn of_number(number: f64) -> Option<DateTime<Utc>> {
    if number.abs() > FARTHEST {
        return None;
    }
    let in_seconds = number.abs() < FIRST_MILLISECOND;
    let micros = if in_seconds { number * 1e6 } else { number * 1e3 };
    #[expect(clippy::cast_possible_truncation, reason = "at most 10^18")]
    of_micros(micros.round() as i64)
}

fn of_micros(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).filter(|time| (1..=9999).contains(&time.year()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_may_be_written_in_many_ways() {
        let time = "2024-09-12T08:00:00.123Z";
        for value in [
            json!(time),
            json!("2024-09-12T10:00:00.123+02:00"),
            json!(1_726_128_000_123_i64),
            json!(1_726_128_000.123),
            json!("1726128000123"),
            json!(" 1726128000.123 "),
            json!({ "$date": time }),
            json!({ "$date": 1_726_128_000_123_i64 }),
            json!({ "$date": { "$numberLong": "1726128000123" } }),
        ] {
            assert_eq!(instant(&value), Some(time.parse().unwrap()), "{value}");
        }
        assert_eq!(instant(&json!(0)), Some(DateTime::UNIX_EPOCH));
        assert_eq!(instant(&json!(-1.5)), Some("1969-12-31T23:59:58.5Z".parse().unwrap()));
        assert_eq!(instant(&json!(99_999_999_999_i64)).unwrap().year(), 5138, "seconds");
        assert_eq!(instant(&json!(100_000_000_000_i64)).unwrap().year(), 1973, "milliseconds");
        assert_eq!(instant(&json!(253_402_300_799_999_i64)).unwrap().year(), 9999);
    }

    #[test]
    fn what_is_no_time_of_the_years_1_to_9999_is_none() {
        for value in [
            json!(null),
            json!(true),
            json!("tomorrow"),
            json!("NaN"),
            json!("inf"),
            json!([]),
            json!({}),
            json!({ "$date": {} }),
            json!({ "$date": { "$date": 0 } }),
            json!(253_402_300_800_000_i64),
            json!(i64::MIN),
            json!(u64::MAX),
            json!(1e300),
            json!("0000-12-31T00:00:00Z"),
            json!("0001-01-01T00:00:00+01:00"),
            json!("9999-12-31T23:59:59-01:00"),
            json!("2024-02-30T00:00:00Z"),
        ] {
            assert_eq!(instant(&value), None, "{value}");
        }
    }

    #[test]
    fn a_leap_second_is_the_next_second() {
        let next = "2017-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(instant(&json!("2016-12-31T23:59:60Z")), Some(next));
    }
}

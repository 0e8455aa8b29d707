//! The encodings of a video: a list of objects or of URLs, or one object from quality to URL.

use serde_json::{Map, Value};

use super::super::envelope::{get, says_something};
use super::super::field;
use super::super::poison::Poison;
use super::{RENDITIONS, url, url_in};
use crate::domain::report::Rendition;

const MAX_RENDITIONS: usize = 32;
const QUALITY: [&str; 4] = ["quality", "name", "label", "resolution"];
/// Of an encoding that nothing names.
const UNNAMED: &str = "unknown";
/// From here on a bitrate counts bits, below it kilobits.
const FEWEST_BITS: f64 = 10_000.0;

/// Reads them. One without a URL cannot be played and is left out.
pub(super) fn read(value: &Value) -> Result<Vec<Rendition>, Poison> {
    let mut renditions = Vec::new();
    match value {
        Value::Array(list) => {
            for one in list {
                renditions.extend(rendition(None, one)?);
            }
        }
        Value::Object(by_quality) => {
            for (quality, one) in by_quality {
                renditions.extend(rendition(Some(quality), one)?);
            }
        }
        _ => return Err(invalid("must be a list, or an object of URLs by quality")),
    }
    if renditions.len() > MAX_RENDITIONS {
        return Err(invalid("must be at most 32"));
    }
    Ok(renditions)
}

fn invalid(rule: &'static str) -> Poison {
    Poison::Invalid { field: RENDITIONS.name, rule }
}

fn rendition(key: Option<&str>, value: &Value) -> Result<Option<Rendition>, Poison> {
    let Some(place) = url_in(value).filter(|place| says_something(place)) else { return Ok(None) };
    let url = url(&RENDITIONS, place)?;
    let none = Map::new();
    let fields = value.as_object().unwrap_or(&none);
    let quality = match (key, quality(fields)) {
        (_, Some(quality)) => quality,
        (Some(key), None) => Value::from(key),
        (None, None) => Value::from(UNNAMED),
    };
    let short = |text: &str| (1..=64).contains(&text.len());
    let quality = RENDITIONS.text(&quality, "must each have a quality of 1 to 64 bytes", short)?;
    let number = |name| get(fields, name).and_then(field::numeric);
    let bitrate = number("bitrate").or_else(|| number("bandwidth"));
    let bitrate = bitrate.map(|rate| if rate >= FEWEST_BITS { rate / 1_000.0 } else { rate });
    Ok(Some(Rendition {
        quality,
        url,
        width: number("width").and_then(whole),
        height: number("height").and_then(whole),
        bitrate_kbps: number("bitrateKbps").or(bitrate).and_then(whole),
    }))
}

/// What the fields call it: a text, or a number of lines such as 720.
fn quality(fields: &Map<String, Value>) -> Option<Value> {
    let named = QUALITY.iter().filter_map(|name| get(fields, name));
    let mut found = named.chain(get(fields, "height")).filter(|value| says_something(value));
    found.find_map(|value| match value {
        Value::String(text) if field::numeric(value).is_none() => Some(Value::from(text.as_str())),
        value => whole(field::numeric(value)?).map(|lines| Value::from(format!("{lines}p"))),
    })
}

/// These numbers only adorn an encoding: what is none is left out.
fn whole(number: f64) -> Option<u32> {
    format!("{:.0}", number.max(0.0)).parse().ok().filter(|number| *number > 0)
}

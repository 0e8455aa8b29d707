//! Single fields: their names, and what their values may look like.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use serde_json::{Number, Value};

use super::envelope::{Envelope, get, says_something};
use super::poison::Poison;
use super::time;
use crate::domain::CourseId;
use crate::domain::Refusal;
use crate::domain::values::Patch;

/// A field: the name that refusals call it by, and all its names, the best first.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) names: &'static [&'static str],
}

pub(super) const COURSE: Field = Field { name: "courseId", names: &["courseId", "course"] };
pub(super) const ASSESSMENT: Field = Field {
    name: "assessmentId",
    names: &["assessmentId", "quizId", "assignmentId", "assessment", "quiz", "assignment"],
};
pub(super) const STUDENT: Field = Field {
    name: "studentId",
    names: &["studentId", "student", "userId", "user", "learnerId", "learner"],
};
pub(super) const MAX_SCORE: Field =
    Field { name: "maxScore", names: &["maxScore", "totalMarks", "maxMarks", "outOf", "total"] };

const NO_NUL: &str = "must not contain the character U+0000";
/// Of ids: deeper than any service nests one.
const MAX_DEPTH: usize = 4;
/// What an object that stands for an id may hold it in.
const ID_IN_OBJECT: [&str; 6] = ["$oid", "$uuid", "$numberLong", "$numberInt", "_id", "id"];
/// What an object that stands for a number may hold it in.
const NUMBER_IN_OBJECT: [&str; 4] =
    ["$numberInt", "$numberLong", "$numberDouble", "$numberDecimal"];

/// What the domain says of an id.
type ParseId<T> = fn(&str, &'static str) -> Result<T, Refusal>;

impl Field {
    fn invalid(&self, rule: &'static str) -> Poison {
        Poison::Invalid { field: self.name, rule }
    }

    /// An id that the message is nothing without.
    pub(super) fn id<T>(&self, envelope: &Envelope<'_>, parse: ParseId<T>) -> Result<T, Poison> {
        self.optional_id(envelope, parse)?.ok_or(Poison::Missing { field: self.name })
    }

    /// An id. Of several the one under the best name holds, wherever it stands.
    pub(super) fn optional_id<T>(
        &self,
        envelope: &Envelope<'_>,
        parse: ParseId<T>,
    ) -> Result<Option<T>, Poison> {
        envelope.best(self.names).map(|value| self.id_of(value, parse)).transpose()
    }

    /// An id that null clears.
    pub(super) fn id_patch<T>(
        &self,
        envelope: &Envelope<'_>,
        parse: ParseId<T>,
    ) -> Result<Patch<T>, Poison> {
        set(&envelope.patch(self.names), |value| self.id_of(value, parse))
    }

    fn id_of<T>(&self, value: &Value, parse: ParseId<T>) -> Result<T, Poison> {
        let rule = "must be a text, an integer or an object with an id";
        let text = id_text(value, self.names).ok_or(self.invalid(rule))?;
        parse(&text, self.name).map_err(|refusal| match refusal {
            Refusal::Invalid { rule, .. } => self.invalid(rule),
            _ => self.invalid(rule),
        })
    }

    /// A text, of which white space around it is no part.
    pub(super) fn text(
        &self,
        value: &Value,
        rule: &'static str,
        lawful: impl Fn(&str) -> bool,
    ) -> Result<String, Poison> {
        let text = value.as_str().ok_or(self.invalid("must be a text"))?.trim();
        if text.contains('\0') {
            return Err(self.invalid(NO_NUL));
        }
        if lawful(text) { Ok(text.to_owned()) } else { Err(self.invalid(rule)) }
    }

    /// A number, or a text that is one.
    pub(super) fn number(
        &self,
        value: &Value,
        rule: &'static str,
        lawful: impl Fn(f64) -> bool,
    ) -> Result<f64, Poison> {
        numeric(value).filter(|number| lawful(*number)).ok_or(self.invalid(rule))
    }

    /// The same, where it is there.
    pub(super) fn optional_number(
        &self,
        envelope: &Envelope<'_>,
        rule: &'static str,
        lawful: impl Fn(f64) -> bool,
    ) -> Result<Option<f64>, Poison> {
        envelope.find(self.names).map(|value| self.number(value, rule, lawful)).transpose()
    }

    /// A whole number of a range.
    pub(super) fn whole(
        &self,
        value: &Value,
        rule: &'static str,
        lawful: RangeInclusive<u32>,
    ) -> Result<u32, Poison> {
        let number = integer(value).and_then(|number| u32::try_from(number).ok());
        number.filter(|number| lawful.contains(number)).ok_or(self.invalid(rule))
    }

    /// A time.
    pub(super) fn time(&self, value: &Value) -> Result<DateTime<Utc>, Poison> {
        let rule = "must be a time of the years 1 to 9999: RFC 3339, or seconds or milliseconds since 1970";
        time::instant(value).ok_or(self.invalid(rule))
    }

    /// Yes or no, where it is there.
    pub(super) fn flag(&self, envelope: &Envelope<'_>) -> Result<Option<bool>, Poison> {
        let flag = |value| boolean(value).ok_or(self.invalid("must be true or false"));
        envelope.find(self.names).map(flag).transpose()
    }
}

/// The rule of [`is_maximum`].
pub(super) const MOST_POINTS: &str = "must be a number above 0, at most 1,000,000,000";

/// Whether a result can have at most so many points.
pub(super) fn is_maximum(points: f64) -> bool {
    points > 0.0 && points <= 1e9
}

/// The course, where the message names it.
pub(super) fn optional_course(envelope: &Envelope<'_>) -> Result<Option<CourseId>, Poison> {
    COURSE.optional_id(envelope, CourseId::parse)
}

/// Reads what a patch sets.
pub(super) fn set<'a, T>(
    patch: &Patch<&'a Value>,
    read: impl FnOnce(&'a Value) -> Result<T, Poison>,
) -> Result<Patch<T>, Poison> {
    match patch {
        Patch::Keep => Ok(Patch::Keep),
        Patch::Clear => Ok(Patch::Clear),
        Patch::Set(value) => read(value).map(Patch::Set),
    }
}

/// The text of an id in any form; `also` are further names under which an object may hold it.
pub(super) fn id_text(value: &Value, also: &[&str]) -> Option<String> {
    let mut value = value;
    for _ in 0..MAX_DEPTH {
        match value {
            Value::String(text) => return Some(text.trim().to_owned()),
            Value::Number(number) => return integer_text(number),
            Value::Object(fields) => {
                let mut found =
                    ID_IN_OBJECT.iter().chain(also).filter_map(|name| get(fields, name));
                value = found.find(|value| says_something(value))?;
            }
            _ => return None,
        }
    }
    None
}

/// The decimal form of a whole number: 3 of `3.0` too, and digits instead of an exponent.
fn integer_text(number: &Number) -> Option<String> {
    if number.is_i64() || number.is_u64() {
        return Some(number.to_string());
    }
    let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
    Some(if float == 0.0 { "0".to_owned() } else { format!("{float:.0}") })
}

/// A finite number, or a text or object that stands for one.
pub(super) fn numeric(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Object(fields) => {
            let held = NUMBER_IN_OBJECT.iter().find_map(|name| fields.get(*name))?;
            if held.is_object() { None } else { numeric(held) }
        }
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// A whole number.
pub(super) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => id_text(value, &[])?.parse().ok(),
    }
}

/// Yes or no, in the forms of forms and databases.
pub(super) fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_f64() {
            Some(1.0) => Some(true),
            Some(0.0) => Some(false),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

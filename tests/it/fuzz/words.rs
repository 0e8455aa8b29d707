//! Values: what makes sense here, what the service has said before, and what nobody should send.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::dice::Dice;

/// How many words of the service are remembered of each kind.
const REMEMBERED: usize = 40;

/// What no answer may hold: the inside of the service. None of the words below contains any of these.
pub(crate) const INTERNALS: [&str; 19] = [
    "sqlx",
    "SELECT ",
    "INSERT INTO",
    "UPDATE courses",
    "postgres",
    "Postgres",
    "panicked",
    "backtrace",
    "src/",
    ".rs:",
    env!("CARGO_MANIFEST_DIR"),
    "/usr/",
    "error returned from database",
    "relation \"",
    "at or near",
    "duplicate key",
    "violates",
    "rdkafka",
    "Elapsed(",
];

const STRINGS: [&str; 24] = [
    "",
    " ",
    "a",
    "Rust",
    "x\u{0}y",
    "'; DELETE FROM x; --",
    "\" OR \"\"=\"",
    "%_\\%",
    "$1",
    "{{7*7}}",
    "${jndi:ldap://127.0.0.1/a}",
    "<script>alert(1)</script>",
    "../../../../etc/passwd",
    "\u{202e}desrever\u{feff}",
    "😀👩‍👩‍👧‍👦",
    "ß\u{301}İ\u{fffd}\u{10ffff}",
    "\r\nset-cookie: a=b",
    "null",
    "\"unbalanced",
    "a:* & !b | <-> ((",
    "-word or \"a phrase",
    "MDo0",
    "WyJjb3Vyc2VzIiwxXQ",
    "99999999999999999999999999",
];

const TIMES: [&str; 12] = [
    "2026-11-27T14:14:05.369438+00:00",
    "2000-01-01T00:00:00Z",
    "2016-12-31T23:59:60Z",
    "9999-12-31T23:59:59.999999999Z",
    "0000-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z",
    "+262142-12-31T23:59:59Z",
    "-262143-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-11-27T14:14:05+23:59",
    "2026-11-27",
    "tomorrow",
];

const INTEGERS: [i64; 14] = [
    0,
    1,
    2,
    20,
    100,
    101,
    -1,
    2_147_483_647,
    -2_147_483_648,
    2_147_483_648,
    9_007_199_254_740_993,
    i64::MAX,
    i64::MIN,
    1_000_000,
];

const FLOATS: [f64; 9] = [0.0, -0.0, 50.5, 100.0, 100.000_001, -1.0, 1e308, 5e-324, f64::MAX];

/// What the service has said, to be said to it again.
#[derive(Default)]
pub(crate) struct Memory {
    /// By the type of the object.
    ids: BTreeMap<String, Vec<String>>,
    cursors: Vec<String>,
    positions: Vec<String>,
    /// How many words have made room for newer ones.
    replaced: usize,
}

impl Memory {
    /// Remembers ids, cursors and positions of an answer.
    pub(crate) fn learn(&mut self, answer: &Value) {
        match answer {
            Value::Object(members) => {
                let kind = members.get("__typename").and_then(Value::as_str);
                for (name, value) in members {
                    let words = match (name.as_str(), kind) {
                        ("id", Some(kind)) => self.ids.entry(kind.to_owned()).or_default(),
                        ("cursor" | "endCursor" | "startCursor", _) => &mut self.cursors,
                        ("position", _) => &mut self.positions,
                        ("errors", _) => continue,
                        _ => {
                            self.learn(value);
                            continue;
                        }
                    };
                    let Some(word) = value.as_str() else { continue };
                    if words.len() < REMEMBERED {
                        words.push(word.to_owned());
                    } else if !words.iter().any(|known| known == word) {
                        word.clone_into(&mut words[self.replaced % REMEMBERED]);
                        self.replaced += 1;
                    }
                }
            }
            Value::Array(entries) => entries.iter().for_each(|entry| self.learn(entry)),
            _ => {}
        }
    }

    /// An id of an object of this type, if there is any.
    fn known(&self, kind: &str) -> &[String] {
        self.ids.get(kind).map_or(&[], Vec::as_slice)
    }

    /// A value of a scalar for a field of this name: mostly one that makes sense there.
    pub(crate) fn scalar(&self, dice: &mut Dice, ty: &str, field: &str) -> Value {
        if dice.one_in(200) {
            return anything(dice);
        }
        let hostile = dice.one_in(12);
        match (ty, hostile) {
            ("Boolean", _) => json!(dice.one_in(2)),
            ("Int", false) if field == "expectedVersion" => json!(1 + dice.below(4)),
            ("Int", false) => json!(dice.below(6)),
            ("Int", true) => json!(INTEGERS[dice.index(INTEGERS.len())]),
            ("Float", false) => json!(dice.below(101)),
            ("Float", true) => json!(FLOATS[dice.index(FLOATS.len())]),
            ("DateTime", false) => json!(format!("2026-11-{:02}T10:00:00Z", 1 + dice.below(26))),
            ("DateTime", true) => json!(TIMES[dice.index(TIMES.len())]),
            (_, false) => json!(self.sensible(dice, field)),
            (_, true) if dice.one_in(5) => {
                json!("ä".repeat([32, 33, 64, 127, 128, 255, 256, 300, 20_000][dice.index(9)]))
            }
            (_, true) => json!(STRINGS[dice.index(STRINGS.len())]),
        }
    }

    fn sensible(&self, dice: &mut Dice, field: &str) -> String {
        let one_of = |dice: &mut Dice, words: &[&str]| words[dice.index(words.len())].to_owned();
        let kinds = ["Course", "Course", "Module", "ModuleItem", "Enrollment", "User"];
        let known = match field {
            "after" | "before" => &self.cursors,
            "minPosition" | "sincePosition" => self.positions.as_slice(),
            "courseId" => self.known("Course"),
            "moduleId" | "moduleIds" => self.known("Module"),
            "moduleItemId" | "moduleItemIds" => self.known("ModuleItem"),
            "enrollmentId" => self.known("Enrollment"),
            "id" | "ids" => self.known(kinds[dice.index(kinds.len())]),
            "code" => return format!("C-{}", dice.below(2_000)),
            "codePrefix" => return "C-".to_owned(),
            "studentId" | "instructorId" | "coInstructorIds" => {
                return one_of(dice, &["ada", "bob", "sam", "tim", "root"]);
            }
            "url" => return "https://example.org/a".to_owned(),
            "idempotencyKey" => return format!("key-{}", dice.below(3_000)),
            "topic" => return one_of(dice, &["User-Creation", "Grading-Completed"]),
            _ => return one_of(dice, &["Rust", "Algebra", "Logic", "maths"]),
        };
        // Thrown also where there is no choice, so that the same seed goes on in the same way.
        let thrown = dice.index(REMEMBERED);
        if known.is_empty() { "c-1".to_owned() } else { known[thrown % known.len()].clone() }
    }
}

/// A value of no particular type.
pub(crate) fn anything(dice: &mut Dice) -> Value {
    match dice.below(9) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(INTEGERS[dice.index(INTEGERS.len())]),
        3 => json!(FLOATS[dice.index(FLOATS.len())]),
        4 => json!([]),
        5 => json!({}),
        6 => json!([[{ "a": [null] }]]),
        7 => json!({ "__typename": "Course", "id": 7, "$": "x" }),
        _ => json!(STRINGS[dice.index(STRINGS.len())]),
    }
}

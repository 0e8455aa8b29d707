//! The fields of a user, which both user topics have.

use serde_json::Value;

use super::envelope::{Envelope, Shape, get, says_something};
use super::field::{self, Field, set};
use super::poison::Poison;
use crate::domain::UserId;
use crate::domain::report::{Personal, UserReport};
use crate::domain::values::Patch;

pub(super) const SHAPE: Shape =
    Shape { wrappers: &["userData"], named: "user", ids: &["userId", "id", "_id"] };

const USER: Field = Field { name: "userId", names: &["userId", "id", "_id"] };
const NAME: Field = Field { name: "name", names: &["name", "displayName", "fullName"] };
const EMAIL: Field = Field { name: "email", names: &["email", "emailAddress"] };
const ROLE: Field = Field { name: "role", names: &["role", "roles", "userType"] };
const ACTIVE: Field = Field { name: "active", names: &["active", "isActive"] };

/// The parts of a name, as fields of the user.
const PARTS: [&str; 2] = ["firstName", "lastName"];
/// The same, as fields of an object that is the name.
const PARTS_OF_NAME: [[&str; 3]; 2] =
    [["firstName", "first", "givenName"], ["lastName", "last", "familyName"]];

/// A role is kept and shown as it is, so nothing else may stand in its place.
fn is_role(text: &str) -> bool {
    let lawful = |letter: char| letter.is_ascii_alphanumeric() || "._:-".contains(letter);
    (1..=64).contains(&text.len()) && text.chars().all(lawful)
}

/// Reads a user.
pub(super) fn read(envelope: &Envelope<'_>, created: bool) -> Result<UserReport, Poison> {
    let user = USER.id(envelope, UserId::parse)?;
    let display_name = display_name(envelope, created)?;
    let email = set(&envelope.patch(EMAIL.names), |value| {
        EMAIL.text(value, "must be at most 320 bytes", |text| text.len() <= 320).map(Personal)
    })?;
    let role = envelope.find(ROLE.names).and_then(first_role);
    let role = role.map(|value| {
        ROLE.text(value, "must be 1 to 64 of A-Z a-z 0-9 . _ : -", is_role)
            .map(|role| role.to_ascii_lowercase())
    });
    Ok(UserReport {
        user,
        created,
        display_name: unless_created(display_name, created),
        email: unless_created(email, created),
        role: role.transpose()?,
        active: active(envelope)?,
    })
}

/// In a creation null says nothing: there is nothing to clear.
fn unless_created<T>(patch: Patch<T>, created: bool) -> Patch<T> {
    match patch {
        Patch::Clear if created => Patch::Keep,
        patch => patch,
    }
}

/// The name as one text; else of its parts; else what the user signs in with.
fn display_name(envelope: &Envelope<'_>, created: bool) -> Result<Patch<Personal>, Poison> {
    let whole = match envelope.patch(NAME.names) {
        Patch::Set(Value::Object(parts)) => joined(PARTS_OF_NAME.map(|names| {
            let mut found = names.iter().filter_map(|name| get(parts, name));
            found.find(|part| says_something(part))
        }))?,
        whole => set(&whole, name)?,
    };
    if matches!(whole, Patch::Set(_)) {
        return Ok(whole);
    }
    let parts = match PARTS.map(|part| envelope.patch(&[part])) {
        [Patch::Keep, Patch::Keep] => Patch::Keep,
        // Half a name: the other half is not cleared, so the whole is not known.
        [Patch::Keep, _] | [_, Patch::Keep] if !created => Patch::Keep,
        [Patch::Clear, Patch::Clear] => Patch::Clear,
        parts => joined(parts.map(|part| match part {
            Patch::Set(part) => Some(part),
            _ => None,
        }))?,
    };
    if matches!(parts, Patch::Set(_)) {
        return Ok(parts);
    }
    let account = set(&envelope.patch(&["username"]), name)?;
    Ok(match account {
        Patch::Set(_) => account,
        _ if whole == Patch::Clear || parts == Patch::Clear => Patch::Clear,
        account => account,
    })
}

fn name(value: &Value) -> Result<Personal, Poison> {
    let short = |text: &str| text.chars().count() <= 255;
    let name = NAME.text(value, "must be at most 255 characters", short)?;
    Ok(Personal(name.chars().filter(|letter| !is_invisible(*letter)).collect()))
}

/// Control characters and those that turn the direction of writing: with them a name could be made to look like
/// another one.
fn is_invisible(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The parts that are there; none of them say nothing.
fn joined(parts: [Option<&Value>; 2]) -> Result<Patch<Personal>, Poison> {
    let parts = parts.into_iter().flatten().map(|part| name(part).map(|part| part.0));
    let parts: Vec<String> = parts.collect::<Result<_, _>>()?;
    if parts.is_empty() {
        return Ok(Patch::Keep);
    }
    name(&Value::String(parts.join(" "))).map(Patch::Set)
}

/// The role itself, the first one of a list, or the name of one that is an object.
fn first_role(value: &Value) -> Option<&Value> {
    let first = match value {
        Value::Array(roles) => roles.iter().find(|role| says_something(role))?,
        value => value,
    };
    match first {
        Value::Object(role) => get(role, "name").filter(|name| says_something(name)),
        role => Some(role),
    }
}

/// Whether the user may act: by a flag, else by a status, of the innermost object that says either.
fn active(envelope: &Envelope<'_>) -> Result<Option<bool>, Poison> {
    if let Some(value) = envelope.find(ACTIVE.names) {
        let rule = Poison::Invalid { field: ACTIVE.name, rule: "must be true or false" };
        return field::boolean(value).or_else(|| by_status(value)).ok_or(rule).map(Some);
    }
    Ok(envelope.find(&["status", "accountStatus"]).and_then(by_status))
}

/// Other services' statuses are theirs: those that nobody foresaw say nothing here.
fn by_status(value: &Value) -> Option<bool> {
    match value.as_str()?.trim().to_ascii_lowercase().as_str() {
        "active" | "enabled" | "verified" => Some(true),
        "inactive" | "disabled" | "deactivated" | "suspended" | "blocked" | "banned"
        | "deleted" | "archived" => Some(false),
        _ => None,
    }
}

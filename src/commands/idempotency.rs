//! Commands that happen once however often they are sent.
//!
//! A key belongs to a caller and a kind of command. The append claims it together with the events, so of two commands
//! with one key, over any number of instances, one is appended, and the other is answered with what the first one
//! did: the state that it left, at its own position. Refusals claim nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{Actor, CourseId, Refusal, UserId};
use crate::event_store::proposal::KeyAct;
use crate::event_store::{KeyUse, keys};

/// The set of idempotency keys, each with its [`Record`]. Stored: never rename.
const SPACE: &str = "idempotency";

/// How long a key is kept.
pub const KEPT_FOR: Duration = Duration::from_hours(24);

/// How often keys that are old enough are forgotten.
const FORGET_EVERY: Duration = Duration::from_mins(10);

/// A caller's key for one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Hash of caller and role, kind of command and key: nothing that a caller chose stands in the database.
    key: String,
    /// Hash of the input.
    input: String,
}

impl IdempotencyKey {
    /// The key of `caller` for a command of this kind with this input.
    ///
    /// # Errors
    /// `VALIDATION_FAILED` where the key is not 1 to 255 bytes.
    pub fn new(caller: &Actor, kind: &str, key: &str, input: &Value) -> Result<Self, Refusal> {
        if !(1..=255).contains(&key.len()) {
            return Err(Refusal::invalid("idempotencyKey", "must be 1 to 255 bytes"));
        }
        let scope = hash([caller.role.as_str(), caller.id.as_str(), kind, key]);
        Ok(Self { key: scope, input: hash([input.to_string().as_str()]) })
    }

    /// The place where the key is kept.
    pub(super) fn place(&self) -> (&'static str, String) {
        (SPACE, self.key.clone())
    }

    pub(super) fn use_as(&self, what: KeyAct) -> KeyUse {
        KeyUse { space: SPACE, key: self.key.clone(), what }
    }

    /// What is claimed for a command that left this behind. A second one may leave the same, by changing nothing:
    /// its id tells them apart.
    pub(super) fn claim(&self, command: Uuid, done: Done) -> KeyUse {
        let record = Record { input: self.input.clone(), command, done };
        let record = serde_json::to_string(&record).unwrap_or_default(); // of strings and numbers only
        self.use_as(KeyAct::Claim(record))
    }

    /// What the command with this key has done, given what is kept for it.
    ///
    /// # Errors
    /// `IDEMPOTENCY_KEY_REUSED` where it had another input.
    pub(super) fn earlier(&self, kept: &str) -> Result<Done, Refusal> {
        let record: Option<Record> = serde_json::from_str(kept).ok();
        match record {
            Some(record) if record.input == self.input => Ok(record.done),
            _ => Err(Refusal::IdempotencyKeyReused),
        }
    }
}

/// Texts that hold anything cannot run into one another: each comes with its length.
fn hash<const N: usize>(texts: [&str; N]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    format!("{:x}", hash.finalize())
}

#[derive(Serialize, Deserialize)]
struct Record {
    input: String,
    command: Uuid,
    #[serde(flatten)]
    done: Done,
}

/// What a command has done: enough to find the state that it left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) course: CourseId,
    /// Whose enrollment the answer shows; of a command to the course nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) student: Option<UserId>,
    /// The version of what the answer shows.
    pub(super) version: u64,
    /// The module or item that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<String>,
}

/// Forgets keys that are old enough, until `stop`.
pub async fn forget_old_keys(pool: PgPool, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = keys::forget(&pool, SPACE, KEPT_FOR).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "old idempotency keys could not be forgotten; trying again later"
            );
        }
        let _ = stop.run_until_cancelled(sleep(FORGET_EVERY)).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Role;

    fn actor(id: &str) -> Actor {
        Actor { id: UserId::parse(id, "id").unwrap(), role: Role::Student }
    }

    fn key(caller: &str, kind: &str, key: &str, input: &Value) -> IdempotencyKey {
        IdempotencyKey::new(&actor(caller), kind, key, input).unwrap()
    }

    #[test]
    fn a_key_belongs_to_a_caller_and_a_kind_of_command() {
        let one = key("sam", "enrollStudent", "k", &json!({})).key;
        for other in [
            key("tim", "enrollStudent", "k", &json!({})),
            key("sam", "withdrawEnrollment", "k", &json!({})),
            key("sam", "enrollStudent", "K", &json!({})),
            key("same", "nrollStudent", "k", &json!({})),
        ] {
            assert_ne!(one, other.key);
        }
        assert_eq!(one, key("sam", "enrollStudent", "k", &json!({ "a": 1 })).key);
    }

    #[test]
    fn what_was_done_is_told_to_the_same_input_only() {
        let first = key("sam", "k", "k", &json!({ "a": 1, "b": [null] }));
        let done = Done {
            course: CourseId::parse("c1", "id").unwrap(),
            student: Some(UserId::parse("sam", "id").unwrap()),
            version: 7,
            part: None,
        };
        let KeyAct::Claim(kept) = first.claim(Uuid::nil(), done.clone()).what else {
            panic!("no claim")
        };
        let again = key("sam", "k", "k", &json!({ "b": [null], "a": 1 }));
        assert_eq!(again.earlier(&kept), Ok(done));
        let other = key("sam", "k", "k", &json!({ "a": 1, "b": [] }));
        assert_eq!(other.earlier(&kept), Err(Refusal::IdempotencyKeyReused));
        assert!(!kept.contains("null"), "{kept}");
    }

    #[test]
    fn a_key_is_1_to_255_bytes() {
        for text in ["", &"x".repeat(256)] {
            let refusal = IdempotencyKey::new(&actor("sam"), "k", text, &json!({})).unwrap_err();
            assert_eq!(refusal.field(), Some("idempotencyKey"));
        }
        assert!(IdempotencyKey::new(&actor("sam"), "k", &"x".repeat(255), &json!({})).is_ok());
    }
}

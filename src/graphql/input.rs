//! From inputs to domain values.

use async_graphql::{ID, MaybeUndefined};
use chrono::{DateTime, Utc};

use crate::domain::values::Patch;
use crate::domain::{Refusal, UserId};

/// Absent, null or a value.
pub(super) fn patch<T, U>(input: MaybeUndefined<T>, convert: impl FnOnce(T) -> U) -> Patch<U> {
    match input {
        MaybeUndefined::Undefined => Patch::Keep,
        MaybeUndefined::Null => Patch::Clear,
        MaybeUndefined::Value(value) => Patch::Set(convert(value)),
    }
}

/// Instants are kept to the millisecond, as they travel on Kafka. A leap second is the second behind it, as in Postgres.
pub(super) fn instant(instant: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(instant.timestamp_millis()).unwrap_or(instant)
}

/// Users by id.
pub(super) fn users(ids: Option<Vec<ID>>, field: &'static str) -> Result<Vec<UserId>, Refusal> {
    ids.unwrap_or_default().iter().map(|id| UserId::parse(id, field)).collect()
}

/// The version that the caller has seen.
pub(super) fn version(expected: Option<i64>) -> Result<Option<u64>, Refusal> {
    expected
        .map(u64::try_from)
        .transpose()
        .map_err(|_| Refusal::invalid("expectedVersion", "must not be negative"))
}

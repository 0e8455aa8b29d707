//! User-Update: a user changed. What is absent stays as it is; null clears a name or an address.

use super::Topic;
use super::user;
use crate::domain::report::Report;

pub(super) const TOPIC: Topic = Topic {
    shape: user::SHAPE,
    has_changes: true,
    // Not `createdAt`, which is the same in every update.
    times: &["updatedAt", "modifiedAt", "occurredAt", "timestamp"],
    read: |envelope, _| user::read(envelope, false).map(Report::User),
};

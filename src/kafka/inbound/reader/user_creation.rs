//! User-Creation: a user came into being.

use super::Topic;
use super::user;
use crate::domain::report::Report;

pub(super) const TOPIC: Topic = Topic {
    shape: user::SHAPE,
    has_changes: false,
    times: &["updatedAt", "modifiedAt", "occurredAt", "timestamp", "createdAt"],
    read: |envelope, _| user::read(envelope, true).map(Report::User),
};

//! What has an id of its own.

use async_graphql::{ID, Interface};

use super::course::Course;
use super::enrollment::Enrollment;
use super::module::Module;

/// An object with an id of its own.
#[derive(Interface)]
#[graphql(field(
    name = "id",
    ty = "&ID",
    desc = "The same id in GraphQL, on Kafka and in the log."
))]
pub(super) enum Node {
    /// A course.
    Course(Course),
    /// An enrollment.
    Enrollment(Enrollment),
    /// A module.
    Module(Module),
}

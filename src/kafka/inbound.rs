//! The incoming messages: what other services tell of users, assessments, submissions, grades and videos.
//!
//! They were never agreed upon with anybody, so the [`reader`](read) takes them as they come: flat or nested, in
//! camel or snake case, ids in any form. What it cannot read is poison: a record that no repetition makes readable.
#![warn(missing_docs)]

pub(super) mod checkpoint;
mod consumer;
mod places;
mod reader;
pub mod report;
mod seat;
mod summary;
mod translate;
mod unpark;

pub use self::consumer::{Inbound, InboundConfig, InboundState, InboundStatus};
pub use self::places::{Found, Partition};
pub use self::reader::{Incoming, MAX_VALUE_BYTES, Message, Poison, identity, read};
pub use self::summary::{outcome, summary};
pub use self::translate::{reading, translate};
pub use self::unpark::{Unpark, UnparkState};

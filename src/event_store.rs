//! The event log on Postgres: the only code that knows the tables `events`, `log_head` and `keys`.
//!
//! Positions are gapless and commit-ordered, because every append locks the one row of `log_head` first: `position >
//! checkpoint` reads every event exactly once. See [`append`] for how that stays fast.
#![warn(missing_docs)]

pub mod append;
mod batch;
pub mod check;
pub mod dead_letters;
pub mod followers;
pub mod history;
pub mod inbound;
pub mod keys;
pub mod log;
pub mod migrate;
pub mod offsets;
pub mod parked;
pub mod personal;
pub mod position;
pub mod proposal;
pub mod replay;
pub mod restore;
pub mod stream;
pub mod upcast;
pub mod wake;

pub use append::{AppendError, Appended, Appender, Outcome};
pub use log::Recorded;
pub use position::Position;
pub use proposal::{KeyUse, Metadata, NewEvent, Proposal, StreamId};

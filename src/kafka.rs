//! Kafka: what the service tells the world ([`contract`], [`bridge`]), what it hears ([`inbound`]), and where
//! ([`topics`]).
//!
//! The event log is the outbox: nothing is ever sent by a command. The bridge follows the log and publishes each
//! command's messages exactly once.

pub mod audit;
pub mod bridge;
pub mod client;
pub mod contract;
pub mod inbound;
mod lease;
mod personal;
pub mod probe;
pub mod restore;
mod sweep;
pub mod topics;

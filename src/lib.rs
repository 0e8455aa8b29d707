//! Course management, event-sourced.
//!
//! Modules form a ladder, and each uses only what stands before it; `graphql` and `kafka` do not know each other.
//! `tests/it/architecture.rs` enforces it.
//!
//! Invariants: aggregates are pure; only `event_store` knows the tables `events`, `log_head` and `keys`; writes and reads
//! meet only in the log; nothing below `app` reads the environment, but `fault` in test builds; a projection is the only writer of its table.

pub mod app;
pub mod cli;
pub mod commands;
pub mod domain;
pub mod event_store;
mod fault;
pub mod graphql;
pub mod kafka;
pub mod projections;

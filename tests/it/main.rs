//! Integration tests: the real service on a real Postgres and a real Kafka, in one binary.

mod append;
mod commands;
mod instance;
mod projections;
mod support;

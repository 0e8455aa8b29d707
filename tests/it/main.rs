//! Integration tests: the real service on a real Postgres and a real Kafka, in one binary.

mod architecture;
mod bridge;
mod readme;
mod support;

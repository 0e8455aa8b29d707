//! Integration tests: the real service on a real Postgres and a real Kafka, in one binary.

mod architecture;
mod readme;
mod support;

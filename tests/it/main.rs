//! Integration tests: the real service on a real Postgres and a real Kafka, in one binary.

mod architecture;
mod bridge;
mod cli;
mod dev;
mod outage;
mod process;
mod readme;
mod records;
mod seed_client;
mod support;
mod survival;

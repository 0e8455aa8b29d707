//! Integration tests: the real service on a real Postgres and a real Kafka, in one binary.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test as tests do")]

mod access;
mod api;
mod append;
mod architecture;
mod bad_input;
mod bridge;
mod browser;
mod cli;
mod client;
mod commands;
mod contracts;
mod courses;
mod dev;
mod enrollments;
mod federation;
mod graphql_http;
mod http;
mod http_limits;
mod http_protocol;
mod idempotency;
mod identity;
mod instance;
mod kafkajs;
mod modules;
mod npm;
mod outage;
mod process;
mod projections;
mod readme;
mod records;
mod rush;
mod schema;
mod support;
mod survival;

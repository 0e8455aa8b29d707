//! Integration tests: the real service on a real Postgres and a real Kafka, in one binary.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test as tests do")]

mod access;
mod api;
mod append;
mod architecture;
mod bad_input;
mod bridge;
mod cli;
mod commands;
mod contracts;
mod courses;
mod dev;
mod enrollments;
mod facts;
mod http;
mod identity;
mod instance;
mod kafkajs;
mod lists;
mod modules;
mod nodes;
mod outage;
mod process;
mod projections;
mod readme;
mod records;
mod statements;
mod support;
mod survival;

//! Integration tests: the real service on a real Postgres and a real Kafka, in one binary.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test as tests do")]

mod access;
mod api;
mod bad_input;
mod contracts;
mod courses;
mod enrollments;
mod http;
mod identity;
mod modules;
mod support;

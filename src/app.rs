//! Putting the parts together: configuration, tasks, HTTP. The only place that constructs things.

pub mod config;
pub mod connections;
pub mod database;
pub mod dev;
pub mod doctor;
pub mod embedded;
mod health;
mod http;
pub mod identity;
mod metrics;
pub mod service;
pub mod stand_in;
mod tasks;
pub mod telemetry;

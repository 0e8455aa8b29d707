//! What `/readyz` says: one entry a part, and whether the API of this process can do its work.
//!
//! ## Decision
//! A process whose release brings a read model of a new shape is not ready before that has once been at the end of the
//! log: an update that waits for readiness leaves the callers with the old release until then. Later it may lag or
//! stand still, which is "degraded": what it shows was true.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::timeout;

use super::metrics::{BridgeFigures, Metrics};
use crate::event_store::log;
use crate::event_store::{dead_letters, parked};
use crate::kafka::bridge::{self, BridgeState, BridgeStatus};
use crate::kafka::inbound::{InboundState, InboundStatus, UnparkState};
use crate::projections::{Checkpoints, Health as ProjectionHealth, Runner};

const PATIENCE: Duration = Duration::from_secs(2);

/// The parts of a process, as far as they can be asked.
pub(super) struct Health {
    pub(super) pool: PgPool,
    pub(super) migrated: watch::Receiver<bool>,
    /// Whether this process answers queries.
    pub(super) api: bool,
    pub(super) checkpoints: Checkpoints,
    pub(super) projections: Vec<Runner>,
    pub(super) bridge: Option<watch::Receiver<BridgeStatus>>,
    pub(super) inbound: Option<(watch::Receiver<InboundStatus>, watch::Receiver<UnparkState>)>,
    pub(super) topic_prefix: String,
}

/// How the process is.
pub(super) struct Readiness {
    /// Whether the API can work: the database answers and is migrated, and the read models have been built.
    pub(super) ready: bool,
    /// The whole report.
    pub(super) report: Value,
}

impl Health {
    pub(super) async fn readiness(&self) -> Readiness {
        let mut parts = Map::new();
        let database = timeout(PATIENCE, sqlx::query("SELECT 1").execute(&self.pool)).await;
        let database = matches!(database, Ok(Ok(_)));
        parts.insert("database".to_owned(), part(database, "does not answer"));
        let migrated = *self.migrated.borrow();
        parts.insert("migrations".to_owned(), part(migrated, "not applied yet"));
        let unbuilt = timeout(PATIENCE, self.checkpoints.unbuilt()).await;
        let unbuilt = unbuilt.ok().and_then(Result::ok);
        let report = match &unbuilt {
            Some(none) if none.is_empty() => json!({ "status": "ok" }),
            Some(names) => {
                let why = format!("being built for the first time: {}", names.join(", "));
                json!({ "status": "starting", "why": why })
            }
            None => part(false, "not known"),
        };
        parts.insert("readModels".to_owned(), report);
        let mut degraded = false;
        for runner in &self.projections {
            let report = match runner.health() {
                ProjectionHealth::Running => json!({ "status": "ok" }),
                ProjectionHealth::Stopped(why) => {
                    degraded = true;
                    json!({ "status": "down", "why": why })
                }
            };
            parts.insert(format!("projection:{}", runner.name), report);
        }
        if let Some(bridge) = &self.bridge {
            let status = bridge.borrow().clone();
            let (word, why) = match status.state {
                BridgeState::Running => ("ok", None),
                BridgeState::Standby => ("ok", Some("another instance publishes".to_owned())),
                BridgeState::Starting => ("starting", None),
                BridgeState::Down { why } => ("down", Some(why)),
                BridgeState::Refused { why } => ("refused", Some(why)),
            };
            degraded |= word != "ok" && word != "starting";
            parts.insert("bridge".to_owned(), json!({ "status": word, "why": why }));
        }
        if let Some((inbound, unpark)) = &self.inbound {
            let status = inbound.borrow().clone();
            // What concerns all of them is said once.
            let red: BTreeSet<&String> = status.red.values().collect();
            let (word, why) = match status.state {
                InboundState::Starting => ("starting", None),
                InboundState::Down { why } => ("down", Some(why)),
                InboundState::Running if red.is_empty() => ("ok", None),
                InboundState::Running => ("refused", None),
            };
            degraded |= word != "ok" && word != "starting";
            let report = json!({ "status": word, "why": why, "partitions": red });
            parts.insert("inbound".to_owned(), report);
            let report = match unpark.borrow().clone() {
                UnparkState::Running => json!({ "status": "ok" }),
                UnparkState::Down { why } => {
                    degraded = true;
                    json!({ "status": "down", "why": why })
                }
            };
            parts.insert("unpark".to_owned(), report);
        }
        let built = unbuilt.is_some_and(|names| names.is_empty());
        let ready = database && migrated && (built || !self.api);
        let status = match (ready, degraded) {
            (false, _) => "unavailable",
            (true, true) => "degraded",
            (true, false) => "ok",
        };
        Readiness { ready, report: json!({ "status": status, "parts": parts }) }
    }

    /// Brings the gauges up to date. Without a database they keep their last value.
    pub(super) async fn observe(&self, metrics: &Metrics) {
        if let Ok(Ok(head)) = timeout(PATIENCE, log::head(&self.pool)).await {
            metrics.log_head(head.position.number);
        }
        if let Ok(Ok(checkpoints)) = timeout(PATIENCE, self.checkpoints.list()).await {
            metrics.projections(&checkpoints);
        }
        for runner in &self.projections {
            metrics.projection_up(runner.name, runner.health() == ProjectionHealth::Running);
        }
        let report = timeout(PATIENCE, bridge::report(&self.pool, &self.topic_prefix)).await;
        let status = self.bridge.as_ref().map(|bridge| bridge.borrow().clone());
        metrics.bridge(BridgeFigures {
            lag: report.ok().and_then(Result::ok).map(|report| report.lag()),
            running: status.as_ref().is_some_and(|status| status.state == BridgeState::Running),
            published: status.map_or(0, |status| status.published),
        });
        if let Ok(Ok(open)) = timeout(PATIENCE, dead_letters::count_open(&self.pool)).await {
            metrics.dead_letters(open);
        }
        if let Ok(Ok(waiting)) = timeout(PATIENCE, parked::count(&self.pool)).await {
            metrics.parked(waiting);
        }
        if let Some((inbound, _)) = &self.inbound {
            metrics.inbound(&inbound.borrow());
        }
    }
}

fn part(ok: bool, why: &str) -> Value {
    if ok { json!({ "status": "ok" }) } else { json!({ "status": "down", "why": why }) }
}

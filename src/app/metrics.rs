//! Metrics, in Prometheus's text format. Names and labels are an interface: never rename one.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::kafka::inbound::InboundStatus;
use crate::kafka::topics::InboundTopic;
use crate::projections::checkpoint::Checkpoint;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProjection {
    projection: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEffect {
    topic: String,
    effect: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPartition {
    topic: String,
    partition: i32,
}

/// What this process counts.
pub(super) struct Metrics {
    registry: Registry,
    commands: Family<ByOutcome, Counter>,
    log_head: Gauge,
    projection_lag: Family<ByProjection, Gauge>,
    projection_up: Family<ByProjection, Gauge>,
    bridge_lag: Gauge,
    bridge_running: Gauge,
    bridge_published: Gauge,
    messages: Family<ByEffect, Counter>,
    inbound_lag: Family<ByPartition, Gauge>,
    inbound_red: Family<ByPartition, Gauge>,
    dead_letters: Gauge,
    parked: Gauge,
    sockets: Gauge,
}

/// What is known of the bridge at the time of a scrape.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BridgeFigures {
    pub(super) lag: Option<i64>,
    pub(super) running: bool,
    pub(super) published: u64,
}

impl Metrics {
    pub(super) fn new() -> Arc<Self> {
        let mut registry = Registry::with_prefix("course_service");
        let commands = Family::<ByOutcome, Counter>::default();
        // Seen from the first scrape on, so that a rate starts at 0.
        for outcome in ["accepted", "timeout", "overloaded", "failed"] {
            let _ = commands.get_or_create(&ByOutcome { outcome });
        }
        registry.register(
            "commands",
            "Commands by outcome: accepted, the code of a refusal, timeout, overloaded, failed",
            commands.clone(),
        );
        let log_head = Gauge::default();
        registry.register("log_head", "Position of the last event of the log", log_head.clone());
        let projection_lag = Family::default();
        registry.register(
            "projection_lag_events",
            "Events that a projection is behind the log",
            projection_lag.clone(),
        );
        let projection_up = Family::default();
        registry.register(
            "projection_up",
            "1 where this process drives the projection and it is not stopped by an error",
            projection_up.clone(),
        );
        let bridge_lag = Gauge::default();
        registry.register(
            "bridge_lag_events",
            "Events of the log that the bridge has not passed yet",
            bridge_lag.clone(),
        );
        let bridge_running = Gauge::default();
        registry.register(
            "bridge_running",
            "1 where this process is the one that publishes",
            bridge_running.clone(),
        );
        let bridge_published = Gauge::default();
        registry.register(
            "bridge_published_records",
            "Records that this process has published since its start",
            bridge_published.clone(),
        );
        let sockets = Gauge::default();
        registry.register("graphql_sockets", "WebSockets that are open", sockets.clone());
        let messages = Family::<ByEffect, Counter>::default();
        for topic in InboundTopic::ALL {
            for effect in
                ["applied", "unchanged", "outdated", "refused", "parked", "dead", "duplicate"]
            {
                let topic = topic.name().to_owned();
                let _ = messages.get_or_create(&ByEffect { topic, effect });
            }
        }
        registry.register(
            "inbound_messages",
            "Messages that this process took in, by topic and effect: applied, unchanged, outdated, refused, parked, \
             dead, duplicate",
            messages.clone(),
        );
        let inbound_lag = Family::default();
        registry.register(
            "inbound_lag_records",
            "Records of a partition that this process reads and has not dealt with yet",
            inbound_lag.clone(),
        );
        let inbound_red = Family::default();
        registry.register(
            "inbound_partition_red",
            "1 where a partition stands still until somebody says where to go on",
            inbound_red.clone(),
        );
        let dead_letters = Gauge::default();
        registry.register(
            "dead_letters",
            "Dead letters that nobody has redriven or discarded",
            dead_letters.clone(),
        );
        let parked = Gauge::default();
        registry.register(
            "parked_messages",
            "Messages that wait for what they refer to",
            parked.clone(),
        );
        Arc::new(Self {
            registry,
            commands,
            log_head,
            projection_lag,
            projection_up,
            bridge_lag,
            bridge_running,
            bridge_published,
            messages,
            inbound_lag,
            inbound_red,
            dead_letters,
            parked,
            sockets,
        })
    }

    pub(super) fn message(&self, topic: &str, effect: &'static str) {
        self.messages.get_or_create(&ByEffect { topic: topic.to_owned(), effect }).inc();
    }

    /// Partitions that this process no longer reads are no longer shown.
    pub(super) fn inbound(&self, status: &InboundStatus) {
        self.inbound_lag.clear();
        self.inbound_red.clear();
        for ((topic, partition), lag) in &status.lag {
            let label = ByPartition { topic: topic.clone(), partition: *partition };
            if let Some(lag) = lag {
                self.inbound_lag.get_or_create(&label).set(*lag);
            }
            let red = status.red.contains_key(&(topic.clone(), *partition));
            self.inbound_red.get_or_create(&label).set(i64::from(red));
        }
    }

    pub(super) fn dead_letters(&self, open: i64) {
        self.dead_letters.set(open);
    }

    pub(super) fn parked(&self, waiting: i64) {
        self.parked.set(waiting);
    }

    pub(super) fn sockets(&self, open: usize) {
        self.sockets.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    pub(super) fn command(&self, outcome: &'static str) {
        self.commands.get_or_create(&ByOutcome { outcome }).inc();
    }

    pub(super) fn log_head(&self, position: i64) {
        self.log_head.set(position);
    }

    pub(super) fn projections(&self, checkpoints: &[Checkpoint]) {
        for checkpoint in checkpoints {
            let label = ByProjection { projection: checkpoint.name.clone() };
            self.projection_lag.get_or_create(&label).set(checkpoint.lag);
        }
    }

    pub(super) fn projection_up(&self, name: &str, up: bool) {
        let label = ByProjection { projection: name.to_owned() };
        self.projection_up.get_or_create(&label).set(i64::from(up));
    }

    pub(super) fn bridge(&self, figures: BridgeFigures) {
        if let Some(lag) = figures.lag {
            self.bridge_lag.set(lag);
        }
        self.bridge_running.set(i64::from(figures.running));
        self.bridge_published.set(i64::try_from(figures.published).unwrap_or(i64::MAX));
    }

    pub(super) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

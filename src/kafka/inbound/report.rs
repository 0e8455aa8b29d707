//! Where the incoming topics stand, as Kafka and Postgres know it: for people, from any process.

use std::collections::BTreeMap;

use rdkafka::error::KafkaError;
use sqlx::PgPool;

use super::checkpoint;
use super::places::{Found, Partition, Probe};
use crate::event_store::offsets;
use crate::kafka::client::{Connection, blocking};
use crate::kafka::restore;
use crate::kafka::topics::{InboundTopic, TopicNames};

/// The incoming topics could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Kafka did not answer.
    #[error("Kafka cannot be reached")]
    Kafka(#[from] KafkaError),
    /// Postgres did not answer.
    #[error("the database cannot be reached")]
    Database(#[from] sqlx::Error),
}

/// Where a partition is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// At the first record that Kafka still has.
    Beginning,
    /// Behind the last record that there is now.
    End,
    /// At this one.
    Offset(i64),
}

/// The order cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// Kafka or Postgres did not answer.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// There is no such partition.
    #[error("Kafka has no partition {partition} of the topic {topic}")]
    NoPartition {
        /// Which topic.
        topic: &'static str,
        /// Which partition.
        partition: i32,
    },
    /// It has no such place.
    #[error("the offset must be from {low} to {high}: that is what Kafka has of the partition")]
    Outside {
        /// The first record.
        low: i64,
        /// Behind the last.
        high: i64,
    },
}

/// Looks at every partition of the incoming topics.
pub async fn report(
    pool: &PgPool,
    connection: &Connection,
    prefix: &str,
) -> Result<BTreeMap<Partition, Found>, ReportError> {
    let names = TopicNames::with_prefix(prefix);
    let committed = {
        let (connection, names) = (connection.clone(), names.clone());
        blocking(move || checkpoint::committed(&connection, &names)).await?
    };
    let stored = offsets::find(pool, &names.group()).await?;
    let ahead = checkpoint::ahead(pool, &committed, &stored).await?;
    let connection = connection.clone();
    let look = move || {
        let probe = Probe::connect(&connection, &names)?;
        let partitions = probe.partitions(&InboundTopic::ALL.map(InboundTopic::name))?;
        probe.look(&partitions, &stored)
    };
    let mut found = blocking(look).await?;
    if let Some(why) = ahead {
        for found in found.values_mut() {
            found.red = Some(restore::remedy(&why));
        }
    }
    Ok(found)
}

/// Says where a partition goes on. Its reader follows within seconds. Returns the offset.
pub async fn order(
    pool: &PgPool,
    connection: &Connection,
    prefix: &str,
    topic: InboundTopic,
    partition: i32,
    goal: Goal,
) -> Result<i64, OrderError> {
    let found = report(pool, connection, prefix).await?;
    let topic = topic.name();
    let found = found.get(&(topic.to_owned(), partition));
    let Found { low, high, .. } = *found.ok_or(OrderError::NoPartition { topic, partition })?;
    let next = match goal {
        Goal::Beginning => low,
        Goal::End => high,
        Goal::Offset(offset) if (low..=high).contains(&offset) => offset,
        Goal::Offset(_) => return Err(OrderError::Outside { low, high }),
    };
    let group = TopicNames::with_prefix(prefix).group();
    offsets::order(pool, &group, topic, partition, next).await.map_err(ReportError::from)?;
    Ok(next)
}

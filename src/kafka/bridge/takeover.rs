//! Where a new holder of the lease goes on, and when it must not.
//!
//! The progress topic is the truth as long as it fits the log, the cluster and the copy in Postgres. Where it does
//! not, somebody lost or restored something, and going on by guess would publish history twice or leave a gap: the
//! bridge refuses and names the command that says where to go on.

use sqlx::PgPool;
use uuid::Uuid;

use super::progress::{Progress, ResumeFrom};
use crate::event_store::log;
use crate::event_store::log::LogHead;
use crate::event_store::log::ReadError;
use crate::kafka::restore;

/// At least the largest command: see [`log::read_after`].
const WHOLE_COMMAND: i64 = 5_000;

/// What is known when the lease and the producer are ours.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) head: LogHead,
    pub(super) cluster_id: String,
    pub(super) topic_name: String,
    /// What the progress topic says.
    pub(super) topic: Option<Progress>,
    /// What Postgres says.
    pub(super) copy: Option<Progress>,
    /// What an operator says.
    pub(super) order: Option<ResumeFrom>,
}

/// The answer: where to go on, or why not.
pub(super) type Verdict = Result<Progress, String>;

/// How the refusals end.
pub(super) fn remedy(why: &str) -> String {
    format!(
        "{why}. Say where to go on with `course-service bridge resume --from progress|postgres|POSITION`: what lies \
         behind that place is published, what lies before it is not"
    )
}

/// Refuses another cluster before anything is created on it.
pub(super) fn check_cluster(copy: Option<&Progress>, cluster_id: &str) -> Result<(), String> {
    match copy {
        Some(copy) if copy.cluster_id != cluster_id => Err(remedy(&format!(
            "events up to position {} are published to the Kafka cluster {}, and this is the cluster {cluster_id}",
            copy.position, copy.cluster_id
        ))),
        _ => Ok(()),
    }
}

/// Decides where to go on.
pub(super) async fn verdict(pool: &PgPool, known: &Known) -> Result<Verdict, ReadError> {
    // Before anything else, and whatever an operator says: what went out then had versions that this log would give again.
    if let Some(topic) = known.topic.as_ref().filter(|topic| topic.log_id == known.head.log_id)
        && topic.epoch > known.head.position.epoch
    {
        return Ok(Err(restore::remedy(&format!(
            "published is position {} of epoch {}, and the log is in epoch {}: was the database restored?",
            topic.position, topic.epoch, known.head.position.epoch
        ))));
    }
    match known.order {
        Some(order) => follow(pool, known, order).await,
        None => trust(pool, known).await,
    }
}

async fn trust(pool: &PgPool, known: &Known) -> Result<Verdict, ReadError> {
    let Known { head, cluster_id, topic_name, topic, copy, .. } = known;
    if let Err(refusal) = check_cluster(copy.as_ref(), cluster_id) {
        return Ok(Err(refusal));
    }
    let (topic, copy) = match (topic, copy) {
        (None, None) => return Ok(Ok(start_of(known, 0, None))),
        (None, Some(copy)) => {
            return Ok(Err(remedy(&format!(
                "the progress topic {topic_name} is empty, but events up to position {} are published",
                copy.position
            ))));
        }
        (Some(topic), copy) => (topic, copy),
    };
    if topic.log_id != head.log_id {
        return Ok(Err(remedy(&format!(
            "the progress topic {topic_name} belongs to the event log {}, and this is the log {}: two services may \
             share one Kafka cluster only with different prefixes",
            topic.log_id, head.log_id
        ))));
    }
    if topic.cluster_id != *cluster_id {
        return Ok(Err(remedy(&format!(
            "the progress topic {topic_name} was written on the Kafka cluster {}, and this is the cluster {cluster_id}",
            topic.cluster_id
        ))));
    }
    let ahead = |copy: &&Progress| (copy.epoch, copy.position) > (topic.epoch, topic.position);
    if let Some(copy) = copy.as_ref().filter(ahead) {
        return Ok(Err(remedy(&format!(
            "the progress topic {topic_name} says position {}, but events up to position {} are published",
            topic.position, copy.position
        ))));
    }
    let stands = event_at(pool, topic.position).await?;
    if stands != topic.event_id {
        return Ok(Err(restore::remedy(&format!(
            "published is event {} at position {}, where the log has {}: was the database restored?",
            shown(topic.event_id),
            topic.position,
            shown(stands)
        ))));
    }
    Ok(Ok(topic.clone()))
}

async fn follow(pool: &PgPool, known: &Known, order: ResumeFrom) -> Result<Verdict, ReadError> {
    let refuse = |why: String| {
        let why = format!("the order to resume from {order} cannot be followed, because {why}");
        Ok(Err(remedy(&why)))
    };
    let (source, named) = match order {
        ResumeFrom::Position(position) => return at_position(pool, known, position).await,
        ResumeFrom::Progress => ("the progress topic", &known.topic),
        ResumeFrom::Postgres => ("the copy in Postgres", &known.copy),
    };
    let Some(named) = named else { return refuse(format!("{source} is empty")) };
    if event_at(pool, named.position).await? != named.event_id {
        let Progress { position, .. } = named;
        return refuse(format!(
            "{source} names an event that is not the log's at position {position}"
        ));
    }
    Ok(Ok(start_of(known, named.position, named.event_id)))
}

async fn at_position(pool: &PgPool, known: &Known, position: i64) -> Result<Verdict, ReadError> {
    let refuse = |why: String| {
        let why = format!("the order to resume from {position} cannot be followed, because {why}");
        Ok(Err(remedy(&why)))
    };
    if position == 0 {
        return Ok(Ok(start_of(known, 0, None)));
    }
    if position > known.head.position.number {
        return refuse(format!("the log ends at position {}", known.head.position.number));
    }
    let Some(event_id) = log::event_id_at(pool, position).await? else {
        return refuse("the log has no such position".to_owned());
    };
    let from_there = log::read_after(pool, position - 1, WHOLE_COMMAND).await?;
    match from_there.first() {
        Some(event) if event.last_of_command => Ok(Ok(start_of(known, position, Some(event_id)))),
        Some(event) => {
            let end = from_there
                .iter()
                .find(|later| later.last_of_command && later.command_id == event.command_id);
            let end = end.map_or(position, |end| end.position.number);
            refuse(format!("it lies inside a command, which ends at position {end}"))
        }
        None => refuse("the log has no whole command there".to_owned()),
    }
}

fn start_of(known: &Known, position: i64, event_id: Option<Uuid>) -> Progress {
    Progress {
        log_id: known.head.log_id,
        epoch: known.head.position.epoch,
        position,
        event_id,
        cluster_id: known.cluster_id.clone(),
    }
}

async fn event_at(pool: &PgPool, position: i64) -> Result<Option<Uuid>, ReadError> {
    if position == 0 {
        return Ok(None);
    }
    // An absent event must not equal the absent id of position 0.
    Ok(Some(log::event_id_at(pool, position).await?.unwrap_or(Uuid::nil())))
}

fn shown(event: Option<Uuid>) -> String {
    match event {
        None => "nothing".to_owned(),
        Some(id) if id.is_nil() => "no event".to_owned(),
        Some(id) => id.to_string(),
    }
}

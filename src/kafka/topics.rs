//! The names of topics, and their creation at start where the service may.
//!
//! Existing topics are left as they are. Only the bridge's progress topic is checked, because exactly-once rests on
//! it: one partition (one order), compacted and never deleted by time (a quiet service keeps its place).

use std::sync::Arc;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{ASK_TIMEOUT, Connection, Log, blocking};

/// A topic that the service publishes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A course came into being.
    CourseCreation,
    /// A course changed.
    CourseUpdate,
    /// A course is gone.
    CourseDeletion,
    /// A module came into being.
    ModuleCreation,
    /// A module changed.
    ModuleUpdate,
    /// A student has a seat.
    StudentEnrolled,
}

impl Topic {
    /// Every outgoing topic.
    pub const ALL: [Self; 6] = [
        Self::CourseCreation,
        Self::CourseUpdate,
        Self::CourseDeletion,
        Self::ModuleCreation,
        Self::ModuleUpdate,
        Self::StudentEnrolled,
    ];

    /// The name that consumers know: never rename.
    pub fn name(self) -> &'static str {
        match self {
            Self::CourseCreation => "Course-Creation",
            Self::CourseUpdate => "Course-Update",
            Self::CourseDeletion => "Course-Deletion",
            Self::ModuleCreation => "Module-Creation",
            Self::ModuleUpdate => "Module-Update",
            Self::StudentEnrolled => "Student-Enrolled",
        }
    }
}

/// A topic that the service consumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InboundTopic {
    /// A user came into being.
    UserCreation,
    /// A user changed.
    UserUpdate,
    /// An assessment of a course came into being.
    AssessmentCreation,
    /// A student submitted an assessment.
    SubmissionCompleted,
    /// A result was graded.
    GradingCompleted,
    /// The transcoding of a video ended.
    TranscodingCompleted,
}

impl InboundTopic {
    /// Every incoming topic.
    pub const ALL: [Self; 6] = [
        Self::UserCreation,
        Self::UserUpdate,
        Self::AssessmentCreation,
        Self::SubmissionCompleted,
        Self::GradingCompleted,
        Self::TranscodingCompleted,
    ];

    /// The name that producers know: never rename.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserCreation => "User-Creation",
            Self::UserUpdate => "User-Update",
            Self::AssessmentCreation => "Assessment-Creation",
            Self::SubmissionCompleted => "Submission-Completed",
            Self::GradingCompleted => "Grading-Completed",
            Self::TranscodingCompleted => "Transcoding-Completed",
        }
    }

    /// The topic with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// Whether its messages are personal data, keys and values.
    pub fn is_personal(self) -> bool {
        match self {
            Self::UserCreation | Self::UserUpdate => true,
            Self::AssessmentCreation
            | Self::SubmissionCompleted
            | Self::GradingCompleted
            | Self::TranscodingCompleted => false,
        }
    }
}

const PROGRESS: &str = "course-management-service-bridge-progress"; // never rename: published history hangs on it
const TRANSACTIONAL_ID: &str = "course-management-service-bridge"; // never rename: it fences older instances
const GROUP: &str = "course-management-group"; // never rename

/// The topic of the dead letters of an incoming topic, without a prefix: never rename.
pub(super) fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}-{GROUP}-dlt")
}

/// The names as they stand on the cluster: with a prefix, where several deployments share one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicNames {
    prefix: String,
}

impl TopicNames {
    /// Puts `prefix` before every topic, the transactional id and the group. Empty by default.
    pub fn with_prefix(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// An outgoing topic.
    pub fn topic(&self, topic: Topic) -> String {
        self.prefixed(topic.name())
    }

    /// Where the bridge keeps its place.
    pub fn progress(&self) -> String {
        self.prefixed(PROGRESS)
    }

    /// What the bridge's producers share.
    pub fn transactional_id(&self) -> String {
        self.prefixed(TRANSACTIONAL_ID)
    }

    /// The consumer group.
    pub fn group(&self) -> String {
        self.prefixed(GROUP)
    }

    /// Every topic that the bridge writes.
    pub(super) fn written(&self) -> Vec<String> {
        let events = Topic::ALL.map(|topic| self.topic(topic));
        let dead = InboundTopic::ALL.map(|topic| self.dead_letters(topic));
        events.into_iter().chain(dead).chain([self.progress()]).collect()
    }

    /// `name` without the prefix; `None` where it has another one.
    pub fn unprefixed<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(&*self.prefix)
    }

    /// The topic of the dead letters of an incoming topic.
    pub fn dead_letters(&self, topic: InboundTopic) -> String {
        self.prefixed(&dead_letter_topic(topic.name()))
    }

    /// `name` on the cluster.
    pub fn prefixed(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// What new topics are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicSettings {
    /// Partitions of an outgoing topic; -1 is the broker's default.
    pub partitions: i32,
    /// Copies of each partition; -1 is the broker's default.
    pub replication: i32,
    /// How long outgoing records are kept; -1 is for ever, because consumers read from the beginning.
    pub retention_ms: i64,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self { partitions: 6, replication: -1, retention_ms: -1 }
    }
}

/// The topics are not as the bridge needs them.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// The cluster did not answer.
    #[error("Kafka did not answer about topics")]
    Kafka(#[source] KafkaError),
    /// A topic is not there and could not be made.
    #[error(
        "the topic {topic} does not exist and cannot be created ({code}): create it, or let the service do so"
    )]
    Missing {
        /// Its name.
        topic: String,
        /// What the broker said.
        code: RDKafkaErrorCode,
    },
    /// The progress topic would not keep the bridge's place.
    #[error(
        "the topic {topic} has {partitions} partitions and cleanup.policy={policy}, but the bridge's place is only \
         safe with 1 and compact: change it, or recreate it and use `course-service bridge resume --from postgres`"
    )]
    Unsafe {
        /// Its name.
        topic: String,
        /// How many it has.
        partitions: usize,
        /// What it has.
        policy: String,
    },
}

impl From<KafkaError> for TopicError {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error)
    }
}

/// Creates the incoming topics that are missing, where the service may: their producers may come later than we do.
/// One that cannot be created is found once somebody else has made it.
pub async fn ensure_inbound(
    connection: &Connection,
    names: &TopicNames,
    settings: TopicSettings,
) -> Result<(), TopicError> {
    let admin: AdminClient<Log> = connection.client_config().create_with_context(Log)?;
    let options = AdminOptions::new()
        .operation_timeout(Some(ASK_TIMEOUT))
        .request_timeout(Some(ASK_TIMEOUT * 2));
    let incoming = InboundTopic::ALL.map(|topic| names.prefixed(topic.name()));
    let replication = || TopicReplication::Fixed(settings.replication);
    let new = |name| NewTopic::new(name, settings.partitions, replication());
    let wanted = incoming.iter().map(String::as_str).map(new);
    for answer in admin.create_topics(&wanted.collect::<Vec<_>>(), &options).await? {
        match answer {
            Ok(topic) => tracing::info!(topic, "the topic {topic} was created"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                tracing::warn!(topic, %code, "the topic {topic} could not be created");
            }
        }
    }
    Ok(())
}

/// Creates what is missing, and checks the progress topic. May be repeated, also by several instances at once.
pub async fn ensure(
    connection: &Connection,
    names: &TopicNames,
    settings: TopicSettings,
) -> Result<(), TopicError> {
    let admin: Arc<AdminClient<Log>> =
        Arc::new(connection.client_config().create_with_context(Log)?);
    let options = AdminOptions::new()
        .operation_timeout(Some(ASK_TIMEOUT))
        .request_timeout(Some(ASK_TIMEOUT * 2));
    let retention = settings.retention_ms.to_string();
    let dead = InboundTopic::ALL.into_iter().map(|topic| names.dead_letters(topic));
    let outgoing = Topic::ALL.into_iter().map(|topic| names.topic(topic));
    let outgoing: Vec<String> = outgoing.chain(dead).collect();
    let progress = names.progress();
    let replication = || TopicReplication::Fixed(settings.replication);
    let mut wanted: Vec<NewTopic<'_>> = outgoing
        .iter()
        .map(|name| {
            NewTopic::new(name, settings.partitions, replication())
                .set("cleanup.policy", "delete")
                .set("retention.ms", &retention)
        })
        .collect();
    // Small segments: the newest one is never compacted, and whoever takes over reads its end.
    wanted.push(
        NewTopic::new(&progress, 1, replication())
            .set("cleanup.policy", "compact")
            .set("segment.bytes", "16777216")
            .set("min.cleanable.dirty.ratio", "0.1"),
    );
    let mut progress_is_ours = false;
    for answer in admin.create_topics(&wanted, &options).await? {
        match answer {
            Ok(name) => {
                tracing::info!(topic = name, "the topic {name} was created");
                progress_is_ours |= name == progress;
            }
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => (),
            Err((topic, code)) => {
                if partitions(&admin, &topic).await?.is_none() {
                    return Err(TopicError::Missing { topic, code });
                }
                tracing::warn!(topic, %code, "the topic {topic} could not be created, but it exists");
            }
        }
    }
    if progress_is_ours { Ok(()) } else { check_progress(&admin, progress, &options).await }
}

async fn check_progress(
    admin: &Arc<AdminClient<Log>>,
    topic: String,
    options: &AdminOptions,
) -> Result<(), TopicError> {
    let partitions = partitions(admin, &topic).await?;
    let resource = ResourceSpecifier::Topic(&topic);
    let mut described = admin.describe_configs([&resource], options).await?;
    let policy = match described.pop() {
        Some(Ok(config)) => config.get("cleanup.policy").and_then(|entry| entry.value.clone()),
        Some(Err(code)) => {
            tracing::warn!(topic, %code, "cleanup.policy of {topic} could not be read; it must be compact");
            None
        }
        None => None,
    };
    let policy = policy.unwrap_or_else(|| "compact".to_owned());
    match partitions {
        None => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition).into()),
        Some(1) if policy == "compact" => Ok(()),
        Some(partitions) => Err(TopicError::Unsafe { topic, partitions, policy }),
    }
}

/// How many partitions a topic has; `None` for one that does not exist. Asks for all topics, because a question for
/// one may create it.
async fn partitions(
    admin: &Arc<AdminClient<Log>>,
    topic: &str,
) -> Result<Option<usize>, KafkaError> {
    let admin = admin.clone();
    let ask = move || admin.inner().fetch_metadata(None, ASK_TIMEOUT);
    let metadata = blocking(ask).await?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    Ok(found.map(|found| found.partitions().len()).filter(|count| *count > 0))
}

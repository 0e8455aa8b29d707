//! Messages given to the intake as their consumer would, without Kafka.

use std::sync::Mutex;

use chrono::{DateTime, Utc};
use course_service::app::database::appender_pool;
use course_service::commands::intake::{Effect, Incoming, Intake, IntakeError, Origin, Places};
use course_service::event_store::inbound::{InboundLog, Record};
use course_service::kafka::inbound::translate;
use serde_json::Value;

use crate::instance::Instance;
use crate::support;

pub(crate) const GROUP: &str = "course-management-group";

/// An instance with an intake, and topics of one partition that exist on paper only.
pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) instance: Instance,
    pub(crate) intake: Intake,
    pub(crate) places: Places,
    offsets: Mutex<i64>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(&support::database_url().await).await
    }

    pub(crate) async fn on(url: &str) -> Self {
        let instance = Instance::on(url).await;
        let log = InboundLog::new(appender_pool(url).unwrap(), instance.head.clone());
        let intake = Intake::new(instance.pool.clone(), log, GROUP, |_, _| ());
        let (places, offsets) = (Places::new(), Mutex::new(0));
        Self { url: url.to_owned(), instance, intake, places, offsets }
    }

    /// The next record of a topic.
    pub(crate) fn record(&self, topic: &str, value: Option<&[u8]>) -> Record {
        let mut offsets = self.offsets.lock().unwrap();
        *offsets += 1;
        Record {
            topic: topic.to_owned(),
            offset: *offsets,
            timestamp: 1_790_000_000_000 + *offsets,
            value: value.map(<[u8]>::to_vec),
            ..Record::default()
        }
    }

    /// The next message of a topic.
    pub(crate) fn message(&self, topic: &str, value: &Value) -> Incoming {
        let value = serde_json::to_vec(value).unwrap();
        translate(self.record(topic, Some(&value)), Origin::Topic)
    }

    pub(crate) async fn try_give(
        &mut self,
        messages: Vec<Incoming>,
    ) -> Result<Vec<Effect>, IntakeError> {
        self.intake.process(messages, &mut self.places).await
    }

    pub(crate) async fn give(&mut self, messages: Vec<Incoming>) -> Vec<Effect> {
        self.try_give(messages).await.unwrap()
    }

    /// Gives one message.
    pub(crate) async fn tell(&mut self, topic: &str, value: &Value) -> Effect {
        let message = self.message(topic, value);
        let effects = self.give(vec![message]).await;
        effects.into_iter().next().unwrap()
    }

    /// How many events of this type the log holds.
    pub(crate) async fn count(&self, event_type: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM events WHERE event_type = $1")
            .bind(event_type)
            .fetch_one(&self.instance.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn scalar(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.instance.pool).await.unwrap()
    }
}

/// An instant, given in seconds behind a certain one.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_780_000_000 + seconds, 0).unwrap()
}

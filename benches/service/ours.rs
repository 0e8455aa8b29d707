//! Our command path, as `serve` puts it together.

use std::time::Duration;

use chrono::Utc;
use course_service::app::database;
use course_service::commands::Commands;
use course_service::domain::course::{CourseAction, CourseCommand, NewCourse};
use course_service::domain::registration::Enroll;
use course_service::domain::{Actor, CourseId, ModuleId, Refusal, Role, UserId};
use course_service::event_store::wake::Head;
use course_service::event_store::{Appender, Metadata, Position};
use sqlx::PgPool;
use uuid::Uuid;

/// The write side of one instance.
#[derive(Clone)]
pub(crate) struct Ours {
    commands: Commands,
    pub(crate) pool: PgPool,
    /// Tells readers of the log that it has grown.
    pub(crate) head: Head,
}

impl Ours {
    pub(crate) fn open(url: &str) -> anyhow::Result<Self> {
        let pool = database::pool(url, 16)?;
        let head = Head::default();
        let (appender, task) = Appender::new(database::appender_pool(url)?, head.clone());
        tokio::spawn(task);
        let commands = Commands::new(pool.clone(), appender, Duration::from_mins(1), |_| ());
        Ok(Self { commands, pool, head })
    }

    /// Creates a course: its two streams and its code.
    pub(crate) async fn create(
        &self,
        capacity: Option<i64>,
        publish: bool,
    ) -> anyhow::Result<CourseId> {
        let id = CourseId::from_uuid(Uuid::now_v7());
        let course = NewCourse {
            id: id.clone(),
            code: Uuid::new_v4().to_string(),
            title: "Event sourcing, from the first event to the last".to_owned(),
            description: Some("What happened, in the order in which it happened.".to_owned()),
            capacity,
            tags: vec!["rust".to_owned(), "postgres".to_owned()],
            publish,
            ..NewCourse::default()
        };
        let action = CourseAction::Create { course: Box::new(course), code_owner: None };
        self.course(&id, action).await?;
        Ok(id)
    }

    pub(crate) async fn publish(&self, id: &CourseId) -> anyhow::Result<()> {
        self.course(id, CourseAction::Publish).await
    }

    pub(crate) async fn add_module(&self, id: &CourseId, title: &str) -> anyhow::Result<()> {
        let (module_id, title) = (ModuleId::from_uuid(Uuid::now_v7()), title.to_owned());
        let action = CourseAction::AddModule { module_id, title, summary: None, position: None };
        self.course(id, action).await
    }

    async fn course(&self, id: &CourseId, action: CourseAction) -> anyhow::Result<()> {
        let actor = Actor { id: user("ada")?, role: Role::Instructor };
        let command = CourseCommand { actor, expected_version: None, action };
        self.commands.course(id.clone(), command, metadata("ada")).await?;
        Ok(())
    }

    pub(crate) async fn enroll(
        &self,
        course: &CourseId,
        student: &UserId,
    ) -> anyhow::Result<Position> {
        let actor = Actor { id: student.clone(), role: Role::Student };
        let command =
            Enroll { actor, student: student.clone(), join_waitlist: true, at: Utc::now() };
        let answer = self.commands.enroll(course.clone(), command, metadata(student.as_str()));
        Ok(answer.await?.position)
    }

    /// How many commands the log holds; nothing may be there that was not asked for.
    pub(crate) async fn commands_in_the_log(&self) -> anyhow::Result<i64> {
        let count = "SELECT count(*) FROM events WHERE last_of_command";
        Ok(sqlx::query_scalar(count).fetch_one(&self.pool).await?)
    }
}

pub(crate) fn user(name: &str) -> Result<UserId, Refusal> {
    UserId::parse(name, "id")
}

fn metadata(actor: &str) -> Metadata {
    Metadata {
        actor: Some(actor.to_owned()),
        correlation_id: Some(Uuid::now_v7().to_string()),
        ..Metadata::default()
    }
}

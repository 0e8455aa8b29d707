//! A call by a validated caller: what every mutation does with its input.

use async_graphql::{Context, ID, Result};
use serde_json::Value;

use crate::commands::{Answer, Cause, CommandError, Commands, IdempotencyKey};
use crate::domain::course::{CourseAction, CourseCommand};
use crate::domain::{Actor, CourseId, Refusal};
use crate::event_store::{Metadata, Position};
use crate::graphql::context::{actor, metadata};
use crate::graphql::course::Course;
use crate::graphql::enrollment::Enrollment;
use crate::graphql::input::version;

/// What a mutation came to: its object and where the log stood then.
pub(super) type Done<T> = Result<(Option<T>, Position), CommandError>;

/// A call by a validated caller.
pub(super) struct Call<'a> {
    pub(super) commands: &'a Commands,
    pub(super) actor: Actor,
    metadata: Metadata,
    /// The caller's key and what belongs to it: the mutation and its input.
    key: Option<(String, String, Value)>,
}

impl<'a> Call<'a> {
    /// Refuses who is nobody.
    pub(super) fn new(ctx: &Context<'a>, idempotency_key: Option<String>) -> Result<Self> {
        let actor = actor(ctx)?;
        let metadata = metadata(ctx, &actor);
        let key = match idempotency_key {
            Some(key) => Some((key, ctx.field().name().to_owned(), input(ctx)?)),
            None => None,
        };
        Ok(Self { commands: ctx.data::<Commands>()?, actor, metadata, key })
    }

    /// What the command carries of the call.
    pub(super) fn cause(&self) -> Result<Cause, Refusal> {
        let key = match &self.key {
            Some((key, mutation, input)) => {
                Some(IdempotencyKey::new(&self.actor, mutation, key, input)?)
            }
            None => None,
        };
        Ok(Cause { metadata: self.metadata.clone(), key })
    }

    /// A command to a course.
    pub(super) async fn command(
        self,
        course: &ID,
        expected: Option<i64>,
        action: CourseAction,
    ) -> Result<Answer, CommandError> {
        let course = CourseId::parse(course, "courseId")?;
        let (expected_version, cause) = (version(expected)?, self.cause()?);
        let command = CourseCommand { actor: self.actor, expected_version, action };
        self.commands.course(course, command, cause).await
    }

    /// A command to a course that answers the course.
    pub(super) async fn change(
        self,
        course: &ID,
        expected: Option<i64>,
        action: CourseAction,
    ) -> Done<Course> {
        let answer = self.command(course, expected, action).await?;
        let position = answer.position;
        Ok((answer.course().map(|course| Course::committed(&course, position)), position))
    }
}

/// The enrollment that a command answered.
pub(super) fn enrollment(answer: Answer) -> (Option<Enrollment>, Position) {
    let position = answer.position;
    let state = answer.enrollment();
    (state.map(|state| Enrollment::committed(&state, position)), position)
}

/// The input as it was sent, but for what does not belong to the command.
fn input(ctx: &Context<'_>) -> Result<Value> {
    let arguments = ctx.field().arguments()?;
    let input = arguments.into_iter().find(|(name, _)| name == "input");
    let mut input = input.map_or(Ok(Value::Null), |(_, value)| value.into_json())?;
    if let Some(fields) = input.as_object_mut() {
        fields.remove("clientMutationId");
        fields.remove("idempotencyKey");
    }
    Ok(input)
}

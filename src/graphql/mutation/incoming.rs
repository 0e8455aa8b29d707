//! Mutations of incoming messages that did not become commands. Only admins may.
//!
//! They take no idempotency key: what somebody has seen to has no second effect, whoever asks again.

use async_graphql::{Context, ID, InputObject, Object, Result};

use crate::commands::workbench::{MAX_IDS, Outcomes, Shelf, Workbench, WorkbenchError};
use crate::domain::{Actor, Refusal};
use crate::graphql::context::actor;
use crate::graphql::cursor::{decode_number, encode_number};
use crate::graphql::error::{UserError, internal};
use crate::graphql::incoming::{DEAD_LETTERS, PARKED_MESSAGES, admin, message_ids};

/// Dead letters to be tried again.
#[derive(InputObject)]
pub(super) struct RedriveDeadLettersInput {
    /// Comes back in the payload.
    client_mutation_id: Option<String>,
    /// At most 200 of them; not together with topic or after.
    ids: Option<Vec<ID>>,
    /// Without ids: only those of this topic; by default of all.
    topic: Option<String>,
    /// Without ids: only those behind this cursor of `deadLetters`.
    after: Option<String>,
    /// Without ids: at most this many, the oldest first; 1 to 200.
    #[graphql(default = 100)]
    max_count: i32,
}

/// Parked messages to be tried again.
#[derive(InputObject)]
pub(super) struct ReleaseParkedMessagesInput {
    /// Comes back in the payload.
    client_mutation_id: Option<String>,
    /// At most 200 of them; not together with topic or after.
    ids: Option<Vec<ID>>,
    /// Without ids: only those of this topic; by default of all.
    topic: Option<String>,
    /// Without ids: only those behind this cursor of `parkedMessages`.
    after: Option<String>,
    /// Without ids: at most this many, in the order of arrival; 1 to 200.
    #[graphql(default = 100)]
    max_count: i32,
}

/// Dead letters to be taken away for good.
#[derive(InputObject)]
pub(super) struct DiscardDeadLettersInput {
    /// Comes back in the payload.
    client_mutation_id: Option<String>,
    /// At most 200 of them.
    ids: Vec<ID>,
    /// Why, in 1 to 1,024 bytes. It is kept.
    reason: String,
}

/// Parked messages to be taken away for good.
#[derive(InputObject)]
pub(super) struct DiscardParkedMessagesInput {
    /// Comes back in the payload.
    client_mutation_id: Option<String>,
    /// At most 200 of them.
    ids: Vec<ID>,
    /// Why, in 1 to 1,024 bytes. It is kept.
    reason: String,
}

/// A payload: what became of each message, or why nothing was done.
macro_rules! payload {
    ($(#[$doc:meta])* $name:ident, $(#[$count_doc:meta])* $count:ident $(, $(#[$end_doc:meta])* $end:ident)?) => {
        $(#[$doc])*
        #[derive(async_graphql::SimpleObject)]
        pub(super) struct $name {
            /// What became of each, in the order of the ids.
            outcomes: Vec<crate::graphql::incoming::IncomingMessageOutcome>,
            $(#[$count_doc])*
            $count: usize,
            $($(#[$end_doc])* $end: Option<String>,)?
            /// The `clientMutationId` of the input.
            client_mutation_id: Option<String>,
            /// Where the log stood: pass it as `minPosition` to read what the messages wrote. Null where nothing was
            /// tried.
            position: Option<String>,
            /// Why nothing was done; empty where it was.
            user_errors: Vec<UserError>,
            /// The reads, to go on in the same request.
            query: crate::graphql::query::Query,
        }

        impl $name {
            fn of(
                done: std::result::Result<Done, WorkbenchError>,
                client_mutation_id: Option<String>,
            ) -> Result<Self> {
                let (done, user_errors) = match done {
                    Ok(done) => (done, Vec::new()),
                    Err(error) => (Done::default(), vec![refused(error)?]),
                };
                let Outcomes { list, position } = done.outcomes;
                Ok(Self {
                    $count: list.iter().filter(|outcome| outcome.is_through()).count(),
                    outcomes: list.into_iter().map(Into::into).collect(),
                    $($end: done.end_cursor,)?
                    client_mutation_id,
                    position: position.map(|position| position.to_string()),
                    user_errors,
                    query: crate::graphql::query::Query::since(position),
                })
            }
        }
    };
}

payload! {
    /// What became of `redriveDeadLetters`.
    RedriveDeadLettersPayload,
    /// How many have had their effect by now, or a refusal that is recorded; not those that are parked or stay dead.
    redriven_count,
    /// Where to go on with `after`; null where there are no more, and with ids.
    end_cursor
}
payload! {
    /// What became of `releaseParkedMessages`.
    ReleaseParkedMessagesPayload,
    /// How many have had their effect by now, or a refusal that is recorded; not those that go on waiting.
    released_count,
    /// Where to go on with `after`; null where there are no more, and with ids.
    end_cursor
}
payload! {
    /// What became of `discardDeadLetters`.
    DiscardDeadLettersPayload,
    /// How many were taken away.
    discarded_count
}
payload! {
    /// What became of `discardParkedMessages`.
    DiscardParkedMessagesPayload,
    /// How many were taken away.
    discarded_count
}

/// What was done.
#[derive(Default)]
struct Done {
    outcomes: Outcomes,
    end_cursor: Option<String>,
}

/// What is to be tried again.
struct Choice {
    ids: Option<Vec<ID>>,
    topic: Option<String>,
    after: Option<String>,
    max_count: i32,
}

fn refused(error: WorkbenchError) -> Result<UserError> {
    match error {
        WorkbenchError::Refused(refusal) => Ok(refusal.into()),
        error @ WorkbenchError::UnknownTopic(_) => {
            Ok(UserError::invalid("topic", error.to_string()))
        }
        error @ (WorkbenchError::Database(_) | WorkbenchError::Intake(_)) => Err(internal(&error)),
    }
}

async fn retry(
    workbench: &Workbench,
    actor: &Actor,
    drawer: Shelf,
    choice: Choice,
) -> std::result::Result<Done, WorkbenchError> {
    admin(actor)?;
    let by = actor.id.as_str();
    let Choice { ids, topic, after, max_count } = choice;
    if let Some(ids) = ids {
        if topic.is_some() || after.is_some() {
            let rule = "must not come together with topic or after";
            return Err(Refusal::invalid("ids", rule).into());
        }
        let outcomes = workbench.retry(drawer, &message_ids(&ids)?, by).await?;
        return Ok(Done { outcomes, end_cursor: None });
    }
    let most = usize::try_from(max_count).ok().filter(|count| (1..=MAX_IDS).contains(count));
    let most = most.ok_or(Refusal::invalid("maxCount", "must be 1 to 200"))?;
    let list = match drawer {
        Shelf::DeadLetters => DEAD_LETTERS,
        Shelf::Parked => PARKED_MESSAGES,
    };
    let after = match after {
        None => 0,
        Some(cursor) => {
            let rule = "must be a cursor of the list of these messages";
            decode_number(list, &cursor).ok_or(Refusal::invalid("after", rule))?
        }
    };
    let mut open =
        workbench.open(drawer, topic.as_deref(), after, i64::from(max_count) + 1).await?;
    let has_more = open.len() > most;
    open.truncate(most);
    let ids: Vec<_> = open.iter().map(|(_, id)| *id).collect();
    let more_behind = open.last().filter(|_| has_more);
    let end_cursor = more_behind.map(|(number, _)| encode_number(list, *number));
    Ok(Done { outcomes: workbench.retry(drawer, &ids, by).await?, end_cursor })
}

async fn discard(
    workbench: &Workbench,
    actor: &Actor,
    drawer: Shelf,
    ids: &[ID],
    reason: &str,
) -> std::result::Result<Done, WorkbenchError> {
    admin(actor)?;
    let outcomes = workbench.discard(drawer, &message_ids(ids)?, actor.id.as_str(), reason).await?;
    Ok(Done { outcomes, end_cursor: None })
}

/// Mutations of incoming messages.
#[derive(Default)]
pub(super) struct IncomingMutation;

#[Object]
impl IncomingMutation {
    /// Tries dead letters again, the oldest first, each with its effect exactly once. One that can be read is settled: it
    /// has its effect, a recorded refusal, or is parked; one that cannot stays. For admins. Takes no idempotency key: what
    /// is settled has no second effect.
    async fn redrive_dead_letters(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which dead letters")] input: RedriveDeadLettersInput,
    ) -> Result<RedriveDeadLettersPayload> {
        let RedriveDeadLettersInput { client_mutation_id, ids, topic, after, max_count } = input;
        let choice = Choice { ids, topic, after, max_count };
        let (actor, workbench) = (actor(ctx)?, ctx.data::<Workbench>()?);
        let done = retry(workbench, &actor, Shelf::DeadLetters, choice).await;
        RedriveDeadLettersPayload::of(done, client_mutation_id)
    }

    /// Tries parked messages again now, in the order of arrival, each with its effect exactly once; what they wait for
    /// need not exist. The service does so by itself once it does. For admins. Takes no idempotency key: what is released
    /// has no second effect.
    async fn release_parked_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which parked messages")] input: ReleaseParkedMessagesInput,
    ) -> Result<ReleaseParkedMessagesPayload> {
        let ReleaseParkedMessagesInput { client_mutation_id, ids, topic, after, max_count } = input;
        let choice = Choice { ids, topic, after, max_count };
        let (actor, workbench) = (actor(ctx)?, ctx.data::<Workbench>()?);
        let done = retry(workbench, &actor, Shelf::Parked, choice).await;
        ReleaseParkedMessagesPayload::of(done, client_mutation_id)
    }

    /// Takes dead letters away for good, with their content. Who did it and why is kept. For admins. Takes no idempotency
    /// key: what is discarded cannot be discarded again.
    async fn discard_dead_letters(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which dead letters, and why")] input: DiscardDeadLettersInput,
    ) -> Result<DiscardDeadLettersPayload> {
        let (actor, workbench) = (actor(ctx)?, ctx.data::<Workbench>()?);
        let drawer = Shelf::DeadLetters;
        let done = discard(workbench, &actor, drawer, &input.ids, &input.reason).await;
        DiscardDeadLettersPayload::of(done, input.client_mutation_id)
    }

    /// Takes parked messages away for good, with their content. Who did it and why is kept, as a discarded dead letter.
    /// For admins. Takes no idempotency key: what is discarded cannot be discarded again.
    async fn discard_parked_messages(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which parked messages, and why")] input: DiscardParkedMessagesInput,
    ) -> Result<DiscardParkedMessagesPayload> {
        let (actor, workbench) = (actor(ctx)?, ctx.data::<Workbench>()?);
        let drawer = Shelf::Parked;
        let done = discard(workbench, &actor, drawer, &input.ids, &input.reason).await;
        DiscardParkedMessagesPayload::of(done, input.client_mutation_id)
    }
}

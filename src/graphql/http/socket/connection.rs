//! One WebSocket: who is there, which operations are under way, and when it is over.

use std::collections::HashMap;
use std::time::Duration;

use async_graphql::ServerError;
use axum::extract::ws::{Message, WebSocket};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::bearer_token;
use super::message::{ClientMessage, Closing, PROTOCOL, ServerMessage, read};
use crate::domain::Actor;
use crate::graphql::context::IdentityFailure;
use crate::graphql::http::accept::Kind;
use crate::graphql::http::answer::{self, Answer};
use crate::graphql::http::request::from_map;
use crate::graphql::http::run::Checked;
use crate::graphql::http::{Api, Asked};
use crate::graphql::limits::Exceeded;
use crate::graphql::{Caller, RequestIds};

/// How many messages wait to be sent.
const QUEUE: usize = 4;
/// How often a client is asked whether it is still there.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How long it may be silent.
const SILENCE: Duration = Duration::from_secs(45);
/// How long the other side may take for its part of the goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long a client that did not read may still collect the reason why it is closed.
const LINGER: Duration = Duration::from_secs(10);
/// The longest id of an operation, in bytes.
const MAX_ID: usize = 128;

/// What is sent.
enum Outgoing {
    /// A message.
    Text(String),
    /// One of an operation, unless the client has ended that by then.
    Of(CancellationToken, String),
    /// Are you there?
    Ping,
    /// The last one.
    Close(Closing),
}

/// How an operation ended.
struct Ended {
    id: String,
    number: u64,
    /// What is to be said.
    last: String,
}

/// An operation that is under way.
struct Operation {
    number: u64,
    /// Whether it has no end of its own.
    follows: bool,
    /// The client wants to hear no more of it, not even what waits to be sent.
    over: CancellationToken,
    task: AbortHandle,
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who is at the other end.
struct Session {
    /// Without one, nobody in particular.
    token: Option<String>,
    caller: Caller,
}

struct Connection {
    api: Api,
    /// From the header of the handshake.
    credentials: Option<String>,
    session: Option<Session>,
    operations: HashMap<String, Operation>,
    tasks: JoinSet<Ended>,
    number: u64,
    out: mpsc::Sender<Outgoing>,
}

/// Talks with a client until either has enough.
pub(super) async fn talk(api: Api, socket: WebSocket, credentials: Option<String>) {
    let speaks =
        socket.protocol().is_some_and(|protocol| protocol.as_bytes() == PROTOCOL.as_bytes());
    let (sink, mut incoming) = socket.split();
    let (out, queue) = mpsc::channel(QUEUE);
    let mut writer = tokio::spawn(write(sink, queue, api.sockets.limits.patience));
    let connection = Connection {
        api,
        credentials,
        session: None,
        operations: HashMap::new(),
        tasks: JoinSet::new(),
        number: 0,
        out,
    };
    let talk = async {
        if speaks {
            connection.run(&mut incoming).await;
        } else {
            connection.close(Closing::WrongProtocol).await;
        }
    };
    let is_silent = tokio::select! {
        () = talk => false,
        // Nothing can be said any more.
        _ = &mut writer => true,
    };
    if !is_silent {
        let _ = writer.await;
    }
    // What is still unread when the connection ends would take the reason away from the client.
    let goodbye = async { while incoming.next().await.is_some_and(|message| message.is_ok()) {} };
    let _ = timeout(GOODBYE, goodbye).await;
}

/// Sends what is in the queue, until something is the last.
async fn write(
    mut sink: SplitSink<WebSocket, Message>,
    mut queue: mpsc::Receiver<Outgoing>,
    patience: Duration,
) {
    while let Some(outgoing) = queue.recv().await {
        let message = match outgoing {
            Outgoing::Of(over, _) if over.is_cancelled() => continue,
            Outgoing::Of(_, text) | Outgoing::Text(text) => Message::Text(text.into()),
            Outgoing::Ping => Message::Ping(Vec::new().into()),
            Outgoing::Close(closing) => {
                let _ = timeout(patience, sink.send(Message::Close(Some(closing.frame())))).await;
                return;
            }
        };
        match timeout(patience, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return, // the client is gone
            Err(_) => {
                tracing::warn!("a WebSocket is closed: its client does not read");
                let closing = Closing::TryAgain("the client does not read: connect again");
                let _ = timeout(LINGER, sink.send(Message::Close(Some(closing.frame())))).await;
                return;
            }
        }
    }
}

impl Connection {
    async fn run(mut self, incoming: &mut SplitStream<WebSocket>) {
        // What fails to be sent has lost its reader, and ends the whole connection elsewhere.
        let Err(Some(closing)) = self.listen(incoming).await else { return };
        if closing == Closing::GoingAway && self.finish().await.is_err() {
            return;
        }
        self.close(closing).await;
    }

    /// Lets queries and mutations that are under way come to their end, which their timeout bounds.
    async fn finish(&mut self) -> Result<(), Option<Closing>> {
        self.operations.retain(|_, operation| !operation.follows);
        while !self.operations.is_empty()
            && let Some(ended) = self.tasks.join_next().await
        {
            self.ended(ended).await?;
        }
        Ok(())
    }

    async fn close(mut self, closing: Closing) {
        self.operations.clear();
        let _ = self.out.send(Outgoing::Close(closing)).await;
    }

    /// Until the client leaves, or is closed for a reason; `None` where it is gone already.
    async fn listen(
        &mut self,
        incoming: &mut SplitStream<WebSocket>,
    ) -> Result<(), Option<Closing>> {
        let stop = self.api.sockets.stop.clone();
        let deadline = Instant::now() + self.api.sockets.limits.init;
        let mut look = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Err(Some(Closing::GoingAway)),
                () = sleep_until(deadline), if self.session.is_none() => {
                    return Err(Some(Closing::InitTimeout));
                }
                _ = look.tick() => {
                    if heard.elapsed() > SILENCE {
                        return Err(None);
                    }
                    self.validate_again().await?;
                    self.say(Outgoing::Ping).await?;
                }
                Some(ended) = self.tasks.join_next() => self.ended(ended).await?,
                message = incoming.next() => {
                    heard = Instant::now();
                    match message {
                        None | Some(Ok(Message::Close(_))) => return Ok(()),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Text(text))) if text.len() > self.api.limits.body => {
                            return Err(Some(Closing::TooLarge));
                        }
                        Some(Ok(Message::Text(text))) => self.hear(read(&text)?).await?,
                        Some(Ok(Message::Binary(_))) => {
                            return Err(Some(Closing::BadRequest("Invalid message received")));
                        }
                        Some(Err(_)) => return Err(Some(Closing::TooLarge)),
                    }
                }
            }
        }
    }

    async fn say(&self, outgoing: Outgoing) -> Result<(), Option<Closing>> {
        self.out.send(outgoing).await.map_err(|_| None)
    }

    async fn hear(&mut self, message: ClientMessage) -> Result<(), Option<Closing>> {
        match message {
            ClientMessage::ConnectionInit { payload } => {
                if self.session.is_some() {
                    return Err(Some(Closing::InitTwice));
                }
                let token = token(payload.as_ref(), self.credentials.as_deref())?;
                let caller = match &token {
                    None => Caller::Anonymous,
                    Some(token) => Caller::Known(self.validate(token).await?),
                };
                self.session = Some(Session { token, caller });
                self.say(Outgoing::Text(ServerMessage::ConnectionAck.text())).await
            }
            ClientMessage::Ping { payload } => {
                self.say(Outgoing::Text(ServerMessage::Pong { payload }.text())).await
            }
            ClientMessage::Pong {} => Ok(()),
            ClientMessage::Complete { id } => {
                if let Some(operation) = self.operations.remove(&id) {
                    operation.over.cancel();
                }
                Ok(())
            }
            ClientMessage::Subscribe { id, payload } => self.begin(id, payload).await,
        }
    }

    /// Begins an operation.
    async fn begin(
        &mut self,
        id: String,
        payload: Map<String, Value>,
    ) -> Result<(), Option<Closing>> {
        if self.session.is_none() {
            return Err(Some(Closing::NotInitialised));
        }
        if id.is_empty() || id.len() > MAX_ID {
            return Err(Some(Closing::BadRequest("an id has 1 to 128 bytes")));
        }
        if self.operations.contains_key(&id) {
            return Err(Some(Closing::Duplicate));
        }
        self.validate_again().await?;
        let Some(session) = &self.session else { return Err(Some(Closing::NotInitialised)) };
        let members =
            from_map(payload).map_err(|_| Closing::BadRequest("Invalid message received"))?;
        let ids = RequestIds { correlation_id: Uuid::now_v7().to_string(), traceparent: None };
        let most = self.api.sockets.limits.operations;
        let checked = if self.operations.len() >= most {
            Err(answer::exceeded(Exceeded::Operations(most)).into())
        } else {
            self.api.check(members)
        };
        let checked = match checked {
            Ok(checked) => checked,
            Err(refusal) => {
                let last = last_of(&id, Answer::from(refusal).into_message(&ids));
                return self.say(Outgoing::Text(last)).await;
            }
        };
        self.number += 1;
        let over = CancellationToken::new();
        let work = Work {
            api: self.api.clone(),
            id: id.clone(),
            caller: session.caller.clone(),
            ids,
            over: over.clone(),
            out: self.out.clone(),
        };
        let (number, follows) = (self.number, checked.is_subscription());
        let task = self.tasks.spawn(async move {
            let id = work.id.clone();
            Ended { id, number, last: work.run(checked).await }
        });
        self.operations.insert(id, Operation { number, follows, over, task });
        Ok(())
    }

    /// Says how an operation ended, unless the client has ended it; an id is free before its end is told.
    async fn ended(&mut self, ended: Result<Ended, JoinError>) -> Result<(), Option<Closing>> {
        let Ended { id, number, last } = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => return Ok(()),
            Err(_) => return Err(Some(Closing::TryAgain("something went wrong on our side"))),
        };
        if self.operations.get(&id).is_none_or(|operation| operation.number != number) {
            return Ok(());
        }
        self.operations.remove(&id);
        self.say(Outgoing::Text(last)).await
    }

    /// Asks whether the token is still good, and still of the same caller.
    async fn validate_again(&self) -> Result<(), Option<Closing>> {
        let Some(Session { token: Some(token), caller }) = &self.session else { return Ok(()) };
        let now = self.validate(token).await?;
        if *caller == Caller::Known(now) {
            return Ok(());
        }
        Err(Some(Closing::Forbidden("the token is now another caller's: connect again")))
    }

    async fn validate(&self, token: &str) -> Result<Actor, Option<Closing>> {
        match (self.api.sockets.validate)(token.to_owned()).await {
            Caller::Known(actor) => Ok(actor),
            Caller::Failed(IdentityFailure::Unavailable) => {
                let why = "the user management service does not answer; try again";
                Err(Some(Closing::TryAgain(why)))
            }
            Caller::Anonymous | Caller::Failed(_) => Err(Some(Closing::Forbidden("Forbidden"))),
        }
    }
}

/// The token of a client: that of `connection_init`, else that of the handshake.
fn token(
    payload: Option<&Map<String, Value>>,
    header: Option<&str>,
) -> Result<Option<String>, Closing> {
    let said = payload.into_iter().flatten();
    let mut said = said.filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let credentials = match said.next() {
        Some((_, Value::Null)) | None => header,
        Some((_, Value::String(text))) => Some(text.as_str()),
        Some(_) => return Err(Closing::Forbidden("Forbidden")),
    };
    let Some(credentials) = credentials else { return Ok(None) };
    let token = bearer_token(credentials).ok_or(Closing::Forbidden("Forbidden"))?;
    Ok(Some(token.to_owned()))
}

/// An operation, on its way.
struct Work {
    api: Api,
    id: String,
    caller: Caller,
    ids: RequestIds,
    over: CancellationToken,
    out: mpsc::Sender<Outgoing>,
}

impl Work {
    /// Runs it to its end; what is to be said then.
    async fn run(self, checked: Checked) -> String {
        if !checked.is_subscription() {
            let deadline = Instant::now() + self.api.limits.timeout;
            let (caller, ids) = (self.caller.clone(), self.ids.clone());
            let asked = Asked { caller, ids, kind: Kind::Json, deadline };
            let answer = self.api.run(checked, &asked).await;
            return match self.say(answer).await {
                Ok(()) => ServerMessage::Complete { id: &self.id }.text(),
                Err(errors) => last_of(&self.id, Err(errors)),
            };
        }
        let begun = self.api.subscribe(checked, self.caller.clone(), self.ids.clone()).await;
        let mut answers = match begun {
            Ok(answers) => answers,
            Err(invalid) => return last_of(&self.id, invalid.into_message(&self.ids)),
        };
        while let Some(answer) = answers.next().await {
            // A change that cannot be told ends the subscription: the client goes on behind the last that it has.
            if let Err(errors) = self.say(answer).await {
                return last_of(&self.id, Err(errors));
            }
        }
        ServerMessage::Complete { id: &self.id }.text()
    }

    /// Says an answer, or tells why there is none.
    async fn say(&self, answer: Answer) -> Result<(), Vec<ServerError>> {
        let answer = answer.into_message(&self.ids)?;
        let text = ServerMessage::Next { id: &self.id, payload: &answer }.text();
        drop(answer);
        let _ = self.out.send(Outgoing::Of(self.over.clone(), text)).await; // nobody may be there
        Ok(())
    }
}

/// The last message of an operation.
fn last_of(id: &str, answer: Result<Answer, Vec<ServerError>>) -> String {
    match answer {
        Ok(_) => ServerMessage::Complete { id }.text(),
        Err(errors) => ServerMessage::Error { id, payload: &errors }.text(),
    }
}

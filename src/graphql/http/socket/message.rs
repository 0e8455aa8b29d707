//! The messages of `graphql-transport-ws`, and the codes with which a socket is closed.

use async_graphql::ServerError;
use axum::extract::ws::CloseFrame;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::graphql::http::answer::Answer;

/// The subprotocol.
pub(super) const PROTOCOL: &str = "graphql-transport-ws";

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ClientMessage {
    ConnectionInit {
        #[serde(default)]
        payload: Option<Map<String, Value>>,
    },
    Ping {
        #[serde(default)]
        payload: Option<Map<String, Value>>,
    },
    Pong {},
    Subscribe {
        id: String,
        payload: Map<String, Value>,
    },
    Complete {
        id: String,
    },
}

/// What we say.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerMessage<'a> {
    ConnectionAck,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Map<String, Value>>,
    },
    Next {
        id: &'a str,
        payload: &'a Answer,
    },
    Error {
        id: &'a str,
        payload: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
}

impl ServerMessage<'_> {
    /// As it is sent.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a message is not JSON");
            String::new()
        })
    }
}

/// Why a socket is closed. Codes from 4000 on are those of the protocol; the client of npm's graphql-ws connects again
/// after the retryable ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// The service stops; retryable.
    GoingAway,
    /// A message is larger than a body may be.
    TooLarge,
    /// The client did not read in time, or who it is cannot be asked; retryable.
    TryAgain(&'static str),
    /// What it said is no message of the protocol.
    BadRequest(&'static str),
    /// It asked for something before it was let in.
    NotInitialised,
    /// The token is not valid, or no longer; retryable, with another one.
    Forbidden(&'static str),
    /// It does not speak the protocol.
    WrongProtocol,
    /// It did not say who it is in time; retryable.
    InitTimeout,
    /// An operation with this id is under way.
    Duplicate,
    /// It has said who it is already.
    InitTwice,
}

impl Closing {
    /// The code and a reason for people.
    pub(super) fn frame(self) -> CloseFrame {
        let (code, reason) = match self {
            Self::GoingAway => (1001, "the service stops: connect again"),
            Self::TooLarge => (1009, "the message is too large"),
            Self::TryAgain(why) => (1013, why),
            Self::BadRequest(why) => (4400, why),
            Self::NotInitialised => (4401, "Unauthorized"),
            Self::Forbidden(why) => (4403, why),
            Self::WrongProtocol => (4406, "Subprotocol not acceptable"),
            Self::InitTimeout => (4408, "Connection initialisation timeout"),
            Self::Duplicate => (4409, "Subscriber for this id already exists"),
            Self::InitTwice => (4429, "Too many initialisation requests"),
        };
        CloseFrame { code, reason: reason.into() }
    }
}

/// Reads what a client says. `payload` may be null where it may be absent.
pub(super) fn read(text: &str) -> Result<ClientMessage, Closing> {
    serde_json::from_str(text).map_err(|_| Closing::BadRequest("Invalid message received"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_protocol_are_understood_and_nothing_else() {
        for text in [
            r#"{"type":"connection_init"}"#,
            r#"{"type":"connection_init","payload":null}"#,
            r#"{"type":"connection_init","payload":{"authorization":"Bearer x"}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"pong","payload":{"a":1}}"#,
            r#"{"id":"1","type":"subscribe","payload":{"query":"{a}"}}"#,
            r#"{"id":"1","type":"complete"}"#,
        ] {
            assert!(read(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"type":"start","id":"1","payload":{}}"#,
            r#"{"type":"subscribe","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":1,"payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"connection_init","payload":[]}"#,
            r#"{"type":"connection_init","payload":"x"}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"next","id":"1","payload":{}}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn messages_are_written_as_the_protocol_has_them() {
        let text = |message: ServerMessage<'_>| message.text();
        assert_eq!(text(ServerMessage::ConnectionAck), r#"{"type":"connection_ack"}"#);
        assert_eq!(text(ServerMessage::Pong { payload: None }), r#"{"type":"pong"}"#);
        assert_eq!(text(ServerMessage::Complete { id: "1" }), r#"{"type":"complete","id":"1"}"#);
        let reason = Closing::TryAgain("x").frame().reason;
        assert_eq!(reason.as_str(), "x");
    }
}

//! A client of `graphql-transport-ws` that does as it is told, also what no client should.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::process::PATIENCE;
use crate::support::TestApp;

pub(crate) const PROTOCOL: &str = "graphql-transport-ws";

/// A socket to a service.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens one, before any message.
    pub(crate) async fn open(url: &str, protocol: &str) -> Self {
        Self::try_open(url, protocol).await.unwrap()
    }

    /// The same, or the status with which it was refused.
    pub(crate) async fn try_open(url: &str, protocol: &str) -> Result<Self, u16> {
        let url = format!("{}/graphql", url.replacen("http", "ws", 1));
        let mut request = ClientRequestBuilder::new(url.parse().unwrap());
        if !protocol.is_empty() {
            request = request.with_sub_protocol(protocol);
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => {
                Err(answer.status().as_u16())
            }
            // The server may speak no protocol of ours: then it says so by closing.
            Err(error) => panic!("no socket: {error}"),
        }
    }

    /// Opens one and is let in as the holder of `token` (empty: nobody).
    pub(crate) async fn of(app: &TestApp, token: &str) -> Self {
        Self::at(&app.url(""), token).await
    }

    /// The same at a URL.
    pub(crate) async fn at(url: &str, token: &str) -> Self {
        let mut socket = Self::open(url, PROTOCOL).await;
        socket.init(token).await;
        assert_eq!(socket.receive().await, json!({ "type": "connection_ack" }));
        socket
    }

    /// Says who is there.
    pub(crate) async fn init(&mut self, token: &str) {
        let payload = match token {
            "" => Value::Null,
            token => json!({ "Authorization": format!("Bearer {token}") }),
        };
        self.send(json!({ "type": "connection_init", "payload": payload })).await;
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_raw(Message::text(text)).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        let _ = self.0.send(message).await; // the server may have had enough
    }

    /// Begins an operation.
    pub(crate) async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({ "query": query, "variables": variables });
        self.send(json!({ "id": id, "type": "subscribe", "payload": payload })).await;
    }

    /// The next message, which must come.
    pub(crate) async fn receive(&mut self) -> Value {
        match self.frame(PATIENCE).await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("no message but {other:?}"),
        }
    }

    /// The data of the next message of an operation.
    pub(crate) async fn next(&mut self, id: &str) -> Value {
        let mut message = self.receive().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("next"), &json!(id)), "{message}");
        assert_eq!(message["payload"].get("errors"), None, "{message}");
        message["payload"]["data"].take()
    }

    /// The code of the error that ends an operation.
    pub(crate) async fn error(&mut self, id: &str) -> String {
        let message = self.receive().await;
        assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!(id)), "{message}");
        crate::api::code_of(&json!({ "errors": message["payload"] }))
    }

    /// The code with which the server closes, whatever it says before.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.frame(PATIENCE).await {
                Some(Message::Close(frame)) => {
                    return frame.map_or(1005, |frame| frame.code.into());
                }
                Some(_) => {}
                None => return 1006,
            }
        }
    }

    /// Whether nothing comes before the answer to a ping does.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        self.send(json!({ "type": "ping" })).await;
        self.receive().await == json!({ "type": "pong" })
    }

    /// The next frame but those that keep the connection alive.
    pub(crate) async fn frame(&mut self, patience: Duration) -> Option<Message> {
        loop {
            let frame = timeout(patience, self.0.next()).await.expect("a message comes in time");
            match frame?.ok()? {
                Message::Ping(_) | Message::Pong(_) => {}
                other => return Some(other),
            }
        }
    }
}

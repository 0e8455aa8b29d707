//! The same over `WebSockets`: arbitrary messages and arbitrary bytes. Each is answered by the protocol or closed with one
//! of its codes.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::document::Author;
use super::shape::Shape;
use super::words::{self, Memory};
use super::{GROWTH, assert_discreet, assert_sound, codes, memory_of, serve, settings};
use crate::dice::{self, Dice};
use crate::process::PATIENCE;
use crate::socket_client::{PROTOCOL, Socket};

const SOCKETS: u32 = 250;

/// The codes that the README names, and those of `WebSockets` themselves. A connection that breaks without one is 1006.
const CLOSES: [u16; 13] =
    [1000, 1001, 1002, 1003, 1007, 1009, 4400, 4401, 4403, 4406, 4408, 4409, 4429];

struct Frames {
    shape: Shape,
    codes: Vec<String>,
    memory: Memory,
    dice: Dice,
}

impl Frames {
    fn message(&mut self) -> Message {
        let dice = &mut self.dice;
        let id = json!(format!("{}", dice.below(4)));
        let value = match dice.below(20) {
            0..=8 => {
                let document = Author::new(&self.shape, &self.memory, dice).document();
                let payload = json!({ "query": document.text, "variables": document.variables });
                json!({ "id": id, "type": "subscribe", "payload": payload })
            }
            9 => json!({ "id": id, "type": "subscribe", "payload": words::anything(dice) }),
            10 | 11 => json!({ "id": id, "type": "complete" }),
            12 => json!({ "type": "ping", "payload": words::anything(dice) }),
            13 => json!({ "type": "pong" }),
            14 => json!({ "type": words::anything(dice), "id": words::anything(dice) }),
            15 => words::anything(dice),
            16 => {
                let bytes = (0..dice.below(300)).map(|_| u8::try_from(dice.below(256)).unwrap());
                return Message::binary(bytes.collect::<Vec<_>>());
            }
            17 if dice.one_in(3) => return Message::text("x".repeat(200_000)),
            17 => return Message::Ping(vec![7; 100].into()),
            18 => return Message::text("{\"type\":\"ping\""),
            _ => json!({ "type": "connection_init", "payload": words::anything(dice) }),
        };
        Message::text(value.to_string())
    }

    /// One socket to its end; the code with which it was closed, or nothing where it was not.
    async fn socket(&mut self, url: &str) -> Option<u16> {
        let mut socket = Socket::open(url, PROTOCOL).await;
        if !self.dice.one_in(8) {
            let tokens = ["", "instructor:ada", "student:sam", "admin:root", "none"];
            let token = tokens[self.dice.index(tokens.len())];
            socket.init(token).await;
        }
        let mut said = String::new();
        for _ in 0..=self.dice.below(8) {
            let message = self.message();
            said = format!("{said}\n{message:.2000}");
            socket.send_raw(message).await;
        }
        socket.send(json!({ "type": "ping", "payload": { "the": "end" } })).await;
        loop {
            let frame = match socket.frame(PATIENCE).await {
                None => return Some(1006),
                Some(Message::Close(frame)) => return Some(frame.map_or(1005, |f| f.code.into())),
                Some(Message::Text(text)) => text,
                Some(other) => panic!("{other:?} to{said}"),
            };
            assert_discreet(&frame, &said);
            let message: Value = serde_json::from_str(&frame).unwrap();
            self.check(&message, &said);
            // Answers to pings of chance look the same; what is left unread is of no interest.
            if message["type"] == "pong" {
                return None;
            }
        }
    }

    fn check(&mut self, message: &Value, said: &str) {
        let errors = match message["type"].as_str().unwrap() {
            "connection_ack" | "pong" | "complete" => return,
            "next" => message["payload"]["errors"].as_array(),
            "error" => message["payload"].as_array(),
            other => panic!("{other} to{said}"),
        };
        for error in errors.into_iter().flatten() {
            let code = error["extensions"]["code"].as_str().unwrap_or_default();
            let known = self.codes.iter().any(|known| known == code);
            assert!(known && code != "INTERNAL" && code != "TIMEOUT", "{message} to{said}");
        }
        self.memory.learn(message);
    }
}

#[tokio::test]
async fn whatever_comes_over_a_socket_is_answered_or_closes_it_with_a_code_of_the_protocol() {
    let seed = dice::seed("FUZZ_SEED");
    let patient = settings().await.with("COMMAND_TIMEOUT_MS", "60000");
    let (_settings, mut process, url) = serve(patient.with("GRAPHQL_TIMEOUT_MS", "60000")).await;
    let shape = Shape::of_the_service();
    let codes = codes(&shape);
    let mut frames = Frames { shape, codes, memory: Memory::default(), dice: Dice::new(seed, 1) };
    let mut closes = BTreeMap::<Option<u16>, u32>::new();
    let before = memory_of(&process);
    for _ in 0..SOCKETS {
        let code = frames.socket(&url).await;
        assert!(code.is_none_or(|code| CLOSES.contains(&code)), "{code:?}");
        *closes.entry(code).or_default() += 1;
    }
    println!("{SOCKETS} sockets, by the code that closed them: {closes:?}");
    assert!(closes[&None] > SOCKETS / 10, "{closes:?}");
    assert!(memory_of(&process) < before + GROWTH);
    assert_sound(&mut process);
}

#[tokio::test]
async fn bytes_of_no_websocket_end_the_connection_and_nothing_else() {
    let seed = dice::seed("FUZZ_SEED");
    let (_settings, mut process, url) = serve(settings().await).await;
    let address = url.replacen("http://", "", 1);
    let mut dice = Dice::new(seed, 2);
    let hello = "GET /graphql HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                 sec-websocket-protocol: graphql-transport-ws\r\n\r\n";
    for number in 0..200_usize {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(hello.as_bytes()).await.unwrap();
        let mut bytes: Vec<u8> =
            (0..2 + dice.below(400)).map(|_| u8::try_from(dice.below(256)).unwrap()).collect();
        // Without a mask; of a length that nobody has; reserved bits and opcodes; noise.
        let kinds: [&[u8]; 4] =
            [&[0x81, 0x05], &[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff], &[0xfb, 0x80], &[]];
        bytes.splice(..2, kinds[number % 4].iter().copied());
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut said = Vec::new();
        let ended = timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "it hangs");
        assert!(said.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&said));
        assert_discreet(&String::from_utf8_lossy(&said), "bytes");
    }
    assert_sound(&mut process);
}

//! Slow, large and many: what clients may cost a process in memory and time, read from the process itself.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::pin::pin;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::fuzz::{assert_sound, memory_of, serve, settings};
use crate::process::{PATIENCE, Process, Settings};
use crate::socket_client::Socket;

const MIB: u64 = 1024 * 1024;
/// What all of this may make a process grow by.
const GROWTH: u64 = 160 * MIB;

const HEAD: &str = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";

/// A process that has little patience, so that a test needs little, too.
async fn hasty(connections: &str) -> (Settings, Process, String) {
    let settings = settings().await;
    let settings = settings.with("HTTP_PATIENCE_MS", "1500").with("GRAPHQL_TIMEOUT_MS", "4000");
    let (settings, process, url) = serve(settings.with("HTTP_MAX_CONNECTIONS", connections)).await;
    (settings, process, url.replacen("http://", "", 1))
}

/// Sends these bytes one by one until the other side has had enough; what it said, and after how long.
async fn dribble(address: &str, first: &str, then: &[u8]) -> (String, Duration) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let began = Instant::now();
    stream.write_all(first.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let send = async {
        for byte in then.iter().cycle() {
            sleep(Duration::from_millis(40)).await;
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut said = Vec::new();
    tokio::select! {
        () = send => {}
        _ = timeout(PATIENCE, reader.read_to_end(&mut said)) => {}
    }
    (String::from_utf8_lossy(&said).into_owned(), began.elapsed())
}

/// Asks as everybody does, on a connection of its own.
async fn ask(address: &str) -> (Value, Duration) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let began = Instant::now();
    let body = json!({ "query": "{ courses { nodes { id } } }" });
    let answer = client.post(format!("http://{address}/graphql")).json(&body).send().await.unwrap();
    (answer.json().await.unwrap(), began.elapsed())
}

#[tokio::test]
async fn heads_and_bodies_by_the_byte_are_let_go_and_others_are_answered_meanwhile() {
    let (_settings, mut process, address) = hasty("500").await;
    ask(&address).await;
    let before = memory_of(&process);
    let heads = (0..100).map(|_| dribble(&address, "POST /graphql HTTP/1.1\r\nx-slow: ", b"a"));
    let body = format!("{HEAD}content-length: 90000\r\n\r\n{{\"query\":\"");
    let bodies = (0..100).map(|_| dribble(&address, &body, b"a"));
    let others = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let (answer, took) = ask(&address).await;
            assert_eq!(answer.get("errors"), None, "{answer}");
            slowest = slowest.max(took);
        }
        (slowest, memory_of(&process))
    };
    let (heads, bodies, (slowest, during)) =
        futures::join!(join_all(heads), join_all(bodies), others);
    for (said, took) in &heads {
        assert!(*took < Duration::from_secs(20), "{took:?}: {said}");
    }
    for (said, took) in &bodies {
        assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("\"TIMEOUT\""), "{said}");
        assert!(*took < Duration::from_secs(20), "{took:?}");
    }
    let last = heads.iter().chain(&bodies).map(|(_, took)| *took).max().unwrap();
    println!(
        "200 slow clients: the last let go after {last:.1?}, others answered within {slowest:.1?}, {} MiB more",
        during.saturating_sub(before) / MIB
    );
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    assert!(during < before + GROWTH);
    assert_sound(&mut process);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_let_go() {
    let (_settings, mut process, address) = hasty("50").await;
    let before = memory_of(&process);
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request =
        "GET /graphql?query=%7B_service%7Bsdl%7D%7D HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    let began = Instant::now();
    // More answers than the machine keeps for a connection; none is read.
    let sent = timeout(PATIENCE, async {
        while stream.write_all(request.as_bytes()).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(sent.await.is_ok(), "it is never let go");
    println!("a client that reads nothing is let go after {:.1?}", began.elapsed());
    assert!(memory_of(&process) < before + GROWTH);
    ask(&address).await;
    assert_sound(&mut process);
}

#[tokio::test]
async fn there_are_so_many_connections_and_no_more_and_those_that_do_nothing_make_room() {
    let (_settings, mut process, address) = hasty("20").await;
    // The pool of `serve` may still hold one.
    let began = Instant::now();
    let idle = join_all((0..40).map(|_| TcpStream::connect(&address))).await;
    let (answer, _) = ask(&address).await;
    let took = began.elapsed();
    assert_eq!(answer.get("errors"), None, "{answer}");
    println!("behind 40 idle connections where 20 may be open: answered after {took:.1?}");
    assert!(took > Duration::from_millis(1_500) && took < Duration::from_secs(30), "{took:?}");
    drop(idle);
    assert_sound(&mut process);
}

#[tokio::test]
async fn a_websocket_keeps_its_place_among_the_connections() {
    let (_settings, mut process, address) = hasty("3").await;
    // The pool of `serve` holds one until it is closed for doing nothing.
    let url = format!("http://{address}");
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(Socket::at(&url, "student:sam").await);
    }
    let mut asked = pin!(ask(&address));
    let early = timeout(Duration::from_secs(2), asked.as_mut()).await;
    assert!(early.is_err(), "three may be open, and this is a fourth");
    sockets.pop();
    let (answer, _) = timeout(PATIENCE, asked).await.expect("there is room now");
    assert_eq!(answer.get("errors"), None, "{answer}");
    assert_sound(&mut process);
}

/// Sends a whole request of any kind; the status line of the answer, or nothing where there was none.
async fn send(address: &str, head: &str, chunks: impl Iterator<Item = Vec<u8>>) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut said = Vec::new();
    let done = timeout(PATIENCE, async {
        if stream.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        for chunk in chunks {
            if stream.write_all(&chunk).await.is_err() {
                break; // it has had enough
            }
        }
        let _ = stream.read_to_end(&mut said).await;
    })
    .await;
    assert!(done.is_ok(), "it hangs");
    let said = String::from_utf8_lossy(&said).into_owned();
    said.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn however_large_and_nested_the_process_stays_small() {
    let (_settings, mut process, address) = hasty("500").await;
    ask(&address).await;
    let before = memory_of(&process);
    let post = |body: String| {
        let head = format!("{HEAD}connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        (head, body)
    };
    let query = |query: String| post(json!({ "query": query }).to_string());
    let aliases: Vec<_> = (0..4_000).map(|n| format!("a{n}:viewer{{id}}")).collect();
    let aliases = aliases.concat();
    let one =
        json!({ "query": "{ courses(first: 100) { nodes { id modules { nodes { id } } } } }" });
    let kinds = [
        ("braces", query("{a".repeat(40_000))),
        ("brackets in a value", query(format!("{{ viewer(minPosition: {}", "[".repeat(90_000)))),
        ("objects in a value", query(format!("{{ viewer(minPosition: {}", "{a:".repeat(30_000)))),
        ("a type of lists", query(format!("query($a: {}", "[".repeat(90_000)))),
        ("aliases", query(format!("{{ {aliases} }}"))),
        ("spreads", query(format!("{{ {} }}", "...on Query{".repeat(8_000)))),
        ("directives", query(format!("{{ viewer {} {{ id }} }}", "@a".repeat(40_000)))),
        (
            "a string",
            query(format!("{{ viewer(minPosition: \"{}\") {{ id }} }}", "x".repeat(99_000))),
        ),
        (
            "nested JSON",
            post(format!("{{\"query\":\"{{a}}\",\"variables\":{}", "[".repeat(99_000))),
        ),
        ("objects in JSON", post("{\"a\":".repeat(19_000))),
        ("a batch", post(json!(vec![one; 10]).to_string())),
        ("a long batch", post(format!("[{}{{}}]", "{},".repeat(30_000)))),
    ];
    let mut slowest = (Duration::ZERO, "");
    for _ in 0..10 {
        for (what, (head, body)) in &kinds {
            let began = Instant::now();
            let body = std::iter::once(body.clone().into_bytes());
            let status = send(&address, head, body).await;
            assert!(
                status.starts_with("HTTP/1.1 200 ") || status.starts_with("HTTP/1.1 400 "),
                "{what}: {status}"
            );
            slowest = slowest.max((began.elapsed(), what));
        }
    }
    let nested = memory_of(&process);
    // Bodies without an end, many at once.
    let endless = format!("{HEAD}transfer-encoding: chunked\r\n\r\n");
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(65_536)).into_bytes();
    let floods = (0..50).map(|_| send(&address, &endless, std::iter::repeat_n(chunk.clone(), 400)));
    for status in join_all(floods).await {
        assert!(status.is_empty() || status.starts_with("HTTP/1.1 413 "), "{status}");
    }
    // Heads without an end.
    let line = format!("x-long: {}\r\n", "x".repeat(8_000)).into_bytes();
    let start = "GET /graphql HTTP/1.1\r\n";
    let heads = (0..50).map(|_| send(&address, start, std::iter::repeat_n(line.clone(), 2_000)));
    for status in join_all(heads).await {
        assert!(status.is_empty() || status.starts_with("HTTP/1.1 431 "), "{status}");
    }
    let after = memory_of(&process);
    println!(
        "the slowest of 120 nested requests took {:.1?} ({}); memory {} MiB before, {} after them, {} after floods",
        slowest.0,
        slowest.1,
        before / MIB,
        nested / MIB,
        after / MIB
    );
    assert!(slowest.0 < Duration::from_secs(10), "{slowest:?}");
    assert!(after < before + GROWTH, "from {before} to {after}");
    ask(&address).await;
    assert_sound(&mut process);
}

//! Hostile input: requests made up from the schema, with mutations and by all callers, most of them lawful and some not.
//! Whatever comes, the answer is GraphQL, in time, without a fault of ours and without a word of the inside.
//!
//! `FUZZ_SEED` repeats a run: the same requests but for the ids, cursors and positions in them, which the service makes;
//! `FUZZ_REQUESTS` says how many; `PROOF=long` asks for many.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod document;
mod frames;
mod shape;
pub(crate) mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::document::{Author, Document};
use self::shape::{Kind, Shape};
use self::words::{INTERNALS, Memory};
use crate::dice::{self, Dice};
use crate::process::{Process, Settings};
use crate::proof;

/// Requests of the short form.
const REQUESTS: u32 = 1_500;
/// Requests of the long form.
const LONG: u32 = 12_000;
/// Longer than any lawful request takes.
const HANG: Duration = Duration::from_secs(20);
/// What the process may grow by over a run, of however many requests.
const GROWTH: u64 = 200 * 1024 * 1024;

/// The header of each caller: nobody, those with a token, and those with what is none.
const CALLERS: [&str; 18] = [
    "",
    "Bearer instructor:ada",
    "Bearer instructor:ada",
    "Bearer instructor:ada",
    "Bearer instructor:ada",
    "Bearer instructor:ada",
    "Bearer instructor:ada",
    "Bearer instructor:bob",
    "Bearer student:sam",
    "Bearer student:sam",
    "Bearer student:tim",
    "Bearer admin:root",
    "Bearer admin:root",
    "Bearer admin:root",
    "Bearer admin:root",
    "Bearer admin:root",
    "Bearer none",
    "Basic YWRhOmFkYQ==",
];

/// A real process that serves GraphQL, without Kafka.
pub(crate) async fn serve(settings: Settings) -> (Settings, Process, String) {
    let settings = settings.without("KAFKA_BROKER");
    let (process, client) = settings.serve(&["--role", "api,projections"]).await;
    let url = client.url().to_owned();
    (settings, process, url)
}

/// Settings of one on a database of its own.
pub(crate) async fn settings() -> Settings {
    let database = crate::support::database_url().await;
    Settings::of(database, String::new(), crate::support::prefix()).await
}

/// Resident memory of a process, in bytes.
pub(crate) fn memory_of(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let (_, rest) = status.split_once("VmRSS:").unwrap();
    rest.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// The process lives, and nothing in its log is a panic or a fault.
pub(crate) fn assert_sound(process: &mut Process) {
    assert!(process.is_running(), "{}", process.output());
    let output = process.output();
    for line in output.lines() {
        let fault = line.contains("panicked") || line.contains("\"level\":\"ERROR\"");
        assert!(!fault, "in the log: {line}");
    }
}

/// Tells nothing of the inside.
pub(crate) fn assert_discreet(answer: &str, request: &str) {
    for word in INTERNALS {
        assert!(!answer.contains(word), "{word:?} in an answer: {answer}\nto {request}");
    }
}

/// What one request was and became.
struct Exchange {
    request: String,
    status: u16,
    answer: String,
    took: Duration,
}

struct Fuzz {
    shape: Shape,
    codes: Vec<String>,
    memory: Memory,
    dice: Dice,
    client: reqwest::Client,
    url: String,
}

impl Fuzz {
    /// A request of chance, and what it is in words.
    fn request(&mut self) -> (RequestBuilder, String) {
        let document = Author::new(&self.shape, &self.memory, &mut self.dice).document();
        let get = document.root == "Query" && self.dice.one_in(8);
        let caller = CALLERS[self.dice.index(CALLERS.len())];
        let mut body = self.body(&document);
        let told = format!("{caller} {body}");
        let mut request = if get {
            let variables = body["variables"].to_string();
            let query = body["query"].as_str().unwrap_or_default().to_owned();
            let query = [("query", query), ("variables", variables)];
            let url = reqwest::Url::parse_with_params(&self.url, query).unwrap();
            // Longer than any head may be: as a body, then.
            if url.as_str().len() > 30_000 {
                self.client.post(&self.url).json(&body)
            } else {
                self.client.get(url)
            }
        } else if self.dice.one_in(20) {
            body = json!([body, { "query": "{ viewer { id } }" }, self.anything()]);
            self.client.post(&self.url).json(&body)
        } else if self.dice.one_in(25) {
            let bytes = self.spoilt(body.to_string().into_bytes());
            self.client.post(&self.url).header("content-type", "application/json").body(bytes)
        } else {
            self.client.post(&self.url).json(&body)
        };
        if !caller.is_empty() {
            request = request.header("authorization", caller);
        }
        if self.dice.one_in(3) {
            request = request.header("accept", "application/graphql-response+json");
        }
        if self.dice.one_in(50) {
            request = request.header("x-correlation-id", "ä\"'<>;");
        }
        (request, told)
    }

    /// The body of a document, sometimes with members that are not as they should be.
    fn body(&mut self, document: &Document) -> Value {
        let mut body = json!({ "query": document.text, "variables": document.variables });
        if self.dice.one_in(30) {
            let member = ["query", "variables", "operationName", "extensions"][self.dice.index(4)];
            body[member] = self.anything();
        }
        body
    }

    fn anything(&mut self) -> Value {
        words::anything(&mut self.dice)
    }

    fn spoilt(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.dice.below(4) {
            let at = self.dice.index(bytes.len());
            bytes[at] = u8::try_from(self.dice.below(256)).unwrap();
        }
        bytes
    }

    async fn exchange(&mut self) -> Exchange {
        let (request, told) = self.request();
        let began = Instant::now();
        let reply = request.timeout(HANG).send().await;
        let reply = reply.unwrap_or_else(|error| panic!("no answer: {error:?}\nto {told}"));
        let status = reply.status().as_u16();
        let answer = reply.text().await.unwrap();
        let exchange = Exchange { request: told, status, answer, took: began.elapsed() };
        self.check(&exchange);
        exchange
    }

    fn check(&mut self, exchange: &Exchange) {
        let Exchange { request, status, answer, .. } = exchange;
        assert!(*status < 500, "{status} {answer}\nto {request}");
        assert_discreet(answer, request);
        let answer: Value = serde_json::from_str(answer)
            .unwrap_or_else(|error| panic!("no JSON: {error}: {answer}\nto {request}"));
        let parts = answer.as_array().map_or_else(|| vec![&answer], |batch| batch.iter().collect());
        for part in parts {
            let errors = part["errors"].as_array();
            assert!(part.get("data").is_some() || errors.is_some(), "{part}\nto {request}");
            for error in errors.into_iter().flatten() {
                let code = error["extensions"]["code"].as_str().unwrap_or_default();
                let known = self.codes.iter().any(|known| known == code);
                assert!(known && code != "INTERNAL" && code != "TIMEOUT", "{part}\nto {request}");
                assert!(error["message"].as_str().is_some_and(|m| m.len() <= 1_100), "{part}");
                assert!(error["extensions"]["correlationId"].is_string(), "{part}");
            }
        }
        self.memory.learn(&answer);
    }
}

fn codes(shape: &Shape) -> Vec<String> {
    let Kind::Enum(codes) = shape.kind("ErrorCode") else { panic!("no codes") };
    codes.clone()
}

/// What became of a request, in a word.
fn outcome(exchange: &Exchange) -> String {
    let answer: Value = serde_json::from_str(&exchange.answer).unwrap();
    let Some(code) = answer["errors"][0]["extensions"]["code"].as_str() else {
        let refused = answer["data"].as_object().into_iter().flatten().find_map(|(_, payload)| {
            payload["userErrors"][0]["code"].as_str().map(|code| format!("refused {code}"))
        });
        return refused.unwrap_or_else(|| "done".to_owned());
    };
    code.to_owned()
}

#[tokio::test]
async fn whatever_is_asked_is_answered_without_a_fault_and_without_a_word_of_the_inside() {
    let seed = dice::seed("FUZZ_SEED");
    let requests = std::env::var("FUZZ_REQUESTS").map(|count| count.parse().unwrap());
    let requests = requests.unwrap_or(proof::of(REQUESTS, LONG));
    // Where the machine is slow, it is not the request's fault: what hangs is found all the same.
    let patient = settings().await.with("COMMAND_TIMEOUT_MS", "60000");
    let (_settings, mut process, url) = serve(patient.with("GRAPHQL_TIMEOUT_MS", "60000")).await;
    let shape = Shape::of_the_service();
    let codes = codes(&shape);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let dice = Dice::new(seed, 0);
    let mut fuzz =
        Fuzz { shape, codes, memory: Memory::default(), dice, client, url: url + "/graphql" };
    let mut outcomes = BTreeMap::<String, u32>::new();
    let (mut slowest, mut early, mut most) = (Duration::ZERO, 0, 0);
    let began = Instant::now();
    for number in 0..requests {
        let exchange = fuzz.exchange().await;
        slowest = slowest.max(exchange.took);
        *outcomes.entry(outcome(&exchange)).or_default() += 1;
        if number == requests / 10 {
            early = memory_of(&process);
        }
        if number % 100 == 0 {
            most = most.max(memory_of(&process));
        }
    }
    let took = began.elapsed();
    assert_sound(&mut process);
    println!(
        "{requests} requests in {took:.1?}, the slowest {slowest:.1?}, memory {} MiB after a tenth, {} MiB at most",
        early >> 20,
        most >> 20
    );
    for (outcome, count) in &outcomes {
        println!("{count:>7}  {outcome}");
    }
    assert!(most < early + GROWTH, "from {early} to {most} bytes");
    // Made up, but not at random: much of it is carried out.
    assert!(outcomes["done"] > requests / 10, "{outcomes:?}");
}

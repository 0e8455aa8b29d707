//! Clients that hang up at any moment of a mutation: all events of the command are there, or none, and who asks again
//! with the same key finds it done once.
//!
//! `HANG_UP_SEED` repeats the moments, as far as the machine is as quick.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::api::text;
use crate::dice::{self, Dice};
use crate::support::{self, TestApp};

const ROUNDS: u32 = 60;
const CLIENTS: u32 = 6;

/// How often a command was there already when it was asked for again, and how often not.
#[derive(Default)]
struct Tally {
    done: AtomicU32,
    not_done: AtomicU32,
}

struct Client<'a> {
    app: &'a TestApp,
    tally: &'a Tally,
    dice: Dice,
}

impl Client<'_> {
    /// Sends a request and hangs up: within it, or up to a few milliseconds after it.
    async fn cut(&mut self, token: &str, body: &str) {
        let head = format!(
            "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: Bearer {token}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let request = head + body;
        let within = self.dice.one_in(8);
        let length = if within { self.dice.index(request.len()) } else { request.len() };
        let mut stream = TcpStream::connect(self.app.address).await.unwrap();
        stream.write_all(&request.as_bytes()[..length]).await.unwrap();
        let longest = if self.dice.one_in(4) { 150_000 } else { 12_000 };
        sleep(Duration::from_micros(u64::from(self.dice.below(longest)))).await;
        if self.dice.one_in(2) {
            stream.set_zero_linger().unwrap(); // a reset instead of a farewell
        }
    }

    async fn events(&self, course: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM events WHERE course_id = $1")
            .bind(course)
            .fetch_one(&self.app.pool)
            .await
            .unwrap()
    }

    /// Has a command carried out: first by somebody who hangs up (where `cut`), then by somebody who stays.
    async fn command(
        &mut self,
        cut: bool,
        token: &str,
        name: &str,
        mut input: Value,
        object: &str,
    ) -> Value {
        let course = text(&input[if name == "createCourse" { "id" } else { "courseId" }]);
        if name == "withdrawEnrollment" {
            input.as_object_mut().unwrap().remove("courseId");
        }
        input["idempotencyKey"] = json!(format!("{course} {name} {token}"));
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {kind}!) {{ {name}(input: $input) {{ position userErrors {{ code message }} {object} }} }}"
        );
        let before = self.events(&course).await;
        if cut {
            let body = json!({ "query": query, "variables": { "input": input } }).to_string();
            self.cut(token, &body).await;
            let done = self.events(&course).await > before;
            let count = if done { &self.tally.done } else { &self.tally.not_done };
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut answer = self.app.graphql(token, &query, json!({ "input": input })).await;
        let payload = answer["data"][name].take();
        assert_eq!(payload["userErrors"], json!([]), "{course}: {name}: {answer}");
        payload
    }

    /// The life of a course: with a seat that passes on, and an end that releases everybody.
    async fn round(&mut self, cut: bool, course: &str) {
        let ada = "instructor:ada";
        let (first, second) = (format!("student:{course}-a"), format!("student:{course}-b"));
        let input = json!({
            "id": course, "code": course, "title": "x", "capacity": 1, "publish": true,
            "coInstructorIds": ["bob", "eve"]
        });
        self.command(cut, ada, "createCourse", input, "").await;
        let input = json!({ "courseId": course, "title": "x" });
        self.command(cut, ada, "addModule", input, "").await;
        let input = json!({ "courseId": course });
        let seat =
            self.command(cut, &first, "enrollStudent", input.clone(), "enrollment { id }").await;
        self.command(cut, &second, "enrollStudent", input, "").await;
        let input = json!({ "courseId": course, "enrollmentId": seat["enrollment"]["id"] });
        self.command(cut, &first, "withdrawEnrollment", input, "").await;
        let input = json!({ "courseId": course, "title": "y", "capacity": 3, "tags": ["z"] });
        self.command(cut, ada, "updateCourse", input, "").await;
        let input = json!({ "courseId": course, "force": true });
        self.command(cut, ada, "deleteCourse", input, "").await;
    }
}

/// The commands on a course in the log's order, each as the types of its events and whether the last says that it is the last.
async fn commands(app: &TestApp, course: &str) -> Vec<Vec<(String, bool)>> {
    let events = "SELECT command_id::text, event_type, last_of_command FROM events \
                  WHERE course_id = $1 ORDER BY position";
    let events: Vec<(String, String, bool)> =
        sqlx::query_as(events).bind(course).fetch_all(&app.pool).await.unwrap();
    let same = |one: &(String, String, bool), next: &(String, String, bool)| one.0 == next.0;
    let command = |events: &[(String, String, bool)]| {
        events.iter().map(|(_, kind, last)| (kind.clone(), *last)).collect()
    };
    events.chunk_by(same).map(command).collect()
}

#[tokio::test]
async fn whoever_hangs_up_leaves_whole_commands_and_whoever_asks_again_finds_each_done_once() {
    let seed = dice::seed("HANG_UP_SEED");
    let app = support::app().await;
    let tally = Tally::default();
    Client { app: &app, tally: &tally, dice: Dice::new(seed, 0) }.round(false, "whole").await;
    let expected = commands(&app, "whole").await;
    assert_eq!(expected.len(), 7, "{expected:?}");
    assert!(expected.iter().filter(|events| events.len() > 1).count() >= 5, "{expected:?}");
    join_all((1..=CLIENTS).map(async |client| {
        let mut client =
            (client, Client { app: &app, tally: &tally, dice: Dice::new(seed, client) });
        for round in 0..ROUNDS / CLIENTS {
            let course = format!("cut-{}-{round}", client.0);
            client.1.round(true, &course).await;
            assert_eq!(commands(&app, &course).await, expected, "{course}");
        }
    }))
    .await;
    let (done, not_done) =
        (tally.done.load(Ordering::Relaxed), tally.not_done.load(Ordering::Relaxed));
    println!(
        "{} cut: {done} were done all the same, {not_done} not yet or not at all",
        done + not_done
    );
    assert!(done > 10 && not_done > 10, "the cuts are at the wrong moments");
}

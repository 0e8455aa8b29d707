//! What an operator does about messages that did not become commands, from the command line and through the API.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use course_service::commands::intake::{Effect, Origin};
use course_service::event_store::inbound::{Keep, Kept};
use course_service::event_store::{dead_letters, offsets, parked};
use course_service::kafka::inbound::translate;
use futures::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{ADA, NOBODY, ROOT, SAM, code_of, text};
use crate::intake::world::World;
use crate::process::{Finished, PATIENCE, Settings};
use crate::support::{self, TestApp, brokers, database_url, prefix};

const OUTCOME: &str = "outcomes { id effect code reason waitsFor events } clientMutationId";
const SECRET: &str = "Ada Lovelace";

/// The API and a command line on one database, and an intake that gives it messages. Nothing releases by itself.
struct Bench {
    app: TestApp,
    world: World,
    settings: Settings,
}

impl Bench {
    async fn new() -> Self {
        let app = support::app().await;
        let world = World::on(&app.database_url).await;
        let nowhere = "127.0.0.1:1".to_owned();
        let settings = Settings::of(app.database_url.clone(), nowhere, prefix()).await;
        Self { app, world, settings }
    }

    async fn cli(&self, arguments: &[&str]) -> Finished {
        let finished = self.settings.run(arguments).await;
        assert!(!format!("{finished:?}").contains("panicked"), "{finished:?}");
        finished
    }

    /// Runs it, which must be done.
    async fn done(&self, arguments: &[&str]) -> String {
        let finished = self.cli(arguments).await;
        assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
        finished.stdout
    }

    /// A message that waits; its id.
    async fn parks(&mut self, topic: &str, value: Value) -> String {
        let effect = self.world.tell(topic, &value).await;
        assert!(matches!(effect, Effect::Parked(_)), "{effect:?}");
        self.last("SELECT id::text FROM parked_messages ORDER BY number DESC LIMIT 1").await
    }

    /// A message that cannot be read; its id.
    async fn poison(&mut self, topic: &str, value: &[u8]) -> String {
        let record = self.world.record(topic, Some(value));
        let effects = self.world.give(vec![translate(record, Origin::Topic)]).await;
        assert!(matches!(effects[0], Effect::Dead(_)), "{effects:?}");
        self.last("SELECT id::text FROM dead_letters ORDER BY number DESC LIMIT 1").await
    }

    /// A message that waited for too long; its id.
    async fn expired(&mut self, topic: &str, value: Value) -> String {
        let id = self.parks(topic, value).await;
        let found = parked::find(&self.app.pool, &[id.parse().unwrap()], i32::MAX).await.unwrap();
        let one = found.into_iter().next().unwrap();
        let how = Keep::Dead { code: "EXPIRED", reason: format!("{} is late", one.waits_for) };
        let dead = Uuid::now_v7();
        let kept = Kept { id: dead, identity: one.identity, record: one.record, how };
        assert_eq!(self.world.intake.expire(vec![(one.id, kept)]).await.unwrap(), 1);
        dead.to_string()
    }

    async fn last(&self, sql: &str) -> String {
        sqlx::query_scalar(sql).fetch_one(&self.app.pool).await.unwrap()
    }

    /// An assessment that was reported a week before its course was created. The course is there now.
    async fn late_course(&mut self) -> String {
        let assessment = json!({ "assessmentId": "a-1", "courseId": "c-1", "title": "Midterm" });
        let letter = self.expired("Assessment-Creation", assessment).await;
        self.app
            .course(json!({ "id": "c-1", "code": "C-1", "title": "One", "publish": true }))
            .await;
        letter
    }

    /// All that the service keeps, so that a change shows.
    async fn everything(&self) -> Vec<String> {
        let tables =
            ["events", "keys", "log_head", "dead_letters", "parked_messages", "subject_keys"];
        let mut all = Vec::new();
        for table in tables {
            let rows = format!(
                "SELECT coalesce(string_agg(t::text, '\n' ORDER BY t::text), '') FROM {table} t"
            );
            all.push(sqlx::query_scalar(&rows).fetch_one(&self.app.pool).await.unwrap());
        }
        all
    }

    async fn mutate(&self, token: &str, name: &str, input: Value) -> Value {
        self.app.mutate(token, name, input, OUTCOME).await
    }
}

/// A failure: exit code 1, and a last line on stderr that has these words.
fn assert_failure(run: &Finished, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{run:?}");
    let last = run.stderr.lines().rfind(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(words.iter().all(|word| last.contains(word)), "{run:?}");
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_letter_whose_course_exists_by_now_is_redriven_once_from_the_command_line() {
    let mut bench = Bench::new().await;
    let letter = bench.late_course().await;
    let listed = bench.done(&["dead-letters", "list"]).await;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    for word in [&letter, "Assessment-Creation/0/", "EXPIRED: course/c-1 is late"] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    assert_eq!(bench.done(&["dead-letters", "list", "--topic", "User-Update"]).await, "");

    let before = bench.everything().await;
    let dry = bench.done(&["dead-letters", "redrive", "--all", "--dry-run"]).await;
    assert_eq!(dry, format!("{letter}  applied    AssessmentAttached\n"));
    assert_eq!(bench.everything().await, before, "nothing is written");

    let redriven = bench.done(&["dead-letters", "redrive", &letter, &letter, "--json"]).await;
    let redriven = json_lines(&redriven);
    assert_eq!(redriven.len(), 1, "each once");
    assert_eq!((&redriven[0]["id"], &redriven[0]["outcome"]), (&json!(letter), &json!("applied")));
    assert_eq!(bench.world.count("AssessmentAttached").await, 1);
    let claim = bench.last("SELECT value FROM keys WHERE space = 'inbox'").await;
    let claim: Value = serde_json::from_str(&claim).unwrap();
    assert_eq!(claim["effect"], "applied", "{claim}");

    assert_eq!(bench.done(&["dead-letters", "list"]).await, "");
    let settled = bench.done(&["dead-letters", "list", "--all", "--json"]).await;
    let settled: Value = serde_json::from_str(&settled).unwrap();
    assert_eq!(settled[0]["settledAs"], "REDRIVEN");
    assert!(text(&settled[0]["settledBy"]).starts_with("cli"), "{settled}");
    let shown = bench.done(&["dead-letters", "show", &letter]).await;
    assert!(shown.contains("removed when somebody saw to it"), "{shown}");

    let again = bench.done(&["dead-letters", "redrive", &letter]).await;
    assert!(again.contains("settled") && again.contains("REDRIVEN by cli"), "{again}");
    assert_eq!(bench.world.count("AssessmentAttached").await, 1);
}

#[tokio::test]
async fn a_letter_is_redriven_through_the_api_and_shown_to_who_reads_on() {
    let mut bench = Bench::new().await;
    let letter = bench.late_course().await;
    let query = "query($ids: [ID!]!) { redrivePreview(ids: $ids) { id effect events } }";
    let before = bench.everything().await;
    let ids = json!({ "ids": [letter] });
    let preview = bench.app.query(ROOT, query, ids.clone()).await;
    let expected = json!([{ "id": letter, "effect": "APPLIED", "events": ["AssessmentAttached"] }]);
    assert_eq!(preview["redrivePreview"], expected);
    assert_eq!(bench.everything().await, before, "nothing is written");

    let input = json!({ "topic": "Assessment-Creation", "clientMutationId": "m" });
    let selection = "redrivenCount endCursor outcomes { id effect } clientMutationId \
                     query { course(id: \"c-1\") { assessments { title } } deadLetters { totalCount } \
                     settled: deadLetters(includeSettled: true) { nodes { id settledAs settledBy settledAt value headerNames } } }";
    let payload = bench.app.done(ROOT, "redriveDeadLetters", input, selection).await;
    assert_eq!((&payload["redrivenCount"], &payload["endCursor"]), (&json!(1), &Value::Null));
    assert_eq!(payload["clientMutationId"], "m");
    let query = &payload["query"];
    assert_eq!(query["course"]["assessments"], json!([{ "title": "Midterm" }]));
    assert_eq!(query["deadLetters"]["totalCount"], 0);
    let settled = &query["settled"]["nodes"][0];
    assert_eq!(
        (&settled["settledAs"], &settled["settledBy"]),
        (&json!("REDRIVEN"), &json!("root"))
    );
    assert!(settled["settledAt"].is_string() && settled["value"].is_null(), "{settled}");

    let again = bench.mutate(ROOT, "redriveDeadLetters", ids).await;
    assert_eq!(again["outcomes"][0]["effect"], "SETTLED", "{again}");
    assert_eq!((&again["position"], &again["userErrors"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn what_cannot_be_read_stays_a_dead_letter_and_says_why() {
    let mut bench = Bench::new().await;
    let poison = bench.poison("Grading-Completed", b"{ not json").await;
    let binary = bench.poison("Transcoding-Completed", &[0xff, 0xfe]).await;
    let shown = bench.done(&["dead-letters", "show", &poison]).await;
    assert!(shown.contains("value      { not json"), "{shown}");
    let shown = bench.done(&["dead-letters", "show", &binary, "--json"]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["value"], json!({ "encoding": "base64", "text": "//4=" }));

    let redriven = bench.cli(&["dead-letters", "redrive", "--all"]).await;
    assert_failure(&redriven, &["2 of 2 dead letters cannot be read and stay"]);
    assert!(redriven.stdout.contains(&format!("{poison}  dead       NOT_JSON:")), "{redriven:?}");
    let payload = bench.mutate(ROOT, "redriveDeadLetters", json!({ "ids": [poison] })).await;
    let outcome = &payload["outcomes"][0];
    assert_eq!((&outcome["effect"], &outcome["code"]), (&json!("DEAD"), &json!("NOT_JSON")));
    assert!(outcome["reason"].is_string(), "{payload}");
    let nodes = "{ deadLetters { nodes { id value valueBytes } } }";
    let listed = bench.app.query(ROOT, nodes, json!({})).await;
    let expected = json!([
        { "id": poison, "value": "{ not json", "valueBytes": 10 },
        { "id": binary, "value": null, "valueBytes": 2 }
    ]);
    assert_eq!(listed["deadLetters"]["nodes"], expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_redrive_one_letter_at_once_one_has_the_effect() {
    let mut bench = Bench::new().await;
    let letter = bench.late_course().await;
    let by_api = join_all(
        (0..8).map(|_| bench.mutate(ROOT, "redriveDeadLetters", json!({ "ids": [letter] }))),
    );
    let redrive = ["dead-letters", "redrive", letter.as_str(), "--json"];
    let by_cli = join_all((0..2).map(|_| bench.done(&redrive)));
    let (by_api, by_cli) = tokio::join!(by_api, by_cli);
    let mut effects: Vec<String> =
        by_api.iter().map(|payload| text(&payload["outcomes"][0]["effect"])).collect();
    effects.extend(by_cli.iter().map(|out| text(&json_lines(out)[0]["outcome"]).to_uppercase()));
    let applied = effects.iter().filter(|effect| *effect == "APPLIED").count();
    let settled = effects.iter().filter(|effect| *effect == "SETTLED").count();
    assert_eq!((applied, settled), (1, 9), "{effects:?}");
    assert_eq!(bench.world.count("AssessmentAttached").await, 1);
}

#[tokio::test]
async fn what_is_discarded_loses_its_content_and_it_is_remembered_by_whom_and_why() {
    let mut bench = Bench::new().await;
    let one = bench.poison("Grading-Completed", b"one").await;
    let other = bench.poison("Grading-Completed", b"other").await;
    let waits = json!({ "assessmentId": "a-1", "studentId": "sam", "score": 5 });
    let waiting = bench.parks("Grading-Completed", waits).await;
    let out = bench.done(&["dead-letters", "discard", &one, "--reason", "a test"]).await;
    assert_eq!(out, format!("{one}  discarded\n"));
    let input = json!({ "ids": [other, one], "reason": "no use" });
    let selection = "discardedCount outcomes { id effect reason }";
    let payload = bench.app.mutate(ROOT, "discardDeadLetters", input, selection).await;
    assert_eq!(payload["discardedCount"], 1, "{payload}");
    assert_eq!(payload["outcomes"][0]["effect"], "DISCARDED");
    assert_eq!(payload["outcomes"][1]["effect"], "SETTLED");
    assert!(text(&payload["outcomes"][1]["reason"]).starts_with("DISCARDED by cli"), "{payload}");

    let refused =
        bench.mutate(ROOT, "discardParkedMessages", json!({ "ids": [waiting], "reason": " " }));
    let refused = refused.await;
    assert_eq!(refused["userErrors"][0]["code"], "VALIDATION_FAILED", "{refused}");
    assert_eq!(refused["userErrors"][0]["field"], json!(["input", "reason"]));
    let long = "x".repeat(1_025);
    let refused = bench.cli(&["parked", "discard", &waiting, "--reason", &long]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--reason must be"), "{refused:?}");
    bench.done(&["parked", "discard", &waiting, "--reason", "the course never comes"]).await;
    assert_eq!(bench.done(&["parked", "list"]).await, "");

    let listed = bench.done(&["dead-letters", "list", "--all", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let reasons: Vec<&Value> =
        listed.as_array().unwrap().iter().map(|one| &one["settledReason"]).collect();
    assert_eq!(reasons, ["a test", "no use", "the course never comes"]);
    assert_eq!(listed[2]["code"], "DISCARDED");
    let content = "SELECT count(*) FROM dead_letters WHERE value IS NOT NULL OR key IS NOT NULL OR headers <> '[]'";
    assert_eq!(bench.world.scalar(content).await, 0);
}

#[tokio::test]
async fn a_parked_message_that_is_released_waits_for_the_next_missing_thing() {
    let mut bench = Bench::new().await;
    let grade = json!({ "assessmentId": "a-1", "studentId": "sam", "score": 50 });
    let grade = bench.parks("Grading-Completed", grade).await;
    let listed = bench.done(&["parked", "list"]).await;
    assert!(listed.contains(&grade) && listed.contains("waits for assessment/a-1"), "{listed}");
    let still = bench.done(&["parked", "release", "--all"]).await;
    assert_eq!(still, format!("{grade}  parked     waits for assessment/a-1\n"));

    bench.app.course(json!({ "id": "c-1", "code": "C-1", "title": "One", "publish": true })).await;
    let assessment = json!({ "assessmentId": "a-1", "courseId": "c-1" });
    bench.world.tell("Assessment-Creation", &assessment).await;
    let preview = "query($ids: [ID!]!) { releasePreview(ids: $ids) { effect waitsFor } }";
    let ids = json!({ "ids": [grade] });
    let preview = bench.app.query(ROOT, preview, ids.clone()).await["releasePreview"].take();
    assert!(text(&preview[0]["waitsFor"]).starts_with("enrollment/"), "{preview}");
    let payload = bench.mutate(ROOT, "releaseParkedMessages", ids.clone()).await;
    assert_eq!(payload["outcomes"][0]["effect"], "PARKED", "{payload}");
    let waits = "{ parkedMessages { totalCount nodes { id waitsFor parkedAt value } } }";
    let waits = bench.app.query(ROOT, waits, json!({})).await["parkedMessages"].take();
    assert_eq!(waits["totalCount"], 1);
    assert_eq!(waits["nodes"][0]["waitsFor"], preview[0]["waitsFor"]);
    assert!(text(&waits["nodes"][0]["value"]).contains("a-1"), "{waits}");

    bench.app.enroll(SAM, "c-1").await;
    let payload = bench.app.done(ROOT, "releaseParkedMessages", ids, "releasedCount").await;
    assert_eq!(payload["releasedCount"], 1);
    assert_eq!(bench.world.count("GradeRecorded").await, 1);
    assert_eq!(bench.done(&["parked", "list", "--json"]).await, "[]\n");
}

#[tokio::test]
async fn a_redriven_letter_whose_course_is_still_missing_waits_for_it() {
    let mut bench = Bench::new().await;
    let assessment = json!({ "assessmentId": "a-1", "courseId": "c-1" });
    let letter = bench.expired("Assessment-Creation", assessment).await;
    let out = bench.done(&["dead-letters", "redrive", "--topic", "Assessment-Creation"]).await;
    assert_eq!(out, format!("{letter}  parked     waits for course/c-1\n"));
    let course = ["course/c-1".to_owned()];
    assert_eq!(parked::waiting_for(&bench.app.pool, &course, 9).await.unwrap().len(), 1);
    assert_eq!(bench.done(&["dead-letters", "list"]).await, "");
}

#[tokio::test]
async fn personal_data_is_shown_only_to_who_asks_for_it_at_the_command_line() {
    let mut bench = Bench::new().await;
    let value = json!({ "name": SECRET }).to_string();
    let letter = bench.poison("User-Creation", value.as_bytes()).await;
    let show = ["dead-letters", "show", letter.as_str()];
    for arguments in
        [&["dead-letters", "list", "--json"][..], &show, &[&show[..], &["--json"]].concat()]
    {
        let out = bench.done(arguments).await;
        assert!(!out.contains(SECRET) && out.contains("User-Creation"), "{out}");
    }
    let out = bench.done(&[&show[..], &["--value"]].concat()).await;
    assert!(out.contains(SECRET), "{out}");
    let query = "query($id: ID!) { deadLetters { nodes { topic value valueBytes } } node(id: $id) { ... on DeadLetter { value reason } } }";
    let data = bench.app.query(ROOT, query, json!({ "id": letter })).await;
    assert!(!data.to_string().contains(SECRET), "{data}");
    assert_eq!(data["deadLetters"]["nodes"][0]["valueBytes"], value.len(), "{data}");
    assert_eq!(data["node"]["value"], Value::Null, "{data}");

    // One that can be read by now: looking ahead makes no key for the person.
    let readable = json!({ "userId": "u-17", "name": SECRET }).to_string();
    sqlx::query("UPDATE dead_letters SET value = $1")
        .bind(readable.as_bytes())
        .execute(&bench.app.pool)
        .await
        .unwrap();
    let before = bench.everything().await;
    let dry = bench.done(&["dead-letters", "redrive", "--all", "--dry-run"]).await;
    assert!(dry.contains("applied") && dry.contains("User") && !dry.contains(SECRET), "{dry}");
    assert_eq!(bench.everything().await, before, "nothing is written");
    bench.done(&["dead-letters", "redrive", "--all"]).await;
    assert_ne!(bench.everything().await, before);
}

#[tokio::test]
async fn lists_come_in_pages_either_way_and_by_topic() {
    let mut bench = Bench::new().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let topic = if number % 2 == 0 { "Grading-Completed" } else { "Submission-Completed" };
        ids.push(bench.poison(topic, b"x").await);
    }
    let query = "query($first: Int, $after: String, $last: Int, $before: String, $topic: String) { \
                 deadLetters(first: $first, after: $after, last: $last, before: $before, topic: $topic) \
                 { totalCount nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    let page = async |variables: Value| {
        let data = bench.app.query(ROOT, query, variables).await["deadLetters"].take();
        let nodes = data["nodes"].as_array().unwrap();
        (nodes.iter().map(|n| text(&n["id"])).collect::<Vec<_>>(), data["pageInfo"].clone())
    };
    let (first, info) = page(json!({ "first": 2 })).await;
    assert_eq!((first.as_slice(), &info["hasNextPage"]), (&ids[..2], &json!(true)));
    let cursor = info["endCursor"].clone();
    let (next, _) = page(json!({ "first": 9, "after": cursor })).await;
    assert_eq!(next, ids[2..]);
    let (last, info) = page(json!({ "last": 2 })).await;
    assert_eq!((last.as_slice(), &info["hasPreviousPage"]), (&ids[3..], &json!(true)));
    let (before, _) = page(json!({ "last": 2, "before": info["startCursor"] })).await;
    assert_eq!(before, ids[1..3]);
    let (of_topic, _) = page(json!({ "topic": "Submission-Completed" })).await;
    assert_eq!(of_topic, [ids[1].clone(), ids[3].clone()]);
    let wrong = json!({ "topic": "Course-Creation" });
    assert_eq!(bench.app.failure(ROOT, query, wrong).await, "VALIDATION_FAILED");

    // A redrive goes on behind what stays dead.
    let redrive = async |after: Value| {
        let input = json!({ "maxCount": 2, "after": after });
        let selection = "redrivenCount endCursor outcomes { id }";
        bench.app.mutate(ROOT, "redriveDeadLetters", input, selection).await
    };
    let payload = redrive(Value::Null).await;
    assert_eq!((&payload["redrivenCount"], &payload["endCursor"]), (&json!(0), &cursor));
    let payload = redrive(cursor).await;
    assert_eq!(payload["outcomes"], json!([{ "id": ids[2] }, { "id": ids[3] }]));

    let out = bench.cli(&["dead-letters", "list", "--limit", "2"]).await;
    assert_eq!(out.stdout.lines().count(), 2, "{out:?}");
    assert!(out.stderr.contains("there are more: --after 2"), "{out:?}");
    let rest = bench.done(&["dead-letters", "list", "--after", "2"]).await;
    assert_eq!(rest.lines().count(), 3, "{rest}");
}

#[tokio::test]
async fn only_admins_see_and_do_anything_about_incoming_messages() {
    let mut bench = Bench::new().await;
    let letter = bench.late_course().await;
    let waits = json!({ "assessmentId": "a-2", "courseId": "c-2" });
    let waiting = bench.parks("Assessment-Creation", waits).await;
    let reads = [
        "{ deadLetters { nodes { id } } }".to_owned(),
        "{ parkedMessages { nodes { id } } }".to_owned(),
        format!("{{ redrivePreview(ids: [\"{letter}\"]) {{ id }} }}"),
        format!("{{ releasePreview(ids: [\"{waiting}\"]) {{ id }} }}"),
    ];
    let writes = [
        ("redriveDeadLetters", json!({ "ids": [letter] })),
        ("redriveDeadLetters", json!({ "maxCount": -1, "topic": "nonsense" })),
        ("releaseParkedMessages", json!({ "ids": ["nonsense"] })),
        ("discardDeadLetters", json!({ "ids": [letter], "reason": "" })),
        ("discardParkedMessages", json!({ "ids": [waiting], "reason": "x" })),
    ];
    let before = bench.everything().await;
    let nodes = json!({ "ids": [letter, waiting] });
    let query = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }";
    for (token, code) in [(NOBODY, "UNAUTHENTICATED"), (SAM, "FORBIDDEN"), (ADA, "FORBIDDEN")] {
        for read in &reads {
            assert_eq!(bench.app.failure(token, read, json!({})).await, code, "{token} {read}");
        }
        let data = bench.app.query(token, query, nodes.clone()).await;
        assert_eq!(data["nodes"], json!([null, null]), "{token}");
        for (name, input) in &writes {
            let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
            let write = format!(
                "mutation($input: {kind}!) {{ {name}(input: $input) {{ position userErrors {{ code }} }} }}"
            );
            let answer = bench.app.graphql(token, &write, json!({ "input": input })).await;
            if token == NOBODY {
                assert_eq!(code_of(&answer), code, "{name}");
            } else {
                let expected = json!({ "position": null, "userErrors": [{ "code": code }] });
                assert_eq!(answer["data"][name], expected, "{name} {token}: {answer}");
            }
        }
    }
    assert_eq!(bench.everything().await, before);
    let data = bench.app.query(ROOT, query, nodes).await;
    let expected = json!([
        { "__typename": "DeadLetter", "id": letter }, { "__typename": "ParkedMessage", "id": waiting }
    ]);
    assert_eq!(data["nodes"], expected);
    for (name, input, field) in [
        ("redriveDeadLetters", json!({ "maxCount": 0 }), "maxCount"),
        ("redriveDeadLetters", json!({ "topic": "nonsense" }), "topic"),
        ("redriveDeadLetters", json!({ "after": "nonsense" }), "after"),
        ("redriveDeadLetters", json!({ "ids": [letter], "topic": "User-Update" }), "ids"),
        ("releaseParkedMessages", json!({ "ids": ["nonsense"] }), "ids"),
        ("discardDeadLetters", json!({ "ids": vec![letter.clone(); 201], "reason": "x" }), "ids"),
    ] {
        let refusal = bench.app.refusal(ROOT, name, input).await;
        assert_eq!(refusal["code"], "VALIDATION_FAILED", "{name}: {refusal}");
        assert_eq!(refusal["field"], json!(["input", field]), "{name}: {refusal}");
    }
}

#[tokio::test]
async fn an_id_that_nobody_knows_is_named_and_the_others_are_dealt_with() {
    let mut bench = Bench::new().await;
    let letter = bench.late_course().await;
    let unknown = Uuid::now_v7().to_string();
    for arguments in [
        &["dead-letters", "show", &unknown][..],
        &["dead-letters", "redrive", &unknown, "--dry-run"],
        &["dead-letters", "discard", &unknown, "--reason", "x"],
        &["parked", "show", &unknown],
        &["parked", "release", &unknown],
        &["parked", "discard", &unknown, "--reason", "x"],
    ] {
        assert_failure(&bench.cli(arguments).await, &[&unknown, "there is no"]);
    }
    let redriven = bench.cli(&["dead-letters", "redrive", &unknown, &letter]).await;
    assert_failure(&redriven, &[&unknown]);
    assert!(redriven.stdout.contains(&format!("{letter}  applied")), "{redriven:?}");
    let input = json!({ "ids": [unknown] });
    let payload = bench.mutate(ROOT, "redriveDeadLetters", input).await;
    assert_eq!(payload["outcomes"][0]["effect"], "UNKNOWN", "{payload}");
    assert_eq!(bench.done(&["dead-letters", "redrive", "--all"]).await, "", "there is none left");
}

#[tokio::test]
async fn a_wrong_use_is_exit_code_2_and_says_what_is_right() {
    let settings = Settings::of(database_url().await, "127.0.0.1:1".to_owned(), prefix()).await;
    let id = Uuid::now_v7().to_string();
    for (arguments, word) in [
        (&["dead-letters"][..], "list"),
        (&["dead-letters", "list", "--topic", "Course-Creation"], "User-Creation, User-Update"),
        (&["dead-letters", "list", "--limit", "0"], "--limit"),
        (&["dead-letters", "show", "nonsense"], "nonsense"),
        (&["dead-letters", "redrive"], "--all"),
        (&["dead-letters", "redrive", &id, "--all"], "--all"),
        (&["dead-letters", "redrive", "--all", "--topic", "User-Update"], "--all"),
        (&["dead-letters", "discard", &id], "--reason"),
        (&["dead-letters", "discard", "--reason", "x"], "<ID>"),
        (&["dead-letters", "discard", &id, "--reason", ""], "--reason"),
        (&["parked", "release"], "--all"),
        (&["parked", "list", "--topic", "nonsense"], "Transcoding-Completed"),
        (&["inbound", "offsets", "set", "--topic", "User-Update", "--partition", "0"], "--to"),
        (
            &["inbound", "offsets", "set", "--topic", "x", "--partition", "0", "--to", "end"],
            "Assessment-Creation",
        ),
        (
            &[
                "inbound",
                "offsets",
                "set",
                "--topic",
                "User-Update",
                "--partition",
                "0",
                "--to",
                "x",
            ],
            "beginning, end",
        ),
    ] {
        let wrong = settings.run(arguments).await;
        assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(2), ""), "{arguments:?} {wrong:?}");
        assert!(wrong.stderr.contains(word), "{arguments:?} {wrong:?}");
    }
    let away = settings.with("DATABASE_URL", "postgres://postgres:hidden-word@127.0.0.1:1/x");
    let failed = away.run(&["dead-letters", "list"]).await;
    assert_failure(&failed, &["the database cannot be reached"]);
    assert!(!format!("{failed:?}").contains("hidden-word"), "{failed:?}");
}

#[tokio::test]
async fn the_incoming_topics_are_shown_with_their_lag_and_moved_within_what_kafka_has() {
    let settings = Settings::of(database_url().await, brokers().await, prefix()).await;
    let mut kafka = ClientConfig::new();
    kafka.set("bootstrap.servers", &settings.brokers);
    let admin: AdminClient<DefaultClientContext> = kafka.create().unwrap();
    let topic = format!("{}User-Update", settings.prefix);
    let created = NewTopic::new(&topic, 2, TopicReplication::Fixed(1));
    for answer in admin.create_topics([&created], &AdminOptions::new()).await.unwrap() {
        answer.unwrap();
    }
    let producer: FutureProducer = kafka.create().unwrap();
    for _ in 0..3 {
        let record: FutureRecord<'_, [u8], [u8]> =
            FutureRecord::to(&topic).partition(0).payload(b"{}");
        producer.send(record, PATIENCE).await.unwrap();
    }
    let status = async || {
        let status = settings.run(&["inbound", "status", "--json"]).await;
        let shown: Value =
            serde_json::from_str(&status.stdout).unwrap_or_else(|_| panic!("{status:?}"));
        (status.code, shown)
    };
    let (code, shown) = status().await;
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!((&shown["deadLetters"], &shown["parked"]), (&json!(0), &json!(0)));
    assert_eq!(shown["missingTopics"].as_array().unwrap().len(), 5, "{shown}");
    let first = &shown["partitions"][0];
    assert_eq!((&first["topic"], &first["partition"]), (&json!("User-Update"), &json!(0)));
    assert_eq!(
        (&first["next"], &first["end"], &first["lag"]),
        (&Value::Null, &json!(3), &json!(3))
    );

    let set = async |partition: &str, to: &str| {
        let order = ["inbound", "offsets", "set", "--topic", "User-Update", "--partition"];
        settings.run(&[&order[..], &[partition, "--to", to]].concat()).await
    };
    let outside = set("0", "4").await;
    assert_eq!(outside.code, Some(2), "{outside:?}");
    assert!(outside.stderr.contains("from 0 to 3"), "{outside:?}");
    let nowhere = set("7", "end").await;
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
    assert!(nowhere.stderr.contains("no partition 7"), "{nowhere:?}");
    for (to, next, lag) in [("2", 2, 1), ("end", 3, 0), ("beginning", 0, 3)] {
        let moved = set("0", to).await;
        assert_eq!(
            moved.stdout,
            format!("User-Update, partition 0, goes on at {next}\n"),
            "{moved:?}"
        );
        let (_, shown) = status().await;
        let first = &shown["partitions"][0];
        assert_eq!((&first["next"], &first["lag"]), (&json!(next), &json!(lag)), "{shown}");
    }

    // A place that Kafka does not have.
    let pool = support::pool(&settings.database_url).await;
    let group = format!("{}course-management-group", settings.prefix);
    offsets::order(&pool, &group, "User-Update", 0, 9).await.unwrap();
    let (code, shown) = status().await;
    assert_eq!(code, Some(1), "{shown}");
    assert!(text(&shown["partitions"][0]["red"]).contains("inbound offsets set"), "{shown}");
    let plain = settings.run(&["inbound", "status"]).await;
    assert_failure(&plain, &["1 partition is red"]);
    for word in ["RED: ", "Grading-Completed     is not there", "dead letters 0, parked 0"] {
        assert!(plain.stdout.contains(word), "{plain:?}");
    }
    assert_eq!(dead_letters::count_open(&pool).await.unwrap(), 0);
    let without = settings.without("KAFKA_BROKER");
    let unset = without.run(&["inbound", "status"]).await;
    assert_eq!(unset.code, Some(2), "{unset:?}");
    assert!(unset.stderr.contains("KAFKA_BROKER"), "{unset:?}");
}

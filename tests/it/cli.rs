//! The command line as an operator sees it: words, exit codes, signals.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeSet;
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::process::{Finished, PATIENCE, Process, Settings, run};
use crate::records::{published, records};
use crate::support::{brokers, database_url, eventually, pool, prefix};

const ADA: &str = "instructor:ada";

/// The URL of a database without tables.
async fn empty_database_url() -> String {
    let (server, name) = {
        let url = database_url().await;
        let (server, name) = url.rsplit_once('/').unwrap();
        (server.to_owned(), format!("{name}_empty"))
    };
    let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    connection.execute(&*format!("CREATE DATABASE \"{name}\"")).await.unwrap();
    format!("{server}/{name}")
}

/// A user management service that takes its time, and says when it is asked. It knows everybody as an instructor, and
/// nobody's id.
async fn slow_users(pause: Duration) -> (String, mpsc::UnboundedReceiver<()>) {
    let (asked, questions) = mpsc::unbounded_channel();
    let validate = async move || {
        let _ = asked.send(());
        sleep(pause).await;
        Json(json!({ "valid": true, "role": "instructor" }))
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/validate", get(validate));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, questions)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What stands under `Commands:` in a help text.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let lines = lines.take_while(|line| !line.trim().is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[tokio::test]
async fn every_subcommand_has_an_example_in_its_help() {
    let mut open = vec![Vec::<String>::new()];
    let mut seen = BTreeSet::new();
    while let Some(path) = open.pop() {
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = run(&arguments, &[]).await;
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{path:?}");
        let further = subcommands(&help.stdout);
        if !path.is_empty() {
            let example = format!("course-service {}", path.join(" "));
            let shown = help.stdout.split_once("Example:").map(|(_, shown)| shown);
            assert!(shown.is_some_and(|shown| shown.contains(&example)), "{}", help.stdout);
        }
        open.extend(further.into_iter().map(|name| [path.clone(), vec![name]].concat()));
        seen.insert(path.join(" "));
    }
    for name in
        ["dev", "serve", "migrate", "projections rebuild", "events", "bridge resume", "doctor"]
    {
        assert!(seen.contains(name), "{name} is not among {seen:?}");
    }
}

/// A wrong use: exit code 2, and a sentence on stderr that has these words.
fn assert_usage(run: &Finished, words: &[&str]) {
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
    assert!(words.iter().all(|word| run.stderr.contains(word)), "{run:?}");
    assert!(!run.stderr.contains("panicked"), "{run:?}");
}

/// A failure: exit code 1, and a sentence on stderr that has these words.
fn assert_failure(run: &Finished, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(words.iter().all(|word| run.stderr.contains(word)), "{run:?}");
    let last = run.stderr.lines().rfind(|line| line.starts_with("error: "));
    assert!(last.is_some(), "{run:?}");
}

#[tokio::test]
async fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["serve", "--role", "nonsense"],
        &["serve", "--nonsense"],
        &["events", "--from", "x"],
        &["events", "--from", "-1"],
        &["bridge", "resume"],
        &["bridge", "resume", "--from", "yesterday"],
        &["projections", "rebuild"],
        &["projections", "rebuild", "all", "--dry-run", "--no-switch"],
        &["projections", "rebuild", "all", "--workers", "0"],
        &["projections", "verify"],
        &["projections", "switch"],
        &["projections", "rollback"],
        &["dev", "--ephemeral", "--data-dir", "x"],
    ] {
        assert_usage(&run(arguments, &[]).await, &["--help"]);
    }
    let unknown = run(&["serve", "--role", "nonsense"], &[]).await;
    assert_usage(&unknown, &["nonsense", "api", "projections", "bridge"]);
    assert_usage(&run(&["events", "--course", "no id!"], &[]).await, &["--course"]);
    let settings = Settings::new().await;
    let rebuild = settings.run(&["projections", "rebuild", "nonsense"]).await;
    assert_usage(&rebuild, &["nonsense", "courses_v2", "enrollments_v3"]);
}

#[tokio::test]
async fn a_setting_that_is_missing_or_wrong_is_exit_code_2_and_named() {
    for arguments in [&["migrate"][..], &["serve"], &["events"], &["projections", "list"]] {
        assert_usage(&run(arguments, &[]).await, &["DATABASE_URL", "not set"]);
    }
    let misspelt = run(&["config"], &[("DATABASE_URI", "postgres://u:hidden-word@h/d")]).await;
    assert_usage(&misspelt, &["DATABASE_URI", "did you mean DATABASE_URL"]);
    assert!(!misspelt.stderr.contains("hidden-word"), "{misspelt:?}");
    for arguments in [&["serve"][..], &["dev", "--ephemeral"], &["doctor"]] {
        let misspelt = run(arguments, &[("KAFKA_BROKERS", "h:1")]).await;
        assert_usage(&misspelt, &["KAFKA_BROKERS", "KAFKA_BROKER?"]);
    }
    let wrong = run(&["serve"], &[("BIND_ADDR", "everywhere")]).await;
    assert_usage(&wrong, &["BIND_ADDR", "everywhere"]);
    let secret = run(&["config"], &[("KAFKA_SASL_PASSWORD", "hidden-word")]).await;
    assert_eq!(secret.code, Some(2), "{secret:?}");
    assert!(!secret.stderr.contains("hidden-word"), "{secret:?}");
    let settings = Settings::of(database_url().await, brokers().await, prefix()).await;
    let settings = settings.without("USER_MANAGEMENT_SERVICE_URL");
    assert_usage(&settings.run(&["serve"]).await, &["USER_MANAGEMENT_SERVICE_URL"]);
    let settings = settings.without("KAFKA_BROKER");
    assert_usage(&settings.run(&["serve", "--role", "bridge"]).await, &["KAFKA_BROKER"]);
}

#[tokio::test]
async fn a_failure_is_exit_code_1_and_a_sentence() {
    let away = [("DATABASE_URL", "postgres://postgres:hidden-word@127.0.0.1:1/x")];
    let commands = [&["migrate"][..], &["events"], &["projections", "list"], &["bridge", "status"]];
    for arguments in commands {
        let failed = run(arguments, &away).await;
        assert_failure(&failed, &["the database cannot be reached", "DATABASE_URL", "refused"]);
        assert!(!format!("{failed:?}").contains("hidden-word"), "{failed:?}");
    }
    let taken = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let settings = Settings::new().await.with("BIND_ADDR", &address);
    assert_failure(&settings.run(&["serve"]).await, &["cannot listen", &address]);
}

#[tokio::test]
async fn the_schema_is_the_file_whatever_the_environment() {
    let schema = run(&["schema"], &[("DATABASE_URI", "misspelt")]).await;
    assert_eq!(schema.code, Some(0), "{schema:?}");
    assert_eq!(schema.stdout, include_str!("../../schema.graphql"));
}

#[tokio::test]
async fn the_configuration_is_shown_without_secrets() {
    let environment = [
        (
            "DATABASE_URL",
            "postgres://ann:hidden-word@db.example:5432/courses?sslpassword=hidden-word",
        ),
        ("USER_MANAGEMENT_SERVICE_URL", "http://users.example/"),
        ("BIND_ADDR", "127.0.0.1:1234"),
    ];
    let plain = run(&["config"], &environment).await;
    let json = run(&["config", "--json"], &environment).await;
    for shown in [&plain, &json] {
        assert_eq!((shown.code, shown.stderr.as_str()), (Some(0), ""), "{shown:?}");
        assert!(!shown.stdout.contains("hidden-word"), "{shown:?}");
    }
    assert!(plain.stdout.contains("DATABASE_URL=postgres://ann:***@db.example:5432/courses"));
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["BIND_ADDR"], "127.0.0.1:1234");
    assert_eq!(json["DATABASE_MAX_CONNECTIONS"], "16");
    assert_eq!(plain.stdout.lines().count(), json.as_object().unwrap().len());
}

#[tokio::test]
async fn a_database_is_migrated_once_however_often_it_is_asked() {
    let settings = Settings::of(empty_database_url().await, brokers().await, prefix()).await;
    let refused = settings.run(&["serve", "--no-migrate"]).await;
    assert_failure(&refused, &["pending", "course-service migrate"]);
    let (one, other) = tokio::join!(settings.run(&["migrate"]), settings.run(&["migrate"]));
    assert_eq!((one.code, other.code), (Some(0), Some(0)), "{one:?} {other:?}");
    assert_eq!(settings.run(&["migrate"]).await.code, Some(0));
    let (_service, client) = settings.serve(&["--no-migrate"]).await;
    client.create_course("MIGRATED").await;
    let other = Settings::of(empty_database_url().await, brokers().await, prefix()).await;
    let (_service, client) = other.serve(&[]).await;
    client.create_course("MIGRATED").await;
}

#[tokio::test]
async fn the_log_is_printed_one_object_a_line() {
    let settings = Settings::new().await;
    let (_service, client) = settings.serve(&["--role", "api,projections"]).await;
    let first = client.create_course("FIRST").await;
    let second = client.create_course("SECOND").await;
    let all = settings.run(&["events"]).await;
    assert_eq!((all.code, all.stderr.as_str()), (Some(0), ""), "{all:?}");
    let all = lines(&all.stdout);
    let positions: Vec<_> = all.iter().map(|event| event["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>());
    assert_eq!(all[0]["type"], "CourseCreated");
    assert_eq!(all[0]["payload"]["code"], "FIRST");
    assert_eq!(all[0]["actor"], "ada", "{}", all[0]);

    let of_second = lines(&settings.run(&["events", "--course", &second]).await.stdout);
    assert!(!of_second.is_empty());
    assert!(of_second.iter().all(|event| event["course"] == *second));
    let rest = lines(&settings.run(&["events", "--from", "4"]).await.stdout);
    assert_eq!(rest, all[3..]);
    let none = settings.run(&["events", "--from", "100000"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""));

    let mut follow = settings.start(&["events", "--course", &first, "--follow"]);
    let published = |line: &str| line.contains("CoursePublished").then_some(());
    follow.finds("what is there", PATIENCE, published).await;
    let input = json!({ "courseId": first, "title": "Followed" });
    client.mutate(ADA, "updateCourse", input, "").await;
    let followed = |line: &str| line.contains("Followed").then_some(());
    follow.finds("what comes", PATIENCE, followed).await;
    follow.signal("TERM");
    let followed = follow.finish(Duration::from_secs(5)).await;
    assert_eq!(followed.code, Some(0), "{followed:?}");
    assert!(lines(&followed.stdout).iter().all(|event| event["course"] == *first));
}

#[tokio::test]
async fn read_models_are_listed_and_rebuilt() {
    let settings = Settings::new().await;
    let (_service, client) = settings.serve(&["--role", "api,projections"]).await;
    client.create_course("LISTED").await;
    let pool = pool(&settings.database_url).await;
    eventually("the read models are there", async || {
        let list = settings.run(&["projections", "list", "--json"]).await;
        let list: Vec<Value> = serde_json::from_str(&list.stdout).unwrap();
        assert_eq!(list.len(), 6);
        list.iter().all(|one| one["lag"] == 0 && one["position"] != 0 && one["generation"] == 1)
    })
    .await;
    let list = settings.run(&["projections", "list"]).await;
    assert_eq!(list.stdout.lines().count(), 7, "{list:?}");
    sqlx::query("UPDATE courses_v2_g1 SET title = 'wrong'").execute(&pool).await.unwrap();
    let rebuilt = settings.run(&["projections", "rebuild", "courses_v2", "modules_v2"]).await;
    assert_eq!(rebuilt.code, Some(0), "{rebuilt:?}");
    assert!(rebuilt.stdout.contains("courses_v2: rebuilt from"), "{rebuilt:?}");
    assert!(rebuilt.stdout.contains("modules_v2: rebuilt from"), "{rebuilt:?}");
    let lines: Vec<&str> = rebuilt.stderr.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("filling: ") && line.ends_with("s left")));
    assert!(lines.iter().any(|line| line.starts_with("verifying: ")), "{rebuilt:?}");
    assert!(!rebuilt.stderr.contains('\r'), "no bar where nobody looks: {rebuilt:?}");
    let title = async || {
        let title = "SELECT title FROM courses_v2";
        sqlx::query_scalar::<_, String>(title).fetch_one(&pool).await.unwrap()
    };
    assert_eq!(title().await, "LISTED");
    let projections = async |arguments: &[&str]| {
        let done = settings.run(&[&["projections"], arguments].concat()).await;
        assert_eq!(done.code, Some(0), "{done:?}");
        done.stdout
    };
    let list = projections(&["list"]).await;
    assert!(list.contains("1 at") && list.contains("previous"), "{list}");
    projections(&["rollback", "courses_v2"]).await;
    assert_eq!(title().await, "wrong");
    projections(&["switch", "courses_v2"]).await;
    assert_eq!(title().await, "LISTED");
    projections(&["rebuild", "all", "--no-switch", "--workers", "1"]).await;
    let list: Vec<Value> = serde_json::from_str(&projections(&["list", "--json"]).await).unwrap();
    assert!(list.iter().all(|one| one["beside"]["state"] == "ready" && one["built"] == true));
    assert_eq!((&list[1]["version"], &list[1]["generation"]), (&json!("2"), &json!(2)));
    projections(&["switch", "all"]).await;
    let nothing = settings.run(&["projections", "switch", "all"]).await;
    assert_failure(&nothing, &["there is no ready generation of"]);

    let readable = projections(&["rebuild", "all", "--dry-run"]).await;
    assert!(readable.contains("every event can be read"), "{readable}");
    let unreadable = "UPDATE events SET payload = '{\"Painted\": {}}' WHERE position = 2";
    sqlx::query(unreadable).execute(&pool).await.unwrap();
    let dry = settings.run(&["projections", "rebuild", "all", "--dry-run"]).await;
    assert_failure(&dry, &["1 events would stop the rebuild"]);
    for words in ["at position 2", "unknown variant `Painted`", "it would stop courses_v2"] {
        assert!(dry.stdout.contains(words), "{dry:?}");
    }
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_and_how_to_mend_it() {
    let settings = Settings::new().await;
    let well = settings.run(&["doctor"]).await;
    assert_eq!(well.code, Some(0), "{well:?}");
    assert!(!well.stdout.contains("FAIL"), "{well:?}");
    let json = settings.run(&["doctor", "--json"]).await;
    let json: Vec<Value> = serde_json::from_str(&json.stdout).unwrap();
    assert!(json.iter().all(|finding| finding["ok"] == true), "{json:?}");

    let ill = [
        ("DATABASE_URL", "postgres://postgres:hidden-word@127.0.0.1:1/x"),
        ("KAFKA_BROKER", "127.0.0.1:1"),
        ("USER_MANAGEMENT_SERVICE_URL", "http://127.0.0.1:1"),
    ];
    let ill = run(&["doctor"], &ill).await;
    assert_failure(&ill, &["3 of 3 checks failed"]);
    for variable in ["DATABASE_URL", "KAFKA_BROKER", "USER_MANAGEMENT_SERVICE_URL"] {
        assert!(ill.stdout.contains(variable), "{ill:?}");
    }
    assert!(!format!("{ill:?}").contains("hidden-word"), "{ill:?}");
    let unset = run(&["doctor"], &[]).await;
    assert_failure(&unset, &["3 of 3 checks failed"]);

    let empty = settings.with("DATABASE_URL", &empty_database_url().await);
    let pending = empty.run(&["doctor"]).await;
    assert_failure(&pending, &["1 of 4 checks failed"]);
    assert!(pending.stdout.contains("course-service migrate"), "{pending:?}");
}

#[tokio::test]
async fn the_bridge_is_shown_and_told_where_to_go_on() {
    let settings = Settings::new().await;
    let status = async || {
        let status = settings.run(&["bridge", "status", "--json"]).await;
        assert_eq!(status.code, Some(0), "{status:?}");
        serde_json::from_str::<Value>(&status.stdout).unwrap()
    };
    let fresh = status().await;
    assert_eq!((&fresh["position"], &fresh["lag"]), (&json!(0), &json!(0)), "{fresh}");
    assert_eq!((&fresh["holder"], &fresh["resume"]), (&Value::Null, &Value::Null), "{fresh}");

    let (mut service, client) = settings.serve(&[]).await;
    client.create_course("TOLD").await;
    let pool = pool(&settings.database_url).await;
    published(&pool, &settings.prefix).await;
    let running = status().await;
    assert!(running["position"].as_i64() > Some(0) && running["holder"].is_string(), "{running}");
    let told = records(&settings.brokers, &settings.prefix).await;
    assert_eq!(told.len(), 1);

    let order = settings.run(&["bridge", "resume", "--from", "0"]).await;
    assert_eq!(order.code, Some(0), "{order:?}");
    eventually("the order is followed", async || status().await["resume"].is_null()).await;
    published(&pool, &settings.prefix).await;
    eventually("all is told again, as ordered", async || {
        records(&settings.brokers, &settings.prefix).await.len() == 2
    })
    .await;
    let shown = settings.run(&["bridge", "status"]).await;
    assert!(shown.stdout.contains("0 behind") && shown.stdout.contains("lease"), "{shown:?}");
    service.signal("TERM");
    assert_eq!(service.ended(Duration::from_secs(11)).await.code(), Some(0));
    assert_eq!(status().await["holder"], Value::Null, "the lease is given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_is_finished_before_the_end() {
    let (users, mut asked) = slow_users(Duration::from_secs(1)).await;
    let settings = Settings::new().await.with("USER_MANAGEMENT_SERVICE_URL", &users);
    let (mut service, client) = settings.serve(&[]).await;
    let caller = client.clone();
    let in_flight = tokio::spawn(async move {
        let input = json!({ "code": "LATE", "title": "Late", "publish": true });
        caller.mutate("a-token", "createCourse", input, "course { id }").await
    });
    asked.recv().await.unwrap();
    service.signal("TERM");
    let payload = in_flight.await.unwrap();
    assert!(payload["course"]["id"].is_string(), "{payload}");
    // Well within the grace of 10 s: connections that are merely open are no reason to wait.
    assert_eq!(service.ended(Duration::from_secs(8)).await.code(), Some(0));
    let pool = pool(&settings.database_url).await;
    let created: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events WHERE event_type = 'CourseCreated'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(created, 1);
    assert!(!service.output().contains("did not stop in time"), "{}", service.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_longer_than_the_grace_does_not_keep_it_from_ending() {
    let (users, mut asked) = slow_users(Duration::from_mins(1)).await;
    let settings = Settings::new().await.with("USER_MANAGEMENT_SERVICE_URL", &users);
    let settings = settings.with("SHUTDOWN_GRACE_MS", "300");
    let (mut service, client) = settings.serve(&["--role", "api"]).await;
    let caller = client.clone();
    let in_flight = tokio::spawn(async move {
        caller.try_mutate("a-token", "createCourse", json!({ "code": "X", "title": "X" }), "").await
    });
    asked.recv().await.unwrap();
    service.signal("INT");
    assert_eq!(service.ended(Duration::from_secs(5)).await.code(), Some(0));
    assert!(in_flight.await.unwrap().is_err());
}

#[tokio::test]
async fn each_role_can_be_had_alone() {
    let settings = Settings::new().await;
    let api = Settings::of(settings.database_url.clone(), settings.brokers.clone(), String::new());
    let api = api.await.without("KAFKA_BROKER");
    let (_api, client) = api.serve(&["--role", "api"]).await;
    client.create_course("ALONE").await;
    let parts = client.get("/readyz").await.1["parts"].clone();
    assert!(parts.get("bridge").is_none(), "{parts}");
    assert!(parts.get("projection:courses_v2").is_none(), "{parts}");

    let bare = Settings::new().await.without("USER_MANAGEMENT_SERVICE_URL").without("KAFKA_BROKER");
    let bare = bare.with("DATABASE_URL", &settings.database_url);
    let (_projections, other) = bare.serve(&["--role", "projections"]).await;
    assert_eq!(other.get("/graphql").await.0, 404);
    let parts = other.get("/readyz").await.1["parts"].clone();
    assert_eq!(parts["projection:courses_v2"]["status"], "ok", "{parts}");
    // The one projects what the other was told.
    eventually("the course can be read", async || {
        let query = "{ course(code: \"ALONE\") { title } }";
        let answer = client.graphql("", query, json!({})).await.unwrap();
        answer["data"]["course"]["title"] == "ALONE"
    })
    .await;

    let (_bridge, other) = settings.serve(&["--role", "bridge"]).await;
    assert_eq!(other.get("/graphql").await.0, 404);
    published(&pool(&settings.database_url).await, &settings.prefix).await;
    assert_eq!(records(&settings.brokers, &settings.prefix).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_in_no_output_no_table_and_no_topic() {
    const TOKEN: &str = "distinctive.bearer-token.4711";
    let (users, _asked) = slow_users(Duration::ZERO).await;
    let settings = Settings::new().await.with("USER_MANAGEMENT_SERVICE_URL", &users);
    let with_password = settings.database_url.replace("postgres@", "postgres:hidden-word@");
    assert!(with_password.contains("hidden-word") || std::env::var("DATABASE_URL").is_ok());
    let settings = settings.with("DATABASE_URL", &with_password).with("RUST_LOG", "trace");
    let (service, client) = settings.serve(&[]).await;
    let input = json!({ "code": "SECRET", "title": "Secret", "publish": true });
    let payload = client.mutate(TOKEN, "createCourse", input, "course { id }").await;
    let course = payload["course"]["id"].as_str().unwrap();
    let input = json!({ "courseId": course, "title": "Secret still" });
    client.mutate(TOKEN, "updateCourse", input, "").await;
    let refused = json!({ "code": "SECRET", "title": "Taken" });
    client.try_mutate(TOKEN, "createCourse", refused, "").await.unwrap();
    client.graphql(TOKEN, "{ viewer { id } nonsense }", json!({})).await.unwrap();
    let pool = pool(&settings.database_url).await;
    published(&pool, &settings.prefix).await;
    client.get("/metrics").await;

    let finished: Finished = {
        service.signal("TERM");
        service.finish(Duration::from_secs(11)).await
    };
    assert_eq!(finished.code, Some(0));
    let log = settings.with("RUST_LOG", "info");
    let rows: Vec<String> = sqlx::query_scalar(
        "SELECT to_jsonb(e)::text FROM events e UNION ALL SELECT to_jsonb(c)::text FROM courses_v2 c \
         UNION ALL SELECT to_jsonb(k)::text FROM keys k",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(rows.len() > 3);
    let mut all = vec![finished.stdout, finished.stderr, rows.join("\n")];
    all.push(format!("{:?}", records(&log.brokers, &log.prefix).await));
    for command in [&["config"][..], &["events"], &["doctor"], &["bridge", "status"]] {
        all.push(format!("{:?}", log.run(command).await));
    }
    for text in all {
        for secret in [TOKEN, "hidden-word"] {
            if let Some(at) = text.find(secret) {
                let start =
                    (0..=at.saturating_sub(300)).rev().find(|at| text.is_char_boundary(*at));
                panic!("a secret shows: {}", &text[start.unwrap_or(0)..at]);
            }
        }
    }
}

#[tokio::test]
async fn a_closed_pipe_is_no_failure() {
    let settings = Settings::new().await;
    let (_service, client) = settings.serve(&["--role", "api"]).await;
    for number in 0..3 {
        client.create_course(&format!("PIPE-{number}")).await;
    }
    let shell = format!("'{}' events | head -n 1", env!("CARGO_BIN_EXE_course-service"));
    let piped = Process::start_other("sh", |command| {
        command.args(["-c", &shell]).envs(settings.environment());
    });
    let piped = piped.finish(PATIENCE).await;
    assert_eq!(lines(&piped.stdout).len(), 1);
    assert_eq!(piped.stderr, "");
}

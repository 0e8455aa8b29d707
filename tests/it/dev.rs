//! `dev`: the whole stack by one command, and nothing left of it afterwards.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::tempdir::Folder;
use crate::process::{Client, PATIENCE, Process, run};
use crate::support::eventually;

/// The first start on a machine fetches the parts.
const START: Duration = Duration::from_mins(10);
const STOP: Duration = Duration::from_secs(10);

/// What the machine says about itself, and no setting of ours.
fn machine() -> Vec<(String, String)> {
    ["PATH", "HOME", "JAVA_HOME", "XDG_CACHE_HOME"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
        .collect()
}

fn start(arguments: &[&str], bind: &str) -> Process {
    let machine = machine();
    let mut environment: Vec<(&str, &str)> =
        machine.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    environment.push(("BIND_ADDR", bind));
    Process::start(&[&["dev"], arguments].concat(), &environment)
}

/// Waits for the welcome; what it prints.
async fn welcome(dev: &mut Process) -> String {
    let end = |line: &str| line.contains("Ctrl-C stops everything").then_some(());
    dev.finds("it is ready", START, end).await;
    dev.stdout()
}

/// The command to paste.
fn curl(welcome: &str) -> &str {
    let from = welcome.find("curl ").unwrap();
    let command = &welcome[from..];
    &command[..command.find("\n\n").unwrap()]
}

async fn client(dev: &mut Process) -> Client {
    let welcome = welcome(dev).await;
    let url = welcome.split_whitespace().find(|word| word.ends_with("/graphql")).unwrap();
    Client::new(url.strip_suffix("/graphql").unwrap())
}

/// Where it says the data is.
fn data(dev: &Process) -> PathBuf {
    let output = dev.output();
    output.lines().find_map(|line| line.strip_prefix("data in ")).unwrap().into()
}

async fn stop(mut dev: Process, signal: &str) {
    let children = descendants(dev.pid());
    assert!(children.len() >= 2, "Postgres and Kafka are children: {children:?}");
    dev.signal(signal);
    assert_eq!(dev.ended(STOP).await.code(), Some(0), "{}", dev.output());
    assert!(living(&children).is_empty(), "left behind: {:?}", living(&children));
}

/// Parent and command line of every process that is not merely waiting to be reaped.
fn processes() -> HashMap<u32, (u32, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let read = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).into_owned();
        (!words.is_empty()).then_some((pid, (parent, words)))
    };
    pids.filter_map(read).collect()
}

/// Children, their children and so on, with their command lines.
fn descendants(of: u32) -> HashMap<u32, String> {
    let all = processes();
    let mut found = HashMap::new();
    let mut open = vec![of];
    while let Some(parent) = open.pop() {
        for (pid, (_, words)) in all.iter().filter(|(_, (other, _))| *other == parent) {
            found.insert(*pid, words.clone());
            open.push(*pid);
        }
    }
    found
}

/// Those that are still there.
fn living(known: &HashMap<u32, String>) -> Vec<String> {
    let all = processes();
    let same = |(pid, words): (&u32, &String)| {
        all.get(pid).is_some_and(|(_, now)| now == words).then(|| words.clone())
    };
    known.iter().filter_map(same).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_prints_works_when_pasted() {
    let mut dev = start(&["--ephemeral"], "127.0.0.1:0");
    let welcome = welcome(&mut dev).await;
    let command = curl(&welcome).to_owned();
    let pasted = Process::start_other("sh", |shell| {
        shell.args(["-c", &command]).env_clear().envs(machine());
    });
    let answer = pasted.finish(PATIENCE).await;
    let answer: Value = serde_json::from_str(&answer.stdout).unwrap();
    let payload = &answer["data"]["createCourse"];
    assert_eq!(payload["course"]["status"], "PUBLISHED", "{answer}");
    assert_eq!(payload["userErrors"], json!([]), "{answer}");
    for token in ["instructor:ada", "student:sam", "admin:root"] {
        assert!(welcome.contains(token), "{welcome}");
    }
    let client = client(&mut dev).await;
    eventually("the bridge publishes", async || {
        client.get("/readyz").await.1["parts"]["bridge"]["status"] == "ok"
    })
    .await;
    let steps = dev.output();
    for step in ["Postgres 18", "Apache Kafka 4", "stand-in", "migrated and ready"] {
        assert!(steps.contains(step), "{step} is not among\n{steps}");
    }
    let folder = data(&dev);
    assert!(folder.is_dir());
    stop(dev, "INT").await;
    assert!(!folder.exists(), "{} is left behind", folder.display());
}

async fn has_course(client: &Client, code: &str) {
    eventually("the course is there", async || {
        let query = "query($code: String) { course(code: $code) { title } }";
        let answer = client.graphql("", query, json!({ "code": code })).await.unwrap();
        answer["data"]["course"]["title"] == code
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_start_finds_the_data_whatever_ended_the_last() {
    let folder = Folder::new();
    let path = folder.path().join("data");
    let arguments = ["--data-dir", path.to_str().unwrap()];

    let mut dev = start(&arguments, "127.0.0.1:0");
    client(&mut dev).await.create_course("KEPT-1").await;
    let second = start(&arguments, "127.0.0.1:0").finish(STOP).await;
    assert_eq!(second.code, Some(1), "{second:?}");
    let errors: Vec<&str> =
        second.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    let [error] = errors.as_slice() else { panic!("{second:?}") };
    assert!(error.contains("is in use by another process") && error.contains("--data-dir"));
    assert!(error.contains(&format!("pid {}", dev.pid())), "{error}");
    stop(dev, "TERM").await;

    let mut dev = start(&arguments, "127.0.0.1:0");
    let again = client(&mut dev).await;
    has_course(&again, "KEPT-1").await;
    again.create_course("KEPT-2").await;
    let children = descendants(dev.pid());
    assert!(children.len() >= 2, "Postgres and Kafka are children: {children:?}");
    dev.kill().await;
    eventually("no child is left", async || living(&children).is_empty()).await;

    let mut dev = start(&arguments, "127.0.0.1:0");
    let again = client(&mut dev).await;
    has_course(&again, "KEPT-1").await;
    has_course(&again, "KEPT-2").await;
    again.create_course("KEPT-3").await;
    again.says("ok").await;
    stop(dev, "TERM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_at_once_do_not_collide() {
    let folders = [Folder::new(), Folder::new()];
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let bind = free.local_addr().unwrap().to_string();
    drop(free);
    let path = |at: usize| folders[at].path().join("data").to_str().unwrap().to_owned();
    let mut one = start(&["--data-dir", &path(0)], &bind);
    let mut other = start(&["--data-dir", &path(1)], &bind);
    let (client_of_one, client_of_other) = tokio::join!(client(&mut one), client(&mut other));
    assert_ne!(client_of_one.url(), client_of_other.url());
    client_of_one.create_course("ONE").await;
    client_of_other.create_course("OTHER").await;
    has_course(&client_of_one, "ONE").await;
    let query = "{ course(code: \"ONE\") { id } }";
    let answer = client_of_other.graphql("", query, json!({})).await.unwrap();
    assert_eq!(answer["data"]["course"], Value::Null);
    tokio::join!(stop(one, "INT"), stop(other, "TERM"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_stopped_while_it_starts() {
    let mut dev = start(&["--ephemeral"], "127.0.0.1:0");
    let begun = |line: &str| line.strip_prefix("data in ").map(PathBuf::from);
    let folder = dev.finds("it starts", START, begun).await;
    let mut children = HashMap::new();
    eventually("a child runs", async || {
        children = descendants(dev.pid());
        !children.is_empty()
    })
    .await;
    dev.signal("INT");
    assert_eq!(dev.ended(STOP).await.code(), Some(0), "{}", dev.output());
    assert!(living(&children).is_empty(), "left behind: {:?}", living(&children));
    assert!(!folder.exists(), "{} is left behind", folder.display());
}

#[tokio::test]
async fn what_is_missing_is_named_with_what_to_do() {
    // A machine with the tools of every machine, and no Java.
    let tools = Folder::new();
    for tool in ["sh", "id", "setpriv"] {
        let paths = std::env::var("PATH").unwrap();
        let found = std::env::split_paths(&paths).map(|folder| folder.join(tool));
        if let Some(found) = found.into_iter().find(|path| Path::exists(path)) {
            std::os::unix::fs::symlink(found, tools.path().join(tool)).unwrap();
        }
    }
    let path = tools.path().to_str().unwrap();
    let mut environment = machine();
    environment.retain(|(name, _)| name != "PATH" && name != "JAVA_HOME");
    environment.push(("PATH".to_owned(), path.to_owned()));
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let failed = run(&["dev", "--ephemeral"], &environment).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    let error = failed.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(error.contains("install a JDK 17") && error.contains("KAFKA_BROKER"), "{failed:?}");

    let nothing = Folder::new();
    let nothing = nothing.path().to_str().unwrap();
    let failed = run(&["dev", "--ephemeral"], &[("PATH", path), ("XDG_CACHE_HOME", nothing)]).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    let error = failed.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
    assert!(error.contains("Maven") && error.contains("install"), "{failed:?}");
}

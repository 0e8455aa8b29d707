//! `course-service contract-check`: what an integrator sees of captured messages.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::process::tempdir::Folder;
use crate::process::{Finished, run};

/// Writes files, and checks the folder that they are in.
async fn check(files: &[(&str, &[u8])], arguments: &[&str]) -> Finished {
    let folder = Folder::new();
    for (name, value) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value).unwrap();
    }
    let path = folder.path().to_str().unwrap();
    // A wrong configuration does not matter: none is read.
    run(&[&["contract-check", path], arguments].concat(), &[("BIND_ADDR", "nonsense")]).await
}

const ADA: &[u8] = br#"{"userId":"u-17","name":"Ada Lovelace","email":"ada@example.org"}"#;

#[tokio::test]
async fn messages_that_are_taken_are_told_with_the_topic_and_the_file() {
    let grades = b"{\"assessmentId\":1,\"studentId\":2,\"score\":3}\n\n{\"assessmentId\":1,\"studentId\":3,\"grade\":\"A\"}\n";
    let files = [
        ("User-Creation/captured/ada", ADA),
        ("User-Update.first.json", ADA),
        ("Grading-Completed.jsonl", grades),
        ("User-Creation/.hidden", b"{"),
        ("User-Creation/ada.expected", b"{"),
        ("notes.txt", b"{"),
    ];
    let told = check(&files, &[]).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    for line in [
        "ok    User-Creation  User-Creation/captured/ada  RegisterUser u-17: display name set, e-mail set; as of the record's time",
        "ok    User-Update  User-Update.first.json  UpdateUser u-17: display name set, e-mail set; as of the record's time",
        "ok    Grading-Completed  Grading-Completed.jsonl:1  RecordGrade of student 2 in assessment 1: score 3, graded at the record's time; as of the record's time",
        "ok    Grading-Completed  Grading-Completed.jsonl:3  RecordGrade of student 3 in assessment 1: letter \"A\", graded at the record's time; as of the record's time",
        "Grading-Completed          2 taken, 0 refused",
        "User-Creation              1 taken, 0 refused",
    ] {
        assert!(told.stdout.lines().any(|told| told == line), "{line}\n{}", told.stdout);
    }
    assert_eq!(told.stderr, "of no topic, and therefore not read: notes.txt\n");
}

#[tokio::test]
async fn messages_that_are_refused_are_told_with_code_and_rule() {
    let files = [
        ("User-Creation/a.json", &b"{\"name\":\"Ada Lovelace\"}"[..]),
        ("User-Creation/b.json", ADA),
        ("User-Creation/c.json", b""),
        ("Transcoding-Completed/v.json", b"{\"videoId\":\"v\",\"status\":\"QUEUED\"}"),
    ];
    let told = check(&files, &[]).await;
    assert_eq!(told.code, Some(1), "{told:?}");
    assert_eq!(told.stderr, "error: 3 of 4 messages are refused\n");
    assert!(told.stdout.contains("a.json  MISSING_FIELD: userId is missing"), "{}", told.stdout);
    assert!(told.stdout.contains("c.json  EMPTY_VALUE: "), "{}", told.stdout);
    assert!(told.stdout.contains("INVALID_FIELD: status must"), "{}", told.stdout);

    let json = check(&files, &["--json"]).await;
    assert_eq!(json.code, Some(1), "{json:?}");
    let lines: Vec<Value> =
        json.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(
        lines[1],
        json!({
            "topic": "User-Creation", "file": "User-Creation/a.json", "ok": false,
            "code": "MISSING_FIELD", "field": "userId", "message": "userId is missing"
        })
    );
    assert_eq!(lines[2]["ok"], true);
    for secret in ["Ada", "Lovelace", "ada@example.org"] {
        assert!(!format!("{told:?}{json:?}").contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_folder_may_be_that_of_a_topic() {
    let folder = Folder::new();
    let topic = folder.path().join("User-Creation");
    fs::create_dir(&topic).unwrap();
    fs::write(topic.join("ada.json"), ADA).unwrap();
    let told = run(&["contract-check", topic.to_str().unwrap()], &[]).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.stdout.starts_with("ok    User-Creation  ada.json  RegisterUser u-17"),
        "{told:?}"
    );
}

#[tokio::test]
async fn no_folder_and_no_messages_are_wrong_usage() {
    let missing = run(&["contract-check", "nowhere"], &[]).await;
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.stderr.contains("there is no folder nowhere"), "{missing:?}");
    for files in [&[][..], &[("notes.json", &b"{}"[..])], &[("Course-Creation/a.json", b"{}")]] {
        let none = check(files, &[]).await;
        assert_eq!((none.code, none.stdout.as_str()), (Some(2), ""), "{none:?}");
        assert!(none.stderr.contains("there are no messages in"), "{none:?}");
    }
}

#[tokio::test]
async fn the_examples_of_this_project_are_told_as_they_stand() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/inbound");
    let told = run(&["contract-check", examples.to_str().unwrap()], &[]).await;
    assert_eq!(told.code, Some(1), "some are meant to be refused: {told:?}");
    for topic in fs::read_dir(examples).unwrap() {
        for file in fs::read_dir(topic.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().unwrap() == "expected" {
                for line in fs::read_to_string(path).unwrap().lines() {
                    assert!(told.stdout.contains(line), "{line}");
                }
            }
        }
    }
}

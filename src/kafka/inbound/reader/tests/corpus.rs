//! The example messages: one folder a topic, and beside each file what its messages become.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::kafka::inbound::outcome;

/// The files with messages of a topic, in order.
pub(super) fn files(topic: InboundTopic) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/inbound");
    let entries = fs::read_dir(root.join(topic.name())).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_none_or(|extension| extension != "expected"));
    files.sort();
    files
}

/// The messages of a file.
pub(super) fn messages(file: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(file).unwrap();
    if file.extension().is_some_and(|extension| extension == "jsonl") {
        let lines = bytes.split(|byte| *byte == b'\n');
        return lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
    }
    vec![bytes]
}

#[test]
fn every_example_becomes_what_stands_beside_it() {
    let mut wrong = Vec::new();
    for topic in InboundTopic::ALL {
        for file in files(topic) {
            let lines = messages(&file)
                .into_iter()
                .map(|message| outcome(&read(&of_value(topic, Some(&message)))) + "\n");
            let fresh: String = lines.collect();
            let beside = file.with_extension("expected");
            if std::env::var_os("UPDATE").is_some() {
                fs::write(&beside, &fresh).unwrap();
            }
            let expected = fs::read_to_string(&beside).unwrap_or_default();
            if fresh != expected {
                wrong.push(format!("{}\n  is {fresh}  not {expected}", file.display()));
            }
        }
    }
    let hint = "where the new text is right, run `UPDATE=1 cargo test --lib kafka::inbound`";
    assert!(wrong.is_empty(), "{}\n{hint}", wrong.join("\n"));
}

#[test]
fn every_topic_has_examples_of_both_kinds() {
    for topic in InboundTopic::ALL {
        let all = files(topic).len();
        let is_refused =
            |file: &PathBuf| file.file_name().unwrap().to_str().unwrap().starts_with("refused-");
        let refused: Vec<PathBuf> = files(topic).into_iter().filter(is_refused).collect();
        assert!(all - refused.len() >= 12, "{}: {all}", topic.name());
        assert!(refused.len() >= 5, "{}: {}", topic.name(), refused.len());
        for file in files(topic).iter().filter(|file| file.extension().unwrap() == "json") {
            let [message] = messages(file).try_into().unwrap();
            let read = read(&of_value(topic, Some(&message)));
            assert_eq!(read.is_err(), is_refused(file), "{}", file.display());
        }
    }
}

#[test]
fn no_example_has_a_file_too_few_or_too_many() {
    for topic in InboundTopic::ALL {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/inbound");
        let all = fs::read_dir(root.join(topic.name())).unwrap().count();
        assert_eq!(all, 2 * files(topic).len(), "{}", topic.name());
    }
}

#[test]
fn no_outcome_quotes_a_name_or_an_address() {
    for topic in InboundTopic::ALL {
        for message in files(topic).iter().flat_map(|file| messages(file)) {
            let read = read(&of_value(topic, Some(&message)));
            let text = format!("{} {read:?}", outcome(&read));
            for word in ["Ada", "Lovelace", "King", "Augusta", "Grace", "example.org\"", "@"] {
                let is_found = text.contains(word) && !text.contains("cdn.example.org");
                assert!(!is_found, "{text}");
            }
        }
    }
}

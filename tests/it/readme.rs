//! What the README says of the code is what the code says of itself.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use course_service::app::config::settings_markdown;
use course_service::kafka::topics::Topic;

const BEGIN: &str = "<!-- settings -->\n";
const END: &str = "<!-- /settings -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

#[test]
fn the_settings_are_those_of_the_code() {
    let readme = readme();
    let (before, rest) = readme.split_once(BEGIN).expect("the README has the table's first marker");
    let (table, after) = rest.split_once(END).expect("the README has the table's second marker");
    let fresh = format!("\n{}\n", settings_markdown());
    if std::env::var_os("UPDATE").is_some() {
        let text = format!("{before}{BEGIN}{fresh}{END}{after}");
        fs::write(root().join("README.md"), text).unwrap();
    } else {
        assert_eq!(table, fresh, "stale: run `UPDATE=1 cargo test --test it readme`");
    }
}

#[test]
fn every_topic_and_error_code_is_explained() {
    let readme = readme();
    for topic in Topic::ALL {
        assert!(readme.contains(&format!("`{}`", topic.name())), "{}", topic.name());
    }
    let schema = fs::read_to_string(root().join("schema.graphql")).unwrap();
    let (_, codes) = schema.split_once("enum ErrorCode {").expect("the schema has the codes");
    let (codes, _) = codes.split_once("\n}").unwrap();
    let known: BTreeSet<&str> = codes
        .lines()
        .map(str::trim)
        .filter(|line| {
            !line.is_empty() && line.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        })
        .collect();
    assert!(known.len() > 10, "{known:?}");
    for code in known {
        assert!(readme.contains(&format!("`{code}`")), "the README does not explain {code}");
    }
}

#[test]
fn every_link_into_the_repository_leads_somewhere() {
    for (at, _) in readme().match_indices("](") {
        let rest = &readme()[at + 2..];
        let (target, _) = rest.split_once(')').expect("the link ends");
        let path = target.split('#').next().unwrap_or_default();
        if path.is_empty() || path.starts_with("http") {
            continue;
        }
        assert!(root().join(path).exists(), "the README links to {path}, which is not there");
    }
}

#[test]
fn the_containers_run_what_dev_runs() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let (pom, compose) = (read("docker/embedded/pom.xml"), read("docker/compose.yaml"));
    let version = |part: &str| {
        let (_, rest) = pom.split_once(&format!("<{part}.version>")).unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    };
    let (kafka, postgres) = (version("kafka"), version("postgres"));
    let postgres = postgres.trim_end_matches(".0"); // 18.4.0 is how Maven spells 18.4
    assert!(compose.contains(&format!("apache/kafka:{kafka}\n")), "Kafka {kafka}");
    assert!(compose.contains(&format!("postgres:{postgres}\n")), "Postgres {postgres}");
}

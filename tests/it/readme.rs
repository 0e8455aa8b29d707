//! What the README says of the code is what the code says of itself.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use course_service::app::config::settings_markdown;
use course_service::graphql::error_codes_markdown;
use course_service::kafka::topics::Topic;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// What stands between the two markers of this name must be `fresh`; with `UPDATE` set it is made so.
fn is_generated(name: &str, fresh: &str) {
    static FILE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    let readme = readme();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = readme.split_once(&begin).expect("the README has the first marker");
    let (table, after) = rest.split_once(&end).expect("the README has the second marker");
    let fresh = format!("\n{fresh}\n");
    if std::env::var_os("UPDATE").is_some() {
        let text = format!("{before}{begin}{fresh}{end}{after}");
        fs::write(root().join("README.md"), text).unwrap();
    } else {
        assert_eq!(table, fresh, "stale: run `UPDATE=1 cargo test --test it readme`");
    }
}

#[test]
fn the_settings_are_those_of_the_code() {
    is_generated("settings", &settings_markdown());
}

#[test]
fn the_error_codes_are_those_of_the_code() {
    is_generated("error codes", &error_codes_markdown());
}

#[test]
fn every_topic_is_explained() {
    let readme = readme();
    for topic in Topic::ALL {
        assert!(readme.contains(&format!("`{}`", topic.name())), "{}", topic.name());
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

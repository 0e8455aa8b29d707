//! The audits of the GraphQL over HTTP specification, by those who wrote it, on the real service.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::npm;
use crate::process::{PATIENCE, Process};
use crate::support;

/// How many audits graphql-http 1.23 has: MUST, SHOULD and MAY.
const AUDITS: usize = 61;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_audits_of_graphql_over_http_pass() {
    let folder = npm::installed("graphql-http").await;
    let app = support::app().await;
    let audits = Process::start_other("node", |command| {
        command.arg(folder.join("audit.js")).arg(app.url("/graphql"));
    });
    let audits = audits.finish(PATIENCE).await;
    assert_eq!(audits.code, Some(0), "{}", audits.stderr);
    let audits: Vec<Value> =
        audits.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed: Vec<String> = audits
        .iter()
        .filter(|audit| audit["status"] != "ok")
        .map(|audit| format!("{} {}: {}", audit["id"], audit["name"], audit["reason"]))
        .collect();
    assert!(failed.is_empty(), "{} did not pass:\n{}", failed.len(), failed.join("\n"));
    let ids: BTreeSet<&str> = audits.iter().filter_map(|audit| audit["id"].as_str()).collect();
    assert_eq!((audits.len(), ids.len()), (AUDITS, AUDITS));
}

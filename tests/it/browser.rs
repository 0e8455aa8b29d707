//! `GraphiQL` in a real browser, as a person uses it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::npm;
use crate::support;

/// A Chromium of this machine.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut files = names.iter().flat_map(|name| folders.iter().map(move |at| at.join(name)));
    files.find(|file| file.is_file())
}

#[tokio::test]
async fn graphiql_works_in_a_browser_and_asks_no_other_host() {
    let Some(chromium) = chromium() else {
        eprintln!("skipped: there is no Chromium on the PATH");
        return;
    };
    let project = npm::installed("browser").await;
    let app = support::app().await;
    let mut settings = vec![
        ("CHROMIUM", chromium.into_os_string()),
        ("URL", app.url("/graphql").into()),
        ("TOKEN", "instructor:ada".into()),
    ];
    if std::env::var_os("UPDATE").is_some() {
        let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/graphiql.png");
        settings.push(("SCREENSHOT", picture.into()));
    }
    let ran = npm::run(&project, "start", &settings).await;
    assert!(ran.done, "{}", ran.output);
    let line = ran.output.lines().find(|line| line.starts_with('{')).unwrap();
    let seen: Value = serde_json::from_str(line).unwrap();

    let explained = seen["explained"].as_str().unwrap();
    assert!(explained.contains("The courses that the caller may see"), "{explained}");
    assert_eq!(seen["empty"]["data"]["courses"]["edges"], json!([]));
    let code = &seen["refused"]["errors"][0]["extensions"]["code"];
    assert_eq!(*code, "UNAUTHENTICATED");
    let created = &seen["created"]["data"]["createCourse"];
    assert_eq!(created["course"], json!({ "code": "RUST-101", "status": "PUBLISHED" }));
    assert_eq!(created["userErrors"], json!([]));
    let nodes = &seen["found"]["data"]["courses"]["nodes"];
    assert_eq!(nodes[0]["seats"], json!({ "capacity": 30, "available": 30 }));
    assert_eq!(nodes[0]["instructors"], json!([{ "id": "ada" }]));

    assert_eq!(seen["complaints"], json!([]));
    let requests: Vec<&str> =
        seen["requests"].as_array().unwrap().iter().map(|url| url.as_str().unwrap()).collect();
    assert!(requests.len() > 10, "{requests:?}");
    let ours = app.url("/");
    let elsewhere: Vec<_> = requests
        .into_iter()
        .filter(|url| !url.starts_with(&ours) && !url.starts_with("data:"))
        .collect();
    assert_eq!(elsewhere, Vec::<&str>::new());
}

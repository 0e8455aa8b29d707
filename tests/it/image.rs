//! The image, as far as it can be looked at without a Docker engine: its recipe, and the binary in a tree as bare as it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::process::tempdir::Folder;
use crate::process::{Client, Process};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The instructions of the Dockerfile: comments left out, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = read("docker/Dockerfile").replace("\\\n", " ");
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = |line: &str| {
        let (instruction, rest) = line.split_once(' ').unwrap();
        (instruction.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    lines.map(split).collect()
}

#[test]
fn the_image_is_made_from_named_versions_and_runs_as_nobody_in_particular() {
    let instructions = instructions();
    let stages: Vec<_> = instructions.iter().filter(|(name, _)| name == "FROM").collect();
    for (_, image) in &stages {
        let image = image.split(' ').next().unwrap();
        let (_, tag) = image.split_once(':').expect("the base image has a tag");
        assert!(!tag.is_empty() && tag != "latest", "{image}");
    }
    assert_eq!(stages.len(), 2, "one stage builds, the other runs");
    let minor = read("Cargo.toml");
    let minor = minor.split_once("rust-version = \"").unwrap().1.split_once('"').unwrap().0;
    assert!(stages[0].1.starts_with(&format!("rust:{minor}")), "{stages:?}");
    let last = instructions.iter().rposition(|(name, _)| name == "FROM").unwrap();
    let image = &instructions[last + 1..];
    let of = |wanted: &str| -> Vec<&str> {
        image.iter().filter(|(name, _)| name == wanted).map(|(_, rest)| rest.as_str()).collect()
    };
    // A number, because an orchestrator can tell by it that this is not root.
    let users = of("USER");
    let [user] = users.as_slice() else { panic!("{users:?}") };
    let ids: Vec<u32> = user.split(':').map(|id| id.parse().unwrap()).collect();
    assert!(ids.len() == 2 && ids.iter().all(|id| *id > 0), "{user}");
    assert_eq!(
        of("COPY"),
        ["--from=build /out/course-service /usr/local/bin/course-service"],
        "of the build there is the binary and nothing else"
    );
    assert_eq!((of("ENTRYPOINT"), of("CMD")), (vec!["[\"course-service\"]"], vec!["[\"serve\"]"]));
    assert!(of("ADD").is_empty() && of("VOLUME").is_empty());
    for run in of("RUN") {
        assert!(
            run.contains("--no-install-recommends") && run.contains("rm -rf /var/lib/apt/lists/*")
        );
    }
}

#[test]
fn there_is_no_secret_in_the_image_and_compose_gives_it_no_rights() {
    for (name, rest) in instructions() {
        let upper = rest.to_uppercase();
        let secret = ["PASSWORD", "SECRET", "TOKEN", "_KEY", "CREDENTIAL"];
        let sets = name == "ENV" || name == "ARG";
        assert!(!sets || !secret.iter().any(|word| upper.contains(word)), "{name} {rest}");
    }
    let compose = read("docker/compose.yaml");
    for line in ["read_only: true", "cap_drop: [ALL]", "security_opt: [\"no-new-privileges:true\"]"]
    {
        assert!(compose.contains(line), "{line}");
    }
}

/// What the build gets to see, as `.dockerignore` says: nothing but these.
fn context() -> Vec<String> {
    let text = read(".dockerignore");
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), "everything is left out first");
    lines.map(|line| line.strip_prefix('!').unwrap().to_owned()).collect()
}

#[test]
fn the_build_sees_all_that_it_needs_and_nothing_that_is_not_there() {
    let context = context();
    for path in &context {
        assert!(root().join(path).exists(), "{path}");
    }
    let seen = |path: &Path| context.iter().any(|allowed| path.starts_with(allowed));
    for path in ["Cargo.toml", "Cargo.lock", "src/main.rs", "benches/service.rs", "migrations"] {
        assert!(seen(Path::new(path)), "{path}");
    }
    let mut files = vec![root().join("src")];
    let mut included = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        for start in ["include_str!(\"", "include_bytes!(\""] {
            for part in text.split(start).skip(1) {
                let target = path.parent().unwrap().join(part.split_once('"').unwrap().0);
                let target = target.canonicalize().unwrap();
                let target = target.strip_prefix(root().canonicalize().unwrap()).unwrap();
                assert!(seen(target), "{} is not in .dockerignore", target.display());
                included += 1;
            }
        }
    }
    assert!(included > 0, "nothing is included?");
}

/// A tree that has the binary and its libraries, and nothing else.
fn bare_tree(folder: &Folder) {
    let binary = env!("CARGO_BIN_EXE_course-service");
    let put = |from: &Path, to: &Path| {
        let to = folder.path().join(to.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    };
    put(Path::new(binary), Path::new("/usr/local/bin/course-service"));
    let libraries = Command::new("ldd").arg(binary).output().unwrap();
    for word in String::from_utf8(libraries.stdout).unwrap().split_whitespace() {
        if word.starts_with('/') {
            put(Path::new(word), Path::new(word));
        }
    }
}

/// Whether this machine lets anybody make namespaces of users and mounts.
fn may_unshare() -> bool {
    let tried = Command::new("unshare").args(["-r", "-m", "true"]).output();
    tried.is_ok_and(|tried| tried.status.success())
}

#[tokio::test]
async fn the_binary_serves_from_a_bare_read_only_tree_without_root_and_without_rights() {
    if !cfg!(target_os = "linux") || !may_unshare() {
        println!("skipped: this machine does not let us make namespaces");
        return;
    }
    let folder = Folder::new();
    bare_tree(&folder);
    // The tree becomes read-only; then another user, who has no rights and gets none, and sees nothing else.
    let script = "mount --bind \"$TREE\" \"$TREE\" && mount -o remount,bind,ro \"$TREE\" && \
                  exec unshare --user --map-user=10001 --map-group=10001 --root=\"$TREE\" --wd=/ \
                  /usr/local/bin/course-service serve --role api,projections";
    let settings = crate::fuzz::settings().await.without("KAFKA_BROKER");
    let mut process = Process::start_other("setpriv", |command| {
        command.args(["--no-new-privs", "unshare", "-r", "-m", "sh", "-c", script]);
        let path = std::env::var_os("PATH").unwrap();
        command.env_clear().env("PATH", path).env("TREE", folder.path());
        command.envs(settings.environment());
    });
    let client = Client::new(&process.url().await);
    client.ready().await;
    client.create_course("BARE-1").await;
    let answer = client.graphql("", "{ viewer { id } }", json!({})).await.unwrap();
    assert_eq!(answer, json!({ "data": { "viewer": null } }));

    let pid = process.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    assert_eq!((value("CapEff").as_str(), value("NoNewPrivs").as_str()), ("0000000000000000", "1"));
    let users = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
    assert_eq!(users.split_whitespace().next(), Some("10001"), "{users}");
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let tree = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some("/"));
    let rights = tree.and_then(|line| line.split(' ').nth(5)).unwrap_or_default();
    assert!(rights.split(',').any(|right| right == "ro"), "{mounts}");
    process.signal("TERM");
    assert!(process.ended(crate::process::PATIENCE).await.success(), "{}", process.output());
}

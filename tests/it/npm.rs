//! The JavaScript of the tests: each project is copied, and its modules are installed once per lock file.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::timeout;

/// What a script may take: compilers run on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// What the copy keeps of an earlier run.
const INSTALLED: [&str; 2] = ["node_modules", "package-lock.json"];

/// A copy of `tests/<folder>` as it is now, with its modules.
pub(crate) async fn installed(folder: &'static str) -> PathBuf {
    tokio::task::spawn_blocking(move || fetch(folder)).await.unwrap()
}

fn fetch(folder: &str) -> PathBuf {
    static FRESH: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let mut fresh = FRESH.lock().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let lock = fs::read(source.join("package-lock.json")).unwrap();
    let digest = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &lock).simple();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{folder}-{digest}"));
    if !target.exists() {
        install(&source, &target);
    }
    if fresh.get_or_insert_default().insert(folder.to_owned()) {
        clean(&target);
        copy(&source, &target);
    }
    target
}

fn install(source: &Path, target: &Path) {
    // Beside its place first: another run may be at it.
    let beside = target.with_extension(std::process::id().to_string());
    fs::create_dir_all(&beside).unwrap();
    for file in ["package.json", "package-lock.json"] {
        fs::copy(source.join(file), beside.join(file)).unwrap();
    }
    let npm = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&beside)
        .output()
        .expect("this test runs JavaScript: install Node 20 with npm");
    assert!(npm.status.success(), "npm ci: {}", String::from_utf8_lossy(&npm.stderr));
    if fs::rename(&beside, target).is_err() {
        fs::remove_dir_all(&beside).unwrap(); // the other run was faster
    }
}

/// Removes what an earlier run has copied or made.
fn clean(target: &Path) {
    for entry in fs::read_dir(target).unwrap().map(Result::unwrap) {
        if INSTALLED.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            fs::remove_dir_all(entry.path()).unwrap();
        } else {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

fn copy(source: &Path, target: &Path) {
    for entry in fs::read_dir(source).unwrap().map(Result::unwrap) {
        let to = target.join(entry.file_name());
        if !entry.file_type().unwrap().is_dir() {
            fs::copy(entry.path(), to).unwrap();
        } else if entry.file_name() != "node_modules" {
            fs::create_dir_all(&to).unwrap();
            copy(&entry.path(), &to);
        }
    }
}

/// A script that ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) done: bool,
    pub(crate) output: String,
}

/// Runs a script of the project's package.json; its output is what it wrote to both.
pub(crate) async fn run<V: AsRef<OsStr> + Sync>(
    project: &Path,
    script: &str,
    environment: &[(&str, V)],
) -> Ran {
    let environment = environment.iter().map(|(name, value)| (name, value.as_ref()));
    let mut npm = tokio::process::Command::new("npm");
    npm.args(["run", "--silent", script]).current_dir(project).envs(environment);
    let npm = timeout(PATIENCE, npm.kill_on_drop(true).output()).await;
    let npm = npm.expect("the script ends").unwrap();
    let [stdout, stderr] = [&npm.stdout, &npm.stderr].map(|text| String::from_utf8_lossy(text));
    Ran { done: npm.status.success(), output: format!("{stdout}{stderr}") }
}

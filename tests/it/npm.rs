//! JavaScript that tests run: a folder of `tests`, with its modules beside it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of the folder `tests/{name}`, with the modules of its `package-lock.json` installed once.
pub(crate) async fn installed(name: &'static str) -> PathBuf {
    tokio::task::spawn_blocking(move || install(name)).await.unwrap()
}

fn install(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let lock = fs::read(source.join("package-lock.json")).unwrap();
    let name = format!("{name}-{}", uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &lock).simple());
    let folder = target.join(&name);
    if !folder.exists() {
        // Beside its place first: another run may be at it.
        let fresh = target.join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&fresh).unwrap();
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), fresh.join(file)).unwrap();
        }
        let npm = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&fresh)
            .output()
            .expect("this test runs JavaScript: install Node 20 with npm");
        assert!(npm.status.success(), "npm ci: {}", String::from_utf8_lossy(&npm.stderr));
        if fs::rename(&fresh, &folder).is_err() {
            fs::remove_dir_all(&fresh).unwrap(); // the other run was faster
        }
    }
    for entry in fs::read_dir(&source).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
    }
    folder
}

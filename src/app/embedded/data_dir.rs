//! The folder that one run of the embedded parts has for itself.
//!
//! Guarantees: at most one process at a time (an advisory lock, which the system drops with the
//! process); the user that the parts run as can reach it; an ephemeral one is removed at the end,
//! or by a later run if this one is killed.

use std::{
    env, fs,
    fs::{File, TryLockError},
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::{
    fingerprint,
    launcher::{Launcher, command_line},
};

const LOCK_FILE: &str = "lock";
const EPHEMERAL_PREFIX: &str = "course-service-ephemeral-";
/// How long an ephemeral folder may resist its removal.
const REMOVE_PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(10);
/// Where every user gets to.
const SHARED_FOLDER: &str = "/var/tmp";

/// Where `dev` keeps its data unless told otherwise: `.course-service` in the working directory.
pub fn default_data_dir() -> PathBuf {
    PathBuf::from(".course-service")
}

/// A locked data folder. Drop it after the parts that use it: an ephemeral one is removed then.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    note: Option<String>,
    is_ephemeral: bool,
    /// Open means locked.
    _lock: File,
}

impl DataDir {
    /// Creates and locks `wished`. As root, where the user that the parts run as cannot reach it, a
    /// folder of its own under `/var/tmp` takes its place, the same one each time; see
    /// [`note`](Self::note).
    pub fn open(wished: &Path) -> anyhow::Result<Self> {
        let launcher = Launcher::get()?;
        let wished = std::path::absolute(wished).context("cannot read the working directory")?;
        let existing = wished.ancestors().find(|folder| folder.is_dir());
        if existing.is_none_or(|folder| launcher.can_enter(folder)) {
            create(&wished)?;
            if launcher.can_enter(&wished) {
                return Self::lock(wished, None, false);
            }
        }
        let name = format!("course-service-{}", fingerprint(wished.as_os_str().as_encoded_bytes()));
        let path = Path::new(SHARED_FOLDER).join(name);
        create(&path)?;
        let note = format!(
            "the user `{}`, whom root runs Postgres and Kafka as, cannot enter {}; the data is in {}",
            launcher.other_user().unwrap_or_default(),
            wished.display(),
            path.display()
        );
        tracing::warn!("{note}");
        Self::lock(path, Some(note), false)
    }

    /// A fresh folder that is removed at the end. Removes those of processes that were killed, too.
    pub fn ephemeral() -> anyhow::Result<Self> {
        let launcher = Launcher::get()?;
        let mut base = env::temp_dir();
        if !launcher.can_enter(&base) {
            base = SHARED_FOLDER.into();
        }
        remove_stale(&base);
        let random = uuid::Uuid::new_v4().simple();
        let path = base.join(format!("{EPHEMERAL_PREFIX}{}-{random}", process::id()));
        fs::create_dir(&path)
            .with_context(|| format!("cannot create the folder {}", path.display()))?;
        create(&path)?;
        Self::lock(path, None, true)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Why the data is not where it was wished, for the user to read.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    fn lock(path: PathBuf, note: Option<String>, is_ephemeral: bool) -> anyhow::Result<Self> {
        let file = path.join(LOCK_FILE);
        let cannot = || format!("cannot lock {}", file.display());
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut lock = options.open(&file).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder); // nice to know, no more
                bail!(
                    "{} is in use by another process (pid {}): stop that one, or choose another \
                     folder with `--data-dir`",
                    path.display(),
                    holder.trim()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        lock.set_len(0).with_context(cannot)?;
        writeln!(lock, "{}", process::id()).with_context(cannot)?;
        Ok(Self { path, note, is_ephemeral, _lock: lock })
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if !self.is_ephemeral {
            return;
        }
        // What a part had started itself, such as `initdb`, may write for a moment longer than the part lives.
        let deadline = Instant::now() + REMOVE_PATIENCE;
        while let Err(error) = fs::remove_dir_all(&self.path) {
            if !self.path.exists() {
                return;
            }
            if Instant::now() > deadline {
                tracing::warn!(%error, "cannot remove {}", self.path.display());
                return;
            }
            thread::sleep(POLL);
        }
    }
}

/// Makes sure that `folder` is there, is ours and, as root, lets others through to the parts'
/// folders. Somebody else's would let them swap the files under us.
fn create(folder: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot create the folder {}", folder.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    if Launcher::get()?.other_user().is_some() {
        let metadata = fs::symlink_metadata(folder).with_context(cannot)?;
        if folder.starts_with(SHARED_FOLDER) && (metadata.uid() != 0 || !metadata.is_dir()) {
            bail!("{} belongs to another user: choose another `--data-dir`", folder.display());
        }
        let open = fs::Permissions::from_mode(metadata.mode() | 0o711);
        fs::set_permissions(folder, open).with_context(cannot)?;
    }
    Ok(())
}

/// Removes ephemeral folders of ours whose process is gone. What cannot be removed stays.
fn remove_stale(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let pid = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix(EPHEMERAL_PREFIX)?.split('-').next())
            .and_then(|pid| pid.parse().ok());
        // The lock, too, because a container that shares the folder has ids of its own.
        let is_free = |lock: File| lock.try_lock().is_ok();
        if pid.is_some_and(|pid| command_line(pid).is_empty())
            && File::open(path.join(LOCK_FILE)).is_ok_and(is_free)
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::debug!(%error, "cannot remove {}", path.display());
        }
    }
}

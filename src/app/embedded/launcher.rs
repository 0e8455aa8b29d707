//! Who the children run as, and what ends them with us.
//!
//! `initdb` and `postgres` refuse root, so root hands them to the user `postgres`, else `nobody`.
//! On Linux `setpriv` also asks the kernel to signal the child when its parent dies, which needs no
//! `unsafe` of ours and works on `kill -9`. The kernel looks at the *thread* that spawned the
//! child: only [`super::child`] may spawn what this module prepares.

use std::{
    env, fs, io,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context as _, bail};

/// The child's environment: what finds programs and no more, so that neither `PG*` nor
/// `JAVA_TOOL_OPTIONS` of the caller changes what the parts do.
const KEPT_VARIABLES: [&str; 3] = ["PATH", "JAVA_HOME", "TZ"];

/// How to start a child on this machine.
#[derive(Debug)]
pub(super) struct Launcher {
    /// Whom root turns into; `None` for an ordinary user.
    user: Option<User>,
    /// `setpriv` with `--pdeathsig`; `None` where a child outlives the `kill -9` of its parent.
    setpriv: Option<PathBuf>,
}

/// A user that the parts run as.
#[derive(Debug)]
struct User {
    name: &'static str,
    uid: u32,
    gid: u32,
}

impl Launcher {
    /// What this machine allows; asked once a process.
    pub(super) fn get() -> anyhow::Result<&'static Self> {
        static LAUNCHER: OnceLock<Launcher> = OnceLock::new();
        if let Some(launcher) = LAUNCHER.get() {
            return Ok(launcher);
        }
        let launcher = Self::detect()?;
        Ok(LAUNCHER.get_or_init(|| launcher))
    }

    fn detect() -> anyhow::Result<Self> {
        let setpriv = find_program("setpriv").filter(|setpriv| {
            // busybox has a `setpriv` that cannot do it
            let probe =
                Command::new(setpriv).args(["--pdeathsig", "KILL", "sh", "-c", ":"]).output();
            probe.is_ok_and(|output| output.status.success())
        });
        if id(&["-u"])? != 0 {
            if setpriv.is_none() {
                tracing::warn!(
                    "without `setpriv` of util-linux the embedded parts keep running if this \
                     process is killed with `kill -9`; the next start on the same folder ends them"
                );
            }
            return Ok(Self { user: None, setpriv });
        }
        if setpriv.is_none() {
            bail!(
                "Postgres does not run as root, and `setpriv` is missing: install util-linux, run \
                 as an ordinary user, or set DATABASE_URL and KAFKA_BROKER"
            );
        }
        let found = ["postgres", "nobody"].into_iter().find_map(|name| {
            Some(User { name, uid: id(&["-u", name]).ok()?, gid: id(&["-g", name]).ok()? })
        });
        let user = found.context(
            "Postgres does not run as root, and there is no user `postgres` or `nobody` to run it \
             as: run as an ordinary user, or set DATABASE_URL and KAFKA_BROKER",
        )?;
        tracing::info!(user = user.name, "as root: the embedded parts run as `{}`", user.name);
        Ok(Self { user: Some(user), setpriv })
    }

    /// The user that root turns into for the parts.
    pub(super) fn other_user(&self) -> Option<&'static str> {
        self.user.as_ref().map(|user| user.name)
    }

    /// `program` without our privileges and environment; `death` reaches it when we die.
    pub(super) fn command(&self, program: &Path, death: &str) -> Command {
        let mut command = self.tethered(program, death, self.user.as_ref());
        command.env_clear();
        command.envs(KEPT_VARIABLES.iter().filter_map(|name| Some((name, env::var_os(name)?))));
        command.env("LC_ALL", "C");
        command
    }

    /// `program` with our privileges and environment, ended with us.
    pub(super) fn command_as_ourselves(&self, program: &Path) -> Command {
        self.tethered(program, "KILL", None)
    }

    fn tethered(&self, program: &Path, death: &str, user: Option<&User>) -> Command {
        let mut command = match &self.setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command
                    .args(["--pdeathsig", death])
                    .args(user.map(User::arguments).iter().flatten());
                command.arg("--").arg(program);
                command
            }
            None => Command::new(program),
        };
        // A group of its own: Ctrl-C is for us, and we stop the parts in order.
        command.process_group(0).stdin(Stdio::null());
        command
    }

    /// Makes `path` the property of the user that the parts run as.
    pub(super) fn give(&self, path: &Path) -> io::Result<()> {
        self.user.as_ref().map_or(Ok(()), |user| chown(path, Some(user.uid), Some(user.gid)))
    }

    /// Whether the user that the parts run as gets into `folder`.
    pub(super) fn can_enter(&self, folder: &Path) -> bool {
        let (Some(user), Some(setpriv)) = (&self.user, &self.setpriv) else { return true };
        let mut probe = Command::new(setpriv);
        probe.args(user.arguments()).args(["--", "sh", "-c", "cd \"$1\"", "sh"]).arg(folder);
        probe.output().is_ok_and(|output| output.status.success())
    }

    /// A folder for one part: there, and owned by the user that it runs as.
    pub(super) fn part_folder(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)
            .and_then(|()| self.give(folder))
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
        if !self.can_enter(folder) {
            bail!(
                "the user `{}` cannot enter {}: choose another folder with `--data-dir`",
                self.other_user().unwrap_or_default(),
                folder.display()
            );
        }
        Ok(())
    }
}

impl User {
    fn arguments(&self) -> [String; 5] {
        let (uid, gid) = (self.uid.to_string(), self.gid.to_string());
        ["--reuid".into(), uid, "--regid".into(), gid, "--clear-groups".into()]
    }
}

fn id(arguments: &[&str]) -> anyhow::Result<u32> {
    let output = Command::new("id").args(arguments).output().context("cannot run `id`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("`id {}` prints no number", arguments.join(" ")))
}

/// The command line of a process, empty if it does not exist or only waits to be reaped.
pub(super) fn command_line(pid: u32) -> String {
    if Path::new("/proc/self").exists() {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        return String::from_utf8_lossy(&words).replace('\0', " ");
    }
    let output = Command::new("ps").args(["-p", &pid.to_string(), "-o", "command="]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// Where `PATH` has the program `name`.
pub(super) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

/// The `java` to use: that of `JAVA_HOME`, else that of `PATH`, as Maven does it.
pub(super) fn find_java() -> anyhow::Result<PathBuf> {
    env::var_os("JAVA_HOME")
        .map(|home| Path::new(&home).join("bin/java"))
        .filter(|java| is_executable(java))
        .or_else(|| find_program("java"))
        .context(
            "Kafka needs Java, which is missing: install a JDK 17 or newer, or set KAFKA_BROKER",
        )
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

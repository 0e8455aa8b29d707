//! One child process: started, watched, stopped.
//!
//! All children are spawned by one thread that lives as long as this process: the kernel sends the
//! death signal of [`super::launcher`] when the spawning *thread* ends, and the threads of an async
//! runtime come and go. A child's output goes to a file, whose end explains a failure.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::launcher::command_line;

/// A log longer than this is put aside at the next start.
const LOG_LIMIT: u64 = 16 * 1024 * 1024;
/// How much of a log explains a failure.
const TAIL_LINES: usize = 12;
const POLL: Duration = Duration::from_millis(10);
/// How long a dropped child may take to stop before it is killed; the dropping thread waits.
const DROP_PATIENCE: Duration = Duration::from_secs(3);

/// How long a child of an earlier run may take to end.
const PREDECESSOR_PATIENCE: Duration = Duration::from_secs(10);

type Request = (Command, mpsc::Sender<io::Result<Child>>);

/// Hands `command` to the thread that lives as long as the process, and waits: starting a program takes milliseconds,
/// and a caller that could be cancelled meanwhile would leave a child that nobody stops.
fn spawn(command: Command) -> anyhow::Result<Child> {
    static REQUESTS: OnceLock<mpsc::Sender<Request>> = OnceLock::new();
    let requests = REQUESTS.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Request>();
        thread::Builder::new()
            .name("embedded-parts".into())
            .spawn(move || {
                for (mut command, reply) in receiver {
                    let _ = reply.send(command.spawn()); // whoever asked waits for it
                }
            })
            .expect("the system lets a process start a thread");
        sender
    });
    let (reply, child) = mpsc::channel();
    let _ = requests.send((command, reply)); // if this fails, so does the next line
    Ok(child.recv().context("the thread that starts the embedded parts is gone")??)
}

/// A running child. Dropping it stops it, and waits for that.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    child: Child,
    stop_signal: &'static str,
    log: PathBuf,
    log_start: u64,
}

impl Process {
    /// Starts `command` with its output at the end of the file `log`. `stop_signal` asks it to end.
    pub(super) fn spawn(
        name: &'static str,
        mut command: Command,
        log: &Path,
        stop_signal: &'static str,
    ) -> anyhow::Result<Self> {
        let opened = open_log(log).and_then(|file| Ok((file.try_clone()?, file.metadata()?, file)));
        let (stderr, metadata, stdout) =
            opened.with_context(|| format!("cannot write the log {}", log.display()))?;
        command.stdout(stdout).stderr(stderr);
        let child = spawn(command).with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, stop_signal, log: log.into(), log_start: metadata.len() })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How the child ended, if it did.
    pub(super) fn try_wait(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot watch {}", self.name))
    }

    /// Waits for the child to end by itself.
    pub(super) async fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits for a child that has a job to do and then ends; the error carries the end of its log.
    pub(super) async fn finish(mut self, patience: Duration) -> anyhow::Result<()> {
        let Ok(status) = tokio::time::timeout(patience, self.wait()).await else {
            bail!("{} did not finish within {patience:?}{}", self.name, self.tail());
        };
        let status = status?;
        if !status.success() {
            bail!("{} failed ({status}){}", self.name, self.tail());
        }
        Ok(())
    }

    /// What this child has written so far.
    pub(super) fn output(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let (mut file, mut text) = (File::open(&self.log)?, Vec::new());
            file.seek(SeekFrom::Start(self.log_start))?;
            file.read_to_end(&mut text)?;
            Ok(text)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    /// The end of the log as the end of an error message.
    pub(super) fn tail(&self) -> String {
        let output = self.output();
        let says = |line: &&str| !line.trim().is_empty() && !line.starts_with("\tat "); // Java's stack
        let lines: Vec<&str> = output.lines().filter(says).collect();
        if lines.is_empty() {
            return "; it wrote no log".into();
        }
        let end = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  ");
        format!("; the end of {}:\n  {end}", self.log.display())
    }

    /// Asks the child to end, and kills it if it has not within `patience`.
    pub(super) async fn stop(mut self, patience: Duration) -> anyhow::Result<()> {
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        send_signal(self.pid(), self.stop_signal);
        if let Ok(ended) = tokio::time::timeout(patience, self.wait()).await {
            return ended.map(drop);
        }
        tracing::warn!("{} did not stop within {patience:?}, killing it", self.name);
        self.kill()
    }

    /// Ends the child at once, as a crash would.
    pub(super) fn kill(&mut self) -> anyhow::Result<()> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(drop).with_context(|| format!("cannot kill {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let running = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        if !running(&mut self.child) {
            return;
        }
        send_signal(self.pid(), self.stop_signal);
        let deadline = Instant::now() + DROP_PATIENCE;
        while running(&mut self.child) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        let _ = self.kill(); // nothing to do for one that has ended
    }
}

/// Ends what an earlier run left on `folder`, whose lock we hold: there is something where a killed
/// parent does not take its children along. Removes the stale `pid_file`, too, because the program
/// may take any process that has the id by now for itself.
pub(super) async fn end_predecessor(
    name: &str,
    pid_file: &Path,
    folder: &Path,
    signal: &str,
) -> anyhow::Result<()> {
    let Ok(text) = fs::read_to_string(pid_file) else { return Ok(()) };
    if let Some(pid) = text.lines().next().and_then(|line| line.trim().parse().ok()) {
        let folder = folder.to_string_lossy();
        let runs = || command_line(pid).contains(&*folder);
        if runs() {
            tracing::warn!("ending the {name} of an earlier run (process {pid})");
            send_signal(pid, signal);
        }
        let deadline = Instant::now() + PREDECESSOR_PATIENCE;
        while runs() {
            if Instant::now() > deadline {
                bail!("the {name} of an earlier run does not end: kill process {pid}");
            }
            tokio::time::sleep(POLL).await;
        }
    }
    fs::remove_file(pid_file)
        .or_else(|error| if pid_file.exists() { Err(error) } else { Ok(()) })
        .with_context(|| format!("cannot remove {}", pid_file.display()))
}

/// Sends a signal through the shell, which has `kill` even where no such program is installed.
fn send_signal(pid: u32, signal: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).output();
    if let Err(error) = sent {
        tracing::warn!(%error, "cannot run `sh` to signal process {pid}");
    }
}

fn open_log(log: &Path) -> io::Result<File> {
    if fs::metadata(log).is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
        fs::rename(log, log.with_added_extension("old"))?;
    }
    File::options().create(true).append(true).open(log)
}

//! The real binary in a process of its own: a cleared environment, its output kept, killed at the end of the test.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use course_service::app::stand_in::{self, StandIn};
use serde_json::{Value, json};
use tempdir::Folder;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{brokers, database_url, prefix};

/// What anything may take that is expected to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) mod tempdir {
    //! A folder that is removed at the end of the test.

    use std::path::{Path, PathBuf};

    pub(crate) struct Folder(PathBuf);

    impl Folder {
        /// A new one that every user may enter, because the parts do not run as root.
        pub(crate) fn new() -> Self {
            let name = format!("course-service-it-{}", uuid::Uuid::new_v4().simple());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        pub(crate) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0); // left behind, it harms nobody
        }
    }
}

/// A run of the binary. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    stdout: Text,
    stderr: Text,
    _folder: Folder,
}

/// A run of the binary that ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What a child has written so far; complete once its reader has ended.
struct Text {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Text {
    fn of(pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let written = text.clone();
        let reader = tokio::spawn(async move {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
                written.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, reader }
    }

    fn now(&self) -> String {
        self.text.lock().unwrap().clone()
    }
}

/// The binary, with nothing in its environment but this.
fn command(arguments: &[&str], environment: &[(&str, &str)], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_course-service"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).current_dir(folder);
    command
}

impl Process {
    /// Starts the binary in an empty folder.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        let command = command(arguments, environment, folder.path());
        Self::spawn(command, folder)
    }

    /// Starts any program in an empty folder.
    pub(crate) fn start_other(
        program: impl AsRef<OsStr>,
        configure: impl FnOnce(&mut Command),
    ) -> Self {
        let folder = Folder::new();
        let mut command = Command::new(program);
        command.current_dir(folder.path());
        configure(&mut command);
        Self::spawn(command, folder)
    }

    fn spawn(mut command: Command, folder: Folder) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let stdout = Text::of(child.stdout.take().unwrap());
        let stderr = Text::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr, _folder: folder }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.now()
    }

    /// All that it has written so far.
    pub(crate) fn output(&self) -> String {
        self.stdout.now() + &self.stderr.now()
    }

    /// Waits until `find` finds something in a line of its output. Fails when it ends before.
    pub(crate) async fn finds<T>(
        &mut self,
        what: &str,
        patience: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + patience;
        loop {
            let ended = self.child.try_wait().unwrap();
            if let Some(found) = self.output().lines().find_map(&find) {
                return found;
            }
            assert!(ended.is_none(), "{what}: it ended: {ended:?}\n{}", self.output());
            assert!(Instant::now() < deadline, "{what}: not in time\n{}", self.output());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// The URL that it says it listens on.
    pub(crate) async fn url(&mut self) -> String {
        self.finds("it listens", PATIENCE, listening).await
    }

    /// The same, or nothing where it ends before.
    pub(crate) fn url_now(&self) -> Option<String> {
        self.output().lines().find_map(listening)
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.pid());
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Whether it is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self, patience: Duration) -> ExitStatus {
        let ended = timeout(patience, self.child.wait()).await;
        assert!(ended.is_ok(), "it does not end within {patience:?}\n{}", self.output());
        ended.unwrap().unwrap()
    }

    /// Waits for its end and all that it wrote.
    pub(crate) async fn finish(mut self, patience: Duration) -> Finished {
        let status = self.ended(patience).await;
        for text in [&mut self.stdout, &mut self.stderr] {
            // A child of its own may hold the pipe.
            let _ = timeout(Duration::from_secs(1), &mut text.reader).await;
        }
        Finished { code: status.code(), stdout: self.stdout.now(), stderr: self.stderr.now() }
    }
}

fn listening(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = line.get("address")?.as_str()?;
    (line["message"] == "listening").then(|| format!("http://{address}"))
}

/// Runs the binary to its end.
pub(crate) async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    Process::start(arguments, environment).finish(PATIENCE).await
}

/// Settings of a `serve`, and the stand-in that they name.
pub(crate) struct Settings {
    pub(crate) database_url: String,
    pub(crate) brokers: String,
    pub(crate) prefix: String,
    values: Vec<(&'static str, String)>,
    _users: StandIn,
}

impl Settings {
    /// A database and topics of the test's own.
    pub(crate) async fn new() -> Self {
        Self::of(database_url().await, brokers().await, prefix()).await
    }

    /// These, and a stand-in of the user management service.
    pub(crate) async fn of(database_url: String, brokers: String, prefix: String) -> Self {
        let users = stand_in::start().await.unwrap();
        let values = vec![
            ("DATABASE_URL", database_url.clone()),
            ("DATABASE_MAX_CONNECTIONS", "8".to_owned()),
            ("KAFKA_BROKER", brokers.clone()),
            ("KAFKA_TOPIC_PREFIX", prefix.clone()),
            ("KAFKA_TOPIC_PARTITIONS", "3".to_owned()),
            ("USER_MANAGEMENT_SERVICE_URL", users.url()),
            ("BIND_ADDR", "127.0.0.1:0".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ];
        Self { database_url, brokers, prefix, values, _users: users }
    }

    /// With one more setting, or another value of one.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.values.retain(|(other, _)| *other != name);
        self.values.push((name, value.to_owned()));
        self
    }

    /// Without one.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.values.retain(|(other, _)| *other != name);
        self
    }

    pub(crate) fn environment(&self) -> Vec<(&str, &str)> {
        self.values.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// Runs a subcommand with them to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Finished {
        run(arguments, &self.environment()).await
    }

    /// Starts a subcommand with them.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::start(arguments, &self.environment())
    }

    /// Starts `serve` with these further arguments, and waits until it is ready.
    pub(crate) async fn serve(&self, arguments: &[&str]) -> (Process, Client) {
        let mut process = self.start(&[&["serve"], arguments].concat());
        let client = Client::new(&process.url().await);
        client.ready().await;
        (process, client)
    }
}

/// Talks to a service over HTTP.
#[derive(Clone)]
pub(crate) struct Client {
    url: String,
    http: reqwest::Client,
}

/// Why there is no payload.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No whole answer came back: whether it was done is unknown.
    NoAnswer,
    /// `errors[]`.
    Errors(Value),
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        Self::with_patience(url, PATIENCE)
    }

    /// One that waits for an answer only so long.
    pub(crate) fn with_patience(url: &str, patience: Duration) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(patience);
        // Sooner than the service closes an idle connection.
        let http = http.pool_idle_timeout(Duration::from_secs(10));
        Self { url: url.to_owned(), http: http.build().unwrap() }
    }

    /// The same connections to another address.
    pub(crate) fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), http: self.http.clone() }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let reply = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        let status = reply.status().as_u16();
        (status, reply.json().await.unwrap_or_default())
    }

    /// What `/metrics` says.
    pub(crate) async fn metrics(&self) -> String {
        let reply = self.http.get(format!("{}/metrics", self.url)).send().await.unwrap();
        reply.text().await.unwrap()
    }

    /// Waits until `/readyz` says so.
    pub(crate) async fn ready(&self) {
        crate::support::eventually("it is ready", async || self.get("/readyz").await.0 == 200)
            .await;
    }

    /// Waits until `/readyz` says `word`; the whole report.
    pub(crate) async fn says(&self, word: &str) -> Value {
        let mut last = Value::Null;
        let deadline = Instant::now() + PATIENCE;
        while last["status"] != word {
            assert!(Instant::now() < deadline, "not {word}: {last}");
            last = self.get("/readyz").await.1;
            sleep(Duration::from_millis(20)).await;
        }
        last
    }

    /// Runs a GraphQL document; the whole answer.
    pub(crate) async fn graphql(
        &self,
        token: &str,
        query: &str,
        variables: Value,
    ) -> Result<Value, Failure> {
        let unknown = |_: reqwest::Error| Failure::NoAnswer;
        let body = json!({ "query": query, "variables": variables });
        let request = self.http.post(format!("{}/graphql", self.url)).json(&body);
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        let reply = request.send().await.map_err(unknown)?;
        let status = reply.status();
        let body = reply.bytes().await.map_err(unknown)?;
        let text = String::from_utf8_lossy(&body);
        Ok(serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}, no GraphQL: {text}")))
    }

    /// Runs one mutation; its payload. `selection` is what of the payload to read.
    pub(crate) async fn try_mutate(
        &self,
        token: &str,
        name: &str,
        input: Value,
        selection: &str,
    ) -> Result<Value, Failure> {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {kind}!) {{ {name}(input: $input) {{ {selection} position \
             userErrors {{ code field message retryable }} }} }}"
        );
        let answer = self.graphql(token, &query, json!({ "input": input })).await?;
        match answer.get("errors") {
            Some(errors) => Err(Failure::Errors(errors.clone())),
            None => Ok(answer["data"][name].clone()),
        }
    }

    /// Runs one mutation that must be done.
    pub(crate) async fn mutate(
        &self,
        token: &str,
        name: &str,
        input: Value,
        selection: &str,
    ) -> Value {
        let payload = self.try_mutate(token, name, input, selection).await.unwrap();
        assert_eq!(payload["userErrors"], json!([]), "{name}");
        payload
    }

    /// Creates a course of `instructor:ada`; its id.
    pub(crate) async fn create_course(&self, code: &str) -> String {
        let input = json!({ "code": code, "title": code, "capacity": 2, "publish": true });
        let payload = self.mutate("instructor:ada", "createCourse", input, "course { id }").await;
        payload["course"]["id"].as_str().unwrap().to_owned()
    }
}

//! The table of settings: every variable that this service reads, in one place.
//!
//! Parsing, `course-service config`, the README and the check for misspelt names all come from it.

use super::ConfigError;

/// How a value may be shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// As it is.
    Plain,
    /// As a URL without its password.
    Url,
    /// Never: the value is a secret.
    Masked,
}

/// One environment variable.
#[derive(Debug)]
pub struct Setting {
    /// The variable's name. Never rename: deployments set it.
    pub name: &'static str,
    /// What holds when the variable is unset or empty; `None`: nothing.
    pub default: Option<&'static str>,
    /// What it means, in one line of Markdown.
    pub doc: &'static str,
    /// How its value may be shown.
    pub shown: Shown,
}

const fn plain(name: &'static str, default: Option<&'static str>, doc: &'static str) -> Setting {
    Setting { name, default, doc, shown: Shown::Plain }
}
const fn url(name: &'static str, doc: &'static str) -> Setting {
    Setting { name, default: None, doc, shown: Shown::Url }
}
const fn secret(name: &'static str, doc: &'static str) -> Setting {
    Setting { name, default: None, doc, shown: Shown::Masked }
}

/// Every setting, in the order in which people read them.
pub const SETTINGS: &[Setting] = &[
    url("DATABASE_URL", "Postgres, `postgres://user:password@host:port/database`"),
    plain("DATABASE_MAX_CONNECTIONS", Some("16"), "size of the connection pool of one process"),
    plain("KAFKA_BROKER", None, "one or several `host:port`, comma separated"),
    url("USER_MANAGEMENT_SERVICE_URL", "tokens are validated at `GET {url}/validate`"),
    plain("BIND_ADDR", Some("127.0.0.1:8080"), "address and port of the HTTP server"),
    plain(
        "HTTP_MAX_CONNECTIONS",
        Some("2000"),
        "most connections that are open at once, WebSockets among them; further ones wait",
    ),
    plain(
        "HTTP_PATIENCE_MS",
        Some("30000"),
        "milliseconds that a connection may take to send the head of its next request, and to read a part of an \
         answer, before it is closed",
    ),
    plain("KAFKA_TOPIC_PREFIX", None, "put before every topic: several environments, one cluster"),
    plain("KAFKA_TOPIC_PARTITIONS", Some("6"), "partitions of the topics that we create"),
    plain("KAFKA_TOPIC_REPLICATION_FACTOR", Some("-1"), "copies; `-1`: the broker's default"),
    plain("KAFKA_TOPIC_RETENTION_MS", Some("-1"), "milliseconds kept; `-1`: for ever"),
    plain(
        "KAFKA_SECURITY_PROTOCOL",
        Some("PLAINTEXT"),
        "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`; all but the first, and every \
         `KAFKA_SASL_*` and `KAFKA_SSL_*`, need the cargo feature `kafka-tls`",
    ),
    plain("KAFKA_SASL_MECHANISM", None, "`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`"),
    plain("KAFKA_SASL_USERNAME", None, "user name at Kafka"),
    secret("KAFKA_SASL_PASSWORD", "password at Kafka"),
    plain("KAFKA_SSL_CA_LOCATION", None, "file of the authorities that signed the brokers"),
    plain("KAFKA_SSL_CERTIFICATE_LOCATION", None, "file of our certificate"),
    plain("KAFKA_SSL_KEY_LOCATION", None, "file of our private key"),
    secret("KAFKA_SSL_KEY_PASSWORD", "pass phrase of our private key"),
    plain("GRAPHQL_INTROSPECTION", Some("true"), "whether the schema may be asked for"),
    plain("GRAPHQL_TIMEOUT_MS", Some("10000"), "milliseconds a request may take, its whole batch"),
    plain("GRAPHQL_MAX_BODY_BYTES", Some("102400"), "largest request body"),
    plain("GRAPHQL_MAX_BATCH", Some("10"), "most requests of a batch"),
    plain("GRAPHQL_MAX_TOKENS", Some("5000"), "most lexical tokens of a document"),
    plain("GRAPHQL_MAX_DEPTH", Some("15"), "how deep fields may nest, at most 30"),
    plain(
        "GRAPHQL_MAX_COMPLEXITY",
        Some("20000"),
        "most that an operation may cost: 1 a field, times the size of each page around it. A page \
         of 100 in a page of 100 costs at least 20201; of 20 in 100, there is room for 9 fields an \
         inner object, or for some more around it",
    ),
    plain("GRAPHQL_MAX_ALIASES", Some("20"), "most aliases of an operation"),
    plain("GRAPHQL_MAX_MUTATIONS", Some("10"), "most mutations of a request, its whole batch"),
    plain("GRAPHQL_MAX_SOCKETS", Some("1000"), "most WebSockets that are open at once"),
    plain("GRAPHQL_MAX_OPERATIONS", Some("100"), "most operations under way on one WebSocket"),
    plain(
        "GRAPHQL_SOCKET_INIT_MS",
        Some("3000"),
        "milliseconds a WebSocket has for `connection_init`",
    ),
    plain(
        "GRAPHQL_SOCKET_PATIENCE_MS",
        Some("10000"),
        "milliseconds that the client of a WebSocket may take to read a message before it is closed",
    ),
    plain("COMMAND_TIMEOUT_MS", Some("5000"), "milliseconds a command may take"),
    plain(
        "INBOUND_PARKED_TTL_MS",
        Some("604800000"),
        "milliseconds that an incoming message may wait for what it refers to before it is a dead letter; at most 29 \
         days",
    ),
    plain("SHUTDOWN_GRACE_MS", Some("10000"), "milliseconds that work in progress gets at the end"),
    plain("LOG_FORMAT", None, "`pretty` or `json`; unset: `pretty` on a terminal, else `json`"),
    plain(
        "RUST_LOG",
        Some("info,sqlx=warn,rdkafka=warn,librdkafka=warn"),
        "what is logged, as directives of `tracing`",
    ),
    plain(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        None,
        "reserved for traces, which this release does not export: it warns when set",
    ),
];

/// Names that begin like this are ours: one that is not in [`SETTINGS`] is a mistake.
const PREFIXES: &[&str] = &[
    "DATABASE_",
    "KAFKA_",
    "USER_MANAGEMENT_",
    "BIND_",
    "GRAPHQL_",
    "HTTP_MAX",
    "HTTP_PATIENCE",
    "BRIDGE_",
    "COMMAND_TIMEOUT",
    "INBOUND_",
    "SHUTDOWN_GRACE",
];

/// The setting of that name.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The table in Markdown: name, default, meaning. The README holds exactly this.
pub fn settings_markdown() -> String {
    let rows = SETTINGS.iter().map(|Setting { name, default, doc, .. }| {
        let default = default.map_or_else(|| "–".to_owned(), |value| format!("`{value}`"));
        format!("| `{name}` | {default} | {doc} |\n")
    });
    ["| variable | default | meaning |\n|---|---|---|\n".to_owned()]
        .into_iter()
        .chain(rows)
        .collect()
}

/// `value` as it may be shown in output and in errors.
pub(super) fn show(setting: &Setting, value: &str) -> String {
    match setting.shown {
        Shown::Plain => value.to_owned(),
        Shown::Url => masked_url(value),
        Shown::Masked => "***".to_owned(),
    }
}

/// `url` without what it says about passwords; all of it is hidden when it cannot be understood.
fn masked_url(url: &str) -> String {
    let hidden = || "***".to_owned();
    let Ok(mut parsed) = reqwest::Url::parse(url) else { return hidden() };
    if parsed.password().is_some() && parsed.set_password(Some("***")).is_err() {
        return hidden();
    }
    if parsed.query_pairs().any(|(name, _)| is_credential(&name)) {
        let pairs: Vec<_> = parsed.query_pairs().into_owned().collect();
        let masked = pairs.into_iter().map(|(name, value)| {
            let value = if is_credential(&name) { hidden() } else { value };
            (name, value)
        });
        parsed.query_pairs_mut().clear().extend_pairs(masked);
    }
    parsed.into()
}

fn is_credential(parameter: &str) -> bool {
    parameter.to_ascii_lowercase().contains("password")
}

/// Refuses a name that looks like a setting of ours and is none.
pub(super) fn check_name(name: &str) -> Result<(), ConfigError> {
    if find(name).is_some() || injected_by_kubernetes(name) {
        return Ok(());
    }
    // A name cut short or drawn out means that setting, however many letters differ.
    let same_start = |other: &str| other.starts_with(name) || name.starts_with(other);
    let (nearest, distance) = SETTINGS
        .iter()
        .map(|setting| (setting.name, distance(name, setting.name)))
        .min_by_key(|(setting, distance)| (!same_start(setting), *distance))
        .unwrap_or(("", usize::MAX));
    let ours = PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    // Short names have innocent neighbours: RUSTC_LOG is not a misspelt RUST_LOG.
    let slip = nearest.len() >= 10 && distance <= 2;
    if !ours && !slip {
        return Ok(());
    }
    let near = same_start(nearest) || distance <= nearest.len() / 3;
    let suggestion = near.then_some(nearest);
    Err(ConfigError::Unknown { name: name.to_owned(), suggestion })
}

/// Whether Kubernetes sets this variable for a service that happens to share a prefix with us, as
/// `KAFKA_PORT_9092_TCP_ADDR` for one named `kafka`.
fn injected_by_kubernetes(name: &str) -> bool {
    let linked_port = || {
        name.match_indices("_PORT_").any(|(at, found)| {
            let mut rest = name[at + found.len()..].split('_');
            let number = rest.next().is_some_and(|port| port.parse::<u16>().is_ok());
            number && matches!(rest.next(), Some("TCP" | "UDP" | "SCTP"))
        })
    };
    name.ends_with("_PORT")
        || name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT_")
        || linked_port()
}

/// How many characters must be inserted, removed or replaced to turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

use std::time::Duration;

use super::values::Values;
use super::*;

const NONE: [(&str, &str); 0] = [];

fn config<const N: usize>(pairs: [(&'static str, &'static str); N]) -> Config {
    Config::from_pairs(pairs).unwrap()
}

fn refusal<const N: usize>(pairs: [(&'static str, &'static str); N]) -> String {
    Config::from_pairs(pairs).unwrap_err().to_string()
}

/// The properties for a client of a build that has `kafka-tls`.
fn properties(
    pairs: &[(&'static str, &'static str)],
) -> Result<Vec<(&'static str, String)>, String> {
    let kafka = Values::collect(pairs.iter().copied()).unwrap().kafka(true);
    let kafka = kafka.map_err(|error| error.to_string())?;
    Ok(kafka.client_properties().map(|(name, value)| (name, value.to_owned())).collect())
}

#[test]
fn an_empty_environment_gives_the_defaults() {
    let config = config(NONE);
    assert_eq!(config.bind_addr.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database_max_connections, 16);
    let limits = config.graphql_limits;
    assert_eq!((limits.timeout, limits.body), (Duration::from_secs(10), 100 * 1024));
    assert_eq!((limits.batch, limits.mutations, limits.aliases), (10, 10, 20));
    assert_eq!((limits.tokens, limits.depth, limits.complexity), (5_000, 15, 20_000));
    assert!(limits.introspection);
    assert_eq!(config.command_timeout, Duration::from_secs(5));
    assert_eq!(config.shutdown_grace, Duration::from_secs(10));
    assert_eq!(config.log_format, None);
    assert_eq!(config.kafka.topic_prefix, "");
    assert_eq!(config.kafka.topic_partitions, 6);
    assert_eq!(config.kafka.topic_replication_factor, -1);
    assert_eq!(config.kafka.topic_retention_ms, -1);
    assert_eq!(config.kafka.client_properties().count(), 0);
    assert!(config.warnings().is_empty());
}

#[test]
fn what_a_command_needs_is_missed_by_name() {
    let config = config([("DATABASE_URL", "")]);
    let missed = [
        config.database_url().unwrap_err(),
        config.kafka_brokers().unwrap_err(),
        config.user_management_service_url().unwrap_err(),
    ];
    let names = ["DATABASE_URL", "KAFKA_BROKER", "USER_MANAGEMENT_SERVICE_URL"];
    for (error, name) in missed.iter().zip(names) {
        assert!(error.to_string().starts_with(&format!("{name} is not set")), "{error}");
    }
}

#[test]
fn given_values_are_parsed() {
    let config = config([
        ("DATABASE_URL", "postgres://me:secret@db/courses"),
        ("KAFKA_BROKER", "one:9092, [::1]:9093"),
        ("USER_MANAGEMENT_SERVICE_URL", "http://users:3000/api/"),
        ("GRAPHQL_TIMEOUT_MS", " 250 "),
        ("LOG_FORMAT", "json"),
        ("GRAPHQL_INTROSPECTION", "false"),
        ("KAFKA_TOPIC_RETENTION_MS", "604800000"),
    ]);
    assert_eq!(config.database_url(), Ok("postgres://me:secret@db/courses"));
    assert_eq!(config.kafka_brokers().unwrap(), ["one:9092", "[::1]:9093"]);
    assert_eq!(config.user_management_service_url(), Ok("http://users:3000/api"));
    assert_eq!(config.graphql_limits.timeout, Duration::from_millis(250));
    assert_eq!(config.log_format, Some(LogFormat::Json));
    assert!(!config.graphql_limits.introspection);
    assert_eq!(config.kafka.topic_retention_ms, 604_800_000);
}

#[test]
fn later_pairs_win() {
    let config = config([("BIND_ADDR", "127.0.0.1:1"), ("BIND_ADDR", "127.0.0.1:2")]);
    assert_eq!(config.bind_addr.port(), 2);
}

#[test]
fn a_wrong_value_is_refused_with_name_and_rule() {
    assert_eq!(
        refusal([("BIND_ADDR", "8080")]),
        "BIND_ADDR must be an address and port such as 0.0.0.0:8080, but is `8080`"
    );
    for (name, value) in [
        ("DATABASE_MAX_CONNECTIONS", "0"),
        ("DATABASE_URL", "mysql://db"),
        ("KAFKA_BROKER", "one:9092,"),
        ("KAFKA_BROKER", "one"),
        ("KAFKA_TOPIC_PARTITIONS", "0"),
        ("KAFKA_TOPIC_REPLICATION_FACTOR", "0"),
        ("KAFKA_TOPIC_REPLICATION_FACTOR", "-2"),
        ("KAFKA_TOPIC_RETENTION_MS", "0"),
        ("KAFKA_TOPIC_PREFIX", "a b"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("GRAPHQL_INTROSPECTION", "maybe"),
        ("GRAPHQL_TIMEOUT_MS", "10s"),
        ("GRAPHQL_MAX_BODY_BYTES", "1"),
        ("GRAPHQL_MAX_BATCH", "0"),
        ("GRAPHQL_MAX_TOKENS", "100001"),
        ("GRAPHQL_MAX_DEPTH", "31"),
        ("GRAPHQL_MAX_COMPLEXITY", "-1"),
        ("GRAPHQL_MAX_ALIASES", "many"),
        ("GRAPHQL_MAX_MUTATIONS", "1001"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "info,=,=="),
        ("USER_MANAGEMENT_SERVICE_URL", "users:3000"),
        ("USER_MANAGEMENT_SERVICE_URL", "http://me:secret@users"),
    ] {
        let refusal = refusal([(name, value)]);
        assert!(refusal.starts_with(&format!("{name} must be ")), "{refusal}");
    }
}

#[test]
fn a_refusal_shows_no_secret() {
    for value in ["mysql://me:hush@db", "hush", "mysql://db?password=hush"] {
        let refusal = refusal([("DATABASE_URL", value)]);
        assert!(!refusal.contains("hush"), "{refusal}");
    }
}

#[test]
fn a_misspelt_name_is_refused_with_a_suggestion() {
    for (name, meant) in [
        ("KAFKA_BROKERS", "KAFKA_BROKER"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("BIND_ADDRESS", "BIND_ADDR"),
        ("GRAPHQL_TIMEOUT", "GRAPHQL_TIMEOUT_MS"),
        ("COMMAND_TIMEOUT", "COMMAND_TIMEOUT_MS"),
        ("USER_MANAGEMENT_SERVICE_ULR", "USER_MANAGEMENT_SERVICE_URL"),
        ("KAFKA_TOPIC_REPLICATION", "KAFKA_TOPIC_REPLICATION_FACTOR"),
    ] {
        let expected = format!("{name} is not a setting of this service; did you mean {meant}?");
        assert_eq!(refusal([(name, "1")]), expected);
    }
    assert_eq!(refusal([("BRIDGE_COLOUR", "1")]), "BRIDGE_COLOUR is not a setting of this service");
}

#[test]
fn what_is_not_ours_is_let_be() {
    for name in [
        "PATH",
        "RUSTC_LOG",
        "RUST_BACKTRACE",
        "LOG_LEVEL",
        "OTEL_SERVICE_NAME",
        "KAFKA_PORT",
        "KAFKA_SERVICE_HOST",
        "KAFKA_SERVICE_PORT",
        "KAFKA_SERVICE_PORT_TCP_CLIENT",
        "KAFKA_PORT_9092_TCP",
        "KAFKA_PORT_9092_TCP_ADDR",
        "KAFKA_BROKER_PORT_9092_TCP_PROTO",
        "DATABASE_PORT",
        "DATABASE_PORT_5432_TCP_PORT",
        "USER_MANAGEMENT_SERVICE_SERVICE_HOST",
        "USER_MANAGEMENT_SERVICE_PORT",
    ] {
        assert!(Config::from_pairs([(name, "tcp://10.0.0.1:9092")]).is_ok(), "{name}");
    }
}

#[test]
fn effective_values_and_debug_mask_secrets() {
    let pairs = [
        ("DATABASE_URL", "postgres://me:hush@db/courses?sslpassword=hush&sslmode=require"),
        ("BIND_ADDR", "0.0.0.0:80"),
    ];
    let config = config(pairs);
    let effective = config.effective();
    assert_eq!(effective.len(), SETTINGS.len());
    assert_eq!(effective[0].1, "postgres://me:***@db/courses?sslpassword=***&sslmode=require");
    assert!(effective.contains(&("BIND_ADDR", "0.0.0.0:80".to_owned())));
    assert!(effective.contains(&("KAFKA_BROKER", String::new())));
    assert!(effective.contains(&("COMMAND_TIMEOUT_MS", "5000".to_owned())));
    assert!(!format!("{config:?}").contains("hush"));

    let sasl = Values::collect([("KAFKA_SASL_PASSWORD", "hush")]).unwrap();
    assert!(sasl.effective().contains(&("KAFKA_SASL_PASSWORD", "***".to_owned())));
}

#[test]
fn tls_and_sasl_need_the_feature() {
    for (name, value) in [
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
        ("KAFKA_SASL_PASSWORD", "hush"),
        ("KAFKA_SSL_CA_LOCATION", "/etc/ca.pem"),
    ] {
        let refusal = Values::collect([(name, value)]).unwrap().kafka(false).unwrap_err();
        assert_eq!(refusal, ConfigError::WithoutTls { name });
        assert!(refusal.to_string().contains("--features kafka-tls"));
    }
}

#[test]
fn security_settings_become_client_properties() {
    let sasl = [
        ("KAFKA_SECURITY_PROTOCOL", "sasl_ssl"),
        ("KAFKA_SASL_MECHANISM", "scram-sha-512"),
        ("KAFKA_SASL_USERNAME", "courses"),
        ("KAFKA_SASL_PASSWORD", " hush"),
        ("KAFKA_SSL_CA_LOCATION", "/etc/ca.pem"),
    ];
    let expected = [
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "courses"),
        ("sasl.password", " hush"),
        ("ssl.ca.location", "/etc/ca.pem"),
    ];
    assert_eq!(properties(&sasl).unwrap(), expected.map(|(name, value)| (name, value.to_owned())));

    let refusal = properties(&sasl[..3]).unwrap_err();
    assert!(refusal.starts_with("KAFKA_SASL_PASSWORD is not set"), "{refusal}");
    let refusal = properties(&sasl[1..]).unwrap_err();
    assert!(refusal.ends_with("KAFKA_SECURITY_PROTOCOL is without SASL"), "{refusal}");
    let refusal = properties(&[
        ("KAFKA_SECURITY_PROTOCOL", "SSL"),
        ("KAFKA_SSL_CERTIFICATE_LOCATION", "/etc/us.pem"),
    ]);
    assert_eq!(
        refusal.unwrap_err(),
        "KAFKA_SSL_CERTIFICATE_LOCATION is set, but KAFKA_SSL_KEY_LOCATION is not"
    );
}

#[test]
fn traces_that_are_asked_for_are_warned_about() {
    let config = config([("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")]);
    assert_eq!(config.warnings().len(), 1);
}

#[test]
fn the_table_renders_as_markdown() {
    let markdown = settings_markdown();
    assert!(markdown.starts_with("| variable | default | meaning |\n|---|---|---|\n"));
    assert!(markdown.contains("| `DATABASE_URL` | – | Postgres, "));
    assert!(markdown.contains("| `GRAPHQL_TIMEOUT_MS` | `10000` | "));
    assert_eq!(markdown.lines().count(), SETTINGS.len() + 2);
    for line in markdown.lines() {
        assert_eq!(line.matches('|').count(), 4, "a cell holds the separator: {line}");
    }
}

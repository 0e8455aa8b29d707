//! From text to typed values: the rule of every setting, and the rules between them.

use std::collections::BTreeMap;

use super::settings::{self, Setting, Shown};
use super::{ConfigError, KafkaConfig, SETTINGS, Secret, missing};
use crate::app::connections::ConnectionLimits;
use crate::graphql::Limits;
use crate::graphql::http::SocketLimits;

/// A rule as people read it, and its parser.
pub(super) type Rule<T> = (&'static str, fn(&str) -> Option<T>);

/// The values that were given, by name.
pub(super) struct Values(BTreeMap<&'static str, String>);

impl Values {
    /// Keeps the values of our settings; refuses misspelt names, ignores what is not ours.
    pub(super) fn collect<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigError> {
        let mut values = BTreeMap::new();
        for (name, value) in pairs {
            let name = name.into();
            settings::check_name(&name)?;
            if let Some(setting) = settings::find(&name) {
                values.insert(setting.name, value.into());
            }
        }
        Ok(Self(values))
    }

    /// The given value; an empty one counts as none.
    fn given(&self, setting: &Setting) -> Option<&str> {
        let value = self.0.get(setting.name)?;
        let value = match setting.shown {
            Shown::Masked => value, // a space may belong to a password
            Shown::Plain | Shown::Url => value.trim(),
        };
        (!value.is_empty()).then_some(value)
    }

    /// Whether a value was given for `name`.
    pub(super) fn is_given(&self, name: &str) -> bool {
        settings::find(name).is_some_and(|setting| self.given(setting).is_some())
    }

    /// The value of `name`, else its default, else nothing.
    pub(super) fn optional<T>(
        &self,
        name: &'static str,
        (rule, parse): Rule<T>,
    ) -> Result<Option<T>, ConfigError> {
        let setting = settings::find(name).expect("every setting that is read is in the table");
        let Some(value) = self.given(setting).or(setting.default) else { return Ok(None) };
        let invalid = || ConfigError::Invalid { name, rule, shown: settings::show(setting, value) };
        parse(value).map(Some).ok_or_else(invalid)
    }

    /// As [`Values::optional`], where nothing is an error.
    pub(super) fn required<T>(&self, name: &'static str, rule: Rule<T>) -> Result<T, ConfigError> {
        self.optional(name, rule)?.ok_or_else(|| missing(name))
    }

    /// Every setting with the value that holds, as it may be shown.
    pub(super) fn effective(&self) -> Vec<(&'static str, String)> {
        let shown = |setting: &'static Setting| {
            let value = self.given(setting).or(setting.default);
            (setting.name, value.map(|value| settings::show(setting, value)).unwrap_or_default())
        };
        SETTINGS.iter().map(shown).collect()
    }

    /// How HTTP's connections are bounded.
    pub(super) fn connections(&self) -> Result<ConnectionLimits, ConfigError> {
        Ok(ConnectionLimits {
            connections: self.required("HTTP_MAX_CONNECTIONS", rules::SOCKETS)?,
            patience: self.required("HTTP_PATIENCE_MS", rules::MILLISECONDS)?,
        })
    }

    /// What a GraphQL request may ask for.
    pub(super) fn graphql(&self) -> Result<Limits, ConfigError> {
        Ok(Limits {
            introspection: self.required("GRAPHQL_INTROSPECTION", rules::SWITCH)?,
            timeout: self.required("GRAPHQL_TIMEOUT_MS", rules::MILLISECONDS)?,
            body: self.required("GRAPHQL_MAX_BODY_BYTES", rules::BODY_BYTES)?,
            batch: self.required("GRAPHQL_MAX_BATCH", rules::COUNT)?,
            tokens: self.required("GRAPHQL_MAX_TOKENS", rules::TOKENS)?,
            depth: self.required("GRAPHQL_MAX_DEPTH", rules::DEPTH)?,
            complexity: self.required("GRAPHQL_MAX_COMPLEXITY", rules::COST)?,
            aliases: self.required("GRAPHQL_MAX_ALIASES", rules::COUNT)?,
            mutations: self.required("GRAPHQL_MAX_MUTATIONS", rules::COUNT)?,
        })
    }

    /// The part of sockets.
    pub(super) fn sockets(&self) -> Result<SocketLimits, ConfigError> {
        Ok(SocketLimits {
            sockets: self.required("GRAPHQL_MAX_SOCKETS", rules::SOCKETS)?,
            operations: self.required("GRAPHQL_MAX_OPERATIONS", rules::COUNT)?,
            init: self.required("GRAPHQL_SOCKET_INIT_MS", rules::MILLISECONDS)?,
            patience: self.required("GRAPHQL_SOCKET_PATIENCE_MS", rules::MILLISECONDS)?,
        })
    }

    /// Kafka's part; `tls`: whether this build can speak TLS and SASL.
    pub(super) fn kafka(&self, tls: bool) -> Result<KafkaConfig, ConfigError> {
        Ok(KafkaConfig {
            topic_prefix: self
                .optional("KAFKA_TOPIC_PREFIX", rules::TOPIC_PREFIX)?
                .unwrap_or_default(),
            topic_partitions: self.required("KAFKA_TOPIC_PARTITIONS", rules::PARTITIONS)?,
            topic_replication_factor: self
                .required("KAFKA_TOPIC_REPLICATION_FACTOR", rules::REPLICATION)?,
            topic_retention_ms: self.required("KAFKA_TOPIC_RETENTION_MS", rules::RETENTION)?,
            security: self.kafka_security(tls)?,
        })
    }

    fn kafka_security(&self, tls: bool) -> Result<Vec<(&'static str, Secret)>, ConfigError> {
        let protocol = self.required("KAFKA_SECURITY_PROTOCOL", rules::SECURITY_PROTOCOL)?;
        let (login, encrypted) = (protocol.starts_with("SASL_"), protocol.ends_with("SSL"));
        if !tls && protocol != "PLAINTEXT" {
            return Err(ConfigError::WithoutTls { name: "KAFKA_SECURITY_PROTOCOL" });
        }
        let mut properties = vec![("security.protocol", Secret(protocol))];
        for (name, property, rule) in SECURITY {
            let needed = login && name.starts_with("KAFKA_SASL_");
            let Some(value) = self.optional(name, rule)? else {
                if needed {
                    return Err(missing(name));
                }
                continue;
            };
            if !tls {
                return Err(ConfigError::WithoutTls { name });
            }
            if name.starts_with("KAFKA_SASL_") && !login {
                let rule = "is set, but KAFKA_SECURITY_PROTOCOL is without SASL";
                return Err(ConfigError::Contradiction { name, rule });
            }
            if name.starts_with("KAFKA_SSL_") && !encrypted {
                let rule = "is set, but KAFKA_SECURITY_PROTOCOL is without SSL";
                return Err(ConfigError::Contradiction { name, rule });
            }
            properties.push((property, Secret(value)));
        }
        let (certificate, key) = ("KAFKA_SSL_CERTIFICATE_LOCATION", "KAFKA_SSL_KEY_LOCATION");
        for (name, other, rule) in [
            (certificate, key, "is set, but KAFKA_SSL_KEY_LOCATION is not"),
            (key, certificate, "is set, but KAFKA_SSL_CERTIFICATE_LOCATION is not"),
        ] {
            if self.is_given(name) && !self.is_given(other) {
                return Err(ConfigError::Contradiction { name, rule });
            }
        }
        if !(login || encrypted) {
            properties.clear();
        }
        Ok(properties)
    }
}

/// Settings that let us in, with the properties of librdkafka that they become.
const SECURITY: [(&str, &str, Rule<String>); 7] = [
    ("KAFKA_SASL_MECHANISM", "sasl.mechanism", rules::SASL_MECHANISM),
    ("KAFKA_SASL_USERNAME", "sasl.username", rules::TEXT),
    ("KAFKA_SASL_PASSWORD", "sasl.password", rules::TEXT),
    ("KAFKA_SSL_CA_LOCATION", "ssl.ca.location", rules::TEXT),
    ("KAFKA_SSL_CERTIFICATE_LOCATION", "ssl.certificate.location", rules::TEXT),
    ("KAFKA_SSL_KEY_LOCATION", "ssl.key.location", rules::TEXT),
    ("KAFKA_SSL_KEY_PASSWORD", "ssl.key.password", rules::TEXT),
];

/// What values must look like.
pub(super) mod rules {
    use std::net::SocketAddr;
    use std::ops::RangeInclusive;
    use std::str::FromStr;
    use std::time::Duration;

    use super::super::{LogFormat, Secret};
    use super::Rule;

    pub(in super::super) const POSTGRES_URL: Rule<Secret> = ("a postgres:// URL", |text| {
        let url = reqwest::Url::parse(text).ok()?;
        let ours = matches!(url.scheme(), "postgres" | "postgresql");
        ours.then(|| Secret(text.to_owned()))
    });

    pub(in super::super) const BROKERS: Rule<Vec<String>> =
        ("host:port, or several of them separated by commas", |text| {
            let broker = |text: &str| {
                let (host, port) = text.trim().rsplit_once(':')?;
                let whole = !host.is_empty() && !host.contains(['/', ' ']);
                (whole && port.parse::<u16>().is_ok_and(|port| port != 0))
                    .then(|| text.trim().to_owned())
            };
            text.split(',').map(broker).collect()
        });

    pub(in super::super) const HTTP_URL: Rule<String> =
        ("an http:// or https:// URL without user name, query or fragment", |text| {
            let url = reqwest::Url::parse(text).ok()?;
            let bare = url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none();
            (bare && matches!(url.scheme(), "http" | "https"))
                .then(|| text.trim_end_matches('/').to_owned())
        });

    pub(in super::super) const ADDRESS: Rule<SocketAddr> =
        ("an address and port such as 0.0.0.0:8080", |text| text.parse().ok());

    pub(in super::super) const SIZE: Rule<u32> =
        ("a whole number from 1 to 10000", |text| within(text, 1..=10_000));

    pub(in super::super) const PARTITIONS: Rule<i32> =
        ("a whole number from 1 to 10000", |text| within(text, 1..=10_000));

    pub(in super::super) const REPLICATION: Rule<i32> =
        ("-1 (the broker's default) or a number from 1 to 32767", |text| {
            within(text, -1..=32_767).filter(|copies| *copies != 0)
        });

    pub(in super::super) const RETENTION: Rule<i64> =
        ("-1 (for ever) or a number of milliseconds of at least 1", |text| {
            within(text, -1..=i64::MAX).filter(|kept| *kept != 0)
        });

    pub(super) const BODY_BYTES: Rule<usize> =
        ("a number of bytes from 1024 to 16777216", |text| within(text, 1024..=16_777_216));

    pub(super) const COUNT: Rule<usize> =
        ("a whole number from 1 to 1000", |text| within(text, 1..=1_000));

    pub(super) const TOKENS: Rule<usize> =
        ("a whole number from 1 to 100000", |text| within(text, 1..=100_000));

    pub(super) const SOCKETS: Rule<usize> =
        ("a whole number from 1 to 100000", |text| within(text, 1..=100_000));

    pub(super) const DEPTH: Rule<usize> =
        ("a whole number from 1 to 30", |text| within(text, 1..=30));

    pub(super) const COST: Rule<usize> =
        ("a whole number from 1 to 1000000000", |text| within(text, 1..=1_000_000_000));

    pub(in super::super) const MILLISECONDS: Rule<Duration> =
        ("a number of milliseconds from 1 to 86400000", |text| {
            within(text, 1..=86_400_000).map(Duration::from_millis)
        });

    /// Below the time for which claims of messages are kept.
    pub(in super::super) const PARKED_TTL: Rule<Duration> =
        ("a number of milliseconds from 1 to 2505600000 (29 days)", |text| {
            within(text, 1..=2_505_600_000).map(Duration::from_millis)
        });

    pub(super) const SWITCH: Rule<bool> = ("true or false", |text| text.parse().ok());

    pub(in super::super) const LOG_FORMAT: Rule<LogFormat> =
        ("pretty or json", |text| match text {
            "pretty" => Some(LogFormat::Pretty),
            "json" => Some(LogFormat::Json),
            _ => None,
        });

    pub(in super::super) const LOG_FILTER: Rule<String> =
        ("directives of tracing such as info,course_service=debug", |text| {
            tracing_subscriber::EnvFilter::try_new(text).ok().map(|_| text.to_owned())
        });

    pub(in super::super) const TOPIC_PREFIX: Rule<String> =
        ("at most 100 letters, digits, dots, hyphens and underscores", |text| {
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            (text.len() <= 100 && text.chars().all(legal)).then(|| text.to_owned())
        });

    pub(super) const SECURITY_PROTOCOL: Rule<String> =
        ("PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", |text| {
            one_of(text, &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
        });

    pub(super) const SASL_MECHANISM: Rule<String> =
        ("PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", |text| {
            one_of(text, &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
        });

    pub(super) const TEXT: Rule<String> = ("text", |text| Some(text.to_owned()));

    fn within<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
        text.parse().ok().filter(|number| range.contains(number))
    }

    /// The option that `text` names, in whatever case.
    fn one_of(text: &str, options: &[&str]) -> Option<String> {
        options.iter().find(|option| option.eq_ignore_ascii_case(text)).map(|&name| name.to_owned())
    }
}

//! Who is calling: bearer tokens, validated at the user management service.
//!
//! Closed by default: a caller is known only when that service said so, just now or at most 30 s
//! ago. Only positive answers are remembered, under the token's hash. The token itself
//! stays in the request to that service: it reaches no log, error, event or `Debug` form.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quick_cache::sync::Cache;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, StatusCode, redirect};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::domain::{Actor, Role, UserId};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a positive answer is believed.
const CACHED: Duration = Duration::from_secs(30);
/// How many callers are remembered.
const CALLERS: usize = 10_000;
/// Largest reply that is read, in bytes.
const REPLY: usize = 64 * 1024;
/// Longest token that is looked at, in bytes; what HTTP servers allow a header line to be.
const TOKEN: usize = 16 * 1024;

/// Why a caller is not let in. Safe to show; the cause of an outage is logged where it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The token is not valid.
    #[error("the token is not valid")]
    Unauthenticated,
    /// The user management service knows the caller and refuses.
    #[error("the user management service refuses this caller")]
    Forbidden,
    /// The user management service gave no usable answer. Worth another try.
    #[error("the user management service is unavailable")]
    Unavailable,
}

/// Why a reply cannot be used; for the log.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("no reply: {0}")]
    Transport(String),
    #[error("it replied with status {0}")]
    Status(StatusCode),
    #[error("its reply is larger than {REPLY} bytes")]
    TooLarge,
    #[error("its reply is no JSON object with a boolean `valid`")]
    Malformed,
}

impl From<reqwest::Error> for Unusable {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut chain = error.to_string();
        let mut cause = error.source();
        while let Some(source) = cause {
            chain = format!("{chain}: {source}");
            cause = source.source();
        }
        Self::Transport(chain)
    }
}

/// The role that a reply names.
fn role(text: &str) -> Role {
    match text.trim().to_ascii_lowercase().as_str() {
        "student" => Role::Student,
        "instructor" => Role::Instructor,
        "admin" => Role::Admin,
        _ => Role::Other,
    }
}

/// What the service said about a token.
enum Verdict {
    /// Valid, with the reply.
    Valid(Value),
    /// Not let in.
    Refused(IdentityError),
}

#[derive(Clone)]
struct Remembered {
    caller: Actor,
    until: Instant,
}

/// The user management service, as seen from here. One for the process.
pub struct Identity {
    client: Client,
    url: String,
    timeout: Duration,
    cached: Duration,
    callers: Cache<[u8; 32], Remembered>,
    pseudonym_logged: AtomicBool,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Identity {
    /// Validates at `GET {url}/validate`; `url` ends without a slash.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn try_new(url: &str) -> Result<Self, reqwest::Error> {
        Self::with_limits(url, TIMEOUT, CACHED)
    }

    /// As [`Identity::try_new`], with a time for an answer and one to believe it.
    ///
    /// # Errors
    /// When the HTTP client cannot be built.
    pub fn with_limits(
        url: &str,
        timeout: Duration,
        cached: Duration,
    ) -> Result<Self, reqwest::Error> {
        // A redirect would carry the token elsewhere; a proxy would come from the environment.
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().build()?;
        Ok(Self {
            client,
            url: format!("{url}/validate"),
            timeout,
            cached,
            callers: Cache::new(CALLERS),
            pseudonym_logged: AtomicBool::new(false),
        })
    }

    /// Says who holds `token`, which comes without the word `Bearer`. Concurrent calls with the
    /// same token share one request.
    ///
    /// # Errors
    /// When the token is not valid, the caller is refused, or no usable answer came in time.
    pub async fn validate(&self, token: &str) -> Result<Actor, IdentityError> {
        let credentials = credentials(token).ok_or(IdentityError::Unauthenticated)?;
        let key: [u8; 32] = Sha256::digest(token).into();
        // The limit covers the wait for somebody else's request, too: no queue behind an outage.
        let lookup = tokio::time::timeout(self.timeout, self.lookup(token, &key, credentials));
        lookup.await.unwrap_or_else(|_| {
            let timeout = self.timeout;
            tracing::warn!(?timeout, "the user management service did not answer in time");
            Err(IdentityError::Unavailable)
        })
    }

    async fn lookup(
        &self,
        token: &str,
        key: &[u8; 32],
        credentials: HeaderValue,
    ) -> Result<Actor, IdentityError> {
        let now = Instant::now();
        self.callers.remove_if(key, |known| known.until <= now);
        let known = self.callers.get_or_insert_async(key, async {
            let until = Instant::now() + self.cached;
            let reply = match self.ask(credentials).await {
                Ok(Verdict::Valid(reply)) => reply,
                Ok(Verdict::Refused(refusal)) => return Err(refusal),
                Err(error) => {
                    tracing::warn!(%error, "the user management service cannot be used");
                    return Err(IdentityError::Unavailable);
                }
            };
            let role = reply["role"].as_str().map_or(Role::Other, role);
            let named = user_id(&reply).or_else(|| subject(token));
            // A credential must never become an id: ids are stored and published.
            let named = named.filter(|id| id.as_str() != token);
            let id = named.or_else(|| self.pseudonym(token)).ok_or(IdentityError::Unavailable)?;
            Ok(Remembered { caller: Actor { id, role }, until })
        });
        Ok(known.await?.caller)
    }

    async fn ask(&self, credentials: HeaderValue) -> Result<Verdict, Unusable> {
        let request = self.client.get(&self.url).header(AUTHORIZATION, credentials);
        let mut response = request.send().await?;
        match response.status() {
            StatusCode::UNAUTHORIZED => {
                return Ok(Verdict::Refused(IdentityError::Unauthenticated));
            }
            StatusCode::FORBIDDEN => return Ok(Verdict::Refused(IdentityError::Forbidden)),
            status if !status.is_success() => return Err(Unusable::Status(status)),
            _ => (),
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > REPLY {
                return Err(Unusable::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        // The parser's message may quote the reply: it stays out of the log.
        let reply: Value = serde_json::from_slice(&body).map_err(|_| Unusable::Malformed)?;
        match reply["valid"].as_bool() {
            Some(true) => Ok(Verdict::Valid(reply)),
            Some(false) => Ok(Verdict::Refused(IdentityError::Unauthenticated)),
            None => Err(Unusable::Malformed),
        }
    }

    /// A stable name for the holder of a token that tells nobody who it is.
    fn pseudonym(&self, token: &str) -> Option<UserId> {
        if !self.pseudonym_logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the user management service replies without a user id and the token has none: \
                 callers are known by a hash of their token, and lose what they own with it"
            );
        }
        let mut digits = format!("{:x}", Sha256::digest(token));
        digits.truncate(16);
        UserId::parse(&digits, "id").ok()
    }
}

/// The header that carries `token`; `None` when no header can, or none should.
fn credentials(token: &str) -> Option<HeaderValue> {
    let plain = !token.is_empty() && token.len() <= TOKEN;
    if !plain || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The user's id where replies are known to have it.
fn user_id(reply: &Value) -> Option<UserId> {
    [&reply["userId"], &reply["id"], &reply["sub"], &reply["user"]["id"]].into_iter().find_map(id)
}

/// The subject of a token that is a JWT. Trusted only because the service just validated it.
fn subject(token: &str) -> Option<UserId> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    id(&serde_json::from_slice::<Value>(&payload).ok()?["sub"])
}

/// A string or whole number that can serve as an id.
fn id(value: &Value) -> Option<UserId> {
    match value {
        Value::String(text) => UserId::parse(text, "id").ok(),
        Value::Number(number) if !number.is_f64() => UserId::parse(&number.to_string(), "id").ok(),
        _ => None,
    }
}

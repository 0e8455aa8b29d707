//! Stands in for the user management service in `dev` and in tests, so that neither needs one.
//!
//! It accepts made-up tokens: `<role>:<user id>`, with the roles of the service. Nothing but `dev`
//! and tests may start it; it says so in the log, and listens on 127.0.0.1 only.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::{
    Json, Router,
    http::{HeaderMap, header::AUTHORIZATION},
    routing::get,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

const ROLES: [&str; 3] = ["instructor", "student", "admin"];

/// A running stand-in. Dropping it stops it.
#[derive(Debug)]
pub struct StandIn {
    address: SocketAddr,
    server: JoinHandle<()>,
}

/// Starts the stand-in on a free port.
pub async fn start() -> anyhow::Result<StandIn> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await;
    let listener = listener.context("cannot open a port for the stand-in of the user service")?;
    let address = listener.local_addr().context("cannot read the port of the stand-in")?;
    let router = Router::new().route("/validate", get(validate));
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the stand-in of the user management service ended");
        }
    });
    tracing::warn!(
        %address,
        "stand-in of the user management service: it accepts made-up tokens such as \
         `instructor:ada`, `student:sam` or `admin:root`; for development only"
    );
    Ok(StandIn { address, server })
}

impl StandIn {
    /// The value for `USER_MANAGEMENT_SERVICE_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops serving at once.
    pub async fn shutdown(mut self) {
        self.server.abort();
        let _ = (&mut self.server).await; // cancelled, as asked
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn validate(headers: HeaderMap) -> Json<Value> {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    Json(match header.and_then(parse) {
        Some((role, user)) => json!({ "valid": true, "role": role, "userId": user }),
        None => json!({ "valid": false }),
    })
}

/// Role and user id of `Bearer <role>:<user id>`.
fn parse(header: &str) -> Option<(&str, &str)> {
    let (scheme, token) = header.split_once(' ')?;
    let (role, user) = token.trim().split_once(':')?;
    let is_id = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    let accepted = scheme.eq_ignore_ascii_case("bearer")
        && ROLES.contains(&role)
        && !user.is_empty()
        && user.chars().all(is_id);
    accepted.then_some((role, user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_tokens_are_accepted() {
        assert_eq!(parse("Bearer instructor:ada"), Some(("instructor", "ada")));
        assert_eq!(parse("bearer student:sam.1@x"), Some(("student", "sam.1@x")));
    }

    #[test]
    fn anything_else_is_refused() {
        for header in
            ["", "Bearer", "Bearer ada", "Bearer root:ada", "Bearer admin:", "Basic admin:x"]
        {
            assert_eq!(parse(header), None, "{header}");
        }
    }
}

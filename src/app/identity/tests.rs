use std::io::Write;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

const AMPLE: Duration = Duration::from_secs(10);

/// A user management service on a port of its own; stops when dropped.
struct Service {
    url: String,
    calls: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl Service {
    /// Answers `GET /validate` with `reply`, which gets the number of the call, from 0.
    async fn start<R: IntoResponse>(
        reply: impl Fn(usize) -> R + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::slow(Duration::ZERO, reply).await
    }

    async fn slow<R: IntoResponse>(
        delay: Duration,
        reply: impl Fn(usize) -> R + Clone + Send + Sync + 'static,
    ) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let handler = async move |headers: HeaderMap| -> Response {
            assert!(headers["authorization"].to_str().unwrap().starts_with("Bearer "));
            let call = counter.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(delay).await;
            reply(call).into_response()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let router = Router::new().route("/validate", get(handler));
            axum::serve(listener, router).await.unwrap();
        });
        Self { url, calls, _server: server }
    }

    async fn json(reply: Value) -> Self {
        Self::start(move |_| axum::Json(reply.clone())).await
    }

    fn identity(&self) -> Identity {
        Identity::with_limits(&self.url, AMPLE, CACHED).unwrap()
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn caller(id: &str, role: Role) -> Actor {
    Actor { id: UserId::parse(id, "id").unwrap(), role }
}

/// A token of the form of a JWT with these claims; its signature is not one.
fn jwt(claims: &Value) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(r#"{"alg":"none"}"#), part(&claims.to_string()), part("signature"))
}

#[tokio::test]
async fn a_valid_token_gives_the_role_of_the_reply() {
    for (text, role) in [
        ("instructor", Role::Instructor),
        ("student", Role::Student),
        ("admin", Role::Admin),
        (" Admin ", Role::Admin),
        ("auditor", Role::Other),
        ("", Role::Other),
    ] {
        let service = Service::json(json!({ "valid": true, "role": text, "id": "ada" })).await;
        assert_eq!(service.identity().validate("t").await, Ok(caller("ada", role)), "{text}");
    }
    let service = Service::json(json!({ "valid": true, "id": "ada" })).await;
    assert_eq!(service.identity().validate("t").await, Ok(caller("ada", Role::Other)));
}

#[tokio::test]
async fn a_refusal_is_told_apart_from_an_outage() {
    use IdentityError::{Forbidden, Unauthenticated, Unavailable};
    let status = |code| async move {
        Service::start(move |_| (StatusCode::from_u16(code).unwrap(), "{\"valid\":true}")).await
    };
    for (service, expected) in [
        (Service::json(json!({ "valid": false, "role": "admin" })).await, Unauthenticated),
        (status(401).await, Unauthenticated),
        (status(403).await, Forbidden),
        (status(404).await, Unavailable),
        (status(500).await, Unavailable),
        (status(503).await, Unavailable),
        (Service::start(|_| "<html>").await, Unavailable),
        (Service::start(|_| "").await, Unavailable),
        (Service::json(json!({ "role": "admin" })).await, Unavailable),
        (Service::json(json!({ "valid": "true", "role": "admin" })).await, Unavailable),
        (Service::json(json!([true])).await, Unavailable),
        (Service::json(json!({ "valid": true, "pad": "x".repeat(REPLY) })).await, Unavailable),
        (Service::start(|_| Redirect::temporary("/validate")).await, Unavailable),
    ] {
        assert_eq!(service.identity().validate("t").await, Err(expected));
        assert_eq!(service.calls(), 1);
    }
}

#[tokio::test]
async fn a_late_answer_is_an_outage() {
    let reply = |_| axum::Json(json!({ "valid": true, "role": "admin" }));
    let service = Service::slow(Duration::from_mins(1), reply).await;
    let identity = Identity::with_limits(&service.url, Duration::from_millis(50), CACHED).unwrap();
    let started = Instant::now();
    let (first, second) = tokio::join!(identity.validate("t"), identity.validate("t"));
    assert_eq!((first, second), (Err(IdentityError::Unavailable), Err(IdentityError::Unavailable)));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_refused_connection_is_an_outage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let identity = Identity::try_new(&url).unwrap();
    assert_eq!(identity.validate("t").await, Err(IdentityError::Unavailable));
}

#[tokio::test]
async fn the_user_id_is_taken_from_where_replies_have_it() {
    for (fields, expected) in [
        (json!({ "userId": "a", "id": "b", "sub": "c", "user": { "id": "d" } }), "a"),
        (json!({ "id": "b", "sub": "c", "user": { "id": "d" } }), "b"),
        (json!({ "sub": "c", "user": { "id": "d" } }), "c"),
        (json!({ "user": { "id": "d" } }), "d"),
        (json!({ "id": 42 }), "42"),
        (json!({ "id": " b " }), "b"),
        (json!({ "userId": "  ", "id": null, "sub": 1.5, "user": { "id": "d" } }), "d"),
        (json!({ "userId": "a\u{0}", "id": "x".repeat(129), "sub": "c" }), "c"),
    ] {
        let mut reply = json!({ "valid": true, "role": "student" });
        reply.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let service = Service::json(reply).await;
        let token = jwt(&json!({ "sub": "of the token" }));
        assert_eq!(service.identity().validate(&token).await, Ok(caller(expected, Role::Student)));
    }
}

#[tokio::test]
async fn without_an_id_in_the_reply_the_token_is_asked() {
    let service = Service::json(json!({ "valid": true, "role": "student" })).await;
    let identity = service.identity();
    for (claims, expected) in [(json!({ "sub": "sam" }), "sam"), (json!({ "sub": 7 }), "7")] {
        assert_eq!(identity.validate(&jwt(&claims)).await, Ok(caller(expected, Role::Student)));
    }
}

#[tokio::test]
async fn without_any_id_the_caller_gets_a_stable_pseudonym() {
    let service = Service::json(json!({ "valid": true, "role": "instructor" })).await;
    // The first 16 digits of `printf opaque | sha256sum`.
    let expected = Ok(caller("6d229884c1268bb0", Role::Instructor));
    assert_eq!(service.identity().validate("opaque").await, expected);
    assert_eq!(service.identity().validate("opaque").await, expected);
    for token in
        ["a.b.c", &jwt(&json!({ "name": "Sam" })), &format!("{}.x", jwt(&json!({ "sub": "s" })))]
    {
        let caller = service.identity().validate(token).await.unwrap();
        assert_eq!(caller.id.as_str().len(), 16);
        assert!(caller.id.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_refused_without_a_call() {
    let service = Service::json(json!({ "valid": true, "role": "admin" })).await;
    let identity = service.identity();
    let long = "x".repeat(TOKEN + 1);
    for token in ["", " ", "a b", "a\r\nx: y", "a\u{0}", "ä", &long] {
        assert_eq!(identity.validate(token).await, Err(IdentityError::Unauthenticated));
    }
    assert_eq!(service.calls(), 0);
}

#[tokio::test]
async fn a_positive_answer_is_remembered_for_its_time() {
    let service = Service::json(json!({ "valid": true, "role": "admin", "id": "root" })).await;
    let identity = service.identity();
    for _ in 0..3 {
        assert_eq!(identity.validate("t").await, Ok(caller("root", Role::Admin)));
    }
    assert_eq!(service.calls(), 1);
    assert_eq!(identity.validate("another").await, Ok(caller("root", Role::Admin)));
    assert_eq!(service.calls(), 2);

    let forgetful = Identity::with_limits(&service.url, AMPLE, Duration::ZERO).unwrap();
    for calls in 3..5 {
        assert_eq!(forgetful.validate("t").await, Ok(caller("root", Role::Admin)));
        assert_eq!(service.calls(), calls);
    }
}

#[tokio::test]
async fn other_answers_are_not_remembered() {
    let service = Service::start(|call| match call {
        0 => StatusCode::UNAUTHORIZED.into_response(),
        1 => StatusCode::FORBIDDEN.into_response(),
        2 => StatusCode::BAD_GATEWAY.into_response(),
        _ => axum::Json(json!({ "valid": true, "role": "admin", "id": "root" })).into_response(),
    })
    .await;
    let identity = service.identity();
    for expected in [
        Err(IdentityError::Unauthenticated),
        Err(IdentityError::Forbidden),
        Err(IdentityError::Unavailable),
        Ok(caller("root", Role::Admin)),
    ] {
        assert_eq!(identity.validate("t").await, expected);
    }
}

#[tokio::test]
async fn concurrent_calls_with_one_token_share_a_request() {
    let reply = |_| axum::Json(json!({ "valid": true, "role": "admin", "id": "root" }));
    let service = Service::slow(Duration::from_millis(50), reply).await;
    let identity = service.identity();
    let (a, b, c) =
        tokio::join!(identity.validate("t"), identity.validate("t"), identity.validate("t"));
    assert_eq!([a, b, c], [(); 3].map(|()| Ok(caller("root", Role::Admin))));
    assert_eq!(service.calls(), 1);
}

/// Everything that was logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_token_is_never_logged_and_the_pseudonym_once() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // With one subscriber alone, another test's thread, which has none, could switch off what is logged for all.
    let _second =
        tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(std::io::sink).finish());
    let _guard = tracing::subscriber::set_default(subscriber);

    let token = "hush-hush";
    let service = Service::start(move |call| match call {
        0 => (StatusCode::BAD_GATEWAY, token).into_response(),
        1 => token.into_response(),
        _ => axum::Json(json!({ "valid": true, "role": "admin" })).into_response(),
    })
    .await;
    let identity = Identity::with_limits(&service.url, AMPLE, Duration::ZERO).unwrap();
    let mut shown = Vec::new();
    for _ in 0..4 {
        shown.push(format!("{:?} {identity:?}", identity.validate(token).await));
    }
    let refused = Identity::try_new("http://127.0.0.1:1").unwrap();
    shown.push(format!("{:?}", refused.validate(token).await));

    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(!logged.contains(token) && !shown.concat().contains(token), "{logged}{shown:?}");
    assert_eq!(logged.matches("cannot be used").count(), 3, "{logged}");
    assert_eq!(logged.matches("a hash of their token").count(), 1, "{logged}");
}

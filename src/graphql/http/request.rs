//! What a request says: its members by the GraphQL over HTTP specification, from JSON or from the query of a URL.

use async_graphql::Variables;
use axum::extract::Query;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::persisted::Reference;

/// The members of a request. Others are ignored.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// The document.
    pub(super) query: Option<String>,
    /// Which of its operations.
    pub(super) operation_name: Option<String>,
    /// The values of its variables.
    pub(super) variables: Variables,
    /// A persisted document instead of, or to be kept with, the text.
    pub(super) reference: Option<Reference>,
}

/// The members as they come, with their types.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<Map<String, Value>>,
    extensions: Option<Map<String, Value>>,
}

impl Raw {
    fn read(self) -> Result<Members, String> {
        let reference = self.extensions.and_then(|mut known| known.remove("persistedQuery"));
        let reference = serde_json::from_value(reference.unwrap_or_default())
            .map_err(|error| format!("`persistedQuery`: {error}"))?;
        let members = Members {
            query: self.query,
            operation_name: self.operation_name,
            variables: Variables::from_json(Value::Object(self.variables.unwrap_or_default())),
            reference,
        };
        if members.query.is_none() && members.reference.is_none() {
            return Err("it has no `query`".to_owned());
        }
        Ok(members)
    }
}

/// A body: one request, or several at once.
#[derive(Debug)]
pub(super) enum Envelope {
    One(Box<Members>),
    Batch(Vec<Members>),
}

/// Reads a body of JSON. The error completes the sentence "the body is not a GraphQL request in JSON: …".
pub(super) fn from_json(body: &[u8]) -> Result<Envelope, String> {
    // By way of a map, because a structure would also be read from a list of its members.
    let is_batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if is_batch {
        let batch: Vec<_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        batch.into_iter().map(from_map).collect::<Result<_, _>>().map(Envelope::Batch)
    } else {
        let map = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        Ok(Envelope::One(Box::new(from_map(map)?)))
    }
}

/// Reads the payload of a message of a WebSocket. The error is half a sentence, as that of [`from_json`].
pub(super) fn from_map(map: Map<String, Value>) -> Result<Members, String> {
    let raw = serde_json::from_value::<Raw>(Value::Object(map));
    raw.map_err(|error| error.to_string())?.read()
}

/// Reads the parameters of a URL, of which empty ones count as absent. The error is a sentence.
pub(super) fn from_query(uri: &Uri) -> Result<Members, String> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Parameters {
        query: String,
        operation_name: String,
        variables: String,
        extensions: String,
    }
    let parameters = Query::<Parameters>::try_from_uri(uri)
        .map_err(|_| "the parameters cannot be read, or one is there twice".to_owned())?;
    let Parameters { query, operation_name, variables, extensions } = parameters.0;
    let given = |text: String| (!text.is_empty()).then_some(text);
    let object = |name: &str, text: String| {
        let Some(text) = given(text) else { return Ok(None) };
        serde_json::from_str(&text).map_err(|error| format!("`{name}` is no JSON object: {error}"))
    };
    let raw = Raw {
        query: given(query),
        operation_name: given(operation_name),
        variables: object("variables", variables)?,
        extensions: object("extensions", extensions)?,
    };
    raw.read().map_err(|why| format!("the parameters are not a GraphQL request: {why}"))
}

/// Whether the body is JSON in UTF-8: what no page of another origin can send without asking first.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else { return false };
    let mut parts = kind.to_str().unwrap_or_default().split(';').map(str::trim);
    let json = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    json && parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_name_alone() {
        let is_json = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, kind.parse().unwrap());
            is_json(&headers)
        };
        for kind in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; profile=x",
        ] {
            assert!(is_json(kind), "{kind}");
        }
        for kind in [
            "",
            "text/plain",
            "text/plain; application/json",
            "text/plain; charset=application/json",
            "text/plain, application/json",
            "application/json, text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=application/json",
            "application/jsonx",
            "application/graphql",
            "application/json; charset=utf-16",
            "application/json; charset=iso-8859-1",
        ] {
            assert!(!is_json(kind), "{kind}");
        }
        assert!(!super::is_json(&HeaderMap::new()));
        let mut two = HeaderMap::new();
        two.append(CONTENT_TYPE, "application/json".parse().unwrap());
        two.append(CONTENT_TYPE, "text/plain".parse().unwrap());
        assert!(!super::is_json(&two));
    }

    #[test]
    fn members_have_their_types_and_null_is_none() {
        for body in [
            r#"{"query":"{a}"}"#,
            r#"{"query":"{a}","operationName":null,"variables":null,"extensions":null}"#,
            r#"{"query":"{a}","extensions":{"persistedQuery":null,"other":1},"unknown":[]}"#,
            r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"x"}}}"#,
        ] {
            assert!(matches!(from_json(body.as_bytes()), Ok(Envelope::One(_))), "{body}");
        }
        assert!(
            matches!(from_json(b" [{\"query\":\"\"}]"), Ok(Envelope::Batch(b)) if b.len() == 1)
        );
        assert!(matches!(from_json(b"[]"), Ok(Envelope::Batch(b)) if b.is_empty()));
        for body in [
            "",
            "null",
            "1",
            "{}",
            r#"{"query":null}"#,
            r#"{"query":1}"#,
            r#"{"query":"{a}","extensions":[]}"#,
            r#"{"query":"{a}","extensions":[null]}"#,
            r#"{"query":"{a}","extensions":{"persistedQuery":1}}"#,
            r#"{"query":"{a}","extensions":{"persistedQuery":{"version":1}}}"#,
            r#"["{a}",null,null,null]"#,
            r#"[["{a}",null,null,null]]"#,
            r#"[{"query":"{a}"},{}]"#,
        ] {
            assert!(from_json(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn the_members_of_a_url_are_those_of_a_body() {
        let read = |query: &str| from_query(&format!("/graphql?{query}").parse().unwrap());
        let members = "query=%7Ba%7D&operationName=A&variables=%7B%22x%22%3A1%7D&extensions=%7B%7D";
        let members = read(members).unwrap();
        assert_eq!(members.query.as_deref(), Some("{a}"));
        assert_eq!(members.operation_name.as_deref(), Some("A"));
        assert_eq!(members.variables.len(), 1);
        assert!(read("query=%7Ba%7D&operationName=&variables=&extensions=&x=1").is_ok());
        for query in
            ["", "query=", "x=1", "query=a&query=b", "query=a&variables=1", "query=a&variables=%7B"]
        {
            assert!(read(query).is_err(), "{query}");
        }
    }
}

//! Short cuts through the API that its tests share, and how its errors look.

use serde_json::{Value, json};

use crate::support::{TestApp, eventually};

pub(crate) const NOBODY: &str = "";
/// Teaches every course of the tests.
pub(crate) const ADA: &str = "instructor:ada";
pub(crate) const BOB: &str = "instructor:bob";
pub(crate) const SAM: &str = "student:sam";
pub(crate) const TIM: &str = "student:tim";
pub(crate) const ROOT: &str = "admin:root";

impl TestApp {
    /// Runs a document that must not fail, and answers its data.
    pub(crate) async fn query(&self, token: &str, query: &str, variables: Value) -> Value {
        let mut answer = self.graphql(token, query, variables).await;
        assert_eq!(answer.get("errors"), None, "{query}: {answer}");
        answer["data"].take()
    }

    /// Runs a document that must fail without a trace in the log, and answers the error's code.
    pub(crate) async fn failure(&self, token: &str, query: &str, variables: Value) -> String {
        let before = self.log_length().await;
        let answer = self.graphql(token, query, variables).await;
        assert_eq!(self.log_length().await, before, "{query}: {answer}");
        code_of(&answer)
    }

    /// Runs a mutation that must succeed, and answers its payload.
    pub(crate) async fn done(
        &self,
        token: &str,
        name: &str,
        input: Value,
        selection: &str,
    ) -> Value {
        let payload = self.mutate(token, name, input, selection).await;
        assert_eq!(payload["userErrors"], json!([]), "{name}: {payload}");
        assert!(payload["position"].is_string(), "{name}: {payload}");
        payload
    }

    /// Runs a mutation that must be refused without a trace in the log, and answers its only user error.
    pub(crate) async fn refusal(&self, token: &str, name: &str, input: Value) -> Value {
        let before = self.log_length().await;
        let mut payload = self.mutate(token, name, input, "clientMutationId").await;
        assert_eq!(self.log_length().await, before, "{name}: {payload}");
        assert_eq!(payload["position"], Value::Null, "{name}: {payload}");
        assert_eq!(payload["userErrors"].as_array().map(Vec::len), Some(1), "{name}: {payload}");
        payload["userErrors"][0].take()
    }

    /// As [`TestApp::refusal`]; only the code.
    pub(crate) async fn refused(&self, token: &str, name: &str, input: Value) -> String {
        text(&self.refusal(token, name, input).await["code"])
    }

    /// Runs a mutation that must succeed and append nothing, and answers its payload.
    pub(crate) async fn no_op(
        &self,
        token: &str,
        name: &str,
        input: Value,
        selection: &str,
    ) -> Value {
        let before = self.log_length().await;
        let payload = self.done(token, name, input, selection).await;
        assert_eq!(self.log_length().await, before, "{name}: {payload}");
        payload
    }

    /// A new course of ada; its id.
    pub(crate) async fn course(&self, input: Value) -> String {
        let payload = self.done(ADA, "createCourse", input, "course { id }").await;
        text(&payload["course"]["id"])
    }

    /// A draft of ada; its id.
    pub(crate) async fn draft(&self, code: &str) -> String {
        self.course(json!({ "code": code, "title": code })).await
    }

    /// A new module at the end of a course of ada; its id.
    pub(crate) async fn module(&self, course: &str, title: &str) -> String {
        let input = json!({ "courseId": course, "title": title });
        text(&self.done(ADA, "addModule", input, "module { id }").await["module"]["id"])
    }

    /// A new page at the beginning of a module; its id.
    pub(crate) async fn item(&self, course: &str, module: &str, required: bool) -> String {
        let input = json!({
            "courseId": course, "moduleId": module, "kind": "PAGE", "title": format!("item of {module}"),
            "required": required, "position": 0
        });
        text(&self.done(ADA, "addModuleItem", input, "moduleItem { id }").await["moduleItem"]["id"])
    }

    /// Hides an item.
    pub(crate) async fn hide(&self, course: &str, item: &str) {
        let input = json!({ "courseId": course, "moduleItemId": item, "state": "UNPUBLISHED" });
        self.done(ADA, "updateModuleItem", input, "moduleItem { id }").await;
    }

    /// The holder of the token is done with an item.
    pub(crate) async fn complete(&self, token: &str, course: &str, item: &str) {
        let input = json!({ "courseId": course, "moduleItemId": item });
        self.done(token, "completeModuleItem", input, "enrollment { id }").await;
    }

    /// Waits until every read model has seen the whole log.
    pub(crate) async fn settled(&self) {
        eventually("the read models are there", async || {
            let behind = "SELECT count(*) FROM projections p CROSS JOIN log_head h WHERE p.position < h.position";
            sqlx::query_scalar::<_, i64>(behind).fetch_one(&self.pool).await.unwrap() == 0
        })
        .await;
    }

    /// Enrolls the holder of the token; answers id, status and place in the waitlist.
    pub(crate) async fn enroll(&self, token: &str, course: &str) -> Value {
        let selection = "enrollment { id status waitlistPosition }";
        let input = json!({ "courseId": course });
        self.done(token, "enrollStudent", input, selection).await["enrollment"].take()
    }

    /// The types of the events of the log, in its order.
    pub(crate) async fn events(&self) -> Vec<String> {
        let types = "SELECT event_type FROM events ORDER BY position";
        sqlx::query_scalar(types).fetch_all(&self.pool).await.unwrap()
    }
}

/// The code of `errors[]`, whose entries all have the same, and what else every entry has.
pub(crate) fn code_of(answer: &Value) -> String {
    let errors = answer["errors"].as_array().unwrap_or_else(|| panic!("no errors: {answer}"));
    for error in errors {
        let extensions = &error["extensions"];
        assert_eq!(extensions["code"], errors[0]["extensions"]["code"], "{answer}");
        assert!(extensions["retryable"].is_boolean(), "{answer}");
        assert!(extensions["correlationId"].is_string(), "{answer}");
    }
    text(&errors[0]["extensions"]["code"])
}

/// A string of an answer.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

//! `minPosition` where the read models are filled by another instance, or by nobody.

use course_service::app::service::Roles;
use serde_json::json;
use tokio::time::{Duration, Instant};

use crate::api::{ADA, code_of};
use crate::support::{self, database_url};

const API: Roles = Roles { projections: false, ..Roles::WITHOUT_KAFKA };
const PROJECTIONS: Roles = Roles { api: false, ..Roles::WITHOUT_KAFKA };
const TITLE: &str =
    "query($id: ID!, $at: String) { course(id: $id, minPosition: $at) { title version } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_at_one_instance_is_read_at_another_while_a_third_projects() {
    let url = database_url().await;
    let settings = [("DATABASE_URL", url.as_str())];
    let _projector = support::start(&settings, PROJECTIONS).await;
    let (first, second) =
        (support::start(&settings, API).await, support::start(&settings, API).await);
    let course = first.course(json!({ "code": "ALG-1", "title": "0" })).await;
    for number in 1..30 {
        let (writer, reader) = if number % 2 == 0 { (&first, &second) } else { (&second, &first) };
        let input = json!({ "courseId": course, "title": number.to_string() });
        let payload = writer.done(ADA, "updateCourse", input, "course { version }").await;
        let read =
            reader.query(ADA, TITLE, json!({ "id": course, "at": payload["position"] })).await;
        assert_eq!(read["course"]["title"], number.to_string());
        assert_eq!(read["course"]["version"], payload["course"]["version"]);
    }
}

#[tokio::test]
async fn where_nobody_projects_the_wait_ends_with_a_code_and_another_try_succeeds_once_somebody_does()
 {
    let url = database_url().await;
    let settings = [("DATABASE_URL", url.as_str())];
    let app = support::start(&settings, API).await;
    let input = json!({ "code": "ALG-1", "title": "x" });
    let payload = app.done(ADA, "createCourse", input, "course { id }").await;
    let variables = json!({ "id": payload["course"]["id"], "at": payload["position"] });
    let began = Instant::now();
    let answer = app.graphql(ADA, TITLE, variables.clone()).await;
    let waited = began.elapsed();
    assert_eq!(code_of(&answer), "PROJECTION_LAGGING");
    assert_eq!(answer["errors"][0]["extensions"]["retryable"], true);
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    // Bounded: far from the time that the whole request has.
    assert!(waited < Duration::from_secs(8), "{waited:?}");
    let _projector = support::start(&settings, PROJECTIONS).await;
    app.settled().await;
    assert_eq!(app.query(ADA, TITLE, variables).await["course"]["title"], "x");
}

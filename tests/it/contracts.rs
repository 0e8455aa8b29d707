//! What others build on and what is committed for them is what the code says.

use std::path::Path;

#[test]
fn the_committed_schema_is_that_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql");
    let fresh = course_service::graphql::sdl();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap();
    assert!(committed == fresh, "stale: `UPDATE=1 cargo test --test it contracts` rewrites it");
}

//! The schema by the tools of others: the rules of its linter, and what would break clients of the last release.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::fs;
use std::path::Path;

use crate::npm::{self, Ran};
use crate::process::tempdir::Folder;

const PROJECT: &str = "schema";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

async fn lint(schema: &Path) -> Ran {
    npm::run(&npm::installed(PROJECT).await, "lint", &[("SCHEMA", schema)]).await
}

#[tokio::test]
async fn the_schema_keeps_the_rules_of_its_linter() {
    let ran = lint(&root().join("schema.graphql")).await;
    assert!(ran.done, "{}", ran.output);
}

/// Has a fault of every kind, and no other.
const FAULTY: &str = r#"
"""Reads."""
type Query {
  """The things."""
  things("""The cursor.""" after: String, """The size.""" first: Int): ThingConnection!
  """A thing."""
  thing(id: ID, """The choice.""" choice: Choice): Thing
}
type Undescribed implements Node {
  """The id."""
  id: ID!
}
"""A thing."""
type Thing implements Node {
  """The id."""
  id: ID!
  plain: String
  """Spelt wrong."""
  Wrong_Case: Undescribed
  """Without an id."""
  nameless: Nameless
}
"""Has no id."""
type Nameless {
  """A number."""
  number: Int
}
"""A choice."""
enum Choice {
  """One."""
  ONE
  TWO
}
"""Changes."""
type Mutation {
  """Changes."""
  change("""What.""" input: Change!): Thing
}
"""A change."""
input Change {
  title: String
}
"""What has an id."""
interface Node {
  """The id."""
  id: ID!
}
"""A page."""
type ThingConnection {
  """The edges."""
  edges: [ThingEdge!]!
}
"""A place in a page."""
type ThingEdge {
  """The cursor."""
  cursor: String!
  """The thing."""
  node: Thing!
}
"""Used by nobody."""
type Unused {
  """The id."""
  id: ID!
}
"#;

#[tokio::test]
async fn the_linter_finds_what_has_no_description_and_what_breaks_a_rule() {
    let folder = Folder::new();
    let file = folder.path().join("faulty.graphql");
    fs::write(&file, FAULTY).unwrap();
    let ran = lint(&file).await;
    assert!(!ran.done);
    for complaint in [
        "Description is required for type \"Undescribed\"",
        "Description is required for field \"plain\" in type \"Thing\"",
        "Description is required for input value \"id\" in field \"thing\"",
        "Description is required for input value \"title\" in input \"Change\"",
        "Description is required for enum value \"TWO\" in enum \"Choice\"",
        "\"Wrong_Case\"",
        "type \"Nameless\" must have exactly one non-nullable unique identifier",
        "Connection type must contain a field `pageInfo`",
        "Object type `Unused` is unreachable",
    ] {
        assert!(ran.output.contains(complaint), "not {complaint}: {}", ran.output);
    }
}

#[tokio::test]
async fn nothing_breaks_the_clients_of_the_last_release() {
    let ran = npm::run(&npm::installed(PROJECT).await, "breaking", &[("ROOT", root())]).await;
    assert!(ran.done, "{}", ran.output);
}

#[tokio::test]
async fn the_check_for_breaking_changes_names_them_and_nothing_else() {
    let ran = npm::run::<&str>(&npm::installed(PROJECT).await, "test", &[]).await;
    assert!(ran.done, "{}", ran.output);
}

/// A repository that has released 0.1.0 and changed its schema since.
fn released(schema: &str, version: &str) -> Folder {
    let folder = Folder::new();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    fs::create_dir_all(folder.path().join("tests/schema")).unwrap();
    write("tests/schema/released.graphql", "# 0.1.0\ntype Query { a: Int b: Int }\n".to_owned());
    write("schema.graphql", schema.to_owned());
    write("Cargo.toml", format!("[package]\nname = \"x\"\nversion = \"{version}\"\n"));
    write("CHANGELOG.md", "# Changelog\n\n## [0.1.0] - 2026-12-01\n".to_owned());
    folder
}

#[tokio::test]
async fn a_breaking_change_needs_a_version_that_may_break_and_a_release_becomes_the_baseline() {
    let project = npm::installed(PROJECT).await;
    let run = async |script: &str, repository: &Folder| {
        npm::run(&project, script, &[("ROOT", repository.path())]).await
    };
    let baseline = |repository: &Folder| {
        fs::read_to_string(repository.path().join("tests/schema/released.graphql")).unwrap()
    };
    let broken = "type Query { a: Int }\n";
    let repository = released(broken, "0.1.1");
    let ran = run("breaking", &repository).await;
    assert!(!ran.done && ran.output.contains("FIELD_REMOVED: Query.b"), "{}", ran.output);
    assert!(!run("released", &repository).await.done);
    assert!(baseline(&repository).starts_with("# 0.1.0\n"));

    let repository = released(broken, "0.2.0");
    let ran = run("breaking", &repository).await;
    assert!(ran.done && ran.output.contains("FIELD_REMOVED: Query.b"), "{}", ran.output);
    assert!(run("released", &repository).await.done);
    assert_eq!(baseline(&repository), format!("# 0.2.0\n{broken}"));
    let ran = run("breaking", &repository).await;
    assert!(!ran.done && ran.output.contains("last is 0.1.0"), "{}", ran.output);

    assert!(
        run("breaking", &released("type Query { a: Int b: Int c: Int }\n", "0.1.0")).await.done
    );
}

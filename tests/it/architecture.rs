//! The shape of the crate, read from its source: what the compiler does not enforce in a single crate.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The ladder: a module uses only what stands before it, and its peers are strangers.
const LADDER: &[&[&str]] = &[
    &["fault"],
    &["domain"],
    &["event_store"],
    &["projections"],
    &["commands"],
    &["graphql", "kafka"],
    &["app"],
    &["cli"],
];

/// What the domain must not name: it is decided again after a lost race and replayed for ever.
const IMPURE: &[&str] = &[
    "sqlx",
    "tokio",
    "rdkafka",
    "async_graphql",
    "axum",
    "reqwest",
    "std::env",
    "std::fs",
    "std::net",
    "std::time",
    "Instant::now",
    "Utc::now",
    "Local::now",
    "SystemTime",
    "Uuid::now_v7",
    "Uuid::new_v4",
    "rand::",
];

/// The tables that only `event_store` knows.
const LOG_TABLES: &[&str] = &["events", "log_head", "keys"];

/// Files outside of `event_store` that read `log_head`, and nothing else of it, with the reason.
const READ_THE_HEAD: &[(&str, &str)] = &[
    (
        "src/projections/checkpoint.rs",
        "lag and epoch come in the one statement with the checkpoints",
    ),
    ("src/projections/runner.rs", "whether there is anything to do, without opening a transaction"),
    (
        "src/kafka/bridge/progress.rs",
        "the lag comes in the one statement with the rest of the report",
    ),
];

/// Files outside of `app::config` that look at the environment: where programs and folders of the machine are, and at
/// which place a test breaks the process.
const READ_THE_ENVIRONMENT: &[(&str, &[&str])] = &[
    ("src/fault.rs", &["env::var"]),
    ("src/app/embedded/data_dir.rs", &["env::temp_dir"]),
    ("src/app/embedded/launcher.rs", &["env::var_os", "env::split_paths"]),
    ("src/app/embedded/maven.rs", &["env::var_os", "env::home_dir", "env::consts"]),
];

/// Past this a file should be split.
const MAX_LINES: usize = 500;
/// Files that may be longer, with the reason. Empty: keep it so.
const LONG: &[(&str, &str)] = &[];

struct Source {
    /// From the root of the repository, with `/`.
    path: String,
    /// The first segment below `src`.
    module: String,
    /// The text without comments.
    code: String,
    lines: usize,
    /// Whether it is compiled for tests only.
    is_test: bool,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    files.sort();
    assert!(files.len() > 50, "only {} files were found", files.len());
    files
        .iter()
        .map(|file| {
            let path = file.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            let module = path.trim_start_matches("src/").split('/').next().unwrap();
            let module = module.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(file).unwrap();
            let is_test = path.split('/').any(|part| part == "tests" || part == "tests.rs");
            Source {
                module,
                is_test,
                code: without_comments(&text),
                lines: text.lines().count(),
                path,
            }
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Without line comments; those inside of a line stay only where they follow a `:`, as in a URL.
fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let end = line
            .match_indices("//")
            .find(|(at, _)| !line[..*at].ends_with(':'))
            .map_or(line.len(), |(at, _)| at);
        code.push_str(&line[..end]);
        code.push('\n');
    }
    code
}

/// The code before the file's own unit tests.
fn without_unit_tests(source: &Source) -> &str {
    let end = source.code.find("#[cfg(test)]\nmod ").unwrap_or(source.code.len());
    if source.is_test { "" } else { &source.code[..end] }
}

/// The places where `word` stands alone in `text`.
fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        !text[..*at].ends_with(part) && !text[at + word.len()..].starts_with(part)
    })
}

fn step(module: &str) -> Option<usize> {
    LADDER.iter().position(|modules| modules.contains(&module))
}

/// What `code` names as `crate::…`: module names, or `{` for a grouped import.
fn targets(code: &str) -> BTreeSet<String> {
    words(code, "crate")
        .filter_map(|at| code[at + "crate".len()..].trim_start().strip_prefix("::"))
        .map(|rest| {
            let rest = rest.trim_start();
            let name: String =
                rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.is_empty() { rest.chars().take(1).collect() } else { name }
        })
        .collect()
}

/// What the ladder has against a file of `module` that names `target`.
fn objection(module: &str, target: &str) -> Option<String> {
    let Some(from) = step(module) else { return Some(format!("`{module}` is not on the ladder")) };
    if target == module {
        return None;
    }
    match step(target) {
        Some(to) if to < from => None,
        Some(_) => Some(format!("`{module}` must not use `crate::{target}`")),
        None => Some(format!("`crate::{target}` hides which module is used: one `use` a module")),
    }
}

#[test]
fn modules_use_only_what_stands_below_them() {
    let mut violations = Vec::new();
    for source in sources() {
        if matches!(source.module.as_str(), "lib" | "main") {
            continue;
        }
        for target in targets(&source.code) {
            // Tests at the top of a file's tree may reach down, never up or aside, like the rest.
            violations.extend(
                objection(&source.module, &target).map(|why| format!("{}: {why}", source.path)),
            );
        }
    }
    assert_none(&violations);
}

#[test]
fn the_check_of_the_ladder_sees_up_aside_and_grouped_uses() {
    let objections =
        |module, code| targets(code).iter().filter_map(|target| objection(module, target)).count();
    assert_eq!(
        objections("graphql", "use crate::commands::Commands; use crate::domain::Actor;"),
        0
    );
    assert_eq!(objections("graphql", "use crate::graphql::error::ErrorCode;"), 0);
    assert_eq!(objections("domain", "use crate::event_store::Position;"), 1, "up");
    assert_eq!(objections("graphql", "use crate::kafka::bridge;"), 1, "aside");
    assert_eq!(objections("cli", "use crate::{domain, app};"), 1, "grouped");
    assert_eq!(objections("cli", "use crate :: { app };"), 1, "grouped, with spaces");
    assert_eq!(
        objections("projections", "pub(crate) fn f() { crate::commands::run(); }"),
        1,
        "in code"
    );
    assert_eq!(objections("extra", "use crate::domain;"), 1, "a module that nobody placed");
}

#[test]
fn the_ladder_names_every_module() {
    let lib = sources().into_iter().find(|source| source.path == "src/lib.rs").unwrap();
    let declared: BTreeSet<&str> = lib
        .code
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("pub ").strip_prefix("mod "))
        .map(|name| name.trim_end_matches(';'))
        .collect();
    let placed: BTreeSet<&str> =
        LADDER.iter().flat_map(|modules| modules.iter().copied()).collect();
    assert_eq!(declared, placed);
}

#[test]
fn the_domain_is_pure() {
    let mut violations = Vec::new();
    for source in sources().iter().filter(|source| source.module == "domain") {
        let code = without_unit_tests(source);
        for name in IMPURE {
            let found = match name.strip_suffix("::") {
                Some(root) => words(code, root).any(|at| code[at + root.len()..].starts_with("::")),
                None => words(code, name).next().is_some(),
            };
            if found {
                violations.push(format!("{}: the domain must not name `{name}`", source.path));
            }
        }
    }
    assert_none(&violations);
}

/// The tables that SQL in `code` reads or writes, in lower case. What follows the key word in `code` counts whatever
/// literal it stands in, so prose in strings that says "from events" is a find, too: say it otherwise.
fn tables(code: &str) -> BTreeSet<String> {
    let flat = code.replace("\\\n", " ").replace('"', " ");
    let tokens: Vec<&str> = flat
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '{' | '}' | '.')))
        .filter(|token| !token.is_empty())
        .collect();
    tokens
        .windows(2)
        .filter(|pair| {
            matches!(pair[0], "FROM" | "JOIN" | "INTO" | "UPDATE" | "TABLE" | "TRUNCATE")
        })
        .map(|pair| pair[1].to_lowercase())
        .collect()
}

#[test]
fn only_the_event_store_knows_the_tables_of_the_log() {
    let mut violations = Vec::new();
    let mut excused = BTreeSet::new();
    for source in sources().iter().filter(|source| source.module != "event_store") {
        for table in tables(without_unit_tests(source)) {
            if !LOG_TABLES.contains(&table.as_str()) {
                continue;
            }
            if table == "log_head" && READ_THE_HEAD.iter().any(|(path, _)| *path == source.path) {
                excused.insert(source.path.as_str().to_owned());
                continue;
            }
            violations
                .push(format!("{}: only `event_store` may know the table {table}", source.path));
        }
    }
    assert_none(&violations);
    let named: BTreeSet<String> =
        READ_THE_HEAD.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(excused, named, "an exception that nobody needs any more");
}

#[test]
fn the_check_of_tables_sees_every_way_to_name_one() {
    let found = |code: &str| tables(code).into_iter().collect::<Vec<_>>();
    assert_eq!(found("\"SELECT * FROM events WHERE x\""), ["events"]);
    assert_eq!(found("\"SELECT 1 \\\n     FROM p CROSS JOIN log_head h\""), ["log_head", "p"]);
    assert_eq!(found("\"INSERT INTO keys (a)\"; \"UPDATE log_head SET\""), ["keys", "log_head"]);
    assert_eq!(found("use super::events; let keys = from(keys);"), [""; 0]);
}

#[test]
fn only_the_configuration_reads_the_environment() {
    let mut violations = Vec::new();
    for source in &sources() {
        if source.path.starts_with("src/app/config") {
            continue;
        }
        let code = without_unit_tests(source);
        let allowed = READ_THE_ENVIRONMENT.iter().find(|(path, _)| *path == source.path);
        let allowed = allowed.map_or(&[][..], |(_, names)| *names);
        for at in words(code, "env") {
            let rest = &code[at..];
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '!'))
                .collect();
            let is_build_time = name.starts_with("env!");
            let is_lookup = name.starts_with("env::") && name != "env::";
            if is_lookup && !is_build_time && !allowed.iter().any(|ok| name.starts_with(ok)) {
                violations.push(format!("{}: `{name}` outside of app::config", source.path));
            }
        }
        if words(code, "dotenvy").next().is_some() {
            violations.push(format!("{}: `dotenvy` outside of app::config", source.path));
        }
    }
    assert_none(&violations);
}

#[test]
fn one_file_knows_a_read_model() {
    let sources = sources();
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let (mut views, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(migrations).unwrap() {
        let sql = fs::read_to_string(entry.unwrap().path()).unwrap();
        views.extend(sql.lines().filter_map(|line| {
            let (name, _) = line.strip_prefix("CREATE VIEW ")?.split_once(' ')?;
            Some(name.to_owned())
        }));
        let dropped = sql.lines().filter_map(|line| line.strip_prefix("DROP VIEW "));
        gone.extend(dropped.flat_map(|names| {
            names.trim_end_matches(';').split(", ").map(str::to_owned).collect::<Vec<_>>()
        }));
    }
    views.retain(|view| !gone.contains(view));
    assert!(views.contains("courses_v2"), "{views:?}");
    let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in &sources {
        let code = without_unit_tests(source);
        // An example in the help of a command names a projection, not a table.
        let code: String = code.lines().filter(|line| !line.contains("after_help")).collect();
        for view in &views {
            if code.contains(view.as_str()) {
                owners.entry(view).or_default().push(&source.path);
            }
        }
    }
    for view in &views {
        let owners = owners.get(view.as_str()).map_or(&[][..], Vec::as_slice);
        let ours = owners.len() == 1 && owners[0].starts_with("src/projections/");
        assert!(ours, "{view} is named in {owners:?}, instead of one file of src/projections");
    }
}

#[test]
fn files_are_short() {
    let long: Vec<String> = sources()
        .iter()
        .filter(|source| source.lines > MAX_LINES)
        .filter(|source| !LONG.iter().any(|(path, _)| *path == source.path))
        .map(|source| {
            format!("{}: {} lines, more than {MAX_LINES}: split it", source.path, source.lines)
        })
        .collect();
    assert_none(&long);
    for (path, _) in LONG {
        let needed = sources().iter().any(|s| s.path == *path && s.lines > MAX_LINES);
        assert!(needed, "{path} needs no exception any more");
    }
}

fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

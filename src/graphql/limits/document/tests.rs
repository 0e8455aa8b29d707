use std::fmt::Write;
use std::time::Duration;

use async_graphql::parser::parse_query;
use serde_json::{Value as Json, json};

use super::*;

const LIMITS: Limits = Limits {
    body: 100 * 1024,
    batch: 10,
    tokens: 5_000,
    depth: 15,
    complexity: 20_000,
    aliases: 20,
    mutations: 10,
    timeout: Duration::from_secs(10),
    introspection: true,
};

fn run<T>(query: &str, variables: Json, then: impl FnOnce(Scope<'_>) -> T) -> T {
    let document = parse_query(query).unwrap();
    let operation = selected(&document, None);
    then(Scope { document: &document, operation, variables: &Variables::from_json(variables) })
}

fn checked(query: &str) -> Result<usize, Unfit> {
    run(query, json!({}), |scope| check(scope, &LIMITS))
}

fn refusal(query: &str) -> Option<Exceeded> {
    match checked(query) {
        Err(Unfit::Exceeded(exceeded)) => Some(exceeded),
        _ => None,
    }
}

fn size(query: &str, variables: Json) -> Size {
    run(query, variables, |scope| {
        let mut sizes = Sizes { scope, known: HashMap::new(), aliases: 0 };
        sizes.of(&scope.operation.unwrap().selection_set.node, 0).unwrap()
    })
}

fn cost(query: &str, variables: Json) -> usize {
    size(query, variables).cost
}

fn doubling(fragments: usize) -> String {
    let mut query = "{ ...f0 }".to_owned();
    for number in 0..fragments {
        let next = number + 1;
        write!(query, " fragment f{number} on Query {{ ...f{next} ...f{next} }}").unwrap();
    }
    write!(query, " fragment f{fragments} on Query {{ viewer {{ id }} }}").unwrap();
    query
}

#[test]
fn fragments_count_as_often_as_they_are_spread() {
    assert_eq!(checked(&doubling(5)), Ok(0));
    assert_eq!(refusal(&doubling(12)), Some(Exceeded::Fields(MAX_FIELDS)));
    assert_eq!(refusal(&doubling(25)), Some(Exceeded::Fields(MAX_FIELDS)));
    let unused = doubling(25).replacen("...f0", "viewer { id }", 1);
    assert_eq!(refusal(&unused), Some(Exceeded::Fields(MAX_FIELDS)));
}

#[test]
fn plain_fields_count_too() {
    let query = |count| format!("{{ {} }}", "viewer { id } ".repeat(count));
    assert_eq!(checked(&query(2_500)), Ok(0));
    assert_eq!(refusal(&query(2_501)), Some(Exceeded::Fields(MAX_FIELDS)));
}

#[test]
fn fragments_that_spread_themselves_are_refused() {
    let own = "{ viewer { id } } fragment a on User { ...a }";
    let mutual = "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }";
    assert_eq!(checked(own), Err(Unfit::Cycle));
    assert_eq!(checked(mutual), Err(Unfit::Cycle));
}

#[test]
fn a_chain_of_fragments_is_followed_only_so_far() {
    let chain = |length: usize| {
        let mut query = "{ ...f0 }".to_owned();
        for number in 0..length {
            write!(query, " fragment f{number} on Query {{ ...f{} }}", number + 1).unwrap();
        }
        query + &format!(" fragment f{length} on Query {{ a }}")
    };
    assert_eq!(checked(&chain(20)), Ok(0));
    for length in [40, 100, 5_000] {
        assert_eq!(refusal(&chain(length)), Some(Exceeded::Depth(MAX_LEVELS)), "{length}");
    }
}

#[test]
fn fields_nest_only_so_deep_however_they_are_spread() {
    let plain = |depth: usize| "{a".repeat(depth) + &"}".repeat(depth);
    assert_eq!(size(&plain(15), json!({})).depth, 15);
    assert_eq!(checked(&plain(15)), Ok(0));
    assert_eq!(refusal(&plain(16)), Some(Exceeded::Depth(15)));
    let spread = |depth: usize| {
        let half = depth / 2;
        let outer = "{a".repeat(half) + "{...F}" + &"}".repeat(half);
        let inner = "{a".repeat(depth - half) + &"}".repeat(depth - half);
        format!("{outer} fragment F on T {inner}")
    };
    assert_eq!(checked(&spread(15)), Ok(0));
    assert_eq!(refusal(&spread(16)), Some(Exceeded::Depth(15)));
    // What is skipped does not nest, and what is not run may.
    assert_eq!(checked(&format!("{{ a b @skip(if: true) {} }}", plain(20))), Ok(0));
    let (other, deep) = ("query A { a }", plain(20));
    let document = parse_query(format!("{other} query B {deep}")).unwrap();
    let check = |name| {
        let operation = selected(&document, Some(name));
        check(Scope { document: &document, operation, variables: &Variables::default() }, &LIMITS)
    };
    assert_eq!(check("A"), Ok(0));
    assert_eq!(check("B"), Err(Unfit::Exceeded(Exceeded::Depth(15))));
    assert_eq!(check("C"), Ok(0), "what there is not is for the execution to tell");
}

#[test]
fn an_operation_has_only_so_many_aliases() {
    let query = |count: usize| {
        let aliased = (0..count).map(|n| format!("a{n}: viewer {{ id }}"));
        aliased.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(checked(&format!("{{ {} }}", query(20))), Ok(0));
    assert_eq!(refusal(&format!("{{ {} }}", query(21))), Some(Exceeded::Aliases(20)));
    let spread = format!("{{ ...a ...a b: c }} fragment a on Query {{ {} }}", query(20));
    assert_eq!(refusal(&spread), Some(Exceeded::Aliases(20)));
}

#[test]
fn a_field_costs_one_and_a_page_as_often_as_it_is_long() {
    let none = || json!({});
    for (query, expected) in [
        ("{ a }", 1),
        ("{ a b { c d } }", 4),
        ("{ list(first: 10) { nodes { a } } }", 21),
        ("{ list(last: 10) { nodes { a } } }", 21),
        ("{ list(first: 5, last: 10) { nodes { a } } }", 21),
        ("{ list { nodes { a } } }", 41),
        ("{ list { edges { cursor } } }", 41),
        ("{ list { totalCount } }", 2),
        ("{ list(first: 0) { nodes { a } } }", 1),
        ("{ list(first: null) { nodes { a } } }", 41),
        ("{ list(first: -1) { nodes { a } } }", 1),
        ("{ list(first: 1000000000) { nodes { a } } }", 201),
        ("{ list { ...F } } fragment F on T { nodes { a } }", 41),
        ("{ list { ... on T { ...F } } } fragment F on T { edges { a } }", 41),
        ("{ node { ...F } } fragment F on T { list(first: 10) { nodes { a } } }", 22),
        ("{ nodes(ids: [1, 2, 3]) { a } }", 4),
        ("{ _entities(representations: [{ a: 1 }, { a: 2 }]) { a } }", 3),
        ("{ payload { query { nodes(ids: [1, 2, 3]) { a } } } }", 6),
        ("{ a @skip(if: true) b @include(if: false) c @skip(if: false) }", 1),
        ("{ ...F @skip(if: true) } fragment F on T { a }", 0),
        ("{ a(first: 2) { nodes { b(first: 3) { nodes { c } } } } }", 17),
    ] {
        assert_eq!(cost(query, none()), expected, "{query}");
    }
}

#[test]
fn variables_count_with_their_values() {
    let query = "query($n: Int, $not: Boolean!, $ids: [ID!]) { \
                 list(first: $n) { nodes { a @skip(if: $not) } } nodes(ids: $ids) { a } }";
    assert_eq!(cost(query, json!({ "not": true })), 21 + 2);
    assert_eq!(cost(query, json!({ "not": true, "n": 10 })), 11 + 2);
    assert_eq!(cost(query, json!({ "not": true, "n": null })), 21 + 2);
    assert_eq!(cost(query, json!({ "not": false, "n": 10 })), 21 + 2);
    assert_eq!(cost(query, json!({ "not": true, "n": 10, "ids": ["a", "b", "c"] })), 11 + 4);
    assert_eq!(cost(query, json!({ "not": true, "n": "ten" })), 21 + 2, "it is refused later");
}

#[test]
fn a_page_of_100_in_a_page_of_100_is_too_much_and_one_of_20_is_not() {
    let courses = |first: usize, of_module: &str| {
        format!(
            "{{ courses(first: 100) {{ pageInfo {{ endCursor hasNextPage }} nodes {{ id code title \
             description status version tags seats {{ capacity taken available waitlisted }} \
             instructors {{ id }} modules(first: {first}) {{ nodes {{ {of_module} }} }} }} }} }}"
        )
    };
    assert_eq!(checked(&courses(20, "title items { title }")), Ok(0));
    assert_eq!(checked(&courses(20, "id title summary items { id title }")), Ok(0));
    let least = "{ courses(first: 100) { nodes { modules(first: 100) { nodes { id } } } } }";
    assert_eq!(cost(least, json!({})), 20_201);
    for query in [least, &courses(100, "id")] {
        assert_eq!(refusal(query), Some(Exceeded::Complexity(20_000)), "{query}");
    }
    // A product of pages that no number holds.
    let pages = |depth| "a(first: 100) { nodes { ".repeat(depth) + "b" + &"} }".repeat(depth);
    assert_eq!(cost(&format!("{{ {} }}", pages(15)), json!({})), COUNTLESS);
    assert_eq!(cost(&format!("{{ {} x }}", pages(15)), json!({})), COUNTLESS);
}

#[test]
fn a_request_has_at_most_ten_mutations_however_they_are_spread() {
    let fields = |count: usize| {
        let aliased = (0..count).map(|n| format!("m{n}: deleteCourse {{ position }}"));
        aliased.collect::<Vec<_>>().join(" ")
    };
    let plain = |count| format!("mutation {{ {} }}", fields(count));
    let spread =
        |count| format!("mutation {{ ...a ...a }} fragment a on Mutation {{ {} }}", fields(count));
    assert_eq!(checked(&plain(10)), Ok(10));
    assert_eq!(refusal(&plain(11)), Some(Exceeded::Mutations(10)));
    assert_eq!(checked(&spread(5)), Ok(10));
    assert_eq!(refusal(&spread(6)), Some(Exceeded::Mutations(10)));
}

#[test]
fn an_introspection_does_not_go_round_in_circles() {
    let types = |inner: &str| format!("{{ __schema {{ types {{ {inner} }} }} }}");
    assert_eq!(
        checked(&types("fields { args { type { name } } type { fields { name } } }")),
        Ok(0)
    );
    let round = types("fields { type { fields { type { fields { name } } } } }");
    assert_eq!(refusal(&round), Some(Exceeded::Depth(15)));
    let spread = "{ __type(name: \"A\") { ...T } } fragment T on __Type { fields { type { ...U } } } \
                  fragment U on __Type { possibleTypes { interfaces { name } } }";
    assert_eq!(refusal(spread), Some(Exceeded::Depth(15)));
}

#[test]
fn introspection_can_be_switched_off() {
    let limits = Limits { introspection: false, ..LIMITS };
    let checked = |query: &str| run(query, json!({}), |scope| check(scope, &limits));
    for query in [
        "{ __schema { queryType { name } } }",
        "{ a { ...F } } fragment F on Query { x: __type(name: \"A\") { name } }",
        "mutation { a { query { __schema { queryType { name } } } } }",
    ] {
        assert_eq!(checked(query), Err(Unfit::Introspection), "{query}");
    }
    assert_eq!(checked("{ __typename a { __typename } }"), Ok(0));
}

#[test]
fn a_fragment_that_is_not_there_is_left_to_the_validation() {
    assert_eq!(checked("{ ...nowhere }"), Ok(0));
}

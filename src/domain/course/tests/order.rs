//! Removing modules and putting them in order.

use super::*;

fn three_modules() -> Vec<CourseEvent> {
    vec![created(), added("m1", 0), added("m2", 1), added("m3", 2)]
}

fn order(history: &[CourseEvent]) -> Vec<String> {
    fold(history).modules.iter().map(|module| module.id.to_string()).collect()
}

#[test]
fn a_removed_module_is_gone_with_its_items_and_the_rest_moves_up() {
    let mut history = three_modules();
    history.push(page_added("m2", "t1", 0));
    let removed = CourseEvent::ModuleRemoved { module_id: module_id("m2") };
    given(&history).when(by_ina(remove_module("m2"))).then_expect_events(vec![removed.clone()]);
    history.push(removed);
    assert_eq!(order(&history), ["m1", "m3"]);
    assert_eq!(fold(&history).item(&item_id("t1")), None);
    for action in [
        remove_module("m2"),
        update_module("m2", ModulePatch::default()),
        add_item("m2", page("t2")),
        reorder_items("m2", &[]),
    ] {
        given(&history).when(by_ina(action)).then_expect_error(Refusal::ModuleNotFound);
    }
    given(&history).when(by_ina(remove_item("t1"))).then_expect_error(Refusal::item_not_found());
}

#[test]
fn modules_take_the_order_that_is_asked_for() {
    let history = three_modules();
    for wanted in [["m3", "m1", "m2"], ["m1", "m3", "m2"], ["m3", "m2", "m1"]] {
        let reordered =
            CourseEvent::ModulesReordered { module_ids: wanted.map(module_id).to_vec() };
        given(&history)
            .when(by_ina(reorder_modules(&wanted)))
            .then_expect_events(vec![reordered.clone()]);
        let after: Vec<_> = history.iter().cloned().chain([reordered]).collect();
        assert_eq!(order(&after), wanted);
        given(&after).when(by_ina(reorder_modules(&wanted))).then_expect_events(vec![]);
    }
}

#[test]
fn the_order_that_there_is_changes_nothing() {
    given(&three_modules())
        .when(by_ina(reorder_modules(&["m1", "m2", "m3"])))
        .then_expect_events(vec![]);
    given(&[created()]).when(by_ina(reorder_modules(&[]))).then_expect_events(vec![]);
}

#[test]
fn an_order_that_is_not_a_permutation_of_the_modules_is_refused() {
    let refusal = Refusal::OrderMismatch { field: "moduleIds", object: "module" };
    assert_eq!((refusal.code(), refusal.field()), (Code::ModuleOrderMismatch, Some("moduleIds")));
    let wrong: [&[&str]; 7] = [
        &[],
        &["m1", "m2"],
        &["m1", "m2", "m4"],
        &["m1", "m2", "m2"],
        &["m1", "m2", "m3", "m3"],
        &["m1", "m2", "m3", "m4"],
        &["m4", "m5", "m6"],
    ];
    for wanted in wrong {
        given(&three_modules())
            .when(by_ina(reorder_modules(wanted)))
            .then_expect_error(refusal.clone());
    }
    given(&[created()]).when(by_ina(reorder_modules(&["m1"]))).then_expect_error(refusal);
}

#[test]
fn a_removal_makes_room_for_another_module() {
    let mut history = vec![created()];
    for position in 0..u32::try_from(MAX_MODULES).unwrap() {
        history.push(added(&format!("m{position}"), position));
    }
    history.push(CourseEvent::ModuleRemoved { module_id: module_id("m0") });
    given(&history)
        .when(by_ina(add_module("new", None)))
        .then_expect_events(vec![added("new", 199)]);
}

#[test]
fn a_new_order_of_two_hundred_modules_keeps_all_of_them() {
    let mut history = vec![created()];
    let mut names: Vec<String> = (0..MAX_MODULES).map(|n| format!("m{n}")).collect();
    history.extend(names.iter().map(|name| added(name, u32::MAX)));
    names.reverse();
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    history.extend(fold(&history).decide(&by_ina(reorder_modules(&wanted))).unwrap());
    assert_eq!(order(&history), names);
}

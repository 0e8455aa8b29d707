//! Who teaches a course.

use super::*;

fn names(history: &[CourseEvent]) -> Vec<String> {
    fold(history).instructor_ids.iter().map(ToString::to_string).collect()
}

#[test]
fn whoever_teaches_may_bring_others_in_who_then_may_change_it_too() {
    let mut history = vec![created()];
    given(&history).when(by_ina(assign("ivo"))).then_expect_events(vec![assigned("ivo")]);
    history.push(assigned("ivo"));
    assert_eq!(names(&history), ["ina", "ivo"]);
    let ivo = actor("ivo", Role::Instructor);
    given(&history)
        .when(command(ivo.clone(), CourseAction::Publish))
        .then_expect_events(vec![published()]);
    given(&history).when(command(ivo, dismiss("ina"))).then_expect_events(vec![dismissed("ina")]);
    history.push(dismissed("ina"));
    assert_eq!(names(&history), ["ivo"]);
    given(&history)
        .when(by_ina(CourseAction::Publish))
        .then_expect_error(Refusal::course_not_found());
}

#[test]
fn an_instructor_may_leave_while_another_stays() {
    let history = [created(), assigned("ivo")];
    given(&history).when(by_ina(dismiss("ina"))).then_expect_events(vec![dismissed("ina")]);
}

#[test]
fn assigning_who_teaches_and_removing_who_does_not_changes_nothing() {
    for history in [vec![created()], vec![created(), published()]] {
        given(&history).when(by_ina(assign("ina"))).then_expect_events(vec![]);
        given(&history).when(by_ina(dismiss("ivo"))).then_expect_events(vec![]);
    }
}

#[test]
fn the_last_instructor_cannot_be_removed_by_anybody() {
    assert_eq!(
        (Refusal::LastInstructor.code(), Refusal::LastInstructor.field()),
        (Code::LastInstructor, Some("instructorId"))
    );
    for actor in [ina(), admin()] {
        for history in [vec![created()], vec![created(), assigned("ivo"), dismissed("ivo")]] {
            given(&history)
                .when(command(actor.clone(), dismiss("ina")))
                .then_expect_error(Refusal::LastInstructor);
        }
    }
}

#[test]
fn a_fifty_first_instructor_is_refused_and_one_of_the_fifty_is_not() {
    let mut history = vec![created()];
    history.extend((2..MAX_INSTRUCTORS).map(|n| assigned(&format!("i{n}"))));
    given(&history).when(by_ina(assign("last"))).then_expect_events(vec![assigned("last")]);
    history.push(assigned("last"));
    given(&history).when(by_ina(assign("more"))).then_expect_error(Refusal::LimitExceeded {
        field: "instructorId",
        rule: "at most 50 instructors a course",
    });
    given(&history).when(by_ina(assign("last"))).then_expect_events(vec![]);
}

#[test]
fn an_instructor_for_whose_name_the_record_has_no_room_is_refused() {
    let mut course = fold(&[created()]);
    let long = "\u{1}".repeat(255);
    for n in 0..MAX_MODULES {
        course.apply(CourseEvent::ModuleAdded {
            module_id: module_id(&format!("m{n}")),
            title: long.clone(),
            summary: None,
            position: 0,
        });
        if course.outgoing_bytes() > MAX_OUTGOING_BYTES {
            course.apply(CourseEvent::ModuleRemoved { module_id: module_id(&format!("m{n}")) });
            break;
        }
    }
    let name = |n: usize| format!("{n:0>128}");
    let refused = (0..MAX_INSTRUCTORS).find_map(|n| {
        let answer = course.decide(&by_ina(assign(&name(n))));
        answer.map(|events| events.into_iter().for_each(|event| course.apply(event))).err()
    });
    assert_eq!(
        refused,
        Some(Refusal::LimitExceeded { field: "course", rule: "its JSON must stay within 240 KiB" })
    );
}

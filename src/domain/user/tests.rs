use cqrs_es::test::{AggregateTestExecutor, TestFramework};

use super::*;

fn sam() -> UserId {
    UserId::parse("sam", "userId").unwrap()
}

fn sealed(text: &str) -> Sealed {
    Sealed(text.to_owned())
}

fn given(history: &[UserEvent]) -> AggregateTestExecutor<User> {
    TestFramework::with(()).given(history.to_vec())
}

fn report(created: bool) -> UserCommand {
    UserCommand { user_id: sam(), created, ..UserCommand::default() }
}

fn registered() -> UserEvent {
    UserEvent::UserRegistered {
        user_id: sam(),
        display_name: Some(Some(sealed("Sam"))),
        email: None,
        role: Some("student".to_owned()),
        active: None,
    }
}

#[test]
fn a_creation_registers_the_user() {
    let command = UserCommand {
        display_name: Patch::Set(sealed("Sam")),
        role: Some("student".to_owned()),
        active: Some(true),
        ..report(true)
    };
    given(&[]).when(command).then_expect_events(vec![registered()]);
}

#[test]
fn a_second_creation_changes_only_what_differs() {
    let same = UserCommand { display_name: Patch::Set(sealed("Sam")), ..report(true) };
    given(&[registered()]).when(same).then_expect_events(vec![]);
    let other = UserCommand {
        display_name: Patch::Set(sealed("Samira")),
        email: Patch::Set(sealed("s@x")),
        role: Some("instructor".to_owned()),
        active: Some(false),
        ..report(true)
    };
    given(&[registered()]).when(other).then_expect_events(vec![
        UserEvent::UserProfileChanged {
            user_id: sam(),
            display_name: Some(Some(sealed("Samira"))),
            email: Some(Some(sealed("s@x"))),
        },
        UserEvent::UserRoleChanged { user_id: sam(), role: "instructor".to_owned() },
        UserEvent::UserDeactivated { user_id: sam() },
    ]);
}

#[test]
fn an_update_before_the_creation_makes_a_stub_that_the_creation_completes() {
    let update = UserCommand { email: Patch::Set(sealed("s@x")), ..report(false) };
    let changed = UserEvent::UserProfileChanged {
        user_id: sam(),
        display_name: None,
        email: Some(Some(sealed("s@x"))),
    };
    given(&[]).when(update).then_expect_events(vec![changed.clone()]);
    let creation = UserCommand { display_name: Patch::Set(sealed("Sam")), ..report(true) };
    given(&[changed]).when(creation).then_expect_events(vec![UserEvent::UserRegistered {
        user_id: sam(),
        display_name: Some(Some(sealed("Sam"))),
        email: None,
        role: None,
        active: None,
    }]);
}

#[test]
fn a_cleared_name_is_null_and_one_that_is_not_there_is_not_cleared_again() {
    let clear = UserCommand { display_name: Patch::Clear, email: Patch::Clear, ..report(false) };
    given(&[registered()]).when(clear).then_expect_events(vec![UserEvent::UserProfileChanged {
        user_id: sam(),
        display_name: Some(None),
        email: None,
    }]);
}

#[test]
fn who_was_deactivated_can_be_reactivated() {
    let back = UserCommand { active: Some(true), ..report(false) };
    given(&[registered()]).when(back.clone()).then_expect_events(vec![]);
    given(&[registered(), UserEvent::UserDeactivated { user_id: sam() }])
        .when(back)
        .then_expect_events(vec![UserEvent::UserReactivated { user_id: sam() }]);
}

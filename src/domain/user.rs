//! A user as the user management service reports them: a replica, never the truth. Names and addresses are personal
//! data: here they stand sealed with a key of that user, so that deleting the key erases the person from a log that
//! cannot be changed.

#[cfg(test)]
mod tests;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

use super::ids::UserId;
use super::refusal::Refusal;
use super::values::{Patch, present};

/// A text that only the holder of the user's key can read. The same text of the same user and field is sealed alike,
/// so what is equal can be told without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub String);

/// What is reported of a user: only what is newer than all reports before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the fields are those of the user")]
pub struct UserCommand {
    pub user_id: UserId,
    /// Whether it is their creation.
    pub created: bool,
    pub display_name: Patch<Sealed>,
    pub email: Patch<Sealed>,
    pub role: Option<String>,
    pub active: Option<bool>,
}

/// A stored fact about a user. An absent field did not change and null was cleared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the user")]
pub enum UserEvent {
    /// The user came into being, perhaps after reports about them.
    UserRegistered {
        user_id: UserId,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        display_name: Option<Option<Sealed>>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        email: Option<Option<Sealed>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        active: Option<bool>,
    },
    /// What the user is called, or their address, changed.
    UserProfileChanged {
        user_id: UserId,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        display_name: Option<Option<Sealed>>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        email: Option<Option<Sealed>>,
    },
    /// The user has another role.
    UserRoleChanged { user_id: UserId, role: String },
    /// The user may not act any more.
    UserDeactivated { user_id: UserId },
    /// The user may act again.
    UserReactivated { user_id: UserId },
}

impl UserEvent {
    /// The stored type name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UserRegistered { .. } => "UserRegistered",
            Self::UserProfileChanged { .. } => "UserProfileChanged",
            Self::UserRoleChanged { .. } => "UserRoleChanged",
            Self::UserDeactivated { .. } => "UserDeactivated",
            Self::UserReactivated { .. } => "UserReactivated",
        }
    }
}

impl DomainEvent for UserEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// The state of a user: the fold of their stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The number of events so far.
    pub version: u64,
    /// Whether the creation was reported; until then it is a stub of what updates said.
    pub registered: bool,
    /// What they are called.
    pub display_name: Option<Sealed>,
    /// Their e-mail address.
    pub email: Option<Sealed>,
    /// Their role, as the user management service calls it.
    pub role: Option<String>,
    /// Whether they may act.
    pub active: bool,
}

impl Default for User {
    fn default() -> Self {
        Self {
            version: 0,
            registered: false,
            display_name: None,
            email: None,
            role: None,
            active: true,
        }
    }
}

impl User {
    /// Decides what a report means. Pure and total: a fact is never refused.
    pub fn decide(&self, report: &UserCommand) -> Vec<UserEvent> {
        let user_id = report.user_id.clone();
        let display_name = report.display_name.change(self.display_name.as_ref());
        let email = report.email.change(self.email.as_ref());
        let role = report.role.clone().filter(|role| self.role.as_ref() != Some(role));
        let active = report.active.filter(|active| *active != self.active);
        if report.created && !self.registered {
            return vec![UserEvent::UserRegistered { user_id, display_name, email, role, active }];
        }
        let mut events = Vec::new();
        if display_name.is_some() || email.is_some() {
            let user_id = user_id.clone();
            events.push(UserEvent::UserProfileChanged { user_id, display_name, email });
        }
        events
            .extend(role.map(|role| UserEvent::UserRoleChanged { user_id: user_id.clone(), role }));
        events.extend(active.map(|active| {
            if active {
                UserEvent::UserReactivated { user_id }
            } else {
                UserEvent::UserDeactivated { user_id }
            }
        }));
        events
    }
}

impl Aggregate for User {
    const TYPE: &'static str = "user"; // stored with every event: never rename
    type Command = UserCommand;
    type Event = UserEvent;
    type Error = Refusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: UserCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refusal> {
        for event in self.decide(&command) {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: UserEvent) {
        self.version += 1;
        match event {
            UserEvent::UserRegistered { user_id: _, display_name, email, role, active } => {
                self.registered = true;
                self.display_name = display_name.unwrap_or(self.display_name.take());
                self.email = email.unwrap_or(self.email.take());
                self.role = role.or(self.role.take());
                self.active = active.unwrap_or(self.active);
            }
            UserEvent::UserProfileChanged { user_id: _, display_name, email } => {
                self.display_name = display_name.unwrap_or(self.display_name.take());
                self.email = email.unwrap_or(self.email.take());
            }
            UserEvent::UserRoleChanged { user_id: _, role } => self.role = Some(role),
            UserEvent::UserDeactivated { user_id: _ } => self.active = false,
            UserEvent::UserReactivated { user_id: _ } => self.active = true,
        }
    }
}

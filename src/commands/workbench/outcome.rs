//! What became of kept messages, in words that the command line and the API share.

use uuid::Uuid;

use crate::commands::intake::{Effect, Preview};
use crate::event_store::Position;
use crate::event_store::dead_letters::Settled;

/// What became of a kept message, or would become.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The id under which it was asked for.
    pub id: Uuid,
    /// What became of it.
    pub fate: Fate,
    /// In a preview the names of the events that would be appended; else nothing.
    pub events: Vec<&'static str>,
}

/// See [`Outcome`].
#[derive(Debug, Clone)]
pub enum Fate {
    /// It was tried again, to this effect.
    Tried(Effect),
    /// It was discarded.
    Discarded,
    /// Somebody had seen to it before.
    Settled(Settled),
    /// There is none with this id. A parked one may have been released.
    Unknown,
}

/// What became of several, in the order in which they were asked for.
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    /// Of each.
    pub list: Vec<Outcome>,
    /// Where the log ended then; none where nothing was appended.
    pub position: Option<Position>,
}

impl Outcome {
    pub(super) fn of(id: Uuid, fate: Fate) -> Self {
        Self { id, fate, events: Vec::new() }
    }

    pub(super) fn previewed(id: Uuid, preview: Preview) -> Self {
        let events = preview.events.iter().map(crate::domain::Event::name).collect();
        Self { id, fate: Fate::Tried(preview.effect), events }
    }

    /// The name of what became of it.
    pub fn name(&self) -> &'static str {
        match &self.fate {
            Fate::Tried(effect) => effect.name(),
            Fate::Discarded => "discarded",
            Fate::Settled(_) => "settled",
            Fate::Unknown => "unknown",
        }
    }

    /// The code of what the domain refuses or nobody can read.
    pub fn code(&self) -> Option<&'static str> {
        match &self.fate {
            Fate::Tried(Effect::Refused(refusal)) => Some(refusal.code().as_str()),
            Fate::Tried(Effect::Dead(unreadable)) => Some(unreadable.code),
            _ => None,
        }
    }

    /// The same as a sentence, or who saw to it before. Without anything of its content.
    pub fn reason(&self) -> Option<String> {
        match &self.fate {
            Fate::Tried(Effect::Refused(refusal)) => Some(refusal.to_string()),
            Fate::Tried(Effect::Dead(unreadable)) => Some(unreadable.reason.clone()),
            Fate::Settled(settled) => {
                let by = settled.by.as_deref().unwrap_or("nobody known");
                Some(format!("{} by {by}", settled.how))
            }
            _ => None,
        }
    }

    /// What it waits for.
    pub fn waits_for(&self) -> Option<String> {
        match &self.fate {
            Fate::Tried(Effect::Parked(awaited)) => Some(awaited.to_string()),
            _ => None,
        }
    }

    /// Whether it is no longer where it was, because of what was asked for: neither dead nor waiting.
    pub fn is_through(&self) -> bool {
        match &self.fate {
            Fate::Tried(effect) => !matches!(effect, Effect::Parked(_) | Effect::Dead(_)),
            Fate::Discarded => true,
            Fate::Settled(_) | Fate::Unknown => false,
        }
    }
}

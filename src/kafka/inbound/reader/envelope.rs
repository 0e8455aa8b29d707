//! Where the fields of a message stand: in the object itself, in one inside of it, or in both.

use serde_json::{Map, Value};

use super::field;
use crate::domain::values::Patch;

/// What any message may be wrapped in.
const WRAPPERS: [&str; 2] = ["data", "payload"];
/// The most objects that a message is looked for in.
const MAX_LAYERS: usize = 4;
/// What may hold the changed fields of an object apart from the others.
const CHANGES: [&str; 2] = ["changes", "updatedFields"];
/// Only an event has these: beside them the names below are its own, not those of what it carries.
const EVENT: [&str; 6] = ["specversion", "eventType", "event", "eventName", "eventId", "messageId"];
const OF_AN_EVENT: [&str; 4] = ["id", "_id", "type", "name"];

/// How the messages of a topic are nested.
pub(super) struct Shape {
    /// What an object of this topic may be wrapped in, besides what any message may be.
    pub(super) wrappers: &'static [&'static str],
    /// A wrapper as well, but only where the object in it has one of the ids: else it is a reference.
    pub(super) named: &'static str,
    /// The fields that hold ids.
    pub(super) ids: &'static [&'static str],
}

/// A message, whose fields are looked for in several objects.
pub(super) struct Envelope<'a> {
    /// Innermost first: what stands farther in is said of the object itself.
    layers: Vec<Layer<'a>>,
}

struct Layer<'a> {
    fields: &'a Map<String, Value>,
    /// Whether it is an event around the object.
    is_event: bool,
}

impl<'a> Envelope<'a> {
    /// The layers of a message.
    pub(super) fn open(outer: &'a Map<String, Value>, shape: &Shape) -> Self {
        let mut layers = vec![Layer { fields: outer, is_event: false }];
        let mut fields = outer;
        while layers.len() < MAX_LAYERS
            && let Some((inner, is_general)) = unwrapped(fields, shape)
        {
            if let Some(layer) = layers.last_mut() {
                let typed = is_general && fields.get("type").is_some_and(Value::is_string);
                layer.is_event = typed || EVENT.iter().any(|name| get(fields, name).is_some());
            }
            layers.push(Layer { fields: inner, is_event: false });
            fields = inner;
        }
        layers.reverse();
        Self { layers }
    }

    /// With the fields that are said to have changed before all others.
    pub(super) fn with_changes(mut self) -> Self {
        let changes: Vec<_> = self
            .layers
            .iter()
            .flat_map(|layer| CHANGES.iter().filter_map(|name| get(layer.fields, name)))
            .filter_map(Value::as_object)
            .map(|fields| Layer { fields, is_event: false })
            .collect();
        self.layers.splice(..0, changes);
        self
    }

    /// The id that the message has as an event; the outermost holds.
    pub(super) fn event_id(&self) -> Option<String> {
        let layers = self.layers.iter().rev();
        layers
            .flat_map(|layer| ["eventId", "messageId"].map(|name| get(layer.fields, name)))
            .flatten()
            .find_map(|id| field::id_text(id, &[]).filter(|id| !id.is_empty()))
    }

    /// Every value under one of these names, the best name first and the innermost of a name first.
    pub(super) fn every(&self, names: &[&str]) -> impl Iterator<Item = &'a Value> {
        names.iter().flat_map(|name| self.layers.iter().filter_map(|layer| layer.get(name)))
    }

    /// The value under one of these names, the best name first.
    pub(super) fn best(&self, names: &[&str]) -> Option<&'a Value> {
        self.every(names).find(|value| says_something(value))
    }

    /// The value under one of these names, the innermost first.
    pub(super) fn find(&self, names: &[&str]) -> Option<&'a Value> {
        self.layers.iter().find_map(|layer| layer.find(names))
    }

    /// The same, where null and blank mean something: of the innermost object that has any of the names.
    pub(super) fn patch(&self, names: &[&str]) -> Patch<&'a Value> {
        for layer in &self.layers {
            if let Some(value) = layer.find(names) {
                return Patch::Set(value);
            }
            if names.iter().any(|name| layer.get(name).is_some()) {
                return Patch::Clear;
            }
        }
        Patch::Keep
    }
}

impl<'a> Layer<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        if self.is_event && OF_AN_EVENT.contains(&name) {
            return None;
        }
        get(self.fields, name)
    }

    fn find(&self, names: &[&str]) -> Option<&'a Value> {
        names.iter().filter_map(|name| self.get(name)).find(|value| says_something(value))
    }
}

/// The object inside of this one, and whether the wrapper is one that any message may have.
fn unwrapped<'a>(
    fields: &'a Map<String, Value>,
    shape: &Shape,
) -> Option<(&'a Map<String, Value>, bool)> {
    let object = |name: &&str| get(fields, name).and_then(Value::as_object);
    let has_id = |inner: &&Map<String, Value>| shape.ids.iter().any(|id| get(inner, id).is_some());
    let own = shape.wrappers.iter().find_map(object);
    let named = || object(&shape.named).filter(has_id);
    let general = || WRAPPERS.iter().find_map(object);
    own.or_else(named).map(|inner| (inner, false)).or_else(|| general().map(|inner| (inner, true)))
}

/// The field of this name in camel case, or in snake case.
pub(super) fn get<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).or_else(|| {
        let is_one_word = !name.bytes().any(|b| b.is_ascii_uppercase());
        if is_one_word { None } else { fields.get(&snake_case(name)) }
    })
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// Null and blank texts say nothing.
pub(super) fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        _ => true,
    }
}

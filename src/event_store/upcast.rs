//! Old events, read as new ones. Every stored event goes through here before it is decoded.
//!
//! A changed shape gets a new `event_version` in its `DomainEvent`, an upcaster in the list and a fixture of the old
//! JSON in `tests/fixtures/events`. So far every type has version 1 and the list is empty.

use cqrs_es::persist::{EventUpcaster, SerializedEvent};

/// Every upcaster, oldest first.
fn upcasters() -> &'static [Box<dyn EventUpcaster>] {
    &[]
}

/// The event in its newest shape.
pub fn upcast(event: SerializedEvent) -> SerializedEvent {
    upcast_by(upcasters(), event)
}

/// Whether there is nothing to do for an event of this type and version.
pub(super) fn is_newest(event_type: &str, version: &str) -> bool {
    !upcasters().iter().any(|upcaster| upcaster.can_upcast(event_type, version))
}

fn upcast_by(upcasters: &[Box<dyn EventUpcaster>], event: SerializedEvent) -> SerializedEvent {
    upcasters.iter().fold(event, |event, upcaster| {
        if upcaster.can_upcast(&event.event_type, &event.event_version) {
            upcaster.upcast(event)
        } else {
            event
        }
    })
}

#[cfg(test)]
mod tests {
    use cqrs_es::persist::SemanticVersionEventUpcaster;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_old_event_climbs_through_every_newer_version() {
        let to = |version, field: &'static str| -> Box<dyn EventUpcaster> {
            let rewrite = move |mut payload: serde_json::Value| {
                payload[field] = json!(true);
                payload
            };
            Box::new(SemanticVersionEventUpcaster::new("T", version, Box::new(rewrite)))
        };
        let stored = SerializedEvent::new(
            "a".into(),
            1,
            "t".into(),
            "T".into(),
            "1".into(),
            json!({}),
            json!({}),
        );
        let event = upcast_by(&[to("2", "two"), to("3", "three")], stored);
        assert_eq!(event.payload, json!({ "two": true, "three": true }));
        assert_eq!(event.event_version, "3.0.0");
    }
}

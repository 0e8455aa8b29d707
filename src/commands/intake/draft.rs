//! Deciding a slice: what each message means on what the ones before it leave. Pure; what is missing is asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cqrs_es::Aggregate;
use serde_json::json;
use uuid::Uuid;

use super::loaded::{Key, Loaded, Needs, State, StateCache};
use super::verdict::{Change, Verdict};
use super::{
    Effect, Incoming, Keep, Kept, KeyAct, KeyUse, OffsetMove, Origin, Proposal, Settle, Slice,
    Unreadable,
};
use crate::domain::freshness::Freshness;
use crate::domain::{Course, Enrollment, Event, User, UserId};
use crate::event_store::personal::SubjectKey;
use crate::event_store::{NewEvent, StreamId};

/// The set of claimed messages, each with what became of it. Stored: never rename.
pub(super) const INBOX: &str = "inbox";
/// How new what is known of an object is. Stored: never rename.
const FRESHNESS: &str = "freshness";

/// Something must be looked up first; the draft knows what.
#[derive(Debug)]
pub(super) struct Missing;

pub(super) type Taken<T> = Result<T, Missing>;

/// See the module.
pub(super) struct Draft {
    loaded: Arc<Loaded>,
    needs: Needs,
    /// The streams that decisions stand on.
    read: BTreeSet<StreamId>,
    states: HashMap<StreamId, State>,
    /// The keys that decisions stand on, with the value that the slice leaves where it is another one.
    pub(super) keys: BTreeMap<Key, Option<String>>,
    proposals: Vec<(usize, Proposal)>,
    kept: Vec<Kept>,
    settled: Vec<(Uuid, Settle)>,
}

impl Draft {
    pub(super) fn new(loaded: Arc<Loaded>) -> Self {
        Self {
            loaded,
            needs: Needs::default(),
            read: BTreeSet::new(),
            states: HashMap::new(),
            keys: BTreeMap::new(),
            proposals: Vec::new(),
            kept: Vec::new(),
            settled: Vec::new(),
        }
    }

    pub(super) fn needs(&self) -> &Needs {
        &self.needs
    }

    pub(super) fn into_needs(self) -> Needs {
        self.needs
    }

    /// The events so far, with the place of their message in the slice.
    pub(super) fn proposals(&self) -> &[(usize, Proposal)] {
        &self.proposals
    }

    /// Decides the next message. `None`: something must be looked up first, and the slice decided again.
    pub(super) fn take(&mut self, place: usize, message: &Incoming) -> Option<Effect> {
        self.decided(place, message).ok()
    }

    fn decided(&mut self, place: usize, message: &Incoming) -> Taken<Effect> {
        let claim = (INBOX, message.identity.clone());
        let claimed = self.key(&claim);
        if matches!(claimed, Ok(Some(_))) && message.origin == Origin::Topic {
            return Ok(self.duplicate(&claim));
        }
        let reported = match &message.content {
            Err(unreadable) => {
                claimed?;
                return Ok(self.bury(message, claim, unreadable));
            }
            Ok(reported) => reported,
        };
        // What the message needs is asked for together with its claim.
        let verdict = self.verdict(reported);
        claimed?;
        let command_id = Uuid::now_v7();
        let effect = match verdict? {
            Verdict::Accepted(changes) => {
                let events = self.apply(changes);
                let effect = if events.is_empty() { Effect::Unchanged } else { Effect::Applied };
                if !events.is_empty() {
                    let metadata = reported.metadata.clone();
                    let proposal = Proposal { command_id, events, metadata, ..Proposal::default() };
                    self.proposals.push((place, proposal));
                }
                effect
            }
            Verdict::Outdated => Effect::Outdated,
            Verdict::Refused(refusal) => Effect::Refused(refusal),
            Verdict::Waits(awaited) => Effect::Parked(awaited),
        };
        self.settle(message, &effect);
        self.claim(claim, message, &effect, command_id);
        Ok(effect)
    }

    /// What was dealt with before is not looked at again. Nothing is asserted: a claim is never taken back within the
    /// time in which a message may come twice.
    fn duplicate(&mut self, claim: &Key) -> Effect {
        if self.keys.get(claim) == Some(&None) {
            self.keys.remove(claim);
        }
        Effect::Duplicate
    }

    fn bury(&mut self, message: &Incoming, claim: Key, unreadable: &Unreadable) -> Effect {
        let effect = Effect::Dead(unreadable.clone());
        if let Origin::DeadLetter(_) = message.origin {
            self.keys.remove(&claim);
            return effect; // it is one already
        }
        if let Origin::Parked(id) = message.origin {
            self.settled.push((id, Settle::Unparked));
        }
        let Unreadable { code, reason } = unreadable.clone();
        self.keep(message, Keep::Dead { code, reason });
        self.claim(claim, message, &effect, Uuid::now_v7());
        effect
    }

    fn settle(&mut self, message: &Incoming, effect: &Effect) {
        let waits_for = match effect {
            Effect::Parked(awaited) => Some(awaited.to_string()),
            _ => None,
        };
        match (message.origin, waits_for) {
            (Origin::Topic, None) => {}
            (Origin::Topic, Some(waits_for)) => self.keep(message, Keep::Parked { waits_for }),
            (Origin::Parked(id), None) => self.settled.push((id, Settle::Unparked)),
            (Origin::Parked(id), Some(what)) => self.settled.push((id, Settle::WaitsFor(what))),
            (Origin::DeadLetter(id), waits_for) => {
                self.settled.push((id, Settle::Redriven));
                if let Some(waits_for) = waits_for {
                    self.keep(message, Keep::Parked { waits_for });
                }
            }
        }
    }

    fn keep(&mut self, message: &Incoming, how: Keep) {
        let record = (*message.record).clone();
        let identity = message.identity.clone();
        self.kept.push(Kept { id: Uuid::now_v7(), identity, record, how });
    }

    fn claim(&mut self, claim: Key, message: &Incoming, effect: &Effect, command: Uuid) {
        let record = &message.record;
        let at = format!("{}/{}/{}", record.topic, record.partition, record.offset);
        let mut value = json!({ "effect": effect.name(), "command": command, "at": at });
        match effect {
            Effect::Refused(refusal) => value["code"] = refusal.code().as_str().into(),
            Effect::Dead(unreadable) => value["code"] = unreadable.code.into(),
            _ => {}
        }
        self.keys.insert(claim, Some(value.to_string()));
    }

    fn apply(&mut self, changes: Vec<Change>) -> Vec<NewEvent> {
        let mut new = Vec::new();
        for Change { stream, course, events } in changes {
            if events.is_empty() {
                continue;
            }
            // Who decided has read it.
            let Some(mut state) = self.state(&stream) else { continue };
            for event in events {
                state.apply(event.clone());
                let (stream, sequence) = (stream.clone(), state.version());
                let (id, course) = (Uuid::now_v7(), course.clone());
                new.push(NewEvent { stream, sequence, event, id, course });
            }
            self.states.insert(stream, state);
        }
        new
    }

    /// The value of a key as the slice leaves it so far. It is asserted from now on.
    pub(super) fn key(&mut self, key: &Key) -> Taken<Option<String>> {
        let Some(held) = self.loaded.keys.get(key) else {
            self.needs.keys.insert(key.clone());
            return Err(Missing);
        };
        let now = self.keys.entry(key.clone()).or_insert(None);
        Ok(now.clone().or_else(|| held.clone()))
    }

    pub(super) fn freshness(&mut self, object: &str) -> (Key, Taken<Freshness>) {
        let key = (FRESHNESS, object.to_owned());
        let kept = self.key(&key);
        let parse = |kept: Option<String>| {
            kept.and_then(|kept| serde_json::from_str(&kept).ok()).unwrap_or_default()
        };
        (key, kept.map(parse))
    }

    pub(super) fn set_freshness(&mut self, key: Key, before: &Freshness, after: &Freshness) {
        if before != after {
            let kept = serde_json::to_string(after).unwrap_or_default(); // of texts and numbers
            self.keys.insert(key, Some(kept));
        }
    }

    pub(super) fn person(&mut self, id: &UserId) -> Taken<SubjectKey> {
        self.loaded.persons.get(id.as_str()).cloned().ok_or_else(|| {
            self.needs.persons.insert(id.to_string());
            Missing
        })
    }

    fn state(&self, stream: &StreamId) -> Option<State> {
        self.states.get(stream).or_else(|| self.loaded.streams.get(stream)).cloned()
    }

    /// The state of a stream as the slice leaves it so far. Its version is asserted from now on.
    fn read(&mut self, stream: &StreamId) -> Taken<State> {
        let Some(state) = self.state(stream) else {
            self.needs.streams.insert(stream.clone());
            return Err(Missing);
        };
        self.read.insert(stream.clone());
        Ok(state)
    }

    pub(super) fn course_state(&mut self, stream: &StreamId) -> Taken<Arc<Course>> {
        match self.read(stream)? {
            State::Course(course) => Ok(course),
            State::Enrollment(_) | State::User(_) => Err(Missing),
        }
    }

    pub(super) fn enrollment_state(&mut self, stream: &StreamId) -> Taken<Arc<Enrollment>> {
        match self.read(stream)? {
            State::Enrollment(enrollment) => Ok(enrollment),
            State::Course(_) | State::User(_) => Err(Missing),
        }
    }

    pub(super) fn user_state(&mut self, stream: &StreamId) -> Taken<Arc<User>> {
        match self.read(stream)? {
            State::User(user) => Ok(user),
            State::Course(_) | State::Enrollment(_) => Err(Missing),
        }
    }

    /// The slice that makes it true.
    pub(super) fn slice(&self, group: &str, offsets: Vec<OffsetMove>) -> Slice {
        let version = |stream: &StreamId| self.loaded.streams.get(stream).map(State::version);
        let reads = self.read.iter().filter_map(|stream| Some((stream.clone(), version(stream)?)));
        let keys = self.keys.iter().map(|((space, key), next)| {
            let held = self.loaded.keys.get(&(*space, key.clone())).cloned().flatten();
            let what = match (held, next) {
                (held, Some(next)) => KeyAct::Replace { held, next: next.clone() },
                (Some(held), None) => KeyAct::Held(held),
                (None, None) => KeyAct::Absent,
            };
            KeyUse { space, key: key.clone(), what }
        });
        let stands_on =
            Proposal { reads: reads.collect(), keys: keys.collect(), ..Proposal::default() };
        let events = self.proposals.iter().map(|(_, proposal)| proposal.clone());
        Slice {
            group: group.to_owned(),
            chain: std::iter::once(stands_on).chain(events).collect(),
            offsets,
            kept: self.kept.clone(),
            settled: self.settled.clone(),
            by: None,
        }
    }

    /// Keeps the states that the slice left, now that it is appended.
    pub(super) fn keep_in(self, cache: &StateCache) {
        let Self { read, states, loaded, .. } = self;
        for stream in read {
            let state = states.get(&stream).or_else(|| loaded.streams.get(&stream)).cloned();
            if let Some(state) = state {
                cache.put(stream, state);
            }
        }
    }
}

impl State {
    fn apply(&mut self, event: Event) {
        match (self, event) {
            (Self::Course(course), Event::Course(event)) => Arc::make_mut(course).apply(event),
            (Self::Enrollment(enrollment), Event::Enrollment(event)) => {
                Arc::make_mut(enrollment).apply(event);
            }
            (Self::User(user), Event::User(event)) => Arc::make_mut(user).apply(event),
            _ => {} // no decision gives a stream events of another kind
        }
    }
}

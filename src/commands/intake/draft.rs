//! Deciding a slice: what each message means on what the ones before it leave. Pure; what is missing is asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cqrs_es::Aggregate;
use serde_json::json;
use uuid::Uuid;

use super::loaded::{Key, Loaded, Needs, State, StateCache};
use super::{
    Awaited, Effect, Incoming, Keep, Kept, KeyAct, KeyUse, OffsetMove, Origin, Proposal, Refusal,
    Report, Reported, Settle, Slice, Stamp, Unreadable,
};
use crate::commands::video::{VideoRecord, video_key};
use crate::domain::course::AssessmentPatch;
use crate::domain::enrollment::{EnrollmentCommand, Grade, Submission};
use crate::domain::freshness::Freshness;
use crate::domain::registration::{Room, Undecided};
use crate::domain::report::{
    AssessmentReport, GradeReport, Personal, SubmissionReport, TranscodingReport, UserReport,
};
use crate::domain::user::{Sealed, UserCommand};
use crate::domain::values::Patch;
use crate::domain::{
    AssessmentId, Course, CourseId, Enrollment, EnrollmentId, Event, Seats, StreamType, User,
    UserId,
};
use crate::event_store::personal::{PersonalField, SubjectKey};
use crate::event_store::{NewEvent, StreamId};

/// The set of claimed messages, each with what became of it. Stored: never rename.
pub(super) const INBOX: &str = "inbox";
/// The set of assessments, each with its course. Stored: never rename.
const ASSESSMENTS: &str = "assessment";
/// How new what is known of an object is. Stored: never rename.
const FRESHNESS: &str = "freshness";

/// Something must be looked up first; the draft knows what.
#[derive(Debug)]
struct Missing;

type Taken<T> = Result<T, Missing>;

/// Events of one message for one stream.
struct Change {
    stream: StreamId,
    course: Option<CourseId>,
    events: Vec<Event>,
}

/// What a message comes to.
enum Verdict {
    /// These events; none where it says what is known.
    Accepted(Vec<Change>),
    Outdated,
    Refused(Refusal),
    Waits(Awaited),
}

/// See the module.
pub(super) struct Draft {
    loaded: Arc<Loaded>,
    needs: Needs,
    /// The streams that decisions stand on.
    read: BTreeSet<StreamId>,
    states: HashMap<StreamId, State>,
    /// The keys that decisions stand on, with the value that the slice leaves where it is another one.
    keys: BTreeMap<Key, Option<String>>,
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

    fn verdict(&mut self, reported: &Reported) -> Taken<Verdict> {
        let stamp = reported.stamp;
        match &reported.report {
            Report::User(report) => self.user(report, stamp),
            Report::Assessment(report) => self.assessment(report, stamp),
            Report::Submission(report) => self.submission(report),
            Report::Grade(report) => self.grade(report, stamp),
            Report::Transcoding(report) => self.transcoding(report, stamp),
        }
    }

    fn user(&mut self, report: &UserReport, stamp: Stamp) -> Taken<Verdict> {
        let id = &report.user;
        let stream = StreamId::new(StreamType::User, id.as_str());
        let user = self.user_state(&stream);
        let (place, freshness) = self.freshness(&format!("user/{id}"));
        let personal = [&report.display_name, &report.email];
        let person = personal.iter().any(|patch| matches!(patch, Patch::Set(_)));
        let person = if person { self.person(id).map(Some) } else { Ok(None) };
        let (user, before, person) = (user?, freshness?, person?);
        let mut freshness = before.clone();
        let mut fresh = |field: &str, kind, patch: &Patch<Personal>| {
            freshness.newer_patch(field, stamp, seal(person.as_ref(), id, kind, patch))
        };
        let display_name = fresh("name", PersonalField::DisplayName, &report.display_name);
        let email = fresh("email", PersonalField::Email, &report.email);
        let command = UserCommand {
            user_id: id.clone(),
            created: report.created,
            display_name,
            email,
            role: freshness.newer("role", stamp, report.role.clone()),
            active: freshness.newer("active", stamp, report.active),
        };
        let events: Vec<Event> = user.decide(&command).into_iter().map(Event::from).collect();
        if events.is_empty() && freshness == before {
            return Ok(Verdict::Outdated);
        }
        self.set_freshness(place, &before, &freshness);
        Ok(Verdict::Accepted(vec![Change { stream, course: None, events }]))
    }

    fn assessment(&mut self, report: &AssessmentReport, stamp: Stamp) -> Taken<Verdict> {
        let id = &report.assessment;
        let owner_key = (ASSESSMENTS, id.to_string());
        let owner = self.key(&owner_key);
        let stream = StreamId::new(StreamType::Course, report.course.as_str());
        let course = self.course_state(&stream);
        let (place, freshness) = self.freshness(&format!("assessment/{id}"));
        let (owner, course, before) = (owner?, course?, freshness?);
        if owner.as_deref().is_some_and(|owner| owner != report.course.as_str()) {
            return Ok(Verdict::Refused(Refusal::invalid(
                "courseId",
                "must be the course that has the assessment already",
            )));
        }
        if course.version == 0 {
            return Ok(Verdict::Waits(Awaited::Course(report.course.clone())));
        }
        let mut freshness = before.clone();
        let patch = AssessmentPatch {
            module_id: freshness.newer_patch("module", stamp, report.module.clone()),
            title: freshness.newer("title", stamp, report.title.clone()),
            kind: freshness.newer_patch("kind", stamp, report.kind.clone()),
            max_score: freshness.newer("max_score", stamp, report.max_score),
            weight: freshness.newer("weight", stamp, report.weight),
            due_at: freshness.newer_patch("due_at", stamp, report.due_at.clone()),
            required: freshness.newer("required", stamp, report.required),
        };
        let known = owner.is_some();
        if known && freshness == before {
            return Ok(Verdict::Outdated);
        }
        let events = match course.attach_assessment(id, &patch) {
            Ok(events) => events.into_iter().map(Event::from).collect(),
            Err(refusal) => return Ok(Verdict::Refused(refusal)),
        };
        self.set_freshness(place, &before, &freshness);
        self.keys.insert(owner_key, Some(report.course.to_string()));
        let course = Some(report.course.clone());
        Ok(Verdict::Accepted(vec![Change { stream, course, events }]))
    }

    fn submission(&mut self, report: &SubmissionReport) -> Taken<Verdict> {
        let SubmissionReport { submission, assessment, student, course, submitted_at, attempt } =
            report;
        let found = match self.work(assessment, student, course.as_ref())? {
            Ok(found) => found,
            Err(verdict) => return Ok(verdict),
        };
        let submission =
            Submission { id: submission.clone(), submitted_at: *submitted_at, attempt: *attempt };
        let assessment = assessment.clone();
        let command = EnrollmentCommand::RecordSubmission { assessment, submission };
        Ok(found.record(student, &command))
    }

    fn grade(&mut self, report: &GradeReport, stamp: Stamp) -> Taken<Verdict> {
        let found = match self.work(&report.assessment, &report.student, report.course.as_ref())? {
            Ok(found) => found,
            Err(verdict) => return Ok(verdict),
        };
        let (place, freshness) =
            self.freshness(&format!("grade/{}/{}", found.stream.id, report.assessment));
        let before = freshness?;
        let mut freshness = before.clone();
        let newest = freshness.admit("grade", stamp);
        let grade = Grade {
            submission_id: report.submission.clone(),
            score: report.score,
            max_score: report.max_score,
            percentage: report.percentage,
            letter: report.letter.clone(),
            graded_at: report.graded_at,
            graded_by: report.graded_by.clone(),
        };
        let assessment = report.assessment.clone();
        let command = EnrollmentCommand::RecordGrade { assessment, grade, newest };
        let verdict = found.record(&report.student, &command);
        self.set_freshness(place, &before, &freshness);
        Ok(match verdict {
            Verdict::Accepted(changes) if !newest && changes.is_empty() => Verdict::Outdated,
            verdict => verdict,
        })
    }

    fn transcoding(&mut self, report: &TranscodingReport, stamp: Stamp) -> Taken<Verdict> {
        let key = video_key(&report.video);
        let mut record = VideoRecord::parse(self.key(&key)?.as_deref());
        if record.stamp.is_some_and(|known| known >= stamp) {
            return Ok(Verdict::Outdated);
        }
        let courses = record.courses.iter().map(|id| {
            let stream = StreamId::new(StreamType::Course, id.as_str());
            let course = self.course_state(&stream);
            (id.clone(), stream, course)
        });
        let courses: Vec<_> = courses.collect();
        let mut changes = Vec::new();
        for (id, stream, course) in courses {
            // A course that is gone, or has no room for it, does not keep the others from hearing of it.
            let events = course?.record_transcoding(&report.video, &report.result);
            let events: Vec<Event> =
                events.unwrap_or_default().into_iter().map(Event::from).collect();
            changes.push(Change { stream, course: Some(id), events });
        }
        record.result = Some(report.result.clone());
        record.stamp = Some(stamp);
        self.keys.insert(key, Some(record.to_json()));
        Ok(Verdict::Accepted(changes))
    }

    /// The enrollment whose work is reported, with its course; or what the report has to wait for.
    fn work(
        &mut self,
        assessment: &AssessmentId,
        student: &UserId,
        named: Option<&CourseId>,
    ) -> Taken<Result<Work, Verdict>> {
        let Some(owner) = self.key(&(ASSESSMENTS, assessment.to_string()))? else {
            return Ok(Err(Verdict::Waits(Awaited::Assessment(assessment.clone()))));
        };
        if named.is_some_and(|named| named.as_str() != owner) {
            return Ok(Err(Verdict::Refused(Refusal::invalid(
                "courseId",
                "must be the course that has the assessment",
            ))));
        }
        let Ok(id) = CourseId::parse(&owner, "courseId") else { return Err(Missing) };
        let enrollment_id = EnrollmentId::of(&id, student);
        let stream = StreamId::new(StreamType::Enrollment, enrollment_id.as_str());
        let course = self.course_state(&StreamId::new(StreamType::Course, id.as_str()));
        let enrollment = self.enrollment_state(&stream);
        let (course, enrollment) = (course?, enrollment?);
        if enrollment.version == 0 {
            return Ok(Err(Verdict::Waits(Awaited::Enrollment(enrollment_id))));
        }
        Ok(Ok(Work { id, stream, course, enrollment }))
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
    fn key(&mut self, key: &Key) -> Taken<Option<String>> {
        let Some(held) = self.loaded.keys.get(key) else {
            self.needs.keys.insert(key.clone());
            return Err(Missing);
        };
        let now = self.keys.entry(key.clone()).or_insert(None);
        Ok(now.clone().or_else(|| held.clone()))
    }

    fn freshness(&mut self, object: &str) -> (Key, Taken<Freshness>) {
        let key = (FRESHNESS, object.to_owned());
        let kept = self.key(&key);
        let parse = |kept: Option<String>| {
            kept.and_then(|kept| serde_json::from_str(&kept).ok()).unwrap_or_default()
        };
        (key, kept.map(parse))
    }

    fn set_freshness(&mut self, key: Key, before: &Freshness, after: &Freshness) {
        if before != after {
            let kept = serde_json::to_string(after).unwrap_or_default(); // of texts and numbers
            self.keys.insert(key, Some(kept));
        }
    }

    fn person(&mut self, id: &UserId) -> Taken<SubjectKey> {
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

    fn course_state(&mut self, stream: &StreamId) -> Taken<Arc<Course>> {
        match self.read(stream)? {
            State::Course(course) => Ok(course),
            State::Enrollment(_) | State::User(_) => Err(Missing),
        }
    }

    fn enrollment_state(&mut self, stream: &StreamId) -> Taken<Arc<Enrollment>> {
        match self.read(stream)? {
            State::Enrollment(enrollment) => Ok(enrollment),
            State::Course(_) | State::User(_) => Err(Missing),
        }
    }

    fn user_state(&mut self, stream: &StreamId) -> Taken<Arc<User>> {
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

/// The enrollment that a report is about.
struct Work {
    id: CourseId,
    stream: StreamId,
    course: Arc<Course>,
    enrollment: Arc<Enrollment>,
}

impl Work {
    fn record(&self, student: &UserId, command: &EnrollmentCommand) -> Verdict {
        let room = Room {
            id: &self.id,
            course: &self.course,
            seats: &Seats::default(), // reports of work move no seat
            enrollment: &|_| Some(&self.enrollment),
        };
        match room.record(student, command) {
            Ok(changes) => {
                let events = changes.enrollments.into_iter().flat_map(|(_, events)| events);
                let events: Vec<Event> = events.map(Event::from).collect();
                if events.is_empty() {
                    return Verdict::Accepted(Vec::new());
                }
                let (stream, course) = (self.stream.clone(), Some(self.id.clone()));
                Verdict::Accepted(vec![Change { stream, course, events }])
            }
            Err(Undecided::Refused(refusal)) => Verdict::Refused(refusal),
            Err(Undecided::Needs(_)) => Verdict::Refused(Refusal::NotEnrolled), // it was given
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

fn seal(
    person: Option<&SubjectKey>,
    id: &UserId,
    field: PersonalField,
    patch: &Patch<Personal>,
) -> Patch<Sealed> {
    match (patch, person) {
        (Patch::Set(text), Some(key)) => Patch::Set(key.seal(id, field, &text.0)),
        (Patch::Clear, _) => Patch::Clear,
        (Patch::Keep, _) | (Patch::Set(_), None) => Patch::Keep,
    }
}

//! Deciding a chain of commands of one course, each on the state that the one before it leaves, and writing each
//! decision down as a proposal: what it read, what it adds, which keys it holds or claims.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cqrs_es::Aggregate;
use uuid::Uuid;

use super::cache::Known;
use super::idempotency::{Done, IdempotencyKey};
use super::request::{Cause, Request, State};
use super::video::{VideoRecord, video_key};
use crate::domain::course::{CourseAction, CourseCommand, CourseEvent};
use crate::domain::registration::{Changes, Room, Undecided, acts_as_instructor};
use crate::domain::report::VideoResult;
use crate::domain::values::{Patch, folded_code};
use crate::domain::{
    Course, CourseId, Enrollment, EnrollmentId, Refusal, Seats, StreamType, UserId,
};
use crate::event_store::proposal::KeyAct;
use crate::event_store::{KeyUse, NewEvent, Proposal, StreamId};

/// The set of course codes in use, each with its course. Stored: never rename.
const COURSE_CODES: &str = "course_code";

/// Who holds which key, as far as an append has told.
pub(super) type Facts = HashMap<(String, String), Option<String>>;

/// What a command came to, once its proposal is appended.
#[derive(Debug)]
pub(super) enum Decided {
    /// It is carried out now, leaves this state, and is about this module or item.
    Now(State, Option<String>),
    /// It was carried out before.
    Before(Done),
    /// It is refused.
    Refused(Refusal),
}

/// The state of a course while a chain of commands is decided on it. Nothing of it is true before the append says so.
pub(super) struct Draft<'a> {
    id: &'a CourseId,
    known: &'a Known,
    course: Arc<Course>,
    seats: Arc<Seats>,
    enrollments: HashMap<UserId, Enrollment>,
    keys: HashSet<(&'static str, String)>,
}

/// What came out of one command.
pub(super) enum Step {
    /// Decided; the draft stands behind it.
    Decided(Box<Proposal>, Decided),
    /// These students' enrollments must be looked up first.
    Needs(Vec<UserId>),
    /// It concerns a key that an earlier command of the chain moved: it belongs to the next chain.
    Later,
}

impl<'a> Draft<'a> {
    pub(super) fn new(id: &'a CourseId, known: &'a Known) -> Self {
        Self {
            id,
            known,
            course: known.course.clone(),
            seats: known.seats.clone(),
            enrollments: HashMap::new(),
            keys: HashSet::new(),
        }
    }

    /// The states that the chain leaves, of enrollments only those that it changed; to be kept once it is appended.
    pub(super) fn into_states(self) -> Known {
        Known { course: self.course, seats: self.seats, enrollments: self.enrollments }
    }

    /// Decides one command and applies what it says.
    pub(super) fn step(&mut self, request: &Request, facts: &Facts, cause: &Cause) -> Step {
        let key = cause.key.as_ref();
        if let Some(step) = key.and_then(|key| self.happened_before(key, facts, cause)) {
            return step;
        }
        let mut keys = Vec::new();
        let mut reads: Vec<StreamType> = Vec::new();
        let mut students: Vec<UserId> = Vec::new();
        let decided = match request {
            Request::Course(command) => {
                let code = wanted_code(command);
                let moved = |code: &String| self.keys.contains(&(COURSE_CODES, code.clone()));
                if code.as_ref().is_some_and(moved) {
                    return Step::Later;
                }
                let owner = code.as_ref().and_then(|code| owner(facts, code));
                let video = video_use(self.id, command, facts);
                let known = video.as_ref().and_then(|(known, _)| known.as_ref());
                let command = with_facts(command, owner.as_deref(), known, &self.seats);
                reads.push(StreamType::Course);
                if moves_seats(&command.action) {
                    reads.push(StreamType::Seats);
                }
                let decided = self.room(|room| room.change_course(&command));
                let held = code.zip(owner).map(|(code, by)| code_key(code, KeyAct::Held(by)));
                keys = match &decided {
                    Ok(changes) => self.key_uses(changes, video.map(|(_, used)| used)),
                    Err(Undecided::Refused(Refusal::CodeTaken)) => held.into_iter().collect(),
                    Err(_) => Vec::new(),
                };
                decided
            }
            Request::Enroll(enroll) => {
                reads.push(StreamType::Seats);
                if acts_as_instructor(&enroll.actor) {
                    reads.push(StreamType::Course);
                }
                students.push(enroll.student.clone());
                self.room(|room| room.enroll(enroll))
            }
            Request::Withdraw(withdraw) => {
                reads.push(StreamType::Seats);
                if acts_as_instructor(&withdraw.actor) {
                    reads.push(StreamType::Course);
                }
                students.push(withdraw.student.clone());
                self.room(|room| room.withdraw(withdraw))
            }
            Request::Complete(complete) => {
                reads.push(StreamType::Course);
                students.push(complete.student.clone());
                self.room(|room| room.complete_item(complete))
            }
        };
        let changes = match decided {
            Ok(changes) => Ok(changes),
            Err(Undecided::Refused(refusal)) => Err(refusal),
            Err(Undecided::Needs(students)) => return Step::Needs(students),
        };
        if keys.iter().any(|used| self.keys.contains(&(used.space, used.key.clone()))) {
            return Step::Later;
        }
        if let Ok(changes) = &changes {
            // The guess of the seats may be older than that of the course: nothing is appended to a stream unread.
            if !changes.seats.is_empty() && !reads.contains(&StreamType::Seats) {
                reads.push(StreamType::Seats);
            }
            students.extend(changes.enrollments.iter().map(|(student, _)| student.clone()));
        }
        students.sort_unstable();
        students.dedup();
        let mut proposal = Proposal {
            command_id: Uuid::now_v7(),
            reads: self.reads(&reads, &students),
            events: Vec::new(),
            keys,
            metadata: cause.metadata.clone(),
        };
        let decided = match changes {
            Ok(changes) => {
                let part = self.part(request);
                proposal.events = self.apply(changes);
                let state = self.state_for(request);
                proposal.keys.extend(key.map(|key| {
                    let done = Done {
                        course: self.id.clone(),
                        student: request.student().cloned(),
                        version: state.version(),
                        part: part.clone(),
                    };
                    key.claim(proposal.command_id, done)
                }));
                Decided::Now(state, part)
            }
            Err(refusal) => {
                // True only where the command was not carried out before.
                proposal.keys.extend(key.map(|key| key.use_as(KeyAct::Absent)));
                Decided::Refused(refusal)
            }
        };
        self.decided(proposal, decided)
    }

    /// A command whose key is taken is not decided again.
    fn happened_before(
        &mut self,
        key: &IdempotencyKey,
        facts: &Facts,
        cause: &Cause,
    ) -> Option<Step> {
        if self.keys.contains(&key.place()) {
            return Some(Step::Later);
        }
        let (space, text) = key.place();
        let kept = facts.get(&(space.to_owned(), text))?.as_deref()?;
        let decided = match key.earlier(kept) {
            Ok(done) => Decided::Before(done),
            Err(refusal) => Decided::Refused(refusal),
        };
        let proposal = Proposal {
            command_id: Uuid::now_v7(),
            keys: vec![key.use_as(KeyAct::Held(kept.to_owned()))],
            metadata: cause.metadata.clone(),
            ..Proposal::default()
        };
        Some(self.decided(proposal, decided))
    }

    fn decided(&mut self, proposal: Proposal, decided: Decided) -> Step {
        self.keys.extend(proposal.keys.iter().map(|used| (used.space, used.key.clone())));
        Step::Decided(Box::new(proposal), decided)
    }

    /// The module or item that the answer is about: of an item that is to be removed its module.
    fn part(&self, request: &Request) -> Option<String> {
        let Request::Course(command) = request else { return None };
        match &command.action {
            CourseAction::AddModule { module_id, .. }
            | CourseAction::UpdateModule { module_id, .. }
            | CourseAction::ReorderItems { module_id, .. } => Some(module_id.to_string()),
            CourseAction::AddItem { item, .. } => Some(item.id.to_string()),
            CourseAction::UpdateItem { item_id, .. } => Some(item_id.to_string()),
            CourseAction::RemoveItem { item_id } => {
                self.course.item(item_id).map(|(module, _)| module.id.to_string())
            }
            _ => None,
        }
    }

    fn room<T>(&self, decide: impl FnOnce(&Room<'_>) -> T) -> T {
        let enrollment = |student: &UserId| {
            self.enrollments.get(student).or_else(|| self.known.enrollments.get(student))
        };
        decide(&Room {
            id: self.id,
            course: &self.course,
            seats: &self.seats,
            enrollment: &enrollment,
        })
    }

    fn enrollment(&self, student: &UserId) -> Enrollment {
        self.room(|room| (room.enrollment)(student).cloned()).unwrap_or_default()
    }

    fn reads(&self, kinds: &[StreamType], students: &[UserId]) -> Vec<(StreamId, u64)> {
        let of_course = kinds.iter().map(|kind| {
            let version = match kind {
                StreamType::Course => self.course.version,
                StreamType::Seats | StreamType::Enrollment | StreamType::User => self.seats.version,
            };
            (StreamId::new(*kind, self.id.as_str()), version)
        });
        let of_students = students.iter().filter_map(|student| {
            // Without a lookup there was no read: the command was refused before it came to that.
            let version =
                self.room(|room| (room.enrollment)(student).map(|known| known.version))?;
            Some((self.enrollment_stream(student), version))
        });
        of_course.chain(of_students).collect()
    }

    fn enrollment_stream(&self, student: &UserId) -> StreamId {
        StreamId::new(StreamType::Enrollment, EnrollmentId::of(self.id, student).as_str())
    }

    fn key_uses(&self, changes: &Changes, video: Option<KeyUse>) -> Vec<KeyUse> {
        let id = self.id.to_string();
        let old = folded_code(&self.course.code);
        let mut keys: Vec<KeyUse> = video.into_iter().collect();
        for event in &changes.course {
            match event {
                CourseEvent::CourseCreated { code, .. } => {
                    keys.push(code_key(folded_code(code), KeyAct::Claim(id.clone())));
                }
                CourseEvent::CourseDetailsChanged { code: Some(code), .. }
                    if folded_code(code) != old =>
                {
                    keys.push(code_key(folded_code(code), KeyAct::Claim(id.clone())));
                    keys.push(code_key(old.clone(), KeyAct::Release(id.clone())));
                }
                CourseEvent::CourseDeleted { .. } => {
                    keys.push(code_key(old.clone(), KeyAct::Release(id.clone())));
                }
                _ => {}
            }
        }
        keys
    }

    fn apply(&mut self, changes: Changes) -> Vec<NewEvent> {
        let mut events = Vec::new();
        if !changes.course.is_empty() {
            let course = Arc::make_mut(&mut self.course);
            let stream = StreamId::new(StreamType::Course, self.id.as_str());
            for event in changes.course {
                course.apply(event.clone());
                events.push(new_event(&stream, course.version, event, self.id));
            }
        }
        if !changes.seats.is_empty() {
            let seats = Arc::make_mut(&mut self.seats);
            let stream = StreamId::new(StreamType::Seats, self.id.as_str());
            for event in changes.seats {
                seats.apply(event.clone());
                events.push(new_event(&stream, seats.version, event, self.id));
            }
        }
        for (student, changed) in changes.enrollments {
            let mut enrollment = self.enrollment(&student);
            let stream = self.enrollment_stream(&student);
            for event in changed {
                enrollment.apply(event.clone());
                events.push(new_event(&stream, enrollment.version, event, self.id));
            }
            self.enrollments.insert(student, enrollment);
        }
        events
    }

    fn state_for(&self, request: &Request) -> State {
        match request.student() {
            None => State::Course(self.course.clone()),
            Some(student) => State::Enrollment(Box::new(self.enrollment(student))),
        }
    }
}

fn new_event(
    stream: &StreamId,
    sequence: u64,
    event: impl Into<crate::domain::Event>,
    course: &CourseId,
) -> NewEvent {
    NewEvent {
        stream: stream.clone(),
        sequence,
        event: event.into(),
        id: Uuid::now_v7(),
        course: Some(course.clone()),
    }
}

fn code_key(code: String, what: KeyAct) -> KeyUse {
    KeyUse { space: COURSE_CODES, key: code, what }
}

/// The code that the command wants for the course, folded.
fn wanted_code(command: &CourseCommand) -> Option<String> {
    match &command.action {
        CourseAction::Create { course, .. } => Some(folded_code(&course.code)),
        CourseAction::Update { patch, .. } => match &patch.code {
            Patch::Set(code) => Some(folded_code(code)),
            Patch::Keep | Patch::Clear => None,
        },
        _ => None,
    }
}

fn owner(facts: &Facts, code: &str) -> Option<String> {
    facts.get(&(COURSE_CODES.to_owned(), code.to_owned())).cloned().flatten()
}

/// What is known of the video of a new item, and that its course must hear of what is reported of it.
fn video_use(
    course: &CourseId,
    command: &CourseCommand,
    facts: &Facts,
) -> Option<(Option<VideoResult>, KeyUse)> {
    let CourseAction::AddItem { item, .. } = &command.action else { return None };
    let (space, key) = video_key(item.video_id.as_ref()?);
    let held = facts.get(&(space.to_owned(), key.clone())).cloned().flatten();
    let mut record = VideoRecord::parse(held.as_deref());
    let result = record.result.clone();
    record.courses.insert(course.clone());
    let next = record.to_json();
    let what = match held {
        Some(held) if held == next => KeyAct::Held(held),
        held => KeyAct::Replace { held, next },
    };
    Some((result, KeyUse { space, key, what }))
}

fn with_facts(
    command: &CourseCommand,
    owner: Option<&str>,
    known: Option<&VideoResult>,
    seats: &Seats,
) -> CourseCommand {
    let owner = owner.and_then(|id| CourseId::parse(id, "code").ok());
    let mut command = command.clone();
    match &mut command.action {
        CourseAction::Create { code_owner, .. } | CourseAction::Update { code_owner, .. } => {
            *code_owner = owner;
        }
        CourseAction::Unpublish { seats_taken, waiting } => {
            *seats_taken = seats.taken;
            *waiting = u32::try_from(seats.waitlist.len()).unwrap_or(u32::MAX);
        }
        CourseAction::Delete { seats_taken, .. } => *seats_taken = seats.taken,
        CourseAction::AddItem { video, .. } => *video = known.cloned(),
        CourseAction::AssignInstructor { .. }
        | CourseAction::RemoveInstructor { .. }
        | CourseAction::Publish
        | CourseAction::Archive
        | CourseAction::Restore
        | CourseAction::AddModule { .. }
        | CourseAction::UpdateModule { .. }
        | CourseAction::RemoveModule { .. }
        | CourseAction::ReorderModules { .. }
        | CourseAction::UpdateItem { .. }
        | CourseAction::RemoveItem { .. }
        | CourseAction::ReorderItems { .. } => {}
    }
    command
}

/// Whether the command is decided on the seats as well: the content of a course never conflicts with a rush on it.
fn moves_seats(action: &CourseAction) -> bool {
    match action {
        CourseAction::Create { .. }
        | CourseAction::Publish
        | CourseAction::Unpublish { .. }
        | CourseAction::Archive
        | CourseAction::Restore
        | CourseAction::Delete { .. } => true,
        CourseAction::Update { patch, .. } => {
            patch.capacity != Patch::Keep
                || patch.enrollment_opens_at != Patch::Keep
                || patch.enrollment_closes_at != Patch::Keep
        }
        CourseAction::AssignInstructor { .. }
        | CourseAction::RemoveInstructor { .. }
        | CourseAction::AddModule { .. }
        | CourseAction::UpdateModule { .. }
        | CourseAction::RemoveModule { .. }
        | CourseAction::ReorderModules { .. }
        | CourseAction::AddItem { .. }
        | CourseAction::UpdateItem { .. }
        | CourseAction::RemoveItem { .. }
        | CourseAction::ReorderItems { .. } => false,
    }
}

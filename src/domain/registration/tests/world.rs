//! One course with its streams in memory: decides like the shell does, appends, and checks after every append what must
//! hold of the whole.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::domain::course::{CourseStatus, ItemKind, Module, ModuleItem};
use crate::domain::enrollment::Via;
use crate::domain::event::{Event, StreamType};
use crate::domain::ids::{ItemId, ModuleId};
use crate::domain::values::{MAX_INSTRUCTORS, MAX_ITEMS, MAX_MODULES, MAX_OUTGOING_BYTES};

/// The states as the fold of everything appended, and the log that they were folded from.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) id: CourseId,
    pub(super) course: Course,
    pub(super) seats: Seats,
    pub(super) enrollments: BTreeMap<UserId, Enrollment>,
    /// Who waits, the first in front, as the enrollments tell it.
    pub(super) line: Vec<UserId>,
    /// The ids of the modules in order and of the items in each, as the positions in the events tell it.
    modules: Vec<(ModuleId, Vec<ItemId>)>,
    /// Every event as it was read back from its stored JSON; the student where it is an enrollment's.
    log: Vec<(Option<UserId>, Event)>,
}

impl World {
    /// Nothing has happened yet.
    pub(super) fn new(id: CourseId) -> Self {
        Self {
            id,
            course: Course::default(),
            seats: Seats::default(),
            enrollments: BTreeMap::new(),
            line: Vec::new(),
            modules: Vec::new(),
            log: Vec::new(),
        }
    }

    /// The answer to a command; what it needs is looked up until it can decide.
    pub(super) fn decide(
        &self,
        command: impl Fn(&Room<'_>) -> Result<Changes, Undecided>,
    ) -> Result<Changes, Refusal> {
        let missing = Enrollment::default();
        let mut known = BTreeMap::new();
        loop {
            let lookup = |student: &UserId| known.get(student).copied();
            let room = Room {
                id: &self.id,
                course: &self.course,
                seats: &self.seats,
                enrollment: &lookup,
            };
            match command(&room) {
                Ok(changes) => return Ok(changes),
                Err(Undecided::Refused(refusal)) => return Err(refusal),
                Err(Undecided::Needs(students)) => {
                    assert!(!students.is_empty(), "needs nothing, yet does not decide");
                    for student in students {
                        let enrollment = self.enrollments.get(&student).unwrap_or(&missing);
                        let before = known.insert(student, enrollment);
                        assert!(before.is_none(), "asks again for what it was given");
                    }
                }
            }
        }
    }

    /// Where `student` stands.
    pub(super) fn status(&self, student: &UserId) -> EnrollmentStatus {
        self.enrollments.get(student).map_or(EnrollmentStatus::Missing, |e| e.status)
    }

    /// How many have a seat, by their enrollments.
    pub(super) fn active(&self) -> usize {
        self.enrollments.values().filter(|e| e.status == EnrollmentStatus::Active).count()
    }

    /// Appends what was decided and checks everything.
    pub(super) fn append(&mut self, changes: &Changes) {
        for event in &changes.course {
            self.append_to_course(event);
        }
        for event in &changes.seats {
            self.append_to_seats(event);
        }
        for (student, events) in &changes.enrollments {
            for event in events {
                self.append_to_enrollment(student, event);
            }
        }
        if *changes != Changes::default() {
            self.check();
        }
    }

    fn append_to_course(&mut self, event: &CourseEvent) {
        assert_ne!(self.course.status, CourseStatus::Deleted, "{event:?} after the deletion");
        match event {
            CourseEvent::CourseUnpublished {} => {
                assert_eq!((self.active(), self.line.len()), (0, 0), "nobody loses a seat");
            }
            CourseEvent::InstructorRemoved { instructor_id } => {
                assert!(self.course.instructor_ids.contains(instructor_id));
            }
            _ => self.append_to_modules(event),
        }
        self.course.apply(event.clone());
        self.store(None, &event.clone().into());
    }

    fn append_to_modules(&mut self, event: &CourseEvent) {
        let at = |position: &u32| usize::try_from(*position).unwrap();
        match event {
            CourseEvent::ModuleAdded { module_id, position, .. } => {
                self.modules.insert(at(position), (module_id.clone(), Vec::new()));
            }
            CourseEvent::ModuleRemoved { module_id } => {
                let index = self.modules.iter().position(|(id, _)| id == module_id);
                self.modules.remove(index.expect("what is removed was there"));
            }
            CourseEvent::ModulesReordered { module_ids } => {
                let before = std::mem::take(&mut self.modules);
                let found = |id| before.iter().find(|(other, _)| other == id).cloned().unwrap();
                self.modules = module_ids.iter().map(found).collect();
                assert_eq!(sorted(&self.modules), sorted(&before), "each once and all of them");
                assert_ne!(self.modules, before, "an order that changes nothing is no event");
            }
            CourseEvent::ModuleItemAdded { module_id, item_id, position, .. } => {
                self.items(module_id).insert(at(position), item_id.clone());
            }
            CourseEvent::ModuleItemChanged { module_id, item_id, .. } => {
                assert!(self.items(module_id).contains(item_id));
            }
            CourseEvent::ModuleItemRemoved { module_id, item_id } => {
                let items = self.items(module_id);
                let index = items.iter().position(|id| id == item_id);
                items.remove(index.expect("what is removed was there"));
            }
            CourseEvent::ModuleItemsReordered { module_id, item_ids } => {
                let before = std::mem::replace(self.items(module_id), item_ids.clone());
                assert_eq!(sorted(item_ids), sorted(&before), "each once and all of them");
                assert_ne!(item_ids, &before, "an order that changes nothing is no event");
            }
            _ => {}
        }
    }

    fn items(&mut self, module: &ModuleId) -> &mut Vec<ItemId> {
        let found = self.modules.iter_mut().find(|(id, _)| id == module);
        found.map(|(_, items)| items).expect("the module was there")
    }

    fn append_to_seats(&mut self, event: &SeatsEvent) {
        self.seats.apply(event.clone());
        let seats = &self.seats;
        let admits = matches!(event, SeatsEvent::SeatTaken { .. }) || !event.promoted().is_empty();
        if admits {
            assert!(seats.open, "{event:?} while the course is not published");
            assert!(seats.capacity.is_none_or(|c| seats.taken <= c), "{event:?} oversells");
        }
        if seats.open {
            let full = seats.capacity.is_some_and(|capacity| seats.taken >= capacity);
            assert!(seats.waitlist.is_empty() || full, "a seat is idle after {event:?}");
        }
        self.store(None, &event.clone().into());
    }

    fn append_to_enrollment(&mut self, student: &UserId, event: &EnrollmentEvent) {
        match event {
            EnrollmentEvent::StudentEnrolled { via: Via::Waitlist, .. } => {
                assert_eq!(self.line.remove(0), *student, "only the first in line is promoted");
            }
            EnrollmentEvent::StudentEnrolled { .. } => {
                assert!(self.line.is_empty(), "{student} overtook those who wait");
            }
            EnrollmentEvent::StudentWaitlisted { .. } => self.line.push(student.clone()),
            EnrollmentEvent::StudentWithdrawn { .. } => self.line.retain(|other| other != student),
            EnrollmentEvent::ModuleItemCompleted { .. }
            | EnrollmentEvent::SubmissionRecorded { .. }
            | EnrollmentEvent::GradeRecorded { .. }
            | EnrollmentEvent::GradeRevised { .. }
            | EnrollmentEvent::EnrollmentCompleted { .. } => {}
        }
        self.enrollments.entry(student.clone()).or_default().apply(event.clone());
        self.store(Some(student), &event.clone().into());
    }

    /// Keeps an event as a later reader will get it.
    fn store(&mut self, student: Option<&UserId>, event: &Event) {
        let json: Value = serde_json::from_str(&event.to_json().unwrap()).unwrap();
        assert!(!holds_nul(&json), "U+0000 in {json}");
        let read = Event::from_json(event.stream_type(), json).unwrap();
        assert_eq!(read, *event, "an event reads back as it was written");
        self.log.push((student.cloned(), read));
    }

    fn check(&self) {
        self.check_refolded();
        self.check_registration();
        self.check_course();
    }

    /// The fold from scratch, of what was stored, equals what was kept along the way.
    fn check_refolded(&self) {
        let mut course = Course::default();
        let mut seats = Seats::default();
        let mut enrollments: BTreeMap<UserId, Enrollment> = BTreeMap::new();
        for (student, event) in &self.log {
            match event.clone() {
                Event::Course(event) => course.apply(event),
                Event::Seats(event) => seats.apply(event),
                Event::Enrollment(event) => {
                    enrollments.entry(student.clone().unwrap()).or_default().apply(event);
                }
                Event::User(_) => {}
            }
        }
        assert_eq!((&course, &seats), (&self.course, &self.seats));
        assert_eq!(enrollments, self.enrollments);

        let events = |stream, student: Option<&UserId>| {
            let of_stream = |(whose, event): &&(Option<UserId>, Event)| {
                event.stream_type() == stream && whose.as_ref() == student
            };
            u64::try_from(self.log.iter().filter(of_stream).count()).unwrap()
        };
        assert_eq!(course.version, events(StreamType::Course, None));
        assert_eq!(seats.version, events(StreamType::Seats, None));
        for (student, enrollment) in &enrollments {
            assert_eq!(enrollment.version, events(StreamType::Enrollment, Some(student)));
            assert_eq!((&enrollment.course_id, &enrollment.student_id), (&self.id, student));
        }
    }

    fn check_registration(&self) {
        let Self { course, seats, .. } = self;
        assert_eq!(usize::try_from(seats.taken).unwrap(), self.active());
        assert_eq!(Vec::from(seats.waitlist.clone()), self.line);
        let waiting =
            self.enrollments.values().filter(|e| e.status == EnrollmentStatus::Waitlisted);
        assert_eq!(waiting.count(), self.line.len());
        assert_eq!(seats.open, course.status == CourseStatus::Published);
        assert_eq!(seats.capacity, course.capacity);
        assert_eq!(seats.opens_at, course.enrollment_opens_at);
        assert_eq!(seats.closes_at, course.enrollment_closes_at);
    }

    fn check_course(&self) {
        let course = &self.course;
        assert_eq!(course.id, self.id);
        assert!((1..=255).contains(&course.title.chars().count()));
        let in_code = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        assert!((1..=64).contains(&course.code.len()) && course.code.chars().all(in_code));
        assert!(course.description.as_ref().is_none_or(|text| text.len() <= 16_384));
        assert!(course.tags.len() <= 50);
        assert!(course.tags.iter().all(|tag| (1..=64).contains(&tag.len())));
        assert!((1..=MAX_INSTRUCTORS).contains(&course.instructor_ids.len()));
        let instructors: BTreeSet<_> = course.instructor_ids.iter().collect();
        assert_eq!(instructors.len(), course.instructor_ids.len(), "each teaches once");
        assert!(course.passing_score.is_none_or(|percent| (0.0..=100.0).contains(&percent)));
        assert!(course.starts_at.zip(course.ends_at).is_none_or(|(start, end)| start <= end));
        let window = course.enrollment_opens_at.zip(course.enrollment_closes_at);
        assert!(window.is_none_or(|(opens, closes)| opens <= closes));
        assert!(course.outgoing_bytes() <= MAX_OUTGOING_BYTES);
        assert!(course.modules.len() <= MAX_MODULES);
        let ids = |module: &Module| {
            (module.id.clone(), module.items.iter().map(|item| item.id.clone()).collect())
        };
        assert_eq!(course.modules.iter().map(ids).collect::<Vec<_>>(), self.modules);
        let items: Vec<_> = course.modules.iter().flat_map(|module| &module.items).collect();
        let distinct: BTreeSet<_> = items.iter().map(|item| &item.id).collect();
        assert_eq!(distinct.len(), items.len(), "an item is there twice");
        items.into_iter().for_each(check_item);
        for module in &course.modules {
            assert!(module.items.len() <= MAX_ITEMS);
            assert!(module.outgoing_bytes() <= MAX_OUTGOING_BYTES);
            assert!((1..=255).contains(&module.title.chars().count()));
            assert!(module.summary.as_ref().is_none_or(|text| text.len() <= 16_384));
            assert!(module.added_in <= module.changed_in && module.changed_in <= course.version);
        }
    }
}

fn check_item(item: &ModuleItem) {
    assert!((1..=255).contains(&item.title.chars().count()));
    let url = item.url.as_deref();
    assert!(url.is_none_or(|url| url.len() <= 2_048 && url.to_lowercase().starts_with("http")));
    assert!(url.is_some() || !matches!(item.kind, ItemKind::File | ItemKind::Link));
    assert_eq!(item.video_id.is_some(), item.kind == ItemKind::Video);
    assert_eq!(item.assessment_id.is_some(), item.kind == ItemKind::Assessment);
}

fn sorted<T: Ord + Clone>(list: &[T]) -> Vec<T> {
    let mut list = list.to_vec();
    list.sort();
    list
}

fn holds_nul(json: &Value) -> bool {
    match json {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.values().any(holds_nul),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

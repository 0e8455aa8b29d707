//! What is known of recently used courses: a guess, confirmed by each append, bounded in bytes.

use std::collections::HashMap;
use std::sync::Arc;

use cqrs_es::persist::SerializedEvent;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::domain::{Course, CourseId, Enrollment, EnrollmentId, Seats, StreamType, UserId};
use crate::event_store::StreamId;
use crate::event_store::stream::{LoadError, fold};

const MAX_BYTES: u64 = 16 * 1024 * 1024;
const TYPICAL_BYTES: u64 = 4 * 1024;
/// More than this is forgotten: the next command looks up what it needs.
const MAX_ENROLLMENTS: usize = 20_000;

/// The state of a course's streams as this instance knows it.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) course: Arc<Course>,
    pub(super) seats: Arc<Seats>,
    pub(super) enrollments: HashMap<UserId, Enrollment>,
}

impl Known {
    /// Catches up with what an append found missing. False: the guess was ahead of the log, and must be forgotten.
    pub(super) fn catch_up(
        &mut self,
        course: &CourseId,
        actual: &[(StreamId, u64)],
        missing: Vec<(StreamId, SerializedEvent)>,
    ) -> Result<bool, LoadError> {
        let mut by_stream: HashMap<StreamId, Vec<SerializedEvent>> = HashMap::new();
        for (stream, event) in missing {
            by_stream.entry(stream).or_default().push(event);
        }
        let mut students = HashMap::new();
        if by_stream.keys().any(|stream| stream.kind == StreamType::Enrollment) {
            let ids = self.enrollments.keys().map(|student| {
                (EnrollmentId::of(course, student).as_str().to_owned(), student.clone())
            });
            students.extend(ids);
        }
        for (stream, _) in actual {
            let Some(events) = by_stream.remove(stream) else { return Ok(false) };
            match stream.kind {
                StreamType::Course => {
                    let state = Arc::unwrap_or_clone(std::mem::take(&mut self.course));
                    self.course = Arc::new(fold(state, events)?);
                }
                StreamType::Seats => {
                    let state = Arc::unwrap_or_clone(std::mem::take(&mut self.seats));
                    self.seats = Arc::new(fold(state, events)?);
                }
                StreamType::User => {} // no course's mailbox reads a user
                StreamType::Enrollment => {
                    let Some(student) = students.remove(&*stream.id) else { return Ok(false) };
                    let state = self.enrollments.remove(&student).unwrap_or_default();
                    self.enrollments.insert(student, fold(state, events)?);
                }
            }
        }
        Ok(true)
    }

    /// Forgets enrollments that would fill the memory of an instance.
    pub(super) fn trim(&mut self) {
        if self.enrollments.len() > MAX_ENROLLMENTS {
            self.enrollments = HashMap::new();
        }
    }

    fn bytes(&self) -> u64 {
        let modules = self.course.modules.iter();
        let modules: usize = modules.map(|module| module.outgoing_bytes() + 200).sum();
        let total = 1_000
            + self.course.outgoing_bytes()
            + modules
            + self.seats.waitlist.len() * 64
            + self.enrollments.len() * 400;
        u64::try_from(total).unwrap_or(u64::MAX)
    }
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<CourseId, Known> for Bytes {
    fn weight(&self, _: &CourseId, known: &Known) -> u64 {
        known.bytes()
    }
}

/// The courses without a running mailbox. A mailbox takes its course out and puts it back.
pub(super) struct RoomCache(Cache<CourseId, Known, Bytes>);

impl Default for RoomCache {
    fn default() -> Self {
        let items = usize::try_from(MAX_BYTES / TYPICAL_BYTES).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(items, MAX_BYTES, Bytes))
    }
}

impl RoomCache {
    pub(super) fn take(&self, course: &CourseId) -> Option<Known> {
        self.0.remove(course).map(|(_, known)| known)
    }

    pub(super) fn put(&self, course: CourseId, mut known: Known) {
        known.trim();
        self.0.insert(course, known);
    }
}

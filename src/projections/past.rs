//! Rows as they stood at an instant: the events up to then, folded in memory by the projections themselves, so that the
//! past is what the read models showed. Nothing is written, and nothing but the log is read.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use sqlx::PgPool;

use super::Projection;
use super::assessments::{AssessmentRow, Assessments};
use super::courses::{CourseRow, Courses};
use super::enrollments::{EnrollmentRow, Enrollments};
use super::module_items::{ItemRow, ModuleItems};
use super::modules::{ModuleRow, Modules};
use crate::domain::{CourseId, EnrollmentId, Event, Seats, StreamType};
use crate::event_store::log::ReadError;
use crate::event_store::{Recorded, StreamId, history};

/// The most events that are in memory at once.
const PORTION: i64 = 1_000;

/// The rows of a projection while events are folded into them.
struct Fold<P: Projection>(HashMap<String, P::Rows>);

impl<P: Projection> Fold<P> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    fn see(&mut self, event: &Recorded) {
        if let Some(key) = P::key(event) {
            P::apply(self.0.entry(key.to_owned()).or_default(), event);
        }
    }

    fn take(&mut self, key: &str) -> P::Rows {
        self.0.remove(key).unwrap_or_default()
    }
}

/// What a course held.
#[derive(Debug)]
pub struct Content {
    /// Its own fields. Nobody is counted here: `taken` and `waitlisted` are those of [`seats`].
    pub course: CourseRow,
    /// Its modules in order.
    pub modules: Vec<ModuleRow>,
    /// The items of each module in order, by the module's id.
    pub items: HashMap<String, Vec<ItemRow>>,
    /// Its assessments, as the read model sorts them: what is due first first.
    pub assessments: Arc<Vec<AssessmentRow>>,
}

/// What a course held at an instant; `None` before it was created.
pub async fn content(
    pool: &PgPool,
    id: &CourseId,
    at: DateTime<Utc>,
) -> Result<Option<Content>, ReadError> {
    let mut courses = Fold::<Courses>::new();
    let mut modules = Fold::<Modules>::new();
    let mut items = Fold::<ModuleItems>::new();
    let mut assessments = Fold::<Assessments>::new();
    let stream = StreamId::new(StreamType::Course, id.as_str());
    read(pool, &stream, at, |event| {
        courses.see(event);
        modules.see(event);
        items.see(event);
        assessments.see(event);
    })
    .await?;
    let Some(course) = courses.take(id.as_str()).into_row() else { return Ok(None) };
    let mut assessments: Vec<_> = assessments.take(id.as_str()).into_values().collect();
    assessments.sort_by_key(|row| (row.due_at.is_none(), row.due_at));
    let assessments = Arc::new(assessments);
    Ok(Some(Content { course, modules: modules.take(id.as_str()), items: items.0, assessments }))
}

/// Who had a seat of a course at an instant, and who waited for one.
pub async fn seats(pool: &PgPool, id: &CourseId, at: DateTime<Utc>) -> Result<Seats, ReadError> {
    let mut seats = Seats::default();
    let stream = StreamId::new(StreamType::Seats, id.as_str());
    read(pool, &stream, at, |event| {
        if let Event::Seats(event) = &event.event {
            seats.apply(event.clone());
        }
    })
    .await?;
    Ok(seats)
}

/// An enrollment at an instant; `None` before the student asked for it.
pub async fn enrollment(
    pool: &PgPool,
    id: &EnrollmentId,
    at: DateTime<Utc>,
) -> Result<Option<EnrollmentRow>, ReadError> {
    let mut enrollments = Fold::<Enrollments>::new();
    let stream = StreamId::new(StreamType::Enrollment, id.as_str());
    read(pool, &stream, at, |event| enrollments.see(event)).await?;
    Ok(enrollments.take(id.as_str()))
}

/// Shows `see` every event of a stream up to an instant, portion by portion.
async fn read(
    pool: &PgPool,
    stream: &StreamId,
    at: DateTime<Utc>,
    mut see: impl FnMut(&Recorded),
) -> Result<(), ReadError> {
    let mut after = 0;
    loop {
        let events = history::read_stream_until(pool, stream, after, at, PORTION).await?;
        let Some(last) = events.last() else { return Ok(()) };
        after = last.sequence;
        events.iter().for_each(&mut see);
        if events.len() < usize::try_from(PORTION).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

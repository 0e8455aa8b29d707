//! A log of many courses, as a learning platform would write it.
//!
//! Most events are of courses with 3 modules of 3 items, 2 assessments and 20 students, each of whom is done with an
//! item and has a grade. One in five is of a course with 10,000 students, one in twenty of a user. Courses are written
//! side by side, so that the events of one lie apart.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use chrono::Utc;
use course_service::app::database;
use course_service::domain::course::{CourseEvent, ItemKind};
use course_service::domain::enrollment::{EnrollmentEvent, Grade, Via};
use course_service::domain::seats::SeatsEvent;
use course_service::domain::user::UserEvent;
use course_service::domain::{
    AssessmentId, CourseId, EnrollmentId, Event, ItemId, ModuleId, StreamType, UserId,
};
use course_service::event_store::wake::Head;
use course_service::event_store::{Appender, Metadata, NewEvent, Outcome, Proposal, StreamId};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::Executor as _;
use uuid::Uuid;

use crate::ours::user;

const LARGE: usize = 10_000;
const SMALL: usize = 20;
const MODULES: u32 = 3;
const ITEMS: u32 = 3;
/// Courses that are written side by side.
const GROUP: usize = 100;
/// After so many turns of a group comes a command of the large course, which enrolls so many.
const LARGE_EVERY: usize = 4;
const LARGE_STEP: usize = 100;

/// The events of one command.
type Step = Vec<NewEvent>;

/// Writes about so many events into an empty log, a little more. Answers how many.
pub(crate) async fn fill(url: &str, events: usize) -> anyhow::Result<usize> {
    let clock = Instant::now();
    let pool = database::pool(url, 2)?;
    let (appender, task) = Appender::new(database::appender_pool(url)?, Head::default());
    tokio::spawn(task);
    let (mut written, mut turns) = (0, 0);
    let mut large = large()?.into_iter();
    while written < events {
        let group: anyhow::Result<Vec<Vec<Step>>> = (0..GROUP).map(|_| small()).collect();
        let mut group: Vec<_> = group?.into_iter().map(Vec::into_iter).collect();
        loop {
            let mut turn: Vec<Step> = group.iter_mut().filter_map(Iterator::next).collect();
            if turn.is_empty() {
                break;
            }
            turns += 1;
            if turns % LARGE_EVERY == 0 {
                if large.len() == 0 {
                    large = self::large()?.into_iter();
                }
                turn.extend(large.next());
            }
            written += turn.iter().map(Vec::len).sum::<usize>();
            stream::iter(turn)
                .map(|step| append(&appender, step))
                .buffer_unordered(GROUP + 1)
                .try_collect::<()>()
                .await?;
        }
    }
    pool.execute("VACUUM (ANALYZE) events").await?;
    pool.execute("CHECKPOINT").await?;
    pool.close().await;
    eprintln!("  {written} events written in {:.1} s", clock.elapsed().as_secs_f64());
    Ok(written)
}

async fn append(appender: &Appender, events: Step) -> anyhow::Result<()> {
    let metadata = Metadata { actor: Some("ada".to_owned()), ..Metadata::default() };
    let proposal = Proposal { command_id: Uuid::now_v7(), events, metadata, ..Proposal::default() };
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    let outcome = appender.append(vec![proposal], deadline).await?;
    ensure!(matches!(outcome, Outcome::Appended(_)), "{outcome:?}");
    Ok(())
}

/// A course whose events are being made up.
struct Course {
    id: CourseId,
    sequences: HashMap<StreamId, u64>,
    steps: Vec<Step>,
}

impl Course {
    fn new(capacity: Option<u32>) -> anyhow::Result<Self> {
        let id = CourseId::from_uuid(Uuid::now_v7());
        let course_id = id.clone();
        let mut course = Self { id, sequences: HashMap::new(), steps: Vec::new() };
        let created = CourseEvent::CourseCreated {
            course_id,
            code: Uuid::new_v4().to_string(),
            title: "Event sourcing, from the first event to the last".to_owned(),
            description: Some("What happened, in the order in which it happened.".to_owned()),
            instructor_ids: vec![user("ada")?],
            capacity,
            starts_at: None,
            ends_at: None,
            enrollment_opens_at: None,
            enrollment_closes_at: None,
            tags: vec!["rust".to_owned(), "postgres".to_owned()],
            passing_score: Some(50.0),
        };
        let defined = SeatsEvent::SeatsDefined { capacity, opens_at: None, closes_at: None };
        course.step(|course| {
            course.course(created);
            course.course(CourseEvent::CoursePublished {});
            course.seats(defined);
            course.seats(SeatsEvent::SeatsOpened { promoted: Vec::new() });
        });
        Ok(course)
    }

    /// What is added meanwhile is one command.
    fn step(&mut self, add: impl FnOnce(&mut Self)) {
        self.steps.push(Vec::new());
        add(self);
    }

    fn add(&mut self, stream: StreamId, event: Event, course: Option<CourseId>) {
        let sequence = self.sequences.entry(stream.clone()).or_default();
        *sequence += 1;
        let (sequence, id) = (*sequence, Uuid::now_v7());
        if let Some(step) = self.steps.last_mut() {
            step.push(NewEvent { stream, sequence, event, id, course });
        }
    }

    fn course(&mut self, event: CourseEvent) {
        let stream = StreamId::new(StreamType::Course, self.id.as_str());
        self.add(stream, event.into(), Some(self.id.clone()));
    }

    fn seats(&mut self, event: SeatsEvent) {
        let stream = StreamId::new(StreamType::Seats, self.id.as_str());
        self.add(stream, event.into(), Some(self.id.clone()));
    }

    fn enrollment(&mut self, student: &UserId, event: EnrollmentEvent) {
        let id = EnrollmentId::of(&self.id, student);
        let stream = StreamId::new(StreamType::Enrollment, id.as_str());
        self.add(stream, event.into(), Some(self.id.clone()));
    }

    fn enroll(&mut self, student: &UserId) {
        let (course_id, student_id) = (self.id.clone(), student.clone());
        let enrolled = EnrollmentEvent::StudentEnrolled { course_id, student_id, via: Via::Direct };
        self.seats(SeatsEvent::SeatTaken { student: student.clone() });
        self.enrollment(student, enrolled);
    }
}

fn large() -> anyhow::Result<Vec<Step>> {
    let mut course = Course::new(None)?;
    let students: Result<Vec<UserId>, _> =
        (0..LARGE).map(|number| user(&format!("student-{number}"))).collect();
    for some in students?.chunks(LARGE_STEP) {
        course.step(|course| some.iter().for_each(|student| course.enroll(student)));
    }
    Ok(course.steps)
}

fn small() -> anyhow::Result<Vec<Step>> {
    let mut course = Course::new(Some(30))?;
    let mut first = None;
    for position in 0..MODULES {
        let module_id = ModuleId::from_uuid(Uuid::now_v7());
        let title = format!("Module {position}");
        let added = CourseEvent::ModuleAdded {
            module_id: module_id.clone(),
            title,
            summary: None,
            position,
        };
        course.step(|course| course.course(added));
        for position in 0..ITEMS {
            let item_id = ItemId::from_uuid(Uuid::now_v7());
            first.get_or_insert_with(|| item_id.clone());
            let added = CourseEvent::ModuleItemAdded {
                module_id: module_id.clone(),
                item_id,
                kind: ItemKind::Page,
                title: format!("Item {position}"),
                required: true,
                position,
                url: None,
                video_id: None,
                assessment_id: None,
            };
            course.step(|course| course.course(added));
        }
    }
    let assessment = || AssessmentId::parse(&Uuid::now_v7().to_string(), "id");
    let assessments = [assessment()?, assessment()?];
    for assessment_id in &assessments {
        let attached = CourseEvent::AssessmentAttached {
            assessment_id: assessment_id.clone(),
            module_id: None,
            shown_in: None,
            title: "Quiz".to_owned(),
            kind: Some("QUIZ".to_owned()),
            max_score: 20.0,
            weight: 1.0,
            due_at: None,
            required: true,
        };
        course.step(|course| course.course(attached));
    }
    let course_id = course.id.clone();
    for number in 0..SMALL {
        let student = user(&Uuid::now_v7().to_string())?;
        if number % 4 == 0 {
            let registered = UserEvent::UserRegistered {
                user_id: student.clone(),
                display_name: None,
                email: None,
                role: Some("student".to_owned()),
                active: Some(true),
            };
            let stream = StreamId::new(StreamType::User, student.as_str());
            course.step(|course| course.add(stream, registered.into(), None));
        }
        course.step(|course| course.enroll(&student));
        if let Some(item_id) = first.clone() {
            let (course_id, student_id) = (course_id.clone(), student.clone());
            let completed = EnrollmentEvent::ModuleItemCompleted { course_id, student_id, item_id };
            course.step(|course| course.enrollment(&student, completed));
        }
        let graded = EnrollmentEvent::GradeRecorded {
            course_id: course_id.clone(),
            student_id: student.clone(),
            assessment_id: assessments[number % 2].clone(),
            grade: Grade {
                submission_id: None,
                score: Some(15.0),
                max_score: None,
                percentage: None,
                letter: None,
                graded_at: Utc::now(),
                graded_by: None,
            },
        };
        course.step(|course| course.enrollment(&student, graded));
    }
    Ok(course.steps)
}

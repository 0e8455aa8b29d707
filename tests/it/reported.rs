//! What other services report, put into the log as the events that it comes to, and users with names.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::time::Duration;

use course_service::domain::course::CourseEvent;
use course_service::domain::enrollment::{EnrollmentEvent, Grade};
use course_service::domain::user::UserEvent;
use course_service::domain::{
    AssessmentId, CourseId, EnrollmentId, Event, StreamType, SubmissionId, UserId,
};
use course_service::event_store::personal::{PersonalField, ensure_keys};
use course_service::event_store::{Metadata, NewEvent, Outcome, Proposal, StreamId};
use tokio::time::Instant;
use uuid::Uuid;

use crate::instance::Instance;

pub(crate) fn user(id: &str) -> UserId {
    UserId::parse(id, "id").unwrap()
}

pub(crate) fn course_id(id: &str) -> CourseId {
    CourseId::parse(id, "id").unwrap()
}

pub(crate) fn assessment(id: &str) -> AssessmentId {
    AssessmentId::parse(id, "id").unwrap()
}

/// An assessment of 20 points that the assessment service puts nowhere.
pub(crate) fn attached(id: &str, weight: f64) -> CourseEvent {
    CourseEvent::AssessmentAttached {
        assessment_id: assessment(id),
        module_id: None,
        shown_in: None,
        title: format!("The {id}"),
        kind: Some("QUIZ".to_owned()),
        max_score: 20.0,
        weight,
        due_at: None,
        required: true,
    }
}

/// A grade of so many points.
pub(crate) fn grade(score: f64) -> Grade {
    Grade {
        submission_id: None,
        score: Some(score),
        max_score: None,
        percentage: None,
        letter: None,
        graded_at: "2026-11-30T10:00:00Z".parse().unwrap(),
        graded_by: None,
    }
}

/// A student's work in a course.
pub(crate) struct Work {
    course_id: CourseId,
    student_id: UserId,
}

impl Work {
    pub(crate) fn of(student: &str, course: &str) -> Self {
        Self { course_id: course_id(course), student_id: user(student) }
    }

    pub(crate) fn submitted(&self, quiz: &str, submission: &str, at: &str) -> EnrollmentEvent {
        EnrollmentEvent::SubmissionRecorded {
            course_id: self.course_id.clone(),
            student_id: self.student_id.clone(),
            assessment_id: assessment(quiz),
            submission_id: SubmissionId::parse(submission, "id").unwrap(),
            submitted_at: at.parse().unwrap(),
            attempt: None,
        }
    }

    pub(crate) fn graded(&self, quiz: &str, grade: Grade) -> EnrollmentEvent {
        let (course_id, student_id) = (self.course_id.clone(), self.student_id.clone());
        let assessment_id = assessment(quiz);
        EnrollmentEvent::GradeRecorded { course_id, student_id, assessment_id, grade }
    }

    pub(crate) fn regraded(&self, quiz: &str, grade: Grade, outdated: bool) -> EnrollmentEvent {
        let (course_id, student_id) = (self.course_id.clone(), self.student_id.clone());
        let assessment_id = assessment(quiz);
        EnrollmentEvent::GradeRevised { course_id, student_id, assessment_id, grade, outdated }
    }

    pub(crate) fn completed(&self, final_score: f64) -> EnrollmentEvent {
        let (course_id, student_id) = (self.course_id.clone(), self.student_id.clone());
        EnrollmentEvent::EnrollmentCompleted { course_id, student_id, final_score }
    }
}

impl Instance {
    /// Puts events behind those of a stream.
    async fn append(
        &self,
        kind: StreamType,
        id: &str,
        course: Option<&CourseId>,
        events: Vec<Event>,
    ) {
        let stream = StreamId::new(kind, id);
        loop {
            let version: i64 = sqlx::query_scalar(
                "SELECT coalesce(max(sequence), 0) FROM events WHERE aggregate_type = $1 AND aggregate_id = $2",
            )
            .bind(kind.as_str())
            .bind(id)
            .fetch_one(&self.pool)
            .await
            .unwrap();
            let version = u64::try_from(version).unwrap();
            let event = |(event, sequence): (Event, u64)| NewEvent {
                stream: stream.clone(),
                sequence,
                event,
                id: Uuid::now_v7(),
                course: course.cloned(),
            };
            let proposal = Proposal {
                command_id: Uuid::now_v7(),
                reads: vec![(stream.clone(), version)],
                events: events.clone().into_iter().zip(version + 1..).map(event).collect(),
                keys: Vec::new(),
                metadata: Metadata::default(),
            };
            let deadline = Instant::now() + Duration::from_mins(1);
            let appended = self.appender.append(vec![proposal], deadline).await;
            if let Outcome::Appended(_) = appended.unwrap() {
                return;
            }
        }
    }

    /// Of a course.
    pub(crate) async fn report(&self, course: &str, events: Vec<CourseEvent>) {
        let events = events.into_iter().map(Event::from).collect();
        self.append(StreamType::Course, course, Some(&course_id(course)), events).await;
    }

    /// Of a student's work in a course.
    pub(crate) async fn work(&self, student: &str, course: &str, events: Vec<EnrollmentEvent>) {
        let (student, course) = (user(student), course_id(course));
        let id = EnrollmentId::of(&course, &student);
        let events = events.into_iter().map(Event::from).collect();
        self.append(StreamType::Enrollment, id.as_str(), Some(&course), events).await;
    }

    /// Of a user.
    pub(crate) async fn user(&self, id: &str, events: Vec<UserEvent>) {
        let events = events.into_iter().map(Event::from).collect();
        self.append(StreamType::User, id, None, events).await;
    }

    /// A user of this name, with an address, sealed with a key of theirs.
    pub(crate) async fn named(&self, id: &str, name: &str) -> UserEvent {
        let user_id = user(id);
        let key = ensure_keys(&self.pool, &[id]).await.unwrap().remove(id).unwrap();
        let email = format!("{id}@example.org");
        UserEvent::UserRegistered {
            display_name: Some(Some(key.seal(&user_id, PersonalField::DisplayName, name))),
            email: Some(Some(key.seal(&user_id, PersonalField::Email, &email))),
            role: Some("replica".to_owned()),
            active: None,
            user_id,
        }
    }
}

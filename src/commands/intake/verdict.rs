//! What each kind of report means on what is known.

use std::sync::Arc;

use super::draft::{Draft, Missing, Taken};
use super::{Awaited, Refusal, Report, Reported, Stamp};
use crate::commands::video::{VideoRecord, video_key};
use crate::domain::course::AssessmentPatch;
use crate::domain::enrollment::{EnrollmentCommand, Grade, Submission};
use crate::domain::registration::{Room, Undecided};
use crate::domain::report::{
    AssessmentReport, GradeReport, Personal, SubmissionReport, TranscodingReport, UserReport,
};
use crate::domain::user::{Sealed, UserCommand};
use crate::domain::values::Patch;
use crate::domain::{
    AssessmentId, Course, CourseId, Enrollment, EnrollmentId, Event, Seats, StreamType, UserId,
};
use crate::event_store::StreamId;
use crate::event_store::personal::{PersonalField, SubjectKey};

/// The set of assessments, each with its course. Stored: never rename.
const ASSESSMENTS: &str = "assessment";

/// Events of one message for one stream.
pub(super) struct Change {
    pub(super) stream: StreamId,
    pub(super) course: Option<CourseId>,
    pub(super) events: Vec<Event>,
}

/// What a message comes to.
pub(super) enum Verdict {
    /// These events; none where it says what is known.
    Accepted(Vec<Change>),
    Outdated,
    Refused(Refusal),
    Waits(Awaited),
}

impl Draft {
    pub(super) fn verdict(&mut self, reported: &Reported) -> Taken<Verdict> {
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

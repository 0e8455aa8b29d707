//! What the log says of a course, its seats counted anew and not by the service's own fold.

use std::collections::{BTreeMap, BTreeSet};

use course_service::domain::course::CourseStatus;
use course_service::domain::enrollment::{EnrollmentEvent, EnrollmentStatus};
use course_service::domain::seats::SeatsEvent;
use course_service::domain::{Course, Enrollment, Event, UserId};
use cqrs_es::Aggregate;

/// One course as its events tell it.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) course: Course,
    pub(crate) open: bool,
    pub(crate) capacity: Option<u32>,
    pub(crate) seated: BTreeSet<UserId>,
    pub(crate) line: Vec<UserId>,
    /// Every state of the course, the first behind its first event.
    pub(crate) courses: Vec<Course>,
    /// Every state of each student's enrollment.
    pub(crate) enrollments: BTreeMap<UserId, Vec<Enrollment>>,
}

impl Told {
    pub(crate) fn has_room(&self) -> bool {
        self.capacity.is_none_or(|capacity| self.seated.len() < capacity as usize)
    }

    pub(crate) fn status(&self, student: &UserId) -> EnrollmentStatus {
        let enrollment = self.enrollments.get(student).and_then(|states| states.last());
        enrollment.map_or(EnrollmentStatus::Missing, |enrollment| enrollment.status)
    }

    fn admit(&mut self, student: &UserId) {
        assert!(self.open, "{student} is admitted while the course is not published");
        assert!(self.has_room(), "{student} is admitted without a seat");
        assert!(self.seated.insert(student.clone()), "{student} has a seat already");
    }

    fn promote(&mut self, students: &[UserId]) {
        for student in students {
            assert_eq!(&self.line.remove(0), student, "promoted out of turn");
            self.admit(student);
        }
    }

    fn hear_seats(&mut self, event: &SeatsEvent) {
        match event {
            SeatsEvent::SeatsDefined { capacity, .. } => self.capacity = *capacity,
            SeatsEvent::SeatsOpened { promoted } => {
                self.open = true;
                self.promote(promoted);
            }
            SeatsEvent::SeatsClosed {} => self.open = false,
            SeatsEvent::SeatsWindowChanged { .. } => {}
            SeatsEvent::SeatsCapacityChanged { capacity, promoted } => {
                self.capacity = *capacity;
                self.promote(promoted);
            }
            SeatsEvent::SeatTaken { student } => {
                assert!(self.line.is_empty(), "{student} overtook those who wait");
                self.admit(student);
            }
            SeatsEvent::SeatWaitlisted { student } => {
                assert!(
                    self.open && !self.seated.contains(student) && !self.line.contains(student)
                );
                self.line.push(student.clone());
            }
            SeatsEvent::SeatReleased { student, promoted } => {
                assert!(self.seated.remove(student), "{student} had no seat");
                self.promote(promoted.as_slice());
            }
            SeatsEvent::WaitlistLeft { student } => {
                let before = self.line.len();
                self.line.retain(|other| other != student);
                assert_eq!(self.line.len() + 1, before, "{student} did not wait");
            }
        }
        assert!(!self.open || !self.has_room() || self.line.is_empty(), "a seat is idle");
    }

    pub(crate) fn hear(&mut self, event: &Event) {
        match event {
            Event::Course(event) => {
                self.course.apply(event.clone());
                self.courses.push(self.course.clone());
            }
            Event::Seats(event) => self.hear_seats(event),
            Event::Enrollment(event) => {
                let (EnrollmentEvent::StudentEnrolled { student_id, .. }
                | EnrollmentEvent::StudentWaitlisted { student_id, .. }
                | EnrollmentEvent::StudentWithdrawn { student_id, .. }
                | EnrollmentEvent::ModuleItemCompleted { student_id, .. }
                | EnrollmentEvent::SubmissionRecorded { student_id, .. }
                | EnrollmentEvent::GradeRecorded { student_id, .. }
                | EnrollmentEvent::GradeRevised { student_id, .. }
                | EnrollmentEvent::EnrollmentCompleted { student_id, .. }) = event;
                let states = self.enrollments.entry(student_id.clone()).or_default();
                let mut enrollment = states.last().cloned().unwrap_or_default();
                enrollment.apply(event.clone());
                states.push(enrollment);
            }
            Event::User(_) => {}
        }
    }

    /// What holds behind every command.
    pub(crate) fn check(&self) {
        assert_eq!(self.open, self.course.status == CourseStatus::Published);
        assert_eq!(self.capacity, self.course.capacity);
        let with = |status| {
            let students = self.enrollments.keys().filter(|student| self.status(student) == status);
            students.cloned().collect::<BTreeSet<_>>()
        };
        assert_eq!(with(EnrollmentStatus::Active), self.seated);
        assert_eq!(with(EnrollmentStatus::Waitlisted), self.line.iter().cloned().collect());
    }
}

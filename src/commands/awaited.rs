//! What a message may wait for: the thing that it refers to and that does not exist yet.

use std::fmt;

use crate::domain::course::CourseEvent;
use crate::domain::enrollment::EnrollmentEvent;
use crate::domain::{AssessmentId, CourseId, EnrollmentId, Event};
use crate::event_store::Recorded;

/// Something that a parked message waits for. As text it is what is stored with the message: never change the form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaited {
    /// A course.
    Course(CourseId),
    /// An assessment, of whatever course.
    Assessment(AssessmentId),
    /// A student's enrollment in a course.
    Enrollment(EnrollmentId),
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Course(id) => write!(f, "course/{id}"),
            Self::Assessment(id) => write!(f, "assessment/{id}"),
            Self::Enrollment(id) => write!(f, "enrollment/{id}"),
        }
    }
}

impl Awaited {
    /// What begins to exist with this event.
    pub fn created_by(recorded: &Recorded) -> Option<Self> {
        match &recorded.event {
            Event::Course(CourseEvent::CourseCreated { course_id, .. }) => {
                Some(Self::Course(course_id.clone()))
            }
            Event::Course(CourseEvent::AssessmentAttached { assessment_id, .. }) => {
                Some(Self::Assessment(assessment_id.clone()))
            }
            Event::Enrollment(
                EnrollmentEvent::StudentEnrolled { course_id, student_id, .. }
                | EnrollmentEvent::StudentWaitlisted { course_id, student_id },
            ) if recorded.sequence == 1 => {
                Some(Self::Enrollment(EnrollmentId::of(course_id, student_id)))
            }
            _ => None,
        }
    }
}

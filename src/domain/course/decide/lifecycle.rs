//! `DRAFT ⇄ PUBLISHED → ARCHIVED → PUBLISHED`, `DELETED` from any of them.

use super::Decision;
use crate::domain::course::{Course, CourseEvent, CourseStatus};
use crate::domain::refusal::Refusal;
use crate::domain::values;

impl Course {
    pub(super) fn publish(&self) -> Decision {
        match self.status {
            CourseStatus::Published => Ok(Vec::new()),
            CourseStatus::Draft => Ok(vec![CourseEvent::CoursePublished {}]),
            CourseStatus::Missing | CourseStatus::Archived | CourseStatus::Deleted => {
                Err(self.illegal("be published"))
            }
        }
    }

    pub(super) fn unpublish(&self, seats_taken: u32, waiting: u32) -> Decision {
        match self.status {
            CourseStatus::Draft => Ok(Vec::new()),
            CourseStatus::Published if seats_taken > 0 || waiting > 0 => {
                Err(Refusal::SeatsInUse { taken: seats_taken, waiting })
            }
            CourseStatus::Published => Ok(vec![CourseEvent::CourseUnpublished {}]),
            CourseStatus::Missing | CourseStatus::Archived | CourseStatus::Deleted => {
                Err(self.illegal("be unpublished"))
            }
        }
    }

    pub(super) fn archive(&self) -> Decision {
        match self.status {
            CourseStatus::Archived => Ok(Vec::new()),
            CourseStatus::Published => Ok(vec![CourseEvent::CourseArchived {}]),
            CourseStatus::Missing | CourseStatus::Draft | CourseStatus::Deleted => {
                Err(self.illegal("be archived"))
            }
        }
    }

    pub(super) fn restore(&self) -> Decision {
        match self.status {
            CourseStatus::Published => Ok(Vec::new()),
            CourseStatus::Archived => Ok(vec![CourseEvent::CourseRestored {}]),
            CourseStatus::Missing | CourseStatus::Draft | CourseStatus::Deleted => {
                Err(self.illegal("be restored"))
            }
        }
    }

    pub(super) fn delete(&self, force: bool, reason: Option<&str>, seats_taken: u32) -> Decision {
        reason.map_or(Ok(()), values::reason)?;
        if self.status == CourseStatus::Deleted {
            return Ok(Vec::new());
        }
        if seats_taken > 0 && !force {
            return Err(Refusal::SeatsTaken { taken: seats_taken });
        }
        Ok(vec![CourseEvent::CourseDeleted { reason: reason.map(str::to_owned) }])
    }
}

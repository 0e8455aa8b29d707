//! Seats of a course: a consistency boundary of its own, so that content edits never conflict with a rush.
//!
//! Holds at every event of the stream: never more promoted or admitted than the capacity allows; while the
//! course is published no seat is idle while someone waits; the waitlist is strictly first come, first served.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

use super::ids::UserId;
use super::refusal::Refusal;
use super::values::{MAX_PROMOTIONS, present};

/// What is asked of the seats of a course.
#[derive(Debug, Clone, PartialEq)]
pub enum SeatsCommand {
    /// The course comes into being.
    Define {
        /// `None` is unlimited.
        capacity: Option<u32>,
        /// First instant of the enrollment window.
        opens_at: Option<DateTime<Utc>>,
        /// The instant after its last.
        closes_at: Option<DateTime<Utc>>,
    },
    /// The course is published: seats may be taken; whoever waits and fits is promoted.
    Open,
    /// The course is no longer published.
    Close,
    /// The enrollment window is now this.
    SetWindow {
        /// First instant.
        opens_at: Option<DateTime<Utc>>,
        /// The instant after its last.
        closes_at: Option<DateTime<Utc>>,
    },
    /// The capacity is now this; whoever waits and fits is promoted, nobody is evicted.
    SetCapacity {
        /// `None` is unlimited.
        capacity: Option<u32>,
    },
    /// A student wants a seat.
    Take {
        /// Who.
        student: UserId,
        /// When.
        at: DateTime<Utc>,
        /// Whether they would wait for one.
        join_waitlist: bool,
    },
    /// A student gives their seat back.
    Release {
        /// Who.
        student: UserId,
    },
    /// A student no longer waits.
    LeaveWaitlist {
        /// Who.
        student: UserId,
    },
}

/// A stored fact about seats. One event says one whole change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the seats")]
pub enum SeatsEvent {
    /// The seats of a new course.
    SeatsDefined {
        #[serde(default)]
        capacity: Option<u32>,
        #[serde(default)]
        opens_at: Option<DateTime<Utc>>,
        #[serde(default)]
        closes_at: Option<DateTime<Utc>>,
    },
    /// Seats may be taken.
    SeatsOpened {
        #[serde(default)]
        promoted: Vec<UserId>,
    },
    /// No seat may be taken and nobody is promoted.
    SeatsClosed {},
    /// The enrollment window changed; an absent field did not, null was cleared.
    SeatsWindowChanged {
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        opens_at: Option<Option<DateTime<Utc>>>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
        closes_at: Option<Option<DateTime<Utc>>>,
    },
    /// The capacity changed, and these got a seat by it.
    SeatsCapacityChanged {
        capacity: Option<u32>,
        #[serde(default)]
        promoted: Vec<UserId>,
    },
    /// A student got a seat.
    SeatTaken { student: UserId },
    /// A student waits for a seat.
    SeatWaitlisted { student: UserId },
    /// A student gave their seat back, and the first who waited got it.
    SeatReleased {
        student: UserId,
        #[serde(default)]
        promoted: Option<UserId>,
    },
    /// A student no longer waits.
    WaitlistLeft { student: UserId },
}

impl SeatsEvent {
    /// The stored type name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SeatsDefined { .. } => "SeatsDefined",
            Self::SeatsOpened { .. } => "SeatsOpened",
            Self::SeatsClosed {} => "SeatsClosed",
            Self::SeatsWindowChanged { .. } => "SeatsWindowChanged",
            Self::SeatsCapacityChanged { .. } => "SeatsCapacityChanged",
            Self::SeatTaken { .. } => "SeatTaken",
            Self::SeatWaitlisted { .. } => "SeatWaitlisted",
            Self::SeatReleased { .. } => "SeatReleased",
            Self::WaitlistLeft { .. } => "WaitlistLeft",
        }
    }

    /// Who got a seat off the waitlist by this event, in order.
    pub fn promoted(&self) -> &[UserId] {
        match self {
            Self::SeatsOpened { promoted } | Self::SeatsCapacityChanged { promoted, .. } => {
                promoted
            }
            Self::SeatReleased { promoted, .. } => promoted.as_slice(),
            _ => &[],
        }
    }
}

impl DomainEvent for SeatsEvent {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

/// The state of a course's seats: the fold of its stream.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Seats {
    /// The number of events so far; 0 is "no such course".
    pub version: u64,
    /// Whether the course is published.
    pub open: bool,
    /// First instant of the enrollment window.
    pub opens_at: Option<DateTime<Utc>>,
    /// The instant after its last.
    pub closes_at: Option<DateTime<Utc>>,
    /// `None` is unlimited, 0 is closed.
    pub capacity: Option<u32>,
    /// Seats taken.
    pub taken: u32,
    /// Who waits, the first to be promoted in front.
    pub waitlist: VecDeque<UserId>,
}

impl Seats {
    /// Decides what `command` means. Pure and total.
    pub fn decide(&self, command: &SeatsCommand) -> Result<Vec<SeatsEvent>, Refusal> {
        if let SeatsCommand::Define { capacity, opens_at, closes_at } = command {
            if self.version > 0 {
                return Err(Refusal::CourseIdTaken);
            }
            return Ok(vec![SeatsEvent::SeatsDefined {
                capacity: *capacity,
                opens_at: *opens_at,
                closes_at: *closes_at,
            }]);
        }
        if self.version == 0 {
            return Err(Refusal::course_not_found());
        }
        match command {
            SeatsCommand::Define { .. } => Ok(Vec::new()),
            SeatsCommand::Open if self.open => Ok(Vec::new()),
            SeatsCommand::Open => {
                Ok(vec![SeatsEvent::SeatsOpened { promoted: self.fitting(true, self.capacity)? }])
            }
            SeatsCommand::Close if !self.open => Ok(Vec::new()),
            SeatsCommand::Close => Ok(vec![SeatsEvent::SeatsClosed {}]),
            SeatsCommand::SetWindow { opens_at, closes_at } => {
                let opens_at = (*opens_at != self.opens_at).then_some(*opens_at);
                let closes_at = (*closes_at != self.closes_at).then_some(*closes_at);
                let changed = opens_at.is_some() || closes_at.is_some();
                let event = SeatsEvent::SeatsWindowChanged { opens_at, closes_at };
                Ok(changed.then_some(event).into_iter().collect())
            }
            SeatsCommand::SetCapacity { capacity } if *capacity == self.capacity => Ok(Vec::new()),
            SeatsCommand::SetCapacity { capacity } => Ok(vec![SeatsEvent::SeatsCapacityChanged {
                capacity: *capacity,
                promoted: self.fitting(self.open, *capacity)?,
            }]),
            SeatsCommand::Take { student, at, join_waitlist } => {
                self.take(student, *at, *join_waitlist).map(|event| vec![event])
            }
            SeatsCommand::Release { student } => {
                let after_release = self.capacity.is_none_or(|c| self.taken.saturating_sub(1) < c);
                let promoted =
                    (self.open && after_release).then(|| self.waitlist.front().cloned()).flatten();
                Ok(vec![SeatsEvent::SeatReleased { student: student.clone(), promoted }])
            }
            SeatsCommand::LeaveWaitlist { student } if self.waitlist.contains(student) => {
                Ok(vec![SeatsEvent::WaitlistLeft { student: student.clone() }])
            }
            SeatsCommand::LeaveWaitlist { .. } => Err(Refusal::NotEnrolled),
        }
    }

    fn take(
        &self,
        student: &UserId,
        at: DateTime<Utc>,
        join_waitlist: bool,
    ) -> Result<SeatsEvent, Refusal> {
        if !self.open {
            return Err(Refusal::CourseNotPublished);
        }
        let early = self.opens_at.is_some_and(|opens| at < opens);
        let late = self.closes_at.is_some_and(|closes| at >= closes);
        if early || late || self.capacity == Some(0) {
            return Err(Refusal::EnrollmentClosed);
        }
        let student = student.clone();
        if self.capacity.is_none_or(|capacity| self.taken < capacity) && self.waitlist.is_empty() {
            Ok(SeatsEvent::SeatTaken { student })
        } else if join_waitlist {
            Ok(SeatsEvent::SeatWaitlisted { student })
        } else {
            Err(Refusal::CourseFull)
        }
    }

    /// Who waits and fits. More than one command may promote is refused: a seat must not idle between two commands.
    fn fitting(&self, open: bool, capacity: Option<u32>) -> Result<Vec<UserId>, Refusal> {
        if !open {
            return Ok(Vec::new());
        }
        let free = capacity.map_or(usize::MAX, |capacity| {
            usize::try_from(capacity.saturating_sub(self.taken)).unwrap_or(usize::MAX)
        });
        let count = free.min(self.waitlist.len());
        if count > MAX_PROMOTIONS {
            return Err(Refusal::LimitExceeded {
                field: "capacity",
                rule: "one command promotes at most 1,000 waiting students; raise it in steps",
            });
        }
        Ok(self.waitlist.iter().take(count).cloned().collect())
    }

    fn promote(&mut self, students: &[UserId]) {
        for student in students {
            if self.waitlist.front() == Some(student) {
                self.waitlist.pop_front();
            } else {
                self.waitlist.retain(|waiting| waiting != student);
            }
            self.taken += 1;
        }
    }
}

impl Aggregate for Seats {
    const TYPE: &'static str = "seats"; // stored with every event: never rename
    type Command = SeatsCommand;
    type Event = SeatsEvent;
    type Error = Refusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: SeatsCommand,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Refusal> {
        for event in self.decide(&command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: SeatsEvent) {
        self.version += 1;
        match event {
            SeatsEvent::SeatsDefined { capacity, opens_at, closes_at } => {
                self.capacity = capacity;
                self.opens_at = opens_at;
                self.closes_at = closes_at;
            }
            SeatsEvent::SeatsOpened { promoted } => {
                self.open = true;
                self.promote(&promoted);
            }
            SeatsEvent::SeatsClosed {} => self.open = false,
            SeatsEvent::SeatsWindowChanged { opens_at, closes_at } => {
                self.opens_at = opens_at.unwrap_or(self.opens_at);
                self.closes_at = closes_at.unwrap_or(self.closes_at);
            }
            SeatsEvent::SeatsCapacityChanged { capacity, promoted } => {
                self.capacity = capacity;
                self.promote(&promoted);
            }
            SeatsEvent::SeatTaken { student: _ } => self.taken += 1,
            SeatsEvent::SeatWaitlisted { student } => self.waitlist.push_back(student),
            SeatsEvent::SeatReleased { student: _, promoted } => {
                self.taken = self.taken.saturating_sub(1);
                self.promote(promoted.as_slice());
            }
            SeatsEvent::WaitlistLeft { student } => self.waitlist.retain(|w| *w != student),
        }
    }
}

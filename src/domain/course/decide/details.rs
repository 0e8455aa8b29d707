//! What a course says of itself, and who teaches it.

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;

use super::{Decision, changed_text, check_course_fits};
use crate::domain::actor::{Actor, Role};
use crate::domain::course::{Course, CourseEvent, CoursePatch, CourseStatus, NewCourse};
use crate::domain::ids::{CourseId, UserId};
use crate::domain::refusal::Refusal;
use crate::domain::values::{self, Patch};

const INSTRUCTORS_RULE: &str = "at most 50 instructors a course";

impl Course {
    pub(super) fn create(
        &self,
        actor: &Actor,
        new: &NewCourse,
        code_owner: Option<&CourseId>,
    ) -> Decision {
        if !matches!(actor.role, Role::Instructor | Role::Admin) {
            return Err(Refusal::Forbidden { rule: "only instructors and admins create courses" });
        }
        values::code(&new.code)?;
        values::title(&new.title)?;
        new.description
            .as_deref()
            .map_or(Ok(()), |text| values::description(text, "description"))?;
        values::tags(&new.tags)?;
        new.passing_score.map_or(Ok(()), values::passing_score)?;
        let capacity = new.capacity.map(values::capacity).transpose()?;
        check_schedule(
            new.starts_at.as_ref(),
            new.ends_at.as_ref(),
            new.enrollment_opens_at.as_ref(),
            new.enrollment_closes_at.as_ref(),
        )?;
        let instructor_ids = first_instructors(actor, &new.co_instructor_ids)?;
        if self.status != CourseStatus::Missing {
            return Err(Refusal::CourseIdTaken);
        }
        check_code_free(&new.id, code_owner)?;
        let mut events = vec![CourseEvent::CourseCreated {
            course_id: new.id.clone(),
            code: new.code.clone(),
            title: new.title.clone(),
            description: new.description.clone(),
            instructor_ids,
            capacity,
            starts_at: new.starts_at,
            ends_at: new.ends_at,
            enrollment_opens_at: new.enrollment_opens_at,
            enrollment_closes_at: new.enrollment_closes_at,
            tags: new.tags.clone(),
            passing_score: new.passing_score,
        }];
        if new.publish {
            events.push(CourseEvent::CoursePublished {});
        }
        self.within_limits(events)
    }

    pub(super) fn update(&self, patch: &CoursePatch, code_owner: Option<&CourseId>) -> Decision {
        self.check_not_deleted("be changed")?;
        let code = changed_text(&patch.code, &self.code, "code", values::code)?;
        let title = changed_text(&patch.title, &self.title, "title", values::title)?;
        if let Patch::Set(text) = &patch.description {
            values::description(text, "description")?;
        }
        if let Patch::Set(tags) = &patch.tags {
            values::tags(tags)?;
        }
        if let Patch::Set(percent) = patch.passing_score {
            values::passing_score(percent)?;
        }
        let capacity = match patch.capacity {
            Patch::Keep => Patch::Keep,
            Patch::Clear => Patch::Clear,
            Patch::Set(seats) => Patch::Set(values::capacity(seats)?),
        };
        check_schedule(
            patch.starts_at.over(self.starts_at.as_ref()),
            patch.ends_at.over(self.ends_at.as_ref()),
            patch.enrollment_opens_at.over(self.enrollment_opens_at.as_ref()),
            patch.enrollment_closes_at.over(self.enrollment_closes_at.as_ref()),
        )?;
        if code
            .as_deref()
            .is_some_and(|c| values::folded_code(c) != values::folded_code(&self.code))
        {
            check_code_free(&self.id, code_owner)?;
        }
        let description = patch.description.change(self.description.as_ref());
        let tags = match &patch.tags {
            Patch::Keep => None,
            Patch::Clear => Some(Vec::new()),
            Patch::Set(tags) => Some(tags.clone()),
        }
        .filter(|tags| *tags != self.tags);
        let passing_score = patch.passing_score.change(self.passing_score.as_ref());

        let mut events = Vec::new();
        let details = [code.is_some(), title.is_some(), description.is_some(), tags.is_some()];
        if details.contains(&true) || passing_score.is_some() {
            events.push(CourseEvent::CourseDetailsChanged {
                code,
                title,
                description,
                tags,
                passing_score,
            });
        }
        let schedule = [
            patch.starts_at.change(self.starts_at.as_ref()),
            patch.ends_at.change(self.ends_at.as_ref()),
            patch.enrollment_opens_at.change(self.enrollment_opens_at.as_ref()),
            patch.enrollment_closes_at.change(self.enrollment_closes_at.as_ref()),
        ];
        if schedule.iter().any(Option::is_some) {
            let [starts_at, ends_at, enrollment_opens_at, enrollment_closes_at] = schedule;
            events.push(CourseEvent::CourseScheduleChanged {
                starts_at,
                ends_at,
                enrollment_opens_at,
                enrollment_closes_at,
            });
        }
        if let Some(capacity) = capacity.change(self.capacity.as_ref()) {
            events.push(CourseEvent::CourseCapacityChanged { capacity });
        }
        self.within_limits(events)
    }

    pub(super) fn assign_instructor(&self, id: &UserId) -> Decision {
        self.check_not_deleted("be changed")?;
        if self.instructor_ids.contains(id) {
            return Ok(Vec::new());
        }
        if self.instructor_ids.len() >= values::MAX_INSTRUCTORS {
            return Err(Refusal::LimitExceeded { field: "instructorId", rule: INSTRUCTORS_RULE });
        }
        self.within_limits(vec![CourseEvent::InstructorAssigned { instructor_id: id.clone() }])
    }

    pub(super) fn remove_instructor(&self, id: &UserId) -> Decision {
        self.check_not_deleted("be changed")?;
        match self.instructor_ids.as_slice() {
            ids if !ids.contains(id) => Ok(Vec::new()),
            [_] => Err(Refusal::LastInstructor),
            _ => Ok(vec![CourseEvent::InstructorRemoved { instructor_id: id.clone() }]),
        }
    }

    fn within_limits(&self, events: Vec<CourseEvent>) -> Decision {
        if events.is_empty() {
            return Ok(events);
        }
        let mut after = self.clone();
        for event in &events {
            after.apply(event.clone());
        }
        check_course_fits(after.outgoing_bytes())?;
        Ok(events)
    }
}

fn first_instructors(actor: &Actor, others: &[UserId]) -> Result<Vec<UserId>, Refusal> {
    let mut ids: Vec<UserId> = Vec::new();
    let creator = (actor.role == Role::Instructor || others.is_empty()).then_some(&actor.id);
    for id in creator.into_iter().chain(others) {
        if !ids.contains(id) {
            ids.push(id.clone());
        }
        if ids.len() > values::MAX_INSTRUCTORS {
            break; // too many already: do not compare the rest
        }
    }
    if ids.len() > values::MAX_INSTRUCTORS {
        return Err(Refusal::LimitExceeded { field: "coInstructorIds", rule: INSTRUCTORS_RULE });
    }
    Ok(ids)
}

fn check_code_free(course: &CourseId, owner: Option<&CourseId>) -> Result<(), Refusal> {
    match owner {
        Some(owner) if owner != course => Err(Refusal::CodeTaken),
        _ => Ok(()),
    }
}

fn check_schedule(
    starts_at: Option<&DateTime<Utc>>,
    ends_at: Option<&DateTime<Utc>>,
    opens_at: Option<&DateTime<Utc>>,
    closes_at: Option<&DateTime<Utc>>,
) -> Result<(), Refusal> {
    values::instant(starts_at, "startsAt")?;
    values::instant(ends_at, "endsAt")?;
    values::instant(opens_at, "enrollmentOpensAt")?;
    values::instant(closes_at, "enrollmentClosesAt")?;
    values::range(starts_at, ends_at, "endsAt", "must not be before startsAt")?;
    values::range(opens_at, closes_at, "enrollmentClosesAt", "must not be before enrollmentOpensAt")
}

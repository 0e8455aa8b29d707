//! What a command means for a course.

use cqrs_es::Aggregate;

use super::command::{CourseAction, CourseCommand, CoursePatch, ModulePatch, NewCourse};
use super::event::CourseEvent;
use super::{Course, CourseStatus, Module};
use crate::domain::actor::{Actor, Role};
use crate::domain::ids::{CourseId, ModuleId, UserId};
use crate::domain::refusal::Refusal;
use crate::domain::values::{self, Patch};

type Decision = Result<Vec<CourseEvent>, Refusal>;

impl Course {
    /// Decides what `command` means for this course. Pure and total: who may not do it hears so before
    /// anything about the course's state; a command that changes nothing is an empty list.
    pub fn decide(&self, command: &CourseCommand) -> Decision {
        if !matches!(command.action, CourseAction::Create { .. }) {
            self.check_changeable_by(&command.actor)?;
            if let Some(expected) = command.expected_version.filter(|v| *v != self.version) {
                return Err(Refusal::VersionConflict { expected, actual: self.version });
            }
        }
        match &command.action {
            CourseAction::Create { course, code_owner } => {
                self.create(&command.actor, course, code_owner.as_ref())
            }
            CourseAction::Update { patch, code_owner } => self.update(patch, code_owner.as_ref()),
            CourseAction::Publish => self.publish(),
            CourseAction::Delete { force, reason, seats_taken } => {
                self.delete(*force, reason.as_deref(), *seats_taken)
            }
            CourseAction::AddModule { module_id, title, summary, position } => {
                self.add_module(module_id, title, summary.as_deref(), *position)
            }
            CourseAction::UpdateModule { module_id, patch } => self.update_module(module_id, patch),
        }
    }

    fn create(&self, actor: &Actor, new: &NewCourse, code_owner: Option<&CourseId>) -> Decision {
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

    fn update(&self, patch: &CoursePatch, code_owner: Option<&CourseId>) -> Decision {
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

    fn publish(&self) -> Decision {
        match self.status {
            CourseStatus::Published => Ok(Vec::new()),
            CourseStatus::Draft => Ok(vec![CourseEvent::CoursePublished {}]),
            CourseStatus::Missing | CourseStatus::Archived | CourseStatus::Deleted => {
                Err(self.illegal("be published"))
            }
        }
    }

    fn delete(&self, force: bool, reason: Option<&str>, seats_taken: u32) -> Decision {
        reason.map_or(Ok(()), values::reason)?;
        if self.status == CourseStatus::Deleted {
            return Ok(Vec::new());
        }
        if seats_taken > 0 && !force {
            return Err(Refusal::SeatsTaken { taken: seats_taken });
        }
        Ok(vec![CourseEvent::CourseDeleted { reason: reason.map(str::to_owned) }])
    }

    fn add_module(
        &self,
        id: &ModuleId,
        title: &str,
        summary: Option<&str>,
        position: Option<i64>,
    ) -> Decision {
        self.check_not_deleted("get a module")?;
        values::title(title)?;
        summary.map_or(Ok(()), |text| values::description(text, "summary"))?;
        let count = self.modules.len();
        let position = match position {
            None => Some(count),
            Some(wanted) => usize::try_from(wanted).ok().filter(|index| *index <= count),
        };
        let position = position
            .and_then(|index| u32::try_from(index).ok())
            .ok_or(Refusal::invalid("position", "must be from 0 to the number of modules"))?;
        if count >= values::MAX_MODULES {
            return Err(Refusal::LimitExceeded { field: "modules", rule: "at most 200 a course" });
        }
        self.within_limits(vec![CourseEvent::ModuleAdded {
            module_id: id.clone(),
            title: title.to_owned(),
            summary: summary.map(str::to_owned),
            position,
        }])
    }

    fn update_module(&self, id: &ModuleId, patch: &ModulePatch) -> Decision {
        self.check_not_deleted("be changed")?;
        let module = self.module(id).ok_or(Refusal::ModuleNotFound)?;
        let title = changed_text(&patch.title, &module.title, "title", values::title)?;
        if let Patch::Set(text) = &patch.summary {
            values::description(text, "summary")?;
        }
        let summary = patch.summary.change(module.summary.as_ref());
        let state = match patch.state {
            Patch::Keep => None,
            Patch::Clear => return Err(Refusal::invalid("state", "cannot be null")),
            Patch::Set(state) => (state != module.state).then_some(state),
        };
        if title.is_none() && summary.is_none() && state.is_none() {
            return Ok(Vec::new());
        }
        self.within_limits(vec![CourseEvent::ModuleDetailsChanged {
            module_id: id.clone(),
            title,
            summary,
            state,
        }])
    }

    fn check_not_deleted(&self, verb: &'static str) -> Result<(), Refusal> {
        if self.status == CourseStatus::Deleted { Err(self.illegal(verb)) } else { Ok(()) }
    }

    fn illegal(&self, verb: &'static str) -> Refusal {
        Refusal::IllegalTransition { object: "course", status: self.status.as_str(), verb }
    }

    /// Refuses what no longer fits into a Kafka record: a lawful course can always be published.
    fn within_limits(&self, events: Vec<CourseEvent>) -> Decision {
        let mut after = self.clone();
        for event in &events {
            after.apply(event.clone());
        }
        if after.outgoing_bytes() > values::MAX_OUTGOING_BYTES {
            return Err(Refusal::LimitExceeded {
                field: "course",
                rule: "its JSON must stay within 240 KiB",
            });
        }
        debug_assert!(after.modules.iter().all(module_fits), "single limits bound a module");
        Ok(events)
    }
}

fn module_fits(module: &Module) -> bool {
    let summary = module.summary.as_deref().map_or(0, values::json_len);
    values::json_len(&module.title) + summary <= values::MAX_OUTGOING_BYTES
}

fn changed_text(
    patch: &Patch<String>,
    current: &str,
    field: &'static str,
    check: fn(&str) -> Result<(), Refusal>,
) -> Result<Option<String>, Refusal> {
    match patch {
        Patch::Keep => Ok(None),
        Patch::Clear => Err(Refusal::invalid(field, "cannot be null")),
        Patch::Set(text) => {
            check(text)?;
            Ok((text != current).then(|| text.clone()))
        }
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
        return Err(Refusal::LimitExceeded {
            field: "coInstructorIds",
            rule: "at most 50 instructors a course",
        });
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
    starts_at: Option<&chrono::DateTime<chrono::Utc>>,
    ends_at: Option<&chrono::DateTime<chrono::Utc>>,
    opens_at: Option<&chrono::DateTime<chrono::Utc>>,
    closes_at: Option<&chrono::DateTime<chrono::Utc>>,
) -> Result<(), Refusal> {
    values::instant(starts_at, "startsAt")?;
    values::instant(ends_at, "endsAt")?;
    values::instant(opens_at, "enrollmentOpensAt")?;
    values::instant(closes_at, "enrollmentClosesAt")?;
    values::range(starts_at, ends_at, "endsAt", "must not be before startsAt")?;
    values::range(opens_at, closes_at, "enrollmentClosesAt", "must not be before enrollmentOpensAt")
}

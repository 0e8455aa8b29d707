//! What the caller may do with a course: the write side's own rules, asked on the state that the read model has.

use std::collections::VecDeque;

use async_graphql::{Context, Result, SimpleObject};
use chrono::Utc;

use super::{Course, Seats};
use crate::domain::course::{CourseAction, CourseCommand, CoursePatch, CourseStatus as Status};
use crate::domain::enrollment::EnrollmentStatus as Standing;
use crate::domain::registration::{Enroll, Room, Undecided};
use crate::domain::{
    Actor, Course as State, CourseId, Enrollment, EnrollmentId, Refusal, Seats as SeatsState,
    UserId,
};
use crate::graphql::context::caller;
use crate::graphql::error::UserError;
use crate::graphql::loader::{EnrollmentKey, load};
use crate::projections::enrollments::EnrollmentRow;

/// What the caller may do with a course.
#[derive(SimpleObject)]
pub(in crate::graphql) struct CoursePermissions {
    /// Whether `updateCourse` would be done.
    update: bool,
    /// Whether `publishCourse` would be done; where the course is published already, it changes nothing.
    publish: bool,
    /// Whether `enrollStudent` would give the caller a seat or a place on the waitlist.
    enroll: bool,
    /// Why not, where `enroll` is false.
    enroll_refusal: Option<UserError>,
}

/// What the caller may do with this course, which stands as the read model has it.
pub(super) async fn of_caller(
    ctx: &Context<'_>,
    course: &Course,
    seats: &Seats,
) -> Result<CoursePermissions> {
    let nothing = |refusal| CoursePermissions {
        update: false,
        publish: false,
        enroll: false,
        enroll_refusal: Some(refusal),
    };
    let Some(actor) = caller(ctx)? else { return Ok(nothing(UserError::unauthenticated())) };
    let Some(state) = state(course, seats) else {
        return Ok(nothing(Refusal::course_not_found().into()));
    };
    let id = EnrollmentId::of(&state.id, &actor.id);
    let enrollment = enrollment(load(ctx, EnrollmentKey(id.to_string())).await?);
    let may = |action| {
        let command = CourseCommand { actor: actor.clone(), expected_version: None, action };
        state.decide(&command).is_ok()
    };
    let patch = Box::new(CoursePatch::default());
    let refusal = enroll(actor, &state, seats, &enrollment).err();
    Ok(CoursePermissions {
        update: may(CourseAction::Update { patch, code_owner: None }),
        publish: may(CourseAction::Publish),
        enroll: refusal.is_none(),
        enroll_refusal: refusal.map(UserError::from),
    })
}

fn enroll(
    actor: &Actor,
    course: &State,
    seats: &Seats,
    enrollment: &Enrollment,
) -> std::result::Result<(), Refusal> {
    // Who waits does not matter to one who would join them: only whether anybody does.
    let waitlist = if seats.waitlisted > 0 { vec![UserId::default()] } else { Vec::new() };
    let seats = SeatsState {
        version: 1,
        open: course.status == Status::Published,
        opens_at: course.enrollment_opens_at,
        closes_at: course.enrollment_closes_at,
        capacity: course.capacity,
        taken: u32::try_from(seats.taken).unwrap_or(0),
        waitlist: VecDeque::from(waitlist),
    };
    let known = |_: &UserId| Some(enrollment);
    let room = Room { id: &course.id, course, seats: &seats, enrollment: &known };
    let command = Enroll {
        actor: actor.clone(),
        student: actor.id.clone(),
        join_waitlist: true,
        at: Utc::now(),
    };
    match room.enroll(&command) {
        Err(Undecided::Refused(refusal)) => Err(refusal),
        Ok(_) | Err(Undecided::Needs(_)) => Ok(()),
    }
}

/// The state of the course, as far as these rules look at it.
fn state(course: &Course, seats: &Seats) -> Option<State> {
    let instructors = course.instructor_ids.iter();
    let window = course.enrollment_window.as_ref();
    Some(State {
        version: u64::try_from(course.version).ok()?,
        id: CourseId::parse(&course.id, "id").ok()?,
        code: course.code.clone(),
        title: course.title.clone(),
        instructor_ids: instructors.filter_map(|id| UserId::parse(id, "id").ok()).collect(),
        status: course.status.into(),
        capacity: seats.capacity.and_then(|capacity| u32::try_from(capacity).ok()),
        enrollment_opens_at: window.and_then(|window| window.starts_at),
        enrollment_closes_at: window.and_then(|window| window.ends_at),
        ..State::default()
    })
}

/// The standing of the caller.
fn enrollment(row: Option<EnrollmentRow>) -> Enrollment {
    let Some(row) = row else { return Enrollment::default() };
    let status = match row.status.as_str() {
        "ACTIVE" => Standing::Active,
        "WAITLISTED" => Standing::Waitlisted,
        "COMPLETED" => Standing::Completed,
        _ => Standing::Withdrawn,
    };
    Enrollment { version: u64::try_from(row.version).unwrap_or(1), status, ..Enrollment::default() }
}

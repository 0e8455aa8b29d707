//! Mutations of enrollments.

use async_graphql::{Context, ID, InputObject, Object, Result};
use chrono::Utc;

use super::course::Call;
use super::payload;
use crate::commands::{Answer, CommandError};
use crate::domain::registration::Enroll;
use crate::domain::{CourseId, EnrollmentId, UserId};
use crate::event_store::Position;
use crate::graphql::enrollment::Enrollment;

/// A student to be enrolled.
#[derive(InputObject)]
pub(super) struct EnrollStudentInput {
    /// Comes back in the payload.
    client_mutation_id: Option<String>,
    /// The course.
    course_id: ID,
    /// The student; by default the caller.
    student_id: Option<ID>,
    /// Whether to wait where every seat is taken.
    #[graphql(default = true)]
    join_waitlist: bool,
}

/// An enrollment to be withdrawn.
#[derive(InputObject)]
pub(super) struct WithdrawEnrollmentInput {
    /// Comes back in the payload.
    client_mutation_id: Option<String>,
    /// The enrollment.
    enrollment_id: ID,
    /// Why; at most 1 KiB.
    reason: Option<String>,
}

payload! {
    /// What became of `enrollStudent`.
    EnrollStudentPayload,
    /// The enrollment: active or waitlisted.
    enrollment: Enrollment
}
payload! {
    /// What became of `withdrawEnrollment`.
    WithdrawEnrollmentPayload,
    /// The enrollment after the change.
    enrollment: Enrollment
}

/// Mutations of enrollments.
#[derive(Default)]
pub(super) struct EnrollmentMutation;

#[Object]
impl EnrollmentMutation {
    /// Takes a seat, or joins the waitlist. Published on Student-Enrolled once the enrollment is active.
    async fn enroll_student(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The student and the course")] input: EnrollStudentInput,
    ) -> Result<EnrollStudentPayload> {
        let call = Call::new(ctx)?;
        let mutation = input.client_mutation_id.clone();
        EnrollStudentPayload::of(enroll(call, input).await, mutation)
    }

    /// Leaves a course or its waitlist. The first who waits gets the seat, published on Student-Enrolled.
    async fn withdraw_enrollment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The enrollment")] input: WithdrawEnrollmentInput,
    ) -> Result<WithdrawEnrollmentPayload> {
        let call = Call::new(ctx)?;
        let mutation = input.client_mutation_id.clone();
        WithdrawEnrollmentPayload::of(withdraw(call, input).await, mutation)
    }
}

type Done = Result<(Option<Enrollment>, Position), CommandError>;

async fn enroll(call: Call<'_>, input: EnrollStudentInput) -> Done {
    let course = CourseId::parse(&input.course_id, "courseId")?;
    let student = match input.student_id {
        Some(id) => UserId::parse(&id, "studentId")?,
        None => call.actor.id.clone(),
    };
    let enroll =
        Enroll { actor: call.actor, student, join_waitlist: input.join_waitlist, at: Utc::now() };
    Ok(done(call.commands.enroll(course, enroll, call.metadata).await?))
}

async fn withdraw(call: Call<'_>, input: WithdrawEnrollmentInput) -> Done {
    let id = EnrollmentId::parse(&input.enrollment_id, "enrollmentId")?;
    Ok(done(call.commands.withdraw(&id, call.actor, input.reason, call.metadata).await?))
}

fn done(answer: Answer) -> (Option<Enrollment>, Position) {
    let position = answer.position;
    let state = answer.enrollment();
    (state.map(|state| Enrollment::committed(&state, position)), position)
}

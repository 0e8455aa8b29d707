//! Mutations of enrollments.

use async_graphql::{Context, ID, InputObject, Object, Result};
use chrono::Utc;

use super::call::{Call, Done, enrollment};
use super::{input, payload};
use crate::domain::progress::CompleteItem;
use crate::domain::registration::Enroll;
use crate::domain::{CourseId, EnrollmentId, ItemId, Refusal, UserId};
use crate::graphql::enrollment::Enrollment;
use crate::graphql::input::version;

input! {
    /// A student to be enrolled.
    EnrollStudentInput {
        /// The course.
        course_id: ID,
        /// The student; by default the caller.
        student_id: Option<ID>,
        /// Whether to wait where every seat is taken.
        #[graphql(default = true)]
        join_waitlist: bool,
    }
}

input! {
    /// An enrollment to be withdrawn.
    WithdrawEnrollmentInput {
        /// The enrollment.
        enrollment_id: ID,
        /// The enrollment's version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
        /// Why; at most 1 KiB.
        reason: Option<String>,
    }
}

input! {
    /// An item that a student is done with.
    CompleteModuleItemInput {
        /// The course.
        course_id: ID,
        /// The item.
        module_item_id: ID,
        /// The student; by default the caller.
        student_id: Option<ID>,
        /// The enrollment's version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
    }
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
payload! {
    /// What became of `completeModuleItem`.
    CompleteModuleItemPayload,
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
        #[graphql(desc = "The course and the student")] input: EnrollStudentInput,
    ) -> Result<EnrollStudentPayload> {
        let call = Call::new(ctx, input.idempotency_key.clone())?;
        let mutation = input.client_mutation_id.clone();
        EnrollStudentPayload::of(enroll(call, input).await, mutation)
    }

    /// Leaves a course or its waitlist. The first who waits gets the seat, published on Student-Enrolled.
    async fn withdraw_enrollment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The enrollment")] input: WithdrawEnrollmentInput,
    ) -> Result<WithdrawEnrollmentPayload> {
        let call = Call::new(ctx, input.idempotency_key.clone())?;
        let mutation = input.client_mutation_id.clone();
        WithdrawEnrollmentPayload::of(withdraw(call, input).await, mutation)
    }

    /// Marks an item as done, once; for students who have a seat, while the course is published. No topic.
    async fn complete_module_item(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The item and the student")] input: CompleteModuleItemInput,
    ) -> Result<CompleteModuleItemPayload> {
        let call = Call::new(ctx, input.idempotency_key.clone())?;
        let mutation = input.client_mutation_id.clone();
        CompleteModuleItemPayload::of(complete(call, input).await, mutation)
    }
}

async fn enroll(call: Call<'_>, input: EnrollStudentInput) -> Done<Enrollment> {
    let course = CourseId::parse(&input.course_id, "courseId")?;
    let (student, cause) = (student(&call, input.student_id)?, call.cause()?);
    let (actor, join_waitlist) = (call.actor, input.join_waitlist);
    let enroll = Enroll { actor, student, join_waitlist, at: Utc::now() };
    Ok(enrollment(call.commands.enroll(course, enroll, cause).await?))
}

async fn withdraw(call: Call<'_>, input: WithdrawEnrollmentInput) -> Done<Enrollment> {
    let id = EnrollmentId::parse(&input.enrollment_id, "enrollmentId")?;
    let (expected, cause) = (version(input.expected_version)?, call.cause()?);
    let answer = call.commands.withdraw(&id, call.actor, input.reason, expected, cause).await?;
    Ok(enrollment(answer))
}

async fn complete(call: Call<'_>, input: CompleteModuleItemInput) -> Done<Enrollment> {
    let course = CourseId::parse(&input.course_id, "courseId")?;
    let item = ItemId::parse(&input.module_item_id, "moduleItemId")?;
    let (student, cause) = (student(&call, input.student_id)?, call.cause()?);
    let (actor, expected_version) = (call.actor, version(input.expected_version)?);
    let complete = CompleteItem { actor, student, item, expected_version };
    Ok(enrollment(call.commands.complete_item(course, complete, cause).await?))
}

/// The student who is meant: the caller where nobody is named.
fn student(call: &Call<'_>, named: Option<ID>) -> Result<UserId, Refusal> {
    named.map_or_else(|| Ok(call.actor.id.clone()), |id| UserId::parse(&id, "studentId"))
}

//! Mutations of who teaches a course.

use async_graphql::{Context, ID, InputObject, Object, Result};

use super::call::{Call, Done};
use super::{input, payload};
use crate::domain::UserId;
use crate::domain::course::CourseAction;
use crate::graphql::course::Course;

input! {
    /// An instructor to teach a course.
    AssignInstructorInput {
        /// The course.
        course_id: ID,
        /// The version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
        /// Who is to teach it.
        instructor_id: ID,
    }
}
input! {
    /// An instructor to teach a course no longer.
    RemoveInstructorInput {
        /// The course.
        course_id: ID,
        /// The version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
        /// Who is not to teach it.
        instructor_id: ID,
    }
}

payload! {
    /// What became of `assignInstructor`.
    AssignInstructorPayload,
    /// The course after the change.
    course: Course
}
payload! {
    /// What became of `removeInstructor`.
    RemoveInstructorPayload,
    /// The course after the change.
    course: Course
}

/// Mutations of who teaches a course.
#[derive(Default)]
pub(super) struct InstructorMutation;

#[Object]
impl InstructorMutation {
    /// Adds an instructor, at most 50 a course. Published on Course-Update.
    async fn assign_instructor(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course and who is to teach it")] input: AssignInstructorInput,
    ) -> Result<AssignInstructorPayload> {
        let call = Call::new(ctx, input.idempotency_key)?;
        let action = |instructor_id| CourseAction::AssignInstructor { instructor_id };
        let (course, expected) = (&input.course_id, input.expected_version);
        let done = change(call, course, expected, &input.instructor_id, action).await;
        AssignInstructorPayload::of(done, input.client_mutation_id)
    }

    /// Removes an instructor, never the last. Published on Course-Update.
    async fn remove_instructor(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course and who is to teach it no longer")]
        input: RemoveInstructorInput,
    ) -> Result<RemoveInstructorPayload> {
        let call = Call::new(ctx, input.idempotency_key)?;
        let action = |instructor_id| CourseAction::RemoveInstructor { instructor_id };
        let (course, expected) = (&input.course_id, input.expected_version);
        let done = change(call, course, expected, &input.instructor_id, action).await;
        RemoveInstructorPayload::of(done, input.client_mutation_id)
    }
}

async fn change(
    call: Call<'_>,
    course: &ID,
    expected: Option<i64>,
    instructor: &ID,
    action: impl FnOnce(UserId) -> CourseAction,
) -> Done<Course> {
    let instructor = UserId::parse(instructor, "instructorId")?;
    call.change(course, expected, action(instructor)).await
}

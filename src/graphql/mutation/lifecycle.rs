//! Mutations of a course's lifecycle.

use async_graphql::{Context, ID, InputObject, Object, Result};

use super::call::Call;
use super::{input, payload};
use crate::domain::course::CourseAction;
use crate::graphql::course::Course;

input! {
    /// A course to be published.
    PublishCourseInput {
        /// The course.
        course_id: ID,
        /// The version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
    }
}
input! {
    /// A course to be a draft again.
    UnpublishCourseInput {
        /// The course.
        course_id: ID,
        /// The version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
    }
}
input! {
    /// A course to be concluded.
    ArchiveCourseInput {
        /// The course.
        course_id: ID,
        /// The version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
    }
}
input! {
    /// A concluded course to be published again.
    RestoreCourseInput {
        /// The course.
        course_id: ID,
        /// The version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
    }
}
input! {
    /// A course to be deleted, for ever.
    DeleteCourseInput {
        /// The course.
        course_id: ID,
        /// The version that the caller has seen; another one is a CONFLICT.
        expected_version: Option<i64>,
        /// Why; at most 1 KiB.
        reason: Option<String>,
        /// Delete it although seats are taken. The enrollments stay as they are, and withdrawing stays possible.
        #[graphql(default = false)]
        force: bool,
    }
}

payload! {
    /// What became of `publishCourse`.
    PublishCoursePayload,
    /// The course after the change.
    course: Course
}
payload! {
    /// What became of `unpublishCourse`.
    UnpublishCoursePayload,
    /// The course after the change.
    course: Course
}
payload! {
    /// What became of `archiveCourse`.
    ArchiveCoursePayload,
    /// The course after the change.
    course: Course
}
payload! {
    /// What became of `restoreCourse`.
    RestoreCoursePayload,
    /// The course after the change.
    course: Course
}
payload! {
    /// What became of `deleteCourse`.
    DeleteCoursePayload,
    /// The course as it was, deleted.
    course: Course
}

/// Mutations of a course's lifecycle.
#[derive(Default)]
pub(super) struct LifecycleMutation;

#[Object]
impl LifecycleMutation {
    /// DRAFT to PUBLISHED. Published on Course-Update.
    async fn publish_course(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course")] input: PublishCourseInput,
    ) -> Result<PublishCoursePayload> {
        let call = Call::new(ctx, input.idempotency_key)?;
        let action = CourseAction::Publish;
        let done = call.change(&input.course_id, input.expected_version, action).await;
        PublishCoursePayload::of(done, input.client_mutation_id)
    }

    /// PUBLISHED to DRAFT, only with no seat taken and nobody waiting. Published on Course-Update.
    async fn unpublish_course(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course")] input: UnpublishCourseInput,
    ) -> Result<UnpublishCoursePayload> {
        let call = Call::new(ctx, input.idempotency_key)?;
        let action = CourseAction::Unpublish { seats_taken: 0, waiting: 0 };
        let done = call.change(&input.course_id, input.expected_version, action).await;
        UnpublishCoursePayload::of(done, input.client_mutation_id)
    }

    /// PUBLISHED to ARCHIVED: the course is concluded, enrollments stay as they are. Published on Course-Update.
    async fn archive_course(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course")] input: ArchiveCourseInput,
    ) -> Result<ArchiveCoursePayload> {
        let call = Call::new(ctx, input.idempotency_key)?;
        let action = CourseAction::Archive;
        let done = call.change(&input.course_id, input.expected_version, action).await;
        ArchiveCoursePayload::of(done, input.client_mutation_id)
    }

    /// ARCHIVED back to PUBLISHED; whoever waits and fits gets a seat. Published on Course-Update.
    async fn restore_course(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course")] input: RestoreCourseInput,
    ) -> Result<RestoreCoursePayload> {
        let call = Call::new(ctx, input.idempotency_key)?;
        let action = CourseAction::Restore;
        let done = call.change(&input.course_id, input.expected_version, action).await;
        RestoreCoursePayload::of(done, input.client_mutation_id)
    }

    /// Deletes a course for ever. Published on Course-Deletion.
    async fn delete_course(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course")] input: DeleteCourseInput,
    ) -> Result<DeleteCoursePayload> {
        let call = Call::new(ctx, input.idempotency_key)?;
        let action =
            CourseAction::Delete { force: input.force, reason: input.reason, seats_taken: 0 };
        let done = call.change(&input.course_id, input.expected_version, action).await;
        DeleteCoursePayload::of(done, input.client_mutation_id)
    }
}

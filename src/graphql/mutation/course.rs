//! Mutations of courses.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, Result};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::payload;
use crate::commands::{CommandError, Commands};
use crate::domain::course::{CourseAction, CourseCommand, CoursePatch, NewCourse};
use crate::domain::{Actor, CourseId};
use crate::event_store::{Metadata, Position};
use crate::graphql::context::{actor, metadata};
use crate::graphql::course::Course;
use crate::graphql::input::{instant, patch, users, version};

/// A course to be created, as a draft where `publish` is not set.
#[derive(InputObject)]
pub(super) struct CreateCourseInput {
    /// Comes back in the payload.
    client_mutation_id: Option<String>,
    /// An id of the caller's own: 1 to 64 characters of A-Z, a-z, 0-9, _ and -. By default a `UUIDv7`.
    id: Option<ID>,
    /// 1 to 64 characters of A-Z, a-z, 0-9, ., _ and -; unique among courses that are not deleted, without regard to case.
    code: String,
    /// 1 to 255 characters.
    title: String,
    /// At most 16 KiB.
    description: Option<String>,
    /// The first instant of the course.
    starts_at: Option<DateTime<Utc>>,
    /// The instant after its last.
    ends_at: Option<DateTime<Utc>>,
    /// The first instant at which students may enroll.
    enrollment_opens_at: Option<DateTime<Utc>>,
    /// The instant after the last at which students may enroll.
    enrollment_closes_at: Option<DateTime<Utc>>,
    /// Seats; absent or null is unlimited, 0 is closed.
    capacity: Option<i64>,
    /// At most 50 of 1 to 64 bytes.
    tags: Option<Vec<String>>,
    /// Percent, 0 to 100.
    passing_score: Option<f64>,
    /// Who teaches it beside the caller.
    co_instructor_ids: Option<Vec<ID>>,
    /// Whether to publish it at once.
    #[graphql(default = false)]
    publish: bool,
}

/// Changes of a course: what is absent stays, null clears.
#[derive(InputObject)]
pub(super) struct UpdateCourseInput {
    /// Comes back in the payload.
    client_mutation_id: Option<String>,
    /// The course.
    course_id: ID,
    /// The version that the caller has seen; another one is a CONFLICT.
    expected_version: Option<i64>,
    /// 1 to 64 characters of A-Z, a-z, 0-9, ., _ and -.
    code: MaybeUndefined<String>,
    /// 1 to 255 characters.
    title: MaybeUndefined<String>,
    /// At most 16 KiB.
    description: MaybeUndefined<String>,
    /// The first instant of the course.
    starts_at: MaybeUndefined<DateTime<Utc>>,
    /// The instant after its last.
    ends_at: MaybeUndefined<DateTime<Utc>>,
    /// The first instant at which students may enroll.
    enrollment_opens_at: MaybeUndefined<DateTime<Utc>>,
    /// The instant after the last at which students may enroll.
    enrollment_closes_at: MaybeUndefined<DateTime<Utc>>,
    /// Seats; null is unlimited, 0 is closed. Raising it promotes from the waitlist, lowering it evicts nobody.
    capacity: MaybeUndefined<i64>,
    /// At most 50 of 1 to 64 bytes.
    tags: MaybeUndefined<Vec<String>>,
    /// Percent, 0 to 100.
    passing_score: MaybeUndefined<f64>,
}

/// A course to be published.
#[derive(InputObject)]
pub(super) struct PublishCourseInput {
    /// Comes back in the payload.
    client_mutation_id: Option<String>,
    /// The course.
    course_id: ID,
    /// The version that the caller has seen; another one is a CONFLICT.
    expected_version: Option<i64>,
}

/// A course to be deleted, for ever.
#[derive(InputObject)]
pub(super) struct DeleteCourseInput {
    /// Comes back in the payload.
    client_mutation_id: Option<String>,
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

payload! {
    /// What became of `createCourse`.
    CreateCoursePayload,
    /// The new course.
    course: Course
}
payload! {
    /// What became of `updateCourse`.
    UpdateCoursePayload,
    /// The course after the change.
    course: Course
}
payload! {
    /// What became of `publishCourse`.
    PublishCoursePayload,
    /// The course after the change.
    course: Course
}
payload! {
    /// What became of `deleteCourse`.
    DeleteCoursePayload,
    /// The course as it was, deleted.
    course: Course
}

/// Mutations of courses.
#[derive(Default)]
pub(super) struct CourseMutation;

#[Object]
impl CourseMutation {
    /// Creates a course. Published on Course-Creation. For instructors and admins.
    async fn create_course(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new course")] input: CreateCourseInput,
    ) -> Result<CreateCoursePayload> {
        let call = Call::new(ctx)?;
        let mutation = input.client_mutation_id.clone();
        CreateCoursePayload::of(call.create(input).await, mutation)
    }

    /// Changes a course. Published on Course-Update.
    async fn update_course(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course and what to change")] input: UpdateCourseInput,
    ) -> Result<UpdateCoursePayload> {
        let call = Call::new(ctx)?;
        let changes = CoursePatch {
            code: patch(input.code, |code| code),
            title: patch(input.title, |title| title),
            description: patch(input.description, |text| text),
            tags: patch(input.tags, |tags| tags),
            passing_score: patch(input.passing_score, |percent| percent),
            capacity: patch(input.capacity, |seats| seats),
            starts_at: patch(input.starts_at, instant),
            ends_at: patch(input.ends_at, instant),
            enrollment_opens_at: patch(input.enrollment_opens_at, instant),
            enrollment_closes_at: patch(input.enrollment_closes_at, instant),
        };
        let action = CourseAction::Update { patch: Box::new(changes), code_owner: None };
        let done = call.change(&input.course_id, input.expected_version, action).await;
        UpdateCoursePayload::of(done, input.client_mutation_id)
    }

    /// DRAFT to PUBLISHED. Published on Course-Update.
    async fn publish_course(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course")] input: PublishCourseInput,
    ) -> Result<PublishCoursePayload> {
        let call = Call::new(ctx)?;
        let done =
            call.change(&input.course_id, input.expected_version, CourseAction::Publish).await;
        PublishCoursePayload::of(done, input.client_mutation_id)
    }

    /// Deletes a course for ever. Published on Course-Deletion.
    async fn delete_course(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course")] input: DeleteCourseInput,
    ) -> Result<DeleteCoursePayload> {
        let call = Call::new(ctx)?;
        let action =
            CourseAction::Delete { force: input.force, reason: input.reason, seats_taken: 0 };
        let done = call.change(&input.course_id, input.expected_version, action).await;
        DeleteCoursePayload::of(done, input.client_mutation_id)
    }
}

type Done = Result<(Option<Course>, Position), CommandError>;

/// A call by a validated caller.
pub(super) struct Call<'a> {
    pub(super) commands: &'a Commands,
    pub(super) actor: Actor,
    pub(super) metadata: Metadata,
}

impl<'a> Call<'a> {
    pub(super) fn new(ctx: &Context<'a>) -> Result<Self> {
        let actor = actor(ctx)?;
        let metadata = metadata(ctx, &actor);
        Ok(Self { commands: ctx.data::<Commands>()?, actor, metadata })
    }

    async fn create(self, input: CreateCourseInput) -> Done {
        let id = match input.id {
            Some(id) => CourseId::parse(&id, "id")?,
            None => CourseId::from_uuid(Uuid::now_v7()),
        };
        let course = NewCourse {
            id: id.clone(),
            code: input.code,
            title: input.title,
            description: input.description,
            co_instructor_ids: users(input.co_instructor_ids, "coInstructorIds")?,
            capacity: input.capacity,
            starts_at: input.starts_at.map(instant),
            ends_at: input.ends_at.map(instant),
            enrollment_opens_at: input.enrollment_opens_at.map(instant),
            enrollment_closes_at: input.enrollment_closes_at.map(instant),
            tags: input.tags.unwrap_or_default(),
            passing_score: input.passing_score,
            publish: input.publish,
        };
        let action = CourseAction::Create { course: Box::new(course), code_owner: None };
        self.change(&id.as_str().into(), None, action).await
    }

    async fn change(self, course: &ID, expected: Option<i64>, action: CourseAction) -> Done {
        let course = CourseId::parse(course, "courseId")?;
        let expected_version = version(expected)?;
        let command = CourseCommand { actor: self.actor, expected_version, action };
        let answer = self.commands.course(course, command, self.metadata).await?;
        let position = answer.position;
        Ok((answer.course().map(|course| Course::committed(&course, position)), position))
    }
}

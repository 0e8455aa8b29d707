//! Mutations of courses.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, Result};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::call::{Call, Done};
use super::{input, payload};
use crate::domain::CourseId;
use crate::domain::course::{CourseAction, CoursePatch, NewCourse};
use crate::graphql::course::Course;
use crate::graphql::input::{instant, patch, users};

input! {
    /// A course to be created, as a draft where `publish` is not set.
    CreateCourseInput {
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
}

input! {
    /// Changes of a course: what is absent stays, null clears.
    UpdateCourseInput {
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
        let call = Call::new(ctx, input.idempotency_key.clone())?;
        let mutation = input.client_mutation_id.clone();
        CreateCoursePayload::of(create(call, input).await, mutation)
    }

    /// Changes a course. Published on Course-Update.
    async fn update_course(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The course and what to change")] input: UpdateCourseInput,
    ) -> Result<UpdateCoursePayload> {
        let call = Call::new(ctx, input.idempotency_key)?;
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
}

async fn create(call: Call<'_>, input: CreateCourseInput) -> Done<Course> {
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
    call.change(&id.as_str().into(), None, action).await
}

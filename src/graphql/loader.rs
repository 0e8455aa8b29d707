//! Batched reads: what many resolvers of one request ask for becomes one statement.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::dataloader::Loader;
use sqlx::PgPool;

use crate::projections::courses::{self, CourseRow};
use crate::projections::enrollments::{self, EnrollmentRow};
use crate::projections::modules::{self, ModuleRow};
use crate::projections::seats::{self, SeatsRow};

/// Reads the read models.
pub(super) struct ReadModels {
    pub(super) pool: PgPool,
}

type Loaded<K, V> = Result<HashMap<K, V>, Arc<sqlx::Error>>;

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub(super) struct $name(pub(super) String);
    };
}

key! {
    /// A course by id.
    CourseKey
}
key! {
    /// The seats of a course.
    SeatsKey
}
key! {
    /// A module by id.
    ModuleKey
}
key! {
    /// The modules of a course.
    ModulesKey
}
key! {
    /// An enrollment by id.
    EnrollmentKey
}
key! {
    /// The place of an enrollment in its waitlist.
    WaitlistKey
}

impl Loader<CourseKey> for ReadModels {
    type Value = CourseRow;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[CourseKey]) -> Loaded<CourseKey, CourseRow> {
        let ids: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let rows = courses::find_many(&self.pool, &ids).await?;
        Ok(rows.into_iter().map(|row| (CourseKey(row.course_id.clone()), row)).collect())
    }
}

impl Loader<SeatsKey> for ReadModels {
    type Value = SeatsRow;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[SeatsKey]) -> Loaded<SeatsKey, SeatsRow> {
        let ids: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let rows = seats::find_many(&self.pool, &ids).await?;
        Ok(rows.into_iter().map(|row| (SeatsKey(row.course_id.clone()), row)).collect())
    }
}

impl Loader<ModuleKey> for ReadModels {
    type Value = ModuleRow;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[ModuleKey]) -> Loaded<ModuleKey, ModuleRow> {
        let ids: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let rows = modules::find_many(&self.pool, &ids).await?;
        Ok(rows.into_iter().map(|row| (ModuleKey(row.module_id.clone()), row)).collect())
    }
}

impl Loader<ModulesKey> for ReadModels {
    type Value = Vec<ModuleRow>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[ModulesKey]) -> Loaded<ModulesKey, Vec<ModuleRow>> {
        let ids: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let mut by_course: HashMap<ModulesKey, Vec<ModuleRow>> = HashMap::new();
        for row in modules::of_courses(&self.pool, &ids).await? {
            by_course.entry(ModulesKey(row.course_id.clone())).or_default().push(row);
        }
        Ok(by_course)
    }
}

impl Loader<EnrollmentKey> for ReadModels {
    type Value = EnrollmentRow;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[EnrollmentKey]) -> Loaded<EnrollmentKey, EnrollmentRow> {
        let ids: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let rows = enrollments::find_many(&self.pool, &ids).await?;
        Ok(rows.into_iter().map(|row| (EnrollmentKey(row.enrollment_id.clone()), row)).collect())
    }
}

impl Loader<WaitlistKey> for ReadModels {
    type Value = i64;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[WaitlistKey]) -> Loaded<WaitlistKey, i64> {
        let ids: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let places = enrollments::waitlist_positions(&self.pool, &ids).await?;
        Ok(places.into_iter().map(|(id, place)| (WaitlistKey(id), place)).collect())
    }
}

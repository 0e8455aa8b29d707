//! Batched reads: what many resolvers of one request ask for becomes one statement.

mod history;
mod lists;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::{Context, Result};
use sqlx::PgPool;
use uuid::Uuid;

pub(super) use self::history::{EventKey, HistoryKey};
pub(super) use self::lists::{
    EnrollmentCountKey, EnrollmentsKey, ModuleCountKey, ModulesKey, TaughtCountKey, TaughtKey,
};
use super::error::read_failed;
use super::incoming::VALUE_CUT;
use crate::domain::UserId;
use crate::event_store::dead_letters::{self, DeadLetter};
use crate::event_store::parked::{self, Parked};
use crate::projections::assessments::{self, AssessmentRow};
use crate::projections::courses::{self, CourseRow};
use crate::projections::enrollments::{self, EnrollmentRow};
use crate::projections::module_items::{self, ItemRow};
use crate::projections::modules::{self, ModuleRow};
use crate::projections::users::{self, Profile};

/// Reads the read models.
pub(super) struct ReadModels {
    pub(super) pool: PgPool,
}

type Loaded<K, V> = Result<HashMap<K, V>, Arc<sqlx::Error>>;

/// Reads what belongs to the key, together with what others ask for at the same time.
pub(super) async fn load<K>(
    ctx: &Context<'_>,
    key: K,
) -> Result<Option<<ReadModels as Loader<K>>::Value>>
where
    K: Send + Sync + Hash + Eq + Clone + 'static,
    ReadModels: Loader<K, Error = Arc<sqlx::Error>>,
{
    let loader = ctx.data::<DataLoader<ReadModels>>()?;
    loader.load_one(key).await.map_err(|error| read_failed(&error))
}

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
    /// A module by id.
    ModuleKey
}
key! {
    /// A module item by id.
    ItemKey
}
key! {
    /// An enrollment by id.
    EnrollmentKey
}
key! {
    /// The place of an enrollment in its waitlist.
    WaitlistKey
}
key! {
    /// The items of a module.
    ItemsKey
}
key! {
    /// The items that a student of a course is to complete: those that are required and published, as is their module.
    RequiredKey
}

key! {
    /// An assessment by id.
    AssessmentKey
}
key! {
    /// The assessments of a course.
    AssessmentsKey
}
key! {
    /// What is known of a user.
    UserKey
}

/// Whether a user teaches a course in which a student has an enrollment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct StudentOfKey {
    pub(super) teacher: UserId,
    pub(super) student: String,
}

/// A dead letter by id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct DeadLetterKey(pub(super) Uuid);

/// A parked message by id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ParkedKey(pub(super) Uuid);

/// The ids of the courses that a user teaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TaughtIdsKey(pub(super) UserId);

impl Loader<CourseKey> for ReadModels {
    type Value = CourseRow;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[CourseKey]) -> Loaded<CourseKey, CourseRow> {
        let ids: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let rows = courses::find_many(&self.pool, &ids).await?;
        Ok(rows.into_iter().map(|row| (CourseKey(row.course_id.clone()), row)).collect())
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

impl Loader<ItemKey> for ReadModels {
    type Value = ItemRow;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[ItemKey]) -> Loaded<ItemKey, ItemRow> {
        let ids: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let rows = module_items::find_many(&self.pool, &ids).await?;
        Ok(rows.into_iter().map(|row| (ItemKey(row.item_id.clone()), row)).collect())
    }
}

impl Loader<ItemsKey> for ReadModels {
    type Value = Vec<ItemRow>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[ItemsKey]) -> Loaded<ItemsKey, Vec<ItemRow>> {
        let ids: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let mut by_module: HashMap<ItemsKey, Vec<ItemRow>> = HashMap::new();
        for row in module_items::of_modules(&self.pool, &ids).await? {
            by_module.entry(ItemsKey(row.module_id.clone())).or_default().push(row);
        }
        Ok(by_module)
    }
}

impl Loader<RequiredKey> for ReadModels {
    type Value = Arc<HashSet<String>>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[RequiredKey]) -> Loaded<RequiredKey, Arc<HashSet<String>>> {
        let ids: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let modules = modules::published(&self.pool, &ids).await?;
        let course_of: HashMap<&str, &str> =
            modules.iter().map(|(course, module)| (module.as_str(), course.as_str())).collect();
        let ids: Vec<&str> = course_of.keys().copied().collect();
        let mut by_course: HashMap<&str, HashSet<String>> = HashMap::new();
        for (module, item) in module_items::required(&self.pool, &ids).await? {
            if let Some(course) = course_of.get(module.as_str()) {
                by_course.entry(course).or_default().insert(item);
            }
        }
        let items = by_course.into_iter();
        Ok(items.map(|(id, items)| (RequiredKey(id.to_owned()), Arc::new(items))).collect())
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

impl Loader<AssessmentKey> for ReadModels {
    type Value = AssessmentRow;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[AssessmentKey]) -> Loaded<AssessmentKey, AssessmentRow> {
        let ids: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let rows = assessments::find_many(&self.pool, &ids).await?;
        Ok(rows.into_iter().map(|row| (AssessmentKey(row.assessment_id.clone()), row)).collect())
    }
}

impl Loader<AssessmentsKey> for ReadModels {
    type Value = Arc<Vec<AssessmentRow>>;
    type Error = Arc<sqlx::Error>;

    async fn load(
        &self,
        keys: &[AssessmentsKey],
    ) -> Loaded<AssessmentsKey, Arc<Vec<AssessmentRow>>> {
        let ids: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let mut by_course: HashMap<String, Vec<AssessmentRow>> = HashMap::new();
        for row in assessments::of_courses(&self.pool, &ids).await? {
            by_course.entry(row.course_id.clone()).or_default().push(row);
        }
        let lists = by_course.into_iter();
        Ok(lists.map(|(course, rows)| (AssessmentsKey(course), Arc::new(rows))).collect())
    }
}

impl Loader<UserKey> for ReadModels {
    type Value = Arc<Profile>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[UserKey]) -> Loaded<UserKey, Arc<Profile>> {
        let ids: Vec<&str> = keys.iter().map(|key| key.0.as_str()).collect();
        let profiles = users::find_many(&self.pool, &ids).await?.into_iter();
        Ok(profiles.map(|user| (UserKey(user.user_id.clone()), Arc::new(user))).collect())
    }
}

impl Loader<StudentOfKey> for ReadModels {
    type Value = ();
    type Error = Arc<sqlx::Error>;

    /// A request has one caller, so there is one teacher.
    async fn load(&self, keys: &[StudentOfKey]) -> Loaded<StudentOfKey, ()> {
        let mut by_teacher: HashMap<&UserId, Vec<&str>> = HashMap::new();
        for key in keys {
            by_teacher.entry(&key.teacher).or_default().push(&key.student);
        }
        let mut taught = HashMap::new();
        for (teacher, students) in by_teacher {
            let courses = courses::taught_by(&self.pool, teacher).await?;
            for student in enrollments::students_of(&self.pool, &courses, &students).await? {
                taught.insert(StudentOfKey { teacher: teacher.clone(), student }, ());
            }
        }
        Ok(taught)
    }
}

impl Loader<DeadLetterKey> for ReadModels {
    type Value = Arc<DeadLetter>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[DeadLetterKey]) -> Loaded<DeadLetterKey, Arc<DeadLetter>> {
        let ids: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let letters = dead_letters::find(&self.pool, &ids, VALUE_CUT).await?.into_iter();
        Ok(letters.map(|one| (DeadLetterKey(one.id), Arc::new(one))).collect())
    }
}

impl Loader<ParkedKey> for ReadModels {
    type Value = Arc<Parked>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[ParkedKey]) -> Loaded<ParkedKey, Arc<Parked>> {
        let ids: Vec<Uuid> = keys.iter().map(|key| key.0).collect();
        let parked = parked::find(&self.pool, &ids, VALUE_CUT).await?.into_iter();
        Ok(parked.map(|one| (ParkedKey(one.id), Arc::new(one))).collect())
    }
}

impl Loader<TaughtIdsKey> for ReadModels {
    type Value = Vec<String>;
    type Error = Arc<sqlx::Error>;

    /// A request has one caller, so there is one key.
    async fn load(&self, keys: &[TaughtIdsKey]) -> Loaded<TaughtIdsKey, Vec<String>> {
        let mut taught = HashMap::new();
        for key in keys {
            taught.insert(key.clone(), courses::taught_by(&self.pool, &key.0).await?);
        }
        Ok(taught)
    }
}

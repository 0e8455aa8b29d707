//! Lists that many objects of a request have, one each: pages and numbers of the same shape are read at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use async_graphql::dataloader::Loader;

use super::{Loaded, ReadModels};
use crate::projections::courses::{CourseList, Found};
use crate::projections::enrollments::{EnrollmentList, EnrollmentRow, Owner};
use crate::projections::modules::{self, ModulePage, ModuleRow};
use crate::projections::page::Page;

/// A page of the modules of a course.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::graphql) struct ModulesKey {
    pub(in crate::graphql) course: String,
    /// Also those that are not published.
    pub(in crate::graphql) all: bool,
    pub(in crate::graphql) page: ModulePage,
}

/// How many modules a course has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::graphql) struct ModuleCountKey {
    pub(in crate::graphql) course: String,
    /// Also those that are not published.
    pub(in crate::graphql) all: bool,
}

/// A page of the enrollments of a course or student.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::graphql) struct EnrollmentsKey {
    pub(in crate::graphql) of: EnrollmentCountKey,
    pub(in crate::graphql) page: Page,
}

/// How many enrollments a course or student has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::graphql) struct EnrollmentCountKey {
    pub(in crate::graphql) owner: Owner,
    pub(in crate::graphql) id: String,
    pub(in crate::graphql) list: Arc<EnrollmentList>,
}

/// A page of the courses that a user teaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::graphql) struct TaughtKey {
    pub(in crate::graphql) of: TaughtCountKey,
    pub(in crate::graphql) page: Page,
}

/// How many courses a user teaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::graphql) struct TaughtCountKey {
    pub(in crate::graphql) instructor: String,
    pub(in crate::graphql) list: Arc<CourseList>,
}

/// The keys that have a shape, shape by shape.
fn shapes<'k, K, S: Hash + Eq>(
    keys: &'k [K],
    shape: impl Fn(&'k K) -> S,
) -> HashMap<S, Vec<&'k K>> {
    let mut shapes: HashMap<S, Vec<&K>> = HashMap::new();
    for key in keys {
        shapes.entry(shape(key)).or_default().push(key);
    }
    shapes
}

fn by_owner<T>(rows: Vec<(String, T)>) -> HashMap<String, Vec<T>> {
    let mut lists: HashMap<String, Vec<T>> = HashMap::new();
    for (owner, row) in rows {
        lists.entry(owner).or_default().push(row);
    }
    lists
}

impl Loader<ModulesKey> for ReadModels {
    type Value = Vec<ModuleRow>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[ModulesKey]) -> Loaded<ModulesKey, Vec<ModuleRow>> {
        let mut loaded = HashMap::new();
        for ((page, all), keys) in shapes(keys, |key| (&key.page, key.all)) {
            let courses: Vec<&str> = keys.iter().map(|key| key.course.as_str()).collect();
            let rows = modules::pages(&self.pool, &courses, all, page).await?;
            let owned = rows.into_iter().map(|row| (row.course_id.clone(), row)).collect();
            let mut lists = by_owner(owned);
            for key in keys {
                loaded.insert(key.clone(), lists.remove(&key.course).unwrap_or_default());
            }
        }
        Ok(loaded)
    }
}

impl Loader<ModuleCountKey> for ReadModels {
    type Value = i64;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[ModuleCountKey]) -> Loaded<ModuleCountKey, i64> {
        let mut loaded = HashMap::new();
        for (all, keys) in shapes(keys, |key| key.all) {
            let courses: Vec<&str> = keys.iter().map(|key| key.course.as_str()).collect();
            for (course, number) in modules::counts(&self.pool, &courses, all).await? {
                loaded.insert(ModuleCountKey { course, all }, number);
            }
        }
        Ok(loaded)
    }
}

impl Loader<EnrollmentsKey> for ReadModels {
    type Value = Vec<EnrollmentRow>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[EnrollmentsKey]) -> Loaded<EnrollmentsKey, Vec<EnrollmentRow>> {
        let mut loaded = HashMap::new();
        for ((page, owner, list), keys) in shapes(keys, |k| (&k.page, k.of.owner, &k.of.list)) {
            let ids: Vec<&str> = keys.iter().map(|key| key.of.id.as_str()).collect();
            let mut lists = by_owner(list.pages(&self.pool, owner, &ids, page).await?);
            for key in keys {
                loaded.insert(key.clone(), lists.remove(&key.of.id).unwrap_or_default());
            }
        }
        Ok(loaded)
    }
}

impl Loader<EnrollmentCountKey> for ReadModels {
    type Value = i64;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[EnrollmentCountKey]) -> Loaded<EnrollmentCountKey, i64> {
        let mut loaded = HashMap::new();
        for ((owner, list), keys) in shapes(keys, |key| (key.owner, &key.list)) {
            let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
            for (id, number) in list.counts(&self.pool, owner, &ids).await? {
                loaded.insert(EnrollmentCountKey { owner, id, list: list.clone() }, number);
            }
        }
        Ok(loaded)
    }
}

impl Loader<TaughtKey> for ReadModels {
    type Value = Vec<Found>;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[TaughtKey]) -> Loaded<TaughtKey, Vec<Found>> {
        let mut loaded = HashMap::new();
        for ((page, list), keys) in shapes(keys, |key| (&key.page, &key.of.list)) {
            let ids: Vec<&str> = keys.iter().map(|key| key.of.instructor.as_str()).collect();
            let mut lists = by_owner(list.pages(&self.pool, &ids, page).await?);
            for key in keys {
                loaded.insert(key.clone(), lists.remove(&key.of.instructor).unwrap_or_default());
            }
        }
        Ok(loaded)
    }
}

impl Loader<TaughtCountKey> for ReadModels {
    type Value = i64;
    type Error = Arc<sqlx::Error>;

    async fn load(&self, keys: &[TaughtCountKey]) -> Loaded<TaughtCountKey, i64> {
        let mut loaded = HashMap::new();
        for (list, keys) in shapes(keys, |key| &key.list) {
            let ids: Vec<&str> = keys.iter().map(|key| key.instructor.as_str()).collect();
            for (instructor, number) in list.counts(&self.pool, &ids).await? {
                loaded.insert(TaughtCountKey { instructor, list: list.clone() }, number);
            }
        }
        Ok(loaded)
    }
}

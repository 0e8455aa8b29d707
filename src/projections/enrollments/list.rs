//! Lists of enrollments: filtered, the oldest request first, in pages. Built and planned as the lists of courses are.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder};

use super::{EnrollmentRow, VIEW};
use crate::domain::UserId;
use crate::projections::page::{Key, Page, Place, Term, push_behind, push_order};

/// Sorted by the time of the request, then by id.
const TERMS: [Term; 2] = [
    Term { expression: "requested_at", alias: "requested_at", descending: false },
    Term { expression: "enrollment_id", alias: "enrollment_id", descending: false },
];

/// Which enrollments: what is set must all hold, of a list one entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct EnrollmentFilter {
    /// One of these.
    pub statuses: Option<Vec<&'static str>>,
    /// Of this student.
    pub student: Option<String>,
    /// In this course.
    pub course: Option<String>,
    /// Got the seat then or later.
    pub enrolled_since: Option<DateTime<Utc>>,
}

/// Whose enrollments the reader sees.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whose {
    /// Everybody's.
    All,
    /// Their own.
    Own(UserId),
    /// Those in these courses, and their own.
    Taught {
        /// The reader.
        teacher: UserId,
        /// The courses that they teach.
        courses: Vec<String>,
    },
}

/// A list of enrollments.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EnrollmentList {
    /// Whose the reader sees.
    pub whose: Whose,
    /// Which of these.
    pub filter: EnrollmentFilter,
}

/// What many lists that are read at once belong to, one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A course.
    Course,
    /// A student.
    Student,
}

impl Owner {
    fn column(self) -> &'static str {
        match self {
            Self::Course => "course_id",
            Self::Student => "student_id",
        }
    }
}

enum Arm<'a> {
    All,
    Own(&'a UserId),
    Taught(Vec<&'a str>),
    OwnElsewhere(&'a UserId, &'a [String]),
}

#[derive(FromRow)]
struct Owned {
    owner: String,
    #[sqlx(flatten)]
    row: EnrollmentRow,
}

impl EnrollmentList {
    /// The place of an enrollment in a list.
    pub fn place(row: &EnrollmentRow) -> Place {
        Place { keys: vec![Key::Time(row.requested_at)], id: row.enrollment_id.clone() }
    }

    /// A page.
    pub async fn page(&self, pool: &PgPool, page: &Page) -> sqlx::Result<Vec<EnrollmentRow>> {
        let mut query = QueryBuilder::default();
        self.push_page(&mut query, page, None);
        query.build_query_as().persistent(false).fetch_all(pool).await
    }

    /// For each of these courses or students a page of theirs.
    pub async fn pages(
        &self,
        pool: &PgPool,
        owner: Owner,
        ids: &[&str],
        page: &Page,
    ) -> sqlx::Result<Vec<(String, EnrollmentRow)>> {
        let mut query = QueryBuilder::new("SELECT owner.id AS owner, page.* FROM unnest(");
        query.push_bind(ids.to_vec());
        query.push("::text[]) AS owner (id) CROSS JOIN LATERAL (");
        self.push_page(&mut query, page, Some(owner));
        query.push(") AS page ORDER BY owner.id, ");
        push_order(&mut query, &TERMS, page, |term| term.alias);
        let rows = query.build_query_as::<Owned>().persistent(false).fetch_all(pool).await?;
        Ok(rows.into_iter().map(|row| (row.owner, row.row)).collect())
    }

    /// How many there are.
    pub async fn count(&self, pool: &PgPool) -> sqlx::Result<i64> {
        let mut query = QueryBuilder::default();
        self.push_count(&mut query, None);
        query.build_query_scalar().persistent(false).fetch_one(pool).await
    }

    /// For each of these courses or students how many are theirs.
    pub async fn counts(
        &self,
        pool: &PgPool,
        owner: Owner,
        ids: &[&str],
    ) -> sqlx::Result<Vec<(String, i64)>> {
        let mut query = QueryBuilder::new("SELECT owner.id, (");
        self.push_count(&mut query, Some(owner));
        query.push(") FROM unnest(").push_bind(ids.to_vec()).push("::text[]) AS owner (id)");
        query.build_query_as().persistent(false).fetch_all(pool).await
    }

    fn arms(&self) -> Vec<Arm<'_>> {
        match &self.whose {
            Whose::All => vec![Arm::All],
            Whose::Own(me) => vec![Arm::Own(me)],
            Whose::Taught { teacher, courses } => {
                let wanted = |id: &&str| self.filter.course.as_deref().is_none_or(|c| c == *id);
                let taught = courses.iter().map(String::as_str).filter(wanted).collect();
                vec![Arm::Taught(taught), Arm::OwnElsewhere(teacher, courses)]
            }
        }
    }

    fn push_page(&self, query: &mut QueryBuilder<'_, Postgres>, page: &Page, owner: Option<Owner>) {
        query.push("SELECT * FROM (");
        for (index, arm) in self.arms().iter().enumerate() {
            query.push(if index == 0 { "(" } else { " UNION ALL (" });
            // The first of each course, in the order of its index, and of these the first.
            let each = match arm {
                Arm::Taught(courses) if owner.is_none() => {
                    query.push("SELECT theirs.* FROM unnest(").push_bind(owned(courses));
                    query.push(") AS taught (id) CROSS JOIN LATERAL (");
                    true
                }
                _ => false,
            };
            query.push("SELECT *");
            self.push_conditions(query, arm, owner, each);
            push_behind(query, &TERMS, page);
            query.push(" ORDER BY ");
            push_order(query, &TERMS, page, |term| term.expression);
            query.push(format_args!(" LIMIT {})", page.limit));
            if each {
                query.push(" AS theirs)");
            }
        }
        query.push(") AS arms ORDER BY ");
        push_order(query, &TERMS, page, |term| term.alias);
        query.push(format_args!(" LIMIT {}", page.limit));
    }

    fn push_count(&self, query: &mut QueryBuilder<'_, Postgres>, owner: Option<Owner>) {
        query.push("SELECT sum(number)::bigint FROM (");
        for (index, arm) in self.arms().iter().enumerate() {
            query.push(if index == 0 { "" } else { " UNION ALL " });
            query.push("SELECT count(*) AS number");
            self.push_conditions(query, arm, owner, false);
        }
        query.push(") AS arms");
    }

    fn push_conditions(
        &self,
        query: &mut QueryBuilder<'_, Postgres>,
        arm: &Arm<'_>,
        owner: Option<Owner>,
        each: bool,
    ) {
        query.push(format_args!(" FROM {VIEW} WHERE "));
        match arm {
            Arm::All => query.push("true"),
            Arm::Own(me) => query.push("student_id = ").push_bind(me.to_string()),
            Arm::Taught(_) if each => query.push("course_id = taught.id"),
            Arm::Taught(courses) => {
                query.push("course_id = ANY (").push_bind(owned(courses)).push(")")
            }
            Arm::OwnElsewhere(me, courses) => {
                query.push("student_id = ").push_bind(me.to_string());
                query.push(" AND course_id <> ALL (").push_bind(courses.to_vec()).push(")")
            }
        };
        if let Some(owner) = owner {
            query.push(format_args!(" AND {} = owner.id", owner.column()));
        }
        if let Some(statuses) = &self.filter.statuses {
            query.push(format_args!(" AND status IN ('{}')", statuses.join("', '")));
        }
        if let Some(student) = &self.filter.student {
            query.push(" AND student_id = ").push_bind(student.clone());
        }
        if let Some(course) = &self.filter.course {
            query.push(" AND course_id = ").push_bind(course.clone());
        }
        if let Some(at) = self.filter.enrolled_since {
            query.push(" AND enrolled_at >= ").push_bind(at);
        }
    }
}

fn owned(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

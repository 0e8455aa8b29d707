//! Lists of courses: filtered, searched, sorted, in pages.
//!
//! The statement is built from fixed fragments with only the conditions in use, and where it has some it is planned
//! with its parameters: a plan that fits every filter would read the whole table. A list is made of arms, one for each status that the caller
//! may see, because each of them can be read in its order from an index; "published or mine" as one condition cannot.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder};

use super::{COLUMNS, CourseRow, Sight, VIEW};
use crate::domain::course::CourseStatus;
use crate::domain::values::folded_code;
use crate::projections::page::{Key, Page, Place, Term, push_behind, push_keys, push_order};

/// What courses can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum CourseSort {
    CreatedAt,
    UpdatedAt,
    Title,
    Code,
    StartsAt,
    EnrolledCount,
    /// How well it fits the text that is searched for.
    Relevance,
}

impl CourseSort {
    /// Its name, for cursors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreatedAt => "created",
            Self::UpdatedAt => "updated",
            Self::Title => "title",
            Self::Code => "code",
            Self::StartsAt => "starts",
            Self::EnrolledCount => "taken",
            Self::Relevance => "relevance",
        }
    }

    fn expression(self) -> &'static str {
        match self {
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::Title => "title",
            Self::Code => "lower(code)",
            Self::StartsAt => "coalesce(starts_at, 'infinity')",
            Self::EnrolledCount => "taken",
            Self::Relevance => "ts_rank(search, wanted.text)",
        }
    }

    fn key(self, found: &Found) -> Key {
        let row = &found.row;
        match self {
            Self::CreatedAt => Key::Time(row.created_at),
            Self::UpdatedAt => Key::Time(row.updated_at),
            Self::Title => Key::Text(row.title.clone()),
            Self::Code => Key::Text(folded_code(&row.code)),
            Self::StartsAt => row.starts_at.map_or(Key::Never, Key::Time),
            Self::EnrolledCount => Key::Number(row.taken),
            Self::Relevance => Key::Score(found.score.unwrap_or_default().to_bits()),
        }
    }
}

/// Which courses: what is set must all hold, of a list one entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CourseFilter {
    /// By default all but DELETED.
    pub statuses: Option<Vec<&'static str>>,
    /// One of these tags.
    pub tags: Option<Vec<String>>,
    /// Taught by this user.
    pub instructor: Option<String>,
    /// The code begins so, without regard to case.
    pub code_prefix: Option<String>,
    /// Starts then or later.
    pub starts_after: Option<DateTime<Utc>>,
    /// Starts earlier.
    pub starts_before: Option<DateTime<Utc>>,
    /// Whether a seat is free.
    pub has_seats: Option<bool>,
    /// Whether students may enroll at this time.
    pub enrollable: Option<(bool, DateTime<Utc>)>,
    /// Changed then or later.
    pub updated_since: Option<DateTime<Utc>>,
}

/// A list of courses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CourseList {
    /// Whose eyes read it.
    pub sight: Sight,
    /// Which courses.
    pub filter: CourseFilter,
    /// What is searched for; needed where it is sorted by relevance.
    pub text: Option<String>,
    /// Sorted by these, `true` being the greatest first, and then by id.
    pub order: Vec<(CourseSort, bool)>,
}

/// A course of a list.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Found {
    /// The course.
    #[sqlx(flatten)]
    pub row: CourseRow,
    /// How well it fits the text that was searched for.
    pub score: Option<f32>,
}

/// Courses of some statuses; of a teacher only their own.
struct Arm<'a> {
    statuses: Vec<&'static str>,
    teacher: Option<&'a str>,
}

#[derive(FromRow)]
struct Owned {
    owner: String,
    #[sqlx(flatten)]
    found: Found,
}

impl CourseList {
    /// The place of a course in this list.
    pub fn place(&self, found: &Found) -> Place {
        let keys = self.order.iter().map(|(sort, _)| sort.key(found)).collect();
        Place { keys, id: found.row.course_id.clone() }
    }

    /// A page.
    pub async fn page(&self, pool: &PgPool, page: &Page) -> sqlx::Result<Vec<Found>> {
        if self.arms().is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::default();
        self.push_page(&mut query, page, false);
        query.build_query_as().persistent(self.is_plain()).fetch_all(pool).await
    }

    /// Whether one plan fits whatever the parameters are, which then are only those of a cursor.
    fn is_plain(&self) -> bool {
        let own = matches!(self.sight, Sight::Teacher(_));
        !own && self.text.is_none() && self.filter == CourseFilter::default()
    }

    /// For each of these instructors a page of the courses that they teach.
    pub async fn pages(
        &self,
        pool: &PgPool,
        instructors: &[&str],
        page: &Page,
    ) -> sqlx::Result<Vec<(String, Found)>> {
        if self.arms().is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::new("SELECT owner.id AS owner, page.* FROM unnest(");
        query.push_bind(instructors.to_vec());
        query.push("::text[]) AS owner (id) CROSS JOIN LATERAL (");
        self.push_page(&mut query, page, true);
        query.push(") AS page ORDER BY owner.id, ");
        push_order(&mut query, &self.terms(), page, |term| term.alias);
        let rows = query.build_query_as::<Owned>().persistent(false).fetch_all(pool).await?;
        Ok(rows.into_iter().map(|row| (row.owner, row.found)).collect())
    }

    /// How many there are.
    pub async fn count(&self, pool: &PgPool) -> sqlx::Result<i64> {
        if self.arms().is_empty() {
            return Ok(0);
        }
        let mut query = QueryBuilder::default();
        self.push_count(&mut query, false);
        query.build_query_scalar().persistent(false).fetch_one(pool).await
    }

    /// For each of these instructors how many they teach.
    pub async fn counts(
        &self,
        pool: &PgPool,
        instructors: &[&str],
    ) -> sqlx::Result<Vec<(String, i64)>> {
        if self.arms().is_empty() {
            return Ok(Vec::new());
        }
        let mut query = QueryBuilder::new("SELECT owner.id, (");
        self.push_count(&mut query, true);
        query.push(") FROM unnest(").push_bind(instructors.to_vec());
        query.push("::text[]) AS owner (id)");
        query.build_query_as().persistent(false).fetch_all(pool).await
    }

    fn terms(&self) -> Vec<Term> {
        let aliases = ["key_1", "key_2", "key_3"];
        let keys = self.order.iter().zip(aliases);
        let mut terms: Vec<Term> = keys
            .map(|((sort, descending), alias)| Term {
                expression: sort.expression(),
                alias,
                descending: *descending,
            })
            .collect();
        // Equal courses go in the direction of what they are equal in, which one index can do; by relevance upwards.
        let last = self.order.last();
        let descending = last.is_some_and(|(sort, down)| *down && *sort != CourseSort::Relevance);
        terms.push(Term { expression: "course_id", alias: "course_id", descending });
        terms
    }

    fn arms(&self) -> Vec<Arm<'_>> {
        let published = CourseStatus::Published.as_str();
        let all = [CourseStatus::Draft, CourseStatus::Published, CourseStatus::Archived];
        let mut wanted = match &self.filter.statuses {
            Some(statuses) => statuses.clone(),
            None => all.map(CourseStatus::as_str).to_vec(),
        };
        wanted.sort_unstable();
        wanted.dedup();
        let for_all = |status| Arm { statuses: vec![status], teacher: None };
        let teacher = match &self.sight {
            Sight::Everything => return wanted.into_iter().map(for_all).collect(),
            Sight::Teacher(id) => Some(id.as_str()),
            Sight::Public => None,
        };
        let (public, own): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|s| *s == published);
        let mut arms: Vec<_> = public.into_iter().map(for_all).collect();
        if teacher.is_some() && !own.is_empty() {
            arms.push(Arm { statuses: own, teacher });
        }
        arms
    }

    fn push_page(&self, query: &mut QueryBuilder<'_, Postgres>, page: &Page, owned: bool) {
        let terms = self.terms();
        let aliases: Vec<_> = terms[..self.order.len()].iter().map(|term| term.alias).collect();
        query.push(format_args!("SELECT {COLUMNS}, score, {} FROM (", aliases.join(", ")));
        for (index, arm) in self.arms().iter().enumerate() {
            query.push(if index == 0 { "(" } else { " UNION ALL (" });
            let score =
                if self.text.is_some() { CourseSort::Relevance.expression() } else { "NULL::real" };
            query.push(format_args!("SELECT {COLUMNS}, {score} AS score"));
            push_keys(query, &terms);
            self.push_conditions(query, arm, owned);
            push_behind(query, &terms, page);
            query.push(" ORDER BY ");
            push_order(query, &terms, page, |term| term.expression);
            query.push(format_args!(" LIMIT {})", page.limit));
        }
        query.push(") AS arms ORDER BY ");
        push_order(query, &terms, page, |term| term.alias);
        query.push(format_args!(" LIMIT {}", page.limit));
    }

    fn push_count(&self, query: &mut QueryBuilder<'_, Postgres>, owned: bool) {
        query.push("SELECT sum(number)::bigint FROM (");
        for (index, arm) in self.arms().iter().enumerate() {
            query.push(if index == 0 { "" } else { " UNION ALL " });
            query.push("SELECT count(*) AS number");
            self.push_conditions(query, arm, owned);
        }
        query.push(") AS arms");
    }

    fn push_conditions(&self, query: &mut QueryBuilder<'_, Postgres>, arm: &Arm<'_>, owned: bool) {
        let mut instructors: Vec<&str> = self.filter.instructor.as_deref().into_iter().collect();
        instructors.extend(arm.teacher);
        if owned || !instructors.is_empty() {
            // What an instructor teaches is little, which the planner does not know: `OFFSET 0` has it read first.
            query.push(format_args!(" FROM (SELECT * FROM {VIEW} WHERE true"));
            for instructor in instructors {
                query.push(" AND instructor_ids @> ARRAY[");
                query.push_bind(instructor.to_owned()).push("::text]");
            }
            if owned {
                query.push(" AND instructor_ids @> ARRAY[owner.id]");
            }
            query.push(" OFFSET 0) AS taught");
        } else {
            query.push(format_args!(" FROM {VIEW}"));
        }
        if let Some(text) = &self.text {
            query.push(" CROSS JOIN (SELECT websearch_to_tsquery('simple', lower(");
            query.push_bind(text.clone());
            query.push(" COLLATE \"und-x-icu\")) AS text) AS wanted");
        }
        match arm.statuses.as_slice() {
            [status] => query.push(format_args!(" WHERE status = '{status}'")),
            statuses => query.push(format_args!(" WHERE status IN ('{}')", statuses.join("', '"))),
        };
        if self.text.is_some() {
            query.push(" AND search @@ wanted.text");
        }
        self.filter.push(query);
    }
}

impl CourseFilter {
    fn push(&self, query: &mut QueryBuilder<'_, Postgres>) {
        if let Some(tags) = &self.tags {
            query.push(" AND tags && ").push_bind(tags.clone());
        }
        if let Some(prefix) = &self.code_prefix {
            let prefix = folded_code(prefix);
            // No character of a code comes behind `~`, and ASCII sorts by its bytes.
            query.push(" AND lower(code) >= ").push_bind(prefix.clone());
            query.push(" AND lower(code) < ").push_bind(prefix + "~");
        }
        if let Some(at) = self.starts_after {
            query.push(" AND starts_at >= ").push_bind(at);
        }
        if let Some(at) = self.starts_before {
            query.push(" AND starts_at < ").push_bind(at);
        }
        match self.has_seats {
            Some(true) => query.push(" AND (capacity IS NULL OR taken < capacity)"),
            Some(false) => query.push(" AND taken >= capacity"),
            None => query,
        };
        if let Some((enrollable, at)) = self.enrollable {
            query.push(if enrollable { " AND (" } else { " AND NOT (" });
            query.push("status = 'PUBLISHED' AND capacity IS DISTINCT FROM 0");
            query
                .push(" AND (enrollment_opens_at IS NULL OR enrollment_opens_at <= ")
                .push_bind(at);
            query.push(") AND (enrollment_closes_at IS NULL OR enrollment_closes_at > ");
            query.push_bind(at).push("))");
        }
        if let Some(at) = self.updated_since {
            query.push(" AND updated_at >= ").push_bind(at);
        }
    }
}

//! Time travel: a course or an enrollment as it stood at an instant. What is asked of the past of a course is read
//! from the log once, whoever of a request asks for it first.
//!
//! ## Decision
//! The past is for those who manage the course now: whoever taught it then and no longer does has lost it, and whoever
//! teaches it now may know how it came to be what it is. Not for students: what was changed or hidden since was changed
//! for a reason. Users are of another service, so `displayName` and the like are as of now; nobody comes back who has been
//! erased.

use std::collections::HashSet;
use std::sync::Arc;

use async_graphql::{Context, Error, Result};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tokio::sync::OnceCell;

use super::error::{ErrorCode, failure, internal, read_failed};
use super::{module, module_item};
use crate::domain::{CourseId, Seats, values};
use crate::event_store::history;
use crate::projections::assessments::AssessmentRow;
use crate::projections::past::{self, Content};

/// A course as it stood at an instant.
#[derive(Debug)]
pub(super) struct Past {
    course: CourseId,
    at: DateTime<Utc>,
    content: OnceCell<Option<Content>>,
    seats: OnceCell<Seats>,
}

impl Past {
    /// The past of a course. Nothing is read yet.
    pub(super) fn of(course: CourseId, at: DateTime<Utc>) -> Arc<Self> {
        Arc::new(Self { course, at, content: OnceCell::new(), seats: OnceCell::new() })
    }

    /// What the course held; `None` before it was created.
    pub(super) async fn find(&self, ctx: &Context<'_>) -> Result<Option<&Content>> {
        let pool = ctx.data::<PgPool>()?;
        let content =
            self.content.get_or_try_init(|| past::content(pool, &self.course, self.at)).await;
        Ok(content.map_err(|error| internal(&error))?.as_ref())
    }

    /// What the course held, of which something is known to have been there.
    pub(super) async fn content(&self, ctx: &Context<'_>) -> Result<&Content> {
        let gone = || failure(ErrorCode::NotFound, "no such course at that time");
        self.find(ctx).await?.ok_or_else(gone)
    }

    /// Who had a seat, and who waited.
    pub(super) async fn seats(&self, ctx: &Context<'_>) -> Result<&Seats> {
        let pool = ctx.data::<PgPool>()?;
        let seats = self.seats.get_or_try_init(|| past::seats(pool, &self.course, self.at)).await;
        seats.map_err(|error| internal(&error))
    }

    /// Its assessments, what is due first first.
    pub(super) async fn assessments(&self, ctx: &Context<'_>) -> Result<Arc<Vec<AssessmentRow>>> {
        Ok(self.content(ctx).await?.assessments.clone())
    }

    /// The items that a student was to complete: those that were required and published, as was their module.
    pub(super) async fn required(&self, ctx: &Context<'_>) -> Result<HashSet<String>> {
        let content = self.content(ctx).await?;
        let modules = content.modules.iter().filter(|row| module::visible(row));
        let items = modules.filter_map(|row| content.items.get(&row.module_id)).flatten();
        let required = items.filter(|row| row.required && module_item::visible(row));
        Ok(required.map(|row| row.item_id.clone()).collect())
    }
}

/// The instant that is asked for: one that is over, so that its answer never changes.
pub(super) async fn instant(ctx: &Context<'_>, as_of: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let invalid = |message: String| failure(ErrorCode::ValidationFailed, message);
    values::instant(Some(&as_of), "asOf").map_err(|refusal| invalid(refusal.to_string()))?;
    let over = history::is_over(ctx.data::<PgPool>()?, as_of).await;
    if over.map_err(|error| read_failed(&error))? {
        return Ok(as_of);
    }
    Err(invalid("asOf must not be in the future".to_owned()))
}

/// Refuses who may see a thing, but not its past.
pub(super) fn forbidden() -> Error {
    let message = "only instructors of the course and admins may see its past";
    failure(ErrorCode::Forbidden, message)
}

/// The error of a field that has no past.
pub(super) fn only_now(field: &str) -> Error {
    failure(ErrorCode::AsOfUnsupported, format!("`{field}` cannot be read under `asOf`"))
}

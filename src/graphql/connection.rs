//! Connections as Relay wants them: which page is asked for, and what it says of its neighbours.

use async_graphql::connection::PageInfo;
use async_graphql::{Context, Result};

use super::context::count_entries;
use super::error::{ErrorCode, failure};

/// The size of a page where it is not said.
pub(super) const DEFAULT_PAGE: i32 = 20;
/// The largest page.
pub(super) const MAX_PAGE: i32 = 100;

/// The arguments of a connection.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) first: Option<i32>,
    pub(super) after: Option<String>,
    pub(super) last: Option<i32>,
    pub(super) before: Option<String>,
}

/// The page that is asked for, at a place of type `P`.
#[derive(Debug)]
pub(super) struct Asked<P> {
    size: usize,
    pub(super) backwards: bool,
    pub(super) from: Option<P>,
}

impl Arguments {
    /// Reads them; `decode` knows the cursors of the list.
    pub(super) fn read<P>(self, decode: impl FnOnce(&str) -> Option<P>) -> Result<Asked<P>> {
        let invalid = |message: String| failure(ErrorCode::ValidationFailed, message);
        let forwards = self.first.is_some() || self.after.is_some();
        let backwards = self.last.is_some() || self.before.is_some();
        if forwards && backwards {
            let message = "pass first and after, or last and before, but not of both";
            return Err(invalid(message.to_owned()));
        }
        let (name, size, cursor) = if backwards {
            (["last", "before"], self.last, self.before)
        } else {
            (["first", "after"], self.first, self.after)
        };
        let size = size.unwrap_or(DEFAULT_PAGE);
        let size = usize::try_from(size).ok().filter(|_| size <= MAX_PAGE);
        let size = size.ok_or_else(|| invalid(format!("{} must be 0 to {MAX_PAGE}", name[0])))?;
        let from = match cursor {
            None => None,
            Some(text) => Some(decode(&text).ok_or_else(|| {
                invalid(format!("{} is not a cursor of this list in this order", name[1]))
            })?),
        };
        Ok(Asked { size, backwards, from })
    }
}

impl<P> Asked<P> {
    /// How many rows to read: one more than the page, which tells whether there are more.
    pub(super) fn limit(&self) -> i64 {
        i64::try_from(self.size + 1).unwrap_or(i64::MAX)
    }

    /// Cuts what was read to the page, in the order of the list.
    pub(super) fn cut<T>(
        &self,
        ctx: &Context<'_>,
        mut rows: Vec<T>,
    ) -> Result<(Vec<T>, Neighbours)> {
        let more = rows.len() > self.size;
        rows.truncate(self.size);
        count_entries(ctx, rows.len())?;
        let neighbours = if self.backwards {
            rows.reverse();
            Neighbours { previous: more, next: self.from.is_some() }
        } else {
            Neighbours { previous: self.from.is_some(), next: more }
        };
        Ok((rows, neighbours))
    }
}

/// Whether there are pages before and behind a page.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Neighbours {
    pub(super) previous: bool,
    pub(super) next: bool,
}

impl Neighbours {
    /// With the cursors of a page.
    pub(super) fn info(self, first: Option<&String>, last: Option<&String>) -> PageInfo {
        PageInfo {
            has_previous_page: self.previous,
            has_next_page: self.next,
            start_cursor: first.cloned(),
            end_cursor: last.cloned(),
        }
    }
}

/// The connection of a node, with its edge, and what knows the number of all.
macro_rules! connection {
    ($(#[$doc:meta])* $name:ident of $edge:ident with $node:ty, counted by $total:ty) => {
        $(#[$doc])*
        pub(in crate::graphql) struct $name {
            pub(in crate::graphql) edges: Vec<$edge>,
            pub(in crate::graphql) neighbours: crate::graphql::connection::Neighbours,
            pub(in crate::graphql) total: $total,
        }

        $(#[$doc])*
        #[async_graphql::Object]
        impl $name {
            /// What the page holds, each with its cursor.
            async fn edges(&self) -> &[$edge] {
                &self.edges
            }

            /// What the page holds.
            async fn nodes(&self) -> Vec<&$node> {
                self.edges.iter().map(|edge| &edge.node).collect()
            }

            /// The ends of the page, and whether there is more.
            async fn page_info(&self) -> async_graphql::connection::PageInfo {
                let cursor = |edge: Option<&'_ $edge>| edge.map(|edge| edge.cursor.clone());
                let (first, last) = (cursor(self.edges.first()), cursor(self.edges.last()));
                self.neighbours.info(first.as_ref(), last.as_ref())
            }

            /// How many there are on all pages. Counted only where it is asked for.
            async fn total_count(
                &self,
                ctx: &async_graphql::Context<'_>,
            ) -> async_graphql::Result<Option<i64>> {
                self.total.count(ctx).await.map(Some)
            }
        }
    };
}
pub(super) use connection;

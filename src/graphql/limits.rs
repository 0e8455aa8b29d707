//! How much a request may ask for: checked before anything of it runs, in time linear in its text.
//!
//! The cost of a document is computed here and not by async-graphql 7.2 (`#[graphql(complexity = …)]`), which adds up
//! all operations of a document, counts what `@skip` leaves out, and looks for the fields of a named fragment on the
//! type where it is spread: what a fragment asks of a course behind an interface would cost nothing.
//!
//! So no field says what it costs. The shape of a document does: what takes `first` or `last`, or answers `nodes` or
//! `edges`, is a page; what takes `ids` or `representations` answers as many objects; anything else counts once, lists
//! without pages too, because the domain keeps those short.

mod document;
mod text;

use std::fmt;
use std::time::Duration;

pub(super) use self::document::{Scope, Unfit, check, selected};
pub(super) use self::text::check as check_text;

/// How requests are bounded.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body: usize,
    /// The most requests of a batch.
    pub batch: usize,
    /// The most lexical tokens of a document.
    pub tokens: usize,
    /// How deep fields nest.
    pub depth: usize,
    /// The most that an operation may cost: 1 a field, and a page as often as it is long.
    pub complexity: usize,
    /// The most aliases of an operation.
    pub aliases: usize,
    /// The most mutations of a request, over its whole batch.
    pub mutations: usize,
    /// The longest that a request may take.
    pub timeout: Duration,
    /// Whether the schema may be asked for.
    pub introspection: bool,
}

/// A limit that a request would pass, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exceeded {
    Body(usize),
    Batch(usize),
    Tokens(usize),
    Depth(usize),
    Complexity(usize),
    /// A part of the complexity that has no setting: what is walked before the cost counts.
    Fields(usize),
    Aliases(usize),
    Mutations(usize),
    Operations(usize),
}

impl Exceeded {
    /// Which limit, as in `extensions.limit`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Body(_) => "body",
            Self::Batch(_) => "batch",
            Self::Tokens(_) => "tokens",
            Self::Depth(_) => "depth",
            Self::Complexity(_) | Self::Fields(_) => "complexity",
            Self::Aliases(_) => "aliases",
            Self::Mutations(_) => "mutations",
            Self::Operations(_) => "operations",
        }
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(most) => write!(f, "the body must have at most {most} bytes"),
            Self::Batch(most) => write!(f, "a batch must have at most {most} requests"),
            Self::Tokens(most) => write!(f, "a document must have at most {most} tokens"),
            Self::Depth(most) => write!(f, "a document must nest at most {most} deep"),
            Self::Complexity(most) => {
                write!(f, "an operation must cost at most {most}: select less, or smaller pages")
            }
            Self::Fields(most) => {
                write!(f, "a document must have at most {most} fields with its fragments spread")
            }
            Self::Aliases(most) => write!(f, "an operation must have at most {most} aliases"),
            Self::Mutations(most) => write!(f, "a request must have at most {most} mutations"),
            Self::Operations(most) => {
                write!(f, "a WebSocket must have at most {most} operations under way")
            }
        }
    }
}

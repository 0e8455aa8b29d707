//! Read models: tables that are a pure function of the log, for queries to read.
//!
//! A batch of events, the rows that it changes and the checkpoint commit together, so a row has seen each event once
//! and in order, whatever crashes. The locked checkpoint row makes one instance at a time the projector and fences a
//! zombie. Nothing flows from here back into a command. One file knows one table.

pub mod assessments;
pub mod checkpoint;
pub mod courses;
pub mod enrollments;
mod fold;
pub mod module_items;
pub mod modules;
pub mod page;
pub mod past;
mod rebuild;
mod runner;
pub mod users;

use std::collections::HashMap;
use std::future::Future;

use sqlx::PgConnection;

pub use self::checkpoint::Checkpoints;
pub use self::runner::{Health, Runner};
use crate::event_store::Recorded;
use crate::event_store::log::ReadError;

/// A read model of one table. Rows belong to a key (a course, an enrollment), and the rows of a key are folded in
/// memory from the events of that key before they are written.
pub trait Projection: Send + Sync + 'static {
    /// Name and shape, which are also those of the view: a new shape is a new name. Never rename.
    const NAME: &'static str;

    /// The rows of one key.
    type Rows: Default + Send + Sync;

    /// Whose rows the event changes; `None` where it concerns this table not at all.
    fn key(event: &Recorded) -> Option<&str>;

    /// Folds one event of a key into its rows.
    fn apply(rows: &mut Self::Rows, event: &Recorded);

    /// Reads the rows of these keys.
    fn load(
        connection: &mut PgConnection,
        table: &str,
        keys: &[&str],
    ) -> impl Future<Output = sqlx::Result<HashMap<String, Self::Rows>>> + Send;

    /// Writes the rows of these keys.
    fn save(
        connection: &mut PgConnection,
        table: &str,
        rows: &[(&str, &Self::Rows)],
    ) -> impl Future<Output = sqlx::Result<()>> + Send;
}

/// A projection could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// The log could not be read, or holds an event that this release does not decode.
    #[error("the log could not be projected")]
    Log(#[from] ReadError),
    /// The read model could not be written.
    #[error("the read model could not be written")]
    Database(#[from] sqlx::Error),
    /// There is no such projection in the database: the migrations are of another release.
    #[error("the projection {0} has no checkpoint")]
    NoCheckpoint(&'static str),
}

/// The read models of this release.
const NAMES: &[&str] = &[
    courses::Courses::NAME,
    modules::Modules::NAME,
    module_items::ModuleItems::NAME,
    enrollments::Enrollments::NAME,
    assessments::Assessments::NAME,
    users::Users::NAME,
];

/// Every projection's runner, in the order in which they are listed.
pub fn runners(checkpoints: &Checkpoints) -> Vec<Runner> {
    vec![
        Runner::of::<courses::Courses>(checkpoints),
        Runner::of::<modules::Modules>(checkpoints),
        Runner::of::<module_items::ModuleItems>(checkpoints),
        Runner::of::<enrollments::Enrollments>(checkpoints),
        Runner::of::<assessments::Assessments>(checkpoints),
        Runner::of::<users::Users>(checkpoints),
    ]
}

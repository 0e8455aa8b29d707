//! Read models: tables that are a pure function of the log, for queries to read.
//!
//! A batch of events, the rows that it changes and the checkpoint commit together, so a row has seen each event once
//! and in order, whatever crashes. The locked checkpoint row makes one instance at a time the projector and fences a
//! zombie. Nothing flows from here back into a command. One file knows one table.
//!
//! A table is one generation of a shape (`courses_v2_g1`), and readers know only the view of the shape (`courses_v2`):
//! [`rebuild`] fills the next generation beside the live one and puts the view before it. A changed shape is another
//! read model with a checkpoint of its own, which nobody reads before it has once been at the end of the log.

pub mod assessments;
pub mod checkpoint;
pub mod courses;
pub mod enrollments;
mod fold;
pub mod module_items;
pub mod modules;
pub mod page;
pub mod past;
mod read_model;
pub mod rebuild;
mod runner;
pub mod users;

use std::collections::HashMap;
use std::future::Future;

use sqlx::PgConnection;

pub use self::checkpoint::Checkpoints;
pub use self::read_model::ReadModel;
pub use self::runner::{Health, Runner};
use crate::domain::StreamType;
use crate::event_store::Recorded;
use crate::event_store::log::ReadError;

/// A read model of one table. Rows belong to a key (a course, an enrollment), and the rows of a key are folded in
/// memory from the events of that key before they are written.
pub trait Projection: Send + Sync + 'static {
    /// Name and shape, which are also those of the view: a new shape is a new name. Never rename.
    const NAME: &'static str;

    /// The kinds of stream that it is folded from. Events of other kinds do not concern it, whether they decode or not;
    /// of these kinds each does, because one that does not decode cannot say whether it changes a row.
    const KINDS: &'static [StreamType];

    /// The rows of one key.
    type Rows: Default + Send + Sync;

    /// Whose rows the event changes; `None` where it concerns this table not at all. The events of a key are all of one
    /// course, or all of one user: a rebuild reads the log course by course and user by user.
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
    /// The read model does not take the rows of one command.
    #[error("the events up to position {position} could not be applied")]
    Refused {
        /// The last event of the command.
        position: i64,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// There is no such projection in the database: the migrations are of another release.
    #[error("the projection {0} has no checkpoint")]
    NoCheckpoint(&'static str),
}

/// The read models of this release, in the order in which they are listed.
pub static READ_MODELS: [ReadModel; 6] = [
    ReadModel::of::<courses::Courses>(),
    ReadModel::of::<modules::Modules>(),
    ReadModel::of::<module_items::ModuleItems>(),
    ReadModel::of::<enrollments::Enrollments>(),
    ReadModel::of::<assessments::Assessments>(),
    ReadModel::of::<users::Users>(),
];

/// Every read model's runner.
pub fn runners(checkpoints: &Checkpoints) -> Vec<Runner> {
    READ_MODELS.iter().map(|model| Runner::of(model, checkpoints)).collect()
}

/// The names of the read models of this release.
fn names() -> Vec<&'static str> {
    READ_MODELS.iter().map(|model| model.name).collect()
}

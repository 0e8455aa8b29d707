//! Who acts.

use serde::{Deserialize, Serialize};

use super::ids::UserId;

/// What the user management service says a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// Enrolls and withdraws themselves, sees their own enrollments.
    Student,
    /// Creates courses and changes those that they teach.
    Instructor,
    /// May do everything.
    Admin,
    /// Any other role: may only read what is public.
    Other,
}

impl Role {
    /// The role as it stands in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Student => "student",
            Self::Instructor => "instructor",
            Self::Admin => "admin",
            Self::Other => "other",
        }
    }
}

/// A validated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Their id.
    pub id: UserId,
    /// Their role.
    pub role: Role,
}

impl Actor {
    /// Whether they may do everything.
    pub fn admin(&self) -> bool {
        self.role == Role::Admin
    }
}

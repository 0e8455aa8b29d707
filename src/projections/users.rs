//! The table of users: a replica of what the user management service reports. Names and addresses stand in it as in the
//! log, sealed: who reads them needs the key of their owner, and there is nothing to read once that is gone.

use std::collections::HashMap;

use sqlx::{FromRow, PgConnection, PgPool};

use super::Projection;
use crate::domain::report::Personal;
use crate::domain::user::{Sealed, UserEvent};
use crate::domain::{Event, StreamType, UserId};
use crate::event_store::Recorded;
use crate::event_store::personal::{PersonalField, SubjectKey};

/// The view. Nothing else names it.
const VIEW: &str = "users_v1";

/// A row of the table.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct UserRow {
    user_id: String,
    display_name: Option<String>,
    email: Option<String>,
    role: Option<String>,
    active: bool,
}

/// The projection of [`UserRow`].
pub struct Users;

impl Projection for Users {
    const NAME: &'static str = VIEW;
    const KINDS: &'static [StreamType] = &[StreamType::User];
    type Rows = Option<UserRow>;

    fn key(event: &Recorded) -> Option<&str> {
        matches!(event.event, Event::User(_)).then_some(&*event.stream.id)
    }

    fn apply(row: &mut Option<UserRow>, recorded: &Recorded) {
        let Event::User(event) = &recorded.event else { return };
        // One of whom an update was reported first is active, too, until the contrary is.
        let row = row.get_or_insert_with(|| UserRow {
            user_id: recorded.stream.id.to_string(),
            display_name: None,
            email: None,
            role: None,
            active: true,
        });
        match event {
            UserEvent::UserRegistered { user_id: _, display_name, email, role, active } => {
                assign(&mut row.display_name, display_name.as_ref());
                assign(&mut row.email, email.as_ref());
                if role.is_some() {
                    row.role.clone_from(role);
                }
                row.active = active.unwrap_or(row.active);
            }
            UserEvent::UserProfileChanged { user_id: _, display_name, email } => {
                assign(&mut row.display_name, display_name.as_ref());
                assign(&mut row.email, email.as_ref());
            }
            UserEvent::UserRoleChanged { user_id: _, role } => row.role = Some(role.clone()),
            UserEvent::UserDeactivated { user_id: _ } => row.active = false,
            UserEvent::UserReactivated { user_id: _ } => row.active = true,
        }
    }

    async fn load(
        connection: &mut PgConnection,
        table: &str,
        keys: &[&str],
    ) -> sqlx::Result<HashMap<String, Option<UserRow>>> {
        let sql = format!("SELECT * FROM {table} WHERE user_id = ANY ($1)");
        let rows: Vec<UserRow> = sqlx::query_as(&sql).bind(keys).fetch_all(connection).await?;
        Ok(rows.into_iter().map(|row| (row.user_id.clone(), Some(row))).collect())
    }

    async fn save(
        connection: &mut PgConnection,
        table: &str,
        rows: &[(&str, &Option<UserRow>)],
    ) -> sqlx::Result<()> {
        let sql = format!(
            "INSERT INTO {table} (user_id, display_name, email, role, active) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[]) \
             ON CONFLICT (user_id) DO UPDATE SET display_name = excluded.display_name, email = excluded.email, \
             role = excluded.role, active = excluded.active"
        );
        let rows: Vec<&UserRow> = rows.iter().filter_map(|(_, row)| row.as_ref()).collect();
        let optional = |field: fn(&UserRow) -> &Option<String>| {
            rows.iter().map(|row| field(row).as_deref()).collect::<Vec<_>>()
        };
        sqlx::query(&sql)
            .bind(rows.iter().map(|row| row.user_id.as_str()).collect::<Vec<_>>())
            .bind(optional(|row| &row.display_name))
            .bind(optional(|row| &row.email))
            .bind(optional(|row| &row.role))
            .bind(rows.iter().map(|row| row.active).collect::<Vec<_>>())
            .execute(connection)
            .await?;
        Ok(())
    }
}

fn assign(field: &mut Option<String>, change: Option<&Option<Sealed>>) {
    if let Some(value) = change {
        *field = value.as_ref().map(|sealed| sealed.0.clone());
    }
}

/// A user as queries see them: what was sealed is open, as far as there is a key.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are those of the user")]
pub struct Profile {
    pub user_id: String,
    pub display_name: Option<Personal>,
    pub email: Option<Personal>,
    pub role: Option<String>,
    pub active: bool,
}

/// A row with the key that its owner has now.
#[derive(FromRow)]
struct Keyed {
    #[sqlx(flatten)]
    row: UserRow,
    key: Option<Vec<u8>>,
}

impl Keyed {
    fn open(self) -> Profile {
        let UserRow { user_id, display_name, email, role, active } = self.row;
        let key = self.key.as_deref().and_then(SubjectKey::stored);
        let key = key.zip(UserId::parse(&user_id, "id").ok());
        let open = |field, sealed: Option<String>| {
            let ((key, user), sealed) = key.as_ref().zip(sealed)?;
            key.open(user, field, &Sealed(sealed)).map(Personal)
        };
        let display_name = open(PersonalField::DisplayName, display_name);
        let email = open(PersonalField::Email, email);
        Profile { user_id, display_name, email, role, active }
    }
}

/// Those of these users of whom something was reported, with the keys of this moment.
pub async fn find_many(pool: &PgPool, ids: &[&str]) -> sqlx::Result<Vec<Profile>> {
    let sql = format!(
        "SELECT u.*, k.key FROM {VIEW} u LEFT JOIN subject_keys k ON k.user_id = u.user_id \
         WHERE u.user_id = ANY ($1)"
    );
    let rows: Vec<Keyed> = sqlx::query_as(&sql).bind(ids).fetch_all(pool).await?;
    Ok(rows.into_iter().map(Keyed::open).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(key: Option<Vec<u8>>) -> Keyed {
        let user = UserId::parse("sam", "id").unwrap();
        let owner = SubjectKey::stored(&[7; 32]).unwrap();
        let name = owner.seal(&user, PersonalField::DisplayName, "Sam").0;
        let row = UserRow {
            user_id: "sam".to_owned(),
            display_name: Some(name.clone()),
            email: Some(name),
            role: Some("student".to_owned()),
            active: true,
        };
        Keyed { row, key }
    }

    #[test]
    fn what_is_sealed_opens_with_the_key_of_its_owner_alone() {
        let profile = keyed(Some(vec![7; 32])).open();
        assert_eq!(profile.display_name, Some(Personal("Sam".to_owned())));
        assert_eq!(profile.email, None, "it was sealed as a name");
        for key in [None, Some(vec![8; 32]), Some(vec![7; 31])] {
            let profile = keyed(key).open();
            assert_eq!((profile.display_name, profile.email), (None, None));
            assert_eq!(profile.role.as_deref(), Some("student"));
        }
    }
}

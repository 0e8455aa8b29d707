//! Personal data in a log that cannot be changed: names and addresses are sealed with a key of the user whom they
//! concern. Deleting the row of `subject_keys` erases the person from the log, the read models and every copy of them.
//!
//! ## Decision: AES-256-GCM-SIV with a fixed nonce
//! The log is folded again and again and a report that says nothing new must leave no event, so the same text must be
//! sealed alike. GCM-SIV (RFC 8452) is made for that: under a repeated nonce it tells only that two texts of the same
//! user and field are equal. User and field are authenticated along, so no sealed text can be passed off as another.

use std::collections::HashMap;

use aes_gcm_siv::aead::{Aead, KeyInit, OsRng, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Key, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sqlx::{PgPool, Row};

use crate::domain::UserId;
use crate::domain::user::Sealed;
use crate::fault;

/// The key of one user.
#[derive(Clone)]
pub struct SubjectKey(Aes256GcmSiv);

/// What is sealed. The names are part of every sealed text: never rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonalField {
    /// What the user is called.
    DisplayName,
    /// Their e-mail address.
    Email,
}

impl PersonalField {
    fn name(self) -> &'static str {
        match self {
            Self::DisplayName => "display_name",
            Self::Email => "email",
        }
    }

    fn context(self, user: &UserId) -> String {
        format!("{}/{user}", self.name())
    }
}

impl SubjectKey {
    /// The key in a stored row; `None` where it is not 32 bytes.
    pub fn stored(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 32).then(|| Self(Aes256GcmSiv::new(Key::<Aes256GcmSiv>::from_slice(bytes))))
    }

    /// Seals a text.
    pub fn seal(&self, user: &UserId, field: PersonalField, text: &str) -> Sealed {
        let context = field.context(user);
        let payload = Payload { msg: text.as_bytes(), aad: context.as_bytes() };
        let sealed = self.0.encrypt(&Nonce::default(), payload);
        Sealed(STANDARD_NO_PAD.encode(sealed.expect("a text is shorter than the cipher's 64 GiB")))
    }

    /// Reads a sealed text; `None` where it was sealed with another key, for another user or field, or not at all.
    pub fn open(&self, user: &UserId, field: PersonalField, sealed: &Sealed) -> Option<String> {
        let sealed = STANDARD_NO_PAD.decode(&sealed.0).ok()?;
        let context = field.context(user);
        let payload = Payload { msg: &sealed, aad: context.as_bytes() };
        String::from_utf8(self.0.decrypt(&Nonce::default(), payload).ok()?).ok()
    }
}

/// The keys of these users, those that are missing made now. A key that nothing is sealed with does no harm.
pub async fn ensure_keys(
    pool: &PgPool,
    users: &[&str],
) -> Result<HashMap<String, SubjectKey>, sqlx::Error> {
    let fresh: Vec<Vec<u8>> =
        users.iter().map(|_| Aes256GcmSiv::generate_key(&mut OsRng).to_vec()).collect();
    fault::point("subject keys", "before commit");
    sqlx::query(
        "INSERT INTO subject_keys (user_id, key, created_at) \
         SELECT user_id, key, clock_timestamp() FROM unnest($1::text[], $2::bytea[]) AS new (user_id, key) \
         ORDER BY user_id ON CONFLICT DO NOTHING",
    )
    .bind(users)
    .bind(fresh)
    .execute(pool)
    .await?;
    fault::point("subject keys", "after commit");
    find_keys(pool, users).await
}

/// The keys of these users, and for those without one a key that is kept nowhere: to try something out.
pub async fn keys_to_try(
    pool: &PgPool,
    users: &[&str],
) -> Result<HashMap<String, SubjectKey>, sqlx::Error> {
    let mut keys = find_keys(pool, users).await?;
    for user in users {
        let fresh = || SubjectKey(Aes256GcmSiv::new(&Aes256GcmSiv::generate_key(&mut OsRng)));
        keys.entry((*user).to_owned()).or_insert_with(fresh);
    }
    Ok(keys)
}

/// The keys of these users, as far as they have one.
pub async fn find_keys(
    pool: &PgPool,
    users: &[&str],
) -> Result<HashMap<String, SubjectKey>, sqlx::Error> {
    let rows = sqlx::query("SELECT user_id, key FROM subject_keys WHERE user_id = ANY ($1)")
        .bind(users)
        .fetch_all(pool)
        .await?;
    let mut keys = HashMap::with_capacity(rows.len());
    for row in rows {
        if let Some(key) = SubjectKey::stored(row.try_get("key")?) {
            keys.insert(row.try_get("user_id")?, key);
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> UserId {
        UserId::parse(id, "userId").unwrap()
    }

    #[test]
    fn only_the_key_of_the_user_opens_what_was_sealed_for_them() {
        let key = SubjectKey::stored(&[7; 32]).unwrap();
        let sealed = key.seal(&user("sam"), PersonalField::Email, "sam@example.org");
        let open = |key: &SubjectKey, id, field| key.open(&user(id), field, &sealed);
        let email = PersonalField::Email;
        assert_eq!(open(&key, "sam", email).as_deref(), Some("sam@example.org"));
        assert_eq!(open(&SubjectKey::stored(&[8; 32]).unwrap(), "sam", email), None);
        assert_eq!(open(&key, "kim", email), None);
        assert_eq!(open(&key, "sam", PersonalField::DisplayName), None);
        assert!(!sealed.0.contains("sam"));
    }

    #[test]
    fn the_same_text_is_sealed_alike_and_another_is_not() {
        let key = SubjectKey::stored(&[7; 32]).unwrap();
        let seal = |text| key.seal(&user("sam"), PersonalField::DisplayName, text);
        assert_eq!(seal("Sam"), seal("Sam"));
        assert_ne!(seal("Sam"), seal("Sal"));
    }

    #[test]
    fn what_is_no_sealed_text_opens_to_nothing() {
        let key = SubjectKey::stored(&[7; 32]).unwrap();
        for text in ["", "Sam", "c2VhbGVk", "ü"] {
            let sealed = Sealed(text.to_owned());
            assert_eq!(key.open(&user("sam"), PersonalField::Email, &sealed), None, "{text}");
        }
        assert!(SubjectKey::stored(&[7; 31]).is_none());
    }
}

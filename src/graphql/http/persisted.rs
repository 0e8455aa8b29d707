//! Automatic persisted queries: a client sends the hash of its document, and the document itself only where the
//! server does not know it yet. The store is a cache of this process: losing it costs one more round trip.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The most documents that are kept.
const MAX_DOCUMENTS: u64 = 1_000;

/// The most bytes of documents that are kept.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The only version of the protocol.
const VERSION: u64 = 1;

type Hash = [u8; 32];

/// `extensions.persistedQuery`: which document is meant.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "`persistedQuery` with `version` and `sha256Hash`")]
pub(super) struct Reference {
    version: u64,
    sha256_hash: String,
}

/// Why there is no document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is not known here: send it along.
    NotFound,
    /// The hash is of another text.
    WrongHash,
    /// Another version of the protocol.
    NotSupported,
}

/// A document, and the hash under which to keep it once it is known to be lawful.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) text: Arc<str>,
    pub(super) keep: Option<Hash>,
}

/// The documents that are known, within [`MAX_DOCUMENTS`] and [`MAX_BYTES`].
pub(super) struct Store(Cache<Hash, Arc<str>, Weight>);

#[derive(Clone)]
struct Weight;

impl Weighter<Hash, Arc<str>> for Weight {
    /// A short document weighs as much as one of average length: so one capacity bounds bytes and number.
    fn weight(&self, _: &Hash, text: &Arc<str>) -> u64 {
        (text.len() as u64).max(MAX_BYTES / MAX_DOCUMENTS)
    }
}

impl Store {
    pub(super) fn new() -> Self {
        let documents = usize::try_from(MAX_DOCUMENTS).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(documents, MAX_BYTES, Weight))
    }

    /// The document that a request means, by its text, by a reference or by both.
    pub(super) fn find(
        &self,
        text: Option<String>,
        reference: Option<Reference>,
    ) -> Result<Found, Missing> {
        let Some(reference) = reference else {
            return Ok(Found { text: text.unwrap_or_default().into(), keep: None });
        };
        if reference.version != VERSION {
            return Err(Missing::NotSupported);
        }
        let hash = hash(&reference.sha256_hash);
        match (text, hash) {
            (Some(text), Some(hash)) if <Hash>::from(Sha256::digest(&text)) == hash => {
                Ok(Found { text: text.into(), keep: Some(hash) })
            }
            (Some(_), _) => Err(Missing::WrongHash),
            (None, hash) => {
                let known = hash.and_then(|hash| self.0.get(&hash)).ok_or(Missing::NotFound)?;
                Ok(Found { text: known, keep: None })
            }
        }
    }

    /// Keeps a document that is known to be lawful.
    pub(super) fn keep(&self, hash: Hash, text: Arc<str>) {
        self.0.insert(hash, text);
    }
}

/// A hash from its hexadecimal digits.
fn hash(text: &str) -> Option<Hash> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes =
        pairs.iter().map(|[high, low]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok());
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    if rest.is_empty() { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> Reference {
        Reference { version: 1, sha256_hash: format!("{:x}", Sha256::digest(text)) }
    }

    fn learn(store: &Store, text: &str) {
        let found = store.find(Some(text.to_owned()), Some(reference(text))).unwrap();
        store.keep(found.keep.unwrap(), found.text);
    }

    #[test]
    fn a_document_is_found_once_it_was_kept() {
        let store = Store::new();
        let asked = || store.find(None, Some(reference("{ a }")));
        assert_eq!(asked(), Err(Missing::NotFound));
        store.find(Some("{ a }".to_owned()), Some(reference("{ a }"))).unwrap();
        assert_eq!(asked(), Err(Missing::NotFound), "nobody has said that it is lawful");
        learn(&store, "{ a }");
        assert_eq!(asked().unwrap(), Found { text: "{ a }".into(), keep: None });
    }

    #[test]
    fn a_reference_must_be_right() {
        let store = Store::new();
        let find = |text: Option<&str>, version, hash: &str| {
            let reference = Reference { version, sha256_hash: hash.to_owned() };
            store.find(text.map(str::to_owned), Some(reference)).map(|_| ())
        };
        let hash = reference("{ a }").sha256_hash;
        assert_eq!(find(Some("{ a }"), 1, &hash), Ok(()));
        assert_eq!(find(Some("{ a }"), 1, &hash.to_uppercase()), Ok(()));
        assert_eq!(find(Some("{ b }"), 1, &hash), Err(Missing::WrongHash));
        assert_eq!(find(Some("{ a }"), 2, &hash), Err(Missing::NotSupported));
        for nonsense in ["", "x", "ü", &hash[..63], &hash[..62], &format!("{hash}00")] {
            assert_eq!(find(None, 1, nonsense), Err(Missing::NotFound), "{nonsense}");
            assert_eq!(find(Some("{ a }"), 1, nonsense), Err(Missing::WrongHash), "{nonsense}");
        }
    }

    #[test]
    fn the_store_is_bounded_in_number_and_in_bytes() {
        let store = Store::new();
        for number in 0..5_000 {
            learn(&store, &format!("{{ a{number} }}"));
        }
        assert!(store.0.len() as u64 <= MAX_DOCUMENTS, "{}", store.0.len());
        assert!(store.0.len() > 500, "{}", store.0.len());
        for number in 0..200 {
            let large = format!("{{ a{number} }} # {}", "x".repeat(90_000));
            learn(&store, &large);
            assert!(store.find(None, Some(reference(&large))).is_ok(), "{number}");
        }
        assert!(store.0.weight() <= MAX_BYTES, "{}", store.0.weight());
    }
}

//! Documents that were parsed before: clients send the same few again and again, and parsing takes longer than all
//! other checks together.

use std::sync::Arc;

use async_graphql::parser::types::ExecutableDocument;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// The most bytes of text whose documents are kept; a document takes some twenty times its text.
const MAX_BYTES: u64 = 256 * 1024;

/// What a document weighs at least, so that many short ones take no more than a few long ones.
const LEAST: u64 = 256;

/// The documents that were parsed last, by their text.
pub(super) struct Documents(Cache<Arc<str>, Arc<ExecutableDocument>, Text>);

#[derive(Clone)]
struct Text;

impl Weighter<Arc<str>, Arc<ExecutableDocument>> for Text {
    fn weight(&self, text: &Arc<str>, _: &Arc<ExecutableDocument>) -> u64 {
        (text.len() as u64).max(LEAST)
    }
}

impl Documents {
    pub(super) fn new() -> Self {
        let documents = usize::try_from(MAX_BYTES / LEAST).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(documents, MAX_BYTES, Text))
    }

    /// The document of a text; `parse` is asked where it is not known.
    pub(super) fn of<E>(
        &self,
        text: &Arc<str>,
        parse: impl FnOnce() -> Result<ExecutableDocument, E>,
    ) -> Result<ExecutableDocument, E> {
        if let Some(known) = self.0.get(text) {
            return Ok((*known).clone());
        }
        let document = parse()?;
        self.0.insert(text.clone(), Arc::new(document.clone()));
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use async_graphql::parser::parse_query;

    use super::*;

    #[test]
    fn a_text_is_parsed_once_and_what_does_not_parse_is_not_kept() {
        let documents = Documents::new();
        let text: Arc<str> = "{ viewer { id } }".into();
        assert_eq!(documents.of(&text, || Err(())).err(), Some(()));
        let parsed = || Ok::<_, Infallible>(parse_query(&*text).unwrap());
        assert!(documents.of(&text, parsed).is_ok());
        assert!(documents.of(&text, || Err(())).is_ok());
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let documents = Documents::new();
        for number in 0..10_000 {
            let text: Arc<str> = format!("{{ field{number} }}").into();
            documents.of(&text, || parse_query(&*text)).unwrap();
        }
        assert!(documents.0.len() as u64 <= MAX_BYTES / LEAST, "{}", documents.0.len());
    }
}

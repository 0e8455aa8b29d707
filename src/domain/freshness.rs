//! Which report about a field is the newest. Bookkeeping of what came in, not history: a newer report that says
//! nothing new leaves no event, and still makes every older one outdated.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::report::Stamp;
use super::values::Patch;

/// The newest report of each field of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Freshness(BTreeMap<String, Stamp>);

impl Freshness {
    /// Whether a report of `field` is newer than all before it; if so it is the newest from now on.
    pub fn admit(&mut self, field: &str, stamp: Stamp) -> bool {
        match self.0.get_mut(field) {
            Some(known) if *known >= stamp => false,
            Some(known) => {
                *known = stamp;
                true
            }
            None => {
                self.0.insert(field.to_owned(), stamp);
                true
            }
        }
    }

    /// The value, where it is there and newer than what was reported of this field before.
    pub fn newer<T>(&mut self, field: &str, stamp: Stamp, value: Option<T>) -> Option<T> {
        value.filter(|_| self.admit(field, stamp))
    }

    /// The patch, where it says something and is newer than what was reported of this field before.
    pub fn newer_patch<T>(&mut self, field: &str, stamp: Stamp, patch: Patch<T>) -> Patch<T> {
        match patch {
            Patch::Keep => Patch::Keep,
            said if self.admit(field, stamp) => said,
            _ => Patch::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp(at: i64, version: i64, hash: u64) -> Stamp {
        Stamp { at, version, hash }
    }

    #[test]
    fn time_counts_before_version_and_version_before_hash() {
        assert!(stamp(2, 0, 0) > stamp(1, 9, 9));
        assert!(stamp(1, 2, 0) > stamp(1, 1, 9));
        assert!(stamp(1, 1, 2) > stamp(1, 1, 1));
    }

    #[test]
    fn a_report_is_admitted_once_and_fields_do_not_know_of_each_other() {
        let mut freshness = Freshness::default();
        assert!(freshness.admit("name", stamp(2, 0, 0)));
        assert!(!freshness.admit("name", stamp(2, 0, 0)));
        assert!(!freshness.admit("name", stamp(1, 0, 0)));
        assert!(freshness.admit("role", stamp(1, 0, 0)));
        assert_eq!(freshness.newer_patch("role", stamp(3, 0, 0), Patch::<i32>::Keep), Patch::Keep);
        assert!(freshness.admit("role", stamp(2, 0, 0)), "what says nothing outdates nothing");
    }

    proptest! {
        #[test]
        fn the_last_admitted_report_is_the_newest_in_any_order(
            reports in proptest::collection::vec((0_i64..4, 0_i64..3, 0_u64..3), 1..12)
        ) {
            let mut freshness = Freshness::default();
            let mut holds = None;
            for (at, version, hash) in &reports {
                if freshness.admit("f", stamp(*at, *version, *hash)) {
                    holds = Some((*at, *version, *hash));
                }
            }
            prop_assert_eq!(holds.as_ref(), reports.iter().max());
        }
    }
}

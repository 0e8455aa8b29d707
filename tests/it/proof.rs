//! Proof that no crash, race or outage loses, doubles or reorders anything: the real binary, several instances of it,
//! a real Postgres and a real Kafka are broken on purpose under a load that remembers what it was told, and a ledger is
//! drawn up at the end.
//!
//! `PROOF=long` makes everything longer; `PROOF_SEED` repeats a run's dice.

mod crashes;
mod instances;
mod ledger;
mod load;
mod messages;
mod outages;
mod registrations;
mod servers;
mod world;

use tokio::sync::{Mutex, MutexGuard};

use crate::dice;

/// The proofs break things by the clock and load two processors fully: one at a time.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

fn seed() -> u64 {
    dice::seed("PROOF_SEED")
}

/// Whether this is the long form.
fn is_long() -> bool {
    std::env::var("PROOF").is_ok_and(|form| form == "long")
}

/// How often or how long: in the short form, and in the long one.
pub(crate) fn of<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

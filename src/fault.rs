//! Named places at which a test lets the process crash or pause: before and after what must be all or nothing.
//!
//! Only builds with debug assertions have them. There `FAULT_AT=crash:append:before commit:7` ends the process, as
//! `kill -9` would, when it comes to that place for the seventh time, and `pause` instead of `crash` stops it there
//! until it is sent `SIGCONT`. In a release the calls are empty and nobody reads the variable.

/// A place: `moment` of what `part` does.
#[cfg(not(debug_assertions))]
#[inline]
pub(crate) fn point(_part: &str, _moment: &str) {}

#[cfg(debug_assertions)]
pub(crate) use self::armed::point;

#[cfg(debug_assertions)]
mod armed {
    use std::process::{Command, abort, id};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// What the variable asks for.
    struct Fault {
        pauses: bool,
        part: String,
        moment: String,
        /// How many passages are left before it.
        left: AtomicU32,
    }

    impl Fault {
        fn parse(text: &str) -> Option<Self> {
            let mut words = text.split(':');
            let pauses = match words.next()? {
                "crash" => false,
                "pause" => true,
                _ => return None,
            };
            let (part, moment) = (words.next()?.to_owned(), words.next()?.to_owned());
            let left = AtomicU32::new(words.next()?.parse().ok()?);
            words.next().is_none().then_some(Self { pauses, part, moment, left })
        }
    }

    static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| {
        let text = std::env::var("FAULT_AT").ok()?;
        let fault = Fault::parse(&text);
        assert!(fault.is_some(), "FAULT_AT is `crash|pause:part:moment:passage`, not {text}");
        fault
    });

    /// A place: `moment` of what `part` does.
    pub(crate) fn point(part: &str, moment: &str) {
        let Some(fault) = FAULT.as_ref() else { return };
        if fault.part != part || fault.moment != moment {
            return;
        }
        if fault.left.fetch_sub(1, Ordering::Relaxed) != 1 {
            return;
        }
        if fault.pauses {
            // Nobody is to tell the process what happens: a pause comes from outside.
            let _ = Command::new("kill").args(["-STOP", &id().to_string()]).status();
        } else {
            abort();
        }
    }
}

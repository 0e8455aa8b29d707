//! Progress for people: a bar on a terminal, plain lines elsewhere, on stderr.

use std::io::{IsTerminal, Write, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::projections::rebuild::Progress;

/// The characters of a full bar.
const BAR: usize = 24;

/// What is shown of a running operation.
#[derive(Clone)]
pub(in crate::cli) struct Shown {
    state: Arc<Mutex<State>>,
    terminal: bool,
}

struct State {
    doing: &'static str,
    before: i64,
    done: i64,
    total: i64,
    since: Instant,
    shown: Option<Instant>,
    /// A line stands open on the terminal.
    open: bool,
}

impl Shown {
    pub(in crate::cli) fn new() -> Self {
        let state = State {
            doing: "",
            before: 0,
            done: 0,
            total: 0,
            since: Instant::now(),
            shown: None,
            open: false,
        };
        Self { state: Arc::new(Mutex::new(state)), terminal: stderr().is_terminal() }
    }

    pub(super) fn hear(&self, progress: Progress) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Stage { doing, done, total } => {
                *state = State {
                    doing,
                    before: done,
                    done,
                    total,
                    since: Instant::now(),
                    shown: None,
                    open: state.open,
                };
                self.close(&mut state);
            }
            Progress::Events(events) => {
                state.done += events;
                let every = Duration::from_millis(if self.terminal { 100 } else { 2_000 });
                if state.done < state.total && state.shown.is_some_and(|at| at.elapsed() < every) {
                    return;
                }
                state.shown = Some(Instant::now());
                self.write(&mut state);
            }
            Progress::Doing(what) => {
                self.close(&mut state);
                let _ = writeln!(stderr(), "{what}");
            }
        }
    }

    /// Nothing more is to be shown.
    pub(in crate::cli) fn end(&self) {
        self.close(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn write(&self, state: &mut State) {
        let elapsed = state.since.elapsed();
        let text = line(state.doing, state.before, state.done, state.total, elapsed);
        let written = if self.terminal {
            state.open = true;
            write!(stderr(), "\r\x1b[K{} {text}", bar(state.done, state.total))
        } else {
            writeln!(stderr(), "{text}")
        };
        let _ = written; // nobody looks any more
    }

    fn close(&self, state: &mut State) {
        if self.terminal && state.open {
            let _ = writeln!(stderr());
        }
        state.open = false;
    }
}

fn bar(done: i64, total: i64) -> String {
    let share = usize::try_from(done.max(0)).unwrap_or(0) * BAR;
    let full = share / usize::try_from(total.max(1)).unwrap_or(1);
    let full = full.min(BAR);
    format!("[{}{}]", "#".repeat(full), "-".repeat(BAR - full))
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn line(doing: &str, before: i64, done: i64, total: i64, elapsed: Duration) -> String {
    let rate = (done - before) as f64 / elapsed.as_secs_f64().max(0.001);
    let left = (total - done) as f64 / rate.max(1.0);
    format!("{doing}: {done}/{total} events, {rate:.0}/s, {left:.0} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_this_run_and_the_bar_that_of_all() {
        let text = line("filling", 500, 1_500, 3_500, Duration::from_secs(2));
        assert_eq!(text, "filling: 1500/3500 events, 500/s, 4 s left");
        assert_eq!(line("filling", 0, 0, 0, Duration::ZERO), "filling: 0/0 events, 0/s, 0 s left");
        assert_eq!(bar(12, 24), "[############------------]");
        assert_eq!((bar(0, 0), bar(9, 3)), (bar(0, 1), bar(1, 1)));
    }
}

//! Panics of hosted peers: where and when they happened. A simulation reports the message of a
//! panic only, and the runtime keeps those of tasks that are not joined to itself.

use core::cell::RefCell;
use core::time::Duration;
use std::panic::PanicHookInfo;

use crate::run_clock::RunClock;

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

/// The run of this thread.
struct Run {
    clock: RunClock,
    panics: Vec<Panic>,
}

/// A panic during a run.
#[derive(Clone, Debug)]
pub(super) struct Panic {
    pub(super) text: String,
    pub(super) at: Duration,
}

/// Keeps each panic during a run for the failure of its case, with its place, and prints nothing
/// then. For programs that do nothing but run cases.
pub fn remember_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_kept = RUN.with(|run| match run.try_borrow_mut().as_deref_mut() {
            Ok(Some(run)) => {
                let at = run.clock.now();
                run.panics.push(Panic { text: text(panic), at });
                true
            }
            _ => false,
        });
        if !is_kept {
            usual(panic);
        }
    }));
}

fn text(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let message =
        text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    panic.location().map_or_else(|| message.to_owned(), |place| format!("{message}, at {place}"))
}

/// The run of this thread, until this is dropped.
pub(crate) struct Remembering(());

impl Remembering {
    pub(crate) fn begin(clock: &RunClock) -> Self {
        RUN.with(|run| *run.borrow_mut() = Some(Run { clock: clock.clone(), panics: Vec::new() }));
        Self(())
    }
}

impl Drop for Remembering {
    fn drop(&mut self) {
        RUN.with(|run| *run.borrow_mut() = None);
    }
}

/// The panics of the run of this thread, in their order.
pub(super) fn take() -> Vec<Panic> {
    RUN.with(|run| run.borrow_mut().as_mut().map(|run| std::mem::take(&mut run.panics))).unwrap_or_default()
}

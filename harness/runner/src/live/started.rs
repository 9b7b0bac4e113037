//! The process groups of servers that this process has started and that have not ended.
//!
//! A process that ends at once drops nothing, so that its servers would go on.

use std::collections::BTreeSet;
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

static GROUPS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn groups() -> MutexGuard<'static, BTreeSet<u32>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child was started in a process group of its own.
pub(super) fn add(child: &Child) {
    groups().insert(child.id());
}

/// A child has ended: another process may get its number.
pub(super) fn remove(child: &Child) {
    groups().remove(&child.id());
}

/// Kills all servers that this process has started. For a process that ends at once.
pub fn kill_servers() {
    let ids = groups().iter().copied().filter_map(|id| i32::try_from(id).ok()).collect::<Vec<_>>();
    for group in ids.into_iter().filter_map(Pid::from_raw) {
        // An error means that the group has ended already.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

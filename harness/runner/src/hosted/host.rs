//! What a hosted peer gets at each start: its network, its disk, its clock, its seed, and the
//! options of the scenario.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use mqttspec_world::Seed;

use crate::run_clock::RunClock;

/// The context of a peer at a start.
#[derive(Clone)]
pub struct Host<N, D> {
    pub(super) net: N,
    pub(super) disk: D,
    pub(super) seed: Seed,
    pub(super) clock: RunClock,
    pub(super) asked: Rc<Asked>,
}

/// What a peer has read from its host, over all its starts.
#[derive(Debug)]
pub(super) struct Asked {
    /// The options of the scenario.
    pub(super) options: Vec<(String, String)>,
    /// The names of options that the peer has read.
    pub(super) known: RefCell<BTreeSet<String>>,
    /// Whether the peer has called [`Host::disk`].
    pub(super) disk: Cell<bool>,
}

/// What a run needs of the peer on a host.
pub(super) struct Place {
    pub(super) asked: Rc<Asked>,
    /// The options that the peer must read. Otherwise the case is skipped.
    pub(super) missing: Vec<(String, String)>,
    /// Whether the case is skipped unless the peer calls [`Host::disk`].
    pub(super) needs_disk: bool,
}

impl Asked {
    pub(super) fn about(options: Vec<(String, String)>) -> Self {
        Self { options, known: RefCell::default(), disk: Cell::new(false) }
    }
}

impl<N: Clone, D: Clone> Host<N, D> {
    /// The network of the host.
    pub fn net(&self) -> N {
        self.net.clone()
    }

    /// The disk of the host. Synced data survives a crash. For a peer that never calls this,
    /// scenarios in which its power fails are skipped.
    pub fn disk(&self) -> D {
        self.asked.disk.set(true);
        self.disk.clone()
    }

    /// The value of an option that the scenario sets; `None` if it does not set it.
    ///
    /// If the peer does not read an option that the scenario sets, the case is skipped. Only
    /// `store` need not be read: it is `durable` if the power of the broker will fail.
    pub fn option(&self, name: &str) -> Option<&str> {
        let (known, value) = self.asked.options.iter().find(|(known, _)| known == name)?;
        self.asked.known.borrow_mut().insert(known.clone());
        Some(value)
    }

    /// All options that the scenario sets. A peer that calls this must return
    /// [`unsupported`](Host::unsupported) for an option that it does not support.
    pub fn options(&self) -> &[(String, String)] {
        let names = self.asked.options.iter().map(|(name, _)| name.clone());
        self.asked.known.borrow_mut().extend(names);
        &self.asked.options
    }

    /// The error for something that the peer cannot do, such as `maximum_qos=1`: the case is
    /// skipped with this reason.
    pub fn unsupported(&self, what: impl Into<String>) -> Unsupported {
        Unsupported { what: what.into() }
    }

    /// Simulated time since the start of the run.
    pub fn now(&self) -> Duration {
        self.clock.now()
    }

    /// The seed for the random choices of the peer. It differs between starts, and is the same in
    /// each repetition of the run.
    pub fn seed(&self) -> Seed {
        self.seed
    }
}

impl<N, D> fmt::Debug for Host<N, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("options", &self.asked.options).finish_non_exhaustive()
    }
}

/// Something that a peer cannot do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not supported")]
pub struct Unsupported {
    pub(super) what: String,
}

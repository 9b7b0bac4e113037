//! The director's handle on links: selects links and applies faults to them.

use crate::connection::Key;
use crate::link::{Latency, LinkChange, Selection};
use crate::simulation::Simulation;
use mqttspec_faults::Probability;
use std::fmt;
use std::rc::Rc;

/// A selection of the world's links. A change holds until the next change of the same kind.
#[derive(Clone)]
pub struct Links {
    simulation: Rc<Simulation>,
    selection: Selection,
}

impl Links {
    pub(crate) fn new(simulation: Rc<Simulation>, selection: Selection) -> Links {
        Links { simulation, selection }
    }

    /// Drops every segment, including those in transit; senders keep retrying as TCP does.
    pub fn partition(&self) {
        self.change(&LinkChange::Partitioned);
    }

    /// Ends a partition, a hold and a refusal. Lost segments arrive with the sender's next try;
    /// held segments continue at once.
    pub fn heal(&self) {
        self.change(&LinkChange::Healed);
    }

    /// Holds segments in transit, in order, without loss.
    pub fn hold(&self) {
        self.change(&LinkChange::Held);
    }

    /// Releases held segments.
    pub fn release(&self) {
        self.change(&LinkChange::Released);
    }

    /// Sets the latency of segments that are sent from now on.
    pub fn latency(&self, latency: impl Into<Latency>) {
        self.change(&LinkChange::Latency(latency.into()));
    }

    /// Sets the probability of losing each segment; lost bytes arrive late and in order.
    pub fn loss(&self, loss: Probability) {
        self.change(&LinkChange::Loss(loss));
    }

    /// Limits the bytes per second in each direction, including headers; `None` removes the limit.
    pub fn bandwidth(&self, bytes_per_second: Option<u64>) {
        self.change(&LinkChange::Bandwidth(bytes_per_second));
    }

    /// Answers new connection requests with a reset.
    pub fn refuse(&self) {
        self.change(&LinkChange::Refusing);
    }

    /// Resets the connections over these links: both ends see it at once, and segments in transit
    /// are lost.
    pub fn reset(&self) {
        let keys = self.keys();
        self.simulation.network.borrow_mut().reset_connections(self.simulation.now(), &keys);
    }

    /// Silently drops every segment of the connections that are open over these links, as a router
    /// does that has lost its connection table. New connections are not affected.
    pub fn blackhole(&self) {
        let keys = self.keys();
        self.simulation.network.borrow_mut().blackhole(self.simulation.now(), &keys);
    }

    fn keys(&self) -> Vec<Key> {
        self.simulation.network.borrow().select(self.selection)
    }

    pub(crate) fn change(&self, change: &LinkChange) {
        self.simulation.network.borrow_mut().change_links(self.simulation.now(), self.selection, change);
        self.simulation.ready.wake_scheduler();
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Links({:?})", self.selection)
    }
}

//! The director's grip on links: which of them, and what happens to them.

use crate::connection::Key;
use crate::link::{Latency, LinkChange, Selection};
use crate::simulation::Simulation;
use mqttspec_faults::Probability;
use std::fmt;
use std::rc::Rc;

/// Some links of the world, and what can be done to them. A change holds until the next change of the same kind.
#[derive(Clone)]
pub struct Links {
    simulation: Rc<Simulation>,
    selection: Selection,
}

impl Links {
    pub(crate) fn new(simulation: Rc<Simulation>, selection: Selection) -> Links {
        Links { simulation, selection }
    }

    /// Nothing gets through, and what is under way is lost; senders keep trying as TCP does.
    pub fn partition(&self) {
        self.change(&LinkChange::Partitioned);
    }

    /// Ends a partition, a hold and a refusal. What was lost arrives when its sender tries next; what was held goes on at once.
    pub fn heal(&self) {
        self.change(&LinkChange::Healed);
    }

    /// Keeps segments on the way, in order, without loss.
    pub fn hold(&self) {
        self.change(&LinkChange::Held);
    }

    /// Lets go what was held.
    pub fn release(&self) {
        self.change(&LinkChange::Released);
    }

    /// How long segments are under way, for those that are sent from now on.
    pub fn latency(&self, latency: impl Into<Latency>) {
        self.change(&LinkChange::Latency(latency.into()));
    }

    /// The probability with which each segment is lost; lost bytes arrive late and in order.
    pub fn loss(&self, loss: Probability) {
        self.change(&LinkChange::Loss(loss));
    }

    /// At most so many bytes a second in each direction, headers included; none for no limit.
    pub fn bandwidth(&self, bytes_per_second: Option<u64>) {
        self.change(&LinkChange::Bandwidth(bytes_per_second));
    }

    /// New connections are answered with a reset.
    pub fn refuse(&self) {
        self.change(&LinkChange::Refusing);
    }

    /// Resets the connections over these links: both ends learn of it at once, and what is under way is lost.
    pub fn reset(&self) {
        let keys = self.keys();
        self.simulation.network.borrow_mut().reset_connections(self.simulation.now(), &keys);
    }

    /// The connections over these links carry nothing any more, without a word to either end, as when a router forgets
    /// them; new connections are not concerned.
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

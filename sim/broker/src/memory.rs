//! The memory that the broker holds for its Clients, in bytes: messages, each once, and what
//! belongs to Sessions. One budget for all of them (`memory_maximum`), besides the limits of each
//! Client.
//!
//! The sizes are estimates from above. They count what a Client can make grow: not the sockets and
//! buffers, which are the driver's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mqttspec_codec::{TopicFilter, Will};

/// Besides the topic, properties and payload of a message.
pub(crate) const MESSAGE_BYTES: u64 = 256;
/// A copy of a message that waits or is in flight.
pub(crate) const COPY_BYTES: u64 = 128;
/// A Session without content.
pub(crate) const SESSION_BYTES: u64 = 1000;
/// A Packet Identifier whose PUBREL is expected.
pub(crate) const IDENTIFIER_BYTES: u64 = 64;

/// A Subscription, with its nodes in the tree.
pub(crate) fn of_subscription(filter: &TopicFilter) -> u64 {
    400 + 4 * filter.as_bytes().len() as u64 + 100 * levels(filter) as u64
}

pub(crate) fn of_will(will: &Will) -> u64 {
    let bytes =
        will.topic.as_bytes().len() + will.payload.as_bytes().len() + will.properties.as_bytes().len();
    MESSAGE_BYTES + bytes as u64
}

/// The number of levels of a Topic Filter, with ShareName.
pub(crate) fn levels(filter: &TopicFilter) -> usize {
    1 + filter.as_bytes().iter().filter(|byte| **byte == b'/').count()
}

/// The sum of what is held. Clones share it.
///
/// It is changed by one thread at a time: the atomic only makes the broker `Send`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<AtomicU64>);

impl Memory {
    pub(crate) fn used(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn charge(&self, bytes: u64) -> Charge {
        let mut charge = Charge { memory: Some(self.clone()), bytes: 0 };
        charge.add(bytes);
        charge
    }
}

/// A part of the sum, for as long as its owner lives.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    memory: Option<Memory>,
    bytes: u64,
}

impl Charge {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn add(&mut self, bytes: u64) {
        self.set(self.bytes + bytes);
    }

    pub(crate) fn sub(&mut self, bytes: u64) {
        self.set(self.bytes.saturating_sub(bytes));
    }

    pub(crate) fn set(&mut self, bytes: u64) {
        if let Some(Memory(sum)) = &self.memory {
            let others = sum.load(Ordering::Relaxed).wrapping_sub(self.bytes);
            sum.store(others.wrapping_add(bytes), Ordering::Relaxed);
            self.bytes = bytes;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Of the whole budget, what one holder may have when more than half of the budget is used: so that
/// a few that take much leave something to the others.
const SMALL_SHARE: u64 = 1024;

/// Whether a holder that has `held` bytes may get more.
pub(crate) fn has_memory(memory: &Memory, maximum: u64, held: u64) -> bool {
    has_plenty(memory, maximum) || memory.used() < maximum && held < maximum / SMALL_SHARE
}

/// Whether any holder may get more.
pub(crate) fn has_plenty(memory: &Memory, maximum: u64) -> bool {
    maximum == 0 || memory.used() < maximum / 2
}

//! The bytes that a connection may read, and write, before the tasks of other connections run.
//!
//! The operating system copies the bytes of a read or a write while everything else waits. Some
//! hundred Clients that are each sent a large message would otherwise take the time of all copies
//! in one pass over the tasks.

use std::cell::Cell;
use std::rc::Rc;

/// Bytes for one pass over the tasks of all connections that have much to transfer.
const PASS_BYTES: usize = 4 << 20;

/// A connection may transfer at least and at most this number of bytes.
const LEAST_BYTES: usize = 8 << 10;
const MOST_BYTES: usize = 256 << 10;

/// The number of connections that used their share in their last turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares {
    busy: Rc<Cell<usize>>,
}

impl Shares {
    pub(super) fn share(&self) -> Share {
        Share { shares: self.clone(), is_busy: Cell::new(false) }
    }
}

/// The share of one connection.
#[derive(Debug)]
pub(super) struct Share {
    shares: Shares,
    is_busy: Cell<bool>,
}

impl Share {
    /// Bytes that may be read and written in one turn of the connection.
    pub(super) fn bytes(&self) -> usize {
        (PASS_BYTES / (self.shares.busy.get() + 1)).clamp(LEAST_BYTES, MOST_BYTES)
    }

    /// Notes whether the connection has used its share and has more to transfer.
    pub(super) fn set_busy(&self, is_busy: bool) {
        if self.is_busy.replace(is_busy) != is_busy {
            let busy = &self.shares.busy;
            busy.set(if is_busy { busy.get() + 1 } else { busy.get() - 1 });
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set_busy(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_have_much_to_transfer_share_a_pass() {
        let shares = Shares::default();
        let all: Vec<_> = (0..1000).map(|_| shares.share()).collect();
        assert_eq!(all[0].bytes(), MOST_BYTES);
        let mut pass = 0;
        for share in &all[..64] {
            pass += share.bytes();
            share.set_busy(true);
            share.set_busy(true);
        }
        // The first pass is larger, since the number of those that share it is not yet known.
        assert!(pass < 3 * PASS_BYTES, "{pass}");
        assert!(64 * all[0].bytes() <= PASS_BYTES);
        all.iter().for_each(|share| share.set_busy(true));
        assert_eq!(all[0].bytes(), LEAST_BYTES);
        all[0].set_busy(false);
        drop(all);
        assert_eq!(shares.busy.get(), 0);
    }
}

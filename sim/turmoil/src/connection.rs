//! What both ends of a connection share: the faults of the connection itself, which turmoil does
//! not have.

use crate::wakers::Wakers;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The end that dialled.
    Client,
    /// The end that accepted.
    Server,
}

impl Side {
    pub(crate) fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// The address of the end that dialled, and that of the other.
pub(crate) type Key = (SocketAddr, SocketAddr);

/// The state that both ends of a connection share.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// Both ends have been reset by a fault.
    pub(crate) is_reset: Cell<bool>,
    /// It carries nothing any more, and neither end is notified.
    pub(crate) is_silent: Cell<bool>,
    /// Something was sent to a host that has crashed. TCP would send it again, and the restarted
    /// host would answer with a reset.
    pub(crate) spoke_in_vain: Cell<bool>,
    /// The application at one end reset it: the FIN of that end means a reset.
    pub(crate) reset_by: [Cell<bool>; 2],
    /// Ends that were opened, and ends that were dropped.
    opened: Cell<u8>,
    dropped: Cell<u8>,
    pub(crate) changed: Wakers,
}

impl Connection {
    pub(crate) fn reset_by(&self, side: Side) -> &Cell<bool> {
        &self.reset_by[side as usize]
    }
}

/// The connections that have an end.
#[derive(Debug, Default)]
pub(crate) struct Connections(RefCell<BTreeMap<Key, Rc<Connection>>>);

impl Connections {
    /// The state for one more end of a connection.
    pub(crate) fn open(&self, key: Key) -> Rc<Connection> {
        let mut connections = self.0.borrow_mut();
        let known = connections.entry(key).or_default();
        if known.opened.get() == 2 {
            // The port was used before, and an end of that connection is left.
            *known = Rc::default();
        }
        known.opened.set(known.opened.get() + 1);
        known.clone()
    }

    /// An end was dropped.
    pub(crate) fn close(&self, key: Key, connection: &Rc<Connection>) {
        connection.dropped.set(connection.dropped.get() + 1);
        let mut connections = self.0.borrow_mut();
        if connection.dropped.get() == 2
            && connections.get(&key).is_some_and(|known| Rc::ptr_eq(known, connection))
        {
            connections.remove(&key);
        }
    }

    /// Does something to each connection that is chosen by its addresses.
    pub(crate) fn each(&self, chosen: impl Fn(&Key) -> bool, change: impl Fn(&Connection)) {
        let connections: Vec<Rc<Connection>> = self
            .0
            .borrow()
            .iter()
            .filter(|(key, _)| chosen(key))
            .map(|(_, connection)| connection.clone())
            .collect();
        for connection in connections {
            change(&connection);
            connection.changed.wake();
        }
    }
}

//! The executor's connections, by host. Clones share them.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use mqttspec_judge::history::{Ending, HostIndex, What};
use mqttspec_notation::Framing;

use super::connection::Connection;

#[derive(Clone)]
pub(crate) struct Connections {
    by_host: Rc<RefCell<Vec<Option<Connection>>>>,
}

impl Connections {
    /// None yet, for this number of hosts.
    pub(crate) fn new(hosts: usize) -> Self {
        Self { by_host: Rc::new(RefCell::new(vec![None; hosts])) }
    }

    /// The host has a new connection.
    pub(crate) fn put(&self, host: HostIndex, connection: Connection) {
        self.by_host.borrow_mut()[usize::from(host.0)] = Some(connection);
    }

    /// Removes the host's connection.
    pub(crate) fn take(&self, host: HostIndex) -> Option<Connection> {
        self.by_host.borrow_mut()[usize::from(host.0)].take()
    }

    pub(crate) fn has(&self, host: HostIndex) -> bool {
        self.by_host.borrow()[usize::from(host.0)].is_some()
    }

    /// Writes bytes on the host's connection; false if there is none.
    pub(crate) fn write(
        &self,
        host: HostIndex,
        what: What,
        bytes: Bytes,
        line: u32,
        framing: Framing,
    ) -> bool {
        let by_host = self.by_host.borrow();
        let connection = by_host[usize::from(host.0)].as_ref();
        connection.map(|connection| connection.write_bytes(what, bytes, line, framing)).is_some()
    }

    /// Closes the host's connection after what was written before.
    pub(crate) fn close(&self, host: HostIndex) {
        if let Some(connection) = &self.by_host.borrow()[usize::from(host.0)] {
            connection.close();
        }
    }

    /// The machine at one end crashed: drops the connection.
    pub(crate) fn abandon(&self, host: HostIndex) {
        if let Some(connection) = self.take(host) {
            connection.abandon(Ending::Crashed);
        }
    }
}

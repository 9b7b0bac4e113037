//! The network's state of a host's machine: its power, its ports, and whether its process reads.

use crate::connection::Key;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::task::Waker;
use std::time::Duration;

/// The index for an address that no host has.
pub(crate) const NOBODY: u16 = u16::MAX;
/// The number of connections that may wait to be accepted on one port; further requests get no
/// answer. tokio requests the same backlog from a real machine.
pub(crate) const BACKLOG: usize = 1_024;
/// The ephemeral ports (RFC 6335 §6).
const FREE_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// The network's state of a host.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The machine has power. It answers even if no process runs.
    pub(crate) on: bool,
    pub(crate) incarnation: u32,
    /// When the machine last lost power: a segment that was sent earlier but would leave later is
    /// lost.
    pub(crate) power_lost: Option<Duration>,
    /// The process does not read from its connections.
    pub(crate) stalled: bool,
    pub(crate) stalled_readers: Vec<Waker>,
    pub(crate) listening: BTreeMap<u16, Listening>,
    /// The connections that this host requested, by local port.
    pub(crate) asked_from: BTreeMap<u16, Key>,
    next_port: u16,
}

/// A port on which the process listens.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    /// Distinguishes listeners that used the same port one after the other.
    pub(crate) number: u64,
    /// Established connections that were not accepted yet, oldest first.
    pub(crate) ready: VecDeque<Key>,
    pub(crate) wakers: Vec<Waker>,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        Machine {
            on: false,
            incarnation: 0,
            power_lost: None,
            stalled: false,
            stalled_readers: Vec::new(),
            listening: BTreeMap::new(),
            asked_from: BTreeMap::new(),
            next_port: *FREE_PORTS.start(),
        }
    }

    /// The next unused port; `None` if all are in use.
    pub(crate) fn take_port(&mut self, mut is_free: impl FnMut(Key) -> bool) -> Option<u16> {
        for _ in FREE_PORTS {
            let port = self.next_port;
            self.next_port = if port == *FREE_PORTS.end() { *FREE_PORTS.start() } else { port + 1 };
            let asks = self.asked_from.get(&port).is_some_and(|&key| !is_free(key));
            if !asks && !self.listening.contains_key(&port) {
                return Some(port);
            }
        }
        None
    }
}

/// The address of a host, by its index in the order of declaration: 192.168.0.1, 192.168.0.2 …
pub(crate) fn address_of(host: u16) -> Ipv4Addr {
    let [high, low] = (host + 1).to_be_bytes();
    Ipv4Addr::new(192, 168, high, low)
}

/// The index of the host with the address; [`NOBODY`] if there is none.
pub(crate) fn host_at(address: IpAddr, hosts: usize) -> u16 {
    let IpAddr::V4(address) = address else { return NOBODY };
    let [192, 168, high, low] = address.octets() else { return NOBODY };
    u16::from_be_bytes([high, low]).checked_sub(1).filter(|&host| usize::from(host) < hosts).unwrap_or(NOBODY)
}

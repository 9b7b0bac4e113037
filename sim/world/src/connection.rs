//! What the network knows of a connection: its two ends, what each end could not send yet, and when it will try again.
//!
//! The sockets are turmoil's; its retransmission counts passes and not time, so it is off, and this is the part of TCP
//! that stands for it: a lost segment is tried again after 200 ms, 400 ms, 800 ms … up to 120 s between two tries (a
//! connection request after 1 s, 2 s, 4 s …), what follows it waits, and all of it arrives late and in order.

use crate::history::{ConnectionId, HostId};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use turmoil_net::{Packet, TcpFlags, TcpSegment, Transport};

/// First wait before a lost segment is sent again, as the shortest that Linux uses.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// First wait before an unanswered connection request is sent again (RFC 6298 §2.1).
const FIRST_REQUEST_RETRY: Duration = Duration::from_secs(1);
/// Longest wait between two tries, as in Linux.
const LONGEST_RETRY: Duration = Duration::from_secs(120);

/// So many unacknowledged bytes leave a sender free to send on, whatever its peer's window is.
const FREELY_SENT: u32 = 16 * 1024;

/// How long to wait after a segment was lost for the `times`th time.
pub(crate) fn retry_after(request: bool, times: u32) -> Duration {
    let first = if request { FIRST_REQUEST_RETRY } else { FIRST_RETRY };
    first.saturating_mul(1 << times.saturating_sub(1).min(20)).min(LONGEST_RETRY)
}

/// A segment that is not on its way yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) order: u64,
    pub(crate) packet: Packet,
}

/// Why an end is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Both directions were closed in order.
    Closed,
    /// A reset was sent or received, or the machine lost its power.
    Reset,
    /// The peer acknowledged nothing for too long.
    TimedOut,
}

/// One end of a connection, and the direction in which it sends.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) host: u16,
    pub(crate) address: SocketAddr,
    /// Oldest first.
    pub(crate) waiting: VecDeque<Waiting>,
    /// How often the oldest was lost.
    pub(crate) times_lost: u32,
    /// When the oldest is tried again; none if it waits for something else.
    pub(crate) retry_at: Option<Duration>,
    /// When the latest segment on its way arrives; nothing that follows may be earlier.
    pub(crate) last_arrival: Duration,
    /// Breaks ties between flows at one instant; the same for all of this flow's segments at that instant.
    pub(crate) tie: u64,
    next_order: u64,
    /// One past the last sequence number that the peer has to acknowledge.
    sent_end: u32,
    /// One past the last sequence number that the peer is known to have.
    acknowledged_end: u32,
    /// Since when the peer owes an acknowledgement.
    pub(crate) unacknowledged_since: Option<Duration>,
    pub(crate) give_up_planned: bool,
    fin: Option<u32>,
    fin_acknowledged: bool,
    /// The request for the connection, or the answer to it, reached this end.
    pub(crate) reached: bool,
    pub(crate) established: bool,
    /// Shared with the stream, which may ask after the connection was forgotten.
    gone: Rc<Cell<Option<Gone>>>,
    /// One past the last sequence number that arrived here in order.
    pub(crate) received_end: u32,
    /// Bytes that arrived here and were not read yet; counted for streams of this crate only.
    pub(crate) unread: usize,
    /// The receive window that this end told its peer last, in bytes.
    pub(crate) told_window: u16,
    /// The receive window of the peer, as far as this end knows, in bytes.
    pub(crate) peer_window: u16,
}

impl End {
    fn new(host: u16, address: SocketAddr) -> End {
        End {
            host,
            address,
            waiting: VecDeque::new(),
            times_lost: 0,
            retry_at: None,
            last_arrival: Duration::ZERO,
            tie: 0,
            next_order: 0,
            sent_end: 0,
            acknowledged_end: 0,
            unacknowledged_since: None,
            give_up_planned: false,
            fin: None,
            fin_acknowledged: false,
            reached: false,
            established: false,
            gone: Rc::default(),
            received_end: 0,
            unread: 0,
            told_window: u16::MAX,
            peer_window: u16::MAX,
        }
    }

    pub(crate) fn next_order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    /// Puts a segment among those that wait, where its order has it.
    pub(crate) fn wait(&mut self, waiting: Waiting) {
        let place = self.waiting.partition_point(|other| other.order < waiting.order);
        self.waiting.insert(place, waiting);
    }

    /// Notes what this end sends, so as to know when the peer has acknowledged all of it.
    pub(crate) fn sends(&mut self, now: Duration, segment: &TcpSegment) {
        let length = length(segment);
        if segment.flags.ack {
            self.told_window = segment.window;
        }
        if length == 0 {
            return;
        }
        self.sent_end = segment.seq.wrapping_add(length);
        if segment.flags.syn {
            self.acknowledged_end = self.sent_end;
        }
        if segment.flags.fin {
            self.fin = Some(self.sent_end);
        }
        self.unacknowledged_since.get_or_insert(now);
    }

    /// Notes an acknowledgement that reached this end.
    pub(crate) fn is_acknowledged(&mut self, now: Duration, acknowledged: u32) {
        self.acknowledged_end = acknowledged;
        if self.fin == Some(acknowledged) {
            self.fin_acknowledged = true;
        }
        let Some(since) = &mut self.unacknowledged_since else { return };
        if acknowledged == self.sent_end {
            self.unacknowledged_since = None;
        } else {
            *since = now;
        }
    }

    /// True if nothing at this end depends on when an acknowledgement comes: it is open, not closing, and free to send on.
    pub(crate) fn can_wait_for_acknowledgement(&self) -> bool {
        let unacknowledged = self.sent_end.wrapping_sub(self.acknowledged_end);
        let wide = u32::from(self.peer_window) >= 2 * FREELY_SENT;
        self.established && self.fin.is_none() && wide && unacknowledged <= FREELY_SENT
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.get().is_some()
    }

    /// Forgets all that this end wanted to send.
    pub(crate) fn give_up(&mut self, why: Gone) {
        if self.gone.get().is_none() {
            self.gone.set(Some(why));
        }
        self.waiting.clear();
        self.unacknowledged_since = None;
    }
}

/// Sequence numbers that a segment takes: its bytes, and one each for SYN and FIN.
fn length(segment: &TcpSegment) -> u32 {
    let bytes = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX);
    bytes.wrapping_add(u32::from(segment.flags.syn)).wrapping_add(u32::from(segment.flags.fin))
}

/// True for a segment that carries an acknowledgement and nothing else.
pub(crate) fn is_bare_acknowledgement(packet: &Packet) -> bool {
    matches!(&packet.payload, Transport::Tcp(segment) if length(segment) == 0 && !segment.flags.rst)
}

/// A connection, from its request until both ends are gone.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    /// The end that asked for it, then the end that was asked.
    pub(crate) ends: [End; 2],
    pub(crate) blackholed: bool,
    pub(crate) refused: bool,
}

impl Connection {
    pub(crate) fn is_over(&mut self) -> bool {
        if self.ends.iter().all(|end| end.fin_acknowledged) {
            self.ends.iter_mut().for_each(|end| end.give_up(Gone::Closed));
        }
        self.ends.iter().all(End::is_gone)
    }
}

/// Where a connection is in the table; stale once the connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    place: usize,
    pub(crate) id: ConnectionId,
}

/// What a stream holds of its connection.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(crate) key: Key,
    pub(crate) side: usize,
    gone: Rc<Cell<Option<Gone>>>,
}

impl Handle {
    pub(crate) fn gone(&self) -> Option<Gone> {
        self.gone.get()
    }
}

/// All connections that are not over.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    places: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// By the addresses of the end that asked and the end that was asked.
    by_addresses: BTreeMap<u128, usize>,
    opened: u64,
}

impl Connections {
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut Connection> {
        self.places.get_mut(key.place)?.as_mut().filter(|connection| connection.id == key.id)
    }

    pub(crate) fn open(&mut self, from: (u16, SocketAddr), to: (u16, SocketAddr)) -> Key {
        self.opened += 1;
        let id = ConnectionId(self.opened);
        let connection = Connection {
            id,
            ends: [End::new(from.0, from.1), End::new(to.0, to.1)],
            blackholed: false,
            refused: false,
        };
        let place = self.free.pop().unwrap_or(self.places.len());
        if place == self.places.len() {
            self.places.push(None);
        }
        // An earlier connection of the same addresses, of which one end never learnt that it is over.
        if let Some(stale) = self.by_addresses.insert(both(from.1, to.1), place) {
            self.places[stale] = None;
            self.free.push(stale);
        }
        self.places[place] = Some(connection);
        Key { place, id }
    }

    /// The connection between two addresses, and which of its ends the first one is.
    pub(crate) fn find(&self, from: SocketAddr, to: SocketAddr) -> Option<(Key, usize)> {
        let asked = self.by_addresses.get(&both(from, to)).map(|&place| (place, 0));
        let found = asked.or_else(|| self.by_addresses.get(&both(to, from)).map(|&place| (place, 1)));
        let (place, end) = found?;
        Some((Key { place, id: self.places[place].as_ref()?.id }, end))
    }

    pub(crate) fn handle(&mut self, key: Key, side: usize) -> Option<Handle> {
        let gone = self.get(key)?.ends[side].gone.clone();
        Some(Handle { key, side, gone })
    }

    pub(crate) fn remove_if_over(&mut self, key: Key) {
        let Some(connection) = self.get(key) else { return };
        if !connection.is_over() {
            return;
        }
        let addresses = both(connection.ends[0].address, connection.ends[1].address);
        if self.by_addresses.get(&addresses) == Some(&key.place) {
            self.by_addresses.remove(&addresses);
        }
        self.places[key.place] = None;
        self.free.push(key.place);
    }

    /// Those between hosts that the test accepts in one direction or the other, in the order of their numbers.
    pub(crate) fn select(&self, mut covers: impl FnMut(HostId, HostId) -> bool) -> Vec<Key> {
        let mut keys: Vec<Key> = self
            .places
            .iter()
            .enumerate()
            .filter_map(|(place, connection)| Some((place, connection.as_ref()?)))
            .filter(|(_, connection)| {
                let [a, b] = &connection.ends;
                covers(HostId(a.host), HostId(b.host)) || covers(HostId(b.host), HostId(a.host))
            })
            .map(|(place, connection)| Key { place, id: connection.id })
            .collect();
        keys.sort_by_key(|key| key.id);
        keys
    }

    pub(crate) fn with_id(&self, id: ConnectionId) -> Option<Key> {
        let place = self.places.iter().position(|c| c.as_ref().is_some_and(|c| c.id == id))?;
        Some(Key { place, id })
    }
}

/// Two IPv4 addresses with their ports as one number; no host of the world has an IPv6 address.
fn both(from: SocketAddr, to: SocketAddr) -> u128 {
    u128::from(one(from)) << 64 | u128::from(one(to))
}

fn one(address: SocketAddr) -> u64 {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    u64::from(u32::from(ip)) << 16 | u64::from(address.port())
}

/// A reset as one end would send it to the other.
pub(crate) fn reset(from: SocketAddr, to: SocketAddr) -> Packet {
    bare(from, to, TcpFlags { rst: true, ..TcpFlags::default() }, 0, 0)
}

/// An acknowledgement that tells the peer of the receive window.
pub(crate) fn window_update(from: SocketAddr, to: SocketAddr, acknowledged: u32, window: u16) -> Packet {
    bare(from, to, TcpFlags { ack: true, ..TcpFlags::default() }, acknowledged, window)
}

fn bare(from: SocketAddr, to: SocketAddr, flags: TcpFlags, ack: u32, window: u16) -> Packet {
    let segment = TcpSegment {
        src_port: from.port(),
        dst_port: to.port(),
        seq: 0,
        ack,
        flags,
        window,
        payload: bytes::Bytes::new(),
    };
    Packet { src: from.ip(), dst: to.ip(), ttl: 64, payload: Transport::Tcp(segment) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_add_up_to_what_linux_waits() {
        let data: Duration = (1..=15).map(|times| retry_after(false, times)).sum();
        assert_eq!(
            data,
            Duration::from_millis(
                200 + 400 + 800 + 1_600 + 3_200 + 6_400 + 12_800 + 25_600 + 51_200 + 102_400 + 5 * 120_000
            )
        );
        let request: Duration = (1..=7).map(|times| retry_after(true, times)).sum();
        assert_eq!(request, Duration::from_secs(127));
    }
}

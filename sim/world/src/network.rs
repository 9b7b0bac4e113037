//! Carries segments from host to host: decides for each whether and when it arrives, and lets faults happen.

use crate::connection::{
    Connections, End, Gone, Handle, Key, Waiting, is_bare_acknowledgement, reset, retry_after, window_update,
};
use crate::history::{ConnectionId, Event, EventKind, History, HostId, Keep, Observer};
use crate::link::{Link, Links, Selection};
use crate::seed::{Draw, Seed};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;
use turmoil_net::{EnterGuard, Packet, TcpSegment, Transport};

/// Stands for a host that does not exist: an address that nobody has.
const NOBODY: u16 = u16::MAX;

/// Bytes that a socket buffers before its peer has to wait; also the largest window without window scaling.
pub(crate) const RECEIVE_BUFFER: usize = 64 * 1024;
/// A window below this is worth telling the peer about once there is room again.
const NARROW_WINDOW: u16 = 4 * 1460;

/// What the network has to know of a host.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// The machine has power: it answers, even if no process runs.
    pub(crate) on: bool,
    pub(crate) incarnation: u32,
    /// What leaves the host later than this, sent before it, never left: the power was gone.
    pub(crate) power_lost: Option<Duration>,
    /// Requests for a connection that were made and whose first segment did not show yet, oldest first.
    pub(crate) requests: VecDeque<Request>,
    /// The process does not read from its connections.
    pub(crate) stalled: bool,
    pub(crate) stalled_readers: Vec<Waker>,
}

/// Filled in once the request's first segment shows.
pub(crate) type Request = Rc<RefCell<Option<Handle>>>;

/// How long an end waits for an acknowledgement before it gives up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) request: Duration,
    pub(crate) data: Duration,
}

#[derive(Debug)]
pub(crate) enum Due {
    Arrival { packet: Packet, connection: Option<(Key, usize)>, order: u64, sent: Duration, leaves: Duration },
    Retry { connection: Key, end: usize, at: Duration },
    GiveUp { connection: Key, end: usize },
}

#[derive(Debug)]
struct Planned {
    at: Duration,
    tie: u64,
    number: u64,
    due: Due,
}

pub(crate) struct Network {
    pub(crate) guard: Option<EnterGuard>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) links: Links,
    pub(crate) connections: Connections,
    planned: BinaryHeap<Planned>,
    /// Acknowledgements that nobody waits for: they are delivered when something else is, and cost no instant of their own.
    unhurried: BinaryHeap<Planned>,
    numbers: u64,
    timing: Draw,
    loss: Draw,
    ties: Draw,
    pub(crate) patience: Patience,
    /// When the wire of a link with limited bandwidth is free again.
    busy_until: BTreeMap<(u16, u16), Duration>,
    swept: Vec<Packet>,
    pub(crate) history: History,
    pub(crate) segments: u64,
    pub(crate) sweeps: u64,
}

impl Network {
    pub(crate) fn new(
        guard: EnterGuard,
        hosts: u16,
        usual: Link,
        patience: Patience,
        seed: &Seed,
        keep: Keep,
        observer: Option<Observer>,
    ) -> Network {
        Network {
            guard: Some(guard),
            machines: (0..hosts).map(|_| Machine::default()).collect(),
            links: Links::new(usual, hosts),
            connections: Connections::default(),
            planned: BinaryHeap::new(),
            unhurried: BinaryHeap::new(),
            numbers: 0,
            timing: seed.child("link timing").draw(),
            loss: seed.child("link loss").draw(),
            ties: seed.child("arrival order").draw(),
            patience,
            busy_until: BTreeMap::new(),
            swept: Vec::new(),
            history: History::new(keep, observer),
            segments: 0,
            sweeps: 0,
        }
    }

    /// From here on no socket call has an effect; the sockets of the world are gone.
    pub(crate) fn close(&mut self) {
        self.guard = None;
    }

    pub(crate) fn is_open(&self) -> bool {
        self.guard.is_some()
    }

    pub(crate) fn record(
        &mut self,
        at: Duration,
        host: Option<u16>,
        connection: Option<ConnectionId>,
        kind: EventKind,
    ) {
        self.record_with(at, host, connection, kind, &[]);
    }

    fn record_with(
        &mut self,
        at: Duration,
        host: Option<u16>,
        connection: Option<ConnectionId>,
        kind: EventKind,
        bytes: &[u8],
    ) {
        let host = host.filter(|&host| host != NOBODY);
        let incarnation = host.map_or(0, |host| self.machines[usize::from(host)].incarnation);
        let event = Event { at, host: host.map(HostId), incarnation, connection, kind };
        self.history.record(event, bytes);
    }

    /// Takes what the hosts' sockets want to send.
    pub(crate) fn sweep(&mut self, now: Duration) {
        let Some(guard) = &self.guard else { return };
        let mut swept = std::mem::take(&mut self.swept);
        guard.egress_all(&mut swept);
        self.sweeps += 1;
        for packet in swept.drain(..) {
            self.send(now, packet);
        }
        self.swept = swept;
    }

    /// When the next thing is due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.planned.peek().map(|planned| planned.at)
    }

    /// Delivers acknowledgements that could have been delivered earlier.
    pub(crate) fn deliver_unhurried(&mut self, now: Duration) {
        while self.unhurried.peek().is_some_and(|planned| planned.at <= now) {
            let Some(planned) = self.unhurried.pop() else { return };
            self.fulfil(planned.at, planned.due);
        }
    }

    /// Does all that is due by now.
    pub(crate) fn deliver_due(&mut self, now: Duration) {
        while self.planned.peek().is_some_and(|planned| planned.at <= now) {
            let Some(planned) = self.planned.pop() else { return };
            self.fulfil(now, planned.due);
        }
    }

    fn fulfil(&mut self, now: Duration, due: Due) {
        match due {
            Due::Arrival { packet, connection, order, sent, leaves } => {
                self.arrive(now, packet, connection, order, sent, leaves);
            }
            Due::Retry { connection, end, at } => self.retry(now, connection, end, at),
            Due::GiveUp { connection, end } => self.consider_giving_up(now, connection, end),
        }
    }

    /// A host's machine hands a packet to the network.
    fn send(&mut self, now: Duration, packet: Packet) {
        let (from, to) = (self.host_at(packet.src), self.host_at(packet.dst));
        if !self.machine_is_on(from) {
            return;
        }
        let Transport::Tcp(segment) = &packet.payload else {
            self.send_datagram(now, from, to, packet);
            return;
        };
        let (source, target) = addresses(&packet);
        let is_request = segment.flags.syn && !segment.flags.ack;
        let is_reset = segment.flags.rst;
        if is_request {
            self.open(now, (from, source), (to, target));
        }
        let Some((key, side)) = self.connections.find(source, target) else {
            // Nobody's: a reset in answer to a segment of a connection that is over.
            self.pass_or_lose(now, packet, None, 0, now);
            return;
        };
        let Some(connection) = self.connections.get(key) else { return };
        let end = &mut connection.ends[side];
        if let Transport::Tcp(segment) = &packet.payload {
            end.sends(now, segment);
        }
        let order = end.next_order();
        if is_reset {
            // Told once, and not again if it gets lost: the peer finds out when it next sends.
            end.give_up(Gone::Reset);
            self.pass_or_lose(now, packet, Some((key, side)), order, now);
            self.connections.remove_if_over(key);
            return;
        }
        if end.unacknowledged_since.is_some() && !end.give_up_planned {
            end.give_up_planned = true;
            let patience = if is_request { self.patience.request } else { self.patience.data };
            self.plan(now + patience, Due::GiveUp { connection: key, end: side });
        }
        self.send_in_order(now, packet, key, side, order);
    }

    fn open(&mut self, now: Duration, from: (u16, SocketAddr), to: (u16, SocketAddr)) {
        let key = self.connections.open(from, to);
        if let Some(request) = self.machines[usize::from(from.0)].requests.pop_front() {
            *request.borrow_mut() = self.connections.handle(key, 0);
        }
        let asked = Some(to.0).filter(|&to| to != NOBODY).map(HostId);
        let kind = EventKind::ConnectionOpening { to: asked, port: to.1.port() };
        self.record(now, Some(from.0), Some(key.id), kind);
        if asked.is_some() && self.links.get(from.0, to.0).refusing {
            if let Some(connection) = self.connections.get(key) {
                connection.refused = true;
            }
            let there = self.latency(from.0, to.0);
            let back = self.latency(to.0, from.0);
            let answer = reset(to.1, from.1);
            let due =
                Due::Arrival { packet: answer, connection: Some((key, 1)), order: 0, sent: now, leaves: now };
            self.plan(now + there + back, due);
        }
    }

    fn send_in_order(&mut self, now: Duration, packet: Packet, key: Key, side: usize, order: u64) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.refused {
            return;
        }
        let peer_is_established = connection.ends[1 - side].established;
        let end = &mut connection.ends[side];
        let bare = is_bare_acknowledgement(&packet);
        // turmoil's socket needs the acknowledgement that ends the hand-shake by itself: it drops bytes that come in its place.
        let ends_hand_shake = !peer_is_established && !end.waiting.is_empty();
        if ends_hand_shake || end.waiting.iter().any(|waiting| !is_bare_acknowledgement(&waiting.packet)) {
            // A segment before it was lost: all that follows waits for that one.
            if bare && end.waiting.back().is_some_and(|last| is_bare_acknowledgement(&last.packet)) {
                end.waiting.pop_back();
            }
            end.wait(Waiting { order, packet });
            return;
        }
        // Acknowledgements that wait say less than this segment does.
        end.waiting.clear();
        end.times_lost = 0;
        end.retry_at = None;
        self.pass_or_lose(now, packet, Some((key, side)), order, now);
    }

    /// One try to get a segment onto its way; true if it is.
    pub(crate) fn pass_or_lose(
        &mut self,
        now: Duration,
        packet: Packet,
        connection: Option<(Key, usize)>,
        order: u64,
        sent: Duration,
    ) -> bool {
        let (from, to) = (self.host_at(packet.src), self.host_at(packet.dst));
        match self.fate(from, to, connection) {
            Fate::Passes => {
                let leaves = self.wire_free(now, from, to, packet.size());
                let mut at = leaves + self.latency(from, to);
                let mut tie = self.ties.word();
                let mut unhurried = false;
                if let Some((key, side)) = connection
                    && let Some(connection) = self.connections.get(key)
                {
                    let end = &mut connection.ends[side];
                    at = at.max(end.last_arrival);
                    if at == end.last_arrival {
                        tie = end.tie;
                    }
                    (end.last_arrival, end.tie) = (at, tie);
                    unhurried = is_bare_acknowledgement(&packet)
                        && connection.ends[1 - side].can_wait_for_acknowledgement();
                }
                let due = Due::Arrival { packet, connection, order, sent, leaves };
                self.plan_with(at, tie, due, unhurried);
                true
            }
            Fate::Held => {
                self.keep_waiting(connection, order, packet);
                false
            }
            Fate::Lost => {
                self.lose(now, packet, connection, order, now);
                false
            }
        }
    }

    fn fate(&mut self, from: u16, to: u16, connection: Option<(Key, usize)>) -> Fate {
        let blackholed = connection
            .and_then(|(key, _)| self.connections.get(key))
            .is_some_and(|connection| connection.blackholed);
        if blackholed || !self.machine_is_on(to) {
            return Fate::Lost;
        }
        let link = self.links.get(from, to);
        if link.partitioned {
            return Fate::Lost;
        }
        if link.held {
            return Fate::Held;
        }
        let loss = link.loss;
        if self.loss.chance(loss) { Fate::Lost } else { Fate::Passes }
    }

    fn lose(
        &mut self,
        now: Duration,
        packet: Packet,
        connection: Option<(Key, usize)>,
        order: u64,
        sent: Duration,
    ) {
        let Some((key, side)) = connection else { return };
        let Transport::Tcp(segment) = &packet.payload else { return };
        if segment.flags.rst {
            return;
        }
        let (bytes, is_request) = (segment.payload.len(), segment.flags.syn);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let Some(connection) = self.connections.get(key) else { return };
        if connection.ends[side].is_gone() {
            // Nobody will send it again. A request that was withdrawn leaves nothing behind at the other end.
            if is_request && side == 0 {
                connection.ends[1].give_up(Gone::Reset);
                self.connections.remove_if_over(key);
            }
            return;
        }
        let end = &mut connection.ends[side];
        let is_oldest = end.waiting.front().is_none_or(|oldest| order < oldest.order);
        if is_oldest {
            end.times_lost += 1;
        }
        let (host, times) = (end.host, end.times_lost);
        end.wait(Waiting { order, packet });
        let at = (sent + retry_after(is_request, times)).max(now);
        let plan_retry = end.retry_at.is_none();
        end.retry_at.get_or_insert(at);
        self.record(now, Some(host), Some(key.id), EventKind::Lost { bytes, times });
        if plan_retry {
            self.plan(at, Due::Retry { connection: key, end: side, at });
        }
    }

    fn keep_waiting(&mut self, connection: Option<(Key, usize)>, order: u64, packet: Packet) {
        let Some((key, side)) = connection else { return };
        if let Some(connection) = self.connections.get(key) {
            connection.ends[side].wait(Waiting { order, packet });
        }
    }

    /// Sends again what was lost or held, oldest first, until one is lost again.
    fn retry(&mut self, now: Duration, key: Key, side: usize, at: Duration) {
        let Some(connection) = self.connections.get(key) else { return };
        let end = &mut connection.ends[side];
        if end.retry_at != Some(at) {
            return;
        }
        end.retry_at = None;
        self.send_waiting(now, key, side);
    }

    pub(crate) fn send_waiting(&mut self, now: Duration, key: Key, side: usize) {
        loop {
            let Some(connection) = self.connections.get(key) else { return };
            let end = &mut connection.ends[side];
            let Some(Waiting { order, packet }) = end.waiting.pop_front() else {
                end.times_lost = 0;
                return;
            };
            if !self.pass_or_lose(now, packet, Some((key, side)), order, now) {
                return;
            }
            if let Some(connection) = self.connections.get(key) {
                connection.ends[side].times_lost = 0;
            }
        }
    }

    fn arrive(
        &mut self,
        now: Duration,
        packet: Packet,
        connection: Option<(Key, usize)>,
        order: u64,
        sent: Duration,
        leaves: Duration,
    ) {
        let (from, to) = (self.host_at(packet.src), self.host_at(packet.dst));
        if from != NOBODY {
            let lost_power = self.machines[usize::from(from)].power_lost;
            if lost_power.is_some_and(|at| sent <= at && leaves > at) {
                return;
            }
        }
        if let Some((key, _)) = connection
            && self.connections.get(key).is_none()
        {
            return;
        }
        // What is under way when the link is cut or the machine loses its power is lost like the rest.
        let link = self.links.get(from, to);
        let (cut, held) = (link.partitioned, link.held);
        let blackholed = connection
            .and_then(|(key, _)| self.connections.get(key))
            .is_some_and(|connection| connection.blackholed);
        if cut || blackholed || !self.machine_is_on(to) {
            self.lose(now, packet, connection, order, sent);
        } else if held {
            self.keep_waiting(connection, order, packet);
        } else {
            self.hand_over(now, to, packet, connection);
        }
    }

    /// Gives a segment to the socket it is for.
    fn hand_over(&mut self, now: Duration, to: u16, packet: Packet, connection: Option<(Key, usize)>) {
        self.segments += 1;
        if let (Some((key, side)), Transport::Tcp(segment)) = (connection, &packet.payload) {
            let segment = segment.clone();
            let Some(connection) = self.connections.get(key) else { return };
            let [asking, asked] = &mut connection.ends;
            let (sender, receiver) = if side == 0 { (asking, asked) } else { (asked, asking) };
            let kind = if segment.flags.rst {
                let was_asking = side == 1 && !receiver.established;
                receiver.give_up(Gone::Reset);
                sender.give_up(Gone::Reset);
                Some(if was_asking { EventKind::ConnectionRefused } else { EventKind::Reset })
            } else {
                note_arrival(now, receiver, &segment)
            };
            if let Some(kind) = kind {
                self.record_with(now, Some(to), Some(key.id), kind, &segment.payload);
            }
            self.connections.remove_if_over(key);
        }
        if let Some(guard) = &self.guard {
            guard.deliver(packet);
        }
    }

    /// The connection between two addresses, as the first one's end.
    pub(crate) fn find(&mut self, own: SocketAddr, peer: SocketAddr) -> Option<Handle> {
        let (key, side) = self.connections.find(own, peer)?;
        self.connections.handle(key, side)
    }

    /// A process read bytes: tells the peer if the receive window was narrow and no longer is.
    ///
    /// turmoil's socket does so only when half of its buffer is read at once, so a reader of small pieces would never
    /// let its peer go on.
    pub(crate) fn bytes_read(&mut self, now: Duration, key: Key, side: usize, bytes: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        let peer = connection.ends[1 - side].address;
        let end = &mut connection.ends[side];
        end.unread = end.unread.saturating_sub(bytes);
        if end.told_window >= NARROW_WINDOW || end.unread > RECEIVE_BUFFER / 2 || end.is_gone() {
            return;
        }
        let window = u16::try_from(RECEIVE_BUFFER - end.unread).unwrap_or(u16::MAX);
        let update = window_update(end.address, peer, end.received_end, window);
        end.told_window = window;
        let order = end.next_order();
        self.send_in_order(now, update, key, side, order);
    }

    pub(crate) fn select(&self, selection: Selection) -> Vec<Key> {
        self.connections.select(|from, to| selection.covers(from.0, to.0))
    }

    pub(crate) fn with_id(&self, id: ConnectionId) -> Option<Key> {
        self.connections.with_id(id)
    }

    /// The hosts at the two ends of a connection, the one that asked for it first.
    pub(crate) fn hosts_of(&mut self, key: Key) -> Option<(HostId, HostId)> {
        let connection = self.connections.get(key)?;
        Some((HostId(connection.ends[0].host), HostId(connection.ends[1].host)))
    }

    fn send_datagram(&mut self, now: Duration, from: u16, to: u16, packet: Packet) {
        if matches!(self.fate(from, to, None), Fate::Passes) {
            let leaves = self.wire_free(now, from, to, packet.size());
            let at = leaves + self.latency(from, to);
            self.plan(at, Due::Arrival { packet, connection: None, order: 0, sent: now, leaves });
        }
    }

    fn latency(&mut self, from: u16, to: u16) -> Duration {
        self.links.get(from, to).draw_latency(&mut self.timing)
    }

    /// When a packet of that size has left the host.
    fn wire_free(&mut self, now: Duration, from: u16, to: u16, size: u32) -> Duration {
        let Some(bytes_per_second) = self.links.get(from, to).bytes_per_second else { return now };
        let takes = u64::from(size).saturating_mul(1_000_000_000) / bytes_per_second.max(1);
        let busy = self.busy_until.entry((from, to)).or_insert(now);
        *busy = (*busy).max(now) + Duration::from_nanos(takes);
        *busy
    }

    pub(crate) fn machine_is_on(&self, host: u16) -> bool {
        self.machines.get(usize::from(host)).is_some_and(|machine| machine.on)
    }

    /// turmoil gives out 192.168.0.1, 192.168.0.2 … in the order in which hosts are declared.
    fn host_at(&self, address: IpAddr) -> u16 {
        let IpAddr::V4(address) = address else { return NOBODY };
        let [192, 168, high, low] = address.octets() else { return NOBODY };
        u16::from_be_bytes([high, low])
            .checked_sub(1)
            .filter(|&host| usize::from(host) < self.machines.len())
            .unwrap_or(NOBODY)
    }

    pub(crate) fn plan(&mut self, at: Duration, due: Due) {
        let tie = self.ties.word();
        self.plan_with(at, tie, due, false);
    }

    fn plan_with(&mut self, at: Duration, tie: u64, due: Due, unhurried: bool) {
        self.numbers += 1;
        let plan = if unhurried { &mut self.unhurried } else { &mut self.planned };
        plan.push(Planned { at, tie, number: self.numbers, due });
    }
}

/// The address of a host, by its place in the order of declaration.
pub(crate) fn address_of(host: u16) -> Ipv4Addr {
    let [high, low] = (host + 1).to_be_bytes();
    Ipv4Addr::new(192, 168, high, low)
}

enum Fate {
    Passes,
    Held,
    Lost,
}

fn addresses(packet: &Packet) -> (SocketAddr, SocketAddr) {
    let (from, to) = match &packet.payload {
        Transport::Tcp(segment) => (segment.src_port, segment.dst_port),
        Transport::Udp(datagram) => (datagram.src_port, datagram.dst_port),
    };
    (SocketAddr::new(packet.src, from), SocketAddr::new(packet.dst, to))
}

/// What a segment tells the end that it reaches; the event to record, if it tells something worth one.
fn note_arrival(now: Duration, receiver: &mut End, segment: &TcpSegment) -> Option<EventKind> {
    let bytes = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX);
    let mut kind = None;
    if segment.flags.ack {
        receiver.is_acknowledged(now, segment.ack);
        receiver.peer_window = segment.window;
    }
    if segment.flags.syn {
        receiver.reached = true;
        receiver.received_end = segment.seq.wrapping_add(1);
        // The answer to the request establishes the asking end.
        if segment.flags.ack {
            receiver.established = true;
        }
    } else if segment.flags.ack && !receiver.established {
        // The acknowledgement of that answer establishes the other one.
        receiver.established = true;
        kind = Some(EventKind::ConnectionEstablished);
    }
    if bytes > 0 && segment.seq == receiver.received_end {
        receiver.received_end = segment.seq.wrapping_add(bytes);
        receiver.unread += segment.payload.len();
        kind = Some(EventKind::Delivered { bytes });
    }
    if segment.flags.fin && segment.seq.wrapping_add(bytes) == receiver.received_end {
        receiver.received_end = receiver.received_end.wrapping_add(1);
        kind = Some(EventKind::Finished);
    }
    kind
}

impl PartialEq for Planned {
    fn eq(&self, other: &Planned) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Planned) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    /// The earliest is the greatest, because the heap gives the greatest first.
    fn cmp(&self, other: &Planned) -> Ordering {
        (other.at, other.tie, other.number).cmp(&(self.at, self.tie, self.number))
    }
}

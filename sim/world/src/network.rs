//! The network of a running world: its links, its connections, and its scheduled actions.
//!
//! Its methods are in `calls` (socket calls of applications), `transit` (whether and when a segment
//! arrives), `arrival` (processing of arrived segments) and `faults`. Only ends that have something
//! to send are visited, so the cost of a run grows with its number of segments.

use crate::connection::{Connections, EndKey, Key};
use crate::history::{ConnectionId, Event, EventKind, History, HostId, Keep, Observer, nanoseconds};
use crate::link::{Link, Links, Selection};
use crate::machine::{Machine, NOBODY};
use crate::seed::{Draw, Seed};
use crate::segment::Segment;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

/// How long an end waits for an acknowledgement before it gives up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) request: Duration,
    pub(crate) data: Duration,
}

/// A segment in transit from one end to the other.
#[derive(Debug)]
pub(crate) struct UnderWay {
    pub(crate) from: EndKey,
    pub(crate) segment: Segment,
    pub(crate) order: u64,
    pub(crate) sent: Duration,
    /// When it has left its host completely, which takes time with limited bandwidth.
    pub(crate) leaves: Duration,
}

#[derive(Debug)]
pub(crate) enum Due {
    Arrival(UnderWay),
    Retry { end: EndKey, at: Duration },
    GiveUp { end: EndKey },
}

/// Small, because a heap moves its entries often.
#[derive(Debug)]
struct Planned {
    /// Nanoseconds since the start, then the place among what is due at the same time: one number,
    /// which is compared at once.
    order: u128,
    number: u64,
    /// The place of what is due.
    place: u32,
}

/// What is due, by place.
#[derive(Debug, Default)]
struct Dues {
    places: Vec<Option<Due>>,
    free: Vec<u32>,
}

impl Dues {
    fn put(&mut self, due: Due) -> u32 {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(due);
            return place;
        }
        self.places.push(Some(due));
        u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
    }

    fn take(&mut self, place: u32) -> Option<Due> {
        self.free.push(place);
        self.places.get_mut(place as usize)?.take()
    }
}

pub(crate) struct Network {
    pub(crate) machines: Vec<Machine>,
    pub(crate) links: Links,
    pub(crate) connections: Connections,
    planned: BinaryHeap<Planned>,
    /// Acknowledgements whose arrival time affects nothing: they are delivered together with the
    /// next other event, so that they need no turn of the runtime.
    unhurried: BinaryHeap<Planned>,
    dues: Dues,
    numbers: u64,
    pub(crate) timing: Draw,
    pub(crate) loss: Draw,
    pub(crate) ties: Draw,
    pub(crate) patience: Patience,
    /// When a link with limited bandwidth can transmit again.
    pub(crate) busy_until: BTreeMap<(u16, u16), Duration>,
    /// The ends that may have something to send, in the order in which they were listed.
    pub(crate) speakers: Vec<EndKey>,
    pub(crate) listeners: u64,
    pub(crate) history: History,
    pub(crate) segments: u64,
    pub(crate) sweeps: u64,
}

impl Network {
    pub(crate) fn new(
        hosts: u16,
        usual: Link,
        patience: Patience,
        seed: &Seed,
        keep: Keep,
        observer: Option<Observer>,
    ) -> Network {
        Network {
            machines: (0..hosts).map(|_| Machine::new()).collect(),
            links: Links::new(usual, hosts),
            connections: Connections::default(),
            planned: BinaryHeap::new(),
            unhurried: BinaryHeap::new(),
            dues: Dues::default(),
            numbers: 0,
            timing: seed.child("link timing").draw(),
            loss: seed.child("link loss").draw(),
            ties: seed.child("arrival order").draw(),
            patience,
            busy_until: BTreeMap::new(),
            speakers: Vec::new(),
            listeners: 0,
            history: History::new(keep, observer),
            segments: 0,
            sweeps: 0,
        }
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

    /// Records an event at an end. Connections of a host to itself are not recorded.
    pub(crate) fn record_end(&mut self, at: Duration, end: EndKey, kind: EventKind, bytes: &[u8]) {
        let Some(connection) = self.connections.get(end.key).filter(|connection| !connection.local) else {
            return;
        };
        let (host, id) = (connection.ends[usize::from(end.side)].host, connection.id);
        self.record_with(at, Some(host), Some(id), kind, bytes);
    }

    fn record_with(
        &mut self,
        at: Duration,
        host: Option<u16>,
        connection: Option<ConnectionId>,
        kind: EventKind,
        bytes: &[u8],
    ) {
        if self.history.only_counts() {
            self.history.count();
            return;
        }
        let host = host.filter(|&host| host != NOBODY);
        let incarnation = host.map_or(0, |host| self.machines[usize::from(host)].incarnation);
        let event = Event { at, host: host.map(HostId), incarnation, connection, kind };
        self.history.record(event, bytes);
    }

    /// The time of the next scheduled action.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.planned.peek().map(Planned::at)
    }

    /// Delivers the postponed acknowledgements.
    pub(crate) fn deliver_unhurried(&mut self, now: Duration) {
        while self.unhurried.peek().is_some_and(|planned| planned.at() <= now) {
            let Some(planned) = self.unhurried.pop() else { return };
            self.fulfil(planned.at(), planned.place);
        }
    }

    /// Executes all actions that are due.
    pub(crate) fn deliver_due(&mut self, now: Duration) {
        while self.planned.peek().is_some_and(|planned| planned.at() <= now) {
            let Some(planned) = self.planned.pop() else { return };
            self.fulfil(now, planned.place);
        }
    }

    fn fulfil(&mut self, now: Duration, place: u32) {
        match self.dues.take(place) {
            Some(Due::Arrival(under_way)) => self.arrive(now, under_way),
            Some(Due::Retry { end, at }) => self.retry(now, end, at),
            Some(Due::GiveUp { end }) => self.consider_giving_up(now, end),
            None => {}
        }
    }

    pub(crate) fn plan(&mut self, at: Duration, due: Due) {
        let tie = self.ties.word();
        self.plan_with(at, tie, due, false);
    }

    pub(crate) fn plan_with(&mut self, at: Duration, tie: u64, due: Due, unhurried: bool) {
        self.numbers += 1;
        let plan = if unhurried { &mut self.unhurried } else { &mut self.planned };
        let order = u128::from(nanoseconds(at)) << 64 | u128::from(tie);
        plan.push(Planned { order, number: self.numbers, place: self.dues.put(due) });
    }

    pub(crate) fn select(&self, selection: Selection) -> Vec<Key> {
        self.connections.select(|from, to| selection.covers(from.0, to.0))
    }

    /// The connection's number, its connecting host and its accepting host.
    pub(crate) fn describe(&mut self, key: Key) -> Option<(ConnectionId, HostId, HostId)> {
        let connection = self.connections.get(key)?;
        Some((connection.id, HostId(connection.ends[0].host), HostId(connection.ends[1].host)))
    }

    pub(crate) fn machine_is_on(&self, host: u16) -> bool {
        self.machines.get(usize::from(host)).is_some_and(|machine| machine.on)
    }

    /// Removes a connection that is over and not held by an application, and frees its port.
    pub(crate) fn settle(&mut self, key: Key) {
        let Some((host, address)) = self.connections.settle(key) else { return };
        if let Some(machine) = self.machines.get_mut(usize::from(host))
            && machine.asked_from.get(&address.port()) == Some(&key)
        {
            machine.asked_from.remove(&address.port());
        }
    }
}

impl Planned {
    fn at(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.order >> 64).unwrap_or(u64::MAX))
    }
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
    /// The earliest is the greatest, because the heap returns the greatest first.
    fn cmp(&self, other: &Planned) -> Ordering {
        (other.order, other.number).cmp(&(self.order, self.number))
    }
}

//! Arrivals on the connections of the executor that no line has taken.

use std::rc::Rc;

use mqttspec_codec::{Packet, Role};
use mqttspec_judge::history::HostIndex;

use crate::hosts::{Hosts, PlayedBy};
use crate::recorder::{Arrival, Arrived, Recorder};

pub(crate) struct Inboxes {
    recorder: Rc<Recorder>,
    hosts: Rc<Hosts>,
}

impl Inboxes {
    pub(crate) fn new(recorder: Rc<Recorder>, hosts: Rc<Hosts>) -> Self {
        Self { recorder, hosts }
    }

    /// The oldest arrival on any of the hosts. It is not taken. `connect` skips ends of
    /// connections, for a line that expects a CONNECT on a new one.
    pub(crate) fn oldest(&self, hosts: &[HostIndex], connect: bool) -> Option<(HostIndex, Arrival)> {
        let found =
            hosts.iter().filter_map(|host| self.front(*host, connect).map(|arrival| (*host, arrival)));
        found.min_by_key(|(_, arrival)| arrival.event)
    }

    /// The oldest arrival on a host. Arrivals that need not be compared are dropped.
    pub(crate) fn front(&self, host: HostIndex, connect: bool) -> Option<Arrival> {
        let dials = self.hosts.observer() == Role::Client;
        self.recorder.with_host(host, |state| {
            loop {
                let front = state.inbox.front()?;
                let skipped = match &front.what {
                    // The previous connection was judged when the executor opened the new one.
                    _ if dials && front.connection < state.number => true,
                    Arrived::Packet(Packet::PingResp) if state.owed_pings > 0 => {
                        state.owed_pings -= 1;
                        true
                    }
                    // The end of the previous connection must arrive first.
                    _ if !connect && state.replaced.is_some_and(|(number, _)| number < front.connection) => {
                        return None;
                    }
                    // A CONNECT starts a new connection, so the previous one has ended.
                    Arrived::Ended(_) if connect => true,
                    _ => state.ignored && front.connection == state.number,
                };
                if !skipped {
                    return Some(front.clone());
                }
                state.inbox.pop_front();
            }
        })
    }

    /// The oldest packet on a host, also after the end of a connection.
    pub(crate) fn first_packet(&self, host: HostIndex) -> Option<Arrival> {
        // Arrivals that do not count are dropped.
        let _ = self.front(host, false);
        self.recorder.with_host(host, |state| {
            let ignored = |arrival: &Arrival| state.ignored && arrival.connection == state.number;
            let mut packets = state.inbox.iter().filter(|arrival| !matches!(arrival.what, Arrived::Ended(_)));
            packets.find(|arrival| !ignored(arrival)).cloned()
        })
    }

    /// What arrived on a host after an event, the oldest first. Nothing is taken or dropped.
    pub(crate) fn after(&self, host: HostIndex, event: usize) -> Vec<Arrival> {
        self.recorder.with_host(host, |state| {
            state.inbox.iter().filter(|arrival| arrival.event > event).cloned().collect()
        })
    }

    /// Whether anything can still arrive on one of the hosts.
    pub(crate) fn can_arrive(&self, hosts: &[HostIndex]) -> bool {
        self.hosts.observer() == Role::Server || hosts.iter().any(|host| self.is_open(*host))
    }

    pub(crate) fn is_open(&self, host: HostIndex) -> bool {
        self.recorder.with_host(host, |state| state.open)
    }

    /// Takes the oldest arrival, and notes that the current line is about it.
    pub(crate) fn take(&self, host: HostIndex, arrival: &Arrival) {
        self.drop_front(host);
        self.recorder.with_host(host, |state| {
            state.replaced.take_if(|(number, _)| *number < arrival.connection);
        });
        self.recorder.answered(arrival.event, self.recorder.line());
    }

    pub(crate) fn drop_front(&self, host: HostIndex) {
        self.recorder.with_host(host, |state| state.inbox.pop_front());
    }

    pub(crate) fn clear(&self, host: HostIndex) {
        self.recorder.with_host(host, |state| state.inbox.clear());
    }

    /// Notes that nothing more is compared on the newest connection.
    pub(crate) fn ignore(&self, host: HostIndex) {
        self.recorder.with_host(host, |state| state.ignored = true);
    }

    /// Notes that a PINGRESP will arrive that no line expects.
    pub(crate) fn owe_ping(&self, host: HostIndex) {
        self.recorder.with_host(host, |state| state.owed_pings += 1);
    }

    /// Whether the executor can send on the newest connection.
    pub(crate) fn is_usable(&self, host: HostIndex) -> bool {
        self.recorder.with_host(host, |state| state.open && !state.provoked)
    }

    /// Whether the peer has ended the newest connection after `anything`: no line compares that.
    pub(crate) fn ended_unwatched(&self, host: HostIndex) -> bool {
        self.recorder.with_host(host, |state| state.ignored && !state.open && !state.provoked)
    }

    /// The end of the newest connection, if the peer ended it and no line has taken the end.
    pub(crate) fn unseen_end(&self, host: HostIndex) -> Option<Arrival> {
        self.recorder.with_host(host, |state| {
            let ended = state.inbox.iter().find(|arrival| matches!(arrival.what, Arrived::Ended(_)));
            ended.filter(|_| !state.provoked).cloned()
        })
    }

    /// A packet on the newest connection that no line has taken, unless the scenario ended the
    /// connection.
    pub(crate) fn left_over(&self, host: HostIndex) -> Option<Arrival> {
        let runs_peer = self.hosts.is_played_by(self.hosts.name(host), PlayedBy::Peer);
        if runs_peer && self.hosts.observer() == Role::Client {
            return None;
        }
        let (provoked, troubled) = self.recorder.with_host(host, |state| (state.provoked, state.troubled));
        self.front(host, true).filter(|arrival| match arrival.what {
            Arrived::Packet(Packet::Disconnect(_)) if troubled => false,
            Arrived::Ended(_) | Arrived::Handshake(_) => false,
            _ => !provoked,
        })
    }
}

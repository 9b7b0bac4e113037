//! The faults of a network, and what an end of a connection does when it gives up.

use crate::connection::{Gone, Key, reset};
use crate::history::{EventKind, HostId};
use crate::link::{LinkChange, Selection};
use crate::network::{Due, Network};
use std::time::Duration;

impl Network {
    /// An acknowledgement may be overdue.
    pub(crate) fn consider_giving_up(&mut self, now: Duration, key: Key, side: usize) {
        let patience = self.patience;
        let Some(connection) = self.connections.get(key) else { return };
        let asking = side == 0 && !connection.ends[0].established;
        let end = &mut connection.ends[side];
        let Some(since) = end.unacknowledged_since else {
            end.give_up_planned = false;
            return;
        };
        let at = since + if asking { patience.request } else { patience.data };
        if at > now {
            self.plan(at, Due::GiveUp { connection: key, end: side });
            return;
        }
        let host = end.host;
        self.record(now, Some(host), Some(key.id), EventKind::TimedOut);
        self.break_end(key, side, Gone::TimedOut);
        if asking
            && let Some(connection) = self.connections.get(key)
            && !connection.ends[1].reached
        {
            connection.ends[1].give_up(Gone::TimedOut);
        }
        self.connections.remove_if_over(key);
    }

    /// Makes an end's socket fail, without a word to the peer.
    fn break_end(&mut self, key: Key, side: usize, why: Gone) {
        let Some(connection) = self.connections.get(key) else { return };
        let was_gone = connection.ends[side].is_gone();
        connection.ends[side].give_up(why);
        let own = connection.ends[side].address;
        let peer = connection.ends[1 - side].address;
        if !was_gone && let Some(guard) = &self.guard {
            guard.deliver(reset(peer, own));
        }
    }

    /// Resets connections: both ends learn of it at once, and what is under way is lost.
    pub(crate) fn reset_connections(&mut self, now: Duration, keys: &[Key]) {
        for &key in keys {
            for side in 0..2 {
                let Some(connection) = self.connections.get(key) else { continue };
                let end = &connection.ends[side];
                let (host, was_gone) = (end.host, end.is_gone());
                if !was_gone && self.machine_is_on(host) {
                    self.record(now, Some(host), Some(key.id), EventKind::Reset);
                    self.break_end(key, side, Gone::Reset);
                } else if let Some(connection) = self.connections.get(key) {
                    connection.ends[side].give_up(Gone::Reset);
                }
            }
            self.connections.remove_if_over(key);
        }
    }

    /// A process gives its own connection up with a reset to its peer.
    pub(crate) fn abort(&mut self, now: Duration, key: Key, side: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.ends[side].is_gone() {
            return;
        }
        let own = connection.ends[side].address;
        let peer = connection.ends[1 - side].address;
        self.break_end(key, side, Gone::Reset);
        self.pass_or_lose(now, reset(own, peer), Some((key, side)), u64::MAX, now);
        self.connections.remove_if_over(key);
    }

    /// A process no longer waits for its connection: the request is not sent again.
    pub(crate) fn withdraw(&mut self, key: Key) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.ends[0].established {
            return;
        }
        let never_left = !connection.ends[0].waiting.is_empty();
        connection.ends[0].give_up(Gone::Reset);
        if never_left {
            connection.ends[1].give_up(Gone::Reset);
        }
        self.connections.remove_if_over(key);
    }

    pub(crate) fn blackhole(&mut self, now: Duration, keys: &[Key]) {
        for &key in keys {
            if let Some(connection) = self.connections.get(key) {
                connection.blackholed = true;
                self.record(now, None, Some(key.id), EventKind::Blackholed);
            }
        }
    }

    pub(crate) fn change_links(&mut self, now: Duration, selection: Selection, change: &LinkChange) {
        self.links.apply(selection, change);
        if selection == Selection::Everywhere {
            self.record(now, None, None, EventKind::EveryLinkChanged { change: change.clone() });
        } else {
            for (from, to) in self.links.pairs(selection) {
                self.record(
                    now,
                    Some(from),
                    None,
                    EventKind::LinkChanged { to: HostId(to), change: change.clone() },
                );
            }
        }
        if matches!(change, LinkChange::Released | LinkChange::Healed) {
            for key in self.select(selection) {
                for side in 0..2 {
                    let Some(connection) = self.connections.get(key) else { continue };
                    // What was lost waits for its own retry; what was held waits for nothing else.
                    if connection.ends[side].retry_at.is_none() {
                        self.send_waiting(now, key, side);
                    }
                }
            }
        }
    }

    /// The power of a machine fails: its sockets fail without a word, and what waits in it never leaves.
    pub(crate) fn power_off(&mut self, now: Duration, host: u16) {
        for key in self.select(Selection::Around(host)) {
            for side in 0..2 {
                let Some(connection) = self.connections.get(key) else { continue };
                let end = &connection.ends[side];
                if end.host != host {
                    continue;
                }
                // The listener throws away an end that it has not established yet; a reset would leave it behind.
                if end.established || side == 0 {
                    self.break_end(key, side, Gone::Reset);
                } else {
                    connection.ends[side].give_up(Gone::Reset);
                }
            }
            self.connections.remove_if_over(key);
        }
        let machine = &mut self.machines[usize::from(host)];
        machine.on = false;
        machine.power_lost = Some(now);
        machine.requests.clear();
        machine.stalled = false;
        machine.stalled_readers.clear();
    }
}

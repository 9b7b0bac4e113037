//! Network faults, and the time-out of an end of a connection.

use crate::connection::{EndKey, Gone, Key};
use crate::history::{EventKind, HostId};
use crate::link::{LinkChange, Selection};
use crate::network::{Due, Network};
use std::task::Waker;
use std::time::Duration;

impl Network {
    /// Times an end out if its acknowledgement is overdue.
    pub(crate) fn consider_giving_up(&mut self, now: Duration, end: EndKey) {
        let patience = self.patience;
        let Some(waiting) = self.connections.end(end) else { return };
        let asking = end.side == 0 && !waiting.established;
        let Some(since) = waiting.unacknowledged_since else {
            waiting.give_up_planned = false;
            return;
        };
        let at = since + if asking { patience.request } else { patience.data };
        if at > now {
            self.plan(at, Due::GiveUp { end });
            return;
        }
        waiting.give_up(Gone::TimedOut);
        self.record_end(now, end, EventKind::TimedOut, &[]);
        if asking && let Some(asked) = self.connections.end(end.other()).filter(|asked| !asked.reached) {
            asked.give_up(Gone::TimedOut);
        }
        self.settle(end.key);
    }

    /// Resets connections: both ends see it at once, and segments in transit are lost.
    pub(crate) fn reset_connections(&mut self, now: Duration, keys: &[Key]) {
        for &key in keys {
            for side in 0..2 {
                let end = EndKey { key, side };
                let Some(broken) = self.connections.end(end) else { continue };
                let (host, was_gone) = (broken.host, broken.is_gone());
                broken.give_up(Gone::Reset);
                if !was_gone && self.machine_is_on(host) {
                    self.record_end(now, end, EventKind::Reset, &[]);
                }
            }
            self.settle(key);
        }
    }

    pub(crate) fn blackhole(&mut self, now: Duration, keys: &[Key]) {
        for &key in keys {
            if let Some(connection) = self.connections.get(key) {
                connection.blackholed = true;
                let id = connection.id;
                self.record(now, None, Some(id), EventKind::Blackholed);
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
                    let end = EndKey { key, side };
                    // A lost segment waits for its own retry; a held segment can be sent now.
                    if self.connections.end(end).is_some_and(|sender| sender.retry_at.is_none()) {
                        self.send_waiting(now, end);
                    }
                }
            }
        }
    }

    /// A machine loses power: its sockets disappear without notice to their peers, and queued
    /// segments are never sent.
    pub(crate) fn power_off(&mut self, now: Duration, host: u16) {
        for key in self.connections.of_host(host) {
            for side in 0..2 {
                let end = self.connections.end(EndKey { key, side });
                if let Some(end) = end.filter(|end| end.host == host) {
                    end.give_up(Gone::Reset);
                    end.socket.detach();
                }
            }
            self.settle(key);
        }
        let machine = &mut self.machines[usize::from(host)];
        machine.on = false;
        machine.power_lost = Some(now);
        machine.stalled = false;
        machine.stalled_readers.drain(..).for_each(Waker::wake);
        let listening = std::mem::take(&mut machine.listening);
        listening.into_values().flat_map(|listening| listening.wakers).for_each(Waker::wake);
    }
}

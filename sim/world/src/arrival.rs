//! Processes segments that arrive at an end of a connection.

use crate::connection::{EndKey, Gone, Key};
use crate::history::EventKind;
use crate::machine::BACKLOG;
use crate::network::{Network, UnderWay};
use crate::segment::{Kind, Segment};
use std::task::Waker;
use std::time::Duration;

impl Network {
    /// Delivers a segment to its destination.
    pub(crate) fn hand_over(&mut self, now: Duration, under_way: UnderWay) {
        let UnderWay { from, segment, order, sent, .. } = under_way;
        self.segments += 1;
        let to = from.other();
        let Some(connection) = self.connections.get(from.key) else { return };
        if connection.over {
            return;
        }
        let receiver = &mut connection.ends[usize::from(to.side)];
        if receiver.is_gone() {
            // The machine does not know this connection, or no longer knows it.
            if segment.kind != Kind::Reset {
                self.answer_with_reset(now, to);
            }
            return;
        }
        match segment.kind {
            Kind::Reset => self.is_reset(now, to),
            Kind::Request => self.is_asked(now, from, segment, order, sent),
            Kind::Answer => {
                receiver.reached = true;
                receiver.established = true;
                receiver.hears(now, &segment, order);
                receiver.socket.is_opened_by(&segment);
                if let Some(waker) = receiver.socket.reader.take() {
                    waker.wake();
                }
                self.list(to);
            }
            Kind::Plain => self.goes_on(now, to, segment, order),
        }
    }

    fn is_reset(&mut self, now: Duration, to: EndKey) {
        let Some(connection) = self.connections.get(to.key) else { return };
        let receiver = &connection.ends[usize::from(to.side)];
        let was_asking = to.side == 0 && !receiver.established;
        connection.ends.iter_mut().for_each(|end| end.give_up(Gone::Reset));
        let kind = if was_asking { EventKind::ConnectionRefused } else { EventKind::Reset };
        self.record_end(now, to, kind, &[]);
        self.settle(to.key);
    }

    /// A connection request arrives at a machine.
    fn is_asked(&mut self, now: Duration, from: EndKey, segment: Segment, order: u64, sent: Duration) {
        let to = from.other();
        let Some(end) = self.connections.end(to) else { return };
        let (host, port) = (end.host, end.address.port());
        let listening = self.machines.get(usize::from(host)).and_then(|machine| machine.listening.get(&port));
        match listening.map(|listening| listening.ready.len() < BACKLOG) {
            None => self.answer_with_reset(now, to),
            // The backlog is full: the request is dropped, and its sender retries it.
            Some(false) => self.lose(now, from, segment, order, sent),
            Some(true) => {
                if let Some(end) = self.connections.end(to) {
                    end.reached = true;
                    end.hears(now, &segment, order);
                    end.socket.is_opened_by(&segment);
                    end.socket.opens = Some(Kind::Answer);
                }
                self.list(to);
            }
        }
    }

    /// Bytes, a FIN or an acknowledgement arrive at an end.
    fn goes_on(&mut self, now: Duration, to: EndKey, segment: Segment, order: u64) {
        let Some(end) = self.connections.end(to) else { return };
        if !end.established && !self.is_established(now, to) {
            return;
        }
        let Some(end) = self.connections.end(to) else { return };
        end.hears(now, &segment, order);
        let mut next = end.socket.in_order(segment);
        while let Some(segment) = next {
            if !self.takes(now, to, segment) {
                return;
            }
            next = self.connections.end(to).and_then(|end| end.socket.next_in_order());
        }
        self.list(to);
        self.settle(to.key);
    }

    /// Passes the next bytes, or the FIN, to the application. Returns false if the application has
    /// closed its socket.
    fn takes(&mut self, now: Duration, to: EndKey, segment: Segment) -> bool {
        let is_attached = self.connections.end(to).is_some_and(|end| end.socket.attached);
        if !segment.bytes.is_empty() && !is_attached {
            // The process closed its socket and will never read this (RFC 9293 §3.10.7.4, as on
            // Linux).
            self.answer_with_reset(now, to);
            return false;
        }
        if !segment.bytes.is_empty() {
            let bytes = u32::try_from(segment.bytes.len()).unwrap_or(u32::MAX);
            self.record_end(now, to, EventKind::Delivered { bytes }, &segment.bytes);
            if let Some(end) = self.connections.end(to) {
                end.socket.takes(segment.bytes);
            }
        }
        if segment.finishes {
            self.record_end(now, to, EventKind::Finished, &[]);
            if let Some(end) = self.connections.end(to) {
                end.socket.sees_end();
            }
        }
        true
    }

    /// The last step of the handshake arrives at the accepting end. Returns false if no process
    /// listens any more.
    fn is_established(&mut self, now: Duration, to: EndKey) -> bool {
        let Some(end) = self.connections.end(to) else { return false };
        let (host, port) = (end.host, end.address.port());
        let machine = self.machines.get_mut(usize::from(host));
        let Some(listening) = machine.and_then(|machine| machine.listening.get_mut(&port)) else {
            self.answer_with_reset(now, to);
            return false;
        };
        listening.ready.push_back(to.key);
        listening.wakers.drain(..).for_each(Waker::wake);
        end.established = true;
        end.socket.attached = true;
        self.record_end(now, to, EventKind::ConnectionEstablished, &[]);
        true
    }

    /// Closes an end and sends a reset to its peer.
    pub(crate) fn answer_with_reset(&mut self, now: Duration, end: EndKey) {
        if let Some(end) = self.connections.end(end) {
            end.give_up(Gone::Reset);
        }
        self.pass_or_lose(now, end, Segment::reset(), u64::MAX, now);
        self.settle(end.key);
    }

    /// Closes an end that no process uses any more, as a machine does when a file descriptor is
    /// closed.
    pub(crate) fn close(&mut self, now: Duration, end: EndKey) {
        let Some(closing) = self.connections.end(end).filter(|closing| closing.socket.attached) else {
            return;
        };
        let unread = closing.socket.unread();
        let is_open = !closing.is_gone();
        closing.socket.detach();
        if is_open && unread > 0 {
            // The peer must be notified that not all bytes were read (RFC 2525 §2.17).
            self.answer_with_reset(now, end);
        } else if is_open {
            closing.socket.finish();
            self.list(end);
        }
        self.settle(end.key);
    }

    /// Stops listening and resets connections that were not accepted.
    pub(crate) fn stop_listening(&mut self, now: Duration, host: u16, port: u16, number: u64) {
        let Some(machine) = self.machines.get_mut(usize::from(host)) else { return };
        if machine.listening.get(&port).is_none_or(|listening| listening.number != number) {
            return;
        }
        let Some(listening) = machine.listening.remove(&port) else { return };
        listening.wakers.into_iter().for_each(Waker::wake);
        for key in listening.ready {
            self.drop_unaccepted(now, key);
        }
    }

    fn drop_unaccepted(&mut self, now: Duration, key: Key) {
        let end = EndKey { key, side: 1 };
        let Some(unaccepted) = self.connections.end(end) else { return };
        let is_open = !unaccepted.is_gone();
        unaccepted.socket.detach();
        if is_open {
            self.answer_with_reset(now, end);
        }
        self.settle(key);
    }
}

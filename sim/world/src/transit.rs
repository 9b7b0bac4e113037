//! The transit of segments: takes them from the ends that have something to send, and decides
//! whether and when they arrive.
//!
//! A *speaker* is an end of a connection that has something to send; it is *listed* once. A *sweep*
//! sends all that the speakers have. The *tie* of a segment is its place among those that arrive at
//! the same instant. An *unhurried* segment is an acknowledgement whose arrival time affects
//! nothing.

use crate::connection::{EndKey, Waiting, retry_after};
use crate::history::EventKind;
use crate::network::{Due, Network, UnderWay};
use crate::segment::{Kind, Segment};
use std::time::Duration;

enum Fate {
    Passes,
    Held,
    Lost,
}

impl Network {
    /// Adds an end to the list of ends that may have something to send.
    pub(crate) fn list(&mut self, end: EndKey) {
        let Some(speaker) = self.connections.end(end) else { return };
        if !speaker.socket.listed && speaker.socket.has_something_to_send() {
            speaker.socket.listed = true;
            self.speakers.push(end);
        }
    }

    /// Sends everything that the listed ends have to send.
    pub(crate) fn sweep(&mut self, now: Duration) {
        if self.speakers.is_empty() {
            return;
        }
        self.sweeps += 1;
        let mut speakers = std::mem::take(&mut self.speakers);
        for &end in &speakers {
            if let Some(speaker) = self.connections.end(end) {
                speaker.socket.listed = false;
            }
            while let Some(segment) = self.next_segment(end) {
                self.send(now, end, segment);
            }
            self.settle(end.key);
        }
        speakers.clear();
        // Sending delivers nothing at once, so no end was added meanwhile.
        self.speakers = speakers;
    }

    fn next_segment(&mut self, end: EndKey) -> Option<Segment> {
        let speaker = self.connections.end(end)?;
        if speaker.is_gone() {
            return None;
        }
        speaker.socket.next_segment(speaker.established)
    }

    /// A host's machine hands a segment to the network.
    fn send(&mut self, now: Duration, from: EndKey, segment: Segment) {
        let patience = self.patience;
        let Some(connection) = self.connections.get(from.key) else { return };
        let refused = connection.refused;
        let end = &mut connection.ends[usize::from(from.side)];
        let order = end.next_order();
        if segment.length() > 0 {
            end.unacknowledged_since.get_or_insert(now);
        }
        let plan_to_give_up = end.unacknowledged_since.is_some() && !end.give_up_planned;
        end.give_up_planned |= plan_to_give_up;
        if plan_to_give_up {
            let patience = if segment.kind == Kind::Request { patience.request } else { patience.data };
            self.plan(now + patience, Due::GiveUp { end: from });
        }
        if !refused {
            self.send_in_order(now, from, segment, order);
        }
    }

    fn send_in_order(&mut self, now: Duration, from: EndKey, segment: Segment, order: u64) {
        let Some(end) = self.connections.end(from) else { return };
        if end.waiting.iter().any(|waiting| !waiting.segment.is_bare_acknowledgement()) {
            // An earlier segment was lost: all later ones wait for it.
            let is_bare = segment.is_bare_acknowledgement();
            if is_bare && end.waiting.back().is_some_and(|last| last.segment.is_bare_acknowledgement()) {
                end.waiting.pop_back();
            }
            end.wait(Waiting { order, segment });
            return;
        }
        // This segment supersedes queued acknowledgements.
        end.waiting.clear();
        end.times_lost = 0;
        end.retry_at = None;
        self.pass_or_lose(now, from, segment, order, now);
    }

    /// Tries to send a segment. Returns true if it is in transit.
    pub(crate) fn pass_or_lose(
        &mut self,
        now: Duration,
        from: EndKey,
        segment: Segment,
        order: u64,
        sent: Duration,
    ) -> bool {
        let Some((source, target, local)) = self.hosts(from) else { return false };
        if local {
            let arrival = UnderWay { from, segment, order, sent, leaves: now };
            self.plan_with(now, 0, Due::Arrival(arrival), false);
            return true;
        }
        match self.fate(source, target, from) {
            Fate::Passes => {
                let leaves = self.wire_free(now, source, target, segment.size());
                let mut at = leaves + self.links.get(source, target).draw_latency(&mut self.timing);
                let mut tie = self.ties.word();
                let mut unhurried = false;
                if let Some(connection) = self.connections.get(from.key) {
                    let end = &mut connection.ends[usize::from(from.side)];
                    at = at.max(end.last_arrival);
                    if at == end.last_arrival {
                        tie = end.tie;
                    }
                    (end.last_arrival, end.tie) = (at, tie);
                    // A segment that is due now is planned as usual: later ones must not overtake.
                    unhurried = at > now
                        && segment.is_bare_acknowledgement()
                        && connection.ends[usize::from(1 - from.side)].can_wait_for_acknowledgement();
                }
                let arrival = UnderWay { from, segment, order, sent, leaves };
                self.plan_with(at, tie, Due::Arrival(arrival), unhurried);
                true
            }
            Fate::Held => {
                self.keep_waiting(from, segment, order);
                false
            }
            Fate::Lost => {
                self.lose(now, from, segment, order, now);
                false
            }
        }
    }

    /// The host of the end, the host of its peer, and whether they are the same.
    fn hosts(&mut self, from: EndKey) -> Option<(u16, u16, bool)> {
        let connection = self.connections.get(from.key)?;
        let [asked_by, asked] = &connection.ends;
        let (source, target) =
            if from.side == 0 { (asked_by.host, asked.host) } else { (asked.host, asked_by.host) };
        Some((source, target, connection.local))
    }

    fn is_blackholed(&mut self, end: EndKey) -> bool {
        self.connections.get(end.key).is_some_and(|connection| connection.blackholed)
    }

    fn fate(&mut self, source: u16, target: u16, end: EndKey) -> Fate {
        if self.is_blackholed(end) || !self.machine_is_on(target) {
            return Fate::Lost;
        }
        let link = self.links.get(source, target);
        if link.is_partitioned() {
            return Fate::Lost;
        }
        if link.held {
            return Fate::Held;
        }
        let loss = link.loss();
        if self.loss.chance(loss) { Fate::Lost } else { Fate::Passes }
    }

    pub(crate) fn lose(&mut self, now: Duration, from: EndKey, segment: Segment, order: u64, sent: Duration) {
        if segment.kind == Kind::Reset {
            // A reset is not retried: the peer notices when it next sends.
            return;
        }
        let is_request = segment.kind == Kind::Request;
        let bytes = u32::try_from(segment.bytes.len()).unwrap_or(u32::MAX);
        let Some(connection) = self.connections.get(from.key) else { return };
        if connection.ends[usize::from(from.side)].is_gone() {
            // The segment is not retried. A withdrawn request leaves no state at the other end.
            if is_request {
                connection.ends[1].give_up(crate::connection::Gone::Reset);
                self.settle(from.key);
            }
            return;
        }
        let end = &mut connection.ends[usize::from(from.side)];
        let is_oldest = end.waiting.front().is_none_or(|oldest| order < oldest.order);
        if is_oldest {
            end.times_lost += 1;
        }
        let times = end.times_lost;
        end.wait(Waiting { order, segment });
        let at = (sent + retry_after(is_request, times)).max(now);
        let plan_retry = end.retry_at.is_none();
        end.retry_at.get_or_insert(at);
        self.record_end(now, from, EventKind::Lost { bytes, times }, &[]);
        if plan_retry {
            self.plan(at, Due::Retry { end: from, at });
        }
    }

    fn keep_waiting(&mut self, from: EndKey, segment: Segment, order: u64) {
        if let Some(end) = self.connections.end(from) {
            end.wait(Waiting { order, segment });
        }
    }

    /// Retries lost or held segments, oldest first, until one is lost again.
    pub(crate) fn retry(&mut self, now: Duration, from: EndKey, at: Duration) {
        let Some(end) = self.connections.end(from) else { return };
        if end.retry_at != Some(at) {
            return;
        }
        end.retry_at = None;
        self.send_waiting(now, from);
    }

    pub(crate) fn send_waiting(&mut self, now: Duration, from: EndKey) {
        loop {
            let Some(end) = self.connections.end(from) else { return };
            let Some(Waiting { order, segment }) = end.waiting.pop_front() else {
                end.times_lost = 0;
                return;
            };
            if !self.pass_or_lose(now, from, segment, order, now) {
                return;
            }
            if let Some(end) = self.connections.end(from) {
                end.times_lost = 0;
            }
        }
    }

    /// A segment arrives, unless a fault affected it in transit.
    pub(crate) fn arrive(&mut self, now: Duration, under_way: UnderWay) {
        let (from, sent, leaves) = (under_way.from, under_way.sent, under_way.leaves);
        let Some((source, target, local)) = self.hosts(from) else { return };
        if local {
            self.hand_over(now, under_way);
            return;
        }
        let lost_power = self.machines.get(usize::from(source)).and_then(|machine| machine.power_lost);
        // Bytes that had not left the host when its power failed are lost.
        if lost_power.is_some_and(|at| sent <= at && leaves > at) {
            return;
        }
        // A partition of the link and a power loss of the machine also affect segments in transit.
        let link = self.links.get(source, target);
        let (cut, held) = (link.is_partitioned(), link.held);
        if cut || self.is_blackholed(from) || !self.machine_is_on(target) {
            self.lose(now, from, under_way.segment, under_way.order, sent);
        } else if held {
            self.keep_waiting(from, under_way.segment, under_way.order);
        } else {
            self.hand_over(now, under_way);
        }
    }

    /// The time at which a segment of that size has left the host.
    fn wire_free(&mut self, now: Duration, source: u16, target: u16, size: u64) -> Duration {
        let Some(bytes_per_second) = self.links.get(source, target).bytes_per_second() else { return now };
        let takes = size.saturating_mul(1_000_000_000) / bytes_per_second.max(1);
        let busy = self.busy_until.entry((source, target)).or_insert(now);
        *busy = (*busy).max(now) + Duration::from_nanos(takes);
        *busy
    }
}

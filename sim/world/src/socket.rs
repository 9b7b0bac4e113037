//! The application's side of an end: the buffered bytes to send and to read, and the waiters.

use crate::segment::{Kind, LARGEST_PAYLOAD, Segment};
use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;
use tokio::io::ReadBuf;

/// Bytes that one end buffers for its reader before its peer must wait.
pub(crate) const RECEIVE_BUFFER: usize = 64 * 1024;
/// Bytes that one end buffers for its peer, sent or not, before its writer must wait.
const SEND_BUFFER: usize = 64 * 1024;
/// An end that announced a smaller window sends an update once half of its buffer is free.
const NARROW_WINDOW: usize = 4 * LARGEST_PAYLOAD;
/// With at most this many unacknowledged bytes, and a window of at least twice as many, a sender is
/// not blocked by its peer.
const FREELY_SENT: u64 = 16 * 1024;

/// The buffers and counters of one end of a connection.
#[derive(Debug)]
pub(crate) struct Socket {
    /// The application holds it, or will once it accepts.
    pub(crate) attached: bool,
    /// It is in the list of ends that may have something to send.
    pub(crate) listed: bool,
    /// The connection request or its answer must be sent.
    pub(crate) opens: Option<Kind>,
    /// Written bytes that were not sent yet, in pieces of at most one segment's payload.
    unsent: VecDeque<Vec<u8>>,
    unsent_bytes: usize,
    sent: u64,
    acknowledged: u64,
    peer_window: usize,
    /// The segment that announced that window, by its order among the peer's segments.
    window_told_by: u64,
    /// The application has closed its sending direction.
    finishing: bool,
    /// The value of `sent` after the FIN was sent.
    finished_at: Option<u64>,
    received: u64,
    /// Segments that arrived before an earlier one, by sequence number.
    early: BTreeMap<u64, Segment>,
    arrived: VecDeque<Vec<u8>>,
    /// The number of bytes read of the first piece.
    read_of_first: usize,
    unread: usize,
    peer_finished: bool,
    told_window: usize,
    owes_acknowledgement: bool,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
}

impl Socket {
    pub(crate) fn new(opens: Option<Kind>) -> Socket {
        Socket {
            attached: opens.is_some(),
            listed: false,
            opens,
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            sent: 0,
            acknowledged: 0,
            peer_window: RECEIVE_BUFFER,
            window_told_by: 0,
            finishing: false,
            finished_at: None,
            received: 0,
            early: BTreeMap::new(),
            arrived: VecDeque::new(),
            read_of_first: 0,
            unread: 0,
            peer_finished: false,
            told_window: RECEIVE_BUFFER,
            owes_acknowledgement: false,
            reader: None,
            writer: None,
        }
    }

    /// Buffers as many of the bytes as there is space for. Returns their number.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        let unacknowledged = usize::try_from(self.sent - self.acknowledged).unwrap_or(usize::MAX);
        let room = SEND_BUFFER.saturating_sub(self.unsent_bytes.saturating_add(unacknowledged));
        let taken = bytes.len().min(room);
        let mut rest = &bytes[..taken];
        while !rest.is_empty() {
            let begins_anew = self.unsent.back().is_none_or(|piece| piece.len() >= LARGEST_PAYLOAD);
            if begins_anew {
                self.unsent.push_back(Vec::with_capacity(rest.len().min(LARGEST_PAYLOAD)));
            }
            let Some(piece) = self.unsent.back_mut() else { break };
            let fits = rest.len().min(LARGEST_PAYLOAD - piece.len());
            piece.extend_from_slice(&rest[..fits]);
            rest = &rest[fits..];
        }
        self.unsent_bytes += taken;
        taken
    }

    /// Copies available bytes into the buffer. Returns their number.
    pub(crate) fn read(&mut self, buffer: &mut ReadBuf<'_>) -> usize {
        let before = buffer.remaining();
        while buffer.remaining() > 0
            && let Some(first) = self.arrived.front()
        {
            let bytes = &first[self.read_of_first..];
            let fits = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..fits]);
            self.read_of_first += fits;
            if self.read_of_first == first.len() {
                self.arrived.pop_front();
                self.read_of_first = 0;
            }
        }
        let filled = before - buffer.remaining();
        self.unread -= filled;
        // The peer may be blocked by a small window: notify it once half of the buffer is free.
        if filled > 0 && self.told_window < NARROW_WINDOW && self.unread <= RECEIVE_BUFFER / 2 {
            self.owes_acknowledgement = true;
        }
        filled
    }

    /// Closes the sending direction. Returns false if it was closed before.
    pub(crate) fn finish(&mut self) -> bool {
        !std::mem::replace(&mut self.finishing, true)
    }

    /// The next segment that this end must send and may send. Called when no task is about to write
    /// more at this instant.
    pub(crate) fn next_segment(&mut self, established: bool) -> Option<Segment> {
        if let Some(kind) = self.opens.take() {
            return Some(self.segment(kind, Vec::new(), false));
        }
        if !established {
            return None;
        }
        let unacknowledged = usize::try_from(self.sent - self.acknowledged).unwrap_or(usize::MAX);
        let room = self.peer_window.saturating_sub(unacknowledged);
        let bytes = self.next_bytes(room);
        let finishes = self.finishing && self.finished_at.is_none() && self.unsent_bytes == 0;
        if bytes.is_empty() && !finishes && !self.owes_acknowledgement {
            return None;
        }
        Some(self.segment(Kind::Plain, bytes, finishes))
    }

    fn next_bytes(&mut self, room: usize) -> Vec<u8> {
        let Some(first) = self.unsent.front_mut().filter(|_| room > 0) else { return Vec::new() };
        let bytes = if first.len() <= room {
            self.unsent.pop_front().unwrap_or_default()
        } else {
            let rest = first.split_off(room);
            std::mem::replace(first, rest)
        };
        self.unsent_bytes -= bytes.len();
        bytes
    }

    fn segment(&mut self, kind: Kind, bytes: Vec<u8>, finishes: bool) -> Segment {
        self.owes_acknowledgement = false;
        self.told_window = RECEIVE_BUFFER.saturating_sub(self.unread);
        let segment = Segment {
            kind,
            start: self.sent,
            finishes,
            bytes,
            acknowledges: self.received,
            window: self.told_window,
        };
        self.sent += segment.length();
        if finishes {
            self.finished_at = Some(self.sent);
        }
        segment
    }

    /// Processes acknowledgement and window of a segment. Returns true if it acknowledges new
    /// bytes. `order` is the segment's order among the peer's segments: the window of an overtaken
    /// segment is ignored.
    pub(crate) fn hears(&mut self, segment: &Segment, order: u64) -> bool {
        let news = segment.acknowledges > self.acknowledged;
        self.acknowledged = self.acknowledged.max(segment.acknowledges);
        if order >= self.window_told_by {
            (self.peer_window, self.window_told_by) = (segment.window, order);
        }
        if news {
            wake(&mut self.writer);
        }
        news
    }

    /// Processes a connection request or its answer.
    pub(crate) fn is_opened_by(&mut self, segment: &Segment) {
        self.received += segment.length();
        // The answer acknowledges the request.
        self.owes_acknowledgement = segment.kind == Kind::Answer;
    }

    /// Returns the segment if it is the next one; stores it if an earlier one has not arrived.
    pub(crate) fn in_order(&mut self, segment: Segment) -> Option<Segment> {
        if segment.length() == 0 || segment.start <= self.received {
            return Some(segment);
        }
        self.early.insert(segment.start, segment);
        None
    }

    /// Returns a stored segment that is now the next one.
    pub(crate) fn next_in_order(&mut self) -> Option<Segment> {
        self.early.remove(&self.received)
    }

    /// Buffers received bytes and wakes the reader.
    pub(crate) fn takes(&mut self, bytes: Vec<u8>) {
        self.received += bytes.len() as u64;
        self.unread += bytes.len();
        self.arrived.push_back(bytes);
        self.owes_acknowledgement = true;
        wake(&mut self.reader);
    }

    /// Processes the peer's FIN and wakes the reader.
    pub(crate) fn sees_end(&mut self) {
        self.received += 1;
        self.peer_finished = true;
        self.owes_acknowledgement = true;
        wake(&mut self.reader);
    }

    /// True if this end has something to send.
    pub(crate) fn has_something_to_send(&self) -> bool {
        self.opens.is_some()
            || self.owes_acknowledgement
            || self.unsent_bytes > 0
            || (self.finishing && self.finished_at.is_none())
    }

    pub(crate) fn everything_is_acknowledged(&self) -> bool {
        self.acknowledged >= self.sent
    }

    /// True if the peer has acknowledged the FIN.
    pub(crate) fn end_is_acknowledged(&self) -> bool {
        self.finished_at.is_some_and(|end| self.acknowledged >= end)
    }

    /// True if the arrival time of an acknowledgement affects nothing at this end: it is not
    /// closing, and its window does not block it.
    pub(crate) fn can_wait_for_acknowledgement(&self) -> bool {
        let wide = self.peer_window as u64 >= 2 * FREELY_SENT;
        self.finished_at.is_none() && wide && self.sent - self.acknowledged <= FREELY_SENT
    }

    pub(crate) fn unread(&self) -> usize {
        self.unread
    }

    pub(crate) fn peer_finished(&self) -> bool {
        self.peer_finished
    }

    pub(crate) fn is_finishing(&self) -> bool {
        self.finishing
    }

    /// The connection is over: discards bytes to send. Received bytes can still be read.
    pub(crate) fn give_up(&mut self) {
        self.unsent = VecDeque::new();
        self.unsent_bytes = 0;
        self.early = BTreeMap::new();
        self.opens = None;
        wake(&mut self.reader);
        wake(&mut self.writer);
    }

    /// The application has dropped its handle.
    pub(crate) fn detach(&mut self) {
        self.attached = false;
        self.arrived = VecDeque::new();
        self.read_of_first = 0;
        self.unread = 0;
        self.reader = None;
        self.writer = None;
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

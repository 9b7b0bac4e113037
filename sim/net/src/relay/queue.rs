//! One direction of a relayed connection: bytes to write, the time of each, and the position in the
//! stream.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::faults::{DirectionFaults, Point};

/// The maximum of buffered bytes. Above it, the relay stops reading from the sender.
const HOLDS_BYTES: usize = 1 << 20;

/// A slow link sends this many pieces per second.
const PIECES_PER_SECOND: u64 = 20;

/// What a sender did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Bytes(Bytes),
    End,
    Reset,
}

/// A direction.
#[derive(Debug)]
pub(super) struct Queue {
    items: VecDeque<(Instant, Item)>,
    held_bytes: usize,
    /// When the latest item is due; nothing that follows may be earlier.
    last_due: Instant,
    /// When a link of limited bandwidth is free again.
    free_at: Instant,
    passed: Progress,
    /// The sender's end or reset was read.
    pub(super) source_done: bool,
    /// The end was passed on, or the receiver has ended.
    pub(super) sink_done: bool,
}

/// What a direction passes on next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// These bytes, or some of them.
    Bytes(Bytes),
    End,
    Reset,
    /// Nothing before this time.
    NotBefore(Instant),
    /// Nothing until something is read or a fault ends.
    Nothing,
}

impl Queue {
    pub(super) fn new(now: Instant) -> Queue {
        Queue {
            items: VecDeque::new(),
            held_bytes: 0,
            last_due: now,
            free_at: now,
            passed: Progress::default(),
            source_done: false,
            sink_done: false,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        !self.source_done && self.held_bytes < HOLDS_BYTES
    }

    /// Takes what the sender did; it is due after `delay`.
    pub(super) fn push(&mut self, now: Instant, delay: Duration, item: Item) {
        match &item {
            Item::Bytes(bytes) => self.held_bytes += bytes.len(),
            Item::End | Item::Reset => self.source_done = true,
        }
        self.last_due = self.last_due.max(now + delay);
        self.items.push_back((self.last_due, item));
    }

    /// What may be passed on now. `until` is the point after which the connection is cut.
    pub(super) fn next(&self, now: Instant, faults: &DirectionFaults, until: Option<Point>) -> Next {
        let Some((due, item)) = self.items.front() else { return Next::Nothing };
        if faults.partitioned || self.sink_done {
            return Next::Nothing;
        }
        let due = if faults.bytes_per_second.is_some() { (*due).max(self.free_at) } else { *due };
        if due > now {
            return Next::NotBefore(due);
        }
        match item {
            Item::End => Next::End,
            Item::Reset => Next::Reset,
            Item::Bytes(bytes) => {
                let mut length = bytes.len();
                if let Some(rate) = faults.bytes_per_second {
                    length =
                        length.min(usize::try_from(rate.div_ceil(PIECES_PER_SECOND)).unwrap_or(usize::MAX));
                }
                if let Some(point) = until {
                    length = length.min(self.passed.bytes_until(point, bytes));
                }
                Next::Bytes(bytes.slice(..length))
            }
        }
    }

    /// Records that `count` bytes of the first item were written.
    pub(super) fn pass(&mut self, now: Instant, count: usize, faults: &DirectionFaults) {
        let Some((_, Item::Bytes(bytes))) = self.items.front_mut() else { return };
        self.passed.advance(&bytes.split_to(count));
        self.held_bytes -= count;
        if bytes.is_empty() {
            self.items.pop_front();
        }
        if let Some(rate) = faults.bytes_per_second {
            let takes = Duration::from_secs_f64(count as f64 / rate as f64);
            self.free_at = self.free_at.max(now) + takes;
        }
    }

    /// Whether the stream has reached this point.
    pub(super) fn has_reached(&self, point: Point) -> bool {
        self.passed.has_reached(point)
    }
}

/// The position in a stream of Control Packets.
#[derive(Debug, Default, Clone)]
struct Progress {
    bytes: u64,
    packets: u64,
    /// Bytes of the packet that has begun.
    within: u64,
    /// What is known of its length.
    header: Header,
}

#[derive(Debug, Default, Clone, Copy)]
enum Header {
    #[default]
    None,
    /// The length field so far, and by how much the next byte of it is to be shifted.
    Partial { remaining: u64, shift: u32 },
    /// The bytes of the whole packet.
    Complete { total: u64 },
}

impl Progress {
    fn advance(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.step(byte));
    }

    fn step(&mut self, byte: u8) {
        self.bytes += 1;
        self.within += 1;
        self.header = match self.header {
            Header::None => Header::Partial { remaining: 0, shift: 0 },
            Header::Partial { remaining, shift } => {
                let remaining = remaining | u64::from(byte & 0x7f) << shift;
                // A fourth byte always ends the field. After a malformed length the counts are
                // meaningless.
                if byte & 0x80 == 0 || shift == 21 {
                    Header::Complete { total: self.within + remaining }
                } else {
                    Header::Partial { remaining, shift: shift + 7 }
                }
            }
            complete @ Header::Complete { .. } => complete,
        };
        if let Header::Complete { total } = self.header
            && self.within == total
        {
            self.packets += 1;
            self.within = 0;
            self.header = Header::None;
        }
    }

    fn has_reached(&self, point: Point) -> bool {
        match point {
            Point::Bytes(bytes) => self.bytes >= bytes,
            Point::Packets(packets) => self.packets >= packets,
            Point::Within { packets, bytes } => {
                self.packets > packets || self.packets == packets && self.within >= bytes
            }
        }
    }

    /// How many of these bytes lie before the point.
    fn bytes_until(&self, point: Point, bytes: &[u8]) -> usize {
        let mut progress = self.clone();
        let before = bytes.iter().take_while(|&&byte| {
            let before = !progress.has_reached(point);
            progress.step(byte);
            before
        });
        before.count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a";
    const PINGREQ: &[u8] = b"\xc0\x00";

    fn no_faults() -> DirectionFaults {
        DirectionFaults::default()
    }

    fn bytes(bytes: &'static [u8]) -> Item {
        Item::Bytes(Bytes::from_static(bytes))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_later_never_arrives_earlier() {
        let now = Instant::now();
        let mut queue = Queue::new(now);
        queue.push(now, Duration::from_millis(500), bytes(b"slow"));
        queue.push(now, Duration::ZERO, bytes(b"fast"));
        assert_eq!(queue.next(now, &no_faults(), None), Next::NotBefore(now + Duration::from_millis(500)));
        let later = now + Duration::from_millis(500);
        assert_eq!(queue.next(later, &no_faults(), None), Next::Bytes(Bytes::from_static(b"slow")));
        queue.pass(later, 4, &no_faults());
        assert_eq!(queue.next(later, &no_faults(), None), Next::Bytes(Bytes::from_static(b"fast")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_link_takes_as_long_as_its_rate_says() {
        let start = Instant::now();
        let faults = DirectionFaults { bytes_per_second: Some(1000), ..DirectionFaults::default() };
        let mut queue = Queue::new(start);
        queue.push(start, Duration::ZERO, Item::Bytes(Bytes::from(vec![0; 3000])));
        let (mut now, mut passed) = (start, 0);
        loop {
            match queue.next(now, &faults, None) {
                Next::Bytes(piece) => {
                    passed += piece.len();
                    queue.pass(now, piece.len(), &faults);
                }
                Next::NotBefore(due) => now = due,
                Next::Nothing => break,
                Next::End | Next::Reset => panic!("none was pushed"),
            }
        }
        assert_eq!(passed, 3000);
        // The last piece need not wait for the link to be free again.
        let took = now - start;
        assert!((Duration::from_millis(2900)..=Duration::from_secs(3)).contains(&took), "{took:?}");
    }

    #[test]
    fn points_of_a_stream() {
        let stream = [CONNECT, PINGREQ, PINGREQ].concat();
        let start = Progress::default();
        let cases = [
            (Point::Bytes(0), 0),
            (Point::Bytes(16), 16),
            (Point::Packets(0), 0),
            (Point::Packets(1), CONNECT.len()),
            (Point::Packets(2), CONNECT.len() + 2),
            (Point::Within { packets: 0, bytes: 5 }, 5),
            (Point::Within { packets: 1, bytes: 1 }, CONNECT.len() + 1),
            (Point::Packets(9), stream.len()),
        ];
        for (point, expected) in cases {
            assert_eq!(start.bytes_until(point, &stream), expected, "{point:?}");
        }
    }

    proptest! {
        #[test]
        fn packets_are_counted_however_the_stream_is_cut(
            lengths in prop::collection::vec(0_usize..400, 1..10),
            cut in 1_usize..50,
        ) {
            let mut stream = Vec::new();
            for length in &lengths {
                stream.push(0x30);
                if *length < 128 {
                    stream.push(*length as u8);
                } else {
                    stream.extend([(*length % 128) as u8 | 0x80, (*length / 128) as u8]);
                }
                stream.extend(vec![0xff; *length]);
            }
            let mut progress = Progress::default();
            stream.chunks(cut).for_each(|chunk| progress.advance(chunk));
            prop_assert_eq!((progress.packets, progress.within), (lengths.len() as u64, 0));
        }
    }
}

//! The network's state of a connection: its two ends, their queued segments, and the time of the
//! next retry.
//!
//! A lost segment is retried after 200 ms, 400 ms, 800 ms … up to 120 s between two tries (a
//! connection request after 1 s, 2 s, 4 s …). Later segments wait, and all of them arrive late and
//! in order. This models the effect of TCP's retransmission (RFC 6298) on an application, without
//! its cost.

use crate::history::{ConnectionId, HostId};
use crate::segment::{Kind, Segment};
use crate::socket::Socket;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// Delay before the first retry of a lost segment: the minimum that Linux uses.
const FIRST_RETRY: Duration = Duration::from_millis(200);
/// Delay before the first retry of an unanswered connection request (RFC 6298 §2.1).
const FIRST_REQUEST_RETRY: Duration = Duration::from_secs(1);
/// Maximum delay between two tries, as in Linux.
const LONGEST_RETRY: Duration = Duration::from_secs(120);

/// The delay before the next retry of a segment that was lost `times` times.
pub(crate) fn retry_after(request: bool, times: u32) -> Duration {
    let first = if request { FIRST_REQUEST_RETRY } else { FIRST_RETRY };
    first.saturating_mul(1 << times.saturating_sub(1).min(20)).min(LONGEST_RETRY)
}

/// A queued segment that has not been sent yet.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) order: u64,
    pub(crate) segment: Segment,
}

/// Why an end no longer exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// Both directions were closed in order.
    Closed,
    /// A reset was sent or received, or the machine lost its power.
    Reset,
    /// The peer acknowledged nothing for too long.
    TimedOut,
}

/// One end of a connection, with its sending direction.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) host: u16,
    pub(crate) address: SocketAddr,
    /// Oldest first.
    pub(crate) waiting: VecDeque<Waiting>,
    /// How often the oldest was lost.
    pub(crate) times_lost: u32,
    /// When the oldest is retried; `None` if it waits for something else.
    pub(crate) retry_at: Option<Duration>,
    /// When the latest segment in transit arrives; later segments must not arrive earlier.
    pub(crate) last_arrival: Duration,
    /// Orders flows at one instant; equal for all segments of this flow at that instant.
    pub(crate) tie: u64,
    next_order: u64,
    /// The time since which an acknowledgement is outstanding.
    pub(crate) unacknowledged_since: Option<Duration>,
    pub(crate) give_up_planned: bool,
    /// The connection request, or its answer, has arrived at this end.
    pub(crate) reached: bool,
    pub(crate) established: bool,
    gone: Option<Gone>,
    pub(crate) socket: Socket,
}

impl End {
    fn new(host: u16, address: SocketAddr, opens: Option<Kind>) -> End {
        End {
            host,
            address,
            waiting: VecDeque::new(),
            times_lost: 0,
            retry_at: None,
            last_arrival: Duration::ZERO,
            tie: 0,
            next_order: 0,
            unacknowledged_since: None,
            give_up_planned: false,
            reached: false,
            established: false,
            gone: None,
            socket: Socket::new(opens),
        }
    }

    pub(crate) fn next_order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    /// Queues a segment in its order.
    pub(crate) fn wait(&mut self, waiting: Waiting) {
        let place = self.waiting.partition_point(|other| other.order < waiting.order);
        self.waiting.insert(place, waiting);
    }

    /// Processes the acknowledgement and the window in a segment.
    pub(crate) fn hears(&mut self, now: Duration, segment: &Segment, order: u64) {
        let news = self.socket.hears(segment, order);
        if self.socket.everything_is_acknowledged() {
            self.unacknowledged_since = None;
        } else if news && let Some(since) = &mut self.unacknowledged_since {
            *since = now;
        }
    }

    /// True if the arrival time of an acknowledgement affects nothing at this end.
    pub(crate) fn can_wait_for_acknowledgement(&self) -> bool {
        self.established && self.socket.can_wait_for_acknowledgement()
    }

    pub(crate) fn gone(&self) -> Option<Gone> {
        self.gone
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.is_some()
    }

    /// Discards everything that this end has queued, and wakes its waiters.
    pub(crate) fn give_up(&mut self, why: Gone) {
        if self.gone.is_some() {
            return;
        }
        self.gone = Some(why);
        self.waiting.clear();
        self.unacknowledged_since = None;
        self.socket.give_up();
    }
}

/// A connection, from its request until both ends are gone and no application holds either.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    /// The connecting end, then the accepting end.
    pub(crate) ends: [End; 2],
    /// The connection of a host to itself: it uses no link and is not recorded.
    pub(crate) local: bool,
    pub(crate) blackholed: bool,
    pub(crate) refused: bool,
    /// Both ends are gone; the connection is kept for unread bytes.
    pub(crate) over: bool,
}

/// The position of a connection in the table; stale once the connection has been removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    place: u32,
    number: u64,
}

/// One end of a connection: 0 is the connecting end, 1 the accepting end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndKey {
    pub(crate) key: Key,
    pub(crate) side: u8,
}

impl EndKey {
    pub(crate) fn other(self) -> EndKey {
        EndKey { key: self.key, side: 1 - self.side }
    }
}

/// All connections that have not been removed.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    places: Vec<Option<(u64, Box<Connection>)>>,
    free: Vec<u32>,
    /// The number of connections so far, including local ones.
    numbered: u64,
    opened: u64,
}

impl Connections {
    pub(crate) fn get(&mut self, key: Key) -> Option<&mut Connection> {
        let (number, connection) = self.places.get_mut(key.place as usize)?.as_mut()?;
        (*number == key.number).then_some(connection)
    }

    pub(crate) fn end(&mut self, end: EndKey) -> Option<&mut End> {
        Some(&mut self.get(end.key)?.ends[usize::from(end.side)])
    }

    /// Adds a connection whose first end is about to request it.
    pub(crate) fn open(&mut self, from: (u16, SocketAddr), to: (u16, SocketAddr)) -> Key {
        let local = from.0 == to.0;
        self.numbered += 1;
        self.opened += u64::from(!local);
        let connection = Connection {
            id: ConnectionId(self.opened),
            ends: [End::new(from.0, from.1, Some(Kind::Request)), End::new(to.0, to.1, None)],
            local,
            blackholed: false,
            refused: false,
            over: false,
        };
        let entry = Some((self.numbered, Box::new(connection)));
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = entry;
                place
            }
            None => {
                self.places.push(entry);
                u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
            }
        };
        Key { place, number: self.numbered }
    }

    /// Marks a connection as over if both ends are gone, and removes it once no application holds
    /// an end. Returns the connecting end if the connection was removed.
    pub(crate) fn settle(&mut self, key: Key) -> Option<(u16, SocketAddr)> {
        let connection = self.get(key)?;
        if connection.ends.iter().all(|end| end.socket.end_is_acknowledged()) {
            connection.ends.iter_mut().for_each(|end| end.give_up(Gone::Closed));
        }
        connection.over = connection.ends.iter().all(End::is_gone);
        if !connection.over || connection.ends.iter().any(|end| end.socket.attached) {
            return None;
        }
        let asked_from = (connection.ends[0].host, connection.ends[0].address);
        self.places[key.place as usize] = None;
        self.free.push(key.place);
        Some(asked_from)
    }

    /// The open connections between hosts for which `covers` is true in either direction, ordered
    /// by number.
    pub(crate) fn select(&self, mut covers: impl FnMut(HostId, HostId) -> bool) -> Vec<Key> {
        self.keys(|connection| {
            let [a, b] = &connection.ends;
            let (a, b) = (HostId(a.host), HostId(b.host));
            !connection.local && !connection.over && (covers(a, b) || covers(b, a))
        })
    }

    /// The connections that have an end at the host, in creation order.
    pub(crate) fn of_host(&self, host: u16) -> Vec<Key> {
        self.keys(|connection| connection.ends.iter().any(|end| end.host == host))
    }

    pub(crate) fn with_id(&self, id: ConnectionId) -> Option<Key> {
        self.keys(|connection| connection.id == id && !connection.local && !connection.over).pop()
    }

    fn keys(&self, mut is_meant: impl FnMut(&Connection) -> bool) -> Vec<Key> {
        let mut keys: Vec<Key> = (0..)
            .zip(&self.places)
            .filter_map(|(place, entry)| Some((place, entry.as_ref()?)))
            .filter(|(_, (_, connection))| is_meant(connection))
            .map(|(place, &(number, _))| Key { place, number })
            .collect();
        keys.sort_by_key(|key| key.number);
        keys
    }
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

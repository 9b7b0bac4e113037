//! The faults of a relay's connections. They can be set at any time, and take effect immediately.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A direction of a relayed connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the end that dialled to the end that was dialled.
    ToServer,
    /// The other way.
    ToClient,
}

impl Direction {
    /// Both directions.
    pub const BOTH: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// A place in the stream of one direction, counted from the start of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// After this number of bytes.
    Bytes(u64),
    /// After this number of Control Packets.
    Packets(u64),
    /// After this number of Control Packets and this number of bytes of the next one.
    Within {
        /// The number of whole packets.
        packets: u64,
        /// Bytes of the next.
        bytes: u64,
    },
}

/// How a relay ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Both ends see an end of the stream.
    Close,
    /// Both ends see a reset.
    Reset,
    /// The end that dialled sees a reset, and the other sees nothing, ever: its peer has vanished.
    HalfOpen,
    /// Neither end sees anything, ever: the network between them has forgotten the connection.
    Blackhole,
}

/// The faults of the connections of one host. Clones share them.
///
/// Nothing is lost or put out of order within a connection, because no network does that to TCP:
/// what a fault holds back arrives later, or the connection ends.
#[derive(Debug, Clone)]
pub struct Faults {
    state: Rc<RefCell<State>>,
}

#[derive(Debug)]
struct State {
    directions: [DirectionFaults; 2],
    refuse: bool,
    cut: Option<(u64, Cut)>,
    planned: Option<(Direction, Point, Cut)>,
    /// Incremented at every change, so that a cut ends only connections that were open then.
    generation: u64,
    random: ChaCha8Rng,
    /// The relays to wake at a change.
    wakers: BTreeMap<u64, Waker>,
    next_waker: u64,
}

/// The faults of one direction.
#[derive(Debug, Clone)]
pub(super) struct DirectionFaults {
    pub(super) partitioned: bool,
    pub(super) stalled: bool,
    pub(super) latency: RangeInclusive<Duration>,
    pub(super) loss: f64,
    pub(super) bytes_per_second: Option<u64>,
}

impl Default for DirectionFaults {
    fn default() -> DirectionFaults {
        DirectionFaults {
            partitioned: false,
            stalled: false,
            latency: Duration::ZERO..=Duration::ZERO,
            loss: 0.0,
            bytes_per_second: None,
        }
    }
}

impl Faults {
    /// No faults yet; delays and losses are drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Faults {
        let state = State {
            directions: [DirectionFaults::default(), DirectionFaults::default()],
            refuse: false,
            cut: None,
            planned: None,
            generation: 0,
            random: ChaCha8Rng::seed_from_u64(seed),
            wakers: BTreeMap::new(),
            next_waker: 0,
        };
        Faults { state: Rc::new(RefCell::new(state)) }
    }

    /// Holds back all bytes, ends and resets of a direction until [`heal`](Faults::heal); new
    /// connections are not answered meanwhile, whichever direction it is.
    pub fn partition(&self, direction: Direction) {
        self.change(|state| state.directions[direction.index()].partitioned = true);
    }

    /// Lets a direction's bytes pass again, those held back first.
    pub fn heal(&self, direction: Direction) {
        self.change(|state| state.directions[direction.index()].partitioned = false);
    }

    /// Reads nothing from the sender of a direction until [`resume`](Faults::resume), so that the
    /// sender's buffers fill: a receiver that does not read.
    pub fn stall(&self, direction: Direction) {
        self.change(|state| state.directions[direction.index()].stalled = true);
    }

    /// Reads from the sender of a direction again.
    pub fn resume(&self, direction: Direction) {
        self.change(|state| state.directions[direction.index()].stalled = false);
    }

    /// Delays what is sent from now on by a time drawn from this range; nothing overtakes.
    pub fn latency(&self, direction: Direction, range: RangeInclusive<Duration>) {
        self.change(|state| state.directions[direction.index()].latency = range);
    }

    /// Loses this fraction of what is sent, in 0.0 to 1.0. What is lost is sent again after 200 ms,
    /// 400 ms, 800 ms …, as TCP does, so it arrives late.
    pub fn loss(&self, direction: Direction, fraction: f64) {
        self.change(|state| state.directions[direction.index()].loss = fraction.clamp(0.0, 1.0));
    }

    /// Passes at most this number of bytes per second; `None`: no limit.
    pub fn bandwidth(&self, direction: Direction, bytes_per_second: Option<u64>) {
        self.change(|state| {
            state.directions[direction.index()].bytes_per_second = bytes_per_second.map(|rate| rate.max(1));
        });
    }

    /// Refuses new connections, or no longer. A listener accepts them and resets them at once.
    pub fn refuse(&self, refuse: bool) {
        self.change(|state| state.refuse = refuse);
    }

    pub(super) fn refuses(&self) -> bool {
        self.state.borrow().refuse
    }

    /// Ends all connections that are open now.
    pub fn cut(&self, how: Cut) {
        self.change(|state| state.cut = Some((state.generation, how)));
    }

    /// Ends the first connection that reaches this point in this direction, after the last byte
    /// before the point was passed on. A later call replaces the point.
    pub fn cut_at(&self, direction: Direction, point: Point, how: Cut) {
        self.change(|state| state.planned = Some((direction, point, how)));
    }

    /// Ends all faults, and planned cuts. Bytes that were held back pass.
    pub fn heal_all(&self) {
        self.change(|state| {
            state.directions = [DirectionFaults::default(), DirectionFaults::default()];
            state.refuse = false;
            state.planned = None;
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = self.state.borrow_mut();
            state.generation += 1;
            change(&mut state);
            std::mem::take(&mut state.wakers)
        };
        wakers.into_values().for_each(Waker::wake);
    }

    /// A name under which a relay listens for changes.
    pub(super) fn listener(&self) -> u64 {
        let mut state = self.state.borrow_mut();
        state.next_waker += 1;
        state.next_waker
    }

    /// Wakes this relay at the next change.
    pub(super) fn listen(&self, listener: u64, context: &Context<'_>) {
        self.state.borrow_mut().wakers.insert(listener, context.waker().clone());
    }

    pub(super) fn forget(&self, listener: u64) {
        self.state.borrow_mut().wakers.remove(&listener);
    }

    pub(super) fn generation(&self) -> u64 {
        self.state.borrow().generation
    }

    pub(super) fn of(&self, direction: Direction) -> DirectionFaults {
        self.state.borrow().directions[direction.index()].clone()
    }

    /// The last cut, with its generation, if it is later than the generation in which a connection
    /// was opened or last cut.
    pub(super) fn cut_since(&self, opened: u64) -> Option<(u64, Cut)> {
        self.state.borrow().cut.filter(|(generation, _)| *generation > opened)
    }

    /// The point at which a direction is to be cut.
    pub(super) fn planned(&self, direction: Direction) -> Option<(Point, Cut)> {
        let planned = self.state.borrow().planned;
        planned.filter(|(of, ..)| *of == direction).map(|(_, point, how)| (point, how))
    }

    /// A planned cut has happened.
    pub(super) fn carried_out(&self) {
        self.state.borrow_mut().planned = None;
    }

    /// The delay of the next piece of a direction.
    pub(super) fn draw_delay(&self, direction: Direction) -> Duration {
        let mut state = self.state.borrow_mut();
        let DirectionFaults { latency, loss, .. } = state.directions[direction.index()].clone();
        let random = &mut state.random;
        let (low, high) = (*latency.start(), (*latency.end()).max(*latency.start()));
        let mut delay = if low == high { low } else { random.random_range(low..=high) };
        let mut retry = FIRST_RETRY;
        // A direction that loses everything is a partition; let it pass after the longest wait.
        while retry <= LONGEST_RETRY && loss > 0.0 && random.random_bool(loss) {
            delay += retry;
            retry *= 2;
        }
        delay
    }

    /// Resolves when a connection may be opened.
    ///
    /// # Errors
    /// When connections are refused.
    pub async fn admit(&self) -> std::io::Result<()> {
        let listener = self.listener();
        poll_fn(|context| {
            self.listen(listener, context);
            let state = self.state.borrow();
            if state.refuse {
                return Poll::Ready(Err(std::io::ErrorKind::ConnectionRefused.into()));
            }
            if state.directions.iter().any(|direction| direction.partitioned) {
                Poll::Pending
            } else {
                Poll::Ready(Ok(()))
            }
        })
        .await
    }
}

/// First wait before a lost segment is sent again, and the longest, as in the simulated world and
/// in Linux.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(120);

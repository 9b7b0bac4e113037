//! What the actors of a run and its director share: the history, and for each lane what arrived and was not looked at.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::VecDeque;

use mqttspec_codec::{Packet, Version};
use tokio::sync::Notify;

use mqttspec_judge::history::{ConnectionKey, Ending, Event, History, Lane, LaneInfo, Told, What};

/// Something that arrived on a lane.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// When.
    pub(crate) at: Duration,
    /// Its event in the history.
    pub(crate) event: usize,
    /// The number of the connection.
    pub(crate) connection: u32,
    /// What.
    pub(crate) what: Arrived,
}

#[derive(Clone, Debug)]
pub(crate) enum Arrived {
    Packet(Packet),
    Malformed,
    Ended,
}

/// A lane as the director sees it.
#[derive(Debug, Default)]
pub(crate) struct LaneState {
    /// What arrived and no line has taken, oldest first.
    pub(crate) inbox: VecDeque<Arrival>,
    /// The number of the newest connection; 0 before the first.
    pub(crate) number: u32,
    /// Whether that connection stands.
    pub(crate) open: bool,
    /// Whether the scenario itself, or a fault of it, ended that connection: what was left on it is not judged.
    pub(crate) provoked: bool,
    /// Whether a fault was on the lane's links: what the peer says as it gives the connection up may go unexpected.
    pub(crate) troubled: bool,
    /// Whether a line says that nothing more is compared on it.
    pub(crate) ignored: bool,
    /// PINGRESP packets that answer a PINGREQ of the harness whose proof was not needed in the end.
    pub(crate) owed_pings: u32,
}

pub(crate) struct Stage {
    state: RefCell<State>,
    changed: Notify,
    now: Box<dyn Fn() -> Duration>,
}

struct State {
    history: History,
    lanes: Vec<LaneState>,
    /// The line that the director is at, for what happens because of it.
    line: u32,
    /// When a Subscription was acknowledged last, until somebody asks.
    subscribed: Option<Duration>,
}

impl Stage {
    pub(crate) fn new(lanes: Vec<LaneInfo>, now: impl Fn() -> Duration + 'static) -> Self {
        let states = lanes.iter().map(|_| LaneState::default()).collect();
        let state = State { history: History::new(lanes), lanes: states, line: 0, subscribed: None };
        Self { state: RefCell::new(state), changed: Notify::new(), now: Box::new(now) }
    }

    /// Simulated time since the start of the run.
    pub(crate) fn now(&self) -> Duration {
        (self.now)()
    }

    /// Returns when something was recorded since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Records what concerns a connection.
    pub(crate) fn record(&self, connection: ConnectionKey, line: u32, what: What) -> usize {
        self.push(Some(connection), line, what)
    }

    /// Records what concerns no client's host.
    pub(crate) fn record_world(&self, line: u32, what: What) -> usize {
        self.push(None, line, what)
    }

    fn push(&self, connection: Option<ConnectionKey>, line: u32, what: What) -> usize {
        let at = self.now();
        let mut state = self.state.borrow_mut();
        if matches!(
            what,
            What::Received { packet: Packet::SubAck(_), .. } | What::Told(Told::Subscribed { .. })
        ) {
            state.subscribed = Some(at);
        }
        state.history.push(Event { at, connection, line, what });
        let index = state.history.events().len() - 1;
        drop(state);
        self.changed.notify_one();
        index
    }

    /// A new connection of the lane begins; the key to record under.
    pub(crate) fn open(&self, lane: Lane, version: Version) -> ConnectionKey {
        let number = self.with_lane(lane, |state| {
            state.number += 1;
            (state.open, state.provoked, state.ignored, state.owed_pings) = (true, false, false, 0);
            state.number
        });
        let key = ConnectionKey { lane, number };
        self.record(key, self.line(), What::Opened(version));
        key
    }

    /// Something arrived on a connection.
    pub(crate) fn arrive(&self, key: ConnectionKey, what: What) {
        let arrived = match &what {
            What::Received { packet, .. } => Arrived::Packet(packet.clone()),
            What::ReceivedMalformed { .. } => Arrived::Malformed,
            _ => Arrived::Ended,
        };
        let ended = matches!(arrived, Arrived::Ended);
        let event = self.record(key, 0, what);
        let at = self.now();
        self.with_lane(key.lane, |lane| {
            lane.inbox.push_back(Arrival { at, event, connection: key.number, what: arrived });
            if ended && lane.number == key.number {
                lane.open = false;
            }
        });
        self.changed.notify_one();
    }

    /// The observer's side ends a connection, or loses it with its host: nothing of it can arrive any more.
    pub(crate) fn end(&self, key: ConnectionKey, ending: Ending) {
        self.record(key, self.line(), What::Closed(ending));
        self.with_lane(key.lane, |lane| {
            if lane.number == key.number {
                (lane.open, lane.provoked) = (false, true);
            }
        });
    }

    /// A client told its application something; gives the place in the history.
    pub(crate) fn tell(&self, lane: Lane, told: Told) -> usize {
        self.record(ConnectionKey { lane, number: 0 }, 0, What::Told(told))
    }

    pub(crate) fn with_lane<R>(&self, lane: Lane, change: impl FnOnce(&mut LaneState) -> R) -> R {
        change(&mut self.state.borrow_mut().lanes[usize::from(lane.0)])
    }

    pub(crate) fn with_history<R>(&self, look: impl FnOnce(&History) -> R) -> R {
        look(&self.state.borrow().history)
    }

    /// Says which line an arrival answered to.
    pub(crate) fn answered(&self, event: usize, line: u32) {
        self.state.borrow_mut().history.set_line(event, line);
    }

    /// When a Subscription was acknowledged last, if one was since somebody asked.
    pub(crate) fn take_subscribed(&self) -> Option<Duration> {
        self.state.borrow_mut().subscribed.take()
    }

    pub(crate) fn set_line(&self, line: u32) {
        self.state.borrow_mut().line = line;
    }

    pub(crate) fn line(&self) -> u32 {
        self.state.borrow().line
    }

    /// The history, once the run is over.
    pub(crate) fn take_history(&self) -> History {
        std::mem::take(&mut self.state.borrow_mut().history)
    }
}

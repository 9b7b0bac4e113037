//! The recorder of a run: the history, and the inbox of each host.

use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use mqttspec_codec::{DecodeError, Packet, Version};
use mqttspec_judge::claims::Shown;
use mqttspec_judge::finding::{Check, Finding};
use mqttspec_judge::history::{
    ConnectionKey, Ending, Event, History, HostIndex, HostInfo, Told, What, nanoseconds,
};
use mqttspec_net::framed;
use mqttspec_spec::{Level, Requirement};
use tokio::sync::Notify;

use crate::found::packet_text;
use crate::intake::{EVENT, Excess, Intake, MAXIMUM_PACKET_SIZE, SIMULATED_RUN};
use crate::signal::Signal;

/// Something that arrived from a peer.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) host: HostIndex,
    pub(crate) at: Duration,
    /// The position of its event in the history.
    pub(crate) event: usize,
    /// The number of the connection.
    pub(crate) connection: u32,
    pub(crate) what: Arrived,
    /// The bytes as they came; none for the end of a connection.
    pub(crate) bytes: Bytes,
}

/// What can arrive.
#[derive(Clone, Debug)]
pub(crate) enum Arrived {
    Packet(Packet),
    Malformed(DecodeError),
    /// A WebSocket frame of text.
    TextFrame,
    /// The opening handshake of a WebSocket: the subprotocols that a client offers, or the one that
    /// a server selects.
    Handshake(Vec<String>),
    /// The end of the connection.
    Ended(Ending),
}

impl Arrived {
    /// The text in a finding.
    pub(crate) fn text(&self, version: Version) -> String {
        match self {
            Arrived::Packet(packet) => packet_text(packet, version),
            Arrived::Malformed(error) => format!("a malformed packet: {error}"),
            Arrived::TextFrame => "a WebSocket frame of text".to_owned(),
            Arrived::Handshake(names) if names.is_empty() => "a handshake without a subprotocol".to_owned(),
            Arrived::Handshake(names) => format!("a handshake with {}", names.join(" ")),
            Arrived::Ended(Ending::ByPeer) => "the peer closed the Network Connection".to_owned(),
            Arrived::Ended(ending) => format!("the Network Connection is {}", ending.words()),
        }
    }
}

/// The state of a client's host during a run.
#[derive(Debug, Default)]
pub(crate) struct HostState {
    /// Arrivals that no line has taken, oldest first.
    pub(crate) inbox: VecDeque<Arrival>,
    /// The number of the newest connection; 0 before the first.
    pub(crate) number: u32,
    /// A connection that the peer replaced by another one, and whose end has not arrived yet: its
    /// number, and the event that records its end.
    pub(crate) replaced: Option<(u32, usize)>,
    /// Whether that connection is open.
    pub(crate) open: bool,
    /// Whether a step or a fault of the scenario ended that connection. Its last packets are not
    /// judged then.
    pub(crate) provoked: bool,
    /// Whether a fault was on the host's links. The peer may then send a DISCONNECT that no line
    /// expects.
    pub(crate) troubled: bool,
    /// Whether `anything` was expected on that connection: its packets are not compared any more.
    pub(crate) ignored: bool,
    /// The number of expected PINGRESP packets that no line will take: they answer a PINGREQ of the
    /// executor for a branch that was not taken.
    pub(crate) owed_pings: u32,
}

thread_local! {
    /// A history that is no longer needed: the next run of the thread takes its memory. New memory
    /// for each run would be cleared by the system, and copied whenever the history grows.
    static SPARE: Cell<History> = Cell::default();
}

/// A history of more events than this is not kept for its memory.
const SPARE_EVENTS: usize = 1 << 16;

/// Keeps the memory of a history for the next run.
pub(crate) fn reuse(history: History) {
    if history.capacity() <= SPARE_EVENTS {
        SPARE.set(History::in_place_of(history, Vec::new()));
    }
}

/// Records the events of a run. The executor, its connections and the peers share it.
pub(crate) struct Recorder {
    state: RefCell<State>,
    changed: Signal,
    now: Box<dyn Fn() -> Duration>,
    /// What a live peer may send.
    intake: Option<Rc<Intake>>,
    /// Notified when the history of a simulated run is too large.
    full: Notify,
}

struct State {
    history: History,
    hosts: Vec<HostState>,
    /// The current line. Events that it causes carry its number.
    line: u32,
    /// The clauses that it shows, which its findings cite.
    shown: Shown,
    /// The time of the last SUBACK since [`Recorder::take_subscribed`].
    subscribed: Option<Duration>,
    /// The size of the history, in bytes.
    recorded: usize,
}

impl Recorder {
    pub(crate) fn new(infos: Vec<HostInfo>, now: impl Fn() -> Duration + 'static) -> Self {
        let hosts = infos.iter().map(|_| HostState::default()).collect();
        let (history, shown) = (History::in_place_of(SPARE.take(), infos), Shown::from(Vec::new()));
        let state = State { history, hosts, line: 0, shown, subscribed: None, recorded: 0 };
        let (changed, full) = (Signal::default(), Notify::new());
        Self { state: RefCell::new(state), changed, now: Box::new(now), intake: None, full }
    }

    /// Counts the events of a live run.
    pub(crate) fn counting(self, intake: Rc<Intake>) -> Self {
        Self { intake: Some(intake), ..self }
    }

    /// Waits until the peer has sent more than a live run takes, or the history of a simulated run
    /// is too large.
    pub(crate) async fn exceeded(&self) -> Excess {
        match &self.intake {
            Some(intake) => intake.exceeded().await,
            None => {
                self.full.notified().await;
                Excess::History
            }
        }
    }

    /// Whether the run ends because the peer sent too much. Nothing more is to be read then.
    pub(crate) fn is_exceeded(&self) -> bool {
        self.intake.as_ref().is_some_and(|intake| intake.excess().is_some())
    }

    /// The largest packet that is taken from the peer under test.
    pub(crate) fn maximum_packet_size(&self) -> u32 {
        self.intake.as_ref().map_or(u32::MAX, |_| MAXIMUM_PACKET_SIZE)
    }

    /// Stops the run because of a packet that is larger.
    pub(crate) fn refuse_packet(&self) {
        if let Some(intake) = &self.intake {
            intake.stop(Excess::Packet);
        }
    }

    /// Waits until an event was recorded since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.given().await;
    }

    /// Records an event; the connection is `None` if the event concerns no client's host.
    pub(crate) fn record(&self, connection: Option<ConnectionKey>, line: u32, what: What) -> usize {
        let at = (self.now)();
        if let Some(intake) = &self.intake {
            intake.take(EVENT);
        }
        let mut state = self.state.borrow_mut();
        state.recorded += EVENT + what.bytes().map_or(0, Bytes::len);
        if self.intake.is_none() && state.recorded > SIMULATED_RUN {
            self.full.notify_one();
        }
        if matches!(
            what,
            What::Received { packet: Packet::SubAck(_), .. } | What::Told(Told::Subscribed { .. })
        ) {
            state.subscribed = Some(at);
        }
        state.history.push(Event { at, connection, line, what });
        let index = state.history.events().len() - 1;
        drop(state);
        self.changed.give();
        index
    }

    /// Records a new connection of the host; returns its key.
    pub(crate) fn open(&self, host: HostIndex, version: Version) -> ConnectionKey {
        let number = self.with_host(host, |state| {
            state.number += 1;
            (state.open, state.provoked, state.ignored, state.owed_pings) = (true, false, false, 0);
            state.number
        });
        let key = ConnectionKey { host, number };
        self.record(Some(key), self.line(), What::Opened(version));
        key
    }

    /// Records an arrival on a connection, and puts it into the inbox.
    pub(crate) fn arrive(&self, key: ConnectionKey, what: What) {
        let arrived = match &what {
            What::Received { packet, .. } => Arrived::Packet(packet.clone()),
            What::ReceivedMalformed { error, .. } => Arrived::Malformed(*error),
            What::Closed(ending) => Arrived::Ended(*ending),
            What::ReceivedTextFrame => Arrived::TextFrame,
            What::HandshakeOffered(names) => Arrived::Handshake(names.clone()),
            What::HandshakeSelected(name) => Arrived::Handshake(name.iter().cloned().collect()),
            _ => Arrived::Ended(Ending::ByPeer),
        };
        let ended = matches!(arrived, Arrived::Ended(_));
        let bytes = what.bytes().cloned().unwrap_or_default();
        let event = self.record(Some(key), 0, what);
        let at = (self.now)();
        self.with_host(key.host, |host| {
            host.inbox.push_back(Arrival {
                host: key.host,
                at,
                event,
                connection: key.number,
                what: arrived,
                bytes,
            });
            if ended && host.number == key.number {
                host.open = false;
            }
        });
        self.changed.give();
    }

    /// Records the end of a connection because the peer has opened another one.
    pub(crate) fn replaced(&self, key: ConnectionKey) {
        let event = self.record(Some(key), 0, What::Closed(Ending::ByPeer));
        self.with_host(key.host, |host| host.replaced = Some((key.number, event)));
    }

    /// Puts the end of a connection into the inbox that arrived after the peer had opened another
    /// one. Its position is before arrivals on the other one, unless a line has taken the end
    /// already.
    pub(crate) fn replaced_ended(&self, key: ConnectionKey, ending: Ending) {
        let at = (self.now)();
        self.with_host(key.host, |host| {
            let Some((_, event)) = host.replaced.take_if(|(number, _)| *number == key.number) else { return };
            let newer = |arrival: &Arrival| arrival.connection > key.number;
            let place = host.inbox.iter().position(newer).unwrap_or(host.inbox.len());
            let (connection, what) = (key.number, Arrived::Ended(ending));
            host.inbox
                .insert(place, Arrival { host: key.host, at, event, connection, what, bytes: Bytes::new() });
        });
        self.changed.give();
    }

    /// Records that the observer's side ended a connection, or lost it in a crash.
    pub(crate) fn end(&self, key: ConnectionKey, ending: Ending) {
        self.record(Some(key), self.line(), What::Closed(ending));
        self.with_host(key.host, |host| {
            if host.number == key.number {
                (host.open, host.provoked) = (false, true);
            }
        });
    }

    /// Records a report of a client to its application; returns the event's position in the
    /// history.
    pub(crate) fn tell(&self, host: HostIndex, told: Told) -> usize {
        self.record(Some(ConnectionKey { host, number: 0 }), 0, What::Told(told))
    }

    pub(crate) fn with_host<R>(&self, host: HostIndex, change: impl FnOnce(&mut HostState) -> R) -> R {
        change(&mut self.state.borrow_mut().hosts[usize::from(host.0)])
    }

    pub(crate) fn with_history<R>(&self, look: impl FnOnce(&History) -> R) -> R {
        look(&self.state.borrow().history)
    }

    /// Notes which line took an arrival.
    pub(crate) fn answered(&self, event: usize, line: u32) {
        self.state.borrow_mut().history.set_line(event, line);
    }

    /// The time of the last SUBACK, if there was one since the last call.
    pub(crate) fn take_subscribed(&self) -> Option<Duration> {
        self.state.borrow_mut().subscribed.take()
    }

    /// A line is executed from now on, which shows these clauses.
    pub(crate) fn begin(&self, line: u32, shown: Shown) {
        let mut state = self.state.borrow_mut();
        (state.line, state.shown) = (line, shown);
    }

    pub(crate) fn line(&self) -> u32 {
        self.state.borrow().line
    }

    /// The clauses that the current line claims.
    pub(crate) fn claimed(&self) -> Shown {
        self.state.borrow().shown.clone()
    }

    /// A finding of the current line, as strong as the strongest of its clauses.
    pub(crate) fn found(
        &self,
        expected: impl Into<String>,
        actual: impl Into<String>,
        event: Option<usize>,
    ) -> Finding {
        let at = event
            .map_or_else(|| (self.now)(), |event| self.with_history(|history| history.events()[event].at));
        let requirements = self.state.borrow().shown.to_vec();
        Finding {
            check: Check::Expectation,
            level: strongest(&requirements),
            requirements,
            expected: expected.into(),
            actual: actual.into(),
            nearly: None,
            line: self.line(),
            at_ns: nanoseconds(at),
            event,
            timing_sensitive: event.is_none(),
        }
    }

    /// The history, once the run is over.
    pub(crate) fn take_history(&self) -> History {
        std::mem::take(&mut self.state.borrow_mut().history)
    }
}

/// The level of the strongest of several clauses.
pub(crate) fn strongest(requirements: &[Requirement]) -> Level {
    let levels = requirements.iter().filter_map(Requirement::in_catalogue).map(|clause| clause.level);
    levels.max().unwrap_or(Level::Must)
}

/// How a connection of the drivers ended, as the history records it.
pub(crate) fn ending(ending: &framed::Ending) -> Ending {
    match ending {
        framed::Ending::Closed { .. } => Ending::ByPeer,
        framed::Ending::TimedOut => Ending::TimedOut,
        framed::Ending::Reset | framed::Ending::Failed(_) => Ending::Reset,
    }
}

#[cfg(test)]
mod tests {
    use mqttspec_judge::history::HostIndex;

    use super::*;
    use crate::intake::Budget;

    /// A recorder with the packets of one connection, of 64 MiB each. They share their bytes.
    fn recorded(recorder: Recorder, packets: usize) -> Recorder {
        let bytes = Bytes::from(vec![0; 64 << 20]);
        let key = ConnectionKey { host: HostIndex(0), number: 1 };
        for _ in 0..packets {
            let what = What::Sent { packet: Packet::PingReq, bytes: bytes.clone() };
            recorder.record(Some(key), 1, what);
        }
        recorder
    }

    fn excess(recorder: &Recorder) -> Option<Excess> {
        let exceeded = core::pin::pin!(recorder.exceeded());
        match exceeded.poll(&mut core::task::Context::from_waker(core::task::Waker::noop())) {
            core::task::Poll::Ready(excess) => Some(excess),
            core::task::Poll::Pending => None,
        }
    }

    #[test]
    fn the_history_of_a_simulated_run_has_a_limit() {
        let new = || Recorder::new(Vec::new(), || Duration::ZERO);
        assert_eq!(excess(&recorded(new(), 7)), None);
        assert_eq!(excess(&recorded(new(), 8)), Some(Excess::History));
        // In a live run, what the harness itself sends does not count.
        let live = new().counting(Rc::new(Intake::new(&Budget::default())));
        assert_eq!(excess(&recorded(live, 8)), None);
    }
}

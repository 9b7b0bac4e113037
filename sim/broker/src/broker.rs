//! The broker as a whole: its state, its inputs (`handle_*`) and its outputs (`poll_*`).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mqttspec_codec::{Answer, Connect, DecodeError, DisconnectReason, Packet, Utf8String};
use mqttspec_core::Change;
use rand::Rng as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::authentication::CheckedPassword;
use crate::connection::{Connection, State};
use crate::connection_id::ConnectionId;
use crate::event::{Ending, Event};
use crate::fault::Fault;
use crate::memory::{self, Memory};
use crate::message::MessageId;
use crate::options::{Options, Redirect};
use crate::output::{Output, Transmit};
use crate::parts::{Distribution, Leaving, Routings, Sizes};
use crate::published::Published;
use crate::retained::Retained;
use crate::session::{Session, SessionKey};
use crate::store::Records;
use crate::timers::{Timer, Timers};
use crate::topic::{Matches, SubscriptionTree};

/// Work that is done in parts.
const IN_PARTS: [Timer; 5] =
    [Timer::RetainedScans, Timer::Leaving, Timer::Deliveries, Timer::Routings, Timer::Distributions];

/// The reference broker. See the [crate] for how to drive it.
#[derive(Debug)]
pub struct Broker {
    pub(crate) options: Options,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    /// Boxed, so that the unused slots of the map's nodes are small.
    pub(crate) sessions: BTreeMap<SessionKey, Box<Session>>,
    pub(crate) session_keys: BTreeMap<Utf8String, SessionKey>,
    pub(crate) subscriptions: SubscriptionTree,
    pub(crate) retained: Retained,
    pub(crate) timers: Timers,
    pub(crate) published: Published,
    pub(crate) records: Records,
    pub(crate) output: Output,
    pub(crate) memory: Memory,
    /// Network Connections with an accepted CONNECT.
    pub(crate) clients: usize,
    /// Sessions that search for retained messages and can get more.
    pub(crate) scanning: VecDeque<SessionKey>,
    pub(crate) next_scan: u64,
    /// Sessions that have more messages to send than were sent at once.
    pub(crate) sending: VecDeque<SessionKey>,
    pub(crate) sizes: Sizes,
    /// Messages that are given to Sessions in parts.
    pub(crate) routings: Routings,
    /// Messages that are given to Shared Subscriptions in parts, and their number by publisher.
    pub(crate) distributions: VecDeque<Distribution>,
    pub(crate) distributing: BTreeMap<Utf8String, u32>,
    /// What is left of Sessions that have ended.
    pub(crate) leaving: VecDeque<Leaving>,
    /// See [`effort`](Self::effort).
    pub(crate) effort: u64,
    /// Whether a Session may have a Subscription to topics that its user may not read.
    pub(crate) reads_are_restricted: bool,
    pub(crate) random: ChaCha8Rng,
    pub(crate) next_connection: u64,
    pub(crate) next_session: u64,
    pub(crate) next_message: u64,
    /// Reused from message to message to save allocations.
    pub(crate) matches: Matches,
}

impl Broker {
    /// A broker without Sessions and retained messages. All its random choices derive from `seed`.
    #[must_use]
    pub fn new(options: Options, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        options.users.prepare();
        let mut timers = Timers::default();
        if !options.statistics_interval.is_zero() {
            // For the first time as soon as the driver asks.
            timers.set(Timer::Statistics, Duration::ZERO);
        }
        Self {
            records: Records::new(options.record_changes),
            sizes: Sizes::of(options.parts),
            options,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            session_keys: BTreeMap::new(),
            subscriptions: SubscriptionTree::new(random.next_u64()),
            retained: Retained::default(),
            timers,
            published: Published::default(),
            output: Output::default(),
            memory: Memory::default(),
            clients: 0,
            scanning: VecDeque::new(),
            next_scan: 0,
            sending: VecDeque::new(),
            routings: Routings::default(),
            distributions: VecDeque::new(),
            distributing: BTreeMap::new(),
            leaving: VecDeque::new(),
            effort: 0,
            reads_are_restricted: false,
            random,
            next_connection: 0,
            next_session: 0,
            next_message: 0,
            matches: Matches::default(),
        }
    }

    /// The options that the broker was created with.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// A Client has opened a Network Connection.
    pub fn handle_opened(&mut self, now: Duration) -> ConnectionId {
        self.next_connection += 1;
        let id = ConnectionId(self.next_connection);
        let connection = Connection::new(now, self.options.users.anonymous(), &self.memory);
        self.connections.insert(id, connection);
        if !self.options.connect_timeout.is_zero() {
            self.timers.set(Timer::ConnectTimeout(id), now.saturating_add(self.options.connect_timeout));
        }
        id
    }

    /// A packet was received. Packets of a Network Connection that the broker has closed are
    /// ignored.
    pub fn handle_packet(&mut self, now: Duration, id: ConnectionId, packet: Packet) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        // [MQTT-3.1.2-22] every packet counts, and only packets from the Client do
        connection.last_received = now;
        let outcome = match &connection.state {
            State::AwaitingConnect => {
                if let Packet::Connect(connect) = packet {
                    self.handle_connect(now, id, *connect);
                } else {
                    // [MQTT-3.1.0-1] no packet may be sent to the Client here [MQTT-3.14.0-1]
                    self.end_connection(now, id, Ending::Silent);
                }
                Ok(())
            }
            State::Authenticating(_) => {
                self.handle_packet_while_authenticating(now, id, packet);
                Ok(())
            }
            State::Open(session) => {
                let session = *session;
                self.handle_packet_of_session(now, id, session, &packet)
            }
        };
        if let Err(fault) = outcome {
            self.disconnect(now, id, fault);
        }
        self.settle(now);
    }

    /// A CONNECT was received whose Password the driver has checked with
    /// [`Users::check`](crate::Users::check) of the options. The check takes long, so that other
    /// Clients would have to wait for it.
    pub fn handle_checked_connect(
        &mut self,
        now: Duration,
        id: ConnectionId,
        connect: Connect,
        checked: CheckedPassword,
    ) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.checked = Some(checked);
        }
        self.handle_packet(now, id, Packet::from(connect));
    }

    /// The bytes that were received are malformed (§4.13.1). The driver reads no further from this
    /// Network Connection.
    pub fn handle_malformed(&mut self, now: Duration, id: ConnectionId, error: &DecodeError) {
        let Some(connection) = self.connections.get(&id) else { return };
        // [MQTT-4.13.1-1] [MQTT-3.1.4-1] 3.1.1/[MQTT-4.8.0-1] 3.1.1/[MQTT-2.2.2-2] in every case
        // the Network Connection closes
        match (&connection.state, error.answer()) {
            (State::AwaitingConnect, Answer::ConnAck(reason)) => {
                self.refuse_malformed(now, id, error.version, reason, error.kind.sentence());
            }
            (State::Open(_), Answer::Disconnect(reason)) => {
                self.disconnect(now, id, Fault::new(reason, error.kind.sentence()));
            }
            // [MQTT-3.14.0-1]
            _ => self.end_connection(now, id, Ending::Silent),
        }
        self.settle(now);
    }

    /// The Client exceeds a limit of the driver, such as the time for one packet: it is
    /// disconnected with Quota exceeded (0x97).
    pub fn handle_exceeded(&mut self, now: Duration, id: ConnectionId, detail: &'static str) {
        self.disconnect(now, id, Fault::new(DisconnectReason::QuotaExceeded, detail));
        self.settle(now);
    }

    /// The Network Connection ended: end of stream, reset, or a write error. For a Network
    /// Connection that the broker has closed, the call is optional.
    pub fn handle_closed(&mut self, now: Duration, id: ConnectionId) {
        self.end_connection(now, id, Ending::Network);
        self.settle(now);
    }

    /// The driver has more bytes to write to this Network Connection than it is willing to buffer
    /// (`congested`), or has written them. While it is congested, QoS 0 messages are dropped, as
    /// §4.3.1 allows, and QoS 1 and 2 messages wait in the Session.
    pub fn handle_congestion(&mut self, now: Duration, id: ConnectionId, congested: bool) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.congested = congested;
        if let Some(session) = connection.session() {
            self.pump(now, session);
            self.continue_scans(now, session);
        }
        self.settle(now);
    }

    /// The deadline that [`poll_timeout`](Self::poll_timeout) returned has passed. A call that is
    /// early or late does no harm.
    ///
    /// If much is due, the rest is left for the next call: then `poll_timeout` returns a time that
    /// has passed.
    pub fn handle_timeout(&mut self, now: Duration) {
        // Of work in parts, one part is done in each call, however much else is due.
        for timer in IN_PARTS {
            if self.timers.is_due(&timer, now) {
                self.timers.cancel(timer.clone());
                self.handle_timer(now, timer);
            }
        }
        let enough = self.effort + self.sizes.due;
        while self.effort < enough
            && let Some(timer) = self.timers.take_due(now)
        {
            self.effort += 1;
            self.handle_timer(now, timer);
        }
        self.settle(now);
    }

    fn handle_timer(&mut self, now: Duration, timer: Timer) {
        match timer {
            // §3.1.4: SHOULD close; no DISCONNECT, since there was no CONNACK [MQTT-3.14.0-1]
            Timer::ConnectTimeout(id) => self.end_connection(now, id, Ending::Silent),
            Timer::KeepAlive(id) => self.check_keep_alive(now, id),
            Timer::WillDelay(session) => self.publish_will(now, session),
            Timer::SessionExpiry(session) => self.end_session(now, session, crate::SessionEnd::Expired),
            Timer::RetainedScans => self.run_scans(now),
            Timer::Leaving => self.run_leaving(now),
            Timer::Deliveries => self.run_deliveries(now),
            Timer::Routings => self.run_routings(now),
            Timer::Distributions => self.run_distributions(now),
            Timer::Statistics => self.publish_statistics(now),
            Timer::RetainedExpiry(topic) => self.expire_retained(now, &topic),
        }
    }

    /// The broker is about to stop: every Client is sent a DISCONNECT and every Network Connection
    /// is closed. Sessions are kept as the standard requires. The driver takes changes and
    /// transmits one last time.
    pub fn handle_shutdown(&mut self, now: Duration) {
        // Clients that are connected get what was accepted for them.
        while !self.routings.queue.is_empty() {
            self.run_routings(now);
        }
        let open: Vec<_> = self.connections.keys().copied().collect();
        for id in open {
            self.disconnect(
                now,
                id,
                Fault::new(DisconnectReason::ServerShuttingDown, "the Server is shutting down"),
            );
        }
        self.settle(now);
    }

    /// The operator sends the Clients to another Server (§4.11): Clients that are connected are
    /// disconnected with that Reason Code, and new ones are refused until this is called with
    /// [`Redirect::No`]. `reference` replaces the option `server_reference`, unless it is `None`.
    pub fn handle_redirect(&mut self, now: Duration, redirect: Redirect, reference: Option<Utf8String>) {
        self.options.redirect = redirect;
        if reference.is_some() {
            self.options.server_reference = reference;
        }
        let reason = match redirect {
            Redirect::No => return,
            Redirect::UseAnotherServer => DisconnectReason::UseAnotherServer,
            Redirect::ServerMoved => DisconnectReason::ServerMoved,
        };
        // A Client that has not sent CONNECT yet is refused in CONNACK.
        let come = self
            .connections
            .iter()
            .filter(|(_, connection)| !matches!(connection.state, State::AwaitingConnect));
        let open: Vec<_> = come.map(|(id, _)| *id).collect();
        for id in open {
            self.disconnect(now, id, Fault::new(reason, ""));
        }
        self.settle(now);
    }

    /// The changes that must be durable before the driver does what
    /// [`poll_transmit`](Self::poll_transmit) returns from now on: one batch, to be written as a
    /// whole.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.records.take()
    }

    /// The number of changes that [`take_changes`](Self::take_changes) would return. A driver can
    /// pass no more inputs when there are many, because a large batch takes long to be written.
    #[must_use]
    pub fn change_count(&self) -> usize {
        self.records.count()
    }

    /// The next packet to send or Network Connection to close.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.output.transmits.pop_front()
    }

    /// A measure of the work that the broker has done: the number of Subscriptions that inputs
    /// matched, made or removed, of deadlines, and of messages of Sessions that ended. Most inputs
    /// add at most a few. A driver that finds that one added many can let other Clients go first.
    #[must_use]
    pub fn effort(&self) -> u64 {
        self.effort
    }

    /// From now on, [`Event::MessageAccepted`] and [`Event::MessageDropped`] are not reported. For
    /// a driver without an observer: they are most of the events.
    pub fn omit_message_events(&mut self) {
        self.output.omits_messages = true;
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// The next event. Events are kept until they are read.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.output.events.pop_front()
    }

    fn handle_packet_of_session(
        &mut self,
        now: Duration,
        id: ConnectionId,
        session: SessionKey,
        packet: &Packet,
    ) -> Result<(), Fault> {
        match packet {
            Packet::Publish(publish) => self.handle_publish(now, id, session, publish),
            Packet::PubAck(puback) => self.handle_puback(now, session, puback),
            Packet::PubRec(pubrec) => self.handle_pubrec(now, id, session, pubrec),
            Packet::PubRel(pubrel) => self.handle_pubrel(id, session, pubrel),
            Packet::PubComp(pubcomp) => self.handle_pubcomp(now, session, pubcomp),
            Packet::Subscribe(subscribe) => self.handle_subscribe(now, id, session, subscribe),
            Packet::Unsubscribe(unsubscribe) => self.handle_unsubscribe(id, session, unsubscribe),
            Packet::PingReq => {
                // [MQTT-3.12.4-1]
                self.send(id, Packet::PingResp);
                Ok(())
            }
            Packet::Disconnect(disconnect) => self.handle_disconnect(now, id, session, disconnect),
            Packet::Auth(auth) => self.handle_auth(id, auth),
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => Err(Fault::protocol("a second CONNECT").breaking(&["MQTT-3.1.0-2"])),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(Fault::protocol("a packet that only a Server may send"))
            }
        }
    }

    /// Ends the Network Connections that must be closed because of work on another one. This runs
    /// last, so that one end never starts within another.
    fn settle(&mut self, now: Duration) {
        while let Some((id, fault)) = self.output.to_disconnect.pop_front() {
            self.disconnect(now, id, fault);
        }
    }

    /// Whether a holder that has `held` bytes may get more.
    pub(crate) fn has_memory(&self, held: u64) -> bool {
        memory::has_memory(&self.memory, self.options.memory_maximum, held)
    }

    pub(crate) fn next_message_id(&mut self) -> MessageId {
        self.next_message += 1;
        MessageId(self.next_message)
    }
}

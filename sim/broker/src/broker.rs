//! The broker as a whole: what it consists of, what goes in (`handle_*`) and what comes out (`poll_*`).

use std::collections::BTreeMap;
use std::time::Duration;

use mqttspec_codec::{Answer, DecodeError, DisconnectReason, Packet, Utf8String, Version};
use mqttspec_core::Change;
use rand::Rng as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::connection::{Connection, State};
use crate::event::{Ending, Event};
use crate::message::MessageId;
use crate::options::{Options, Redirect};
use crate::output::Output;
use crate::retained::Retained;
use crate::session::{Session, SessionKey};
use crate::store::Records;
use crate::timers::{Timer, Timers};
use crate::topic::{Matches, SubscriptionTree};

/// Names a Network Connection. Never used twice by the same broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Something for the driver to do, in the order in which it is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Transmit {
    /// Encode and send the packet.
    Packet {
        /// Where to.
        connection: ConnectionId,
        /// What.
        packet: Packet,
        /// In which version to encode it.
        version: Version,
    },
    /// Close the Network Connection once everything before this has been sent. The broker has forgotten it
    /// already.
    Close {
        /// Which.
        connection: ConnectionId,
    },
}

/// The reference broker. See the [crate] for how to drive it.
#[derive(Debug)]
pub struct Broker {
    pub(crate) options: Options,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    /// Boxed, so that the map's nodes have no room for Sessions that are not there.
    pub(crate) sessions: BTreeMap<SessionKey, Box<Session>>,
    pub(crate) session_keys: BTreeMap<Utf8String, SessionKey>,
    pub(crate) subscriptions: SubscriptionTree,
    pub(crate) retained: Retained,
    pub(crate) timers: Timers,
    pub(crate) records: Records,
    pub(crate) output: Output,
    pub(crate) random: ChaCha8Rng,
    /// Salts of passwords are made from this.
    pub(crate) salt_key: [u8; 32],
    pub(crate) next_connection: u64,
    pub(crate) next_session: u64,
    pub(crate) next_message: u64,
    /// Kept between messages for its allocations.
    pub(crate) matches: Matches,
}

/// What a Client did or met that ends its Network Connection (§4.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: DisconnectReason,
    pub(crate) detail: &'static str,
    /// The statements that the Client broke, by their numbers in 5.0, which may be none; `None` if it broke no rule, or
    /// whoever watches its packets sees it without being told.
    pub(crate) broken: Option<&'static [&'static str]>,
}

impl Fault {
    pub(crate) const fn new(reason: DisconnectReason, detail: &'static str) -> Self {
        Self { reason, detail, broken: None }
    }

    /// The Client broke these statements.
    pub(crate) const fn breaking(self, statements: &'static [&'static str]) -> Self {
        Self { broken: Some(statements), ..self }
    }

    pub(crate) const fn protocol(detail: &'static str) -> Self {
        Self::new(DisconnectReason::ProtocolError, detail)
    }
}

impl Broker {
    /// A broker without Sessions and retained messages. Everything it draws comes from `seed`.
    #[must_use]
    pub fn new(options: Options, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut salt_key = [0; 32];
        random.fill_bytes(&mut salt_key);
        Self {
            records: Records::new(options.record_changes),
            options,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            session_keys: BTreeMap::new(),
            subscriptions: SubscriptionTree::new(random.next_u64()),
            retained: Retained::default(),
            timers: Timers::default(),
            output: Output::default(),
            random,
            salt_key,
            next_connection: 0,
            next_session: 0,
            next_message: 0,
            matches: Matches::default(),
        }
    }

    /// The options that the broker was made with.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// A Network Connection was accepted.
    pub fn handle_opened(&mut self, now: Duration) -> ConnectionId {
        self.next_connection += 1;
        let id = ConnectionId(self.next_connection);
        self.connections.insert(id, Connection::new(now, self.options.users.anonymous()));
        if !self.options.connect_timeout.is_zero() {
            self.timers.set(Timer::ConnectTimeout(id), now.saturating_add(self.options.connect_timeout));
        }
        id
    }

    /// A packet came. Packets for a Network Connection that the broker has closed are ignored.
    pub fn handle_packet(&mut self, now: Duration, id: ConnectionId, packet: Packet) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        // [MQTT-3.1.2-22] every packet counts, and only packets from the Client do
        connection.last_received = now;
        let outcome = match &connection.state {
            State::AwaitingConnect => {
                if let Packet::Connect(connect) = packet {
                    self.handle_connect(now, id, *connect);
                } else {
                    // [MQTT-3.1.0-1] there is nothing that could be said to it [MQTT-3.14.0-1]
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
                self.handle_packet_of_session(now, id, session, packet)
            }
        };
        if let Err(fault) = outcome {
            self.disconnect(now, id, fault);
        }
        self.settle(now);
    }

    /// The bytes that came are no packet (§4.13.1). The driver reads no further from this Network Connection.
    pub fn handle_malformed(&mut self, now: Duration, id: ConnectionId, error: &DecodeError) {
        let Some(connection) = self.connections.get(&id) else { return };
        // [MQTT-4.13.1-1] [MQTT-3.1.4-1] 3.1.1/[MQTT-4.8.0-1] 3.1.1/[MQTT-2.2.2-2] in every case the Network Connection closes
        match (&connection.state, error.answer()) {
            (State::AwaitingConnect, Answer::ConnAck(reason)) => {
                self.refuse_malformed(now, id, error.version, reason);
            }
            (State::Open(_), Answer::Disconnect(reason)) => {
                self.disconnect(now, id, Fault::new(reason, "the bytes are no packet"));
            }
            // [MQTT-3.14.0-1]
            _ => self.end_connection(now, id, Ending::Silent),
        }
        self.settle(now);
    }

    /// The Network Connection ended: end of stream, reset, or an error in writing. After the broker has
    /// closed it this may come or not.
    pub fn handle_closed(&mut self, now: Duration, id: ConnectionId) {
        self.end_connection(now, id, Ending::Network);
        self.settle(now);
    }

    /// The driver has more to write to this Network Connection than it wants to hold, or has written it.
    /// Meanwhile QoS 0 messages are dropped (§4.3.1 promises nothing else) and QoS 1 and 2 messages wait in
    /// the Session.
    pub fn handle_congestion(&mut self, now: Duration, id: ConnectionId, congested: bool) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.congested = congested;
        if let Some(session) = connection.session() {
            self.pump(now, session);
        }
        self.settle(now);
    }

    /// The instant that [`poll_timeout`](Self::poll_timeout) told has come. Coming early or late does no
    /// harm.
    pub fn handle_timeout(&mut self, now: Duration) {
        while let Some(timer) = self.timers.take_due(now) {
            match timer {
                // §3.1.4: SHOULD close; there was no CONNACK, so nothing is said [MQTT-3.14.0-1]
                Timer::ConnectTimeout(id) => self.end_connection(now, id, Ending::Silent),
                Timer::KeepAlive(id) => self.check_keep_alive(now, id),
                Timer::WillDelay(session) => self.publish_will(now, session),
                Timer::SessionExpiry(session) => self.end_session(now, session, crate::SessionEnd::Expired),
                Timer::RetainedExpiry(topic) => self.expire_retained(now, &topic),
            }
        }
        self.settle(now);
    }

    /// The broker is about to stop: every Client is told and every Network Connection closed. Sessions stay
    /// as the standard says; the driver takes changes and transmits a last time.
    pub fn handle_shutdown(&mut self, now: Duration) {
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

    /// The operator sends the Clients to another Server: those that are connected are told so and closed, those that
    /// come are refused, until this is called with [`Redirect::No`] (§4.11). `reference` takes the place of the
    /// option `server_reference`, unless it is `None`.
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
        // Who has not sent CONNECT yet is told in CONNACK.
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

    /// What has to be durable before anything that [`poll_transmit`](Self::poll_transmit) gives from now on
    /// is sent: one batch, to be written as a whole or not at all.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.records.take()
    }

    /// The next thing to send or close.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.output.transmits.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// The next thing that happened. Events wait until they are read.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.output.events.pop_front()
    }

    fn handle_packet_of_session(
        &mut self,
        now: Duration,
        id: ConnectionId,
        session: SessionKey,
        packet: Packet,
    ) -> Result<(), Fault> {
        match packet {
            Packet::Publish(publish) => self.handle_publish(now, id, session, &publish),
            Packet::PubAck(puback) => self.handle_puback(now, session, &puback),
            Packet::PubRec(pubrec) => self.handle_pubrec(now, id, session, &pubrec),
            Packet::PubRel(pubrel) => self.handle_pubrel(id, session, &pubrel),
            Packet::PubComp(pubcomp) => self.handle_pubcomp(now, session, &pubcomp),
            Packet::Subscribe(subscribe) => self.handle_subscribe(now, id, session, &subscribe),
            Packet::Unsubscribe(unsubscribe) => self.handle_unsubscribe(id, session, &unsubscribe),
            Packet::PingReq => {
                // [MQTT-3.12.4-1]
                self.send(id, Packet::PingResp);
                Ok(())
            }
            Packet::Disconnect(disconnect) => self.handle_disconnect(now, id, session, &disconnect),
            Packet::Auth(auth) => self.handle_auth(id, &auth),
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => Err(Fault::protocol("a second CONNECT").breaking(&["MQTT-3.1.0-2"])),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(Fault::protocol("a packet that only a Server sends"))
            }
        }
    }

    /// Ends the Network Connections that the work on another one has doomed: apart, so that no ending begins
    /// within another.
    fn settle(&mut self, now: Duration) {
        while let Some((id, fault)) = self.output.doomed.pop_front() {
            self.disconnect(now, id, fault);
        }
    }

    pub(crate) fn next_message_id(&mut self) -> MessageId {
        self.next_message += 1;
        MessageId(self.next_message)
    }
}

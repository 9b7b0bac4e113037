//! The client as a whole: its state, its inputs (`handle_*`) and its outputs (`poll_*`). The
//! modules below process the inputs, one for each concern.

mod authenticating;
mod connecting;
mod delivering;
mod disconnecting;
mod publishing;
mod receiving;
mod requesting;
mod subscribing;
mod validating;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use mqttspec_codec::{
    Answer, DecodeError, DisconnectReason, Packet, PacketType, TopicFilter, TopicName, UserProperty,
    Utf8String, Version,
};
use mqttspec_core::Change;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::backoff::Backoff;
use crate::circuit::{Circuit, CircuitState};
use crate::command::{Command, Delivered, Handle};
use crate::envelope::Envelope;
use crate::error::{Awaited, Error, Unreachable, Violation};
use crate::event::{Event, State};
use crate::info::LastError;
use crate::keep_alive::KeepAlive;
use crate::operations::Operations;
use crate::options::Options;
use crate::outbox::{DeliveryStatistics, EndedDelivery, Outbox, OutboxEntry};
use crate::queue::{Queue, Waiting};
use crate::requests::Requests;
use crate::restore::RestoreError;
use crate::seen::Seen;
use crate::session::Session;
use crate::statistics::Statistics;
use crate::store::{self, PublicationRecord, Record, SessionRecord};
use crate::subscriptions::Subscriptions;
use connecting::{Connection, Handshake, Redirect};
use delivering::AttemptEnd;

/// Something for the driver to do, in the order in which it is returned.
#[derive(Clone, Debug, PartialEq)]
pub enum Transmit {
    /// Open a Network Connection, then call [`Client::handle_opened`] or
    /// [`Client::handle_dial_failed`].
    Dial {
        /// A Server Reference to use in place of the options' address and port (5.0, §4.11).
        server: Option<Utf8String>,
    },
    /// Encode and send the packet.
    Packet {
        /// The packet.
        packet: Packet,
        /// The version to encode it in.
        version: Version,
    },
    /// Close the Network Connection once everything before this has been sent, or stop opening one.
    /// Its end is not reported.
    Close,
}

/// The state of the Network Connection.
#[derive(Debug)]
enum Link {
    Down,
    Dialling { deadline: Duration },
    Handshake(Box<Handshake>),
    Up(Box<Connection>),
}

/// The reference client. See the [crate] for how to drive it.
#[derive(Debug)]
pub struct Client {
    options: Options,
    random: ChaCha8Rng,
    state: State,
    link: Link,
    /// When the next attempt to connect starts.
    retry_at: Option<Duration>,
    /// The Connect command that has not ended.
    connect: Option<Handle>,
    /// No CONNECT was accepted since the last Connect command.
    fresh: bool,
    /// The Server has a Session that this client does not have, or the client's has expired: Clean
    /// Start must be 1.
    force_clean: bool,
    redirect: Option<Redirect>,
    /// The current or last attempt is to the fallback of the circuit breaker.
    on_fallback: bool,
    disconnected_at: Option<Duration>,
    last_error: Option<LastError>,
    backoff: Backoff,
    circuit: Circuit,
    session: Session,
    queue: Queue,
    operations: Operations,
    subscriptions: Subscriptions,
    requests: Requests,
    outbox: Outbox,
    /// Publications of deliveries that have ended during the current input.
    attempts_over: Vec<AttemptEnd>,
    /// The client's own publications, for which no command waits.
    silent_publications: BTreeSet<Handle>,
    deliveries_seen: Seen,
    /// Deliveries that the application has received and not acknowledged.
    deliveries_held: BTreeMap<Delivered, Envelope>,
    next_delivery: u64,
    next_handle: u64,
    statistics: Statistics,
    events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
    changes: Vec<Change>,
    omits_changes: bool,
}

impl Client {
    /// A client without Session State. All its random choices derive from `seed`.
    #[must_use]
    pub fn new(options: Options, seed: u64) -> Self {
        Self {
            options,
            random: ChaCha8Rng::seed_from_u64(seed),
            state: State::Disconnected,
            link: Link::Down,
            retry_at: None,
            connect: None,
            fresh: true,
            force_clean: false,
            redirect: None,
            on_fallback: false,
            disconnected_at: None,
            last_error: None,
            backoff: Backoff::default(),
            circuit: Circuit::default(),
            session: Session::new(),
            queue: Queue::default(),
            operations: Operations::default(),
            subscriptions: Subscriptions::default(),
            requests: Requests::default(),
            outbox: Outbox::default(),
            attempts_over: Vec::new(),
            silent_publications: BTreeSet::new(),
            deliveries_seen: Seen::default(),
            deliveries_held: BTreeMap::new(),
            next_delivery: 1,
            next_handle: 1,
            statistics: Statistics::default(),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            changes: Vec::new(),
            omits_changes: false,
        }
    }

    /// A client that continues with the Session State that another one left in a store. It connects
    /// on command.
    ///
    /// If the store has no end of the Session, its Session Expiry Interval starts at `now`.
    ///
    /// A record that [`Client::take_changes`] cannot have returned is set aside under another key
    /// and reported with [`Event::RecordSetAside`]; the client continues without it.
    #[must_use]
    pub fn restore(
        options: Options,
        seed: u64,
        now: Duration,
        records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Self {
        let mut client = Self::new(options, seed);
        for (key, value) in records {
            let restored = store::read(&key, &value).and_then(|record| client.restore_record(now, record));
            if let Err(error) = restored {
                client.put(store::set_aside_key(&key), value);
                client.delete(key);
                client.statistics.records_set_aside += 1;
                client.events.push_back(Event::RecordSetAside { error });
            }
        }
        client.restore_attempts();
        if client.session.exists && client.session.ends_at.is_none() {
            client.session.connection_closed(now);
            client.put_session();
        }
        if client.session.has_ended(now) || !client.session.exists {
            client.lose_session();
        }
        client.settle_attempts(now);
        client
    }

    /// Runs a command of the application. The event that ends the command has the handle.
    pub fn handle_command(&mut self, now: Duration, command: Command) -> Handle {
        let handle = self.new_handle();
        match command {
            Command::Connect(options) => self.connect(now, handle, options),
            Command::Publish(publication) => self.publish(now, handle, publication),
            Command::Subscribe(request) => self.subscribe(now, handle, request),
            Command::Unsubscribe(request) => self.unsubscribe(now, handle, request),
            Command::Disconnect(request) => self.disconnect(now, handle, &request),
            Command::Request { publication, response_topic, timeout } => {
                self.request(now, handle, publication, response_topic, timeout);
            }
            Command::Deliver(request) => self.deliver(now, handle, request),
            Command::Reauthenticate => self.reauthenticate(now, handle),
            Command::Acknowledge { message, reason } => self.acknowledge(now, handle, message, reason),
        }
        self.settle_attempts(now);
        handle
    }

    /// The Network Connection that [`Transmit::Dial`] requested is open.
    pub fn handle_opened(&mut self, now: Duration) {
        if matches!(self.link, Link::Dialling { .. }) {
            self.send_connect(now);
            self.settle_attempts(now);
        }
    }

    /// The Network Connection that [`Transmit::Dial`] requested could not be opened.
    pub fn handle_dial_failed(&mut self, now: Duration, reason: Unreachable) {
        if matches!(self.link, Link::Dialling { .. }) {
            self.connection_lost(now, Error::NotReachable(reason));
        }
    }

    /// A packet was received.
    pub fn handle_packet(&mut self, now: Duration, packet: Packet) {
        let keep_alive = match &mut self.link {
            Link::Down | Link::Dialling { .. } => return,
            Link::Handshake(handshake) => &mut handshake.keep_alive,
            Link::Up(connection) => &mut connection.keep_alive,
        };
        keep_alive.received(now);
        self.statistics.packets_received += 1;
        self.statistics.last_activity = Some(now);
        if let Err(violation) = self.dispatch(now, packet) {
            self.refuse_peer(now, violation.answer(), violation.into());
        }
        self.settle_attempts(now);
    }

    /// The bytes that were received are malformed. The driver reads no further from this Network
    /// Connection.
    pub fn handle_malformed(&mut self, now: Duration, error: &DecodeError) {
        if matches!(self.link, Link::Down | Link::Dialling { .. }) {
            return;
        }
        let reason = match error.answer() {
            Answer::Disconnect(reason) => reason,
            _ => DisconnectReason::MalformedPacket,
        };
        self.refuse_peer(now, reason, Error::Malformed(*error));
        self.settle_attempts(now);
    }

    /// The Network Connection ended: closed by the Server, reset, or a write error.
    pub fn handle_closed(&mut self, now: Duration) {
        match self.link {
            Link::Down => {}
            Link::Dialling { .. } => self.connection_lost(now, Error::NotReachable(Unreachable::Closed)),
            Link::Handshake(_) | Link::Up(_) => self.connection_lost(now, Error::ConnectionLost),
        }
        self.settle_attempts(now);
    }

    /// The deadline that [`poll_timeout`](Self::poll_timeout) returned has passed. A call that is
    /// early or late does no harm.
    pub fn handle_timeout(&mut self, now: Duration) {
        self.link_timeout(now);
        self.expire_operations(now);
        self.expire_requests(now);
        self.expire_deliveries(now);
        // After the attempts above: a message with an interval of 0 must have had its chance to be
        // sent.
        self.expire_waiting(now);
        self.settle_attempts(now);
    }

    /// Records no changes from now on: a client without a store saves the work.
    pub fn omit_changes(&mut self) {
        self.omits_changes = true;
        self.changes.clear();
    }

    /// The changes that the driver must make durable before it does what
    /// [`poll_transmit`](Self::poll_transmit) returns.
    #[must_use = "what is not made durable is lost in a crash"]
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The next thing for the driver to do.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let link = match &self.link {
            Link::Down => self.retry_at,
            Link::Dialling { deadline } => Some(*deadline),
            Link::Handshake(handshake) => Some(handshake.deadline),
            Link::Up(connection) => {
                let reauthentication =
                    connection.reauthentication.as_ref().map(|under_way| under_way.deadline);
                let (check, limit) = (self.options.health_check, self.options.inactivity_warning);
                let health = connection.health.deadline(check, limit);
                [connection.keep_alive.deadline(), reauthentication, health].into_iter().flatten().min()
            }
        };
        let others = [
            self.operations.deadline(),
            self.queue.next_expiry(),
            self.requests.deadline(),
            self.outbox.deadline(),
        ];
        others.into_iter().chain([link]).flatten().min()
    }

    /// The next event. Events are kept until they are read.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The state of the connection to the Server.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The protocol version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.options.version
    }

    /// The current options.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Counts of what the client has done and of what it holds.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            waiting: self.queue.len(),
            in_flight: self.session.outbound.len(),
            ..self.statistics.clone()
        }
    }

    /// The state of the circuit breaker.
    #[must_use]
    pub fn circuit(&self) -> CircuitState {
        self.circuit.state()
    }

    /// The Client Identifier: from the options, or assigned by the Server.
    #[must_use]
    pub fn client_id(&self) -> &Utf8String {
        if self.options.client_id.is_empty() { &self.session.client_id } else { &self.options.client_id }
    }

    /// The deliveries that have not ended.
    pub fn deliveries(&self) -> impl Iterator<Item = &OutboxEntry> {
        self.outbox.deliveries()
    }

    /// The deliveries that ended last, the oldest first; the option `delivery_history` says how
    /// many.
    pub fn delivery_history(&self) -> impl Iterator<Item = &EndedDelivery> {
        self.outbox.history()
    }

    /// Statistics of all deliveries, including those before a restart with the same store.
    #[must_use]
    pub fn delivery_statistics(&self) -> DeliveryStatistics {
        self.outbox.statistics()
    }

    /// The granted Topic Filters that match a Topic Name: the subscriptions that may have caused a
    /// message.
    pub fn matching_subscriptions<'a>(
        &'a self,
        topic: &'a TopicName,
    ) -> impl Iterator<Item = &'a TopicFilter> {
        self.subscriptions.matching(topic)
    }

    /// Handles the deadlines of the Network Connection, or of the attempt to open one.
    fn link_timeout(&mut self, now: Duration) {
        match &mut self.link {
            Link::Down => {
                if self.retry_at.is_some_and(|at| at <= now) {
                    self.dial(now);
                }
            }
            Link::Dialling { deadline } => {
                if *deadline <= now {
                    self.transmits.push_back(Transmit::Close);
                    self.connection_lost(now, Error::TimedOut(Awaited::NetworkConnection));
                }
            }
            Link::Handshake(handshake) => {
                if handshake.deadline <= now {
                    self.transmits.push_back(Transmit::Close);
                    self.connection_lost(now, Error::TimedOut(Awaited::ConnAck));
                }
            }
            Link::Up(connection) => {
                let (check, limit) = (self.options.health_check, self.options.inactivity_warning);
                if let Some(duration) = connection.health.check(now, check, limit) {
                    self.events.push_back(Event::Inactive { duration });
                }
                let keep_alive = &connection.keep_alive;
                if connection.reauthentication.as_ref().is_some_and(|under_way| under_way.deadline <= now) {
                    self.reauthentication_overdue(now);
                } else if keep_alive.pong_overdue().is_some_and(|at| at <= now) {
                    // §3.1.2.10: no DISCONNECT, since the Server does not answer and the Will must
                    // be published.
                    self.transmits.push_back(Transmit::Close);
                    self.connection_lost(now, Error::TimedOut(Awaited::PingResp));
                } else if keep_alive.ping_due().is_some_and(|at| at <= now) {
                    self.send(now, Packet::PingReq);
                }
            }
        }
    }

    fn dispatch(&mut self, now: Duration, packet: Packet) -> Result<(), Violation> {
        let packet_type = packet.packet_type();
        if matches!(self.link, Link::Handshake(_)) {
            return match packet {
                Packet::ConnAck(connack) => self.connack(now, connack),
                Packet::Auth(auth) => {
                    self.check_problem_information(&Packet::Auth(auth.clone()))?;
                    self.auth_in_handshake(now, &auth)
                }
                other => Err(Violation::BeforeConnAck(other.packet_type())),
            };
        }
        self.check_problem_information(&packet)?;
        match packet {
            Packet::Publish(publish) => self.receive_publish(now, publish),
            Packet::PubRel(pubrel) => {
                self.receive_pubrel(now, &pubrel);
                Ok(())
            }
            Packet::PubAck(puback) => self.receive_puback(now, &puback),
            Packet::PubRec(pubrec) => self.receive_pubrec(now, &pubrec),
            Packet::PubComp(pubcomp) => self.receive_pubcomp(now, &pubcomp),
            Packet::SubAck(suback) => {
                self.receive_suback(now, suback).map(|()| self.use_free_identifiers(now))
            }
            Packet::UnsubAck(unsuback) => {
                self.receive_unsuback(unsuback).map(|()| self.use_free_identifiers(now))
            }
            Packet::PingResp => {
                if let Link::Up(connection) = &mut self.link {
                    connection.keep_alive.pong_received();
                }
                Ok(())
            }
            Packet::Disconnect(disconnect) => self.receive_disconnect(now, disconnect),
            Packet::ConnAck(_) => Err(Violation::SecondConnAck),
            Packet::Auth(auth) => self.auth_in_session(now, &auth),
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
                Err(Violation::WrongSender(packet_type))
            }
        }
    }

    fn send(&mut self, now: Duration, packet: Packet) {
        let keep_alive: Option<&mut KeepAlive> = match &mut self.link {
            Link::Down | Link::Dialling { .. } => None,
            Link::Handshake(handshake) => Some(&mut handshake.keep_alive),
            Link::Up(connection) => Some(&mut connection.keep_alive),
        };
        debug_assert!(keep_alive.is_some(), "{} without a Network Connection", packet.packet_type());
        if let Some(keep_alive) = keep_alive {
            if packet.packet_type() == PacketType::PingReq {
                keep_alive.ping_sent(now);
            } else {
                keep_alive.sent(now);
            }
        }
        self.statistics.packets_sent += 1;
        self.statistics.last_activity = Some(now);
        let version = self.version();
        let packet = self.with_user_properties(packet);
        self.transmits.push_back(Transmit::Packet { packet, version });
    }

    /// The packet with the User Properties of the option `packet_user_property`, if it can have them
    /// and the Server accepts a packet of that size.
    fn with_user_properties(&self, packet: Packet) -> Packet {
        if self.options.packet_user_property.is_empty() || !self.version().is_5() {
            return packet;
        }
        let mut more = packet.clone();
        macro_rules! add {
            ($packet:expr) => {
                for (name, value) in &self.options.packet_user_property {
                    let property = UserProperty { name: name.clone(), value: value.clone() };
                    $packet.properties.push(property);
                }
            };
        }
        match &mut more {
            Packet::Connect(packet) => add!(packet),
            Packet::Publish(packet) => add!(packet),
            Packet::PubAck(packet) => add!(packet),
            Packet::PubRec(packet) => add!(packet),
            Packet::PubRel(packet) => add!(packet),
            Packet::PubComp(packet) => add!(packet),
            Packet::Subscribe(packet) => add!(packet),
            Packet::Unsubscribe(packet) => add!(packet),
            Packet::Disconnect(packet) => add!(packet),
            Packet::Auth(packet) => add!(packet),
            _ => return packet,
        }
        // [MQTT-3.4.2-2] [MQTT-3.5.2-2] [MQTT-3.6.2-2] [MQTT-3.7.2-2] [MQTT-3.14.2-4] [MQTT-3.15.2-3]
        if self.fits(&more) { more } else { packet }
    }

    /// A message was sent or received.
    fn message_passed(&mut self, now: Duration) {
        if let Link::Up(connection) = &mut self.link {
            connection.health.message(now);
        }
    }

    fn fail(&mut self, handle: Handle, error: Error) {
        self.statistics.count(&error);
        if self.silent_publications.remove(&handle) {
            return;
        }
        if self.outbox.is_attempt(handle) {
            return self.attempts_over.push(AttemptEnd { attempt: handle, error: Some(error) });
        }
        self.requests.remove(handle);
        self.events.push_back(Event::Failed { handle, error });
    }

    fn new_handle(&mut self) -> Handle {
        let handle = Handle(self.next_handle);
        self.next_handle += 1;
        handle
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        if !self.omits_changes {
            self.changes.push(Change::Put { key, value });
        }
    }

    fn delete(&mut self, key: Vec<u8>) {
        if !self.omits_changes {
            self.changes.push(Change::Delete { key });
        }
    }

    fn put_session(&mut self) {
        if !self.session.exists {
            self.delete(store::session_key());
            return;
        }
        let record = SessionRecord {
            client_id: self.session.client_id.clone(),
            expiry: self.session.expiry,
            ends_at: self.session.ends_at,
            subscription_identifiers: self.session.subscription_identifiers.clone(),
        };
        self.put(store::session_key(), store::session_value(&record));
    }

    fn restore_record(&mut self, now: Duration, record: Record) -> Result<(), RestoreError> {
        match record {
            Record::Session(record) => {
                self.session.exists = true;
                self.session.client_id = record.client_id;
                self.session.expiry = record.expiry;
                self.session.ends_at = record.ends_at;
                self.session.subscription_identifiers = record.subscription_identifiers;
            }
            Record::Publication(handle, PublicationRecord { publication, qos, accepted_at, exchange }) => {
                self.next_handle = self.next_handle.max(handle.0 + 1);
                if publication.topic.as_str().starts_with(self.options.delivery_acknowledgements.as_str()) {
                    self.silent_publications.insert(handle);
                }
                match exchange {
                    None => self.queue.insert(handle, Waiting { publication, qos, accepted_at }),
                    Some((identifier, phase)) => {
                        if !self.session.identifiers.occupy(identifier) {
                            return Err(RestoreError::IdentifierTwice(identifier));
                        }
                        let message = Waiting { publication, qos, accepted_at };
                        self.session.outbound.restore(identifier, handle, message, phase);
                    }
                }
            }
            Record::Delivery(delivery) => {
                let last = delivery.attempt.map_or(delivery.handle, |attempt| attempt.max(delivery.handle));
                self.next_handle = self.next_handle.max(last.0 + 1);
                self.outbox.insert(delivery, now, self.options.delivery_sweep);
            }
            Record::NextDelivery(number) => self.next_delivery = number,
            Record::Totals(totals) => self.outbox.restore_totals(totals),
            Record::Ended(number, ended) => {
                self.next_handle = self.next_handle.max(ended.handle.0 + 1);
                self.outbox.restore_ended(number, ended);
            }
            Record::SetAside => {}
            Record::Seen(id, number) => self.deliveries_seen.restore(id, number),
            Record::Received(identifier) => self.session.inbound.restore(identifier),
            Record::Subscription(subscription, properties) => {
                self.subscriptions.insert(subscription, properties);
            }
        }
        Ok(())
    }
}

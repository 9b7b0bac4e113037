//! Connecting and reconnecting: CONNECT (§3.1), CONNACK (§3.2), back-off, circuit breaker, Server
//! Reference (§4.11 of 5.0).

use std::time::Duration;

use mqttspec_codec::{
    AssignedClientIdentifier, ConnAck, ConnectReason, Disconnect, DisconnectReason, MaximumPacketSize,
    MaximumQoS, Packet, Properties, QoS, ReasonString, ReceiveMaximum, ResponseInformation, RetainAvailable,
    ServerKeepAlive, ServerReference, SessionExpiryInterval, SharedSubscriptionAvailable,
    SubscriptionIdentifierAvailable, TopicAliasMaximum, Utf8String, Version, WildcardSubscriptionAvailable,
};
use mqttspec_core::scram::ClientExchange;

use super::authenticating::Reauthentication;
use super::{Client, Link, Transmit};
use crate::alias::{InboundAliases, OutboundAliases};
use crate::backoff::Limits;
use crate::command::Handle;
use crate::error::{Error, ErrorKind, Violation};
use crate::event::{Event, State};
use crate::health::Health;
use crate::info::{ConnectionInfo, LastError};
use crate::keep_alive::KeepAlive;
use crate::options::{CircuitErrors, Options};
use crate::session::NEVER;

/// CONNECT was sent, and CONNACK not received.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) deadline: Duration,
    pub(super) keep_alive: KeepAlive,
    clean_start: bool,
    client_id: Utf8String,
    /// Enhanced authentication, if CONNECT had an Authentication Method.
    pub(super) exchange: Option<ClientExchange>,
}

/// The state of one accepted Network Connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) keep_alive: KeepAlive,
    pub(super) limits: Limitations,
    pub(super) inbound_aliases: InboundAliases,
    pub(super) outbound_aliases: OutboundAliases,
    /// Whether CONNECT had an Authentication Method.
    pub(super) enhanced: bool,
    pub(super) reauthentication: Option<Reauthentication>,
    /// The root that the Server proposes for Response Topics (§3.2.2.3.15).
    pub(super) response_information: Option<Utf8String>,
    pub(super) health: Health,
    connected_at: Duration,
}

/// The limits that the Server has set in CONNACK (§3.2.2.3).
#[derive(Debug)]
pub(super) struct Limitations {
    pub(super) maximum_qos: QoS,
    pub(super) retain: bool,
    /// In bytes.
    pub(super) maximum_packet_size: usize,
    pub(super) wildcard_subscriptions: bool,
    pub(super) subscription_identifiers: bool,
    pub(super) shared_subscriptions: bool,
}

/// The Server Reference that the Server has sent.
#[derive(Debug)]
pub(super) struct Redirect {
    server: Utf8String,
    /// Whether the reason was "Server moved", not "Use another server".
    permanent: bool,
}

impl Client {
    pub(super) fn connect(&mut self, now: Duration, handle: Handle, options: Option<Box<Options>>) {
        if matches!(self.state, State::Connecting | State::Connected) {
            return self.fail(handle, Error::AlreadyConnected);
        }
        let options = options.map_or_else(|| self.options.clone(), |options| *options);
        if let Err(invalid) = options.check() {
            return self.fail(handle, Error::Invalid(invalid));
        }
        let earliest = self.circuit.earliest(now);
        if earliest > now && options.circuit_fallback.is_none() {
            return self.fail(handle, Error::CircuitOpen { retry_in: earliest - now });
        }
        if !matches!(self.link, Link::Down) {
            self.link = Link::Down;
            self.transmits.push_back(Transmit::Close);
        }
        if let Some(waiting) = self.connect.replace(handle) {
            self.fail(waiting, Error::Cancelled);
        }
        self.options = options;
        self.retry_at = None;
        self.fresh = true;
        self.backoff.succeeded();
        self.state = State::Connecting;
        // [MQTT-3.1.3-2] the Session State belongs to the Client Identifier
        let renamed = !self.options.client_id.is_empty() && self.options.client_id != self.session.client_id;
        if self.session.exists && renamed {
            self.lose_session();
        }
        if self.options.clean_start == Some(true) {
            self.forget_subscriptions();
        }
        self.dial(now);
    }

    pub(super) fn dial(&mut self, now: Duration) {
        self.retry_at = None;
        let fallback = self.options.circuit_fallback.clone().filter(|_| self.circuit.earliest(now) > now);
        self.on_fallback = fallback.is_some();
        if !self.on_fallback && self.circuit.attempt(now) {
            self.events.push_back(Event::Circuit(self.circuit.state()));
        }
        self.statistics.attempts += 1;
        self.link = Link::Dialling { deadline: now + self.options.connect_timeout };
        self.events.push_back(Event::Connecting { attempt: self.backoff.attempt() });
        self.transmits.push_back(Transmit::Dial {
            server: fallback.or_else(|| self.redirect.as_ref().map(|redirect| redirect.server.clone())),
        });
    }

    /// What the client knows about its connection.
    #[must_use]
    pub fn info(&self, now: Duration) -> ConnectionInfo {
        let connected_at = match &self.link {
            Link::Up(connection) => Some(connection.connected_at),
            _ => None,
        };
        let redirect = self.redirect.as_ref().map(|redirect| &redirect.server);
        let server = self.options.circuit_fallback.as_ref().filter(|_| self.on_fallback).or(redirect);
        ConnectionInfo {
            state: self.state,
            server: match server {
                Some(server) => server.as_str().to_owned(),
                None => format!("{}:{}", self.options.address, self.options.effective_port()),
            },
            connected_at,
            uptime: connected_at.map(|at| now.saturating_sub(at)),
            disconnected_at: self.disconnected_at,
            last_error: self.last_error.clone(),
            retries: self.backoff.retries(),
            circuit: self.circuit.state(),
            waiting: self.queue.len(),
            in_flight: self.session.outbound.len(),
            outbox: self.outbox.deliveries().count(),
        }
    }

    /// Whether the circuit breaker counts this failure.
    fn trips(&self, error: &Error) -> bool {
        match self.options.circuit_errors {
            CircuitErrors::All => true,
            CircuitErrors::Passing => error.may_pass(),
            CircuitErrors::Network => matches!(error.kind(), ErrorKind::Network | ErrorKind::TimeOut),
        }
    }

    /// [MQTT-3.1.0-1] CONNECT is the first packet of a Network Connection; nothing follows it
    /// before CONNACK.
    pub(super) fn send_connect(&mut self, now: Duration) {
        // §4.1: the Session has expired, and a Server that still has it must not resume it.
        if self.session.has_ended(now) {
            self.lose_session();
            self.force_clean = true;
        }
        let clean_start = self.clean_start();
        // [MQTT-3.1.2-4] 3.1.1/[MQTT-3.1.2-6]
        if clean_start {
            self.lose_session();
        }
        let client_id = self.client_id().clone();
        let keep_alive = self.options.keep_alive;
        let mut connect = self.options.connect_packet(client_id.clone(), clean_start);
        let exchange = self.begin_authentication(&mut connect.properties);
        self.link = Link::Handshake(Box::new(Handshake {
            deadline: now + self.options.connect_timeout,
            keep_alive: KeepAlive::new(
                now,
                keep_alive,
                self.options.heartbeat_ratio,
                self.options.ping_timeout,
            ),
            clean_start,
            client_id,
            exchange,
        }));
        self.send(now, connect.into());
    }

    pub(super) fn connack(&mut self, now: Duration, connack: ConnAck) -> Result<(), Violation> {
        let Link::Handshake(handshake) = &self.link else { return Err(Violation::SecondConnAck) };
        if connack.reason != ConnectReason::Success {
            self.refused(now, &connack);
            return Ok(());
        }
        let clean_start = handshake.clean_start;
        let enhanced = handshake.exchange.is_some();
        let assigned = connack.properties.get().map(|AssignedClientIdentifier(name)| name);
        let client_id = match assigned {
            Some(name) => name,
            // §3.2.2.3.7
            None if handshake.client_id.is_empty() && self.version().is_5() => {
                return Err(Violation::AssignedClientIdentifierMissing);
            }
            None => handshake.client_id.clone(),
        };
        if !self.check_authentication(now, &connack)? {
            return Ok(());
        }
        // 3.1 has no Session Present: without Clean Session the Session counts as resumed.
        let session_present = match self.version() {
            Version::V3_1 => !clean_start && self.session.exists,
            _ => connack.session_present,
        };
        // [MQTT-3.2.2-4] 3.1.1 leaves this open; the client continues
        if session_present && !self.session.exists && self.version().is_5() {
            self.force_clean = true;
            return Err(Violation::SessionPresentUnexpected);
        }
        let connection = self.connection(now, enhanced, &connack.properties);
        self.accepted(now, connection, session_present, clean_start, client_id, connack.properties);
        Ok(())
    }

    fn accepted(
        &mut self,
        now: Duration,
        connection: Connection,
        session_present: bool,
        clean_start: bool,
        client_id: Utf8String,
        properties: Properties<ConnAck>,
    ) {
        self.force_clean = false;
        let first = std::mem::replace(&mut self.fresh, false);
        if !first {
            self.statistics.reconnections += 1;
        }
        self.statistics.connections += 1;
        self.backoff.succeeded();
        if !self.on_fallback && self.circuit.succeeded() {
            self.events.push_back(Event::Circuit(self.circuit.state()));
        }
        self.state = State::Connected;
        let receive_maximum = properties.get().map_or(u16::MAX, |ReceiveMaximum(maximum)| maximum.get());
        let expiry = properties.get().map(|SessionExpiryInterval(seconds)| seconds);
        let handle = self.connect.take();
        self.events.push_back(Event::Connected {
            handle,
            session_present,
            client_id: client_id.clone(),
            properties,
        });
        // [MQTT-3.2.2-5] 3.1.1 §3.2.2.2
        if !session_present {
            self.lose_session();
        }
        self.session.exists = true;
        self.session.client_id = client_id;
        self.session.ends_at = None;
        // §3.2.2.3.2: the Server's Session Expiry Interval replaces the client's.
        self.session.expiry = match self.version() {
            Version::V5 => expiry.unwrap_or(self.options.session_expiry),
            _ if clean_start => 0,
            _ => NEVER,
        };
        self.put_session();
        self.link = Link::Up(Box::new(connection));
        // [MQTT-4.4.0-1] only after a Session was resumed
        let quota = self.options.send_maximum.get().min(receive_maximum);
        self.session.outbound.connected(quota, session_present);
        self.session.inbound.connected(self.options.inbound_receive_maximum());
        if !session_present || self.version() == Version::V3_1 {
            self.restore_subscriptions();
        }
        self.flush_operations(now);
        self.pump(now);
        self.advance_requests(now);
        self.advance_deliveries(now);
    }

    fn connection(&self, now: Duration, enhanced: bool, properties: &Properties<ConnAck>) -> Connection {
        // [MQTT-3.1.2-21] [MQTT-3.2.2-21]
        let keep_alive = properties.get().map_or(self.options.keep_alive, |ServerKeepAlive(seconds)| seconds);
        let aliases = properties.get().map_or(0, |TopicAliasMaximum(maximum)| maximum);
        Connection {
            keep_alive: KeepAlive::new(
                now,
                keep_alive,
                self.options.heartbeat_ratio,
                self.options.ping_timeout,
            ),
            limits: Limitations {
                maximum_qos: properties.get().map_or(QoS::ExactlyOnce, MaximumQoS::qos),
                retain: properties.get().is_none_or(|RetainAvailable(available)| available),
                maximum_packet_size: properties
                    .get()
                    .and_then(|MaximumPacketSize(size)| usize::try_from(size.get()).ok())
                    .unwrap_or(usize::MAX),
                wildcard_subscriptions: properties.get().is_none_or(|WildcardSubscriptionAvailable(yes)| yes),
                subscription_identifiers: properties
                    .get()
                    .is_none_or(|SubscriptionIdentifierAvailable(yes)| yes),
                shared_subscriptions: properties.get().is_none_or(|SharedSubscriptionAvailable(yes)| yes),
            },
            inbound_aliases: InboundAliases::new(self.options.topic_alias_maximum),
            outbound_aliases: OutboundAliases::new(if self.options.topic_aliases { aliases } else { 0 }),
            enhanced,
            reauthentication: None,
            response_information: properties.get().map(|ResponseInformation(root)| root),
            health: Health::new(now),
            connected_at: now,
        }
    }

    fn refused(&mut self, now: Duration, connack: &ConnAck) {
        let explanation = connack.properties.get().map(|ReasonString(text)| text.as_str().to_owned());
        let reference = connack.properties.get().map(|ServerReference(server)| server);
        let moved = match connack.reason {
            ConnectReason::UseAnotherServer => Some(false),
            ConnectReason::ServerMoved => Some(true),
            _ => None,
        };
        if let Some(permanent) = moved {
            self.follow(reference.as_ref(), permanent);
        }
        self.transmits.push_back(Transmit::Close);
        let server = reference.map(|server| server.as_str().to_owned());
        self.connection_lost(now, Error::Refused { reason: connack.reason, explanation, server });
    }

    /// §4.11: a Server Reference is a list separated by spaces. The first one is used.
    pub(super) fn follow(&mut self, reference: Option<&Utf8String>, permanent: bool) {
        let first = reference.and_then(|list| list.as_str().split(' ').find(|server| !server.is_empty()));
        let Some(server) = first.and_then(|server| Utf8String::try_from(server).ok()) else { return };
        if self.options.follow_server_reference {
            self.redirect = Some(Redirect { server, permanent });
        }
    }

    /// The Server broke the protocol: sends DISCONNECT if the version allows it, and closes
    /// (§4.13.1; 3.1.1 §4.8).
    pub(super) fn refuse_peer(&mut self, now: Duration, reason: DisconnectReason, error: Error) {
        // [MQTT-4.13.1-1] 3.1.1/[MQTT-4.8.0-1]
        if self.version().is_5() {
            self.send(now, Packet::from(Disconnect::new(reason)));
        }
        self.transmits.push_back(Transmit::Close);
        self.connection_lost(now, error);
    }

    /// The Network Connection has ended, or the attempt to open one has failed, without a
    /// Disconnect command.
    pub(super) fn connection_lost(&mut self, now: Duration, error: Error) {
        self.connection_lost_with(now, error, Properties::new());
    }

    pub(super) fn connection_lost_with(
        &mut self,
        now: Duration,
        error: Error,
        properties: Properties<Disconnect>,
    ) {
        self.statistics.count(&error);
        self.last_error = Some(LastError { at: now, error: error.clone() });
        let was_up = matches!(self.link, Link::Up(_));
        self.drop_reauthentication(&error);
        if was_up {
            self.statistics.disconnections += 1;
            self.events.push_back(Event::Disconnected {
                handle: None,
                error: Some(error.clone()),
                properties,
            });
        } else {
            self.events.push_back(Event::AttemptFailed { error: error.clone() });
            self.backoff.failed();
            let counts = !self.on_fallback && self.trips(&error);
            let (failures, delay) = (self.options.circuit_failures, self.options.circuit_delay);
            if counts && self.circuit.failed(now, failures, delay) {
                self.events.push_back(Event::Circuit(self.circuit.state()));
            }
        }
        self.connection_over(now);
        self.schedule(now, error);
    }

    /// The common part of every end of a Network Connection.
    pub(super) fn connection_over(&mut self, now: Duration) {
        let was_up = matches!(self.link, Link::Up(_));
        self.link = Link::Down;
        for identifier in self.operations.connection_closed() {
            self.session.identifiers.release(identifier);
        }
        if !was_up {
            return;
        }
        self.disconnected_at = Some(now);
        if self.redirect.as_ref().is_some_and(|redirect| !redirect.permanent)
            && self.state == State::Connected
        {
            self.redirect = None;
        }
        // [MQTT-3.1.2-23] 3.1.1/[MQTT-4.1.0-1]: kept, unless the Session ends with the connection.
        self.session.connection_closed(now);
        if self.session.has_ended(now) {
            self.lose_session();
        } else {
            self.put_session();
        }
    }

    fn schedule(&mut self, now: Duration, error: Error) {
        if !self.options.reconnect {
            self.state = State::Disconnected;
            if let Some(handle) = self.connect.take() {
                self.events.push_back(Event::Failed { handle, error });
            }
            return;
        }
        let limits = Limits {
            growth: self.options.reconnect_policy,
            first: self.options.reconnect_delay,
            max: self.options.reconnect_delay_max,
            attempts: self.options.reconnect_attempts,
        };
        let delay = if error.may_pass() { self.backoff.next_delay(limits, &mut self.random) } else { None };
        let Some(delay) = delay else { return self.give_up(now, error) };
        let at = match self.options.circuit_fallback {
            Some(_) => now + delay,
            None => (now + delay).max(self.circuit.earliest(now)),
        };
        self.state = State::Reconnecting;
        self.retry_at = Some(at);
        self.events.push_back(Event::Reconnecting { attempt: self.backoff.retries(), delay: at - now });
    }

    fn give_up(&mut self, now: Duration, error: Error) {
        self.state = State::Failed;
        if let Some(handle) = self.connect.take() {
            self.events.push_back(Event::Failed { handle, error: error.clone() });
        }
        self.cancel_operations(now, &Error::NotConnected);
        self.events.push_back(Event::GaveUp { error });
    }

    /// Clean Start of the next CONNECT; Clean Session before 5.0.
    fn clean_start(&self) -> bool {
        if self.force_clean {
            return true;
        }
        let asked = self.options.clean_start;
        if !self.version().is_5() {
            return asked.unwrap_or(false);
        }
        // [MQTT-3.2.2-4]: without a Session here, one of the Server would have to be refused.
        asked.filter(|_| self.fresh).unwrap_or(!self.session.exists)
    }
}

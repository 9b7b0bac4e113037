//! The effects of an accepted CONNECT: take-over, Clean Start, resumption, CONNACK (§3.1.4, §3.2).

use std::sync::Arc;
use std::time::Duration;

use mqttspec_codec::{
    AssignedClientIdentifier, AuthenticationData, BinaryData, ConnAck, Connect, MaximumPacketSize,
    MaximumQoS, Packet, Properties, ReceiveMaximum, RequestResponseInformation, ResponseInformation,
    RetainAvailable, ServerKeepAlive, SessionExpiryInterval, SharedSubscriptionAvailable,
    SubscriptionIdentifierAvailable, TopicAliasMaximum, Version, WildcardSubscriptionAvailable,
};

use crate::broker::Broker;
use crate::connection::State;
use crate::connection_id::ConnectionId;
use crate::event::{Ending, Event, SessionEnd};
use crate::fault::Fault;
use crate::memory::of_will;
use crate::output::shortened;
use crate::session::{NEVER, SessionKey};
use crate::timers::Timer;

impl Broker {
    /// Accepts the CONNECT, whose ClientID is by now the assigned one if it had none.
    pub(crate) fn accept(
        &mut self,
        now: Duration,
        id: ConnectionId,
        connect: Connect,
        data: Option<BinaryData>,
    ) {
        let asked = requested_expiry(&connect);
        let granted = granted_expiry(&connect, self.options.session_expiry_maximum);
        let keep_alive = self.options.server_keep_alive.unwrap_or(connect.keep_alive);
        let connack = ConnAck {
            session_present: false,
            // [MQTT-3.1.4-5] 3.1.1/[MQTT-3.1.4-4]
            reason: mqttspec_codec::ConnectReason::Success,
            properties: if connect.version.is_5() {
                self.connack_properties(id, &connect, asked != granted, granted, data)
            } else {
                Properties::new()
            },
        };
        let connection = self.connections.get(&id);
        let fitting = connection.and_then(|connection| shortened(connection, Packet::from(connack)));
        let Some(Packet::ConnAck(mut connack)) = fitting else {
            // [MQTT-3.1.2-24] Without CONNACK the Client cannot be accepted.
            self.end_connection(now, id, Ending::Silent);
            return;
        };
        self.take_over(now, id, &connect);
        self.clients += 1;
        let (key, session_present) = self.begin_session(now, id, &connect);
        // 3.1 has no such flag
        connack.session_present = session_present && connect.version != Version::V3_1;

        if let Some(session) = self.sessions.get_mut(&key) {
            if let Some(connection) = self.connections.get(&id) {
                session.owner = connection.user.clone();
                session.permissions = Arc::clone(&connection.permissions);
            }
            session.connection = Some(id);
            session.expiry_interval = granted;
            // [MQTT-3.1.2-7] 3.1.1/[MQTT-3.1.2-8]; without Will Flag there is none
            // (3.1.1/[MQTT-3.1.2-12])
            session.will = connect.will.map(Box::new);
            session.charge.add(session.will.as_deref().map_or(0, of_will));
            self.records.put_whole_session(key, session, self.sizes);
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.state = State::Open(key);
            connection.alias_maximum =
                connack.properties.get().map_or(0, |TopicAliasMaximum(maximum)| maximum);
            // [MQTT-3.1.2-22] [MQTT-3.2.2-22] one and a half times; 0 turns it off
            connection.silence_allowed =
                (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1500));
            if let Some(allowed) = connection.silence_allowed {
                self.timers.set(Timer::KeepAlive(id), now.saturating_add(allowed));
            }
        }
        self.timers.cancel(Timer::ConnectTimeout(id));
        self.output.event(Event::Connected {
            connection: id,
            client_id: connect.client_id,
            version: connect.version,
            session_present,
        });
        // [MQTT-3.2.0-1] [MQTT-3.2.0-2] the first packet but AUTH, and only here
        self.send(id, Packet::from(connack));
        self.resume_delivery(now, key);
    }

    /// [MQTT-3.1.4-3] 3.1.1/[MQTT-3.1.4-2] An older Network Connection of the same ClientID ends
    /// like any that the Server closes: its Will Message is published or delayed, and its Session
    /// ends if its Session Expiry Interval is 0.
    fn take_over(&mut self, now: Duration, id: ConnectionId, connect: &Connect) {
        let key = self.session_keys.get(&connect.client_id).copied();
        let Some(old) = key.and_then(|key| self.sessions.get(&key)).and_then(|session| session.connection)
        else {
            return;
        };
        let client_id = connect.client_id.clone();
        self.output.event(Event::SessionTakenOver { client_id, from: old, to: id });
        let reason = mqttspec_codec::DisconnectReason::SessionTakenOver;
        self.disconnect(now, old, Fault::new(reason, "another Network Connection has the same ClientID"));
    }

    /// [MQTT-3.1.4-4] 3.1.1/[MQTT-3.1.4-3] Clean Start. Returns the Session and whether it existed
    /// before.
    fn begin_session(&mut self, now: Duration, id: ConnectionId, connect: &Connect) -> (SessionKey, bool) {
        // [MQTT-3.1.3-2] the ClientID alone identifies the Session
        let mut existing = self.session_keys.get(&connect.client_id).copied();
        if let Some(key) = existing.filter(|key| self.settle_overdue(now, *key)) {
            self.end_session(now, key, SessionEnd::Expired);
            existing = None;
        }
        match existing {
            // [MQTT-3.1.2-5] 3.1.1/[MQTT-3.1.2-4]
            Some(key) if !connect.clean_start => {
                self.resume_session(key, id);
                // [MQTT-3.2.2-3]
                (key, true)
            }
            // [MQTT-3.1.2-4] 3.1.1/[MQTT-3.1.2-6]
            Some(key) => {
                self.end_session(now, key, SessionEnd::CleanStart);
                // [MQTT-3.2.2-2]
                (self.create_session(&connect.client_id), false)
            }
            // [MQTT-3.1.2-6]
            None => (self.create_session(&connect.client_id), false),
        }
    }

    /// Handles deadlines that have passed but whose timers have not fired yet: publishes the Will
    /// Message, and returns whether the Session has expired.
    fn settle_overdue(&mut self, now: Duration, key: SessionKey) -> bool {
        let Some(session) = self.sessions.get(&key) else { return false };
        let has_ended = session.has_ended(now);
        if session.will_due.is_some_and(|at| at <= now) {
            self.publish_will(now, key);
        }
        has_ended
    }

    /// The CONNACK properties for a 5.0 Client: those that differ from the defaults of §3.2.2.3.
    fn connack_properties(
        &self,
        id: ConnectionId,
        connect: &Connect,
        expiry_differs: bool,
        expiry: u32,
        data: Option<BinaryData>,
    ) -> Properties<ConnAck> {
        let options = &self.options;
        let mut properties = Properties::new();
        if expiry_differs {
            // §3.2.2.3.2
            properties.set(SessionExpiryInterval(expiry));
        }
        if options.receive_maximum.get() != u16::MAX {
            properties.set(ReceiveMaximum(options.receive_maximum));
        }
        // [MQTT-3.2.2-9]
        if let Some(maximum) = MaximumQoS::new(options.maximum_qos) {
            properties.set(maximum);
        }
        if !options.retain_available {
            properties.set(RetainAvailable(false));
        }
        if let Some(size) = options.maximum_packet_size.and_then(std::num::NonZeroU32::new) {
            properties.set(MaximumPacketSize(size));
        }
        if self.was_assigned(id) {
            // [MQTT-3.1.3-7] [MQTT-3.2.2-16]
            properties.set(AssignedClientIdentifier(connect.client_id.clone()));
        }
        if options.topic_alias_maximum > 0 {
            properties.set(TopicAliasMaximum(options.topic_alias_maximum));
        }
        if !options.wildcard_subscription_available {
            properties.set(WildcardSubscriptionAvailable(false));
        }
        if !options.subscription_identifier_available {
            properties.set(SubscriptionIdentifierAvailable(false));
        }
        if !options.shared_subscription_available {
            properties.set(SharedSubscriptionAvailable(false));
        }
        if let Some(keep_alive) = options.server_keep_alive {
            properties.set(ServerKeepAlive(keep_alive));
        }
        // [MQTT-3.1.2-28] only if it was asked for
        let wanted = connect.properties.get().is_some_and(|RequestResponseInformation(wanted)| wanted);
        if let Some(information) = options.response_information.clone().filter(|_| wanted) {
            properties.set(ResponseInformation(information));
        }
        // [MQTT-4.12.0-5] the method of CONNECT, or [MQTT-4.12.0-6] none
        if let Some(method) = self.connections.get(&id).and_then(|connection| connection.method()) {
            properties.set(method.clone());
            if let Some(data) = data {
                properties.set(AuthenticationData(data));
            }
        }
        properties
    }

    fn was_assigned(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.client_id_assigned)
    }
}

/// The Session Expiry Interval that the Client requested, in seconds. Before 5.0, Clean Session 1
/// means 0 and Clean Session 0 means no expiry.
fn requested_expiry(connect: &Connect) -> u32 {
    match (connect.version.is_5(), connect.clean_start) {
        (true, _) => connect.properties.get().map_or(0, |SessionExpiryInterval(interval)| interval),
        (false, true) => 0,
        (false, false) => NEVER,
    }
}

/// The interval that the Server grants. The maximum applies to 5.0 only, since CONNACK cannot say
/// it to older Clients.
fn granted_expiry(connect: &Connect, maximum: u32) -> u32 {
    let requested = requested_expiry(connect);
    if connect.version.is_5() { requested.min(maximum) } else { requested }
}

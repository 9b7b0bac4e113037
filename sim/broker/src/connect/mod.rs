//! CONNECT and CONNACK (§3.1, §3.2): whether a Client is accepted ([`checks`]), and the effects of
//! that ([`accept`]).

mod accept;
mod checks;

use std::time::Duration;

use mqttspec_codec::{BinaryData, ConnAck, Connect, ConnectReason, Packet, ServerReference, Version};

use crate::authentication::Step;
use crate::broker::Broker;
use crate::connection_id::ConnectionId;
use crate::event::{Ending, Event};

/// Why a CONNECT is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: ConnectReason,
    pub(crate) detail: &'static str,
}

impl Refusal {
    pub(crate) const fn new(reason: ConnectReason, detail: &'static str) -> Self {
        Self { reason, detail }
    }
}

impl Broker {
    /// The first packet of a Network Connection.
    pub(crate) fn handle_connect(&mut self, now: Duration, id: ConnectionId, mut connect: Connect) {
        if !self.options.versions.contains(connect.version) {
            self.refuse_version(now, id, connect.version);
            return;
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.read_limits(&connect, &self.options);
        // [MQTT-3.1.4-2] restrictions of this Server, then authentication
        let outcome = self.check_connect(id, &mut connect).and_then(|()| self.authenticate(id, &connect));
        match outcome {
            Ok(Step::Accepted(data)) => self.admit(now, id, connect, data),
            Ok(Step::Continue(auth)) => self.wait_for_auth(id, connect, auth),
            // §3.1.4: the Session and an older Network Connection of this ClientID are untouched
            Err(refusal) => self.refuse(now, id, refusal.reason, refusal.detail),
        }
    }

    /// Accepts a Client that has authenticated, unless the Session with its ClientID was made by
    /// another user: then that Session, its Network Connection and its Will are untouched (§5.4.2).
    pub(crate) fn admit(
        &mut self,
        now: Duration,
        id: ConnectionId,
        connect: Connect,
        data: Option<BinaryData>,
    ) {
        let user = self.connections.get(&id).and_then(|connection| connection.user.as_ref());
        let session = self.session_keys.get(&connect.client_id).and_then(|key| self.sessions.get(key));
        if session.is_some_and(|session| !session.has_ended(now) && session.owner.as_ref() != user) {
            let detail = "the Session with this ClientID belongs to another user";
            self.refuse(now, id, ConnectReason::NotAuthorized, detail);
        } else {
            self.accept(now, id, connect, data);
        }
    }

    /// Refuses a version that the Server does not support. CONNACK has the form of 5.0 if the
    /// Client asked for 5.0 or later and the Server supports 5.0; otherwise it has the form of
    /// 3.1.1.
    pub(crate) fn refuse_version(&mut self, now: Duration, id: ConnectionId, asked: Version) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let in_5 = asked.is_5() && self.options.versions.contains(Version::V5);
            connection.version = if in_5 { Version::V5 } else { Version::V3_1_1 };
        }
        // [MQTT-3.1.2-2] 3.1.1/[MQTT-3.1.2-2]
        self.refuse(now, id, ConnectReason::UnsupportedProtocolVersion, "");
    }

    /// Refuses a malformed CONNECT. `reason` is the Reason Code that its version has for the error.
    pub(crate) fn refuse_malformed(
        &mut self,
        now: Duration,
        id: ConnectionId,
        asked: Version,
        reason: ConnectReason,
        detail: &'static str,
    ) {
        // The version is the first field of the packet, so it is checked first.
        if reason == ConnectReason::UnsupportedProtocolVersion || !self.options.versions.contains(asked) {
            self.refuse_version(now, id, asked);
            return;
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.version = asked;
        }
        // [MQTT-3.2.2-19] A CONNECT that is too large is not read, so the Client's Maximum Packet
        // Size is not known.
        let detail = if reason == ConnectReason::PacketTooLarge { "" } else { detail };
        self.refuse(now, id, reason, detail);
    }

    /// Refuses a CONNECT, with CONNACK if its version has a code for the reason, and closes.
    pub(crate) fn refuse(
        &mut self,
        now: Duration,
        id: ConnectionId,
        reason: ConnectReason,
        detail: &'static str,
    ) {
        let Some(connection) = self.connections.get(&id) else { return };
        let answer = if connection.version.is_5() {
            // [MQTT-3.2.2-6] Session Present 0
            let mut connack = ConnAck::refused(reason);
            connack.properties = self.reason_string(id, detail);
            if let Some(reference) = self.connect_server_reference(reason) {
                connack.properties.set(reference);
            }
            Some(connack)
        } else {
            // 3.1.1/[MQTT-3.2.2-6] no CONNACK if no return code applies; 3.1.1/[MQTT-3.2.2-4]
            return_code(reason).map(ConnAck::refused)
        };
        self.output.event(Event::Refused { connection: id, reason });
        if let Some(answer) = answer {
            // If even this is too large for the Client, it is closed without CONNACK.
            self.output.try_send(id, connection, Packet::from(answer));
        }
        // [MQTT-3.2.2-7] [MQTT-3.1.2-1] [MQTT-3.1.2-2] [MQTT-3.1.3-8] 3.1.1/[MQTT-3.2.2-5]
        // [MQTT-4.12.0-4] [MQTT-3.1.4-6] 3.1.1/[MQTT-3.1.4-5] the broker removes the Network
        // Connection, so whatever follows the CONNECT is ignored
        self.end_connection(now, id, Ending::Silent);
    }

    fn connect_server_reference(&self, reason: ConnectReason) -> Option<ServerReference> {
        let moved = matches!(reason, ConnectReason::UseAnotherServer | ConnectReason::ServerMoved);
        self.options.server_reference.clone().filter(|_| moved).map(ServerReference)
    }
}

/// The return code of 3.1.1 for a Reason Code (§3.2.2.3 of 3.1.1); `None` if it has none, and
/// closes without CONNACK.
fn return_code(reason: ConnectReason) -> Option<ConnectReason> {
    match reason {
        ConnectReason::UnsupportedProtocolVersion
        | ConnectReason::ClientIdentifierNotValid
        | ConnectReason::ServerUnavailable
        | ConnectReason::BadUserNameOrPassword
        | ConnectReason::NotAuthorized => Some(reason),
        ConnectReason::ServerBusy
        | ConnectReason::QuotaExceeded
        | ConnectReason::ConnectionRateExceeded
        | ConnectReason::UseAnotherServer
        | ConnectReason::ServerMoved => Some(ConnectReason::ServerUnavailable),
        ConnectReason::Banned => Some(ConnectReason::NotAuthorized),
        _ => None,
    }
}

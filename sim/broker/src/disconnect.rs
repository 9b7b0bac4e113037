//! How Network Connections end: by the Client's DISCONNECT, by the Server, by Keep Alive, or by the
//! network (§3.14, §3.1.2.10, §4.13).

use std::time::Duration;

use mqttspec_codec::{Disconnect, DisconnectReason, ServerReference, SessionExpiryInterval};

use crate::broker::Broker;
use crate::connection_id::ConnectionId;
use crate::event::{Ending, Event};
use crate::fault::Fault;
use crate::output::Transmit;
use crate::session::SessionKey;
use crate::timers::Timer;
use crate::will::WillFate;

impl Broker {
    /// The Client sent DISCONNECT.
    pub(crate) fn handle_disconnect(
        &mut self,
        now: Duration,
        id: ConnectionId,
        key: SessionKey,
        disconnect: &Disconnect,
    ) -> Result<(), Fault> {
        if let Some(SessionExpiryInterval(interval)) = disconnect.properties.get()
            && let Some(session) = self.sessions.get_mut(&key)
        {
            if session.expiry_interval == 0 && interval != 0 {
                // §3.14.2.2.2: then it is not a valid DISCONNECT, so the Will Message is not
                // discarded. The rule has no number
                let fault =
                    Fault::protocol("Session Expiry Interval in DISCONNECT although it was 0 in CONNECT");
                return Err(fault.breaking(&[]));
            }
            session.expiry_interval = interval.min(self.options.session_expiry_maximum);
        }
        self.end_connection(now, id, Ending::Client(disconnect.reason));
        Ok(())
    }

    /// Ends a Network Connection from the Server's side, with DISCONNECT where the version has it
    /// and the Server chooses to send it.
    pub(crate) fn disconnect(&mut self, now: Duration, id: ConnectionId, fault: Fault) {
        let Some(connection) = self.connections.get(&id) else { return };
        if let Some(clauses) = fault.broken {
            let (reason, detail) = (fault.reason, fault.detail);
            self.output.event(Event::RuleBroken { connection: id, reason, detail, clauses });
        }
        // [MQTT-3.14.0-1] not before CONNACK
        let accepted = connection.session().is_some();
        if accepted && connection.version.is_5() && self.options.send_disconnect {
            // [MQTT-3.14.2-2] never with Session Expiry Interval
            let mut properties = self.reason_string(id, fault.detail);
            let moved =
                matches!(fault.reason, DisconnectReason::UseAnotherServer | DisconnectReason::ServerMoved);
            if let Some(reference) = self.options.server_reference.clone().filter(|_| moved) {
                properties.set(ServerReference(reference));
            }
            let disconnect = Disconnect { reason: fault.reason, properties };
            // If even this is too large for the Client, it is closed without DISCONNECT.
            self.output.try_send(id, connection, disconnect.into());
        }
        let ending = if accepted { Ending::Server(fault.reason) } else { Ending::Silent };
        self.end_connection(now, id, ending);
    }

    /// Removes the Network Connection and has the driver close it. How it ended decides what
    /// happens to Will and Session.
    pub(crate) fn end_connection(&mut self, now: Duration, id: ConnectionId, ending: Ending) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.timers.cancel(Timer::ConnectTimeout(id));
        self.timers.cancel(Timer::KeepAlive(id));
        if ending != Ending::Network {
            // [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-3.2.2-7] [MQTT-4.13.2-1] nothing is sent after
            // the last packet
            self.output.transmits.push_back(Transmit::Close { connection: id });
        }
        let key = connection.session();
        self.clients -= usize::from(key.is_some());
        let session = key.and_then(|key| self.sessions.get(&key));
        let client_id = session.map(|session| session.client_id.clone());
        self.output.event(Event::Disconnected { connection: id, client_id, ending });
        if let Some(key) = key {
            let fate = match ending {
                // [MQTT-3.14.4-3] [MQTT-3.1.2-10] 3.1.1/[MQTT-3.14.4-3]
                Ending::Client(DisconnectReason::NormalDisconnection) => WillFate::Discarded,
                // [MQTT-3.1.2-8] 0x04, errors, and every end without DISCONNECT
                _ => WillFate::Due,
            };
            self.detach_session(now, key, fate);
        }
    }

    /// One and a half Keep Alive periods may have passed.
    pub(crate) fn check_keep_alive(&mut self, now: Duration, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let Some(allowed) = connection.silence_allowed else { return };
        let deadline = connection.last_received.saturating_add(allowed);
        if now < deadline {
            // Packets were received since the timer was set. It is moved when it fires, not with
            // each packet.
            self.timers.set(Timer::KeepAlive(id), deadline);
        } else {
            // [MQTT-3.1.2-22] as if the network had failed
            self.disconnect(
                now,
                id,
                Fault::new(DisconnectReason::KeepAliveTimeout, "no packet within 1.5 x Keep Alive"),
            );
        }
    }
}

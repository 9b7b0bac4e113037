//! DISCONNECT in both directions (§3.14), and the effect of the end of a Session on its messages
//! (§4.1).

use std::time::Duration;

use mqttspec_codec::{
    Disconnect, DisconnectReason, Packet, PubAckReason, QoS, ReasonString, ServerReference,
    SessionExpiryInterval,
};

use super::{Client, Link, Transmit};
use crate::command::{DisconnectRequest, Handle};
use crate::error::{Error, Violation};
use crate::event::{Event, State};
use crate::options::SessionLostPolicy;
use crate::queue::Waiting;
use crate::session::{Exchange, Phase};
use crate::store::{self, PublicationRecord};

impl Client {
    pub(super) fn disconnect(&mut self, now: Duration, handle: Handle, request: &DisconnectRequest) {
        if matches!(self.state, State::Disconnected | State::Failed) {
            return self.fail(handle, Error::NotConnected);
        }
        if let Err(invalid) = request.check(self.version(), self.options.session_expiry) {
            return self.fail(handle, Error::Invalid(invalid));
        }
        if matches!(self.link, Link::Up(_)) {
            self.send_disconnect(now, request);
            self.statistics.disconnections += 1;
        }
        // [MQTT-3.14.4-1] [MQTT-3.14.4-2] 3.1.1/[MQTT-3.14.4-1] 3.1.1/[MQTT-3.14.4-2]
        if !matches!(self.link, Link::Down) {
            self.transmits.push_back(Transmit::Close);
        }
        self.drop_reauthentication(&Error::Cancelled);
        self.retry_at = None;
        if let Some(connect) = self.connect.take() {
            self.fail(connect, Error::Cancelled);
        }
        self.events.push_back(Event::Disconnected {
            handle: Some(handle),
            error: None,
            properties: Default::default(),
        });
        self.connection_over(now);
        self.state = State::Disconnected;
        self.cancel_operations(now, &Error::Cancelled);
        self.cancel_requests();
    }

    fn send_disconnect(&mut self, now: Duration, request: &DisconnectRequest) {
        let mut packet = Disconnect { reason: request.reason, properties: request.properties.clone() };
        // [MQTT-3.14.2-3] [MQTT-3.14.2-4]
        if !self.fits(&Packet::from(packet.clone())) {
            packet.properties.remove::<ReasonString>();
            packet.properties.remove::<mqttspec_codec::UserProperty>();
        }
        if let Some(SessionExpiryInterval(seconds)) = packet.properties.get() {
            self.session.expiry = seconds;
        }
        self.send(now, packet.into());
    }

    pub(super) fn receive_disconnect(
        &mut self,
        now: Duration,
        disconnect: Disconnect,
    ) -> Result<(), Violation> {
        if !self.version().is_5() {
            return Err(Violation::DisconnectBeforeVersion5);
        }
        let Disconnect { reason, properties } = disconnect;
        let moved = match reason {
            DisconnectReason::UseAnotherServer => Some(false),
            DisconnectReason::ServerMoved => Some(true),
            _ => None,
        };
        let explanation = properties.get().map(|ReasonString(text)| text.as_str().to_owned());
        self.transmits.push_back(Transmit::Close);
        self.connection_lost_with(
            now,
            Error::DisconnectedByServer { reason, explanation },
            properties.clone(),
        );
        if let Some(permanent) = moved {
            let reference = properties.get().map(|ServerReference(server)| server);
            self.follow(reference.as_ref(), permanent);
        }
        Ok(())
    }

    /// The Session has ended: each message in flight is published as a new one, counts as
    /// published, or fails.
    pub(super) fn lose_session(&mut self) {
        let existed = self.session.exists;
        self.session.exists = false;
        self.session.ends_at = None;
        self.session.subscription_identifiers.clear();
        for identifier in self.session.inbound.clear() {
            self.delete(store::received_key(identifier));
        }
        let exchanges = self.session.outbound.drain(&mut self.session.identifiers);
        let lost = exchanges.len();
        let (mut republished, mut failed) = (0, 0);
        for exchange in exchanges {
            match self.fate(&exchange) {
                Fate::Done => self.published(exchange.handle, exchange.publication, PubAckReason::Success),
                Fate::Again => {
                    republished += 1;
                    self.wait_again(exchange);
                }
                Fate::Failed => {
                    failed += 1;
                    self.delete(store::publication_key(exchange.handle));
                    self.statistics.messages_dropped += 1;
                    self.fail(exchange.handle, Error::SessionLost);
                }
                Fate::Reported => self.delete(store::publication_key(exchange.handle)),
            }
        }
        if existed || lost > 0 {
            self.put_session();
            self.events.push_back(Event::SessionEnded { republished, failed });
        }
    }

    fn fate(&self, exchange: &Exchange) -> Fate {
        match exchange.phase {
            // [MQTT-4.3.3-8] with PUBREC the Server has taken ownership of the message
            Phase::Released(_) => Fate::Done,
            Phase::Abandoned => Fate::Reported,
            Phase::Published => match (self.options.session_lost, exchange.qos) {
                (SessionLostPolicy::Republish, _)
                | (SessionLostPolicy::RepublishAtLeastOnce, QoS::AtLeastOnce) => Fate::Again,
                _ => Fate::Failed,
            },
        }
    }

    /// Queues the message as a new one, with DUP 0 and a new Packet Identifier, but at its old
    /// position in the order.
    fn wait_again(&mut self, exchange: Exchange) {
        let record = PublicationRecord {
            publication: exchange.publication,
            qos: exchange.qos,
            accepted_at: exchange.accepted_at,
            exchange: None,
        };
        self.put_publication(exchange.handle, &record);
        let PublicationRecord { publication, qos, accepted_at, .. } = record;
        self.queue.insert(exchange.handle, Waiting { publication, qos, accepted_at });
    }
}

/// What happens to a message in flight when its Session ends.
enum Fate {
    Done,
    Again,
    Failed,
    /// Its failure was already reported to the application.
    Reported,
}

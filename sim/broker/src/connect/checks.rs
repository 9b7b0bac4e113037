//! Whether a CONNECT meets the restrictions of this Server (§3.1.4). The decoder has checked its
//! format.

use mqttspec_codec::{Connect, ConnectReason, Utf8String, Version};
use rand::Rng as _;

use super::Refusal;
use crate::broker::Broker;
use crate::connection_id::ConnectionId;
use crate::options::{ClientIdCharacters, Redirect};

impl Broker {
    /// Checks all but the credentials, and assigns a ClientID if the Client left that to the
    /// Server.
    pub(crate) fn check_connect(&mut self, id: ConnectionId, connect: &mut Connect) -> Result<(), Refusal> {
        let options = &self.options;
        match options.redirect {
            Redirect::No => {}
            // §4.11
            Redirect::UseAnotherServer => return Err(Refusal::new(ConnectReason::UseAnotherServer, "")),
            Redirect::ServerMoved => return Err(Refusal::new(ConnectReason::ServerMoved, "")),
        }
        let maximum = options.maximum_connections as usize;
        let session = self.session_keys.get(&connect.client_id).and_then(|key| self.sessions.get(key));
        // A Network Connection that is taken over makes room.
        let is_taken_over = session.is_some_and(|session| session.connection.is_some());
        if session.is_none() && !self.has_memory(0) {
            return Err(Refusal::new(
                ConnectReason::QuotaExceeded,
                "the Server has no memory for more Sessions",
            ));
        }
        if maximum > 0 && self.clients >= maximum && !is_taken_over {
            // §4.11: only with Use another server can CONNACK have a Server Reference.
            let reason = match options.server_reference {
                Some(_) => ConnectReason::UseAnotherServer,
                None => ConnectReason::ServerBusy,
            };
            return Err(Refusal::new(reason, "the Server has its maximum number of connections"));
        }
        self.check_will(connect)?;
        self.check_client_id(id, connect)
    }

    fn check_will(&self, connect: &Connect) -> Result<(), Refusal> {
        let Some(will) = &connect.will else { return Ok(()) };
        if will.qos > self.options.maximum_qos {
            // [MQTT-3.2.2-12]
            return Err(Refusal::new(
                ConnectReason::QoSNotSupported,
                "the Will QoS is above the Maximum QoS",
            ));
        }
        if will.retain && !self.options.retain_available {
            // [MQTT-3.2.2-13]
            return Err(Refusal::new(
                ConnectReason::RetainNotSupported,
                "Will Retain is 1 although Retain Available is 0",
            ));
        }
        Ok(())
    }

    fn check_client_id(&mut self, id: ConnectionId, connect: &mut Connect) -> Result<(), Refusal> {
        let refuse = |detail| Err(Refusal::new(ConnectReason::ClientIdentifierNotValid, detail));
        let client_id = &connect.client_id;
        if client_id.as_bytes().is_empty() {
            // 3.1.1/[MQTT-3.1.3-8]; 3.1 has no ClientID of zero bytes
            let wants_session = connect.version == Version::V3_1_1 && !connect.clean_start;
            if wants_session || connect.version == Version::V3_1 || !self.options.assign_client_id {
                return refuse("the ClientID has zero bytes");
            }
            // [MQTT-3.1.3-6] [MQTT-3.1.3-7] 3.1.1/[MQTT-3.1.3-6] from here on as if the Client had
            // chosen it
            connect.client_id = self.assign_client_id();
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.client_id_assigned = true;
            }
            return Ok(());
        }
        if connect.version == Version::V3_1 && client_id.as_str().chars().count() > 23 {
            return refuse("the ClientID has more than 23 characters");
        }
        // [MQTT-3.1.3-5] whatever the options say
        let alphanumeric = client_id.as_bytes().iter().all(u8::is_ascii_alphanumeric);
        let always_allowed = alphanumeric && client_id.as_bytes().len() <= 23;
        let too_long = client_id.as_bytes().len() > usize::from(self.options.client_id_maximum_length);
        let bad_characters =
            self.options.client_id_characters == ClientIdCharacters::Alphanumeric && !alphanumeric;
        if !always_allowed && (too_long || bad_characters) {
            // [MQTT-3.1.3-8] 3.1.1/[MQTT-3.1.3-9]
            return refuse("the Server does not allow this ClientID");
        }
        Ok(())
    }

    /// [MQTT-3.2.2-16] Returns a ClientID that no Session has.
    fn assign_client_id(&mut self) -> Utf8String {
        loop {
            let candidate = format!("auto{:016x}", self.random.next_u64());
            if let Ok(candidate) = Utf8String::try_from(candidate)
                && !self.session_keys.contains_key(&candidate)
            {
                return candidate;
            }
        }
    }
}

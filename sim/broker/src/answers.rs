//! Sends packets to a Client, with Reason Strings where it wants them (§3.1.2.11.7).

use mqttspec_codec::{AllowedIn, HasProperties, Packet, Properties, ReasonString, Utf8String};

use crate::broker::Broker;
use crate::connection_id::ConnectionId;

impl Broker {
    pub(crate) fn send(&mut self, id: ConnectionId, packet: impl Into<Packet>) {
        if let Some(connection) = self.connections.get(&id) {
            self.output.send(id, connection, packet.into());
        }
    }

    /// A Reason String for a packet other than CONNACK and DISCONNECT, if the Client's Request
    /// Problem Information allows it.
    pub(crate) fn explanation<P>(&self, id: ConnectionId, text: &'static str) -> Properties<P>
    where
        P: HasProperties,
        ReasonString: AllowedIn<P>,
    {
        // [MQTT-3.1.2-29]
        let wanted =
            self.connections.get(&id).is_some_and(|connection| connection.client.problem_information);
        if wanted { self.reason_string(id, text) } else { Properties::new() }
    }

    /// A Reason String for CONNACK or DISCONNECT, to which Request Problem Information does not
    /// apply.
    pub(crate) fn reason_string<P>(&self, id: ConnectionId, text: &'static str) -> Properties<P>
    where
        P: HasProperties,
        ReasonString: AllowedIn<P>,
    {
        let speaks_5 = self.connections.get(&id).is_some_and(|connection| connection.version.is_5());
        if text.is_empty() || !speaks_5 || !self.options.reason_strings {
            return Properties::new();
        }
        Properties::new().with(ReasonString(Utf8String::from_static(text)))
    }
}

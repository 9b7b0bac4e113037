//! Outputs, and what they may hold for a Client: Maximum Packet Size (§3.1.2.11.4) and Request
//! Problem Information (§3.1.2.11.7).

use std::collections::VecDeque;

use mqttspec_codec::{
    AllowedIn, DisconnectReason, HasProperties, Packet, Properties, ReasonString, ResponseInformation,
    ServerReference, TopicAliasMaximum, UserProperty, Version,
};

use crate::connection::Connection;
use crate::connection_id::ConnectionId;
use crate::event::Event;
use crate::fault::Fault;

/// Something for the driver to do, in the order in which it is returned.
#[derive(Clone, Debug, PartialEq)]
pub enum Transmit {
    /// Encode and send the packet.
    Packet {
        /// The Network Connection to send it on.
        connection: ConnectionId,
        /// The packet.
        packet: Packet,
        /// The version to encode it in.
        version: Version,
    },
    /// Close the Network Connection once everything before this has been sent. The broker no longer
    /// knows it.
    Close {
        /// The Network Connection to close.
        connection: ConnectionId,
    },
}

/// The queues that the driver reads.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) transmits: VecDeque<Transmit>,
    pub(crate) events: VecDeque<Event>,
    /// No events about single messages are kept.
    pub(crate) omits_messages: bool,
    /// PUBLISH packets, all that were ever sent.
    pub(crate) messages_sent: u64,
    /// Network Connections to end once the current packet or timer is processed.
    pub(crate) to_disconnect: VecDeque<(ConnectionId, Fault)>,
}

impl Output {
    pub(crate) fn transmit(&mut self, id: ConnectionId, connection: &Connection, packet: Packet) {
        self.transmits.push_back(Transmit::Packet { connection: id, packet, version: connection.version });
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// An event about a single message.
    pub(crate) fn message_event(&mut self, event: impl FnOnce() -> Event) {
        if !self.omits_messages {
            self.events.push_back(event());
        }
    }

    /// Sends any packet but PUBLISH. If a required answer is too large for the Client, the Network
    /// Connection ends.
    pub(crate) fn send(&mut self, id: ConnectionId, connection: &Connection, packet: Packet) {
        if !self.try_send(id, connection, packet) {
            let detail = "the answer exceeds the Maximum Packet Size";
            self.to_disconnect.push_back((id, Fault::new(DisconnectReason::PacketTooLarge, detail)));
        }
    }

    /// Sends any packet but PUBLISH, without optional properties if it would be too large for the
    /// Client. Returns false, and sends nothing, if it is too large even then.
    pub(crate) fn try_send(&mut self, id: ConnectionId, connection: &Connection, packet: Packet) -> bool {
        if fits(connection, &packet) {
            self.transmit(id, connection, packet);
            return true;
        }
        let Some(packet) = shortened(connection, packet) else { return false };
        self.transmit(id, connection, packet);
        true
    }
}

/// [MQTT-3.1.2-24] Whether the packet is within the Client's Maximum Packet Size.
pub(crate) fn fits(connection: &Connection, packet: &Packet) -> bool {
    connection.client.maximum_packet_size.is_none_or(|maximum| {
        packet.encoded_len(connection.version).is_ok_and(|length| length as u64 <= u64::from(maximum))
    })
}

/// The packet, with optional properties left out until it fits the Client's Maximum Packet Size.
/// `None` if it is too large without them.
///
/// A property is optional if the Server can behave as its absence means. They are left out in the
/// order of [`OPTIONAL`].
pub(crate) fn shortened(connection: &Connection, mut packet: Packet) -> Option<Packet> {
    let mut optional = OPTIONAL.iter();
    while !fits(connection, &packet) {
        let leave_out = optional.next()?;
        leave_out(&mut packet);
    }
    Some(packet)
}

/// Each leaves out one kind of property. The one that the Client needs least is first.
const OPTIONAL: [fn(&mut Packet); 4] =
    [without_explanation, without_response_information, without_server_reference, without_topic_aliases];

/// [MQTT-3.2.2-19] [MQTT-3.2.2-20] [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3]
/// [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3] [MQTT-3.9.2-1] [MQTT-3.9.2-2]
/// [MQTT-3.11.2-1] [MQTT-3.11.2-2] [MQTT-3.14.2-3] [MQTT-3.14.2-4] [MQTT-3.15.2-2] [MQTT-3.15.2-3]
fn without_explanation(packet: &mut Packet) {
    fn strip<P: HasProperties>(properties: &mut Properties<P>)
    where
        ReasonString: AllowedIn<P>,
        UserProperty: AllowedIn<P>,
    {
        properties.remove::<ReasonString>();
        properties.remove::<UserProperty>();
    }
    match packet {
        Packet::ConnAck(packet) => strip(&mut packet.properties),
        Packet::PubAck(packet) => strip(&mut packet.properties),
        Packet::PubRec(packet) => strip(&mut packet.properties),
        Packet::PubRel(packet) => strip(&mut packet.properties),
        Packet::PubComp(packet) => strip(&mut packet.properties),
        Packet::SubAck(packet) => strip(&mut packet.properties),
        Packet::UnsubAck(packet) => strip(&mut packet.properties),
        Packet::Disconnect(packet) => strip(&mut packet.properties),
        Packet::Auth(packet) => strip(&mut packet.properties),
        Packet::Connect(_)
        | Packet::Publish(_)
        | Packet::Subscribe(_)
        | Packet::Unsubscribe(_)
        | Packet::PingReq
        | Packet::PingResp => {}
    }
}

/// §3.2.2.3.15: the Server may leave it out although the Client asked for it.
fn without_response_information(packet: &mut Packet) {
    if let Packet::ConnAck(packet) = packet {
        packet.properties.remove::<ResponseInformation>();
    }
}

/// §4.11: Reason Codes 0x9C and 0x9D are valid with and without it.
fn without_server_reference(packet: &mut Packet) {
    match packet {
        Packet::ConnAck(packet) => {
            packet.properties.remove::<ServerReference>();
        }
        Packet::Disconnect(packet) => {
            packet.properties.remove::<ServerReference>();
        }
        _ => {}
    }
}

/// §3.2.2.3.8: without Topic Alias Maximum the Client uses no Topic Aliases.
fn without_topic_aliases(packet: &mut Packet) {
    if let Packet::ConnAck(packet) = packet {
        packet.properties.remove::<TopicAliasMaximum>();
    }
}

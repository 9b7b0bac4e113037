//! The names of the Reason Codes in kebab-case, and the packets that may have them (section 2.4 of
//! MQTT 5.0).
//!
//! The Connect Return codes and SUBACK codes of MQTT 3.1.1 (sections 3.2.2.3 and 3.9.3) have the
//! names of the Reason Codes with the same meaning.

use PacketType::{Auth, ConnAck, Disconnect, PubAck, PubComp, PubRec, PubRel, SubAck, UnsubAck};

use crate::PacketType;

struct ReasonRule {
    code: u8,
    name: &'static str,
    packets: &'static [PacketType],
}

/// The value of a Reason Code of `packet`; `None` means any packet.
#[must_use]
pub fn reason_code(packet: Option<PacketType>, name: &str) -> Option<u8> {
    REASONS.iter().find(|rule| rule.name == name && applies(rule, packet)).map(|rule| rule.code)
}

/// The name of a Reason Code of `packet`; `None` means any packet.
#[must_use]
pub fn reason_name(packet: Option<PacketType>, code: u8) -> Option<&'static str> {
    REASONS.iter().find(|rule| rule.code == code && applies(rule, packet)).map(|rule| rule.name)
}

/// The names of the Reason Codes of `packet`; `None` means any packet.
pub fn reason_names(packet: Option<PacketType>) -> impl Iterator<Item = &'static str> {
    REASONS.iter().filter(move |rule| applies(rule, packet)).map(|rule| rule.name)
}

fn applies(rule: &ReasonRule, packet: Option<PacketType>) -> bool {
    packet.is_none_or(|packet| rule.packets.contains(&packet))
}

const fn rule(code: u8, name: &'static str, packets: &'static [PacketType]) -> ReasonRule {
    ReasonRule { code, name, packets }
}

const PUBLISHED: &[PacketType] = &[PubAck, PubRec];
const REFUSED: &[PacketType] = &[ConnAck, PubAck, PubRec, SubAck, UnsubAck, Disconnect];
const ENDED: &[PacketType] = &[ConnAck, Disconnect];

const REASONS: &[ReasonRule] = &[
    rule(0x00, "success", &[ConnAck, PubAck, PubRec, PubRel, PubComp, UnsubAck, Auth]),
    rule(0x00, "normal-disconnection", &[Disconnect]),
    rule(0x00, "granted-0", &[SubAck]),
    rule(0x01, "granted-1", &[SubAck]),
    rule(0x02, "granted-2", &[SubAck]),
    rule(0x04, "disconnect-with-will-message", &[Disconnect]),
    rule(0x10, "no-matching-subscribers", PUBLISHED),
    rule(0x11, "no-subscription-existed", &[UnsubAck]),
    rule(0x18, "continue-authentication", &[Auth]),
    rule(0x19, "re-authenticate", &[Auth]),
    rule(0x80, "unspecified-error", REFUSED),
    // The name of the code in a SUBACK of MQTT 3.1.1.
    rule(0x80, "failure", &[SubAck]),
    rule(0x81, "malformed-packet", ENDED),
    rule(0x82, "protocol-error", ENDED),
    rule(0x83, "implementation-specific-error", REFUSED),
    rule(0x84, "unsupported-protocol-version", &[ConnAck]),
    rule(0x85, "client-identifier-not-valid", &[ConnAck]),
    rule(0x86, "bad-user-name-or-password", &[ConnAck]),
    rule(0x87, "not-authorized", REFUSED),
    rule(0x88, "server-unavailable", &[ConnAck]),
    rule(0x89, "server-busy", ENDED),
    rule(0x8a, "banned", &[ConnAck]),
    rule(0x8b, "server-shutting-down", &[Disconnect]),
    // Table 2-6 lists it for DISCONNECT too, after a failed re-authentication.
    rule(0x8c, "bad-authentication-method", ENDED),
    rule(0x8d, "keep-alive-timeout", &[Disconnect]),
    rule(0x8e, "session-taken-over", &[Disconnect]),
    rule(0x8f, "topic-filter-invalid", &[SubAck, UnsubAck, Disconnect]),
    rule(0x90, "topic-name-invalid", &[ConnAck, PubAck, PubRec, Disconnect]),
    rule(0x91, "packet-identifier-in-use", &[PubAck, PubRec, SubAck, UnsubAck]),
    rule(0x92, "packet-identifier-not-found", &[PubRel, PubComp]),
    rule(0x93, "receive-maximum-exceeded", &[Disconnect]),
    rule(0x94, "topic-alias-invalid", &[Disconnect]),
    rule(0x95, "packet-too-large", ENDED),
    rule(0x96, "message-rate-too-high", &[Disconnect]),
    rule(0x97, "quota-exceeded", &[ConnAck, PubAck, PubRec, SubAck, Disconnect]),
    rule(0x98, "administrative-action", &[Disconnect]),
    rule(0x99, "payload-format-invalid", &[ConnAck, PubAck, PubRec, Disconnect]),
    rule(0x9a, "retain-not-supported", ENDED),
    rule(0x9b, "qos-not-supported", ENDED),
    rule(0x9c, "use-another-server", ENDED),
    rule(0x9d, "server-moved", ENDED),
    rule(0x9e, "shared-subscriptions-not-supported", &[SubAck, Disconnect]),
    rule(0x9f, "connection-rate-exceeded", ENDED),
    rule(0xa0, "maximum-connect-time", &[Disconnect]),
    rule(0xa1, "subscription-identifiers-not-supported", &[SubAck, Disconnect]),
    rule(0xa2, "wildcard-subscriptions-not-supported", &[SubAck, Disconnect]),
];

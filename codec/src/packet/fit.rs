//! Converts 5.0 packets for peers that use 3.1 or 3.1.1.

use super::{Packet, PubAck, PubComp, PubRec, PubRel};
use crate::reason::{ConnectReason, DisconnectReason, SubAckReason};
use crate::version::Version;

impl Packet {
    /// Reduces the packet to what `version` can express: it drops Properties and uses the nearest
    /// Connect Return code and SUBACK return code. Returns `None` if there is no equivalent: for
    /// AUTH, for a PUBACK or PUBREC that reports a failure (3.1.1 can only succeed or close), for a
    /// DISCONNECT with a Reason Code, and for a PUBLISH with only a Topic Alias.
    ///
    /// A CONNECT is returned unchanged: it carries its own version.
    #[must_use]
    pub fn fitted_to(mut self, version: Version) -> Option<Self> {
        if version.is_5() {
            return Some(self);
        }
        match &mut self {
            Self::Connect(_) | Self::PingReq | Self::PingResp => {}
            Self::ConnAck(packet) => {
                packet.properties.clear();
                packet.reason = nearest(packet.reason);
                packet.session_present &= version != Version::V3_1;
            }
            Self::Publish(packet) => {
                packet.properties.clear();
                packet.topic.as_ref()?;
            }
            Self::PubAck(PubAck { reason, properties, .. }) => {
                properties.clear();
                if reason.is_failure() {
                    return None;
                }
                *reason = Default::default();
            }
            Self::PubRec(PubRec { reason, properties, .. }) => {
                properties.clear();
                if reason.is_failure() {
                    return None;
                }
                *reason = Default::default();
            }
            Self::PubRel(PubRel { reason, properties, .. }) => {
                properties.clear();
                *reason = Default::default();
            }
            Self::PubComp(PubComp { reason, properties, .. }) => {
                properties.clear();
                *reason = Default::default();
            }
            Self::Subscribe(packet) => {
                packet.properties.clear();
                for subscription in packet.subscriptions.iter_mut() {
                    subscription.no_local = false;
                    subscription.retain_as_published = false;
                    subscription.retain_handling = Default::default();
                }
            }
            Self::SubAck(packet) => {
                packet.properties.clear();
                for reason in packet.reasons.iter_mut().filter(|reason| reason.is_failure()) {
                    *reason = SubAckReason::UnspecifiedError;
                }
            }
            Self::Unsubscribe(packet) => packet.properties.clear(),
            Self::UnsubAck(packet) => {
                packet.properties.clear();
                packet.reasons.clear();
            }
            Self::Disconnect(packet) => {
                packet.properties.clear();
                if packet.reason != DisconnectReason::NormalDisconnection {
                    return None;
                }
            }
            Self::Auth(_) => return None,
        }
        Some(self)
    }
}

/// The nearest Connect Reason Code that has a Connect Return code (3.1.1 §3.2.2.3).
const fn nearest(reason: ConnectReason) -> ConnectReason {
    use ConnectReason as R;
    match reason {
        R::Success
        | R::UnsupportedProtocolVersion
        | R::ClientIdentifierNotValid
        | R::BadUserNameOrPassword
        | R::NotAuthorized
        | R::ServerUnavailable => reason,
        R::Banned | R::BadAuthenticationMethod => R::NotAuthorized,
        _ => R::ServerUnavailable,
    }
}

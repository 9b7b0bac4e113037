//! Reason Codes (§2.4). Each family of packets has its own enum, so a packet cannot hold a code
//! that it does not define.

use std::fmt;

macro_rules! reason_codes {
    ($(#[$about:meta] $type:ident, default $default:ident { $($name:ident = $value:literal $title:literal,)* })*) => {$(
        #[$about]
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum $type {
            $(#[doc = concat!("\"", $title, "\", ", stringify!($value))] $name = $value,)*
        }

        impl $type {
            /// Every code of this family, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The standard's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Whether the code reports a failure: 0x80 and above (§2.4).
            #[inline]
            #[must_use]
            pub const fn is_failure(self) -> bool {
                self as u8 >= 0x80
            }
        }

        impl Default for $type {
            fn default() -> Self {
                Self::$default
            }
        }

        impl TryFrom<u8> for $type {
            type Error = NoSuchReasonCode;

            #[inline]
            fn try_from(value: u8) -> Result<Self, NoSuchReasonCode> {
                match value {
                    $($value => Ok(Self::$name),)*
                    other => Err(NoSuchReasonCode(other)),
                }
            }
        }

        impl From<$type> for u8 {
            #[inline]
            fn from(reason: $type) -> Self {
                reason as Self
            }
        }

        impl From<$type> for ReasonCode {
            fn from(reason: $type) -> Self {
                Self { value: reason as u8, name: reason.name() }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    )*};
}

/// The family of packets does not define the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("0x{0:02X} is not a Reason Code of this packet")]
pub struct NoSuchReasonCode(pub u8);

/// A Reason Code of any packet, for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode {
    value: u8,
    name: &'static str,
}

impl ReasonCode {
    /// The byte on the wire in 5.0.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.value
    }

    /// The standard's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Whether the code reports a failure: 0x80 and above (§2.4).
    #[must_use]
    pub const fn is_failure(self) -> bool {
        self.value >= 0x80
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

reason_codes! {
    /// Connect Reason Codes of CONNACK (§3.2.2.2).
    ConnectReason, default Success {
        Success = 0x00 "Success",
        UnspecifiedError = 0x80 "Unspecified error",
        MalformedPacket = 0x81 "Malformed Packet",
        ProtocolError = 0x82 "Protocol Error",
        ImplementationSpecificError = 0x83 "Implementation specific error",
        UnsupportedProtocolVersion = 0x84 "Unsupported Protocol Version",
        ClientIdentifierNotValid = 0x85 "Client Identifier not valid",
        BadUserNameOrPassword = 0x86 "Bad User Name or Password",
        NotAuthorized = 0x87 "Not authorized",
        ServerUnavailable = 0x88 "Server unavailable",
        ServerBusy = 0x89 "Server busy",
        Banned = 0x8A "Banned",
        BadAuthenticationMethod = 0x8C "Bad authentication method",
        TopicNameInvalid = 0x90 "Topic Name invalid",
        PacketTooLarge = 0x95 "Packet too large",
        QuotaExceeded = 0x97 "Quota exceeded",
        PayloadFormatInvalid = 0x99 "Payload format invalid",
        RetainNotSupported = 0x9A "Retain not supported",
        QoSNotSupported = 0x9B "QoS not supported",
        UseAnotherServer = 0x9C "Use another server",
        ServerMoved = 0x9D "Server moved",
        ConnectionRateExceeded = 0x9F "Connection rate exceeded",
    }

    /// PUBACK and PUBREC Reason Codes (§3.4.2.1, §3.5.2.1).
    PubAckReason, default Success {
        Success = 0x00 "Success",
        NoMatchingSubscribers = 0x10 "No matching subscribers",
        UnspecifiedError = 0x80 "Unspecified error",
        ImplementationSpecificError = 0x83 "Implementation specific error",
        NotAuthorized = 0x87 "Not authorized",
        TopicNameInvalid = 0x90 "Topic Name invalid",
        PacketIdentifierInUse = 0x91 "Packet Identifier in use",
        QuotaExceeded = 0x97 "Quota exceeded",
        PayloadFormatInvalid = 0x99 "Payload format invalid",
    }

    /// PUBREL and PUBCOMP Reason Codes (§3.6.2.1, §3.7.2.1).
    PubRelReason, default Success {
        Success = 0x00 "Success",
        PacketIdentifierNotFound = 0x92 "Packet Identifier not found",
    }

    /// Subscribe Reason Codes of SUBACK (§3.9.3).
    SubAckReason, default GrantedQoS0 {
        GrantedQoS0 = 0x00 "Granted QoS 0",
        GrantedQoS1 = 0x01 "Granted QoS 1",
        GrantedQoS2 = 0x02 "Granted QoS 2",
        UnspecifiedError = 0x80 "Unspecified error",
        ImplementationSpecificError = 0x83 "Implementation specific error",
        NotAuthorized = 0x87 "Not authorized",
        TopicFilterInvalid = 0x8F "Topic Filter invalid",
        PacketIdentifierInUse = 0x91 "Packet Identifier in use",
        QuotaExceeded = 0x97 "Quota exceeded",
        SharedSubscriptionsNotSupported = 0x9E "Shared Subscriptions not supported",
        SubscriptionIdentifiersNotSupported = 0xA1 "Subscription Identifiers not supported",
        WildcardSubscriptionsNotSupported = 0xA2 "Wildcard Subscriptions not supported",
    }

    /// Unsubscribe Reason Codes of UNSUBACK (§3.11.3).
    UnsubAckReason, default Success {
        Success = 0x00 "Success",
        NoSubscriptionExisted = 0x11 "No subscription existed",
        UnspecifiedError = 0x80 "Unspecified error",
        ImplementationSpecificError = 0x83 "Implementation specific error",
        NotAuthorized = 0x87 "Not authorized",
        TopicFilterInvalid = 0x8F "Topic Filter invalid",
        PacketIdentifierInUse = 0x91 "Packet Identifier in use",
    }

    /// Disconnect Reason Codes (§3.14.2.1). Only the table of §2.4 contains 0x8C.
    DisconnectReason, default NormalDisconnection {
        NormalDisconnection = 0x00 "Normal disconnection",
        DisconnectWithWillMessage = 0x04 "Disconnect with Will Message",
        UnspecifiedError = 0x80 "Unspecified error",
        MalformedPacket = 0x81 "Malformed Packet",
        ProtocolError = 0x82 "Protocol Error",
        ImplementationSpecificError = 0x83 "Implementation specific error",
        NotAuthorized = 0x87 "Not authorized",
        ServerBusy = 0x89 "Server busy",
        ServerShuttingDown = 0x8B "Server shutting down",
        BadAuthenticationMethod = 0x8C "Bad authentication method",
        KeepAliveTimeout = 0x8D "Keep Alive timeout",
        SessionTakenOver = 0x8E "Session taken over",
        TopicFilterInvalid = 0x8F "Topic Filter invalid",
        TopicNameInvalid = 0x90 "Topic Name invalid",
        ReceiveMaximumExceeded = 0x93 "Receive Maximum exceeded",
        TopicAliasInvalid = 0x94 "Topic Alias invalid",
        PacketTooLarge = 0x95 "Packet too large",
        MessageRateTooHigh = 0x96 "Message rate too high",
        QuotaExceeded = 0x97 "Quota exceeded",
        AdministrativeAction = 0x98 "Administrative action",
        PayloadFormatInvalid = 0x99 "Payload format invalid",
        RetainNotSupported = 0x9A "Retain not supported",
        QoSNotSupported = 0x9B "QoS not supported",
        UseAnotherServer = 0x9C "Use another server",
        ServerMoved = 0x9D "Server moved",
        SharedSubscriptionsNotSupported = 0x9E "Shared Subscriptions not supported",
        ConnectionRateExceeded = 0x9F "Connection rate exceeded",
        MaximumConnectTime = 0xA0 "Maximum connect time",
        SubscriptionIdentifiersNotSupported = 0xA1 "Subscription Identifiers not supported",
        WildcardSubscriptionsNotSupported = 0xA2 "Wildcard Subscriptions not supported",
    }

    /// Authenticate Reason Codes of AUTH (§3.15.2.1).
    AuthReason, default ContinueAuthentication {
        Success = 0x00 "Success",
        ContinueAuthentication = 0x18 "Continue authentication",
        ReAuthenticate = 0x19 "Re-authenticate",
    }
}

impl ConnectReason {
    /// The equivalent Connect Return code of 3.1.1 (§3.2.2.3), if any.
    #[must_use]
    pub const fn return_code(self) -> Option<u8> {
        Some(match self {
            Self::Success => 0,
            Self::UnsupportedProtocolVersion => 1,
            Self::ClientIdentifierNotValid => 2,
            Self::ServerUnavailable => 3,
            Self::BadUserNameOrPassword => 4,
            Self::NotAuthorized => 5,
            _ => return None,
        })
    }

    /// The Reason Code with the meaning of a Connect Return code of 3.1.1.
    ///
    /// # Errors
    /// 6 to 255 are reserved.
    pub const fn from_return_code(code: u8) -> Result<Self, NoSuchReasonCode> {
        Ok(match code {
            0 => Self::Success,
            1 => Self::UnsupportedProtocolVersion,
            2 => Self::ClientIdentifierNotValid,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorized,
            other => return Err(NoSuchReasonCode(other)),
        })
    }
}

impl SubAckReason {
    /// The "Granted QoS" code of this level.
    #[must_use]
    pub const fn granted(qos: crate::QoS) -> Self {
        match qos {
            crate::QoS::AtMostOnce => Self::GrantedQoS0,
            crate::QoS::AtLeastOnce => Self::GrantedQoS1,
            crate::QoS::ExactlyOnce => Self::GrantedQoS2,
        }
    }

    /// The granted level; `None` for a failure.
    #[must_use]
    pub const fn granted_qos(self) -> Option<crate::QoS> {
        match self {
            Self::GrantedQoS0 => Some(crate::QoS::AtMostOnce),
            Self::GrantedQoS1 => Some(crate::QoS::AtLeastOnce),
            Self::GrantedQoS2 => Some(crate::QoS::ExactlyOnce),
            _ => None,
        }
    }
}

impl DisconnectReason {
    /// Whether a Client may send it (§3.14.2.1).
    ///
    /// The table gives 0x9B to the Server, but §3.3.4 requires a Client to use it; both may send
    /// it. Both may also send 0x8C, which only §2.4 assigns to DISCONNECT.
    #[must_use]
    pub const fn client_may_send(self) -> bool {
        !matches!(
            self,
            Self::NotAuthorized
                | Self::ServerBusy
                | Self::ServerShuttingDown
                | Self::KeepAliveTimeout
                | Self::SessionTakenOver
                | Self::TopicFilterInvalid
                | Self::RetainNotSupported
                | Self::UseAnotherServer
                | Self::ServerMoved
                | Self::SharedSubscriptionsNotSupported
                | Self::ConnectionRateExceeded
                | Self::MaximumConnectTime
                | Self::SubscriptionIdentifiersNotSupported
                | Self::WildcardSubscriptionsNotSupported
        )
    }

    /// Whether a Server may send it (§3.14.2.1).
    #[must_use]
    pub const fn server_may_send(self) -> bool {
        !matches!(self, Self::DisconnectWithWillMessage)
    }
}

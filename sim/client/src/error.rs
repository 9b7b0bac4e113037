//! The errors of a client: one variant for each cause, in five kinds.

use std::time::Duration;

use mqttspec_codec::{ConnectReason, DisconnectReason, PacketType, PubAckReason, QoS, SubAckReason};

/// The kind of an [`Error`], by which the statistics count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The Network Connection could not be established, or was lost.
    Network,
    /// The Server does not accept the credentials of the client.
    Authentication,
    /// An answer was not received in time.
    TimeOut,
    /// One side broke the protocol, or the Server refused a packet.
    Protocol,
    /// The command is not possible in the current state, or not valid.
    Application,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Network, Self::Authentication, Self::TimeOut, Self::Protocol, Self::Application];
}

/// Why a command, an attempt or a connection failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The driver could not open a Network Connection.
    #[error("no Network Connection could be opened: {0}")]
    NotReachable(Unreachable),
    /// The Network Connection ended without DISCONNECT.
    #[error("the Network Connection was lost")]
    ConnectionLost,
    /// The Server sent DISCONNECT.
    #[error("the Server disconnected: {}{}", .reason.name(), explained(.explanation.as_deref()))]
    DisconnectedByServer {
        /// The Reason Code.
        reason: DisconnectReason,
        /// The Reason String.
        explanation: Option<String>,
    },
    /// The Server answered CONNECT with a failure.
    #[error(
        "the Server refused the connection: {}{}{}",
        .reason.name(),
        explained(.explanation.as_deref()),
        elsewhere(.server.as_deref())
    )]
    Refused {
        /// The Reason Code.
        reason: ConnectReason,
        /// The Reason String.
        explanation: Option<String>,
        /// The Server Reference (§4.11).
        server: Option<String>,
    },
    /// The Server has not authenticated itself, or its part of the exchange is invalid.
    #[error("the authentication exchange failed: {0}")]
    AuthenticationFailed(&'static str),
    /// An answer was not received in time.
    #[error("no {0} in time")]
    TimedOut(Awaited),
    /// The Server sent malformed bytes.
    #[error("the Server sent a Malformed Packet: {0}")]
    Malformed(mqttspec_codec::DecodeError),
    /// The Server sent a packet that is not valid in the current state.
    #[error("the Server broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// The Server refused a message.
    #[error("the Server refused the message: {}{}", .reason.name(), explained(.explanation.as_deref()))]
    PublishRefused {
        /// The Reason Code of PUBACK or PUBREC.
        reason: PubAckReason,
        /// The Reason String.
        explanation: Option<String>,
    },
    /// The Server refused a subscription that the command needs.
    #[error("the Server refused the subscription: {}", .0.name())]
    SubscribeRefused(SubAckReason),
    /// The Session was lost while the message was in flight. It is unknown whether the Server
    /// received the message.
    #[error("the Session was lost while the message was in flight")]
    SessionLost,
    /// The receiving application refused the delivery.
    #[error("the receiver {} refused the delivery: {}", .by.as_deref().unwrap_or("(unknown)"), .reason.name())]
    DeliveryRefused {
        /// The Client Identifier of the receiver, if it said so.
        by: Option<String>,
        /// The Reason Code that the application gave.
        reason: PubAckReason,
    },
    /// The message was not sent before its Message Expiry Interval had passed.
    #[error("the message expired before it could be sent")]
    Expired,
    /// The publish queue is full.
    #[error("the publish queue is full")]
    QueueFull,
    /// The circuit breaker is open.
    #[error("the circuit breaker is open for another {} s", .retry_in.as_secs())]
    CircuitOpen {
        /// The duration until an attempt is allowed.
        retry_in: Duration,
    },
    /// There is no Network Connection, and the command cannot wait for one.
    #[error("not connected")]
    NotConnected,
    /// The command needs a client that is neither connected nor connecting.
    #[error("already connected or connecting")]
    AlreadyConnected,
    /// A Disconnect command, or another Connect command, came before the command had ended.
    #[error("the command was cancelled")]
    Cancelled,
    /// The Server does not support this, according to its CONNACK.
    #[error("the Server does not support {0}")]
    NotSupported(Unsupported),
    /// The command breaks a rule of the standard.
    #[error("not allowed: {0}")]
    Invalid(Invalid),
}

fn explained(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!(" ({text})"))
}

fn elsewhere(server: Option<&str>) -> String {
    server.map_or_else(String::new, |server| format!("; use {server}"))
}

/// Why a driver could not open a Network Connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The name of the host has no address.
    #[error("the name of the host is unknown")]
    NameUnknown,
    /// No process listens at the port.
    #[error("the host refuses connections to this port")]
    ConnectionRefused,
    /// The host did not answer in time.
    #[error("the host did not answer in time")]
    TimedOut,
    /// A certificate is not accepted, by the client or by the Server.
    #[error("TLS: {0}")]
    Certificate(String),
    /// An option demands what the driver's network does not do. Nothing was sent.
    #[error("the network of this client cannot do what the option `{0}` says")]
    OptionNotHonoured(&'static str),
    /// The connection ended before it was usable.
    #[error("the connection was closed")]
    Closed,
    /// Another reason.
    #[error("{0}")]
    Other(String),
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The driver's Network Connection.
    NetworkConnection,
    /// CONNACK.
    ConnAck,
    /// PINGRESP.
    PingResp,
    /// SUBACK.
    SubAck,
    /// UNSUBACK.
    UnsubAck,
    /// AUTH that answers a re-authentication.
    Auth,
    /// The response to a request (§4.10).
    Response,
    /// The end-to-end acknowledgement of a delivery.
    DeliveryAcknowledgement,
}

impl std::fmt::Display for Awaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::NetworkConnection => "Network Connection",
            Self::ConnAck => "CONNACK",
            Self::PingResp => "PINGRESP",
            Self::SubAck => "SUBACK",
            Self::UnsubAck => "UNSUBACK",
            Self::Auth => "AUTH",
            Self::Response => "response",
            Self::DeliveryAcknowledgement => "delivery acknowledgement",
        })
    }
}

/// What a Server can exclude in CONNACK (§3.2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// The QoS is above its Maximum QoS.
    QoS(QoS),
    /// Retained messages.
    Retain,
    /// A packet of this many bytes is above its Maximum Packet Size.
    PacketSize(usize),
    /// Topic Filters with wildcards.
    WildcardSubscriptions,
    /// Shared Subscriptions.
    SharedSubscriptions,
    /// Subscription Identifiers.
    SubscriptionIdentifiers,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::QoS(qos) => write!(f, "QoS {qos}"),
            Self::Retain => f.write_str("retained messages"),
            Self::PacketSize(size) => write!(f, "a packet of {size} bytes"),
            Self::WildcardSubscriptions => f.write_str("wildcards in Topic Filters"),
            Self::SharedSubscriptions => f.write_str("Shared Subscriptions"),
            Self::SubscriptionIdentifiers => f.write_str("Subscription Identifiers"),
        }
    }
}

/// Why a command is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// An empty Client Identifier without Clean Session (3.1.1 §3.1.3.1).
    #[error("an empty Client Identifier needs Clean Session")]
    EmptyClientIdentifier,
    /// 3.1 allows 1 to 23 characters.
    #[error("3.1 allows Client Identifiers of 1 to 23 characters only")]
    ClientIdentifierLength,
    /// A Password without User Name (3.1 and 3.1.1).
    #[error("a Password needs a User Name before version 5.0")]
    PasswordWithoutUserName,
    /// No Topic Filter.
    #[error("no Topic Filter")]
    NoTopicFilter,
    /// No Local with a Shared Subscription.
    #[error("No Local is not allowed for Shared Subscriptions")]
    NoLocalOnSharedSubscription,
    /// A Subscription Identifier in a publication.
    #[error("a Client's PUBLISH must not have a Subscription Identifier")]
    SubscriptionIdentifierInPublish,
    /// A Topic Alias in a publication: the client assigns them itself.
    #[error("the client assigns Topic Aliases itself")]
    TopicAliasInPublish,
    /// A payload whose Payload Format Indicator is 1 is not UTF-8.
    #[error("the payload is not UTF-8 although its Payload Format Indicator says so")]
    PayloadFormat,
    /// A Reason Code that a Client may not send.
    #[error("a Client may not disconnect with this Reason Code")]
    DisconnectReason,
    /// A Session Expiry Interval in DISCONNECT although it was 0 in CONNECT.
    #[error("a Session Expiry Interval of 0 cannot be raised at DISCONNECT")]
    SessionExpiryRaised,
    /// A feature that 3.1 and 3.1.1 do not have.
    #[error("version 5.0 is needed")]
    NeedsVersion5,
    /// Enhanced authentication without the credentials it needs.
    #[error("the authentication method needs User Name and Password")]
    CredentialsMissing,
    /// A received message that does not wait for an acknowledgement.
    #[error("no such message waits for an acknowledgement")]
    NothingToAcknowledge,
    /// Re-authentication without enhanced authentication in CONNECT.
    #[error("CONNECT had no Authentication Method")]
    NoAuthenticationMethod,
    /// The option `delivery_acknowledgements` cannot be the start of a Topic Name.
    #[error("the option `delivery_acknowledgements` cannot be the start of a Topic Name")]
    AcknowledgementTopic,
    /// A second re-authentication before the first one has ended.
    #[error("a re-authentication is in progress")]
    AuthenticationUnderWay,
    /// The message has no Response Topic.
    #[error("the message has no Response Topic")]
    NoResponseTopic,
}

/// A well-formed packet of the Server that is not valid in the current state (§1.2: Protocol
/// Error).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A packet that only a Client sends.
    #[error("only a Client may send {0}")]
    WrongSender(PacketType),
    /// The first packet is neither CONNACK nor AUTH.
    #[error("{0} before CONNACK")]
    BeforeConnAck(PacketType),
    /// A second CONNACK.
    #[error("a second CONNACK")]
    SecondConnAck,
    /// The Server resumes a Session that the Client does not have.
    #[error("Session Present is 1 but the Client has no Session State")]
    SessionPresentUnexpected,
    /// The Client has no Client Identifier, and the Server has not assigned one.
    #[error("no Assigned Client Identifier for a Client without Client Identifier")]
    AssignedClientIdentifierMissing,
    /// The Authentication Method is not that of CONNECT.
    #[error("the Authentication Method is not that of CONNECT")]
    AuthenticationMethodChanged,
    /// AUTH with a Reason Code that is not valid in the current state.
    #[error("AUTH is not valid in this state of the authentication")]
    AuthUnexpected,
    /// DISCONNECT from the Server before 5.0.
    #[error("only a Client may send DISCONNECT before version 5.0")]
    DisconnectBeforeVersion5,
    /// A Reason Code in DISCONNECT that only a Client sends.
    #[error("DISCONNECT with a Reason Code that only a Client may send")]
    DisconnectReasonNotServers,
    /// Too many unacknowledged messages.
    #[error("more unacknowledged messages than Receive Maximum")]
    ReceiveMaximumExceeded,
    /// An alias above the Topic Alias Maximum of CONNECT.
    #[error("a Topic Alias above the Topic Alias Maximum")]
    TopicAliasTooLarge,
    /// An alias without a mapping.
    #[error("a Topic Alias that has no mapping")]
    TopicAliasUnknown,
    /// A Subscription Identifier that this client never used in the Session.
    #[error("a Subscription Identifier that was never used")]
    SubscriptionIdentifierUnknown,
    /// The acknowledgement is for another QoS, or too early.
    #[error("{0} is not valid in this state of the exchange")]
    AcknowledgementMisplaced(PacketType),
    /// The number of Reason Codes in SUBACK or UNSUBACK differs from that of the Topic Filters.
    #[error("{0} with a wrong number of Reason Codes")]
    ReasonCodeCount(PacketType),
    /// A Reason String or User Property although Request Problem Information was 0.
    #[error("{0} with a Reason String or User Property although Request Problem Information is 0")]
    ProblemInformationUnasked(PacketType),
}

impl Violation {
    /// The Reason Code of the DISCONNECT that answers it in 5.0 (§4.13.1).
    #[must_use]
    pub const fn answer(self) -> DisconnectReason {
        match self {
            Self::ReceiveMaximumExceeded => DisconnectReason::ReceiveMaximumExceeded,
            Self::TopicAliasTooLarge => DisconnectReason::TopicAliasInvalid,
            _ => DisconnectReason::ProtocolError,
        }
    }
}

impl Error {
    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotReachable(reason) => match reason {
                Unreachable::TimedOut => ErrorKind::TimeOut,
                Unreachable::Certificate(_) => ErrorKind::Authentication,
                Unreachable::OptionNotHonoured(_) => ErrorKind::Application,
                _ => ErrorKind::Network,
            },
            Self::ConnectionLost => ErrorKind::Network,
            Self::DisconnectedByServer { reason, .. } => disconnect_kind(*reason),
            Self::Refused { reason, .. } => connect_kind(*reason),
            Self::AuthenticationFailed(_) => ErrorKind::Authentication,
            Self::TimedOut(_) => ErrorKind::TimeOut,
            Self::Malformed(_)
            | Self::Violation(_)
            | Self::PublishRefused { .. }
            | Self::SubscribeRefused(_)
            | Self::SessionLost => ErrorKind::Protocol,
            Self::DeliveryRefused { .. } => ErrorKind::Application,
            Self::Expired
            | Self::QueueFull
            | Self::CircuitOpen { .. }
            | Self::NotConnected
            | Self::AlreadyConnected
            | Self::Cancelled
            | Self::NotSupported(_)
            | Self::Invalid(_) => ErrorKind::Application,
        }
    }

    /// Whether another attempt with the same options may succeed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused { reason, .. } => connect_may_pass(*reason),
            Self::NotReachable(Unreachable::Certificate(_) | Unreachable::OptionNotHonoured(_)) => false,
            // Two clients with the same Client Identifier would take over each other's Session
            // without end.
            Self::DisconnectedByServer { reason, .. } => !matches!(
                reason,
                DisconnectReason::SessionTakenOver
                    | DisconnectReason::NotAuthorized
                    | DisconnectReason::BadAuthenticationMethod
            ),
            Self::AuthenticationFailed(_) | Self::Invalid(_) | Self::NotSupported(_) => false,
            _ => true,
        }
    }
}

fn connect_kind(reason: ConnectReason) -> ErrorKind {
    use ConnectReason as R;
    match reason {
        R::BadUserNameOrPassword | R::NotAuthorized | R::Banned | R::BadAuthenticationMethod => {
            ErrorKind::Authentication
        }
        R::ServerUnavailable
        | R::ServerBusy
        | R::QuotaExceeded
        | R::UseAnotherServer
        | R::ServerMoved
        | R::ConnectionRateExceeded
        | R::UnspecifiedError
        | R::ImplementationSpecificError => ErrorKind::Network,
        R::ClientIdentifierNotValid
        | R::TopicNameInvalid
        | R::PayloadFormatInvalid
        | R::RetainNotSupported
        | R::QoSNotSupported => ErrorKind::Application,
        R::Success
        | R::MalformedPacket
        | R::ProtocolError
        | R::UnsupportedProtocolVersion
        | R::PacketTooLarge => ErrorKind::Protocol,
    }
}

fn connect_may_pass(reason: ConnectReason) -> bool {
    use ConnectReason as R;
    matches!(
        reason,
        R::ServerUnavailable
            | R::ServerBusy
            | R::QuotaExceeded
            | R::UseAnotherServer
            | R::ServerMoved
            | R::ConnectionRateExceeded
            | R::UnspecifiedError
            | R::ImplementationSpecificError
    )
}

fn disconnect_kind(reason: DisconnectReason) -> ErrorKind {
    use DisconnectReason as R;
    match reason {
        R::NotAuthorized | R::BadAuthenticationMethod => ErrorKind::Authentication,
        R::KeepAliveTimeout => ErrorKind::TimeOut,
        R::NormalDisconnection
        | R::ServerBusy
        | R::ServerShuttingDown
        | R::SessionTakenOver
        | R::QuotaExceeded
        | R::AdministrativeAction
        | R::UseAnotherServer
        | R::ServerMoved
        | R::ConnectionRateExceeded
        | R::MaximumConnectTime
        | R::UnspecifiedError
        | R::ImplementationSpecificError => ErrorKind::Network,
        _ => ErrorKind::Protocol,
    }
}

/// A sentence that explains a Connect Reason Code (§3.2.2.2; 3.1.1 §3.2.2.3).
#[must_use]
pub const fn meaning(reason: ConnectReason) -> &'static str {
    use ConnectReason as R;
    match reason {
        R::Success => "The Server has accepted the connection.",
        R::UnspecifiedError => "The Server refused without a reason.",
        R::MalformedPacket => "The Server could not parse the CONNECT packet.",
        R::ProtocolError => "The CONNECT packet broke a rule of the protocol.",
        R::ImplementationSpecificError => "The CONNECT packet is valid, but this Server does not accept it.",
        R::UnsupportedProtocolVersion => "The Server does not support this version of MQTT.",
        R::ClientIdentifierNotValid => "The Server does not allow this Client Identifier.",
        R::BadUserNameOrPassword => "The Server does not accept this User Name and Password.",
        R::NotAuthorized => "The client is not authorized to connect.",
        R::ServerUnavailable => "The MQTT service is not available at the moment.",
        R::ServerBusy => "The Server is busy: try again later.",
        R::Banned => "An administrator has banned this client.",
        R::BadAuthenticationMethod => "The Server does not support the Authentication Method.",
        R::TopicNameInvalid => "The Server does not accept the Will Topic.",
        R::PacketTooLarge => "The CONNECT packet is larger than the Server accepts.",
        R::QuotaExceeded => "A quota of the Server is exceeded.",
        R::PayloadFormatInvalid => "The Will Payload does not match its Payload Format Indicator.",
        R::RetainNotSupported => "The Server does not support retained messages, but Will Retain is set.",
        R::QoSNotSupported => "The Server does not support the Will QoS.",
        R::UseAnotherServer => "The client should use another Server for now.",
        R::ServerMoved => "The client should use another Server from now on.",
        R::ConnectionRateExceeded => "The rate of connections is too high.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connect_reason_code_has_a_meaning_and_only_passing_troubles_are_tried_again() {
        for &reason in ConnectReason::ALL {
            assert!(meaning(reason).ends_with('.'));
            let error = Error::Refused { reason, explanation: None, server: None };
            if error.may_pass() {
                assert_eq!(error.kind(), ErrorKind::Network, "{reason:?}");
            }
        }
        let refused = Error::Refused {
            reason: ConnectReason::BadUserNameOrPassword,
            explanation: Some("unknown user".to_owned()),
            server: None,
        };
        assert_eq!(refused.kind(), ErrorKind::Authentication);
        assert!(!refused.may_pass());
        assert_eq!(
            refused.to_string(),
            "the Server refused the connection: Bad User Name or Password (unknown user)"
        );
    }
}

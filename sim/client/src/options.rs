//! The options of a client, by the names that scenario files and command lines use.
//!
//! The core reads no file and opens no connection: `address`, `port`, `tls`, `ca_file`,
//! `certificate_file`, `key_file` and `websocket_path` are for the driver. A driver that cannot do
//! what they say must not connect.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use mqttspec_codec::{BinaryData, QoS, TopicName, Utf8String, Version};
use mqttspec_core::{choices, options};

options! {
    /// The options of a client. Field names and the names that [`Options::set`] takes are the same.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Options {
        /// Protocol Version: 3.1, 3.1.1 or 5.0.
        version: Version = Version::V5;
        /// Client Identifier (§3.1.3.1). If it is empty, the Server assigns one (5.0), or the
        /// Session has none (3.1.1, with Clean Session).
        client_id: Utf8String = Utf8String::new();
        /// Clean Start of the first CONNECT of a Connect command (5.0); Clean Session of every
        /// CONNECT (3.1, 3.1.1). None: Clean Start is 1 if the client has no Session, and Clean
        /// Session is 0.
        clean_start: Option<bool> = None;
        /// Keep Alive in seconds, 0 to 65,535; 0 is off (§3.1.2.10). A Server Keep Alive replaces
        /// it.
        keep_alive: u16 = 60;
        /// Share of the Keep Alive that may pass in silence, in either direction, before a PINGREQ
        /// is sent; 0 to 1.
        heartbeat_ratio: f64 = 0.5;
        /// How long to wait for PINGRESP before the Network Connection is closed; none: one Keep
        /// Alive.
        ping_timeout: Option<Duration> = None;
        /// How long to wait for the Network Connection, and then for CONNACK.
        connect_timeout: Duration = Duration::from_secs(10);
        /// How long to wait for SUBACK, UNSUBACK and the end of a re-authentication.
        timeout: Duration = Duration::from_secs(60);
        /// How long a request without a time of its own waits for its response (5.0, §4.10).
        request_timeout: Duration = Duration::from_secs(30);
        /// User Name (§3.1.3.5).
        user_name: Option<Utf8String> = None;
        /// Password (§3.1.3.6). 3.1 and 3.1.1 allow it only with a User Name.
        password: Option<BinaryData> = None;
        /// Enhanced authentication (5.0): none or scram-sha-256.
        authentication: Authentication = Authentication::None;
        /// Session Expiry Interval in seconds (5.0, §3.1.2.11.2). With 0 the Session ends with the
        /// connection, with 4294967295 it does not expire.
        session_expiry: u32 = 3600;
        /// Receive Maximum: the number of QoS 1 and QoS 2 messages that the Server may have
        /// unacknowledged (5.0, §3.1.2.11.3).
        receive_maximum: NonZeroU16 = NonZeroU16::MAX;
        /// The largest packet that the Server may send, in bytes (5.0, §3.1.2.11.4); none: no limit
        /// but that of the protocol.
        maximum_packet_size: Option<NonZeroU32> = None;
        /// The number of Topic Aliases that the Server may use (5.0, §3.1.2.11.5).
        topic_alias_maximum: u16 = 0;
        /// Whether to request Response Information (5.0, §3.1.2.11.6).
        request_response_information: bool = false;
        /// Whether the Server may explain failures on any packet (5.0, §3.1.2.11.7).
        request_problem_information: bool = true;
        /// User Property of CONNECT as `name=value` (5.0); each use adds one.
        user_property: Vec<(Utf8String, Utf8String)> = Vec::new();
        /// Will Topic (§3.1.3.3 of 5.0); none: no Will.
        will_topic: Option<TopicName> = None;
        /// Will Payload.
        will_payload: BinaryData = BinaryData::new();
        /// Will QoS.
        will_qos: QoS = QoS::AtMostOnce;
        /// Will Retain.
        will_retain: bool = false;
        /// Will Delay Interval in seconds (5.0, §3.1.3.2.2).
        will_delay: u32 = 0;
        /// Message Expiry Interval of the Will in seconds (5.0); none: it does not expire.
        will_message_expiry: Option<u32> = None;
        /// Content Type of the Will (5.0).
        will_content_type: Option<Utf8String> = None;
        /// Payload Format Indicator of the Will (5.0): whether the Will Payload is UTF-8 text.
        will_payload_is_text: bool = false;
        /// Response Topic of the Will (5.0).
        will_response_topic: Option<TopicName> = None;
        /// Correlation Data of the Will (5.0).
        will_correlation_data: Option<BinaryData> = None;
        /// User Property of the Will as `name=value` (5.0); each use adds one.
        will_user_property: Vec<(Utf8String, Utf8String)> = Vec::new();
        /// QoS of a publication that has none.
        default_qos: QoS = QoS::AtLeastOnce;
        /// The largest number of QoS 1 and QoS 2 messages in flight. The Server's Receive Maximum
        /// applies too, if it is lower.
        send_maximum: NonZeroU16 = NonZeroU16::MAX;
        /// The largest number of messages that wait for a Network Connection or for send quota.
        publish_queue_size: usize = 1000;
        /// What to do when the queue is full: drop-oldest, drop-newest or refuse.
        queue_policy: QueuePolicy = QueuePolicy::Refuse;
        /// Whether QoS 0 messages wait while there is no Network Connection. If not, they are
        /// dropped.
        queue_qos0: bool = true;
        /// What to do with messages in flight when the Session is lost: republish-at-least-once,
        /// republish or fail.
        session_lost: SessionLostPolicy = SessionLostPolicy::RepublishAtLeastOnce;
        /// Whether to restore the subscriptions when the Session is lost.
        resubscribe: bool = true;
        /// Who acknowledges received messages: automatic or manual.
        acknowledgement: Acknowledgement = Acknowledgement::Automatic;
        /// Whether to use Topic Aliases, up to the Server's Topic Alias Maximum (5.0, §3.3.2.3.4).
        topic_aliases: bool = false;
        /// The topic for end-to-end acknowledgements of deliveries: the part before the delivery's
        /// id.
        delivery_acknowledgements: Utf8String = Utf8String::from_static("delivery/ack/");
        /// How many times a delivery is published again without end-to-end acknowledgement.
        delivery_retries: u32 = 3;
        /// How long to wait for the end-to-end acknowledgement before a delivery is published
        /// again.
        delivery_retry: Duration = Duration::from_secs(30);
        /// How long a delivery may take until it expires.
        delivery_time_to_live: Duration = Duration::from_secs(3600);
        /// How often to look for deliveries that have expired.
        delivery_sweep: Duration = Duration::from_secs(60);
        /// How many of the deliveries that have ended the history keeps.
        delivery_history: usize = 1000;
        /// Whether to acknowledge received deliveries end to end, and to pass each one to the
        /// application once.
        acknowledge_deliveries: bool = false;
        /// Whether to reconnect when the Network Connection is lost or cannot be established.
        reconnect: bool = true;
        /// The number of consecutive attempts that may fail before the client gives up; 0: no
        /// limit.
        reconnect_attempts: u32 = 10;
        /// How the delay grows with each failure: exponential (it doubles), linear or constant.
        reconnect_policy: ReconnectPolicy = ReconnectPolicy::Exponential;
        /// Delay before the first attempt to reconnect. It is multiplied by a random factor from
        /// 0.5 to 1.0.
        reconnect_delay: Duration = Duration::from_secs(1);
        /// The largest delay, before the random factor.
        reconnect_delay_max: Duration = Duration::from_secs(60);
        /// The number of consecutive failures that open the circuit breaker; 0: it stays closed.
        circuit_failures: u32 = 5;
        /// How long an open circuit breaker allows no attempt.
        circuit_delay: Duration = Duration::from_secs(30);
        /// The failures that the circuit breaker counts: all, passing (those that another attempt
        /// may not have) or network (no Network Connection, or no answer in time).
        circuit_errors: CircuitErrors = CircuitErrors::All;
        /// A Server to use while the circuit breaker is open, as `host` or `host:port`; none: the
        /// client waits.
        circuit_fallback: Option<Utf8String> = None;
        /// How often to look whether the connection is in use.
        health_check: Duration = Duration::from_secs(30);
        /// How long no message may be sent or received until the client warns of inactivity; 0: it
        /// does not.
        inactivity_warning: Duration = Duration::from_secs(300);
        /// Whether to follow a Server Reference (5.0, §4.11).
        follow_server_reference: bool = true;
        /// Where the Server is: a host name or an IP address. For the driver.
        address: String = "localhost".to_owned();
        /// TCP port; none: 1883, or 8883 with TLS. For the driver.
        port: Option<u16> = None;
        /// Whether to use TLS. For the driver.
        tls: bool = false;
        /// File with the certificate authorities to trust, in PEM. For the driver.
        ca_file: Option<String> = None;
        /// File with the certificate that the client shows to the Server, in PEM. For the driver.
        certificate_file: Option<String> = None;
        /// File with the private key of that certificate, in PEM. For the driver.
        key_file: Option<String> = None;
        /// Path of a WebSocket URI; none: plain TCP or TLS (§6). For the driver.
        websocket_path: Option<String> = None;
    }
}

impl Options {
    /// The port that the driver should use: `port`, or else 1883, or 8883 with TLS (§4.2).
    #[must_use]
    pub fn effective_port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 8883 } else { 1883 })
    }
}

choices! {
    /// What happens to a new message when the publish queue is full.
    QueuePolicy {
        /// The message that has waited longest is dropped.
        DropOldest = "drop-oldest",
        /// The new message is accepted and dropped.
        DropNewest = "drop-newest",
        /// The command fails: the application keeps its message.
        Refuse = "refuse",
    }

    /// What happens to messages in flight when the Server has lost the Session (§3.2.2.1.1: Session
    /// Present is 0).
    ///
    /// A message whose PUBREC was received counts as published under every policy.
    SessionLostPolicy {
        /// QoS 1 messages are published again as new messages; QoS 2 messages fail, since the
        /// Server may have received them.
        RepublishAtLeastOnce = "republish-at-least-once",
        /// All are published again as new messages; a QoS 2 message may then be delivered twice.
        Republish = "republish",
        /// All fail.
        Fail = "fail",
    }

    /// How the delay before an attempt to reconnect grows.
    ReconnectPolicy {
        /// It doubles.
        Exponential = "exponential",
        /// It grows by the first delay.
        Linear = "linear",
        /// It stays.
        Constant = "constant",
    }

    /// Which failures of attempts the circuit breaker counts.
    CircuitErrors {
        /// All of them.
        All = "all",
        /// Those that another attempt may not have.
        Passing = "passing",
        /// No Network Connection, or no answer in time.
        Network = "network",
    }

    /// Who decides when a received QoS 1 or QoS 2 message is acknowledged.
    Acknowledgement {
        /// The client, as soon as the application has the message.
        Automatic = "automatic",
        /// The application, with [`Command::Acknowledge`](crate::Command::Acknowledge).
        Manual = "manual",
    }

    /// How the client authenticates (§4.12 of 5.0).
    Authentication {
        /// User Name and Password only.
        None = "none",
        /// SCRAM-SHA-256 with `user_name` and `password`; neither is sent in CONNECT.
        ScramSha256 = "scram-sha-256",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_takes_its_own_default() {
        for option in Options::descriptions() {
            let mut options = Options::default();
            options.set(option.name, &option.default).unwrap();
            assert_eq!(options, Options::default(), "{}", option.name);
            assert!(!option.description.is_empty(), "{}", option.name);
        }
    }

    #[test]
    fn defaults_are_those_of_the_requirements() {
        let expected = [
            ("timeout", "60s"),
            ("connect_timeout", "10s"),
            ("request_timeout", "30s"),
            ("keep_alive", "60"),
            ("session_expiry", "3600"),
            ("reconnect_attempts", "10"),
            ("reconnect_delay", "1s"),
            ("reconnect_delay_max", "60s"),
            ("heartbeat_ratio", "0.5"),
            ("publish_queue_size", "1000"),
            ("default_qos", "1"),
            ("circuit_failures", "5"),
            ("circuit_delay", "30s"),
            ("delivery_retries", "3"),
            ("delivery_retry", "30s"),
            ("delivery_time_to_live", "3600s"),
            ("delivery_sweep", "60s"),
            ("health_check", "30s"),
            ("inactivity_warning", "300s"),
            ("delivery_acknowledgements", "delivery/ack/"),
        ];
        for (name, value) in expected {
            assert_eq!(Options::default().get(name).unwrap(), value, "{name}");
        }
        assert_eq!(Options::default().effective_port(), 1883);
        assert_eq!(Options { tls: true, ..Options::default() }.effective_port(), 8883);
    }

    #[test]
    fn values_are_read_as_scenario_files_write_them() {
        let mut options = Options::default();
        options.set("reconnect_delay", "250ms").unwrap();
        options.set("version", "3.1.1").unwrap();
        options.set("clean_start", "1").unwrap();
        options.set("will_topic", "status/device").unwrap();
        options.set("user_property", "site=north").unwrap();
        options.set("user_property", "room=2=b").unwrap();
        options.set("queue_policy", "drop-oldest").unwrap();
        assert_eq!(options.reconnect_delay, Duration::from_millis(250));
        assert_eq!(options.version, Version::V3_1_1);
        assert_eq!(options.clean_start, Some(true));
        assert_eq!(options.will_topic.as_ref().map(TopicName::as_str), Some("status/device"));
        assert_eq!(options.get("user_property").unwrap(), "site=north,room=2=b");
        assert_eq!(options.queue_policy, QueuePolicy::DropOldest);
    }
}

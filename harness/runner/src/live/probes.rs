//! Probes a server: whether there is one, its versions, its round trip and its capabilities.

use core::time::Duration;
use std::io;

use mqttspec_codec::{
    AssignedClientIdentifier, BinaryData, Connect, ConnectReason, MaximumQoS, NonEmpty, Packet,
    PacketIdentifier, Publish, QoS, SubAckReason, Subscribe, Subscription, TopicFilter, TopicName,
    Utf8String, Version,
};
use mqttspec_net::framed::{Arrived, Framed, Received};
use mqttspec_net::transport::LiveNet;
use mqttspec_ports::Net;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::capabilities::{Capabilities, KEEP_ALIVE_0, announced};
use super::names::Credentials;
use super::probe_client::{ANSWER_TIMEOUT, ProbeClient};
use super::wire::Endpoint;
use crate::intake::MAXIMUM_PACKET_SIZE;

/// How long a server may take for work that it may finish after its answer.
const GRACE_PERIOD: Duration = Duration::from_millis(200);

/// The interval between the messages of a measurement.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(20);

/// Runs wait after each SUBACK for the longest measured subscription delay times this.
const DELAY_FACTOR: u32 = 3;

/// Why a live server cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum ContactError {
    /// No connection could be opened.
    #[error("cannot connect to {url}: {source}\n  is the server running, and is this its port?")]
    Unreachable {
        /// The target.
        url: String,
        /// The system's error.
        source: io::Error,
    },
    /// The TCP connection was opened, and the TLS or WebSocket handshake failed.
    #[error("{url}: the {what} handshake failed: {source}\n  {remedy}")]
    Transport {
        /// The target.
        url: String,
        /// The transport.
        what: &'static str,
        /// The error of the handshake.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The answer is not MQTT.
    #[error("{url} is not an MQTT server: {what} answers\n  {remedy}")]
    NotMqtt {
        /// The target.
        url: String,
        /// What probably answers.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// No CONNECT was answered.
    #[error("{url} accepts connections, and does not answer a CONNECT within {after:?}")]
    Silent {
        /// The target.
        url: String,
        /// The time limit.
        after: Duration,
    },
    /// No CONNECT was answered by a CONNACK.
    #[error("{url} closes the connection without a CONNACK after a CONNECT of every version")]
    Closes {
        /// The target.
        url: String,
    },
    /// Every CONNECT was refused.
    #[error("{url} refuses the CONNECT with {reason:?} (0x{code:02x})\n  {remedy}")]
    Refused {
        /// The target.
        url: String,
        /// The Reason Code, or the Connect Return code of 3.1.1 with the same meaning.
        reason: ConnectReason,
        /// The code as a byte.
        code: u8,
        /// What to do.
        remedy: &'static str,
    },
}

/// Opens connections to a server, outside of any scenario.
#[derive(Clone, Debug)]
pub(crate) struct Prober<N = LiveNet> {
    pub(crate) endpoint: Endpoint<N>,
    pub(crate) url: String,
    pub(crate) encrypted: bool,
    pub(crate) websocket: bool,
    pub(crate) credentials: Option<Credentials>,
    /// The prefix of Client Identifiers and topics.
    pub(crate) token: String,
    /// How long the answer to the first CONNECT of a version may take.
    pub(crate) patience: Duration,
}

/// The outcome of one CONNECT.
enum Answer<S> {
    Accepted(Box<ProbeClient<S>>),
    Refused(ConnectReason),
    Closed,
    Silent,
    Unknown(Vec<u8>),
}

impl<N: Net> Prober<N> {
    /// Probes the server.
    pub(crate) async fn probe(&self) -> Result<Capabilities, ContactError> {
        let mut versions = Vec::new();
        let mut refused = None;
        let (mut closed, mut silent) = (false, false);
        let mut clients: Vec<ProbeClient<N::Stream>> = Vec::new();
        for version in [Version::V5, Version::V3_1_1, Version::V3_1] {
            match self.answer(version, self.patience).await? {
                Answer::Accepted(client) => {
                    versions.insert(0, version);
                    clients.push(*client);
                }
                Answer::Refused(reason) => refused = refused.or(Some(reason)),
                Answer::Closed => closed = true,
                Answer::Silent if versions.is_empty() && !closed && refused.is_none() => {
                    silent = true;
                    // Trying a third version would make the user wait for too long.
                    if self.speaks_http().await {
                        return Err(self.not_mqtt(
                            "an HTTP server",
                            "for MQTT over WebSocket, use ws:// or wss:// and the server's path",
                        ));
                    }
                    if version == Version::V3_1_1 {
                        break;
                    }
                }
                Answer::Silent => silent = true,
                Answer::Unknown(bytes) => return Err(self.unknown_protocol(&bytes)),
            }
        }
        // A server that has just been started may not be ready for the first CONNECT.
        if !versions.is_empty()
            && (closed || silent)
            && !versions.contains(&Version::V5)
            && let Answer::Accepted(client) = self.answer(Version::V5, self.patience).await?
        {
            versions.push(Version::V5);
            clients.insert(0, *client);
        }
        let Some(client) = clients.first_mut() else {
            return Err(self.no_version_accepted(refused, closed, silent));
        };
        let round_trip = client.round_trip().await.unwrap_or(Duration::from_millis(100));
        let mut capabilities = Vec::new();
        let version_texts: Vec<String> = versions.iter().map(ToString::to_string).collect();
        capabilities.push(("versions".to_owned(), version_texts.join(" ")));
        let version = client.version();
        if version.is_5() {
            capabilities.extend(announced(client.connack()));
        }
        // One after the other they would take many round trips.
        // (Boxed, for all of them together are too large for the stack of a thread.)
        let ((), assigns, anonymous, keep_alive_0, subscribing) = tokio::join!(
            Box::pin(self.probe_requests(client, &mut capabilities)),
            Box::pin(self.assigns_client_id(version)),
            Box::pin(self.accepts_anonymous(version)),
            Box::pin(self.accepts_keep_alive_0(version)),
            Box::pin(self.subscription_delay(version)),
        );
        capabilities.push(("assigned_client_id".to_owned(), u8::from(assigns).to_string()));
        capabilities.push(("allow_anonymous".to_owned(), u8::from(anonymous).to_string()));
        if !keep_alive_0 {
            capabilities.push((KEEP_ALIVE_0.to_owned(), "0".to_owned()));
        }
        capabilities.push(("subscriptions_in_force".to_owned(), subscription_delay_text(subscribing)));
        let subscribing = subscribing * DELAY_FACTOR;
        for mut client in clients {
            // The connection ends whether this is sent or not.
            let _ = client.send(Packet::Disconnect(mqttspec_codec::Disconnect::normal())).await;
        }
        Ok(Capabilities { versions, round_trip, subscribing, values: capabilities })
    }

    /// The subscription delay: how long after its SUBACK a Subscription is not yet in force for
    /// messages of another connection. A server of several nodes may send the SUBACK before all
    /// nodes know the Subscription, and the standard gives no limit. Returns the longest of several
    /// measurements.
    async fn subscription_delay(&self, version: Version) -> Duration {
        let measure = |number: u32| {
            Box::pin(async move {
                // Every measurement opens new connections, which may lead to other nodes.
                let reader = format!("{}probef{number}", self.token);
                let writer = format!("{}probeg{number}", self.token);
                self.measure_subscription_delay(version, &reader, &writer).await.unwrap_or_default()
            })
        };
        // One after the other they would take many round trips.
        let measured = tokio::join!(measure(1), measure(2), measure(3), measure(4), measure(5));
        <[Duration; 5]>::from(measured).into_iter().max().unwrap_or_default()
    }

    async fn measure_subscription_delay(
        &self,
        version: Version,
        reader: &str,
        writer: &str,
    ) -> Option<Duration> {
        let topic = TopicName::try_from(reader).ok()?;
        let (reader, writer) = tokio::join!(
            Box::pin(self.connect_client(version, reader, ANSWER_TIMEOUT)),
            Box::pin(self.connect_client(version, writer, ANSWER_TIMEOUT)),
        );
        let (mut reader, mut writer) = (reader?, writer?);
        reader.send(subscribe(topic.as_str())?.into()).await?;
        reader.await_packet(|packet| matches!(packet, Packet::SubAck(_))).await?;
        let acknowledged = Instant::now();
        let mut sent = Vec::new();
        while acknowledged.elapsed() < ANSWER_TIMEOUT {
            // The payload is the number of the message. The first message that arrives is the first
            // that was published after the Subscription was in force.
            let number = sent.len();
            sent.push(acknowledged.elapsed());
            writer.send(Publish::new(topic.clone(), number.to_string()).into()).await?;
            if let Ok(packet) = timeout(PUBLISH_INTERVAL, reader.receive()).await
                && let Packet::Publish(publish) = packet?
            {
                let number: usize = std::str::from_utf8(&publish.payload).ok()?.parse().ok()?;
                return if number == 0 { Some(Duration::ZERO) } else { sent.get(number).copied() };
            }
        }
        None
    }

    /// Whether the server still answers a CONNECT.
    pub(crate) async fn is_alive(&self, version: Version, within: Duration) -> bool {
        matches!(self.answer(version, within).await, Ok(Answer::Accepted(_) | Answer::Refused(_)))
    }

    /// Connects with this Client Identifier and Clean Start; `None` if the server does not accept.
    pub(crate) async fn connect_client(
        &self,
        version: Version,
        client_id: &str,
        within: Duration,
    ) -> Option<ProbeClient<N::Stream>> {
        let keep_alive = self.connect_packet(version, client_id).keep_alive;
        self.connect_with_keep_alive(version, client_id, keep_alive, within).await
    }

    /// The same with this Keep Alive.
    pub(crate) async fn connect_with_keep_alive(
        &self,
        version: Version,
        client_id: &str,
        keep_alive: u16,
        within: Duration,
    ) -> Option<ProbeClient<N::Stream>> {
        let connect = Connect { keep_alive, ..self.connect_packet(version, client_id) };
        match self.answer_to(connect, version, within).await {
            Ok(Answer::Accepted(client)) => Some(*client),
            _ => None,
        }
    }

    async fn answer(&self, version: Version, within: Duration) -> Result<Answer<N::Stream>, ContactError> {
        let id = format!("{}probe{}", self.token, version.level());
        self.answer_to(self.connect_packet(version, &id), version, within).await
    }

    fn connect_packet(&self, version: Version, client_id: &str) -> Connect {
        let mut connect = Connect::new(version, Utf8String::try_from(client_id).unwrap_or_default());
        connect.clean_start = true;
        if let Some(credentials) = &self.credentials {
            connect.user_name = Utf8String::try_from(credentials.user_name.as_str()).ok();
            let password = credentials.password.clone();
            connect.password = password.and_then(|password| BinaryData::try_from(password).ok());
        }
        connect
    }

    async fn answer_to(
        &self,
        connect: Connect,
        version: Version,
        within: Duration,
    ) -> Result<Answer<N::Stream>, ContactError> {
        let connecting = self.endpoint.net.connect(&self.endpoint.host, self.endpoint.port);
        let stream = match timeout(within, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.connect_failed(error)),
            Err(_) if self.encrypted || self.websocket => {
                return Err(
                    self.connect_failed(io::Error::new(io::ErrorKind::InvalidData, "it does not answer"))
                );
            }
            Err(_) => {
                return Err(ContactError::Unreachable {
                    url: self.url.clone(),
                    source: io::ErrorKind::TimedOut.into(),
                });
            }
        };
        let mut framed = Framed::dialled(stream, version);
        framed.inflow_mut().decoder_mut().set_maximum_packet_size(MAXIMUM_PACKET_SIZE);
        if framed.send(&connect.into(), version).await.is_err() {
            return Ok(Answer::Closed);
        }
        Ok(match timeout(within, framed.receive()).await {
            Err(_) => Answer::Silent,
            Ok(Received::Arrived(Arrived::Packet { packet: Packet::ConnAck(connack), .. })) => {
                if connack.reason == ConnectReason::Success {
                    Answer::Accepted(Box::new(ProbeClient::new(framed, version, connack)))
                } else {
                    Answer::Refused(connack.reason)
                }
            }
            Ok(Received::Arrived(Arrived::Packet { bytes, .. } | Arrived::Malformed { bytes, .. })) => {
                // A CONNACK that is malformed in this version, or another protocol.
                if bytes.first() == Some(&0x20) { Answer::Closed } else { Answer::Unknown(bytes.to_vec()) }
            }
            Ok(Received::Ended(_)) => Answer::Closed,
        })
    }

    fn connect_failed(&self, source: io::Error) -> ContactError {
        let url = self.url.clone();
        let remedy = match source.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound | io::ErrorKind::TimedOut => {
                return ContactError::Unreachable { url, source };
            }
            _ if self.encrypted => {
                "is this a TLS port? did an authority in --ca issue the certificate, and does it name the host of the URL?"
            }
            _ if self.websocket => "is this a WebSocket port, and is the path right?",
            _ => return ContactError::Unreachable { url, source },
        };
        let what = if self.encrypted { "TLS" } else { "WebSocket" };
        ContactError::Transport { url, what, source, remedy }
    }

    fn not_mqtt(&self, what: &'static str, remedy: &'static str) -> ContactError {
        ContactError::NotMqtt { url: self.url.clone(), what, remedy }
    }

    fn unknown_protocol(&self, bytes: &[u8]) -> ContactError {
        if bytes.starts_with(b"HTTP/") {
            return self.not_mqtt(
                "an HTTP server",
                "for MQTT over WebSocket, use ws:// or wss:// and the server's path",
            );
        }
        // A TLS alert: content type 21, version 3.x.
        if bytes.starts_with(&[0x15, 0x03]) {
            return self.not_mqtt("a TLS server", "for TLS, use mqtts:// or wss:// with --ca");
        }
        self.not_mqtt("another protocol", "is this the right port?")
    }

    fn no_version_accepted(
        &self,
        refused: Option<ConnectReason>,
        closed: bool,
        silent: bool,
    ) -> ContactError {
        let url = self.url.clone();
        match refused {
            Some(reason) => {
                let remedy = match reason {
                    ConnectReason::BadUserNameOrPassword | ConnectReason::NotAuthorized
                        if self.credentials.is_some() =>
                    {
                        "the user name or password is wrong"
                    }
                    ConnectReason::BadUserNameOrPassword | ConnectReason::NotAuthorized => {
                        "it needs credentials: --user NAME --password-file FILE, or `credentials` in the target file"
                    }
                    _ => "it accepts no version of MQTT that mqttspec supports",
                };
                ContactError::Refused { url, reason, code: u8::from(reason), remedy }
            }
            None if silent && !closed => ContactError::Silent { url, after: self.patience },
            None => ContactError::Closes { url },
        }
    }

    /// Whether a server that does not answer a CONNECT answers an HTTP request.
    async fn speaks_http(&self) -> bool {
        let request = async {
            let mut stream = self.endpoint.net.connect(&self.endpoint.host, self.endpoint.port).await?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
            stream.flush().await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            io::Result::Ok(answer == *b"HTTP/")
        };
        matches!(timeout(Duration::from_secs(1), request).await, Ok(Ok(true)))
    }

    /// Whether a Client without credentials is accepted.
    async fn accepts_anonymous(&self, version: Version) -> bool {
        let mut connect = self.connect_packet(version, &format!("{}probea", self.token));
        (connect.user_name, connect.password) = (None, None);
        matches!(self.answer_to(connect, version, ANSWER_TIMEOUT).await, Ok(Answer::Accepted(_)))
    }

    /// Whether a Client may disable Keep Alive (§3.1.2.10).
    async fn accepts_keep_alive_0(&self, version: Version) -> bool {
        let mut connect = self.connect_packet(version, &format!("{}probek", self.token));
        connect.keep_alive = 0;
        matches!(self.answer_to(connect, version, ANSWER_TIMEOUT).await, Ok(Answer::Accepted(_)))
    }

    /// Whether a Client without a Client Identifier is assigned one.
    async fn assigns_client_id(&self, version: Version) -> bool {
        match self.answer_to(self.connect_packet(version, ""), version, ANSWER_TIMEOUT).await {
            Ok(Answer::Accepted(client)) => {
                !version.is_5() || client.connack().properties.get::<AssignedClientIdentifier>().is_some()
            }
            _ => false,
        }
    }

    /// Finds capabilities by requests. A refused request may end the connection, so each request
    /// has its own.
    async fn probe_requests(
        &self,
        client: &ProbeClient<N::Stream>,
        capabilities: &mut Vec<(String, String)>,
    ) {
        let version = client.version();
        let base = format!("{}probe", self.token);
        // A server may grant a lower QoS than requested without announcing it (§3.8.4 of both
        // versions).
        let granted = self.granted(version, &format!("{base}/q"), 1).await;
        let announced = client.connack().properties.get().map_or(2, |most: MaximumQoS| u8::from(most.qos()));
        set(capabilities, "maximum_qos", &granted.map_or(0, u8::from).min(announced).to_string());
        if version.is_5() {
            return;
        }
        // In 3.1.1 nothing is announced, so the answers count.
        let granted = self.granted(version, &format!("{base}/w/#"), 2).await;
        set(capabilities, "wildcard_subscription_available", flag(granted.is_some()));
        let kept = self.keeps_retained(version, &format!("{base}/r")).await;
        set(capabilities, "retain_available", flag(kept));
    }

    async fn granted(&self, version: Version, filter: &str, which: u16) -> Option<QoS> {
        let id = format!("{}probes{which}", self.token);
        let mut client = self.connect_client(version, &id, ANSWER_TIMEOUT).await?;
        client.send(subscribe(filter)?.into()).await?;
        match client.await_packet(|packet| !matches!(packet, Packet::Publish(_))).await? {
            Packet::SubAck(suback) => {
                let reason: SubAckReason = *suback.reasons.first();
                QoS::try_from(u8::from(reason)).ok()
            }
            _ => None,
        }
    }

    async fn keeps_retained(&self, version: Version, topic: &str) -> bool {
        let tried = async {
            let mut client =
                self.connect_client(version, &format!("{}probesr", self.token), ANSWER_TIMEOUT).await?;
            let topic = TopicName::try_from(topic).ok()?;
            client.send(Publish::new(topic.clone(), "kept").retained().into()).await?;
            client.ping().await?;
            // A server may store and deliver the message after the PINGRESP.
            sleep(GRACE_PERIOD).await;
            client.send(subscribe(topic.as_str())?.into()).await?;
            let until = Instant::now() + GRACE_PERIOD * 3;
            let mut kept = false;
            while !kept && let Ok(packet) = timeout_at(until, client.receive()).await {
                kept = matches!(packet?, Packet::Publish(publish) if publish.retain);
            }
            client.send(Publish::new(topic, "").retained().into()).await?;
            client.ping().await?;
            Some(kept)
        };
        tried.await.unwrap_or(false)
    }
}

fn subscription_delay_text(after: Duration) -> String {
    match after.as_millis() {
        0 => "with SUBACK".to_owned(),
        after => format!("{after} ms after SUBACK; runs wait {} ms", after * u128::from(DELAY_FACTOR)),
    }
}

fn flag(value: bool) -> &'static str {
    if value { "1" } else { "0" }
}

fn set(capabilities: &mut Vec<(String, String)>, name: &str, value: &str) {
    match capabilities.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => value.clone_into(known),
        None => capabilities.push((name.to_owned(), value.to_owned())),
    }
}

fn subscribe(filter: &str) -> Option<Subscribe> {
    let filter = TopicFilter::try_from(filter).ok()?;
    Some(Subscribe::new(PacketIdentifier::MIN, NonEmpty::one(Subscription::new(filter, QoS::ExactlyOnce))))
}

//! First contact with a live server: whether there is one, which versions it speaks, how fast it answers and what it can do.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io;

use bytes::BytesMut;
use mqttspec_codec::{
    AssignedClientIdentifier, BinaryData, ConnAck, Connect, ConnectReason, MaximumPacketSize, MaximumQoS,
    NonEmpty, Packet, PacketIdentifier, Publish, QoS, ReceiveMaximum, RetainAvailable, ServerKeepAlive,
    SessionExpiryInterval, SharedSubscriptionAvailable, SubAckReason, Subscribe, Subscription,
    SubscriptionIdentifierAvailable, TopicAliasMaximum, TopicFilter, TopicName, Utf8String, Version,
    WildcardSubscriptionAvailable,
};
use mqttspec_net::framed::{Arrived, Framed, Received};
use mqttspec_net::transport::LiveStream;
use mqttspec_ports::Net as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::names::Credentials;
use super::wire::Reach;

/// How long a server may take to answer a CONNECT before it counts as one that never does.
pub(crate) const TIME_TO_ANSWER: Duration = Duration::from_secs(5);

/// What is said of a server that refuses a CONNECT with Keep Alive 0.
pub(crate) const KEEP_ALIVE_0: &str = "keep_alive_0";

/// How long a server may take for what it need not do before it answers.
const A_MOMENT: Duration = Duration::from_millis(200);

/// How often is tried how soon a Subscription is in force.
const TRIES: u32 = 5;

/// How long is waited for a message before the next one is sent.
const BETWEEN_FENCES: Duration = Duration::from_millis(20);

/// So many times as long as it took at most is waited behind each SUBACK.
const SETTLING: u32 = 3;

/// Why a live server cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum ContactError {
    /// No connection.
    #[error("nobody listens at {url}: {source}\n  is the server started, and is this its port?")]
    Nobody {
        /// The target.
        url: String,
        /// What the system says.
        source: io::Error,
    },
    /// The TCP port answers, and TLS or WebSocket on it does not.
    #[error("{url}: the port answers, but not as {what}: {source}\n  {remedy}")]
    Transport {
        /// The target.
        url: String,
        /// The transport.
        what: &'static str,
        /// What went wrong.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// Something that is no MQTT.
    #[error("{url}: {what} answers there, not an MQTT server\n  {remedy}")]
    Other {
        /// The target.
        url: String,
        /// What seems to answer.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// It takes connections and says nothing.
    #[error("{url}: takes connections and never answers a CONNECT (waited {after:?})")]
    Silent {
        /// The target.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// Every CONNECT is closed without a CONNACK.
    #[error("{url}: closes every connection without a CONNACK, whichever version the CONNECT asks for")]
    Closes {
        /// The target.
        url: String,
    },
    /// Every CONNECT is refused.
    #[error("{url}: refuses the CONNECT with {reason:?} (0x{code:02x})\n  {remedy}")]
    Refused {
        /// The target.
        url: String,
        /// The Reason Code, or the Connect Return code of 3.1.1 with the same meaning.
        reason: ConnectReason,
        /// Its byte.
        code: u8,
        /// What to do.
        remedy: &'static str,
    },
}

/// What is known of a live server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// The versions that it speaks.
    pub(crate) versions: Vec<Version>,
    /// How long a PINGREQ and its PINGRESP take, the longest of some.
    pub(crate) round_trip: Duration,
    /// How long is waited behind a SUBACK until the Subscription is in force.
    pub(crate) subscribing: Duration,
    /// What it can do, by name, in the order in which it is printed.
    pub(crate) announced: Vec<(String, String)>,
}

impl Capabilities {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.announced.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What a target file says overrides it.
    pub(crate) fn overrule(&mut self, known: &BTreeMap<String, String>) {
        for (name, value) in known {
            match self.announced.iter_mut().find(|(known, _)| known == name) {
                Some((_, found)) => found.clone_from(value),
                None => self.announced.push((name.clone(), value.clone())),
            }
        }
    }
}

/// Who probes.
#[derive(Clone, Debug)]
pub(crate) struct Prober {
    pub(crate) reach: Reach,
    pub(crate) url: String,
    pub(crate) encrypted: bool,
    pub(crate) websocket: bool,
    pub(crate) credentials: Option<Credentials>,
    /// Stands before Client Identifiers and topics.
    pub(crate) token: String,
    /// How long an answer to a CONNECT may take.
    pub(crate) patience: Duration,
}

/// What became of one CONNECT.
enum Answer {
    Accepted(Box<Guest>),
    Refused(ConnectReason),
    Closed,
    Silent,
    Strange(Vec<u8>),
}

/// A connection that a probe has.
pub(crate) struct Guest {
    framed: Framed<LiveStream>,
    version: Version,
    connack: ConnAck,
}

impl Prober {
    /// Finds out what answers, and what it can do.
    pub(crate) async fn probe(&self) -> Result<Capabilities, ContactError> {
        let mut versions = Vec::new();
        let mut refused = None;
        let (mut closed, mut silent) = (false, false);
        let mut guests: Vec<Guest> = Vec::new();
        for version in [Version::V5, Version::V3_1_1, Version::V3_1] {
            match self.answer(version, self.patience).await? {
                Answer::Accepted(guest) => {
                    versions.insert(0, version);
                    guests.push(*guest);
                }
                Answer::Refused(reason) => refused = refused.or(Some(reason)),
                Answer::Closed => closed = true,
                Answer::Silent if versions.is_empty() && !closed && refused.is_none() => {
                    silent = true;
                    // Two versions of a server that never answers take as long as one can bear.
                    if self.speaks_http().await {
                        return Err(self.other(
                            "an HTTP server",
                            "MQTT over WebSocket is ws:// or wss://, with the path that the server uses",
                        ));
                    }
                    if version == Version::V3_1_1 {
                        break;
                    }
                }
                Answer::Silent => silent = true,
                Answer::Strange(bytes) => return Err(self.strange(&bytes)),
            }
        }
        let Some(guest) = guests.first_mut() else {
            return Err(self.nothing(refused, closed, silent));
        };
        let round_trip = guest.round_trip().await.unwrap_or(Duration::from_millis(100));
        let mut capabilities = Vec::new();
        let spoken: Vec<String> = versions.iter().map(ToString::to_string).collect();
        capabilities.push(("versions".to_owned(), spoken.join(" ")));
        announced(guest, &mut capabilities);
        self.tried(guest, &mut capabilities).await;
        let assigns = self.assigns(guest.version).await;
        capabilities.push(("assigned_client_id".to_owned(), u8::from(assigns).to_string()));
        let anybody = self.takes_anybody(guest.version).await;
        capabilities.push(("allow_anonymous".to_owned(), u8::from(anybody).to_string()));
        if !self.takes_keep_alive_0(guest.version).await {
            capabilities.push((KEEP_ALIVE_0.to_owned(), "0".to_owned()));
        }
        let subscribing = self.in_force_after(guest.version).await;
        capabilities.push(("subscriptions_in_force".to_owned(), in_force_text(subscribing)));
        let subscribing = subscribing * SETTLING;
        for mut guest in guests {
            // It is over either way.
            let _ = guest.send(Packet::Disconnect(mqttspec_codec::Disconnect::normal())).await;
        }
        Ok(Capabilities { versions, round_trip, subscribing, announced: capabilities })
    }

    /// How long behind its SUBACK a Subscription was in force for a message of another connection, the longest of some tries: a server of
    /// several nodes may answer before all of them know (the standard does not say how soon they must).
    async fn in_force_after(&self, version: Version) -> Duration {
        let mut longest = Duration::ZERO;
        for number in 0..TRIES {
            // Each try has connections of its own, for each may be at another node.
            let reader = format!("{}probef{number}", self.token);
            let writer = format!("{}probeg{number}", self.token);
            let tried = self.tried_fence(version, &reader, &writer).await;
            longest = longest.max(tried.unwrap_or_default());
        }
        longest
    }

    async fn tried_fence(&self, version: Version, reader: &str, writer: &str) -> Option<Duration> {
        let topic = TopicName::try_from(reader).ok()?;
        let mut reader = self.visit(version, reader, TIME_TO_ANSWER).await?;
        let mut writer = self.visit(version, writer, TIME_TO_ANSWER).await?;
        reader.send(subscribe(topic.as_str())?.into()).await?;
        while !matches!(reader.receive().await?, Packet::SubAck(_)) {}
        let acknowledged = Instant::now();
        let mut sent = Vec::new();
        while acknowledged.elapsed() < TIME_TO_ANSWER {
            // The payload says which message it is: the first that comes was the first that met the Subscription.
            let number = sent.len();
            sent.push(acknowledged.elapsed());
            writer.send(Publish::new(topic.clone(), number.to_string()).into()).await?;
            if let Ok(packet) = timeout(BETWEEN_FENCES, reader.receive()).await
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

    /// A connection of a Client with this identifier, with Clean Start.
    pub(crate) async fn visit(&self, version: Version, client_id: &str, within: Duration) -> Option<Guest> {
        match self.answer_to(self.connect(version, client_id), version, within).await {
            Ok(Answer::Accepted(guest)) => Some(*guest),
            _ => None,
        }
    }

    async fn answer(&self, version: Version, within: Duration) -> Result<Answer, ContactError> {
        let id = format!("{}probe{}", self.token, version.level());
        self.answer_to(self.connect(version, &id), version, within).await
    }

    fn connect(&self, version: Version, client_id: &str) -> Connect {
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
    ) -> Result<Answer, ContactError> {
        let connecting = self.reach.net.connect(&self.reach.host, self.reach.port);
        let stream = match timeout(within, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.no_stream(error)),
            Err(_) if self.encrypted || self.websocket => {
                return Err(self.no_stream(io::Error::new(io::ErrorKind::InvalidData, "it does not answer")));
            }
            Err(_) => {
                return Err(ContactError::Nobody {
                    url: self.url.clone(),
                    source: io::ErrorKind::TimedOut.into(),
                });
            }
        };
        let mut framed = Framed::dialled(stream, version);
        if framed.send(&connect.into(), version).await.is_err() {
            return Ok(Answer::Closed);
        }
        Ok(match timeout(within, framed.receive()).await {
            Err(_) => Answer::Silent,
            Ok(Received::Arrived(Arrived::Packet { packet: Packet::ConnAck(connack), .. })) => {
                if connack.reason == ConnectReason::Success {
                    Answer::Accepted(Box::new(Guest { framed, version, connack }))
                } else {
                    Answer::Refused(connack.reason)
                }
            }
            Ok(Received::Arrived(Arrived::Packet { bytes, .. } | Arrived::Malformed { bytes, .. })) => {
                // The CONNACK of another version, or something else altogether.
                if bytes.first() == Some(&0x20) { Answer::Closed } else { Answer::Strange(bytes.to_vec()) }
            }
            Ok(Received::Ended(_)) => Answer::Closed,
        })
    }

    fn no_stream(&self, source: io::Error) -> ContactError {
        let url = self.url.clone();
        let remedy = match source.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound | io::ErrorKind::TimedOut => {
                return ContactError::Nobody { url, source };
            }
            _ if self.encrypted => {
                "does the port speak TLS, and is the certificate's authority the one in --ca, its name the one in the URL?"
            }
            _ if self.websocket => "is it a WebSocket port, and is the path right?",
            _ => return ContactError::Nobody { url, source },
        };
        let what = if self.encrypted { "TLS" } else { "WebSocket" };
        ContactError::Transport { url, what, source, remedy }
    }

    fn other(&self, what: &'static str, remedy: &'static str) -> ContactError {
        ContactError::Other { url: self.url.clone(), what, remedy }
    }

    fn strange(&self, bytes: &[u8]) -> ContactError {
        if bytes.starts_with(b"HTTP/") {
            return self.other(
                "an HTTP server",
                "MQTT over WebSocket is ws:// or wss://, with the path that the server uses",
            );
        }
        // A TLS alert: content type 21, version 3.x.
        if bytes.starts_with(&[0x15, 0x03]) {
            return self.other("a server that speaks TLS", "mqtts:// (or wss://) with --ca speaks TLS");
        }
        self.other("something that speaks another protocol", "is this the right port?")
    }

    fn nothing(&self, refused: Option<ConnectReason>, closed: bool, silent: bool) -> ContactError {
        let url = self.url.clone();
        match refused {
            Some(reason) => {
                let remedy = match reason {
                    ConnectReason::BadUserNameOrPassword | ConnectReason::NotAuthorized
                        if self.credentials.is_some() =>
                    {
                        "the user name and password are not right for this server"
                    }
                    ConnectReason::BadUserNameOrPassword | ConnectReason::NotAuthorized => {
                        "it wants credentials: --user NAME --password-file FILE, or `credentials` in the target file"
                    }
                    _ => "no version of MQTT that mqttspec speaks is accepted",
                };
                ContactError::Refused { url, reason, code: u8::from(reason), remedy }
            }
            None if silent && !closed => ContactError::Silent { url, after: self.patience },
            None => ContactError::Closes { url },
        }
    }

    /// Whether a server that says nothing to a CONNECT answers a request of HTTP.
    async fn speaks_http(&self) -> bool {
        let ask = async {
            let mut stream = self.reach.net.connect(&self.reach.host, self.reach.port).await?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
            stream.flush().await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            io::Result::Ok(answer == *b"HTTP/")
        };
        matches!(timeout(Duration::from_secs(1), ask).await, Ok(Ok(true)))
    }

    /// Whether a Client without credentials is accepted.
    async fn takes_anybody(&self, version: Version) -> bool {
        let mut connect = self.connect(version, &format!("{}probea", self.token));
        (connect.user_name, connect.password) = (None, None);
        matches!(self.answer_to(connect, version, TIME_TO_ANSWER).await, Ok(Answer::Accepted(_)))
    }

    /// Whether a Client may turn Keep Alive off (§3.1.2.10).
    async fn takes_keep_alive_0(&self, version: Version) -> bool {
        let mut connect = self.connect(version, &format!("{}probek", self.token));
        connect.keep_alive = 0;
        matches!(self.answer_to(connect, version, TIME_TO_ANSWER).await, Ok(Answer::Accepted(_)))
    }

    /// Whether a Client without an identifier gets one.
    async fn assigns(&self, version: Version) -> bool {
        match self.answer_to(self.connect(version, ""), version, TIME_TO_ANSWER).await {
            Ok(Answer::Accepted(guest)) => {
                !version.is_5() || guest.connack.properties.get::<AssignedClientIdentifier>().is_some()
            }
            _ => false,
        }
    }

    /// What the answers to requests show. Requests that are refused may end the connection: each has one of its own.
    async fn tried(&self, guest: &Guest, capabilities: &mut Vec<(String, String)>) {
        let version = guest.version;
        let base = format!("{}probe", self.token);
        // A server may grant less than it was asked for, and need not announce that (MQTT 5.0 and 3.1.1 §3.8.4).
        let granted = self.granted(version, &format!("{base}/q"), 1).await;
        let announced = guest.connack.properties.get().map_or(2, |most: MaximumQoS| u8::from(most.qos()));
        set(capabilities, "maximum_qos", &granted.map_or(0, u8::from).min(announced).to_string());
        if version.is_5() {
            return;
        }
        // Where nothing is announced, what was tried counts.
        let granted = self.granted(version, &format!("{base}/w/#"), 2).await;
        set(capabilities, "wildcard_subscription_available", flag(granted.is_some()));
        let kept = self.keeps_retained(version, &format!("{base}/r")).await;
        set(capabilities, "retain_available", flag(kept));
    }

    async fn granted(&self, version: Version, filter: &str, which: u16) -> Option<QoS> {
        let id = format!("{}probes{which}", self.token);
        let mut guest = self.visit(version, &id, TIME_TO_ANSWER).await?;
        guest.send(subscribe(filter)?.into()).await?;
        loop {
            match guest.receive().await? {
                Packet::SubAck(suback) => {
                    let reason: SubAckReason = *suback.reasons.first();
                    return QoS::try_from(u8::from(reason)).ok();
                }
                Packet::Publish(_) => {}
                _ => return None,
            }
        }
    }

    async fn keeps_retained(&self, version: Version, topic: &str) -> bool {
        let tried = async {
            let mut guest = self.visit(version, &format!("{}probesr", self.token), TIME_TO_ANSWER).await?;
            let topic = TopicName::try_from(topic).ok()?;
            guest.send(Publish::new(topic.clone(), "kept").retained().into()).await?;
            guest.send(Packet::PingReq).await?;
            while guest.receive().await? != Packet::PingResp {}
            // A server may keep it a moment later, and send it a moment later.
            sleep(A_MOMENT).await;
            guest.send(subscribe(topic.as_str())?.into()).await?;
            let until = Instant::now() + A_MOMENT * 3;
            let mut kept = false;
            while !kept && let Ok(packet) = timeout_at(until, guest.receive()).await {
                kept = matches!(packet?, Packet::Publish(publish) if publish.retain);
            }
            guest.send(Publish::new(topic, "").retained().into()).await?;
            guest.send(Packet::PingReq).await?;
            while guest.receive().await? != Packet::PingResp {}
            Some(kept)
        };
        tried.await.unwrap_or(false)
    }
}

fn in_force_text(after: Duration) -> String {
    match after.as_millis() {
        0 => "with SUBACK".to_owned(),
        after => format!("{after} ms after SUBACK; {} ms are waited", after * u128::from(SETTLING)),
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

/// What a CONNACK says, with the defaults of MQTT 5.0 §3.2.2.3 where it says nothing.
fn announced(guest: &Guest, into: &mut Vec<(String, String)>) {
    if !guest.version.is_5() {
        return;
    }
    let properties = &guest.connack.properties;
    let mut say = |name: &str, value: String| into.push((name.to_owned(), value));
    say("maximum_qos", properties.get().map_or(2, |most: MaximumQoS| u8::from(most.qos())).to_string());
    say("retain_available", u8::from(properties.get().is_none_or(|RetainAvailable(is)| is)).to_string());
    say(
        "wildcard_subscription_available",
        u8::from(properties.get().is_none_or(|WildcardSubscriptionAvailable(is)| is)).to_string(),
    );
    say(
        "subscription_identifier_available",
        u8::from(properties.get().is_none_or(|SubscriptionIdentifierAvailable(is)| is)).to_string(),
    );
    say(
        "shared_subscription_available",
        u8::from(properties.get().is_none_or(|SharedSubscriptionAvailable(is)| is)).to_string(),
    );
    say("topic_alias_maximum", properties.get().map_or(0, |TopicAliasMaximum(most)| most).to_string());
    say("receive_maximum", properties.get().map_or(65_535, |ReceiveMaximum(most)| most.get()).to_string());
    if let Some(MaximumPacketSize(most)) = properties.get() {
        say("maximum_packet_size", most.to_string());
    }
    if let Some(ServerKeepAlive(seconds)) = properties.get() {
        say("server_keep_alive", seconds.to_string());
    }
    if let Some(SessionExpiryInterval(seconds)) = properties.get() {
        say("session_expiry", seconds.to_string());
    }
}

impl Guest {
    pub(crate) async fn send(&mut self, packet: Packet) -> Option<()> {
        let mut bytes = BytesMut::new();
        packet.encode(self.version, &mut bytes).ok()?;
        self.framed.send_bytes(&bytes).await.ok()
    }

    /// The next packet; none when the connection ends, or nothing comes.
    pub(crate) async fn receive(&mut self) -> Option<Packet> {
        match timeout(TIME_TO_ANSWER, self.framed.receive()).await {
            Ok(Received::Arrived(Arrived::Packet { packet, .. })) => Some(packet),
            _ => None,
        }
    }

    async fn round_trip(&mut self) -> Option<Duration> {
        let mut longest = Duration::ZERO;
        for _ in 0..5 {
            let begun = Instant::now();
            self.send(Packet::PingReq).await?;
            while self.receive().await? != Packet::PingResp {}
            longest = longest.max(begun.elapsed());
        }
        Some(longest)
    }
}

//! The adapter protocol: one JSON object per line on the standard streams of a process that drives
//! a client library. `targets/clients/README.md` documents it,
//! `targets/clients/adapter.schema.json` is its schema.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::properties::PacketProperties;

/// The version of the protocol.
pub(crate) const PROTOCOL: u32 = 1;

/// A word of `supports`: the library connects again by itself after a loss.
pub(crate) const RECONNECT: &str = "reconnect";

/// A word of `supports`: the library keeps its Session in `state_dir`, over the end of its process.
pub(crate) const DISK: &str = "disk";

/// A word of `silent`: the library does not report the acknowledgements of messages.
pub(crate) const PUBLISHED: &str = "published";

/// A line to the adapter. Each has a reply with its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) id: u64,
    #[serde(flatten)]
    pub(crate) command: Command,
}

/// A command to the adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    Hello {
        protocol: u32,
    },
    New(New),
    Connect(Connect),
    Publish(Publish),
    Subscribe {
        subscriptions: Vec<Subscription>,
        #[serde(default, skip_serializing_if = "PacketProperties::is_empty")]
        properties: PacketProperties,
    },
    Unsubscribe {
        filters: Vec<String>,
        #[serde(default, skip_serializing_if = "PacketProperties::is_empty")]
        properties: PacketProperties,
    },
    Reauthenticate {},
    Acknowledge {
        message: u64,
        reason: u8,
    },
    Disconnect(Disconnect),
    Drop {},
}

impl Command {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::New(_) => "new",
            Self::Connect(_) => "connect",
            Self::Publish(_) => "publish",
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Reauthenticate {} => "reauthenticate",
            Self::Acknowledge { .. } => "acknowledge",
            Self::Disconnect(_) => "disconnect",
            Self::Drop {} => "drop",
        }
    }
}

/// The address of the server, and the options of the client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct New {
    pub(crate) version: String,
    pub(crate) address: String,
    pub(crate) port: u16,
    /// Options of the client besides the fields of CONNECT, such as `acknowledgement`.
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) state_dir: String,
}

/// The fields of CONNECT. What is absent is the default of the standard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connect {
    /// The Client Identifier.
    pub client_id: String,
    /// Clean Start; Clean Session before 5.0.
    pub clean_start: bool,
    /// Keep Alive, in seconds.
    pub keep_alive: u16,
    /// Session Expiry Interval, in seconds (5.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_expiry: Option<u32>,
    /// The Will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub will: Option<Will>,
    /// The other fields, by name, as text; of the password the UTF-8 form.
    #[serde(flatten)]
    pub others: BTreeMap<String, String>,
}

/// A Will.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Will {
    /// The Will Topic.
    pub topic: String,
    /// The Will Payload; Base64 in a line.
    #[serde(with = "base64_text")]
    pub payload: Vec<u8>,
    /// The Will QoS.
    pub qos: u8,
    /// Will Retain.
    pub retain: bool,
    /// The other fields, by name, as text.
    #[serde(flatten)]
    pub others: BTreeMap<String, String>,
}

/// A message to publish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publish {
    /// The Topic Name.
    pub topic: String,
    /// The Payload; Base64 in a line.
    #[serde(with = "base64_text")]
    pub payload: Vec<u8>,
    /// The QoS.
    pub qos: u8,
    /// Whether the Server must keep it as the retained message.
    pub retain: bool,
    /// Its properties (5.0).
    #[serde(default, skip_serializing_if = "PacketProperties::is_empty")]
    pub properties: PacketProperties,
}

/// A Topic Filter with its Subscription Options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// The Topic Filter.
    pub filter: String,
    /// The maximum QoS.
    pub qos: u8,
    /// No Local (5.0).
    #[serde(default)]
    pub no_local: bool,
    /// Retain As Published (5.0).
    #[serde(default)]
    pub retain_as_published: bool,
    /// Retain Handling (5.0).
    #[serde(default)]
    pub retain_handling: u8,
}

/// The fields of DISCONNECT.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Disconnect {
    /// The Reason Code (5.0).
    #[serde(default)]
    pub reason: u8,
    /// Session Expiry Interval, in seconds (5.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_expiry: Option<u32>,
}

/// A line from the adapter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    Reply { id: u64, reply: Reply },
    Event(Event),
}

impl Line {
    /// Parses a line.
    pub(crate) fn parse(line: &str) -> serde_json::Result<Self> {
        let value: serde_json::Value = serde_json::from_str(line)?;
        if value.get("event").is_some() {
            let mut event = serde_json::from_value(value)?;
            if let Event::Disconnected(trouble) | Event::Failed { trouble, .. } = &mut event {
                trouble.text = shortened(&trouble.text);
            }
            return Ok(Self::Event(event));
        }
        let Answer { id, reply } = serde_json::from_value(value)?;
        let reply = match reply {
            Reply::Ok(value) => Reply::Ok(value),
            Reply::Unsupported(reason) => Reply::Unsupported(shortened(&reason)),
            Reply::Error(reason) => Reply::Error(shortened(&reason)),
        };
        Ok(Self::Reply { id, reply })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) id: u64,
    #[serde(flatten)]
    pub(crate) reply: Reply,
}

/// The reply to a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// The client has accepted the command. The object is empty, except for `hello`.
    Ok(serde_json::Value),
    /// The library cannot do this.
    Unsupported(String),
    /// The library refuses the command.
    Error(String),
}

/// The answer to `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) name: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) language: String,
    pub(crate) versions: Vec<String>,
    #[serde(default)]
    pub(crate) supports: Vec<String>,
    /// The events that the library never reports to its application.
    #[serde(default)]
    pub(crate) silent: Vec<String>,
}

impl Hello {
    pub(crate) fn supports(&self, word: &str) -> bool {
        self.supports.iter().any(|other| other == word)
    }

    /// The same with short texts, for reports.
    pub(crate) fn shortened(self) -> Self {
        const WORDS: usize = 40;
        let words = |words: Vec<String>| words.iter().take(WORDS).map(|word| shortened(word)).collect();
        Self {
            name: shortened(&self.name),
            version: shortened(&self.version),
            language: shortened(&self.language),
            versions: words(self.versions),
            supports: words(self.supports),
            silent: words(self.silent),
        }
    }
}

/// The start of a text of an adapter, without control characters: it goes into reports and onto
/// terminals.
pub(crate) fn shortened(line: &str) -> String {
    const LONGEST: usize = 500;
    let mut text = String::new();
    for character in line.chars().take(LONGEST) {
        match character {
            '\t' => text.push(character),
            _ if character.is_control() => text.extend(character.escape_default()),
            _ => text.push(character),
        }
    }
    let length = line.chars().count();
    if length > LONGEST {
        text.push_str(&format!("… ({length} characters)"));
    }
    text
}

/// An event that the client reports to its application. `id` is the command that ends with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The Server has accepted CONNECT, also after the client connected again.
    Connected {
        /// Whether the Server has a Session of the client.
        #[serde(default)]
        session_present: bool,
    },
    /// The Network Connection has ended.
    Disconnected(Trouble),
    /// A command failed; without `id`, the client makes no more attempts to connect.
    Failed {
        /// The command.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// Why.
        #[serde(flatten)]
        trouble: Trouble,
    },
    /// A message arrived.
    Received {
        /// A number for `acknowledge`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<u64>,
        /// The Topic Name.
        topic: String,
        /// The Payload; Base64 in a line.
        #[serde(with = "base64_text")]
        payload: Vec<u8>,
        /// The QoS.
        qos: u8,
        /// The RETAIN flag.
        #[serde(default)]
        retain: bool,
        /// The DUP flag.
        #[serde(default)]
        dup: bool,
        /// Its properties (5.0); `None` if the client does not report them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        properties: Option<PacketProperties>,
    },
    /// A message is published: with QoS 0 it was sent, otherwise it was acknowledged.
    Published {
        /// The command.
        id: u64,
        /// The Reason Code.
        #[serde(default)]
        reason: u8,
    },
    /// SUBACK arrived.
    Subscribed {
        /// The command.
        id: u64,
        /// The Reason Code of each Topic Filter.
        reasons: Vec<u8>,
    },
    /// UNSUBACK arrived.
    Unsubscribed {
        /// The command.
        id: u64,
    },
    /// A message was acknowledged.
    Acknowledged {
        /// The command.
        id: u64,
    },
    /// The Server has accepted the re-authentication.
    Reauthenticated {
        /// The command.
        id: u64,
    },
}

/// Why something failed, as far as the library says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// `network`, `authentication`, `timeout`, `protocol` or `application`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The Reason Code of the Server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<u8>,
    /// What the library says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// Bytes that are Base64 in a line.
mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD
            .decode(&text)
            .map_err(|error| D::Error::custom(format!("the payload is not Base64: {error}")))
    }
}

/// The same, if they are there.
pub(super) mod base64_option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Text(#[serde(with = "super::base64_text")] Vec<u8>);

    pub(crate) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        bytes.clone().map(Text).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Text>::deserialize(from)?.map(|Text(bytes)| bytes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn schema() -> jsonschema::Validator {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../targets/clients/adapter.schema.json");
        let text = std::fs::read_to_string(file).unwrap();
        jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap()
    }

    /// A line of each kind.
    fn requests() -> Vec<Value> {
        [
            json!({"hello": {"protocol": 1}}),
            json!({"new": {"version": "5.0", "address": "127.0.0.1", "port": 4000,
                "options": {"acknowledgement": "manual"}, "state_dir": "/tmp/x"}}),
            json!({"connect": {"client_id": "device", "clean_start": false, "keep_alive": 5,
                "session_expiry": 3600, "receive_maximum": "2", "will":
                {"topic": "t", "payload": "eA==", "qos": 1, "retain": true, "delay": "5"}}}),
            json!({"publish": {"topic": "t", "payload": "eA==", "qos": 2, "retain": false}}),
            json!({"subscribe": {"subscriptions": [{"filter": "a/b", "qos": 1, "no_local": false,
                "retain_as_published": false, "retain_handling": 0}]}}),
            json!({"publish": {"topic": "t", "payload": "eA==", "qos": 0, "retain": false, "properties":
                {"payload_format": 1, "message_expiry": 60, "content_type": "text/plain",
                "response_topic": "r", "correlation_data": "AP8=",
                "user_property": [["k", "v 1"], ["k", "v 2"]]}}}),
            json!({"subscribe": {"subscriptions": [{"filter": "a/b", "qos": 1, "no_local": false,
                "retain_as_published": false, "retain_handling": 0}],
                "properties": {"subscription_identifier": [3]}}}),
            json!({"unsubscribe": {"filters": ["a/b"]}}),
            json!({"reauthenticate": {}}),
            json!({"acknowledge": {"message": 7, "reason": 0}}),
            json!({"disconnect": {"reason": 4, "session_expiry": 0}}),
            json!({"drop": {}}),
        ]
        .into_iter()
        .map(|mut line| {
            line["id"] = json!(7);
            line
        })
        .collect()
    }

    #[test]
    fn every_command_reads_back_and_fits_the_schema() {
        let schema = schema();
        for line in requests() {
            let request: Request = serde_json::from_value(line.clone()).unwrap();
            assert_eq!(json!(request), line);
            assert!(schema.is_valid(&line), "{line}");
        }
    }

    #[test]
    fn every_event_and_reply_reads_back_and_fits_the_schema() {
        let schema = schema();
        let trouble =
            || Trouble { error: Some("network".to_owned()), reason: Some(135), text: "x".to_owned() };
        let events = [
            Event::Connected { session_present: true },
            Event::Disconnected(trouble()),
            Event::Disconnected(Trouble::default()),
            Event::Failed { id: Some(7), trouble: trouble() },
            Event::Failed { id: None, trouble: trouble() },
            Event::Received {
                message: Some(2),
                topic: "t".to_owned(),
                payload: b"x".to_vec(),
                qos: 1,
                retain: true,
                dup: false,
                properties: None,
            },
            Event::Received {
                message: None,
                topic: "t".to_owned(),
                payload: b"x".to_vec(),
                qos: 0,
                retain: false,
                dup: false,
                properties: Some(PacketProperties {
                    content_type: Some("text/plain".to_owned()),
                    subscription_identifier: vec![3, 7],
                    ..PacketProperties::default()
                }),
            },
            Event::Published { id: 7, reason: 16 },
            Event::Subscribed { id: 7, reasons: vec![1, 128] },
            Event::Unsubscribed { id: 7 },
            Event::Acknowledged { id: 7 },
            Event::Reauthenticated { id: 7 },
        ];
        for event in events {
            let line = json!(event);
            assert!(schema.is_valid(&line), "{line}");
            assert_eq!(Line::parse(&line.to_string()).unwrap(), Line::Event(event));
        }
        let replies = [
            Reply::Ok(json!({})),
            Reply::Unsupported("no Will".to_owned()),
            Reply::Error("not connected".to_owned()),
        ];
        for reply in replies {
            let line = json!(Answer { id: 7, reply: reply.clone() });
            assert!(schema.is_valid(&line), "{line}");
            assert_eq!(Line::parse(&line.to_string()).unwrap(), Line::Reply { id: 7, reply });
        }
    }

    #[test]
    fn other_lines_are_errors_and_do_not_fit_the_schema() {
        let schema = schema();
        for line in ["hello", "{}", r#"{"id":1}"#, r#"{"event":"arrived"}"#, r#"{"event":"published"}"#] {
            assert!(Line::parse(line).is_err(), "{line}");
            let fits = serde_json::from_str(line).is_ok_and(|line: Value| schema.is_valid(&line));
            assert!(!fits, "{line}");
        }
    }
}

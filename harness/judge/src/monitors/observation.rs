//! Events as monitors receive them, with the Session that the Network Connection resumes.
//!
//! MQTT 5.0 §3.1.2.4 (Clean Start), §3.2.2.1.1 (Session Present), §4.1 (Session State); 3.1.1
//! §3.1.2.4, §3.2.2.2. MQTT 3.1 has no Session Present, so it is not certain whether a connection
//! without Clean Session resumes one.

use std::collections::BTreeMap;

use mqttspec_codec::{DecodeError, Packet, Role, Version};

use super::Monitor;
use crate::finding::{Check, Finding};
use crate::history::{ConnectionKey, Event, History, HostInfo, What, nanoseconds};
use crate::per_connection::PerConnection;
use mqttspec_spec::{Level, Requirement};

/// An event of a connection, as a monitor receives it.
pub(super) struct Observation<'a> {
    history: &'a History,
    /// The event, by its index in the history.
    index: usize,
    event: &'a Event,
    /// The name of the client's host; empty if there is only one host.
    host: &'a str,
    /// The connection.
    pub(super) connection: ConnectionKey,
    /// Its version.
    pub(super) version: Version,
    /// The role that is judged.
    pub(super) peer: Role,
    /// The size of the packet in bytes.
    pub(super) size: usize,
    /// What happened.
    pub(super) seen: Seen<'a>,
}

impl<'a> Observation<'a> {
    /// The events before this one; none in live traffic.
    pub(super) fn before(&self) -> &'a [Event] {
        self.history.events().get(..self.index).unwrap_or_default()
    }

    /// The finding that the peer violated a rule with this event. `clauses` are those of the
    /// connection's version; for 3.1, those of 3.1.1.
    pub(super) fn finding(
        &self,
        monitor: &Monitor,
        clauses: &[&str],
        expected: impl Into<String>,
        actual: String,
    ) -> Finding {
        let requirements = Requirement::of_rule(self.version, clauses);
        let actual = match self.host {
            "" => actual,
            host => format!("{actual} on the connection of {host}"),
        };
        Finding {
            check: Check::Monitor(monitor.name.to_owned()),
            level: Level::Must,
            requirements,
            expected: expected.into(),
            actual,
            nearly: None,
            line: self.event.line,
            at_ns: nanoseconds(self.event.at),
            event: Some(self.index),
            timing_sensitive: true,
        }
    }
}

/// The kinds of events that monitors receive.
pub(super) enum Seen<'a> {
    /// A CONNECT was sent or received. `before` is the last connection of the client, and `resumes`
    /// is it if this one may resume its Session State.
    Connect {
        packet: &'a mqttspec_codec::Connect,
        before: Option<ConnectionKey>,
        resumes: Option<ConnectionKey>,
    },
    /// A successful CONNACK was sent or received. `session` is whether the Session State was
    /// resumed.
    ConnAck { packet: &'a mqttspec_codec::ConnAck, session: SessionKept },
    /// A packet of the peer arrived.
    FromPeer(&'a Packet),
    /// A packet was sent to the peer.
    ToPeer(&'a Packet),
    /// Bytes of the peer arrived that are not a packet.
    Malformed(&'a DecodeError),
    /// A WebSocket frame of text arrived from the peer.
    TextFrame,
}

/// Whether CONNACK resumes the Session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionKept {
    /// Session Present is 1.
    Yes,
    /// Session Present is 0, or Clean Session was asked for.
    No,
    /// The version does not say, or the beginning of the Session was not recorded.
    Unknown,
    /// Session Present is 0. A Client of 3.1.1 may go on with its Session State or discard it:
    /// 3.1.1 §3.2.2.2.
    LeftToTheClient,
}

/// Follows the connections of a history.
#[derive(Default)]
pub(super) struct Connections {
    versions: PerConnection<Version>,
    /// The requests of each connection's CONNECT.
    asked: PerConnection<Asked>,
    /// The last connection of the Session of a Client Identifier.
    sessions: BTreeMap<String, ConnectionKey>,
    /// The last connection of each Client Identifier whose CONNECT has no answer yet. It may have
    /// changed the Session.
    unanswered: BTreeMap<String, ConnectionKey>,
    /// Connections on which the harness sent invalid bytes.
    unjudged: PerConnection<()>,
}

struct Asked {
    client_id: String,
    clean: bool,
    /// Whether the whole history of its Session was recorded.
    known: bool,
    /// Whether a CONNACK came. Another one says nothing of the Session: its recipient closes.
    is_answered: bool,
}

impl Connections {
    /// The event as monitors receive it; `None` if it is not a packet of a judged connection.
    pub(super) fn observe<'a>(
        &mut self,
        history: &'a History,
        index: usize,
        event: &'a Event,
    ) -> Option<Observation<'a>> {
        let connection = event.connection.filter(|connection| connection.number > 0)?;
        if let What::Opened(version) = event.what {
            self.versions.insert(connection, version);
            return None;
        }
        if let What::SentRaw { .. } = event.what {
            self.unjudged.insert(connection, ());
        }
        if self.unjudged.get(connection).is_some() {
            return None;
        }
        let version = *self.versions.get(connection)?;
        let HostInfo { name: host, observer } = history.info(connection.host);
        let peer = observer.peer();
        if let What::Sent { packet: Packet::ConnAck(_), .. }
        | What::Received { packet: Packet::ConnAck(_), .. } = &event.what
            && let Some(asked) = self.asked.get(connection)
            && self.unanswered.get(&asked.client_id) == Some(&connection)
        {
            self.unanswered.remove(&asked.client_id);
        }
        let seen = match &event.what {
            // A second CONNECT on a connection begins nothing: the peer closes.
            What::Sent { packet: Packet::Connect(_), .. } if self.asked.get(connection).is_some() => {
                return None;
            }
            What::Sent { packet: Packet::Connect(packet), .. }
            | What::Received { packet: Packet::Connect(packet), .. } => {
                let client_id = packet.client_id.as_str().to_owned();
                let before = self.sessions.get(&client_id).copied();
                let before = before.filter(|before| !self.unjudged.has_since(*before));
                let resumes = before.filter(|_| !packet.clean_start);
                let unanswered = self.unanswered.insert(client_id.clone(), connection).is_some();
                let known = resumes.is_some() && !unanswered;
                let asked = Asked { client_id, clean: packet.clean_start, known, is_answered: false };
                self.asked.insert(connection, asked);
                Seen::Connect { packet, before, resumes }
            }
            What::Sent { packet: Packet::ConnAck(packet), .. }
            | What::Received { packet: Packet::ConnAck(packet), .. }
                if !packet.reason.is_failure()
                    && self.asked.get(connection).is_none_or(|asked| !asked.is_answered) =>
            {
                let asked = self.asked.get_mut(connection)?;
                asked.is_answered = true;
                if !asked.client_id.is_empty() {
                    self.sessions.insert(asked.client_id.clone(), connection);
                }
                let session = match (packet.session_present, version) {
                    (true, _) if !asked.known => SessionKept::Unknown,
                    (true, _) => SessionKept::Yes,
                    (false, Version::V3_1) if !asked.clean => SessionKept::Unknown,
                    (false, Version::V3_1_1) if !asked.clean && peer == Role::Client => {
                        SessionKept::LeftToTheClient
                    }
                    (false, _) => SessionKept::No,
                };
                Seen::ConnAck { packet, session }
            }
            What::Sent { packet, .. } => Seen::ToPeer(packet),
            What::Received { packet, .. } => Seen::FromPeer(packet),
            What::ReceivedMalformed { error, .. } => Seen::Malformed(error),
            What::ReceivedTextFrame => Seen::TextFrame,
            _ => return None,
        };
        let size = match &event.what {
            What::Sent { bytes, .. } | What::Received { bytes, .. } => bytes.len(),
            _ => 0,
        };
        Some(Observation { history, index, event, host, connection, version, peer, size, seen })
    }

    /// Drops the state of the host's earlier connections.
    pub(super) fn forget_before(&mut self, kept: ConnectionKey) {
        self.versions.forget_before(kept);
        self.asked.forget_before(kept);
        self.unjudged.forget_before(kept);
    }
}

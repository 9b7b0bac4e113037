//! The history of a run: one list of typed events, in the order in which they happened. It is the
//! only input of every check.
//!
//! Packets are recorded at the harness's end of each connection, never at the end of the peer under
//! test. A packet of the peer is recorded when it arrives, and a packet to it when it is sent. So a
//! recorded action of the peer is certain, but a packet that was sent to it *may* not have arrived
//! yet.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use mqttspec_codec::{DecodeError, Packet, QoS, Role, Version};
use mqttspec_notation::{Fault, Field, Framing};
use mqttspec_spec::Level;
use serde::{Deserialize, Serialize};

/// A client's host, by its index in [`History::hosts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostIndex(pub u16);

/// A Network Connection: the client's host, and the number of the connection on it, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionKey {
    /// The client's host.
    pub host: HostIndex,
    /// The number of the connection on that host, from 1, in order of time.
    pub number: u32,
}

/// A host's facts that do not change during a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostInfo {
    /// The name of the client's host: the first word of its transcript lines.
    pub name: Arc<str>,
    /// The end of its connections that records the packets. The other end is judged.
    pub observer: Role,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// The simulated time since the start of the run.
    pub at: Duration,
    /// The Network Connection, with number 0 for an event of the host only. `None` for an event
    /// that concerns no client's host.
    pub connection: Option<ConnectionKey>,
    /// The line of the scenario that sent or expected it, from 1; 0 if there is none.
    pub line: u32,
    /// What happened.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum What {
    /// The Network Connection was opened; packets on it are of this version.
    Opened(Version),
    /// The Network Connection ended.
    Closed(Ending),
    /// The observer sent a packet.
    Sent {
        /// The packet.
        packet: Packet,
        /// Its bytes.
        bytes: Bytes,
    },
    /// The observer sent bytes that are not a packet, or a packet changed on purpose.
    SentRaw {
        /// The line of the scenario, as the transcript shows it.
        text: String,
        /// The bytes.
        bytes: Bytes,
    },
    /// A packet of the peer arrived.
    Received {
        /// The packet.
        packet: Packet,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Bytes of the peer arrived that are not a packet.
    ReceivedMalformed {
        /// Why they cannot be decoded.
        error: DecodeError,
        /// The bytes from the start of the packet, as far as they had arrived.
        bytes: Bytes,
    },
    /// The subprotocols that a Client offered in the opening handshake of a WebSocket.
    HandshakeOffered(Vec<String>),
    /// The subprotocol that a Server selected in that handshake.
    HandshakeSelected(Option<String>),
    /// The observer sends its next packet in such WebSocket frames.
    Framed(Framing),
    /// A WebSocket frame of text arrived from the peer.
    ReceivedTextFrame,
    /// A fault step was executed: it began a fault or, for `heal`, `resume` and `start`, ended one.
    /// A fault profile records the crashes and starts of hosts in the same way.
    Fault(Box<FaultEvent>),
    /// A fault or a fault profile ended by itself.
    FaultOver {
        /// The index of the event with which it began.
        began: usize,
    },
    /// An application gave its client a command.
    Asked(Asked),
    /// A client reported an event to its application.
    Told(Told),
    /// A branch of an `either … or …` block was taken.
    BranchTaken(BranchTaken),
    /// A `sometimes` mark was reached.
    MarkReached(String),
}

/// A fault step and the hosts that it affects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultEvent {
    /// The step.
    pub fault: Fault,
    /// The hosts that it names, or all clients' hosts, in the order of the scenario.
    pub hosts: Vec<String>,
}

/// A branch of an `either … or …` block that was taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BranchTaken {
    /// The line of the file on which the branch begins.
    pub line: u32,
    /// The branch's name, or its number: `1st`.
    pub name: String,
    /// How strongly the standard recommends it.
    pub level: Level,
}

impl What {
    /// A fault step on these hosts.
    #[must_use]
    pub fn fault(fault: Fault, hosts: Vec<String>) -> Self {
        Self::Fault(Box::new(FaultEvent { fault, hosts }))
    }

    /// The bytes on the wire, if there are any.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            What::Sent { bytes, .. }
            | What::SentRaw { bytes, .. }
            | What::Received { bytes, .. }
            | What::ReceivedMalformed { bytes, .. } => Some(bytes),
            _ => None,
        }
    }
}

/// How a Network Connection ended, as the observer saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The peer closed it.
    ByPeer,
    /// The other end, or a fault, reset it.
    Reset,
    /// The observer closed it.
    ByObserver,
    /// It timed out at the observer's end: no data was acknowledged for too long.
    TimedOut,
    /// It could not be opened.
    Refused,
    /// The observer's host crashed.
    Crashed,
}

impl Ending {
    /// The predicate of a sentence about the host.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Ending::ByPeer => "closed",
            Ending::Reset => "closed by a reset",
            Ending::ByObserver => "closes",
            Ending::TimedOut => "gives the connection up after the transport's time-out",
            Ending::Refused => "is refused a connection",
            Ending::Crashed => "lost its connection in a crash",
        }
    }
}

/// An Application Message as an application sends or receives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    /// The Topic Name.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// The QoS with which it was published or delivered.
    pub qos: QoS,
    /// The RETAIN flag.
    pub retain: bool,
}

/// A command of an application to its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To publish a message.
    Publish {
        /// The message.
        message: Message,
        /// Identifies this request in later events of the client.
        handle: u64,
    },
    /// To subscribe.
    Subscribe {
        /// The Topic Filters with the requested QoS.
        filters: Vec<(String, QoS)>,
        /// Identifies this request in later events of the client.
        handle: u64,
    },
    /// To unsubscribe from these Topic Filters.
    Unsubscribe(Vec<String>),
    /// To acknowledge a message, with these fields of the acknowledgement.
    Acknowledge {
        /// The message.
        message: Message,
        /// The fields.
        fields: Vec<Field>,
    },
    /// To publish a request and wait for its response.
    Request {
        /// The message.
        message: Message,
    },
    /// To put a message into the outbox.
    Deliver {
        /// The message.
        message: Message,
    },
    /// To authenticate again.
    Reauthenticate,
    /// To connect, with these fields of CONNECT.
    Connect(Vec<Field>),
    /// To disconnect, with these fields of DISCONNECT.
    Disconnect(Vec<Field>),
}

/// An event that a client reported to its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A message arrived.
    Message {
        /// The message.
        message: Message,
        /// Its properties; `None` if the client does not report any.
        properties: Option<Vec<Field>>,
    },
    /// The response to a request arrived.
    Answered {
        /// The message.
        message: Message,
        /// Its properties.
        properties: Vec<Field>,
    },
    /// The receiver has acknowledged a message of the outbox.
    Delivered {
        /// The message.
        message: Message,
    },
    /// The Server has accepted the re-authentication.
    Reauthenticated,
    /// The acknowledgements of a message are complete; for QoS 0, it was written to the connection.
    Published {
        /// The handle of the request.
        handle: u64,
        /// The message.
        message: Message,
        /// Why the server refused it, if it did.
        refused: Option<ReportedError>,
    },
    /// Subscriptions were granted or refused.
    Subscribed {
        /// The handle of the request.
        handle: u64,
        /// The Topic Filters.
        filters: Vec<String>,
        /// The granted QoS of each; `None` if it was refused.
        granted: Vec<Option<QoS>>,
    },
    /// Subscriptions ended.
    Unsubscribed {
        /// The Topic Filters.
        filters: Vec<String>,
    },
    /// The client accepted the application's acknowledgement of a message.
    Acknowledged {
        /// The message.
        message: Message,
    },
    /// The server has accepted the connection.
    Connected {
        /// Session Present.
        session_present: bool,
    },
    /// The connection ended, at whichever end.
    Disconnected {
        /// The reason, if the application did not ask for it.
        error: Option<ReportedError>,
    },
    /// A request was refused, or the client gave up.
    Failed {
        /// Why.
        error: ReportedError,
    },
}

/// Why a command of an application failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedError {
    /// The kind of error, in the notation's words: `network`, `authentication`, `timeout`,
    /// `protocol`, `application`.
    pub kind: &'static str,
    /// The Reason Code of the server, if there was one.
    pub reason: Option<u8>,
    /// A description.
    pub text: String,
}

/// The history of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    hosts: Vec<HostInfo>,
    events: Vec<Event>,
}

impl History {
    /// An empty history with these hosts.
    #[must_use]
    pub fn new(hosts: Vec<HostInfo>) -> Self {
        Self { hosts, events: Vec::new() }
    }

    /// An empty history in the memory of another one, because the list of events is large.
    #[must_use]
    pub fn in_place_of(mut other: Self, hosts: Vec<HostInfo>) -> Self {
        other.events.clear();
        Self { hosts, events: other.events }
    }

    /// The memory that the list of events takes, in events.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.events.capacity()
    }

    /// The clients' hosts, in the order in which the scenario names them.
    #[must_use]
    pub fn hosts(&self) -> &[HostInfo] {
        &self.hosts
    }

    /// The index of the host with this name.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<HostIndex> {
        let index = self.hosts.iter().position(|host| &*host.name == name)?;
        u16::try_from(index).ok().map(HostIndex)
    }

    /// The facts of a host of this history.
    #[must_use]
    pub fn info(&self, host: HostIndex) -> &HostInfo {
        &self.hosts[usize::from(host.0)]
    }

    /// All events, oldest first.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// A copy of the events before a time, in nanoseconds since the start of the run.
    #[must_use]
    pub fn before(&self, at_ns: u64) -> Self {
        let count = self.events.partition_point(|event| nanoseconds(event.at) < at_ns);
        Self { hosts: self.hosts.clone(), events: self.events[..count].to_vec() }
    }

    /// The fault that begins with the event at this index; `None` for any other event.
    #[must_use]
    pub fn fault(&self, index: usize) -> Option<&FaultEvent> {
        match &self.events.get(index)?.what {
            What::Fault(fault) => Some(fault),
            _ => None,
        }
    }

    /// Adds an event. Time must not go back.
    pub fn push(&mut self, event: Event) {
        debug_assert!(self.events.last().is_none_or(|last| last.at <= event.at), "time went back");
        if self.events.len() == self.events.capacity() {
            self.grow();
        }
        self.events.push(event);
    }

    /// Makes the list longer, by more than it would be by itself: its events are moved, and memory
    /// that no event uses costs nothing.
    #[cold]
    fn grow(&mut self) {
        self.events.reserve(3 * self.events.len().max(16));
    }

    /// The hash of the whole history.
    #[must_use]
    pub fn hash(&self) -> u128 {
        hash::hash(self)
    }

    /// Sets the line of the scenario that expected a packet, once it is known.
    pub fn set_line(&mut self, index: usize, line: u32) {
        if let Some(event) = self.events.get_mut(index) {
            event.line = line;
        }
    }
}

/// A duration in nanoseconds, as in results.
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod builder;
mod hash;

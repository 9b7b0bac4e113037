//! The history of a run: one list of typed events, in the order in which they happened. Everything that is judged is judged from it.
//!
//! Packets are recorded at the end of the wire that the harness plays or drives, never at the end that is judged: what the peer under
//! test sent counts when it arrives here, and what was sent to it counts when it leaves here. So whatever an event says the peer
//! *may* know, and whatever it says the peer did is certain, however long the wire holds packets back.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use mqttspec_codec::{DecodeError, Packet, QoS, Role, Version};
use mqttspec_notation::{Fault, Field};
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
    /// Counts the connections of that host; they follow one another in time.
    pub number: u32,
}

/// A host's facts that do not change during a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostInfo {
    /// The name of the client's host: the first word of its transcript lines.
    pub name: Arc<str>,
    /// Which end of its connections records the packets. The other end is the one that is judged.
    pub observer: Role,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Simulated time since the start of the run.
    pub at: Duration,
    /// The Network Connection it belongs to; number 0 for what belongs to a host only. `None` for what concerns no client's host.
    pub connection: Option<ConnectionKey>,
    /// The line of the scenario that sent or expected it, from 1; 0 where none did.
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
    /// The observer sent bytes that are no packet, or a packet changed on purpose.
    SentRaw {
        /// As the transcript shows it: the line of the scenario.
        text: String,
        /// The bytes.
        bytes: Bytes,
    },
    /// The peer's packet arrived.
    Received {
        /// The packet.
        packet: Packet,
        /// Its bytes.
        bytes: Bytes,
    },
    /// Bytes of the peer arrived that are no packet.
    ReceivedMalformed {
        /// What is wrong with them.
        error: DecodeError,
        /// The bytes from the start of the packet, as far as they had arrived.
        bytes: Bytes,
    },
    /// A fault step was executed: something began or, by `heal`, `resume` or `start`, ended. A fault profile records what it does to the
    /// power of hosts in the same way.
    Fault(Box<FaultEvent>),
    /// A fault, or the course of a fault profile, ended by itself.
    FaultOver {
        /// The index of the event by which it began.
        began: usize,
    },
    /// An application asked its client for something.
    Asked(Asked),
    /// A client told its application something.
    Told(Told),
    /// A branch of an `either … or …` block was taken.
    BranchTaken(BranchTaken),
    /// A `sometimes` mark was reached.
    MarkReached(String),
}

/// A fault step and the hosts that it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultEvent {
    /// The step.
    pub fault: Fault,
    /// The hosts that it names, or every client's host, in the order of the scenario.
    pub hosts: Vec<String>,
}

/// A branch of an `either … or …` block that was taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BranchTaken {
    /// The line of the file on which the branch begins.
    pub line: u32,
    /// The branch's name, or its place: `1st`.
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

    /// The bytes that were on the wire, if there were.
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
    /// It was reset from the other end, or by a fault.
    Reset,
    /// The observer closed it.
    ByObserver,
    /// The observer gave it up: nothing was acknowledged for too long.
    TimedOut,
    /// It could not be opened.
    Refused,
    /// The observer's host crashed.
    Crashed,
}

impl Ending {
    /// In words, after the host's name.
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

/// An Application Message as an application hands it over or gets it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    /// The Topic Name.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// The QoS with which it was handed over or came.
    pub qos: QoS,
    /// The RETAIN flag.
    pub retain: bool,
}

/// What an application asked its client for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To publish a message.
    Publish {
        /// The message.
        message: Message,
        /// Names this wish in what the client tells later.
        handle: u64,
    },
    /// To subscribe.
    Subscribe {
        /// The Topic Filters with the QoS that is asked for.
        filters: Vec<(String, QoS)>,
        /// Names this wish in what the client tells later.
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
    /// To connect, with these fields of CONNECT.
    Connect(Vec<Field>),
    /// To disconnect, with these fields of DISCONNECT.
    Disconnect(Vec<Field>),
}

/// What a client told its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A message came.
    Message(Message),
    /// The hand-shake of a message is complete; QoS 0: it was written to the connection.
    Published {
        /// The wish.
        handle: u64,
        /// The message.
        message: Message,
        /// Why not, if the server did not take it.
        refused: Option<Trouble>,
    },
    /// Subscriptions were granted or refused.
    Subscribed {
        /// The wish.
        handle: u64,
        /// The Topic Filters.
        filters: Vec<String>,
        /// What was granted for each; `None` where it was refused.
        granted: Vec<Option<QoS>>,
    },
    /// Subscriptions are gone.
    Unsubscribed {
        /// The Topic Filters.
        filters: Vec<String>,
    },
    /// The client has taken the acknowledgement of a message.
    Acknowledged {
        /// The message.
        message: Message,
    },
    /// The server has accepted the connection.
    Connected {
        /// Session Present.
        session_present: bool,
    },
    /// The connection ended, whoever ended it.
    Disconnected {
        /// Why, if the application did not want it.
        error: Option<Trouble>,
    },
    /// What was asked for was refused, or the client gave up.
    Failed {
        /// Why.
        error: Trouble,
    },
}

/// Why a client could not do what its application wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The kind of error, in the notation's words: `network`, `authentication`, `timeout`, `protocol`, `application`.
    pub kind: &'static str,
    /// The Reason Code that the server gave, if it did.
    pub reason: Option<u8>,
    /// In words.
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
        self.events.push(event);
    }

    /// The hash of everything in it.
    #[must_use]
    pub fn hash(&self) -> u128 {
        hash::hash(self)
    }

    /// Says which line of the scenario a packet answered to, once that is known.
    pub fn set_line(&mut self, index: usize, line: u32) {
        if let Some(event) = self.events.get_mut(index) {
            event.line = line;
        }
    }
}

/// A duration in nanoseconds, as results carry it.
#[must_use]
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

mod hash;
#[cfg(test)]
pub(crate) mod tale;

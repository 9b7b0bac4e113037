//! The history of a run: typed events in order, and a hash that identifies the run.

use crate::link::LinkChange;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

/// A host of the world, by its index in the order of declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub(crate) u16);

impl HostId {
    /// The index in the order of declaration, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A connection of the world, numbered from 1 in the order of opening. Numbers are not reused in a
/// run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

impl ConnectionId {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// One event of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Simulated time since the start of the run.
    pub at: Duration,
    /// The host at which it happened; `None` for an event of the whole world.
    pub host: Option<HostId>,
    /// How often that host had been started by then; 0 before its first start.
    pub incarnation: u32,
    /// The connection on which it happened.
    pub connection: Option<ConnectionId>,
    /// The kind of event, with its data.
    pub kind: EventKind,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The host was started.
    HostStarted,
    /// The host lost power: it sends nothing more, and unsynced writes to its disk are lost.
    HostCrashed,
    /// The host's process was killed; its machine closes the sockets and keeps the disk.
    HostKilled,
    /// The host was asked to shut down.
    ShutdownRequested,
    /// The host's main task returned.
    HostEnded {
        /// The error that the main task returned, if any.
        error: Option<Arc<str>>,
    },
    /// The host requested a connection.
    ConnectionOpening {
        /// The destination host; `None` if no host has that address.
        to: Option<HostId>,
        /// The destination port.
        port: u16,
    },
    /// The connection was accepted by this host's machine.
    ConnectionEstablished,
    /// This host's connection request was refused.
    ConnectionRefused,
    /// Bytes arrived at this host.
    Delivered {
        /// The number of bytes.
        bytes: u32,
    },
    /// A segment that this host sent was lost; it will be retried.
    Lost {
        /// The number of payload bytes in it.
        bytes: u32,
        /// How often it has been lost, including this time.
        times: u32,
    },
    /// This host received its peer's FIN: the peer sends no more bytes.
    Finished,
    /// This host's end of the connection was reset.
    Reset,
    /// This host's end timed out, because its peer acknowledged nothing for too long.
    TimedOut,
    /// A link from this host changed.
    LinkChanged {
        /// The destination of the link.
        to: HostId,
        /// The new setting.
        change: LinkChange,
    },
    /// Every link of the world changed.
    EveryLinkChanged {
        /// The new setting.
        change: LinkChange,
    },
    /// From now on the connection silently drops every segment; neither end is notified.
    Blackholed,
    /// The host stopped reading from its connections, or resumed.
    ReadingStalled {
        /// True while it does not read.
        stalled: bool,
    },
    /// A fault changed the host's disk.
    DiskFault {
        /// A description of the fault.
        fault: Arc<str>,
    },
    /// A note recorded by a host or the director.
    Note {
        /// The text.
        text: Arc<str>,
    },
}

/// How much of the history a run keeps. Unless it is nothing, the hash covers all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Every event.
    All,
    /// The given number of last events.
    Last(usize),
    /// No event and no hash: the hash of the trace is that of an empty history. Events are counted,
    /// and an observer receives them.
    Nothing,
}

/// The history of a run.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The seed of the run.
    pub seed: u64,
    /// The options drawn from the seed, as [`Swarm`](crate::Swarm) prints them; empty if there were
    /// none.
    pub options: Arc<str>,
    /// The names of the hosts in the order of declaration.
    pub hosts: Vec<Arc<str>>,
    /// The kept events, oldest first.
    pub events: Vec<Event>,
    /// XXH3-128 over every event of the run and every delivered byte, unless [`Keep::Nothing`] was
    /// chosen.
    pub hash: u128,
    /// Counters of the run.
    pub statistics: Statistics,
}

impl Trace {
    /// The name of a host of this run.
    pub fn host_name(&self, host: HostId) -> &str {
        self.hosts.get(host.index()).map_or("?", |name| name)
    }

    /// Formats an event as a line of text.
    pub fn line(&self, event: &Event) -> String {
        line(&self.hosts, event)
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            writeln!(f, "{}", self.line(event))?;
        }
        write!(f, "seed {} hash {:032x}", self.seed, self.hash)
    }
}

/// Formats an event as a line of text.
pub(crate) fn line(hosts: &[Arc<str>], event: &Event) -> String {
    let name = |host: HostId| hosts.get(host.index()).map_or("?", |name| name);
    let host = event.host.map_or("world", name);
    let connection = event.connection.map(|c| format!(" {c}")).unwrap_or_default();
    let what = match &event.kind {
        EventKind::ConnectionOpening { to, port } => {
            format!("opens a connection to {}:{port}", to.map_or("an unknown address", name))
        }
        EventKind::LinkChanged { to, change } => format!("link to {}: {change}", name(*to)),
        EventKind::EveryLinkChanged { change } => format!("every link: {change}"),
        EventKind::Delivered { bytes } => format!("receives {bytes} bytes"),
        EventKind::Lost { bytes, times } => format!("loses a segment of {bytes} bytes, {times} times"),
        EventKind::HostEnded { error: Some(error) } => format!("ends: {error}"),
        EventKind::DiskFault { fault } => format!("disk: {fault}"),
        EventKind::Note { text } => text.to_string(),
        EventKind::ReadingStalled { stalled: true } => "stops reading".to_owned(),
        EventKind::ReadingStalled { stalled: false } => "reads again".to_owned(),
        kind => format!("{kind:?}"),
    };
    format!("{:>12.6} s  {host}/{}{connection}  {what}", event.at.as_secs_f64(), event.incarnation)
}

/// Counters of a run; none of them is wall time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Simulated time.
    pub simulated: Duration,
    /// Events recorded.
    pub events: u64,
    /// Segments delivered.
    pub segments: u64,
    /// Polls of hosts.
    pub polls: u64,
    /// Instants at which hosts had something to send.
    pub sweeps: u64,
}

/// A callback for every event as it happens.
pub(crate) type Observer = Box<dyn FnMut(&Event)>;

/// The last events of a run, shared with the watchdog.
pub(crate) type Events = Arc<Mutex<VecDeque<Event>>>;

pub(crate) struct History {
    keep: Keep,
    events: Events,
    hasher: Box<Xxh3>,
    recorded: u64,
    observer: Option<Observer>,
}

impl History {
    pub(crate) fn new(keep: Keep, observer: Option<Observer>) -> History {
        History { keep, events: Events::default(), hasher: Box::new(Xxh3::new()), recorded: 0, observer }
    }

    pub(crate) fn recorded(&self) -> u64 {
        self.recorded
    }

    pub(crate) fn hash(&self) -> u128 {
        self.hasher.digest128()
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }

    /// Whether events are only counted.
    pub(crate) fn only_counts(&self) -> bool {
        self.keep == Keep::Nothing && self.observer.is_none()
    }

    /// Counts an event that is not recorded.
    pub(crate) fn count(&mut self) {
        self.recorded += 1;
    }

    /// The shared buffer of kept events.
    pub(crate) fn events(&self) -> Events {
        self.events.clone()
    }

    /// Records an event. `bytes` are part of the hash, but not of the event.
    pub(crate) fn record(&mut self, event: Event, bytes: &[u8]) {
        self.recorded += 1;
        if self.keep != Keep::Nothing {
            self.absorb(&event, bytes);
        }
        if let Some(observer) = &mut self.observer {
            observer(&event);
        }
        let most = match self.keep {
            Keep::All => usize::MAX,
            Keep::Nothing | Keep::Last(0) => return,
            Keep::Last(most) => most,
        };
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() >= most {
            events.pop_front();
        }
        events.push_back(event);
    }

    fn absorb(&mut self, event: &Event, bytes: &[u8]) {
        let mut fixed = [0u8; 36];
        fixed[..8].copy_from_slice(&nanoseconds(event.at).to_le_bytes());
        fixed[8..10].copy_from_slice(&event.host.map_or(u16::MAX, |host| host.0).to_le_bytes());
        fixed[10..14].copy_from_slice(&event.incarnation.to_le_bytes());
        fixed[14..22].copy_from_slice(&event.connection.map_or(0, |c| c.0).to_le_bytes());
        let none = Cow::Borrowed("");
        let (tag, numbers, text): (u16, [u32; 2], Cow<'_, str>) = match &event.kind {
            EventKind::HostStarted => (1, [0, 0], none),
            EventKind::HostCrashed => (2, [0, 0], none),
            EventKind::HostKilled => (3, [0, 0], none),
            EventKind::ShutdownRequested => (4, [0, 0], none),
            EventKind::HostEnded { error } => {
                (5, [u32::from(error.is_some()), 0], error.as_deref().unwrap_or_default().into())
            }
            EventKind::ConnectionOpening { to, port } => {
                (6, [u32::from(*port), to.map_or(u32::MAX, |to| u32::from(to.0))], none)
            }
            EventKind::ConnectionEstablished => (7, [0, 0], none),
            EventKind::ConnectionRefused => (8, [0, 0], none),
            EventKind::Delivered { bytes } => (9, [*bytes, 0], none),
            EventKind::Lost { bytes, times } => (10, [*bytes, *times], none),
            EventKind::Finished => (11, [0, 0], none),
            EventKind::Reset => (12, [0, 0], none),
            EventKind::TimedOut => (13, [0, 0], none),
            EventKind::LinkChanged { to, change } => (14, [u32::from(to.0), 0], change.to_string().into()),
            EventKind::EveryLinkChanged { change } => (15, [0, 0], change.to_string().into()),
            EventKind::Blackholed => (16, [0, 0], none),
            EventKind::ReadingStalled { stalled } => (17, [u32::from(*stalled), 0], none),
            EventKind::DiskFault { fault } => (18, [0, 0], fault.as_ref().into()),
            EventKind::Note { text } => (19, [0, 0], text.as_ref().into()),
        };
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        fixed[22..24].copy_from_slice(&tag.to_le_bytes());
        fixed[24..28].copy_from_slice(&numbers[0].to_le_bytes());
        fixed[28..32].copy_from_slice(&numbers[1].to_le_bytes());
        fixed[32..].copy_from_slice(&length.to_le_bytes());
        self.hasher.update(&fixed);
        if !text.is_empty() {
            self.hasher.update(text.as_bytes());
        }
        if !bytes.is_empty() {
            self.hasher.update(bytes);
        }
    }
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

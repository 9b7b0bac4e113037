//! The printable history of a run: the part of it that reports show and `report.json` carries.

use mqttspec_notation::FaultKind;
use serde::{Deserialize, Serialize};

use crate::history::Ending;

/// The printable history of a run: enough for a transcript, a sequence diagram and a capture file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The names of the hosts: the server first, then the clients in the order of
    /// [`History::hosts`](crate::history::History::hosts).
    pub hosts: Vec<String>,
    /// What happened, in order of time.
    pub events: Vec<TraceEvent>,
}

/// One event of a [`Trace`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEvent {
    /// Nanoseconds of simulated time from the start of the run.
    pub at_ns: u64,
    /// The host that recorded it: for packets, always the end of the harness.
    pub host: String,
    /// The number of the host's Network Connection, from 1; 0 if the event belongs to none.
    pub connection: u32,
    /// The kind of event.
    pub kind: TraceKind,
    /// The event in the notation, without the host: `> CONNECT client_id=device`, `cut device`.
    pub text: String,
    /// The bytes on the wire as hex pairs without spaces; empty if there were none.
    pub hex: String,
    /// The line of the scenario file that sent or expected it; 0 if there is none.
    pub line: u32,
    /// How the Network Connection ended; events of [`TraceKind::Closed`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// The fault; events of faults, crashes and starts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<TraceFault>,
}

/// The fault of an event of a [`Trace`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceFault {
    /// The kind of fault step.
    pub kind: TraceFaultKind,
    /// The affected hosts, in the order of the scenario.
    pub hosts: Vec<String>,
    /// The host to which packets are affected, if the fault is in one direction only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub towards: Option<String>,
    /// The number of the fault that begins here; none if the fault does not last, or the event only
    /// ends faults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<u64>,
    /// The numbers of the faults that end here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<u64>,
}

/// The kind of a fault step, by its word in the notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceFaultKind {
    /// `cut`
    Cut,
    /// `close`
    Close,
    /// `partition`
    Partition,
    /// `heal`
    Heal,
    /// `latency`
    Latency,
    /// `loss`
    Loss,
    /// `bandwidth`
    Bandwidth,
    /// `stall`
    Stall,
    /// `resume`
    Resume,
    /// `crash`
    Crash,
    /// `start`
    Start,
    /// `disk`
    Disk,
    /// `profile`
    Profile,
}

impl From<&FaultKind> for TraceFaultKind {
    fn from(kind: &FaultKind) -> Self {
        match kind {
            FaultKind::Cut => Self::Cut,
            FaultKind::Close => Self::Close,
            FaultKind::Partition => Self::Partition,
            FaultKind::Heal => Self::Heal,
            FaultKind::Latency(_) => Self::Latency,
            FaultKind::Loss { .. } => Self::Loss,
            FaultKind::Bandwidth { .. } => Self::Bandwidth,
            FaultKind::Stall => Self::Stall,
            FaultKind::Resume => Self::Resume,
            FaultKind::Crash => Self::Crash,
            FaultKind::Start => Self::Start,
            FaultKind::Disk(_) => Self::Disk,
            FaultKind::Profile(_) => Self::Profile,
        }
    }
}

/// The kind of a [`TraceEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceKind {
    /// A Network Connection was opened.
    Opened,
    /// A Network Connection ended.
    Closed,
    /// A packet or raw bytes from client to server.
    ToServer,
    /// A packet or raw bytes from server to client.
    ToClient,
    /// A fault began.
    FaultBegun,
    /// A fault ended.
    FaultEnded,
    /// A host crashed.
    Crashed,
    /// A host started (again).
    Started,
    /// An application asked its client for something.
    Asked,
    /// A client reported an event to its application.
    Told,
    /// Any other line: a mark reached, a branch taken.
    Note,
}

/// One line of a run's transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptLine {
    /// When it happened, in nanoseconds of simulated time from the start of the run.
    pub at_ns: u64,
    /// The line in the scenario notation: `device > CONNECT client_id=device`.
    pub text: String,
}

impl Trace {
    /// How much text the events have, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.events.iter().map(|event| event.text.len() + event.hex.len()).sum()
    }

    /// Keeps only the last events, with at most this many bytes of text.
    pub fn keep_last(&mut self, most: usize) {
        let mut size = 0;
        let kept = self.events.iter().rev().take_while(|event| {
            size += event.text.len() + event.hex.len();
            size <= most
        });
        let left_out = self.events.len() - kept.count();
        if left_out > 0 {
            self.events.drain(..left_out);
            self.events.insert(0, TraceEvent::note(format!("{left_out} earlier events are left out")));
        }
    }

    /// The transcript: one line per event.
    #[must_use]
    pub fn transcript(&self) -> Vec<TranscriptLine> {
        self.events.iter().map(TraceEvent::transcript_line).collect()
    }
}

impl TraceEvent {
    /// A line that belongs to no host.
    #[must_use]
    pub(crate) fn note(text: String) -> Self {
        Self {
            at_ns: 0,
            host: String::new(),
            connection: 0,
            kind: TraceKind::Note,
            text,
            hex: String::new(),
            line: 0,
            ending: None,
            fault: None,
        }
    }

    /// The event as a line of the transcript, with its time.
    #[must_use]
    pub fn transcript_line(&self) -> TranscriptLine {
        TranscriptLine { at_ns: self.at_ns, text: self.line_text() }
    }

    /// The event as one line of a transcript. An event without a word in the notation is a comment,
    /// after `#`.
    #[must_use]
    pub fn line_text(&self) -> String {
        match self.kind {
            TraceKind::ToServer | TraceKind::ToClient => format!("{} {}", self.host, self.text),
            TraceKind::Asked => format!("ask {} {}", self.host, self.text),
            TraceKind::Told => format!("told {} {}", self.host, self.text),
            TraceKind::Closed if self.ending == Some(Ending::ByPeer) => format!("{} < closed", self.host),
            TraceKind::FaultBegun | TraceKind::FaultEnded | TraceKind::Crashed | TraceKind::Started => {
                self.text.clone()
            }
            TraceKind::Opened | TraceKind::Closed | TraceKind::Note if self.host.is_empty() => {
                format!("# {}", self.text)
            }
            TraceKind::Opened | TraceKind::Closed | TraceKind::Note => {
                format!("# {} {}", self.host, self.text)
            }
        }
    }
}

//! The printable history of a run: what reports show of it, as `report.json` carries it.

use mqttspec_notation::FaultKind;
use serde::{Deserialize, Serialize};

use crate::history::Ending;

/// The printable history of a run: enough for a transcript, a sequence diagram and a capture file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The names of the hosts: the server first, then the clients in the order of [`History::hosts`](crate::history::History::hosts).
    pub hosts: Vec<String>,
    /// What happened, in order of time.
    pub events: Vec<TraceEvent>,
}

/// One event of a [`Trace`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEvent {
    /// Nanoseconds of simulated time from the start of the run.
    pub at_ns: u64,
    /// The host on which it was seen: for packets always the end of the wire that the harness plays or drives.
    pub host: String,
    /// The number of the host's Network Connection, from 1; 0 where the event belongs to none.
    pub connection: u32,
    /// What it is.
    pub kind: TraceKind,
    /// The event in the notation, without the host: `> CONNECT client_id=device`, `cut device`.
    pub text: String,
    /// The bytes that were on the wire as hex pairs without spaces; empty where there were none.
    pub hex: String,
    /// The line of the scenario file that sent or expected it; 0 where none did.
    pub line: u32,
    /// How the Network Connection ended; events of [`TraceKind::Closed`] only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// The fault; events of faults, crashes and starts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<TraceFault>,
}

/// What a fault event of a [`Trace`] is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceFault {
    /// What the fault step does.
    pub kind: TraceFaultKind,
    /// The hosts that it is on, in the order of the scenario.
    pub hosts: Vec<String>,
    /// The host towards which packets are concerned, where the fault is on one direction only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub towards: Option<String>,
    /// The number of the fault that begins here and lasts; none where the event is over at once, or only ends something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<u64>,
    /// The numbers of the faults that end here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<u64>,
}

/// What a fault step does: the words of the notation.
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

/// What a [`TraceEvent`] is.
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
    /// A client told its application something.
    Told,
    /// Anything else worth a line: a mark reached, a branch taken, time waited.
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
    /// The transcript in the notation, a line an event, events without a spelling in the notation left out.
    #[must_use]
    pub fn transcript(&self) -> Vec<TranscriptLine> {
        self.events.iter().map(TraceEvent::transcript_line).collect()
    }
}

impl TraceEvent {
    /// The event as a line of the transcript, with its time.
    #[must_use]
    pub fn transcript_line(&self) -> TranscriptLine {
        TranscriptLine { at_ns: self.at_ns, text: self.line_text() }
    }

    /// The event as one line of a transcript; what has no spelling in the notation stands behind a `#`.
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

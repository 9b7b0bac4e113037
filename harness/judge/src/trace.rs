//! The printable history of a run: what transcripts, sequence diagrams and capture files are made of.

use serde::{Deserialize, Serialize};

/// The printable history of a run: enough for a transcript, a sequence diagram and a capture file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Hosts in the order of their lanes: the server first.
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
    /// The event in the notation, without the host: `> CONNECT client_id=device`, `cut`, `crash`.
    pub text: String,
    /// The bytes that were on the wire as hex pairs without spaces; empty where there were none.
    pub hex: String,
    /// The line of the scenario file that sent or expected it; 0 where none did.
    pub line: u32,
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
            TraceKind::Closed if self.text == "closed" => format!("{} < closed", self.host),
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

//! Sequence diagrams of a run: one lane per host, packets as arrows, faults as bands, and a mark
//! for each failure.
//!
//! [`Diagram::of`] computes the layout in pixels; [`svg()`] and the page's script only draw it. So
//! a diagram looks the same in `trace --svg` and in `report.html`.

mod bands;
mod lanes;
mod svg;

pub use svg::svg;

pub(crate) use svg::STYLE;

use mqttspec_judge::cut::split_hex;
use mqttspec_judge::finding::ReportedFinding;
use mqttspec_judge::history::Ending;
use mqttspec_judge::trace::{Trace, TraceEvent, TraceKind};

use bands::Bands;
use lanes::Lanes;

/// The end of each connection that recorded the events of a [`Trace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observer {
    /// The clients: the server is under test.
    Client,
    /// The server: the clients are under test.
    Server,
}

impl Observer {
    /// The harness's end if `tests` (`server` or `client`) is under test.
    #[must_use]
    pub fn of(tests: &str) -> Self {
        if tests == "client" { Self::Server } else { Self::Client }
    }
}

/// The number of characters of a packet on its arrow; the details show the rest.
pub(crate) const LABEL_LENGTH: usize = 36;

const HEAD: u32 = 44;
const FOOT: u32 = 18;
/// The shortest time without events that is drawn as a pause.
const PAUSE_NS: u64 = 1_000_000_000;

/// The layout of a sequence diagram. Lengths are pixels of the unscaled drawing, from its top left
/// corner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagram {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// From left to right. The server is in the middle, so that few arrows cross a lane.
    pub(crate) lanes: Vec<Lane>,
    /// Network Connections, as bars on the lanes of clients.
    pub(crate) bars: Vec<Bar>,
    /// Faults while they last.
    pub(crate) bands: Vec<Band>,
    /// Events, failures and pauses, from top to bottom.
    pub(crate) rows: Vec<Row>,
}

/// A host's lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) name: String,
    pub(crate) x: u32,
}

/// A Network Connection while it is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    /// The client's lane.
    pub(crate) x: u32,
    /// Where the connection was opened.
    pub(crate) top: u32,
    /// Where the connection or the run ended.
    pub(crate) bottom: u32,
}

/// A fault while it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Band {
    pub(crate) left: u32,
    pub(crate) right: u32,
    pub(crate) top: u32,
    pub(crate) bottom: u32,
    /// Whether no packet can pass: a partition or a crash, not loss, latency, bandwidth or a
    /// stalled reader.
    pub(crate) severe: bool,
}

/// The kind of a [`Row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowKind {
    /// A packet, or raw bytes: an arrow.
    Packet,
    /// A connection opened: a dot on the client's lane.
    Opened,
    /// A connection ended: a broken arrow from the end that closed it.
    Closed,
    /// A fault, a crash or a start: a line across the affected lanes.
    Fault,
    /// A command or an event of an application: a label on its lane.
    Application,
    /// A mark, a branch, anything else: a line of text.
    Note,
    /// A time without events.
    Pause,
    /// A failure: a marked line across all lanes.
    Failure,
}

impl RowKind {
    /// The distance of its line from the previous one.
    const fn height(self) -> u32 {
        match self {
            Self::Packet => 34,
            Self::Closed => 32,
            Self::Failure => 30,
            Self::Fault | Self::Application => 28,
            Self::Pause => 26,
            Self::Note => 24,
            Self::Opened => 20,
        }
    }
}

/// One line of the diagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) kind: RowKind,
    /// The vertical position of its line.
    pub(crate) y: u32,
    /// The simulated time in nanoseconds; for a pause, its length.
    pub(crate) at_ns: u64,
    /// Where its line begins.
    pub(crate) from: u32,
    /// Where its line ends: for an arrow, its head.
    pub(crate) to: u32,
    /// The middle of its label.
    pub(crate) middle: u32,
    pub(crate) text: String,
    /// The bytes of a packet as hex pairs without spaces.
    pub(crate) hex: String,
    /// The line of the scenario that sent or expected it; 0 if there is none.
    pub(crate) line: u32,
    /// Whether a failure is about it.
    pub(crate) bad: bool,
}

impl Diagram {
    /// Lays out a run and its failures.
    #[must_use]
    pub fn of(trace: &Trace, observer: Observer, failures: &[ReportedFinding]) -> Self {
        let lanes = Lanes::of(trace);
        let mut layout = Layout::new(&lanes, observer, failures);
        for event in &trace.events {
            layout.failures_before(event.at_ns);
            layout.pause_before(event.at_ns);
            layout.event(event);
        }
        layout.failures_before(u64::MAX);
        layout.finish()
    }
}

/// A packet's label: the text without the sign of its direction, cut to [`LABEL_LENGTH`]
/// characters.
pub(crate) fn label(text: &str) -> String {
    label_of(text, LABEL_LENGTH)
}

fn label_of(text: &str, length: usize) -> String {
    let text = text.trim_start_matches(['<', '>', ' ']);
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let cut: String = text.chars().take(length.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

/// The number of characters that fit between the times and the line numbers of a diagram of this
/// width. Failures and faults are cut to it.
pub(crate) fn long_label(width: u32) -> usize {
    let room = width.saturating_sub(lanes::TIMES + lanes::LINES + 20);
    usize::try_from(room * 10 / lanes::CHARACTER_TENTHS).unwrap_or(LABEL_LENGTH).max(LABEL_LENGTH)
}

struct Layout<'a> {
    lanes: &'a Lanes,
    observer: Observer,
    /// Failures that have no row yet, by time.
    failures: Vec<&'a ReportedFinding>,
    bad_bytes: Vec<BadBytes>,
    y: u32,
    last_ns: u64,
    /// ((lane, number of the connection), bar, whether it is open).
    bars: Vec<((usize, u32), Bar, bool)>,
    bands: Bands,
    rows: Vec<Row>,
}

/// The bytes of a finding.
struct BadBytes {
    hex: String,
    /// Whether there were more.
    is_cut: bool,
    at_ns: u64,
}

impl BadBytes {
    fn are(&self, hex: &str) -> bool {
        if self.is_cut { hex.starts_with(&self.hex) } else { self.hex == hex }
    }
}

impl<'a> Layout<'a> {
    fn new(lanes: &'a Lanes, observer: Observer, failures: &'a [ReportedFinding]) -> Self {
        let mut sorted: Vec<&ReportedFinding> = failures.iter().collect();
        sorted.sort_by_key(|failure| failure.finding.at_ns);
        let bytes = |failure: &ReportedFinding| {
            let (pairs, cut) = split_hex(&failure.actual_hex);
            BadBytes { hex: pairs.replace(' ', ""), is_cut: cut.is_some(), at_ns: failure.finding.at_ns }
        };
        let bad_bytes = failures.iter().map(bytes).filter(|bad: &BadBytes| !bad.hex.is_empty()).collect();
        Self {
            lanes,
            observer,
            failures: sorted,
            bad_bytes,
            y: HEAD,
            last_ns: 0,
            bars: Vec::new(),
            bands: Bands::default(),
            rows: Vec::new(),
        }
    }

    /// A failure follows the event that it is about, so it comes after the events of the same time.
    fn failures_before(&mut self, at_ns: u64) {
        while self.failures.first().is_some_and(|failure| failure.finding.at_ns < at_ns) {
            let failure = self.failures.remove(0);
            if failure.finding.at_ns != 0 {
                self.pause_before(failure.finding.at_ns);
            }
            let text = match failure.finding.line {
                0 => failure.finding.expected.clone(),
                line => format!("line {line}: {}", failure.source),
            };
            let edges = self.lanes.edges();
            self.row(
                RowKind::Failure,
                failure.finding.at_ns.max(self.last_ns),
                edges,
                text,
                failure.finding.line,
            );
        }
    }

    fn pause_before(&mut self, at_ns: u64) {
        let pause = at_ns.saturating_sub(self.last_ns);
        if pause >= PAUSE_NS {
            let edges = self.lanes.edges();
            self.row(RowKind::Pause, pause, edges, String::new(), 0);
        }
        self.last_ns = self.last_ns.max(at_ns);
    }

    fn event(&mut self, event: &TraceEvent) {
        let edges = self.lanes.edges();
        let lane = self.lanes.index(&event.host);
        let client = self.lanes.x(lane);
        let server = self.lanes.server_x();
        let (at_ns, text, line) = (event.at_ns, event.text.clone(), event.line);
        match event.kind {
            TraceKind::ToServer | TraceKind::ToClient => {
                let (from, to) =
                    if event.kind == TraceKind::ToServer { (client, server) } else { (server, client) };
                self.row(RowKind::Packet, at_ns, (from, to), text, line);
                let bad = self.bad_bytes.iter().any(|bad| bad.are(&event.hex) && bad.at_ns >= at_ns);
                if let Some(row) = self.rows.last_mut() {
                    row.middle = self.lanes.label_middle(lane);
                    row.hex.clone_from(&event.hex);
                    row.bad = bad;
                }
            }
            TraceKind::Opened => {
                self.row(RowKind::Opened, at_ns, (client, client), text, line);
                let bar = Bar { x: client, top: self.y, bottom: self.y };
                self.bars.push(((lane, event.connection), bar, true));
            }
            TraceKind::Closed => {
                let ends_itself =
                    matches!(event.ending, Some(Ending::ByObserver | Ending::TimedOut | Ending::Crashed));
                let from_client = ends_itself == (self.observer == Observer::Client);
                let (from, to) = if from_client { (client, server) } else { (server, client) };
                self.row(RowKind::Closed, at_ns, (from, to), text, line);
                if let Some(row) = self.rows.last_mut() {
                    row.middle = self.lanes.label_middle(lane);
                }
                self.end_bar((lane, event.connection));
            }
            TraceKind::Asked | TraceKind::Told => {
                let word = if event.kind == TraceKind::Asked { "asked to" } else { "told" };
                self.row(RowKind::Application, at_ns, (client, client), format!("{word} {text}"), line);
            }
            TraceKind::FaultBegun | TraceKind::FaultEnded | TraceKind::Crashed | TraceKind::Started => {
                let concerned = event.fault.as_ref().map_or(edges, |fault| self.lanes.concerned(fault));
                let text = text.trim_start_matches("# ").to_owned();
                self.row(RowKind::Fault, at_ns, concerned, text, line);
                if let Some(fault) = &event.fault {
                    self.bands.change(fault, concerned, self.y);
                }
            }
            TraceKind::Note => {
                let text = if event.host.is_empty() { text } else { format!("{} {text}", event.host) };
                self.row(RowKind::Note, at_ns, edges, text, line);
            }
        }
    }

    fn row(&mut self, kind: RowKind, at_ns: u64, (from, to): (u32, u32), text: String, line: u32) {
        self.y += kind.height();
        let bad = kind == RowKind::Failure;
        self.rows.push(Row {
            kind,
            y: self.y,
            at_ns,
            from,
            to,
            middle: u32::midpoint(from, to),
            text,
            hex: String::new(),
            line,
            bad,
        });
    }

    fn end_bar(&mut self, connection: (usize, u32)) {
        let y = self.y;
        if let Some((_, bar, open)) = self.bars.iter_mut().rfind(|(of, _, open)| *of == connection && *open) {
            bar.bottom = y;
            *open = false;
        }
    }

    fn finish(self) -> Diagram {
        let bottom = self.y + FOOT;
        let bars = self
            .bars
            .into_iter()
            .map(|(_, bar, open)| Bar { bottom: if open { bottom } else { bar.bottom }, ..bar });
        Diagram {
            width: self.lanes.width(),
            height: bottom + FOOT,
            lanes: self.lanes.drawn(),
            bars: bars.collect(),
            bands: self.bands.finish(bottom),
            rows: self.rows,
        }
    }
}

#[cfg(test)]
mod tests;

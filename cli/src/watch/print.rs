//! The output of `serve` and `observe` while they run: transcript lines, and violated clauses.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use super::{PeerFinding, Report};
use anstyle::{AnsiColor, Style};
use mqttspec_codec::Role;
use mqttspec_reports::seconds;

/// The maximum length of a line: a message may have 256 MiB.
const LONGEST_LINE: usize = 4000;
/// The maximum length of a hex dump: 128 bytes, with spaces.
const LONGEST_HEX: usize = 3 * 128;

/// The maximum number of rows of the summary. A Client may call itself anything.
const MOST_ROWS: usize = 1000;

/// Counts findings for the summary at the end. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Rc<RefCell<BTreeMap<Key, u64>>>);

/// The clause ids, or the expected behaviour if there are none; and the Client.
type Key = (String, String);

impl Tally {
    /// The number of violations.
    pub(crate) fn count(&self) -> u64 {
        self.0.borrow().values().sum()
    }

    /// One line for each clause and Client.
    pub(crate) fn summary(&self) -> String {
        let counts = self.0.borrow();
        if counts.is_empty() {
            return "checked: no violations\n".to_owned();
        }
        let mut text = format!("checked: {} violations\n", self.count());
        for ((clause, client), count) in counts.iter() {
            text.push_str(&format!("  {count:>7}  {clause}  {client}\n"));
        }
        text
    }

    fn add(&self, PeerFinding { finding, by, client, .. }: &PeerFinding) {
        let violator = if *by == Role::Server { "the server" } else { client.as_str() };
        let ids: Vec<&str> =
            finding.requirements.iter().map(|requirement| requirement.clause.as_str()).collect();
        let clause = if ids.is_empty() { finding.expected.clone() } else { ids.join(" ") };
        let mut counts = self.0.borrow_mut();
        let mut key = (plain(&clause).into_owned(), plain(violator).into_owned());
        if counts.len() >= MOST_ROWS && !counts.contains_key(&key) {
            key = ("others".to_owned(), String::new());
        }
        *counts.entry(key).or_default() += 1;
    }
}

/// Prints one report.
pub(crate) fn print(report: &Report, tally: &Tally, printer: &Printer) {
    let mut out = Vec::new();
    // Writing to memory does not fail.
    let _ = match report {
        Report::Line(line) => {
            let quiet = Style::new().dimmed();
            let text = plain(&line.text);
            writeln!(out, "{quiet}{:>12}{quiet:#}  {}", seconds(line.at_ns, 6), cut(&text, LONGEST_LINE))
        }
        Report::Finding(finding) => {
            tally.add(finding);
            print_finding(&mut out, finding)
        }
    };
    printer.print(out);
}

/// The number of reports that may wait to be printed. More are dropped and counted.
const WAITING: usize = 4096;
/// How long the end of the program waits until all is printed.
const LAST_CHANCE: Duration = Duration::from_secs(2);

/// Prints on a thread of its own: an output that is not read must not stop the broker.
#[derive(Debug)]
pub(crate) struct Printer {
    queue: SyncSender<Vec<u8>>,
    dropped: Cell<u64>,
    finished: Receiver<()>,
}

impl Printer {
    pub(crate) fn to_stdout() -> io::Result<Printer> {
        Printer::start(|text| anstream::stdout().lock().write_all(text))
    }

    pub(crate) fn to_stderr() -> io::Result<Printer> {
        Printer::start(|text| anstream::stderr().lock().write_all(text))
    }

    #[expect(clippy::disallowed_methods, reason = "only `serve` prints while a broker runs")]
    fn start(write: impl Fn(&[u8]) -> io::Result<()> + Send + 'static) -> io::Result<Printer> {
        let (queue, texts) = sync_channel::<Vec<u8>>(WAITING);
        let (finish, finished) = sync_channel(1);
        std::thread::Builder::new().name("printer".to_owned()).spawn(move || {
            while let Ok(text) = texts.recv() {
                // A closed pipe must not stop the broker either.
                let _ = write(&text);
            }
            let _ = finish.send(());
        })?;
        Ok(Printer { queue, dropped: Cell::new(0), finished })
    }

    pub(crate) fn print(&self, text: Vec<u8>) {
        let dropped = self.dropped.get();
        if dropped > 0 {
            let text = format!("# {dropped} reports were dropped: the output was not read\n");
            if self.queue.try_send(text.into_bytes()).is_err() {
                self.dropped.set(dropped + 1);
                return;
            }
            self.dropped.set(0);
        }
        if self.queue.try_send(text).is_err() {
            self.dropped.set(self.dropped.get() + 1);
        }
    }

    /// Prints what waits, and this text at the end, if the output is read.
    pub(crate) fn finish(self, text: &str) {
        let Printer { queue, dropped, finished } = self;
        let lost = match dropped.get() {
            0 => String::new(),
            dropped => format!("# {dropped} reports were dropped: the output was not read\n"),
        };
        // The queue has room as soon as something is printed. If nothing is, the text is lost.
        if let Err(TrySendError::Full(text)) = queue.try_send(format!("{lost}{text}").into_bytes()) {
            let _ = finished.recv_timeout(LAST_CHANCE);
            let _ = queue.try_send(text);
        }
        drop(queue);
        let _ = finished.recv_timeout(LAST_CHANCE);
    }
}

fn print_finding(out: &mut impl Write, of_peer: &PeerFinding) -> io::Result<()> {
    let PeerFinding { finding, by, client, peer, packet, hex } = of_peer;
    let bad: Style = AnsiColor::Red.on_default().bold();
    let peer = peer.map_or_else(String::new, |peer| format!(" ({peer})"));
    let at = seconds(finding.at_ns, 6);
    let violator = match by {
        Role::Client => format!("{client}{peer}"),
        Role::Server => format!("the server, on the connection of {client}{peer},"),
    };
    writeln!(out, "{bad}VIOLATION{bad:#} by {violator} at {at}")?;
    let mut row = |name: &str, text: &str| writeln!(out, "  {name:<11}  {}", cut(&plain(text), LONGEST_LINE));
    for requirement in &finding.requirements {
        row("requirement", &requirement.to_string())?;
    }
    row("found by", &finding.check.to_string())?;
    row("expected", &finding.expected)?;
    row("actual", &finding.actual)?;
    if !packet.is_empty() {
        row("packet", &format!("{client} {packet}"))?;
    }
    if !hex.is_empty() {
        row("bytes", &cut(hex, LONGEST_HEX))?;
    }
    Ok(())
}

/// The text on one line: with control characters, and those that change the direction of writing,
/// as escapes. Most of it is from Clients.
fn plain(text: &str) -> Cow<'_, str> {
    let is_bad = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_bad) {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_bad(letter) {
            plain.extend(letter.escape_unicode());
        } else {
            plain.push(letter);
        }
    }
    plain.into()
}

fn cut(text: &str, longest: usize) -> Cow<'_, str> {
    if text.len() <= longest {
        return text.into();
    }
    let end = (0..=longest).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
    format!("{} … and {} more", &text[..end], text.len() - end).into()
}

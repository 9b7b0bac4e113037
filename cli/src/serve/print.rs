//! The output of `serve` while it runs: transcript lines, and the clauses that Clients violate.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;

use crate::serve::watch::{ClientFinding, Report};
use anstyle::{AnsiColor, Style};
use mqttspec_reports::seconds;

/// The maximum length of a line: a message may have 256 MiB.
const LONGEST_LINE: usize = 4000;
/// The maximum length of a hex dump: 128 bytes, with spaces.
const LONGEST_HEX: usize = 3 * 128;

/// Counts findings for the summary at the end. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Rc<RefCell<BTreeMap<Key, u64>>>);

/// The clause ids, or the expected behaviour if there are none; and the Client.
type Key = (String, String);

impl Tally {
    /// The number of violations.
    pub(super) fn count(&self) -> u64 {
        self.0.borrow().values().sum()
    }

    /// One line for each clause and Client.
    pub(super) fn summary(&self) -> String {
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

    fn add(&self, ClientFinding { finding, client, .. }: &ClientFinding) {
        let ids: Vec<&str> =
            finding.requirements.iter().map(|requirement| requirement.clause.as_str()).collect();
        let clause = if ids.is_empty() { finding.expected.clone() } else { ids.join(" ") };
        *self.0.borrow_mut().entry((clause, client.clone())).or_default() += 1;
    }
}

/// Prints one report. Output errors are ignored: a closed pipe must not stop the broker.
pub(super) fn print(report: &Report, tally: &Tally) {
    let mut out = anstream::stdout().lock();
    let _ = match report {
        Report::Line(line) => {
            let quiet = Style::new().dimmed();
            writeln!(out, "{quiet}{:>12}{quiet:#}  {}", seconds(line.at_ns, 6), cut(&line.text, LONGEST_LINE))
        }
        Report::Finding(finding) => {
            tally.add(finding);
            print_finding(&mut out, finding)
        }
    };
}

fn print_finding(out: &mut impl Write, of_client: &ClientFinding) -> io::Result<()> {
    let ClientFinding { finding, client, peer, packet, hex } = of_client;
    let bad: Style = AnsiColor::Red.on_default().bold();
    let peer = peer.map_or_else(String::new, |peer| format!(" ({peer})"));
    let at = seconds(finding.at_ns, 6);
    writeln!(out, "{bad}VIOLATION{bad:#} by {client}{peer} at {at}")?;
    let mut row = |name: &str, text: &str| writeln!(out, "  {name:<11}  {}", cut(text, LONGEST_LINE));
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

fn cut(text: &str, longest: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= longest {
        return text.into();
    }
    let end = (0..=longest).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
    format!("{} … and {} more", &text[..end], text.len() - end).into()
}

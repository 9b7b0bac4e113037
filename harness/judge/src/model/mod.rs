//! The history model: from the history of the clients, it computes for every subscriber which
//! messages must, may and must not be delivered, and judges answers, Sessions, Wills and the ends
//! of connections. `client` has the rules for clients. It judges every run, as the monitors do.
//!
//! It accepts every behaviour that the standard allows: a rule judges only what the history makes
//! certain. It does not judge these:
//!
//! - a message that equals another one, unless it is one QoS 2 message that is sent again
//! - the Session of a Client that has broken the standard, until it begins another one
//! - state that a peer may have lost in a crash
//! - what a fault of the link or of a host may have caused ([`calm`])
//! - a Server that closes a connection: it may have reasons of its own
//!
//! MQTT 5.0 §3.1, §3.2, §3.3, §3.8, §3.9, §3.10, §4.1, §4.3 to §4.5, §4.8, §4.12, §4.13; 3.1.1 the
//! same sections.

mod answers;
mod calm;
mod client;
mod clients;
mod deliveries;
mod endings;
mod facts;
mod forms;
mod identifiers;
mod links;
mod messages;
mod owed;
mod packets;
mod refusals;
mod resent;
mod retained;
mod sessions;
mod shared;
mod tolerance;
mod wills;

#[cfg(test)]
mod tests;

use mqttspec_codec::Version;
use mqttspec_spec::{Level, Requirement};

use crate::finding::{Check, Finding};
use crate::history::{History, nanoseconds};
use calm::Calm;
use facts::Facts;
pub use tolerance::Tolerance;

/// The name of the model in findings, among the monitors.
const NAME: &str = "history model";

/// The clauses of a rule in 5.0 and in 3.1.1. Empty if the version has no such rule.
#[derive(Clone, Copy, Debug)]
struct Rule {
    v5: &'static [&'static str],
    v3_1_1: &'static [&'static str],
}

impl Rule {
    const fn new(v5: &'static [&'static str], v3_1_1: &'static [&'static str]) -> Self {
        Self { v5, v3_1_1 }
    }

    /// The finding that an event shows; `None` if the version has no such rule.
    fn broken(
        self,
        history: &History,
        version: Version,
        event: usize,
        expected: &str,
        actual: String,
    ) -> Option<Finding> {
        let clauses = if version.is_5() { self.v5 } else { self.v3_1_1 };
        finding(history, version, clauses, event, expected, actual)
    }
}

/// The finding that an event shows; `None` if the version has no such clauses.
fn finding(
    history: &History,
    version: Version,
    clauses: &[&str],
    event: usize,
    expected: &str,
    actual: String,
) -> Option<Finding> {
    let requirements = Requirement::of_rule(version, clauses);
    let at = history.events().get(event)?;
    (!requirements.is_empty()).then(|| Finding {
        check: Check::Monitor(NAME.to_owned()),
        level: Level::Must,
        requirements,
        expected: expected.to_owned(),
        actual,
        nearly: None,
        line: at.line,
        at_ns: nanoseconds(at.at),
        event: Some(event),
        timing_sensitive: true,
    })
}

/// Judges the peer under test by the history of the other ends of its connections. Returns the
/// findings in the order of the events.
#[must_use]
pub fn judge(history: &History, tolerance: Tolerance) -> Vec<Finding> {
    let calm = Calm::of(history);
    let mut findings = answers::judge(history, &calm, tolerance);
    findings.extend(resent::judge(history, &calm, tolerance));
    match Facts::of(history, &calm, tolerance) {
        Some(facts) => {
            findings.extend(forms::judge(history));
            findings.extend(answers::refused_repeats(&facts));
            findings.extend(deliveries::judge(&facts));
            findings.extend(sessions::judge(&facts));
            findings.extend(endings::judge(&facts));
            let standing = owed::all_standing(&facts);
            findings.extend(owed::judge(&facts, &standing));
            findings.extend(wills::judge(&facts, &standing));
            findings.extend(retained::judge(&facts));
            findings.extend(shared::judge(&facts));
            findings.extend(refusals::judge(history, &facts));
            findings.extend(identifiers::judge(&facts));
        }
        None => findings.extend(client::judge(history, &calm, tolerance)),
    }
    findings.sort_by_key(|finding| finding.event);
    findings
}

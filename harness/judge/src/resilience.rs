//! The results of a steady load under faults, read from the history of a run, for the table by
//! fault.
//!
//! Nothing is judged here: the delivery checks decide which losses and repetitions the standard
//! allows (§4.3). Messages are identified by Topic Name and payload, as there.

use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::QoS;
use serde::{Deserialize, Serialize};

use crate::deliveries::Deliveries;
use crate::history::{Ending, Event, FaultEvent, History, HostIndex, Told, What, nanoseconds};
use mqttspec_notation::{FaultKind, Scenario, StepKind};

/// The results of a load, in one run or in all runs of a case together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadSummary {
    /// The fault profiles of the scenario in its order, or its other faults if it has no profile:
    /// `packet-loss 50% for 60s`, `cut`. Each is named once, without its hosts.
    pub profiles: Vec<String>,
    /// The number of runs that are counted.
    pub runs: u32,
    /// The longest time between two successive messages to a subscriber, over all runs, in
    /// nanoseconds.
    pub gap_ns: u64,
    /// The longest time from the first fault to the end of the last, over all runs, in nanoseconds.
    /// 0 for one fault that does not last.
    pub faults_ns: u64,
    /// Messages by the QoS with which they were published: 0, 1, 2.
    pub by_qos: [Messages; 3],
    /// Errors that clients reported to their applications, by kind in the notation's words:
    /// `network`, `timeout`, …
    pub errors: BTreeMap<String, u32>,
    /// Accepted Network Connections, without the first of each client.
    pub reconnects: u32,
    /// The number of clients in each state at the end: `connected`, `disconnected`, `failed`.
    pub at_the_end: BTreeMap<String, u32>,
}

/// Counts of messages. A message for several subscribers counts once for each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Messages {
    /// Messages that applications asked their clients to publish.
    pub sent: u32,
    /// Of these, the messages that reached the subscriber.
    pub delivered: u32,
    /// Deliveries after the first of a message.
    pub duplicated: u32,
    /// Of those sent, not delivered, with an error to the application: its client did not run or
    /// had no room, or the server refused.
    pub refused: u32,
    /// Of those sent, not delivered, without an error.
    pub lost: u32,
}

impl Messages {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.duplicated += other.duplicated;
        self.refused += other.refused;
        self.lost += other.lost;
    }
}

impl LoadSummary {
    /// Reads a run's history and the deliveries in it; `None` for a scenario without a load on
    /// clients or without a fault.
    #[must_use]
    pub fn of<'d>(
        scenario: &Scenario,
        history: &History,
        deliveries: impl FnOnce() -> &'d Deliveries,
    ) -> Option<Self> {
        let profiles = faults(scenario)?;
        let deliveries = deliveries();
        let mut endured = Self { profiles, runs: 1, ..Self::default() };
        endured.count_messages(deliveries);
        endured.measure(history, deliveries);
        endured.count_connections(history);
        Some(endured)
    }

    /// Adds another run of the same case.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.gap_ns = self.gap_ns.max(other.gap_ns);
        self.faults_ns = self.faults_ns.max(other.faults_ns);
        for (all, one) in self.by_qos.iter_mut().zip(other.by_qos) {
            all.add(one);
        }
        for (all, one) in [(&mut self.errors, &other.errors), (&mut self.at_the_end, &other.at_the_end)] {
            for (word, count) in one {
                *all.entry(word.clone()).or_default() += count;
            }
        }
        self.reconnects += other.reconnects;
    }

    /// All messages, whatever their QoS.
    #[must_use]
    pub fn messages(&self) -> Messages {
        let mut all = Messages::default();
        self.by_qos.iter().for_each(|messages| all.add(*messages));
        all
    }

    fn count_messages(&mut self, deliveries: &Deliveries) {
        for subscriber in deliveries.subscribers() {
            let mut had = vec![0; deliveries.publications.len()];
            let own = deliveries.deliveries.iter().filter(|delivery| delivery.subscriber == subscriber);
            own.filter_map(|delivery| delivery.number).for_each(|number| had[number] += 1);
            for publication in &deliveries.publications {
                if deliveries.owed_qos(subscriber, publication).is_none() {
                    continue;
                }
                let messages = &mut self.by_qos[place(publication.qos)];
                messages.sent += 1;
                // Equal messages share their deliveries: the first takes them all.
                match std::mem::take(&mut had[publication.number]) {
                    0 if publication.refused => messages.refused += 1,
                    0 => messages.lost += 1,
                    times => {
                        messages.delivered += 1;
                        messages.duplicated += times - 1;
                    }
                }
            }
        }
    }

    fn measure(&mut self, history: &History, deliveries: &Deliveries) {
        let events = history.events();
        for subscriber in deliveries.subscribers() {
            let own = deliveries.deliveries.iter().filter(|delivery| delivery.subscriber == subscriber);
            let times: Vec<_> =
                own.filter_map(|delivery| events.get(delivery.event)).map(|event| event.at).collect();
            let gaps = times.windows(2).map(|pair| nanoseconds(pair[1].saturating_sub(pair[0])));
            self.gap_ns = self.gap_ns.max(gaps.max().unwrap_or(0));
        }
        let is_profile = |of: &FaultEvent| matches!(of.fault.kind, FaultKind::Profile(_));
        let has_profiles =
            events.iter().any(|event| matches!(&event.what, What::Fault(of) if is_profile(of)));
        let counts = |of: &FaultEvent| if has_profiles { is_profile(of) } else { is_fault(&of.fault.kind) };
        let begins = |event: &Event| matches!(&event.what, What::Fault(of) if counts(of));
        let ends = |event: &Event| match &event.what {
            What::FaultOver { began } => history.fault(*began).is_some_and(counts),
            What::Fault(of) if of.fault.kind == FaultKind::Start => true,
            // It is over at once, or something ends it.
            What::Fault(of) => !has_profiles && !matches!(of.fault.kind, FaultKind::Disk(_)),
            _ => false,
        };
        let begin = events.iter().find(|event| begins(event));
        let end = if !has_profiles && is_open(events) {
            events.last()
        } else {
            events.iter().rfind(|event| ends(event))
        };
        if let (Some(begin), Some(end)) = (begin, end) {
            self.faults_ns = nanoseconds(end.at.saturating_sub(begin.at));
        }
    }

    fn count_connections(&mut self, history: &History) {
        let mut states: BTreeMap<HostIndex, &'static str> = BTreeMap::new();
        let mut before: BTreeSet<HostIndex> = BTreeSet::new();
        for event in history.events() {
            let Some(host) = event.connection.map(|connection| connection.host) else { continue };
            let error = match &event.what {
                What::Told(Told::Connected { .. }) => {
                    self.reconnects += u32::from(!before.insert(host));
                    states.insert(host, "connected");
                    None
                }
                What::Told(Told::Disconnected { error }) => {
                    states.insert(host, "disconnected");
                    error.as_ref()
                }
                What::Told(Told::Failed { error }) => {
                    // A connected client continues after a failed request. A client that is not
                    // connected makes no more attempts.
                    if states.get(&host) != Some(&"connected") {
                        states.insert(host, "failed");
                    }
                    Some(error)
                }
                What::Told(Told::Published { refused, .. }) => refused.as_ref(),
                // A client that crashes reports nothing to its application.
                What::Closed(Ending::Crashed) => {
                    states.insert(host, "disconnected");
                    None
                }
                _ => None,
            };
            if let Some(error) = error {
                *self.errors.entry(error.kind.to_owned()).or_default() += 1;
            }
        }
        for state in states.into_values() {
            *self.at_the_end.entry(state.to_owned()).or_default() += 1;
        }
    }
}

/// The faults under which a scenario puts load on clients. Beside profiles, others are the
/// conditions under which they are measured.
fn faults(scenario: &Scenario) -> Option<Vec<String>> {
    let (mut load, mut profiles, mut others) = (false, Vec::new(), Vec::new());
    scenario.walk(&mut |step| match &step.kind {
        StepKind::Load(_) => load = true,
        StepKind::Fault(fault) if is_fault(&fault.kind) => {
            let brief = fault.brief();
            let is_profile = matches!(fault.kind, FaultKind::Profile(_));
            let faults = if is_profile { &mut profiles } else { &mut others };
            if !faults.contains(&brief) {
                faults.push(brief);
            }
        }
        _ => {}
    });
    let faults = if profiles.is_empty() { others } else { profiles };
    (load && !faults.is_empty()).then_some(faults)
}

/// Whether a fault lasts until the end of the run.
fn is_open(events: &[Event]) -> bool {
    events.iter().fold(false, |open, event| match &event.what {
        What::Fault(of) => match of.fault.kind {
            FaultKind::Heal | FaultKind::Resume | FaultKind::Start => false,
            FaultKind::Partition
            | FaultKind::Latency(_)
            | FaultKind::Loss { .. }
            | FaultKind::Bandwidth { .. }
            | FaultKind::Stall
            | FaultKind::Crash => open || of.fault.lasting.is_none(),
            _ => open,
        },
        _ => open,
    })
}

/// Whether it begins a fault. A disk that may lose writes shows its fault in a crash.
const fn is_fault(kind: &FaultKind) -> bool {
    !matches!(kind, FaultKind::Heal | FaultKind::Resume | FaultKind::Start | FaultKind::Disk(_))
}

const fn place(qos: QoS) -> usize {
    match qos {
        QoS::AtMostOnce => 0,
        QoS::AtLeastOnce => 1,
        QoS::ExactlyOnce => 2,
    }
}

#[cfg(test)]
mod tests {
    use mqttspec_codec::{Role, Version};

    use super::*;
    use crate::history::builder::{HistoryBuilder, message, puback, publish};
    use crate::history::{Asked, ReportedError};

    fn endured(builder: HistoryBuilder) -> LoadSummary {
        let history = builder.build();
        let deliveries = Deliveries::of(&history);
        let mut endured = LoadSummary { runs: 1, ..LoadSummary::default() };
        endured.count_messages(&deliveries);
        endured.measure(&history, &deliveries);
        endured.count_connections(&history);
        endured
    }

    #[test]
    fn a_message_is_delivered_duplicated_or_lost() {
        let builder = HistoryBuilder::of(Version::V5, Role::Client, &["reader", "writer"])
            .connects("reader", false)
            .subscribes("reader", "t", QoS::AtLeastOnce)
            .connects("writer", false)
            .sent("writer", publish(QoS::AtLeastOnce, 1, "one"))
            .received("writer", puback(1))
            .sent("writer", publish(QoS::AtLeastOnce, 2, "two"))
            .received("reader", publish(QoS::AtLeastOnce, 1, "one"))
            .received("reader", publish(QoS::AtLeastOnce, 2, "one"));
        let found = endured(builder);
        let expected = Messages { sent: 2, delivered: 1, duplicated: 1, refused: 0, lost: 1 };
        assert_eq!((found.by_qos[1], found.messages()), (expected, expected));
    }

    #[test]
    fn a_message_with_a_reported_error_is_refused_and_not_lost() {
        let error = ReportedError { kind: "application", reason: None, text: "it does not run".to_owned() };
        let asked = message("x", QoS::ExactlyOnce);
        let builder = HistoryBuilder::of(Version::V5, Role::Client, &["reader", "d1"])
            .connects("reader", false)
            .subscribes("reader", "t", QoS::ExactlyOnce)
            .told("d1", Told::Connected { session_present: false })
            .told("d1", Told::Disconnected { error: None })
            .told("d1", Told::Connected { session_present: true })
            .asked("d1", Asked::Publish { message: asked.clone(), handle: 1 })
            .told("d1", Told::Published { handle: 1, message: asked, refused: Some(error) });
        let found = endured(builder);
        assert_eq!(found.by_qos[2], Messages { sent: 1, refused: 1, ..Messages::default() });
        assert_eq!(found.errors, BTreeMap::from([("application".to_owned(), 1)]));
        assert_eq!(found.reconnects, 1);
        assert_eq!(found.at_the_end, BTreeMap::from([("connected".to_owned(), 1)]));
    }

    #[test]
    fn other_faults_count_where_there_is_no_profile() {
        let of = |body: &str| {
            let header = "title    A test\nclauses  MQTT-4.3.3-2\nversions 5\nclient   d1 reference\n\n";
            let text = format!("{header}{body}load d1 to a qos=1 rate=1/s for 10s\nexactly once\n");
            let read = mqttspec_notation::read("t.mqtt", &text, &mqttspec_notation::CatalogueClauses);
            faults(&read.expect("a scenario").0)
        };
        assert_eq!(of(""), None);
        let plain = of("cut d1\npartition d1 for 5s\ncut d1\nheal d1\n");
        assert_eq!(plain, Some(vec!["cut".to_owned(), "partition for 5s".to_owned()]));
        let profile = of("latency all 5ms..40ms\nprofile packet-loss d1 50% for 20s\n");
        assert_eq!(profile, Some(vec!["packet-loss 50% for 20s".to_owned()]));
    }

    #[test]
    fn counts_are_summed_and_the_longest_times_kept() {
        let mut all =
            LoadSummary { runs: 1, gap_ns: 5, faults_ns: 1, reconnects: 2, ..LoadSummary::default() };
        let at_the_end = BTreeMap::from([("connected".to_owned(), 4)]);
        all.add(&LoadSummary {
            runs: 1,
            gap_ns: 3,
            faults_ns: 2,
            reconnects: 1,
            at_the_end,
            ..LoadSummary::default()
        });
        assert_eq!((all.runs, all.gap_ns, all.faults_ns, all.reconnects), (2, 5, 2, 3));
        assert_eq!(all.at_the_end["connected"], 4);
    }
}

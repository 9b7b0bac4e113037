//! What a case does, as far as the setting of its runs depends on it. Where a broker keeps its
//! records, which server a live run needs and which run begins first all follow from these facts,
//! and nothing else looks for them in a scenario. Who plays a host is in [`crate::hosts`].

use core::ops::RangeInclusive;
use core::time::Duration;

use mqttspec_judge::Case;
use mqttspec_notation::{
    Action, Atom, Cell, Content, Direction, DiskFault, Fault, FaultKind, Field, HostName, HostOption, Hosts,
    Load, PacketPattern, PacketType, RawBytes, Step, StepKind, Test, Value,
};

use crate::hosts::SERVER;

/// The option of the notation that is the harness's own: where a peer keeps its records.
pub(crate) const STORE: &str = "store";

/// The value of [`STORE`] for records that outlive a crash.
pub(crate) const DURABLE: &str = "durable";

/// The longest Client Identifier of a scenario that still has room for a token: every server takes
/// 23 bytes (MQTT 5.0 §3.1.3.1).
const LONGEST_ID: usize = 15;

/// An interval that may run out while a case is played, in seconds.
const SHORT_INTERVAL: RangeInclusive<u64> = 1..=60;

/// The fields of packets, and the options of servers, that set a clock of the server.
const CLOCKS: [&str; 6] = [
    "keep_alive",
    "server_keep_alive",
    "will_delay",
    "session_expiry",
    "session_expiry_maximum",
    "message_expiry",
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The server crashes, or is started.
    pub(crate) crashes_server: bool,
    /// The server's disk loses writes, tears them or is full.
    pub(crate) harms_disk: bool,
    /// A disk keeps a part of an unsynced write.
    pub(crate) tears_writes: bool,
    /// The reference broker keeps its records on its disk: the scenario says so, or crashes it.
    pub(crate) is_durable: bool,
    /// A line sends raw bytes. No name in them is changed.
    pub(crate) sends_raw: bool,
    /// A CONNECT of the scenario says who its user is.
    pub(crate) says_credentials: bool,
    /// A CONNECT of the scenario says what its Keep Alive is.
    pub(crate) says_keep_alive: bool,
    /// A clock of the server is set that may run out while the case is played.
    pub(crate) sets_a_clock: bool,
    /// The scenario would be another one with a token before its names: where sizes count to the
    /// byte, where a wildcard meets topics of the server, where Client Identifiers are as long as
    /// they may be, where bytes that are no packet may reach another run.
    pub(crate) keeps_its_names: bool,
    /// About how many things happen in a run: steps, and messages of loads.
    pub(crate) length: u64,
}

impl Facts {
    pub(crate) fn of(case: &Case) -> Self {
        let scenario = &case.scenario;
        let mut search = Search::default();
        let counting = scenario.broker.iter().filter(|option| option.versions.applies_to(case.version));
        let said = counting.clone().find(|option| option.name == STORE);
        counting.for_each(|option| search.option(option));
        scenario.walk(&mut |step| {
            search.step(step);
            if let StepKind::Fault(fault) = &step.kind
                && step.versions.applies_to(case.version)
            {
                search.fault(fault);
            }
        });
        let rows = scenario.table.iter().flat_map(|table| &table.rows).enumerate();
        for (_, row) in rows.filter(|(index, _)| case.row.is_none_or(|row| row == *index)) {
            row.cells.iter().for_each(|cell| search.cell(cell));
        }
        let mut facts = search.ended();
        facts.is_durable = said.map_or(facts.is_durable, |option| option.value == DURABLE);
        facts.length = length(&scenario.steps);
        facts
    }
}

/// The facts that were found so far, and what some of them depend on together.
#[derive(Default)]
struct Search {
    facts: Facts,
    /// A Topic Filter begins with a wildcard, and a topic with `$`.
    wildcard: bool,
    dollar: bool,
    /// Bytes that are no packet are sent, also a CONNECT of this kind.
    breaks: bool,
    breaks_a_connect: bool,
    /// A client receives an Application Message.
    receives: bool,
}

impl Search {
    fn ended(self) -> Facts {
        let Self { mut facts, wildcard, dollar, breaks, breaks_a_connect, receives } = self;
        // Bytes whose names are not changed may reach a client that expects a message, or take over
        // the Session of another run.
        facts.keeps_its_names |= wildcard && dollar || breaks_a_connect || breaks && receives;
        facts
    }

    fn option(&mut self, option: &HostOption) {
        let is_short = option.value.parse().is_ok_and(|seconds| SHORT_INTERVAL.contains(&seconds));
        self.facts.sets_a_clock |= CLOCKS.contains(&option.name.as_str()) && is_short;
        self.facts.keeps_its_names |= match option.name.as_str() {
            "maximum_packet_size" => true,
            // A list of users may say which topics they may use.
            "users" => ["publish", "subscribe"].iter().any(|word| option.value.contains(word)),
            _ => false,
        };
    }

    fn fault(&mut self, fault: &Fault) {
        let (facts, on_server) = (&mut self.facts, is_on_server(fault));
        match &fault.kind {
            FaultKind::Crash | FaultKind::Start => facts.crashes_server |= on_server,
            FaultKind::Profile(name) => {
                facts.crashes_server |= on_server && name == "broker-crash";
                facts.harms_disk |= on_server && name == "disk-loss";
                facts.tears_writes |= name == "disk-loss";
            }
            FaultKind::Disk(faults) => {
                facts.harms_disk |= on_server && faults.as_slice() != [DiskFault::Sound];
                facts.tears_writes |= faults.contains(&DiskFault::Torn);
            }
            _ => {}
        }
        facts.is_durable = facts.crashes_server || facts.harms_disk;
    }

    fn step(&mut self, step: &Step) {
        match &step.kind {
            StepKind::Line { direction, content, .. } => {
                match (direction, content) {
                    (Direction::ToServer, content) => {
                        self.facts.sends_raw |= matches!(content, Content::Raw(_));
                        self.sent(content);
                    }
                    (Direction::ToClient, Content::Packet(pattern)) => {
                        self.receives |= pattern.packet_type == PacketType::Publish;
                    }
                    (Direction::ToClient, _) => {}
                }
                if let Content::Packet(pattern) = content {
                    self.fields(&pattern.fields);
                    pattern.subscriptions.iter().for_each(|one| self.topic(&one.filter));
                }
            }
            StepKind::Verb { action, .. } | StepKind::Ask { action, .. } => self.action(action),
            _ => {}
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Connects { fields, .. } => self.fields(fields),
            Action::Publishes { topic, fields, .. } => {
                self.fields(fields);
                self.topic(topic);
            }
            Action::Receives { topic, .. } => {
                self.receives = true;
                self.topic(topic);
            }
            Action::Subscribes { subscriptions, .. } => {
                subscriptions.iter().for_each(|subscription| self.topic(&subscription.filter));
            }
            _ => {}
        }
    }

    fn cell(&mut self, cell: &Cell) {
        match cell {
            Cell::Content(content) => {
                self.sent(content);
                if let Content::Packet(pattern) = &**content {
                    self.fields(&pattern.fields);
                }
            }
            Cell::Value(value) => self.topic(value),
        }
    }

    /// What a line or a cell sends.
    fn sent(&mut self, content: &Content) {
        let (breaks, connects) = match content {
            Content::Packet(PacketPattern { patches, packet_type, .. }) => {
                (!patches.is_empty(), *packet_type == PacketType::Connect)
            }
            Content::Raw(raw) => (true, starts_a_connect(raw)),
            _ => (false, false),
        };
        self.breaks |= breaks;
        self.breaks_a_connect |= breaks && connects;
    }

    fn fields(&mut self, fields: &[Field]) {
        for Field { name, test, .. } in fields {
            let facts = &mut self.facts;
            facts.says_credentials |= name == "user_name" || name == "password";
            facts.says_keep_alive |= name == "keep_alive";
            facts.keeps_its_names |= name == "maximum_packet_size";
            match test {
                Test::Equal(Value::Number(number)) => {
                    let is_short = SHORT_INTERVAL.contains(&number.value);
                    facts.sets_a_clock |= CLOCKS.contains(&name.as_str()) && is_short;
                }
                Test::Equal(Value::Text(text)) => {
                    let text = text.as_literal().unwrap_or_default();
                    facts.keeps_its_names |= name == "client_id" && text.len() > LONGEST_ID;
                    self.dollar |= name == "topic" && text.starts_with('$');
                }
                Test::Equal(Value::Fields(inner)) => self.fields(inner),
                _ => {}
            }
        }
    }

    /// A Topic Name or a Topic Filter.
    fn topic(&mut self, value: &Value) {
        let Value::Text(text) = value else { return };
        let text = text.as_literal().unwrap_or_default();
        self.wildcard |= text.starts_with(['#', '+']);
        self.dollar |= text.starts_with('$') && !text.starts_with("$share/");
    }
}

fn is_on_server(fault: &Fault) -> bool {
    match &fault.hosts {
        Hosts::All => false,
        Hosts::Named(names) => names.iter().flat_map(HostName::expand).any(|name| name == SERVER),
    }
}

/// Whether the bytes begin as a CONNECT does.
pub(crate) fn starts_a_connect(raw: &RawBytes) -> bool {
    matches!(raw.atoms.first(), Some(Atom::Bytes(bytes)) if bytes.first() == Some(&0x10))
}

fn length(steps: &[Step]) -> u64 {
    let lengths = steps.iter().map(|step| match &step.kind {
        StepKind::Repeat { times, steps, .. } => u64::from(*times).saturating_mul(length(steps)),
        StepKind::InAnyOrder(steps) | StepKind::EachRow(steps) => length(steps),
        StepKind::Either(branches) => branches.iter().map(|branch| length(&branch.steps)).max().unwrap_or(0),
        StepKind::Load(load) => messages(load),
        _ => 1,
    });
    lengths.fold(0, u64::saturating_add)
}

fn messages(load: &Load) -> u64 {
    let publishers = match &load.publishers {
        Hosts::All => 1,
        Hosts::Named(names) => names.iter().flat_map(HostName::expand).count() as u64,
    };
    let interval = (load.rate.per / load.rate.count.max(1)).max(Duration::from_nanos(1));
    let each = load.lasting.on(false).as_nanos() / interval.as_nanos();
    publishers.saturating_mul(u64::try_from(each).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use mqttspec_codec::Version;

    use super::*;
    use crate::suite::{Selection, Source, plan};

    fn facts(version: Version, header: &str, body: &str) -> Facts {
        let clauses = "clauses  [3.1.1] MQTT-3.1.0-1 [5] MQTT-3.1.0-1";
        let text = format!("title    A test\n{clauses}\nversions 3.1.1 5\n{header}\n{body}");
        let selection = Selection { version: Some(version), ..Selection::default() };
        let plan = plan(&[Source { file: "test.mqtt".to_owned(), text }], &selection);
        if let Some(error) = plan.errors.first() {
            panic!("{}", error.message);
        }
        Facts::of(&plan.cases[0])
    }

    #[test]
    fn a_crash_counts_in_its_version_and_asks_for_a_disk() {
        let crash = "a connects\n[5] crash broker\n[5] start broker\n";
        let there = facts(Version::V5, "", crash);
        assert!(there.crashes_server && there.is_durable && !there.harms_disk);
        let elsewhere = facts(Version::V3_1_1, "", crash);
        assert!(!elsewhere.crashes_server && !elsewhere.is_durable);
        assert!(!facts(Version::V5, "broker   store=memory\n", crash).is_durable);
        assert!(facts(Version::V5, "broker   store=durable\n", "a connects\n").is_durable);
        assert!(!facts(Version::V5, "client   a reference\n", "a connects\ncrash a\n").crashes_server);
    }

    #[test]
    fn a_sound_disk_harms_nothing() {
        let torn = facts(Version::V5, "", "a connects\ndisk broker torn\n");
        assert!(torn.harms_disk && torn.tears_writes && torn.is_durable);
        let sound = facts(Version::V5, "", "a connects\ndisk broker sound\n");
        assert!(!sound.harms_disk && !sound.tears_writes && !sound.is_durable);
    }

    #[test]
    fn raw_bytes_count_as_sent_only_where_the_harness_sends_them() {
        let sent = facts(Version::V5, "", "a > raw 10 { str \"MQTT\" }\na < closed\n");
        assert!(sent.sends_raw && sent.keeps_its_names);
        let expected = facts(Version::V5, "", "a > CONNECT\na < raw 20 03 00 00 00\na < PUBLISH\n");
        assert!(!expected.sends_raw && !expected.keeps_its_names);
    }

    #[test]
    fn what_a_connect_says_is_found_in_lines_and_in_verbs() {
        for body in [
            "a connects keep_alive=10 user_name=me\n",
            "a > CONNECT keep_alive=10 user_name=me\na < CONNACK\n",
        ] {
            let facts = facts(Version::V5, "", body);
            assert!(facts.says_keep_alive && facts.says_credentials && facts.sets_a_clock, "{body}");
        }
        let long = facts(Version::V5, "", "a connects keep_alive=600\n");
        assert!(long.says_keep_alive && !long.says_credentials && !long.sets_a_clock);
    }

    #[test]
    fn the_length_counts_rounds_and_messages() {
        let body = "a connects\nrepeat 10\n  a pings\nload a to t qos=1 rate=2/s for 10s\n";
        assert_eq!(facts(Version::V5, "client   a reference\n", body).length, 1 + 10 + 20);
    }
}

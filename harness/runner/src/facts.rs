//! Facts about a case on which the setup of its runs depends: where the broker keeps its records,
//! which server a live run needs, and which run starts first. Only this module searches scenarios
//! for them. [`crate::hosts`] knows who acts on a host.

use core::ops::RangeInclusive;
use core::time::Duration;

use mqttspec_judge::Case;
use mqttspec_notation::{
    Action, Atom, Cell, Content, Direction, DiskFault, Fault, FaultKind, Field, HostName, HostOption, Hosts,
    Load, PacketPattern, PacketType, ProfileFault, RawBytes, STORE, Step, StepKind, Test, Value,
};

use crate::hosts::SERVER;

/// The value of [`STORE`] for records that outlive a crash.
pub(crate) const DURABLE: &str = "durable";

/// The longest Client Identifier of a scenario to which a token can be added: every server accepts
/// 23 bytes (MQTT 5.0 §3.1.3.1).
const LONGEST_ID: usize = 15;

/// The field, and the option of a host, for which a token counts.
const MAXIMUM_PACKET_SIZE: &str = "maximum_packet_size";

/// The field, and the option of the broker, that limit how long a Client may be silent.
const KEEP_ALIVE: &str = "keep_alive";
pub(crate) const SERVER_KEEP_ALIVE: &str = "server_keep_alive";

/// An interval that may expire during a case, in seconds.
const SHORT_INTERVAL: RangeInclusive<u64> = 1..=60;

/// The packet fields and server options that set a timer of the server.
const SERVER_TIMERS: [&str; 6] = [
    KEEP_ALIVE,
    SERVER_KEEP_ALIVE,
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
    pub(crate) has_disk_fault: bool,
    /// A disk keeps a part of an unsynced write.
    pub(crate) tears_writes: bool,
    /// The reference broker keeps its records on its disk: the scenario says so, or crashes it.
    pub(crate) is_durable: bool,
    /// A line sends raw bytes. No name in them is changed.
    pub(crate) sends_raw: bool,
    /// A CONNECT of the scenario has a User Name or Password.
    pub(crate) sets_credentials: bool,
    /// A CONNECT of the scenario has a Keep Alive.
    pub(crate) sets_keep_alive: bool,
    /// The server may end connections of silent Clients: a CONNECT or the server sets a Keep Alive, a
    /// reference client pings, or a Client does not send its CONNECT.
    pub(crate) ends_silence: bool,
    /// A timer of the server is set that may expire while the case runs.
    pub(crate) sets_server_timer: bool,
    /// A Will has a Will Delay Interval.
    pub(crate) delays_will: bool,
    /// A token before the names would change what the scenario tests, because sizes matter to the
    /// byte, a wildcard must match topics of the server, or a Client Identifier has no room left.
    /// Or malformed packets, which cannot carry a token, may reach another run.
    pub(crate) needs_plain_names: bool,
    /// An estimate of the length of a run: the number of steps, and of messages of loads.
    pub(crate) length: u64,
}

impl Facts {
    pub(crate) fn of(case: &Case) -> Self {
        let scenario = &case.scenario;
        let mut search = Search::default();
        let counting = scenario.broker.iter().filter(|option| option.versions.applies_to(case.version));
        let said = counting.clone().find(|option| option.name == STORE);
        counting.for_each(|option| search.option(option));
        for option in scenario.clients.iter().flat_map(|client| &client.options) {
            if option.versions.applies_to(case.version) {
                search.facts.needs_plain_names |= option.name == MAXIMUM_PACKET_SIZE;
            }
        }
        search.facts.ends_silence |= !scenario.clients.is_empty();
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
            let values = row.cells.iter().filter_map(|cell| match cell {
                Cell::Value(Value::Text(text)) => text.as_literal(),
                _ => None,
            });
            values.for_each(|text| search.first_character(text));
        }
        let mut facts = search.ended();
        facts.is_durable = said.map_or(facts.is_durable, |option| option.value == DURABLE);
        facts.length = length(&scenario.steps);
        facts
    }
}

/// The facts found so far, and intermediate results.
#[derive(Default)]
struct Search {
    facts: Facts,
    /// A Topic Filter starts with a wildcard, and a topic with `$`.
    wildcard: bool,
    dollar: bool,
    /// Malformed packets are sent, and among them a CONNECT.
    breaks: bool,
    breaks_a_connect: bool,
    /// A client receives an Application Message.
    receives: bool,
}

impl Search {
    fn ended(self) -> Facts {
        let Self { mut facts, wildcard, dollar, breaks, breaks_a_connect, receives } = self;
        // Malformed packets, whose names cannot carry a token, may reach a subscriber of another
        // run or take over its Session.
        facts.needs_plain_names |= wildcard && dollar || breaks_a_connect || breaks && receives;
        facts
    }

    fn option(&mut self, option: &HostOption) {
        let is_short = option.value.parse().is_ok_and(|seconds| SHORT_INTERVAL.contains(&seconds));
        self.facts.sets_server_timer |= SERVER_TIMERS.contains(&option.name.as_str()) && is_short;
        self.facts.ends_silence |= option.name == SERVER_KEEP_ALIVE;
        self.facts.needs_plain_names |= match option.name.as_str() {
            MAXIMUM_PACKET_SIZE => true,
            // A list of users may restrict topics.
            "users" => ["publish", "subscribe"].iter().any(|word| option.value.contains(word)),
            _ => false,
        };
    }

    fn fault(&mut self, fault: &Fault) {
        let (facts, on_server) = (&mut self.facts, is_on_server(fault));
        match &fault.kind {
            FaultKind::Crash | FaultKind::Start => facts.crashes_server |= on_server,
            FaultKind::Profile(ProfileFault { name, .. }) => {
                facts.crashes_server |= on_server && name == "broker-crash";
                facts.has_disk_fault |= on_server && name == "disk-loss";
                facts.tears_writes |= name == "disk-loss";
            }
            FaultKind::Disk(faults) => {
                facts.has_disk_fault |= on_server && faults.as_slice() != [DiskFault::Sound];
                facts.tears_writes |= faults.contains(&DiskFault::Torn);
            }
            _ => {}
        }
        facts.is_durable = facts.crashes_server || facts.has_disk_fault;
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
            Action::Opens => self.facts.ends_silence = true,
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

    /// The content of a line or a cell that is sent.
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
            facts.sets_credentials |= name == "user_name" || name == "password";
            facts.sets_keep_alive |= name == KEEP_ALIVE;
            facts.ends_silence |= name == KEEP_ALIVE || name == SERVER_KEEP_ALIVE;
            facts.delays_will |= name == "will_delay";
            facts.needs_plain_names |= name == MAXIMUM_PACKET_SIZE;
            match test {
                Test::Equal(Value::Number(number)) => {
                    let is_short = SHORT_INTERVAL.contains(&number.value);
                    facts.sets_server_timer |= SERVER_TIMERS.contains(&name.as_str()) && is_short;
                }
                Test::Equal(Value::Text(text)) => {
                    let text = text.as_literal().unwrap_or_default();
                    facts.needs_plain_names |= name == "client_id" && text.len() > LONGEST_ID;
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
        self.first_character(text);
    }

    /// A byte order mark is one only at the beginning.
    fn first_character(&mut self, text: &str) {
        self.facts.needs_plain_names |= text.starts_with('\u{feff}');
    }
}

fn is_on_server(fault: &Fault) -> bool {
    match &fault.hosts {
        Hosts::All => false,
        Hosts::Named(names) => names.iter().flat_map(HostName::expand).any(|name| name == SERVER),
    }
}

/// Whether the bytes start like a CONNECT.
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
        assert!(there.crashes_server && there.is_durable && !there.has_disk_fault);
        let elsewhere = facts(Version::V3_1_1, "", crash);
        assert!(!elsewhere.crashes_server && !elsewhere.is_durable);
        assert!(!facts(Version::V5, "broker   store=memory\n", crash).is_durable);
        assert!(facts(Version::V5, "broker   store=durable\n", "a connects\n").is_durable);
        assert!(!facts(Version::V5, "client   a reference\n", "a connects\ncrash a\n").crashes_server);
    }

    #[test]
    fn a_sound_disk_harms_nothing() {
        let torn = facts(Version::V5, "", "a connects\ndisk broker torn\n");
        assert!(torn.has_disk_fault && torn.tears_writes && torn.is_durable);
        let sound = facts(Version::V5, "", "a connects\ndisk broker sound\n");
        assert!(!sound.has_disk_fault && !sound.tears_writes && !sound.is_durable);
    }

    #[test]
    fn raw_bytes_count_as_sent_only_where_the_harness_sends_them() {
        let sent = facts(Version::V5, "", "a > raw 10 { str \"MQTT\" }\na < closed\n");
        assert!(sent.sends_raw && sent.needs_plain_names);
        let expected = facts(Version::V5, "", "a > CONNECT\na < raw 20 03 00 00 00\na < PUBLISH\n");
        assert!(!expected.sends_raw && !expected.needs_plain_names);
    }

    #[test]
    fn a_token_counts_against_the_maximum_packet_size() {
        let plain =
            |client: &str| facts(Version::V5, client, "ask d connect\na connects\n").needs_plain_names;
        assert!(plain("client   d reference maximum_packet_size=90\n"));
        assert!(!plain("client   d reference receive_maximum=90\n"));
    }

    #[test]
    fn a_topic_that_begins_with_a_byte_order_mark_stays_as_it_is() {
        let plain = |body| facts(Version::V5, "", body).needs_plain_names;
        assert!(plain("a connects\na publishes \"\\u{feff}a\" \"x\"\n"));
        assert!(!plain("a connects\na publishes \"a\\u{feff}b\" \"x\"\n"));
    }

    #[test]
    fn what_a_connect_says_is_found_in_lines_and_in_verbs() {
        for body in [
            "a connects keep_alive=10 user_name=me\n",
            "a > CONNECT keep_alive=10 user_name=me\na < CONNACK\n",
        ] {
            let facts = facts(Version::V5, "", body);
            assert!(facts.sets_keep_alive && facts.sets_credentials && facts.sets_server_timer, "{body}");
            assert!(facts.ends_silence, "{body}");
        }
        let delayed = facts(Version::V5, "", "[5] a connects will={topic=t payload=\"x\" will_delay=60}\n");
        assert!(delayed.delays_will && delayed.sets_server_timer && !delayed.sets_keep_alive);
        assert!(!delayed.ends_silence);
        let long = facts(Version::V5, "", "a connects keep_alive=600\n");
        assert!(long.sets_keep_alive && !long.sets_credentials && !long.sets_server_timer);
    }

    #[test]
    fn a_server_may_end_the_silence_of_a_client_without_a_keep_alive_of_its_own() {
        let ends = |header, body| facts(Version::V5, header, body).ends_silence;
        assert!(ends("", "a opens\na < closed\n"));
        assert!(ends("client   d reference\n", "ask d connect\na connects\n"));
        assert!(ends("broker   server_keep_alive=20\n", "a connects\n"));
        assert!(!ends("broker   maximum_qos=1\n", "a connects\na pings\n"));
    }

    #[test]
    fn the_length_counts_rounds_and_messages() {
        let body = "a connects\nrepeat 10\n  a pings\nload a to t qos=1 rate=2/s for 10s\n";
        assert_eq!(facts(Version::V5, "client   a reference\n", body).length, 1 + 10 + 20);
    }
}

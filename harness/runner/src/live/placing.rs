//! Where a case is played: beside the others, on a server of its own, by itself, or not at all, and why.

use core::ops::RangeInclusive;
use core::time::Duration;

use super::probes::Capabilities;
use super::schedule::{self, Limits, Scheduled};
use super::target_file::TargetFile;
use crate::hosts::SERVER;
use crate::peers::broker::STORE;
use mqttspec_judge::Case;
use mqttspec_notation::{
    Action, Atom, Cell, Content, Direction, DiskFault, Fault, FaultKind, Field, HostName, Hosts,
    PacketPattern, PacketType, RawBytes, StepKind, Test, Value,
};

/// The longest Client Identifier of a scenario that still has room for a token: every server takes 23 bytes (MQTT 5.0 §3.1.3.1).
const LONGEST_ID: usize = 15;

/// A wait from which on a case counts as one that waits for long.
const LONG: Duration = Duration::from_secs(1);

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

/// Where a case is played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Beside others, on the server that all share.
    Beside,
    /// On a server that is started for it, with these options.
    Own(Vec<(String, String)>),
    /// On the server that all share, while nobody else plays.
    Alone {
        /// Under the scenario's own names.
        unnamed: bool,
    },
    /// Not at all, for this reason.
    Nowhere(String),
}

/// A case as it is played.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) case: Case,
    pub(crate) place: Place,
    /// How long it takes at least.
    pub(crate) waits: Duration,
    /// Whether it waits for long, or for a clock of the server: an interval that runs out, such as a Keep Alive.
    pub(crate) by_the_clock: bool,
}

/// What placing goes by.
pub(crate) struct Placing<'p> {
    pub(crate) capabilities: &'p Capabilities,
    pub(crate) target_file: &'p TargetFile,
    /// Whether servers can be started here.
    pub(crate) starts: bool,
    pub(crate) limits: Limits,
    /// Whether every Client needs credentials that the scenarios do not have.
    pub(crate) has_credentials: bool,
    /// Whether what waits for long, or for a clock of the server, is left out.
    pub(crate) quick: bool,
}

impl Placing<'_> {
    /// Where to play a case.
    pub(crate) fn place(&self, case: &Case) -> Placed {
        let mut placed =
            Placed { case: case.clone(), place: Place::Beside, waits: Duration::ZERO, by_the_clock: false };
        match self.decide(case) {
            Ok((scheduled, place)) => {
                placed.case.scenario = scheduled.scenario.into();
                (placed.waits, placed.place) = (scheduled.waits, place);
                placed.by_the_clock = scheduled.longest >= LONG || sets_a_clock(&placed.case);
                if placed.by_the_clock && self.quick {
                    placed.place = Place::Nowhere(
                        "waits for a second or longer, or for a clock of the server: left out by --quick"
                            .to_owned(),
                    );
                }
            }
            Err(reason) => placed.place = Place::Nowhere(reason),
        }
        placed
    }

    fn decide(&self, case: &Case) -> Result<(Scheduled, Place), String> {
        if !self.capabilities.versions.contains(&case.version) {
            return Err(format!("the target does not speak MQTT {}", case.version));
        }
        self.needs(case)?;
        let options = self.missing_options(case);
        let own = !options.is_empty();
        if own && !(self.starts && self.target_file.start_with_options.is_some()) {
            let options: Vec<String> =
                options.iter().map(|(name, value)| format!("{name}={value}")).collect();
            return Err(format!("needs a server with {}", options.join(" ")));
        }
        let crashes = self.crashes(case)?;
        let scheduled = schedule::live(&case.scenario, case.version, self.limits)
            .map_err(|needed| format!("needs {needed:?} of real time; --patient waits"))?;
        let place = if own || (crashes || is_unnamed(case)) && self.starts {
            Place::Own(options)
        } else if crashes || is_unnamed(case) {
            Place::Alone { unnamed: is_unnamed(case) }
        } else {
            Place::Beside
        };
        if self.has_credentials
            && says_credentials(case)
            && !self.has_the_user_of(case)
            && !matches!(&place, Place::Own(options) if !options.is_empty())
        {
            return Err("needs a server that takes any credentials".to_owned());
        }
        Ok((scheduled, place))
    }

    fn needs(&self, case: &Case) -> Result<(), String> {
        for need in case.scenario.needs.iter().filter(|need| need.versions.applies_to(case.version)) {
            let text = match need.value {
                Some(value) => format!("{}={value}", need.name),
                None => need.name.clone(),
            };
            let met = match need.name.as_str() {
                "qos" => self.at_least("maximum_qos", need.value),
                "retained" => self.at_least("retain_available", Some(1)),
                "wildcard-subscriptions" => self.at_least("wildcard_subscription_available", Some(1)),
                "subscription-identifiers" => self.at_least("subscription_identifier_available", Some(1)),
                "shared-subscriptions" => self.at_least("shared_subscription_available", Some(1)),
                "topic-alias" => self.at_least("topic_alias_maximum", need.value),
                "session-expiry" => self.at_least("session_expiry", need.value),
                "receive-maximum" => self.at_least("receive_maximum", need.value),
                "maximum-packet-size" => self.at_least("maximum_packet_size", need.value),
                "assigned-client-id" => self.at_least("assigned_client_id", Some(1)),
                "durable-store" => self.target_file.durable,
                // These say what the options of the scenario set up, or what its faults do.
                "password-authentication" => {
                    !case.scenario.broker.is_empty()
                        || self.capabilities.get("password_authentication") == Some("1")
                }
                // Users that the target has anyway say nothing of the methods that it knows.
                "enhanced-authentication" => {
                    !self.missing_options(case).is_empty()
                        || self.capabilities.get("enhanced_authentication") == Some("1")
                }
                "response-information" => {
                    !case.scenario.broker.is_empty()
                        || self.capabilities.get("response_information") == Some("1")
                }
                "restart" => true,
                _ => false,
            };
            if !met && !self.is_set_up(case, &need.name) {
                return Err(format!("needs {text}"));
            }
        }
        Ok(())
    }

    /// Whether the scenario's own options bring about what it needs.
    fn is_set_up(&self, case: &Case, need: &str) -> bool {
        let name = match need {
            "topic-alias" => "topic_alias_maximum",
            "receive-maximum" => "receive_maximum",
            "maximum-packet-size" => "maximum_packet_size",
            _ => return false,
        };
        case.scenario
            .broker
            .iter()
            .any(|option| option.name == name && option.versions.applies_to(case.version))
    }

    /// What is not announced is not limited.
    fn at_least(&self, capability: &str, least: Option<u64>) -> bool {
        let Some(value) = self.capabilities.get(capability) else { return true };
        match (value.parse::<u64>(), least) {
            (Ok(value), Some(least)) => value >= least,
            _ => true,
        }
    }

    /// Options of the scenario that do not hold of the target as it is.
    fn missing_options(&self, case: &Case) -> Vec<(String, String)> {
        let counting = case.scenario.broker.iter().filter(|option| option.versions.applies_to(case.version));
        counting
            .filter(|option| option.name != STORE && !self.holds(&option.name, &option.value))
            .filter(|option| option.name != USERS || !self.has_the_user_of(case))
            .map(|option| (option.name.clone(), option.value.clone()))
            .collect()
    }

    /// Whether the second identity stands for the user of the scenario. Raw bytes go out as they are, with the name that they have.
    fn has_the_user_of(&self, case: &Case) -> bool {
        let has = |value: &str| value == ALICE && self.target_file.second_identity.is_some();
        let options = &case.scenario.broker;
        options.iter().any(|option| option.name == USERS && has(&option.value)) && !sends_raw(case)
    }

    fn holds(&self, name: &str, value: &str) -> bool {
        self.target_file.configured.contains(&format!("{name}={value}"))
            // What a CONNACK announces is what the option of the same name makes the reference broker announce.
            || ANNOUNCED.contains(&name) && self.capabilities.get(name) == Some(value)
    }

    /// Whether the scenario crashes the server.
    fn crashes(&self, case: &Case) -> Result<bool, String> {
        let mut crashes = false;
        let mut disk = false;
        case.scenario.walk(&mut |step| {
            if let StepKind::Fault(fault) = &step.kind
                && step.versions.applies_to(case.version)
                && is_on_server(fault)
            {
                match &fault.kind {
                    FaultKind::Crash | FaultKind::Start => crashes = true,
                    FaultKind::Profile(name) => {
                        crashes |= name == "broker-crash";
                        disk |= name == "disk-loss";
                    }
                    FaultKind::Disk(faults) => disk |= faults.as_slice() != [DiskFault::Sound],
                    _ => {}
                }
            }
        });
        if disk {
            return Err("needs power over the server's disk".to_owned());
        }
        let by_commands = self.target_file.kill.is_some() && self.target_file.start.is_some();
        if crashes && !self.starts && !by_commands {
            return Err(
                "needs a server that can be crashed: --start COMMAND, or a target file with kill and start"
                    .to_owned(),
            );
        }
        Ok(crashes)
    }
}

/// The option that says who may connect, and what it says where a scenario needs one user besides anybody.
const USERS: &str = "users";
const ALICE: &str = "user alice password secret";

/// Options that a CONNACK shows.
const ANNOUNCED: [&str; 10] = [
    "allow_anonymous",
    "maximum_qos",
    "retain_available",
    "wildcard_subscription_available",
    "subscription_identifier_available",
    "shared_subscription_available",
    "topic_alias_maximum",
    "receive_maximum",
    "maximum_packet_size",
    "server_keep_alive",
];

fn is_on_server(fault: &Fault) -> bool {
    match &fault.hosts {
        Hosts::All => false,
        Hosts::Named(names) => names.iter().flat_map(HostName::expand).any(|name| name == SERVER),
    }
}

/// Whether the scenario would be another one with a token before its names: where sizes count to the byte, where a wildcard meets topics of
/// the server, where Client Identifiers are as long as they may be.
fn is_unnamed(case: &Case) -> bool {
    let mut unnamed = case.scenario.broker.iter().any(|option| match option.name.as_str() {
        "maximum_packet_size" => true,
        // A list of users may say which topics they may use.
        "users" => ["publish", "subscribe"].iter().any(|word| option.value.contains(word)),
        _ => false,
    });
    let (mut wildcard, mut dollar) = (false, false);
    each_field(case, &mut |field| {
        unnamed |= field.name == "maximum_packet_size";
        let text = match &field.test {
            Test::Equal(Value::Text(text)) => text.as_literal().unwrap_or_default(),
            _ => "",
        };
        unnamed |= field.name == "client_id" && text.len() > LONGEST_ID;
        dollar |= field.name == "topic" && text.starts_with('$');
    });
    each_topic(case, &mut |topic| {
        wildcard |= topic.starts_with(['#', '+']);
        dollar |= topic.starts_with('$') && !topic.starts_with("$share/");
    });
    unnamed || wildcard && dollar || breaks_among_others(case)
}

/// Whether bytes that are no packet, whose names are not changed, may come to somebody who expects a message, or take over the Session of
/// another run.
fn breaks_among_others(case: &Case) -> bool {
    let breaks = |content: &Content| match content {
        Content::Packet(pattern) => !pattern.patches.is_empty(),
        Content::Raw(_) => true,
        _ => false,
    };
    let is_publish = |content: &Content| matches!(content, Content::Packet(pattern) if pattern.packet_type == PacketType::Publish);
    let connects = |content: &Content| match content {
        Content::Packet(pattern) => pattern.packet_type == PacketType::Connect && !pattern.patches.is_empty(),
        Content::Raw(raw) => starts_a_connect(raw),
        _ => false,
    };
    let (mut broken, mut receives, mut names_itself) = (false, false, false);
    case.scenario.walk(&mut |step| match &step.kind {
        StepKind::Line { direction, content, .. } => {
            broken |= breaks(content);
            names_itself |= connects(content);
            receives |= *direction == Direction::ToClient && is_publish(content);
        }
        StepKind::Verb { action: Action::Receives { .. }, .. } => receives = true,
        _ => {}
    });
    let rows = case.scenario.table.iter().flat_map(|table| &table.rows).enumerate();
    for (_, row) in rows.filter(|(index, _)| case.row.is_none_or(|row| row == *index)) {
        broken |= row.cells.iter().any(|cell| matches!(cell, Cell::Content(content) if breaks(content)));
        names_itself |=
            row.cells.iter().any(|cell| matches!(cell, Cell::Content(content) if connects(content)));
    }
    names_itself || broken && receives
}

/// Whether the bytes begin as a CONNECT does.
fn starts_a_connect(raw: &RawBytes) -> bool {
    matches!(raw.atoms.first(), Some(Atom::Bytes(bytes)) if bytes.first() == Some(&0x10))
}

fn sends_raw(case: &Case) -> bool {
    let mut raw = false;
    case.scenario.walk(&mut |step| {
        raw |= matches!(&step.kind, StepKind::Line { content: Content::Raw(_), .. });
    });
    raw
}

/// Whether the case sets a clock of the server that may run out while it is played.
fn sets_a_clock(case: &Case) -> bool {
    let mut sets = case.scenario.broker.iter().any(|option| {
        CLOCKS.contains(&option.name.as_str())
            && option.value.parse().is_ok_and(|seconds| SHORT_INTERVAL.contains(&seconds))
    });
    each_field(case, &mut |field| {
        sets |= CLOCKS.contains(&field.name.as_str())
            && matches!(&field.test, Test::Equal(Value::Number(number)) if SHORT_INTERVAL.contains(&number.value));
    });
    sets
}

/// Whether a CONNECT of the scenario says who its user is.
fn says_credentials(case: &Case) -> bool {
    let mut says = false;
    each_field(case, &mut |field| says |= field.name == "user_name" || field.name == "password");
    says
}

/// Whether a CONNECT of the scenario says what its Keep Alive is.
pub(crate) fn says_keep_alive(case: &Case) -> bool {
    let mut says = false;
    each_field(case, &mut |field| says |= field.name == "keep_alive");
    says
}

fn each_field(case: &Case, look: &mut dyn FnMut(&Field)) {
    fn fields(all: &[Field], look: &mut dyn FnMut(&Field)) {
        for field in all {
            look(field);
            if let Test::Equal(Value::Fields(inner)) = &field.test {
                fields(inner, look);
            }
        }
    }
    fn pattern(pattern: &PacketPattern, look: &mut dyn FnMut(&Field)) {
        fields(&pattern.fields, look);
    }
    let content = |content: &Content, look: &mut dyn FnMut(&Field)| {
        if let Content::Packet(one) = content {
            pattern(one, look);
        }
    };
    case.scenario.walk(&mut |step| match &step.kind {
        StepKind::Line { content: line, .. } => content(line, look),
        StepKind::Verb { action, .. } | StepKind::Ask { action, .. } => match action {
            Action::Connects { fields: all, .. } | Action::Publishes { fields: all, .. } => fields(all, look),
            _ => {}
        },
        _ => {}
    });
    let rows = case.scenario.table.iter().flat_map(|table| &table.rows).enumerate();
    for (_, row) in rows.filter(|(index, _)| case.row.is_none_or(|row| row == *index)) {
        for cell in &row.cells {
            if let Cell::Content(line) = cell {
                content(line, look);
            }
        }
    }
}

/// Every Topic Name and Topic Filter of verbs and SUBSCRIBE packets.
fn each_topic(case: &Case, look: &mut dyn FnMut(&str)) {
    let mut value = |value: &Value| {
        if let Value::Text(text) = value {
            look(text.as_literal().unwrap_or_default());
        }
    };
    case.scenario.walk(&mut |step| match &step.kind {
        StepKind::Line { content: Content::Packet(pattern), .. } => {
            pattern.subscriptions.iter().for_each(|subscription| value(&subscription.filter));
        }
        StepKind::Verb { action, .. } | StepKind::Ask { action, .. } => match action {
            Action::Subscribes { subscriptions, .. } => {
                subscriptions.iter().for_each(|subscription| value(&subscription.filter));
            }
            Action::Publishes { topic, .. } | Action::Receives { topic, .. } => value(topic),
            _ => {}
        },
        _ => {}
    });
    let rows = case.scenario.table.iter().flat_map(|table| &table.rows).enumerate();
    for (_, row) in rows.filter(|(index, _)| case.row.is_none_or(|row| row == *index)) {
        for cell in &row.cells {
            if let Cell::Value(cell) = cell {
                value(cell);
            }
        }
    }
}

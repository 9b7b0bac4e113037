//! Decides where a case runs: on the shared server with other cases, on a server of its own, on the
//! shared server alone, or not at all.

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

/// The longest Client Identifier of a scenario to which a token can be added: every server accepts
/// 23 bytes (MQTT 5.0 §3.1.3.1).
const LONGEST_ID: usize = 15;

/// A case with a wait of at least this duration is slow.
const LONG: Duration = Duration::from_secs(1);

/// An interval that may expire during a case, in seconds.
const SHORT_INTERVAL: RangeInclusive<u64> = 1..=60;

/// The packet fields and server options that set a timer of the server.
const SERVER_TIMERS: [&str; 6] = [
    "keep_alive",
    "server_keep_alive",
    "will_delay",
    "session_expiry",
    "session_expiry_maximum",
    "message_expiry",
];

/// Where a case runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the shared server, concurrently with other cases.
    Shared,
    /// On a server that is started for it, with these options.
    Own(Vec<(String, String)>),
    /// On the shared server, while no other case runs.
    Exclusive {
        /// Whether the scenario's names go on the wire unchanged.
        plain_names: bool,
    },
    /// Nowhere, for this reason.
    Skip(String),
}

/// A case with its live times, and where it runs.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) case: Case,
    pub(crate) place: Place,
    /// The sum of its waits: its shortest duration.
    pub(crate) waits: Duration,
    /// Whether it has a long wait, or waits for a timer of the server, such as a Keep Alive.
    pub(crate) is_slow: bool,
}

/// What placing depends on.
pub(crate) struct Placing<'p> {
    pub(crate) capabilities: &'p Capabilities,
    pub(crate) target_file: &'p TargetFile,
    /// Whether the harness can start servers.
    pub(crate) starts: bool,
    pub(crate) limits: Limits,
    /// Whether Clients get credentials that the scenarios do not name.
    pub(crate) has_credentials: bool,
    /// Whether slow cases are skipped.
    pub(crate) quick: bool,
}

impl Placing<'_> {
    /// Decides where a case runs.
    pub(crate) fn place(&self, case: &Case) -> Placed {
        let mut placed =
            Placed { case: case.clone(), place: Place::Shared, waits: Duration::ZERO, is_slow: false };
        match self.decide(case) {
            Ok((scheduled, place)) => {
                placed.case.scenario = scheduled.scenario.into();
                (placed.waits, placed.place) = (scheduled.waits, place);
                placed.is_slow = scheduled.longest >= LONG || sets_server_timer(&placed.case);
                if placed.is_slow && self.quick {
                    placed.place = Place::Skip(
                        "waits for a second or longer, or for a timer of the server: skipped by --quick"
                            .to_owned(),
                    );
                }
            }
            Err(reason) => placed.place = Place::Skip(reason),
        }
        placed
    }

    fn decide(&self, case: &Case) -> Result<(Scheduled, Place), String> {
        if !self.capabilities.versions.contains(&case.version) {
            return Err(format!("the target does not support MQTT {}", case.version));
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
            .map_err(|needed| format!("needs a wait of {needed:?}: run with --patient"))?;
        let place = if own || (crashes || needs_plain_names(case)) && self.starts {
            Place::Own(options)
        } else if crashes || needs_plain_names(case) {
            Place::Exclusive { plain_names: needs_plain_names(case) }
        } else {
            Place::Shared
        };
        if self.has_credentials
            && sets_credentials(case)
            && !self.has_user_of(case)
            && !matches!(&place, Place::Own(options) if !options.is_empty())
        {
            return Err("needs a server that accepts any credentials".to_owned());
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
                // The options of the scenario, where it has any, configure the next ones.
                "password-authentication" => {
                    !case.scenario.broker.is_empty()
                        || self.capabilities.get("password_authentication") == Some("1")
                }
                // That the target has these users does not mean that it supports the method.
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
            if !met && !self.is_configured(case, &need.name) {
                return Err(format!("needs {text}"));
            }
        }
        Ok(())
    }

    /// Whether an option of the scenario itself provides what it needs.
    fn is_configured(&self, case: &Case, need: &str) -> bool {
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

    /// Whether a capability has at least this value. One that is not announced has no limit.
    fn at_least(&self, capability: &str, least: Option<u64>) -> bool {
        let Some(value) = self.capabilities.get(capability) else { return true };
        match (value.parse::<u64>(), least) {
            (Ok(value), Some(least)) => value >= least,
            _ => true,
        }
    }

    /// Options of the scenario that the target does not have as it is configured.
    fn missing_options(&self, case: &Case) -> Vec<(String, String)> {
        let counting = case.scenario.broker.iter().filter(|option| option.versions.applies_to(case.version));
        counting
            .filter(|option| option.name != STORE && !self.holds(&option.name, &option.value))
            .filter(|option| option.name != USERS || !self.has_user_of(case))
            .map(|option| (option.name.clone(), option.value.clone()))
            .collect()
    }

    /// Whether the second identity can replace the scenario's user. Raw bytes are sent unchanged,
    /// so a user name in them is not replaced.
    fn has_user_of(&self, case: &Case) -> bool {
        let has = |value: &str| value == ALICE && self.target_file.second_identity.is_some();
        let options = &case.scenario.broker;
        options.iter().any(|option| option.name == USERS && has(&option.value)) && !sends_raw(case)
    }

    fn holds(&self, name: &str, value: &str) -> bool {
        self.target_file.configured.contains(&format!("{name}={value}"))
            // The option of the reference broker has the same name as the capability in a CONNACK.
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
            return Err("needs control of the server's disk".to_owned());
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

/// The option that lists the users, and its value in scenarios that need a second user.
const USERS: &str = "users";
const ALICE: &str = "user alice password secret";

/// Options whose value the probes find, mostly in the CONNACK.
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

/// Whether a token before the names would change what the scenario tests: because sizes matter to
/// the byte, a wildcard must match topics of the server, or a Client Identifier has no room left.
fn needs_plain_names(case: &Case) -> bool {
    let mut plain_names = case.scenario.broker.iter().any(|option| match option.name.as_str() {
        "maximum_packet_size" => true,
        // A list of users may restrict topics.
        "users" => ["publish", "subscribe"].iter().any(|word| option.value.contains(word)),
        _ => false,
    });
    let (mut wildcard, mut dollar) = (false, false);
    each_field(case, &mut |field| {
        plain_names |= field.name == "maximum_packet_size";
        let text = match &field.test {
            Test::Equal(Value::Text(text)) => text.as_literal().unwrap_or_default(),
            _ => "",
        };
        plain_names |= field.name == "client_id" && text.len() > LONGEST_ID;
        dollar |= field.name == "topic" && text.starts_with('$');
    });
    each_topic(case, &mut |topic| {
        wildcard |= topic.starts_with(['#', '+']);
        dollar |= topic.starts_with('$') && !topic.starts_with("$share/");
    });
    plain_names || wildcard && dollar || needs_isolation(case)
}

/// Whether malformed packets, whose names cannot carry a token, may reach a subscriber of another
/// run or take over its Session.
fn needs_isolation(case: &Case) -> bool {
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

/// Whether the bytes start like a CONNECT.
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

/// Whether the case sets a timer of the server that may expire while the case runs.
fn sets_server_timer(case: &Case) -> bool {
    let mut sets = case.scenario.broker.iter().any(|option| {
        SERVER_TIMERS.contains(&option.name.as_str())
            && option.value.parse().is_ok_and(|seconds| SHORT_INTERVAL.contains(&seconds))
    });
    each_field(case, &mut |field| {
        sets |= SERVER_TIMERS.contains(&field.name.as_str())
            && matches!(&field.test, Test::Equal(Value::Number(number)) if SHORT_INTERVAL.contains(&number.value));
    });
    sets
}

/// Whether a CONNECT of the scenario has a User Name or Password.
fn sets_credentials(case: &Case) -> bool {
    let mut says = false;
    each_field(case, &mut |field| says |= field.name == "user_name" || field.name == "password");
    says
}

/// Whether a CONNECT of the scenario has a Keep Alive.
pub(crate) fn sets_keep_alive(case: &Case) -> bool {
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

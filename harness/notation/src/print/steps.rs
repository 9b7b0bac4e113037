//! Prints the lines of the body.

use super::content::{content, subscriptions};
use super::places;
use super::shows::shows;
use super::values::{self, mark};
use crate::faults;
use crate::vocabulary::Owner;
use crate::{
    Action, Branch, Comments, Direction, Field, Level, Load, Name, PacketType, Property, Report, Step,
    StepKind, Timing, Value,
};

/// The steps of a block, each with its own block below it.
pub(super) fn steps(steps: &[Step], indent: usize, written: &mut String) {
    let widths = host_widths(steps);
    for (at, step) in steps.iter().enumerate() {
        if at > 0 && step.comments.blank_line_above {
            written.push('\n');
        }
        let width = widths.get(at).copied().unwrap_or_default();
        comments_above(&step.comments, indent, written);
        end_line(&line(step, width), &step.comments, indent, written);
        blocks(&step.kind, indent, written);
    }
}

/// The width of the column of hosts in each step's paragraph. It aligns `device  > CONNECT` with
/// `watcher > CONNECT`.
fn host_widths(steps: &[Step]) -> Vec<usize> {
    let mut widths = Vec::new();
    let mut start = 0;
    while start < steps.len() {
        let length = 1 + steps[start + 1..].iter().take_while(|step| !step.comments.blank_line_above).count();
        let paragraph = &steps[start..start + length];
        let width =
            paragraph.iter().filter_map(aligned_host).map(|host| host.chars().count()).max().unwrap_or(0);
        widths.extend(core::iter::repeat_n(width, length));
        start += length;
    }
    widths
}

/// The host of a line that is aligned: a line of the transcript that starts with it.
fn aligned_host(step: &Step) -> Option<&Name> {
    match &step.kind {
        StepKind::Line { host, .. } if step.timing == Timing::Usual && step.versions.0.is_empty() => {
            Some(host)
        }
        _ => None,
    }
}

pub(super) fn comments_above(comments: &Comments, indent: usize, written: &mut String) {
    for comment in &comments.above {
        push_indented(comment_text(comment).trim_end(), indent, written);
        written.push('\n');
    }
}

fn comment_text(comment: &str) -> String {
    if comment.is_empty() { "#".to_owned() } else { format!("# {comment}") }
}

/// Ends a line with its comment.
pub(super) fn end_line(line: &str, comments: &Comments, indent: usize, written: &mut String) {
    push_indented(line.trim_end(), indent, written);
    if let Some(comment) = &comments.after {
        written.push_str("  ");
        written.push_str(&comment_text(comment));
    }
    written.push('\n');
}

fn push_indented(line: &str, indent: usize, written: &mut String) {
    written.extend(core::iter::repeat_n(' ', indent * 2));
    written.push_str(line);
}

/// The blocks below a line.
fn blocks(kind: &StepKind, indent: usize, written: &mut String) {
    match kind {
        StepKind::InAnyOrder(inner) | StepKind::EachRow(inner) | StepKind::Repeat { steps: inner, .. } => {
            steps(inner, indent + 1, written);
        }
        StepKind::Either(branches) => {
            for (at, branch) in branches.iter().enumerate() {
                if at > 0 {
                    comments_above(&branch.comments, indent, written);
                    end_line(&branch_line("or", branch), &branch.comments, indent, written);
                }
                steps(&branch.steps, indent + 1, written);
            }
        }
        _ => {}
    }
}

/// The line of a step without its comments and its block; hosts of transcript lines are padded to
/// `width`.
pub(super) fn line(step: &Step, width: usize) -> String {
    let timing = values::timing(step.timing);
    let body = match &step.kind {
        StepKind::Line { host, direction, content: inner } => {
            let width = if aligned_host(step).is_some() { width } else { 0 };
            format!("{host:width$} {} {}", arrow(*direction), content(inner))
        }
        StepKind::Fault(one) => faults::print(one),
        other => untimed(other),
    };
    let mark = mark(&step.versions);
    let shows = shows(step.shows.as_ref());
    match (&step.kind, timing.is_empty()) {
        (_, true) => format!("{mark}{body}{shows}"),
        (StepKind::Fault(_), false) => format!("{mark}{body} {timing}"),
        _ => format!("{mark}{timing} {body}{shows}"),
    }
}

fn arrow(direction: Direction) -> char {
    match direction {
        Direction::ToServer => '>',
        Direction::ToClient => '<',
    }
}

fn untimed(kind: &StepKind) -> String {
    match kind {
        StepKind::Line { .. } => String::new(),
        StepKind::Fault(one) => faults::print(one),
        StepKind::Verb { host, action } => format!("{host} {}", self::action(action, true)),
        StepKind::Ask { host, action } => format!("ask {host} {}", self::action(action, false)),
        StepKind::Told { host, report } => format!("told {host} {}", self::report(report)),
        StepKind::Wait(time) => format!("wait {}", places::time(*time)),
        StepKind::WaitUntil(time) => format!("wait until {}", places::time(*time)),
        StepKind::WaitForQuiet(time) => format!("wait for quiet {}", places::time(*time)),
        StepKind::InAnyOrder(_) => "in any order".to_owned(),
        StepKind::Either(branches) => {
            branches.first().map_or_else(String::new, |first| branch_line("either", first))
        }
        StepKind::Repeat { times, variable: None, .. } => format!("repeat {times}"),
        StepKind::Repeat { times, variable: Some(name), .. } => format!("repeat {times} as {name}"),
        StepKind::EachRow(_) => "each row".to_owned(),
        StepKind::Load(one) => load(one),
        StepKind::Sometimes(name) => format!("sometimes {name}"),
        StepKind::Property(one) => property(one),
    }
}

fn branch_line(word: &str, branch: &Branch) -> String {
    let level = match branch.level {
        Level::Must => "",
        Level::Should => " should",
        Level::May => " may",
    };
    let name = branch.name.as_ref().map(|name| format!(" {}", values::quoted(&crate::Text::literal(name))));
    format!("{word}{level}{}{}", name.unwrap_or_default(), shows(branch.shows.as_ref()))
}

/// As a verb (`connects`), or as a command (`connect`).
fn action(action: &Action, is_verb: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    let verb = match action {
        Action::Opens => "opens",
        Action::Connects { fields, expecting } => {
            push_fields(&mut parts, fields, Owner::Packet(PacketType::Connect));
            push_expecting(&mut parts, &values::fields(expecting, Owner::Packet(PacketType::ConnAck)));
            "connects"
        }
        Action::Subscribes { subscriptions: filters, fields, expecting } => {
            push_fields(&mut parts, fields, Owner::Packet(PacketType::Subscribe));
            parts.extend(subscriptions(filters, PacketType::Subscribe));
            push_expecting(&mut parts, &values::reasons(expecting));
            "subscribes"
        }
        Action::Unsubscribes { filters, fields, expecting } => {
            let owner = Owner::Packet(PacketType::Unsubscribe);
            push_fields(&mut parts, fields, owner);
            parts.extend(filters.iter().map(|filter| values::topic(filter, &[owner])));
            push_expecting(&mut parts, &values::reasons(expecting));
            "unsubscribes"
        }
        Action::Publishes { topic, payload, fields, expecting } => {
            push_message(&mut parts, topic, payload.as_ref(), fields, Owner::Packet(PacketType::Publish));
            push_expecting(&mut parts, &values::fields(expecting, Owner::Packet(PacketType::PubAck)));
            "publishes"
        }
        Action::Receives { topic, payload, fields } => {
            push_message(&mut parts, topic, payload.as_ref(), fields, Owner::Packet(PacketType::Publish));
            "receives"
        }
        Action::Requests { topic, payload, fields } => {
            push_message(&mut parts, topic, payload.as_ref(), fields, Owner::Packet(PacketType::Publish));
            "requests"
        }
        Action::Delivers { topic, payload, fields } => {
            push_message(&mut parts, topic, payload.as_ref(), fields, Owner::Packet(PacketType::Publish));
            "delivers"
        }
        Action::Reauthenticates => "reauthenticates",
        Action::Acknowledges { topic, payload, fields } => {
            push_message(&mut parts, topic, payload.as_ref(), fields, Owner::Acknowledge);
            "acknowledges"
        }
        Action::Pings => "pings",
        Action::Disconnects { fields } => {
            push_fields(&mut parts, fields, Owner::Packet(PacketType::Disconnect));
            "disconnects"
        }
        Action::Closes => "closes",
    };
    let verb = match verb.strip_suffix("es").filter(|_| verb.ends_with("shes")) {
        _ if is_verb => verb,
        Some(stem) => stem,
        None => verb.strip_suffix('s').unwrap_or(verb),
    };
    parts.insert(0, verb.to_owned());
    parts.join(" ")
}

fn push_fields(parts: &mut Vec<String>, fields: &[Field], owner: Owner) {
    parts.extend(fields.iter().map(|field| values::field(field, owner)));
}

fn push_expecting(parts: &mut Vec<String>, expecting: &str) {
    if !expecting.is_empty() {
        parts.push(format!("expecting {expecting}"));
    }
}

fn push_message(
    parts: &mut Vec<String>,
    topic: &Value,
    payload: Option<&Value>,
    fields: &[Field],
    owner: Owner,
) {
    parts.push(values::topic(topic, &[]));
    parts.extend(payload.map(values::payload));
    push_fields(parts, fields, owner);
}

fn report(report: &Report) -> String {
    let mut parts = Vec::new();
    let word = match report {
        Report::Connected(fields) => {
            push_fields(&mut parts, fields, Owner::Connected);
            "connected"
        }
        Report::Disconnected(fields) => {
            push_fields(&mut parts, fields, Owner::Disconnected);
            "disconnected"
        }
        Report::Subscribed(filter) => {
            parts.push(values::topic(filter, &[]));
            "subscribed"
        }
        Report::Unsubscribed(filter) => {
            parts.push(values::topic(filter, &[]));
            "unsubscribed"
        }
        Report::Published { topic, payload, fields } => {
            push_message(&mut parts, topic, payload.as_ref(), fields, Owner::Published);
            "published"
        }
        Report::Received { topic, payload, fields } => {
            push_message(&mut parts, topic, payload.as_ref(), fields, Owner::Received);
            "received"
        }
        Report::Acknowledged { topic, payload, fields } => {
            push_message(&mut parts, topic, payload.as_ref(), fields, Owner::Message);
            "acknowledged"
        }
        Report::Answered { topic, payload, fields } => {
            push_message(&mut parts, topic, payload.as_ref(), fields, Owner::Received);
            "answered"
        }
        Report::Delivered { topic, payload, fields } => {
            push_message(&mut parts, topic, payload.as_ref(), fields, Owner::Message);
            "delivered"
        }
        Report::Reauthenticated => "reauthenticated",
        Report::Failed(fields) => {
            push_fields(&mut parts, fields, Owner::Failed);
            "failed"
        }
    };
    parts.insert(0, word.to_owned());
    parts.join(" ")
}

fn load(load: &Load) -> String {
    let topic = values::text(&load.topic);
    let qos: Vec<String> = load.qos.iter().map(u8::to_string).collect();
    let per =
        if load.rate.per.as_secs_f64() == 1.0 { "s".to_owned() } else { places::duration(load.rate.per) };
    let size = load.size.map(|size| format!(" size={size}")).unwrap_or_default();
    format!(
        "load {} to {topic} qos={} rate={}/{per}{size} for {}",
        places::hosts(&load.publishers),
        qos.join(","),
        load.rate.count,
        places::time(load.lasting)
    )
}

fn property(property: &Property) -> String {
    let mut scope = Vec::new();
    scope.extend(property.host.clone());
    scope.extend(property.qos.map(|qos| format!("qos {qos}")));
    let guarantees: Vec<&str> = property.guarantees.iter().map(|guarantee| guarantee.words()).collect();
    if scope.is_empty() {
        guarantees.join(", ")
    } else {
        format!("{}: {}", scope.join(" "), guarantees.join(", "))
    }
}

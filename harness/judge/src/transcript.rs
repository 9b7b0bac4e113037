//! The history of a run as a [`Trace`]: every event as a line of the notation.

use bytes::Bytes;
use mqttspec_codec::{Role, Version};
use mqttspec_notation::fields::{field_words, hex, line, payload_text};
use mqttspec_notation::{
    Comments, Fault, FaultKind, Field, Framing, SERVER, Span, Step, StepKind, Timing, VersionMark,
};

use crate::active_faults::{ActiveFaults, Change};
use crate::cut;
use crate::history::{Asked, Event, FaultEvent, History, Message, Told, What, nanoseconds};
use crate::trace::{Trace, TraceEvent, TraceFault, TraceKind};

/// The greatest number of events in a trace. Of a longer run, the trace has the last events, which
/// lead to its end.
const LONGEST: usize = 4000;

/// The most bytes of text and hex in a trace.
const MOST_BYTES: usize = 4 << 20;

/// The trace of a history.
pub fn trace(history: &History, version: Version) -> Trace {
    let mut hosts = vec![SERVER.to_owned()];
    hosts.extend(history.hosts().iter().map(|host| host.name.to_string()));
    let all = history.events();
    let earliest = all.len().saturating_sub(LONGEST);
    // A fault that began in the omitted part can end in the part that is shown.
    let mut faults = ActiveFaults::default();
    let changes: Vec<Change> =
        all.iter().enumerate().map(|(index, event)| faults.follow(index, &event.what)).collect();
    let mut events = Vec::new();
    let (mut bytes, mut left_out) = (0, earliest);
    for ((index, event), change) in all.iter().enumerate().zip(changes).skip(earliest).rev() {
        let mut shown = trace_event(history, event, version);
        shown.fault = trace_fault(history, &event.what, change);
        bytes += shown.text.len() + shown.hex.len();
        if bytes > MOST_BYTES {
            left_out = index + 1;
            break;
        }
        events.push(shown);
    }
    if left_out > 0 {
        events.push(TraceEvent::note(format!("{left_out} earlier events are left out")));
    }
    events.reverse();
    Trace { hosts, events }
}

fn trace_event(history: &History, event: &Event, version: Version) -> TraceEvent {
    let observer = event.connection.map_or(Role::Client, |connection| history.info(connection.host).observer);
    let (outward, inward) = match observer {
        Role::Client => (TraceKind::ToServer, TraceKind::ToClient),
        Role::Server => (TraceKind::ToClient, TraceKind::ToServer),
    };
    let sign = |kind| if kind == TraceKind::ToServer { '>' } else { '<' };
    let none = Bytes::new();
    let (kind, text, bytes) = match &event.what {
        What::Opened(_) => (TraceKind::Opened, "opens a connection".to_owned(), &none),
        What::Closed(ending) => (TraceKind::Closed, ending.words().to_owned(), &none),
        What::Sent { packet, bytes } => {
            (outward, format!("{} {}", sign(outward), line(packet, version)), bytes)
        }
        What::SentRaw { text, bytes } => (outward, format!("{} {text}", sign(outward)), bytes),
        What::Received { packet, bytes } => {
            (inward, format!("{} {}", sign(inward), line(packet, version)), bytes)
        }
        What::ReceivedMalformed { bytes, .. } => {
            (inward, format!("{} raw {}", sign(inward), hex(cut::bytes(bytes, cut::EVENT), " ")), bytes)
        }
        What::Fault(fault) => (kind_of_step(&fault.fault.kind), fault_text(&fault.fault), &none),
        What::FaultOver { began } => {
            let text = history.fault(*began).map_or_else(String::new, over_text);
            (TraceKind::FaultEnded, format!("# {text}: over"), &none)
        }
        What::Asked(asked) => (TraceKind::Asked, asked_text(asked), &none),
        What::Told(told) => (TraceKind::Told, told_text(told), &none),
        What::BranchTaken(branch) => (TraceKind::Note, format!("took the branch {}", branch.name), &none),
        What::HandshakeOffered(names) => {
            (TraceKind::ToServer, format!("> handshake offering {}", names.join(" ")), &none)
        }
        What::HandshakeSelected(name) => {
            let name = name.as_deref().unwrap_or("no subprotocol");
            (TraceKind::ToClient, format!("< handshake selecting {name}"), &none)
        }
        What::Framed(framing) => (TraceKind::Note, framing_text(*framing), &none),
        What::ReceivedTextFrame => (inward, format!("{} a WebSocket frame of text", sign(inward)), &none),
        What::MarkReached(mark) => (TraceKind::Note, format!("reached {mark}"), &none),
    };
    TraceEvent {
        at_ns: nanoseconds(event.at),
        host: event
            .connection
            .map_or_else(String::new, |connection| history.info(connection.host).name.to_string()),
        connection: event.connection.map_or(0, |connection| connection.number),
        kind,
        text: cut::text(text, cut::EVENT),
        hex: hex(cut::bytes(bytes, cut::EVENT), ""),
        line: event.line,
        ending: match event.what {
            What::Closed(ending) => Some(ending),
            _ => None,
        },
        fault: None,
    }
}

fn framing_text(framing: Framing) -> String {
    match framing {
        Framing::Own => "sends the next packet in a frame of its own".to_owned(),
        Framing::Text | Framing::Pieces(_) => format!("sends the next packet {framing}"),
        Framing::WithNext => "sends the next two packets in one frame".to_owned(),
    }
}

/// The fault that an event begins or ends; `None` for other events.
fn trace_fault(history: &History, what: &What, change: Change) -> Option<TraceFault> {
    let event = match what {
        What::Fault(event) => event,
        What::FaultOver { began } => history.fault(*began)?,
        _ => return None,
    };
    let number = |index: usize| u64::try_from(index).unwrap_or(u64::MAX);
    Some(TraceFault {
        kind: (&event.fault.kind).into(),
        hosts: event.hosts.clone(),
        towards: event.fault.towards.clone(),
        begins: change.begins.map(number),
        ends: change.ends.into_iter().map(number).collect(),
    })
}

fn kind_of_step(kind: &FaultKind) -> TraceKind {
    match kind {
        FaultKind::Crash => TraceKind::Crashed,
        FaultKind::Start => TraceKind::Started,
        FaultKind::Heal | FaultKind::Resume => TraceKind::FaultEnded,
        _ => TraceKind::FaultBegun,
    }
}

/// The fault as a line of the notation, without its timing.
fn fault_text(fault: &Fault) -> String {
    let step = Step {
        span: Span::default(),
        versions: VersionMark::default(),
        timing: Timing::Usual,
        kind: StepKind::Fault(fault.clone()),
        shows: None,
        comments: Comments::default(),
    };
    step.to_string()
}

/// The text of the fault in the line that reports its end. That of a fault profile names each host.
fn over_text(event: &FaultEvent) -> String {
    match &event.fault.kind {
        FaultKind::Profile(profile) => format!("profile {} {}", profile.name, event.hosts.join(" ")),
        _ => fault_text(&event.fault),
    }
}

/// An event of a connection in the notation, without the host: `> CONNECT client_id=device`.
pub fn event_text(history: &History, event: &Event, version: Version) -> String {
    trace_event(history, event, version).text
}

fn asked_text(asked: &Asked) -> String {
    match asked {
        Asked::Publish { message, .. } => format!("publish {}", message_text(message)),
        Asked::Subscribe { filters, .. } => {
            let filters: Vec<String> =
                filters.iter().map(|(filter, qos)| format!("{filter} qos={qos}")).collect();
            format!("subscribe {}", filters.join(" "))
        }
        Asked::Unsubscribe(filters) => format!("unsubscribe {}", filters.join(" ")),
        Asked::Acknowledge { message, fields } => {
            format!("acknowledge {} {}{}", message.topic, payload_text(&message.payload), fields_text(fields))
        }
        Asked::Request { message } => format!("request {}", message_text(message)),
        Asked::Deliver { message } => format!("deliver {}", message_text(message)),
        Asked::Reauthenticate => "reauthenticate".to_owned(),
        Asked::Connect(fields) => format!("connect{}", fields_text(fields)),
        Asked::Disconnect(fields) => format!("disconnect{}", fields_text(fields)),
    }
}

fn fields_text(fields: &[Field]) -> String {
    fields.iter().map(|field| format!(" {}", field_words(field))).collect()
}

/// An event of a client in the notation.
#[must_use]
pub fn told_text(told: &Told) -> String {
    match told {
        Told::Message { message, properties } => {
            let properties = properties.as_deref().unwrap_or_default();
            format!("received {}{}", message_text(message), fields_text(properties))
        }
        Told::Answered { message, properties } => {
            format!("answered {}{}", message_text(message), fields_text(properties))
        }
        Told::Delivered { message } => format!("delivered {}", message_text(message)),
        Told::Reauthenticated => "reauthenticated".to_owned(),
        Told::Acknowledged { message } => format!("acknowledged {}", message_text(message)),
        Told::Published { message, refused: None, .. } => format!("published {}", message_text(message)),
        Told::Published { message, refused: Some(error), .. } => {
            format!("failed error={} # publish {}: {}", error.kind, message_text(message), error.text)
        }
        Told::Subscribed { filters, .. } => format!("subscribed {}", filters.join(" ")),
        Told::Unsubscribed { filters } => format!("unsubscribed {}", filters.join(" ")),
        Told::Connected { session_present } => {
            format!("connected session_present={}", u8::from(*session_present))
        }
        Told::Disconnected { error: None } => "disconnected".to_owned(),
        Told::Disconnected { error: Some(error) } => format!("disconnected # {}", error.text),
        Told::Failed { error } => format!("failed error={} # {}", error.kind, error.text),
    }
}

fn message_text(message: &Message) -> String {
    let retain = if message.retain { " retain" } else { "" };
    format!("{} {} qos={}{retain}", message.topic, payload_text(&message.payload), message.qos)
}

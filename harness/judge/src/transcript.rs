//! The history of a run as a [`Trace`]: every event as a line of the notation.

use bytes::Bytes;
use mqttspec_codec::{Role, Version};

use crate::history::{Asked, Event, History, Message, Told, What, nanoseconds};
use crate::trace::{Trace, TraceEvent, TraceKind};
use mqttspec_notation::SERVER;
use mqttspec_notation::fields::{hex, line, payload_text};

/// How many events of a run a trace holds; of a longer run the last ones, which lead to its end.
const LONGEST: usize = 4000;

/// The trace of a history.
pub fn trace(history: &History, version: Version) -> Trace {
    let mut hosts = vec![SERVER.to_owned()];
    hosts.extend(history.lanes().iter().map(|lane| lane.name.to_string()));
    let all = history.events();
    let left_out = all.len().saturating_sub(LONGEST);
    let mut events = Vec::with_capacity(all.len() - left_out);
    if left_out > 0 {
        events.push(TraceEvent {
            at_ns: 0,
            host: String::new(),
            connection: 0,
            kind: TraceKind::Note,
            text: format!("{left_out} earlier events are left out"),
            hex: String::new(),
            line: 0,
        });
    }
    events.extend(all[left_out..].iter().map(|event| trace_event(history, event, version)));
    Trace { hosts, events }
}

fn trace_event(history: &History, event: &Event, version: Version) -> TraceEvent {
    let observer = event.connection.map_or(Role::Client, |connection| history.info(connection.lane).observer);
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
            (inward, format!("{} raw {}", sign(inward), hex(bytes, " ")), bytes)
        }
        What::FaultBegun(text) => (TraceKind::FaultBegun, text.clone(), &none),
        What::FaultEnded(text) => (TraceKind::FaultEnded, text.clone(), &none),
        What::Crashed(text) => (TraceKind::Crashed, text.clone(), &none),
        What::Started(text) => (TraceKind::Started, text.clone(), &none),
        What::Asked(asked) => (TraceKind::Asked, asked_text(asked), &none),
        What::Told(told) => (TraceKind::Told, told_text(told), &none),
        What::Note(text) => (TraceKind::Note, text.clone(), &none),
    };
    TraceEvent {
        at_ns: nanoseconds(event.at),
        host: event
            .connection
            .map_or_else(String::new, |connection| history.info(connection.lane).name.to_string()),
        connection: event.connection.map_or(0, |connection| connection.number),
        kind,
        text,
        hex: hex(bytes, ""),
        line: event.line,
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
        Asked::Other(text) => text.clone(),
    }
}

/// What a client reported, in the notation.
#[must_use]
pub fn told_text(told: &Told) -> String {
    match told {
        Told::Message(message) => format!("received {}", message_text(message)),
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

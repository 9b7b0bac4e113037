//! Which characters need no quotes and which words are reserved. The parser and the printer share
//! these rules, so that printed files parse to the same scenario.

use super::vocabulary::{Owner, nearest};
use super::{PacketType, Version};

/// Whether a text with this character needs no quotes.
pub(super) fn is_bare(character: char) -> bool {
    character.is_alphanumeric() || "/+#$_-.:@*%".contains(character)
}

/// Whether the name of a capture or variable may start with the character.
pub(super) fn is_variable_start(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_'
}

/// Whether the name of a capture or variable may contain the character.
pub(super) fn is_variable(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Whether the value of an option may have the character without quotes.
pub(super) fn is_bare_option(character: char) -> bool {
    is_bare(character) || character == ','
}

/// A version as written in `versions` and in marks.
pub(super) fn version_word(version: Version) -> &'static str {
    match version {
        Version::V3_1 => "3.1",
        Version::V3_1_1 => "3.1.1",
        Version::V5 => "5",
    }
}

/// Words that end a list of fields.
pub(super) const STOPS: &[&str] = &["with", "where", "truncated", "extended", "or", "expecting", SHOWS];

/// The word in front of the clauses that a line shows.
pub(super) const SHOWS: &str = "shows";

/// Whether a Topic Filter or Topic Name needs quotes, because the bare word would be read as
/// something else.
pub(super) fn is_taken(word: &str, owners: &[Owner]) -> bool {
    STOPS.contains(&word)
        || owners.iter().any(|owner| owner.field(word).is_some())
        || misspelt(word, owners).is_some()
}

/// The field that a bare word was probably meant to be.
pub(super) fn misspelt(word: &str, owners: &[Owner]) -> Option<&'static str> {
    let looks_like_a_field =
        word.len() >= 5 && word.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c == '-');
    if !looks_like_a_field {
        return None;
    }
    nearest(word, owners.iter().flat_map(|owner| owner.fields()).map(|rule| rule.name))
}

/// The packet type with this name.
pub(super) fn packet_type(name: &str) -> Option<PacketType> {
    PacketType::ALL.into_iter().find(|packet| packet.name() == name)
}

/// The first words of the lines of a header, in the order in which they are printed.
pub(super) const HEADER_WORDS: &[&str] =
    &["title", "reading", "clauses", "versions", "tests", "needs", "broker", "client", "seeds", "table"];

/// The first words of faults.
pub(super) const FAULT_WORDS: &[&str] = &[
    "cut",
    "close",
    "partition",
    "heal",
    "latency",
    "loss",
    "bandwidth",
    "stall",
    "resume",
    "crash",
    "start",
    "disk",
    "profile",
];

/// Words that end a list of hosts.
pub(super) const AFTER_HOSTS: &[&str] = &[
    "to",
    "for",
    "within",
    "after",
    "between",
    "at",
    "sound",
    "lose-unsynced",
    "torn",
    "full",
    "qos",
    "rate",
    "size",
];

/// The first words of the other steps that do not start with a host.
pub(super) const STEP_WORDS: &[&str] = &[
    "in",
    "either",
    "or",
    "repeat",
    "each",
    "load",
    "sometimes",
    "wait",
    "ask",
    "told",
    "within",
    "after",
    "between",
    "at",
    "exactly",
    "qos",
];

/// Other words that cannot be the name of a host, because a host may be in the same position.
const OTHER_TAKEN: &[&str] = &[
    "all",
    "to",
    "for",
    "reference",
    "nothing",
    "closed",
    "anything",
    "raw",
    SHOWS,
    "sound",
    "lose-unsynced",
    "torn",
    "full",
];

/// The verbs of a client, in the order of their use.
pub(super) const VERBS: &[&str] = &[
    "opens",
    "connects",
    "subscribes",
    "unsubscribes",
    "publishes",
    "receives",
    "pings",
    "disconnects",
    "closes",
];

/// The commands of `ask`.
pub(super) const COMMANDS: &[&str] = &[
    "connect",
    "subscribe",
    "unsubscribe",
    "publish",
    "request",
    "deliver",
    "acknowledge",
    "reauthenticate",
    "disconnect",
];

/// The reports of `told`.
pub(super) const REPORTS: &[&str] = &[
    "connected",
    "disconnected",
    "subscribed",
    "unsubscribed",
    "published",
    "received",
    "answered",
    "delivered",
    "acknowledged",
    "reauthenticated",
    "failed",
];

/// Whether a host may have this name, apart from the characters. `broker` may: faults name it.
pub(super) fn may_be_host(name: &str) -> bool {
    let taken = [HEADER_WORDS, FAULT_WORDS, STEP_WORDS, OTHER_TAKEN];
    name == crate::SERVER || !taken.iter().any(|words| words.contains(&name))
}

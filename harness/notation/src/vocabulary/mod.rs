//! The words of the notation: fields of packets, Reason Codes, needs and fault profiles, and the
//! search for the nearest spelling.

mod fields;
mod reasons;

pub use fields::{FieldKind, FieldRule, Owner, SCRAM_MESSAGES};
pub use reasons::{reason_code, reason_name, reason_names};

/// A capability that a scenario may need of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedRule {
    /// The name in the notation.
    pub name: &'static str,
    /// Whether it has a value: the least that is sufficient.
    pub has_value: bool,
    /// The capability.
    pub meaning: &'static str,
}

const fn need(name: &'static str, meaning: &'static str) -> NeedRule {
    NeedRule { name, has_value: false, meaning }
}

const fn least(name: &'static str, meaning: &'static str) -> NeedRule {
    NeedRule { name, has_value: true, meaning }
}

/// The words after `needs`.
pub const NEEDS: &[NeedRule] = &[
    least("qos", "grants and delivers this QoS (Maximum QoS, section 3.2.2.3.4)"),
    need("retained", "keeps retained messages (Retain Available, section 3.2.2.3.5)"),
    need("wildcard-subscriptions", "accepts Topic Filters with wildcards (section 3.2.2.3.11)"),
    need("subscription-identifiers", "accepts Subscription Identifiers (section 3.2.2.3.12)"),
    need("shared-subscriptions", "accepts Shared Subscriptions (section 3.2.2.3.13)"),
    least("topic-alias", "accepts Topic Aliases up to this value from a Client (section 3.2.2.3.8)"),
    least("session-expiry", "keeps a Session for this number of seconds (section 3.2.2.3.2)"),
    least("receive-maximum", "accepts this number of unacknowledged PUBLISH packets (section 3.2.2.3.3)"),
    least("maximum-packet-size", "accepts packets of this size in bytes (section 3.2.2.3.6)"),
    need("response-information", "sends Response Information (section 3.2.2.3.15)"),
    need("assigned-client-id", "accepts a zero-length Client Identifier (section 3.1.3.1)"),
    need("password-authentication", "checks user name and password (sections 3.1.3.5 and 3.1.3.6)"),
    need("enhanced-authentication", "supports SCRAM-SHA-256 with AUTH packets (section 4.12)"),
    need("restart", "can be crashed and started again"),
    need("durable-store", "keeps Sessions and messages over a restart"),
];

/// The fault profiles.
pub fn profiles() -> impl Iterator<Item = &'static str> {
    mqttspec_faults::Profile::USUAL.iter().map(mqttspec_faults::Profile::name)
}

/// The candidate with the spelling nearest to `word`, if it is near enough.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let allowed = if length < 2 { 0 } else { length.div_ceil(3) };
    let distances = candidates.into_iter().map(|candidate| {
        let distance = strsim::osa_distance(word, candidate);
        let contained = word.len() > 2 && candidate.split(['_', '-']).any(|part| part == word);
        (if contained { distance.min(1) } else { distance }, candidate)
    });
    distances
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

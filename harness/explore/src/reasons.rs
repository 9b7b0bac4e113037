//! Why a campaign does not find a mutant.

use mqttspec_codec::Role;

/// The reference client documents it, and no text of the standard is contrary to the mutant.
const DOCUMENTED: &str = "breaks only what the reference client documents";

/// The mutants that no campaign can find, or that one finds in many more runs, with the reason.
const REASONS: &[(Role, &str, &str)] = &[
    (
        Role::Client,
        "quota-leaks",
        "a client may have fewer messages in flight than its quota allows; only a line that expects the last one shows it",
    ),
    (
        Role::Client,
        "clean-start-always",
        "a client may begin a new Session with each connection; only what its application asked for shows the fault",
    ),
    (Role::Client, "clean-start-never", DOCUMENTED),
    (Role::Client, "subscribes-at-each-connection", DOCUMENTED),
    (Role::Client, "closes-without-disconnect", DOCUMENTED),
    (Role::Client, "misses-no-pingresp", DOCUMENTED),
    (Role::Client, "connects-late", DOCUMENTED),
    (Role::Client, "hears-no-connack-refusal", DOCUMENTED),
    (Role::Client, "waits-for-ever", DOCUMENTED),
    (Role::Client, "breaker-stays-closed", DOCUMENTED),
    (Role::Client, "breaker-stays-open", DOCUMENTED),
    (Role::Client, "queue-in-reverse", DOCUMENTED),
    (Role::Client, "queue-loses-the-first", DOCUMENTED),
    (
        Role::Client,
        "hears-no-disconnect",
        "that a client closes after the DISCONNECT of the Server is only recommended (U5-151)",
    ),
    (
        Role::Server,
        "closes-without-a-word",
        "5.0 only recommends a DISCONNECT before the end (U5-147), and makes a refusal in CONNACK optional",
    ),
    (Role::Server, "gives-another-reason", "which Reason Code a Server uses is mostly its choice"),
    (
        Role::Server,
        "speaks-behind-the-clients-disconnect",
        "that a Server closes after a DISCONNECT is only recommended (U5-151), and a PINGRESP without PINGREQ is not forbidden",
    ),
    (
        Role::Server,
        "disconnects-for-a-refusal",
        "a Server may close a connection for reasons of its own; only a line that expects the answer shows it",
    ),
    (
        Role::Server,
        "closes-for-nothing",
        "a Server may close a connection for reasons of its own; only a line that expects the answer shows it",
    ),
    (
        Role::Server,
        "permissions-ignored",
        "breaks only what the reference broker documents: the standard leaves open who may use a topic",
    ),
];

/// The reason for a mutant.
pub(crate) fn reason(role: Role, name: &str) -> Option<&'static str> {
    REASONS.iter().find(|(of, mutant, _)| (*of, *mutant) == (role, name)).map(|(.., reason)| *reason)
}

#[cfg(test)]
mod tests {
    use mqttspec_mutants::Mutant;

    use super::*;

    #[test]
    fn every_reason_is_about_another_mutant() {
        for (number, (role, name, _)) in REASONS.iter().enumerate() {
            assert!(Mutant::named(name, *role).is_some(), "{name}");
            assert!(REASONS[..number].iter().all(|(of, other, _)| (of, other) != (role, name)), "{name}");
        }
    }

    #[test]
    fn only_documented_behaviour_is_broken_where_the_reason_says_so() {
        for (role, name, reason) in REASONS {
            let mutant = Mutant::named(name, *role).expect("a mutant");
            let says = reason.starts_with("breaks only what the reference");
            assert_eq!(says, mutant.breaks_documented_behaviour(), "{name}");
        }
    }
}

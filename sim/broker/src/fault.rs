//! Why the Server ends a Network Connection.

use mqttspec_codec::DisconnectReason;

/// Why the Server ends a Network Connection (§4.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: DisconnectReason,
    pub(crate) detail: &'static str,
    /// The clauses that the Client broke, by their numbers in 5.0; empty if the rule has no number.
    /// `None` if it broke no rule, or one that its packets alone show to be broken.
    pub(crate) broken: Option<&'static [&'static str]>,
}

impl Fault {
    pub(crate) const fn new(reason: DisconnectReason, detail: &'static str) -> Self {
        Self { reason, detail, broken: None }
    }

    /// The Client broke these clauses.
    pub(crate) const fn breaking(self, clauses: &'static [&'static str]) -> Self {
        Self { broken: Some(clauses), ..self }
    }

    pub(crate) const fn protocol(detail: &'static str) -> Self {
        Self::new(DisconnectReason::ProtocolError, detail)
    }
}

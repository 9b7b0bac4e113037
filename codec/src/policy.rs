//! Decisions that the standard leaves to the receiver. The caller chooses; the default accepts.

/// How to treat input that the standard advises against or leaves open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Control characters U+0001 to U+001F and U+007F to U+009F in UTF-8 Encoded Strings (§1.5.4).
    pub control_characters: Advice,
    /// Unicode non-characters, such as U+FFFE and U+FDD0, in UTF-8 Encoded Strings (§1.5.4).
    pub non_characters: Advice,
    /// A payload or Will Payload that is not UTF-8 although its Payload Format Indicator is 1
    /// (§3.3.2.3.2, §3.1.3.2.3).
    pub payload_format: Advice,
}

impl Policy {
    /// Accepts everything that the standard lets a receiver accept.
    pub const LENIENT: Self = Self::all(Advice::Accept);
    /// Refuses everything that the standard lets a receiver refuse.
    pub const STRICT: Self = Self::all(Advice::Refuse);

    const fn all(advice: Advice) -> Self {
        Self { control_characters: advice, non_characters: advice, payload_format: advice }
    }

    #[inline]
    pub(crate) const fn looks_at_characters(self) -> bool {
        matches!(self.control_characters, Advice::Refuse) || matches!(self.non_characters, Advice::Refuse)
    }
}

/// What to do with input that the standard advises against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Advice {
    /// Accept it.
    #[default]
    Accept,
    /// Treat it as a Malformed Packet.
    Refuse,
}

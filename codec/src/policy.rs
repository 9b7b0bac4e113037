//! What the standard leaves to the receiver: the caller decides, and the default lets it pass.

/// How to take what the standard advises against or leaves open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Control characters U+0001 to U+001F and U+007F to U+009F in UTF-8 Encoded Strings (§1.5.4).
    pub control_characters: Advice,
    /// Unicode non-characters, as U+FFFE and U+FDD0, in UTF-8 Encoded Strings (§1.5.4).
    pub non_characters: Advice,
    /// A payload or Will Payload that is not UTF-8 although its Payload Format Indicator is 1 (§3.3.2.3.2, §3.1.3.2.3).
    pub payload_format: Advice,
}

impl Policy {
    /// Refuse nothing that the standard lets a receiver accept.
    pub const LENIENT: Self = Self::all(Advice::Accept);
    /// Refuse everything that the standard lets a receiver refuse.
    pub const STRICT: Self = Self::all(Advice::Refuse);

    const fn all(advice: Advice) -> Self {
        Self { control_characters: advice, non_characters: advice, payload_format: advice }
    }

    #[inline]
    pub(crate) const fn looks_at_characters(self) -> bool {
        matches!(self.control_characters, Advice::Refuse) || matches!(self.non_characters, Advice::Refuse)
    }
}

/// What to do with something that is advised against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Advice {
    /// Let it pass.
    #[default]
    Accept,
    /// Take it for a Malformed Packet.
    Refuse,
}

//! The smallest parts of the notation: spans, names, numbers, times, texts, values and fields.

use core::fmt;
use core::time::Duration;

use mqttspec_codec::Version;

/// A position in the source, in byte offsets: `start` inclusive, `end` exclusive.
///
/// All spans are equal to each other, so the equality of scenarios does not depend on positions.
#[derive(Clone, Copy, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// The span from `start` to before `end`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The smallest span that contains both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Line and column of the start, both counted from 1, columns in characters.
    #[must_use]
    pub fn line_and_column(self, source: &str) -> (usize, usize) {
        let before = source.get(..self.start.min(source.len())).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl PartialEq for Span {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Span {}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// `[5]`, `[3.1.1]`, `[3.1 3.1.1]`: the versions to which something applies. No mark means every
/// version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionMark(
    /// In ascending order, each once; empty for every version.
    pub Vec<Version>,
);

impl VersionMark {
    /// Whether something with this mark applies to `version`.
    #[must_use]
    pub fn applies_to(&self, version: Version) -> bool {
        self.0.is_empty() || self.0.contains(&version)
    }

    /// Whether a version has both what carries this mark and what carries the other.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.0.is_empty() || other.0.is_empty() || self.0.iter().any(|version| other.0.contains(version))
    }
}

/// A name: of a host, a capture (without its `$`), a field.
pub type Name = String;

/// How a number is written. A printed file keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Radix {
    /// `10`
    Decimal,
    /// `0x0a`, lower case, two digits a byte
    Hexadecimal,
}

/// A number and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The value.
    pub value: u64,
    /// How it is written.
    pub radix: Radix,
}

impl Number {
    /// A number in decimal.
    #[must_use]
    pub fn decimal(value: u64) -> Self {
        Self { value, radix: Radix::Decimal }
    }

    /// A number in hexadecimal.
    #[must_use]
    pub fn hexadecimal(value: u64) -> Self {
        Self { value, radix: Radix::Hexadecimal }
    }
}

/// A duration: `30s`, `1.5s`, `20ms`, `2m`, `1h`, in whole microseconds. It may have another value
/// for live targets, where waiting takes real time: `30s [live 3s]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// In the simulated world, and on live targets if `live` is `None`.
    pub simulated: Duration,
    /// On live targets.
    pub live: Option<Duration>,
}

impl Time {
    /// The same duration everywhere.
    #[must_use]
    pub fn everywhere(duration: Duration) -> Self {
        Self { simulated: duration, live: None }
    }

    /// The duration on a live target (`live`) or in the simulated world.
    #[must_use]
    pub fn on(self, live: bool) -> Duration {
        if live { self.live.unwrap_or(self.simulated) } else { self.simulated }
    }
}

/// A range of durations, both ends included: `5ms..40ms`. The seed draws one, or something must
/// happen within it. It may have another value for live targets: `14s..16s [live 1.4s..1.6s]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// In the simulated world, and on live targets if `live` is `None`.
    pub simulated: (Duration, Duration),
    /// On live targets.
    pub live: Option<(Duration, Duration)>,
}

impl TimeRange {
    /// The shortest and the longest duration on a live target (`live`) or in the simulated world.
    #[must_use]
    pub fn on(self, live: bool) -> (Duration, Duration) {
        if live { self.live.unwrap_or(self.simulated) } else { self.simulated }
    }
}

/// A text that may contain variables: `"m$i"` is the literal `m` and the variable `i`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(
    /// The pieces in order, without empty or adjacent literals. The empty text has no piece.
    pub Vec<Piece>,
);

/// A piece of a [`Text`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// Literal characters.
    Literal(String),
    /// The value of a capture, a loop variable, a column of the table, or `client` in the topic of
    /// `load`.
    Variable(Name),
}

impl Text {
    /// A text without variables.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        if text.is_empty() { Self::default() } else { Self(vec![Piece::Literal(text.to_owned())]) }
    }

    /// The text, if it contains no variable.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with every variable replaced by the value that `value_of` returns for its name.
    ///
    /// # Errors
    /// The name of the first variable without a value.
    pub fn resolve(&self, mut value_of: impl FnMut(&str) -> Option<String>) -> Result<String, Name> {
        let mut whole = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => whole.push_str(text),
                Piece::Variable(name) => whole.push_str(&value_of(name).ok_or_else(|| name.clone())?),
            }
        }
        Ok(whole)
    }
}

/// The value of a field or a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `10`, `0x87`
    Number(Number),
    /// A word of the notation: the name of a Reason Code (`not-authorized`).
    Word(Name),
    /// `"gone"`; without quotes if the field is a text and the characters allow it:
    /// `client_id=watcher`.
    Text(Text),
    /// `x"61ff"`: bytes of a payload, a password, Correlation Data, Authentication Data.
    Bytes(Vec<u8>),
    /// `"name":"value"`: a User Property.
    Pair(Text, Text),
    /// `$m`: takes its value at its first use in an expectation, and must be equal afterwards; also
    /// a loop counter or a column of the table.
    Capture(Name),
    /// `{topic=t payload="x" qos=1}`: the Will.
    Fields(Vec<Field>),
}

/// A named field of a packet, with its value or test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The position, including the mark.
    pub span: Span,
    /// `[5] session_expiry=3600`: the versions to which the field applies.
    pub versions: VersionMark,
    /// The name in the vocabulary (`keep_alive`).
    pub name: Name,
    /// The test. A line that is sent has only [`Test::Equal`], and [`Test::Absent`] to omit a
    /// default.
    pub test: Test,
    /// `keep_alive=10 [live 2]`: the number on live targets. Only with [`Test::Equal`] of a
    /// [`Value::Number`].
    pub live: Option<Number>,
}

/// A test of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `id=1`; a bare flag (`dup`, `retain`) is `Equal(1)`.
    Equal(Value),
    /// `reason=not-authorized|banned`: one of two or more.
    OneOf(Vec<Value>),
    /// `message_expiry=8..10`: a number in the range, both ends included.
    Between(Number, Number),
    /// `id!=$held`, `reason>=0x80`
    Compared(Operator, Value),
    /// `!reason_string`: the packet must not have it.
    Absent,
    /// `reason_string`: the packet must have it, with any value. In a list of Reason Codes: `any`.
    Present,
}

/// A comparison of two values other than equality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

impl Operator {
    /// Whether `left OPERATOR right` holds.
    #[must_use]
    pub fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::More => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

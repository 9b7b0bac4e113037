//! What travels between the two ends of a connection.

/// Bytes of payload in one segment at most: the 1,500 of Ethernet less the headers.
pub(crate) const LARGEST_PAYLOAD: usize = 1_460;
/// Headers of IPv4 and TCP without options, in bytes.
const HEADERS: u64 = 40;

/// What a segment is for (RFC 9293 §3.1 has them as control bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SYN: asks for a connection.
    Request,
    /// SYN and ACK: grants it.
    Answer,
    /// Bytes, an end, an acknowledgement.
    Plain,
    /// RST: the connection is over, or never was.
    Reset,
}

/// One segment. Each arrives once, if at all.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) kind: Kind,
    /// Its sequence number: how much its end had sent before it, counted as [`length`](Segment::length) counts.
    pub(crate) start: u64,
    /// FIN: nothing follows the bytes.
    pub(crate) finishes: bool,
    pub(crate) bytes: Vec<u8>,
    /// How much of what the other end sent has arrived, counted as [`length`](Segment::length) counts.
    pub(crate) acknowledges: u64,
    /// How many more bytes the other end may send.
    pub(crate) window: usize,
}

impl Segment {
    pub(crate) fn reset() -> Segment {
        Segment {
            kind: Kind::Reset,
            start: 0,
            finishes: false,
            bytes: Vec::new(),
            acknowledges: 0,
            window: 0,
        }
    }

    /// What has to be acknowledged: its bytes, and one each for a request (or its answer) and an end.
    pub(crate) fn length(&self) -> u64 {
        let opens = matches!(self.kind, Kind::Request | Kind::Answer);
        self.bytes.len() as u64 + u64::from(opens) + u64::from(self.finishes)
    }

    /// Bytes on the wire.
    pub(crate) fn size(&self) -> u64 {
        HEADERS + self.bytes.len() as u64
    }

    /// True for a segment that carries an acknowledgement and nothing else.
    pub(crate) fn is_bare_acknowledgement(&self) -> bool {
        self.kind == Kind::Plain && self.length() == 0
    }
}

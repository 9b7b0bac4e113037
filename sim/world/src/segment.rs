//! The segments between the two ends of a connection.

/// Maximum payload of one segment in bytes: Ethernet's 1,500 minus the headers.
pub(crate) const LARGEST_PAYLOAD: usize = 1_460;
/// Headers of IPv4 and TCP without options, in bytes.
const HEADERS: u64 = 40;

/// The kind of a segment, by its control bits (RFC 9293 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// SYN: requests a connection.
    Request,
    /// SYN and ACK: accepts it.
    Answer,
    /// Bytes, a FIN, an acknowledgement.
    Plain,
    /// RST: the connection is closed or does not exist.
    Reset,
}

/// One segment. It arrives at most once.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) kind: Kind,
    /// The sequence number: the sum of the [`length`](Segment::length)s that its end sent before.
    pub(crate) start: u64,
    /// FIN: no bytes follow.
    pub(crate) finishes: bool,
    pub(crate) bytes: Vec<u8>,
    /// The acknowledgement number: the sum of the [`length`](Segment::length)s received from the
    /// other end.
    pub(crate) acknowledges: u64,
    /// The number of further bytes that the other end may send.
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

    /// The sequence space that it occupies: its bytes, plus one each for SYN and FIN.
    pub(crate) fn length(&self) -> u64 {
        let opens = matches!(self.kind, Kind::Request | Kind::Answer);
        self.bytes.len() as u64 + u64::from(opens) + u64::from(self.finishes)
    }

    /// The number of bytes on the wire.
    pub(crate) fn size(&self) -> u64 {
        HEADERS + self.bytes.len() as u64
    }

    /// True for a segment that carries only an acknowledgement.
    pub(crate) fn is_bare_acknowledgement(&self) -> bool {
        self.kind == Kind::Plain && self.length() == 0
    }
}

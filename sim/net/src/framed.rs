//! Splits a byte stream into packets and keeps the bytes of each, because a history shows what was
//! on the wire.
//!
//! Network Connections: section 4.2 of MQTT 5.0 and 3.1.1. The fixed header that delimits packets:
//! section 2.1 of 5.0, 2.2 of 3.1.1.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{DecodeError, Decoder, EncodeError, Packet, Role, Version};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// Bytes asked of a stream at once.
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// The buffer for reads. Received bytes are copied out of it, so an idle connection holds no
    /// buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into_boxed_slice());
}

/// A piece of what a peer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    /// A Control Packet, and its bytes.
    Packet {
        /// The packet.
        packet: Packet,
        /// All its bytes, from the first of the fixed header. Empty without [`Inflow::keep_bytes`].
        bytes: Bytes,
    },
    /// Malformed bytes. Nothing after them can be understood, so nothing follows.
    Malformed {
        /// What is wrong with them.
        error: DecodeError,
        /// The bytes of the packet if it is complete, otherwise all bytes from its start.
        bytes: Bytes,
    },
}

/// How a Network Connection ended, as this end of it sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The peer closed it.
    Closed {
        /// The part of a packet that had arrived; empty when the peer closed between two packets.
        left_over: Bytes,
    },
    /// The peer, or something between, reset it.
    Reset,
    /// The connection timed out, because the peer acknowledged nothing.
    TimedOut,
    /// The network failed in another way.
    Failed(io::ErrorKind),
}

impl Ending {
    /// The ending for an error of a read or a write.
    #[must_use]
    pub fn of_error(error: &io::Error) -> Ending {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                Ending::Reset
            }
            io::ErrorKind::TimedOut => Ending::TimedOut,
            io::ErrorKind::UnexpectedEof => Ending::Closed { left_over: Bytes::new() },
            kind => Ending::Failed(kind),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Closed { left_over } if left_over.is_empty() => f.write_str("closed"),
            Ending::Closed { left_over } => {
                write!(f, "closed after {} bytes of a packet", left_over.len())
            }
            Ending::Reset => f.write_str("reset"),
            Ending::TimedOut => f.write_str("timed out"),
            Ending::Failed(kind) => write!(f, "failed: {kind}"),
        }
    }
}

/// The incoming half: bytes in, packets out.
#[derive(Debug)]
pub struct Inflow {
    decoder: Decoder,
    bytes: BytesMut,
    keep_bytes: bool,
    malformed: bool,
}

impl Inflow {
    /// For the bytes that a Client sends. Its CONNECT has the version.
    #[must_use]
    pub fn from_client() -> Inflow {
        Inflow::new(Decoder::new(Role::Server))
    }

    /// Bytes that a Server sends to a Client that asked for this version.
    #[must_use]
    pub fn from_server(version: Version) -> Inflow {
        let mut decoder = Decoder::new(Role::Client);
        decoder.set_version(version);
        Inflow::new(decoder)
    }

    /// Bytes for this decoder.
    #[must_use]
    pub fn new(decoder: Decoder) -> Inflow {
        Inflow { decoder, bytes: BytesMut::new(), keep_bytes: true, malformed: false }
    }

    /// The decoder, for its limits.
    pub fn decoder_mut(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    /// Sets whether each packet comes with its bytes. The default is yes.
    pub fn keep_bytes(&mut self, keep: bool) {
        self.keep_bytes = keep;
    }

    /// Where the next bytes go.
    pub fn bytes_mut(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// The received bytes of an incomplete packet.
    #[must_use]
    pub fn left_over(&self) -> &[u8] {
        &self.bytes
    }

    /// The next packet; `None` if more bytes are needed. After malformed bytes, always `None`.
    pub fn next_arrived(&mut self) -> Option<Arrived> {
        if self.malformed {
            self.bytes = BytesMut::new();
            return None;
        }
        let decoded = if self.keep_bytes {
            self.decoder.decode_copied(&mut self.bytes)
        } else {
            let decoded = self.decoder.decode(&mut self.bytes);
            decoded.map(|packet| packet.map(|packet| (packet, Bytes::new())))
        };
        match decoded {
            Ok(None) => {
                if self.bytes.is_empty() {
                    self.bytes = BytesMut::new();
                }
                None
            }
            Ok(Some((packet, bytes))) => Some(Arrived::Packet { packet, bytes }),
            Err(error) => {
                self.malformed = true;
                let received = self.bytes.split().freeze();
                let whole =
                    packet_length(&received).filter(|length| self.keep_bytes && *length <= received.len());
                let bytes = whole.map_or_else(|| received.clone(), |length| received.slice(..length));
                Some(Arrived::Malformed { error, bytes })
            }
        }
    }
}

/// The length of the packet that starts here, if its fixed header is whole and well formed.
fn packet_length(bytes: &[u8]) -> Option<usize> {
    let mut remaining_length = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        remaining_length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some(2 + index + remaining_length);
        }
    }
    None
}

/// What a receiver gets next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Something arrived.
    Arrived(Arrived),
    /// The connection ended.
    Ended(Ending),
}

/// Packets over a byte stream, in both directions.
#[derive(Debug)]
pub struct Framed<S> {
    stream: S,
    inflow: Inflow,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    /// The Server's end of a connection that a Client opened.
    pub fn accepted(stream: S) -> Framed<S> {
        Framed { stream, inflow: Inflow::from_client() }
    }

    /// The Client's end of a connection of this version.
    pub fn dialled(stream: S, version: Version) -> Framed<S> {
        Framed { stream, inflow: Inflow::from_server(version) }
    }

    /// The incoming half, for its decoder's limits.
    pub fn inflow_mut(&mut self) -> &mut Inflow {
        &mut self.inflow
    }

    /// The stream. Reading from it takes bytes that then belong to no packet.
    pub fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Returns the stream. Bytes that were read and not yet received are lost.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// What the peer sends next. Cancel safe: a call that is dropped takes nothing.
    pub async fn receive(&mut self) -> Received {
        std::future::poll_fn(|context| self.poll_receive(context)).await
    }

    /// [`receive`](Framed::receive) for a hand-written future.
    pub fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        loop {
            if let Some(arrived) = self.inflow.next_arrived() {
                return Poll::Ready(Received::Arrived(arrived));
            }
            match ready!(poll_read(&mut self.stream, &mut self.inflow, READ_BYTES, context)) {
                Ok(0) => {
                    let left_over = self.inflow.bytes.split().freeze();
                    return Poll::Ready(Received::Ended(Ending::Closed { left_over }));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Received::Ended(Ending::of_error(&error))),
            }
        }
    }

    /// Sends a packet and says which bytes it is.
    ///
    /// # Errors
    /// If the packet cannot be encoded for the version, or the connection has ended.
    pub async fn send(&mut self, packet: &Packet, version: Version) -> Result<Bytes, SendError> {
        let mut bytes = BytesMut::new();
        packet.encode(version, &mut bytes)?;
        let bytes = bytes.freeze();
        self.send_bytes(&bytes).await?;
        Ok(bytes)
    }

    /// Sends bytes without a check.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.stream.write_all(bytes).await.map_err(SendError::Ended)?;
        self.stream.flush().await.map_err(SendError::Ended)
    }

    /// Closes the sending direction, and leaves the other direction open.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }
}

/// Reads once, at most this number of bytes. Zero bytes are the end of the stream.
pub(crate) fn poll_read<S: AsyncRead + Unpin>(
    stream: &mut S,
    inflow: &mut Inflow,
    most: usize,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut read = ReadBuf::new(&mut scratch[..most.min(READ_BYTES)]);
        ready!(Pin::new(stream).poll_read(context, &mut read))?;
        inflow.bytes.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    })
}

/// Why a packet was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The packet has no encoding in this version.
    #[error(transparent)]
    Unencodable(#[from] EncodeError),
    /// The connection has ended.
    #[error("the Network Connection ended: {0}")]
    Ended(io::Error),
}

#[cfg(test)]
mod tests {
    use mqttspec_codec::{Misdeed, PacketType};
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, duplex};

    use super::*;

    /// CONNECT of 3.1.1 with Clean Session, Keep Alive 60 and the client identifier "a".
    const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a";
    /// PUBLISH at QoS 1 with Packet Identifier 10 to "t".
    const PUBLISH: &[u8] = b"\x32\x07\x00\x01t\x00\x0ahi";
    const PINGREQ: &[u8] = b"\xc0\x00";
    const PINGRESP: &[u8] = b"\xd0\x00";

    fn types_and_bytes(inflow: &mut Inflow) -> Vec<(PacketType, Bytes)> {
        std::iter::from_fn(|| inflow.next_arrived())
            .map(|arrived| match arrived {
                Arrived::Packet { packet, bytes } => (packet.packet_type(), bytes),
                Arrived::Malformed { error, .. } => panic!("{error}"),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn packets_are_the_same_however_the_bytes_are_cut(cuts in prop::collection::vec(1_usize..12, 0..20)) {
            let mut rest: &[u8] = &[CONNECT, PUBLISH, PINGREQ, PUBLISH].concat();
            let mut inflow = Inflow::from_client();
            let mut packets = Vec::new();
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                inflow.bytes_mut().extend_from_slice(now);
                packets.extend(types_and_bytes(&mut inflow));
                rest = later;
            }
            let expected = [
                (PacketType::Connect, Bytes::from_static(CONNECT)),
                (PacketType::Publish, Bytes::from_static(PUBLISH)),
                (PacketType::PingReq, Bytes::from_static(PINGREQ)),
                (PacketType::Publish, Bytes::from_static(PUBLISH)),
            ];
            prop_assert_eq!(packets, expected);
            prop_assert!(inflow.left_over().is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_hang_or_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut inflow = Inflow::from_client();
            inflow.bytes_mut().extend_from_slice(&bytes);
            prop_assert!(std::iter::from_fn(|| inflow.next_arrived()).count() <= bytes.len() / 2 + 1);
        }
    }

    #[tokio::test]
    async fn a_close_between_packets_and_within_one() {
        for (sent, left_over) in [(PINGRESP, &b""[..]), (b"\xd0\x00\x40", b"\x40")] {
            let (near, mut far) = duplex(64);
            far.write_all(sent).await.unwrap();
            drop(far);
            let mut framed = Framed::dialled(near, Version::V5);
            let Received::Arrived(Arrived::Packet { packet: Packet::PingResp, bytes }) =
                framed.receive().await
            else {
                panic!("PINGRESP was sent");
            };
            assert_eq!(bytes, PINGRESP);
            let left_over = Bytes::from_static(left_over);
            assert_eq!(framed.receive().await, Received::Ended(Ending::Closed { left_over }));
        }
    }

    #[tokio::test]
    async fn a_packet_that_is_none_comes_with_its_bytes_and_nothing_follows() {
        let (near, mut far) = duplex(64);
        // PINGREQ with a reserved flag set, and then a valid one.
        far.write_all(&[CONNECT, b"\xc1\x00", PINGREQ].concat()).await.unwrap();
        let mut framed = Framed::accepted(near);
        assert!(matches!(framed.receive().await, Received::Arrived(Arrived::Packet { .. })));
        let Received::Arrived(Arrived::Malformed { error, bytes }) = framed.receive().await else {
            panic!("a reserved flag was set");
        };
        assert_eq!((error.kind, &bytes[..]), (Misdeed::ReservedFlags, &b"\xc1\x00"[..]));
        assert!(framed.inflow_mut().next_arrived().is_none());
    }

    #[tokio::test]
    async fn what_is_sent_is_told_as_bytes() {
        let (near, mut far) = duplex(64);
        let mut framed = Framed::accepted(near);
        let bytes = framed.send(&Packet::PingResp, Version::V3_1_1).await.unwrap();
        assert_eq!(bytes, PINGRESP);
        let mut there = [0; 2];
        far.read_exact(&mut there).await.unwrap();
        assert_eq!(there, PINGRESP);
    }
}

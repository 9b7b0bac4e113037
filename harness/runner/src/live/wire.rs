//! Connections to a live server: through the fault relay of a host, with the names of the run on
//! the wire.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use mqttspec_codec::{Encode as _, Packet, Version, decode};
use mqttspec_net::framed::{Arrived, Inflow};
use mqttspec_net::relay::{Faults, RelayNet, RelayStream};
use mqttspec_net::transport::{self, LiveNet};
use mqttspec_ports::{Listener, Net};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::names::Names;
use crate::backend::{Dialled, WebSocket};
use crate::intake::{Counted, Intake, MAXIMUM_PACKET_SIZE};

/// The network and address of a server.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint<N = LiveNet> {
    pub(crate) net: N,
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The network of one host of a run.
#[derive(Clone)]
pub(crate) struct HostNet {
    relay: RelayNet<LiveNet>,
    endpoint: Endpoint,
    names: Rc<Names>,
    intake: Rc<Intake>,
    version: Version,
}

impl HostNet {
    pub(crate) fn new(
        endpoint: &Endpoint,
        faults: &Faults,
        names: &Rc<Names>,
        intake: &Rc<Intake>,
        version: Version,
    ) -> Self {
        let relay = RelayNet::new(endpoint.net.clone(), faults.clone());
        Self { relay, endpoint: endpoint.clone(), names: names.clone(), intake: intake.clone(), version }
    }
}

impl HostNet {
    /// Opens a connection with a WebSocket, whose frames the executor chooses.
    pub(crate) async fn connect_websocket(&self, offering: &[String]) -> io::Result<Dialled> {
        let Endpoint { net, host, port } = &self.endpoint;
        let (below, path) = net.below_websocket().ok_or(io::ErrorKind::Unsupported)?;
        let stream = RelayNet::new(below, self.relay.faults().clone()).connect(host, *port).await?;
        let stream = Counted::new(stream, self.intake.clone());
        let authority = format!("{host}:{port}");
        let (end, selected) = transport::offer(stream, &authority, path, offering).await?;
        let websocket = Some(WebSocket { form: end.form(), selected });
        let stream = Box::new(NamedStream::new(end, self.names.clone(), self.version));
        Ok(Dialled { stream, websocket })
    }
}

impl Net for HostNet {
    type Stream = NamedStream<Counted<RelayStream>>;
    type Listener = NoListener;

    /// Ignores the host: there is only one server.
    async fn connect(&self, _host: &str, _port: u16) -> io::Result<Self::Stream> {
        let stream = self.relay.connect(&self.endpoint.host, self.endpoint.port).await?;
        let stream = Counted::new(stream, self.intake.clone());
        Ok(NamedStream::new(stream, self.names.clone(), self.version))
    }

    async fn listen(&self, _port: u16) -> io::Result<NoListener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reset(&self, stream: Self::Stream) {
        stream.stream.stream.reset();
    }
}

/// The hosts of clients never listen.
pub(crate) struct NoListener(Infallible);

impl Listener for NoListener {
    type Stream = NamedStream<Counted<RelayStream>>;

    async fn accept(&self) -> io::Result<(Self::Stream, SocketAddr)> {
        match self.0 {}
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.0 {}
    }
}

/// A stream that converts the names in packets in both directions. Each write must consist of whole
/// packets; other bytes pass unchanged.
pub(crate) struct NamedStream<S> {
    stream: S,
    names: Rc<Names>,
    version: Version,
    /// Converted bytes that were not written yet.
    outward: BytesMut,
    inflow: Inflow,
    /// Converted bytes that were not read yet.
    inward: BytesMut,
    /// Whether malformed bytes arrived: the packets after them cannot be found.
    is_raw: bool,
}

impl<S> NamedStream<S> {
    pub(crate) fn new(stream: S, names: Rc<Names>, version: Version) -> Self {
        let mut inflow = Inflow::from_server(version);
        inflow.decoder_mut().set_maximum_packet_size(MAXIMUM_PACKET_SIZE);
        Self {
            stream,
            names,
            version,
            outward: BytesMut::new(),
            inflow,
            inward: BytesMut::new(),
            is_raw: false,
        }
    }

    fn take_outward(&mut self, mut bytes: &[u8]) {
        while let Some((packet, length)) = first_packet(bytes, self.version) {
            let (before, after) = bytes.split_at(length);
            let changed = self.names.outward(packet.clone());
            let start = self.outward.len();
            if changed == packet || changed.encode_unchecked(self.version, &mut self.outward).is_err() {
                self.outward.truncate(start);
                self.outward.extend_from_slice(before);
            }
            bytes = after;
        }
        self.outward.extend_from_slice(bytes);
    }

    fn take_inward(&mut self) {
        while let Some(arrived) = self.inflow.next_arrived() {
            match arrived {
                Arrived::Packet { packet, bytes } => {
                    let changed = self.names.inward(packet.clone());
                    let start = self.inward.len();
                    if changed == packet || changed.encode_unchecked(self.version, &mut self.inward).is_err()
                    {
                        self.inward.truncate(start);
                        self.inward.extend_from_slice(&bytes);
                    }
                }
                Arrived::Malformed { bytes, .. } => {
                    self.inward.extend_from_slice(&bytes);
                    self.pass_raw();
                }
            }
        }
    }

    /// Passes all further bytes unchanged.
    fn pass_raw(&mut self) {
        self.is_raw = true;
        let rest = self.inflow.bytes_mut().split();
        self.inward.extend_from_slice(&rest);
    }
}

/// The packet at the start of the bytes, and its length; `None` if it is malformed or incomplete.
fn first_packet(bytes: &[u8], version: Version) -> Option<(Packet, usize)> {
    let mut remaining_length = 0;
    for (index, byte) in bytes.iter().skip(1).take(4).enumerate() {
        remaining_length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let length = 2 + index + remaining_length;
            let bytes = bytes.get(..length)?;
            let decoded = decode(&Bytes::copy_from_slice(bytes), version).ok();
            let packet = decoded.or_else(|| nameless(bytes, 2 + index, version))?;
            // A CONNECT with another version than the run's is sent on purpose, so it is not
            // changed.
            let other = matches!(&packet, Packet::Connect(connect) if connect.version != version);
            return (!other).then_some((packet, length));
        }
    }
    None
}

/// A CONNECT without Client Identifier that does not set CleanSession, which is to be refused with
/// return code 0x02 (3.1.1 §3.1.3.1). The codec does not decode it, and it needs credentials as any
/// other CONNECT: a server may refuse it for the lack of them.
fn nameless(bytes: &[u8], header: usize, version: Version) -> Option<Packet> {
    const CLEAN_SESSION: u8 = 2;
    let mut bytes = bytes.to_vec();
    *bytes.get_mut(header + "xxMQTTx".len())? |= CLEAN_SESSION;
    match decode(&Bytes::from(bytes), version).ok()? {
        Packet::Connect(mut connect) if connect.client_id.is_empty() => {
            connect.clean_start = false;
            Some(Packet::Connect(connect))
        }
        _ => None,
    }
}

impl<S: AsyncWrite + Unpin> NamedStream<S> {
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outward.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.outward))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outward.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for NamedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(context))?;
        self.take_outward(bytes);
        match self.poll_drain(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for NamedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        while this.inward.is_empty() {
            let mut scratch = [0; 4096];
            let mut read = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut read))?;
            let ended = read.filled().is_empty();
            if this.is_raw {
                this.inward.extend_from_slice(read.filled());
            } else {
                this.inflow.bytes_mut().extend_from_slice(read.filled());
                this.take_inward();
            }
            if ended {
                // An incomplete packet at the end passes unchanged.
                this.pass_raw();
                break;
            }
        }
        let count = out.remaining().min(this.inward.len());
        out.put_slice(&this.inward.split_to(count));
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::live::names::Credentials;

    fn stream<S>(stream: S) -> NamedStream<S> {
        NamedStream::new(stream, Rc::new(Names::new(Some("t".to_owned()), "t", None)), Version::V3_1_1)
    }

    #[tokio::test]
    async fn every_packet_of_one_write_is_converted() {
        let (near, mut far) = tokio::io::duplex(1000);
        let mut near = stream(near);
        near.write_all(b"\x30\x04\x00\x01ax\xc0\x00\x30\x04\x00\x01by").await.unwrap();
        drop(near);
        let mut seen = Vec::new();
        far.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"\x30\x06\x00\x03t/ax\xc0\x00\x30\x06\x00\x03t/by");
    }

    #[tokio::test]
    async fn malformed_bytes_are_written_unchanged() {
        for broken in [&b"\x30\x04\x00\x09ax"[..], b"\x30\x04\x00\x01a", b"\x3f\x04\x00\x01ax", b"\x30"] {
            let (near, mut far) = tokio::io::duplex(1000);
            let mut near = stream(near);
            near.write_all(broken).await.unwrap();
            drop(near);
            let mut seen = Vec::new();
            far.read_to_end(&mut seen).await.unwrap();
            assert_eq!(seen, broken);
        }
    }

    #[tokio::test]
    async fn a_connect_without_client_identifier_gets_credentials() {
        let (near, mut far) = tokio::io::duplex(1000);
        let user = Credentials { user_name: "u".to_owned(), password: Some(b"p".to_vec()) };
        let names = Names::new(Some("t".to_owned()), "t", Some(user));
        let mut near = NamedStream::new(near, Rc::new(names), Version::V3_1_1);
        near.write_all(b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x3c\x00\x00").await.unwrap();
        drop(near);
        let mut seen = Vec::new();
        far.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"\x10\x12\x00\x04MQTT\x04\xc0\x00\x3c\x00\x00\x00\x01u\x00\x01p");
    }

    #[tokio::test]
    async fn packets_are_converted_even_if_they_arrive_byte_by_byte() {
        let (near, mut far) = tokio::io::duplex(1000);
        let mut near = stream(near);
        let reading = async {
            let mut seen = Vec::new();
            near.read_to_end(&mut seen).await.unwrap();
            seen
        };
        let writing = async move {
            for byte in b"\x30\x06\x00\x03t/ax\xd0\x00\x30\x06\x00\x03u/ay\x40\x02\x00" {
                far.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (seen, ()) = tokio::join!(reading, writing);
        assert_eq!(seen, b"\x30\x04\x00\x01ax\xd0\x00\x30\x06\x00\x03u/ay\x40\x02\x00");
    }
}

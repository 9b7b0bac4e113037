//! The connections of the executor: opens them, sends on them, and chooses free Packet Identifiers.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{Encode as _, Packet, PacketIdentifier, Version};
use mqttspec_judge::Case;
use mqttspec_judge::history::{Ending, HostIndex, What};
use mqttspec_net::framed::Inflow;
use mqttspec_net::transport::{self, FrameForm};
use mqttspec_notation::{Content, Framing, StepKind};

use super::connection::Connection;
use super::connections::Connections;
use super::identifiers::Identifiers;
use crate::backend::{Accepted, Backend, BackendError, Dialled, Stream};
use crate::found::{SetUp, Stop, packet_text};
use crate::hosts::Hosts;
use crate::recorder::Recorder;

pub(crate) struct Wire {
    backend: Rc<dyn Backend>,
    recorder: Rc<Recorder>,
    hosts: Rc<Hosts>,
    version: Version,
    over_websocket: bool,
    /// Whether a line expects the handshakes of the clients.
    expects_handshakes: bool,
    connections: Connections,
    identifiers: Vec<Identifiers>,
}

/// The server for which the executor acts.
#[derive(Clone)]
struct Played {
    recorder: Rc<Recorder>,
    version: Version,
    connections: Connections,
    /// Whether a line expects the handshakes of the clients.
    expects_handshakes: bool,
}

impl Played {
    /// Takes a connection that a client opened. Of a WebSocket, the form of its frames and the
    /// subprotocols that the client offered.
    fn accept<S: Stream + 'static>(
        &self,
        host: HostIndex,
        stream: S,
        websocket: Option<(Rc<Cell<FrameForm>>, Vec<String>)>,
    ) {
        let Self { recorder, version, connections, expects_handshakes } = self;
        if let Some(before) = connections.take(host) {
            // The client has given it up. If the link was partitioned meanwhile, its FIN may come
            // later than this.
            before.replaced();
        }
        let key = recorder.open(host, *version);
        let (form, offered) = websocket.unzip();
        if let Some(names) = offered {
            let selected = transport::mqtt_if_offered(&names).map(str::to_owned);
            if *expects_handshakes {
                recorder.arrive(key, What::HandshakeOffered(names));
            } else {
                recorder.record(Some(key), 0, What::HandshakeOffered(names));
            }
            recorder.record(Some(key), 0, What::HandshakeSelected(selected));
        }
        let connection = Connection::play(recorder.clone(), key, stream, Inflow::from_client(), form);
        connections.put(host, connection);
    }
}

impl Wire {
    pub(crate) fn new(
        backend: Rc<dyn Backend>,
        recorder: Rc<Recorder>,
        hosts: Rc<Hosts>,
        case: &Case,
        connections: Connections,
    ) -> Self {
        let identifiers = vec![Identifiers::default(); hosts.clients.len()];
        let over_websocket = case.scenario.over_websocket;
        let mut expects_handshakes = false;
        case.scenario.walk(&mut |step| {
            let StepKind::Line { content, .. } = &step.kind else { return };
            expects_handshakes |= hosts.plays_server && matches!(content, Content::HandshakeOffering(_));
        });
        let version = case.version;
        Self {
            backend,
            recorder,
            hosts,
            version,
            over_websocket,
            expects_handshakes,
            connections,
            identifiers,
        }
    }

    /// Acts as the server: accepts connections, and assigns each to the host that opened it.
    pub(crate) async fn serve(&self) -> Result<(), BackendError> {
        let incoming = self.backend.listen().await?;
        let hosts = self.hosts.clone();
        let (over_websocket, expects_handshakes) = (self.over_websocket, self.expects_handshakes);
        let (recorder, version) = (self.recorder.clone(), self.version);
        let played = Played { recorder, version, connections: self.connections.clone(), expects_handshakes };
        mqttspec_runtime::spawn_local(async move {
            while let Ok(Accepted { stream, host }) = incoming.accept().await {
                let Some(host) = host.and_then(|host| hosts.index(&host)) else { continue };
                if !over_websocket {
                    played.accept(host, stream, None);
                    continue;
                }
                let played = played.clone();
                mqttspec_runtime::spawn_local(async move {
                    // What is no WebSocket is closed, as by any server.
                    if let Ok((end, offered)) = transport::answer(stream, transport::mqtt_if_offered).await {
                        let form = end.form();
                        played.accept(host, end, Some((form, offered)));
                    }
                });
            }
        });
        Ok(())
    }

    /// Opens a new connection for a client's host.
    pub(crate) async fn dial(&self, host: HostIndex) -> Result<(), Stop> {
        let offering = [transport::SUBPROTOCOL.to_owned()];
        self.dial_offering(host, self.over_websocket.then_some(&offering[..]), false).await
    }

    /// Opens a new connection with a WebSocket for a client's host. The answer to its handshake is
    /// an arrival.
    pub(crate) async fn shake_hands(&self, host: HostIndex, offering: &[String]) -> Result<(), Stop> {
        self.dial_offering(host, Some(offering), true).await
    }

    async fn dial_offering(
        &self,
        host: HostIndex,
        offering: Option<&[String]>,
        is_expected: bool,
    ) -> Result<(), Stop> {
        let name = self.hosts.name(host);
        let key = self.recorder.open(host, self.version);
        if let Some(names) = offering {
            self.recorder.record(Some(key), self.recorder.line(), What::HandshakeOffered(names.to_vec()));
        }
        let dialled = tokio::select! {
            biased;
            dialled = self.backend.dial(name, offering) => dialled,
            () = self.backend.sleep(self.backend.timeouts().patience), if offering.is_some() => {
                Err(io::ErrorKind::TimedOut.into())
            }
        };
        match dialled {
            Ok(Dialled { stream, websocket }) => {
                let (form, selected) = websocket.map(|of| (of.form, of.selected)).unzip();
                match selected.map(What::HandshakeSelected) {
                    Some(answer) if is_expected => self.recorder.arrive(key, answer),
                    Some(answer) => {
                        self.recorder.record(Some(key), 0, answer);
                    }
                    None => {}
                }
                let inflow = Inflow::from_server(self.version);
                let connection = Connection::play(self.recorder.clone(), key, stream, inflow, form);
                self.connections.put(host, connection);
                Ok(())
            }
            Err(error) if offering.is_some() => {
                self.recorder.end(key, Ending::Refused);
                let reason = format!("{name} cannot open a WebSocket: {error}");
                Err(Stop::SetUp(SetUp { reason, timing_sensitive: true }))
            }
            Err(error) => {
                self.recorder.end(key, Ending::Refused);
                let expected = format!("the server accepts a Network Connection of {name}");
                Err(self.recorder.found(expected, error.to_string(), None).into())
            }
        }
    }

    /// Whether the host has a connection to send on.
    pub(crate) fn is_connected(&self, host: HostIndex) -> bool {
        self.connections.has(host)
    }

    /// Sends a packet, even one that violates the standard.
    pub(crate) fn send_packet(&mut self, host: HostIndex, packet: Packet) -> Result<(), Stop> {
        self.send(host, packet, Framing::Own)
    }

    /// Sends a packet in such frames.
    pub(crate) fn send(&mut self, host: HostIndex, packet: Packet, framing: Framing) -> Result<(), Stop> {
        let mut encoded = BytesMut::new();
        let is_valid = packet.encode(self.version, &mut encoded).is_ok();
        let bytes = if is_valid { encoded.freeze() } else { self.encoded(&packet)? };
        self.identifiers[usize::from(host.0)].sent(&packet);
        // The peer must not take a packet from a text frame.
        let what = if is_valid && framing != Framing::Text {
            What::Sent { packet, bytes: bytes.clone() }
        } else {
            let text = packet_text(&packet, self.version);
            What::SentRaw { text, bytes: bytes.clone() }
        };
        self.write(host, what, bytes, framing)
    }

    /// Sends the bytes of a packet with patches.
    pub(crate) fn send_patched(
        &mut self,
        host: HostIndex,
        packet: &Packet,
        text: String,
        bytes: Bytes,
        framing: Framing,
    ) -> Result<(), Stop> {
        self.identifiers[usize::from(host.0)].sent(packet);
        self.write(host, What::SentRaw { text, bytes: bytes.clone() }, bytes, framing)
    }

    /// Sends raw bytes; `text` is their line in the scenario.
    pub(crate) fn send_bytes(&self, host: HostIndex, text: String, bytes: Bytes) -> Result<(), Stop> {
        self.write(host, What::SentRaw { text, bytes: bytes.clone() }, bytes, Framing::Own)
    }

    /// The bytes of a packet.
    pub(crate) fn encoded(&self, packet: &Packet) -> Result<Bytes, Stop> {
        let mut bytes = BytesMut::new();
        // A scenario may violate the standard on purpose.
        packet
            .encode_unchecked(self.version, &mut bytes)
            .map_err(|error| Stop::broken(format!("{} cannot be sent: {error}", packet.packet_type())))?;
        Ok(bytes.freeze())
    }

    fn write(&self, host: HostIndex, what: What, bytes: Bytes, framing: Framing) -> Result<(), Stop> {
        if self.connections.write(host, what, bytes, self.recorder.line(), framing) {
            return Ok(());
        }
        Err(Stop::broken(format!("{} has no Network Connection to send on", self.hosts.name(host))))
    }

    /// A Packet Identifier that the host can use for a new exchange.
    pub(crate) fn free_identifier(&self, host: HostIndex) -> PacketIdentifier {
        self.identifiers[usize::from(host.0)].free()
    }

    /// Notes that the peer sent a packet, which may end an exchange.
    pub(crate) fn received(&mut self, host: HostIndex, packet: &Packet) {
        self.identifiers[usize::from(host.0)].received(packet);
    }

    /// Closes the host's connection after all previous writes.
    pub(crate) fn close(&self, host: HostIndex) {
        self.connections.close(host);
        self.recorder.with_host(host, |state| (state.open, state.provoked) = (false, true));
    }
}

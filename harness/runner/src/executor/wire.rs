//! The connections of the executor: opens them, sends on them, and chooses free Packet Identifiers.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{Encode as _, Packet, PacketIdentifier, Version};
use mqttspec_judge::history::{Ending, HostIndex, What};
use mqttspec_net::framed::Inflow;

use super::connection::Connection;
use super::connections::Connections;
use super::identifiers::Identifiers;
use crate::backend::{Accepted, Backend, BackendError};
use crate::found::{Stop, packet_text};
use crate::hosts::Hosts;
use crate::recorder::Recorder;

pub(crate) struct Wire {
    backend: Rc<dyn Backend>,
    recorder: Rc<Recorder>,
    hosts: Rc<Hosts>,
    version: Version,
    connections: Connections,
    identifiers: Vec<Identifiers>,
}

impl Wire {
    pub(crate) fn new(
        backend: Rc<dyn Backend>,
        recorder: Rc<Recorder>,
        hosts: Rc<Hosts>,
        version: Version,
        connections: Connections,
    ) -> Self {
        let identifiers = vec![Identifiers::default(); hosts.clients.len()];
        Self { backend, recorder, hosts, version, connections, identifiers }
    }

    /// Acts as the server: accepts connections, and assigns each to the host that opened it.
    pub(crate) async fn serve(&self) -> Result<(), BackendError> {
        let incoming = self.backend.listen().await?;
        let (recorder, hosts, version) = (self.recorder.clone(), self.hosts.clone(), self.version);
        let connections = self.connections.clone();
        tokio::task::spawn_local(async move {
            while let Ok(Accepted { stream, host }) = incoming.accept().await {
                let Some(host) = host.and_then(|host| hosts.index(&host)) else { continue };
                if let Some(before) = connections.take(host) {
                    // The client has given it up. If the link was partitioned meanwhile, its FIN
                    // may come later than this.
                    before.replaced();
                }
                let key = recorder.open(host, version);
                let connection = Connection::play(recorder.clone(), key, stream, Inflow::from_client());
                connections.put(host, connection);
            }
        });
        Ok(())
    }

    /// Opens a new connection for a client's host.
    pub(crate) async fn dial(&self, host: HostIndex) -> Result<(), Stop> {
        let name = self.hosts.name(host);
        let key = self.recorder.open(host, self.version);
        match self.backend.dial(name).await {
            Ok(stream) => {
                let inflow = Inflow::from_server(self.version);
                let connection = Connection::play(self.recorder.clone(), key, stream, inflow);
                self.connections.put(host, connection);
                Ok(())
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
        let mut fair = BytesMut::new();
        let is_fair = packet.encode(self.version, &mut fair).is_ok();
        let bytes = if is_fair { fair.freeze() } else { self.encoded(&packet)? };
        self.identifiers[usize::from(host.0)].sent(&packet);
        let what = if is_fair {
            What::Sent { packet, bytes: bytes.clone() }
        } else {
            let text = packet_text(&packet, self.version);
            What::SentRaw { text, bytes: bytes.clone() }
        };
        self.write(host, what, bytes)
    }

    /// Sends the bytes of a packet with patches.
    pub(crate) fn send_patched(
        &mut self,
        host: HostIndex,
        packet: &Packet,
        text: String,
        bytes: Bytes,
    ) -> Result<(), Stop> {
        self.identifiers[usize::from(host.0)].sent(packet);
        self.send_bytes(host, text, bytes)
    }

    /// Sends raw bytes; `text` is their line in the scenario.
    pub(crate) fn send_bytes(&self, host: HostIndex, text: String, bytes: Bytes) -> Result<(), Stop> {
        self.write(host, What::SentRaw { text, bytes: bytes.clone() }, bytes)
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

    fn write(&self, host: HostIndex, what: What, bytes: Bytes) -> Result<(), Stop> {
        if self.connections.write(host, what, bytes, self.recorder.line()) {
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

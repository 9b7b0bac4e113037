//! The connections of the executor: opens them, sends on them, and chooses free Packet Identifiers.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{Encode as _, Packet, PacketIdentifier, Version};
use mqttspec_judge::history::{Ending, Lane as HostIndex, What};
use mqttspec_net::framed::Inflow;

use super::connection::Connection;
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
    /// By host. If the executor plays the server, they are put here as clients connect.
    connections: Rc<RefCell<Vec<Option<Connection>>>>,
    identifiers: Vec<Identifiers>,
}

impl Wire {
    pub(crate) fn new(
        backend: Rc<dyn Backend>,
        recorder: Rc<Recorder>,
        hosts: Rc<Hosts>,
        version: Version,
    ) -> Self {
        let count = hosts.clients.len();
        let connections = Rc::new(RefCell::new(vec![None; count]));
        let identifiers = vec![Identifiers::default(); count];
        Self { backend, recorder, hosts, version, connections, identifiers }
    }

    /// Plays the server: accepts connections, each as that of the host that opened it.
    pub(crate) async fn serve(&self) -> Result<(), BackendError> {
        let incoming = self.backend.listen().await?;
        let (recorder, hosts, version) = (self.recorder.clone(), self.hosts.clone(), self.version);
        let connections = self.connections.clone();
        tokio::task::spawn_local(async move {
            while let Ok(Accepted { stream, host }) = incoming.accept().await {
                let Some(host) = host.and_then(|host| hosts.index(&host)) else { continue };
                let index = usize::from(host.0);
                if let Some(before) = connections.borrow_mut()[index].take() {
                    // The client has given it up. If the link was partitioned meanwhile, its FIN
                    // may come later than this.
                    before.replaced();
                }
                let key = recorder.open(host, version);
                let connection = Connection::play(recorder.clone(), key, stream, Inflow::from_client());
                connections.borrow_mut()[index] = Some(connection);
            }
        });
        Ok(())
    }

    /// Opens a new connection of a played client.
    pub(crate) async fn dial(&self, host: HostIndex) -> Result<(), Stop> {
        let name = self.hosts.name(host);
        let key = self.recorder.open(host, self.version);
        match self.backend.dial(name).await {
            Ok(stream) => {
                let inflow = Inflow::from_server(self.version);
                let connection = Connection::play(self.recorder.clone(), key, stream, inflow);
                self.connections.borrow_mut()[usize::from(host.0)] = Some(connection);
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
        self.connections.borrow()[usize::from(host.0)].is_some()
    }

    /// Sends a packet, even one that violates the standard.
    pub(crate) fn send_packet(&mut self, host: HostIndex, packet: Packet) -> Result<(), Stop> {
        let bytes = self.encoded(&packet)?;
        self.identifiers[usize::from(host.0)].sent(&packet);
        let fair = packet.encode(self.version, &mut BytesMut::new()).is_ok();
        let what = if fair {
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
        let connections = self.connections.borrow();
        let connection = connections[usize::from(host.0)].as_ref().ok_or_else(|| {
            Stop::broken(format!("{} has no Network Connection to send on", self.hosts.name(host)))
        })?;
        connection.write_bytes(what, bytes, self.recorder.line());
        Ok(())
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
        if let Some(connection) = &self.connections.borrow()[usize::from(host.0)] {
            connection.close();
        }
        self.recorder.with_host(host, |state| (state.open, state.provoked) = (false, true));
    }

    /// The machine at one end crashed: the connection is gone, and the executor does not wait to
    /// learn of it from the network.
    pub(crate) fn abandon(&self, host: HostIndex) {
        let connection = self.connections.borrow_mut()[usize::from(host.0)].take();
        if let Some(connection) = connection {
            connection.abandon(Ending::Crashed);
        }
    }
}

//! What the harness sends, and the connections on which it does.

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{Encode as _, Packet, Role};

use super::connection::Connection;
use super::director::{Director, Flow};
use super::found::{Stop, packet_text};
use super::stage::Arrived;
use mqttspec_judge::history::{Ending, Lane, What};
use mqttspec_net::framed::Inflow;
use mqttspec_notation::bytes::{BytesError, patched, raw_bytes};
use mqttspec_notation::fields::{Defaults, build};
use mqttspec_notation::{Content, PacketPattern, PacketType};

impl Director<'_> {
    /// Sends what a line says; gives the packet, if it is one.
    pub(crate) async fn send(&mut self, lane: Lane, content: &Content) -> Result<Option<Packet>, Stop> {
        match content {
            Content::Packet(pattern) => {
                self.ready(lane, pattern.packet_type == PacketType::Connect).await?;
                let packet = self.built(lane, pattern)?;
                if pattern.patches.is_empty() {
                    self.send_packet(lane, packet.clone())?;
                    return Ok(Some(packet));
                }
                let bytes = self.encoded(&packet)?;
                let (packet_type, version) = (pattern.packet_type, self.version);
                let patched = patched(&bytes, packet_type, version, &pattern.patches, &self.bindings);
                self.identifiers[usize::from(lane.0)].sent(&packet);
                self.send_bytes(lane, content, patched)
            }
            Content::Raw(raw) => {
                self.ready(lane, false).await?;
                let bytes = raw_bytes(raw, &self.bindings);
                self.send_bytes(lane, content, bytes)
            }
            Content::Closed { .. } if self.observer() == Role::Server => {
                self.close(lane);
                Ok(None)
            }
            other => Err(Stop::broken(format!("`{other}` cannot be sent"))),
        }
    }

    fn built(&mut self, lane: Lane, pattern: &PacketPattern) -> Result<Packet, Stop> {
        let id = self.identifiers[usize::from(lane.0)].free();
        let client_id = self.name(lane);
        let defaults = Defaults { client_id: &client_id, id };
        build(pattern, self.version, defaults, &mut self.bindings)
            .map_err(|error| Stop::broken(error.to_string()))
    }

    fn encoded(&self, packet: &Packet) -> Result<Bytes, Stop> {
        let mut bytes = BytesMut::new();
        // A scenario may break a rule on purpose; then the monitors take the packet for what it is.
        packet
            .encode_unchecked(self.version, &mut bytes)
            .map_err(|error| Stop::broken(format!("{} cannot be sent: {error}", packet.packet_type())))?;
        Ok(bytes.freeze())
    }

    /// Sends a packet on the lane's connection.
    pub(crate) fn send_packet(&mut self, lane: Lane, packet: Packet) -> Flow {
        let bytes = self.encoded(&packet)?;
        self.identifiers[usize::from(lane.0)].sent(&packet);
        let connection = self.connection(lane).ok_or_else(|| self.no_connection(lane))?;
        let fair = packet.encode(self.version, &mut BytesMut::new()).is_ok();
        let what = if fair {
            What::Sent { packet, bytes: bytes.clone() }
        } else {
            let text = packet_text(&packet, self.version);
            What::SentRaw { text, bytes: bytes.clone() }
        };
        connection.write_bytes(what, bytes, self.stage.line());
        self.done_now();
        Ok(())
    }

    /// Sends bytes that are no packet, or a packet changed on purpose.
    fn send_bytes(
        &mut self,
        lane: Lane,
        content: &Content,
        bytes: Result<Vec<u8>, BytesError>,
    ) -> Result<Option<Packet>, Stop> {
        let bytes = Bytes::from(bytes.map_err(|error| Stop::broken(error.to_string()))?);
        let connection = self.connection(lane).ok_or_else(|| self.no_connection(lane))?;
        let what = What::SentRaw { text: content.to_string(), bytes: bytes.clone() };
        connection.write_bytes(what, bytes, self.stage.line());
        self.done_now();
        Ok(None)
    }

    fn no_connection(&self, lane: Lane) -> Stop {
        Stop::broken(format!("{} has no Network Connection to send on", self.name(lane)))
    }

    /// Makes sure that the lane has a connection to send on: a new one where there is none, or where the last one is over.
    async fn ready(&mut self, lane: Lane, connect: bool) -> Flow {
        if self.observer() == Role::Server {
            return Ok(());
        }
        if self.stage.with_lane(lane, |state| state.open && !state.provoked) {
            return Ok(());
        }
        let unseen_end = self.stage.with_lane(lane, |state| {
            let ended = state.inbox.iter().find(|arrival| matches!(arrival.what, Arrived::Ended));
            ended.filter(|_| !state.provoked).cloned()
        });
        if let (Some(end), false) = (unseen_end, connect) {
            let actual = self.describe(&end);
            let expected = format!("the Network Connection of {} stands", self.name(lane));
            return Err(self.found(expected, actual, Some(end.event)).into());
        }
        self.nothing_left_on(lane)?;
        self.stage.with_lane(lane, |state| state.inbox.clear());
        self.dial(lane).await
    }

    /// Opens a new connection of a played client.
    pub(crate) async fn dial(&mut self, lane: Lane) -> Flow {
        let name = self.name(lane);
        let key = self.stage.open(lane, self.version);
        match self.backend.dial(&name).await {
            Ok(stream) => {
                let inflow = Inflow::from_server(self.version);
                let connection = Connection::play(self.stage.clone(), key, stream, inflow);
                self.connections.borrow_mut()[usize::from(lane.0)] = Some(connection);
                self.done_now();
                Ok(())
            }
            Err(error) => {
                self.stage.end(key, Ending::Refused);
                let expected = format!("the server takes a Network Connection of {name}");
                Err(self.found(expected, error.to_string(), None).into())
            }
        }
    }

    /// Closes the lane's connection behind what was sent before.
    pub(crate) fn close(&mut self, lane: Lane) {
        if let Some(connection) = self.connection(lane) {
            connection.close();
        }
        self.stage.with_lane(lane, |state| (state.open, state.provoked) = (false, true));
        self.done_now();
    }
}

//! The server side of `mqtt-protocol-core` as published. It decodes and checks packets, answers
//! PINGREQ and QoS flows, and keeps time; what a broker does beyond that is not its task. So only the
//! cases that its own checks decide are run.

use std::collections::{BTreeMap, VecDeque};

use std::time::Duration;

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{Event, TimerKind};
use mqtt_protocol_core::mqtt::packet::Packet;
use mqtt_protocol_core::mqtt::prelude::*;
use mqtt_protocol_core::mqtt::{Connection, Version, role};
use mqtt_protocol_core_peer::{CASES, answer, is_allowed};
use mqttspec::{BrokerCore, Output};

fn main() -> std::process::ExitCode {
    mqttspec::conformance()
        .broker_core(|_| Ok(Server::default()))
        .name("mqtt-protocol-core 0.7.9, server")
        .only(CASES)
        .known_failures("known.toml")
        .main()
}

#[derive(Default)]
struct Server {
    connections: BTreeMap<u64, State>,
    outputs: VecDeque<Output>,
}

struct State {
    connection: Connection<role::Server>,
    /// When the crate's timer for the next packet of the client is over.
    deadline: Option<Duration>,
}

impl Server {
    fn handle(&mut self, id: u64, events: Vec<Event>, now: Duration) {
        for event in events {
            let Some(state) = self.connections.get_mut(&id) else { return };
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    self.outputs.push_back(Output::Send(id, packet.to_continuous_buffer()));
                }
                Event::RequestClose => self.close(id),
                Event::RequestTimerReset { kind: TimerKind::PingreqRecv, duration_ms } => {
                    state.deadline = Some(now + Duration::from_millis(duration_ms));
                }
                // The crate does not ask for a close after each error. A server can do nothing else.
                Event::NotifyError(_) => self.close(id),
                Event::RequestTimerCancel(TimerKind::PingreqRecv) => state.deadline = None,
                Event::NotifyPacketReceived(packet) if !is_allowed(&packet) => self.close(id),
                Event::NotifyPacketReceived(packet) => {
                    if let Some(answer) = answer(&packet) {
                        let events = state.connection.send(answer);
                        self.handle(id, events, now);
                    }
                    // The crate leaves it to its user to close after DISCONNECT.
                    if matches!(packet, Packet::V3_1_1Disconnect(_) | Packet::V5_0Disconnect(_)) {
                        self.close(id);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Server {
    fn close(&mut self, id: u64) {
        if self.connections.remove(&id).is_some() {
            self.outputs.push_back(Output::Close(id));
        }
    }
}

impl BrokerCore for Server {
    fn opened(&mut self, id: u64, _: Duration) {
        let mut connection = Connection::<role::Server>::new(Version::Undetermined);
        connection.set_auto_pub_response(true);
        connection.set_auto_ping_response(true);
        self.connections.insert(id, State { connection, deadline: None });
    }

    fn received(&mut self, id: u64, bytes: &[u8], now: Duration) {
        let mut cursor = Cursor::new(bytes);
        while (cursor.position() as usize) < bytes.len() {
            let before = cursor.position();
            let Some(state) = self.connections.get_mut(&id) else { return };
            let events = state.connection.recv(&mut cursor);
            self.handle(id, events, now);
            if cursor.position() == before {
                return;
            }
        }
    }

    fn lost(&mut self, id: u64, _: Duration) {
        self.connections.remove(&id);
    }

    fn deadline(&self) -> Option<Duration> {
        self.connections.values().filter_map(|state| state.deadline).min()
    }

    fn timer(&mut self, now: Duration) {
        let is_due = |state: &State| state.deadline.is_some_and(|deadline| deadline <= now);
        let due: Vec<u64> =
            self.connections.iter().filter(|(_, state)| is_due(state)).map(|(id, _)| *id).collect();
        for id in due {
            let Some(state) = self.connections.get_mut(&id) else { continue };
            state.deadline = None;
            let events = state.connection.notify_timer_fired(TimerKind::PingreqRecv);
            self.handle(id, events, now);
        }
    }

    fn next(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

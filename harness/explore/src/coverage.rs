//! The coverage of a campaign: which faults began in which states of the protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use mqttspec_codec::{Packet, PacketIdentifier, QoS};
use mqttspec_judge::history::{History, HostIndex, What};
use mqttspec_notation::FaultKind;
use serde::{Deserialize, Serialize};

/// The states, in the order of the table.
const STATES: [&str; 11] = [
    "not connected",
    "CONNECT without CONNACK",
    "connected, nothing open",
    "SUBSCRIBE without SUBACK",
    "QoS 1 to the server, no PUBACK",
    "QoS 2 to the server, no PUBREC",
    "QoS 2 to the server, no PUBCOMP",
    "QoS 1 to the client, no PUBACK",
    "QoS 2 to the client, no PUBREC",
    "QoS 2 to the client, no PUBREL",
    "Will set",
];

/// The faults, in the order of the table.
const FAULTS: [&str; 11] = [
    "cut",
    "close",
    "partition",
    "latency",
    "loss",
    "bandwidth",
    "stall",
    "crash client",
    "crash server",
    "profile",
    "take-over",
];

/// How often each fault began in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    cells: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Coverage {
    /// The cells of one run.
    #[must_use]
    pub fn of(history: &History) -> Self {
        let mut reader = Reader::default();
        for event in history.events() {
            reader.read(history, event.connection.map(|connection| connection.host), &event.what);
        }
        reader.found
    }

    /// Adds the cells of another run or shard. Returns the number of cells that are new.
    pub fn add(&mut self, other: &Self) -> usize {
        let mut new = 0;
        for (state, faults) in &other.cells {
            for (fault, times) in faults {
                let cell = self.cells.entry(state.clone()).or_default().entry(fault.clone()).or_default();
                new += usize::from(*cell == 0);
                *cell += times;
            }
        }
        new
    }

    /// The number of cells that were reached.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.cells.values().map(BTreeMap::len).sum()
    }

    /// The number of cells of the table.
    #[must_use]
    pub const fn all_cells() -> usize {
        STATES.len() * FAULTS.len()
    }

    /// The table in Markdown: a `.` is a cell that was not reached.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!("| state | {} |\n|---|{}\n", FAULTS.join(" | "), "---|".repeat(FAULTS.len()));
        for state in STATES {
            let faults = self.cells.get(state);
            let cell = |fault: &&str| {
                faults.and_then(|faults| faults.get(*fault)).map_or_else(|| ".".to_owned(), u64::to_string)
            };
            let cells: Vec<String> = FAULTS.iter().map(cell).collect();
            let _ = writeln!(text, "| {state} | {} |", cells.join(" | "));
        }
        text
    }

    fn count(&mut self, state: &str, fault: &str) {
        *self.cells.entry(state.to_owned()).or_default().entry(fault.to_owned()).or_default() += 1;
    }
}

#[derive(Default)]
struct Reader {
    hosts: BTreeMap<HostIndex, Connection>,
    found: Coverage,
}

/// The state of the newest connection of a host.
#[derive(Default)]
struct Connection {
    client_id: String,
    connecting: bool,
    connected: bool,
    will: bool,
    subscribing: BTreeSet<PacketIdentifier>,
    /// By identifier: the state of the exchange.
    exchanges: BTreeMap<(bool, PacketIdentifier), &'static str>,
}

impl Reader {
    fn read(&mut self, history: &History, host: Option<HostIndex>, what: &What) {
        if let What::Fault(fault) = what {
            let Some(word) = word(&fault.fault.kind, &fault.hosts) else { return };
            let all =
                word == "crash server" || fault.hosts.iter().any(|host| host == mqttspec_notation::SERVER);
            let named = fault.hosts.iter().filter_map(|name| history.host(name));
            let hosts: Vec<HostIndex> =
                if all { self.hosts.keys().copied().collect() } else { named.collect() };
            for host in hosts {
                self.hit(host, word);
            }
            return;
        }
        let Some(host) = host else { return };
        let is_client = history.info(host).observer == mqttspec_codec::Role::Client;
        match what {
            What::Closed(_) => *self.hosts.entry(host).or_default() = Connection::default(),
            What::Sent { packet, .. } => self.packet(host, packet, is_client),
            What::Received { packet, .. } => self.packet(host, packet, !is_client),
            _ => {}
        }
    }

    fn packet(&mut self, host: HostIndex, packet: &Packet, to_server: bool) {
        if let Packet::Connect(connect) = packet {
            let id = connect.client_id.as_str().to_owned();
            let taken = |(other, connection): (&HostIndex, &Connection)| {
                (*other != host && connection.client_id == id && !id.is_empty()).then_some(*other)
            };
            let taken: Vec<HostIndex> = self.hosts.iter().filter_map(taken).collect();
            for other in taken {
                self.hit(other, "take-over");
            }
            let (connecting, will) = (true, connect.will.is_some());
            self.hosts.insert(host, Connection { client_id: id, connecting, will, ..Connection::default() });
            return;
        }
        let connection = self.hosts.entry(host).or_default();
        let exchanges = &mut connection.exchanges;
        match packet {
            Packet::ConnAck(ack) => {
                (connection.connecting, connection.connected) = (false, !ack.reason.is_failure());
            }
            Packet::Subscribe(subscribe) => drop(connection.subscribing.insert(subscribe.id)),
            Packet::SubAck(ack) => drop(connection.subscribing.remove(&ack.id)),
            Packet::Publish(publish) => {
                let Some(id) = publish.delivery.packet_identifier() else { return };
                let state = match (publish.delivery.qos(), to_server) {
                    (QoS::ExactlyOnce, true) => "QoS 2 to the server, no PUBREC",
                    (QoS::ExactlyOnce, false) => "QoS 2 to the client, no PUBREC",
                    (_, true) => "QoS 1 to the server, no PUBACK",
                    (_, false) => "QoS 1 to the client, no PUBACK",
                };
                exchanges.insert((to_server, id), state);
            }
            Packet::PubAck(ack) => drop(exchanges.remove(&(!to_server, ack.id))),
            Packet::PubRec(ack) => {
                let server = "QoS 2 to the server, no PUBCOMP";
                let state = if to_server { "QoS 2 to the client, no PUBREL" } else { server };
                if let Some(exchange) = exchanges.get_mut(&(!to_server, ack.id)) {
                    *exchange = state;
                }
            }
            Packet::PubComp(ack) => drop(exchanges.remove(&(!to_server, ack.id))),
            _ => {}
        }
    }

    fn hit(&mut self, host: HostIndex, fault: &str) {
        let Some(connection) = self.hosts.get(&host) else { return self.found.count(STATES[0], fault) };
        let mut states: BTreeSet<&str> = connection.exchanges.values().copied().collect();
        if connection.connecting {
            states.insert("CONNECT without CONNACK");
        }
        if !connection.subscribing.is_empty() {
            states.insert("SUBSCRIBE without SUBACK");
        }
        if states.is_empty() {
            states.insert(if connection.connected { "connected, nothing open" } else { STATES[0] });
        }
        if connection.will && connection.connected {
            states.insert("Will set");
        }
        for state in states {
            self.found.count(state, fault);
        }
    }
}

/// The column of a fault; `None` for its end.
fn word(kind: &FaultKind, hosts: &[String]) -> Option<&'static str> {
    Some(match kind {
        FaultKind::Cut => "cut",
        FaultKind::Close => "close",
        FaultKind::Partition => "partition",
        FaultKind::Latency(_) => "latency",
        FaultKind::Loss { .. } => "loss",
        FaultKind::Bandwidth { .. } => "bandwidth",
        FaultKind::Stall => "stall",
        FaultKind::Crash if hosts.iter().any(|host| host == mqttspec_notation::SERVER) => "crash server",
        FaultKind::Crash => "crash client",
        FaultKind::Profile(_) => "profile",
        FaultKind::Heal | FaultKind::Resume | FaultKind::Start | FaultKind::Disk(_) => return None,
    })
}

//! The state of a mutant: about the peer since its start, and about each Network Connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqttspec_codec::{Connect, Packet, PacketIdentifier, Publish, Subscribe, Version, Will};

/// The memory of a mutant, from the start of its peer until the peer stops or crashes.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The Network Connection on which the current input arrived.
    pub(crate) connection: Connection,
    /// A counter for the mutant's own use.
    pub(crate) count: u32,
    /// Packet Identifiers of the peer by the identifier on the network, or the reverse; oldest
    /// first.
    pub(crate) identifiers: BTreeMap<PacketIdentifier, VecDeque<PacketIdentifier>>,
    /// PUBLISH packets by their Packet Identifier.
    pub(crate) messages: BTreeMap<PacketIdentifier, Publish>,
    /// A packet that is held back.
    pub(crate) held: Option<Packet>,
    /// The Will of each CONNECT, by its topic.
    pub(crate) wills: BTreeMap<String, Will>,
    /// The newest open Network Connection of each Client Identifier, by number.
    pub(crate) current_connections: BTreeMap<String, u32>,
    /// The number of CONNECT packets of each Client Identifier.
    pub(crate) connection_counts: BTreeMap<String, u32>,
    /// The SUBSCRIBE packets of each Client Identifier.
    pub(crate) subscribed: BTreeMap<String, Vec<Subscribe>>,
    /// Topics for the mutant's own use.
    pub(crate) topics: BTreeSet<String>,
}

/// The memory of a mutant about one Network Connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Counts the peer's Network Connections, from 1.
    pub(crate) number: u32,
    /// The version of the CONNECT.
    pub(crate) version: Version,
    /// The CONNECT, as the Client sent it.
    pub(crate) connect: Option<Box<Connect>>,
    /// Packet Identifiers for the mutant's own use.
    pub(crate) identifiers: BTreeSet<PacketIdentifier>,
    /// Topics for the mutant's own use.
    pub(crate) topics: BTreeSet<String>,
    /// A counter for the mutant's own use.
    pub(crate) count: u32,
}

impl Connection {
    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            version: Version::V5,
            connect: None,
            identifiers: BTreeSet::new(),
            topics: BTreeSet::new(),
            count: 0,
        }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self::new(0)
    }
}

impl State {
    /// Records a CONNECT. The middleware calls it for every CONNECT before the mutant's handler.
    pub(crate) fn record_connect(&mut self, connect: &Connect) {
        self.connection.version = connect.version;
        self.connection.connect = Some(Box::new(connect.clone()));
        let client_id = connect.client_id.as_str().to_owned();
        *self.connection_counts.entry(client_id.clone()).or_default() += 1;
        self.current_connections.insert(client_id, self.connection.number);
        if let Some(will) = &connect.will {
            self.wills.insert(will.topic.as_str().to_owned(), will.clone());
        }
    }

    /// Records that the Network Connection is closed.
    pub(crate) fn record_end(&mut self) {
        let client_id = self.client_id();
        if self.current_connections.get(&client_id) == Some(&self.connection.number) {
            self.current_connections.remove(&client_id);
        }
    }

    /// Records a SUBSCRIBE of the current Client.
    pub(crate) fn record_subscribe(&mut self, subscribe: &Subscribe) {
        self.subscribed.entry(self.client_id()).or_default().push(subscribe.clone());
    }

    /// The Client Identifier of the current Network Connection; empty before its CONNECT.
    pub(crate) fn client_id(&self) -> String {
        let connect = self.connection.connect.as_ref();
        connect.map_or_else(String::new, |connect| connect.client_id.as_str().to_owned())
    }

    /// The number of CONNECT packets of the current Client, including the one of this Network
    /// Connection.
    pub(crate) fn connection_count(&self) -> u32 {
        self.connection_counts.get(&self.client_id()).copied().unwrap_or(0)
    }

    /// The newest open Network Connections of all Clients but the current one, by number.
    pub(crate) fn other_connections(&self) -> impl Iterator<Item = u32> {
        self.current_connections.values().copied().filter(|number| *number != self.connection.number)
    }

    /// Whether the topic of a PUBLISH is the topic of a Will.
    pub(crate) fn is_will(&self, publish: &Publish) -> bool {
        publish.topic.as_ref().is_some_and(|topic| self.wills.contains_key(topic.as_str()))
    }

    /// Counts the calls, and returns true at each `n`th.
    pub(crate) fn is_every_nth(&mut self, n: u32) -> bool {
        self.count += 1;
        self.count.is_multiple_of(n)
    }
}

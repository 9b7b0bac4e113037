//! What a liar remembers: of the peer's life, and of the Network Connection at hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqttspec_codec::{Connect, Packet, PacketIdentifier, Publish, Subscribe, Version, Will};

/// Everything that a liar remembers.
#[derive(Debug, Default)]
pub(crate) struct Scene {
    /// The Network Connection at hand.
    pub(crate) wire: Wire,
    /// A number for the rule that counts.
    pub(crate) count: u32,
    /// The peer's identifiers behind one that is seen on the wire, or the other way round; oldest first.
    pub(crate) identifiers: BTreeMap<PacketIdentifier, VecDeque<PacketIdentifier>>,
    /// PUBLISH packets by their identifier.
    pub(crate) messages: BTreeMap<PacketIdentifier, Publish>,
    /// A packet that is held back.
    pub(crate) held: Option<Packet>,
    /// The Wills that were asked for, by topic.
    pub(crate) wills: BTreeMap<String, Will>,
    /// The newest Network Connection of each Client Identifier that stands.
    pub(crate) owners: BTreeMap<String, u32>,
    /// How many Network Connections each Client Identifier has had.
    pub(crate) visits: BTreeMap<String, u32>,
    /// The SUBSCRIBE packets of each Client Identifier.
    pub(crate) subscribed: BTreeMap<String, Vec<Subscribe>>,
    /// Topics that the rule in force has marked.
    pub(crate) topics: BTreeSet<String>,
}

/// What a liar remembers of a Network Connection.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Counts the peer's Network Connections, from 1.
    pub(crate) number: u32,
    /// The version of the CONNECT.
    pub(crate) version: Version,
    /// The CONNECT, as the Client sent it.
    pub(crate) connect: Option<Box<Connect>>,
    /// Identifiers that the rule in force has marked.
    pub(crate) identifiers: BTreeSet<PacketIdentifier>,
    /// Topics that the rule in force has marked.
    pub(crate) topics: BTreeSet<String>,
    /// A number for the rule that counts.
    pub(crate) count: u32,
}

impl Wire {
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

impl Default for Wire {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Scene {
    /// Remembers what a CONNECT asks for. Called for every CONNECT before its rule.
    pub(crate) fn meet(&mut self, connect: &Connect) {
        self.wire.version = connect.version;
        self.wire.connect = Some(Box::new(connect.clone()));
        let client_id = connect.client_id.as_str().to_owned();
        *self.visits.entry(client_id.clone()).or_default() += 1;
        self.owners.insert(client_id, self.wire.number);
        if let Some(will) = &connect.will {
            self.wills.insert(will.topic.as_str().to_owned(), will.clone());
        }
    }

    /// The wire at hand is gone.
    pub(crate) fn part(&mut self) {
        let client_id = self.client_id();
        if self.owners.get(&client_id) == Some(&self.wire.number) {
            self.owners.remove(&client_id);
        }
    }

    /// The Client Identifier of the Network Connection at hand; empty before its CONNECT.
    pub(crate) fn client_id(&self) -> String {
        self.wire.connect.as_ref().map_or_else(String::new, |connect| connect.client_id.as_str().to_owned())
    }

    /// How many Network Connections the Client at hand has had, with this one.
    pub(crate) fn visits(&self) -> u32 {
        self.visits.get(&self.client_id()).copied().unwrap_or(0)
    }

    /// Whether the topic of a PUBLISH is that of somebody's Will.
    pub(crate) fn is_will(&self, publish: &Publish) -> bool {
        publish.topic.as_ref().is_some_and(|topic| self.wills.contains_key(topic.as_str()))
    }

    /// Counts, and says whether this is one of each `times`.
    pub(crate) fn each(&mut self, times: u32) -> bool {
        self.count += 1;
        self.count.is_multiple_of(times)
    }
}

//! The Clients of a run by Client Identifier.

use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::PacketIdentifier;

use crate::history::ConnectionKey;

/// The number of a Client Identifier in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientNumber(usize);

/// What is known of the Clients with one Client Identifier.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) links: Vec<ConnectionKey>,
    /// Its requests, by their places among all.
    pub(super) requests: Vec<usize>,
    /// The publication that waits for its acknowledgement; `None` if it is unclear which one.
    pub(super) in_flight: BTreeMap<PacketIdentifier, Option<usize>>,
    /// QoS 2 messages without a PUBCOMP; `None` if the Client has used the identifier while it was in
    /// use: then several answers may follow, and the identifier stays unclear.
    pub(super) unreleased: BTreeMap<PacketIdentifier, Option<usize>>,
    /// Those for which it has sent a PUBREL: with DUP 1 too, a PUBLISH may be a new message.
    pub(super) released: BTreeSet<PacketIdentifier>,
    /// The number of PUBRELs with each identifier that released no message and have no PUBCOMP yet.
    /// Their PUBCOMP ends no message that was sent later.
    pub(super) strays: BTreeMap<PacketIdentifier, u32>,
    /// The events between which its Session is unclear, because of bytes that are not a packet or
    /// break the standard.
    pub(super) unclear: Vec<(usize, usize)>,
}

/// All Clients of a run.
#[derive(Debug, Default)]
pub(super) struct Clients<'h> {
    numbers: BTreeMap<&'h str, usize>,
    clients: Vec<Client>,
}

impl<'h> Clients<'h> {
    pub(super) fn number(&mut self, client_id: &'h str) -> ClientNumber {
        let next = self.clients.len();
        let number = *self.numbers.entry(client_id).or_insert(next);
        if number == next {
            self.clients.push(Client::default());
        }
        ClientNumber(number)
    }

    pub(super) fn with_id(&self, client_id: &str) -> Option<&Client> {
        self.clients.get(*self.numbers.get(client_id)?)
    }

    pub(super) fn get(&self, client: ClientNumber) -> &Client {
        &self.clients[client.0]
    }

    pub(super) fn get_mut(&mut self, client: ClientNumber) -> &mut Client {
        &mut self.clients[client.0]
    }
}

impl Client {
    /// Whether its Session is unclear at an event.
    pub(super) fn is_unclear(&self, at: usize) -> bool {
        self.unclear.iter().any(|(from, until)| (*from..*until).contains(&at))
    }

    /// An answer ends a QoS 2 message. Returns the message if it is clear which one that is.
    pub(super) fn end_unreleased(&mut self, id: PacketIdentifier) -> Option<usize> {
        let publication = (*self.unreleased.get(&id)?)?;
        self.unreleased.remove(&id);
        Some(publication)
    }
}

//! Watching a client driver: everything that happens at the client's end of its Network
//! Connections, in order.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use mqttspec_client::{Event, Handle};
use mqttspec_codec::{DecodeError, EncodeError, Packet};

use crate::framed::Ending;

/// Something that happened at the client. Connections are numbered from 1 in the order in which
/// they were opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientObserved<'a> {
    /// The core was given a command of the application. Commands are taken in the order in which
    /// they were sent; the events that a command causes are observed later.
    Commanded {
        /// Names the command in the event that ends it.
        handle: Handle,
    },
    /// The core wants a Network Connection.
    Dialling {
        /// To which host.
        host: &'a str,
        /// At which port.
        port: u16,
    },
    /// The Network Connection could not be opened.
    DialFailed {
        /// Why.
        error: &'a io::Error,
    },
    /// A Network Connection is open.
    Opened {
        /// Its number.
        connection: u64,
    },
    /// The core sent a packet. The changes that it acknowledges are durable.
    Sent {
        /// On which Network Connection.
        connection: u64,
        /// The packet.
        packet: &'a Packet,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// A packet arrived and is given to the core now.
    Received {
        /// On which Network Connection.
        connection: u64,
        /// The packet.
        packet: &'a Packet,
        /// Its bytes.
        bytes: &'a Bytes,
    },
    /// Bytes arrived that are no packet.
    Malformed {
        /// On which Network Connection.
        connection: u64,
        /// What is wrong with them.
        error: &'a DecodeError,
        /// All that had arrived of them.
        bytes: &'a Bytes,
    },
    /// The core made a packet that has no encoding: a defect.
    Unsendable {
        /// On which Network Connection.
        connection: u64,
        /// The packet.
        packet: &'a Packet,
        /// What is wrong with it.
        error: &'a EncodeError,
    },
    /// The Server or the network ended a Network Connection.
    Lost {
        /// Which.
        connection: u64,
        /// How.
        ending: &'a Ending,
    },
    /// The core closed a Network Connection, after what it had sent before.
    Closed {
        /// Which.
        connection: u64,
    },
    /// The core reported an event to its application.
    Core(&'a Event),
}

/// An observer of a client driver.
pub trait ClientTap {
    /// Something happened, at this time of the driver's clock.
    fn observe(&mut self, at: Duration, what: ClientObserved<'_>);
}

/// Watches nothing.
impl ClientTap for () {
    fn observe(&mut self, _at: Duration, _what: ClientObserved<'_>) {}
}

impl<F: FnMut(Duration, ClientObserved<'_>)> ClientTap for F {
    fn observe(&mut self, at: Duration, what: ClientObserved<'_>) {
        self(at, what);
    }
}

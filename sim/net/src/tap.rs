//! Watching a broker driver: everything that happens at the broker's end of its Network
//! Connections, in order.
//!
//! A tap only observes: it changes nothing. Transcripts, live monitors and counters are taps.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use mqttspec_broker::{ConnectionId, Event};
use mqttspec_codec::{DecodeError, EncodeError, Packet};

use crate::framed::Ending;

/// Something that happened at the broker.
#[derive(Debug)]
#[non_exhaustive]
pub enum Observed<'a> {
    /// A Network Connection was accepted.
    Opened {
        /// Its number.
        connection: ConnectionId,
        /// The address of the Client, if the transport knows it.
        peer: Option<SocketAddr>,
    },
    /// A packet arrived and is given to the core now.
    Received {
        /// On which Network Connection.
        connection: ConnectionId,
        /// The packet.
        packet: &'a Packet,
        /// Its bytes.
        bytes: &'a Bytes,
    },
    /// Bytes arrived that are no packet.
    Malformed {
        /// On which Network Connection.
        connection: ConnectionId,
        /// What is wrong with them.
        error: &'a DecodeError,
        /// All that had arrived of them.
        bytes: &'a Bytes,
    },
    /// The core sent a packet. The changes that it acknowledges are durable.
    Sent {
        /// On which Network Connection.
        connection: ConnectionId,
        /// The packet.
        packet: &'a Packet,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// The peer or the network ended a Network Connection.
    Lost {
        /// Which.
        connection: ConnectionId,
        /// How.
        ending: &'a Ending,
    },
    /// The broker closed a Network Connection, after what it had sent before.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// The driver ended a Network Connection because its peer does not read.
    Overflowed {
        /// Which.
        connection: ConnectionId,
        /// How many bytes it left unread.
        unsent_bytes: usize,
    },
    /// The core made a packet that has no encoding, and the driver ended the Network Connection.
    /// This is a defect of the core.
    Unsendable {
        /// On which Network Connection.
        connection: ConnectionId,
        /// The packet.
        packet: &'a Packet,
        /// What is wrong with it.
        error: &'a EncodeError,
    },
    /// The core reported an event.
    Core(&'a Event),
}

/// An observer of a broker driver.
pub trait Tap {
    /// Something happened, at this time of the driver's clock.
    fn observe(&mut self, at: Duration, what: Observed<'_>);

    /// Whether it looks at the bytes of received packets; if not, they are not kept and come empty.
    fn wants_bytes(&self) -> bool {
        true
    }

    /// Whether it looks at the core's events about single messages; if not, there are none.
    fn wants_messages(&self) -> bool {
        true
    }
}

/// Watches nothing.
impl Tap for () {
    fn observe(&mut self, _at: Duration, _what: Observed<'_>) {}

    fn wants_bytes(&self) -> bool {
        false
    }

    fn wants_messages(&self) -> bool {
        false
    }
}

impl<F: FnMut(Duration, Observed<'_>)> Tap for F {
    fn observe(&mut self, at: Duration, what: Observed<'_>) {
        self(at, what);
    }
}

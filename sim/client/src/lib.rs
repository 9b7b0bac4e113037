//! The reference MQTT client as a state machine without I/O.
//!
//! **A [`Client`] never blocks, never reads a clock and never opens a socket: it is told what came in and when, and asked
//! what must go out.** Time is a [`Duration`](std::time::Duration) since an epoch that the driver chose; it never goes
//! back, not even over a restart with the same store.
//!
//! A driver does this, over and over:
//!
//! 1. Give the client one input: a command of the application, a packet, the end of the Network Connection, or the time.
//! 2. Hand every event to the application.
//! 3. Make the changes of the Session State durable.
//! 4. Carry out every action: open a Network Connection, send a packet, close.
//! 5. Wait for the next input, at most until the time that [`poll_timeout`](Client::poll_timeout) gives.
//!
//! Steps 2 and 3 come before step 4 because a packet may acknowledge what an event and a change tell of: the application
//! has the message and the store the identifier before the Server hears that it may forget them. No input may come
//! between steps 1 and 4.
//!
//! ```
//! use std::time::Duration;
//! use mqttspec_client::{Transmit, Client, Command, Options};
//!
//! let mut client = Client::new(Options::default(), 1);
//! # let mut dialled = false;
//! let mut now = Duration::ZERO;
//! client.handle_command(now, Command::Connect(None));                          // 1
//! loop {
//!     while let Some(_event) = client.poll_event() { /* to the application */ }   // 2
//!     let _changes = client.take_changes(); // to the disk                        // 3
//!     while let Some(transmit) = client.poll_transmit() {                         // 4
//!         match transmit {
//!             Transmit::Dial { .. } => { /* open; then handle_opened or handle_dial_failed */ }
//!             Transmit::Packet { packet, .. } => { /* packet.encode(client.version(), …) */ }
//!             Transmit::Close => { /* close behind what was sent */ }
//!         }
//! #       dialled = true;
//!     }
//!     now = client.poll_timeout().unwrap_or(now); // or sooner, when something comes in // 5
//! #   if dialled { break; }
//!     client.handle_timeout(now);
//! }
//! ```
//!
//! A connection that the client closes with [`Transmit::Close`] is over at once: the driver does not report its end with
//! [`handle_closed`](Client::handle_closed), and gives no packet of it any more.
#![forbid(unsafe_code)]

mod alias;
mod backoff;
mod circuit;
mod client;
mod command;
mod envelope;
mod error;
mod event;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod keep_alive;
mod operations;
mod options;
mod outbox;
mod queue;
mod requests;
mod scram;
mod seen;
mod session;
mod statistics;
mod store;
mod subscriptions;

pub use circuit::CircuitState;
pub use client::{Client, Transmit};
pub use command::{
    Command, Delivered, DisconnectRequest, Handle, Publication, SubscribeRequest, UnsubscribeRequest,
};
pub use error::{Awaited, Error, ErrorKind, Invalid, Unsupported, Violation, meaning};
pub use event::{Event, Message, State};
pub use mqttspec_core::{Change, OptionDescription, OptionError};
pub use options::{Acknowledgement, Authentication, Options, QueuePolicy, SessionLostPolicy};
pub use outbox::{DeliveryState, DeliveryStatistics, OutboxEntry, StateStatistics};
pub use statistics::Statistics;
pub use store::RestoreError;

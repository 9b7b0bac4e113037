//! The reference MQTT client as a state machine without I/O.
//!
//! **A [`Client`] does no I/O: a driver passes it inputs with the time, and carries out its
//! outputs.** It does not block, read a clock or open a socket. Time is a
//! [`Duration`](std::time::Duration) since an epoch that the driver chooses. It never goes
//! backwards, not even after a restart with the same store.
//!
//! A driver repeats these steps:
//!
//! 1. Pass one input to the client: a command of the application, a packet, the end of the Network
//!    Connection, or the time.
//! 2. Pass every event to the application.
//! 3. Make the changes of the Session State durable.
//! 4. Do what [`poll_transmit`](Client::poll_transmit) returns: open a Network Connection, send a
//!    packet, close.
//! 5. Wait for the next input, at most until the deadline that
//!    [`poll_timeout`](Client::poll_timeout) returns.
//!
//! Steps 2 and 3 are before step 4 because a packet may acknowledge a message: the application must
//! have the message, and the store its identifier, before the Server may forget them. Pass the next
//! input only after step 4. Unlike the broker, the client takes one input at a time, and its events
//! come first.
//!
//! ```
//! use std::time::Duration;
//! use mqttspec_client::{Client, Command, Options, Transmit};
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
//!             Transmit::Packet { packet, version } => { /* encode, write */ }
//!             Transmit::Close => { /* flush, close */ }
//!         }
//! #       dialled = true;
//!     }
//!     now = client.poll_timeout().unwrap_or(now); // or earlier, with an input // 5
//! #   if dialled { break; }
//!     client.handle_timeout(now);
//! }
//! ```
//!
//! A Network Connection that the client closes with [`Transmit::Close`] ends at once: the driver
//! does not report its end with [`handle_closed`](Client::handle_closed), and passes no more of its
//! packets.
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
mod health;
mod info;
mod keep_alive;
mod latitude;
mod operations;
mod options;
mod outbox;
mod queue;
mod requests;
mod restore;
mod seen;
mod session;
mod statistics;
mod store;
mod subscriptions;

pub use circuit::CircuitState;
pub use client::{Client, Transmit};
pub use command::{
    Command, DeliverRequest, Delivered, DisconnectRequest, Handle, PayloadKind, Publication,
    SubscribeRequest, UnsubscribeRequest,
};
pub use error::{Awaited, Error, ErrorKind, Invalid, Unreachable, Unsupported, Violation, meaning};
pub use event::{DeliveryDetails, Event, Message, State};
pub use info::{ConnectionInfo, LastError};
pub use mqttspec_core::{Change, Latitude, OptionDescription, OptionError};
pub use options::{
    Acknowledgement, Authentication, CircuitErrors, Options, QueuePolicy, ReconnectPolicy, SessionLostPolicy,
};
pub use outbox::{DeliveryState, DeliveryStatistics, EndedDelivery, OutboxEntry, StateStatistics};
pub use restore::RestoreError;
pub use statistics::Statistics;

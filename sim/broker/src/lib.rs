//! The reference MQTT broker (3.1, 3.1.1 and 5.0) as a state machine without I/O, written to be
//! read next to the standard.
//!
//! **The broker does no I/O: a driver passes it inputs and carries out its outputs.** Time is a
//! [`Duration`](std::time::Duration) since an epoch that the driver chooses. It never goes
//! backwards, and the epoch stays the same after a restart with the same store. All randomness
//! comes from the seed. A driver repeats these steps:
//!
//! 1. Wait for the first of: a new Network Connection, bytes, the end of a Network Connection, the
//!    deadline that [`poll_timeout`](Broker::poll_timeout) returns.
//! 2. Pass every input that is there to the broker: [`handle_opened`](Broker::handle_opened),
//!    [`handle_packet`](Broker::handle_packet) for each packet that the codec's decoder returns,
//!    [`handle_malformed`](Broker::handle_malformed) once if the decoder fails,
//!    [`handle_closed`](Broker::handle_closed), [`handle_timeout`](Broker::handle_timeout).
//! 3. Make the changes that [`take_changes`](Broker::take_changes) returns durable, as one batch.
//!    Nothing is acknowledged before that, and all inputs since the last batch share its cost. A
//!    driver without a store drops the batch.
//! 4. Send the packets and close the Network Connections that
//!    [`poll_transmit`](Broker::poll_transmit) returns, in that order.
//! 5. Read [`poll_event`](Broker::poll_event) until it returns `None`.
//!
//! ```
//! # use std::time::Duration;
//! # use mqttspec_broker::{Broker, Options, Transmit};
//! # use mqttspec_codec::{Connect, Packet, Utf8String, Version};
//! # enum Input { Opened, Packet(mqttspec_broker::ConnectionId, Packet), Closed(mqttspec_broker::ConnectionId) }
//! # let mut inputs = vec![Input::Opened].into_iter();
//! # let mut wait = |_deadline: Option<Duration>| inputs.next();
//! # let now = Duration::ZERO;
//! let mut broker = Broker::new(Options::default(), 1);
//! while let Some(input) = wait(broker.poll_timeout()) {                          // 1
//!     match input {                                                              // 2
//!         Input::Opened => { broker.handle_opened(now); }
//!         Input::Packet(connection, packet) => broker.handle_packet(now, connection, packet),
//!         Input::Closed(connection) => broker.handle_closed(now, connection),
//!     }
//!     broker.handle_timeout(now);
//!     let _batch = broker.take_changes();                                        // 3
//!     while let Some(transmit) = broker.poll_transmit() {                        // 4
//!         match transmit {
//!             Transmit::Packet { connection, packet, version } => { /* encode, write */ }
//!             Transmit::Close { connection } => { /* flush, close */ }
//!         }
//!     }
//!     while let Some(_event) = broker.poll_event() {}                            // 5
//! }
//! ```
//!
//! The check of a Password is slow by intention. A driver can do it on another thread, with
//! [`Users::check`], and pass the result with
//! [`handle_checked_connect`](Broker::handle_checked_connect).
//!
//! A driver that cannot write as fast as the broker produces reports that with
//! [`handle_congestion`](Broker::handle_congestion).
//!
//! A message that matches many Subscriptions is given to them in parts, one in each
//! [`handle_timeout`](Broker::handle_timeout). Until all have got it, its Client
//! [is busy](Broker::is_busy), and a driver should keep its next packets. If it does not, their
//! messages wait in the core, and more than 16 of them are refused.
//!
//! Where the standard leaves a choice, it is an [option](Options) or listed in `READINGS.md`.
//! `CLAUSES.md` lists for each clause that binds a server where it is obeyed.
#![forbid(unsafe_code)]

mod answers;
mod authentication;
mod broker;
mod connect;
mod connection;
mod connection_id;
mod disconnect;
mod event;
mod fault;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod latitude;
mod leaving;
mod memory;
mod message;
mod options;
mod outbound;
mod output;
mod packet_identifiers;
mod parts;
mod publish;
mod published;
mod retained;
mod session;
mod sessions;
mod shared;
mod small_map;
mod statistics;
mod store;
mod subscribe;
mod timers;
mod topic;
mod will;

pub use authentication::{CheckedPassword, PasswordCheck, Users, UsersError};
pub use broker::Broker;
pub use connection_id::ConnectionId;
pub use event::{Drop, Ending, Event, SessionEnd, WillEnd};
pub use mqttspec_core::{Change, Latitude, OptionDescription, OptionError};
pub use options::{
    ClientIdCharacters, DollarTopics, Options, OverlappingSubscriptions, ProtocolVersions, QueuePolicy,
    Redirect, SharedChoice, UnauthorizedPublish,
};
pub use output::Transmit;
pub use statistics::Statistics;
pub use store::RestoreError;

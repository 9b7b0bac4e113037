//! MQTT 3.1, 3.1.1 and 5.0 packets: strict decoder, exact encoder, no I/O.
//!
//! **What this crate decodes obeys every rule of the standard that one packet can show, and what it encodes decodes to the
//! same again.** It knows no socket, no clock and no executor: bytes go in, packets come out.
//!
//! 1. Give each end of a Network Connection a [`Decoder`] for what it *receives*. A Server's waits for CONNECT and learns the
//!    version from it; a Client's is told with [`Decoder::set_version`].
//! 2. Append what arrives to a buffer, split in any way, and call [`Decoder::decode`] until it says `None`. It takes whole packets
//!    off the front and looks at nothing behind them; a packet above the maximum size is refused by its fixed header.
//! 3. On a [`DecodeError`], send what [`DecodeError::answer`] says, if anything, and close: the stream cannot be read on.
//! 4. [`Packet::encode`] appends a packet to a buffer, which grows at most once. A packet that its version cannot say is an
//!    [`EncodeError`], never a packet with something left out; [`Packet::fitted_to`] leaves out on purpose.
//!
//! ```
//! use bytes::BytesMut;
//! use mqttspec_codec::*;
//!
//! // What a Client sends, in pieces that have nothing to do with packets.
//! let arriving: [&[u8]; 3] = [
//!     b"\x10\x0E\x00\x04MQTT\x05\x02\x00\x3C\x00\x00", // a CONNECT …
//!     b"\x01a\x32\x0C\x00\x05a/b/c\x00\x07",           // … its end, and the beginning of a PUBLISH …
//!     b"\x00hi\x30\x04\x00\x01#\x00",                  // … its end, and a PUBLISH to a wildcard
//! ];
//!
//! let mut decoder = Decoder::new(Role::Server); // 1
//! let mut received = BytesMut::new();
//! let mut transmit = BytesMut::new();
//! let mut version = Version::V5;
//! let mut closed = false;
//! for bytes in arriving {
//!     received.extend_from_slice(bytes);
//!     loop {
//!         let answer: Packet = match decoder.decode(&mut received) { // 2
//!             Ok(None) => break,
//!             Ok(Some(Packet::Connect(connect))) => {
//!                 version = connect.version;
//!                 ConnAck::accepted(false).into()
//!             }
//!             Ok(Some(Packet::Publish(publish))) => match publish.delivery {
//!                 Delivery::AtLeastOnce { id, .. } => PubAck::success(id).into(),
//!                 _ => continue,
//!             },
//!             Ok(Some(_)) => continue,
//!             Err(error) => { // 3
//!                 assert_eq!(error.to_string(), "PUBLISH at byte 4: wildcard character in a Topic Name");
//!                 assert_eq!(error.clause(), Some("MQTT-3.3.2-2"));
//!                 closed = true;
//!                 match error.answer() {
//!                     Answer::Disconnect(reason) => Disconnect::new(reason).into(),
//!                     Answer::ConnAck(reason) => ConnAck::refused(reason).into(),
//!                     Answer::Close => break,
//!                 }
//!             }
//!         };
//!         answer.encode(version, &mut transmit)?; // 4
//!         if closed {
//!             break;
//!         }
//!     }
//! }
//! assert_eq!(transmit, b"\x20\x03\x00\x00\x00\x40\x02\x00\x07\xE0\x01\x82"[..]);
//! # Ok::<(), EncodeError>(())
//! ```
//!
//! # Values that cannot be wrong
//!
//! A [`TopicName`] is not a [`TopicFilter`], a [`PacketIdentifier`] is not zero, DUP and Packet Identifier exist with QoS 1 and 2 only
//! ([`Delivery`]), a Reason Code of another packet does not fit, and a property that a packet does not allow does not compile
//! ([`Properties`], [`AllowedIn`]). The few rules that span fields are checked by `encode`; [`Encode::encode_unchecked`] writes such a packet
//! for the test of a receiver.
//!
//! # Memory
//!
//! Strings, Properties and payloads of decoded packets are slices of the buffer that they arrived in, counted by reference. What is to be
//! kept for long should be `detached`, lest a small message keep a large buffer. [`Decoder::decode_ref`] borrows PUBLISH, CONNECT and SUBSCRIBE in
//! place: it copies and counts nothing. No allocation follows from a length field alone: memory is for bytes that have arrived.
//!
//! # What is left to the receiver
//!
//! What the standard only advises against passes, unless a [`Policy`] says otherwise. 3.1 is decoded as 3.1.1, with two differences. Its
//! CONNECT has rules of its own (Protocol Name, Client Identifier, User Name and Password that may be missing at the end). Bits that 3.1 calls
//! unused are ignored, where 3.1.1 reserves them: flags of fixed headers, Connect Flags, the first byte of CONNACK, the upper bits of a requested QoS.
//!
//! What is checked in which packet, and by which clause, is a page of its own: [`checks`].
#![forbid(unsafe_code)]

mod decoder;
mod error;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod misdeed;
mod nonempty;
mod packet;
mod policy;
mod property;
mod read;
mod reason;
mod scalar;
mod scan;
#[cfg(feature = "serde")]
mod serde_impls;
mod text;
mod topic;
mod version;
mod write;

pub use decoder::{Decoder, decode, decode_from, decode_publish};
pub use error::{DecodeError, EncodeError, ValueError};
pub use misdeed::{Answer, Misdeed};
pub use nonempty::{EmptyList, NonEmpty};
pub use packet::{
    Auth, ConnAck, Connect, ConnectRef, Delivery, Disconnect, Encode, Packet, PacketRef, PacketType, PubAck,
    PubComp, PubRec, PubRel, Publish, PublishRef, RetainHandling, SubAck, Subscribe, SubscribeRef,
    Subscription, SubscriptionRef, SubscriptionsRef, UnsubAck, Unsubscribe, Will, WillRef,
};
pub use policy::{Advice, Policy};
pub use property::*;
pub use reason::{
    AuthReason, ConnectReason, DisconnectReason, NoSuchReasonCode, PubAckReason, PubRelReason, ReasonCode,
    SubAckReason, UnsubAckReason,
};
pub use scalar::{NoSuchQoS, PacketIdentifier, QoS};
pub use text::{BinaryData, Utf8Ref, Utf8String};
pub use topic::{TopicFilter, TopicName};
pub use version::{Role, Version};

#[doc = include_str!("../CHECKS.md")]
pub mod checks {}

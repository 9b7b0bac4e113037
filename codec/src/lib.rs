//! MQTT 3.1, 3.1.1 and 5.0 packets: strict decoder, exact encoder, no I/O.
//!
//! **A decoded packet obeys every rule that a receiver must enforce and that one packet shows, and
//! an encoded packet decodes to the same value.** The crate uses no socket, clock or executor: it
//! converts between bytes and packets.
//!
//! 1. Create a [`Decoder`] for each end of a Network Connection; it decodes the packets that this
//!    end *receives*. A Server's decoder takes the version from CONNECT; a Client sets it with
//!    [`Decoder::set_version`].
//! 2. Append received bytes to a buffer, in pieces of any size, and call [`Decoder::decode`] until
//!    it returns `None`. It removes whole packets from the front of the buffer and does not read
//!    beyond them. A packet above the maximum size is refused as soon as its fixed header is
//!    complete.
//! 3. On a [`DecodeError`], send the packet that [`DecodeError::answer`] names, if any, and close
//!    the Network Connection. Decoding cannot continue.
//! 4. [`Packet::encode`] appends a packet to a buffer, which grows at most once. A packet that
//!    cannot be expressed in its version is an [`EncodeError`]; no field is dropped silently.
//!    [`Packet::fitted_to`] reduces a packet to what an older version can express.
//!
//! ```
//! use bytes::BytesMut;
//! use mqttspec_codec::*;
//!
//! // Bytes from a Client, in pieces that do not match packet boundaries.
//! let arriving: [&[u8]; 3] = [
//!     b"\x10\x0E\x00\x04MQTT\x05\x02\x00\x3C\x00\x00", // a CONNECT …
//!     b"\x01a\x32\x0C\x00\x05a/b/c\x00\x07",           // … its end, and the start of a PUBLISH …
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
//!                 let text = "PUBLISH at byte 4: wildcard character in a Topic Name";
//!                 assert_eq!(error.to_string(), text);
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
//! # Types that exclude invalid values
//!
//! A [`TopicName`] is not a [`TopicFilter`]; a [`PacketIdentifier`] is never zero; DUP and Packet
//! Identifier exist only with QoS 1 and 2 ([`Delivery`]); each packet has its own Reason Code type;
//! and a property that a packet does not allow is a compile error ([`Properties`], [`AllowedIn`]).
//! `encode` checks the few rules that span several fields. [`Encode::encode_unchecked`] skips these
//! checks, for tests of a receiver.
//!
//! # Memory
//!
//! Strings, Properties and payloads of decoded packets are reference-counted slices of the receive
//! buffer. Call `detached` on a value that is kept for long; otherwise a small message keeps a
//! large buffer alive. [`Decoder::decode_ref`] borrows PUBLISH, CONNECT and SUBSCRIBE in place,
//! without copies or reference counts. A length field alone never causes an allocation: memory is
//! allocated only for bytes that have arrived.
//!
//! # Choices left to the receiver
//!
//! The decoder accepts input that the standard only advises against, unless a [`Policy`] refuses
//! it. 3.1 is decoded as 3.1.1, with two differences:
//!
//! - Its CONNECT has its own rules for Protocol Name and Client Identifier, and its User Name and
//!   Password may be missing at the end.
//! - Bits that 3.1 calls unused are ignored, where 3.1.1 reserves them: flags of fixed headers,
//!   Connect Flags, the first byte of CONNACK, the upper bits of a requested QoS.
//!
//! The page [`checks`] lists every check by packet, with its clause.
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

//! MQTT 3.1, 3.1.1 and 5.0 packets: strict decoder, exact encoder, no I/O.
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

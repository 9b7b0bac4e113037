//! The reference MQTT client for applications.
//!
//! [`Client::builder`] takes the URL of a Server: `mqtt://`, `mqtts://`, `ws://` or `wss://`. The
//! client has a thread of its own. Its handle can be cloned and used by many threads. Every command
//! returns a [`Pending`], which is a future, and has [`wait`](Pending::wait) for code that blocks.
//!
//! ```
//! use mqttspec_application::{Client, QoS, message};
//! # let broker = mqttspec_net::TestBroker::start()?;
//! # let url = broker.url();
//! // let url = "mqtts://broker.example";
//! let client = Client::builder(&url)?
//!     .client_id("weather-7")?
//!     .will(message("status/weather-7", "lost")?.retained())?
//!     .connect()
//!     .wait()?;
//!
//! // A subscription is a stream of its own …
//! let mut rain = client.subscribe("rain/+", QoS::ExactlyOnce)?.wait()?;
//! // … or calls a function, on a thread of its own.
//! let wind = client.subscribe("wind/#", QoS::AtLeastOnce)?.wait()?;
//! wind.for_each(|message| println!("{}: {:?}", message.topic, message.payload))?;
//!
//! client.publish(message("rain/paris", "2 mm")?.qos(QoS::ExactlyOnce)).wait()?;
//! assert_eq!(rain.wait().map(|message| message.payload), Some("2 mm".into()));
//! client.stop().wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In asynchronous code, write `.await` in place of `.wait()`; any runtime will do.
//!
//! Times in events, in [`ConnectionInfo`] and in [`Statistics`] are durations since 1970-01-01 UTC.
//!
//! The protocol is that of [`mqttspec_client`], which does no I/O. [`drive`] runs the same handle
//! over any network, such as that of a simulated world.
#![forbid(unsafe_code)]

mod client;
mod dispatch;
mod error;
mod pending;
mod subscription;

use bytes::Bytes;

pub use client::{Builder, Client, drive};
pub use error::Error;
/// The client without I/O, for the types that this crate does not name: its
/// [`Error`](mqttspec_client::Error), which [`Error::Client`] has, with
/// [`ErrorKind`](mqttspec_client::ErrorKind) and [`Unreachable`](mqttspec_client::Unreachable).
pub use mqttspec_client;
pub use mqttspec_client::{
    Acknowledgement, CircuitState, ConnectionInfo, DeliverRequest, DeliveryState, DeliveryStatistics,
    DisconnectRequest, EndedDelivery, Event, Message, Options, PayloadKind, Publication, State, Statistics,
};
/// The packets of MQTT, for properties such as [`UserProperty`](mqttspec_codec::UserProperty) and
/// for all options of a [`Subscription`](mqttspec_codec::Subscription).
pub use mqttspec_codec;
pub use mqttspec_codec::{PubAckReason, QoS, TopicFilter, TopicName};
pub use pending::Pending;
pub use subscription::{Events, Subscription};

/// A message with the default QoS. [`Publication`] has its other settings.
///
/// # Errors
/// If the text is no Topic Name.
pub fn message(topic: &str, payload: impl Into<Bytes>) -> Result<Publication, Error> {
    let topic =
        TopicName::try_from(topic).map_err(|_| Error::Text { what: "Topic Name", text: topic.to_owned() })?;
    Ok(Publication::new(topic, payload))
}

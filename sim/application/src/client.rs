//! The handle of an application.

mod builder;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use mqttspec_client::{
    Client as Core, Command, ConnectionInfo, DeliverRequest, DeliveryStatistics, DisconnectRequest,
    EndedDelivery, Event, Message, Options, Publication, Statistics,
};
use mqttspec_codec::{PubAckReason, QoS, SubAckReason, TopicFilter, Version};
use mqttspec_net::Clock;
use mqttspec_net::client::client as driver;
use mqttspec_net::store::Store;
use mqttspec_ports::Net;
use tokio::sync::{mpsc, oneshot};

pub use self::builder::Builder;
use crate::dispatch::{Cause, Order, Subscribed, Subscribing, dispatch};
use crate::error::Error;
use crate::pending::Pending;
use crate::subscription::{Events, Subscription};

/// A client of an MQTT Server. Clones are handles of the same client, for any thread. It ends when
/// all handles and subscriptions are gone, or with [`stop`](Client::stop).
#[derive(Clone, Debug)]
pub struct Client {
    orders: mpsc::UnboundedSender<Order>,
    cause: Cause,
    clock: Clock,
}

/// A client over any network: the handle, and the task that runs it until it ends, to spawn or
/// await on one thread. This is what [`Builder::connect`] runs on a thread of its own; in a
/// simulated world it is run on a host.
///
/// # Errors
/// If the store cannot be read.
pub fn drive<N: Net>(
    net: N,
    options: Options,
    seed: u64,
    clock: Clock,
    store: impl Store + 'static,
) -> Result<(Client, impl Future<Output = ()>), Error> {
    let identifies = options.version == Version::V5;
    let cause = Cause::default();
    let (handle, driver) = driver(net, options, seed, clock, store, ()).map_err(|error| {
        cause.set(error);
        cause.error()
    })?;
    let (orders, received) = mpsc::unbounded_channel();
    let client = Client { orders, cause: cause.clone(), clock };
    let run = async move {
        let driving = async {
            if let Err(error) = driver.await {
                cause.set(error);
            }
        };
        let ((), stops) = tokio::join!(driving, dispatch(handle, cause.clone(), identifies, received));
        for stop in stops {
            // The application need not wait.
            let _ = stop.send(Ok(()));
        }
    };
    Ok((client, run))
}

impl Client {
    /// A client for the Server at this URL: `mqtt://host:port`, `mqtts://…`, `ws://host:port/path`
    /// or `wss://…`.
    ///
    /// # Errors
    /// If the text is not such a URL.
    pub fn builder(url: &str) -> Result<Builder, Error> {
        Builder::new(url)
    }

    /// Connects, and connects again when the connection is lost. [`Builder::connect`] does this.
    pub fn connect(&self) -> Pending<()> {
        self.command(Command::Connect(None), |_| Ok(()))
    }

    /// Publishes a message. Ends with the Server's acknowledgement (QoS 1 and 2) or when the message
    /// was sent (QoS 0). While there is no connection, the message waits in a queue.
    pub fn publish(&self, publication: Publication) -> Pending<PubAckReason> {
        self.command(Command::Publish(publication), |event| match event {
            Event::Published { reason, .. } => Ok(reason),
            _ => Err(Error::Stopped),
        })
    }

    /// Subscribes. Ends when the Server has granted the subscription. It is restored when the Server
    /// has lost the Session.
    ///
    /// # Errors
    /// If the text is no Topic Filter.
    pub fn subscribe(&self, filter: &str, qos: QoS) -> Result<Pending<Subscription>, Error> {
        let filter = TopicFilter::try_from(filter)
            .map_err(|_| Error::Text { what: "Topic Filter", text: filter.to_owned() })?;
        Ok(self.subscribe_with(mqttspec_codec::Subscription::new(filter, qos)))
    }

    /// As [`subscribe`](Client::subscribe), with all Subscription Options.
    pub fn subscribe_with(&self, subscription: mqttspec_codec::Subscription) -> Pending<Subscription> {
        let (messages, received) = mpsc::unbounded_channel();
        let (done, ended) = oneshot::channel();
        let (filter, orders) = (subscription.filter.clone(), self.orders.clone());
        let order = Order::Subscribe(Box::new(Subscribing { subscription, messages, done }));
        if self.orders.send(order).is_err() {
            return Pending::failed(self.cause.error());
        }
        Pending::new(ended, move |Subscribed { number, reason }| {
            let granted = match reason {
                SubAckReason::GrantedQoS2 => QoS::ExactlyOnce,
                SubAckReason::GrantedQoS1 => QoS::AtLeastOnce,
                _ => QoS::AtMostOnce,
            };
            Ok(Subscription { number, filter, granted, messages: received, orders })
        })
    }

    /// Publishes a request and ends with the response (5.0). Without a time of its own it waits as
    /// long as the option `request_timeout` says.
    pub fn request(&self, publication: Publication, timeout: Option<Duration>) -> Pending<Message> {
        let request = Command::Request { publication, response_topic: None, timeout };
        self.command(request, |event| match event {
            Event::Response { message, .. } => Ok(message),
            _ => Err(Error::Stopped),
        })
    }

    /// Answers a request.
    pub fn respond(&self, request: &Message, payload: impl Into<Bytes>) -> Pending<PubAckReason> {
        match Publication::response_to(request, payload) {
            Ok(publication) => self.publish(publication),
            Err(invalid) => Pending::failed(mqttspec_client::Error::Invalid(invalid).into()),
        }
    }

    /// Puts a message into the outbox. Ends when the receiving application has acknowledged it, with
    /// the name of the receiver if it is known.
    pub fn deliver(&self, request: impl Into<DeliverRequest>) -> Pending<Option<String>> {
        self.command(Command::Deliver(request.into()), |event| match event {
            Event::Delivered { by, .. } => Ok(by),
            _ => Err(Error::Stopped),
        })
    }

    /// Acknowledges or refuses a message, if the option `acknowledgement` is manual. The sender of a
    /// delivery gets the same answer.
    pub fn acknowledge(&self, message: &Message, reason: PubAckReason) -> Pending<()> {
        match message.delivered {
            Some(message) => self.command(Command::Acknowledge { message, reason }, |_| Ok(())),
            None => {
                let invalid = mqttspec_client::Invalid::NothingToAcknowledge;
                Pending::failed(mqttspec_client::Error::Invalid(invalid).into())
            }
        }
    }

    /// Authenticates again, with the method of the connection (5.0).
    pub fn reauthenticate(&self) -> Pending<()> {
        self.command(Command::Reauthenticate, |_| Ok(()))
    }

    /// Disconnects normally: the Will is not published. The client can connect again.
    pub fn disconnect(&self) -> Pending<()> {
        self.disconnect_with(DisconnectRequest::default())
    }

    /// As [`disconnect`](Client::disconnect), with a Reason Code, a Reason String and User
    /// Properties (5.0).
    pub fn disconnect_with(&self, request: DisconnectRequest) -> Pending<()> {
        self.command(Command::Disconnect(request), |_| Ok(()))
    }

    /// Disconnects, and ends the client. Ends when its store is closed, so that another client can
    /// open it.
    pub fn stop(&self) -> Pending<()> {
        let (done, ended) = oneshot::channel();
        match self.orders.send(Order::Stop(done)) {
            Ok(()) => Pending::new(ended, Ok),
            Err(_) => Pending::failed(self.cause.error()),
        }
    }

    /// All events from now on, except messages.
    #[must_use]
    pub fn events(&self) -> Events {
        let (sender, events) = mpsc::unbounded_channel();
        // A client that has ended has no events.
        let _ = self.orders.send(Order::Events(sender));
        Events { events }
    }

    /// What the client knows about its connection.
    pub fn info(&self) -> Pending<ConnectionInfo> {
        let clock = self.clock;
        self.inspect(move |core| core.info(clock.now()))
    }

    /// Counts of what the client has done.
    pub fn statistics(&self) -> Pending<Statistics> {
        self.inspect(Core::statistics)
    }

    /// Counts of the outbox.
    pub fn delivery_statistics(&self) -> Pending<DeliveryStatistics> {
        self.inspect(Core::delivery_statistics)
    }

    /// The deliveries that ended last, the oldest first.
    pub fn delivery_history(&self) -> Pending<Vec<EndedDelivery>> {
        self.inspect(|core| core.delivery_history().cloned().collect())
    }

    fn inspect<T: Send + 'static>(&self, look: impl FnOnce(&Core) -> T + Send + 'static) -> Pending<T> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |core: &Core| drop(reply.send(Ok(look(core)))));
        match self.orders.send(Order::Inspect(look)) {
            Ok(()) => Pending::new(answer, Ok),
            Err(_) => Pending::failed(self.cause.error()),
        }
    }

    fn command<T>(
        &self,
        command: Command,
        map: impl FnOnce(Event) -> Result<T, Error> + Send + 'static,
    ) -> Pending<T> {
        let (done, ended) = oneshot::channel();
        match self.orders.send(Order::Command(Box::new(command), done)) {
            Ok(()) => Pending::new(ended, map),
            Err(_) => Pending::failed(self.cause.error()),
        }
    }
}

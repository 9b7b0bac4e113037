//! The task between the handles of an application and the driver of its client: it gives commands
//! to the driver, and passes each event to the command or subscription that waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use mqttspec_client::{
    Client as Core, Command, DisconnectRequest, Event, Handle, Message, SubscribeRequest, UnsubscribeRequest,
    Unsupported,
};
use mqttspec_codec::{Properties, SubAckReason, SubscriptionIdentifier, TopicFilter};
use mqttspec_net::client::{ClientError, ClientHandle};
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;

/// Messages that no subscription of this process has claimed. They wait for one: a Server sends the
/// messages of a Session before the application can subscribe again.
const UNCLAIMED_MAX: usize = 10_000;

pub(crate) type Done = oneshot::Sender<Result<Event, Error>>;
pub(crate) type Stopped = oneshot::Sender<Result<(), Error>>;

/// A subscription with its QoS, and the receiver of its messages.
pub(crate) struct Subscribing {
    pub(crate) subscription: mqttspec_codec::Subscription,
    pub(crate) messages: mpsc::UnboundedSender<Message>,
    pub(crate) done: oneshot::Sender<Result<Subscribed, Error>>,
}

/// A subscription that the Server has granted.
pub(crate) struct Subscribed {
    pub(crate) number: u64,
    pub(crate) reason: SubAckReason,
}

pub(crate) enum Order {
    Command(Box<Command>, Done),
    Subscribe(Box<Subscribing>),
    /// The application does not need a subscription any more.
    Drop {
        number: u64,
    },
    Events(mpsc::UnboundedSender<Event>),
    Inspect(Box<dyn FnOnce(&Core) + Send>),
    /// The reply is sent when everything has ended.
    Stop(Stopped),
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Order")
    }
}

/// Why the driver has ended, if its store failed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cause(Arc<Mutex<Option<Arc<ClientError>>>>);

impl Cause {
    pub(crate) fn set(&self, error: ClientError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(error));
    }

    pub(crate) fn error(&self) -> Error {
        let cause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cause.clone().map_or(Error::Stopped, Error::Store)
    }
}

/// What waits for the end of a command.
enum Waiting {
    Command(Done),
    Subscribe(Box<Subscribing>),
}

struct Receiver {
    filter: TopicFilter,
    messages: mpsc::UnboundedSender<Message>,
}

struct Dispatcher {
    handle: ClientHandle,
    cause: Cause,
    waiting: BTreeMap<Handle, Waiting>,
    receivers: BTreeMap<u64, Receiver>,
    identifiers: BTreeMap<TopicFilter, SubscriptionIdentifier>,
    /// Whether the version has Subscription Identifiers and the Server accepts them.
    identifies: bool,
    observers: Vec<mpsc::UnboundedSender<Event>>,
    unclaimed: VecDeque<Message>,
    next_number: u64,
}

/// Runs until the handles of the application are gone, the client is stopped or the driver ends.
/// Returns those that wait for the end.
pub(crate) async fn dispatch(
    handle: ClientHandle,
    cause: Cause,
    identifies: bool,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> Vec<Stopped> {
    let mut stops = Vec::new();
    let mut dispatcher = Dispatcher {
        handle,
        cause,
        waiting: BTreeMap::new(),
        receivers: BTreeMap::new(),
        identifiers: BTreeMap::new(),
        identifies,
        observers: Vec::new(),
        unclaimed: VecDeque::new(),
        next_number: 1,
    };
    loop {
        tokio::select! {
            biased;
            event = dispatcher.handle.event() => match event {
                Some(event) => dispatcher.event(event).await,
                None => break,
            },
            order = orders.recv() => match order {
                None => break,
                Some(Order::Stop(stop)) => {
                    stops.push(stop);
                    dispatcher.disconnect().await;
                    break;
                }
                Some(order) => dispatcher.order(order).await,
            },
        }
    }
    dispatcher.fail_all();
    stops
}

impl Dispatcher {
    async fn order(&mut self, order: Order) {
        match order {
            Order::Command(command, done) => {
                self.command(*command, Waiting::Command(done)).await;
            }
            Order::Subscribe(subscribing) => self.subscribe(subscribing).await,
            Order::Drop { number } => self.unsubscribe(number).await,
            Order::Events(events) => self.observers.push(events),
            Order::Inspect(look) => {
                // If the driver has ended, the caller sees that its reply is gone.
                let _ = self.handle.commander().inspect(look).await;
            }
            Order::Stop(_) => {}
        }
    }

    /// Gives a command. No event is read before its handle is known.
    async fn command(&mut self, command: Command, waiting: Waiting) {
        match self.handle.command(command).await {
            Ok(handle) => {
                self.waiting.insert(handle, waiting);
            }
            Err(_) => waiting.fail(self.cause.error()),
        }
    }

    async fn subscribe(&mut self, subscribing: Box<Subscribing>) {
        let filter = &subscribing.subscription.filter;
        let mut properties = Properties::new();
        if self.identifies {
            let next = u32::try_from(self.identifiers.len() + 1).ok().and_then(SubscriptionIdentifier::new);
            // Beyond 268,435,455 of them there is none: such messages are found by their topic.
            if let Some(identifier) = self.identifiers.get(filter).copied().or(next) {
                self.identifiers.insert(filter.clone(), identifier);
                properties.set(identifier);
            }
        }
        let subscriptions = vec![subscribing.subscription.clone()];
        let command = Command::Subscribe(SubscribeRequest { subscriptions, properties });
        self.command(command, Waiting::Subscribe(subscribing)).await;
    }

    async fn unsubscribe(&mut self, number: u64) {
        let Some(Receiver { filter, .. }) = self.receivers.remove(&number) else { return };
        if self.receivers.values().any(|receiver| receiver.filter == filter) {
            return;
        }
        let request = UnsubscribeRequest { filters: vec![filter], properties: Properties::new() };
        // Its end interests no one.
        let _ = self.handle.command(Command::Unsubscribe(request)).await;
    }

    /// Disconnects, and processes events until that is done.
    async fn disconnect(&mut self) {
        let request = DisconnectRequest::default();
        let Ok(disconnect) = self.handle.command(Command::Disconnect(request)).await else { return };
        while let Some(event) = self.handle.event().await {
            let is_over = match &event {
                Event::Disconnected { handle, .. } => *handle == Some(disconnect),
                Event::Failed { handle, .. } => *handle == disconnect,
                _ => false,
            };
            self.event(event).await;
            if is_over {
                return;
            }
        }
    }

    async fn event(&mut self, event: Event) {
        let event = match event {
            Event::Message(message) => return self.route(message),
            event => event,
        };
        self.observers.retain(|observer| observer.send(event.clone()).is_ok());
        let Some(handle) = event.ends() else { return };
        match self.waiting.remove(&handle) {
            Some(Waiting::Command(done)) => {
                // The application need not wait.
                let _ = done.send(outcome(event));
            }
            Some(Waiting::Subscribe(subscribing)) => self.subscribed(subscribing, event).await,
            None => {}
        }
    }

    async fn subscribed(&mut self, subscribing: Box<Subscribing>, event: Event) {
        let Subscribing { subscription, messages, done } = match event {
            Event::Failed {
                error: mqttspec_client::Error::NotSupported(Unsupported::SubscriptionIdentifiers),
                ..
            } if self.identifies => {
                self.identifies = false;
                return self.subscribe(subscribing).await;
            }
            _ => *subscribing,
        };
        let reason = match outcome(event) {
            Ok(Event::Subscribed { reasons, .. }) => reasons.first().copied(),
            Ok(_) => None,
            Err(error) => return drop(done.send(Err(error))),
        };
        let Some(reason) = reason.filter(|reason| !reason.is_failure()) else {
            let reason = reason.unwrap_or(SubAckReason::UnspecifiedError);
            return drop(done.send(Err(Error::SubscriptionRefused(reason))));
        };
        let number = self.next_number;
        self.next_number += 1;
        let receiver = Receiver { filter: subscription.filter, messages };
        for message in std::mem::take(&mut self.unclaimed) {
            if receiver.filter.matches(&message.topic) {
                let _ = receiver.messages.send(message);
            } else {
                self.unclaimed.push_back(message);
            }
        }
        self.receivers.insert(number, receiver);
        if done.send(Ok(Subscribed { number, reason })).is_err() {
            self.unsubscribe(number).await;
        }
    }

    /// Passes a message to the subscriptions that caused it. The Server names them, if it can;
    /// otherwise they are those whose filter matches.
    fn route(&mut self, message: Message) {
        let named: Vec<SubscriptionIdentifier> = message.properties.get_all().collect();
        let matching = |receiver: &&Receiver| receiver.filter.matches(&message.topic);
        let is_named = |receiver: &&Receiver| {
            self.identifiers.get(&receiver.filter).is_some_and(|identifier| named.contains(identifier))
        };
        let mut receivers: Vec<_> =
            self.receivers.values().filter(matching).filter(|receiver| is_named(receiver)).collect();
        if receivers.is_empty() {
            receivers = self.receivers.values().filter(matching).collect();
        }
        if receivers.is_empty() {
            self.unclaimed.push_back(message);
            if self.unclaimed.len() > UNCLAIMED_MAX {
                self.unclaimed.pop_front();
            }
            return;
        }
        for receiver in receivers {
            // A subscription that is being dropped takes no more.
            let _ = receiver.messages.send(message.clone());
        }
    }

    fn fail_all(mut self) {
        let error = self.cause.error();
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            waiting.fail(error.clone());
        }
    }
}

impl Waiting {
    fn fail(self, error: Error) {
        // The application need not wait.
        match self {
            Waiting::Command(done) => drop(done.send(Err(error))),
            Waiting::Subscribe(subscribing) => drop(subscribing.done.send(Err(error))),
        }
    }
}

fn outcome(event: Event) -> Result<Event, Error> {
    match event {
        Event::Failed { error, .. } => Err(error.into()),
        Event::Dropped { .. } => Err(Error::Dropped),
        event => Ok(event),
    }
}

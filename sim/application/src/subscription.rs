//! What an application receives: the messages of a subscription, and the events of its client.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use mqttspec_client::{Event, Message};
use mqttspec_codec::{QoS, TopicFilter};
use tokio::sync::mpsc;

use crate::dispatch::Order;
use crate::error::Error;

/// The messages of one subscription, in the order in which they were received.
///
/// They wait here until they are taken, however slow the application is; other subscriptions do not
/// wait for it. Dropping this unsubscribes, if no other subscription has the same Topic Filter.
#[derive(Debug)]
pub struct Subscription {
    pub(crate) number: u64,
    pub(crate) filter: TopicFilter,
    pub(crate) granted: QoS,
    pub(crate) messages: mpsc::UnboundedReceiver<Message>,
    pub(crate) orders: mpsc::UnboundedSender<Order>,
}

impl Subscription {
    /// Its Topic Filter.
    #[must_use]
    pub fn filter(&self) -> &TopicFilter {
        &self.filter
    }

    /// The QoS that the Server granted.
    #[must_use]
    pub fn granted(&self) -> QoS {
        self.granted
    }

    /// The next message; `None` if the client has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }

    /// The next message if it is there already.
    pub fn try_next(&mut self) -> Option<Message> {
        self.messages.try_recv().ok()
    }

    /// Blocks this thread until there is a message; `None` if the client has ended.
    ///
    /// # Panics
    /// Within an asynchronous runtime.
    pub fn wait(&mut self) -> Option<Message> {
        self.messages.blocking_recv()
    }

    /// Calls a function for each message, on a thread of its own, until the client ends. If the
    /// function panics, it is called for the next message all the same.
    ///
    /// # Errors
    /// If the machine has no thread for it.
    #[expect(clippy::disallowed_methods, reason = "the function of an application may block")]
    pub fn for_each(mut self, mut call: impl FnMut(Message) + Send + 'static) -> Result<(), Error> {
        let name = format!("mqtt {}", self.filter.as_str());
        std::thread::Builder::new().name(name).spawn(move || {
            while let Some(message) = self.messages.blocking_recv() {
                // The panic was printed by the hook of the application.
                let _ = catch_unwind(AssertUnwindSafe(|| call(message)));
            }
        })?;
        Ok(())
    }
}

impl futures_core::Stream for Subscription {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.messages.poll_recv(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // A client that has ended has no subscriptions.
        let _ = self.orders.send(Order::Drop { number: self.number });
    }
}

/// The events of a client, except the messages of its subscriptions. They wait here until they are
/// taken.
#[derive(Debug)]
pub struct Events {
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
}

impl Events {
    /// The next event; `None` if the client has ended. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The next event if it is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Blocks this thread until there is an event; `None` if the client has ended.
    ///
    /// # Panics
    /// Within an asynchronous runtime.
    pub fn wait(&mut self) -> Option<Event> {
        self.events.blocking_recv()
    }
}

impl futures_core::Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.poll_recv(context)
    }
}

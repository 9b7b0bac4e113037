//! The application's handle of its client: it sends commands and receives events.

use std::fmt;

use mqttspec_client::{Client, Command, Event, Handle};
use tokio::sync::{mpsc, oneshot};

pub(super) type Reply = oneshot::Sender<Handle>;

pub(super) enum Request {
    Command(Command, Reply),
    Inspect(Box<dyn FnOnce(&Client) + Send>),
}

pub(super) fn pair() -> (ClientHandle, mpsc::UnboundedReceiver<Request>, mpsc::UnboundedSender<Event>) {
    let (requests, from_application) = mpsc::unbounded_channel();
    let (to_application, events) = mpsc::unbounded_channel();
    (ClientHandle { commander: Commander { requests }, events }, from_application, to_application)
}

/// The driver has ended: its store failed, or its host crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client has ended")]
pub struct ClientGone;

/// An application's handle of its client. The client ends when this and all [`Commander`]s are
/// dropped.
#[derive(Debug)]
pub struct ClientHandle {
    commander: Commander,
    events: mpsc::UnboundedReceiver<Event>,
}

impl ClientHandle {
    /// Gives the client a command and waits until it has accepted it and stored its changes. The
    /// event that ends the command carries the handle.
    ///
    /// # Errors
    /// When the driver has ended.
    pub async fn command(&self, command: Command) -> Result<Handle, ClientGone> {
        self.commander.command(command).await
    }

    /// The next event, or `None` when the driver has ended. Cancel safe.
    pub async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The next event if it is there already.
    pub fn try_event(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }

    /// Gives up the events: the driver then drops them. For an application whose tap receives them.
    #[must_use]
    pub fn without_events(self) -> Commander {
        self.commander
    }

    /// Another way to command the same client.
    #[must_use]
    pub fn commander(&self) -> Commander {
        self.commander.clone()
    }
}

/// Sends commands to a client, and does not receive its events. It can be used by several threads.
#[derive(Clone)]
pub struct Commander {
    requests: mpsc::UnboundedSender<Request>,
}

impl Commander {
    /// Gives the client a command and waits until it has taken it.
    ///
    /// # Errors
    /// When the driver has ended.
    pub async fn command(&self, command: Command) -> Result<Handle, ClientGone> {
        self.send(command)?.await.map_err(|_| ClientGone)
    }

    /// Gives the client a command. What is returned resolves to its handle and need not be awaited.
    ///
    /// # Errors
    /// When the driver has ended.
    pub fn send(&self, command: Command) -> Result<oneshot::Receiver<Handle>, ClientGone> {
        let (reply, handle) = oneshot::channel();
        self.requests.send(Request::Command(command, reply)).map_err(|_| ClientGone)?;
        Ok(handle)
    }

    /// Looks at the client's core: its state, its counters, its options.
    ///
    /// # Errors
    /// When the driver has ended.
    pub async fn inspect<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Client) -> R + Send + 'static,
    ) -> Result<R, ClientGone> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |client: &Client| {
            // The caller may no longer wait for the reply.
            let _ = reply.send(look(client));
        });
        self.requests.send(Request::Inspect(look)).map_err(|_| ClientGone)?;
        answer.await.map_err(|_| ClientGone)
    }
}

/// Both can be given to another thread, and a commander can be shared.
const _: () = {
    const fn is_send<T: Send>() {}
    const fn is_sync<T: Sync>() {}
    is_send::<ClientHandle>();
    is_send::<Commander>();
    is_sync::<Commander>();
};

impl fmt::Debug for Commander {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commander").finish_non_exhaustive()
    }
}

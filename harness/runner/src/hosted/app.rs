//! The application of a hosted client: its commands, and the events that the client reports. Both
//! are those of the adapter protocol, as types.

use core::fmt;

use mqttspec_codec::Version;
use tokio::sync::mpsc;

pub use crate::live::client::properties::PacketProperties;
use crate::live::client::protocol::{Command, Line, Reply, Request};
pub use crate::live::client::protocol::{Connect, Disconnect, Publish, Subscription, Trouble, Will};
use crate::live::client::{AdapterError, peer};

/// An event that a client reports to its application.
pub use crate::live::client::protocol::Event as ClientEvent;

/// The number of a command of the application.
pub type CommandId = u64;

/// A command of an application to its client.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientCommand {
    /// Open a Network Connection to the Server, and send CONNECT.
    Connect(Connect),
    /// Publish a message.
    Publish(Publish),
    /// Subscribe to these Topic Filters, with one SUBSCRIBE.
    Subscribe(Vec<Subscription>),
    /// Unsubscribe from these Topic Filters, with one UNSUBSCRIBE.
    Unsubscribe(Vec<String>),
    /// Acknowledge a received message, if the option `acknowledgement` is `manual`.
    Acknowledge {
        /// The number of the message in [`ClientEvent::Received`].
        message: u64,
        /// The Reason Code.
        reason: u8,
    },
    /// Send DISCONNECT, and close the Network Connection.
    Disconnect(Disconnect),
}

/// The application of a client under test: a stream of commands, and a sink of events.
pub struct App {
    version: Version,
    commands: mpsc::UnboundedReceiver<Request>,
    events: Events,
}

impl App {
    /// The version of MQTT that the client must use.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The next command, and its number for the event that ends it. Waits forever if there is no
    /// more. Cancel safe.
    ///
    /// A command that is not taken within five seconds is a failure of the case: the task must take
    /// commands also while the client connects.
    pub async fn command(&mut self) -> (CommandId, ClientCommand) {
        loop {
            let Some(Request { id, command }) = self.commands.recv().await else {
                core::future::pending().await
            };
            let command = match command {
                Command::Connect(connect) => ClientCommand::Connect(connect),
                Command::Publish(publish) => ClientCommand::Publish(publish),
                Command::Subscribe { properties, .. } | Command::Unsubscribe { properties, .. }
                    if !properties.is_empty() =>
                {
                    self.refuse(id, "properties of SUBSCRIBE and UNSUBSCRIBE for a hosted client");
                    continue;
                }
                Command::Subscribe { subscriptions, .. } => ClientCommand::Subscribe(subscriptions),
                Command::Unsubscribe { filters, .. } => ClientCommand::Unsubscribe(filters),
                Command::Reauthenticate {} => {
                    self.refuse(id, "authenticating again for a hosted client");
                    continue;
                }
                Command::Acknowledge { message, reason } => ClientCommand::Acknowledge { message, reason },
                Command::Disconnect(disconnect) => ClientCommand::Disconnect(disconnect),
                // These are for processes.
                Command::Hello { .. } | Command::New(_) | Command::Drop {} => continue,
            };
            let taken = Line::Reply { id, reply: Reply::Ok(serde_json::Value::Null) };
            // The run may be over.
            let _ = self.events.0.send(taken);
            return (id, command);
        }
    }

    fn refuse(&self, id: CommandId, reason: &str) {
        // The run may be over.
        let _ = self.events.0.send(Line::Reply { id, reply: Reply::Unsupported(reason.to_owned()) });
    }

    /// Reports an event to the application.
    pub fn tell(&self, event: ClientEvent) {
        self.events.tell(event);
    }

    /// The sink of events, for other tasks and for handlers of the client.
    #[must_use]
    pub fn events(&self) -> Events {
        self.events.clone()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("version", &self.version).finish_non_exhaustive()
    }
}

/// The sink of the events of a client.
#[derive(Clone, Debug)]
pub struct Events(mpsc::UnboundedSender<Line>);

impl Events {
    /// Reports an event to the application.
    pub fn tell(&self, event: ClientEvent) {
        // The run may be over.
        let _ = self.0.send(Line::Event(event));
    }
}

/// The other end of an application: the adapter of a client in this process.
pub(super) struct InProcess {
    commands: mpsc::UnboundedSender<Request>,
    lines: mpsc::UnboundedReceiver<Line>,
    last_id: u64,
}

/// An application, and its other end.
pub(super) fn application(version: Version) -> (App, InProcess) {
    let (to_app, commands) = mpsc::unbounded_channel();
    let (events, lines) = mpsc::unbounded_channel();
    let app = App { version, commands, events: Events(events) };
    (app, InProcess { commands: to_app, lines, last_id: 0 })
}

impl peer::Adapter for InProcess {
    async fn send(&mut self, command: Command) -> Result<u64, AdapterError> {
        self.last_id += 1;
        // If the client has ended, that is noted where its main task is run.
        let _ = self.commands.send(Request { id: self.last_id, command });
        Ok(self.last_id)
    }

    async fn line(&mut self) -> Result<Line, AdapterError> {
        match self.lines.recv().await {
            Some(line) => Ok(line),
            None => core::future::pending().await,
        }
    }

    fn next_id(&self) -> u64 {
        self.last_id + 1
    }

    fn output(&mut self) -> Vec<String> {
        Vec::new()
    }
}

//! The commands of an application to its client, and how they end.

use mqttspec_client::{self as client, Command};
use mqttspec_codec::QoS;
use mqttspec_judge::history::{Message, ReportedError};
use mqttspec_net::client::{ClientGone, Commander};
use mqttspec_notation::Field;
use tokio::sync::oneshot;

use super::reports::{CommandKind, CommandNumber};

/// Takes the commands of an application to its client. The client takes them in their order.
pub(crate) trait Commands {
    /// Gives the client a command. The receiver resolves when the client has accepted it, and fails
    /// if the client has ended.
    fn send(&self, command: Command) -> Result<oneshot::Receiver<client::Handle>, ClientGone>;
}

impl Commands for Commander {
    fn send(&self, command: Command) -> Result<oneshot::Receiver<client::Handle>, ClientGone> {
        self.send(command)
    }
}

/// The source of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A line of the scenario. Another line may expect the end of the command.
    Line,
    /// A load in the background.
    Load,
}

/// A command that was given to the client.
#[derive(Clone, Debug)]
pub(super) struct GivenCommand {
    /// Its number among the commands of the scenario's lines; `None` for a command of the harness.
    pub(super) number: Option<CommandNumber>,
    pub(super) what: ClientCommand,
}

/// The parts of a command that its report needs.
#[derive(Clone, Debug)]
pub(super) enum ClientCommand {
    Connect,
    Publish { handle: u64, message: Message },
    Subscribe { handle: u64, filters: Vec<String> },
    Unsubscribe { filters: Vec<String> },
    Request,
    Deliver { message: Message },
    Acknowledge { message: Message },
    Reauthenticate,
    Disconnect,
}

impl ClientCommand {
    pub(super) fn kind(&self) -> CommandKind {
        match self {
            ClientCommand::Connect => CommandKind::Connect,
            ClientCommand::Disconnect => CommandKind::Disconnect,
            ClientCommand::Publish { .. }
            | ClientCommand::Subscribe { .. }
            | ClientCommand::Unsubscribe { .. }
            | ClientCommand::Request
            | ClientCommand::Deliver { .. }
            | ClientCommand::Acknowledge { .. }
            | ClientCommand::Reauthenticate => CommandKind::Other,
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug)]
pub(crate) enum CommandEnd {
    Done,
    /// The server has acknowledged the message with this Reason Code.
    Published(u8),
    /// The granted QoS of each Topic Filter; `None` if it was refused.
    Granted(Vec<Option<QoS>>),
    /// This is the response to the request, with its properties.
    Answered(Message, Vec<Field>),
    Failed(ReportedError),
}

pub(super) fn received(message: &client::Message) -> Message {
    Message {
        topic: message.topic.as_str().to_owned(),
        payload: message.payload.clone(),
        qos: message.qos,
        retain: message.retain,
    }
}

pub(crate) fn reported_error(error: &client::Error) -> ReportedError {
    let kind = match error.kind() {
        client::ErrorKind::Network => "network",
        client::ErrorKind::Authentication => "authentication",
        client::ErrorKind::TimeOut => "timeout",
        client::ErrorKind::Protocol => "protocol",
        client::ErrorKind::Application => "application",
    };
    let reason = match error {
        client::Error::Refused { reason, .. } => Some(u8::from(*reason)),
        client::Error::DisconnectedByServer { reason, .. } => Some(u8::from(*reason)),
        client::Error::PublishRefused { reason, .. } => Some(u8::from(*reason)),
        _ => None,
    };
    ReportedError { kind, reason, text: error.to_string() }
}

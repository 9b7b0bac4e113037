//! Why a command of an application failed.

use std::io;
use std::sync::Arc;

use mqttspec_client::OptionError;
use mqttspec_codec::SubAckReason;
use mqttspec_net::client::ClientError;
use mqttspec_net::store::StoreError;
use mqttspec_net::transport::{TargetError, TransportError};

/// Why a command failed, or a client cannot start.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The client reports it: the network, the Server, or the command itself.
    #[error(transparent)]
    Client(#[from] mqttspec_client::Error),
    /// The Server refused the subscription.
    #[error("the Server refused the subscription: {}", .0.name())]
    SubscriptionRefused(SubAckReason),
    /// The message was dropped, as the option `queue_policy` or `queue_qos0` says.
    #[error("the message was dropped from the publish queue")]
    Dropped,
    /// The store failed, so the client has ended. What it had accepted before is in the store.
    #[error("the client has ended: {0}")]
    Store(Arc<ClientError>),
    /// The client was stopped.
    #[error("the client was stopped")]
    Stopped,
    /// The text is no URL of a Server.
    #[error(transparent)]
    Url(#[from] TargetError),
    /// The value of an option is not valid.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// Not the text of a topic, of a filter or of a name.
    #[error("`{text}` is no {what}")]
    Text {
        /// What it should be.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// The files for TLS cannot be used, or an option needs another one.
    #[error(transparent)]
    Transport(Arc<TransportError>),
    /// The store cannot be opened.
    #[error("the store cannot be opened: {0}")]
    OpenStore(Arc<StoreError>),
    /// The machine has no thread for the client.
    #[error("the client cannot start: {0}")]
    Start(Arc<io::Error>),
}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Error {
        Error::Transport(Arc::new(error))
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        Error::OpenStore(Arc::new(error))
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Start(Arc::new(error))
    }
}

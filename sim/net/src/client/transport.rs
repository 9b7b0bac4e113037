//! What a client's options say about its transport, and why a Network Connection could not be
//! opened.

use std::io;

use mqttspec_client::{Options, Unreachable};
use mqttspec_ports::Net;
#[cfg(feature = "tls")]
use tokio_rustls::rustls;

/// The options that the network must do, since the core cannot.
const OPTIONS: [&str; 5] = ["tls", "ca_file", "certificate_file", "key_file", "websocket_path"];

/// An option that the network does not do.
#[derive(Debug, thiserror::Error)]
#[error("the network of this client cannot do what the option `{0}` says")]
pub(super) struct NotHonoured(pub(super) &'static str);

/// The first option that this network does not do. With it, a connection would be less secure than
/// the application believes.
pub(super) fn not_honoured(options: &Options, net: &impl Net) -> Option<&'static str> {
    let defaults = Options::default();
    OPTIONS.into_iter().find(|name| {
        let value = options.get(name);
        value != defaults.get(name) && !net.honours(name, &value.unwrap_or_default())
    })
}

pub(super) fn unreachable(error: &io::Error) -> Unreachable {
    let cause = error.get_ref();
    if let Some(NotHonoured(option)) = cause.and_then(|cause| cause.downcast_ref()) {
        return Unreachable::OptionNotHonoured(option);
    }
    #[cfg(feature = "tls")]
    if let Some(error) = cause.and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        return match error {
            rustls::Error::InvalidCertificate(_)
            | rustls::Error::NoCertificatesPresented
            | rustls::Error::AlertReceived(_) => Unreachable::Certificate(error.to_string()),
            other => Unreachable::Other(format!("TLS: {other}")),
        };
    }
    match error.kind() {
        io::ErrorKind::NotFound => Unreachable::NameUnknown,
        io::ErrorKind::ConnectionRefused => Unreachable::ConnectionRefused,
        io::ErrorKind::TimedOut => Unreachable::TimedOut,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Unreachable::Closed,
        _ => Unreachable::Other(error.to_string()),
    }
}

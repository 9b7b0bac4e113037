//! The state of the authentication of one Network Connection.

use mqttspec_codec::{Auth, AuthReason, AuthenticationData, AuthenticationMethod, BinaryData, Utf8String};
use mqttspec_core::scram::ServerExchange;

/// Enhanced authentication of one Network Connection.
#[derive(Debug)]
pub(crate) struct Authentication {
    pub(super) method: AuthenticationMethod,
    pub(super) stage: Stage,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// The Client's first message is expected.
    First,
    /// The Client's proof is expected.
    Final(Box<ServerExchange>),
    /// No message is expected.
    Done,
}

/// The next step after a CONNECT or AUTH.
pub(crate) enum Step {
    /// The Client is accepted; CONNACK has this Authentication Data.
    Accepted(Option<BinaryData>),
    /// AUTH is sent to the Client, and one is expected from it.
    Continue(Auth),
}

/// The result of a message from the Client.
pub(super) enum Progress {
    Continue(BinaryData),
    Done { user: Utf8String, data: BinaryData },
}

impl Authentication {
    pub(crate) const fn method(&self) -> &AuthenticationMethod {
        &self.method
    }

    pub(super) fn auth(&self, reason: AuthReason, data: Option<BinaryData>) -> Auth {
        // [MQTT-4.12.0-5] the method of CONNECT
        let auth = Auth::new(reason, self.method.clone());
        match data {
            Some(data) => auth.with(AuthenticationData(data)),
            None => auth,
        }
    }
}

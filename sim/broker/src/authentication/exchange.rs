//! Authentication in CONNECT, AUTH and CONNACK (§3.1.3.5, §3.15, §4.12).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mqttspec_codec::{
    Auth, AuthReason, AuthenticationData, AuthenticationMethod, BinaryData, Connect, ConnectReason,
    DisconnectReason, Packet, Utf8String,
};
use mqttspec_core::scram::{Failure, METHOD, ServerExchange};
use rand::Rng as _;

use super::state::{Authentication, Progress, Stage, Step};
use super::{CheckedPassword, PasswordCheck, Permissions};
use crate::broker::Broker;
use crate::connect::Refusal;
use crate::connection::State;
use crate::connection_id::ConnectionId;
use crate::event::Ending;
use crate::fault::Fault;

impl Broker {
    /// Authenticates the sender of a CONNECT.
    pub(crate) fn authenticate(&mut self, id: ConnectionId, connect: &Connect) -> Result<Step, Refusal> {
        if let Some(method) = connect.properties.get::<AuthenticationMethod>() {
            return self.begin_enhanced(id, connect, method);
        }
        // [MQTT-4.12.0-6] no AUTH without Authentication Method: User Name and Password decide
        let users = &self.options.users;
        let (user, permissions) = match &connect.user_name {
            None if self.options.allow_anonymous => (None, users.anonymous()),
            None => return Err(Refusal::new(ConnectReason::NotAuthorized, "a User Name is required")),
            // A broker without users treats a Client with any User Name as anonymous.
            Some(_) if users.is_empty() && self.options.allow_anonymous => (None, users.anonymous()),
            Some(_) => {
                let done = self.connections.get_mut(&id).and_then(|connection| connection.checked.take());
                let checked = done.or_else(|| users.check(connect).map(PasswordCheck::run));
                let refusal = Refusal::new(
                    ConnectReason::BadUserNameOrPassword,
                    "the User Name or the Password is wrong",
                );
                let CheckedPassword { user, permissions, is_busy } = checked.ok_or(refusal)?;
                if is_busy {
                    let detail = "the Server has too many passwords to check";
                    return Err(Refusal::new(ConnectReason::ServerBusy, detail));
                }
                (Some(user), permissions.ok_or(refusal)?)
            }
        };
        self.identify(id, connect, user, permissions)?;
        Ok(Step::Accepted(None))
    }

    /// What a user may do now, or an anonymous Client if it is `None`.
    pub(crate) fn permissions_of(&self, user: Option<&Utf8String>) -> Arc<Permissions> {
        let users = &self.options.users;
        match user {
            Some(name) => users.permissions(name.as_str()).unwrap_or_else(Permissions::nothing),
            None if self.options.allow_anonymous => users.anonymous(),
            None => Permissions::nothing(),
        }
    }

    /// Stores the user, `None` for an anonymous Client, and its permissions. The Will Message is
    /// published on its behalf, so these are checked for it now.
    fn identify(
        &mut self,
        id: ConnectionId,
        connect: &Connect,
        user: Option<Utf8String>,
        permissions: Arc<Permissions>,
    ) -> Result<(), Refusal> {
        let allowed =
            connect.will.as_ref().map_or(Ok(()), |will| self.may_publish(&permissions, &will.topic));
        allowed.map_err(|detail| Refusal::new(ConnectReason::NotAuthorized, detail))?;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.user = user;
            connection.permissions = permissions;
        }
        Ok(())
    }

    fn begin_enhanced(
        &mut self,
        id: ConnectionId,
        connect: &Connect,
        method: AuthenticationMethod,
    ) -> Result<Step, Refusal> {
        if !self.options.scram_sha_256 || method.0 != METHOD {
            // [MQTT-4.12.0-1]
            let detail = "the Server authenticates by SCRAM-SHA-256 or by User Name and Password";
            return Err(Refusal::new(ConnectReason::BadAuthenticationMethod, detail));
        }
        let mut authentication = Authentication { method, stage: Stage::First };
        // [MQTT-4.12.0-2] the Server needs more: AUTH with Reason Code 0x18
        let challenge = match connect.properties.get::<AuthenticationData>() {
            None => None,
            Some(AuthenticationData(data)) => match self.advance(&mut authentication, data.as_bytes()) {
                Ok(Progress::Continue(challenge)) => Some(challenge),
                Ok(Progress::Done { .. }) | Err(_) => return Err(wrong_credentials()),
            },
        };
        let auth = authentication.auth(AuthReason::ContinueAuthentication, challenge);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.authentication = Some(authentication);
        }
        Ok(Step::Continue(auth))
    }

    pub(crate) fn wait_for_auth(&mut self, id: ConnectionId, connect: Connect, auth: Auth) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.state = State::Authenticating(Box::new(connect));
        }
        self.send(id, Packet::Auth(auth));
    }

    /// Between CONNECT and CONNACK, a Client that authenticates may send only AUTH and DISCONNECT
    /// (§4.12).
    pub(crate) fn handle_packet_while_authenticating(
        &mut self,
        now: Duration,
        id: ConnectionId,
        packet: Packet,
    ) {
        match packet {
            Packet::Auth(auth) => self.continue_connect(now, id, &auth),
            Packet::Disconnect(disconnect) => self.end_connection(now, id, Ending::Client(disconnect.reason)),
            // [MQTT-3.14.0-1] the answer is CONNACK, not DISCONNECT
            _ => self.refuse(
                now,
                id,
                ConnectReason::ProtocolError,
                "only AUTH and DISCONNECT are allowed before CONNACK",
            ),
        }
    }

    fn continue_connect(&mut self, now: Duration, id: ConnectionId, auth: &Auth) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let State::Authenticating(connect) = &connection.state else { return };
        let Some(mut authentication) = connection.authentication.take() else { return };
        let connect = (**connect).clone();
        let right_reason = auth.reason == AuthReason::ContinueAuthentication;
        let right_method = auth.properties.get().as_ref() == Some(&authentication.method);
        let data = auth.properties.get().map(|AuthenticationData(data)| data).unwrap_or_default();
        if !right_reason || !right_method {
            // [MQTT-4.12.0-5] [MQTT-4.12.0-3]
            self.refuse(
                now,
                id,
                ConnectReason::ProtocolError,
                "AUTH with another Authentication Method or Reason Code",
            );
            return;
        }
        let progress = self.advance(&mut authentication, data.as_bytes());
        let outcome = match progress {
            Ok(Progress::Continue(challenge)) => {
                let auth = authentication.auth(AuthReason::ContinueAuthentication, Some(challenge));
                self.send(id, Packet::Auth(auth));
                self.keep_authentication(id, authentication);
                return;
            }
            Ok(Progress::Done { user, data }) => {
                let permissions = self.options.users.permissions(user.as_str()).ok_or(wrong_credentials());
                self.keep_authentication(id, authentication);
                permissions
                    .and_then(|permissions| self.identify(id, &connect, Some(user), permissions))
                    .map(|()| data)
            }
            Err(_) => Err(wrong_credentials()),
        };
        match outcome {
            Ok(data) => self.admit(now, id, connect, Some(data)),
            // [MQTT-4.12.0-4]
            Err(refusal) => self.refuse(now, id, refusal.reason, refusal.detail),
        }
    }

    /// AUTH after CONNACK: re-authentication (§4.12.1). Other packets are processed as usual in the
    /// meantime.
    pub(crate) fn handle_auth(&mut self, id: ConnectionId, auth: &Auth) -> Result<(), Fault> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let Some(mut authentication) = connection.authentication.take() else {
            // §3.15, [MQTT-4.12.0-7]
            let fault = Fault::protocol("AUTH although CONNECT had no Authentication Method");
            return Err(fault.breaking(&["MQTT-4.12.0-7"]));
        };
        if auth.properties.get().as_ref() != Some(&authentication.method) {
            // [MQTT-4.12.0-5] [MQTT-4.12.1-1]
            let fault = Fault::protocol("AUTH with another Authentication Method than CONNECT");
            return Err(fault.breaking(&["MQTT-4.12.0-5"]));
        }
        let authenticated = connection.user.clone();
        match (auth.reason, &authentication.stage) {
            (AuthReason::ReAuthenticate, Stage::Done) => authentication.stage = Stage::First,
            (AuthReason::ContinueAuthentication, Stage::First | Stage::Final(_)) => {}
            _ => return Err(Fault::protocol("AUTH with a Reason Code that is not valid now").breaking(&[])),
        }
        let data = auth.properties.get().map(|AuthenticationData(data)| data);
        let answer = match data {
            None if auth.reason == AuthReason::ReAuthenticate => {
                authentication.auth(AuthReason::ContinueAuthentication, None)
            }
            data => match self.advance(&mut authentication, data.unwrap_or_default().as_bytes()) {
                Ok(Progress::Continue(challenge)) => {
                    authentication.auth(AuthReason::ContinueAuthentication, Some(challenge))
                }
                // The Session continues, so it must be the same user.
                Ok(Progress::Done { user, data }) if authenticated.as_ref() == Some(&user) => {
                    authentication.auth(AuthReason::Success, Some(data))
                }
                // [MQTT-4.12.1-2]
                Ok(Progress::Done { .. }) | Err(_) => {
                    return Err(Fault::new(DisconnectReason::NotAuthorized, "the re-authentication failed"));
                }
            },
        };
        self.keep_authentication(id, authentication);
        self.send(id, Packet::Auth(answer));
        Ok(())
    }

    fn keep_authentication(&mut self, id: ConnectionId, authentication: Authentication) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.authentication = Some(authentication);
        }
    }

    /// Processes one message of the Client.
    fn advance(&mut self, authentication: &mut Authentication, data: &[u8]) -> Result<Progress, Failure> {
        match std::mem::replace(&mut authentication.stage, Stage::Done) {
            Stage::First => {
                let mut nonce = [0; 18];
                self.random.fill_bytes(&mut nonce);
                let nonce = BASE64.encode(nonce);
                let users = &self.options.users;
                let verifier = |user: &str| users.verifiers().get(user);
                let (exchange, challenge) = ServerExchange::begin(data, &nonce, verifier)?;
                authentication.stage = Stage::Final(Box::new(exchange));
                Ok(Progress::Continue(as_data(&challenge)?))
            }
            Stage::Final(exchange) => {
                let (user, answer) = exchange.finish(data)?;
                let user = Utf8String::try_from(user).map_err(|_| Failure::Message)?;
                Ok(Progress::Done { user, data: as_data(&answer)? })
            }
            Stage::Done => Err(Failure::Message),
        }
    }
}

fn as_data(text: &str) -> Result<BinaryData, Failure> {
    BinaryData::try_from(text).map_err(|_| Failure::Message)
}

const fn wrong_credentials() -> Refusal {
    Refusal::new(ConnectReason::NotAuthorized, "the authentication failed")
}

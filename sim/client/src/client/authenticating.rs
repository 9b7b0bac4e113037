//! Enhanced authentication (§4.12 of 5.0): AUTH before CONNACK, and re-authentication after it.

use std::time::Duration;

use mqttspec_codec::{
    Auth, AuthReason, AuthenticationData, AuthenticationMethod, BinaryData, ConnAck, Connect,
    DisconnectReason, Properties, Utf8String,
};
use mqttspec_core::scram::{self, ClientExchange, Reply};
use rand::Rng as _;

use super::{Client, Link};
use crate::command::Handle;
use crate::error::{Awaited, Error, Invalid, Violation};
use crate::event::Event;
use crate::options::Authentication;

/// A re-authentication that has not ended (§4.12.1).
#[derive(Debug)]
pub(super) struct Reauthentication {
    handle: Handle,
    exchange: ClientExchange,
    pub(super) deadline: Duration,
}

/// Why the exchange cannot continue.
#[derive(Clone, Copy)]
enum Failure {
    Violation(Violation),
    Exchange(&'static str),
}

impl From<Violation> for Failure {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl Client {
    /// Sets Authentication Method and first Authentication Data of CONNECT, if the options have a
    /// method.
    pub(super) fn begin_authentication(
        &mut self,
        properties: &mut Properties<Connect>,
    ) -> Option<ClientExchange> {
        let (exchange, first) = self.new_exchange()?;
        properties.set(method());
        properties.set(AuthenticationData(first));
        Some(exchange)
    }

    /// AUTH before CONNACK.
    pub(super) fn auth_in_handshake(&mut self, now: Duration, auth: &Auth) -> Result<(), Violation> {
        let Link::Handshake(handshake) = &mut self.link else { return Ok(()) };
        // [MQTT-4.12.0-6] [MQTT-4.12.0-7] §3.15
        let Some(exchange) = &mut handshake.exchange else { return Err(Violation::AuthUnexpected) };
        // §4.12: before CONNACK both sides use only 0x18.
        if auth.reason != AuthReason::ContinueAuthentication {
            return Err(Violation::AuthUnexpected);
        }
        match advance(exchange, auth) {
            Ok(answer) => {
                // [MQTT-4.12.0-3]
                self.send(now, answer.into());
                Ok(())
            }
            Err(failure) => self.authentication_failed(now, failure),
        }
    }

    /// Checks Authentication Method and last Authentication Data of a CONNACK with Success. Returns
    /// false if the check has failed and the connection is closed.
    pub(super) fn check_authentication(
        &mut self,
        now: Duration,
        connack: &ConnAck,
    ) -> Result<bool, Violation> {
        let Link::Handshake(handshake) = &mut self.link else { return Ok(false) };
        let named: Option<AuthenticationMethod> = connack.properties.get();
        let Some(exchange) = &mut handshake.exchange else {
            // [MQTT-4.12.0-6]
            return if named.is_none() { Ok(true) } else { Err(Violation::AuthenticationMethodChanged) };
        };
        // [MQTT-4.12.0-5]
        if named != Some(method()) {
            return Err(Violation::AuthenticationMethodChanged);
        }
        let data = connack.properties.get().map(|AuthenticationData(data)| data);
        let outcome = match data {
            Some(data) => exchange.receive(&data).map(|_| ()),
            None => Ok(()),
        };
        let outcome = match outcome {
            Ok(()) if !exchange.is_proved() => Err("the Server has not proved that it knows the password"),
            other => other,
        };
        match outcome {
            Ok(()) => Ok(true),
            Err(fault) => self.authentication_failed(now, Failure::Exchange(fault)).map(|()| false),
        }
    }

    pub(super) fn reauthenticate(&mut self, now: Duration, handle: Handle) {
        let Link::Up(connection) = &self.link else { return self.fail(handle, Error::NotConnected) };
        if !connection.enhanced {
            return self.fail(handle, Error::Invalid(Invalid::NoAuthenticationMethod));
        }
        if connection.reauthentication.is_some() {
            return self.fail(handle, Error::Invalid(Invalid::AuthenticationUnderWay));
        }
        let Some((exchange, first)) = self.new_exchange() else {
            return self.fail(handle, Error::Invalid(Invalid::CredentialsMissing));
        };
        let deadline = now + self.options.timeout;
        if let Link::Up(connection) = &mut self.link {
            connection.reauthentication = Some(Reauthentication { handle, exchange, deadline });
        }
        // [MQTT-4.12.1-1] §4.12.1: the method of CONNECT
        let auth = Auth::new(AuthReason::ReAuthenticate, method()).with(AuthenticationData(first));
        self.send(now, auth.into());
    }

    /// AUTH after CONNACK.
    pub(super) fn auth_in_session(&mut self, now: Duration, auth: &Auth) -> Result<(), Violation> {
        let Link::Up(connection) = &mut self.link else { return Ok(()) };
        let Some(under_way) = &mut connection.reauthentication else { return Err(Violation::AuthUnexpected) };
        let failure = match auth.reason {
            AuthReason::ContinueAuthentication => match advance(&mut under_way.exchange, auth) {
                Ok(answer) => {
                    self.send(now, answer.into());
                    return Ok(());
                }
                Err(failure) => failure,
            },
            AuthReason::Success => match conclude(&mut under_way.exchange, auth) {
                Ok(()) => {
                    let handle = under_way.handle;
                    connection.reauthentication = None;
                    self.events.push_back(Event::Reauthenticated { handle });
                    return Ok(());
                }
                Err(failure) => failure,
            },
            AuthReason::ReAuthenticate => return Err(Violation::AuthUnexpected),
        };
        self.authentication_failed(now, failure)
    }

    /// The Server does not answer a re-authentication. The identity of the client is unclear, so
    /// the connection ends.
    pub(super) fn reauthentication_overdue(&mut self, now: Duration) {
        let error = Error::TimedOut(Awaited::Auth);
        self.refuse_peer(now, DisconnectReason::UnspecifiedError, error);
    }

    /// The connection has ended, and with it a re-authentication.
    pub(super) fn drop_reauthentication(&mut self, error: &Error) {
        let Link::Up(connection) = &mut self.link else { return };
        if let Some(Reauthentication { handle, .. }) = connection.reauthentication.take() {
            self.fail(handle, error.clone());
        }
    }

    fn authentication_failed(&mut self, now: Duration, failure: Failure) -> Result<(), Violation> {
        match failure {
            Failure::Violation(violation) => Err(violation),
            // [MQTT-4.12.1-2] §4.12: the Client may give up at any point.
            Failure::Exchange(fault) => {
                let error = Error::AuthenticationFailed(fault);
                self.refuse_peer(now, DisconnectReason::UnspecifiedError, error);
                Ok(())
            }
        }
    }

    fn new_exchange(&mut self) -> Option<(ClientExchange, BinaryData)> {
        if self.options.authentication != Authentication::ScramSha256 {
            return None;
        }
        let user = self.options.user_name.clone()?;
        let password = self.options.password.clone()?;
        let mut nonce = [0; 18];
        self.random.fill_bytes(&mut nonce);
        Some(ClientExchange::begin(&user, &password, &nonce))
    }
}

fn method() -> AuthenticationMethod {
    AuthenticationMethod(Utf8String::from_static(scram::METHOD))
}

fn data_of(auth: &Auth) -> Result<BinaryData, Violation> {
    // [MQTT-4.12.0-5] [MQTT-4.12.1-1]
    if auth.properties.get() != Some(method()) {
        return Err(Violation::AuthenticationMethodChanged);
    }
    Ok(auth.properties.get().map(|AuthenticationData(data)| data).unwrap_or_default())
}

fn advance(exchange: &mut ClientExchange, auth: &Auth) -> Result<Auth, Failure> {
    let data = data_of(auth)?;
    let answer = Auth::new(AuthReason::ContinueAuthentication, method());
    match exchange.receive(&data).map_err(Failure::Exchange)? {
        Reply::Send(data) => Ok(answer.with(AuthenticationData(data))),
        Reply::Proved => Ok(answer),
    }
}

fn conclude(exchange: &mut ClientExchange, auth: &Auth) -> Result<(), Failure> {
    let data = data_of(auth)?;
    if !data.is_empty() {
        exchange.receive(&data).map_err(Failure::Exchange)?;
    }
    if exchange.is_proved() {
        Ok(())
    } else {
        Err(Failure::Exchange("the Server has not proved that it knows the password"))
    }
}

//! A SCRAM exchange in which the harness has one of the sides (RFC 5802, RFC 7677).

use std::borrow::Cow;

use mqttspec_codec::{BinaryData, Utf8String};
use mqttspec_core::scram::{ClientExchange, Failure, ITERATIONS_MIN, Reply, ServerExchange, Verifier, keyed};

/// The exchange of a host, in which the harness has one of the sides.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange {
    /// How many exchanges the host has begun. Each has a nonce of its own.
    number: u32,
    stage: Stage,
}

#[derive(Clone, Debug, Default)]
enum Stage {
    /// No message was sent or accepted.
    #[default]
    None,
    /// The harness is the Client. `proof` is there after server-first.
    Client { exchange: Box<ClientExchange>, proof: Option<BinaryData> },
    /// The harness is the Server and has accepted this client-first.
    Asked(Vec<u8>),
    /// It has sent server-first.
    Challenged(Box<ServerExchange>),
    /// It has accepted client-final; this is server-final.
    Proved(String),
}

impl Exchange {
    /// The content of a message to send.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn send(
        &mut self,
        message: &str,
        user_name: Option<String>,
        password: Option<String>,
        host: u16,
    ) -> Result<Vec<u8>, &'static str> {
        match message {
            "client-first" => {
                let user = user_name.and_then(|name| Utf8String::try_from(name).ok());
                let password = password.and_then(|password| BinaryData::try_from(password.as_str()).ok());
                let (Some(user), Some(password)) = (user, password) else {
                    return Err("it needs a user name and a password");
                };
                let (exchange, first) = ClientExchange::begin(&user, &password, &self.new_secret(host));
                self.stage = Stage::Client { exchange: Box::new(exchange), proof: None };
                Ok(first.as_bytes().to_vec())
            }
            "server-first" => {
                let Stage::Asked(first) = &self.stage else {
                    return Err("no line has expected `client-first`");
                };
                let (first, password) = (first.clone(), password.unwrap_or_default());
                let secret = self.new_secret(host);
                let (salt, nonce) = secret.split_at(8);
                let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
                let verifier = Verifier::new(&password, salt.to_vec(), ITERATIONS_MIN);
                let begun = ServerExchange::begin(&first, &nonce, |_| (true, verifier));
                let (exchange, challenge) = begun.map_err(|_| "`client-first` is malformed")?;
                self.stage = Stage::Challenged(Box::new(exchange));
                Ok(challenge.into_bytes())
            }
            "client-final" => match &self.stage {
                Stage::Client { proof: Some(proof), .. } => Ok(proof.as_bytes().to_vec()),
                _ => Err("no line has expected `server-first`"),
            },
            _ => match &self.stage {
                Stage::Proved(server_final) => Ok(server_final.clone().into_bytes()),
                _ => Err("no line has expected `client-final`"),
            },
        }
    }

    /// Takes a message that arrived.
    ///
    /// # Errors
    /// Why it is not the expected one.
    pub(super) fn accept(
        &mut self,
        message: &str,
        data: &[u8],
        user_name: Option<&str>,
    ) -> Result<(), Cow<'static, str>> {
        match (message, &mut self.stage) {
            ("client-first", _) => {
                // The verifier is made for `server-first`; this one only reads the message.
                let unused =
                    Verifier { iterations: 1, salt: Vec::new(), stored_key: [0; 32], server_key: [0; 32] };
                let mut user = String::new();
                let begun = ServerExchange::begin(data, "unused", |name| {
                    name.clone_into(&mut user);
                    (true, unused)
                });
                begun.map_err(described)?;
                if let Some(expected) = user_name.filter(|expected| *expected != user) {
                    return Err(format!("it is of the user {user:?}, not {expected:?}").into());
                }
                self.stage = Stage::Asked(data.to_vec());
                Ok(())
            }
            ("server-first", Stage::Client { exchange, proof }) => match exchange.receive(data)? {
                Reply::Send(answer) => {
                    *proof = Some(answer);
                    Ok(())
                }
                Reply::Proved => Err("it is server-final".into()),
            },
            ("client-final", Stage::Challenged(exchange)) => {
                let (_, server_final) = exchange.as_ref().clone().finish(data).map_err(described)?;
                self.stage = Stage::Proved(server_final);
                Ok(())
            }
            ("server-final", Stage::Client { exchange, .. }) => match exchange.receive(data)? {
                Reply::Proved => Ok(()),
                Reply::Send(_) => Err("it is server-first".into()),
            },
            _ => Err("no exchange of this host is at this point".into()),
        }
    }

    /// Bytes for the nonce or salt of a new exchange. No two exchanges of a run have the same.
    fn new_secret(&mut self, host: u16) -> [u8; 18] {
        self.number += 1;
        let hash = keyed(b"mqttspec", format!("{host} {}", self.number).as_bytes());
        std::array::from_fn(|at| hash[at])
    }
}

fn described(failure: Failure) -> Cow<'static, str> {
    match failure {
        Failure::Message => "it is malformed, or has another nonce".into(),
        Failure::Proof => "the proof is wrong".into(),
    }
}

//! The Client's side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mqttspec_codec::{BinaryData, Utf8String};
use subtle::ConstantTimeEq as _;

use super::ITERATIONS_MIN;
use super::verifier::{Hash, Verifier, keyed};

/// A Server could use a larger number to keep the client busy.
const ITERATIONS_MAX: u32 = 1_000_000;

/// One run of the exchange, as the Client sees it.
#[derive(Clone)]
pub struct ClientExchange {
    password: String,
    nonce: String,
    first_bare: String,
    stage: Stage,
}

#[derive(Clone)]
enum Stage {
    /// server-first-message is expected.
    First,
    /// server-final-message is expected, with this signature.
    Final(Hash),
    /// The Server has proved that it knows the password.
    Proved,
}

/// The reply to a message of the Server.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// This message is the reply.
    Send(BinaryData),
    /// The Server has proved that it knows the password; no reply is needed.
    Proved,
}

impl ClientExchange {
    /// Starts an exchange and returns client-first-message. `nonce` must not be used twice.
    #[must_use]
    pub fn begin(user: &Utf8String, password: &BinaryData, nonce: &[u8]) -> (Self, BinaryData) {
        let prepared =
            stringprep::saslprep(user.as_str()).map_or_else(|_| user.as_str().to_owned(), Into::into);
        let user = prepared.replace('=', "=3D").replace(',', "=2C");
        let password = String::from_utf8_lossy(password).into_owned();
        let nonce = BASE64.encode(nonce);
        let first_bare = format!("n={user},r={nonce}");
        let message = binary(format!("n,,{first_bare}"));
        (Self { password, nonce, first_bare, stage: Stage::First }, message)
    }

    /// Processes a message of the Server.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn receive(&mut self, message: &[u8]) -> Result<Reply, &'static str> {
        let message = std::str::from_utf8(message).map_err(|_| "the Server's message is not text")?;
        match &self.stage {
            Stage::First => self.prove(message).map(Reply::Send),
            Stage::Final(expected) => {
                let signature = message.strip_prefix("v=").and_then(|text| BASE64.decode(text).ok());
                let signature = signature.ok_or("the Server's last message has no signature")?;
                if !bool::from(signature.ct_eq(expected)) {
                    return Err("the Server does not know the password");
                }
                self.stage = Stage::Proved;
                Ok(Reply::Proved)
            }
            Stage::Proved => Err("the Server continues after the exchange has ended"),
        }
    }

    /// Whether the Server has proved that it knows the password.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        matches!(self.stage, Stage::Proved)
    }

    fn prove(&mut self, server_first: &str) -> Result<BinaryData, &'static str> {
        let mut attributes = server_first.split(',');
        let mut attribute = |name: &str| attributes.next().and_then(|attribute| attribute.strip_prefix(name));
        let nonce = attribute("r=").ok_or("the Server's first message has no nonce")?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err("the Server's nonce does not start with the client's");
        }
        let salt = attribute("s=").and_then(|text| BASE64.decode(text).ok());
        let salt = salt.ok_or("the Server's first message has no salt")?;
        let iterations: Option<u32> = attribute("i=").and_then(|text| text.parse().ok());
        let iterations = iterations
            .filter(|iterations| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(iterations))
            .ok_or("the Server's iteration count is missing, too small or too large")?;

        let (verifier, client_key) = Verifier::with_client_key(&self.password, salt, iterations);
        // "biws" is "n,," in Base64.
        let without_proof = format!("c=biws,r={nonce}");
        let covered = format!("{},{server_first},{without_proof}", self.first_bare);
        let mut proof = keyed(&verifier.stored_key, covered.as_bytes());
        proof.iter_mut().zip(client_key).for_each(|(byte, mask)| *byte ^= mask);
        self.stage = Stage::Final(keyed(&verifier.server_key, covered.as_bytes()));
        Ok(binary(format!("{without_proof},p={}", BASE64.encode(proof))))
    }
}

impl std::fmt::Debug for ClientExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientExchange(..)")
    }
}

/// Names and nonces are much shorter than a packet. A user name that is not results in an empty
/// message, which fails.
fn binary(text: String) -> BinaryData {
    BinaryData::try_from(text.into_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The exchange of RFC 7677 section 3; its client nonce is the Base64 of these bytes.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &[u8] =
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn begin() -> (ClientExchange, BinaryData) {
        let nonce = BASE64.decode(NONCE).unwrap();
        ClientExchange::begin(&Utf8String::from_static("user"), &BinaryData::from_static(b"pencil"), &nonce)
    }

    #[test]
    fn the_exchange_of_rfc_7677() {
        let (mut exchange, first) = begin();
        assert_eq!(&*first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let reply = exchange.receive(SERVER_FIRST);
        assert_eq!(reply, Ok(Reply::Send(BinaryData::try_from(CLIENT_FINAL).unwrap())));
        assert_eq!(exchange.receive(SERVER_FINAL), Ok(Reply::Proved));
        assert!(exchange.is_proved());
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let (mut exchange, _) = begin();
        exchange.receive(SERVER_FIRST).unwrap();
        assert!(exchange.receive(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").is_err());
        assert!(!exchange.is_proved());
    }

    #[test]
    fn a_nonce_of_the_servers_own_or_few_iterations_are_refused() {
        for message in [
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=otherNGfwEbeRWgbNEkqOxxx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOxxx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095",
            "r=rOprNGfwEbeRWgbNEkqOxxx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4000000000",
            "r=rOprNGfwEbeRWgbNEkqOxxx,i=4096",
            "",
        ] {
            let (mut exchange, _) = begin();
            assert!(exchange.receive(message.as_bytes()).is_err(), "{message}");
        }
    }

    #[test]
    fn commas_and_equals_signs_in_user_names_are_escaped() {
        let (_, first) = ClientExchange::begin(&Utf8String::from_static("a,b=c"), &BinaryData::new(), b"123");
        assert_eq!(&*first, b"n,,n=a=2Cb=3Dc,r=MTIz");
    }
}

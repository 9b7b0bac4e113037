//! The Server's side.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::verifier::{Hash, Verifier, keyed};

/// Why the exchange failed. The reason is not sent to the Client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The message is not a SCRAM message, or not the expected one.
    Message,
    /// The user is unknown, or the proof is wrong.
    Proof,
}

/// The Server's state between its two messages.
#[derive(Clone, Debug)]
pub struct ServerExchange {
    user: String,
    verifier: Verifier,
    /// Whether the user exists. If not, the exchange continues with an invented salt, so that the
    /// Client cannot find out.
    known: bool,
    nonce: String,
    /// The two messages so far, which the proof covers.
    transcript: String,
}

impl ServerExchange {
    /// Processes client-first-message and returns server-first-message. `nonce` is the Server's
    /// part, and `verifier` that of the user whose name it gets, with whether the user exists.
    ///
    /// # Errors
    /// [`Failure::Message`]
    pub fn begin(
        message: &[u8],
        nonce: &str,
        verifier: impl FnOnce(&str) -> (bool, Verifier),
    ) -> Result<(Self, String), Failure> {
        let message = std::str::from_utf8(message).map_err(|_| Failure::Message)?;
        // gs2-header: no channel binding, and no authorization identity, because MQTT has none.
        let bare =
            message.strip_prefix("n,,").or_else(|| message.strip_prefix("y,,")).ok_or(Failure::Message)?;
        let mut attributes = bare.split(',');
        let name =
            attributes.next().and_then(|attribute| attribute.strip_prefix("n=")).ok_or(Failure::Message)?;
        let client_nonce = attributes.next().and_then(|attribute| attribute.strip_prefix("r="));
        let client_nonce = client_nonce.filter(|nonce| !nonce.is_empty()).ok_or(Failure::Message)?;
        let user = unescape(name).ok_or(Failure::Message)?;

        let (known, verifier) = verifier(&user);
        let nonce = format!("{client_nonce}{nonce}");
        let answer = format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.iterations);
        let transcript = format!("{bare},{answer}");
        Ok((Self { user, verifier, known, nonce, transcript }, answer))
    }

    /// Processes client-final-message and returns the user and server-final-message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn finish(self, message: &[u8]) -> Result<(String, String), Failure> {
        let message = std::str::from_utf8(message).map_err(|_| Failure::Message)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(Failure::Message)?;
        let mut attributes = without_proof.split(',');
        let binding = attributes.next().and_then(|attribute| attribute.strip_prefix("c="));
        // "biws" and "eSws" are "n,," and "y,," in Base64.
        if !matches!(binding, Some("biws" | "eSws")) {
            return Err(Failure::Message);
        }
        if attributes.next().and_then(|attribute| attribute.strip_prefix("r=")) != Some(&self.nonce) {
            return Err(Failure::Message);
        }
        let proof: Hash =
            BASE64.decode(proof).ok().and_then(|proof| proof.try_into().ok()).ok_or(Failure::Message)?;

        let covered = format!("{},{without_proof}", self.transcript);
        let signature = keyed(&self.verifier.stored_key, covered.as_bytes());
        let mut client_key = proof;
        client_key.iter_mut().zip(signature).for_each(|(byte, mask)| *byte ^= mask);
        let stored_key: Hash = Sha256::digest(client_key).into();
        if !self.known || !bool::from(stored_key.ct_eq(&self.verifier.stored_key)) {
            return Err(Failure::Proof);
        }
        let signature = keyed(&self.verifier.server_key, covered.as_bytes());
        Ok((self.user, format!("v={}", BASE64.encode(signature))))
    }
}

/// A user name in which `,` is written `=2C` and `=` is written `=3D`.
fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('=');
    let mut user = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = match part.as_bytes() {
            [b'2', b'C', ..] => (',', &part[2..]),
            [b'3', b'D', ..] => ('=', &part[2..]),
            _ => return None,
        };
        user.push(sign);
        user.push_str(rest);
    }
    (!user.is_empty()).then_some(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The exchange of RFC 7677 section 3.
    const VERIFIER: &str = "4096 W22ZaJ0SNY7soEsUEjb6gQ== WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY= wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const FINAL: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn begin(first: &[u8]) -> Result<(ServerExchange, String), Failure> {
        let words: Vec<&str> = VERIFIER.split(' ').collect();
        let verifier = Verifier::parse(&words).expect("a verifier");
        ServerExchange::begin(first, SERVER_NONCE, |user| (user == "user", verifier))
    }

    #[test]
    fn the_exchange_of_rfc_7677() {
        let (exchange, answer) = begin(FIRST).expect("a client-first-message");
        assert_eq!(
            answer,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let (user, answer) = exchange.finish(FINAL).expect("the proof is right");
        assert_eq!(
            (user.as_str(), answer.as_str()),
            ("user", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        );
    }

    #[test]
    fn a_wrong_proof_and_an_unknown_user_fail_alike() {
        let (exchange, _) = begin(FIRST).expect("a client-first-message");
        let wrong = String::from_utf8_lossy(FINAL).replace("p=dH", "p=aH");
        assert_eq!(exchange.finish(wrong.as_bytes()), Err(Failure::Proof));
        let (exchange, answer) = begin(b"n,,n=nobody,r=rOprNGfwEbeRWgbNEkqO").expect("it does not show");
        assert!(answer.ends_with(",i=4096"));
        assert_eq!(exchange.finish(FINAL), Err(Failure::Proof));
    }

    #[test]
    fn messages_that_are_none_are_refused() {
        for first in [
            "",
            "n,,",
            "n,,n=user",
            "n,,n=user,r=",
            "p=tls-unique,,n=user,r=x",
            "n,a=x,n=user,r=x",
            "n,,n==2D,r=x",
        ] {
            assert_eq!(begin(first.as_bytes()).map(|_| ()), Err(Failure::Message), "{first}");
        }
        for last in ["", "c=biws,r=other,p=dHzb", "c=abcd,r=x,p=", "r=x"] {
            let (exchange, _) = begin(FIRST).expect("a client-first-message");
            assert_eq!(exchange.finish(last.as_bytes()), Err(Failure::Message), "{last}");
        }
    }

    #[test]
    fn user_names_may_hold_commas_and_equals_signs() {
        assert_eq!(unescape("a=2Cb=3Dc"), Some("a,b=c".to_owned()));
        assert_eq!(unescape("a=é"), None);
    }
}

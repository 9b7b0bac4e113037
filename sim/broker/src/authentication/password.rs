//! The secrets of users, and how a password is checked.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

/// Iterations of PBKDF2 for passwords that the users file has in clear text: the minimum of RFC
/// 7677.
const ITERATIONS: u32 = 4096;

/// The result of SHA-256.
pub(super) type Hash = [u8; 32];

/// A user's secret, as in the users file.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    Password(String),
    Verifier(Verifier),
}

/// The part of a password that SCRAM stores (RFC 5802 section 3): it can check a password, but does
/// not reveal it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Verifier {
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) stored_key: Hash,
    pub(super) server_key: Hash,
}

impl Secret {
    pub(super) fn is(&self, password: &[u8]) -> bool {
        match self {
            Self::Password(secret) => secret.as_bytes().ct_eq(password).into(),
            Self::Verifier(verifier) => {
                let derived = std::str::from_utf8(password).ok();
                let derived = derived
                    .map(|password| Verifier::new(password, verifier.salt.clone(), verifier.iterations));
                derived.is_some_and(|derived| derived.stored_key.ct_eq(&verifier.stored_key).into())
            }
        }
    }

    /// The verifier for SCRAM; `salt` is used for a secret in clear text.
    pub(super) fn verifier(&self, salt: &[u8]) -> Verifier {
        match self {
            Self::Password(password) => Verifier::new(password, salt.to_vec(), ITERATIONS),
            Self::Verifier(verifier) => verifier.clone(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(..)")
    }
}

impl Verifier {
    pub(super) fn new(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        // A password that SASLprep refuses is used unchanged; the Client must do the same.
        let prepared = stringprep::saslprep(password).unwrap_or(password.into());
        let salted: Hash = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(prepared.as_bytes(), &salt, iterations);
        Self {
            iterations,
            salt,
            stored_key: Sha256::digest(keyed(&salted, b"Client Key")).into(),
            server_key: keyed(&salted, b"Server Key"),
        }
    }

    /// The form `scram-sha-256 4096 <salt> <StoredKey> <ServerKey>` of the users file, in Base64.
    pub(super) fn parse(words: &[&str]) -> Option<Self> {
        let [iterations, salt, stored_key, server_key] = words else { return None };
        Some(Self {
            iterations: iterations.parse().ok().filter(|iterations| *iterations > 0)?,
            salt: BASE64.decode(salt).ok()?,
            stored_key: BASE64.decode(stored_key).ok()?.try_into().ok()?,
            server_key: BASE64.decode(server_key).ok()?.try_into().ok()?,
        })
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|key| BASE64.encode(key));
        write!(f, "{} {salt} {stored} {server}", self.iterations)
    }
}

/// HMAC-SHA-256.
pub(super) fn keyed(key: &[u8], message: &[u8]) -> Hash {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

//! What a Server stores in place of a password.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

/// The result of SHA-256.
pub type Hash = [u8; 32];

/// The part of a password that SCRAM stores (RFC 5802 section 3): it can check a password, but does
/// not reveal it.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    /// How many times the password is hashed.
    pub iterations: u32,
    /// What is hashed with it.
    pub salt: Vec<u8>,
    /// The hash of the Client's key.
    pub stored_key: Hash,
    /// The key with which the Server signs.
    pub server_key: Hash,
}

impl Verifier {
    /// The verifier of a password.
    #[must_use]
    pub fn new(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        Self::with_client_key(password, salt, iterations).0
    }

    pub(super) fn with_client_key(password: &str, salt: Vec<u8>, iterations: u32) -> (Self, Hash) {
        let salted = salted(password, &salt, iterations);
        let client_key = keyed(&salted, b"Client Key");
        let verifier = Self {
            iterations,
            salt,
            stored_key: Sha256::digest(client_key).into(),
            server_key: keyed(&salted, b"Server Key"),
        };
        (verifier, client_key)
    }

    /// The verifier of the form `4096 <salt> <StoredKey> <ServerKey>`, in Base64.
    #[must_use]
    pub fn parse(words: &[&str]) -> Option<Self> {
        let [iterations, salt, stored_key, server_key] = words else { return None };
        Some(Self {
            iterations: iterations.parse().ok().filter(|iterations| *iterations > 0)?,
            salt: BASE64.decode(salt).ok()?,
            stored_key: BASE64.decode(stored_key).ok()?.try_into().ok()?,
            server_key: BASE64.decode(server_key).ok()?.try_into().ok()?,
        })
    }

    /// Whether both are of the same password. The duration does not depend on the answer.
    #[must_use]
    pub fn has_key_of(&self, other: &Self) -> bool {
        self.stored_key.ct_eq(&other.stored_key).into()
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|key| BASE64.encode(key));
        write!(f, "{} {salt} {stored} {server}", self.iterations)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(..)")
    }
}

/// The number of salted passwords that are remembered.
const MOST_REMEMBERED: usize = 1024;

/// Salted passwords by password, salt and iterations.
type Remembered = BTreeMap<(String, Vec<u8>, u32), Hash>;

thread_local! {
    /// `None` if this thread does not remember salted passwords.
    static REMEMBERED: RefCell<Option<Remembered>> = const { RefCell::new(None) };
}

/// Lets this thread remember the salted passwords that it computes. For simulations only: their
/// runs use the same few passwords and salts, and to salt one takes as long as a short run. A real
/// peer must not keep what the key of a password can be computed from.
pub fn remember_salted_passwords() {
    REMEMBERED.with_borrow_mut(|remembered| {
        remembered.get_or_insert_default();
    });
}

fn salted(password: &str, salt: &[u8], iterations: u32) -> Hash {
    let salted = || {
        // A password that SASLprep refuses is used unchanged; the other side must do the same.
        let prepared = stringprep::saslprep(password).unwrap_or(password.into());
        pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(prepared.as_bytes(), salt, iterations)
    };
    REMEMBERED.with_borrow_mut(|remembered| {
        let Some(remembered) = remembered else { return salted() };
        if remembered.len() >= MOST_REMEMBERED {
            remembered.clear();
        }
        *remembered.entry((password.to_owned(), salt.to_vec(), iterations)).or_insert_with(salted)
    })
}

/// HMAC-SHA-256.
#[must_use]
pub fn keyed(key: &[u8], message: &[u8]) -> Hash {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_remembers_salted_passwords_computes_the_same() {
        let verifiers = || {
            let of = |password, salt: &[u8], iterations| Verifier::new(password, salt.to_vec(), iterations);
            [of("a", b"s", 1), of("b", b"s", 1), of("a", b"t", 1), of("a", b"s", 2), of("a", b"s", 1)]
        };
        let computed = verifiers();
        remember_salted_passwords();
        assert!(computed == verifiers(), "computed once");
        assert!(computed == verifiers(), "remembered");
    }
}

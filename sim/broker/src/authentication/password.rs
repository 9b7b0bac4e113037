//! The secrets of users, and how a password is checked.

use std::collections::BTreeMap;
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

/// The verifiers of all users. Those of passwords in clear text are derived once.
#[derive(Debug)]
pub(super) struct Verifiers {
    by_name: BTreeMap<String, Verifier>,
    /// The secret that salts are derived from for passwords in clear text and for unknown users.
    key: Hash,
    /// For passwords in clear text and for unknown users: as the first user has whose verifier is
    /// in the file.
    iterations: u32,
}

impl Verifiers {
    pub(super) fn of<'a, S: Iterator<Item = (&'a str, &'a Secret)>>(secrets: impl Fn() -> S) -> Self {
        let key = secrets().fold(Hash::default(), |key, (name, secret)| {
            let key = keyed(&key, name.as_bytes());
            match secret {
                Secret::Password(password) => keyed(&key, password.as_bytes()),
                Secret::Verifier(verifier) => keyed(&key, &verifier.stored_key),
            }
        });
        let iterations = secrets().find_map(|(_, secret)| match secret {
            Secret::Password(_) => None,
            Secret::Verifier(verifier) => Some(verifier.iterations),
        });
        let iterations = iterations.unwrap_or(ITERATIONS);
        let verifier = |(name, secret): (&str, &Secret)| {
            let verifier = match secret {
                Secret::Password(password) => Verifier::new(password, salt(&key, name), iterations),
                Secret::Verifier(verifier) => verifier.clone(),
            };
            (name.to_owned(), verifier)
        };
        Self { by_name: secrets().map(verifier).collect(), key, iterations }
    }

    /// The verifier of the user, and whether the user exists. If not, the verifier is invented, so
    /// that a Client cannot find that out.
    pub(super) fn get(&self, name: &str) -> (bool, Verifier) {
        let invented = Verifier {
            iterations: self.iterations,
            salt: salt(&self.key, name),
            stored_key: keyed(&self.key, b"no stored key"),
            server_key: keyed(&self.key, b"no server key"),
        };
        match self.by_name.get(name) {
            Some(verifier) => (true, verifier.clone()),
            None => (false, invented),
        }
    }

    /// Whether this is the password of the user.
    pub(super) fn check(&self, name: &str, password: &[u8]) -> bool {
        let (known, verifier) = self.get(name);
        let text = std::str::from_utf8(password);
        let derived = Verifier::new(text.unwrap_or_default(), verifier.salt.clone(), verifier.iterations);
        let right: bool = derived.stored_key.ct_eq(&verifier.stored_key).into();
        right & known & text.is_ok()
    }
}

fn salt(key: &Hash, name: &str) -> Vec<u8> {
    keyed(key, name.as_bytes())[..16].to_vec()
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
        #[cfg(test)]
        DERIVATIONS.with_borrow_mut(|derivations| derivations.push(iterations));
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

#[cfg(test)]
thread_local! {
    static DERIVATIONS: std::cell::RefCell<Vec<u32>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// The result of `work`, and the iterations of each PBKDF2 in it.
#[cfg(test)]
pub(super) fn derivations<T>(work: impl FnOnce() -> T) -> (T, Vec<u32>) {
    DERIVATIONS.take();
    let result = work();
    (result, DERIVATIONS.take())
}

/// HMAC-SHA-256.
pub(super) fn keyed(key: &[u8], message: &[u8]) -> Hash {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

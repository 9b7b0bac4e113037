//! The secrets of users, and how a password is checked.

use std::collections::BTreeMap;
use std::fmt;

use mqttspec_core::scram::{Hash, ITERATIONS_MIN, Verifier, keyed};

/// A user's secret, as in the users file.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Secret {
    Password(String),
    Verifier(Verifier),
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
        let iterations = iterations.unwrap_or(ITERATIONS_MIN);
        let verifier = |(name, secret): (&str, &Secret)| {
            let verifier = match secret {
                Secret::Password(password) => derive(password, salt(&key, name), iterations),
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
        let derived = derive(text.unwrap_or_default(), verifier.salt.clone(), verifier.iterations);
        derived.has_key_of(&verifier) & known & text.is_ok()
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

fn derive(password: &str, salt: Vec<u8>, iterations: u32) -> Verifier {
    #[cfg(test)]
    DERIVATIONS.with_borrow_mut(|derivations| derivations.push(iterations));
    Verifier::new(password, salt, iterations)
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

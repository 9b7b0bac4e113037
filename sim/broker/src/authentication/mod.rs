//! Authentication and authorization (§4.12, §5.4).
//!
//! [`users`] is the list of users with their secrets and topic permissions. [`scram`] has the
//! messages of SCRAM-SHA-256 (RFC 5802, RFC 7677), built from keyed hashes of the RustCrypto
//! project because every SASL library takes its nonces from the operating system, which a core must
//! not do. [`exchange`] transports them in CONNECT, AUTH and CONNACK.

mod exchange;
mod password;
mod permissions;
mod scram;
mod state;
mod users;

pub(crate) use permissions::Permissions;
pub(crate) use state::{Authentication, Step};
pub use users::{CheckedPassword, PasswordCheck, Users, UsersError};

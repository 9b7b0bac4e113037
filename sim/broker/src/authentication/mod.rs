//! Authentication and authorization (§4.12, §5.4).
//!
//! [`users`] is the list of users with their secrets and topic permissions. [`exchange`] transports
//! the messages of SCRAM-SHA-256 (`mqttspec_core::scram`) in CONNECT, AUTH and CONNACK.

mod exchange;
mod password;
mod permissions;
mod state;
mod users;

pub(crate) use permissions::Permissions;
pub(crate) use state::{Authentication, Step};
pub use users::{CheckedPassword, PasswordCheck, Users, UsersError};

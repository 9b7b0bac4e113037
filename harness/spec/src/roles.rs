//! The roles that something is about: Server, Client, or both.

use std::fmt;

use mqttspec_codec::Role;
use serde::Deserialize;

/// The roles that a clause binds or that a scenario tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Roles {
    /// The Server only.
    #[default]
    Server,
    /// The Client only.
    Client,
    /// Both roles.
    Both,
}

impl Roles {
    /// Whether `self` includes all of `other`.
    #[must_use]
    pub fn includes(self, other: impl Into<Self>) -> bool {
        self == Self::Both || self == other.into()
    }

    /// The roles, the Server first.
    #[must_use]
    pub fn each(self) -> &'static [Role] {
        match self {
            Self::Server => &[Role::Server],
            Self::Client => &[Role::Client],
            Self::Both => &[Role::Server, Role::Client],
        }
    }
}

/// A role as the notation and the reports write it: `server`, `client`.
#[must_use]
pub const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Server => "server",
        Role::Client => "client",
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        match role {
            Role::Server => Self::Server,
            Role::Client => Self::Client,
        }
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Server => "Server",
            Self::Client => "Client",
            Self::Both => "Client and Server",
        })
    }
}

//! The users file: who may connect, and which topics each may use.
//!
//! ```text
//! # a comment
//! user alice password secret
//!   publish sensors/alice/#
//!   subscribe commands/alice/+
//! user bob scram-sha-256 4096 <salt> <StoredKey> <ServerKey>
//! anonymous
//!   subscribe public/#
//! ```
//! A user without a `publish` line may publish everywhere, and one without a `subscribe` line
//! subscribe to everything.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use mqttspec_codec::TopicFilter;

use super::Permissions;
use super::password::{Secret, Verifier};

/// The users of a broker. If there are none, any Client may connect if `allow_anonymous` is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    by_name: BTreeMap<String, User>,
    anonymous: Option<Arc<Permissions>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    secret: Secret,
    permissions: Arc<Permissions>,
}

/// What is wrong with a users file, and in which line (starting at 1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// The line begins with none of the known words.
    #[error("line {line}: expected `user`, `anonymous`, `publish` or `subscribe`, not `{word}`")]
    Word {
        /// The line.
        line: usize,
        /// The text there.
        word: String,
    },
    /// The line has no valid secret.
    #[error(
        "line {line}: expected `user NAME password SECRET` or `user NAME scram-sha-256 ITERATIONS SALT STORED-KEY SERVER-KEY`"
    )]
    Secret {
        /// The line.
        line: usize,
    },
    /// A permission is before the first user.
    #[error("line {line}: a permission must follow `user` or `anonymous`")]
    Nobody {
        /// The line.
        line: usize,
    },
    /// The permission is not a Topic Filter.
    #[error("line {line}: `{filter}` is not a Topic Filter: {fault}")]
    TopicFilter {
        /// The line.
        line: usize,
        /// The text there.
        filter: String,
        /// What is wrong with it.
        fault: String,
    },
    /// Two users have the same name.
    #[error("line {line}: user `{name}` is listed twice")]
    Repeated {
        /// The line.
        line: usize,
        /// The name.
        name: String,
    },
}

impl Users {
    /// Whether there are no users.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Whether the file has a line `anonymous`: Clients without User Name may connect.
    #[must_use]
    pub fn has_anonymous(&self) -> bool {
        self.anonymous.is_some()
    }

    /// The permissions of a Client without User Name.
    pub(crate) fn anonymous(&self) -> Arc<Permissions> {
        self.anonymous.clone().unwrap_or_default()
    }

    /// The permissions of the user, if the password is right.
    pub(crate) fn authenticate(&self, name: &str, password: &[u8]) -> Option<Arc<Permissions>> {
        let user = self.by_name.get(name)?;
        user.secret.is(password).then(|| Arc::clone(&user.permissions))
    }

    pub(crate) fn permissions(&self, name: &str) -> Option<Arc<Permissions>> {
        self.by_name.get(name).map(|user| Arc::clone(&user.permissions))
    }

    pub(super) fn verifier(&self, name: &str, salt: &[u8]) -> Option<Verifier> {
        self.by_name.get(name).map(|user| user.secret.verifier(salt))
    }
}

impl FromStr for Users {
    type Err = UsersError;

    fn from_str(text: &str) -> Result<Self, UsersError> {
        let mut users = Self::default();
        // The owner of the permissions that follow. `Some(None)` is a Client without User Name.
        let mut whose: Option<Option<String>> = None;
        for (line, content) in (1..).zip(text.lines()) {
            let words: Vec<_> = content.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                [comment, ..] if comment.starts_with('#') => {}
                ["user", name, secret @ ..] => {
                    let secret = match secret {
                        // The password is the rest of the line and may contain spaces.
                        ["password", _, ..] => Secret::Password(after_words(content, 3).to_owned()),
                        ["scram-sha-256", words @ ..] => {
                            Secret::Verifier(Verifier::parse(words).ok_or(UsersError::Secret { line })?)
                        }
                        _ => return Err(UsersError::Secret { line }),
                    };
                    let name = (*name).to_owned();
                    let user = User { secret, permissions: Arc::default() };
                    if users.by_name.insert(name.clone(), user).is_some() {
                        return Err(UsersError::Repeated { line, name });
                    }
                    whose = Some(Some(name));
                }
                ["anonymous"] => {
                    users.anonymous.get_or_insert_default();
                    whose = Some(None);
                }
                [action @ ("publish" | "subscribe"), _, ..] => {
                    let whose = whose.as_ref().ok_or(UsersError::Nobody { line })?;
                    let filter = parse_filter(after_words(content, 1), line)?;
                    let permissions = match whose {
                        None => users.anonymous.get_or_insert_default(),
                        Some(name) => match users.by_name.get_mut(name) {
                            Some(user) => &mut user.permissions,
                            None => return Err(UsersError::Nobody { line }),
                        },
                    };
                    let permissions = Arc::make_mut(permissions);
                    let list = if *action == "publish" {
                        &mut permissions.publish
                    } else {
                        &mut permissions.subscribe
                    };
                    list.get_or_insert_default().push(filter);
                }
                [word, ..] => return Err(UsersError::Word { line, word: (*word).to_owned() }),
            }
        }
        Ok(users)
    }
}

/// The line without its first words, trimmed.
fn after_words(line: &str, count: usize) -> &str {
    (0..count).fold(line.trim(), |rest, _| {
        rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start())
    })
}

fn parse_filter(filter: &str, line: usize) -> Result<TopicFilter, UsersError> {
    TopicFilter::try_from(filter).map_err(|fault| UsersError::TopicFilter {
        line,
        filter: filter.to_owned(),
        fault: fault.to_string(),
    })
}

/// The users file that parses to the same users.
impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, user) in &self.by_name {
            match &user.secret {
                Secret::Password(password) => writeln!(f, "user {name} password {password}")?,
                Secret::Verifier(verifier) => writeln!(f, "user {name} scram-sha-256 {verifier}")?,
            }
            print_permissions(f, &user.permissions)?;
        }
        if let Some(anonymous) = &self.anonymous {
            writeln!(f, "anonymous")?;
            print_permissions(f, anonymous)?;
        }
        Ok(())
    }
}

fn print_permissions(f: &mut fmt::Formatter<'_>, permissions: &Permissions) -> fmt::Result {
    for (word, filters) in [("publish", &permissions.publish), ("subscribe", &permissions.subscribe)] {
        for filter in filters.iter().flatten() {
            writeln!(f, "{word} {filter}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# who may come
user alice password two words
  publish sensors/alice/#
  subscribe commands/alice/+

user bob scram-sha-256 4096 W22ZaJ0SNY7soEsUEjb6gQ== WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY= wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=
anonymous
  subscribe public/#
";

    #[test]
    fn a_users_file_reads_back_as_it_prints() {
        let users: Users = FILE.parse().expect("the file is right");
        assert_eq!(users.to_string().parse::<Users>(), Ok(users.clone()));
        let alice = users.authenticate("alice", b"two words").expect("the password is right");
        assert!(alice.may_subscribe("commands/alice/+") && !alice.may_subscribe("#"));
        assert!(users.authenticate("alice", b"two  words").is_none());
        assert!(users.authenticate("carol", b"").is_none());
        // The verifier is that of the example in RFC 7677.
        assert!(users.authenticate("bob", b"pencil").is_some());
        assert!(users.authenticate("bob", b"pencils").is_none());
    }

    #[test]
    fn mistakes_are_reported_with_their_line() {
        let fault = |text: &str| text.parse::<Users>().unwrap_err().to_string();
        assert!(fault("\npublish a").starts_with("line 2: a permission"));
        assert!(
            fault("user a password b\npublish a/#/b").starts_with("line 2: `a/#/b` is not a Topic Filter")
        );
        assert!(fault("user a").starts_with("line 1: expected `user NAME password"));
        assert!(fault("user a password b\nuser a password c").contains("listed twice"));
        assert!(fault("users a").contains("not `users`"));
    }
}

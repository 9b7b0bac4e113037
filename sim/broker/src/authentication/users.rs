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
//! subscribe to everything. Clients without User Name may do nothing if there are users and no line
//! `anonymous`.
//!
//! A check of a password takes the same work for every name, known or not, so that its duration
//! does not tell which users exist. The salts of users whose password is in clear text, and of names
//! that are not in the file, derive from the secrets in the file: they stay the same as long as
//! these do.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use mqttspec_codec::{AuthenticationMethod, BinaryData, Connect, TopicFilter, Utf8String};
use mqttspec_core::scram::Verifier;

use super::Permissions;
use super::password::{Secret, Verifiers};

/// The users of a broker. If there are none, any Client may connect if `allow_anonymous` is set.
/// Clones share their content.
#[derive(Clone, Debug, Default)]
pub struct Users {
    file: Arc<File>,
    /// Derived from the file when they are first needed.
    verifiers: Arc<OnceLock<Verifiers>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct File {
    by_name: BTreeMap<String, User>,
    anonymous: Option<Arc<Permissions>>,
}

impl PartialEq for Users {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file
    }
}

impl Eq for Users {}

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
        self.file.by_name.is_empty()
    }

    /// Whether the file has a line `anonymous`: Clients without User Name may connect.
    #[must_use]
    pub fn has_anonymous(&self) -> bool {
        self.file.anonymous.is_some()
    }

    /// The check of the User Name and Password of a CONNECT. `None` if the Broker needs none: there
    /// are no users, or the CONNECT has no User Name, or it authenticates by AUTH.
    #[must_use]
    pub fn check(&self, connect: &Connect) -> Option<PasswordCheck> {
        if self.is_empty() || connect.properties.contains::<AuthenticationMethod>() {
            return None;
        }
        let name = connect.user_name.as_ref()?.detached();
        let password = connect.password.as_ref().map_or(&[][..], BinaryData::as_bytes).to_vec();
        Some(PasswordCheck { users: self.clone(), name, password })
    }

    /// The permissions of a Client without User Name.
    pub(crate) fn anonymous(&self) -> Arc<Permissions> {
        match &self.file.anonymous {
            Some(permissions) => Arc::clone(permissions),
            None if self.is_empty() => Arc::default(),
            None => Permissions::nothing(),
        }
    }

    pub(crate) fn permissions(&self, name: &str) -> Option<Arc<Permissions>> {
        self.file.by_name.get(name).map(|user| Arc::clone(&user.permissions))
    }

    /// Derives what checks of passwords need. Otherwise the first check does it.
    pub(crate) fn prepare(&self) {
        if !self.is_empty() {
            self.verifiers();
        }
    }

    pub(super) fn verifiers(&self) -> &Verifiers {
        let secrets = || self.file.by_name.iter().map(|(name, user)| (name.as_str(), &user.secret));
        self.verifiers.get_or_init(|| Verifiers::of(secrets))
    }
}

/// The check of a User Name and a Password. It is apart from the broker because it is slow by
/// intention, so that a driver can do it on another thread.
#[derive(Debug)]
pub struct PasswordCheck {
    users: Users,
    name: Utf8String,
    password: Vec<u8>,
}

impl PasswordCheck {
    /// The result if the check is not done, because the Server has too many of them to do: the
    /// CONNECT is refused with Server busy (0x89).
    #[must_use]
    pub fn busy(&self) -> CheckedPassword {
        CheckedPassword { user: self.name.clone(), permissions: None, is_busy: true }
    }

    /// Does the work: once PBKDF2, whether the user exists or not.
    #[must_use]
    pub fn run(self) -> CheckedPassword {
        let right = self.users.verifiers().check(self.name.as_str(), &self.password);
        let permissions = self.users.permissions(self.name.as_str()).filter(|_| right);
        CheckedPassword { user: self.name, permissions, is_busy: false }
    }
}

/// The result of a [`PasswordCheck`].
#[derive(Clone, Debug)]
pub struct CheckedPassword {
    pub(super) user: Utf8String,
    /// `None` if the User Name or the Password is wrong.
    pub(super) permissions: Option<Arc<Permissions>>,
    pub(super) is_busy: bool,
}

impl FromStr for Users {
    type Err = UsersError;

    fn from_str(text: &str) -> Result<Self, UsersError> {
        let mut users = File::default();
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
        Ok(Self { file: Arc::new(users), verifiers: Arc::default() })
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
        for (name, user) in &self.file.by_name {
            match &user.secret {
                Secret::Password(password) => writeln!(f, "user {name} password {password}")?,
                Secret::Verifier(verifier) => writeln!(f, "user {name} scram-sha-256 {verifier}")?,
            }
            print_permissions(f, &user.permissions)?;
        }
        if let Some(anonymous) = &self.file.anonymous {
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
        let alice = authenticate(&users, "alice", b"two words").expect("the password is right");
        assert!(alice.may_subscribe("commands/alice/+") && !alice.may_subscribe("#"));
        assert!(authenticate(&users, "alice", b"two  words").is_none());
        assert!(authenticate(&users, "carol", b"").is_none());
        assert!(authenticate(&users, "alice", b"\xff").is_none());
        // The verifier is that of the example in RFC 7677.
        assert!(authenticate(&users, "bob", b"pencil").is_some());
        assert!(authenticate(&users, "bob", b"pencils").is_none());
    }

    fn authenticate(users: &Users, name: &str, password: &[u8]) -> Option<Arc<Permissions>> {
        let name = Utf8String::try_from(name).expect("a name");
        PasswordCheck { users: users.clone(), name, password: password.to_vec() }.run().permissions
    }

    #[test]
    fn a_check_costs_the_same_for_every_name_and_password() {
        use super::super::password::derivations;
        let users: Users = FILE.parse().expect("the file is right");
        users.prepare();
        for (name, password) in [
            ("alice", &b"two words"[..]),
            ("alice", b"wrong"),
            ("alice", b"\xff"),
            ("bob", b"pencil"),
            ("bob", b""),
            ("carol", b"pencil"),
        ] {
            let (_, iterations) = derivations(|| authenticate(&users, name, password));
            assert_eq!(iterations, [4096], "{name}");
            // SCRAM leaves the work to the Client.
            let (_, iterations) = derivations(|| users.verifiers().get(name).1.stored_key);
            assert_eq!(iterations, [0; 0], "{name}");
        }
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

//! What can be set about the broker: each option once, with its name in scenario files and on the command
//! line, its default and what it means.

mod value;

use std::num::NonZeroU16;
use std::time::Duration;

use mqttspec_codec::{QoS, Utf8String};

use crate::authentication::Users;
use value::OptionValue;
pub use value::{
    ClientIdCharacters, DollarTopics, OverlappingSubscriptions, ProtocolVersions, QueuePolicy, Redirect,
    SharedChoice, UnauthorizedPublish,
};

/// Why an option could not be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// There is no option of this name.
    #[error("the broker has no option `{name}`{}", near(nearest))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The option whose name is most like it.
        nearest: Option<&'static str>,
    },
    /// The value is none of this option's.
    #[error("`{value}` is no value of `{name}`: expected {expected}")]
    Value {
        /// The option.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it takes, in words.
        expected: String,
    },
}

fn near(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// One option as `--help` and the reference of the scenario notation list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionDescription {
    /// The name that [`Options::set`] takes.
    pub name: &'static str,
    /// The default in the form that [`Options::set`] takes.
    pub default: String,
    /// What values it takes.
    pub values: String,
    /// What it means, with its unit and its section of the standard.
    pub description: String,
}

macro_rules! options {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr;)+) => {
        /// What can be set about the broker. Fields and names of [`Options::set`] are the same.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct Options { $($(#[doc = $doc])+ pub $name: $type,)+ }

        impl Default for Options {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Options {
            /// The names that [`Options::set`] knows.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// Sets one option from its text form, as scenario files and the command line write it.
            ///
            /// # Errors
            /// [`OptionError::Unknown`] or [`OptionError::Value`]; nothing is changed then.
            pub fn set(&mut self, name: &str, value: &str) -> Result<(), OptionError> {
                match name {
                    $(stringify!($name) => {
                        self.$name = OptionValue::parse(value).ok_or_else(|| OptionError::Value {
                            name: stringify!($name),
                            value: value.to_owned(),
                            expected: <$type as OptionValue>::expected(),
                        })?;
                    })+
                    _ => return Err(OptionError::Unknown { name: name.to_owned(), nearest: nearest(name) }),
                }
                Ok(())
            }

            /// The value of an option in the form that [`Options::set`] takes.
            #[must_use]
            pub fn get(&self, name: &str) -> Option<String> {
                match name {
                    $(stringify!($name) => Some(self.$name.print()),)+
                    _ => None,
                }
            }

            /// Every option, in the order of this documentation.
            #[must_use]
            pub fn descriptions() -> Vec<OptionDescription> {
                let defaults = Self::default();
                vec![$(OptionDescription {
                    name: stringify!($name),
                    default: defaults.$name.print(),
                    values: <$type as OptionValue>::expected(),
                    description: concat!($($doc, "\n"),+).lines().map(str::trim).collect::<Vec<_>>().join(" "),
                },)+]
            }
        }
    };
}

options! {
    /// The protocol versions that CONNECT may ask for (§3.1.2.2).
    versions: ProtocolVersions = ProtocolVersions::ALL;
    /// The most QoS 1 and 2 PUBLISH packets that a Client may have unacknowledged (§3.2.2.3.3). 65535 is not
    /// announced.
    receive_maximum: NonZeroU16 = NonZeroU16::MAX;
    /// The most QoS 1 and 2 PUBLISH packets unacknowledged by one Client, besides its own Receive Maximum:
    /// the initial send quota (§4.9), and the only limit for 3.1.1.
    send_maximum: NonZeroU16 = NonZeroU16::MAX;
    /// The largest packet that the Server takes, in bytes (§3.2.2.3.6). `none` means no limit but the
    /// protocol's.
    maximum_packet_size: Option<u32> = None;
    /// The highest QoS that the Server takes in PUBLISH and grants in SUBACK (§3.2.2.3.4).
    maximum_qos: QoS = QoS::ExactlyOnce;
    /// Whether the Server keeps retained messages (§3.2.2.3.5).
    retain_available: bool = true;
    /// Whether the Server takes Topic Filters with wildcards (§3.2.2.3.11).
    wildcard_subscription_available: bool = true;
    /// Whether the Server takes Subscription Identifiers (§3.2.2.3.12).
    subscription_identifier_available: bool = true;
    /// Whether the Server takes Shared Subscriptions (§3.2.2.3.13).
    shared_subscription_available: bool = true;
    /// The highest Topic Alias that a Client may use (§3.2.2.3.8). 0 means none.
    topic_alias_maximum: u16 = 10;
    /// The most Topic Aliases that the Server uses towards a Client, besides the Client's own maximum
    /// (§3.1.2.11.5).
    topic_alias_use_maximum: u16 = 16;
    /// The Keep Alive that the Server imposes in place of the Client's (§3.2.2.3.14). 0 turns Keep Alive off.
    /// `none` leaves it to the Client.
    server_keep_alive: Option<u16> = None;
    /// The longest Session Expiry Interval that the Server grants a 5.0 Client (§3.2.2.3.2). 4294967295 means
    /// no end.
    session_expiry_maximum: u32 = u32::MAX;
    /// How long a Network Connection may take from its start to an accepted CONNECT (§3.1.4). 0 means for
    /// ever.
    connect_timeout: Duration = Duration::from_secs(10);
    /// The most Network Connections; a CONNECT above is answered Server busy (0x89). 0 means no limit.
    maximum_connections: u32 = 0;
    /// Whether a Client may connect with a ClientID of zero bytes and is assigned one (§3.1.3.1).
    assign_client_id: bool = true;
    /// The longest ClientID, in bytes (§3.1.3.1). 3.1 never allows more than 23 characters.
    client_id_maximum_length: u16 = u16::MAX;
    /// The characters that a ClientID may have (§3.1.3.1).
    client_id_characters: ClientIdCharacters = ClientIdCharacters::Any;
    /// What a Client gets whose overlapping Subscriptions match the same message (§3.3.4).
    overlapping_subscriptions: OverlappingSubscriptions = OverlappingSubscriptions::OneCopy;
    /// Which member of a Shared Subscription gets a message (§4.8.2).
    shared_choice: SharedChoice = SharedChoice::RoundRobin;
    /// The most messages that wait for one Client, those in flight apart. 0 means no limit.
    queue_maximum: u32 = 10_000;
    /// The most bytes of topic and payload that wait for one Client. 0 means no limit.
    queue_maximum_bytes: u64 = 64 << 20;
    /// What happens to a message that finds the Client's queue full.
    queue_policy: QueuePolicy = QueuePolicy::DropNewest;
    /// Whether QoS 0 messages wait for a Client that is away (§4.1).
    queue_qos_0: bool = false;
    /// The most Subscriptions of one Session; more are refused with Quota exceeded (0x97). 0 means no limit.
    maximum_subscriptions: u32 = 100_000;
    /// The most retained messages; more are refused with Quota exceeded (0x97). 0 means no limit.
    maximum_retained: u32 = 0;
    /// What becomes of a PUBLISH to a topic that begins with `$` (§4.7.2).
    dollar_topics: DollarTopics = DollarTopics::Refuse;
    /// Whether PUBACK and PUBREC say No matching subscribers (0x10) when there are none (§3.4.2.1, §3.5.2.1).
    report_no_matching_subscribers: bool = false;
    /// Whether a payload is held against its Payload Format Indicator (§3.3.2.3.2).
    check_payload_format: bool = false;
    /// Whether refusals carry a Reason String (§3.2.2.3.9 and others).
    reason_strings: bool = true;
    /// The Response Information given to a Client that asks for it (§3.2.2.3.15).
    response_information: Option<Utf8String> = None;
    /// Whether every Client is sent away to another Server (§4.11).
    redirect: Redirect = Redirect::No;
    /// The Server Reference that goes with it (§3.2.2.3.16).
    server_reference: Option<Utf8String> = None;
    /// Whether a Client may connect that names no user.
    allow_anonymous: bool = true;
    /// Who may connect, and what each may publish and subscribe to: the text of a users file, with `;` for a
    /// new line.
    users: Users = Users::default();
    /// What becomes of a PUBLISH that the Client may not make (§3.3.5 of 3.1.1, §4.13.2).
    unauthorized_publish: UnauthorizedPublish = UnauthorizedPublish::Refuse;
    /// Whether Clients may authenticate by SCRAM-SHA-256 (§4.12).
    scram_sha_256: bool = true;
    /// Whether the broker records what changes for a store (`take_changes`). A broker without a store saves
    /// the work.
    record_changes: bool = true;
}

impl Options {
    /// The largest packet that a decoder in front of the broker should take, in bytes.
    #[must_use]
    pub fn decoder_limit(&self) -> u32 {
        self.maximum_packet_size.unwrap_or(value::LARGEST_PACKET)
    }
}

/// The option that the writer may have meant.
fn nearest(name: &str) -> Option<&'static str> {
    let scored = Options::NAMES.iter().map(|candidate| (strsim::osa_distance(name, candidate), *candidate));
    scored.min().filter(|(score, _)| *score <= name.len().div_ceil(3)).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_option() {
        for option in Options::descriptions() {
            let mut options = Options::default();
            options.set(option.name, &option.default).unwrap_or_else(|fault| panic!("{fault}"));
            assert_eq!(options, Options::default(), "{}", option.name);
            assert!(!option.description.is_empty());
        }
    }

    #[test]
    fn misspelt_names_and_values_are_told() {
        let mut options = Options::default();
        let fault = options.set("recieve_maximum", "1").unwrap_err();
        assert_eq!(
            fault.to_string(),
            "the broker has no option `recieve_maximum`; did you mean `receive_maximum`?"
        );
        let fault = options.set("maximum_qos", "3").unwrap_err();
        assert_eq!(fault.to_string(), "`3` is no value of `maximum_qos`: expected 0, 1 or 2");
        assert!(options.set("receive_maximum", "0").is_err());
        assert!(options.set("flux", "0").unwrap_err().to_string().ends_with("`flux`"));
    }
}

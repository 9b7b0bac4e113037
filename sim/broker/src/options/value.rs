//! The kinds of values that options take, each with its text form.

use std::num::NonZeroU16;
use std::time::Duration;

use mqttspec_codec::{QoS, Utf8String, Version};

use crate::authentication::Users;

/// The largest packet that MQTT knows, in bytes (§2.1.4).
pub(super) const LARGEST_PACKET: u32 = 268_435_460;

/// A value with a text form: `parse(print(value)) == value`.
pub(super) trait OptionValue: Sized {
    fn parse(text: &str) -> Option<Self>;
    fn print(&self) -> String;
    fn expected() -> String;
}

macro_rules! numbers {
    ($($type:ty: $expected:literal),+ $(,)?) => {
        $(impl OptionValue for $type {
            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn print(&self) -> String {
                self.to_string()
            }

            fn expected() -> String {
                $expected.to_owned()
            }
        })+
    };
}

numbers! {
    u16: "a number from 0 to 65535",
    NonZeroU16: "a number from 1 to 65535",
    u32: "a number from 0 to 4294967295",
    u64: "a number from 0 on",
}

impl OptionValue for bool {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn expected() -> String {
        "true or false (1 or 0)".to_owned()
    }
}

impl OptionValue for QoS {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().and_then(|level: u8| Self::try_from(level).ok())
    }

    fn print(&self) -> String {
        self.to_string()
    }

    fn expected() -> String {
        "0, 1 or 2".to_owned()
    }
}

impl OptionValue for Duration {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().ok()?;
        match unit {
            "ms" => Some(Self::from_millis(number)),
            "" | "s" => Some(Self::from_secs(number)),
            "m" | "min" => number.checked_mul(60).map(Self::from_secs),
            "h" => number.checked_mul(3600).map(Self::from_secs),
            _ => None,
        }
    }

    fn print(&self) -> String {
        if self.subsec_millis() == 0 {
            format!("{}s", self.as_secs())
        } else {
            format!("{}ms", self.as_millis())
        }
    }

    fn expected() -> String {
        "a time such as 500ms, 10s, 5m, 1h (seconds if no unit is given)".to_owned()
    }
}

impl<T: OptionValue> OptionValue for Option<T> {
    fn parse(text: &str) -> Option<Self> {
        if text == "none" { Some(None) } else { T::parse(text).map(Some) }
    }

    fn print(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), T::print)
    }

    fn expected() -> String {
        format!("{}, or none", T::expected())
    }
}

impl OptionValue for Utf8String {
    fn parse(text: &str) -> Option<Self> {
        Self::try_from(text).ok()
    }

    fn print(&self) -> String {
        self.as_str().to_owned()
    }

    fn expected() -> String {
        "text of at most 65535 bytes".to_owned()
    }
}

impl OptionValue for Users {
    fn parse(text: &str) -> Option<Self> {
        text.replace(';', "\n").parse().ok()
    }

    fn print(&self) -> String {
        self.to_string().trim_end().replace('\n', ";")
    }

    fn expected() -> String {
        "the lines of a users file, such as `user alice password secret; publish a/#; subscribe b/+`"
            .to_owned()
    }
}

/// Protocol versions that a Server takes; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolVersions([bool; 3]);

impl ProtocolVersions {
    /// 3.1, 3.1.1 and 5.0.
    pub const ALL: Self = Self([true; 3]);

    /// Whether this version is among them.
    #[must_use]
    pub fn contains(self, version: Version) -> bool {
        self.0[Self::place(version)]
    }

    const fn place(version: Version) -> usize {
        match version {
            Version::V3_1 => 0,
            Version::V3_1_1 => 1,
            Version::V5 => 2,
        }
    }
}

impl OptionValue for ProtocolVersions {
    fn parse(text: &str) -> Option<Self> {
        let mut versions = Self([false; 3]);
        for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
            let version = match word {
                "3.1" | "3" => Version::V3_1,
                "3.1.1" | "4" => Version::V3_1_1,
                "5.0" | "5" => Version::V5,
                _ => return None,
            };
            versions.0[Self::place(version)] = true;
        }
        (versions != Self([false; 3])).then_some(versions)
    }

    fn print(&self) -> String {
        let versions = Version::ALL.into_iter().filter(|version| self.contains(*version));
        versions.map(|version| version.to_string()).collect::<Vec<_>>().join(",")
    }

    fn expected() -> String {
        "a list of 3.1, 3.1.1, 5.0".to_owned()
    }
}

macro_rules! choices {
    ($($(#[doc = $doc:literal])+ $type:ident { $($(#[doc = $choice_doc:literal])+ $variant:ident = $word:literal),+ $(,)? })+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum $type { $($(#[doc = $choice_doc])+ $variant),+ }

            impl OptionValue for $type {
                fn parse(text: &str) -> Option<Self> {
                    match text {
                        $($word => Some(Self::$variant),)+
                        _ => None,
                    }
                }

                fn print(&self) -> String {
                    match self {
                        $(Self::$variant => $word.to_owned(),)+
                    }
                }

                fn expected() -> String {
                    [$(concat!("`", $word, "`")),+].join(" or ")
                }
            }
        )+
    };
}

choices! {
    /// The characters that a ClientID may have (§3.1.3.1).
    ClientIdCharacters {
        /// Every character of a UTF-8 Encoded String.
        Any = "any",
        /// 0-9, a-z and A-Z: those that every Server must allow [MQTT-3.1.3-5].
        Alphanumeric = "alphanumeric",
    }

    /// What a Client gets whose overlapping Subscriptions match the same message (§3.3.4).
    OverlappingSubscriptions {
        /// One PUBLISH at the highest granted QoS, with the Subscription Identifiers of all.
        OneCopy = "one_copy",
        /// A PUBLISH for each Subscription, at its QoS and with its Subscription Identifier.
        CopyEach = "copy_each",
    }

    /// Which member of a Shared Subscription gets a message (§4.8.2). Connected members come before those
    /// that are away.
    SharedChoice {
        /// The next one, in the order in which their Sessions began.
        RoundRobin = "round_robin",
        /// Any, drawn from the broker's seed.
        Random = "random",
        /// The one with the fewest messages waiting or in flight.
        LeastLoaded = "least_loaded",
    }

    /// What happens to a message that finds the Client's queue full.
    QueuePolicy {
        /// The new message is dropped.
        DropNewest = "drop_newest",
        /// The message that has waited longest is dropped.
        DropOldest = "drop_oldest",
        /// The new message is dropped and the Client disconnected with Quota exceeded (0x97).
        Disconnect = "disconnect",
    }

    /// What becomes of a PUBLISH to a topic that begins with `$` (§4.7.2).
    DollarTopics {
        /// It is not authorized: Clients should not talk to each other by them.
        Refuse = "refuse",
        /// It is published like any other.
        Accept = "accept",
    }

    /// Whether every Client is sent away to another Server (§4.11).
    Redirect {
        /// Clients are served.
        No = "no",
        /// CONNACK 0x9C.
        UseAnotherServer = "use_another_server",
        /// CONNACK 0x9D.
        ServerMoved = "server_moved",
    }

    /// What becomes of a PUBLISH that the Client may not make (§3.3.5 of 3.1.1, §4.13.2).
    UnauthorizedPublish {
        /// 5.0: PUBACK or PUBREC 0x87; QoS 0 is dropped. 3.1.1: acknowledged and dropped.
        Refuse = "refuse",
        /// 5.0: DISCONNECT 0x87. 3.1.1: closed.
        Disconnect = "disconnect",
    }
}

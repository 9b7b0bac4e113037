//! The features that a run may use.

use std::fmt;
use std::str::FromStr;

macro_rules! features {
    ($($variant:ident $word:literal)*) => {
        /// What a run may use.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the names are the words")]
        pub enum Feature { $($variant),* }

        impl Feature {
            /// Every feature.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its word on the command line.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }
    };
}

features! {
    Qos0 "qos0" Qos1 "qos1" Qos2 "qos2"
    Retained "retained" Wills "wills" WillDelay "will-delay"
    Unsubscribe "unsubscribe" Resubscribe "resubscribe" Overlap "overlap" Shared "shared"
    NoLocal "no-local" RetainAsPublished "retain-as-published" RetainHandling "retain-handling"
    SubscriptionIdentifiers "subscription-identifiers"
    MessageExpiry "message-expiry" SessionExpiry "session-expiry" Properties "properties"
    TopicAliases "topic-aliases" ReceiveMaximum "receive-maximum" CleanStart "clean-start"
    Disconnect "disconnect" TakeOver "take-over"
    Raw "raw" Stale "stale" Malformed "malformed"
    Cut "cut" Close "close" Partition "partition" Latency "latency" Loss "loss"
    Bandwidth "bandwidth" Stall "stall" CrashServer "crash-server" CrashClient "crash-client"
    Durable "durable" Profile "profile"
    KeepAlive "keep-alive" Limits "limits" Auth "auth" Permissions "permissions"
    Identifiers "identifiers" Characters "characters" Repeats "repeats" Refusals "refusals"
    LongWait "long-wait" WebSocket "websocket"
}

impl FromStr for Feature {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|feature| feature.word() == word);
        found.ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|feature| feature.word()).collect();
            format!("`{word}` is not a feature: {}", all.join(" "))
        })
    }
}

/// The features that may be drawn; all by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features(Vec<Feature>);

impl Default for Features {
    fn default() -> Self {
        Self(Feature::ALL.to_vec())
    }
}

impl FromStr for Features {
    type Err = String;

    /// A list of features with commas. A `-` before a word removes it from all of them.
    fn from_str(text: &str) -> Result<Self, String> {
        let (without, only): (Vec<&str>, Vec<&str>) = text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .partition(|word| word.starts_with('-'));
        let parse = |words: Vec<&str>| -> Result<Vec<Feature>, String> {
            words.into_iter().map(|word| word.trim_start_matches('-').parse()).collect()
        };
        let (without, only) = (parse(without)?, parse(only)?);
        let base = if only.is_empty() { Feature::ALL.to_vec() } else { only };
        Ok(Self(base.into_iter().filter(|feature| !without.contains(feature)).collect()))
    }
}

impl Features {
    /// Whether a feature may be drawn.
    pub(crate) fn allow(&self, feature: Feature) -> bool {
        self.0.contains(&feature)
    }

    /// All but these.
    #[must_use]
    pub fn without(mut self, others: &[Feature]) -> Self {
        self.0.retain(|feature| !others.contains(feature));
        self
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|feature| feature.word()).collect();
        f.write_str(&words.join(","))
    }
}

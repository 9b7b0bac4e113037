//! The areas of the protocol. Clauses, reports and the folders of scenarios use this one list.

use std::fmt;

use serde::Deserialize;

macro_rules! areas {
    ($($area:ident $name:literal [$($folder:literal),*];)*) => {
        /// An area of the protocol. The order is that in which reports list them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        pub enum Area {
            $(#[doc = $name] #[serde(rename = $name)] $area,)*
        }

        impl Area {
            /// Every area.
            pub const ALL: &[Self] = &[$(Self::$area),*];

            /// Its name in reports and in the catalogue.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$area => $name,)*
                }
            }

            /// The folders of scenarios that belong to it.
            const fn folders(self) -> &'static [&'static str] {
                match self {
                    $(Self::$area => &[$($folder),*],)*
                }
            }
        }
    };
}

// The area, its name, and its folders of scenarios.
areas! {
    DataRepresentation "Data representation" [];
    PacketFormat "Packet format" [];
    PacketIdentifiers "Packet Identifiers" ["packet-identifiers"];
    PacketSize "Packet size" [];
    Connect "CONNECT" ["connect"];
    ConnAck "CONNACK" [];
    KeepAlive "Keep Alive" [];
    Sessions "Sessions" ["sessions"];
    Wills "Wills" ["wills"];
    Publish "PUBLISH" ["publish", "properties"];
    RetainedMessages "Retained messages" ["retained"];
    MessageExpiry "Message expiry" ["message-expiry"];
    TopicAlias "Topic Alias" ["topic-alias"];
    RequestAndResponse "Request and response" [];
    QoS "QoS" ["qos1", "qos2"];
    Ordering "Ordering" ["ordering"];
    FlowControl "Flow control" ["flow-control"];
    Subscribe "SUBSCRIBE" ["subscribe"];
    SubscriptionIdentifiers "Subscription Identifiers" ["subscription-identifiers"];
    SharedSubscriptions "Shared Subscriptions" ["shared-subscriptions"];
    Unsubscribe "UNSUBSCRIBE" [];
    Topics "Topics" [];
    Ping "PING" [];
    Disconnect "DISCONNECT" ["disconnect"];
    Auth "AUTH" ["auth"];
    Redirection "Redirection" [];
    ErrorHandling "Error handling" [];
    Transport "Transport" ["transport"];
    Conformance "Conformance" [];
}

impl Area {
    /// The area of a folder of scenarios; `None` where it belongs to no single area.
    #[must_use]
    pub fn of_folder(folder: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|area| area.folders().contains(&folder))
    }
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Folders that belong to no single area: everything about clients, and loads under faults.
    const ACROSS: [&str; 2] = ["clients", "faults"];

    #[test]
    fn every_folder_of_scenarios_is_listed_once() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios"));
        let entries = fs::read_dir(root).expect("the scenarios can be read");
        let folders: BTreeSet<String> = entries
            .map(|entry| entry.expect("the scenarios can be read"))
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let of_areas = Area::ALL.iter().flat_map(|area| area.folders());
        let listed: Vec<String> = of_areas.chain(&ACROSS).map(|folder| (*folder).to_owned()).collect();
        assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), folders);
        assert_eq!(listed.len(), folders.len(), "a folder belongs to one area");
    }

    #[test]
    fn a_folder_has_an_area() {
        assert_eq!(Area::of_folder("qos2"), Some(Area::QoS));
        assert_eq!(Area::of_folder("faults"), None);
    }
}

//! Which packet allows which property, as traits: a property in a wrong packet does not compile.

use super::{
    Auth, ConnAck, Connect, Disconnect, PubAck, PubComp, PubRec, PubRel, Publish, SubAck, Subscribe,
    UnsubAck, Unsubscribe, Will,
};
use crate::property::{self, AllowedIn, HasProperties, Place, RepeatableIn, property_table, sealed};

macro_rules! places {
    ($($packet:ident)*) => {
        $(
            impl sealed::HasPlace for $packet {
                const PLACE: Place = Place::$packet;
            }
            impl HasProperties for $packet {}
            impl RepeatableIn<$packet> for property::UserProperty {}
        )*
    };
}

places! {
    Connect ConnAck Publish Will PubAck PubRec PubRel PubComp
    Subscribe SubAck Unsubscribe UnsubAck Disconnect Auth
}

impl RepeatableIn<Publish> for property::SubscriptionIdentifier {}

macro_rules! allowed {
    ($($name:ident = $id:literal $title:literal, $($packet:ident $repeat:literal)*;)*) => {
        $($(
            impl AllowedIn<$packet> for property::$name {
                const REPEATABLE: bool = $repeat;
            }
        )*)*
    };
}

property_table!(allowed);
